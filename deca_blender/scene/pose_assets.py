"""Expressions as pose assets: Actions of a head's armature that reach its ARKit sliders (`properties/sliders.py`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bpy

from ..core import arkit
from ..core.assets import assets_dir
from .versions import new_channels

LIBRARY = assets_dir() / "poses"
"""Folder of our own expressions; `tools/build_pose_assets.py` makes it."""
LIBRARY_NAME = "DECA Expressions"
TAG = "DECA"
"""Tag of the assets that are expressions of heads."""


def new_pose(name: str, weights: Mapping[str, float]) -> bpy.types.Action:
    """An Action that sets all ARKit sliders, marked as an asset.

    Args:
        name: Name of the Action.
        weights: ARKit weights by name; sliders that are not named go to rest.
    """
    action = bpy.data.actions.new(name)
    curves = new_channels(action)
    for slider in arkit.NAMES:
        curves.new(f"deca_sliders.{slider}").keyframe_points.insert(1, weights.get(slider, 0.0))
    action.asset_mark()
    action.asset_data.tags.new(TAG, skip_if_exists=True)
    return action


def apply_pose(rig_object: bpy.types.Object, action: bpy.types.Action, amount: float = 1.0) -> None:
    """Puts sliders and bones to a pose asset.

    Args:
        rig_object: Armature object of a head.
        action: The pose.
        amount: 0 leaves everything as it is, 1 is the pose.
    """
    frame = action.frame_range[0]
    if amount < 1:
        rig_object.pose.blend_pose_from_action(action, blend_factor=amount, evaluation_time=frame)
    else:
        rig_object.pose.apply_pose_from_action(action, evaluation_time=frame)


@contextmanager
def opened(library: str, name: str) -> Iterator[bpy.types.Action]:
    """An Action of another .blend file for a while, or of this one.

    Args:
        library: Path of the .blend file; "" for the open one.
        name: Name of the Action.

    Raises:
        OSError: There is no such file.
        KeyError: It holds no such Action.
    """
    if not library:
        yield bpy.data.actions[name]
        return
    libraries: Any = bpy.data.libraries
    before = set(libraries)
    with libraries.load(library) as (source, target):
        target.actions = [other for other in source.actions if other == name]
    try:
        if not target.actions:
            raise KeyError(name)
        yield target.actions[0]
    finally:
        bpy.data.batch_remove([*target.actions, *(set(libraries) - before)])


def located(library: str, relative: str) -> tuple[str, str]:
    """Where an asset is, as `opened` takes it.

    Args:
        library: Name of one of the user's asset libraries; "" for the open file.
        relative: The asset's place in it, as Blender writes it: `expressions.blend/Action/Smile`, or `Action/Smile`.
    """
    *file, _, name = relative.replace("\\", "/").rsplit("/", 2)
    known = bpy.context.preferences.filepaths.asset_libraries.get(library)
    return (str(Path(known.path, *file)) if known is not None and file else ""), name


def is_registered() -> bool:
    """Whether the asset browser knows our library."""
    return _registered() is not None


def set_registered(wanted: bool) -> None:
    """Adds our library to the user's asset libraries, or takes it out again."""
    libraries = bpy.context.preferences.filepaths.asset_libraries
    known = _registered()
    if wanted and known is None:
        libraries.new(name=LIBRARY_NAME, directory=str(LIBRARY))
    elif not wanted and known is not None:
        libraries.remove(known)


def _registered() -> bpy.types.UserAssetLibrary | None:
    libraries = bpy.context.preferences.filepaths.asset_libraries
    return next((known for known in libraries if known.path and Path(known.path) == LIBRARY), None)
