"""Skin and hair colour: estimated from the photo, and painted where the photo shows nothing.

Colours are compared in CIE Lab (L 0..100), where a Gaussian around the skin's median tells skin from hair, cloth and
background; pictures are sRGB in [0, 1].

Shape suffixes: N samples, V vertices, H W texture rows and columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from deca.appearance.blend import smoothstep

DEFAULT_SKIN = np.array((0.78, 0.60, 0.51), np.float32)
"""sRGB, for a photo that shows no usable skin."""
_MIN_SAMPLES = 200
_LEAST_SPREAD = np.array((9.0, 3.0, 4.0), np.float32)
"""Least standard deviation of L, a and b: faces are shaded, and eight samples of one cheek are not a distribution."""


def to_lab(colours: NDArray[np.float32]) -> NDArray[np.float32]:
    """sRGB (..., 3) in [0, 1] to CIE Lab of the same shape."""
    flat = np.ascontiguousarray(colours, np.float32).reshape(1, -1, 3)
    return cv2.cvtColor(flat, cv2.COLOR_RGB2LAB).reshape(colours.shape)


def to_srgb(lab: NDArray[np.float32]) -> NDArray[np.float32]:
    """CIE Lab (..., 3) to sRGB in [0, 1]."""
    flat = np.ascontiguousarray(lab, np.float32).reshape(1, -1, 3)
    return np.clip(cv2.cvtColor(flat, cv2.COLOR_LAB2RGB), 0, 1).reshape(lab.shape)


@dataclass(frozen=True)
class ColourModel:
    """A colour with its spread in CIE Lab: median and a robust standard deviation of each channel."""

    median: NDArray[np.float32]
    spread: NDArray[np.float32]

    @classmethod
    def of(cls, colours_N3: NDArray[np.float32]) -> ColourModel | None:
        """The model of sRGB samples; None if they are too few to tell."""
        if len(colours_N3) < _MIN_SAMPLES:
            return None
        lab_N3 = to_lab(colours_N3)
        median = np.median(lab_N3, axis=0)
        deviation = 1.4826 * np.median(np.abs(lab_N3 - median), axis=0)
        return cls(median, np.maximum(deviation, _LEAST_SPREAD))

    @classmethod
    def flat(cls, colour: NDArray[np.float32]) -> ColourModel:
        """A model of one given sRGB colour."""
        return cls(to_lab(colour), _LEAST_SPREAD)

    def distance(self, colours: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mahalanobis distance (...) of sRGB colours (..., 3)."""
        return np.sqrt((((to_lab(colours) - self.median) / self.spread) ** 2).sum(-1))

    @property
    def colour(self) -> NDArray[np.float32]:
        """The median as sRGB."""
        return to_srgb(self.median)


def surface_noise(points_V3: NDArray, wavelength: float, seed: int) -> NDArray[np.float32]:
    """Smooth noise (V,) over space, mean 0 and variance about 1: a sum of waves in random directions.

    It depends on the position alone, so it has no seam wherever the texture has one.
    """
    random = np.random.default_rng(seed)
    waves = random.normal(size=(3, 24)) * (2 * np.pi / wavelength / np.sqrt(3))
    phase = random.uniform(0, 2 * np.pi, 24)
    return (np.cos(points_V3 @ waves + phase).sum(1) / np.sqrt(12)).astype(np.float32)


def base_skin(tone: NDArray[np.float32], template_HW3: NDArray[np.float32], covered_HW: NDArray) -> NDArray[np.float32]:
    """Skin (H, W, 3) of one tone with gentle variation: blotches of centimetres in redness, of millimetres in lightness.

    Args:
        tone: sRGB.
        template_HW3: Position on the template, metres, of every texel.
        covered_HW: True inside the UV islands.
    """
    points_N3 = template_HW3[covered_HW]
    broad, redness, fine = (
        surface_noise(points_N3, wavelength, seed) for wavelength, seed in ((0.08, 1), (0.03, 2), (0.003, 3))
    )
    lab_N3 = np.broadcast_to(to_lab(tone), (len(points_N3), 3)).copy()
    lab_N3[:, 0] += 1.2 * broad + 0.5 * redness + 0.4 * fine
    lab_N3[:, 1] += 0.8 * redness
    lab_N3[:, 2] += 0.6 * broad
    image = np.broadcast_to(tone, (*covered_HW.shape, 3)).astype(np.float32)
    image[covered_HW] = to_srgb(lab_N3)
    return image


def hair_colour(
    colours_N3: NDArray[np.float32], skin: ColourModel, least_share: float = 0.6
) -> NDArray[np.float32] | None:
    """Hair colour from what the photo shows at the front of the scalp; None for a bare scalp or too little evidence.

    Args:
        colours_N3: sRGB samples of the scalp's visible part.
        skin: The face's skin.
        least_share: Share of the samples that must be unlike skin.
    """
    if len(colours_N3) < _MIN_SAMPLES:
        return None
    unlike_skin = skin.distance(colours_N3) > 2.5
    if unlike_skin.mean() < least_share:
        return None
    lab = np.median(to_lab(colours_N3[unlike_skin]), axis=0)
    # Hats and backgrounds: hair is black, brown, blond, red, grey or white, never blue, green or purple.
    lab[1] = np.clip(lab[1], -1, 22)
    lab[2] = np.clip(lab[2], -2, 35)
    return to_srgb(lab.astype(np.float32))


def cropped_hair(
    colour: NDArray[np.float32], template_HW3: NDArray[np.float32], covered_HW: NDArray, crown: NDArray
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Short hair (H, W, 3) combed away from the crown, and its streaks (H, W), zero mean, to roughen a hairline.

    Args:
        colour: sRGB.
        template_HW3: Position on the template, metres, of every texel.
        covered_HW: True inside the UV islands.
        crown: Direction (3,) from the middle of the skull to the whorl.
    """
    points_N3 = template_HW3[covered_HW]
    centre = (points_N3.min(0) + points_N3.max(0)) / 2
    radial_N3 = points_N3 - centre
    radial_N3 /= np.maximum(np.linalg.norm(radial_N3, axis=1, keepdims=True), 1e-9)
    crown = np.asarray(crown, np.float32) / np.linalg.norm(crown)
    polar_N1 = radial_N3 @ crown[:, None]
    around_N3 = radial_N3 - polar_N1 * crown
    around_N3 /= np.maximum(np.linalg.norm(around_N3, axis=1, keepdims=True), 1e-9)
    # Directions around the crown vary fast, the way down from it slowly: strands.
    strand_N3 = around_N3 + 0.12 * polar_N1 * crown
    streaks_N = 0.6 * surface_noise(strand_N3, 0.03, 5) + 0.4 * surface_noise(strand_N3, 0.12, 6)
    lab_N3 = np.broadcast_to(to_lab(colour), (len(points_N3), 3)).copy()
    lab_N3[:, 0] += streaks_N * (2 + 0.06 * lab_N3[:, 0]) + surface_noise(points_N3, 0.07, 7)
    image = np.broadcast_to(colour, (*covered_HW.shape, 3)).astype(np.float32)
    image[covered_HW] = to_srgb(np.clip(lab_N3, (0, -80, -80), (100, 80, 80)).astype(np.float32))
    streaks_HW = np.zeros(covered_HW.shape, np.float32)
    streaks_HW[covered_HW] = streaks_N
    return image, streaks_HW


def likeness(colours_HW3: NDArray[np.float32], model: ColourModel, blur: float) -> NDArray[np.float32]:
    """How much every texel looks like the model, 0 to 1, judged with its surroundings.

    Args:
        colours_HW3: sRGB picture.
        model: Colours to compare with.
        blur: Standard deviation of the surroundings, texels.
    """
    alike_HW = 1 - smoothstep(model.distance(colours_HW3), 2.8, 4.0)
    return smoothstep(cv2.GaussianBlur(alike_HW, (0, 0), blur), 0.45, 0.8)
