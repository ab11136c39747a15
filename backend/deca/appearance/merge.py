"""What several photos show of one head's texture, as one.

Each texel is taken from the photo that shows it best: seen straight, at a high resolution, surely skin. Photos are
first brought to the tone of what is there: one gain per channel, in linear light, then a smooth field (`tone_field`)
for what the light does differently from place to place; so no seam shows, and what is left of the seams is soft.

Shape suffixes: H W texture rows and columns.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from deca.appearance.blend import tone_field
from deca.appearance.texture import Shown

_POWER = 8.0
"""How sharply the better photo wins: two photos that differ by a tenth share 2 to 1. Lower ones mix features that do
not lie on each other to a texel; chosen by eye."""
_FIRST = 1.5
"""Advantage of the first photo, so that brows, lips and lids are of one expression wherever it shows them."""
_ENOUGH = 0.002
"""Share of the texture that two photos must both show for one to be toned like the other there."""
_MOST_GAIN = 2.5
"""Largest gain of a channel: beyond it the overlap shows no skin of one person."""
_GAMMA = 2.2
_NOTHING = 1e-35
"""Total worth below which no photo shows a texel: worths are small numbers to a high power."""


class TextureMerge:
    """Collects what photos of one head show, the photo whose tone the texture is to have first.

    Args:
        first: What that photo shows.
    """

    def __init__(self, first: Shown) -> None:
        self._first = first
        self._confidence_HW = first.confidence_HW.copy()
        self._total_HW = (_FIRST * _worth(first)) ** _POWER
        self._sum_HW3 = first.colours_HW3 * self._total_HW[..., None]

    def add(self, shown: Shown) -> None:
        """Adds what another photo shows, at the same size."""
        so_far_HW3 = self._sum_HW3 / np.maximum(self._total_HW, _NOTHING)[..., None]
        overlap_HW = np.minimum(self._confidence_HW, shown.confidence_HW)
        colours_HW3 = toned(shown.colours_HW3, so_far_HW3, overlap_HW)
        worth_HW = _worth(shown) ** _POWER
        self._sum_HW3 += colours_HW3 * worth_HW[..., None]
        self._total_HW += worth_HW
        self._confidence_HW = np.maximum(self._confidence_HW, shown.confidence_HW)

    def result(self) -> Shown:
        """What all show: colours and confidence are everybody's, the rest (hair, irises, light) the first one's."""
        colours_HW3 = self._sum_HW3 / np.maximum(self._total_HW, _NOTHING)[..., None]
        return replace(self._first, colours_HW3=colours_HW3, confidence_HW=self._confidence_HW)


def toned(
    colours_HW3: NDArray[np.float32], wanted_HW3: NDArray[np.float32], overlap_HW: NDArray[np.float32]
) -> NDArray[np.float32]:
    """A photo's colours (sRGB) with the tone of others where both are known, carried on smoothly elsewhere.

    Args:
        colours_HW3: To be toned.
        wanted_HW3: Have the tone.
        overlap_HW: Confidence that both are known, 0..1. Where that is too little the colours stay.
    """
    both_HW = overlap_HW > 0.5
    if both_HW.mean() < _ENOUGH:
        return colours_HW3
    mine_N3, theirs_N3 = (np.maximum(image_HW3[both_HW], 1 / 255) for image_HW3 in (colours_HW3, wanted_HW3))
    # The median of the texels' gains: a highlight or a stray lock on one of both counts like any other texel.
    gain_3 = np.exp(np.median(np.log(theirs_N3 / mine_N3), axis=0) * _GAMMA)
    gain_3 = np.clip(gain_3, 1 / _MOST_GAIN, _MOST_GAIN) ** (1 / _GAMMA)
    gained_HW3 = np.clip(colours_HW3, 0, 1) * gain_3.astype(np.float32)
    return gained_HW3 + tone_field(wanted_HW3 - gained_HW3, overlap_HW, blur=0.03)


def _worth(shown: Shown) -> NDArray[np.float32]:
    """How well a photo shows each texel beside other photos: surely, straight, and with pixels enough."""
    facing_HW = np.clip(shown.view.facing_HW, 0, 1)
    return shown.confidence_HW * facing_HW * min(shown.density, 1.0)
