"""What users should know of a texture, measured where it is made; the words are in `deca_blender.protocol.notices`.

Shape suffixes: L landmarks, H W texture rows and columns.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deca.appearance.skin import median_lab
from deca.appearance.trust import Regions
from deca.appearance.white import White
from deca.render.uv import Texels
from deca_blender.protocol.messages import Notice
from deca_blender.protocol.notices import CAST, MIRRORED, SHADOW, SMALL

MIRRORED_SHARE = 0.15
SHADOW_LIGHTNESS = 14.0
SMALL_PIXELS = 150.0
CAST_CHROMA = 12.0
_SIDES = (234, 454)
"""MediaPipe landmarks before the ears."""


def notices_of(
    photo_HW3: NDArray[np.float32],
    weight_HW: NDArray[np.float32],
    mirrored_HW: NDArray[np.float32],
    regions: Regions,
    texels: Texels,
    white: White,
    landmarks_L2: NDArray,
) -> tuple[Notice, ...]:
    """The notices of a texture, by what was measured beyond the thresholds of this module.

    Args:
        photo_HW3: The photo unwrapped, sRGB in [0, 1].
        weight_HW: The photo's own share in the texture.
        mirrored_HW: Weight of what the other side shows.
        regions: Regions of the texture.
        texels: The head model's texels.
        white: The photo's white.
        landmarks_L2: MediaPipe's, photo pixels.
    """
    measured = measure(photo_HW3, weight_HW, mirrored_HW, regions, texels, white, landmarks_L2)
    is_told = {
        MIRRORED: measured[MIRRORED] > MIRRORED_SHARE,
        SHADOW: measured[SHADOW] > SHADOW_LIGHTNESS,
        SMALL: measured[SMALL] < SMALL_PIXELS,
        CAST: measured[CAST] > CAST_CHROMA,
    }
    return tuple(Notice(code, round(value, 4)) for code, value in measured.items() if is_told[code])


def measure(
    photo_HW3: NDArray[np.float32],
    weight_HW: NDArray[np.float32],
    mirrored_HW: NDArray[np.float32],
    regions: Regions,
    texels: Texels,
    white: White,
    landmarks_L2: NDArray,
) -> dict[str, float]:
    """The number of each notice: share of the face that is mirrored, difference of the halves' lightness (L), width of
    the face in pixels, chroma of white; arguments as of `notices_of`."""
    front_HW = np.maximum.reduce([regions.core, regions.forehead, regions.around_eyes, regions.lower_core]) > 0.5
    other_HW = (mirrored_HW * (1 - weight_HW))[front_HW]
    aside_HW = texels.interpolate(texels.head.template_V3[:, 0])
    core_HW = (regions.core > 0.5) & (weight_HW > 0.5)
    halves = [median_lab(photo_HW3[core_HW & side]) for side in (aside_HW > 0, aside_HW < 0)]
    lightness = [lab[0] for lab in halves if lab is not None]
    return {
        MIRRORED: float(other_HW.mean()) if other_HW.size else 0.0,
        SHADOW: float(np.ptp(lightness)) if lightness else 0.0,
        SMALL: float(np.linalg.norm(np.subtract(*landmarks_L2[list(_SIDES)]))),
        CAST: white.cast,
    }
