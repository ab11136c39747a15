"""What white looks like on a photo, from the whites of the eyes and the skin.

Shape suffixes: N pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deca.appearance.skin import to_lab, to_srgb

SCLERA = np.array((0.86, 0.83, 0.81), np.float32)
"""sRGB of the whites of the eyes in white light."""
_PRIOR_SD = 0.10
"""Standard deviation of ln(red / green) and of ln(blue / green) of white: cameras balance it."""
_SKIN_TINT = np.array((0.27, -0.19))
"""ln(red / green) and ln(blue / green) of skin in white light, display values: pale and dark skin differ by 0.1."""
_SKIN_SD, _SCLERA_SD = 0.12, 0.05
_SCLERA_RADIUS = 5.0
"""Radius of an iris, in pixels, below which lids and skin run into the whites."""
_MIN_PIXELS = 12
_USUAL_LIGHTNESS = 60.0
"""L of skin of middling tone, well lit."""
_APART, _DIMMER = 0.4, 0.7
"""Least part of the way from the skin's tint to white, and least lightness as a share of the skin's, that the whites of
the eyes have: squinting eyes show lids and lashes."""
_EXPOSURES = (0.6, 1.05)
"""Least and greatest exposure of the face that eyes are painted for."""


@dataclass(frozen=True)
class White:
    """White under the photo's light.

    Attributes:
        tint_3: Factors on red, green and blue, of mean 1: (1, 1, 1) in white light.
        exposure: Display value of white, 1 for a well lit face.
    """

    tint_3: NDArray[np.float32]
    exposure: float

    @property
    def cast(self) -> float:
        """Chroma (Lab) of a light grey under the photo's light."""
        return float(np.hypot(*to_lab((0.8 * self.tint_3).astype(np.float32))[1:]))


NEUTRAL = White(np.ones(3, np.float32), 1.0)


def white_of(sclera_N3: NDArray[np.float32], iris_radius: float, skin_lab: NDArray[np.float32] | None) -> White:
    """The most probable white, by the whites of the eyes, the skin, and the habit of cameras.

    Args:
        sclera_N3: sRGB pixels of the eye openings beside the irises.
        iris_radius: In photo pixels: how far the pixels are to be trusted.
        skin_lab: Median Lab of the skin; None where it is not seen.
    """
    estimates = [(np.zeros(2), _PRIOR_SD)]
    exposure = 0.9
    if skin_lab is not None:
        estimates.append((_tint(to_srgb(skin_lab)) - _SKIN_TINT, _SKIN_SD))
        exposure *= float(np.sqrt(max(skin_lab[0], 1) / _USUAL_LIGHTNESS))  # dark skin, or a dark photo: half of each
    if len(sclera_N3) >= _MIN_PIXELS:
        brightness_N = sclera_N3.mean(1)
        colour = np.median(sclera_N3[brightness_N >= np.percentile(brightness_N, 60)], axis=0)
        if skin_lab is None or _may_be_white(colour, skin_lab):
            blurred = 1 + (_SCLERA_RADIUS / iris_radius) ** 2
            estimates.append((_tint(colour) - _tint(SCLERA), _SCLERA_SD * blurred))
            exposure += (float(colour.mean() / SCLERA.mean()) - exposure) / blurred
    weights = np.array([1 / deviation**2 for _, deviation in estimates])
    red, blue = np.average([tint for tint, _ in estimates], axis=0, weights=weights)
    tint_3 = np.exp((red, 0.0, blue))
    return White((tint_3 / tint_3.mean()).astype(np.float32), float(np.clip(exposure, *_EXPOSURES)))


def _may_be_white(colour: NDArray[np.float32], skin_lab: NDArray[np.float32]) -> bool:
    """Whether a colour may be that of the whites of the eyes under the same light, of whatever tint, as the skin."""
    way = _tint(SCLERA) - _SKIN_TINT
    gone = (_tint(colour) - _tint(to_srgb(skin_lab))) @ way / (way @ way)
    return bool(gone > _APART and to_lab(colour)[0] > _DIMMER * skin_lab[0])


def _tint(colour: NDArray) -> NDArray[np.float64]:
    """ln(red / green) and ln(blue / green) of a colour, display values."""
    red, green, blue = np.maximum(np.asarray(colour, np.float64), 0.02)
    return np.log((red / green, blue / green))
