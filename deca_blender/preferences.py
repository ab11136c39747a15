"""What the user chose in the preferences, or their defaults where the add-on is not enabled as one."""

from __future__ import annotations

from typing import Any

import bpy

from .client import LaunchSettings
from .core.assets import assets_dir
from .core.wrinkles import DEFAULT_CACHE_BYTES
from .folders import ADDON, user_folder
from .protocol.conventions import BUILTIN_WEIGHTS_FILE, OPENHEAD

BUILTIN_FILE = assets_dir() / BUILTIN_WEIGHTS_FILE
"""The bundled head's own weights, as the backend of this computer finds them, too."""
MIB = 1 << 20


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
    return head() == OPENHEAD and BUILTIN_FILE.is_file()


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
    return chosen.cache_mib * MIB if chosen is not None else DEFAULT_CACHE_BYTES


def _path(name: str) -> str:
    chosen = _chosen()
    path = getattr(chosen, name).strip() if chosen is not None else ""
    return bpy.path.abspath(path) if path else ""


def _chosen() -> Any:
    """The preferences, or None when the add-on is not enabled as one."""
    addon = bpy.context.preferences.addons.get(ADDON)
    return addon.preferences if addon is not None else None
