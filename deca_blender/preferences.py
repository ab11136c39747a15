"""Preferences: the backend, the models, the expressions that ship with the add-on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
from bpy.props import EnumProperty, IntProperty, StringProperty

from . import install, models
from .client import LaunchSettings, ManagedEnvironment
from .core.assets import assets_dir
from .core.model_check import Verdict, find_checkpoints, is_flames_own
from .core.wrinkles import DEFAULT_CACHE_BYTES
from .protocol.conventions import BUILTIN_WEIGHTS_FILE, OPENHEAD
from .scene import live, pose_assets
from .ui import texts
from .ui.translation import iface

_HERE = __package__ or "deca_blender"
ADDON = _HERE.rpartition(".")[0] or _HERE
"""The name under which Blender knows the add-on: `bl_ext.<repository>.deca_blender` when installed."""

BUILTIN_WEIGHTS = assets_dir() / BUILTIN_WEIGHTS_FILE
"""The bundled head's own weights, as the backend of this computer finds them, too."""
_MIB = 1 << 20
_LINE = 80
"""Characters of the backend's words in a row."""


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
        default=DEFAULT_CACHE_BYTES // _MIB,
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


def draw_installation(layout: bpy.types.UILayout, width: int = _LINE) -> None:
    """Whether the backend is installed and if not why, the button, and what it will cost."""
    environment, is_running = managed_environment(), install.is_running()
    why = install.failure()
    if environment is not None and environment.is_ready():
        layout.label(text=texts.IS_INSTALLED)
    elif not launch_settings().has_backend():
        layout.label(text=texts.NOT_INSTALLED, icon="INFO")
        if environment is not None and environment.venv.exists() and not is_running:
            why = why or environment.problem()
    _draw_lines(layout, why, "ERROR", width)
    layout.operator("deca.install_backend", icon="IMPORT")
    cost = install.impossible() or texts.install_size(install.plan(torch_choice()))
    _draw_lines(layout, texts.INSTALL_RUNS if is_running else cost, "BLANK1", width)


def _draw_lines(layout: bpy.types.UILayout, text: str, icon: Any, width: int = _LINE) -> None:
    column = layout.column(align=True)
    for number, line in enumerate(texts.wrapped(text, width) if text else []):
        column.label(text=line, icon="BLANK1" if number else icon)


def _draw_verdict(layout: bpy.types.UILayout, known: Verdict | None) -> None:
    if known is None:
        return
    icon = "CHECKMARK" if known.is_good else "SORTTIME" if known.is_good is None else "ERROR"
    _draw_lines(layout, f"{iface(known.text)} {known.hint}", icon)


def user_folder() -> Path | None:
    """The extension's own folder for files of the user, or None when the add-on does not run as an extension."""
    if not ADDON.startswith("bl_ext."):
        return None
    return Path(bpy.utils.extension_path_user(ADDON, path="", create=True))


def managed_environment() -> ManagedEnvironment | None:
    """Where the add-on installs the backend's Python packages, or None when it has no folder of its own."""
    folder = user_folder()
    return ManagedEnvironment(folder / "backend") if folder else None


def torch_choice() -> str:
    """Which torch is installed, one of `core.requirements.TORCH_CHOICES`."""
    chosen = _chosen()
    return chosen.torch if chosen is not None else "auto"


def launch_settings() -> LaunchSettings:
    """How the backend is started, from the preferences (their defaults when the add-on is not enabled as one)."""
    folder = user_folder()
    environment, logs = (folder / "backend", folder / "logs") if folder else (None, None)
    chosen = _chosen()
    if chosen is None:
        return LaunchSettings(user_folder=environment, log_folder=logs)
    return LaunchSettings(
        command=chosen.command.strip(),
        python=bpy.path.abspath(chosen.python) if chosen.python else "",
        device=chosen.device,
        user_folder=environment,
        log_folder=logs,
    )


def head() -> str:
    """The head model of new heads: a name, or the path of its file."""
    return _path("head") or OPENHEAD


def head_file(model: str) -> str:
    """The path of a head model's file, "" for the bundled one."""
    return "" if model == OPENHEAD else model


def weights() -> str:
    """Path of the weights file that heads get wrinkles from, or "" for the built-in ones, if any."""
    return _path("weights")


def has_builtin_weights() -> bool:
    """Whether heads of the chosen head model get wrinkles though no weights are chosen."""
    return head() == OPENHEAD and BUILTIN_WEIGHTS.is_file()


def use_head(path: str) -> None:
    """Makes a file the head model of new heads."""
    chosen = _chosen()
    if chosen is not None:
        chosen.head = path


def converted_folder() -> str:
    """Where head models are converted to; "" for beside FLAME's files, as on a backend elsewhere."""
    folder = user_folder()
    return str(folder / "heads") if folder and not launch_settings().command else ""


def cache_bytes() -> int:
    """How many bytes of displacement maps are kept."""
    chosen = _chosen()
    return chosen.cache_mib * _MIB if chosen is not None else DEFAULT_CACHE_BYTES


def _path(name: str) -> str:
    chosen = _chosen()
    path = getattr(chosen, name).strip() if chosen is not None else ""
    return bpy.path.abspath(path) if path else ""


def _chosen() -> Any:
    """The preferences, or None when the add-on is not enabled as one."""
    addon = bpy.context.preferences.addons.get(ADDON)
    return addon.preferences if addon is not None else None


CLASSES = (DECA_AP_preferences,)
