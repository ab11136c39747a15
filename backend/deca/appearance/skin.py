"""Skin and hair colour: estimated from the photo, and painted where the photo shows nothing.

Colours are compared in CIE Lab (L 0..100), where a Gaussian around the skin's median tells skin from hair, cloth and
background; pictures are sRGB in [0, 1].

Shape suffixes: N samples, V vertices, H W texture rows and columns.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from deca.appearance.blend import smoothstep
from deca.render.uv import Texels, cached

_MAX_SAMPLES = 20_000
_UNLIGHT = 0.5
"""Share of the light's lightness changes that `ColourModel.unlit` takes out."""
_LIGHTNESS_PER_STOP = 45.0
"""Change of L that doubling an sRGB value makes for skin (L 40 to 80)."""
DEFAULT_SKIN = np.array((0.78, 0.60, 0.51), np.float32)
"""sRGB, for a photo that shows no usable skin."""
_MIN_SAMPLES = 200
_LEAST_SPREAD = np.array((5.0, 2.5, 3.0), np.float32)
"""Least standard deviation of L, a and b around the lit skin."""
_SAME_SKIN = np.array((25.0, 10.0, 12.0), np.float32)
"""Largest differences of L, a and b between cheeks, forehead and the surroundings of the eyes of one person."""
_SKIN_HUES, _SKIN_CHROMAS = (10.0, 88.0), (9.0, 55.0)
"""Degrees of hue and chroma in Lab of skin on photos."""
_LIGHT_PRIOR = (20.0, 4.0, 4.0)
"""Standard deviation of the change of L, a and b per unit of the normal."""


def to_lab(colours: NDArray[np.float32]) -> NDArray[np.float32]:
    """sRGB (..., 3) in [0, 1] to CIE Lab of the same shape."""
    flat = np.ascontiguousarray(colours, np.float32).reshape(1, -1, 3)
    return np.asarray(cv2.cvtColor(flat, cv2.COLOR_RGB2LAB), np.float32).reshape(colours.shape)


def to_srgb(lab: NDArray[np.float32]) -> NDArray[np.float32]:
    """CIE Lab (..., 3) to sRGB in [0, 1]."""
    flat = np.ascontiguousarray(lab, np.float32).reshape(1, -1, 3)
    return np.asarray(cv2.cvtColor(flat, cv2.COLOR_LAB2RGB), np.float32).clip(0, 1).reshape(lab.shape)


def median_lab(colours_N3: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Median Lab of sRGB samples; None if they are too few to tell."""
    if len(colours_N3) < _MIN_SAMPLES:
        return None
    every = max(len(colours_N3) // _MAX_SAMPLES, 1)
    return np.median(to_lab(colours_N3[::every]), axis=0).astype(np.float32)


def may_be_same(one: NDArray[np.float32] | None, other: NDArray[np.float32] | None) -> bool:
    """Whether two parts of a face with these Lab medians may both be skin, under one light that is not even."""
    if one is None or other is None:
        return False
    return bool((np.abs(one - other) < _SAME_SKIN).all())


def may_be_skin(lab: NDArray[np.float32]) -> bool:
    """Whether skin of any tone has this colour in light that is not far from white: no grey, blue, green or purple."""
    hue, chroma = np.degrees(np.arctan2(lab[2], lab[1])), np.hypot(lab[1], lab[2])
    return bool(_SKIN_HUES[0] < hue < _SKIN_HUES[1] and _SKIN_CHROMAS[0] < chroma < _SKIN_CHROMAS[1])


@dataclass(frozen=True)
class ColourModel:
    """Skin under one light: CIE Lab as a linear function of the surface normal, and the spread around it.

    First-order spherical harmonics are what a matte surface shows of distant light, up to a tenth of its energy
    (Ramamoorthi and Hanrahan 2001); they tell shaded skin from hair.

    Attributes:
        light_43: Lab at a zero normal, then its change along x, y and z of the normal.
        spread_3: Robust standard deviation of L, a and b around that.
        median_3: Median Lab of the samples.
    """

    light_43: NDArray[np.float32]
    spread_3: NDArray[np.float32]
    median_3: NDArray[np.float32]

    @classmethod
    def of(cls, colours_N3: NDArray[np.float32], normals_N3: NDArray[np.float32]) -> ColourModel | None:
        """The model of sRGB samples, fitted by reweighted least squares; None if they are too few to tell."""
        if len(colours_N3) < _MIN_SAMPLES:
            return None
        every = max(len(colours_N3) // _MAX_SAMPLES, 1)
        lab_N3 = to_lab(colours_N3[::every]).astype(np.float64)
        sampled_N3 = normals_N3[::every].astype(np.float64)
        middle = sampled_N3.mean(0)
        basis_N4 = np.column_stack((np.ones(len(lab_N3)), sampled_N3 - middle))
        scale_3 = _LEAST_SPREAD.astype(np.float64)
        light = np.zeros((4, 3))
        light[0] = np.median(lab_N3, axis=0)
        for _ in range(6):
            residual_N3 = lab_N3 - basis_N4 @ light
            scale_3 = np.maximum(1.4826 * np.median(np.abs(residual_N3), axis=0), _LEAST_SPREAD)
            weight_N1 = 1 / (1 + ((residual_N3 / scale_3) ** 2).sum(1, keepdims=True) / 4) ** 2
            gram_44 = (basis_N4 * weight_N1).T @ basis_N4
            moment_43 = (basis_N4 * weight_N1).T @ lab_N3
            for channel in range(3):
                # A Gaussian prior keeps the light plausible where the samples' normals say little about it.
                prior_4 = np.array((0, *[1 / _LIGHT_PRIOR[channel] ** 2] * 3)) * scale_3[channel] ** 2 * 30
                light[:, channel] = np.linalg.solve(gram_44 + np.diag(prior_4), moment_43[:, channel])
        light[0] -= middle @ light[1:]
        return cls(light.astype(np.float32), scale_3.astype(np.float32), np.median(lab_N3, axis=0).astype(np.float32))

    @classmethod
    def flat(cls, colour: NDArray[np.float32]) -> ColourModel:
        """A model of one given sRGB colour, whatever the normal."""
        light_43 = np.zeros((4, 3), np.float32)
        light_43[0] = to_lab(colour)
        return cls(light_43, _LEAST_SPREAD, light_43[0])

    @property
    def colour(self) -> NDArray[np.float32]:
        """Median of the samples, sRGB."""
        return to_srgb(self.median_3)

    @property
    def may_be_hair(self) -> bool:
        """Whether hair can have this colour: no bright red, blue, green or purple, as hats and backgrounds have."""
        return bool((self.median_3[1:] > (-6, -8)).all() and (self.median_3[1:] < (26, 42)).all())

    def unlit(self, colours_HW3: NDArray[np.float32], normals_HW3: NDArray[np.float32]) -> NDArray[np.float32]:
        """The colours with part of the light's direction taken out: lightness only, a third of a stop at most.

        Renderers light the head again, and a shadow on one cheek does not fit the other, mirrored one.
        """
        ahead_3 = np.array((0, 0, 1), np.float32)
        excess_HW = (normals_HW3 - ahead_3) @ self.light_43[1:, 0]
        excess_HW = cv2.GaussianBlur(excess_HW, (0, 0), 0.03 * len(excess_HW))
        gain_HW = np.exp2(np.clip(-_UNLIGHT * excess_HW / _LIGHTNESS_PER_STOP, -1 / 3, 1 / 3))
        return colours_HW3 * gain_HW[..., None]

    def distance(self, colours: NDArray[np.float32], normals: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mahalanobis distance (...) of sRGB colours (..., 3) at surface normals (..., 3)."""
        residual = to_lab(colours) - normals @ self.light_43[1:] - self.light_43[0]
        residual /= self.spread_3
        return np.sqrt(np.einsum("...c,...c->...", residual, residual))


def surface_noise(points_V3: NDArray, wavelength: float, seed: int) -> NDArray[np.float32]:
    """Smooth noise (V,) over space, mean 0 and variance about 1: a sum of waves in random directions.

    It depends on the position alone, so it has no seam wherever the texture has one.
    """
    random = np.random.default_rng(seed)
    waves = random.normal(size=(3, 24)) * (2 * np.pi / wavelength / np.sqrt(3))
    phase = random.uniform(0, 2 * np.pi, 24)
    return (np.cos(points_V3 @ waves + phase).sum(1) / np.sqrt(12)).astype(np.float32)


def base_skin(tone: NDArray[np.float32], texels: Texels) -> NDArray[np.float32]:
    """Skin (H, W, 3) of one sRGB tone with gentle variation: blotches of centimetres, grain of a texel."""
    blotches_V3, grain_HW = cached(_patterns, (texels.head.hash, texels.size), lambda: _pattern(texels))
    return texels.interpolate(to_srgb(blotches_V3 + to_lab(tone))) * (1 + grain_HW[..., None])


_patterns: OrderedDict[tuple, tuple[NDArray[np.float32], NDArray[np.float32]]] = OrderedDict()


def _pattern(texels: Texels) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Blotches (V, 3), Lab, and grain (H, W), a share."""
    template_V3 = texels.head.template_V3
    broad_V, redness_V = surface_noise(template_V3, 0.08, 1), surface_noise(template_V3, 0.03, 2)
    lab_V3 = np.column_stack((1.2 * broad_V + 0.5 * redness_V, 0.8 * redness_V, 0.6 * broad_V))
    grain_HW = np.random.default_rng(3).standard_normal(texels.covered_HW.shape, np.float32)
    return lab_V3, 0.025 * np.asarray(cv2.GaussianBlur(grain_HW, (0, 0), 1.2), np.float32)


def likeness(distance_HW: NDArray[np.float32], blur: float) -> NDArray[np.float32]:
    """How much every texel looks like a colour model, 0 to 1, judged with its surroundings.

    Args:
        distance_HW: `ColourModel.distance` of the texels.
        blur: Standard deviation of the surroundings, texels.
    """
    alike_HW = 1 - smoothstep(distance_HW, 3.0, 4.5)
    return smoothstep(cv2.GaussianBlur(alike_HW, (0, 0), blur), 0.45, 0.8)
