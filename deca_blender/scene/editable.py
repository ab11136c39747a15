"""Whether what is done to a head would be kept: edits of linked data are lost when the file is saved."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import bpy

from .head import rig_of


class LockKind(Enum):
    """Why something cannot be edited."""

    LINKED = auto()
    SYSTEM_OVERRIDE = auto()
    """Blender made the override for something else's sake, and lets nobody edit it."""
    OVERRIDE = auto()
    """Keeps poses and little else."""


@dataclass(frozen=True)
class Lock:
    """What keeps a head from being edited.

    Attributes:
        kind: Why.
        name: Name of what cannot be edited: the head, its armature, ...
        file: Path of the .blend file that it comes from.
    """

    kind: LockKind
    name: str
    file: str


def pose_lock(head_object: bpy.types.Object) -> Lock | None:
    """Why sliders and bones of a head cannot be moved and keyed, or None; overrides can."""
    mesh = head_object.data
    found = _lock(head_object, mesh, mesh.shape_keys, rig_of(head_object))
    return None if found is not None and found.kind is LockKind.OVERRIDE else found


def lock(head_object: bpy.types.Object) -> Lock | None:
    """Why the head's own data cannot be changed, or None."""
    mesh = head_object.data
    return _lock(head_object, head_object, mesh, mesh.shape_keys, rig_of(head_object))


def _lock(head_object: bpy.types.Object, *parts: bpy.types.ID | None) -> Lock | None:
    """The gravest of the locks on some parts of a head."""
    found = [(kind, part) for part in parts if part is not None and (kind := _kind(part)) is not None]
    if not found:
        return None
    kind, part = min(found, key=lambda pair: pair[0].value)
    shown = head_object if isinstance(part, bpy.types.Key) else part
    return Lock(kind, shown.name, bpy.path.abspath(_library(part).filepath))


def _kind(part: bpy.types.ID) -> LockKind | None:
    if part.library is not None:
        return LockKind.LINKED
    if part.override_library is None:
        return None
    return LockKind.SYSTEM_OVERRIDE if part.override_library.is_system_override else LockKind.OVERRIDE


def _library(part: Any) -> bpy.types.Library:
    return part.library or part.override_library.reference.library
