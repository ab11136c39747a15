"""The preferences: the backend, the models, the expressions that ship with the add-on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
from bpy.props import EnumProperty, IntProperty, StringProperty

from .. import models
from ..core.model_check import Verdict, find_checkpoints, is_flames_own
from ..core.wrinkles import DEFAULT_CACHE_BYTES
from ..folders import ADDON
from ..preferences import MIB, cache_bytes, has_builtin_weights, head, weights
from ..scene import live, pose_assets
from . import texts
from .installation import draw_installation, draw_lines
from .translation import iface


def _models_changed(preferences: Any, context: bpy.types.Context) -> None:
    """Has the backend look at what was chosen; a choice that is only cleared starts nothing."""
    if not bpy.app.background and (preferences.head or preferences.weights) and not is_flames_own(head()):
        models.check(head(), weights(), has_builtin_weights())
    else:
        models.forget()


def _cache_changed(preferences: Any, context: bpy.types.Context) -> None:
    live.set_cache_bytes(cache_bytes())


_items: list[tuple[str, str, str]] = []
"""Blender does not keep the strings of enum items alive."""


def _checkpoint_items(preferences: Any, context: bpy.types.Context | None) -> list[tuple[str, str, str]]:
    folder = Path(bpy.path.abspath(preferences.checkpoints))
    _items[:] = [("NONE", texts.NO_CHECKPOINT[0], texts.NO_CHECKPOINT[1])] + [
        (str(path), str(path.relative_to(folder)), str(path)) for path in find_checkpoints(str(folder))
    ]
    return _items


def _get_checkpoint(preferences: Any) -> int:
    chosen = weights()
    return next((n for n, item in enumerate(_checkpoint_items(preferences, None)) if item[0] == chosen), 0)


def _set_checkpoint(preferences: Any, value: int) -> None:
    preferences.weights = _checkpoint_items(preferences, None)[value][0] if value else ""


class DECA_AP_preferences(bpy.types.AddonPreferences):
    """Preferences of the add-on."""

    bl_idname = ADDON

    python: StringProperty(name=texts.NAME_PYTHON, description=texts.PREFERENCE_PYTHON, subtype="FILE_PATH")
    head: StringProperty(
        name=texts.NAME_HEAD_MODEL, description=texts.PREFERENCE_HEAD, subtype="FILE_PATH", update=_models_changed
    )
    weights: StringProperty(
        name=texts.NAME_WEIGHTS, description=texts.PREFERENCE_WEIGHTS, subtype="FILE_PATH", update=_models_changed
    )
    checkpoints: StringProperty(
        name=texts.NAME_CHECKPOINTS, description=texts.PREFERENCE_CHECKPOINTS, subtype="DIR_PATH"
    )
    checkpoint: EnumProperty(
        name=texts.NAME_CHECKPOINT,
        description=texts.PREFERENCE_CHECKPOINT,
        items=_checkpoint_items,
        get=_get_checkpoint,
        set=_set_checkpoint,
    )
    cache_mib: IntProperty(
        name=texts.NAME_MAP_CACHE,
        description=texts.PREFERENCE_CACHE,
        default=DEFAULT_CACHE_BYTES // MIB,
        min=0,
        soft_max=4096,
        max=65536,
        update=_cache_changed,
    )
    command: StringProperty(name=texts.NAME_COMMAND, description=texts.PREFERENCE_COMMAND)
    device: EnumProperty(
        name=texts.NAME_DEVICE,
        description=texts.PREFERENCE_DEVICE,
        items=texts.DEVICE_CHOICES,
    )

    torch: EnumProperty(name=texts.NAME_PYTORCH, description=texts.PREFERENCE_TORCH, items=texts.TORCH_CHOICES)

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        draw_installation(layout)
        layout.prop(self, "torch")
        layout.prop(self, "device")
        layout.prop(self, "python")
        layout.prop(self, "command")
        row = layout.row(align=True)
        row.operator("deca.open_log", icon="TEXT")
        row.operator("deca.copy_diagnostics", icon="COPYDOWN")

        layout.separator()
        layout.prop(self, "head", placeholder=texts.BUNDLED_HEAD)
        if is_flames_own(head()):
            layout.operator("deca.convert_head", icon="FILE_REFRESH")
        _draw_verdict(layout, models.verdict(models.HEAD))
        layout.prop(self, "weights", placeholder=texts.BUILTIN_WEIGHTS if has_builtin_weights() else texts.NO_WEIGHTS)
        _draw_verdict(layout, models.verdict(models.WEIGHTS))
        layout.prop(self, "checkpoints")
        if self.checkpoints:
            layout.prop(self, "checkpoint")
        layout.operator("deca.check_models", icon="CHECKMARK")

        layout.separator()
        layout.prop(self, "cache_mib")
        known = pose_assets.is_registered()
        name = "deca.remove_pose_library" if known else "deca.add_pose_library"
        layout.operator(name, icon="ASSET_MANAGER")
        layout.operator("deca.strip_identity", icon="TRASH")


def _draw_verdict(layout: bpy.types.UILayout, known: Verdict | None) -> None:
    if known is None:
        return
    icon = "CHECKMARK" if known.is_good else "SORTTIME" if known.is_good is None else "ERROR"
    draw_lines(layout, f"{iface(known.text)} {known.hint}", icon)


CLASSES = (DECA_AP_preferences,)
