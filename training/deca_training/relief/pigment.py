"""What skin shows beside relief: freckles and moles, stubble and beards, brows, make-up, glasses, fringes, shadows,
highlights. All of it must leave no trace in the relief.

Places (H, W, 2) are millimetres of the head's skin, to the subject's left and up: eyes at about (31, 9), the mouth at
(0, -57). Pictures are display values (H, W, 3).

Sizes of bumps and blurs are texels of the relief, about millimetres, of which each takes so many `rows` of the picture.

Shape suffixes: H W rows and columns of pictures, laid out as a part of the UV map.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]


def pigmented(albedo_HW3: Map, place_HW2: Map, rng: np.random.Generator, rows: int) -> Map:
    """Skin with what grows or lies on it, before it is lit."""
    return _with(ON_SKIN, albedo_HW3, place_HW2, rng, rows)


def in_front(picture_HW3: Map, place_HW2: Map, rng: np.random.Generator, rows: int) -> Map:
    """The lit skin with what hangs before it or shades it."""
    return _with(IN_FRONT, picture_HW3, place_HW2, rng, rows)


def moles(albedo_HW3: Map, place_HW2: Map, rng: np.random.Generator, rows: int = 1) -> Map:
    """Dark spots."""
    for _ in range(rng.integers(1, 12)):
        spot_HW1 = _spot(albedo_HW3.shape[:2], rng, 0.5 * rows, 2.2 * rows)[..., None]
        albedo_HW3 = albedo_HW3 * (1 - spot_HW1 * _tint(rng) * rng.uniform(0.1, 0.75))
    return albedo_HW3


def freckles(albedo_HW3: Map, place_HW2: Map, rng: np.random.Generator, rows: int = 1) -> Map:
    """Many small spots."""
    dots_HW = (rng.random(albedo_HW3.shape[:2], np.float32) < rng.uniform(0.005, 0.05) / rows**2).astype(np.float32)
    dots_HW = _soft(dots_HW, rng.uniform(0.6, 1.2) * rows) * rng.uniform(1, 4) * rows**2
    return albedo_HW3 * (1 - dots_HW.clip(0, 0.6)[..., None] * _tint(rng))


def blemishes(albedo_HW3: Map, place_HW2: Map, rng: np.random.Generator, rows: int = 1) -> Map:
    """Red and pale blotches."""
    rough_HW = _band(albedo_HW3.shape[:2], rng, rng.uniform(1.0, 6.0) * rows) * rng.uniform(0.02, 0.08)
    return albedo_HW3 * (1 + rough_HW[..., None] * np.array([rng.uniform(0, 0.7), 1, 1], np.float32))


def grain(albedo_HW3: Map, place_HW2: Map, rng: np.random.Generator, rows: int = 1) -> Map:
    """Pigment as fine as pixels, which is no relief either."""
    grain_HW = _band(albedo_HW3.shape[:2], rng, rng.uniform(0.4, 1.2)) * rng.uniform(0.002, 0.02)
    return albedo_HW3 * (1 + grain_HW[..., None])


def stubble(albedo_HW3: Map, place_HW2: Map, rng: np.random.Generator, rows: int = 1) -> Map:
    """A shaven beard's shade and grain."""
    grain_HW = _band(albedo_HW3.shape[:2], rng, rng.uniform(0.3, 0.9) * rows, streak=rng.uniform(1, 3) * rows)
    dark_HW = _beard(place_HW2, rng) * (rng.uniform(0.05, 0.35) + rng.uniform(0.03, 0.2) * grain_HW)
    return albedo_HW3 * (1 - dark_HW.clip(-0.3, 0.8)[..., None] * rng.uniform(0.8, 1.0, 3))


def beard(albedo_HW3: Map, place_HW2: Map, rng: np.random.Generator, rows: int = 1) -> Map:
    """A beard that covers the skin."""
    return _hair(albedo_HW3, _beard(place_HW2, rng) * rng.uniform(0.6, 1.0), rng, rows)


def brows(albedo_HW3: Map, place_HW2: Map, rng: np.random.Generator, rows: int = 1) -> Map:
    """Brows elsewhere than the head model has them, and of other forms."""
    across, up = np.abs(place_HW2[..., 0]), place_HW2[..., 1]
    bow = rng.uniform(21, 31) + rng.uniform(-0.1, 0.35) * (across - 15) - rng.uniform(0, 0.012) * (across - 32) ** 2
    where_HW = np.exp(-(((up - bow) / rng.uniform(2.0, 4.5)) ** 2)) * (across > rng.uniform(5, 12)) * (across < 60)
    return _hair(albedo_HW3, _soft(where_HW, 0.8 * rows) * rng.uniform(0.2, 0.9), rng, rows)


def make_up(albedo_HW3: Map, place_HW2: Map, rng: np.random.Generator, rows: int = 1) -> Map:
    """Colour on lids and cheeks, shade below the eyes, a line along the lids."""
    across, up = np.abs(place_HW2[..., 0]), place_HW2[..., 1]
    for x, y, wide, high in ((31, 17, 17, 7), (31, -3, 16, 4), (45, -25, 16, 12)):
        if rng.uniform() < 0.6:
            where_HW = np.exp(-((((across - x) / wide) ** 2 + ((up - y) / high) ** 2) ** rng.uniform(1, 3)))
            factor_3 = np.exp(rng.normal(-0.15, 0.2) + rng.normal(0, 0.12, 3))
            albedo_HW3 = albedo_HW3 * (1 + where_HW[..., None] * (factor_3 - 1))
    if rng.uniform() < 0.4:
        line_HW = np.exp(-(((up - rng.uniform(6, 14) + 0.006 * (across - 31) ** 2) / rng.uniform(0.7, 1.5)) ** 2))
        line_HW = line_HW * (np.abs(across - 31) < rng.uniform(12, 20))
        albedo_HW3 = albedo_HW3 * (1 - rng.uniform(0.3, 0.9) * line_HW[..., None])
    return albedo_HW3


def shadows(picture_HW3: Map, place_HW2: Map, rng: np.random.Generator, rows: int = 1) -> Map:
    """Shadows of things that are not seen, with hard and soft edges."""
    for _ in range(rng.integers(1, 3)):
        factor_3 = rng.uniform(0.25, 0.9) * (1 + 0.05 * rng.standard_normal(3))
        edge_HW = _soft(_waves(place_HW2, rng) > rng.normal(0, 20), np.exp(rng.uniform(-1, 2)) * rows)
        picture_HW3 = picture_HW3 * (1 + edge_HW[..., None] * (factor_3 - 1))
    return picture_HW3


def highlights(picture_HW3: Map, place_HW2: Map, rng: np.random.Generator, rows: int = 1) -> Map:
    """Shine of wet or oily skin."""
    shape = picture_HW3.shape[:2]
    for _ in range(rng.integers(1, 6)):
        grain_HW = 1 + rng.uniform(0, 0.5) * _band(shape, rng, rng.uniform(0.5, 1.5) * rows)
        picture_HW3 = (
            picture_HW3 + (_spot(shape, rng, 3 * rows, 15 * rows) * rng.uniform(0.05, 0.5) * grain_HW)[..., None]
        )
    return picture_HW3


def fringe(picture_HW3: Map, place_HW2: Map, rng: np.random.Generator, rows: int = 1) -> Map:
    """Hair over the forehead, and its shadow."""
    shape = picture_HW3.shape[:2]
    ragged_HW = 8 * _band(shape, rng, 1.0 * rows, streak=12 * rows)
    ends_HW = rng.uniform(20, 80) + rng.uniform(-0.4, 0.4) * place_HW2[..., 0] + ragged_HW
    strands_HW = _band(shape, rng, rng.uniform(0.4, 1.5) * rows, streak=rng.uniform(6, 20) * rows)
    strands_HW = (strands_HW + rng.uniform(-0.5, 2)).clip(0, 1)
    hair_HW = ((place_HW2[..., 1] - ends_HW) / 4).clip(0, 1) * strands_HW
    shift = rows * int(rng.integers(0, 5)), rows * int(rng.integers(-4, 5))
    cast_HW = _soft(np.roll(hair_HW, shift, (0, 1)), rng.uniform(0.5, 3) * rows) * rng.uniform(0, 0.5)
    return _hair(picture_HW3 * (1 - cast_HW[..., None]), hair_HW, rng, rows)


def glasses(picture_HW3: Map, place_HW2: Map, rng: np.random.Generator, rows: int = 1) -> Map:
    """A frame before the eyes, its shadow, and clear or dark lenses; at times the frame's shadow alone."""
    middle, drop = rng.uniform(30, 36), rng.uniform(-3, 10)
    wide, high, power = rng.uniform(20, 29), rng.uniform(13, 24), rng.uniform(2, 5)
    across_HW, up_HW = np.abs(place_HW2[..., 0] - rng.normal(0, 2)), place_HW2[..., 1] - drop
    form_HW = (np.abs((across_HW - middle) / wide) ** power + np.abs(up_HW / high) ** power) ** (1 / power)
    thick = rng.uniform(0.6, 3.0)
    rim_HW = np.exp(-((np.abs(form_HW - 1) * min(wide, high) / thick) ** 4))
    bridge_HW = np.exp(-(((up_HW - rng.uniform(0, 0.6) * high) / thick) ** 4)) * (across_HW < middle - wide)
    temple_HW = np.exp(-(((up_HW - rng.uniform(0.1, 0.8) * high) / thick) ** 4)) * (across_HW > middle + wide)
    frame_HW = np.maximum.reduce([rim_HW, bridge_HW, temple_HW]).astype(np.float32)
    lens_HW = (form_HW < 1).astype(np.float32)
    shift = rows * int(rng.integers(-2, 8)), rows * int(rng.integers(-5, 6))
    cast_HW = _soft(np.roll(frame_HW, shift, (0, 1)), rng.uniform(0.5, 2.5) * rows) * rng.uniform(0, 0.7)
    picture_HW3 = picture_HW3 * (1 - cast_HW[..., None])
    if rng.uniform() < 0.15:
        return picture_HW3
    dark = rng.uniform(0.7, 0.97) if rng.uniform() < 0.12 else rng.uniform(0, 0.12)
    picture_HW3 = picture_HW3 * (1 - dark * lens_HW[..., None])
    colour_3 = rng.uniform(0, 0.25, 3) if rng.uniform() < 0.7 else rng.uniform(0.1, 0.9, 3)
    opacity_HW1 = frame_HW[..., None] * rng.uniform(0.5, 1.0)
    return picture_HW3 * (1 - opacity_HW1) + colour_3 * opacity_HW1


def _beard(place_HW2: Map, rng: np.random.Generator) -> Map:
    across, up = np.abs(place_HW2[..., 0]), place_HW2[..., 1]
    jaw_HW = ((-rng.uniform(42, 58) + 0.45 * across - up) / 8).clip(0, 1)
    lip_HW = ((27 - across) / 6).clip(0, 1) * ((-rng.uniform(34, 40) - 0.25 * across - up) / 4).clip(0, 1)
    both_HW = (np.maximum(jaw_HW, lip_HW), lip_HW * (up > -58), jaw_HW)[rng.choice(3, p=[0.7, 0.15, 0.15])]
    return np.asarray(both_HW, np.float32)


def _hair(picture_HW3: Map, where_HW: Map, rng: np.random.Generator, rows: int) -> Map:
    """Hair of a random colour over a picture."""
    upright = rng.uniform() < 0.5
    shape = where_HW.shape if upright else where_HW.shape[::-1]
    strands_HW = _band(shape, rng, rng.uniform(0.3, 1.0) * rows, streak=rng.uniform(1, 5) * rows)
    strands_HW = strands_HW if upright else strands_HW.T
    colour_3 = np.exp(rng.uniform(-3, -0.3)) * np.array([1.0, rng.uniform(0.75, 1), rng.uniform(0.5, 0.95)])
    opacity_HW1 = (where_HW * (0.8 + rng.uniform(0.1, 0.5) * strands_HW)).clip(0, 1)[..., None]
    return (
        picture_HW3 * (1 - opacity_HW1) + colour_3 * np.exp(rng.uniform(0.1, 0.4) * strands_HW)[..., None] * opacity_HW1
    )


def _tint(rng: np.random.Generator) -> NDArray[np.float64]:
    """How much of each colour pigment takes away: least of the red."""
    return np.array([rng.uniform(0.4, 0.9), rng.uniform(0.8, 1), 1.0])


def _spot(shape: tuple[int, ...], rng: np.random.Generator, small: float, large: float) -> Map:
    """A soft ellipse at a random place, radii in rows."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    row, column = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
    high, wide, power = *np.exp(rng.uniform(np.log(small), np.log(large), 2)), rng.uniform(1, 2)
    return np.exp(-((((rows - row) / high) ** 2 + ((columns - column) / wide) ** 2) ** power)).astype(np.float32)


def _waves(place_HW2: Map, rng: np.random.Generator) -> Map:
    """A random smooth field, millimetres: signed distance from a line that is bent."""
    turn, phase, length = rng.uniform(0, 2 * np.pi), rng.uniform(0, 6), rng.uniform(15, 80)
    along_HW = place_HW2 @ np.array([np.cos(turn), np.sin(turn)], np.float32)
    across_HW = place_HW2 @ np.array([-np.sin(turn), np.cos(turn)], np.float32)
    return along_HW + rng.uniform(0, 15) * np.sin(across_HW / length * 6.3 + phase)


def _band(shape: tuple[int, ...], rng: np.random.Generator, sigma: float, streak: float = 0.0) -> Map:
    """Noise of unit variance, bumps of a size in rows, drawn out upright where wanted."""
    noise_HW = rng.standard_normal(shape, np.float32)
    noise_HW = np.asarray(cv2.GaussianBlur(noise_HW, (0, 0), sigmaX=sigma, sigmaY=max(sigma, streak)), np.float32)
    return noise_HW / max(float(noise_HW.std()), 1e-6)


def _soft(map_HW: NDArray, sigma: float) -> Map:
    return np.asarray(cv2.GaussianBlur(np.asarray(map_HW, np.float32), (0, 0), float(sigma)), np.float32)


Layer = Callable[[Map, Map, np.random.Generator, int], Map]

ON_SKIN: tuple[tuple[float, Layer], ...] = (
    (0.5, moles), (0.2, freckles), (0.2, blemishes), (0.6, grain), (0.25, stubble), (0.15, beard), (0.35, brows),
    (0.2, make_up),
)  # fmt: skip
IN_FRONT: tuple[tuple[float, Layer], ...] = ((0.3, shadows), (0.25, highlights), (0.2, glasses), (0.12, fringe))
"""Shares of pictures, and what they show, from the skin outwards."""


def _with(
    layers: tuple[tuple[float, Layer], ...], picture_HW3: Map, place_HW2: Map, rng: np.random.Generator, rows: int
) -> Map:
    for share, layer in layers:
        if rng.uniform() < share:
            picture_HW3 = layer(picture_HW3, place_HW2, rng, rows)
    return np.asarray(picture_HW3, np.float32)
