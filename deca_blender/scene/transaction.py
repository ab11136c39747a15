"""All or nothing: when building fails half-way, Blender's data is as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import bpy

from .channels import channel_bags

_RENDER_SETTINGS = (
    *("resolution_x", "resolution_y", "resolution_percentage", "pixel_aspect_x", "pixel_aspect_y"),
    "use_lock_interface",
)


@contextmanager
def all_or_nothing(context: bpy.types.Context) -> Iterator[None]:
    """Removes every datablock made inside the block, and restores what the scene shows, if it raises."""
    before = set(_datablocks())
    scene, view_layer = context.scene, context.view_layer
    active, selected = view_layer.objects.active, list(context.selected_objects)
    camera = scene.camera
    render = scene.render
    settings = {name: getattr(render, name) for name in _RENDER_SETTINGS}
    try:
        yield
    except BaseException:
        if context.mode != "OBJECT":
            bpy.ops.object.mode_set(mode="OBJECT")
        bpy.data.batch_remove([block for block in _datablocks() if block not in before])
        scene.camera = camera
        for name, value in settings.items():
            setattr(render, name, value)
        for obj in selected:
            obj.select_set(True)
        view_layer.objects.active = active
        raise


@contextmanager
def temporary() -> Iterator[None]:
    """Removes every datablock made inside the block, whether it raises or not; what is on the screen stays."""
    before = set(_datablocks())
    try:
        yield
    finally:
        made = [block for block in _datablocks() if block not in before]
        for scene in (block for block in made if isinstance(block, bpy.types.Scene)):
            bpy.data.scenes.remove(scene)
        bpy.data.batch_remove([block for block in made if not isinstance(block, bpy.types.Scene)])


@contextmanager
def same_view(context: bpy.types.Context) -> Iterator[None]:
    """Keeps the window's scene, and what is animated at its values, also those that no keyframe has yet.

    Blender's glTF exporter switches the window to the scene that it writes, and a switch evaluates all animation again.
    """
    window: Any = context.window
    shown = (window.scene, window.view_layer) if window is not None else None
    values = [(owner, path, index, _value(owner, path, index)) for owner, path, index in _animated()]
    try:
        yield
    finally:
        if shown is not None and window.scene != shown[0]:
            window.scene, window.view_layer = shown
        for owner, path, index, value in values:
            if value is not None and _value(owner, path, index) != value:
                _set_value(owner, path, index, value)


def _animated() -> Iterator[tuple[Any, str, int]]:
    """Owner, path and index of all that has channels in an Action; linked data cannot be changed by hand."""
    for kind in bpy.data.bl_rna.properties:
        blocks = getattr(bpy.data, kind.identifier) if kind.type == "COLLECTION" else ()
        for block in blocks:
            for owner in (block, getattr(block, "node_tree", None)):
                if owner is None or owner.library is not None or not hasattr(owner, "animation_data"):
                    continue
                for bag in channel_bags(owner):
                    yield from ((owner, curve.data_path, curve.array_index) for curve in bag.fcurves)


def _value(owner: Any, path: str, index: int) -> Any:
    try:
        value = owner.path_resolve(path)
    except ValueError:  # a channel of something that is gone
        return None
    return value if isinstance(value, bool | int | float | str) else value[index]


def _set_value(owner: Any, path: str, index: int, value: Any) -> None:
    whole, _, name = path.rpartition(".")
    parent = owner.path_resolve(whole) if whole else owner
    if path.endswith('"]'):  # a custom property
        whole, _, name = path.rpartition("[")
        parent, name = owner.path_resolve(whole) if whole else owner, name.strip('"]')
        parent[name] = value
    elif isinstance(getattr(parent, name), bool | int | float | str):
        setattr(parent, name, value)
    else:
        getattr(parent, name)[index] = value


def _datablocks() -> Iterator[bpy.types.ID]:
    data = bpy.data
    for blocks in (
        *(data.scenes, data.objects, data.collections, data.meshes, data.armatures, data.cameras),
        *(data.materials, data.node_groups, data.images, data.textures, data.actions),
    ):
        yield from blocks
