"""Saving heads to files of their own."""

from __future__ import annotations

from pathlib import Path

import bpy

from ..core.files import whole


def clear_file() -> None:
    """Leaves an empty scene; preferences and add-ons stay as they are."""
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)


def open_heads(path: Path) -> list[bpy.types.Object]:
    """Opens a .blend file; gives the heads of its scene.

    Raises:
        OSError: The file cannot be opened.
    """
    try:
        bpy.ops.wm.open_mainfile(filepath=str(path), load_ui=False)
    except RuntimeError as error:  # how an operator tells that it has failed
        raise OSError(str(error).strip()) from error
    return [obj for obj in bpy.context.scene.objects if obj.type == "MESH" and obj.deca.is_head]


def save_copy(path: Path) -> None:
    """Writes the open file to `path`: whole or not at all.

    Raises:
        OSError: The file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as unfinished:
        try:
            bpy.ops.wm.save_as_mainfile(filepath=str(unfinished), copy=True, compress=True, check_existing=False)
        except RuntimeError as error:  # how an operator tells that it has failed
            raise OSError(str(error).strip()) from error
