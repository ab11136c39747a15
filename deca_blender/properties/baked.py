"""`Object.deca_bake`: what wrinkles are baked on a head. Only the panel needs it; files work without."""

from __future__ import annotations

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

KINDS = [
    ("NONE", "None", "The wrinkles are not baked"),
    ("FRAMES", "Frames", "The map of each frame is baked"),
    ("RIG", "Rig", "Maps that the sliders blend are baked"),
]


class DECA_PG_bake(bpy.types.PropertyGroup):
    """What is baked, and how well."""

    kind: EnumProperty(name="Baked", description="What is baked on the head", items=KINDS)
    first: IntProperty(name="First Frame", description="First baked frame")
    last: IntProperty(name="Last Frame", description="Last baked frame")
    folder: StringProperty(name="Folder", description="Folder of the baked frames; empty: packed into the file")
    num_maps: IntProperty(name="Maps", description="Number of maps that the sliders blend")
    within: FloatProperty(name="Within", description="Share of the texels within 0.15 mm of the networks' wrinkles")
    percentile_95: FloatProperty(name="95 %", description="95 % of the texels are nearer than this, millimetres")
    worst: FloatProperty(name="Worst", description="Largest distance of a texel, millimetres")
    was_live: BoolProperty(name="Was Live", description="Whether the wrinkles were live before they were baked")


def register_pointers() -> None:
    """Attaches the group to Blender's objects."""
    bpy.types.Object.deca_bake = bpy.props.PointerProperty(type=DECA_PG_bake)


def unregister_pointers() -> None:
    """Detaches what `register_pointers` attached."""
    del bpy.types.Object.deca_bake


CLASSES = (DECA_PG_bake,)
