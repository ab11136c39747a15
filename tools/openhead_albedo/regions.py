"""Where on the head things are: smooth fields over the texture, from masks, landmarks and positions in space.

All fields are functions of the surface point, so that no seam of the texture shows, and symmetric: they are kept for
the left half of the texture only, whose mirror image is the right half (OpenHead's atlas is symmetric to the texel).

Shape suffixes: H W texture rows and columns, N covered texels of the left half, C noise
patterns, L landmarks, K vertices of an eyeball.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from deca.appearance.blend import smoothstep
from deca.appearance.eyes import paint_eyes
from deca.appearance.mouth import paint_mouth
from deca.appearance.sampling import part_share
from deca.appearance.skin import surface_noise
from deca.head import HeadModel, Part
from deca.render.uv import Texels, texels_of

BROAD_NOISE, FINE_NOISE = 8, 12
"""How many independent patterns of uneven pigment there are, at decimetres and at centimetres."""
_PAINT_BRIGHTNESS = 0.95
_LASH_GAP = (0.0020, 0.0035)
"""Metres from the eyeball over which the lashes' darkness fades; a lid's edge is some 2 mm thick."""


@dataclass(frozen=True)
class Canvas:
    """The left half of a texture, ready to be painted.

    Attributes:
        size: Rows of the texture.
        covered_HW: True at the covered texels, (size, size / 2).
        nearest_HW: Index into N of the nearest covered texel.
        fields: Weights (N,), 0 to 1, by name.
        noise_NC: Patterns of zero mean and unit variance.
        mouth_base_N3, mouth_keep_N3: Painting the mouth's inside turns a colour c into base + keep * c.
        eye_base_N3, eye_iris_N3: An eye's colours are base + iris * its iris colour.
    """

    size: int
    covered_HW: NDArray[np.bool_]
    nearest_HW: NDArray[np.int64]
    fields: dict[str, NDArray[np.float32]]
    noise_NC: NDArray[np.float32]
    mouth_base_N3: NDArray[np.float32]
    mouth_keep_N3: NDArray[np.float32]
    eye_base_N3: NDArray[np.float32]
    eye_iris_N3: NDArray[np.float32]

    def image(self, colours_N: NDArray) -> NDArray:
        """Values (N, ...) as a picture (size, size / 2, ...); islands are padded with their nearest texel."""
        return colours_N[self.nearest_HW]


def build_canvas(head: HeadModel, size: int) -> Canvas:
    """The canvas of a head model with landmarks, masks and a symmetric atlas."""
    texels = texels_of(head, size)
    half = np.s_[:, : size // 2]
    covered_HW = texels.covered_HW[half]
    _check_symmetry(texels)

    def kept(image: NDArray) -> NDArray[np.float32]:
        return np.ascontiguousarray(image[half][covered_HW], np.float32)

    outside = (~covered_HW).astype(np.uint8)
    _, label_HW = cv2.distanceTransformWithLabels(outside, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    index_of_label = np.zeros(label_HW.max() + 1, np.int64)
    index_of_label[label_HW[covered_HW]] = np.arange(covered_HW.sum())
    zero, one = np.zeros((size, size, 3), np.float32), np.ones((size, size, 3), np.float32)
    mouth_base, mouth_all = zero.copy(), one.copy()
    paint_mouth(mouth_base, texels, _PAINT_BRIGHTNESS)
    paint_mouth(mouth_all, texels, _PAINT_BRIGHTNESS)
    eye_base, eye_half = zero.copy(), zero.copy()
    paint_eyes(eye_base, texels, np.zeros(3), _PAINT_BRIGHTNESS)
    paint_eyes(eye_half, texels, np.full(3, 0.5), _PAINT_BRIGHTNESS)
    points_N3 = kept(texels.interpolate(head.template_V3))
    fields = {
        name: kept(_mask(head, name, size)) for name in ("lips", "brows", "eyelids", "ears", "scalp", "face", "neck")
    }
    fields["eyes"] = kept(part_share(texels, (Part.EYE_L, Part.EYE_R)) > 0.5)
    folded_N3 = np.column_stack((np.abs(points_N3[:, 0]), points_N3[:, 1:]))
    fields["lashes"] = _lashes(head, folded_N3) * (1 - fields["eyes"])
    fields |= _brow_shapes(texels, kept)
    fields |= _blushes(head, folded_N3, fields)
    fields |= _beards(head, folded_N3, fields)
    noise_NC = np.stack(
        [_symmetric_noise(points_N3, 0.10, 100 + i) for i in range(BROAD_NOISE)]
        + [_symmetric_noise(points_N3, 0.04, 200 + i) for i in range(FINE_NOISE)],
        -1,
    )
    return Canvas(
        size,
        covered_HW,
        index_of_label[np.asarray(label_HW, np.int64)],
        fields,
        noise_NC,
        kept(mouth_base),
        kept(mouth_all - mouth_base),
        kept(eye_base),
        kept((eye_half - eye_base) / 0.5),
    )


def _check_symmetry(texels: Texels) -> None:
    mirrored_HW2 = texels.mirrored_HW2
    if mirrored_HW2 is None:
        raise ValueError("the head model has no mirror map")
    row_HW, column_HW = np.indices(texels.covered_HW.shape)
    error_HW2 = mirrored_HW2 - np.stack((column_HW[:, ::-1], row_HW), -1)
    if np.abs(error_HW2[texels.covered_HW]).max() > 0.01:
        raise ValueError("the head model's texture is not symmetric about its middle column")


def _mask(head: HeadModel, name: str, size: int) -> NDArray[np.float32]:
    return cv2.resize(head.masks[name], (size, size), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def _symmetric_noise(points_N3: NDArray, wavelength: float, seed: int) -> NDArray[np.float32]:
    flipped_N3 = points_N3 * np.array((-1, 1, 1), np.float32)
    noise_N = surface_noise(points_N3, wavelength, seed) + surface_noise(flipped_N3, wavelength, seed)
    return noise_N / noise_N.std()


def _lashes(head: HeadModel, point_N3: NDArray[np.float32]) -> NDArray[np.float32]:
    """The roots of the lashes (N,): skin that all but touches the eyeball is a lid's edge; upper lids have more."""
    ball_K3 = head.template_V3[head.parts_V == Part.EYE_L]
    centre = (ball_K3.min(0) + ball_K3.max(0)) / 2
    gap_N = np.linalg.norm(point_N3 - centre, axis=1) - np.linalg.norm(ball_K3 - centre, axis=1).max()
    upper_N = smoothstep(point_N3[:, 1] - centre[1], -0.003, 0.002)
    return (1 - smoothstep(gap_N, *_LASH_GAP)) * (0.3 + 0.7 * upper_N)


def _brow_shapes(texels: Texels, kept: Callable[[NDArray], NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """Brows as they are, wide, and moved up and down along the texture, whose rows follow the face's height."""
    size = texels.size
    texel = size / 256
    # The mask is cut off beside the nose; brows thin out there.
    from_middle_HW = np.abs(texels.interpolate(texels.head.template_V3[:, 0]))
    brows_HW = _mask(texels.head, "brows", size) * smoothstep(from_middle_HW, 0.006, 0.017)
    brows_HW = cv2.GaussianBlur(brows_HW, (0, 0), 0.6 * texel)
    wide_HW = smoothstep(cv2.GaussianBlur(brows_HW, (0, 0), 2.0 * texel), 0.08, 0.55)

    def moved(rows: float) -> NDArray[np.float32]:
        return kept(cv2.warpAffine(brows_HW, np.array(((1, 0, 0), (0, 1, rows)), np.float32), (size, size)))

    return {
        "brows": kept(brows_HW),
        "brows_wide": kept(wide_HW),
        "brows_up": moved(-2 * texel),
        "brows_down": moved(2 * texel),
    }


def _blushes(
    head: HeadModel, point_N3: NDArray[np.float32], masks: dict[str, NDArray[np.float32]]
) -> dict[str, NDArray[np.float32]]:
    """Regions of pigment around the landmarks on the template; the points are folded to the subject's left (+x)."""
    lmk_L3 = _landmarks(head)

    def near(centre_3: NDArray, radius: float) -> NDArray[np.float32]:
        return np.exp(-(((point_N3 - centre_3) / radius) ** 2).sum(1) / 2).astype(np.float32)

    def between(first: int, second: int, x: float, y: float, z: float) -> NDArray[np.float32]:
        return (lmk_L3[first] + lmk_L3[second]) / 2 + np.array((x, y, z), np.float32)

    cheek, forehead = between(46, 54, 0.012, 0, 0), between(19, 24, 0, 0.030, -0.005)
    mouth = between(48, 54, 0, 0, 0)
    nose_N = np.maximum.reduce((near(lmk_L3[30], 0.010), near(lmk_L3[35], 0.007), 0.5 * near(lmk_L3[29], 0.008)))
    return {
        "cheeks": near(cheek, 0.017),
        "nose": nose_N,
        "chin": near(between(8, 8, 0, 0.012, 0.004), 0.011),
        "forehead": near(forehead, 0.032),
        "under_eyes": near(between(46, 47, -0.003, -0.008, 0.002), 0.0075),
        "mouth_round": near(mouth, 0.024) * (1 - masks["lips"]),
        "temples": near(between(16, 16, -0.004, 0.024, 0.020), 0.020),
        "lower_lip": masks["lips"] * (1 - smoothstep(point_N3[:, 1] - mouth[1], -0.002, 0.002)),
        "exposed": np.maximum.reduce((near(cheek, 0.022), nose_N, 0.6 * near(forehead, 0.030))),
        "crown": smoothstep(point_N3[:, 1] - lmk_L3[24, 1], 0.035, 0.075),
    }


def _beards(
    head: HeadModel, point_N3: NDArray[np.float32], masks: dict[str, NDArray[np.float32]]
) -> dict[str, NDArray[np.float32]]:
    """Where a beard, a moustache and a goatee grow; the points are folded to the subject's left (+x)."""
    lmk_L3 = _landmarks(head)
    x, y, z = point_N3.T
    corner, ear = lmk_L3[54], lmk_L3[15]
    # Below a line from the middle of the lower lip past the corner of the mouth to the ear, down to the throat.
    edge_y = (lmk_L3[57, 1], corner[1], lmk_L3[13, 1] + 0.004, ear[1])
    edge_N = np.interp(x, (0.0, corner[0], lmk_L3[12, 0], ear[0]), edge_y)
    throat_N = lmk_L3[8, 1] - 0.012 + 0.25 * (lmk_L3[8, 2] - z)
    beard_N = smoothstep(edge_N - y, -0.007, 0.011) * smoothstep(y - throat_N, -0.014, 0.010)
    beard_N *= smoothstep(z, 0.002, 0.022)
    sideburn_N = smoothstep(x - lmk_L3[14, 0], -0.016, -0.005) * smoothstep(lmk_L3[16, 1] - y, -0.018, -0.006)
    sideburn_N *= smoothstep(z, 0.006, 0.016) * (1 - smoothstep(z, 0.030, 0.044)) * (1 - masks["ears"])
    beard_N = np.maximum(beard_N, sideburn_N)
    # Between the upper lip and the nose, out to the corner of the mouth.
    end = corner[0] + 0.004
    lip_N = np.interp(x, (0, lmk_L3[52, 0], end), (lmk_L3[51, 1], lmk_L3[52, 1], corner[1] - 0.002))
    nose_y = (lmk_L3[33, 1], lmk_L3[35, 1] - 0.003, corner[1] + 0.002)
    nose_N = np.interp(x, (0, lmk_L3[35, 0], end + 0.004), nose_y)
    moustache_N = smoothstep(y - lip_N, -0.006, 0.001) * smoothstep(nose_N - y, -0.003, 0.006)
    moustache_N *= (1 - smoothstep(x - end, 0, 0.008)) * smoothstep(z, 0.060, 0.075)
    goatee_N = beard_N * np.exp(-((x / 0.021) ** 4)) * smoothstep(z, 0.040, 0.060)
    hairy_N = (1 - masks["eyes"]) * (1 - smoothstep(masks["lips"], 0.05, 0.6))
    return {"beard": beard_N * hairy_N, "goatee": goatee_N * hairy_N, "moustache": moustache_N * hairy_N}


def _landmarks(head: HeadModel) -> NDArray[np.float32]:
    """The 68 iBUG landmarks on the template."""
    if head.landmarks_68 is None:
        raise ValueError("the head model has no landmarks")
    return head.landmarks_68.positions(head.template_V3, head.faces_F3)
