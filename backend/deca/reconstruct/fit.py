"""The landmark fit: photo landmarks -> shape, expression, pose and camera of a head model.

Maximum a posteriori by damped Gauss-Newton (Levenberg-Marquardt) with analytic derivatives, batched over faces. First
the mean head is placed rigidly; then, in a frame where that placement's roll, scale and shift are removed, everything
is solved at once against the calibrated landmark noise (`deca.reconstruct.noise`) and Gaussian priors
(`deca.reconstruct.priors`). That decides the identity. Last the landmarks are traced: with the identity all but held,
expression, pose and camera follow what the network saw, systematic errors included, so that the head lies on the photo.
Covered or wrong landmarks lose their weight (Geman-McClure).

Shape suffixes: B batch, L landmarks, S shape and E expression coefficients, K codes (shape then expression),
P parameters, R noise factors.
"""

from __future__ import annotations

from collections import OrderedDict
from copy import copy
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import block_diag, cho_factor, cho_solve

from deca.errors import AssetError, DecaError
from deca.head.model import HeadModel, SurfacePoints
from deca.reconstruct import priors
from deca.reconstruct.edges import INNER_LIPS, JAW_BEHIND_LIPS_SIGMA, ShownEdges, jaw_behind_lips
from deca.reconstruct.fit_result import HELD, FitResult, Guess, Leeway
from deca.reconstruct.geometry import apply, axis_angle, rotation, scaled_orthographic, skew, turn, turn3, view_angles
from deca.reconstruct.landmark_head import NUM_POSE, LandmarkHead
from deca.reconstruct.noise import (
    OUTER_EYES,
    LandmarkNoise,
    calibrated_noise,
    interior_landmarks,
    looseness,
)

Array = NDArray[np.floating]

ASSUMED_DISTANCE = 2.0
"""Metres between camera and head when the focal length is unknown; chosen on photos (docs/fit.md)."""

_VIEW = 6  # root rotation, log scale, shift
_OUTLIER = 4.0  # standard deviations at which a landmark's pull is greatest
_TRACED_OUTLIER = 0.0064
"""The same when landmarks are traced, metres: lips go further than that only where something covers them."""
_LIDS, _INNER_LIPS = 0.7, 0.6
"""Standard deviations of landmarks on the lids' edges and on the inner lips when landmarks are traced, in units of the
others'; chosen on photos (docs/fit.md)."""


def fit_landmarks(
    landmarks_BL2: ArrayLike,
    image_size: tuple[int, int],
    head: HeadModel,
    *,
    confidence_BL: ArrayLike | None = None,
    focal_px: float | None = None,
    guess: Guess | None = None,
    teeth_meet_B: ArrayLike | None = None,
) -> FitResult:
    """Fits a head model to the landmarks of faces.

    Args:
        landmarks_BL2: MediaPipe landmarks (B, 478, 2), pixels of the upright photo, y down.
        image_size: Width and height of the photo, pixels.
        head: The head model; needs `landmarks_478`.
        confidence_BL: Weight of each landmark in 0..1, e.g. 0 where the face is known to be covered.
        focal_px: The photo's focal length in pixels; without it the camera is taken to be `ASSUMED_DISTANCE` away.
        guess: Codes to refine; without them the fit starts from the mean head and expects people around it.
        teeth_meet_B: Faces whose jaw is known to be closed, however far their lips are apart.

    Raises:
        LandmarkError: The landmarks have the wrong shape, are not finite, or lie all in one place.
        AssetError: The head model has no MediaPipe landmarks.
    """
    solver = solver_of(head)
    closed = np.flatnonzero([] if teeth_meet_B is None else teeth_meet_B)
    if not len(closed):
        return solver.fit(landmarks_BL2, image_size, confidence_BL=confidence_BL, focal_px=focal_px, guess=guess)
    shut = solver.closed().fit(
        np.asarray(landmarks_BL2)[closed],
        image_size,
        confidence_BL=None if confidence_BL is None else np.asarray(confidence_BL)[closed],
        focal_px=focal_px,
        guess=None if guess is None else guess.take(closed),
    )
    if len(closed) == len(np.asarray(landmarks_BL2)):
        return shut
    others = solver.fit(landmarks_BL2, image_size, confidence_BL=confidence_BL, focal_px=focal_px, guess=guess)
    return others.replaced(closed, shut)


class LandmarkError(DecaError):
    """Landmarks that no head can be fitted to."""


_SOLVERS: OrderedDict[tuple[int, type], LandmarkSolver] = OrderedDict()


def solver_of(head: HeadModel, kind: type[LandmarkSolver] | None = None) -> LandmarkSolver:
    """The solver of a head model; building one takes longer than a fit, so the last few are kept."""
    kind = kind or LandmarkSolver
    solver = _SOLVERS.pop((id(head), kind), None) or kind(head)
    _SOLVERS[id(head), kind] = solver  # it holds the head, whose id thus stays its own
    while len(_SOLVERS) > 4:
        _SOLVERS.popitem(last=False)
    return solver


@dataclass(frozen=True)
class _State:
    """An estimate: camera = scale * (root @ y) + shift; codes, pose and noise factors in one vector."""

    root_B33: Array
    log_scale_B: Array
    shift_B2: Array
    params_BP: Array

    def take(self, rows: NDArray) -> _State:
        return _State(self.root_B33[rows], self.log_scale_B[rows], self.shift_B2[rows], self.params_BP[rows])

    def stepped(self, step_BX: Array) -> _State:
        return _State(
            rotation(step_BX[:, :3]) @ self.root_B33,
            self.log_scale_B + step_BX[:, 3],
            self.shift_B2 + step_BX[:, 4:_VIEW],
            self.params_BP + step_BX[:, _VIEW:],
        )

    def within(self, low_P: Array, high_P: Array) -> _State:
        return replace(self, params_BP=np.clip(self.params_BP, low_P, high_P))

    def where(self, better_B: NDArray[np.bool_], other: _State) -> _State:
        def pick(a: Array, b: Array) -> Array:
            return np.where(better_B.reshape(-1, *[1] * (a.ndim - 1)), a, b)

        return _State(*(pick(getattr(self, name), getattr(other, name)) for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class _Data:
    """What the faces are fitted to, in the upright frame: metres, x right, y up.

    Attributes:
        points_BL2: Landmarks less the view's bias.
        whitening_BL22: Residuals to standard deviations.
        confidence_BL: Weights in 0..1.
        axis_B2: Where the lens looks (the photo's middle; unknown lenses are taken to look at the head).
        nearness_B: Perspective: 1 / distance of the camera, in metres, at the first placement's scale.
        errors_BL2Q: Whitened displacement per error code: the noise's gain on the codes and jaw, then its factors.
        prior_mean_BP: Mean of the parameters' prior.
        outlier_B: Residual, in standard deviations, at which a landmark's pull is greatest.
    """

    points_BL2: Array
    whitening_BL22: Array
    confidence_BL: Array
    axis_B2: Array
    nearness_B: Array
    errors_BL2Q: Array
    prior_mean_BP: Array
    outlier_B: Array

    def take(self, rows: NDArray) -> _Data:
        return _Data(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class Placed:
    """Faces with the mean head placed on them rigidly, in the upright frame: what the fit goes on from.

    Attributes:
        state: The mean head, turned as the faces are but for their roll.
        upright_BL2: The landmarks; metres, x right, y up.
        confidence_BL: Their weights in 0..1.
        yaw_B, pitch_B: The view, radians.
        axis_B2, nearness_B: As in `_Data`.
        roll_B, scale_B, shift_B2: What takes the upright frame to the photo: radians; pixels per metre; pixels.
    """

    state: _State
    upright_BL2: Array
    confidence_BL: Array
    yaw_B: Array
    pitch_B: Array
    axis_B2: Array
    nearness_B: Array
    roll_B: Array
    scale_B: Array
    shift_B2: Array


@dataclass(frozen=True)
class _Solved:
    """An estimate, what it was fitted to, and the way back to the photo; in the upright frame."""

    state: _State
    data: _Data
    placed: Placed


class LandmarkSolver:
    """Fits one head model to landmarks; reusable, keeps the precomputed bases.

    Args:
        head: The head model.
        points: The surface points that the landmarks stand for; by default the head's 478 MediaPipe landmarks.
        noise: The landmarks' noise; by default the head model's calibrated one, or plain noise where there is none.
        num_shape, num_expression: Leading coefficients fitted.
    """

    def __init__(
        self,
        head: HeadModel,
        points: SurfacePoints | None = None,
        noise: LandmarkNoise | None = None,
        num_shape: int = 100,
        num_expression: int = 50,
    ) -> None:
        points = points or head.landmarks_478
        if points is None:
            raise AssetError(
                f"The head model {head.name} has no MediaPipe landmarks to fit.",
                "Convert it again with --mediapipe mediapipe_landmark_embedding.npz (from FLAME's site), "
                "or give DECA weights for it.",
            )
        self.head = head
        self.reduced = LandmarkHead(head, points, num_shape, num_expression)
        self.noise = noise or calibrated_noise(head, self.reduced)
        count = self.reduced.num_points
        codes, factors = priors.precision(self.reduced), self.noise.loadings_L2R.shape[2]
        self._precision: Array = np.asarray(block_diag(np.zeros((_VIEW, _VIEW)), codes, np.eye(factors)))
        self._low_P, self._high_P = priors.limits(self.reduced, factors)
        self._placed_L = points.placed
        plain = LandmarkNoise.plain(count, self.reduced.num_codes + 1, Leeway().tracing)
        self._trust_L = points.placed / plain.covariance_YL22[0].trace(axis1=1, axis2=2)
        interior = interior_landmarks(count) if count == 478 else np.arange(count)
        self._interior = interior[points.placed[interior]]
        self._teeth_meet = False
        # Landmarks whose noise is told are where it says; the network's see edges in a way of their own.
        self._edges = ShownEdges.of(head, points, num_shape, num_expression) if noise is None else None

    def fit(
        self,
        landmarks_BL2: ArrayLike,
        image_size: tuple[int, int],
        *,
        confidence_BL: ArrayLike | None = None,
        focal_px: float | None = None,
        guess: Guess | None = None,
        max_iterations: int = 12,
        trace: bool = True,
    ) -> FitResult:
        """See `fit_landmarks`; without `trace` the fit ends with the first of its two estimates."""
        detected_BL2, trust_BL = self._checked(landmarks_BL2, confidence_BL, focal_px)
        if len(detected_BL2) == 0:
            return self._nobody()
        solved = self._solved(detected_BL2, trust_BL, image_size, focal_px, guess, max_iterations, trace)
        return self._result(detected_BL2, solved)

    def left(self, landmarks_BL2: ArrayLike, image_size: tuple[int, int], guess: Guess) -> Array:
        """What the fit leaves of landmarks (B, L, 2), their bias included: detected less projected, metres, x right and
        y up on the picture with the head's roll removed. Arguments as in `fit`."""
        solved = self._solved(*self._checked(landmarks_BL2, None, None), image_size, None, guess)
        return solved.placed.upright_BL2 - self._project(solved.state, solved.data)[0]

    def stiff(self, sigma: float) -> LandmarkSolver:
        """This solver with expression coefficients of another standard deviation: to see what none would leave."""
        other, expression = copy(self), np.arange(_VIEW + self.reduced.num_shape, _VIEW + self.reduced.num_codes)
        other._precision = self._precision.copy()
        other._precision[expression, expression] = 1 / sigma**2
        return other

    def closed(self) -> LandmarkSolver:
        """This solver for faces whose teeth meet."""
        other, jaw = copy(self), _VIEW + self.reduced.num_codes
        other._precision = self._precision.copy()
        other._precision[jaw, jaw] = 1 / priors.TEETH_MEET_SIGMA**2
        other._teeth_meet = True
        return other

    def evidence(
        self, landmarks_BL2: ArrayLike, image_size: tuple[int, int], shape_BS: NDArray
    ) -> tuple[Array, NDArray[np.float32]]:
        """How far landmarks lie from heads whose shape is held while expression, pose and camera follow them, and what
        other shapes would change in it, to first order.

        Args:
            landmarks_BL2, image_size: As in `fit`.
            shape_BS: The shapes.

        Returns:
            Head less photo (B, L, 2), in outer-eye distances, x right and y up on the picture with the head's roll
            removed; its derivatives by the shape coefficients (B, L, 2, S). Landmarks that are not placed have zeros.
        """
        detected_BL2, trust_BL = self._checked(landmarks_BL2, None, None)
        guess = Guess(shape_BS, np.zeros((len(shape_BS), 0)), np.zeros((len(shape_BS), 3)), HELD)
        solved = self._solved(detected_BL2, trust_BL, image_size, None, guess)
        state, data = solved.state, solved.data
        residual_BL2 = self._residuals(state, data)
        jacobian_BL2X = self.jacobian(state, data)
        weight_BL = _robust_weight(residual_BL2, data)
        shape = slice(_VIEW, _VIEW + self.reduced.num_shape)
        rest = np.r_[: shape.start, shape.stop : len(self._precision)]
        for i, jacobian_L2X in enumerate(jacobian_BL2X):
            others_NX = jacobian_L2X[..., rest].reshape(-1, len(rest))
            weighted_XN = (others_NX * weight_BL[i].repeat(2)[:, None]).T
            square_XX = weighted_XN @ others_NX + self._precision[np.ix_(rest, rest)]
            follows_XS = np.linalg.solve(square_XX, weighted_XN @ jacobian_L2X[..., shape].reshape(len(others_NX), -1))
            jacobian_L2X[..., shape] -= jacobian_L2X[..., rest] @ follows_XS.astype(np.float32)
        eyes_B = np.linalg.norm(detected_BL2[:, OUTER_EYES[0]] - detected_BL2[:, OUTER_EYES[1]], axis=1)
        size_BL22 = np.linalg.inv(data.whitening_BL22) * (solved.placed.scale_B / eyes_B)[:, None, None, None]
        size_BL22 *= self._placed_L[:, None, None]
        return apply(size_BL22, residual_BL2), (size_BL22 @ jacobian_BL2X[..., shape]).astype(np.float32)

    def _solved(
        self,
        detected_BL2: Array,
        trust_BL: Array,
        image_size: tuple[int, int],
        focal_px: float | None,
        guess: Guess | None,
        max_iterations: int = 12,
        trace: bool = True,
    ) -> _Solved:
        placed = self.placed(detected_BL2, image_size, trust_BL, focal_px)
        state = placed.state
        mean_BP, precision = np.zeros_like(state.params_BP), self._precision
        leeway = Leeway() if guess is None else guess.leeway
        if guess is not None:
            state = replace(state, params_BP=self._guessed(guess, len(mean_BP)))
            mean_BP[:, : self.reduced.num_shape] = state.params_BP[:, : self.reduced.num_shape]
            precision = self._held(leeway.shape)
        data = self._data(self.noise, placed, mean_BP)
        state = self._minimise(state, data, precision, max_iterations, _OUTLIER)
        if trace:
            mean_BP = np.zeros_like(state.params_BP)
            mean_BP[:, : self.reduced.num_shape] = state.params_BP[:, : self.reduced.num_shape]
            state.params_BP[:, self.reduced.num_codes + NUM_POSE :] = 0.0
            data = self._data(self._tracing_noise(leeway.tracing), placed, mean_BP)
            precision = self._held(leeway.tracing_shape)
            if self._edges is not None:
                data, precision = self._at_edges(self._edges, data, precision, state, placed)
            state = self._minimise(state, data, precision, 6, _TRACED_OUTLIER / leeway.tracing)
        return _Solved(state, data, placed)

    def placed(
        self, detected_BL2: Array, image_size: tuple[int, int], trust_BL: Array, focal_px: float | None
    ) -> Placed:
        """Where the mean head lies on the faces of one photo, and the frame in which they are fitted."""
        # The photo with y up and its middle as the origin, for well-conditioned numbers.
        middle = np.array([image_size[0] / 2, image_size[1] / 2])
        photo_BL2 = np.multiply(detected_BL2 - middle, (1, -1))
        state, scale_B, shift_B2, nearness_B = self._place(photo_BL2, trust_BL, focal_px)
        roll_B, yaw_B, pitch_B = view_angles(state.root_B33)
        upright_BL2 = (photo_BL2 - shift_B2[:, None]) / scale_B[:, None, None] @ turn(-roll_B).transpose(0, 2, 1)
        axis_B2 = np.zeros_like(shift_B2)
        if focal_px is not None:
            axis_B2 = apply(turn(-roll_B), -shift_B2 / scale_B[:, None])
        state = replace(state, root_B33=turn3(-roll_B) @ state.root_B33)
        shift_B2 = shift_B2 * (1, -1) + middle
        return Placed(state, upright_BL2, trust_BL, yaw_B, pitch_B, axis_B2, nearness_B, roll_B, scale_B, shift_B2)

    def _tracing_noise(self, sigma: float) -> LandmarkNoise:
        """Noise with which landmarks are traced: independent, of this size in metres, with the known bias."""
        plain = LandmarkNoise.plain(self.reduced.num_points, self.reduced.num_codes + 1, sigma)
        factor_L = self._looseness()
        return replace(
            plain, bias_FL2=self.noise.bias_FL2, covariance_YL22=plain.covariance_YL22 * factor_L[:, None, None] ** 2
        )

    def _looseness(self) -> Array:
        """How loosely each landmark (L,) is traced, in units of the others' standard deviation."""
        factor_L = looseness(self.reduced.num_points, 1.0, _LIDS)
        if self._edges is not None:
            factor_L[INNER_LIPS] = _INNER_LIPS
        return factor_L

    def _held(self, sigma: float) -> Array:
        """The prior precision with this standard deviation of the shape coefficients."""
        precision, shape = self._precision.copy(), np.arange(_VIEW, _VIEW + self.reduced.num_shape)
        precision[shape, shape] = 1 / sigma**2
        return precision

    def _data(self, noise: LandmarkNoise, placed: Placed, mean_BP: Array) -> _Data:
        whitening_BL22 = noise.whitening(placed.yaw_B)
        factors = np.zeros(
            (*placed.upright_BL2.shape[1:], len(self._precision) - _VIEW - self.reduced.num_codes - NUM_POSE)
        )
        factors[..., : noise.loadings_L2R.shape[2]] = noise.loadings_L2R
        errors_BL2Q = whitening_BL22 @ np.concatenate((noise.gain_L2C, factors), axis=2)
        outlier_B = np.full(len(mean_BP), np.inf)
        points_BL2 = placed.upright_BL2 - noise.bias(placed.yaw_B, placed.pitch_B)
        lens = placed.axis_B2, placed.nearness_B
        return _Data(points_BL2, whitening_BL22, placed.confidence_BL, *lens, errors_BL2Q, mean_BP, outlier_B)

    def _at_edges(
        self, edges: ShownEdges, data: _Data, precision: Array, state: _State, placed: Placed
    ) -> tuple[_Data, Array]:
        """Data with lips and lids where the head has them when it shows what the photo shows, and with the jaw that is
        to be expected behind these lips; the prior's precision with that."""
        codes, shapes = self.reduced.num_codes, self.reduced.num_shape
        codes_BK, pose_B7 = state.params_BP[:, :codes], state.params_BP[:, codes : codes + NUM_POSE]
        beyond_BN = edges.beyond(codes_BK, pose_B7, state.root_B33)
        neutral_BP = state.params_BP.copy()
        neutral_BP[:, shapes:] = 0.0
        upright_BL2 = placed.upright_BL2
        rest_BL2 = self._project(replace(state, params_BP=neutral_BP), data)[0] + upright_BL2 - data.points_BL2
        mean_BP, precision = data.prior_mean_BP.copy(), precision.copy()
        if not self._teeth_meet:
            mean_BP[:, codes] = jaw_behind_lips(upright_BL2, rest_BL2)
            precision[_VIEW + codes, _VIEW + codes] = 1 / JAW_BEHIND_LIPS_SIGMA**2
        points_BL2 = edges.traced(data.points_BL2, upright_BL2, rest_BL2, beyond_BN)
        return replace(data, points_BL2=points_BL2, prior_mean_BP=mean_BP), precision

    # -- The two stages -------------------------------------------------------------------------------------------

    def _place(
        self, photo_BL2: Array, confidence_BL: Array, focal_px: float | None
    ) -> tuple[_State, Array, Array, Array]:
        """The mean head's rigid placement: robust affine camera, reduced to scale, rotation and shift."""
        batch = len(photo_BL2)
        start = self._start(batch)
        rest_L3 = self.reduced.positions(start.params_BP[:1, : self.reduced.num_codes], np.zeros((1, NUM_POSE)))[0]
        trust_L = 1 / np.sqrt(self.noise.covariance_YL22[len(self.noise.covariance_YL22) // 2].trace(axis1=1, axis2=2))
        weight_BL = confidence_BL * np.minimum(trust_L / np.median(trust_L), 1.0)
        nearness_B = np.full(batch, 1 / ASSUMED_DISTANCE)
        robust_BL = np.ones_like(weight_BL)
        target_BL2 = photo_BL2
        for _ in range(8):
            root_B33, scale_B, shift_B2 = scaled_orthographic(rest_L3, target_BL2, weight_BL * robust_BL)
            turned_BL3 = rest_L3 @ root_B33.transpose(0, 2, 1)
            if focal_px is not None:
                nearness_B = np.minimum(scale_B / focal_px, 1 / 0.25)
            zoom_BL1 = 1 / (1 - nearness_B[:, None, None] * turned_BL3[..., 2:])
            # Undo the perspective of the estimate, so that the next round sees an orthographic picture (POSIT).
            target_BL2 = (photo_BL2 - shift_B2[:, None]) / zoom_BL1 + shift_B2[:, None]
            error_BL = np.linalg.norm(
                scale_B[:, None, None] * turned_BL3[..., :2] + shift_B2[:, None] - target_BL2, axis=2
            )
            width_B1 = 2.0 * _masked_median(error_BL, weight_BL > 0)[:, None] + 1e-9
            robust_BL = (width_B1**2 / (width_B1**2 + error_BL**2)) ** 2
        return replace(start, root_B33=root_B33), scale_B, shift_B2, nearness_B

    def _guessed(self, guess: Guess, batch: int) -> Array:
        """A guess as parameters, within the soft limits, which the steps could hardly lead back into."""
        codes, params_BP = self.reduced.num_codes, self._start(batch).params_BP
        for start, stop, values in (
            (0, self.reduced.num_shape, guess.shape_BS),
            (self.reduced.num_shape, codes, guess.expression_BE),
            (codes, codes + 3, guess.jaw_B3),
        ):
            given = np.asarray(values, np.float64)[:, : stop - start]
            params_BP[:, start : start + given.shape[1]] = given
        return np.clip(params_BP, self._low_P, self._high_P)

    def _minimise(self, state: _State, data: _Data, precision: Array, max_iterations: int, outlier: float) -> _State:
        """Levenberg-Marquardt on all parameters; faces leave the batch as they converge."""
        damping_B = np.full(len(state.log_scale_B), 1e-3)
        active = np.arange(len(damping_B))
        for iteration in range(max_iterations):
            now, target = state.take(active), data.take(active)
            residual_BL2 = self._residuals(now, target)
            if iteration in (0, 1, 3):
                # The outlier scale follows the estimate in, then stays, so that costs can be compared.
                size_BL = np.linalg.norm(residual_BL2, axis=2)
                typical_B = _masked_median(size_BL, target.confidence_BL > 0)
                data.outlier_B[active] = np.maximum(outlier, 2.0 * typical_B)
                target = data.take(active)
            cost_B = self._cost(now, target, precision, residual_BL2)
            step_BX = self._step(now, target, precision, residual_BL2, damping_B[active])
            # A step far beyond the steep limits would be refused, and all others with it.
            trial = now.stepped(step_BX).within(self._low_P - priors.LIMIT_SIGMA, self._high_P + priors.LIMIT_SIGMA)
            trial_cost_B = self._cost(trial, target, precision, self._residuals(trial, target))
            better_B = trial_cost_B < cost_B
            merged = trial.where(better_B, now)
            for name in _State.__dataclass_fields__:
                getattr(state, name)[active] = getattr(merged, name)
            damping_B[active] *= np.where(better_B, 0.2, 8.0)
            if iteration >= 3:
                settled_B = np.where(better_B, (cost_B - trial_cost_B) < 1e-3 * cost_B, damping_B[active] > 1e3)
                active = active[~settled_B]
                if len(active) == 0:
                    break
        return state

    def _start(self, batch: int) -> _State:
        params = np.zeros((batch, len(self._precision) - _VIEW))
        return _State(np.tile(np.eye(3), (batch, 1, 1)), np.zeros(batch), np.zeros((batch, 2)), params)

    # -- The cost and its derivatives -----------------------------------------------------------------------------

    def _project(self, state: _State, data: _Data) -> tuple[Array, Array, Array]:
        """Projected landmarks (B, L, 2) in the upright frame, the turned points (B, L, 3), their enlargement (B, L)."""
        codes = self.reduced.num_codes
        rest_BL3 = self.reduced.positions(state.params_BP[:, :codes], state.params_BP[:, codes : codes + NUM_POSE])
        turned_BL3 = rest_BL3 @ state.root_B33.transpose(0, 2, 1)
        # With a fixed lens a head that looks larger is nearer.
        scale_B1 = np.exp(state.log_scale_B)[:, None]
        enlargement_BL = 1 / (1 - data.nearness_B[:, None] * scale_B1 * turned_BL3[..., 2])
        from_axis_BL2 = scale_B1[..., None] * turned_BL3[..., :2] + (state.shift_B2 - data.axis_B2)[:, None]
        return enlargement_BL[..., None] * from_axis_BL2 + data.axis_B2[:, None], turned_BL3, enlargement_BL

    def _residuals(self, state: _State, data: _Data) -> Array:
        """Predicted minus detected landmarks (B, L, 2), in standard deviations."""
        predicted_BL2 = self._project(state, data)[0]
        residual_BL2 = apply(data.whitening_BL22, predicted_BL2 - data.points_BL2)
        return residual_BL2 + apply(data.errors_BL2Q, self._error_codes(state)[:, None])

    def _error_codes(self, state: _State) -> Array:
        """The codes of the noise model: shape, expression, the jaw's opening; then its factors."""
        codes = self.reduced.num_codes
        return np.hstack((state.params_BP[:, : codes + 1], state.params_BP[:, codes + NUM_POSE :]))

    def _cost(self, state: _State, data: _Data, precision: Array, residual_BL2: Array) -> Array:
        """Negative log posterior (B,), up to a constant, times two."""
        squared_BL = (residual_BL2**2).sum(2)
        limit_B1 = data.outlier_B[:, None] ** 2
        robust_BL = limit_B1 * squared_BL / (limit_B1 + squared_BL)
        offset_BP = state.params_BP - data.prior_mean_BP
        prior_B = ((offset_BP @ precision[_VIEW:, _VIEW:]) * offset_BP).sum(1)
        excess_BP = priors.excess(state.params_BP, self._low_P, self._high_P)
        return (data.confidence_BL * robust_BL).sum(1) + prior_B + (excess_BP**2).sum(1)

    def _picture_plane(self, state: _State, data: _Data, projected_BL2: Array, enlargement_BL: Array) -> Array:
        """Derivatives (B, L, 2, 3) of the residuals by the turned points that `_project` gives."""
        zoom_BL = enlargement_BL * np.exp(state.log_scale_B)[:, None]
        # zoom * [I, from_axis * nearness], the last column from the perspective
        plane_BL23 = np.zeros((*projected_BL2.shape, 3))
        plane_BL23[..., 0, 0] = plane_BL23[..., 1, 1] = zoom_BL
        from_axis_BL2 = projected_BL2 - data.axis_B2[:, None]
        plane_BL23[..., 2] = (zoom_BL * data.nearness_B[:, None])[..., None] * from_axis_BL2
        return data.whitening_BL22 @ plane_BL23

    def jacobian(self, state: _State, data: _Data) -> NDArray[np.float32]:
        """Derivatives (B, L, 2, view + parameters) of `_residuals`."""
        batch, points = len(state.log_scale_B), self.reduced.num_points
        projected_BL2, turned_BL3, enlargement_BL = self._project(state, data)
        zoom_BL = enlargement_BL * np.exp(state.log_scale_B)[:, None]
        from_axis_BL2 = projected_BL2 - data.axis_B2[:, None]
        plane_BL23 = self._picture_plane(state, data, projected_BL2, enlargement_BL)
        codes = self.reduced.num_codes
        out = np.empty((batch, points, 2, len(self._precision)), np.float32)
        spin_BL33 = -skew(turned_BL3.reshape(-1, 3)).reshape(batch, points, 3, 3)
        out[..., :3] = plane_BL23 @ spin_BL33
        grown_BL2 = zoom_BL[..., None] * turned_BL3[..., :2] + (enlargement_BL - 1)[..., None] * from_axis_BL2
        out[..., 3] = apply(data.whitening_BL22, grown_BL2)
        out[..., 4:_VIEW] = data.whitening_BL22 * enlargement_BL[..., None, None]
        last = _VIEW + codes + NUM_POSE
        params_BP = state.params_BP
        out[..., _VIEW:last] = self.reduced.jacobian(
            params_BP[:, :codes], params_BP[:, codes : codes + NUM_POSE], plane_BL23 @ state.root_B33[:, None]
        )
        out[..., _VIEW : _VIEW + codes + 1] += data.errors_BL2Q[..., : codes + 1]
        out[..., last:] = data.errors_BL2Q[..., codes + 1 :]
        return out

    def _step(self, state: _State, data: _Data, precision: Array, residual_BL2: Array, damping_B: Array) -> Array:
        """Damped Gauss-Newton step (B, view + parameters)."""
        hessian_BXX, gradient_BX = self._normal_equations(state, data, precision, residual_BL2)
        step_BX = np.empty_like(gradient_BX)
        diagonal = np.arange(len(precision))
        for i, hessian_XX in enumerate(hessian_BXX):
            hessian_XX[diagonal, diagonal] *= 1 + damping_B[i]
            step_BX[i] = -cho_solve(cho_factor(hessian_XX, overwrite_a=True, check_finite=False), gradient_BX[i])
        return step_BX

    def _normal_equations(
        self, state: _State, data: _Data, precision: Array, residual_BL2: Array
    ) -> tuple[Array, Array]:
        """Gauss-Newton's matrices (B, X, X), and half of the cost's gradients (B, X), X = view + parameters."""
        batch, size = len(residual_BL2), len(precision)
        root_BL1 = np.sqrt(_robust_weight(residual_BL2, data))[..., None]
        jacobian_BNX = self.jacobian(state, data)
        jacobian_BNX *= root_BL1[..., None].astype(np.float32)
        jacobian_BNX = jacobian_BNX.reshape(batch, -1, size)
        residual_BN1 = (residual_BL2 * root_BL1).reshape(batch, -1, 1).astype(np.float32)
        offset_BX = np.hstack((np.zeros((batch, _VIEW)), state.params_BP - data.prior_mean_BP))
        excess_BP = priors.excess(state.params_BP, self._low_P, self._high_P)
        gradient_BX = (jacobian_BNX.transpose(0, 2, 1) @ residual_BN1)[..., 0] + offset_BX @ precision
        gradient_BX[:, _VIEW:] += excess_BP / priors.LIMIT_SIGMA
        hessian_BXX = np.empty((batch, size, size))
        diagonal = np.arange(_VIEW, size)
        for i in range(batch):
            hessian_BXX[i] = jacobian_BNX[i].T @ jacobian_BNX[i]
            hessian_BXX[i] += precision
            hessian_BXX[i, diagonal, diagonal] += (excess_BP[i] != 0) / priors.LIMIT_SIGMA**2
        return hessian_BXX, gradient_BX

    # -- In and out -----------------------------------------------------------------------------------------------

    def _checked(
        self, landmarks: ArrayLike, confidence: ArrayLike | None, focal_px: float | None
    ) -> tuple[Array, Array]:
        hint = "Detect the face again, or pass the landmarks of `deca.vision.faces.find_faces`."
        landmarks_BL2 = np.asarray(landmarks, np.float64)
        if landmarks_BL2.ndim != 3 or landmarks_BL2.shape[1:] != (self.reduced.num_points, 2):
            expected = f"(faces, {self.reduced.num_points}, 2)"
            raise LandmarkError(f"Landmarks have shape {landmarks_BL2.shape}, the fit needs {expected}.", hint)
        if not np.isfinite(landmarks_BL2).all():
            raise LandmarkError("Some landmarks are not finite numbers.", hint)
        if len(landmarks_BL2) and np.ptp(landmarks_BL2, axis=1).max(1).min() < 1.0:
            raise LandmarkError("The landmarks of a face lie within one pixel of each other.", hint)
        confidence_BL = np.ones(landmarks_BL2.shape[:2])
        if confidence is not None:
            given = np.asarray(confidence, np.float64)
            if given.shape != confidence_BL.shape or not ((given >= 0) & (given <= 1)).all():
                raise LandmarkError(
                    f"Confidence of shape {given.shape} must be {confidence_BL.shape} with values in 0..1.", hint
                )
            confidence_BL = given
            if (((confidence_BL > 0) & self._placed_L).sum(1) < 20).any():
                raise LandmarkError("Fewer than 20 landmarks of a face may be trusted.", hint)
        if focal_px is not None and not (np.isfinite(focal_px) and focal_px > 0):
            raise LandmarkError(f"A focal length of {focal_px} pixels makes no sense.", "Leave it out if unknown.")
        return landmarks_BL2, confidence_BL * self._placed_L

    def _result(self, landmarks_BL2: Array, solved: _Solved) -> FitResult:
        """Back to photo pixels, with the orthographic camera that matches the fitted perspective best."""
        state, data, placed = solved.state, solved.data, solved.placed
        roll_B, scale_B, shift_B2 = placed.roll_B, placed.scale_B, placed.shift_B2
        batch, shapes, codes = len(landmarks_BL2), self.reduced.num_shape, self.reduced.num_codes
        params_BP = state.params_BP
        shape_BS, expression_BE = params_BP[:, :shapes], params_BP[:, shapes:codes]
        pose_B53 = np.zeros((batch, 5, 3))
        pose_B53[:, 2] = params_BP[:, codes : codes + 3]
        pose_B53[:, 3:, :2] = params_BP[:, codes + 3 : codes + NUM_POSE].reshape(batch, 2, 2)
        rest_BL3 = self.reduced.positions(params_BP[:, :codes], params_BP[:, codes : codes + NUM_POSE])
        seen_BL2 = scale_B[:, None, None] * self._project(state, data)[0] @ turn(roll_B).transpose(0, 2, 1)
        weight_1L = self._trust_L[None]
        cameras = [
            scaled_orthographic(rest_L3, seen_L2[None], weight_1L)
            for rest_L3, seen_L2 in zip(rest_BL3, seen_BL2, strict=True)
        ]
        root_B33, scale_B, moved_B2 = (np.concatenate(parts) for parts in zip(*cameras, strict=True))
        pose_B53[:, 0] = axis_angle(root_B33)
        joint_B2 = shift_B2 + moved_B2 * (1, -1)
        photo_BL2 = scale_B[:, None, None] * (rest_BL3 @ root_B33.transpose(0, 2, 1))[..., :2] * (1, -1)
        bias_BL2 = (placed.upright_BL2 - data.points_BL2) @ turn(roll_B).transpose(0, 2, 1)
        expected_BL2 = landmarks_BL2 - placed.scale_B[:, None, None] * bias_BL2 * (1, -1)
        distance_BL = np.linalg.norm(photo_BL2 + joint_B2[:, None] - expected_BL2, axis=2)
        if self.reduced.num_points == 478:
            size_B = np.linalg.norm(landmarks_BL2[:, OUTER_EYES[0]] - landmarks_BL2[:, OUTER_EYES[1]], axis=1)
        else:
            size_B = np.ptp(landmarks_BL2, axis=1).max(1)
        error_B = distance_BL[:, self._interior].mean(1) / np.maximum(size_B, 1e-9)
        joint_B3 = self.reduced.root_3 + params_BP[:, :codes] @ self.reduced.root_dirs_K3
        offset_B2 = joint_B2 - scale_B[:, None] * joint_B3[:, :2] * (1, -1)
        return FitResult(shape_BS, expression_BE, pose_B53, scale_B, offset_B2, error_B)

    def _nobody(self) -> FitResult:
        shapes, expressions = self.reduced.num_shape, self.reduced.num_expression
        sizes = ((0, shapes), (0, expressions), (0, 5, 3), (0,), (0, 2), (0,))
        return FitResult(*map(np.zeros, sizes))


def _robust_weight(residual_BL2: Array, data: _Data) -> Array:
    """Weights (B, L) of landmarks, less the farther they lie off (Geman-McClure)."""
    return data.confidence_BL / (1 + (residual_BL2**2).sum(2) / data.outlier_B[:, None] ** 2) ** 2


def _masked_median(values_BL: Array, keep_BL: NDArray[np.bool_]) -> Array:
    if keep_BL.all():
        return np.median(values_BL, axis=1)
    return np.nanmedian(np.where(keep_BL, values_BL, np.nan), axis=1)
