"""What photos show beside skin: backgrounds, and things in front of the face. Pictures are float32 RGB in 0..1.

Shape suffixes: H W rows and columns of a picture.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]


def background(rng: np.random.Generator, size: int) -> Picture:
    """Gradients, soft noise and blobs of random colours (size, size, 3)."""
    corners_223 = _colour(rng) + rng.normal(0, rng.uniform(0.02, 0.25), (2, 2, 1))
    picture = cv2.resize(corners_223.astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR)
    for cells in (4, 9, 30):
        rough = rng.normal(0, rng.uniform(0, 0.16), (cells, cells, 3)).astype(np.float32)
        rough = rough.mean(2, keepdims=True) + 0.3 * rough
        picture += cv2.resize(rough, (size, size), interpolation=cv2.INTER_CUBIC)
    for _ in range(rng.integers(0, 7)):
        centre, axes = rng.uniform(0, size, 2), rng.uniform(0.05, 0.45, 2) * size
        colour = _colour(rng).tolist()
        if rng.uniform() < 0.5:
            cv2.ellipse(picture, (tuple(centre), tuple(2 * axes), rng.uniform(0, 180)), colour, -1)
        else:
            box = cv2.boxPoints((tuple(centre), tuple(2 * axes), rng.uniform(0, 180)))
            cv2.fillConvexPoly(picture, np.rint(box).astype(np.int32), colour)
    return cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.5, 6)).clip(0, 1)


def _colour(rng: np.random.Generator) -> NDArray[np.float64]:
    """A colour, mostly a dull one."""
    colour = rng.uniform(0, 1, 3)
    return colour + (colour.mean() - colour) * rng.uniform(0.2, 1) ** 0.5


def hair_colour(rng: np.random.Generator, age: float) -> NDArray[np.float32]:
    """Display values of hair: black to blond, grey with age."""
    colours = np.array([(0.07, 0.06, 0.06), (0.16, 0.11, 0.08), (0.29, 0.19, 0.12), (0.45, 0.31, 0.18),
                        (0.68, 0.54, 0.35), (0.36, 0.16, 0.08)])  # fmt: skip
    colour = colours[rng.choice(len(colours), p=[0.3, 0.28, 0.2, 0.1, 0.08, 0.04])]
    greyness = np.clip((age - 35) / 40 + 0.2 * rng.standard_normal(), 0, 1) if age > 35 else 0.0
    grey = np.full(3, rng.uniform(0.45, 0.8))
    return ((1 - greyness) * colour + greyness * grey).astype(np.float32)


def streaks(rng: np.random.Generator, size: int, length: float) -> Picture:
    """Upright streaks (size, size) about 0, of unit variance: strands of hair in texture space."""
    noise = rng.standard_normal((size, size)).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), sigmaX=0.9, sigmaY=length)
    return noise / noise.std()


def glasses(
    rng: np.random.Generator, eyes_22: NDArray[np.floating], ears_22: NDArray[np.floating], size: int
) -> tuple[Picture, Picture]:
    """A pair of glasses on a picture.

    Args:
        rng: Their form and colour.
        eyes_22: Middles of the eyes, pixels.
        ears_22: Where the temples go to, pixels; not finite where they are not seen.
        size: Rows and columns of the picture.

    Returns:
        Colour (size, size, 3), and opacity (size, size), at most slight within clear lenses.
    """
    across = eyes_22[1] - eyes_22[0]
    apart = float(np.linalg.norm(across))
    frame = np.zeros((size, size), np.float32)
    lens = np.zeros_like(frame)
    width, height = apart * rng.uniform(0.33, 0.42), apart * rng.uniform(0.22, 0.36)
    thickness = max(1, round(apart * rng.uniform(0.02, 0.075)))
    power = rng.uniform(2, 4.5)  # of the superellipse: round to nearly square
    turn = np.arange(48) / 48 * 2 * np.pi
    form = np.stack((np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** (2 / power) * width,
                     np.sign(np.sin(turn)) * np.abs(np.sin(turn)) ** (2 / power) * height), 1)  # fmt: skip
    axes = np.stack((across / apart, np.array([-across[1], across[0]]) / apart))
    drop = axes[1] * apart * rng.uniform(0.02, 0.12)
    for eye, ear, sign in zip(eyes_22, ears_22, (-1, 1), strict=True):
        # Seen from the side, the frame is as much narrower as the eyes are nearer; that is in `apart` already.
        rim = np.rint((eye + drop + form @ axes) * 16).astype(np.int32)
        cv2.fillPoly(lens, [rim], (1.0,), cv2.LINE_AA, 4)
        cv2.polylines(frame, [rim], True, (1.0,), thickness, cv2.LINE_AA, 4)
        if np.isfinite(ear).all():
            start = eye + drop + axes[0] * sign * width
            _line(frame, start, ear, thickness)
    inner = [
        eye + drop - axes[0] * sign * width - axes[1] * 0.3 * height for eye, sign in zip(eyes_22, (-1, 1), strict=True)
    ]
    _line(frame, inner[0], inner[1], thickness)
    dark = rng.uniform() < 0.15
    lens_opacity = rng.uniform(0.75, 0.98) if dark else rng.uniform(0.0, 0.12)
    colour = rng.uniform(0, 0.25, 3) if rng.uniform() < 0.7 else rng.uniform(0.1, 0.8, 3)
    lens_colour = rng.uniform(0, 0.2, 3) if dark else rng.uniform(0.5, 1.0, 3)
    is_frame = frame[..., None]
    picture = is_frame * colour + (1 - is_frame) * lens_colour
    opacity = np.maximum(frame, lens * lens_opacity)
    return picture.astype(np.float32), opacity


def _line(picture: Picture, start_2: NDArray[np.floating], end_2: NDArray[np.floating], thickness: int) -> None:
    """Draws a smooth line; OpenCV takes sixteenths of pixels."""
    ends = [tuple(np.rint(point_2 * 16).astype(int).tolist()) for point_2 in (start_2, end_2)]
    cv2.line(picture, ends[0], ends[1], (1.0,), thickness, cv2.LINE_AA, 4)
