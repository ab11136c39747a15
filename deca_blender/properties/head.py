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
STRENGTH_DESCRIPTION = (
    "How deep the wrinkles are, in the material and on the surface; 0 is off, 1 is as decoded. Above 1 the surface"
    " follows by a quarter, so that folds do not cross"
)


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


COLORS = (
    ("ALBEDO", "Albedo", "The skin's own colors, the photo's light taken out as far as it is known: for any light"),
    ("PHOTOGRAPHED", "As Photographed", "The colors of the photo with its light, highlights and shadows left in"),
)
"""In the order of `scene.material.COLORS`."""


def _colors(self: Any) -> int:
    from ..scene import material  # which reads this module

    return material.COLORS.index(material.shown_colors(self.id_data))


def _set_colors(self: Any, index: int) -> None:
    from ..scene import material

    material.show_colors(self.id_data, material.COLORS[index])


class DECA_PG_photo(bpy.types.PropertyGroup):
    """One of several photos that a head was made from; its `name` is the photo's."""

    path: StringProperty(name="Photo", description="File of the photo")
    frame: IntProperty(name="Frame", description="Frame whose keyframes show the face as on this photo")
    pose: FloatVectorProperty(name="Pose", description="As the head's Photo Pose, on this photo", size=15)
    image_size: IntVectorProperty(name="Photo Size", description="Width and height of the photo, pixels", size=2)


class DECA_PG_pin(bpy.types.PropertyGroup):
    """A landmark that is held where the user has put it on a photo."""

    landmark: IntProperty(name="Landmark", description="Number of iBUG's landmark", min=0, max=67)
    photo: IntProperty(name="Photo", description="Number of the photo among the head's photos")
    place: FloatVectorProperty(name="Place", description="Where it is on the photo, pixels from the top left", size=2)


PINS_MOVE = (
    ("EXPRESSION", "Expression", "Pins change the expression of the photo: coefficients and jaw"),
    ("SHAPE", "Shape", "Pins change the person: the sliders of Shape by Name, on all photos"),
    ("BOTH", "Both", "Pins change the expression and the person, whichever explains them better"),
)


class DECA_PG_head(bpy.types.PropertyGroup):
    """How a head was made: enough to make it again without the photo."""

    is_head: BoolProperty(name="Is a Head", description="This object is a head made by the add-on")
    model: StringProperty(name="Head Model", description="Head model that the coefficients belong to")
    model_hash: StringProperty(name="Head Model Hash", description="Hash of the head model's file")
    model_file: StringProperty(name="Head Model File", description="File of the head model; empty for the bundled one")
    backend_version: StringProperty(name="Backend Version", description="Version of the backend that made the head")
    protocol_version: IntProperty(name="Protocol Version", description="Version of the backend's protocol")
    photo: StringProperty(name="Photo", description="File that the head was made from")
    photos: CollectionProperty(
        name="Photos", description="The photos of the person, where there are several", type=DECA_PG_photo
    )
    pins: CollectionProperty(name="Pins", description="Landmarks that are held by hand", type=DECA_PG_pin)
    pins_move: EnumProperty(name="Pins Move", description="What dragged pins change", items=PINS_MOVE)
    left_out: StringProperty(name="Left Out", description="Photos that were not used, a line each with the reason")
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
    notices: StringProperty(name="Notices", description="What is to be known of the head's colors: codes and numbers")
    colors: EnumProperty(
        name="Colors",
        description="Which of the head's two textures its materials show",
        items=COLORS,
        get=_colors,
        set=_set_colors,
        options=set(),
    )
    weights: StringProperty(name="Weights", description="Weights file that the detail code was made with")
    weights_hash: StringProperty(name="Weights Hash", description="Hash of the weights file; detail codes belong to it")
    wrinkle_strength: FloatProperty(
        name="Strength",
        description=f"{STRENGTH_DESCRIPTION}. For scripts: keyframes go on the custom property",
        get=_strength,
        set=_set_strength,
        options=set(),
    )
    photo_detail: FloatProperty(
        name="Photo Detail",
        description=(
            "How much of the photo's own lines the wrinkles have: 1 is as on the photo, 0 leaves the wrinkles that the"
            " weights make of it"
        ),
        min=PHOTO_DETAIL_RANGE[0],
        max=PHOTO_DETAIL_RANGE[1],
        default=1.0,
        override={"LIBRARY_OVERRIDABLE"},
        update=_live_changed,
    )
    knows_age: BoolProperty(
        name="Knows Age", description="The weights of the detail code know how wrinkles change with age"
    )
    wrinkle_age: FloatProperty(
        name="Wrinkle Age",
        description=(
            "How much older the wrinkles are than on the photo: 1 is about 20 years older, -1 younger, 0 is off. The"
            " shape stays; Age in the panel above moves that alone"
        ),
        min=WRINKLE_AGE_RANGE[0],
        max=WRINKLE_AGE_RANGE[1],
        default=0.0,
        override={"LIBRARY_OVERRIDABLE"},
        update=_live_changed,
    )
    age: FloatProperty(
        name="Age",
        description=(
            "Years older or younger than on the photo. Moves jaw, nose, lips and ears as they change in people on"
            " average; wrinkles stay: they have Wrinkle Age. Keyframes go on the shape key"
        ),
        min=-rig.AGE_RANGE,
        max=rig.AGE_RANGE,
        precision=1,
        get=_age,
        set=_set_age,
        options=set(),
    )
    wrinkles_live: BoolProperty(
        name="Live",
        description="Decode the wrinkles again whenever the expression or the jaw moves",
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
