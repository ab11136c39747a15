"""What a photo shows of a head's surface: where every texel lies on the photo, whether it is seen, and its colour.

Shape suffixes: V vertices, F triangles, H W texture rows and columns.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from deca.head.model import Part
from deca.render.rasterizer import rasterize
from deca.render.uv import Texels

_DEPTH_SIZE = 512
"""Rows of the depth buffer that decides visibility; half a millimetre per pixel on a head."""
_DEPTH_TOLERANCE = 0.001
"""Metres by which a texel may lie behind the depth buffer, besides its slope."""
_MEASURED_ROWS = 256
_REMAP_LIMIT = 32000
"""OpenCV's remap takes pictures of fewer than 2^15 rows and columns."""


@dataclass(frozen=True)
class SurfaceView:
    """How the photo's camera sees every texel.

    Attributes:
        pixels_HW2: Photo pixel (x, y) of the texel, pixel centres at +0.5; far outside the photo where no surface is.
        normals_HW3: Unit-length surface normal in head space (shorter where interpolated), zero where no surface is.
        facing_HW: Cosine of the angle between the surface normal and the direction to the camera.
        visible_HW: True where nothing lies between the surface and the camera.
    """

    pixels_HW2: NDArray[np.float32]
    normals_HW3: NDArray[np.float32]
    facing_HW: NDArray[np.float32]
    visible_HW: NDArray[np.bool_]


def view_surface(texels: Texels, verts_V3: NDArray, to_photo: NDArray) -> SurfaceView:
    """Projects the surface and finds what is visible, with a depth buffer.

    Args:
        texels: Texels of the head model.
        verts_V3: Posed vertices in head space, metres.
        to_photo: (2, 4), head space to photo pixels (`deca_blender.protocol.camera.photo_matrix`).
    """
    verts_V3 = np.asarray(verts_V3, np.float64)
    pixels_V2 = verts_V3 @ to_photo[:, :3].T + to_photo[:, 3]
    # x right and y down on the photo, so their cross product points away from the camera.
    into = np.cross(to_photo[0, :3], to_photo[1, :3])
    into /= np.linalg.norm(into)
    depth_V = verts_V3 @ into
    at_HW3 = texels.interpolate(np.column_stack((pixels_V2, depth_V)), fill=-1e6)
    pixels_HW2, depth_HW = np.ascontiguousarray(at_HW3[..., :2]), at_HW3[..., 2]
    normals_HW3 = texels.interpolate(vertex_normals(verts_V3, texels.head.faces_F3))
    facing_HW = np.clip(-normals_HW3 @ into.astype(np.float32), -1, 1)

    low, high = pixels_V2.min(0), pixels_V2.max(0)
    centre, half = (low + high) / 2, (high - low).max() / 2 * 1.02
    picture_V3 = np.column_stack(((pixels_V2 - centre) / half, depth_V)).astype(np.float32)
    with torch.no_grad():
        fragments = rasterize(
            torch.from_numpy(picture_V3)[None], torch.from_numpy(texels.head.faces_F3), _DEPTH_SIZE, _DEPTH_SIZE
        )
    buffer = np.where(fragments.face_BHW[0].numpy() >= 0, fragments.depth_BHW[0].numpy(), np.inf)
    cell_HW2 = np.clip(((pixels_HW2 - centre) / half + 1) * (_DEPTH_SIZE / 2), 0, _DEPTH_SIZE - 1).astype(np.int32)
    nearest_HW = buffer[cell_HW2[..., 1], cell_HW2[..., 0]]
    metres_per_pixel = 1 / np.linalg.norm(to_photo[0, :3])
    cell_metres = 2 * half / _DEPTH_SIZE * metres_per_pixel
    steepness_HW = np.sqrt(1 - facing_HW**2) / np.maximum(facing_HW, 0.1)
    visible_HW = (facing_HW > 0) & (depth_HW <= nearest_HW + _DEPTH_TOLERANCE + cell_metres * steepness_HW)
    return SurfaceView(pixels_HW2, normals_HW3, facing_HW, visible_HW & texels.covered_HW)


def vertex_normals(verts_V3: NDArray, faces_F3: NDArray) -> NDArray[np.float64]:
    """Unit vertex normals (V, 3), area-weighted means of the triangles' normals."""
    a, b, c = (verts_V3[faces_F3[:, k]] for k in range(3))
    normal_F3 = np.cross(b - a, c - a)
    normals_V3 = np.stack(
        [np.bincount(faces_F3.ravel(), np.repeat(normal_F3[:, k], 3), minlength=len(verts_V3)) for k in range(3)],
        axis=1,
    )
    return normals_V3 / np.maximum(np.linalg.norm(normals_V3, axis=1, keepdims=True), 1e-20)


def inside_photo(view: SurfaceView, height: int, width: int) -> NDArray[np.bool_]:
    """True for the texels that fall on the photo, half a pixel from its edge at least."""
    x, y = view.pixels_HW2[..., 0], view.pixels_HW2[..., 1]
    return (x >= 0.5) & (y >= 0.5) & (x <= width - 0.5) & (y <= height - 0.5)


def sample_photo(
    photo_HW3: NDArray[np.uint8], pixels_HW2: NDArray[np.float32], wanted_HW: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Photo colours (H, W, 3) of the wanted texels, sRGB in [0, 1]; elsewhere meaningless."""
    return sample_picture(photo_HW3, pixels_HW2, wanted_HW) / 255


def sample_picture(
    picture_HWC: NDArray[np.uint8] | NDArray[np.float32],
    pixels_HW2: NDArray[np.float32],
    wanted_HW: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """Values (H, W, C) of the wanted texels on any picture of the photo's rows and columns, with up to four channels;
    elsewhere meaningless.

    A picture finer than the texture is first reduced to the texture's density (area average), so that nothing aliases.
    `pixels_HW2` are the texels' places, as `SurfaceView` has them.
    """
    channels = picture_HWC.shape[2]
    if not wanted_HW.any():
        return np.zeros((*wanted_HW.shape, channels), np.float32)
    pixels = pixels_HW2[wanted_HW]
    margin = 4
    low = np.maximum(np.floor(pixels.min(0)).astype(int) - margin, 0)
    high = np.minimum(np.ceil(pixels.max(0)).astype(int) + margin, picture_HWC.shape[1::-1])
    patch = picture_HWC[low[1] : high[1], low[0] : high[0]]
    density = max(pixels_per_texel(pixels_HW2, wanted_HW), max(patch.shape[:2]) / _REMAP_LIMIT)
    columns, rows = patch.shape[1], patch.shape[0]
    if density > 1.3:
        columns, rows = max(round(columns / density), 1), max(round(rows / density), 1)
        patch = cv2.resize(patch, (columns, rows), interpolation=cv2.INTER_AREA)
    scale = np.array((columns, rows), np.float32) / (high - low)
    column_HW, row_HW = cv2.split((pixels_HW2 - low.astype(np.float32)) * scale.astype(np.float32) - 0.5)
    values_HWC = cv2.remap(
        np.ascontiguousarray(patch), column_HW, row_HW, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return values_HWC.reshape(*wanted_HW.shape, channels).astype(np.float32)


def pixels_per_texel(pixels_HW2: NDArray[np.float32], wanted_HW: NDArray[np.bool_]) -> float:
    """Median step on the photo, in pixels, from one wanted texel to its right neighbour and the one below.

    Of large textures every few rows and columns are enough.
    """
    every = max(len(wanted_HW) // _MEASURED_ROWS, 1)
    here, wanted = pixels_HW2[:-1:every, :-1:every], wanted_HW[:-1:every, :-1:every]
    steps = []
    for other in (np.s_[1::every, :-1:every], np.s_[:-1:every, 1::every]):
        both = wanted & wanted_HW[other]
        step = pixels_HW2[other][both] - here[both]
        steps.append(np.median(np.linalg.norm(step, axis=1)) if len(step) else 1.0)
    return float(np.sqrt(steps[0] * steps[1]))


@dataclass(frozen=True)
class PartTexels:
    """The texels of some parts of the head.

    Attributes:
        where_HW: Which texels; all that have a share in the parts.
        weights_NV: As `Texels.weights_NV`, of these texels.
        parts_V: Of the head model.
    """

    where_HW: NDArray[np.bool_]
    weights_NV: csr_matrix
    parts_V: NDArray[np.uint8]

    @classmethod
    def of(cls, texels: Texels, parts: Iterable[Part]) -> PartTexels:
        head = texels.head
        touches_F = np.isin(head.parts_V, list(parts))[head.faces_F3].any(1)
        touches_N = touches_F[texels.face_HW[texels.covered_HW]]
        where_HW = np.zeros_like(texels.covered_HW)
        where_HW[texels.covered_HW] = touches_N
        return cls(where_HW, texels.weights_NV[touches_N], head.parts_V)

    def share(self, part: Part) -> NDArray[np.float32]:
        """Share (N,) of every texel that belongs to a part, 0 to 1: barycentric weight of its corners."""
        return self.weights_NV @ (self.parts_V == part).astype(np.float32)


def part_share(texels: Texels, parts: Iterable[Part]) -> NDArray[np.float32]:
    """Share (H, W) of every texel that belongs to the parts, 0 to 1: barycentric weight of their corners."""
    return texels.interpolate(np.isin(texels.head.parts_V, list(parts)).astype(np.float32))


def skin_alone(texels: Texels) -> NDArray[np.bool_]:
    """The texels (H, W) that show the head's skin, and no part of eyes, teeth or mouth."""
    return texels.interpolate((texels.head.parts_V != Part.SKIN).astype(np.float32), fill=1.0) < 0.01
