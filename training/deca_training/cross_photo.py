"""What photos of the same people say of a shape estimate: taught by them, it is about the person.

The shape that is estimated from photo A of a person is held on photo B, where expression, pose and camera follow the
landmarks. How far the landmarks then lie from the head needs no scan, and only what is true of the person can lower it.
To first order (`LandmarkSolver.evidence`) the distances are r_B + J_B s, so that their squares,

    |r_B + J_B s|^2 = s^T H_B s + 2 g_B^T s + const,    H_B = J_B^T J_B,  g_B = J_B^T r_B,

are a quadratic in the shape s, and, where s is linear in what A shows, in the weights of that map, which thus have a
closed form. That asks for more than that two photos agree (shape consistency: DECA, Feng et al. 2021, Eq. 8), which
they do best if everybody is the average.

Shape suffixes: N photos, T photos of all kinds, or directions that they span, L landmarks, S shape coefficients, X
inputs, I directions of shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from tqdm import tqdm

from deca.reconstruct.fit import LandmarkSolver
from deca.reconstruct.noise import FACE_OVAL, interior_landmarks

Array = NDArray[np.floating]

OVAL = 0.05
"""Weight of the outline's landmarks beside 1 of those inside: they follow the silhouette, half a centimetre off."""
AVERAGE = 0.005
"""What the square of a coefficient of the average person's shape costs, in squared percents. On 231 people to choose on
the average misses the landmarks by 1.158 % with 0.015, 1.153 % with this, 1.149 % with 0.002; the mean head by 1.169 %.
With less, the average of the landmark network's errors bends the lips."""
_DIRECTIONS = 2500
"""Of inputs, those that differ most: with all of 7,000 the closed form takes minutes more. Choices in docs/fit.md were
made with 2,000."""
WRONG = 36.0
"""Squared landmark distance, in percent, from which on landmarks are not of a face that can be measured."""
_TOGETHER = 16
"""Photos at once: more at a time are no faster."""


@dataclass(frozen=True)
class Evidence:
    """Squared landmark distances of N photos, as quadratics in the shape's offset from a common one:
    squared + 2 slope offset + offset square offset, in squared percents of the outer-eye distance, means of landmarks.
    """

    square_NSS: NDArray[np.float32]
    slope_NS: NDArray[np.float32]
    squared_N: NDArray[np.float32]

    def take(self, rows: NDArray[np.intp]) -> Evidence:
        """That of some photos."""
        return Evidence(self.square_NSS[rows], self.slope_NS[rows], self.squared_N[rows])

    @classmethod
    def of(cls, residual_NL2: Array, response_NL2S: Array) -> Evidence:
        """From what `LandmarkSolver.evidence` gives of MediaPipe's 478 landmarks."""
        inside = interior_landmarks()
        weight_L = np.zeros(residual_NL2.shape[1])
        weight_L[FACE_OVAL], weight_L[inside] = OVAL, 1.0
        root_L11 = 100 * np.sqrt(weight_L / len(inside))[:, None, None]
        count, num_shape = len(residual_NL2), response_NL2S.shape[3]
        response_NYS = (response_NL2S * root_L11).reshape(count, -1, num_shape).astype(np.float32)
        residual_NY = (residual_NL2 * root_L11[..., 0]).reshape(count, -1).astype(np.float32)
        transposed_NSY = response_NYS.transpose(0, 2, 1)
        slope_NS = (transposed_NSY @ residual_NY[..., None])[..., 0]
        return cls(transposed_NSY @ response_NYS, slope_NS, np.square(residual_NY).sum(1))


def gather_evidence(
    solver: LandmarkSolver,
    landmarks_NL2: Array,
    sizes_N2: NDArray[np.integer],
    shape_S: Array,
    *,
    progress: bool = False,
) -> Evidence:
    """What landmarks of photos, pixels, say of shapes near a common one.

    Args:
        solver: Of the head model.
        landmarks_NL2: MediaPipe's landmarks.
        sizes_N2: Width and height of each photo.
        shape_S: The common shape.
        progress: Show a progress bar.
    """
    parts = [
        (rows, Evidence.of(*solver.evidence(landmarks_NL2[rows], size, np.tile(shape_S, (len(rows), 1)))))
        for rows, size in tqdm(together(sizes_N2), unit="batch", disable=not progress)
    ]
    place_N = np.argsort(np.concatenate([rows for rows, _ in parts]))
    fields = ("square_NSS", "slope_NS", "squared_N")
    return Evidence(*(np.concatenate([getattr(found, name) for _, found in parts])[place_N] for name in fields))


def together(sizes_N2: NDArray[np.integer]) -> list[tuple[NDArray[np.intp], tuple[int, int]]]:
    """Rows of photos of the same width and height, a few at a time, and that size."""
    parts = []
    for size in np.unique(sizes_N2, axis=0):
        same = np.flatnonzero((sizes_N2 == size).all(1))
        rows = np.array_split(same, -(-len(same) // _TOGETHER))
        parts += [(part, (int(size[0]), int(size[1]))) for part in rows]
    return parts


def common_offset(evidence: Evidence, prior: float = AVERAGE) -> Array:
    """The offset (S,) that serves all photos best, if every coefficient's square costs `prior`."""
    square_SS = evidence.square_NSS.mean(0, dtype=np.float64) + prior * np.eye(evidence.slope_NS.shape[1])
    return -np.linalg.solve(square_SS, evidence.slope_NS.mean(0, dtype=np.float64))


def average_shape(
    solver: LandmarkSolver, landmarks_NL2: Array, sizes_N2: NDArray[np.integer], *, progress: bool = False
) -> Array:
    """The one shape (S,) that serves photos of many people best, one of each; found from the mean head on.

    Args:
        solver, landmarks_NL2, sizes_N2, progress: As in `gather_evidence`.
    """
    average_S = np.zeros(solver.reduced.num_shape)
    for _ in range(2):  # the evidence is of the first order
        evidence = gather_evidence(solver, landmarks_NL2, sizes_N2, average_S, progress=progress)
        average_S = average_S + common_offset(evidence.take(np.flatnonzero(evidence.squared_N < WRONG)))
    return average_S


def of_others(evidence: Evidence, people: Sequence[str]) -> tuple[NDArray[np.intp], Evidence]:
    """For each photo the mean evidence of its person's other photos.

    Returns:
        The photos that have any, and that evidence.
    """
    by_person: dict[str, list[int]] = {}
    for row, person in enumerate(people):
        by_person.setdefault(person, []).append(row)
    pairs = [(row, [other for other in own if other != row]) for own in by_person.values() for row in own]
    pairs = [(row, others) for row, others in pairs if others]
    fields = (evidence.square_NSS, evidence.slope_NS, evidence.squared_N)
    means = (np.array([field[others].mean(0) for _, others in pairs]) for field in fields)
    return np.array([row for row, _ in pairs], np.intp), Evidence(*means)


@dataclass(frozen=True)
class Directions:
    """Directions of shape in which landmarks of other photos and distances of heads both are sums of squares.

    Attributes:
        dirs_SI: The directions, of unit length by the heads' metric.
        weight_I: Squared landmark distance per unit of each, the largest first.
        read_IS: Coordinates of a shape: `dirs_SI @ read_IS` is the identity.
    """

    dirs_SI: NDArray[np.float64]
    weight_I: NDArray[np.float64]
    read_IS: NDArray[np.float64]

    @classmethod
    def of(cls, square_SS: Array, metric_SS: Array) -> Directions:
        """The generalised eigenvectors of the mean evidence and of the squared distance of heads."""
        weight_I, dirs_SI = eigh(square_SS, metric_SS)
        weight_I, dirs_SI = np.maximum(weight_I[::-1], 0.0), dirs_SI[:, ::-1]
        return cls(dirs_SI, weight_I, dirs_SI.T @ metric_SS)


def joint_ridge(
    seen_NX: Array, slope_NI: Array, weight_I: Array, kept_MX: Array, wanted_MI: Array, keep: float, ridge: float
) -> NDArray[np.float64]:
    """Weights (X, I) of a linear map z = x W of inputs, of which each column is the minimum of

        mean over seen of (weight z^2 + 2 slope z) + keep * mean over kept of (z - wanted)^2 + ridge * |column|^2.

    Args:
        seen_NX: Inputs of photos that tell by evidence.
        slope_NI: Their evidence, in `Directions`, at the common shape.
        weight_I: Likewise.
        kept_MX, wanted_MI: Inputs for which answers are known.
        keep, ridge: Weights of the parts.
    """
    rows_TX = np.concatenate((seen_NX, kept_MX)).astype(np.float32)
    # What the inputs span, so that there are no more unknowns than photos.
    largest = (max(0, len(rows_TX) - _DIRECTIONS), len(rows_TX) - 1)
    size_T, basis_TT = eigh((rows_TX @ rows_TX.T).astype(np.float64), subset_by_index=largest)
    kept_T = size_T > 1e-7 * size_T[-1]
    root_T = np.sqrt(size_T[kept_T])
    span_XT = rows_TX.T @ (basis_TT[:, kept_T] / root_T)
    coordinates_TT = basis_TT[:, kept_T] * root_T
    seen_NT, kept_MT = coordinates_TT[: len(seen_NX)], coordinates_TT[len(seen_NX) :]
    told_TT = seen_NT.T @ seen_NT / len(seen_NT)
    fixed_TT = ridge * np.eye(len(root_T))
    asked_TI = -1.0 * (seen_NT.T @ slope_NI) / len(seen_NT)
    if len(kept_MT):
        fixed_TT += keep * kept_MT.T @ kept_MT / len(kept_MT)
        asked_TI += keep * kept_MT.T @ wanted_MI / len(kept_MT)
    # One decomposition serves the weights of all directions: told = Q^-T diag(share) Q^-1, fixed = Q^-T Q^-1.
    share_T, q_TT = eigh(told_TT, fixed_TT)
    return span_XT @ (q_TT @ ((q_TT.T @ asked_TI) / (np.maximum(share_T, 0)[:, None] * weight_I + 1)))
