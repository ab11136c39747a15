"""New heads stand at the 3D cursor, or beside what is there already."""

from __future__ import annotations

from collections.abc import Iterator

import bpy
import numpy as np
from mathutils import Matrix, Vector
from numpy.typing import NDArray

from ..core.placement import step_aside

_WITHOUT_SURFACE = {"ARMATURE", "CAMERA", "EMPTY", "LATTICE", "LIGHT", "LIGHT_PROBE", "SPEAKER"}


def place(context: bpy.types.Context, rig_object: bpy.types.Object, head_object: bpy.types.Object) -> None:
    """Moves a new head to the 3D cursor; where it would touch something visible, aside along +x."""
    rig_object.location = context.scene.cursor.location
    context.view_layer.update()
    others = [
        box
        for obj in context.view_layer.objects
        if obj != head_object and obj.visible_get()
        for box in _boxes(obj, Matrix.Identity(4))
    ]
    rig_object.location.x += step_aside(world_box(head_object), np.reshape(others, (-1, 2, 3)))
    context.view_layer.update()


def world_box(obj: bpy.types.Object) -> NDArray[np.float64]:
    """Lowest and highest corner (2, 3) of what an object shows, metres, along the world's axes."""
    return _turned_box(obj, obj.matrix_world)


def _boxes(obj: bpy.types.Object, placed: Matrix) -> Iterator[NDArray[np.float64]]:
    """The boxes of an object and of the collection that it is an instance of."""
    if obj.type not in _WITHOUT_SURFACE and obj.dimensions.length > 0:
        yield _turned_box(obj, placed @ obj.matrix_world)
    collection = obj.instance_collection if obj.instance_type == "COLLECTION" else None
    if collection is not None:
        x, y, z = collection.instance_offset
        placed = placed @ obj.matrix_world @ Matrix.Translation((-x, -y, -z))
        for member in collection.all_objects:
            yield from _boxes(member, placed)


def _turned_box(obj: bpy.types.Object, matrix: Matrix) -> NDArray[np.float64]:
    corners_83 = np.array([matrix @ Vector(corner) for corner in obj.bound_box])
    return np.array([corners_83.min(axis=0), corners_83.max(axis=0)])
