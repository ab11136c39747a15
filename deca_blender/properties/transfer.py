"""`Object.deca_transfer`: wrinkles that a head has taken from another.

The other's detail code is the plain custom property `TRANSFERRED` of the object, its reliefs and their shares are
`RELIEFS` and `SHARES`; the head's own stay where they are.
"""

from __future__ import annotations

import bpy
from bpy.props import FloatProperty, StringProperty

from . import texts

TRANSFERRED = "deca_detail_transferred"
RELIEFS = "deca_reliefs_transferred"
"""A group of bytes: several where the other wears a mixture itself."""
SHARES = "deca_shares_transferred"


def _amount_changed(group: DECA_PG_transfer, context: bpy.types.Context) -> None:
    group.id_data.update_tag(refresh={"OBJECT", "DATA"})  # the live update is to see it


class DECA_PG_transfer(bpy.types.PropertyGroup):
    """Whose wrinkles a head wears, and how much of them."""

    amount: FloatProperty(
        name=texts.NAME_AMOUNT,
        description=texts.ABOUT_AMOUNT,
        min=0.0,
        max=1.0,
        default=1.0,
        subtype="FACTOR",
        override={"LIBRARY_OVERRIDABLE"},
        update=_amount_changed,
    )
    source: StringProperty(name=texts.NAME_SOURCE, description=texts.ABOUT_SOURCE)


def register_pointers() -> None:
    """Attaches the group to Blender's objects."""
    bpy.types.Object.deca_transfer = bpy.props.PointerProperty(type=DECA_PG_transfer)


def unregister_pointers() -> None:
    """Detaches what `register_pointers` attached."""
    del bpy.types.Object.deca_transfer


CLASSES = (DECA_PG_transfer,)
