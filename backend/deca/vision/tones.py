"""Pictures of more than 8 bits as 8-bit ones."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

_DEPTHS = (8, 10, 12, 14, 16)  # bits of what cameras and scanners write into files of 16
_MOST = (0.1, 99.9)  # percentiles between which most pixels lie
_SAMPLES = 1_000_000  # pixels that stand for all
_NOISE_BELOW_ZERO = 0.05  # of white; values further below zero are part of the picture


def to_8_bit(values: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """Values scaled to 0..255 by what most pixels are, so that a few very bright ones do not make the rest black.

    White is 1 for floats that do not go beyond it, and for integers the largest number of the fewest bits that hold
    most pixels; else, the brightest of most pixels. Black is 0, or the darkest of them where the picture goes below.

    Args:
        values: (H, W) or (H, W, C), integers or floats; NaN becomes black, an infinite value black or white.
    """
    with np.errstate(over="ignore"):
        numbers = values.astype(np.float32)
    low, high = range_of_most(numbers)
    black = low if low < -_NOISE_BELOW_ZERO * max(high, 1.0) else 0.0
    if np.issubdtype(values.dtype, np.integer) and not black:
        white = next((float(2**bits - 1) for bits in _DEPTHS if high < 2**bits), high)
    else:
        white = max(high, 1.0)
    with np.errstate(over="ignore", invalid="ignore"):  # in place, because such pictures are large
        numbers -= black
        numbers *= 255 / (white - black)
    np.nan_to_num(numbers, copy=False, nan=0.0)
    np.clip(numbers, 0, 255, out=numbers)
    numbers += 0.5
    return numbers.astype(np.uint8)


def range_of_most(numbers: npt.NDArray[np.float32]) -> tuple[float, float]:
    """Darkest and brightest of most pixels, (H, W) or (H, W, C); single hot and dead ones are left out by a median."""
    step = max(1, round((numbers.size / _SAMPLES) ** 0.5))
    samples = numbers[::step, ::step]
    finite = np.where(np.isfinite(samples), samples, np.float32(0))
    low, high = np.percentile(cv2.medianBlur(finite, 3), _MOST)
    return float(low), float(high)
