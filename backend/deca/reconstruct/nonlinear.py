"""Heads of the nonlinear face model: codes and decoded maps to vertices, albedo, and what a photo shows of them.

    S = linear head(f_S) + D_S(f_S) at the vertices          A = linear albedo(f_A) + D_A(f_A)

Expression, jaw and pose stay the rig's. Photos and renderings are compared in texture space, where a picture is
albedo times shading texel by texel (Tran, Liu and Liu 2019, with the light of Section 3.1), so that nothing has to be
rasterised: the photo is sampled where the camera sees the texels.

Shape suffixes: B batch, V vertices, C channels, N code, H W rows and columns of the window of the UV map, X = H W, Y
rows and columns of pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from deca.appearance.albedo import AlbedoModel
from deca.appearance.blend import shrink_mask
from deca.errors import AssetError
from deca.head import HeadModel
from deca.head.layer import HeadLayer
from deca.head.model import Part
from deca.networks.codes import Codes
from deca.networks.nonlinear import DecoderSizes, NonlinearNetworks, window_of
from deca.render.camera import project
from deca.render.detail import DETAIL_MASK
from deca.render.lighting import sh_shading
from deca.render.normals import vertex_normals
from deca.render.rasterizer import blend
from deca.render.uv import uv_mask, uv_raster

_FADE = 0.03
"""Width over which displacement fades at the border of the skin, of the UV map's: lids and lips stay closed."""
GRAZING = 0.2
"""Cosine below which a photo says nothing of a texel: it shows what is behind as well."""


@dataclass(frozen=True)
class TexelView:
    """What photos show of heads, per texel of the window.

    Attributes:
        photo_B3HW: The photo where the camera sees the texel, display values.
        normals_B3HW: Normals of the posed head, head space, about unit length.
        seen_B1HW: How well the photo shows the texel's skin, 0..1.
    """

    photo_B3HW: Tensor
    normals_B3HW: Tensor
    seen_B1HW: Tensor


class NonlinearHead(nn.Module):
    """The frozen parts of the nonlinear face model: head, linear albedo and the window's texels.

    Args:
        head: The head model.
        albedo: Its albedo model.
        sizes: Of the decoders.
        expression: Expression coefficients.

    Raises:
        AssetError: The albedo model belongs to another head model, or the head model has no detail mask.
    """

    corners_3X: Tensor
    bary_3X: Tensor
    covered_HW: Tensor
    skin_HW: Tensor
    grid_V2: Tensor
    share_V1: Tensor
    mean_Y: Tensor
    basis_AY: Tensor

    def __init__(self, head: HeadModel, albedo: AlbedoModel, sizes: DecoderSizes, expression: int) -> None:
        super().__init__()
        albedo.check_head(head)
        if albedo.num_coefficients < sizes.linear_albedo:
            raise AssetError(
                f"The albedo model {albedo.name} has {albedo.num_coefficients} coefficients; {sizes.linear_albedo} are"
                " needed."
            )
        self.head, self.sizes = head, sizes
        self.window = window_of(head, sizes)
        self.layer = HeadLayer(head, sizes.linear_shape, expression)
        for name, tensor in (self._texels() | self._vertices() | self._albedo(albedo)).items():
            self.register_buffer(name, tensor, persistent=False)

    def _texels(self) -> dict[str, Tensor]:
        """Vertices and weights behind each texel of the window; weights are zero where there is no surface."""
        raster, size = uv_raster(self.head, self.sizes.map_size), self.sizes.map_size
        image = raster.fragments.image
        corners_13HW, bary_13HW = image(raster.corners_3N), image(raster.fragments.bary_3N)
        skin_HW = uv_mask(self.head, DETAIL_MASK, size)
        return {
            "corners_3X": corners_13HW[0, :, *self.window].flatten(1).contiguous(),
            "bary_3X": bary_13HW[0, :, *self.window].flatten(1).contiguous(),
            "covered_HW": raster.covered_HW[*self.window].clone(),
            "skin_HW": (skin_HW * raster.covered_HW)[*self.window].clone(),
        }

    def _vertices(self) -> dict[str, Tensor]:
        """Where vertices are on the window, and how much of the displacement there they take."""
        head, (rows, columns) = self.head, self.window
        uv_V2 = np.zeros((head.num_verts, 2), np.float32)
        uv_V2[head.faces_F3.ravel()] = head.uv_T2[head.uv_faces_F3.ravel()]
        texel_V2 = np.stack((uv_V2[:, 0], 1 - uv_V2[:, 1]), 1) * self.sizes.map_size - (columns.start, rows.start)
        grid_V2 = torch.from_numpy((texel_V2 / (self.sizes.columns, self.sizes.rows) * 2 - 1).astype(np.float32))
        inside_HW = np.zeros((self.sizes.rows, self.sizes.columns), bool)  # the window's edge is a border too
        inside_HW[1:-1, 1:-1] = uv_mask(head, DETAIL_MASK, self.sizes.map_size).numpy()[rows, columns][1:-1, 1:-1] > 0.5
        soft_HW = shrink_mask(inside_HW, _FADE * self.sizes.map_size)
        border = torch.from_numpy(np.ascontiguousarray(soft_HW, np.float32))[None, None]
        share_V = functional.grid_sample(border, grid_V2[None, None], align_corners=False)[0, 0, 0]
        is_skin_V = torch.from_numpy(head.parts_V == Part.SKIN)
        return {"grid_V2": grid_V2, "share_V1": (share_V * is_skin_V)[:, None]}

    def _albedo(self, albedo: AlbedoModel) -> dict[str, Tensor]:
        mean_HW3, basis_AHW3 = albedo.arrays(self.sizes.map_size)
        basis_AHW3 = basis_AHW3[: self.sizes.linear_albedo, *self.window]
        mean_3HW, basis_A3HW = mean_HW3[self.window].transpose(2, 0, 1), basis_AHW3.transpose(0, 3, 1, 2)
        basis_AY = np.ascontiguousarray(basis_A3HW.reshape(len(basis_A3HW), -1))
        return {
            "mean_Y": torch.from_numpy(np.ascontiguousarray(mean_3HW.reshape(-1))),
            "basis_AY": torch.from_numpy(basis_AY),
        }

    def offsets(self, displacement_B3HW: Tensor) -> Tensor:
        """A displacement map at the vertices (B, V, 3), metres; none where there is no skin."""
        grid = self.grid_V2.expand(len(displacement_B3HW), 1, -1, -1)
        sampled_B3V = functional.grid_sample(displacement_B3HW, grid, align_corners=False)[:, :, 0]
        return sampled_B3V.transpose(1, 2) * self.share_V1

    def neutral(self, shape_BN: Tensor, displacement_B3HW: Tensor) -> Tensor:
        """The neutral head's vertices (B, V, 3), metres: what the linear model and D_S make of f_S."""
        shape_BS = shape_BN[:, : self.sizes.linear_shape]
        none_BE = shape_BN.new_zeros(len(shape_BN), self.layer.num_expression)
        return self.layer.unposed(shape_BS, none_BE) + self.offsets(displacement_B3HW)

    def posed(self, codes: Codes, displacement_B3HW: Tensor) -> Tensor:
        """Posed vertices (B, V, 3), metres, with the expression, jaw and pose of the codes."""
        shape_BS = codes.shape_BS[:, : self.sizes.linear_shape]
        return self.layer(shape_BS, codes.expression_BE, codes.pose_BJ3, self.offsets(displacement_B3HW))

    def on_window(self, attributes_BVC: Tensor) -> Tensor:
        """Vertex attributes as maps of the window (B, C, H, W), zero where there is no surface."""
        batch, _, channels = attributes_BVC.shape
        planar_XV = attributes_BVC.transpose(1, 2).reshape(batch * channels, -1)
        return blend(planar_XV, self.corners_3X, self.bary_3X).view(batch, channels, *self.covered_HW.shape)

    def albedo(self, albedo_BN: Tensor, offset_B3HW: Tensor) -> Tensor:
        """Albedo of the window (B, 3, H, W), display values, not clamped."""
        linear_BY = self.mean_Y + albedo_BN[:, : len(self.basis_AY)] @ self.basis_AY
        return linear_BY.view(-1, 3, *self.covered_HW.shape) + offset_B3HW

    def view(self, verts_BV3: Tensor, camera_B3: Tensor, image_B3YY: Tensor, shown_B1YY: Tensor) -> TexelView:
        """What pictures show of posed heads; differentiable by the vertices but for what is seen.

        A texel is seen that faces the camera and falls on what is shown. What the head itself hides is not found out:
        who knows it, tells by `shown_on_window`.

        Args:
            verts_BV3: Posed vertices.
            camera_B3: `[s, tx, ty]`.
            image_B3YY: Pictures.
            shown_B1YY: Where the pictures show skin, 0..1.
        """
        normals_BV3 = vertex_normals(verts_BV3, self.layer.faces_F3)
        maps_B6HW = self.on_window(torch.cat((project(verts_BV3, camera_B3), normals_BV3), 2))
        grid_BHW2, normals_B3HW = maps_B6HW[:, :2].permute(0, 2, 3, 1), maps_B6HW[:, 3:]
        photo_B3HW = functional.grid_sample(image_B3YY, grid_BHW2, align_corners=False)
        with torch.no_grad():
            seen_B1HW = functional.grid_sample(shown_B1YY, grid_BHW2, align_corners=False)
            facing_B1HW = ((normals_B3HW[:, 2:] - GRAZING) / GRAZING).clamp(0, 1)
            seen_B1HW = seen_B1HW * facing_B1HW * self.skin_HW
        return TexelView(photo_B3HW, normals_B3HW, seen_B1HW)

    def shown_on_window(self, seen_B1YY: Tensor) -> Tensor:
        """Maps of the whole UV map (B, 1, Y, Y) as maps of the window."""
        size = (self.sizes.map_size, self.sizes.map_size)
        if seen_B1YY.shape[-2:] != size:
            seen_B1YY = functional.interpolate(seen_B1YY, size, mode="area")
        return seen_B1YY[..., *self.window]


def render(albedo_B3HW: Tensor, normals_B3HW: Tensor, light_B93: Tensor) -> Tensor:
    """Pictures of the window (B, 3, H, W): albedo times shading (DECA, Eq. 2), display values."""
    return albedo_B3HW * sh_shading(normals_B3HW, light_B93)


@dataclass(frozen=True)
class Textures:
    """Albedo and light found for photos.

    Attributes:
        code_BN: Albedo codes.
        light_B93: Light.
        image_B3HW: The rendering.
        error_B: Its l2,1 distance from the photo over what is seen (Eq. 4), display values.
    """

    code_BN: Tensor
    light_B93: Tensor
    image_B3HW: Tensor
    error_B: Tensor


def texture_error(image_B3HW: Tensor, view: TexelView) -> Tensor:
    """l2,1 distance (B,) of renderings from the photos (Eq. 4): the mean length of the difference in colour, over what
    is seen."""
    squared_B1HW = (image_B3HW - view.photo_B3HW).square().sum(1, keepdim=True)
    length_B1HW = (squared_B1HW + _ROOT).sqrt()
    return (length_B1HW * view.seen_B1HW).sum((1, 2, 3)) / view.seen_B1HW.sum((1, 2, 3)).clamp(min=1)


_ROOT = 1e-12
"""Under the root, so that a difference of zero has a gradient."""


def fit_textures(
    albedo_of: Callable[[Tensor], Tensor],
    code_BN: Tensor,
    light_B93: Tensor,
    view: TexelView,
    *,
    steps: int = 100,
    rate: float = 0.03,
) -> Textures:
    """Albedo codes and light under which an albedo model looks like photos, with the geometry given (Section 4.2): only
    the latents are optimised, by Adam, whose rate falls to zero.

    Args:
        albedo_of: From codes to albedo (B, 3, H, W).
        code_BN: Codes to begin with, of about unit spread.
        light_B93: Light to begin with.
        view: The photos.
        steps: Of Adam.
        rate: Its first learning rate.
    """
    code_BN, light_B93 = (tensor.detach().clone().requires_grad_() for tensor in (code_BN, light_B93))
    optimiser = torch.optim.Adam([code_BN, light_B93], lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        optimiser.zero_grad()
        # Photos do not know of each other: a sum gives each the steps that it would make alone.
        texture_error(render(albedo_of(code_BN), view.normals_B3HW, light_B93), view).sum().backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        image_B3HW = render(albedo_of(code_BN), view.normals_B3HW, light_B93)
        return Textures(code_BN.detach(), light_B93.detach(), image_B3HW, texture_error(image_B3HW, view))


def fit_shapes(
    networks: NonlinearNetworks, head: NonlinearHead, target_BV3: Tensor, *, steps: int = 200, rate: float = 0.05
) -> Tensor:
    """Shape codes f_S (B, N) of neutral heads, optimised alone, by the distance of vertices and the direction of
    normals (Section 4.2).

    Args:
        networks: The networks.
        head: Their head.
        target_BV3: The neutral heads, metres.
        steps: Of Adam, whose rate falls to zero.
        rate: Its first learning rate.
    """
    face_V = head.share_V1[:, 0] > 0.5
    normals_BV3 = vertex_normals(target_BV3, head.layer.faces_F3)
    code_BN = target_BV3.new_zeros(len(target_BV3), networks.card.sizes.shape).requires_grad_()
    optimiser = torch.optim.Adam([code_BN], lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        optimiser.zero_grad()
        verts_BV3 = head.neutral(code_BN, networks.displacement(code_BN).true_B3HW)
        away_BV = ((verts_BV3 - target_BV3)[:, face_V].square().sum(-1) + _ROOT).sqrt()
        turned_BV = 1 - (vertex_normals(verts_BV3, head.layer.faces_F3) * normals_BV3)[:, face_V].sum(-1)
        (_PER_METRE * away_BV + turned_BV).mean(1).sum().backward()
        optimiser.step()
        schedule.step()
    return code_BN.detach()


_PER_METRE = 100.0
"""Weight of a metre's distance beside a right angle between normals: a millimetre counts as 25 degrees."""


@dataclass(frozen=True)
class Fit:
    """Codes found for photos by optimising them alone.

    Attributes:
        codes: The codes.
        error_B: l2,1 distance of the renderings over what is seen, display values.
    """

    codes: Codes
    error_B: Tensor


def fit_latents(
    networks: NonlinearNetworks,
    head: NonlinearHead,
    image_B3YY: Tensor,
    shown_B1YY: Tensor,
    codes: Codes,
    *,
    free: Sequence[str] = ("shape_BS", "albedo_BA", "light_B93", "expression_BE", "camera_B3", "global_pose_B3"),
    steps: int = 100,
    rate: float = 0.01,
) -> Fit:
    """Reconstructs photos by optimising latents alone: codes under which the true shape with the true albedo looks like
    the photo, from what E says.

    Args:
        networks: The networks, in evaluation mode.
        head: Their head.
        image_B3YY: Crops, 0..1.
        shown_B1YY: Where they show skin, 0..1.
        codes: To begin with.
        free: Names of the codes that are optimised; the others stay.
        steps: Of Adam, whose rate falls to zero.
        rate: Its first learning rate.
    """
    found = {name: getattr(codes, name).detach().clone().requires_grad_() for name in free}
    first = {name: value.detach().clone() for name, value in found.items()}
    optimiser = torch.optim.Adam(list(found.values()), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)

    def error(now: Codes) -> Tensor:
        verts_BV3 = head.posed(now, networks.displacement(now.shape_BS).true_B3HW)
        view = head.view(verts_BV3, now.camera_B3, image_B3YY, shown_B1YY)
        albedo_B3HW = head.albedo(now.albedo_BA, networks.albedo_offset(now.albedo_BA).true_B3HW)
        return texture_error(render(albedo_B3HW, view.normals_B3HW, now.light_B93), view)

    for _ in range(steps):
        optimiser.zero_grad()
        stray = torch.stack([(value - first[name]).square().mean() for name, value in found.items()]).sum()
        (error(replace(codes, **found)).sum() + _STRAY * stray).backward()
        optimiser.step()
        schedule.step()
    codes = replace(codes, **{name: value.detach() for name, value in found.items()})
    with torch.no_grad():
        return Fit(codes, error(codes))


_STRAY = 0.01
"""Weight of the squared way that codes have gone from where they began, which keeps faces from dissolving."""
