"""Heads that go, and the collections that they would leave empty."""

from __future__ import annotations

import bpy
from bpy.app.handlers import persistent

from .camera import cameras_of
from .duplicates import sharing
from .head import rig_of

_MARK = "deca_head"
"""Custom property of the collections that imports have made."""


def new_collection(name: str, scene: bpy.types.Scene) -> bpy.types.Collection:
    """A collection for a head, which goes when nothing is left in it."""
    collection = bpy.data.collections.new(name)
    collection[_MARK] = True
    scene.collection.children.link(collection)
    return collection


def delete_head(head_object: bpy.types.Object) -> None:
    """Deletes a head with its armature and its photos' cameras; what else hangs on the armature stays where it is.

    Linked duplicates that hang on the same armature keep it, and the cameras.
    """
    rig_object, cameras = rig_of(head_object), cameras_of(head_object)
    gone = [head_object]
    if rig_object is not None and all(other.parent != rig_object for other in sharing(head_object)):
        gone += [rig_object, *cameras.values()]
        for child in rig_object.children:
            if child not in gone:
                matrix = child.matrix_world.copy()
                child.parent = None
                child.matrix_world = matrix
    bpy.data.batch_remove(gone)
    remove_empty_collections()


def remove_empty_collections() -> None:
    """Removes the collections of heads that hold nothing any more."""
    for collection in list(bpy.data.collections):
        is_own = collection.get(_MARK) and not (collection.library or collection.override_library)
        if is_own and not (collection.objects or collection.children):
            bpy.data.collections.remove(collection)


@persistent
def _on_update(scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph) -> None:
    """Blender's own Delete leaves collections; undo brings objects and collection back together."""
    remove_empty_collections()


def register() -> None:
    """Watches for heads that are deleted."""
    bpy.app.handlers.depsgraph_update_post.append(_on_update)


def unregister() -> None:
    """Ends that."""
    bpy.app.handlers.depsgraph_update_post.remove(_on_update)
