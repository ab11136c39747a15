"""`WindowManager.deca`: what the panel shows. Never saved with the file."""

from __future__ import annotations

import bpy
from bpy.props import BoolProperty, StringProperty

from . import texts


class DECA_PG_interface(bpy.types.PropertyGroup):
    """State of the panel."""

    search: StringProperty(name=texts.NAME_SEARCH, description=texts.ABOUT_SEARCH, options={"TEXTEDIT_UPDATE"})
    show_pins: BoolProperty(name=texts.NAME_SHOW_PINS, description=texts.ABOUT_SHOW_PINS)


def register_pointers() -> None:
    """Attaches the group to Blender's types."""
    bpy.types.WindowManager.deca = bpy.props.PointerProperty(type=DECA_PG_interface)


def unregister_pointers() -> None:
    """Detaches what `register_pointers` attached."""
    del bpy.types.WindowManager.deca


CLASSES = (DECA_PG_interface,)
