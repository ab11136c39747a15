"""Texture space: which point of the surface every texel shows. Constant per head model and size, hence cached.

Texture images are stored top row first: row r of an N-row texture has v = 1 - (r + 0.5) / N.

Shape suffixes: B batch, V vertices, T texture vertices, F triangles, C channels, N covered texels, X texels,
H W rows and columns of textures (of the photo in `photo_B3HW`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch import Tensor
from torch.nn import functional

from deca.errors import AssetError
from deca.head.model import HeadModel
from deca.render.rasterizer import Fragments, blend, rasterize
from deca.render.visibility import visible_points

T = TypeVar("T")

_CACHED_MAPS = 4


@dataclass(frozen=True)
class UvRaster:
    """The texels of a head model as the rasteriser sees them, on one device.

    Attributes:
        fragments: One "picture", the texture; its triangles are those of `HeadModel.faces_F3`.
        corners_3N: Mesh vertices at the corners of each covered texel's triangle.
    """

    fragments: Fragments
    corners_3N: Tensor

    @cached_property
    def covered_HW(self) -> Tensor:
        """True inside the UV islands."""
        return self.fragments.mask_BHW[0]

    @cached_property
    def nearest_X(self) -> Tensor:
        """Flat index of the covered texel nearest to each texel."""
        with torch.inference_mode(False):  # what is kept may be used in training later
            nearest_HW = torch.from_numpy(nearest_covered(self.covered_HW.cpu().numpy()))
            return nearest_HW.to(self.covered_HW.device).flatten()


def uv_raster(head: HeadModel, size: int, device: torch.device | str = "cpu") -> UvRaster:
    """Rasterises a head model's texture space; the last few are cached by the head's hash, size and device.

    Pixels on the edge of a UV island count as covered: vertices may lie on texel centres.
    """
    return cached(_rasters, (head.hash, size, str(device)), lambda: _rasterize(head, size, device))


def world2uv(attributes_BVC: Tensor, head: HeadModel, size: int = 256) -> Tensor:
    """Vertex attributes as UV maps (B, C, size, size), zero outside the UV islands; differentiable."""
    batch, _, channels = attributes_BVC.shape
    raster = uv_raster(head, size, attributes_BVC.device)
    planar_XV = attributes_BVC.transpose(1, 2).reshape(batch * channels, -1)
    values_XN = blend(planar_XV, raster.corners_3N, raster.fragments.bary_3N.to(planar_XV.dtype))
    return raster.fragments.image(values_XN).view(batch, channels, size, size)


def pad_islands(map_BCHW: Tensor, head: HeadModel) -> Tensor:
    """Repeats the nearest texel of a UV island in the texels outside, so that bilinear sampling sees no edge."""
    size = map_BCHW.shape[-1]
    nearest_X = uv_raster(head, size, map_BCHW.device).nearest_X
    return map_BCHW.flatten(2).gather(2, nearest_X.expand(*map_BCHW.shape[:2], -1)).view_as(map_BCHW)


def uv_mask(
    head: HeadModel, name: str, size: int = 256, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> Tensor:
    """A UV mask of the head model (size, size) in [0, 1].

    Raises:
        AssetError: The head model has no such mask.
    """
    if name not in head.masks:
        raise AssetError(
            f"The head model {head.name} carries no UV mask '{name}'.",
            "Convert it again with --maps and the folder of DECA's uv_face_mask.png and uv_face_eye_mask.png"
            " (in Blender, put them beside FLAME's model before you press Convert).",
        )
    mask = head.masks[name]
    smoothly = cv2.INTER_AREA if size < len(mask) else cv2.INTER_LINEAR
    resized = cv2.resize(mask, (size, size), interpolation=smoothly)
    return torch.from_numpy(resized).to(device, dtype) / 255


def photo_texture(
    photo_B3HW: Tensor, picture_BV3: Tensor, normals_BV3: Tensor, fragments: Fragments, head: HeadModel, size: int = 256
) -> tuple[Tensor, Tensor]:
    """What a photo shows of every texel: the photo sampled at the projected surface (DECA's ground-truth texture).

    Args:
        photo_B3HW: Pictures.
        picture_BV3: Projected vertices in those pictures' coordinates (`deca.render.camera`).
        normals_BV3: Vertex normals in head space.
        fragments: Rasterisation of `picture_BV3`, for the visibility.
        head: Gives the texture space.
        size: Rows and columns of the texture.

    Returns:
        The texture (B, 3, size, size), differentiable in photo and vertices, and the texels that the photo shows
        (B, 1, size, size), 0 or 1; the texture is zero elsewhere.
    """
    batch = len(picture_BV3)
    picture_BHW3 = world2uv(picture_BV3, head, size).permute(0, 2, 3, 1)
    with torch.no_grad():
        # Outside the UV islands normals are zero, hence face nowhere.
        facing_BX = world2uv(normals_BV3[..., 2:], head, size).flatten(1)
        seen_BX = visible_points(picture_BHW3.flatten(1, 2), facing_BX, fragments)
        shown_B1HW = seen_BX.view(batch, 1, size, size).to(photo_B3HW.dtype)
    texture_B3HW = functional.grid_sample(photo_B3HW, picture_BHW3[..., :2], align_corners=False)
    return texture_B3HW * shown_B1HW, shown_B1HW


@dataclass(frozen=True)
class Texels:
    """The covered texels of a texture and the surface points they show.

    Attributes:
        size: Rows and columns of the texture.
        face_HW: Triangle shown, -1 outside the UV islands.
        weights_NV: Sparse barycentric weights; `weights_NV @ attributes_VC` are the attributes at the covered texels.
        head: The head model.
    """

    size: int
    face_HW: NDArray[np.int64]
    weights_NV: csr_matrix
    head: HeadModel

    @cached_property
    def covered_HW(self) -> NDArray[np.bool_]:
        """True inside the UV islands."""
        return self.face_HW >= 0

    def interpolate(self, attributes_VC: NDArray, fill: float = 0.0) -> NDArray[np.float32]:
        """Vertex attributes (V,) or (V, C) at every texel, (H, W) or (H, W, C); `fill` outside the islands."""
        values_N = self.weights_NV @ np.asarray(attributes_VC, np.float32)
        image = np.full((self.size, self.size, *values_N.shape[1:]), fill, np.float32)
        image[self.covered_HW] = values_N
        return image

    @cached_property
    def nearest_HW(self) -> NDArray[np.int64]:
        """Flat index of the nearest covered texel (itself inside the islands), to pad islands against bleeding."""
        return nearest_covered(self.covered_HW)

    @cached_property
    def mirrored_HW2(self) -> NDArray[np.float32] | None:
        """Column and row (pixel-index coordinates, for `cv2.remap`) of the texel that shows the mirrored surface point.

        -1 where the mirrored point has no triangle; None if the head model has no mirror map.
        """
        head = self.head
        if head.mirror_V is None:
            return None
        # A triangle (a, b, c) mirrors to (m(a), m(c), m(b)); find that triangle and its corners' texture coordinates.
        mirrored_F3 = head.mirror_V[head.faces_F3]
        mirror_face_F = _same_triangles(head.faces_F3, mirrored_F3)
        same_corner_F33 = mirrored_F3[:, :, None] == head.faces_F3[mirror_face_F][:, None, :]
        corner_F3 = same_corner_F33.argmax(2)
        uv_F32 = head.uv_T2[np.take_along_axis(head.uv_faces_F3[mirror_face_F], corner_F3, axis=1)]
        face_N = self.face_HW[self.covered_HW]
        bary_N3 = self.weights_NV.data.reshape(-1, 3)
        uv_N2 = (uv_F32[face_N] * bary_N3[..., None]).sum(1)
        map_N2 = np.stack((uv_N2[:, 0] * self.size - 0.5, (1 - uv_N2[:, 1]) * self.size - 0.5), axis=1)
        map_N2[mirror_face_F[face_N] < 0] = -1
        map_HW2 = np.full((self.size, self.size, 2), -1, np.float32)
        map_HW2[self.covered_HW] = map_N2
        return map_HW2


def _same_triangles(faces_F3: NDArray[np.integer], wanted_F3: NDArray[np.integer]) -> NDArray[np.int64]:
    """Which triangle has the corners wanted, in any order; -1 where none has."""

    def named(corners_F3: NDArray[np.integer]) -> NDArray[np.int64]:
        low_F, middle_F, high_F = np.sort(corners_F3.astype(np.int64), axis=1).T
        most = int(max(faces_F3.max(), wanted_F3.max())) + 1
        return (low_F * most + middle_F) * most + high_F

    names_F, wanted_F = named(faces_F3), named(wanted_F3)
    order_F = np.argsort(names_F, kind="stable")
    # Of triangles with the same corners the last.
    place_F = np.searchsorted(names_F[order_F], wanted_F, side="right") - 1
    found_F = order_F[np.maximum(place_F, 0)]
    return np.where(names_F[found_F] == wanted_F, found_F, -1)


def nearest_covered(covered_HW: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Flat index (H, W) of the covered texel nearest to each texel; itself where that is covered."""
    outside = (~covered_HW).astype(np.uint8)
    _, label_HW = cv2.distanceTransformWithLabels(outside, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    index_of_label = np.zeros(label_HW.max() + 1, np.int64)
    index_of_label[label_HW[covered_HW]] = np.flatnonzero(covered_HW)
    return index_of_label[np.asarray(label_HW, np.int64)]


_texels: OrderedDict[tuple, Texels] = OrderedDict()
_rasters: OrderedDict[tuple, UvRaster] = OrderedDict()


def texels_of(head: HeadModel, size: int) -> Texels:
    """The texels of a head model at a size; the last few are cached by the head's hash."""
    return cached(_texels, (head.hash, size), lambda: _texels_from(uv_raster(head, size), head, size))


def cached(cache: OrderedDict[tuple, T], key: tuple, build: Callable[[], T]) -> T:
    """What a key stands for, built if it is not among the last few."""
    if key not in cache:
        cache[key] = build()
        if len(cache) > _CACHED_MAPS:
            cache.popitem(last=False)
    cache.move_to_end(key)
    return cache[key]


def _rasterize(head: HeadModel, size: int, device: torch.device | str) -> UvRaster:
    picture_T3 = np.zeros((len(head.uv_T2), 3), np.float32)
    picture_T3[:, 0] = head.uv_T2[:, 0] * 2 - 1
    picture_T3[:, 1] = 1 - head.uv_T2[:, 1] * 2
    uv_faces_F3 = torch.from_numpy(head.uv_faces_F3).to(device)
    # Tensors born in inference mode could never take part in a backward pass, and these outlive the caller's mode.
    with torch.inference_mode(False), torch.no_grad():
        found = rasterize(torch.from_numpy(picture_T3)[None].to(device), uv_faces_F3, size, size, closed=True)
        bary_3N = found.bary_3N.clamp(min=0)
        fragments = replace(found, bary_3N=bary_3N / bary_3N.sum(0).clamp(min=1e-12))
        corners_3N = torch.from_numpy(head.faces_F3).to(device)[fragments.face_N].T.contiguous()
    return UvRaster(fragments, corners_3N)


def _texels_from(raster: UvRaster, head: HeadModel, size: int) -> Texels:
    corners_N3, bary_N3 = raster.corners_3N.T.numpy(), raster.fragments.bary_3N.T.numpy()
    rows = np.arange(0, 3 * len(bary_N3) + 1, 3)
    weights = csr_matrix(
        (bary_N3.ravel().astype(np.float32), corners_N3.ravel().astype(np.int32), rows),
        shape=(len(bary_N3), head.num_verts),
    )
    return Texels(size, raster.fragments.face_BHW[0].numpy(), weights, head)
