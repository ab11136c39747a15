"""Gaussian priors of the fit's parameters: identity, expression, jaw, gaze.

Shape suffixes: S shape and E expression coefficients, K = S + E codes, P = K + 7 with the pose of jaw and eyes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deca.reconstruct.landmark_head import NUM_POSE, LandmarkHead

Array = NDArray[np.float64]

JAW_SIGMA = (0.20, 0.03, 0.02)
"""Standard deviations of the jaw's axis-angle, radians: opening, sideways, roll."""

JAW_RANGE = (0.0, 0.55)
"""Soft limits of the jaw's opening, radians."""

TEETH_MEET_SIGMA = 0.004
"""Standard deviation of the opening where the teeth meet."""

SHAPE_LIMIT, EXPRESSION_LIMIT = 2.7, 3.5
"""Soft limits of the coefficients: beyond them a head model's directions stop looking human."""

LIMIT_SIGMA = 0.01
"""Standard deviation with which all soft limits give way, radians or coefficients."""

_GAZE_SIGMA = 0.25
_VERGENCE_SIGMA = 0.04
_JAW_BY_EXPRESSION_SIGMA = 0.04
_JAW_SLIDE_SIGMA = 0.001
"""Metres that expression coefficients move the lower teeth by: a photo from the front hardly shows the jaw slide, and
lips alone would push it half a centimetre."""


def precision(reduced: LandmarkHead) -> Array:
    """Prior precision (P, P) of codes, jaw and gaze around zero; head models scale their codes to unit variance."""
    num_shape, num_codes = reduced.num_shape, reduced.num_codes
    out = np.zeros((num_codes + NUM_POSE, num_codes + NUM_POSE))
    out[:num_shape, :num_shape] = np.eye(num_shape)
    expression = slice(num_shape, num_codes)
    opening_E = jaw_opening_by_expression(reduced)
    out[expression, expression] = np.eye(reduced.num_expression)
    out[expression, expression] += np.outer(opening_E, opening_E) / _JAW_BY_EXPRESSION_SIGMA**2
    out[expression, expression] += reduced.lower_teeth_E3 @ reduced.lower_teeth_E3.T / _JAW_SLIDE_SIGMA**2
    jaw = np.arange(num_codes, num_codes + 3)
    out[jaw, jaw] = 1 / np.square(JAW_SIGMA)
    for axis in range(2):
        left, right = num_codes + 3 + axis, num_codes + 5 + axis
        out[[left, right], [left, right]] = 0.5 / _GAZE_SIGMA**2 + 1 / _VERGENCE_SIGMA**2
        out[[left, right], [right, left]] = -1 / _VERGENCE_SIGMA**2
    return out


def jaw_opening_by_expression(reduced: LandmarkHead) -> Array:
    """Radians of jaw opening that each expression coefficient (E,) imitates on the landmarks.

    The projection of the coefficient's displacements on those of the jaw joint. What it measures belongs to the joint.
    """
    codes, pose = np.zeros((1, reduced.num_codes)), np.zeros((1, NUM_POSE))
    jacobian = []
    for plane in ([[1, 0, 0], [0, 1, 0]], [[0, 0, 1], [0, 0, 0]]):
        view = np.broadcast_to(np.array(plane, np.float64), (1, reduced.num_points, 2, 3))
        jacobian.append(reduced.jacobian(codes, pose, view)[0])
    jacobian_XP = np.stack(jacobian).reshape(-1, reduced.num_codes + NUM_POSE)
    jaw_X = jacobian_XP[:, reduced.num_codes]
    return jacobian_XP[:, reduced.num_shape : reduced.num_codes].T @ jaw_X / max(float(jaw_X @ jaw_X), 1e-12)


def limits(reduced: LandmarkHead, factors: int) -> tuple[Array, Array]:
    """Soft limits (P + factors,) of all parameters, low and high."""
    free = np.full(NUM_POSE + factors, np.inf)
    high = np.concatenate(
        (np.full(reduced.num_shape, SHAPE_LIMIT), np.full(reduced.num_expression, EXPRESSION_LIMIT), free)
    )
    low = -high
    low[reduced.num_codes], high[reduced.num_codes] = JAW_RANGE
    return low, high


def excess(params_BP: Array, low_P: Array, high_P: Array) -> Array:
    """How far (B, P) parameters lie beyond their soft limits, in standard deviations."""
    return (params_BP - np.clip(params_BP, low_P, high_P)) / LIMIT_SIGMA
