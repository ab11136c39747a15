"""The animation channels of a datablock, in Blender 4's flat Actions and in those with layers and slots.

Shape suffixes: N keyframes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray


def channel_bags(owner: bpy.types.ID) -> list[Any]:
    """What holds the channels (`fcurves`) of a datablock's Action."""
    animation: Any = owner.animation_data
    action = animation.action if animation is not None else None
    if action is None:
        return []
    if not hasattr(action, "layers"):  # until Blender 4.3
        return [action]
    strips = [strip for layer in action.layers for strip in layer.strips]
    return [bag for strip in strips for bag in strip.channelbags if bag.slot == animation.action_slot]


def curves_of(*owners: bpy.types.ID | None) -> Iterator[Any]:
    """The animation curves of datablocks, without drivers; None has none."""
    for owner in owners:
        for bag in channel_bags(owner) if owner is not None else ():
            yield from bag.fcurves


def set_keys(owner: bpy.types.ID, path: str, index: int, frames_N: NDArray, values_N: NDArray) -> None:
    """Sets linear keyframes of one channel in bulk; those that are there from the first frame to the last are replaced.

    Args:
        owner: The datablock; it gets an Action where it has none.
        path: RNA path of the property, from the datablock.
        index: Its place in a vector; 0 for a single number.
        frames_N: Frames, rising.
        values_N: Values there.
    """
    points = _curve(owner, path, index).keyframe_points
    kept = _outside(points, float(frames_N[0]), float(frames_N[-1]))
    before = int(np.count_nonzero(kept["co"][:, 0] < frames_N[0]))
    new = _linear(frames_N, values_N)
    merged = {
        name: np.concatenate((values[:before], new[name], values[before:])).astype(values.dtype)
        for name, values in kept.items()
    }
    points.clear()
    points.add(len(merged["co"]))
    for name, values in merged.items():
        points.foreach_set(name, values.ravel())
    points.handles_recalc()


_POINT = ("co", "handle_left", "handle_right")
_KINDS = ("interpolation", "easing", "handle_left_type", "handle_right_type")


def _curve(owner: Any, path: str, index: int) -> Any:
    """The animation curve of a channel, made where there is none."""
    animation = owner.animation_data or owner.animation_data_create()
    if animation.action is None:
        animation.action = bpy.data.actions.new(f"{owner.name} Action")
    action = animation.action
    if hasattr(action, "fcurve_ensure_for_datablock"):  # since Blender 4.4
        return action.fcurve_ensure_for_datablock(owner, path, index=index)
    found = action.fcurves.find(path, index=index)
    return found if found is not None else action.fcurves.new(path, index=index)


def _outside(points: Any, first: float, last: float) -> dict[str, NDArray]:
    """All that is known of the keyframes before the first frame and after the last."""
    count = len(points)
    known: dict[str, NDArray] = {}
    for name in (*_POINT, *_KINDS):
        values = np.empty(2 * count, np.float32) if name in _POINT else np.empty(count, np.int32)
        points.foreach_get(name, values)
        known[name] = values.reshape(count, 2) if name in _POINT else values
    frames = known["co"][:, 0]
    is_outside = (frames < first - 1e-3) | (frames > last + 1e-3)
    return {name: values[is_outside] for name, values in known.items()}


def _linear(frames_N: NDArray, values_N: NDArray) -> dict[str, NDArray]:
    place_N2 = np.stack((frames_N, values_N), axis=1)
    kinds = {"interpolation": "LINEAR", "easing": "AUTO", "handle_left_type": "VECTOR", "handle_right_type": "VECTOR"}
    properties = bpy.types.Keyframe.bl_rna.properties
    numbers = {name: properties[name].enum_items[kind].value for name, kind in kinds.items()}
    return dict.fromkeys(_POINT, place_N2) | {name: np.full(len(frames_N), number) for name, number in numbers.items()}
