"""Lines taken out of a texture: what the photo's relief explains shall move with the expression, and not stay painted.

A smiling photo has the folds of the smile. Where the relief has lines, what of the albedo varies over their width
is their shading, redder in the depth, and the live relief shows it again, as deep as the expression of the moment asks
for. Moles and freckles beside lines stay, and so do beards, which relief takes for lines.

Shape suffixes: N texture rows and columns, H W rows and columns of displacement maps (256).
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from deca.appearance.beard import HAIRS, bearded
from deca.appearance.blend import smoothstep
from deca.appearance.skin_map import SkinMap
from deca.appearance.texture import Texture
from deca.appearance.trust import regions_of
from deca.head import HeadModel
from deca.networks.skin_map import Kind
from deca.render.detail import DETAIL_MASK
from deca.render.uv import texels_of, uv_mask

_WIDTH = 4.0
"""Sigma in texels of displacement maps (about millimetres) of the surroundings that lines differ from."""
_NEAR = 2.5
"""Sigma in texels over which lines are looked at together."""
_FAINT, _PLAIN = 0.015, 0.06
"""Root mean square of lines, millimetres, from which on they are taken out a little, and as far as they are; by eye on
portraits, whose pores stay and whose smiles go."""
_TAKEN = 0.8
"""Share of it that is taken out; all of it leaves smears, by eye."""
_BLACK = 0.03
"""Added to display values before their logarithm."""


def without_lines(
    texture: Texture, displacement_HW: NDArray[np.floating], head: HeadModel, skin_map: SkinMap | None = None
) -> Texture:
    """A texture whose albedo does not show the relief's lines; as photographed they stay.

    Args:
        texture: Of a head.
        displacement_HW: The relief of its photo, metres.
        head: The head model.
        skin_map: What the photo shows.
    """
    relief_HW = np.asarray(1000 * displacement_HW, np.float32)
    lines_HW = relief_HW - cv2.GaussianBlur(relief_HW, (0, 0), _WIDTH)
    deep_HW = np.sqrt(cv2.GaussianBlur(np.square(lines_HW), (0, 0), _NEAR))
    taken_HW = _TAKEN * smoothstep(deep_HW, _FAINT, _PLAIN) * uv_mask(head, DETAIL_MASK, len(relief_HW)).numpy()
    taken_HW *= 1 - _hair(texture.albedo_NN3, head, len(relief_HW), skin_map)
    size = texture.albedo_NN3.shape[1::-1]
    colour_NN3 = np.log(texture.albedo_NN3.astype(np.float32) / 255 + _BLACK)
    around_HW3 = cv2.resize(colour_NN3, relief_HW.shape[::-1], interpolation=cv2.INTER_AREA)
    around_HW3 = cv2.GaussianBlur(around_HW3, (0, 0), _WIDTH)
    around_NN3, taken_NN = (
        cv2.resize(map_HW, size, interpolation=cv2.INTER_LINEAR) for map_HW in (around_HW3, taken_HW)
    )
    albedo_NN3 = 255 * (np.exp(colour_NN3 + taken_NN[..., None] * (around_NN3 - colour_NN3)) - _BLACK)
    return replace(texture, albedo_NN3=np.rint(albedo_NN3.clip(0, 255)).astype(np.uint8))


def _hair(albedo_NN3: NDArray[np.uint8], head: HeadModel, size: int, skin_map: SkinMap | None) -> NDArray[np.float32]:
    """Share (H, W) of hair on the skin: what the skin map says, and what looks like a beard."""
    plan_KK3 = cv2.resize(albedo_NN3, (2 * size, 2 * size), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    brightness_HW = cv2.resize(np.log(plan_KK3.mean(-1) + _BLACK), (size, size), interpolation=cv2.INTER_AREA)
    brightness_HW = cv2.GaussianBlur(brightness_HW, (0, 0), HAIRS)
    plan, regions = (regions_of(texels_of(head, rows)) for rows in (2 * size, size))
    hair_HW = bearded(brightness_HW, plan_KK3, plan.face > 0.5, regions.face > 0.5, regions.beard)
    if skin_map is not None:
        hair_HW = np.maximum(hair_HW, skin_map.share(Kind.FACIAL_HAIR, size=size))
    return np.asarray(cv2.GaussianBlur(hair_HW, (0, 0), HAIRS), np.float32)
