"""The unposed head of one person: neutral vertices and joints from shape coefficients.

Shape suffixes: V vertices, S shape coefficients, J joints, E expression coefficients.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ..protocol.messages import HeadReply


def neutral_verts(head: HeadReply, shape_S: NDArray) -> NDArray[np.float64]:
    """Vertices (V, 3) of the person in neutral, metres, head space.

    Raises:
        ValueError: There are more coefficients than the head's arrays have directions for.
    """
    directions_V3S = head.shape_dirs
    if len(shape_S) > directions_V3S.shape[2]:
        raise ValueError(f"{len(shape_S)} shape coefficients, but {directions_V3S.shape[2]} shape directions.")
    return head.verts + directions_V3S[:, :, : len(shape_S)] @ np.asarray(shape_S, np.float64)


def joint_positions(head: HeadReply, neutral_V3: NDArray) -> NDArray[np.float64]:
    """Joints (J, 3) of the person in neutral, metres, head space."""
    return head.joint_regressor.astype(np.float64) @ neutral_V3


def named_shape_motions(head: HeadReply) -> NDArray[np.float64] | None:
    """How far the named shapes move the joints: (J, 3, N) metres at 1; None where the head model has none."""
    if head.named_shapes is None:
        return None
    return np.einsum("jv,nvc->jcn", head.joint_regressor.astype(np.float64), head.named_shapes)


def joint_motions(head: HeadReply) -> NDArray[np.float64] | None:
    """How far expression moves the joints: (J, 3, E) metres per unit of each coefficient; None where they stay."""
    if not head.joints_follow_expression:
        return None
    return np.tensordot(head.joint_regressor.astype(np.float64), head.expression_dirs, 1)
