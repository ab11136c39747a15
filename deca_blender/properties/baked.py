"""`Object.deca_bake`: what wrinkles are baked on a head. Only the panel needs it; files work without."""

from __future__ import annotations

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from . import texts


class DECA_PG_bake(bpy.types.PropertyGroup):
    """What is baked, and how well."""

    kind: EnumProperty(name=texts.NAME_BAKED, description=texts.ABOUT_KIND, items=texts.KINDS)
    first: IntProperty(name=texts.NAME_FIRST_FRAME, description=texts.ABOUT_FIRST)
    last: IntProperty(name=texts.NAME_LAST_FRAME, description=texts.ABOUT_LAST)
    folder: StringProperty(name=texts.NAME_FOLDER, description=texts.ABOUT_FOLDER)
    num_maps: IntProperty(name=texts.NAME_MAPS, description=texts.ABOUT_NUM_MAPS)
    within: FloatProperty(name=texts.NAME_WITHIN, description=texts.ABOUT_WITHIN)
    percentile_95: FloatProperty(name=texts.NAME_95_PERCENT, description=texts.ABOUT_PERCENTILE_95)
    worst: FloatProperty(name=texts.NAME_WORST, description=texts.ABOUT_WORST)
    was_live: BoolProperty(name=texts.NAME_WAS_LIVE, description=texts.ABOUT_WAS_LIVE)


def register_pointers() -> None:
    """Attaches the group to Blender's objects."""
    bpy.types.Object.deca_bake = bpy.props.PointerProperty(type=DECA_PG_bake)


def unregister_pointers() -> None:
    """Detaches what `register_pointers` attached."""
    del bpy.types.Object.deca_bake


CLASSES = (DECA_PG_bake,)
