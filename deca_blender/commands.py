"""The commands that the add-on gives Blender: `blender --command deca_import`, `deca_export` and `deca_capture`."""

from __future__ import annotations

from collections.abc import Sequence

import bpy

_handles: list[object] = []


def register() -> None:
    """Makes the commands known. What they do is imported when one runs."""
    for name, run in (("deca_import", _import), ("deca_export", _export), ("deca_capture", _capture)):
        _handles.append(bpy.utils.register_cli_command(name, run))


def unregister() -> None:
    """Takes them back."""
    while _handles:
        bpy.utils.unregister_cli_command(_handles.pop())


def _import(arguments: Sequence[str]) -> int:
    from .headless import main

    return main(arguments)


def _export(arguments: Sequence[str]) -> int:
    from .headless_export import main

    return main(arguments)


def _capture(arguments: Sequence[str]) -> int:
    from .headless_capture import main

    return main(arguments)
