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
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cho_factor, cho_solve

from deca.assets import asset
from deca.errors import AssetError, DecaError
from deca.head.model import HeadModel, SurfacePoints
from deca.reconstruct import priors
from deca.reconstruct.landmark_head import NUM_POSE, LandmarkHead, axis_angle, rotation, skew
from deca.reconstruct.noise import OUTER_EYES, LandmarkNoise, interior_landmarks

Array = NDArray[np.float64]

ASSUMED_DISTANCE = 1.3
"""Metres between camera and head when the focal length is unknown: between a selfie and a portrait."""

TRACING_SIGMA = 0.0015
"""Standard deviation, metres, with which the second estimate follows the landmarks."""

TRACING_SHAPE_SIGMA = 0.15
"""How far the second estimate's shape coefficients may stray from the first's."""

_VIEW = 6  # root rotation, log scale, shift
_OUTLIER = 4.0  # standard deviations at which a landmark's pull is greatest


@dataclass(frozen=True)
class FitResult:
    """Fitted heads of one photo.

    Attributes:
        shape_BS: Shape coefficients (B, 100).
        expression_BE: Expression coefficients (B, 50).
        pose_B53: Axis-angle of root, neck (zero), jaw, left and right eye, radians.
        scale_B: Photo pixels per metre; `photo = scale * (x, -y) + offset` for posed vertices (x, y, z).
        offset_B2: Photo pixel of the head space's origin.
        error_B: Mean distance of the interior landmarks from their surface points, as a fraction of the distance
            between the outer eye corners on the photo.
    """

    shape_BS: Array
    expression_BE: Array
    pose_B53: Array
    scale_B: Array
    offset_B2: Array
    error_B: Array


def fit_landmarks(
    landmarks_BL2: ArrayLike,
    image_size: tuple[int, int],
    head: HeadModel,
    *,
    confidence_BL: ArrayLike | None = None,
    focal_px: float | None = None,
) -> FitResult:
    """Fits a head model to the landmarks of faces.

    Args:
        landmarks_BL2: MediaPipe landmarks (B, 478, 2), pixels of the upright photo, y down.
        image_size: Width and height of the photo, pixels.
        head: The head model; needs `landmarks_478`.
        confidence_BL: Weight of each landmark in 0..1, e.g. 0 where the face is known to be covered.
        focal_px: The photo's focal length in pixels; without it the camera is taken to be `ASSUMED_DISTANCE` away.

    Raises:
        LandmarkError: The landmarks have the wrong shape, are not finite, or lie all in one place.
        AssetError: The head model has no MediaPipe landmarks.
    """
    return _solver(head).fit(landmarks_BL2, image_size, confidence_BL=confidence_BL, focal_px=focal_px)


class LandmarkError(DecaError):
    """Landmarks that no head can be fitted to."""


_SOLVERS: OrderedDict[int, LandmarkSolver] = OrderedDict()


def _solver(head: HeadModel) -> LandmarkSolver:
    """The solver of a head model; building one takes longer than a fit, so the last few are kept."""
    solver = _SOLVERS.pop(id(head), None) or LandmarkSolver(head)
    _SOLVERS[id(head)] = solver  # it holds the head, whose id thus stays its own
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
        nearness_B: Perspective, 1 / distance of the camera in metres.
        errors_BL2Q: Whitened displacement per error code: the noise's gain on the codes and jaw, then its factors.
        prior_mean_BP: Mean of the parameters' prior.
        outlier_B: Residual, in standard deviations, at which a landmark's pull is greatest.
    """

    points_BL2: Array
    whitening_BL22: Array
    confidence_BL: Array
    nearness_B: Array
    errors_BL2Q: Array
    prior_mean_BP: Array
    outlier_B: Array

    def take(self, rows: NDArray) -> _Data:
        return _Data(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


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
                "Convert the head model again with its MediaPipe landmark embedding.",
            )
        self.head = head
        self.reduced = LandmarkHead(head, points, num_shape, num_expression)
        self.noise = noise or calibrated_noise(head, self.reduced)
        count = self.reduced.num_points
        self._tracing_noise = LandmarkNoise.plain(count, self.reduced.num_codes + 1, TRACING_SIGMA)
        codes, factors = priors.precision(self.reduced), self.noise.loadings_L2R.shape[2]
        self._precision = _block_diagonal(np.zeros((_VIEW, _VIEW)), codes, np.eye(factors))
        self._tracing_precision = self._precision.copy()
        shape = np.arange(_VIEW, _VIEW + self.reduced.num_shape)
        self._tracing_precision[shape, shape] = 1 / TRACING_SHAPE_SIGMA**2
        self._low_P, self._high_P = priors.limits(self.reduced, factors)
        self._interior = interior_landmarks(count) if count == 478 else np.arange(count)

    def fit(
        self,
        landmarks_BL2: ArrayLike,
        image_size: tuple[int, int],
        *,
        confidence_BL: ArrayLike | None = None,
        focal_px: float | None = None,
        max_iterations: int = 12,
        trace: bool = True,
    ) -> FitResult:
        """See `fit_landmarks`; without `trace` the fit ends with the first of its two estimates."""
        landmarks_BL2, confidence_BL = self._checked(landmarks_BL2, confidence_BL, focal_px)
        if len(landmarks_BL2) == 0:
            return self._result(landmarks_BL2, self._start(0), np.zeros(0), np.zeros(0), np.zeros((0, 2)), np.zeros(0))
        # The photo with y up and its middle as the origin, for well-conditioned numbers.
        middle = np.array([image_size[0] / 2, image_size[1] / 2])
        photo_BL2 = (landmarks_BL2 - middle) * np.array([1.0, -1.0])
        state, scale_B, shift_B2, nearness_B = self._place(photo_BL2, confidence_BL, focal_px)
        roll_B, yaw_B, pitch_B = view_angles(state.root_B33)
        upright_BL2 = (photo_BL2 - shift_B2[:, None]) / scale_B[:, None, None] @ _turn(-roll_B).transpose(0, 2, 1)
        view = yaw_B, pitch_B
        state = replace(state, root_B33=_turn3(-roll_B) @ state.root_B33)
        data = self._data(self.noise, upright_BL2, view, confidence_BL, nearness_B, np.zeros_like(state.params_BP))
        state = self._minimise(state, data, self._precision, max_iterations)
        if trace:
            mean_BP = np.zeros_like(state.params_BP)
            mean_BP[:, : self.reduced.num_shape] = state.params_BP[:, : self.reduced.num_shape]
            state.params_BP[:, self.reduced.num_codes + NUM_POSE :] = 0.0
            data = self._data(self._tracing_noise, upright_BL2, view, confidence_BL, nearness_B, mean_BP)
            state = self._minimise(state, data, self._tracing_precision, 6)
        return self._result(landmarks_BL2, state, roll_B, scale_B, shift_B2 * (1, -1) + middle, nearness_B)

    def _data(
        self,
        noise: LandmarkNoise,
        upright_BL2: Array,
        view: tuple[Array, Array],
        confidence_BL: Array,
        nearness_B: Array,
        mean_BP: Array,
    ) -> _Data:
        whitening_BL22 = noise.whitening(view[0])
        factors = np.zeros((*upright_BL2.shape[1:], len(self._precision) - _VIEW - self.reduced.num_codes - NUM_POSE))
        factors[..., : noise.loadings_L2R.shape[2]] = noise.loadings_L2R
        errors_BL2Q = whitening_BL22 @ np.concatenate((noise.gain_L2C, factors), axis=2)
        outlier_B = np.full(len(upright_BL2), np.inf)
        points_BL2 = upright_BL2 - noise.bias(*view)
        return _Data(points_BL2, whitening_BL22, confidence_BL, nearness_B, errors_BL2Q, mean_BP, outlier_B)

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
            root_B33, scale_B, shift_B2 = _scaled_orthographic(rest_L3, target_BL2, weight_BL * robust_BL)
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

    def _minimise(self, state: _State, data: _Data, precision: Array, max_iterations: int) -> _State:
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
                data.outlier_B[active] = np.maximum(_OUTLIER, 2.0 * typical_B)
                target = data.take(active)
            cost_B = self._cost(now, target, precision, residual_BL2)
            step_BX = self._step(now, target, precision, residual_BL2, damping_B[active])
            trial = now.stepped(step_BX)
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

    def _project(self, state: _State, nearness_B: Array) -> tuple[Array, Array, Array]:
        """Projected landmarks (B, L, 2) in the upright frame, the turned points (B, L, 3) and their zoom (B, L)."""
        codes = self.reduced.num_codes
        rest_BL3 = self.reduced.positions(state.params_BP[:, :codes], state.params_BP[:, codes : codes + NUM_POSE])
        turned_BL3 = rest_BL3 @ state.root_B33.transpose(0, 2, 1)
        zoom_BL = np.exp(state.log_scale_B)[:, None] / (1 - nearness_B[:, None] * turned_BL3[..., 2])
        return zoom_BL[..., None] * turned_BL3[..., :2] + state.shift_B2[:, None], turned_BL3, zoom_BL

    def _residuals(self, state: _State, data: _Data) -> Array:
        """Predicted minus detected landmarks (B, L, 2), in standard deviations."""
        predicted_BL2 = self._project(state, data.nearness_B)[0]
        residual_BL2 = _apply(data.whitening_BL22, predicted_BL2 - data.points_BL2)
        return residual_BL2 + _apply(data.errors_BL2Q, self._error_codes(state)[:, None])

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

    def jacobian(self, state: _State, data: _Data) -> Array:
        """Derivatives (B, L, 2, view + parameters) of `_residuals`."""
        batch, points = len(state.log_scale_B), self.reduced.num_points
        projected_BL2, turned_BL3, zoom_BL = self._project(state, data.nearness_B)
        centred_BL2 = projected_BL2 - state.shift_B2[:, None]
        # d picture / d turned = zoom * [I, centred * nearness / scale], the last column from the perspective
        plane_BL23 = np.zeros((batch, points, 2, 3))
        plane_BL23[..., 0, 0] = plane_BL23[..., 1, 1] = zoom_BL
        pull_BL = zoom_BL * data.nearness_B[:, None] / np.exp(state.log_scale_B)[:, None]
        plane_BL23[..., 2] = pull_BL[..., None] * centred_BL2
        plane_BL23 = data.whitening_BL22 @ plane_BL23
        codes = self.reduced.num_codes
        out = np.empty((batch, points, 2, len(self._precision)), np.float32)
        spin_BL33 = -skew(turned_BL3.reshape(-1, 3)).reshape(batch, points, 3, 3)
        out[..., :3] = plane_BL23 @ spin_BL33
        out[..., 3] = _apply(data.whitening_BL22, centred_BL2)
        out[..., 4:_VIEW] = data.whitening_BL22
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
        batch, size = len(residual_BL2), len(precision)
        limit_B1 = data.outlier_B[:, None] ** 2
        weight_BL = data.confidence_BL / (1 + (residual_BL2**2).sum(2) / limit_B1) ** 2
        root_BL1 = np.sqrt(weight_BL)[..., None]
        jacobian_BNX = self.jacobian(state, data)
        jacobian_BNX *= root_BL1[..., None].astype(np.float32)
        jacobian_BNX = jacobian_BNX.reshape(batch, -1, size)
        residual_BN1 = (residual_BL2 * root_BL1).reshape(batch, -1, 1).astype(np.float32)
        offset_BX = np.hstack((np.zeros((batch, _VIEW)), state.params_BP - data.prior_mean_BP))
        excess_BP = priors.excess(state.params_BP, self._low_P, self._high_P)
        gradient_BX = (jacobian_BNX.transpose(0, 2, 1) @ residual_BN1)[..., 0] + offset_BX @ precision
        gradient_BX[:, _VIEW:] += excess_BP / priors.LIMIT_SIGMA
        step_BX = np.empty((batch, size))
        diagonal = np.arange(size)
        for i in range(batch):
            hessian_XX = (jacobian_BNX[i].T @ jacobian_BNX[i]).astype(np.float64) + precision
            hessian_XX[diagonal[_VIEW:], diagonal[_VIEW:]] += (excess_BP[i] != 0) / priors.LIMIT_SIGMA**2
            hessian_XX[diagonal, diagonal] *= 1 + damping_B[i]
            step_BX[i] = -cho_solve(cho_factor(hessian_XX, overwrite_a=True, check_finite=False), gradient_BX[i])
        return step_BX

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
            if ((confidence_BL > 0).sum(1) < 20).any():
                raise LandmarkError("Fewer than 20 landmarks of a face may be trusted.", hint)
        if focal_px is not None and not (np.isfinite(focal_px) and focal_px > 0):
            raise LandmarkError(f"A focal length of {focal_px} pixels makes no sense.", "Leave it out if unknown.")
        return landmarks_BL2, confidence_BL

    def _result(
        self, landmarks_BL2: Array, state: _State, roll_B: Array, scale_B: Array, shift_B2: Array, nearness_B: Array
    ) -> FitResult:
        """Back to photo pixels, with the orthographic camera that matches the fitted perspective best."""
        batch, shapes, codes = len(landmarks_BL2), self.reduced.num_shape, self.reduced.num_codes
        params_BP = state.params_BP
        shape_BS, expression_BE = params_BP[:, :shapes], params_BP[:, shapes:codes]
        pose_B53 = np.zeros((batch, 5, 3))
        pose_B53[:, 2] = params_BP[:, codes : codes + 3]
        pose_B53[:, 3:, :2] = params_BP[:, codes + 3 : codes + NUM_POSE].reshape(batch, 2, 2)
        error_B, offset_B2 = np.zeros(batch), np.zeros((batch, 2))
        if batch:
            rest_BL3 = self.reduced.positions(params_BP[:, :codes], params_BP[:, codes : codes + NUM_POSE])
            seen_BL2 = self._project(state, nearness_B)[0] @ _turn(roll_B).transpose(0, 2, 1) * scale_B[:, None, None]
            for i in range(batch):
                weight_1L = 1 / self.noise.covariance_YL22[2].trace(axis1=1, axis2=2)[None]
                rot, zoom, shift = _scaled_orthographic(rest_BL3[i], seen_BL2[i : i + 1], weight_1L)
                pose_B53[i, 0] = axis_angle(rot)[0]
                scale_B = _set(scale_B, i, zoom[0])
                shift_B2 = _set(shift_B2, i, shift_B2[i] + shift[0] * (1, -1))
                photo_L2 = zoom[0] * (rest_BL3[i] @ rot[0].T)[:, :2] * (1, -1) + shift_B2[i]
                distance_L = np.linalg.norm(photo_L2 - landmarks_BL2[i], axis=1)
                eyes = np.ptp(landmarks_BL2[i], axis=0).max()
                if self.reduced.num_points == 478:
                    eyes = np.linalg.norm(np.subtract(*landmarks_BL2[i, OUTER_EYES]))
                error_B[i] = distance_L[self._interior].mean() / eyes
            root_B3 = self.reduced.root_3 + np.tensordot(shape_BS, self.reduced.root_dirs_S3, 1)
            offset_B2 = shift_B2 - scale_B[:, None] * root_B3[:, :2] * (1, -1)
        return FitResult(shape_BS, expression_BE, pose_B53, scale_B, offset_B2, error_B)


def calibrated_noise(head: HeadModel, reduced: LandmarkHead) -> LandmarkNoise:
    """The landmark noise measured for a head model, or plain noise for models that were not calibrated."""
    if head.name == "openhead" and reduced.num_points == 478:
        noise = LandmarkNoise.load(asset("openhead/landmark_noise.safetensors"), head)
        if noise.gain_L2C.shape[2] == reduced.num_codes + 1:
            return noise
    return LandmarkNoise.plain(reduced.num_points, reduced.num_codes + 1)


def view_angles(root_B33: Array) -> tuple[Array, Array, Array]:
    """Roll, yaw and pitch (B,) in radians of head rotations.

    Roll turns the head's up axis on the picture (counter-clockwise positive); with the roll undone, yaw turns the face
    towards the picture's right and pitch turns it up.
    """
    roll_B = np.arctan2(-root_B33[:, 0, 1], root_B33[:, 1, 1])
    forward_B3 = (_turn3(-roll_B) @ root_B33)[:, :, 2]
    return roll_B, np.arctan2(forward_B3[:, 0], forward_B3[:, 2]), np.arcsin(np.clip(forward_B3[:, 1], -1, 1))


def _scaled_orthographic(rest_L3: Array, points_BL2: Array, weight_BL: Array) -> tuple[Array, Array, Array]:
    """Rotation (B, 3, 3), scale (B,) and shift (B, 2) of points seen from afar, from a weighted affine fit."""
    design_L4 = np.concatenate((rest_L3, np.ones((len(rest_L3), 1))), axis=1)
    weighted_BL4 = weight_BL[..., None] * design_L4
    affine_B42 = np.linalg.solve(design_L4.T @ weighted_BL4, weighted_BL4.transpose(0, 2, 1) @ points_BL2)
    u, stretch, vt = np.linalg.svd(affine_B42[:, :3].transpose(0, 2, 1), full_matrices=False)
    rows_B23 = u @ vt
    root_B33 = np.concatenate((rows_B23, np.cross(rows_B23[:, 0], rows_B23[:, 1])[:, None]), axis=1)
    turned_BL2 = rest_L3 @ rows_B23.transpose(0, 2, 1)
    # Scale and shift again, for the rotation found.
    weight_BL1 = (weight_BL / weight_BL.sum(1, keepdims=True))[..., None]
    mean_B12 = (weight_BL1 * turned_BL2).sum(1, keepdims=True)
    goal_B12 = (weight_BL1 * points_BL2).sum(1, keepdims=True)
    spread_B = (weight_BL1 * (turned_BL2 - mean_B12) ** 2).sum((1, 2))
    scale_B = (weight_BL1 * (turned_BL2 - mean_B12) * (points_BL2 - goal_B12)).sum((1, 2)) / spread_B
    scale_B = np.maximum(scale_B, 1e-6 * stretch[:, 0])
    return root_B33, scale_B, (goal_B12 - scale_B[:, None, None] * mean_B12)[:, 0]


def _apply(matrix_BL22: Array, vector_BL2: Array) -> Array:
    return (matrix_BL22 @ vector_BL2[..., None])[..., 0]


def _turn(angle_B: Array) -> Array:
    """Rotations (B, 2, 2) of the picture plane, counter-clockwise with y up."""
    cos, sin = np.cos(angle_B), np.sin(angle_B)
    return np.stack((np.stack((cos, -sin), 1), np.stack((sin, cos), 1)), 1)


def _turn3(angle_B: Array) -> Array:
    out = np.tile(np.eye(3), (len(angle_B), 1, 1))
    out[:, :2, :2] = _turn(angle_B)
    return out


def _masked_median(values_BL: Array, keep_BL: NDArray[np.bool_]) -> Array:
    if keep_BL.all():
        return np.median(values_BL, axis=1)
    return np.nanmedian(np.where(keep_BL, values_BL, np.nan), axis=1)


def _block_diagonal(*blocks: Array) -> Array:
    size = sum(map(len, blocks))
    out, start = np.zeros((size, size)), 0
    for block in blocks:
        out[start : start + len(block), start : start + len(block)] = block
        start += len(block)
    return out


def _set(array: Array, index: int, value: ArrayLike) -> Array:
    out = array.copy()
    out[index] = value
    return out
