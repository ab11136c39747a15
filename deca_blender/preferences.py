"""Preferences: which backend to use."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.props import EnumProperty, StringProperty

from .client import LaunchSettings, ManagedEnvironment
from .ui import texts

_HERE = __package__ or "deca_blender"
ADDON = _HERE.rpartition(".")[0] or _HERE
"""The name under which Blender knows the add-on: `bl_ext.<repository>.deca_blender` when installed."""


class DECA_AP_preferences(bpy.types.AddonPreferences):
    """Preferences of the add-on."""

    bl_idname = ADDON

    python: StringProperty(name="Python", description=texts.PREFERENCE_PYTHON, subtype="FILE_PATH")
    weights: StringProperty(name="Weights", description=texts.PREFERENCE_WEIGHTS, subtype="FILE_PATH")
    command: StringProperty(name="Command", description=texts.PREFERENCE_COMMAND)
    device: EnumProperty(
        name="Device",
        description=texts.PREFERENCE_DEVICE,
        items=[
            ("auto", "Automatic", "A CUDA graphics card when the backend finds one, else the processor"),
            ("cpu", "Processor", "Always the processor"),
            ("cuda", "CUDA", "An NVIDIA graphics card"),
        ],
    )

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.operator("deca.install_backend", icon="IMPORT")
        layout.prop(self, "weights")
        layout.prop(self, "device")
        layout.prop(self, "python")
        layout.prop(self, "command")
        row = layout.row(align=True)
        row.operator("deca.open_log", icon="TEXT")
        row.operator("deca.copy_diagnostics", icon="COPYDOWN")


def user_folder() -> Path | None:
    """The extension's own folder for files of the user, or None when the add-on does not run as an extension."""
    if not ADDON.startswith("bl_ext."):
        return None
    return Path(bpy.utils.extension_path_user(ADDON, path="", create=True))


def managed_environment() -> ManagedEnvironment | None:
    """Where the add-on installs the backend's Python packages, or None when it has no folder of its own."""
    folder = user_folder()
    return ManagedEnvironment(folder / "backend") if folder else None


def launch_settings() -> LaunchSettings:
    """How the backend is started, from the preferences (their defaults when the add-on is not enabled as one)."""
    addon = bpy.context.preferences.addons.get(ADDON)
    folder = user_folder()
    environment, logs = (folder / "backend", folder / "logs") if folder else (None, None)
    if addon is None or addon.preferences is None:
        return LaunchSettings(user_folder=environment, log_folder=logs)
    chosen = addon.preferences
    return LaunchSettings(
        command=chosen.command.strip(),
        python=bpy.path.abspath(chosen.python) if chosen.python else "",
        device=chosen.device,
        user_folder=environment,
        log_folder=logs,
    )


def weights() -> str:
    """Path of the weights file that heads get wrinkles from, or "" for none."""
    addon = bpy.context.preferences.addons.get(ADDON)
    chosen = addon.preferences.weights.strip() if addon is not None and addon.preferences is not None else ""
    return bpy.path.abspath(chosen) if chosen else ""


CLASSES = (DECA_AP_preferences,)
