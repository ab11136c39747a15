"""Joints that follow expression, as DECA's release has them for FLAME: drivers that move the bones without Python.

A joint is where its bone rests plus d, which is linear in the expression. Rest positions cannot be driven. So the
topmost bone of a joint is shifted by d - d_parent, it turns there, and the skin hangs on one more bone below, which is
shifted back by d: a vertex v goes to P + R (v - J - d), which is skinning about the moved joint.

Named shapes of the neutral head move joints, too, in heads whose joints do not follow expression. There the bones that
ARKit sliders turn, which nobody keys, are shifted by d, and the skin's keys lack what that does: with the weights w,
v goes to R (v + s - w d - J) + J + d, which is skinning about the moved joint.

Shape suffixes: N named shapes, J joints, E expression coefficients, K = E + 9 rows of the ARKit map, A ARKit shapes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from . import rig
from .identity import named_shape_motions
from .wrinkle_rig import NamedDriver, sum_drivers

if TYPE_CHECKING:
    from ..protocol.messages import HeadReply

GROUP = "joint_motion"
"""Custom property of the armature object that holds d of every joint: `jaw_x`, ..., metres in head space."""

_AXES = "xyz"


def driven_motions(head: HeadReply) -> NDArray[np.float64]:
    """How far the bones of jaw and eyes are shifted by the named shapes: (J, 3, N) metres at 1; the others rest."""
    motions_J3N = named_shape_motions(head)
    if motions_J3N is None:
        return np.zeros((len(rig.JOINTS), 3, 0))
    driven_J = [joint in rig.ARKIT_JOINTS and head.arkit_map is not None for joint in rig.JOINTS]
    return motions_J3N * (np.array(driven_J) & (not head.joints_follow_expression))[:, None, None]


def named_shape_drivers(head: HeadReply) -> list[NamedDriver]:
    """Drivers of the group's values that named shapes give, from the values of the shape keys."""
    drivers: list[NamedDriver] = []
    paths = [rig.slider(rig.named_shape_key(name)) for name in head.named_shape_keys]
    for joint, motion_3N in zip(rig.JOINTS, driven_motions(head), strict=True):
        for axis, motion_N in zip(_AXES, motion_3N.tolist(), strict=True):
            if joint in rig.ARKIT_JOINTS:
                terms = [(round(metres, 7), "{}", path) for metres, path in zip(motion_N, paths, strict=True)]
                drivers += sum_drivers(f"{joint}_{axis}", terms)
    return drivers


def deform_bone(joint: str) -> str:
    """Name of the bone, and of the vertex group, that moves a joint's skin."""
    return f"def_{joint}"


def motion_drivers(
    motion_J3E: NDArray, arkit_names: Sequence[str] = (), arkit_map_KA: NDArray | None = None
) -> list[NamedDriver]:
    """Drivers of the group's values, from the values of the shape keys.

    Args:
        motion_J3E: Metres per unit of each expression coefficient (`core.identity.joint_motions`).
        arkit_names: Names of the ARKit keys, in the map's order.
        arkit_map_KA: The ARKit map, if the head has one.
    """
    keys = [rig.expression_key(index) for index in range(min(rig.NUM_EXPRESSION_KEYS, motion_J3E.shape[2]))]
    motion_J3K = motion_J3E[:, :, : len(keys)]
    if arkit_map_KA is not None:
        count = len(arkit_map_KA) - 3 * len(rig.ARKIT_JOINTS)
        motion_J3K = np.concatenate((motion_J3K, motion_J3E[:, :, :count] @ arkit_map_KA[:count]), axis=2)
        keys += arkit_names
    drivers: list[NamedDriver] = []
    for joint, motion_3K in zip(rig.JOINTS, motion_J3K, strict=True):
        for axis, motion_K in zip(_AXES, motion_3K.tolist(), strict=True):
            terms = [(metres, "{}", rig.slider(key)) for metres, key in zip(motion_K, keys, strict=True)]
            drivers += sum_drivers(f"{joint}_{axis}", terms)
    return drivers


def follow_drivers(joint: str, bone_length: float) -> list[rig.DriverSpec]:
    """Drivers of the location (x, y, z) of the bone that ARKit sliders turn; they read the group.

    Args:
        joint: Its joint.
        bone_length: Length of the joint's bones, which a scale that is applied to the armature multiplies.
    """
    length = rig.Term("b", f'data.bones["{rig.arkit_bone(joint)}"].length', bone_length)
    return [
        rig.DriverSpec(f"a*b/{bone_length}", (rig.Term("a", f'["{GROUP}"]["{joint}_{axis}"]'), length))
        for axis in _AXES
    ]


def shift_drivers(joint: str, parent: str | None) -> tuple[list[rig.DriverSpec], list[rig.DriverSpec]]:
    """Drivers of the location (x, y, z) of the joint's topmost bone, and of its deform bone; they read the group."""

    def value(name: str, of: str, axis: str) -> rig.Term:
        return rig.Term(name, f'["{GROUP}"]["{of}_{axis}"]')

    there, back = [], []
    for axis in _AXES:
        own = value("a", joint, axis)
        back.append(rig.DriverSpec("-a", (own,)))
        from_parent = rig.DriverSpec("a", (own,))
        if parent is not None:
            from_parent = rig.DriverSpec("a-b", (own, value("b", parent, axis)))
        there.append(from_parent)
    return there, back
