"""The colour of skin from what it holds: melanin and blood, integrated over the visible spectrum.

Two layers, as in Donner and Jensen 2006 ("A spectral BSSRDF for shading human skin"): an epidermis that absorbs by its
melanosomes, crossed twice, over a dermis that scatters and holds blood. The dermis' diffuse reflectance is the
diffusion approximation for a semi-infinite medium (Flock et al. 1989); light between the layers is counted once.
Melanosomes cluster, so that some light passes between them (the sieve effect): for an exponentially distributed optical
depth the mean transmission is 1 / (1 + depth). Without it dark skin comes out far more saturated than it is.

Absorption and scattering: Jacques 1998 ("Skin optics") and 2013 ("Optical properties of biological tissues: a review");
haemoglobin: the table of Prahl 1999 after Gratzer and Kollias. Lengths are centimetres, coefficients 1/cm.

Shape suffixes: W wavelengths.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

_SPECTRA = np.array(
    (
        (400, 266232, 223296, 82.75),
        (410, 466840, 303956, 91.49),
        (420, 480360, 407560, 93.43),
        (430, 246072, 528600, 86.68),
        (440, 102580, 413280, 104.86),
        (450, 62816, 103292, 117.01),
        (460, 44480, 23388.8, 117.81),
        (470, 33209.2, 16156.4, 114.86),
        (480, 26629.2, 14550, 115.92),
        (490, 23684.4, 16684, 108.81),
        (500, 20932.8, 20862, 109.35),
        (510, 20035.2, 25773.6, 107.8),
        (520, 24202.4, 31589.6, 104.79),
        (530, 39956.8, 39036.4, 107.69),
        (540, 53236, 46592, 104.41),
        (550, 43016, 53412, 104.05),
        (560, 32613.2, 53788, 100.0),
        (570, 44496, 45072, 96.33),
        (580, 50104, 37020, 95.79),
        (590, 14400.8, 28324.4, 88.69),
        (600, 3200, 14677.2, 90.01),
        (610, 1506, 9443.6, 89.6),
        (620, 942, 6509.6, 87.7),
        (630, 610, 5148.8, 83.29),
        (640, 442, 4345.2, 83.7),
        (650, 368, 3750.12, 80.03),
        (660, 319.6, 3226.56, 80.21),
        (670, 294, 2795.12, 82.28),
        (680, 277.6, 2407.92, 78.28),
        (690, 276, 2051.96, 69.72),
        (700, 290, 1794.28, 71.61),
    )
)
"""Nanometres; molar extinction of oxygenated and deoxygenated haemoglobin, 1/cm per mol/l; CIE illuminant D65."""
WAVELENGTHS, _OXYHAEMOGLOBIN, _DEOXYHAEMOGLOBIN, _DAYLIGHT = _SPECTRA.T
_HAEMOGLOBIN = 150 / 64500
"""mol/l in whole blood."""
_OXYGENATION = 0.75
_XYZ_TO_RGB = np.array(((3.2406, -1.5372, -0.4986), (-0.9689, 1.8758, 0.0415), (0.0557, -0.2040, 1.0570)))
"""IEC 61966-2-1."""
_EPIDERMIS = 0.0075
"""Thickness of the epidermis."""
_SLANT = 2.0
"""Mean path through a layer under diffuse light, in thicknesses."""
_SURFACE = 0.03
"""Share of the light that the skin's top scatters back before any pigment."""
_REFRACTION = 1.4

LEAST_MELANIN, MOST_MELANIN = 0.002, 0.80
"""Volume fraction of melanosomes in the epidermis; Jacques 1998: 0.013 to 0.43 for a whole epidermis."""
LEAST_BLOOD, MOST_BLOOD = 0.001, 0.20
"""Volume fraction of blood in the dermis; lips and flushed cheeks hold the most."""
_STEPS = (56, 32, 5)
"""Entries of the table along melanin, blood and pheomelanin."""


@dataclass(frozen=True)
class SkinColours:
    """A table of skin colours, looked up by what the skin holds.

    Attributes:
        srgb_MBP3: sRGB in [0, 1] at even steps of log melanin, log blood and the share of pheomelanin.
    """

    srgb_MBP3: NDArray[np.float32]

    def __call__(self, melanin: NDArray, blood: NDArray, pheomelanin: NDArray) -> NDArray[np.float32]:
        """sRGB (..., 3) of volume fractions (...) and shares (...) 0..1; what exceeds the table is clipped."""
        steps = self.srgb_MBP3.shape[:3]
        at = np.stack(
            np.broadcast_arrays(
                _along(melanin, LEAST_MELANIN, MOST_MELANIN) * (steps[0] - 1),
                _along(blood, LEAST_BLOOD, MOST_BLOOD) * (steps[1] - 1),
                np.asarray(pheomelanin, np.float32) * (steps[2] - 1),
            )
        )
        colours = [map_coordinates(self.srgb_MBP3[..., c], at, order=1, mode="nearest") for c in range(3)]
        return np.asarray(np.stack(colours, -1), np.float32)


@lru_cache(maxsize=1)
def skin_colours() -> SkinColours:
    """The table, computed on the first call."""
    melanin = np.geomspace(LEAST_MELANIN, MOST_MELANIN, _STEPS[0])[:, None, None]
    blood = np.geomspace(LEAST_BLOOD, MOST_BLOOD, _STEPS[1])[None, :, None]
    pheomelanin = np.linspace(0, 1, _STEPS[2])[None, None]
    return SkinColours(reflectance_to_srgb(reflectance(melanin, blood, pheomelanin)).astype(np.float32))


def reflectance(melanin: NDArray, blood: NDArray, pheomelanin: NDArray) -> NDArray[np.float64]:
    """Diffuse reflectance (..., W) of skin in 0..1, without what its surface mirrors.

    Args:
        melanin: Volume fraction (...) of melanosomes in the epidermis.
        blood: Volume fraction (...) of blood in the dermis.
        pheomelanin: Share (...) of the red-yellow melanin, 0..1.
    """
    melanin, blood, pheomelanin = (np.asarray(a, np.float64)[..., None] for a in (melanin, blood, pheomelanin))
    baseline_W = 0.244 + 85.3 * np.exp(-(WAVELENGTHS - 154) / 66.2)
    eumelanin_W = 6.6e11 * WAVELENGTHS**-3.33
    # Pheomelanin absorbs blue as eumelanin does and red far less (Donner and Jensen 2006, Section 3).
    pheomelanin_W = 2.9e15 * WAVELENGTHS**-4.75
    pigment = melanin * (eumelanin_W + pheomelanin * (pheomelanin_W - eumelanin_W))
    whole_blood_W = (
        np.log(10) * _HAEMOGLOBIN * (_OXYGENATION * _OXYHAEMOGLOBIN + (1 - _OXYGENATION) * _DEOXYHAEMOGLOBIN)
    )
    dermis = blood * whole_blood_W + (1 - blood) * baseline_W
    scattering_W = 46.0 * (WAVELENGTHS / 500) ** -1.421
    path = 2 * _SLANT * _EPIDERMIS
    through = np.exp(-path * (1 - melanin) * baseline_W) / (1 + path * pigment)
    return _SURFACE + (1 - _SURFACE) * through * _diffuse(dermis, scattering_W)


def reflectance_to_srgb(reflectance_W: NDArray) -> NDArray[np.float64]:
    """sRGB (..., 3) in [0, 1] of a reflectance spectrum (..., W) under daylight (D65)."""
    matching_W3 = _matching_functions()
    weights_W3 = matching_W3 * _DAYLIGHT[:, None]
    # Each of X, Y and Z is scaled so that a perfect reflector is sRGB white, whatever the sampling does to it.
    white_3 = np.linalg.solve(_XYZ_TO_RGB, np.ones(3))
    linear = reflectance_W @ (weights_W3 / weights_W3.sum(0) * white_3) @ _XYZ_TO_RGB.T
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def _along(value: NDArray, low: float, high: float) -> NDArray[np.float32]:
    """Where a value lies between low (0) and high (1) on a logarithmic scale."""
    clipped = np.clip(np.asarray(value, np.float32), low, high)
    return np.asarray(np.log(clipped / low) / np.log(high / low), np.float32)


def _diffuse(absorption: NDArray, scattering: NDArray) -> NDArray[np.float64]:
    """Diffuse reflectance of a semi-infinite medium (Flock et al. 1989, Eq. 10) for reduced scattering."""
    albedo = scattering / (scattering + absorption)
    inner = -1.440 / _REFRACTION**2 + 0.710 / _REFRACTION + 0.668 + 0.0636 * _REFRACTION
    k = (1 + inner) / (1 - inner)
    return albedo / (1 + 2 * k * (1 - albedo) + (1 + 2 * k / 3) * np.sqrt(3 * (1 - albedo)))


def _matching_functions() -> NDArray[np.float64]:
    """CIE 1931 colour matching functions (W, 3), the fit of Wyman, Sloan and Shirley 2013."""

    def lobe(scale: float, centre: float, below: float, above: float) -> NDArray[np.float64]:
        width = np.where(centre > WAVELENGTHS, below, above)
        return scale * np.exp(-0.5 * ((WAVELENGTHS - centre) * width) ** 2)

    x = lobe(1.056, 599.8, 1 / 37.9, 1 / 31.0) + lobe(0.362, 442.0, 1 / 16.0, 1 / 26.7)
    x += lobe(-0.065, 501.1, 1 / 20.4, 1 / 26.2)
    y = lobe(0.821, 568.8, 1 / 46.9, 1 / 40.5) + lobe(0.286, 530.9, 1 / 16.3, 1 / 31.1)
    z = lobe(1.217, 437.0, 1 / 11.8, 1 / 36.0) + lobe(0.681, 459.0, 1 / 26.0, 1 / 13.8)
    return np.stack((x, y, z), -1)
