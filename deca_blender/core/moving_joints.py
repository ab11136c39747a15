"""Joints that follow expression, as DECA's release has them for FLAME: drivers that move the bones without Python.

A joint is where its bone rests plus d, which is linear in the expression. Rest positions cannot be driven. So the
topmost bone of a joint is shifted by d - d_parent, it turns there, and the skin hangs on one more bone below, which is
shifted back by d: a vertex v goes to P + R (v - J - d), which is skinning about the moved joint.

Shape suffixes: J joints, E expression coefficients, K = E + 9 rows of the ARKit map, A ARKit shapes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from . import rig
from .wrinkle_rig import NamedDriver, sum_drivers

GROUP = "joint_motion"
"""Custom property of the armature object that holds d of every joint: `jaw_x`, ..., metres in head space."""

_AXES = "xyz"


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
