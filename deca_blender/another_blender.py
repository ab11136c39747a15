"""Another Blender like this one, without a window, with the add-on in it."""

from __future__ import annotations

import sys

import bpy


def command(name: str, module: str) -> list[str]:
    """What runs a command of the add-on; its arguments follow.

    Args:
        name: As Blender knows it: `deca_import`.
        module: Its module in the add-on, for where Blender itself is one: `headless`.
    """
    if bpy.app.binary_path:
        return [bpy.app.binary_path, "--background", "--command", name]
    return [sys.executable, "-P", "-m", f"{__package__}.{module}"]
