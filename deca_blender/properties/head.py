"""`Object.deca`: how a head was made. Its mesh object carries it.

Coefficients have as many entries as their head model, so they are plain custom properties of the object
(`SHAPE`, `EXPRESSION`); the rest is here.
"""

from __future__ import annotations

import bpy
from bpy.props import BoolProperty, FloatProperty, FloatVectorProperty, IntProperty, IntVectorProperty, StringProperty

SHAPE = "deca_shape"
EXPRESSION = "deca_expression"


class DECA_PG_head(bpy.types.PropertyGroup):
    """How a head was made: enough to make it again without the photo."""

    is_head: BoolProperty(name="Is a Head", description="This object is a head made by the add-on")
    model: StringProperty(name="Head Model", description="Head model that the coefficients belong to")
    model_hash: StringProperty(name="Head Model Hash", description="Hash of the head model's file")
    backend_version: StringProperty(name="Backend Version", description="Version of the backend that made the head")
    protocol_version: IntProperty(name="Protocol Version", description="Version of the backend's protocol")
    photo: StringProperty(name="Photo", description="File that the head was made from")
    pose: FloatVectorProperty(
        name="Photo Pose",
        description="Axis-angle of root, neck, jaw, left eye and right eye on the photo, radians",
        size=15,
    )
    camera: FloatVectorProperty(
        name="Photo Camera", description="Scale and shift [s, tx, ty] of the orthographic camera on the crop", size=3
    )
    crop: FloatVectorProperty(
        name="Crop", description="3 x 3 matrix from photo pixels to crop pixels, row by row", size=9
    )
    image_size: IntVectorProperty(name="Photo Size", description="Width and height of the photo, pixels", size=2)
    box: FloatVectorProperty(name="Face Box", description="Left, top, right, bottom in photo pixels", size=4)
    landmark_error: FloatProperty(
        name="Landmark Error",
        description="Mean distance of the head's landmarks from the photo's, as a fraction of the outer-eye distance",
    )


def register_pointers() -> None:
    """Attaches the groups to Blender's types."""
    bpy.types.Object.deca = bpy.props.PointerProperty(type=DECA_PG_head)


def unregister_pointers() -> None:
    """Detaches what `register_pointers` attached."""
    del bpy.types.Object.deca


CLASSES = (DECA_PG_head,)
