"""Runs inside a Blender with a window (test_window.py): works the add-on like a user, writes what it saw, and quits.

    blender --python drive.py -- FOLDER PHOTO WEIGHTS

FOLDER gets `result.json` and a screenshot per step.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import bpy
from mathutils import Vector

FOLDER, PHOTO, WEIGHTS = (Path(argument) for argument in sys.argv[sys.argv.index("--") + 1 :])
LIMIT_S = 120
RESULT: dict[str, object] = {"blender": bpy.app.version_string}


def steps() -> Iterator[float]:
    """The session; each item is how many seconds to let Blender work before the next."""
    for obj in list(bpy.data.objects):  # the default cube would hide the head
        bpy.data.objects.remove(obj)
    view().spaces[0].show_region_ui = True
    yield 1
    region("UI").active_panel_category = "DECA"
    yield 1
    screenshot("panel")

    call(bpy.ops.deca.import_face)
    yield 1.5
    RESULT["windows with the file browser"] = len(bpy.context.window_manager.windows)
    screenshot("file_browser")
    key("Escape")
    yield from until(lambda: len(bpy.context.window_manager.windows) == 1)

    call(bpy.ops.deca.import_face, filepath=str(PHOTO))
    yield 0.3
    screenshot("importing")
    key("Escape")
    yield from until(lambda: not bpy.context.window_manager.windows[0].modal_operators)
    RESULT["heads after Esc"] = len(heads())

    started = time.monotonic()
    call(bpy.ops.deca.import_face, filepath=str(PHOTO))
    yield from until(lambda: bool(heads()))
    RESULT["import seconds"] = round(time.monotonic() - started, 1)
    call(bpy.ops.view3d.view_camera)
    view().spaces[0].shading.color_type = "TEXTURE"
    yield 3
    screenshot("imported")

    bpy.context.window_manager.deca.search = "jaw open"
    call(bpy.ops.deca.reset_expression, target="NEUTRAL")
    call(bpy.ops.view3d.view_axis, type="FRONT")
    call(bpy.ops.view3d.view_selected)
    yield 4
    screenshot("neutral")
    before = shown_vertices()
    drag_only_slider()
    yield 5
    screenshot("dragged")
    RESULT["jawOpen after the drag"] = heads()[0].data.shape_keys.key_blocks["jawOpen"].value
    moved = [(b - a).length for a, b in zip(before, shown_vertices(), strict=True)]
    RESULT["largest motion"] = max(moved)

    # Once more with weights, whose wrinkles follow the slider.
    (first,) = heads()
    addon = next(name for name in bpy.context.preferences.addons.keys() if name.endswith("deca_blender"))
    bpy.context.preferences.addons[addon].preferences.weights = str(WEIGHTS)
    call(bpy.ops.deca.import_face, filepath=str(PHOTO))
    yield from until(lambda: len(heads()) == 2)
    (second,) = (head for head in heads() if head != first)
    call(bpy.ops.deca.reset_expression, target="NEUTRAL")
    call(bpy.ops.view3d.view_selected)
    yield 4
    neutral = wrinkle_map(second)
    drag_only_slider()
    yield from until(lambda: second.data.shape_keys.key_blocks["jawOpen"].value > 0.9)
    yield from until(lambda: wrinkle_map(second) != neutral)
    yield 3
    screenshot("wrinkles")
    RESULT["largest change of the wrinkle map"] = max(
        abs(a - b) for a, b in zip(neutral, wrinkle_map(second), strict=True)
    )


def view() -> bpy.types.Area:
    return next(area for area in bpy.context.window_manager.windows[0].screen.areas if area.type == "VIEW_3D")


def region(kind: str) -> bpy.types.Region:
    return next(region for region in view().regions if region.type == kind)


def call(operator: Callable[..., set[str]], **options: object) -> None:
    window = bpy.context.window_manager.windows[0]
    with bpy.context.temp_override(window=window, area=view(), region=region("WINDOW")):
        operator("INVOKE_DEFAULT", **options)


def heads() -> list[bpy.types.Object]:
    return [obj for obj in bpy.data.objects if obj.deca.is_head]


def shown_vertices() -> list[Vector]:
    head = heads()[0]
    mesh = head.evaluated_get(bpy.context.evaluated_depsgraph_get()).to_mesh()
    return [vertex.co.copy() for vertex in mesh.vertices]


def wrinkle_map(head: bpy.types.Object) -> list[float]:
    texture = head.modifiers["Wrinkles"].texture
    return texture.image.pixels[:]


def drag_only_slider() -> None:
    """Drags the slider that the search has left, which lies below the search field, by the pointer."""
    panel = region("UI")
    x, y = panel.x + 60, 406  # from the top of the screen; the same for every window of this size
    moves = "".join(f" sleep 0.4 mousemove {x + step} {y}" for step in range(5, 101, 12))
    command = f"mousemove {x} {y} sleep 0.4 mousedown 1{moves} sleep 0.4 mouseup 1"
    subprocess.Popen(["xdotool", *command.split()])


def until(done: Callable[[], bool]) -> Iterator[float]:
    end = time.monotonic() + LIMIT_S
    while not done():
        if time.monotonic() > end:
            raise TimeoutError("waited too long")
        yield 0.25


def key(name: str) -> None:
    subprocess.Popen(["xdotool", "mousemove", "500", "400", "key", name])


def screenshot(name: str) -> None:
    # Blender's own screenshot is black under Xvfb.
    subprocess.run(["import", "-window", "root", str(FOLDER / f"{name}.png")], check=True)


SESSION = steps()
bpy.context.preferences.view.show_splash = False


def tick() -> float | None:
    try:
        return next(SESSION)
    except StopIteration:
        RESULT["ok"] = True
    except Exception:
        RESULT["error"] = traceback.format_exc()
    (FOLDER / "result.json").write_text(json.dumps(RESULT, indent=1))
    sys.stdout.flush()
    os._exit(0)


bpy.app.timers.register(tick, first_interval=3, persistent=True)
