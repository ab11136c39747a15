"""What the add-on registers with Blender, in order; unregistering is the exact reverse."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import bpy

from . import backend, install, models, preferences
from .operators import (
    add_photos,
    bake_normal_map,
    bake_wrinkles,
    capture,
    delete_head,
    diagnostics,
    export_head,
    expressions,
    import_face,
    import_folder,
    install_backend,
    make_independent,
    photo_camera,
    pins,
    pose_assets,
    reset_expression,
    straighten,
    strip_identity,
    update_wrinkles,
)
from .operators import models as model_operators
from .operators import transfer as transfer_operators
from .properties import baked, head, interface, sliders, transfer
from .protocol import batch
from .scene import deletion, live
from .ui import capture_panel, drop, menus, panels, pie, pose_shelf, translation
from .ui import pins as pin_handles
from .ui import preferences as preferences_page

CLASSES = (
    *head.CLASSES,
    *interface.CLASSES,
    *transfer.CLASSES,
    *baked.CLASSES,
    *sliders.CLASSES,
    *import_face.CLASSES,
    *import_folder.CLASSES,
    *add_photos.CLASSES,
    *reset_expression.CLASSES,
    *straighten.CLASSES,
    *photo_camera.CLASSES,
    *pins.CLASSES,
    *delete_head.CLASSES,
    *export_head.CLASSES,
    *expressions.CLASSES,
    *capture.CLASSES,
    *pose_assets.CLASSES,
    *update_wrinkles.CLASSES,
    *transfer_operators.CLASSES,
    *bake_wrinkles.CLASSES,
    *bake_normal_map.CLASSES,
    *make_independent.CLASSES,
    *strip_identity.CLASSES,
    *install_backend.CLASSES,
    *model_operators.CLASSES,
    *diagnostics.CLASSES,
    *panels.CLASSES,
    *capture_panel.CLASSES,
    *drop.CLASSES,
    *pie.CLASSES,
    *pose_shelf.CLASSES,
    *pin_handles.CLASSES,
    *preferences_page.CLASSES,
)

_is_registered = False


def register() -> None:
    """Registers classes, properties and menus."""
    global _is_registered
    translation.register()
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    head.register_pointers()
    interface.register_pointers()
    transfer.register_pointers()
    baked.register_pointers()
    sliders.register_pointers()
    menus.register()
    pose_shelf.register()
    deletion.register()
    live.register(lambda: backend.session(), lambda: preferences.weights(), lambda: preferences.head())
    live.set_cache_bytes(preferences.cache_bytes())
    models.register(lambda: backend.session(), lambda path: preferences.use_head(path))
    _is_registered = True


def unregister() -> None:
    """Ends the backend and takes everything back."""
    global _is_registered
    _is_registered = False
    models.unregister()
    live.unregister()
    install.cancel()
    backend.close()
    deletion.unregister()
    pose_shelf.unregister()
    menus.unregister()
    sliders.unregister_pointers()
    baked.unregister_pointers()
    transfer.unregister_pointers()
    interface.unregister_pointers()
    head.unregister_pointers()
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
    translation.unregister()


def is_registered() -> bool:
    """Whether the add-on is enabled."""
    return _is_registered


@contextmanager
def registered() -> Iterator[None]:
    """Registers the add-on for a while, unless Blender has enabled it already."""
    if is_registered():
        yield
        return
    register()
    try:
        yield
    finally:
        unregister()


def run_command(work: Callable[[], int]) -> int:
    """Runs a command without a window, with the add-on registered and the backend closed in the end.

    Args:
        work: Does it; gives its exit status.

    Returns:
        That, or as a shell has it: 130 and 143 where Ctrl-C or a signal has stopped it, 141 where nobody reads any more
        what it prints.
    """
    with registered():
        try:
            return work()
        except batch.Stopped as stop:
            return stop.status
        except BrokenPipeError:
            return batch.PIPE_CLOSED
        finally:
            backend.close()
