"""What several photos show of one head's texture, as one.

Each texel is taken from the photo that shows it best: seen straight, at a high resolution, surely skin. Photos are
first brought to the tone of what is there: one gain per channel, then a smooth field (`tone_field`)
for what the light does differently from place to place; so no seam shows, and what is left of the seams is soft.

Shape suffixes: K rows and columns of the plan (`deca.appearance.texture`), H W of a texture, N texels.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from deca.appearance.blend import smoothstep, tone_field
from deca.appearance.texture import Shown

_POWER = 8.0
"""How sharply the better photo wins: two photos that differ by a tenth share 2 to 1. Lower ones mix features that do
not lie on each other to a texel; chosen by eye."""
_FIRST = 1.5
"""Advantage of the first photo, so that brows, lips and lids are of one expression wherever it shows them."""
_FACING = (0.35, 0.6)
"""Cosines between skin and view from which, and from where fully, a further photo is believed."""
_ENOUGH = 0.002
"""Share of the texture that two photos must both show for one to be toned like the other there."""
_MOST_GAIN = 1.5
"""Largest gain of a channel, sRGB: beyond it the overlap shows no skin of one person."""
_MOST_FIELD = 0.15
"""Largest difference, sRGB, that counts as the light's: more is a highlight, a lock or a beard on one of both."""
_NOTHING = 1e-35
"""Total worth below which no photo shows a texel: worths are small numbers to a high power."""


class TextureMerge:
    """Collects what photos of one head show, the photo whose tone the texture is to have first.

    Args:
        first: What that photo shows.
    """

    def __init__(self, first: Shown) -> None:
        self._first, self._own_KK = first, first.own_KK.copy()
        self._total_KK = (_FIRST * _worth(first)) ** _POWER
        self._layers = [image_KK3 * self._total_KK[..., None] for image_KK3 in _layers(first)]
        self._detail_HW3 = None
        if first.detail_HW3 is not None:
            self._detail_HW3 = first.detail_HW3 * _grown(self._total_KK, len(first.detail_HW3))

    def add(self, shown: Shown) -> None:
        """Adds what another photo shows, at the same size."""
        # At the outline a photo mixes skin with what is behind; the first one does without others to take its place.
        shown = replace(shown, own_KK=shown.own_KK * smoothstep(shown.view.facing_HW, *_FACING))
        worth_KK = _worth(shown) ** _POWER
        overlap_KK = np.minimum(self._own_KK, shown.own_KK)
        for sum_KK3, image_KK3 in zip(self._layers, _layers(shown), strict=True):
            so_far_KK3 = sum_KK3 / np.maximum(self._total_KK, _NOTHING)[..., None]
            sum_KK3 += toned(image_KK3, so_far_KK3, overlap_KK) * worth_KK[..., None]
        if self._detail_HW3 is not None and shown.detail_HW3 is not None:
            so_far_KK3 = self._layers[1] / np.maximum(self._total_KK + worth_KK, _NOTHING)[..., None]
            gain_3 = gain_of(shown.photographed_KK3, so_far_KK3, overlap_KK)
            self._detail_HW3 += shown.detail_HW3 * gain_3 * _grown(worth_KK, len(shown.detail_HW3))
        self._total_KK += worth_KK
        self._own_KK = np.maximum(self._own_KK, shown.own_KK)

    def result(self) -> Shown:
        """What all show: skin and confidence are everybody's, the rest (hair, irises, light) the first one's."""
        total_KK = np.maximum(self._total_KK, _NOTHING)
        albedo_KK3, photographed_KK3 = (sum_KK3 / total_KK[..., None] for sum_KK3 in self._layers)
        detail_HW3 = self._detail_HW3
        if detail_HW3 is not None:
            detail_HW3 = detail_HW3 / np.maximum(_grown(self._total_KK, len(detail_HW3)), _NOTHING)
        return replace(
            self._first,
            albedo_KK3=albedo_KK3,
            photographed_KK3=photographed_KK3,
            own_KK=self._own_KK,
            detail_HW3=detail_HW3,
        )


def _layers(shown: Shown) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return shown.albedo_KK3, shown.photographed_KK3


def _grown(image_KK: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """A map of the plan as (size, size, 1)."""
    grown = cv2.resize(image_KK, (size, size), interpolation=cv2.INTER_LINEAR)
    return np.asarray(grown, np.float32)[..., None]


def toned(
    colours_HW3: NDArray[np.float32], wanted_HW3: NDArray[np.float32], overlap_HW: NDArray[np.float32]
) -> NDArray[np.float32]:
    """A photo's colours (sRGB) with the tone of others where both are known, carried on smoothly elsewhere.

    Args:
        colours_HW3: To be toned.
        wanted_HW3: Have the tone.
        overlap_HW: Confidence that both are known, 0..1. Where that is too little the colours stay.
    """
    if not _is_enough(overlap_HW):
        return colours_HW3
    gained_HW3 = np.clip(colours_HW3, 0, 1) * gain_of(colours_HW3, wanted_HW3, overlap_HW)
    difference_HW3 = np.clip(wanted_HW3 - gained_HW3, -_MOST_FIELD, _MOST_FIELD)
    return gained_HW3 + tone_field(difference_HW3, overlap_HW, blur=0.03)


def gain_of(
    colours_HW3: NDArray[np.float32], wanted_HW3: NDArray[np.float32], overlap_HW: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Factors (3,) of a photo's sRGB channels that give it others' tone; arguments as of `toned`."""
    if not _is_enough(overlap_HW):
        return np.ones(3, np.float32)
    both_HW = overlap_HW > 0.5
    mine_N3, theirs_N3 = (np.maximum(image_HW3[both_HW], 1 / 255) for image_HW3 in (colours_HW3, wanted_HW3))
    # The median of the texels' gains: a highlight or a stray lock on one of both counts like any other texel. sRGB is
    # near a power of linear light, so that a gain of one is one of the other.
    gain_3 = np.exp(np.median(np.log(theirs_N3 / mine_N3), axis=0))
    return np.clip(gain_3, 1 / _MOST_GAIN, _MOST_GAIN).astype(np.float32)


def _is_enough(overlap_HW: NDArray[np.float32]) -> bool:
    return float((overlap_HW > 0.5).mean()) >= _ENOUGH


def _worth(shown: Shown) -> NDArray[np.float32]:
    """How well a photo shows each texel beside other photos: surely, straight, and with pixels enough."""
    facing_HW = np.clip(shown.view.facing_HW, 0, 1)
    return shown.own_KK * facing_HW * min(shown.density, 1.0)
