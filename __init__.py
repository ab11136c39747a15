"""Blender extension "DECA": one photo to a rigged 3D head. The add-on itself lives in `deca_blender`."""

from __future__ import annotations


def register() -> None:
    from .deca_blender import commands, registration

    registration.register()
    commands.register()


def unregister() -> None:
    from .deca_blender import commands, registration

    commands.unregister()
    registration.unregister()
