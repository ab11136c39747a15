"""How a script works a Blender that has a window: where things are on the screen, pictures of it, steps in time.

A session is a generator of seconds to let Blender work before the next step; `play` runs it, and then ends Blender.
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
from typing import Any

import bpy

LIMIT_S = 120
RESULT: dict[str, object] = {"blender": bpy.app.version_string}
"""What a session saw: `play` writes it to `result.json`; an `error` is the traceback that ended it."""


def play(session: Iterator[float], folder: Path) -> None:
    """Begins a session once Blender has drawn its window; `folder` gets `result.json`."""

    def tick() -> float | None:
        try:
            return next(session)
        except StopIteration:
            RESULT["ok"] = True
        except Exception:
            RESULT["error"] = traceback.format_exc()
            screenshot(folder / "error.png")
        (folder / "result.json").write_text(json.dumps(RESULT, indent=1))
        sys.stdout.flush()
        os._exit(0)

    bpy.context.preferences.view.show_splash = False
    bpy.app.timers.register(tick, first_interval=3, persistent=True)


def window() -> bpy.types.Window:
    return bpy.context.window_manager.windows[0]


def view() -> bpy.types.Area:
    return next(area for area in window().screen.areas if area.type == "VIEW_3D")


def region(kind: str) -> bpy.types.Region:
    return next(region for region in view().regions if region.type == kind)


def call(operator: Callable[..., Any], **options: object) -> None:
    with bpy.context.temp_override(window=window(), area=view(), region=region("WINDOW")):
        operator("INVOKE_DEFAULT", **options)


def heads() -> list[bpy.types.Object]:
    return [obj for obj in bpy.data.objects if obj.deca.is_head]


def addon_name() -> str:
    return next(name for name in bpy.context.preferences.addons.keys() if name.endswith("deca_blender"))


def until(done: Callable[[], bool]) -> Iterator[float]:
    end = time.monotonic() + LIMIT_S
    while not done():
        if time.monotonic() > end:
            raise TimeoutError("waited too long")
        yield 0.25


def key(name: str) -> None:
    subprocess.Popen(["xdotool", "mousemove", "500", "400", "key", name])


def screenshot(path: Path) -> None:
    # Blender's own screenshot is black under Xvfb.
    subprocess.run(["import", "-window", "root", str(path)], check=True)
