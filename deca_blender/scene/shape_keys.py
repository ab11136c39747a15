"""Shape keys of a head: expression, ARKit shapes, pose correctives, age (core/rig.py says how they add up)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..core import moving_joints, rig
from ..core.wrinkle_rig import NamedDriver
from ..protocol.messages import HeadReply

_EXPRESSION_SLIDER = 4.0


def add_shape_keys(
    obj: bpy.types.Object, head: HeadReply, neutral_V3: NDArray, likeness_V3: NDArray | None = None
) -> bpy.types.Key:
    """Adds all shape keys, at rest but for the likeness, to an object whose mesh is `neutral_V3`."""
    obj.shape_key_add(name="Basis", from_mix=False)
    for index in range(min(rig.NUM_EXPRESSION_KEYS, head.expression_dirs.shape[2])):
        positions_V3 = neutral_V3 + head.expression_dirs[:, :, index]
        _add_key(obj, rig.expression_key(index), positions_V3, -_EXPRESSION_SLIDER, _EXPRESSION_SLIDER)
    if head.arkit_map is not None:
        directions_AV3 = rig.arkit_directions(head.expression_dirs, head.arkit_map)
        for name, direction_V3 in zip(head.arkit_names, directions_AV3, strict=True):
            _add_key(obj, name, neutral_V3 + direction_V3, 0.0, 1.0)
    for joint_index, joint in enumerate(rig.CORRECTED_JOINTS):
        for entry in range(9):
            positions_V3 = neutral_V3 + head.pose_dirs[:, :, 9 * joint_index + entry]
            name = rig.corrective_key(joint, *divmod(entry, 3))
            _add_key(obj, name, positions_V3, -rig.CORRECTIVE_RANGE, rig.CORRECTIVE_RANGE)
    if head.age_direction is not None:
        decades = rig.AGE_RANGE / rig.AGE_KEY_YEARS
        positions_V3 = neutral_V3 + rig.AGE_KEY_YEARS * head.age_direction
        _add_key(obj, rig.AGE_KEY, positions_V3, -decades, decades)
    for name, direction_V3 in zip(head.named_shape_keys, named_shape_directions(head), strict=True):
        _add_key(obj, rig.named_shape_key(name), neutral_V3 + direction_V3, -rig.SHAPE_RANGE, rig.SHAPE_RANGE)
    if likeness_V3 is not None:
        add_likeness(obj, neutral_V3, likeness_V3)
    keys = obj.data.shape_keys
    assert keys is not None
    return keys


def add_likeness(obj: bpy.types.Object, neutral_V3: NDArray, likeness_V3: NDArray) -> None:
    """Adds the key of what the person's neutral head has beyond the shape coefficients, turned on."""
    if likeness_V3.shape != neutral_V3.shape:
        raise ValueError(f"A likeness of {likeness_V3.shape} for vertices of {neutral_V3.shape}.")
    _add_key(obj, rig.LIKENESS_KEY, neutral_V3 + likeness_V3, 0.0, 1.0)
    obj.data.shape_keys.key_blocks[rig.LIKENESS_KEY].value = 1.0


def named_shape_directions(head: HeadReply) -> Sequence[NDArray]:
    """Displacements (V, 3) of the keys of the named shapes: those of the shapes, less what the bones do to the skin.

    Where a named shape moves the joints of jaw and eyes, `armature.drive_joints` moves their bones along, and these
    take their skin with them.
    """
    if head.named_shapes is None:
        return []
    motions_NJ3 = moving_joints.driven_motions(head).transpose(2, 0, 1)
    return list(head.named_shapes - np.einsum("vj,njc->nvc", head.skin_weights, motions_NJ3))


def _add_key(obj: bpy.types.Object, name: str, positions_V3: NDArray, low: float, high: float) -> None:
    key = obj.shape_key_add(name=name, from_mix=False)
    key.points.foreach_set("co", positions_V3.astype(np.float32).ravel())
    key.slider_min, key.slider_max = low, high
    key.value = 0.0


def set_expression(keys: bpy.types.Key, expression_E: NDArray) -> None:
    """Sets the expression keys; sliders that are too short for a value are lengthened.

    Coefficients without a key are ignored: no photo sets those beyond (tongue, ...).
    """
    values = np.asarray(expression_E, np.float64)[: rig.NUM_EXPRESSION_KEYS].tolist()
    make_room(keys, values)
    for index, value in enumerate(values):
        key = keys.key_blocks.get(rig.expression_key(index))
        if key is not None:  # the user may have deleted or renamed it
            key.value = value


def make_room(keys: bpy.types.Key, values_E: Sequence[float]) -> None:
    """Lengthens the sliders of the expression keys that are too short for values (Blender's limit is 10)."""
    for index, value in enumerate(values_E):
        key = keys.key_blocks.get(rig.expression_key(index))
        reach = min(math.ceil(abs(value)), rig.EXPRESSION_RANGE)
        if key is not None and reach > key.slider_max:
            key.slider_min, key.slider_max = -reach, reach


def clear_arkit(keys: bpy.types.Key, names: tuple[str, ...]) -> None:
    """Puts the ARKit sliders to rest."""
    for name in names:
        keys.key_blocks[name].value = 0.0


def drive_correctives(keys: bpy.types.Key, rig_object: bpy.types.Object, has_arkit_bones: bool) -> None:
    """Drives the pose correctives from the bones; works with scripts disabled."""
    for joint in rig.CORRECTED_JOINTS:
        for entry in range(9):
            row, column = divmod(entry, 3)
            spec = rig.corrective_driver(joint, row, column, has_arkit_bones and joint in rig.ARKIT_JOINTS)
            block = keys.key_blocks[rig.corrective_key(joint, row, column)]
            add_driver(block, "value", -1, spec, rig_object)


def add_driver(
    owner: bpy.types.bpy_struct, path: str, index: int, spec: rig.DriverSpec, target: bpy.types.ID | None
) -> None:
    """Adds a driver to one property; `spec`'s variables are read from `target`, or from the scene where it is None."""
    curve: Any = owner.driver_add(path, index)
    # Blender 5 adds points at (0, 0) and (1, 1), and takes what is within 1e-4 of one for the point.
    curve.keyframe_points.clear()
    driver = curve.driver
    driver.type = "SCRIPTED"
    for term in spec.terms:
        variable = driver.variables.new()
        variable.name = term.name
        if target is None:  # whichever scene shows it: naming one would drag it along into other files
            variable.type = "CONTEXT_PROP"
            variable.targets[0].context_property = "ACTIVE_SCENE"
        else:
            variable.type = "SINGLE_PROP"
            variable.targets[0].id_type = target.id_type
            variable.targets[0].id = target
        variable.targets[0].data_path = term.path
        variable.targets[0].use_fallback_value, variable.targets[0].fallback_value = True, term.rest
    driver.expression = spec.expression


def add_values(owner: bpy.types.Object, group: str, drivers: Sequence[NamedDriver], keys: bpy.types.Key) -> None:
    """Adds a custom property that holds driven values by name; each reads either shape keys or values before it."""
    values: Any = owner
    values[group] = {driver.name: 0.0 for driver in drivers}
    for driver in drivers:
        spec, reads_keys = driver.spec, any(term.path.startswith("key_blocks") for term in driver.spec.terms)
        if not reads_keys:
            terms = tuple(replace(term, path=f'["{group}"]{term.path}') for term in spec.terms)
            spec = rig.DriverSpec(spec.expression, terms)
        add_driver(owner, f'["{group}"]["{driver.name}"]', -1, spec, keys if reads_keys else owner)
