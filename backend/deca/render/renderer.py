"""DECA's renderer: a head under spherical harmonics light, coarse or with its wrinkles (Eqs. 3 and 11).

    surface = renderer(verts_BV3, project(verts_BV3, camera_B3))      one rasterisation
    coarse = surface.shade(albedo_B3HW, light_B93)
    detail = surface.shade(albedo_B3HW, light_B93, detail_surface(verts_BV3, displacement_B1HW, head).normals_B3HW)
    clay = surface.clay()

Shape suffixes: B batch, V vertices, T texture vertices, F triangles, C channels, N covered pixels, H W pictures and
textures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from deca.head.model import HeadModel
from deca.render.lighting import CLAY, lamp_shading, sh_shading
from deca.render.normals import vertex_normals
from deca.render.rasterizer import Backend, Fragments, rasterize
from deca.render.visibility import visible_points
from deca_blender.protocol.conventions import CROP_SIZE


class Rendering(NamedTuple):
    """Pictures of a shaded head, zero where it is not.

    Attributes:
        image_B3HW: albedo * shading, not clamped.
        albedo_B3HW: Albedo at the pixels.
        shading_B3HW: Shading at the pixels.
        normals_B3HW: The normals that were shaded, head space.
    """

    image_B3HW: Tensor
    albedo_B3HW: Tensor
    shading_B3HW: Tensor
    normals_B3HW: Tensor


@dataclass(frozen=True)
class Surface:
    """What the pictures of a batch show of the heads: the result of one rasterisation, to be shaded in many ways.

    Attributes:
        fragments: Triangle and barycentrics at the covered pixels.
        picture_BV3: The projected vertices.
        vertex_normals_BV3: Their normals, head space.
        normals_3N: Interpolated vertex normals at the covered pixels (as in DECA not made unit length again).
        grid_2N: Texture coordinates at the covered pixels as `grid_sample` takes them: [-1, 1], x right, y down.
    """

    fragments: Fragments
    picture_BV3: Tensor
    vertex_normals_BV3: Tensor
    normals_3N: Tensor
    grid_2N: Tensor

    @property
    def alpha_B1HW(self) -> Tensor:
        """1 where the head is, 0 elsewhere."""
        return self.fragments.mask_BHW[:, None].to(self.normals_3N.dtype)

    @property
    def depth_B1HW(self) -> Tensor:
        """z in picture coordinates, smaller is nearer; zero where the head is not."""
        return self.fragments.depth_BHW[:, None]

    @property
    def normals_B3HW(self) -> Tensor:
        """Normals of the coarse head, head space."""
        return self.fragments.image(self.normals_3N)

    def visible_vertices(self, tolerance: float = 0.005) -> Tensor:
        """True (B, V) for the vertices that the picture shows (`deca.render.visibility`)."""
        return visible_points(self.picture_BV3, self.vertex_normals_BV3[..., 2], self.fragments, tolerance=tolerance)

    def sample(self, texture_BCHW: Tensor) -> Tensor:
        """A texture at the covered pixels, (C, N), bilinear; a batch of one is shared by all pictures."""
        grids = self.grid_2N.split(self.fragments.counts, dim=1)
        textures = texture_BCHW.split(1) if len(texture_BCHW) > 1 else [texture_BCHW] * len(grids)
        sampled = [
            functional.grid_sample(texture, grid_2N.T[None, None], align_corners=False)[0, :, 0]
            for texture, grid_2N in zip(textures, grids, strict=True)
            if grid_2N.shape[1]
        ]
        return torch.cat(sampled, dim=1) if sampled else texture_BCHW.new_zeros(texture_BCHW.shape[1], 0)

    def texture(self, texture_BCHW: Tensor) -> Tensor:
        """A texture on the head, unlit, (B, C, H, W)."""
        return self.fragments.image(self.sample(texture_BCHW))

    def shade(
        self,
        albedo_B3HW: Tensor,
        light_B93: Tensor,
        uv_normals_B3HW: Tensor | None = None,
        where_B1HW: Tensor | None = None,
    ) -> Rendering:
        """Renders with albedo and light.

        Args:
            albedo_B3HW: Albedo texture, top row first; a batch of one is shared by all pictures.
            light_B93: Spherical harmonics coefficients (`deca.render.lighting`); likewise.
            uv_normals_B3HW: Normals as a UV map, for wrinkles (`deca.render.detail`); the coarse normals when None.
            where_B1HW: Share in which these count, as a UV map; everywhere when None.
        """
        normals_3N = self.normals(uv_normals_B3HW, where_B1HW)
        normals = normals_3N.split(self.fragments.counts, dim=1)
        lights = light_B93.split(1) if len(light_B93) > 1 else [light_B93] * len(normals)
        shading_3N = torch.cat(
            [sh_shading(normal_3N[None], light_193)[0] for normal_3N, light_193 in zip(normals, lights, strict=True)],
            dim=1,
        )
        albedo_3N = self.sample(albedo_B3HW)
        image = self.fragments.image
        return Rendering(image(albedo_3N * shading_3N), image(albedo_3N), image(shading_3N), image(normals_3N))

    def clay(self, uv_normals_B3HW: Tensor | None = None, where_B1HW: Tensor | None = None) -> Tensor:
        """The plain shape in grey under fixed lamps, (B, 3, H, W) in [0, 1]; wrinkled if given UV normals (`shade`)."""
        normals_3N = self.normals(uv_normals_B3HW, where_B1HW)
        grey_3N = lamp_shading(normals_3N[None])[0] * normals_3N.new_tensor(CLAY)[:, None]
        return self.fragments.image(grey_3N.clamp(0, 1))

    def normals(self, uv_normals_B3HW: Tensor | None, where_B1HW: Tensor | None = None) -> Tensor:
        """Normals at the covered pixels, (3, N); `shade` says of which kind."""
        if uv_normals_B3HW is None:
            return self.normals_3N
        normals_3N = self.sample(uv_normals_B3HW)
        # What is small on the map, as teeth are, has better normals of its own.
        return normals_3N if where_B1HW is None else torch.lerp(self.normals_3N, normals_3N, self.sample(where_B1HW))


class Renderer(nn.Module):
    """Sees heads of one topology through a camera.

    Args:
        faces_F3: Triangles.
        uv_T2: Texture coordinates, v up.
        uv_faces_F3: Triangles of texture vertices, in the order of `faces_F3`.
        size: Rows and columns of the pictures unless a call says otherwise.
        backend: Of `deca.render.rasterizer.rasterize`.
    """

    faces_F3: Tensor
    uv_faces_F3: Tensor
    grid_T2: Tensor

    def __init__(
        self,
        faces_F3: Tensor,
        uv_T2: Tensor,
        uv_faces_F3: Tensor,
        size: int = CROP_SIZE,
        backend: Backend = "torch",
    ) -> None:
        super().__init__()
        self.size = size
        self.backend: Backend = backend
        self.register_buffer("faces_F3", faces_F3, persistent=False)
        self.register_buffer("uv_faces_F3", uv_faces_F3, persistent=False)
        self.register_buffer("grid_T2", torch.stack((uv_T2[:, 0] * 2 - 1, 1 - uv_T2[:, 1] * 2), 1), persistent=False)

    @classmethod
    def of_head(cls, head: HeadModel, size: int = CROP_SIZE, backend: Backend = "torch") -> Renderer:
        """The renderer of a head model."""
        arrays = (head.faces_F3, head.uv_T2, head.uv_faces_F3)
        return cls(*(torch.from_numpy(array) for array in arrays), size=size, backend=backend)

    def forward(
        self, verts_BV3: Tensor, picture_BV3: Tensor, height: int | None = None, width: int | None = None
    ) -> Surface:
        """Rasterises.

        Args:
            verts_BV3: Vertices in head space, metres: the normals come from them.
            picture_BV3: The same vertices projected to picture coordinates, [-1, 1] across the picture
                (`deca.render.camera.project`, `window_picture`).
            height: Rows, `size` when None.
            width: Columns, `size` when None.
        """
        # Closed, since the far side of the head would show, dark, through pixels that lie on an edge between triangles.
        size = height or self.size, width or self.size
        fragments = rasterize(picture_BV3, self.faces_F3, *size, closed=True, backend=self.backend)
        normals_BV3 = vertex_normals(verts_BV3, self.faces_F3)
        return Surface(
            fragments,
            picture_BV3,
            normals_BV3,
            fragments.interpolate(normals_BV3, self.faces_F3),
            fragments.interpolate(self.grid_T2[None].to(picture_BV3.dtype), self.uv_faces_F3),
        )
