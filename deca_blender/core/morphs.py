"""Morphs that stand alone: what an exported head has in place of sliders, bones, correctives and drivers.

A morph is what the rig does to the neutral head with one slider at 1: offset_i = rig(slider_i = 1) - rig(0). One morph
at full weight is exact. Sums of morphs are straight, the rig turns jaw and eyes: in between and together, both part by
what `sum_error` measures.

Shape suffixes: M morphs, V vertices, N frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

SMALLEST_OFFSET = 1e-6
"""Metres. Below that a vertex counts as still: a hundredth of what is promised, and files get smaller."""

WEIGHT_TOLERANCE = 1e-4
"""How far a weight between two keyframes may be from the rig's; 0.0001 of jawOpen moves a chin by 0.004 mm."""

_RIDGE = 1e-4
"""Of the fit, as a fraction of the morphs' mean energy: of weights that do nearly the same, the smaller ones."""
_SWEEPS = 200


@dataclass(frozen=True)
class Morph:
    """One morph of an exported head.

    Attributes:
        name: Its name in the file.
        kind: `arkit`, `expression`, `viseme`, or `own` for the user's own shape keys.
        sliders: The sliders of the rig that it is made of, and their values.
        low, high: Range of its weight.
    """

    name: str
    kind: str
    sliders: dict[str, float]
    low: float = 0.0
    high: float = 1.0


def without_stillness(offsets_V3: NDArray) -> NDArray:
    """The offsets, with zeros where a vertex hardly moves."""
    return np.where((np.abs(offsets_V3) < SMALLEST_OFFSET).all(axis=-1, keepdims=True), 0, offsets_V3)


class MorphFit:
    """Finds weights whose morphs come nearest to given offsets, in the least squares sense.

    Args:
        offsets_MV3: The morphs' offsets.
    """

    def __init__(self, offsets_MV3: NDArray) -> None:
        self._flat = np.asarray(offsets_MV3, np.float64).reshape(len(offsets_MV3), -1)
        self._gram = self._flat @ self._flat.T
        self._gram[np.diag_indices(len(self._gram))] += _RIDGE * max(np.trace(self._gram) / len(self._gram), 1e-30)

    def weights(self, target_V3: NDArray, low_M: NDArray, high_M: NDArray) -> NDArray[np.float64]:
        """Weights (M,) within their bounds, by coordinate descent: the problem is convex and small."""
        wanted_M = self._flat @ np.asarray(target_V3, np.float64).ravel()
        weights_M = np.clip(np.zeros(len(wanted_M)), low_M, high_M)
        for _ in range(_SWEEPS):
            before = weights_M.copy()
            for index, (row, wanted) in enumerate(zip(self._gram, wanted_M, strict=True)):
                free = weights_M[index] + (wanted - row @ weights_M) / row[index]
                weights_M[index] = min(max(free, low_M[index]), high_M[index])
            if np.abs(weights_M - before).max(initial=0.0) < 0.1 * WEIGHT_TOLERANCE:
                break
        return weights_M


def key_frames(values_N: NDArray, tolerance: float = WEIGHT_TOLERANCE) -> list[int]:
    """Which samples to set keyframes at, so that straight lines between them stay within a tolerance of all.

    Returns:
        Indices in order; just the first one where nothing changes (Ramer, Douglas and Peucker's subdivision).
    """
    values_N = np.asarray(values_N, np.float64)
    if np.ptp(values_N) <= tolerance:
        return [0]
    kept, open_ = {0, len(values_N) - 1}, [(0, len(values_N) - 1)]
    while open_:
        first, last = open_.pop()
        line = np.linspace(values_N[first], values_N[last], last - first + 1)
        distance = np.abs(values_N[first : last + 1] - line)
        worst = int(distance.argmax())
        if distance[worst] > tolerance:
            kept.add(first + worst)
            open_ += [(first, first + worst), (first + worst, last)]
    return sorted(kept)


def sum_error(neutral_V3: NDArray, offsets_MV3: ArrayLike, weights_M: NDArray, rig_V3: NDArray) -> tuple[float, float]:
    """Largest and root mean square distance of a sum of morphs from the rig, metres."""
    summed_V3 = neutral_V3 + np.tensordot(weights_M, np.asarray(offsets_MV3), axes=1)
    distance_V = np.linalg.norm(summed_V3 - rig_V3, axis=1)
    return float(distance_V.max()), float(np.sqrt((distance_V**2).mean()))
