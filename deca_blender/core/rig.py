"""What the rig is made of: names of bones and shape keys, and the script-free driver expressions between them.

The rig equals FLAME's forward model: shape keys add up to the unposed head, bones skin it. Two things turn a joint
with an ARKit rotation (jaw, eyes): its driver bone, turned by the ARKit sliders, and below it the joint's own bone,
turned by hand. The joint's rotation is the product, R = R_arkit @ R_hand; the pose correctives are driven by the
entries of R - I.

Shape suffixes: V vertices, E expression coefficients, K = E + 9 rows of the ARKit map, A ARKit shapes (52).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..protocol.conventions import JOINTS

CORRECTED_JOINTS = JOINTS[1:]
"""Joints with pose correctives: 9 each, row-major, in this order."""

ARKIT_JOINTS = ("jaw", "eye_l", "eye_r")
"""Joints that ARKit shapes rotate; the last 9 rows of the ARKit map are their axis-angles in this order."""

NUM_EXPRESSION_KEYS = 50
EXPRESSION_RANGE = 10.0
"""Largest magnitude of an expression key: the hard limit of Blender's shape key sliders."""

AGE_KEY = "age"
"""Name of the shape key that makes the neutral head older, where the head model knows how; 1 is a decade."""

LIKENESS_KEY = "Likeness"
"""Name of the shape key of what the person's neutral head has beyond the shape coefficients; 0 turns it off."""

AGE_KEY_YEARS = 10.0
AGE_RANGE = 30.0
"""Years younger and older than on the photo: half of an adult life, as far as one straight direction can be trusted."""

SHAPE_KEY_PREFIX = "shape_"
"""Beginning of the names of the shape keys that change one measure of the neutral head: `shape_jaw_width`."""

SHAPE_RANGE = 3.0
"""Of those keys, whose 1 is a standard deviation among people: 3 leaves out one person of 400."""

CORRECTIVE_RANGE = 3.0
"""Entries of R - I lie in [-2, 1]; Blender clamps driven values to the slider range."""

LONGEST_EXPRESSION = 255
"""Characters that Blender keeps of a driver's expression."""


@dataclass(frozen=True)
class Term:
    """A variable of a driver: `name` in the expression, read from `path` of the driver's target.

    Where the user has deleted what is read, it is `rest`, so that the other terms go on.
    """

    name: str
    path: str
    rest: float = 0.0


@dataclass(frozen=True)
class DriverSpec:
    """A driver whose expression Blender evaluates without Python (a "simple expression")."""

    expression: str
    terms: tuple[Term, ...]


def expression_key(index: int) -> str:
    """Name of the shape key of one expression coefficient: `exp_000`."""
    return f"exp_{index:03d}"


def named_shape_label(name: str) -> str:
    """`jaw_width` -> `Jaw Width`."""
    return name.replace("_", " ").title()


def named_shape_key(name: str) -> str:
    """Name of the shape key of a measure: `shape_jaw_width`."""
    return SHAPE_KEY_PREFIX + name


def is_identity_key(name: str) -> bool:
    """Whether a shape key changes who the head is, not what it does: age, likeness, and the measures with names."""
    return name in (AGE_KEY, LIKENESS_KEY) or name.startswith(SHAPE_KEY_PREFIX)


EXPRESSION_KEYS = tuple(expression_key(index) for index in range(NUM_EXPRESSION_KEYS))
"""Names of all expression keys."""


def slider(key: str) -> str:
    """Path of a shape key's value, from the keys."""
    return f'key_blocks["{key}"].value'


def corrective_key(joint: str, row: int, column: int) -> str:
    """Name of the shape key of one entry of (R - I) of a joint: `corr_jaw_12` (row 1, column 2)."""
    return f"corr_{joint}_{row}{column}"


CORRECTIVE_KEYS = tuple(corrective_key(joint, *divmod(entry, 3)) for joint in CORRECTED_JOINTS for entry in range(9))
"""Names of all pose correctives."""


def arkit_bone(joint: str) -> str:
    """Name of the bone that the ARKit sliders turn."""
    return f"{joint}_arkit"


def axis_angle_parts(axis_angle: ArrayLike) -> tuple[float, tuple[float, float, float]]:
    """Angle in radians and unit axis of an axis-angle vector.

    The axis points to +x (its x is never negative, the angle may be) and is +x at rest, so that dragging the angle up
    always opens the jaw or bows the head.
    """
    vector = np.asarray(axis_angle, np.float64)
    angle = math.hypot(*vector)  # unlike the norm, right for tiny vectors too
    if angle == 0.0:
        return 0.0, (1.0, 0.0, 0.0)
    if vector[0] < 0:
        angle = -angle
    x, y, z = (vector / angle).tolist()
    return angle, (x, y, z)


def arkit_directions(expression_dirs_V3E: NDArray, arkit_map_KA: NDArray) -> NDArray[np.float32]:
    """Vertex displacements (A, V, 3) of the ARKit shapes: their map rows times the expression basis.

    Sliders of ARKit keys and of expression keys therefore add up as coefficients do. Rotations are not in them.
    """
    num_expression = len(arkit_map_KA) - 3 * len(ARKIT_JOINTS)
    return np.einsum("vce,ea->avc", expression_dirs_V3E[:, :, :num_expression], arkit_map_KA[:num_expression])


def arkit_rotation(arkit_map_KA: NDArray, joint: str) -> NDArray:
    """Axis-angle (3, A) in radians that each ARKit shape adds to a joint at full weight."""
    first = len(arkit_map_KA) - 3 * len(ARKIT_JOINTS) + 3 * ARKIT_JOINTS.index(joint)
    return arkit_map_KA[first : first + 3]


def arkit_rotation_drivers(arkit_map_KA: NDArray, names: Sequence[str], joint: str) -> list[DriverSpec]:
    """Drivers of angle, x, y, z of a joint's ARKit bone, from the values of the shape keys `names`.

    The bone's axis-angle vector is the weighted sum of the shapes' axis-angles; its length is the angle. Blender
    normalises the axis and takes a zero axis for no rotation.

    Raises:
        ValueError: So many shapes turn the joint that the expression would be too long for Blender.
    """
    rotation_3A = arkit_rotation(arkit_map_KA, joint)
    used = np.flatnonzero(np.abs(rotation_3A).max(axis=0) > 1e-9)
    letters = {int(index): chr(ord("a") + position) for position, index in enumerate(used)}
    terms = tuple(Term(letter, slider(names[index])) for index, letter in letters.items())
    sums = [
        "".join(f"{row[index]:+.7g}*{letter}" for index, letter in letters.items() if abs(row[index]) > 1e-9)
        for row in rotation_3A
    ]
    squares = "+".join(f"pow({total},2)" for total in sums if total)
    length = f"sqrt({squares})" if squares else ""
    return [_driver(expression or "0", terms) for expression in (length, *sums)]


def _driver(expression: str, terms: tuple[Term, ...]) -> DriverSpec:
    if len(expression) > LONGEST_EXPRESSION:
        raise ValueError(f"The driver expression {expression[:40]}... is longer than Blender takes.")
    return DriverSpec(expression, terms)


def corrective_driver(joint: str, row: int, column: int, has_arkit_bone: bool) -> DriverSpec:
    """Driver of one pose corrective: entry (row, column) of R - I, read from the bones' matrix_basis.

    `matrix_basis` is indexed column first in RNA paths.
    """

    def entry(name: str, bone: str, row: int, column: int) -> Term:
        return Term(name, f'pose.bones["{bone}"].matrix_basis[{column}][{row}]', float(row == column))

    minus_identity = "-1" if row == column else ""
    if not has_arkit_bone:
        return DriverSpec("a" + minus_identity, (entry("a", joint, row, column),))
    arkit = [entry(name, arkit_bone(joint), row, k) for k, name in enumerate("abc")]
    hand = [entry(name, joint, k, column) for k, name in enumerate("uvw")]
    return DriverSpec("a*u+b*v+c*w" + minus_identity, (*arkit, *hand))
