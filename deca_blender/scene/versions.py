"""Where Blender itself differs between 4.2 and 5.3: what asks for the version, or whether something is there yet.

What is the same everywhere but easily forgotten stands where it is used (`shape_keys.add_driver`, `shading`).
"""

from __future__ import annotations

from typing import Any

import bpy


def has_layers(action: Any) -> bool:
    """Whether Actions have layers and slots (from 4.4), not channels of their own alone."""
    return hasattr(action, "layers")


def new_channels(action: Any) -> Any:
    """The channels (`fcurves`) of an empty Action, for an object."""
    if not has_layers(action):
        return action.fcurves
    slot = action.slots.new(id_type="OBJECT", name="Head")
    strip = action.layers.new("Expression").strips.new(type="KEYFRAME")
    return strip.channelbag(slot, ensure=True).fcurves


def modifier_input_path(modifier: Any, identifier: str) -> str:
    """Path, from the object, of an input of a geometry nodes modifier; from 5.2 inputs have types of their own."""
    path = f'modifiers["{modifier.name}"]'
    if hasattr(modifier, "properties"):
        return f"{path}.properties.inputs.{identifier}.value"
    return f'{path}["{identifier}"]'


def forget_groups(owner: bpy.types.ID, *names: str) -> None:
    """Deletes what Blender 5 keeps, as custom properties, of the add-on's properties in files of Blender 4."""
    if bpy.app.version >= (5, 0, 0):  # before, that would delete the properties themselves
        for name in names:
            if name in owner:
                del owner[name]
