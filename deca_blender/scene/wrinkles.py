"""The wrinkles of a head: a displacement map in metres on a subdivided surface, and what F_d needs to make it.

The modifiers are found by their names, the map through the texture of the displacement modifier.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..core import rig
from ..core.size import faces_outwards, size_driver
from ..core.wrinkles import WrinkleInputs, axis_angle_of, seen_expression
from ..properties import texts
from ..properties.head import ARKIT_MAP, DETAIL, SIDE, SIZE, STRENGTH, STRENGTH_RANGE
from . import shading
from .head import model_reference, rig_of, stored_arkit_names
from .head_mesh import UV_MAP
from .shape_keys import add_driver
from .transfer import shown_detail, shown_reliefs

SUBDIVISION = "Wrinkle Subdivision"
DISPLACEMENT = "Wrinkles"
VIEWPORT_LEVELS, RENDER_LEVELS = 1, 2
MAP_SIZE = 256

EXCESS = 0.25
"""What of a strength above 1 moves the surface. At 3 whole folds would cross themselves and hang over; measured on the
five presets of `tests/benchmarks/bench_wrinkle_look.py folds`."""

_FACTORS = (STRENGTH, SIZE, SIDE)
"""What a map in metres is multiplied by; heads of earlier versions have only their strength."""


def add_wrinkles(obj: bpy.types.Object) -> None:
    """Adds the modifiers and a flat map to a head that has its armature modifier."""
    subdivision = obj.modifiers.new(SUBDIVISION, "SUBSURF")
    subdivision.levels, subdivision.render_levels = VIEWPORT_LEVELS, RENDER_LEVELS
    subdivision.uv_smooth = "NONE"  # maps and textures are made for straight texture coordinates
    subdivision.use_limit_surface = False  # the limit surface takes four times as long to evaluate
    texture = _new_texture(obj.name, MAP_SIZE)
    assert texture.image is not None
    shading.add_shading(obj, texture.image)
    displace = obj.modifiers.new(DISPLACEMENT, "DISPLACE")
    displace.texture = texture
    displace.texture_coords, displace.uv_layer = "UV", UV_MAP
    displace.mid_level, displace.direction = 0.0, "NORMAL"
    obj[STRENGTH] = 1.0
    low, high = STRENGTH_RANGE
    obj.id_properties_ui(STRENGTH).update(min=low, max=high, default=1.0, description=texts.STRENGTH)
    obj.property_overridable_library_set(f'["{STRENGTH}"]', True)
    _drive_size(obj)
    drive_by_strength(obj, f'modifiers["{DISPLACEMENT}"].strength')


def _drive_size(obj: bpy.types.Object, size: float = 1.0) -> None:
    """Keeps `SIZE` at what it is, now `size`, whatever scale is applied."""
    assert isinstance(obj.data, bpy.types.Mesh)
    obj[SIZE] = obj[SIDE] = 1.0
    verts_V3 = np.empty((len(obj.data.vertices), 3), np.float32)
    obj.data.vertices.foreach_get("co", verts_V3.ravel())
    add_driver(obj, f'["{SIZE}"]', -1, size_driver(verts_V3 / size), obj.data)


def size_of(obj: bpy.types.Object) -> float:
    """The size of the mesh beside that of the import, 1 where nobody has applied a scale."""
    evaluated = obj.evaluated_get(bpy.context.evaluated_depsgraph_get())
    return float(evaluated.get(SIZE, 1.0))


def drive_size_again(obj: bpy.types.Object, size: float) -> None:
    """Lets a mesh that has got another shape have the size that it had (`size_of`)."""
    if SIZE in obj:
        obj.driver_remove(f'["{SIZE}"]')
        _drive_size(obj, size)


def drive_by_strength(obj: bpy.types.Object, path: str) -> None:
    """Lets the head's wrinkle strength, times its size, set one of the object's properties; needs no add-on."""
    terms = tuple(rig.Term(name, f'["{name}"]', 1.0) for name in _FACTORS if name in obj)
    factors = [term.name for term in terms]
    if STRENGTH in factors:
        factors[factors.index(STRENGTH)] = f"min({STRENGTH},1+{EXCESS}*({STRENGTH}-1))"
    add_driver(obj, path, -1, rig.DriverSpec("*".join(factors), terms), obj)


def moved_strength(strength: float) -> float:
    """By what strength moves the surface; the material shows all of it (`scene.shading`)."""
    return min(strength, 1 + EXCESS * (strength - 1))


def depth_of(obj: bpy.types.Object) -> float:
    """By what strength, size and side multiply wrinkles now, in the mesh's own units; negative where its normals point
    inwards."""
    evaluated = obj.evaluated_get(bpy.context.evaluated_depsgraph_get())
    return float(np.prod([evaluated.get(name, 1.0) for name in _FACTORS]))


def keep_outwards(obj: bpy.types.Object) -> None:
    """Notes on which side of its surface a head has its wrinkles: Blender 4 turns the normals of a mesh inwards when a
    mirroring scale is applied, and whoever turns them out again does not think of wrinkles."""
    if obj.library is not None or SIDE not in obj or obj.mode == "EDIT":
        return
    assert isinstance(obj.data, bpy.types.Mesh)
    side = 1.0 if faces_outwards(*_triangles(obj.data)) else -1.0
    if obj.get(SIDE) != side:
        obj[SIDE] = side
        obj.update_tag()


def _triangles(mesh: bpy.types.Mesh) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Vertices of a mesh, and the first three corners of each face."""
    verts_V3 = np.empty((len(mesh.vertices), 3), np.float32)
    corners, starts_F = np.empty(len(mesh.loops), np.int32), np.empty(len(mesh.polygons), np.int32)
    mesh.vertices.foreach_get("co", verts_V3.ravel())
    mesh.loops.foreach_get("vertex_index", corners)
    mesh.polygons.foreach_get("loop_start", starts_F)
    return verts_V3, corners[starts_F[:, None] + np.arange(3)]


def _new_texture(name: str, size: int) -> Any:
    image = bpy.data.images.new(f"{name} Wrinkles", size, size, alpha=False, float_buffer=True, is_data=True)
    texture: Any = bpy.data.textures.new(f"{name} Wrinkles", "IMAGE")
    texture.image = image
    texture.use_clamp, texture.extension = False, "EXTEND"
    return texture


def displacement_modifier(obj: bpy.types.Object) -> Any:
    """The head's displacement modifier, or None."""
    modifier = obj.modifiers.get(DISPLACEMENT)
    return modifier if modifier is not None and modifier.type == "DISPLACE" else None


def map_image(obj: bpy.types.Object) -> bpy.types.Image | None:
    """The image of the head's displacement map, or None."""
    modifier = displacement_modifier(obj)
    return getattr(modifier.texture, "image", None) if modifier is not None else None


def own_map(obj: bpy.types.Object) -> bpy.types.Image | None:
    """The head's map as an image that no other head shows: duplicates share theirs until then."""
    modifier = displacement_modifier(obj)
    image = map_image(obj)
    if image is None or modifier is None:
        return image
    texture = modifier.texture
    own_users = 1 + shading.num_groups_showing(obj, image)
    if texture.users - texture.use_fake_user > 1 or image.users - image.use_fake_user > own_users:
        values_NN = read_map(image)
        modifier.texture = _new_texture(obj.name, len(values_NN))
        image = modifier.texture.image
        _write_map(image, values_NN)
        if shading.shows_live(obj):
            shading.show_heights(obj, shading.live_heights(image))
    return image


def apply_map(obj: bpy.types.Object, displacement_NN: NDArray[np.float32]) -> None:
    """Shows a displacement map.

    Args:
        obj: Head with wrinkles; one without is left alone.
        displacement_NN: Metres along the normals, top row first.
    """
    image = own_map(obj)
    if image is None:
        return
    height, width = displacement_NN.shape
    if _size(image) != (width, height):
        image.scale(width, height)
    _write_map(image, displacement_NN)


def _write_map(image: bpy.types.Image, displacement_NN: NDArray[np.float32]) -> None:
    rgba_NN4 = np.empty((*displacement_NN.shape, 4), np.float32)
    rgba_NN4[..., :3] = displacement_NN[::-1, :, None]
    rgba_NN4[..., 3] = 1
    pixels: Any = image.pixels  # the stub does not know that arrays may be given
    pixels.foreach_set(rgba_NN4.ravel())
    image.update()
    image.update_tag()


def read_map(image: bpy.types.Image) -> NDArray[np.float32]:
    """The displacement map that an image holds, metres, top row first."""
    width, height = _size(image)
    rgba = np.empty(width * height * 4, np.float32)
    pixels: Any = image.pixels
    pixels.foreach_get(rgba)
    return rgba.reshape(height, width, 4)[::-1, :, 0].copy()


def _size(image: bpy.types.Image) -> tuple[int, int]:
    size: Any = image.size
    return size[0], size[1]


def pack_map(obj: bpy.types.Object) -> None:
    """Puts the map as it is into the file."""
    image = map_image(obj)
    if image is not None and image.library is None and (image.packed_file is None or image.is_dirty):
        image.pack()


def has_wrinkles(obj: bpy.types.Object) -> bool:
    """Whether the head has a detail code, the weights it belongs to, and a map."""
    return obj.deca.is_head and DETAIL in obj and bool(obj.deca.weights_hash) and map_image(obj) is not None


def heads_with_wrinkles(objects: Sequence[bpy.types.Object]) -> list[bpy.types.Object]:
    """Those of the objects that are heads with wrinkles."""
    return [obj for obj in objects if obj.type == "MESH" and obj.deca.is_head and has_wrinkles(obj)]


def wrinkle_inputs(obj: bpy.types.Object, depsgraph: bpy.types.Depsgraph) -> WrinkleInputs:
    """What F_d sees of a head, whoever moved it: sliders, bones, drivers, constraints, animation.

    Args:
        obj: Head with wrinkles.
        depsgraph: Evaluated; while rendering its values differ from those of the original data.
    """
    keys = obj.data.shape_keys
    values: dict[str, float] = {}
    if keys is not None:
        blocks = keys.evaluated_get(depsgraph).key_blocks
        sliders, muted = np.empty(len(blocks), np.float32), np.empty(len(blocks), bool)
        blocks.foreach_get("value", sliders)
        blocks.foreach_get("mute", muted)
        sliders[muted] = 0
        values = dict(zip(blocks.keys(), sliders.tolist(), strict=True))
    names = stored_arkit_names(obj) if ARKIT_MAP in obj else ()
    arkit_map_EA = np.reshape(obj.get(ARKIT_MAP, ()), (rig.NUM_EXPRESSION_KEYS, -1)) if names else np.empty((0, 0))
    animated = obj.evaluated_get(depsgraph).deca
    reliefs = {relief: animated.photo_detail * share for relief, share in shown_reliefs(obj, depsgraph).items()}
    detail_D = shown_detail(obj, depsgraph)
    assert detail_D is not None  # the head has wrinkles
    return WrinkleInputs(
        detail_D=detail_D,
        expression_E=seen_expression(values, names, arkit_map_EA),
        jaw_3=_seen_jaw(obj, depsgraph),
        weights_hash=obj.deca.weights_hash,
        head=model_reference(obj),
        head_hash=obj.deca.model_hash,
        reliefs={relief: share for relief, share in reliefs.items() if share > 0},
        age=animated.wrinkle_age if obj.deca.knows_age else 0.0,
    )


def _seen_jaw(obj: bpy.types.Object, depsgraph: bpy.types.Depsgraph) -> NDArray[np.float32]:
    """Axis-angle of the jaw relative to the neck: the ARKit bone's rotation times the one by hand.

    All bones rest turned alike, so that poses can be compared as they are.
    """
    rig_object = rig_of(obj)
    if rig_object is None:
        return np.zeros(3, np.float32)
    bones = rig_object.evaluated_get(depsgraph).pose.bones
    if "neck" not in bones or "jaw" not in bones:
        return np.zeros(3, np.float32)
    neck, jaw = (np.array(bones[name].matrix.to_3x3().normalized(), np.float64) for name in ("neck", "jaw"))
    return axis_angle_of(neck.T @ jaw)
