"""The skin of a head model as a surface on which distances are millimetres: where curves run and how near texels are.

Everything is measured on the template. A texel of the face is between half a millimetre and one and a half, so that
lengths in texels would mean nothing.

Shape suffixes: N points, H W rows and columns of the maps (`SIZE`), L landmarks.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from deca.errors import AssetError
from deca.head.model import HeadModel
from deca.networks import MAP_SIZE
from deca.render.detail import DETAIL_MASK
from deca.render.uv import texels_of

SIZE = 2 * MAP_SIZE
"""Wrinkles are drawn at twice the resolution of the maps and averaged: the narrowest are hardly wider than a texel."""

_FADE_LIDS, _FADE_LIPS = 3.0, 2.0
_STEPS = 6


def reduced(map_HWC: NDArray[np.floating]) -> NDArray[np.float32]:
    """A map of `SIZE` averaged to that of displacement maps, 256 x 256."""
    return np.asarray(cv2.resize(map_HWC, (MAP_SIZE, MAP_SIZE), interpolation=cv2.INTER_AREA), np.float32)


def in_between(map_HWC: NDArray[np.floating]) -> NDArray[np.float32]:
    """A displacement map, or a part of one, with the rows and columns of `SIZE`, smooth between the texels."""
    times = SIZE // MAP_SIZE
    finer = cv2.resize(map_HWC.astype(np.float32), None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC)
    return np.asarray(finer, np.float32)


@dataclass(frozen=True)
class Skin:
    """Maps of the template's skin; symmetric, since the head is.

    Attributes:
        head: The head model.
        position_HW3: Millimetres; repeated outwards beyond the UV islands.
        column_HW3, row_HW3: Change of the position per column and per row, millimetres.
        ways_HW4: Columns per millimetre to the subject's left and up, and rows to the left and up.
        fade_HW: What displacement is multiplied with, 0..1: the detail mask, falling to 0 at eyelids and lips.
        landmark_L2: Column and row of iBUG's 68 landmarks, in the units of `uv`.
    """

    head: HeadModel
    position_HW3: NDArray[np.float32]
    column_HW3: NDArray[np.float32]
    row_HW3: NDArray[np.float32]
    ways_HW4: NDArray[np.float32]
    fade_HW: NDArray[np.float32]
    landmark_L2: NDArray[np.float64]

    def at(self, texel_N2: NDArray[np.floating], map_HWC: NDArray[np.float32]) -> NDArray[np.float64]:
        """A map at (column, row) points, whole numbers at texel centres; bilinear, (N, C)."""
        columns, rows = texel_N2.astype(np.float32).T[..., None].copy()
        return cv2.remap(map_HWC, columns, rows, cv2.INTER_LINEAR)[:, 0].astype(np.float64)

    def steps(self, texel_N2: NDArray[np.floating]) -> NDArray[np.float64]:
        """Change of the position per column and per row at (column, row) points, (N, 2, 3), millimetres."""
        return np.stack((self.at(texel_N2, self.column_HW3), self.at(texel_N2, self.row_HW3)), 1)

    def walk(self, start_N2: NDArray[np.floating], way_N2: NDArray[np.floating]) -> NDArray[np.float64]:
        """Where one gets to on the skin.

        Args:
            start_N2: Column and row.
            way_N2: Millimetres along the skin: to the subject's left, and up.

        Returns:
            (N, 2) column and row.
        """
        texel_N2 = np.array(start_N2, np.float64)
        for _ in range(_STEPS):
            ways_N4 = self.at(texel_N2, self.ways_HW4)
            texel_N2 += (ways_N4.reshape(-1, 2, 2) @ way_N2[:, :, None])[..., 0] / _STEPS
        return texel_N2


def _ways(column_HW3: NDArray[np.float32], row_HW3: NDArray[np.float32]) -> NDArray[np.float32]:
    """`Skin.ways_HW4`: the moves in columns and rows, by least squares on the two tangents."""
    step_N23 = np.stack((column_HW3, row_HW3), 2).reshape(-1, 2, 3).astype(np.float64)
    normal_N3 = np.cross(step_N23[:, 1], step_N23[:, 0])
    normal_N3 /= np.maximum(np.linalg.norm(normal_N3, axis=1, keepdims=True), 1e-12)
    up_N3 = np.array([0.0, 1.0, 0.0]) - normal_N3[:, 1:2] * normal_N3
    up_N3 /= np.maximum(np.linalg.norm(up_N3, axis=1, keepdims=True), 1e-12)
    axes_N32 = np.stack((np.cross(up_N3, normal_N3), up_N3), 2)
    gram_N22 = step_N23 @ step_N23.transpose(0, 2, 1) + 1e-9 * np.eye(2)
    ways_N22 = np.linalg.solve(gram_N22, step_N23 @ axes_N32)
    return np.clip(ways_N22, -10, 10).reshape(*column_HW3.shape[:2], 4).astype(np.float32)


_skins: dict[str, Skin] = {}


def skin_of(head: HeadModel) -> Skin:
    """The skin of a head model; kept by the head's hash.

    Raises:
        AssetError: The head model lacks what is needed: a mirror map, landmarks, masks.
    """
    if head.hash not in _skins:
        _skins[head.hash] = _skin(head)
    return _skins[head.hash]


def _skin(head: HeadModel) -> Skin:
    points = head.landmarks_68
    if head.mirror_V is None or points is None or DETAIL_MASK not in head.masks or "lips" not in head.masks:
        raise AssetError(f"The head model {head.name} has no mirror map, landmarks or masks.", "Use OpenHead.")
    texels = texels_of(head, SIZE)
    position_HW3 = texels.interpolate(head.template_V3) * 1000
    position_HW3 = position_HW3.reshape(-1, 3)[texels.nearest_HW]
    mirrored_HW3 = position_HW3[:, ::-1] * np.array([-1, 1, 1], np.float32)
    both_HW = texels.covered_HW & texels.covered_HW[:, ::-1]
    position_HW3 = np.where(both_HW[..., None], (position_HW3 + mirrored_HW3) / 2, position_HW3)
    smooth_HW3 = cv2.GaussianBlur(position_HW3, (0, 0), 2.0)
    column_HW3, row_HW3 = (np.ascontiguousarray(np.gradient(smooth_HW3, axis=axis)) for axis in (1, 0))
    uv_L2 = (head.uv_T2[head.uv_faces_F3[points.faces]] * points.bary[..., None]).sum(1)
    uv_L2 = uv_L2.astype(np.float64)
    landmark_L2 = np.stack((uv_L2[:, 0] * SIZE - 0.5, (1 - uv_L2[:, 1]) * SIZE - 0.5), 1)
    # Steps mean nothing where positions are repeated: ways go on there as at the border.
    inside_HW = cv2.erode(texels.covered_HW.astype(np.uint8), np.ones((9, 9), np.uint8))
    nearest_2HW = np.asarray(distance_transform_edt(inside_HW == 0, return_distances=False, return_indices=True))
    ways_HW4 = np.ascontiguousarray(_ways(column_HW3, row_HW3)[nearest_2HW[0], nearest_2HW[1]])
    return Skin(head, position_HW3, column_HW3, row_HW3, ways_HW4, _fade(head, position_HW3), landmark_L2)


def _fade(head: HeadModel, position_HW3: NDArray[np.float32]) -> NDArray[np.float32]:
    fade_HW = _resized(head.masks[DETAIL_MASK])
    # Eye holes and lips, and how far away they are: counted in texels of the region's mean size, which will do here.
    columns = np.linalg.norm(np.gradient(position_HW3, axis=1), axis=-1)
    rows = np.linalg.norm(np.gradient(position_HW3, axis=0), axis=-1)
    inside_HW = cv2.GaussianBlur((fade_HW > 0.02).astype(np.uint8), (3, 3), 0)
    flood = inside_HW.copy()
    cv2.floodFill(flood, None, (0, 0), (2,))
    holes_HW = flood == 0
    for region_HW, width in ((holes_HW, _FADE_LIDS), (_resized(head.masks["lips"]) > 0.3, _FADE_LIPS)):
        if not region_HW.any():
            continue
        near_HW = cv2.dilate(region_HW.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
        millimetre = float(np.sqrt(np.median(columns[near_HW]) * np.median(rows[near_HW])))
        distance_HW = cv2.distanceTransform((~region_HW).astype(np.uint8), cv2.DIST_L2, 5) * millimetre
        fade_HW = fade_HW * smoothstep((distance_HW - 0.5) / width)
    return ((fade_HW + fade_HW[:, ::-1]) / 2).astype(np.float32)


def _resized(mask_NN: NDArray[np.uint8]) -> NDArray[np.float32]:
    return cv2.resize(mask_NN, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR).astype(np.float32) / 255


def smoothstep(x: NDArray[np.floating]) -> NDArray[np.floating]:
    """0 below 0, 1 above 1, smooth between."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)
