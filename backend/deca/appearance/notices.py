"""What users should know of a texture, measured where it is made; the words are in `deca_blender.protocol.notices`.

Shape suffixes: L landmarks, H W texture rows and columns.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deca.appearance.skin import median_lab
from deca.appearance.skin_map import SkinMap
from deca.appearance.trust import Regions
from deca.appearance.white import White
from deca.networks.skin_map import Kind
from deca.render.uv import Texels
from deca_blender.protocol.messages import Notice
from deca_blender.protocol.notices import CAST, GLASSES, MIRRORED, SHADOW, SMALL

MIRRORED_SHARE = 0.15
SHADOW_LIGHTNESS = 27.0
CAST_CHROMA = 12.0
"""By eye, on 22 people of Labeled Faces in the Wild and 22 official portraits: heads turned by 30 degrees and more have
a share of 0.17 to 0.28, others 0.03 to 0.14; studio lights from the side make 15 to 26, a face half in the sun 27 to
32; the three portraits that look orange or pink have 13 to 21, others 1 to 12, also small ones in yellow light."""
GLASSES_SHARE = 0.005
"""On four portraits with glasses, 0.01 to 0.13; 0 on others."""
SMALL_PIXELS = 200.0
"""Half of the texels across the face of a texture of 1024."""
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
    skin_map: SkinMap | None = None,
) -> tuple[Notice, ...]:
    """The notices of a texture, by what was measured beyond the thresholds of this module.

    Their numbers are the share of the face that is mirrored, the difference of the halves' lightness (L), the width of
    the face in pixels, the chroma of white, and the share of glasses.

    Args:
        photo_HW3: The photo unwrapped, sRGB in [0, 1].
        weight_HW: The photo's own share in the texture.
        mirrored_HW: Weight of what the other side shows.
        regions: Regions of the texture.
        texels: The head model's texels.
        white: The photo's white.
        landmarks_L2: MediaPipe's, photo pixels.
        skin_map: What the photo's texels show; None where no network tells.
    """
    front_HW = np.maximum.reduce([regions.core, regions.forehead, regions.around_eyes, regions.lower_core]) > 0.5
    other_HW = (mirrored_HW * (1 - weight_HW))[front_HW]
    aside_HW = texels.interpolate(texels.head.template_V3[:, 0])
    core_HW = (regions.core > 0.5) & (weight_HW > 0.5)
    halves = [median_lab(photo_HW3[core_HW & side]) for side in (aside_HW > 0, aside_HW < 0)]
    lightness = [lab[0] for lab in halves if lab is not None]
    measured = {
        MIRRORED: float(other_HW.mean()) if other_HW.size else 0.0,
        SHADOW: float(np.ptp(lightness)) if lightness else 0.0,
        SMALL: float(np.linalg.norm(np.subtract(*landmarks_L2[list(_SIDES)]))),
        CAST: white.cast,
        GLASSES: _glasses(skin_map, front_HW) if skin_map is not None else 0.0,
    }
    is_told = {
        MIRRORED: measured[MIRRORED] > MIRRORED_SHARE,
        SHADOW: measured[SHADOW] > SHADOW_LIGHTNESS,
        SMALL: measured[SMALL] < SMALL_PIXELS,
        CAST: measured[CAST] > CAST_CHROMA,
        GLASSES: measured[GLASSES] > GLASSES_SHARE,
    }
    return tuple(Notice(code, round(value, 4)) for code, value in measured.items() if is_told[code])


def _glasses(skin_map: SkinMap, front_HW: NDArray[np.bool_]) -> float:
    """Share of the face that shows glasses."""
    return float((skin_map.share(Kind.GLASSES, size=len(front_HW)) > 0.5)[front_HW].mean()) if front_HW.any() else 0.0
