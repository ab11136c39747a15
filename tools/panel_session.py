"""Runs inside a Blender with a window (picture_panels.py): puts the add-on's panels on the screen one after the other.

    blender --python panel_session.py -- FOLDER PHOTO

FOLDER gets a screenshot per panel, and in `result.json` where on the screen the sidebar and the preferences are.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import bpy

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "window"))
from session import RESULT, addon_name, call, heads, key, play, region, screenshot, until, view, window

FOLDER, PHOTO = (Path(argument) for argument in sys.argv[sys.argv.index("--") + 1 :])
CHILDREN = ("expression", "wrinkles", "bake", "pose", "coefficients", "transfer")
"""Panels below *Head*, each of which gets a picture without the others."""
COMES_CLOSED = ("bake", "coefficients", "transfer")
SHADERS_S, LAYOUT_S, _REDRAWS = 60.0, 3.0, 12
"""What Blender takes to compile shaders and to lay out a region, where the processor draws."""
SHOWN: set[str] = set()


def steps() -> Iterator[float]:
    panels = sys.modules[addon_name() + ".deca_blender.ui.panels"]
    for cls in (getattr(panels, f"DECA_PT_{name}") for name in COMES_CLOSED):
        bpy.utils.unregister_class(cls)
        cls.bl_options = set()
        bpy.utils.register_class(cls)
    space = view().spaces[0]
    space.show_region_ui = True
    off = (
        "axis_x",
        "axis_y",
        "bones",
        "cursor",
        "extras",
        "floor",
        "ortho_grid",
        "outline_selected",
        "relationship_lines",
    )
    for name in off:
        setattr(space.overlay, f"show_{name}", False)
    yield LAYOUT_S
    region("UI").active_panel_category = "DECA"
    yield LAYOUT_S
    RESULT["sidebar"] = place(region("UI"))
    take("import")

    call(bpy.ops.deca.import_face)
    yield 2 * LAYOUT_S
    take("import_options")
    key("Escape")
    yield from until(lambda: any(area.type == "VIEW_3D" for area in window().screen.areas))

    for name in ("Cube", "Light"):
        bpy.data.objects.remove(bpy.data.objects[name])
    call(bpy.ops.deca.import_face, filepath=str(PHOTO))
    yield from until(lambda: len(heads()) == 1)
    view().spaces[0].shading.type = "MATERIAL"
    call(bpy.ops.view3d.view_axis, type="FRONT")
    call(bpy.ops.view3d.view_selected)
    yield SHADERS_S
    take("first_head")
    call(bpy.ops.deca.view_photo_camera)
    yield SHADERS_S
    take("photo_camera")
    call(bpy.ops.deca.view_photo_camera)

    for name in CHILDREN:
        getattr(panels, f"DECA_PT_{name}").poll = classmethod(lambda cls, context: cls.__name__ in SHOWN)
    yield from laid_out_again()
    take("head")
    panels.DECA_PT_import.draw = panels.DECA_PT_head.draw = lambda self, context: None
    for name in CHILDREN:
        SHOWN.clear()
        SHOWN.update({f"DECA_PT_{name}"} | ({"DECA_PT_wrinkles"} if name == "bake" else set()))
        yield from laid_out_again()
        take(name)
    SHOWN.clear()

    call(bpy.ops.deca.export_head)
    yield 2 * LAYOUT_S
    take("export_options")
    key("Escape")
    yield from until(lambda: any(area.type == "VIEW_3D" for area in window().screen.areas))

    subprocess.run(["xdotool", "mousemove", "2", "2"], check=True)  # away from buttons, which would explain themselves
    bpy.ops.preferences.addon_show(module=addon_name())
    yield LAYOUT_S
    with bpy.context.temp_override(window=bpy.context.window_manager.windows[-1]):
        bpy.ops.wm.window_close()
    area = view()
    area.type = "PREFERENCES"
    yield 2 * LAYOUT_S
    RESULT["preferences"] = place(area)
    take("preferences")


def laid_out_again() -> Iterator[float]:
    """Has the sidebar forget how tall its panels were; panels find their places only as they are drawn again."""
    view().spaces[0].show_region_ui = False
    yield LAYOUT_S
    view().spaces[0].show_region_ui = True
    for _ in range(_REDRAWS):
        view().tag_redraw()
        yield 0.5


def place(part: bpy.types.Area | bpy.types.Region) -> list[int]:
    """Left, top, right and bottom on the screen, from its top left corner."""
    top = window().height - part.y - part.height
    return [part.x, top, part.x + part.width, top + part.height]


def take(name: str) -> None:
    screenshot(FOLDER / f"{name}.png")


view_preferences = bpy.context.preferences.view
view_preferences.ui_scale, view_preferences.filebrowser_display_type = 1.25, "SCREEN"
system = bpy.context.preferences.system
system.use_region_overlap, system.use_online_access = False, True  # the install button says what it would do
play(steps(), FOLDER)
