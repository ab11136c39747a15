"""Where the add-on keeps what it installs and converts.

Blender names the folder, the one place where extensions may write; its Python has no platformdirs, nor may one be
installed there.
"""

from __future__ import annotations

from pathlib import Path

import bpy

from .client import ManagedEnvironment

_HERE = __package__ or "deca_blender"
ADDON = _HERE.rpartition(".")[0] or _HERE
"""The name under which Blender knows the add-on: `bl_ext.<repository>.deca_blender` when installed."""


def user_folder() -> Path | None:
    """The extension's own folder for files of the user, or None when the add-on does not run as an extension."""
    if not ADDON.startswith("bl_ext."):
        return None
    return Path(bpy.utils.extension_path_user(ADDON, path="", create=True))


def managed_environment() -> ManagedEnvironment | None:
    """Where the add-on installs the backend's Python packages, or None when it has no folder of its own."""
    folder = user_folder()
    return ManagedEnvironment(folder / "backend") if folder else None
