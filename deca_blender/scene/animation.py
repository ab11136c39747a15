"""The animation curves of data, in every version of Blender."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bpy

from .head import rig_of


def curves_of(*owners: bpy.types.ID | None) -> Iterator[Any]:
    """The animation curves of datablocks, without drivers."""
    for owner in owners:
        for bag in bags_of(owner):
            yield from bag.fcurves


def bags_of(owner: bpy.types.ID | None) -> list[Any]:
    """What holds the animation curves of a datablock, as `fcurves`."""
    animation: Any = getattr(owner, "animation_data", None)
    action = animation.action if animation is not None else None
    if action is None:
        return []
    if hasattr(action, "fcurves"):  # until Blender 5.0
        return [action]
    strips = [strip for layer in action.layers for strip in layer.strips]
    return [bag for strip in strips for bag in strip.channelbags if bag.slot == animation.action_slot]


def last_frame(head_object: bpy.types.Object) -> int:
    """The frame of the last keyframe that poses a head; the current one where there is none."""
    curves = curves_of(head_object.data.shape_keys, rig_of(head_object))
    return int(max((curve.range()[1] for curve in curves), default=bpy.context.scene.frame_current))
