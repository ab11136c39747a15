"""Pins: landmarks of a head that the user holds where they are on a photo, and the sliders that take the head there.

The head's sliders move the unposed landmarks linearly, bones pose them (`core/rig.py`). So a few steps of Gauss and
Newton find the sliders x, expression coefficients, the jaw's axis-angle and named shapes, that minimise

    sum over pins      |p(l(x)) - place|^2 / PIN_SIGMA^2
  + sum over landmarks |l(x) - l(x0)|^2 / HOLD_SIGMA^2
  + (x - x0)^T Lambda (x - x0)

p is the photo's camera, x0 the head without pins. The second sum keeps what is done to one corner of the mouth from
the rest of the face; the third is the prior of the head model about x0: expression coefficients have unit variance, and
named shapes are as likely as the shape codes D^T s that they stand for, Lambda = D D^T. The answer depends on the pins
alone, not on the way they were dragged.

Shape suffixes: P points of the mesh, L landmarks, K sliders (E expression, N named shapes), J joints, I pins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .rig import JOINTS, SHAPE_RANGE
from .rotations import rotation_matrix

Array = NDArray[np.float64]

PIN_SIGMA = 2e-4
"""Metres. How exactly a pin is held: a fifth of a millimetre is less than a pixel of most photos."""

HOLD_SIGMA = 8e-3
"""Metres. How freely other landmarks move along. Where pins put five landmarks to where another head or expression has
them, the others come nearest to it at 8 mm and more; less than that keeps more of the face as it was."""

JAW_SIGMA = (0.20, 0.03, 0.02)
"""Radians: opening, sideways, roll; those of the backend's landmark fit."""

EXPRESSION_LIMIT = 3.5
"""Coefficients: beyond it a head model's directions stop looking human; that of the backend's landmark fit."""

JAW_LIMIT = 0.6
"""Radians, of each entry of the jaw's axis-angle: somewhat beyond an open mouth."""

_STEPS = 3
_JAW = JOINTS.index("jaw")
_DIFFERENCE = 1e-5


@dataclass(frozen=True, eq=False)
class Sliders:
    """What pins move.

    Attributes:
        expression_E: Expression coefficients.
        jaw_3: Axis-angle of the jaw by hand, radians.
        shape_N: Values of the named shapes.
    """

    expression_E: Array
    jaw_3: Array
    shape_N: Array

    def flat(self) -> Array:
        """All of them, (E + 3 + N,)."""
        return np.concatenate((self.expression_E, self.jaw_3, self.shape_N))

    @classmethod
    def of(cls, flat: Array, num_expression: int) -> Sliders:
        """From `flat`'s order."""
        jaw = slice(num_expression, num_expression + 3)
        return cls(flat[: jaw.start], flat[jaw], flat[jaw.stop :])


@dataclass(frozen=True, eq=False)
class PinRig:
    """What of a head the landmarks hang on.

    Attributes:
        corners_L3: The points between which each landmark lies.
        bary_L3: Where between them.
        weights_PJ: Skin weights of the points.
        joints_J3: Where the joints rest, metres.
        parents: Parent of each joint, -1 for the root.
        expression_EP3, shape_NP3: Displacements of the unposed points by the sliders.
        shape_prior_NN: Lambda of the named shapes.
        joint_dirs_NJ3: By how much the named shapes shift the joints, skin included, metres.
        correctives_CP3: Displacements per entry of R - I of neck, jaw, left and right eye, row-major (C = 36).
    """

    corners_L3: NDArray[np.intp]
    bary_L3: Array
    weights_PJ: Array
    joints_J3: Array
    parents: tuple[int, ...]
    expression_EP3: Array
    shape_NP3: Array
    shape_prior_NN: Array
    joint_dirs_NJ3: Array
    correctives_CP3: Array

    def landmarks(self, points_P3: Array) -> Array:
        """Landmarks (L, ...) between points (P, ...)."""
        flat_PX = points_P3.reshape(len(points_P3), -1)
        flat_LX = (self.bary_L3[:, None] @ flat_PX[self.corners_L3])[:, 0]
        return flat_LX.reshape(-1, *points_P3.shape[1:])


@dataclass(frozen=True, eq=False)
class PinView:
    """A head on a photo.

    Attributes:
        rest_P3: Points of the neutral head with everything but the sliders and the correctives, metres.
        rotations_J33: Rotation of each joint; the jaw's without what `Sliders.jaw_3` does, which comes after it.
        sliders: The head without pins.
        projection_24: (x, y, z, 1) in head space to photo pixels.
    """

    rest_P3: Array
    rotations_J33: Array
    sliders: Sliders
    projection_24: Array


@dataclass(frozen=True, eq=False)
class Pins:
    """Landmarks that are held, and where: photo pixels, (I, 2)."""

    landmarks_I: NDArray[np.intp]
    places_I2: Array


def posed_landmarks(rig: PinRig, view: PinView, sliders: Sliders) -> Array:
    """Landmarks (L, 3) of a head in head space, metres."""
    points_P3, _ = _posed(rig, view, sliders)
    return rig.landmarks(points_P3)


def projected(view: PinView, landmarks_L3: Array) -> Array:
    """Photo pixels (L, 2)."""
    return landmarks_L3 @ view.projection_24[:, :3].T + view.projection_24[:, 3]


def _posed(rig: PinRig, view: PinView, sliders: Sliders) -> tuple[Array, Array]:
    """Posed points (P, 3), and the rotation of each joint in head space (J, 3, 3)."""
    rotations_J33 = view.rotations_J33.copy()
    rotations_J33[_JAW] = rotations_J33[_JAW] @ rotation_matrix(sliders.jaw_3)
    points_P3 = view.rest_P3 + np.tensordot(sliders.expression_E, rig.expression_EP3, 1)
    points_P3 = points_P3 + np.tensordot(sliders.shape_N, rig.shape_NP3, 1)
    entries_C = (rotations_J33[1:] - np.eye(3)).ravel()
    points_P3 = points_P3 + np.tensordot(entries_C, rig.correctives_CP3, 1)
    shifts_J3 = np.tensordot(sliders.shape_N, rig.joint_dirs_NJ3, 1)
    turns_J33 = np.empty_like(rotations_J33)
    moves_J3 = np.empty_like(rig.joints_J3)
    for joint, parent in enumerate(rig.parents):
        turn_33 = rotations_J33[joint]
        move_3 = rig.joints_J3[joint] + shifts_J3[joint] - turn_33 @ rig.joints_J3[joint]
        if parent >= 0:
            move_3 = turns_J33[parent] @ move_3 + moves_J3[parent]
            turn_33 = turns_J33[parent] @ turn_33
        turns_J33[joint], moves_J3[joint] = turn_33, move_3
    turns_P33 = np.tensordot(rig.weights_PJ, turns_J33, 1)
    return (turns_P33 @ points_P3[..., None])[..., 0] + rig.weights_PJ @ moves_J3, turns_J33


class PinFit:
    """Finds the sliders of pins, on the photo that the user works on and on further ones of the same head.

    Args:
        rig: The head.
        view: The photo that the user works on. Its sliders are the head without pins, or, of what does not move, as it
            is.
        moves_expression, moves_shape: What the pins move.
        others: Further photos with their pins: their expression stays, the shape is to suit them, too.
    """

    def __init__(
        self,
        rig: PinRig,
        view: PinView,
        moves_expression: bool = True,
        moves_shape: bool = False,
        others: Sequence[tuple[PinView, Pins]] = (),
    ) -> None:
        self._rig, self._view, self._others = rig, view, others
        self._num_expression = len(view.sliders.expression_E)
        num_shape = len(view.sliders.shape_N)
        self._directions_PK3 = np.concatenate((rig.expression_EP3, rig.shape_NP3)).transpose(1, 0, 2).copy()
        self._start_K = view.sliders.flat()
        self._held_L3 = posed_landmarks(rig, view, view.sliders)
        face, named = self._num_expression + 3, num_shape
        self._free = np.r_[np.full(face, moves_expression), np.full(named, moves_shape)]
        self._precision_KK = np.diag(np.r_[np.ones(self._num_expression), 1 / np.square(JAW_SIGMA), np.ones(named)])
        self._precision_KK[face:, face:] = rig.shape_prior_NN
        limit_K = np.r_[
            np.full(self._num_expression, EXPRESSION_LIMIT), np.full(3, JAW_LIMIT), np.full(named, SHAPE_RANGE)
        ]
        self._low_K, self._high_K = np.minimum(-limit_K, self._start_K), np.maximum(limit_K, self._start_K)

    def __call__(self, pins: Pins) -> Sliders:
        """The sliders of pins; without any, those of the head without pins."""
        values_K = self._start_K.copy()
        free = np.flatnonzero(self._free)
        if not len(free) or not (len(pins.landmarks_I) or any(len(found.landmarks_I) for _, found in self._others)):
            return Sliders.of(values_K, self._num_expression)
        for _ in range(_STEPS):
            normal_KK, gradient_K = self._normal_equations(values_K, pins)
            active = free
            step_K = np.zeros(len(values_K))
            while len(active):  # sliders at their ends stay there, and the others do what they would have done
                step_K[:] = 0.0
                step_K[active] = -np.linalg.solve(normal_KK[np.ix_(active, active)], gradient_K[active])
                wanted_K = values_K + step_K
                inside = (wanted_K[active] >= self._low_K[active]) & (wanted_K[active] <= self._high_K[active])
                ends = active[~inside]
                if not len(ends):
                    break
                clipped_K = np.clip(wanted_K[ends], self._low_K[ends], self._high_K[ends])
                gradient_K = gradient_K + normal_KK[:, ends] @ (clipped_K - values_K[ends])
                values_K[ends] = clipped_K
                active = active[inside]
            values_K = values_K + step_K
            if np.abs(step_K).max(initial=0.0) < 1e-4:
                break
        return Sliders.of(values_K, self._num_expression)

    def _normal_equations(self, values_K: Array, pins: Pins) -> tuple[Array, Array]:
        """Half the Hessian (K, K) and half the gradient (K,) of the sum of squares."""
        sliders = Sliders.of(values_K, self._num_expression)
        landmarks_L3, jacobian_L3K = self._jacobian(self._view, sliders)
        rows, errors = [jacobian_L3K / HOLD_SIGMA], [(landmarks_L3 - self._held_L3) / HOLD_SIGMA]
        rows.append(_pin_rows(self._view, pins, jacobian_L3K))
        errors.append(_pin_errors(self._view, pins, landmarks_L3))
        for view, found in self._others:
            there = replace(view.sliders, shape_N=sliders.shape_N)
            landmarks_L3, jacobian_L3K = self._jacobian(view, there)
            jacobian_L3K[..., : self._num_expression + 3] = 0.0
            rows.append(_pin_rows(view, found, jacobian_L3K))
            errors.append(_pin_errors(view, found, landmarks_L3))
        matrix_RK = np.concatenate([row.reshape(-1, len(values_K)) for row in rows])
        error_R = np.concatenate([error.ravel() for error in errors])
        normal_KK = matrix_RK.T @ matrix_RK + self._precision_KK
        return normal_KK, matrix_RK.T @ error_R + self._precision_KK @ (values_K - self._start_K)

    def _jacobian(self, view: PinView, sliders: Sliders) -> tuple[Array, Array]:
        """Landmarks (L, 3) and their derivatives (L, 3, K)."""
        rig = self._rig
        points_P3, turns_J33 = _posed(rig, view, sliders)
        landmarks_L3 = rig.landmarks(points_P3)
        turns_P33 = np.tensordot(rig.weights_PJ, turns_J33, 1)
        moved_PK3 = self._directions_PK3 @ turns_P33.transpose(0, 2, 1)
        shifted_NJ3 = rig.joint_dirs_NJ3.copy()  # what hangs on a joint goes along where that is shifted
        for joint, parent in enumerate(rig.parents):
            if parent >= 0:
                shifted_NJ3[:, joint] = shifted_NJ3[:, joint] @ turns_J33[parent].T + shifted_NJ3[:, parent]
        moved_PK3[:, len(rig.expression_EP3) :] += np.tensordot(rig.weights_PJ, shifted_NJ3, (1, 1))
        linear_L3K = rig.landmarks(moved_PK3).transpose(0, 2, 1)
        jaw_L33 = np.empty((len(landmarks_L3), 3, 3))
        for axis in range(3):
            turned = replace(sliders, jaw_3=sliders.jaw_3 + _DIFFERENCE * np.eye(3)[axis])
            jaw_L33[..., axis] = (posed_landmarks(rig, view, turned) - landmarks_L3) / _DIFFERENCE
        count = self._num_expression
        return landmarks_L3, np.concatenate((linear_L3K[..., :count], jaw_L33, linear_L3K[..., count:]), 2)


def _metres_per_pixel(view: PinView) -> float:
    return 1 / float(np.sqrt((view.projection_24[:, :3] ** 2).sum() / 2))


def _pin_rows(view: PinView, pins: Pins, jacobian_L3K: Array) -> Array:
    scale = _metres_per_pixel(view) / PIN_SIGMA
    return scale * np.einsum("ij,ljk->lik", view.projection_24[:, :3], jacobian_L3K[pins.landmarks_I])


def _pin_errors(view: PinView, pins: Pins, landmarks_L3: Array) -> Array:
    scale = _metres_per_pixel(view) / PIN_SIGMA
    return scale * (projected(view, landmarks_L3[pins.landmarks_I]) - pins.places_I2)
