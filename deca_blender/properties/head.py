"""`Object.deca`: how a head was made. Its mesh object carries it.

Coefficients have as many entries as their head model, so they are plain custom properties of the object
(`SHAPE`, `EXPRESSION`, `DETAIL`, ...); the rest is here.
"""

from __future__ import annotations

from typing import Any

import bpy
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    FloatVectorProperty,
    IntProperty,
    IntVectorProperty,
    StringProperty,
)

from ..core import rig
from . import texts

SHAPE = "deca_shape"
EXPRESSION = "deca_expression"
DETAIL = "deca_detail"
PHOTO_EXPRESSIONS = "deca_photo_expressions"
"""Expression coefficients of each of a person's photos, one after the other."""
PHOTO_NUMBER = "deca_photo_number"
"""On a photo's camera: which of `Object.deca.photos` it shows."""
RELIEF = "deca_relief"
"""What the photo shows of the skin: bytes that only the backend understands; heads of earlier versions have none."""
PHOTO_DETAIL_RANGE = (0.0, 2.0)
WRINKLE_AGE_RANGE = (-1.0, 1.0)
"""In units of 20 years."""
NAMED_SHAPES = "deca_named_shapes"
"""JSON: name -> unit and deviation of the measures that have a shape key."""
NAMED_SHAPE_JOINTS = "deca_named_shape_joints"
"""By how much each of them moves the bones of the joints at 1, metres: shape by shape, joint by joint."""
NAMED_SHAPE_PRIOR = "deca_named_shape_prior"
"""How unlikely they are together: a matrix, row by row (`HeadReply.named_shape_prior`)."""
LANDMARK_VERTS = "deca_landmark_verts"
"""The three vertices of each of iBUG's 68 landmarks, one after the other."""
LANDMARK_WEIGHTS = "deca_landmark_weights"
"""Where between them each lies."""
BEFORE_PINS = "deca_before_pins"
"""By number of a photo: expression coefficients and the jaw's axis-angle as fitted, before pins corrected them."""
PINNED_SHAPE = "deca_pinned_shape"
"""By name: what pins have added to the shape keys of the measures."""
ARKIT_MAP = "deca_arkit_map"
"""The ARKit map's rows of the 50 expression coefficients, row by row."""
ARKIT_NAMES = "deca_arkit_names"
"""The map's columns: names separated by spaces."""
STRENGTH = "wrinkle_strength"
"""A plain custom property, because drivers and keyframes of it have to work where the add-on is not enabled."""
SIZE = "wrinkle_size"
"""Driven: the size of the mesh beside that of the import (`core/size.py`)."""
SIDE = "wrinkle_side"
"""1, or -1 where the surface's normals point inwards."""
STRENGTH_RANGE = (0.0, 3.0)


def _strength(self: bpy.types.PropertyGroup) -> float:
    return self.id_data.get(STRENGTH, 1.0) if self.id_data is not None else 1.0


def _set_strength(self: bpy.types.PropertyGroup, value: float) -> None:
    if self.id_data is not None:
        low, high = STRENGTH_RANGE
        self.id_data[STRENGTH] = min(max(value, low), high)
        self.id_data.update_tag()  # Blender evaluates drivers of custom properties by itself for edits in its UI only


def age_key(head_object: bpy.types.Object) -> bpy.types.ShapeKey | None:
    """The shape key that makes a head older, or None where its head model does not know how."""
    return _key(head_object, rig.AGE_KEY)


def likeness_key(head_object: bpy.types.Object) -> bpy.types.ShapeKey | None:
    """The shape key of what the person has beyond the shape coefficients, or None where there is nothing."""
    return _key(head_object, rig.LIKENESS_KEY)


def _key(head_object: bpy.types.Object, name: str) -> bpy.types.ShapeKey | None:
    keys = head_object.data.shape_keys if head_object.type == "MESH" else None
    return keys.key_blocks.get(name) if keys is not None else None


def _age(self: Any) -> float:
    key = age_key(self.id_data)
    return rig.AGE_KEY_YEARS * key.value if key is not None else 0.0


def _set_age(self: Any, years: float) -> None:
    key = age_key(self.id_data)
    if key is not None:
        key.value = years / rig.AGE_KEY_YEARS


def _live_changed(group: bpy.types.PropertyGroup, context: bpy.types.Context) -> None:
    group.id_data.update_tag(refresh={"OBJECT", "DATA"})  # the live update is to catch up


def _colors(self: Any) -> int:
    from ..scene import material  # which reads this module

    return material.COLORS.index(material.shown_colors(self.id_data))


def _set_colors(self: Any, index: int) -> None:
    from ..scene import material

    material.show_colors(self.id_data, material.COLORS[index])


class DECA_PG_photo(bpy.types.PropertyGroup):
    """One of several photos that a head was made from; its `name` is the photo's."""

    path: StringProperty(name=texts.NAME_PHOTO, description=texts.ABOUT_PATH)
    frame: IntProperty(name=texts.NAME_FRAME, description=texts.ABOUT_FRAME)
    pose: FloatVectorProperty(name=texts.NAME_POSE, description=texts.ABOUT_POSE, size=15)
    image_size: IntVectorProperty(name=texts.NAME_PHOTO_SIZE, description=texts.ABOUT_IMAGE_SIZE, size=2)


class DECA_PG_pin(bpy.types.PropertyGroup):
    """A landmark that is held where the user has put it on a photo."""

    landmark: IntProperty(name=texts.NAME_LANDMARK, description=texts.ABOUT_LANDMARK, min=0, max=67)
    photo: IntProperty(name=texts.NAME_PHOTO, description=texts.ABOUT_PHOTO)
    place: FloatVectorProperty(name=texts.NAME_PLACE, description=texts.ABOUT_PLACE, size=2)


class DECA_PG_head(bpy.types.PropertyGroup):
    """How a head was made: enough to make it again without the photo."""

    is_head: BoolProperty(name=texts.NAME_IS_A_HEAD, description=texts.ABOUT_IS_HEAD)
    model: StringProperty(name=texts.NAME_HEAD_MODEL, description=texts.ABOUT_MODEL)
    model_hash: StringProperty(name=texts.NAME_HEAD_MODEL_HASH, description=texts.ABOUT_MODEL_HASH)
    model_file: StringProperty(name=texts.NAME_HEAD_MODEL_FILE, description=texts.ABOUT_MODEL_FILE)
    backend_version: StringProperty(name=texts.NAME_BACKEND_VERSION, description=texts.ABOUT_BACKEND_VERSION)
    protocol_version: IntProperty(name=texts.NAME_PROTOCOL_VERSION, description=texts.ABOUT_PROTOCOL_VERSION)
    photo: StringProperty(name=texts.NAME_PHOTO, description=texts.ABOUT_HEAD_PHOTO)
    photos: CollectionProperty(name=texts.NAME_PHOTOS, description=texts.ABOUT_PHOTOS, type=DECA_PG_photo)
    pins: CollectionProperty(name=texts.NAME_PINS, description=texts.ABOUT_PINS, type=DECA_PG_pin)
    pins_move: EnumProperty(name=texts.NAME_PINS_MOVE, description=texts.ABOUT_PINS_MOVE, items=texts.PINS_MOVE)
    left_out: StringProperty(name=texts.NAME_LEFT_OUT, description=texts.ABOUT_LEFT_OUT)
    pose: FloatVectorProperty(
        name=texts.NAME_PHOTO_POSE,
        description=texts.ABOUT_HEAD_POSE,
        size=15,
    )
    camera: FloatVectorProperty(name=texts.NAME_PHOTO_CAMERA, description=texts.ABOUT_CAMERA, size=3)
    crop: FloatVectorProperty(name=texts.NAME_CROP, description=texts.ABOUT_CROP, size=9)
    image_size: IntVectorProperty(name=texts.NAME_PHOTO_SIZE, description=texts.ABOUT_IMAGE_SIZE, size=2)
    box: FloatVectorProperty(name=texts.NAME_FACE_BOX, description=texts.ABOUT_BOX, size=4)
    landmark_error: FloatProperty(
        name=texts.NAME_LANDMARK_ERROR,
        description=texts.ABOUT_LANDMARK_ERROR,
    )
    notices: StringProperty(name=texts.NAME_NOTICES, description=texts.ABOUT_NOTICES)
    colors: EnumProperty(
        name=texts.NAME_COLORS,
        description=texts.ABOUT_COLORS,
        items=texts.COLORS,
        get=_colors,
        set=_set_colors,
        options=set(),
    )
    weights: StringProperty(name=texts.NAME_WEIGHTS, description=texts.ABOUT_WEIGHTS)
    weights_hash: StringProperty(name=texts.NAME_WEIGHTS_HASH, description=texts.ABOUT_WEIGHTS_HASH)
    wrinkle_strength: FloatProperty(
        name=texts.NAME_STRENGTH,
        description=texts.ABOUT_WRINKLE_STRENGTH,
        get=_strength,
        set=_set_strength,
        options=set(),
    )
    photo_detail: FloatProperty(
        name=texts.NAME_PHOTO_DETAIL,
        description=texts.ABOUT_PHOTO_DETAIL,
        min=PHOTO_DETAIL_RANGE[0],
        max=PHOTO_DETAIL_RANGE[1],
        default=1.0,
        override={"LIBRARY_OVERRIDABLE"},
        update=_live_changed,
    )
    knows_age: BoolProperty(name=texts.NAME_KNOWS_AGE, description=texts.ABOUT_KNOWS_AGE)
    wrinkle_age: FloatProperty(
        name=texts.NAME_WRINKLE_AGE,
        description=texts.ABOUT_WRINKLE_AGE,
        min=WRINKLE_AGE_RANGE[0],
        max=WRINKLE_AGE_RANGE[1],
        default=0.0,
        override={"LIBRARY_OVERRIDABLE"},
        update=_live_changed,
    )
    age: FloatProperty(
        name=texts.NAME_AGE,
        description=texts.ABOUT_AGE,
        min=-rig.AGE_RANGE,
        max=rig.AGE_RANGE,
        precision=1,
        get=_age,
        set=_set_age,
        options=set(),
    )
    wrinkles_live: BoolProperty(
        name=texts.NAME_LIVE,
        description=texts.ABOUT_WRINKLES_LIVE,
        default=True,
        override={"LIBRARY_OVERRIDABLE"},
        update=_live_changed,
    )


def register_pointers() -> None:
    """Attaches the groups to Blender's types."""
    bpy.types.Object.deca = bpy.props.PointerProperty(type=DECA_PG_head)


def unregister_pointers() -> None:
    """Detaches what `register_pointers` attached."""
    del bpy.types.Object.deca


CLASSES = (DECA_PG_photo, DECA_PG_pin, DECA_PG_head)
