"""How well distances tell subjects apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata


def auc(same_N: NDArray, different_N: NDArray) -> float | None:
    """Probability that a distance within a subject is smaller than one between subjects; ties count half.

    None where there are no pairs of one kind.
    """
    if not len(same_N) or not len(different_N):
        return None
    ranks = rankdata(np.concatenate((same_N, different_N)))[len(same_N) :]
    below = ranks.sum() - len(different_N) * (len(different_N) + 1) / 2
    return float(below / (len(same_N) * len(different_N)))


def subject_auc(codes_NX: NDArray[np.floating], subjects: list[str]) -> dict[str, float | None]:
    """How well codes tell subjects apart, by their distance and by their angle (0.5: not at all, 1: always)."""
    first, second = np.triu_indices(len(codes_NX), 1)
    names = np.array(subjects)
    is_same = np.asarray(names[first] == names[second])
    distance = np.linalg.norm(codes_NX[first] - codes_NX[second], axis=1)
    unit_NX = codes_NX / np.maximum(np.linalg.norm(codes_NX, axis=1, keepdims=True), 1e-12)
    angle = -(unit_NX[first] * unit_NX[second]).sum(1)
    return {name: auc(values[is_same], values[~is_same]) for name, values in (("distance", distance), ("angle", angle))}


def mean(values: list[float]) -> float | None:
    """The mean; None of nothing."""
    return float(np.mean(values)) if values else None
