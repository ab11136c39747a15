"""What covers skin on photos, drawn over photos laid out as UV maps: glasses, fringes, beards, hands, cloth, hats, and
what is behind, where the fitted head is larger than the person.

Each takes a picture (H, W, 3) of display values and a `Place`, and gives the picture and the opacity (H, W) of what
was drawn.

Shape suffixes: H W rows and columns of the UV map.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]


@dataclass(frozen=True)
class Place:
    """Where texels are.

    Attributes:
        skin_HW3: On the head model, millimetres: to the subject's left, up, to the front.
        photo_HW2: On the photo, to the right and up, about millimetres from the middle between the eyes.
        facing_HW: Cosine of the skin's angle to the view.
    """

    skin_HW3: Map
    photo_HW2: Map
    facing_HW: Map


Patch = NDArray[np.float32]
"""A square (P, P, 3) of real hair, skin or background."""


def texture(patch: Patch, shape: tuple[int, ...], rng: np.random.Generator) -> Map:
    """A picture (H, W, 3) made of one patch: turned, enlarged, mirrored at its borders."""
    turn, scale = rng.uniform(0, 2 * np.pi), np.exp(rng.uniform(-0.4, 0.7))
    cos, sin = np.cos(turn) / scale, np.sin(turn) / scale
    to_patch_23 = np.array([[cos, -sin, rng.uniform(0, 40)], [sin, cos, rng.uniform(0, 40)]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    made = cv2.warpAffine(patch, to_patch_23, shape[1::-1], flags=flags, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(made, np.float32)


def _over(picture_HW3: Map, colour_HW3: NDArray, opacity_HW: Map) -> Map:
    return np.asarray(picture_HW3 + opacity_HW[..., None] * (colour_HW3 - picture_HW3), np.float32)


def _soft(map_HW: NDArray, sigma: float) -> Map:
    return np.asarray(cv2.GaussianBlur(np.asarray(map_HW, np.float32), (0, 0), float(sigma)), np.float32)


def _noise(shape: tuple[int, ...], rng: np.random.Generator, cells: int) -> Map:
    """A smooth random field of about unit variance."""
    rough = rng.standard_normal((cells, cells)).astype(np.float32)
    return np.asarray(cv2.resize(rough, shape[1::-1], interpolation=cv2.INTER_CUBIC), np.float32)


def glasses(picture_HW3: Map, place: Place, rng: np.random.Generator, patches: Sequence[Patch]) -> tuple[Map, Map]:
    """A frame, its shadow, its temples, clear, shining or dark lenses."""
    x_HW = place.photo_HW2[..., 0] - rng.normal(0, 3)
    y_HW = place.photo_HW2[..., 1] + rng.uniform(-2, 9)
    middle, wide, high, power = rng.uniform(29, 36), rng.uniform(20, 30), rng.uniform(12, 25), rng.uniform(2, 5)
    thick = np.exp(rng.uniform(np.log(0.5), np.log(3.5)))
    across_HW = np.abs(x_HW)
    form_HW = (np.abs((across_HW - middle) / wide) ** power + np.abs(y_HW / high) ** power) ** (1 / power)
    rim_HW = np.abs(form_HW - 1) * min(wide, high) < thick
    if rng.uniform() < 0.2:  # half frames
        rim_HW &= y_HW > rng.uniform(-0.3, 0.5) * high
    bar = rng.uniform(0, 0.7) * high
    bridge_HW = (np.abs(y_HW - bar) < 1.2 * thick) & (across_HW < middle - wide + thick)
    slope = rng.uniform(-0.15, 0.15)
    temple_HW = (np.abs(y_HW - bar - slope * (across_HW - middle - wide)) < thick * rng.uniform(0.7, 2)) & (
        across_HW > middle + wide - thick
    )
    frame_HW = (rim_HW | bridge_HW | temple_HW).astype(np.float32)
    frame_HW = _soft(frame_HW, rng.uniform(0.4, 0.9)) * rng.uniform(0.6, 1.0)
    shift = int(rng.integers(0, 9)), int(rng.integers(-5, 6))
    cast_HW = _soft(np.roll(frame_HW, shift, (0, 1)), rng.uniform(0.6, 3.0)) * rng.uniform(0, 0.6)
    picture_HW3 = picture_HW3 * (1 - cast_HW[..., None])
    lens_HW = _soft(form_HW < 1, 0.6)
    opacity_HW = np.zeros_like(lens_HW)
    if rng.uniform() < 0.15:
        opacity_HW = lens_HW * rng.uniform(0.6, 0.97)
        picture_HW3 = _over(picture_HW3, rng.uniform(0, 0.25, 3), opacity_HW)
    elif rng.uniform() < 0.4:
        shine_HW = lens_HW * _soft(_noise(lens_HW.shape, rng, 7) > rng.uniform(0.8, 1.6), rng.uniform(0.5, 3))
        opacity_HW = shine_HW * rng.uniform(0.2, 0.9)
        picture_HW3 = _over(picture_HW3, rng.uniform(0.6, 1, 3), opacity_HW)
    else:
        picture_HW3 = _over(picture_HW3, rng.uniform(0.2, 0.8, 3), lens_HW * rng.uniform(0, 0.12))
    colour_3 = rng.uniform(0, 0.25, 3) if rng.uniform() < 0.6 else rng.uniform(0.1, 0.9, 3)
    shine_HW1 = (1 + 0.4 * _noise(lens_HW.shape, rng, 12))[..., None]
    return _over(picture_HW3, colour_3 * shine_HW1, frame_HW), np.maximum(frame_HW, opacity_HW)


def fringe(picture_HW3: Map, place: Place, rng: np.random.Generator, patches: Sequence[Patch]) -> tuple[Map, Map]:
    """Hair over the forehead, the temples, at times a cheek, with its shadow."""
    shape = picture_HW3.shape[:2]
    x_HW, y_HW = place.skin_HW3[..., 0], place.skin_HW3[..., 1]
    strand_HW = rng.standard_normal(shape, np.float32)
    strand_HW = np.asarray(cv2.GaussianBlur(strand_HW, (0, 0), sigmaX=rng.uniform(0.6, 2), sigmaY=rng.uniform(5, 18)))
    strand_HW /= max(float(strand_HW.std()), 1e-6)
    if rng.uniform() < 0.6:
        edge_HW = y_HW - rng.uniform(20, 85) - rng.uniform(-0.6, 0.6) * x_HW
    else:  # beside the face
        side = rng.choice([-1, 1])
        edge_HW = side * x_HW - rng.uniform(42, 66) + rng.uniform(-0.15, 0.15) * y_HW
    hair_HW = ((edge_HW + rng.uniform(2, 9) * strand_HW) / rng.uniform(1, 8)).clip(0, 1)
    hair_HW = hair_HW * (strand_HW * rng.uniform(0.2, 1) + rng.uniform(0.3, 2.5)).clip(0, 1)
    shift = int(rng.integers(0, 5)), int(rng.integers(-4, 5))
    cast_HW = _soft(np.roll(hair_HW, shift, (0, 1)), rng.uniform(0.5, 4)) * rng.uniform(0, 0.5)
    colour_HW3 = _hair_colour(texture(patches[rng.integers(len(patches))], shape, rng), rng)
    return _over(picture_HW3 * (1 - cast_HW[..., None]), colour_HW3, np.asarray(hair_HW, np.float32)), hair_HW


def beard(picture_HW3: Map, place: Place, rng: np.random.Generator, patches: Sequence[Patch]) -> tuple[Map, Map]:
    """A beard, a moustache, or both."""
    shape = picture_HW3.shape[:2]
    across_HW, y_HW = np.abs(place.skin_HW3[..., 0]), place.skin_HW3[..., 1]
    jaw_HW = ((-rng.uniform(38, 60) + rng.uniform(0.25, 0.6) * across_HW - y_HW) / rng.uniform(2, 10)).clip(0, 1)
    lip_HW = ((27 - across_HW) / 6).clip(0, 1) * ((-rng.uniform(33, 40) - 0.25 * across_HW - y_HW) / 4).clip(0, 1)
    chin_HW = ((rng.uniform(14, 26) - across_HW) / 5).clip(0, 1) * ((-rng.uniform(66, 74) - y_HW) / 5).clip(0, 1)
    lips_HW = np.exp(-(((across_HW / 25) ** 2 + ((y_HW + 57) / 9) ** 2) ** 2))
    kind = rng.choice(4, p=[0.55, 0.15, 0.2, 0.1])
    where_HW = (np.maximum(jaw_HW, lip_HW), lip_HW * (y_HW > -58), np.maximum(chin_HW, lip_HW), jaw_HW)[kind]
    grain_HW = _soft(rng.standard_normal(shape), rng.uniform(0.5, 1.0))
    grain_HW /= float(grain_HW.std())
    where_HW = where_HW * (1 - lips_HW) * rng.uniform(0.3, 1.0)
    opacity_HW = np.asarray((where_HW * (0.85 + 0.3 * grain_HW)).clip(0, 1), np.float32)
    colour_HW3 = _hair_colour(texture(patches[rng.integers(len(patches))], shape, rng), rng)
    return _over(picture_HW3, colour_HW3, opacity_HW), np.asarray(where_HW, np.float32)


def hands(picture_HW3: Map, place: Place, rng: np.random.Generator, patches: Sequence[Patch]) -> tuple[Map, Map]:
    """Fingers, or a palm: bars with round ends, of skin, often of this skin."""
    shape = picture_HW3.shape[:2]
    x_HW, y_HW = place.photo_HW2[..., 0], place.photo_HW2[..., 1]
    start_2 = np.array([rng.uniform(-80, 80), rng.uniform(-120, 30)])
    turn = rng.uniform(0, 2 * np.pi)
    along_2, across_2 = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
    wide, count = rng.uniform(7, 11), int(rng.integers(1, 5))
    if rng.uniform() < 0.3:
        wide, count = rng.uniform(25, 45), 1
    skin_3 = picture_HW3[place.facing_HW > 0.7].mean(0) * np.exp(rng.normal(0, 0.2) + rng.normal(0, 0.05, 3))
    total_HW = np.zeros(shape, np.float32)
    for finger in range(count):
        origin_2 = start_2 + across_2 * wide * 1.9 * finger + along_2 * rng.uniform(-8, 8)
        a_HW = (x_HW - origin_2[0]) * along_2[0] + (y_HW - origin_2[1]) * along_2[1]
        c_HW = (x_HW - origin_2[0]) * across_2[0] + (y_HW - origin_2[1]) * across_2[1]
        from_HW = np.hypot(np.minimum(a_HW, 0), c_HW) / wide
        inside_HW = _soft(from_HW < 1, 0.6)
        shade_HW1 = (0.55 + 0.45 * np.sqrt(1 - from_HW.clip(0, 1) ** 2) + rng.uniform(-0.3, 0.3) * c_HW / wide)[
            ..., None
        ]
        cast_HW = _soft(from_HW < 1.15, 2.0) * rng.uniform(0, 0.5)
        picture_HW3 = picture_HW3 * (1 - cast_HW[..., None])
        picture_HW3 = _over(picture_HW3, skin_3 * shade_HW1, inside_HW)
        total_HW = np.maximum(total_HW, inside_HW)
    return picture_HW3, total_HW


def cloth(picture_HW3: Map, place: Place, rng: np.random.Generator, patches: Sequence[Patch]) -> tuple[Map, Map]:
    """A mask, a scarf or a collar below, a hat or a band above, or something round anywhere."""
    shape = picture_HW3.shape[:2]
    x_HW, y_HW = place.photo_HW2[..., 0], place.photo_HW2[..., 1]
    wave_HW = rng.uniform(0, 4) * _noise(shape, rng, 5)
    kind = rng.choice(4, p=[0.25, 0.25, 0.3, 0.2])
    if kind == 0:
        inside_HW = y_HW + wave_HW < rng.uniform(-60, -15) - rng.uniform(-0.2, 0.3) * np.abs(x_HW)
    elif kind == 1:
        inside_HW = y_HW + wave_HW < rng.uniform(-130, -75)
    elif kind == 2:
        inside_HW = y_HW + wave_HW > rng.uniform(28, 75) + rng.uniform(-0.2, 0.2) * x_HW
    else:
        centre = rng.uniform(-70, 70), rng.uniform(-120, 40)
        wide, high = rng.uniform(8, 35, 2)
        inside_HW = ((x_HW - centre[0]) / wide) ** 2 + ((y_HW - centre[1]) / high) ** 2 < 1
    opacity_HW = _soft(inside_HW, rng.uniform(0.4, 1.2))
    colour_3 = rng.uniform(0, 1, 3) * rng.uniform(0.2, 1)
    colour_3 = colour_3 + (colour_3.mean() - colour_3) * rng.uniform(0, 1)
    folds_HW1 = np.exp(rng.uniform(0, 0.3) * _noise(shape, rng, int(rng.integers(4, 30))))[..., None]
    cast_HW = _soft(np.roll(inside_HW, int(rng.integers(-3, 4)), 0), 2.0) * rng.uniform(0, 0.5)
    return _over(picture_HW3 * (1 - cast_HW[..., None]), (colour_3 * folds_HW1).clip(0, 1), opacity_HW), opacity_HW


def behind(picture_HW3: Map, place: Place, rng: np.random.Generator, patches: Sequence[Patch]) -> tuple[Map, Map]:
    """Background where the head is narrower than the fitted one."""
    shape = picture_HW3.shape[:2]
    edge_HW = place.facing_HW + 0.1 * _noise(shape, rng, 4)
    side_HW = place.photo_HW2[..., 0] * rng.choice([-1, 1]) > rng.uniform(-60, 30)
    inside_HW = (edge_HW < rng.uniform(0.2, 0.55)) & side_HW
    opacity_HW = _soft(inside_HW, rng.uniform(0.4, 1.0))
    colour_3 = rng.uniform(0, 1, 3) * rng.uniform(0.1, 1)
    rough_HW1 = np.exp(rng.uniform(0, 0.4) * _noise(shape, rng, int(rng.integers(3, 30))))[..., None]
    return _over(picture_HW3, (colour_3 * rough_HW1).clip(0, 1), opacity_HW), opacity_HW


def _hair_colour(hair_HW3: Map, rng: np.random.Generator) -> Map:
    """Real hair in another colour: black to white."""
    light_HW1 = hair_HW3.mean(2, keepdims=True)
    detail_HW1 = light_HW1 / max(float(light_HW1.mean()), 0.02)
    if rng.uniform() < 0.4:
        return hair_HW3
    tone = np.exp(rng.uniform(np.log(0.03), np.log(0.8)))
    colour_3 = tone * np.array([1.0, rng.uniform(0.7, 1), rng.uniform(0.45, 1.0)])
    return np.asarray((colour_3 * detail_HW1 ** rng.uniform(0.5, 1.2)).clip(0, 1), np.float32)


Cover = Callable[[Map, Place, np.random.Generator, Sequence[Patch]], tuple[Map, Map]]
