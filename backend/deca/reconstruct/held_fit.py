"""The landmark fit for the frames of a video: one identity, held, and each frame's expression, pose and camera.

A photo's fit lays the head onto the landmarks. Here movement counts, so it differs in three ways. A few frames over the
whole video tell first where the network sees this person's features at rest (its error of one face is mostly the same
in all frames); only what moves from there is expression. Expression is a few of ARKit's units that push, rather than
fifty coefficients of either sign. And lids, lips and brows, which have edges to be seen, count more than bare skin,
whose landmarks the network guesses.

Shape suffixes: F frames, L landmarks, S shape and E expression coefficients, U units, P parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deca.head.model import HeadModel
from deca.reconstruct import priors
from deca.reconstruct.acted_units import JAW_SIGMA, ActedUnits, acted_jaw
from deca.reconstruct.fit import _TRACED_OUTLIER, _VIEW, LandmarkSolver, _Solved, solver_of
from deca.reconstruct.fit_result import FitResult
from deca.reconstruct.noise import OUTER_EYES, looseness

Array = NDArray[np.floating]

_JAW, _EYES = 2, slice(3, 5)
_BATCH = 8
"""Frames solved at once: they share the overhead of numpy's calls, and the start."""
_ITERATIONS = 12
"""With 8, blinks end up to 2 mm from where they end in another order of the frames; with 12, 0.4 mm."""
TRACING = 0.002
"""Standard deviation, metres, with which frames follow landmarks on edges."""
_SKIN, _LIDS = 3.0, 0.7
"""That of landmarks on bare skin and on the edges of the lids, in units of the others'."""
_REST_TRACING = 0.004
"""The same while the face at rest is looked for: only large movements count as expression, all else as the person."""
_REST_FRAMES, _REST_ROUNDS = 12, 2
_LID_PAIRS = np.array([[159, 145], [158, 153], [160, 144], [386, 374], [385, 380], [387, 373]])
"""Landmarks above each other on the lids, the upper ones first."""
_USUAL, _CLOSED = 75, 0.4
"""Percentile of the lids' gap over a video that is an open eye; the part of it below which the iris is not seen."""


class HeldSolver(LandmarkSolver):
    """Fits one person to landmarks, frame after frame.

    Args:
        head: The head model.
        shape_S: The person's shape coefficients; those beyond the head model's are left out.
        is_acted: Give movements the size that they were acted with; else that which the landmarks show.

    Raises:
        AssetError: The head model has no MediaPipe landmarks.
    """

    def __init__(self, head: HeadModel, shape_S: ArrayLike, is_acted: bool = True) -> None:
        self._shape_S = np.asarray(shape_S, np.float64)[: head.shape_dirs_V3S.shape[2]]
        dirs_V3S = head.shape_dirs_V3S[:, :, : len(self._shape_S)]
        person_V3 = (head.template_V3 + dirs_V3S @ self._shape_S).astype(np.float32)
        known = solver_of(head)
        noise = replace(
            known.noise, loadings_L2R=known.noise.loadings_L2R[..., :0], gain_L2C=known.noise.gain_L2C[..., :0]
        )
        person = replace(head, template_V3=person_V3)
        self._is_acted, self._units = is_acted, ActedUnits.of(head, known.reduced.num_expression)
        if self._units is None:
            super().__init__(person, noise=noise, num_shape=0)
            self._mean_P = np.zeros(len(self._low_P))
            return
        dirs_EU = self._units.dirs_EU.astype(np.float32)
        count = dirs_EU.shape[1]
        person = replace(person, expression_dirs_V3E=person.expression_dirs_V3E[:, :, : len(dirs_EU)] @ dirs_EU)
        super().__init__(person, noise=noise, num_shape=0, num_expression=count)
        units = slice(_VIEW, _VIEW + count)
        self._precision[units, units] = self._units.precision()
        self._precision[units.stop, units.stop] = 1 / JAW_SIGMA**2
        self._low_P[:count], self._high_P[:count] = 0.0, 1.0
        self._mean_P = np.zeros(len(self._low_P))
        self._mean_P[:count] = self._units.mean_U

    def follow(
        self,
        landmarks_FL2: ArrayLike,
        image_size: tuple[int, int],
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> FitResult:
        """Expression, pose and camera of each frame, in the frames' order.

        Args:
            landmarks_FL2: MediaPipe landmarks (F, 478, 2), pixels, y down.
            image_size: Width and height of the frames, pixels.
            progress: Called now and then with a fraction in [0, 1]; may raise to cancel.

        Returns:
            A row per frame; its shape is the person's.

        Raises:
            LandmarkError: Landmarks have the wrong shape, are not finite, or lie all in one place.
        """
        detected_FL2, trust_FL = self._checked(landmarks_FL2, None, None)
        if not len(detected_FL2):
            return self._nobody()
        neutral = self.reduced
        self.reduced = neutral.moved(self._rest(detected_FL2, trust_FL, image_size))
        try:
            fits = []
            for done, solved in self._solved_batches(detected_FL2, trust_FL, image_size, TRACING):
                progress(done / len(detected_FL2))
                fits.append(self._performed(detected_FL2[done : done + _BATCH], solved))
        finally:
            self.reduced = neutral
        merged = {name: np.concatenate([getattr(fit, name) for fit in fits]) for name in FitResult.__dataclass_fields__}
        shape_FS = np.tile(self._shape_S, (len(detected_FL2), 1))
        pose_F53 = _gaze_held(merged.pop("pose_B53"), _eyes_open(detected_FL2))
        return FitResult(**merged | {"shape_BS": shape_FS, "pose_B53": pose_F53})

    def _rest(self, detected_FL2: Array, trust_FL: Array, image_size: tuple[int, int]) -> Array:
        """Where the network sees this person's landmarks at rest, less where the head has them: (L, 3), metres.

        The median over a few frames of what a fit of large movements leaves.
        """
        rows = np.unique(np.linspace(0, len(detected_FL2) - 1, _REST_FRAMES).round().astype(int))
        neutral, offset_L3 = self.reduced, np.zeros((self.reduced.num_points, 3))
        for _ in range(_REST_ROUNDS):
            left = []
            for _, solved in self._solved_batches(detected_FL2[rows], trust_FL[rows], image_size, _REST_TRACING):
                state, data = solved.state, solved.data
                seen_BL2, _, enlargement_BL = self._project(state, data)
                size_BL = np.exp(state.log_scale_B)[:, None] * enlargement_BL
                plane_BL2 = (data.points_BL2 - seen_BL2) / size_BL[..., None] * self._placed_L[:, None]
                turned_BL3 = np.concatenate((plane_BL2, np.zeros_like(plane_BL2[..., :1])), axis=2) @ state.root_B33
                codes = self.reduced.num_codes
                turns_BL33 = self.reduced.turns(state.params_BP[:, codes : codes + 7])
                left.append(np.einsum("blyx,bly->blx", turns_BL33, turned_BL3))
            offset_L3 = offset_L3 + np.median(np.concatenate(left), axis=0)
            self.reduced = neutral.moved(offset_L3)
        self.reduced = neutral
        return offset_L3

    def _solved_batches(
        self, detected_FL2: Array, trust_FL: Array, image_size: tuple[int, int], sigma: float
    ) -> Iterator[tuple[int, _Solved]]:
        """Fits of the frames, some at once, each from where the last ended; with the first's number."""
        noise, last_P = self._tracing_noise(sigma), None
        for first in range(0, len(detected_FL2), _BATCH):
            batch = slice(first, first + _BATCH)
            placed = self.placed(detected_FL2[batch], image_size, trust_FL[batch], None)
            state = placed.state
            if last_P is not None:
                state = replace(state, params_BP=np.tile(last_P, (len(state.params_BP), 1)))
            data = self._data(noise, placed, np.tile(self._mean_P, (len(state.params_BP), 1)))
            state = self._minimise(state, data, self._precision, _ITERATIONS, _TRACED_OUTLIER / sigma)
            last_P = state.params_BP[-1]
            yield first, _Solved(state, data, placed)

    def _performed(self, detected_BL2: Array, solved: _Solved) -> FitResult:
        fit = self._result(detected_BL2, solved)
        if self._units is None:
            return fit
        weights_BU = fit.expression_BE
        if not self._is_acted:
            return replace(fit, expression_BE=weights_BU @ self._units.dirs_EU.T)
        pose_B53 = fit.pose_B53.copy()
        pose_B53[:, _JAW, 0] = np.clip(acted_jaw(pose_B53[:, _JAW, 0]), *priors.JAW_RANGE)
        return replace(fit, expression_BE=self._units.acted(weights_BU), pose_B53=pose_B53)

    def _looseness(self) -> Array:
        return looseness(self.reduced.num_points, _SKIN, _LIDS)


def _eyes_open(detected_FL2: Array) -> NDArray[np.bool_]:
    """Where irises are to be seen (F,): lids that are apart, compared with the same eyes in the rest of the video."""
    if detected_FL2.shape[1] != 478:
        return np.ones(len(detected_FL2), bool)
    apart_FP2 = detected_FL2[:, _LID_PAIRS[:, 1]] - detected_FL2[:, _LID_PAIRS[:, 0]]
    across_F2 = detected_FL2[:, OUTER_EYES[1]] - detected_FL2[:, OUTER_EYES[0]]
    down_F2 = np.stack((-across_F2[:, 1], across_F2[:, 0]), axis=1) / (across_F2**2).sum(axis=1, keepdims=True)
    gap_F = np.einsum("fpx,fx->f", apart_FP2, down_F2)
    return gap_F > _CLOSED * np.percentile(gap_F, _USUAL)


def _gaze_held(pose_F53: Array, open_F: NDArray[np.bool_]) -> Array:
    """The pose with the gaze of closed eyes interpolated: on their lids the network draws irises that look down."""
    if not open_F.any():
        return pose_F53
    out, rows = pose_F53.copy(), np.arange(len(pose_F53))
    gaze_FX = out[:, _EYES].reshape(len(out), -1)
    held_XF = [np.interp(rows, rows[open_F], gaze_F[open_F]) for gaze_F in gaze_FX.T]
    out[:, _EYES] = np.stack(held_XF, axis=1).reshape(len(out), 2, 3)
    return out
