"""The backend's installation, as the preferences and the panel show it."""

from __future__ import annotations

from typing import Any

import bpy

from .. import folders, install, preferences
from . import texts

WIDE = 80
"""Characters of the backend's words in a row of the preferences."""


def draw_installation(layout: bpy.types.UILayout, width: int = WIDE) -> None:
    """Whether the backend is installed and if not why, the button, and what it will cost."""
    environment, is_running = folders.managed_environment(), install.is_running()
    why = install.failure()
    if environment is not None and environment.is_ready():
        layout.label(text=texts.IS_INSTALLED)
    elif not preferences.launch_settings().has_backend():
        layout.label(text=texts.NOT_INSTALLED, icon="INFO")
        if environment is not None and environment.venv.exists() and not is_running:
            why = why or environment.problem()
    draw_lines(layout, why, "ERROR", width)
    layout.operator("deca.install_backend", icon="IMPORT")
    cost = install.impossible() or texts.install_size(install.plan(preferences.torch_choice()))
    draw_lines(layout, texts.INSTALL_RUNS if is_running else cost, "BLANK1", width)


def draw_lines(layout: bpy.types.UILayout, text: str, icon: Any, width: int = WIDE) -> None:
    """A text in as many rows as it needs, the icon before the first."""
    column = layout.column(align=True)
    for number, line in enumerate(texts.wrapped(text, width) if text else []):
        column.label(text=line, icon="BLANK1" if number else icon)
