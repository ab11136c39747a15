"""Texture space: which point of the surface every texel shows. Constant per head model and size, hence cached.

Texture images are stored top row first: row r of an N-row texture has v = 1 - (r + 0.5) / N.

Shape suffixes: V vertices, F triangles, N covered texels, H W texture rows and columns.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from deca.head.model import HeadModel
from deca.render.rasterizer import Fragments, rasterize

_CACHED_MAPS = 4


def uv_fragments(head: HeadModel, size: int) -> Fragments:
    """Triangle and barycentrics of every texel of a size x size texture (a batch of one, not cached)."""
    picture_T3 = np.zeros((len(head.uv_T2), 3), np.float32)
    picture_T3[:, 0] = head.uv_T2[:, 0] * 2 - 1
    picture_T3[:, 1] = 1 - head.uv_T2[:, 1] * 2
    with torch.no_grad():
        return rasterize(
            torch.from_numpy(picture_T3)[None], torch.from_numpy(head.uv_faces_F3), size, size, closed=True
        )


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
        outside = (~self.covered_HW).astype(np.uint8)
        _, label_HW = cv2.distanceTransformWithLabels(outside, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
        index_of_label = np.zeros(label_HW.max() + 1, np.int64)
        index_of_label[label_HW[self.covered_HW]] = np.flatnonzero(self.covered_HW)
        return index_of_label[np.asarray(label_HW, np.int64)]

    @cached_property
    def mirrored_HW2(self) -> NDArray[np.float32] | None:
        """Column and row (pixel-index coordinates, for `cv2.remap`) of the texel that shows the mirrored surface point.

        -1 where the mirrored point has no triangle; None if the head model has no mirror map.
        """
        head = self.head
        if head.mirror_V is None:
            return None
        # A triangle (a, b, c) mirrors to (m(a), m(c), m(b)); find that triangle and its corners' texture coordinates.
        triangle_of = {tuple(sorted(corners)): f for f, corners in enumerate(head.faces_F3.tolist())}
        mirrored_F3 = head.mirror_V[head.faces_F3]
        mirror_face_F = np.array([triangle_of.get(tuple(sorted(corners)), -1) for corners in mirrored_F3.tolist()])
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


_cache: OrderedDict[tuple[str, int], Texels] = OrderedDict()


def texels_of(head: HeadModel, size: int) -> Texels:
    """The texels of a head model at a size; the last few are cached by the head's hash."""
    key = (head.hash, size)
    if key not in _cache:
        _cache[key] = _build(head, size)
        if len(_cache) > _CACHED_MAPS:
            _cache.popitem(last=False)
    _cache.move_to_end(key)
    return _cache[key]


def _build(head: HeadModel, size: int) -> Texels:
    fragments = uv_fragments(head, size)
    face_HW = fragments.face_BHW[0].numpy()
    covered = face_HW >= 0
    bary_N3 = fragments.bary_BHW3[0].numpy()[covered]
    bary_N3 = np.clip(bary_N3, 0, None)
    bary_N3 /= np.maximum(bary_N3.sum(1, keepdims=True), 1e-12)
    corners_N3 = head.faces_F3[face_HW[covered]]
    rows = np.arange(0, 3 * len(bary_N3) + 1, 3)
    weights = csr_matrix(
        (bary_N3.ravel().astype(np.float32), corners_N3.ravel().astype(np.int32), rows),
        shape=(len(bary_N3), head.num_verts),
    )
    return Texels(size, face_HW, weights, head)
