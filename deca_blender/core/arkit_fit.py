"""Expression coefficients and joints as ARKit sliders: the weights whose sum comes nearest on the skin.

Shape suffixes: F frames, A ARKit shapes, E expression coefficients, V vertices.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..protocol.messages import HeadReply
from . import rig
from .rotations import axis_angles, product, quaternions

Array = NDArray[np.floating]

_THRIFT = 0.03
"""By how much a weight alone falls short: the price for shapes that nearly cancel each other out not to go up together,
a mouth to the left and to the right."""
_JAW_LEVER, _EYE_LEVER = 0.08, 0.012
"""Metres from the joint to what its rotation moves: chin, iris."""
_SWEEPS, _SETTLED = 400, 1e-5


def arkit_weights(
    expression_FE: NDArray, pose_F53: NDArray, head: HeadReply
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The ARKit weights (F, A) in 0..1, and what is left for the joints' own bones (F, 5, 3).

    Least squares over the skin's vertices with thrift (an L1 norm), by coordinate descent. Rotations stay exact: the
    bones take what the sliders do not turn.

    Args:
        expression_FE: Expression coefficients.
        pose_F53: Axis-angle of root, neck, jaw, left and right eye, radians.
        head: The head model, with an ARKit map.
    """
    assert head.arkit_map is not None
    arkit_map_KA = head.arkit_map.astype(np.float64)
    rows = len(arkit_map_KA) - 3 * len(rig.ARKIT_JOINTS)
    skin = head.part == 0
    dirs_XE = head.expression_dirs[skin].reshape(-1, head.expression_dirs.shape[2]).astype(np.float64)
    size = min(dirs_XE.shape[1], rows)
    metric_EE = dirs_XE[:, :size].T @ dirs_XE[:, :size]
    count = np.count_nonzero(skin)
    shapes_EA, given_EF = arkit_map_KA[:size], np.zeros((size, len(expression_FE)))
    used = min(size, expression_FE.shape[1])
    given_EF[:used] = np.asarray(expression_FE, np.float64)[:, :used].T
    gram_AA, right_AF = shapes_EA.T @ metric_EE @ shapes_EA, shapes_EA.T @ metric_EE @ given_EF
    for joint, lever in zip(rig.ARKIT_JOINTS, (_JAW_LEVER, _EYE_LEVER, _EYE_LEVER), strict=True):
        turn_3A = rig.arkit_rotation(arkit_map_KA, joint)
        weight = lever**2 * count * (0.2 if joint == "jaw" else 0.05)  # of the skin, so much goes along
        gram_AA += weight * turn_3A.T @ turn_3A
        right_AF += weight * turn_3A.T @ pose_F53[:, rig.JOINTS.index(joint)].T
    gram_AA[np.diag_indices_from(gram_AA)] += 1e-6 * np.mean(np.diag(gram_AA))  # the tongue moves no skin
    right_AF -= _THRIFT * np.diag(gram_AA)[:, None]
    weights_AF = _descend(gram_AA, right_AF)
    own_F53 = np.array(pose_F53, np.float64)
    for joint in rig.ARKIT_JOINTS:
        turn_3A = rig.arkit_rotation(arkit_map_KA, joint)
        row = rig.JOINTS.index(joint)
        # R = R_arkit @ R_own
        done_F4, wanted_F4 = quaternions(-(turn_3A @ weights_AF).T), quaternions(own_F53[:, row])
        own_F53[:, row] = axis_angles(product(done_F4, wanted_F4))
    return weights_AF.T, own_F53


def _descend(gram_AA: Array, right_AF: Array) -> Array:
    """Minimises w^T G w / 2 - r^T w over 0 <= w <= 1, for each frame."""
    weights_AF = np.zeros_like(right_AF)
    for _ in range(_SWEEPS):
        largest = 0.0
        for index, row_A in enumerate(gram_AA):
            step_F = (right_AF[index] - row_A @ weights_AF) / row_A[index]
            new_F = np.clip(weights_AF[index] + step_F, 0.0, 1.0)
            largest = max(largest, float(np.abs(new_F - weights_AF[index]).max(initial=0.0)))
            weights_AF[index] = new_F
        if largest < _SETTLED:
            break
    return weights_AF
