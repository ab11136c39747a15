"""Runs inside a Blender with a window (test_window.py): works the add-on like a user, writes what it saw, and quits.

    blender --python drive.py -- FOLDER PHOTO WEIGHTS

FOLDER gets `result.json` and a screenshot per step.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import bpy
import numpy as np
from bpy_extras.view3d_utils import location_3d_to_region_2d
from mathutils import Vector

sys.path.insert(0, str(Path(__file__).parent))
import session
from session import RESULT, addon_name, call, heads, key, region, until, view, window

FOLDER, PHOTO, WEIGHTS = (Path(argument) for argument in sys.argv[sys.argv.index("--") + 1 :])


def steps() -> Iterator[float]:
    """The session; each item is how many seconds to let Blender work before the next."""
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
    yield 3
    screenshot("imported")
    RESULT["in the default scene"] = first_sight(heads()[0])
    looks = [look()]
    for name in ("photo_camera", "beside_the_photo"):
        call(bpy.ops.deca.view_photo_camera)
        yield 3
        screenshot(name)
        looks.append(look())
    RESULT["through the photo's camera and back"] = looks
    yield from pinning(heads()[0])
    call(bpy.ops.deca.render_as_photo)
    for name in ("Cube", "Light", "Camera"):  # the cube would hide the head from the front
        bpy.data.objects.remove(bpy.data.objects[name])

    bpy.context.window_manager.deca.search = "jaw open"
    call(bpy.ops.deca.reset_expression, target="NEUTRAL")
    call(bpy.ops.view3d.view_axis, type="FRONT")
    call(bpy.ops.view3d.view_selected)
    yield 4
    screenshot("neutral")
    before = shown_vertices()
    yield from drag_jaw_open(heads()[0])
    yield from until(lambda: heads()[0].data.shape_keys.key_blocks["jawOpen"].value > 0.9)
    yield 3
    screenshot("dragged")
    RESULT["jawOpen after the drag"] = heads()[0].data.shape_keys.key_blocks["jawOpen"].value
    moved = [(b - a).length for a, b in zip(before, shown_vertices(), strict=True)]
    RESULT["largest motion"] = max(moved)

    # Once more with weights, whose wrinkles follow the slider.
    (first,) = heads()
    addon = addon_name()
    bpy.context.preferences.addons[addon].preferences.weights = str(WEIGHTS)
    call(bpy.ops.deca.import_face, filepath=str(PHOTO))
    yield from until(lambda: len(heads()) == 2)
    (second,) = (head for head in heads() if head != first)
    call(bpy.ops.deca.reset_expression, target="NEUTRAL")
    call(bpy.ops.view3d.view_selected)
    yield 4
    neutral = wrinkle_map(second)
    yield from drag_jaw_open(second)
    yield from until(lambda: second.data.shape_keys.key_blocks["jawOpen"].value > 0.9)
    yield from until(lambda: wrinkle_map(second) != neutral)
    yield 3
    screenshot("wrinkles")
    RESULT["largest change of the wrinkle map"] = difference(neutral, wrinkle_map(second))

    yield from playback(second)
    yield from rendering(second)
    yield from transfer(second)

    RESULT["photos may be dropped"] = {area.type: drop_is_taken(area) for area in window().screen.areas}
    RESULT["backend can be installed"] = bpy.ops.deca.install_backend.poll()
    bpy.ops.preferences.addon_show(module=addon)
    yield 2
    screenshot("preferences")
    yield from german()
    yield from reopening()


def german() -> Iterator[float]:
    """The user chooses another language: what is drawn, and what is put together, is in it at once."""
    from bl_ext.user_default.deca_blender.deca_blender.ui import texts

    chosen = bpy.context.preferences.view
    chosen.language = "de_DE"
    chosen.use_translate_interface = chosen.use_translate_reports = chosen.use_translate_tooltips = True
    yield 2
    screenshot("german")
    translated = bpy.app.translations.pgettext_iface
    RESULT["in German"] = [translated(texts.IMPORT, "Operator"), texts.imported(["a", "b"]), texts.pins(3)]
    chosen.language = "en_US"
    yield 1
    RESULT["in English again"] = texts.pins(3)


def reopening() -> Iterator[float]:
    """A file whose asset shelf was visible is opened with its screens, and deleted heads leave nothing."""
    bpy.ops.deca.add_pose_library()
    view().spaces[0].show_region_asset_shelf = True
    yield 3
    screenshot("shelf")
    path = str(FOLDER / "shelf.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path, load_ui=True)
    yield 3
    bpy.ops.deca.remove_pose_library()
    call(bpy.ops.object.select_all, action="SELECT")
    call(bpy.ops.object.delete, confirm=False)
    yield 1
    RESULT["collections after all was deleted"] = [collection.name for collection in bpy.data.collections]


def look() -> list[object]:
    """What the viewport looks through, and where from."""
    space = view().spaces[0]
    rotation = [round(value, 3) for value in space.region_3d.view_rotation]
    return [space.region_3d.view_perspective, space.camera.name, rotation, bpy.context.scene.camera.name]


def first_sight(head: bpy.types.Object) -> dict[str, object]:
    """What an import into the default scene shows, and what it leaves as it was."""
    scene, space, window_region = bpy.context.scene, view().spaces[0], region("WINDOW")
    verts = [head.matrix_world @ vertex for vertex in shown_vertices()]
    seen = [
        location_3d_to_region_2d(window_region, space.region_3d, vertex, default=Vector((-1, -1))) for vertex in verts
    ]
    return {
        "selected": list(bpy.context.view_layer.objects.selected) == [head],
        "active": bpy.context.view_layer.objects.active == head,
        "in the viewport": all(0 < p.x < window_region.width and 0 < p.y < window_region.height for p in seen),
        "share of its height": (max(p.y for p in seen) - min(p.y for p in seen)) / window_region.height,
        "nearest to the cube's centre": min(max(map(abs, vertex)) for vertex in verts),
        "shading": [space.shading.type, space.shading.color_type],
        "scene": [scene.camera.name, scene.render.resolution_x, scene.render.resolution_y],
    }


def pinning(head: bpy.types.Object) -> Iterator[float]:
    """A landmark is dragged by the pointer, taken back, and a click lets it go; Esc cancels a drag."""
    from bl_ext.user_default.deca_blender.deca_blender.scene import pins

    corner, chin, by = 54, 8, (18, -24)  # pixels of the screen, right and up

    def on_screen(landmark: int) -> tuple[int, int]:
        point = head.matrix_world @ Vector(pins.shown_landmarks(head)[landmark])
        place = location_3d_to_region_2d(region("WINDOW"), view().spaces[0].region_3d, point)
        return int(region("WINDOW").x + place.x), int(window().height - region("WINDOW").y - place.y)

    def pointer(landmark: int, *steps: str) -> None:
        x, y = on_screen(landmark)
        moves = " ".join(f"sleep 0.3 mousemove {x + by[0] * k // 6} {y + by[1] * k // 6}" for k in range(1, 7))
        command = " sleep 1 ".join((f"mousemove {x} {y}", *steps)).replace("DRAG", moves)
        subprocess.Popen(["xdotool", *command.split()])

    call(bpy.ops.deca.show_pins)
    yield 1
    space = view().spaces[0].region_3d
    space.view_camera_zoom, space.view_camera_offset = 60, (-0.03, 0.2)
    yield 3
    screenshot("pins")
    start = on_screen(corner)
    pointer(corner, "mousedown 1", "DRAG", "mouseup 1")
    yield from until(lambda: bool(head.deca.pins))
    yield 1
    screenshot("pinned")
    end, held = on_screen(corner), len(head.deca.pins)
    pointer(chin, "mousedown 1", "DRAG", "key Escape", "mouseup 1")
    yield 8
    after_esc = len(head.deca.pins)
    pointer(corner, "mousedown 1", "mouseup 1")
    yield from until(lambda: not head.deca.pins)
    yield 1
    back = on_screen(corner)
    RESULT["pins"] = {
        "moved": [end[axis] - start[axis] for axis in range(2)],
        "asked": by,
        "held": held,
        "held after Esc": after_esc,
        "off after the click": max(abs(back[axis] - start[axis]) for axis in range(2)),
    }
    call(bpy.ops.deca.show_pins)
    call(bpy.ops.deca.view_photo_camera)
    yield 1


def playback(head: bpy.types.Object) -> Iterator[float]:
    """Keyframes play: wrinkles follow, and the window goes on."""
    key = head.data.shape_keys.key_blocks["jawOpen"]
    for frame, value in ((1, 0.0), (20, 1.0), (40, 0.0)):
        key.value = value
        key.keyframe_insert("value", frame=frame)
    bpy.context.scene.frame_end = 40
    call(bpy.ops.screen.animation_play)
    maps, frames, gaps, last = set(), set(), [], time.monotonic()
    for _ in range(80):
        yield 0.05
        gaps.append(time.monotonic() - last)
        last = time.monotonic()
        maps.add(tuple(wrinkle_map(head)[100_000:160_000:40]))
        frames.add(bpy.context.scene.frame_current)
    screenshot("playback")
    RESULT["playback"] = {"frames": len(frames), "maps": len(maps), "longest pause": round(max(gaps), 2)}
    call(bpy.ops.screen.animation_cancel)


def rendering(head: bpy.types.Object) -> Iterator[float]:
    """F12: the frame's own map, though a slider stands elsewhere; then the slider's again."""
    scene, key = bpy.context.scene, head.data.shape_keys.key_blocks["jawOpen"]
    scene.frame_set(11)
    yield 3
    of_frame = wrinkle_map(head)
    key.value = 0.0  # over the keyframes, until the frame changes
    yield 3
    of_slider = wrinkle_map(head)
    RESULT["frame and slider differ"] = difference(of_frame, of_slider)
    scene.render.engine, scene.cycles.samples, scene.cycles.use_denoising = "CYCLES", 8, False
    scene.render.resolution_x = scene.render.resolution_y = 256
    scene.world = scene.world or bpy.data.worlds.new("World")
    rendered: list[list[float]] = []
    handler = lambda *_: rendered.append(wrinkle_map(head))  # noqa: E731
    bpy.app.handlers.render_post.append(handler)
    call(bpy.ops.render.render)
    yield from until(lambda: bool(rendered) and not bpy.app.is_job_running("RENDER"))
    bpy.app.handlers.render_post.remove(handler)
    yield 4
    screenshot("rendered")
    RESULT["rendered map off the frame's"] = difference(of_frame, rendered[-1])
    RESULT["map after the render off the slider's"] = difference(of_slider, wrinkle_map(head))
    while len(bpy.context.window_manager.windows) > 1:
        with bpy.context.temp_override(window=bpy.context.window_manager.windows[-1]):
            bpy.ops.wm.window_close()
        yield 0.5


def transfer(source: bpy.types.Object) -> Iterator[float]:
    """A copy with other wrinkles takes the source's."""
    for obj in bpy.data.objects:
        obj.select_set(obj in (source, source.parent))
    bpy.context.view_layer.objects.active = source
    call(bpy.ops.object.duplicate)
    yield 1
    (target,) = (obj for obj in bpy.context.selected_objects if obj.deca.is_head)
    target.parent.location.x += 0.25
    target["deca_detail"] = [-3 * value for value in target["deca_detail"]]
    target.data.shape_keys.key_blocks["jawOpen"].value = 0.5
    yield 3
    own = wrinkle_map(target)
    for obj in (source, target):
        obj.select_set(True)
    bpy.context.view_layer.objects.active = source
    call(bpy.ops.deca.transfer_wrinkles)
    yield 3
    worn = wrinkle_map(target)
    target.data.shape_keys.key_blocks["jawOpen"].value = source.data.shape_keys.key_blocks["jawOpen"].value
    yield 3
    RESULT["transfer"] = {
        "change": difference(own, worn),
        "off the source's": difference(wrinkle_map(source), wrinkle_map(target)),  # of the same expression
    }
    bpy.context.view_layer.objects.active = target
    call(bpy.ops.view3d.view_selected)
    scroll_down()
    yield 3
    x, y = region("UI").x + 60, window().height - region("UI").y - 13  # the last panel's header, which is closed
    subprocess.Popen(["xdotool", *f"mousemove {x} {y} sleep 0.4 click 1".split()])
    yield 2
    scroll_down()
    yield 2
    screenshot("transfer")


def scroll_down() -> None:
    with bpy.context.temp_override(window=window(), area=view(), region=region("UI")):
        for _ in range(30):
            bpy.ops.view2d.scroll_down()


def drop_is_taken(area: bpy.types.Area) -> bool:
    with bpy.context.temp_override(window=window(), area=area):
        return bool(bpy.types.DECA_FH_photo.poll_drop(bpy.context))


def difference(first: list[float], second: list[float]) -> float:
    return max(abs(a - b) for a, b in zip(first, second, strict=True))


def shown_vertices() -> list[Vector]:
    head = heads()[0]
    mesh = head.evaluated_get(bpy.context.evaluated_depsgraph_get()).to_mesh()
    return [vertex.co.copy() for vertex in mesh.vertices]


def wrinkle_map(head: bpy.types.Object) -> list[float]:
    texture = head.modifiers["Wrinkles"].texture
    return texture.image.pixels[:]


def drag_jaw_open(head: bpy.types.Object) -> Iterator[float]:
    """Drags the slider by the pointer, where the panel shows it."""
    x, y = region("UI").x + 60, (yield from row_of(head.data.shape_keys.key_blocks["jawOpen"]))
    moves = "".join(f" sleep 0.4 mousemove {x + step} {y}" for step in range(5, 101, 12))
    command = f"mousemove {x} {y} sleep 0.4 mousedown 1{moves} sleep 0.4 mouseup 1"
    subprocess.Popen(["xdotool", *command.split()])


def row_of(key: bpy.types.ShapeKey) -> Generator[float, None, int]:
    """Where on the screen, from its top, the panel has the slider: what changes there when the value does."""
    pictures = []
    for value in (0.5, 0.0):
        key.value = value
        yield 3
        screenshot("row")
        image = bpy.data.images.load(str(FOLDER / "row.png"))
        width, height = image.size
        rgba = np.empty(width * height * 4, np.float32)
        image.pixels.foreach_get(rgba)
        bpy.data.images.remove(image)
        pictures.append(rgba.reshape(height, width, 4)[::-1])
    left = region("UI").x + 30
    changed = np.abs(pictures[0] - pictures[1])[:, left : left + 60].max(2) > 0.1
    rows = np.flatnonzero(changed.mean(1) > 0.5)
    return int(rows[rows < rows[0] + 25].mean())  # what comes and goes below the sliders moves, too


def screenshot(name: str) -> None:
    session.screenshot(FOLDER / f"{name}.png")


session.play(steps(), FOLDER)
