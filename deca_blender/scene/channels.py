"""The animation channels of a datablock, in Blender 4's flat Actions and in those with layers and slots."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bpy

from .versions import has_layers


def channel_bags(owner: bpy.types.ID) -> list[Any]:
    """What holds the channels (`fcurves`) of a datablock's Action."""
    animation: Any = owner.animation_data
    action = animation.action if animation is not None else None
    if action is None:
        return []
    if not has_layers(action):
        return [action]
    strips = [strip for layer in action.layers for strip in layer.strips]
    return [bag for strip in strips for bag in strip.channelbags if bag.slot == animation.action_slot]


def curves_of(*owners: bpy.types.ID | None) -> Iterator[Any]:
    """The animation curves of datablocks, without drivers; None has none."""
    for owner in owners:
        for bag in channel_bags(owner) if owner is not None else ():
            yield from bag.fcurves
