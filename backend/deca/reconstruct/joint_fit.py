"""The landmark fit over several photos of one person: one identity, and each photo's own expression, pose and camera.

The cost is the sum of the photos' own (`deca.reconstruct.fit`), with the shape's prior once. Gauss-Newton's matrix is
then an arrow: a block per photo, and a border for the shape. Each photo's block is eliminated by itself (Schur
complement), which leaves equations as large as the shape, whatever the number of photos.

Shape suffixes: P photos, L landmarks, S shape and E expression coefficients, X view and all parameters of a photo,
O those without the shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cho_factor, cho_solve

from deca.head.model import HeadModel
from deca.reconstruct import priors
from deca.reconstruct.fit import _OUTLIER, _VIEW, LandmarkSolver, Placed, _Data, _State, solver_of
from deca.reconstruct.fit_result import HELD, FitResult, Guess

Array = NDArray[np.floating]

_ITERATIONS = 16


@dataclass(frozen=True)
class Marks:
    """The landmarks of the person on one photo.

    Attributes:
        points_L2: MediaPipe landmarks, pixels of the upright photo, y down.
        image_size: Width and height of the photo, pixels.
        focal_px: Its focal length in pixels; None where it is not known.
        teeth_meet: Whether the jaw is known to be closed (`deca.reconstruct.teeth`).
    """

    points_L2: ArrayLike
    image_size: tuple[int, int]
    focal_px: float | None = None
    teeth_meet: bool = False


@dataclass(frozen=True)
class PersonGuess:
    """Codes from elsewhere that the joint fit starts from.

    Attributes:
        shape_S: Mean of the identity's prior.
        expression_PE: Expression coefficients of each photo; missing ones are zero.
        jaw_P3: Axis-angle of the jaw, radians.
        sigma: Standard deviation of the shape coefficients around `shape_S`.
    """

    shape_S: ArrayLike
    expression_PE: ArrayLike
    jaw_P3: ArrayLike
    sigma: float = 1.0


class JointSolver(LandmarkSolver):
    """Fits one head model to the landmarks of one person on several photos."""

    def fit_shape(self, photos: Sequence[Marks], guess: PersonGuess | None = None) -> Array:
        """The shape coefficients (S,) that agree with all photos best.

        Args:
            photos: One at least.
            guess: Codes to start from; without them the fit starts from the mean head and expects people around it.

        Raises:
            LandmarkError: Landmarks have the wrong shape, are not finite, or lie all in one place.
        """
        placed, shapes = self._placed_on(photos), self.reduced.num_shape
        state, sigma = placed.state, 1.0
        mean_PP = np.zeros_like(state.params_BP)
        if guess is not None:
            shape_PS = np.tile(np.asarray(guess.shape_S, np.float64), (len(photos), 1))
            start = self._guessed(Guess(shape_PS, guess.expression_PE, guess.jaw_P3), len(photos))
            state, sigma = replace(state, params_BP=start), guess.sigma
            mean_PP[:, :shapes] = start[:, :shapes]
        data = self._data(self.noise, placed, mean_PP)
        return self._minimise_jointly(state, data, mean_PP[0, :shapes], sigma)

    def fit_held(self, photos: Sequence[Marks], shape_S: Array, expression_PE: Array, jaw_P3: Array) -> FitResult:
        """Expression, pose and camera of each photo for a given shape; as `fit`, a row per photo."""
        fits = []
        for row, photo in enumerate(photos):
            guess = Guess(shape_S[None], expression_PE[row : row + 1], jaw_P3[row : row + 1], HELD)
            points_1L2 = np.asarray(photo.points_L2)[None]
            solver = self.closed() if photo.teeth_meet else self
            fits.append(solver.fit(points_1L2, photo.image_size, focal_px=photo.focal_px, guess=guess))
        merged = {name: np.concatenate([getattr(fit, name) for fit in fits]) for name in fits[0].__dataclass_fields__}
        return replace(FitResult(**merged), shape_BS=np.tile(shape_S, (len(photos), 1)))

    def _placed_on(self, photos: Sequence[Marks]) -> Placed:
        each = []
        for photo in photos:
            found_1L2, trust_1L = self._checked(np.asarray(photo.points_L2)[None], None, photo.focal_px)
            each.append(self.placed(found_1L2, photo.image_size, trust_1L, photo.focal_px))
        return _joined(each)

    def _minimise_jointly(self, state: _State, data: _Data, mean_S: Array, sigma: float) -> Array:
        """Levenberg-Marquardt on the shape and all photos' parameters; the shape (S,)."""
        shape = slice(_VIEW, _VIEW + self.reduced.num_shape)
        rest = np.delete(np.arange(len(self._precision)), np.arange(shape.start, shape.stop))
        own = self._precision.copy()
        own[shape, shape] = 0.0

        def cost_of(state: _State) -> float:
            residual_PL2 = self._residuals(state, data)
            offset_S = state.params_BP[0, : len(mean_S)] - mean_S
            return float(self._cost(state, data, own, residual_PL2).sum() + offset_S @ offset_S / sigma**2)

        damping = 1e-3
        for iteration in range(_ITERATIONS):
            residual_PL2 = self._residuals(state, data)
            if iteration in (0, 1, 3):  # then it stays, so that costs can be compared
                data.outlier_B[:] = np.maximum(_OUTLIER, 2 * np.median(np.linalg.norm(residual_PL2, axis=2), axis=1))
            cost = cost_of(state)
            hessian_PXX, gradient_PX = self._normal_equations(state, data, own, residual_PL2)
            matrix_SS = hessian_PXX[:, shape, shape].sum(0) + np.eye(len(mean_S)) / sigma**2
            right_S = gradient_PX[:, shape].sum(0) + (state.params_BP[0, : len(mean_S)] - mean_S) / sigma**2
            while True:
                step_PX = _arrow_step(hessian_PXX, gradient_PX, matrix_SS, right_S, shape, rest, damping)
                trial = state.stepped(step_PX).within(
                    self._low_P - priors.LIMIT_SIGMA, self._high_P + priors.LIMIT_SIGMA
                )
                after = cost_of(trial)
                if after < cost or damping > 1e3:
                    break
                damping *= 8.0
            if after >= cost:
                break
            state, damping = trial, damping * 0.2
            if iteration > 3 and cost - after < 1e-4 * cost:
                break
        return state.params_BP[0, : len(mean_S)]


def joint_solver(head: HeadModel) -> JointSolver:
    """The solver of a head model, kept as that for single photos is."""
    solver = solver_of(head, JointSolver)
    assert isinstance(solver, JointSolver)
    return solver


def _arrow_step(
    hessian_PXX: Array,
    gradient_PX: Array,
    matrix_SS: Array,
    right_S: Array,
    shape: slice,
    rest: NDArray[np.intp],
    damping: float,
) -> Array:
    """The damped step (P, X) of the arrow-shaped equations; its shape entries are the same in every row."""
    step_PX = np.empty_like(gradient_PX)
    matrix_SS = matrix_SS + damping * np.diag(np.diag(matrix_SS))
    right_S, solved = right_S.copy(), []
    for hessian_XX, gradient_X in zip(hessian_PXX, gradient_PX, strict=True):
        block_OO = hessian_XX[np.ix_(rest, rest)]
        block_OO[np.diag_indices_from(block_OO)] *= 1 + damping
        border_OS, right_O = hessian_XX[rest, shape], gradient_X[rest]
        both = cho_solve(cho_factor(block_OO, check_finite=False), np.column_stack((border_OS, right_O)))
        matrix_SS -= border_OS.T @ both[:, :-1]
        right_S -= border_OS.T @ both[:, -1]
        solved.append(both)
    shape_S = -cho_solve(cho_factor(matrix_SS, check_finite=False), right_S)
    for row, both in enumerate(solved):
        step_PX[row, shape] = shape_S
        step_PX[row, rest] = -both[:, -1] - both[:, :-1] @ shape_S
    return step_PX


def _joined(each: Sequence[Placed]) -> Placed:
    """Placements of several photos as one batch."""
    states = [one.state for one in each]
    state = _State(*(np.concatenate([getattr(s, name) for s in states]) for name in _State.__dataclass_fields__))
    rest = [name for name in Placed.__dataclass_fields__ if name != "state"]
    return Placed(state, *(np.concatenate([getattr(one, name) for one in each]) for name in rest))
