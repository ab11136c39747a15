"""`Object.deca_sliders` of a head's armature: another way to its ARKit sliders, by which pose assets reach them.

Blender applies a pose asset to one object, the armature; shape keys belong to another. These properties hold nothing:
reading one reads the shape key, setting one sets it. So the sliders stay what they are, and an Action with channels
`deca_sliders.jawOpen` is a pose asset like any other (`scene/pose_assets.py`).
"""

from __future__ import annotations

from typing import Any

import bpy
from bpy.props import FloatProperty

from ..core import arkit
from . import texts


def _keys(sliders: Any, name: str) -> list[bpy.types.ShapeKey]:
    """The shape keys of a name of all heads that hang on the armature."""
    heads = (obj for obj in sliders.id_data.children if obj.type == "MESH" and obj.deca.is_head)
    found = (head.data.shape_keys.key_blocks.get(name) for head in heads if head.data.shape_keys is not None)
    return [key for key in found if key is not None]


def _slider(name: str) -> Any:
    def get(sliders: Any) -> float:
        return next((key.value for key in _keys(sliders, name)), 0.0)

    def set(sliders: Any, value: float) -> None:
        if not sliders.id_data.is_evaluated:  # never write from the evaluation of an animation, which has threads
            for key in _keys(sliders, name):
                if key.id_data.library is None:  # Blender would lose it
                    key.value = value

    return FloatProperty(name=arkit.label(name), description=texts.SLIDER, min=0.0, max=1.0, get=get, set=set)


class DECA_PG_sliders(bpy.types.PropertyGroup):
    """The ARKit sliders of the heads that hang on an armature."""

    __annotations__ = {name: _slider(name) for name in arkit.NAMES}


def register_pointers() -> None:
    """Attaches the group to Blender's objects."""
    bpy.types.Object.deca_sliders = bpy.props.PointerProperty(type=DECA_PG_sliders)


def unregister_pointers() -> None:
    """Detaches what `register_pointers` attached."""
    del bpy.types.Object.deca_sliders


CLASSES = (DECA_PG_sliders,)
