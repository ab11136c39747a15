"""Hair: the photo's own where it shows any, short painted hair on the rest of the scalp.

Shape suffixes: V vertices, N texels, H W texture rows and columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from deca.appearance.blend import FEATHER, over_base, shrink_mask, smoothstep
from deca.appearance.sampling import SurfaceView
from deca.appearance.skin import ColourModel, likeness, surface_noise, to_lab
from deca.appearance.trust import Regions, closed, connected_to, without_specks
from deca.head.model import Part
from deca.render.uv import Texels

_CROWN = np.array((0.0, 0.85, -0.5))
"""Direction from the middle of the head to the whorl of the hair."""
_TUFTS = 6.0
"""Changes of the hair's pattern per radian from the crown downward."""
_BALD = 3.0
"""Distance from skin below which 60 % of the visible top of the scalp must stay to be bare. On five portraits: 2.0 to
2.4 for bald men, with hair on the sides or without, 9 and more for others."""
_TOP = 0.03
"""Metres from the middle to which the top reaches."""
_LEAST_TOP = 2e-4
"""Share of the texture that must show the top, or the whole scalp tells."""
_BRIDGE = 0.06
"""Half of the widest gap between the photo's hair and the scalp's that hair is painted into, of the texture."""


@dataclass(frozen=True)
class Hair:
    """Hair on a texture.

    Attributes:
        colours_HW3: sRGB in [0, 1].
        cover_HW: Where it grows, 0 to 1.
        own_HW: The photo's share in its colours; the rest is painted.
    """

    colours_HW3: NDArray[np.float32]
    cover_HW: NDArray[np.float32]
    own_HW: NDArray[np.float32]


def hair_layer(
    photo_HW3: NDArray[np.float32],
    light: ColourModel,
    view: SurfaceView,
    seen_HW: NDArray[np.bool_],
    face_HW: NDArray[np.float32],
    regions: Regions,
    texels: Texels,
) -> Hair | None:
    """The photo's hair where it shows any, painted short hair on the rest of the scalp.

    Args:
        photo_HW3: Photo unwrapped, sRGB in [0, 1].
        light: The face's skin.
        view: How the photo sees the surface.
        seen_HW: True where it does.
        face_HW: Weight of the photo's skin, where no hair is painted.
        regions: Regions of the texture.
        texels: The head model's texels.

    Returns:
        The hair; None for a bare scalp, a hat, or too little evidence.
    """
    size = texels.size
    near_HW = _soft(regions.scalp, texels, 0.012 * size)
    front_HW = seen_HW & (view.facing_HW > 0.3)
    allowed_HW = front_HW & ((near_HW > 0.1) | (regions.upper > 0.5) & (regions.tolerance < 1.25))
    skin_distance_HW = light.distance(photo_HW3, view.normals_HW3)

    def model_of(samples_HW: NDArray[np.bool_]) -> ColourModel | None:
        return ColourModel.of(photo_HW3[samples_HW], view.normals_HW3[samples_HW])

    def shown_by(model: ColourModel) -> NDArray[np.bool_]:
        """What is nearer to hair than to skin and hangs together with the scalp, but no brows and no beard."""
        distance_HW = model.distance(photo_HW3, view.normals_HW3)
        hairlike_HW = likeness(distance_HW * (3 / np.clip(skin_distance_HW, 1, 7)), 0.004 * size) > 0.5
        return connected_to(near_HW > 0.4, without_specks(allowed_HW & hairlike_HW, allowed_HW, 0.004 * size))

    def far_from_skin(samples_HW: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The half of the samples less like skin: the other half may be hair with skin shining through."""
        median = np.median(skin_distance_HW[samples_HW]) if samples_HW.any() else np.inf
        return samples_HW & (skin_distance_HW > median)

    scalp_HW = front_HW & (regions.scalp > 0.4)
    top_HW = scalp_HW & (np.abs(texels.interpolate(texels.head.template_V3[:, 0])) < _TOP)
    judged_HW = top_HW if top_HW.mean() > _LEAST_TOP else scalp_HW
    if not judged_HW.any() or np.percentile(skin_distance_HW[judged_HW], 60) < _BALD:
        return None
    model = model_of(far_from_skin(scalp_HW))
    if model is None:
        return None
    # Once more with the whole of it: the scalp's front is seen at a grazing angle.
    shown_HW = shown_by(model)
    model = model_of(shown_HW & (skin_distance_HW > _BALD)) or model
    shown_HW = closed(shown_by(model), 0.02 * size) & allowed_HW
    purest = model_of(far_from_skin(shown_HW)) or model
    if not purest.may_be_hair:
        return None
    painted_HW3, streaks_HW = _cropped(purest.colour, texels)
    # What shows no skin between the hair on the photo and the scalp, the temples above all, is hair as well.
    bridge_HW = closed(shown_HW | (near_HW > 0.4), _BRIDGE * size) & (regions.upper > 0.5)
    reach_HW = np.maximum(near_HW, _soft(bridge_HW.astype(np.float32), texels, 0.012 * size))
    grown_HW = smoothstep(reach_HW + 0.12 * streaks_HW.clip(-1.5, 1.5), 0.2, 0.55)
    weight_HW = shrink_mask(shown_HW | ~front_HW, FEATHER * size) * shown_HW
    weight_HW *= smoothstep(view.facing_HW, 0.3, 0.6)
    cover_HW = np.maximum(grown_HW * (1 - face_HW), weight_HW)
    return Hair(over_base(photo_HW3, weight_HW, painted_HW3), cover_HW, weight_HW)


def _cropped(colour: NDArray[np.float32], texels: Texels) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Short hair (H, W, 3) of one sRGB colour, combed away from the crown, and its streaks (H, W) of zero mean."""
    template_V3 = texels.head.template_V3
    on_head_V = texels.head.parts_V == Part.SKIN
    centre = (template_V3[on_head_V].min(0) + template_V3[on_head_V].max(0)) / 2
    crown = _CROWN / np.linalg.norm(_CROWN)
    aside = np.array((1.0, 0.0, 0.0))
    ahead = np.cross(aside, crown)
    directions_N3 = (texels.interpolate(template_V3) - centre.astype(np.float32))[texels.covered_HW]
    along_N3 = directions_N3 @ np.stack((aside, ahead, crown), 1).astype(np.float32)
    # Strands run along meridians from the crown: a random function of the azimuth, another one taking over downward.
    azimuth_N = np.arctan2(along_N3[:, 0], along_N3[:, 1]) / (2 * np.pi) + 0.5
    polar_N = np.arctan2(np.hypot(along_N3[:, 0], along_N3[:, 1]), along_N3[:, 2]) * _TUFTS
    row_N = polar_N.astype(np.int32)
    share_N = (polar_N - row_N).astype(np.float32)
    tufts = _strands(row_N.max() + 2)
    column_N = (azimuth_N * tufts.shape[1]).astype(np.int32) % tufts.shape[1]
    streaks_N = tufts[row_N, column_N] * (1 - share_N) + tufts[row_N + 1, column_N] * share_N
    streaks_HW = np.zeros(texels.covered_HW.shape, np.float32)
    streaks_HW[texels.covered_HW] = streaks_N
    lightness = float(to_lab(colour)[0])
    broad_HW = texels.interpolate(surface_noise(template_V3, 0.07, 7))
    gain_HW = 1 + (0.09 * streaks_HW + 0.03 * broad_HW) * (1 + 10 / (lightness + 5))
    return np.clip(colour * gain_HW[..., None], 0, 1).astype(np.float32), streaks_HW


def _strands(rows: int) -> NDArray[np.float32]:
    """Random functions of the azimuth (rows, 4096), periodic, unit variance, with strands and tufts of strands."""
    random = np.random.default_rng(5)
    white = random.standard_normal((rows, 4096)).astype(np.float32)
    spectrum = np.fft.rfft(white, axis=1)
    frequency = np.arange(spectrum.shape[1])
    spectrum *= np.exp(-((frequency / 500) ** 2)) + 2.5 * np.exp(-((frequency / 60) ** 2))
    strands = np.fft.irfft(spectrum, axis=1)
    return (strands / strands.std()).astype(np.float32)


def _soft(mask_HW: NDArray[np.float32], texels: Texels, sigma: float) -> NDArray[np.float32]:
    """A mask blurred within the islands: what lies outside of them does not count."""
    covered_HW = texels.covered_HW.astype(np.float32)
    blurred_HW = cv2.GaussianBlur(mask_HW * covered_HW, (0, 0), sigma)
    share_HW = np.maximum(cv2.GaussianBlur(covered_HW, (0, 0), sigma), 1e-3)
    return np.asarray(blurred_HW / share_HW, np.float32)
