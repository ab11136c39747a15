"""Live wrinkles against F_d in a process of its own, and what users do to heads while maps are under way."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import time
from pathlib import Path

import blender_case as case
import bpy
import numpy as np
from live_case import TOLERANCE_M, Drags, assert_right, errors_m, render_animation, settle, transferred
from wrinkle_case import real_session, shown_map, wrinkled_head

from deca_blender.scene import live


def move(obj: bpy.types.Object, value: float, name: str = "exp_003") -> None:
    """A slider moved; its map is under way."""
    obj.data.shape_keys.key_blocks[name].value = value
    bpy.context.view_layer.update()
    live.tick()


def test_each_rendered_frame_has_its_own_map(folder: Path) -> None:
    seen = render_animation(wrinkled_head(), 12, folder)
    assert len({row.map_NN.tobytes() for row in seen}) == 12
    errors = errors_m(seen, folder)
    assert errors.max() < TOLERANCE_M, errors
    assert len(list(folder.glob("frame *.png"))) == 12


def test_drags_while_the_backend_is_killed(folder: Path) -> None:
    obj = wrinkled_head()
    settle(obj)
    drags = Drags(obj.name, folder)
    told = io.StringIO()
    with contextlib.redirect_stderr(told):
        drags.run(40, 2, rest=3)
    errors = errors_m([*drags.applied, drags.final()], folder)
    assert len(drags.applied) > 10 and errors.max() < TOLERANCE_M, errors
    assert "Traceback" not in told.getvalue() and "Error" not in told.getvalue(), told.getvalue()


def test_the_target_of_a_transfer_shows_the_source_s_wrinkles(folder: Path) -> None:
    source, target = wrinkled_head(1), wrinkled_head(2)
    settle(source, target)
    shown = transferred(source, target)
    errors = errors_m([shown], folder)
    assert errors.max() < TOLERANCE_M, errors
    assert_right(source)


def test_heads_renamed_duplicated_and_deleted_while_maps_are_under_way() -> None:
    first, second, third = (wrinkled_head(seed) for seed in (1, 2, 3))
    settle(first, second, third)
    bpy.ops.object.select_all(action="DESELECT")
    for obj in (first, first.parent):
        obj.select_set(True)
    for head, value in ((first, -1), (second, 1.5), (third, 0.5)):
        move(head, value)
    first.name, second.name = second.name, "somebody"
    bpy.ops.object.duplicate()
    (copy,) = [obj for obj in bpy.context.selected_objects if obj.type == "MESH"]
    bpy.data.objects.remove(third)
    move(copy, 2, "exp_008")
    settle(first, second, copy)
    for head in (first, second, copy):
        assert_right(head)


def test_undo_and_redo_while_a_map_is_under_way() -> None:
    obj = wrinkled_head()
    name = obj.name
    settle(obj)
    bpy.ops.ed.undo_push(message="import")
    move(obj, 2)
    bpy.ops.ed.undo_push(message="move")
    move(obj, -2)
    bpy.ops.ed.undo_push(message="move on")
    for step in (bpy.ops.ed.undo, bpy.ops.ed.undo, bpy.ops.ed.redo):
        step()
        obj = bpy.data.objects[name]
        live.tick()
        settle(obj)
        assert_right(obj)
    assert abs(obj.data.shape_keys.key_blocks["exp_003"].value - 2) < 1e-6


def test_a_file_opened_while_maps_are_under_way_keeps_its_own(folder: Path) -> None:
    obj = wrinkled_head(1)
    name = obj.name
    settle(obj)
    path = str(folder / "é.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    saved = shown_map(obj)
    move(obj, 2)
    assert live.is_behind(obj)
    bpy.ops.wm.open_mainfile(filepath=path)
    obj = bpy.data.objects[name]
    for _ in range(20):
        live.tick()
        time.sleep(0.01)
    assert np.array_equal(shown_map(obj), saved)
    move(obj, 1)
    settle(obj)
    assert_right(obj)


def test_live_turned_off_and_on_again() -> None:
    obj = wrinkled_head()
    settle(obj)
    move(obj, 1)
    obj.deca.wrinkles_live = False
    before = shown_map(obj)
    for _ in range(20):
        live.tick()
        time.sleep(0.01)
    assert np.array_equal(shown_map(obj), before)
    obj.deca.wrinkles_live = True
    settle(obj)
    assert_right(obj)


def test_what_changes_during_a_render_is_shown_after_it() -> None:
    obj = wrinkled_head()
    settle(obj)
    scene = bpy.context.scene
    live._on_render_start(scene)  # as in the window, whose handlers run beside the user's work
    obj.data.shape_keys.key_blocks["exp_003"].value = 2
    bpy.context.view_layer.update()
    live.tick()
    assert live._live is not None and not live._live.heads.is_behind(obj.session_uid)  # renders come first
    live._on_render_end(scene)
    assert live.is_behind(obj)
    settle(obj)
    assert_right(obj)


def test_a_backend_that_hangs_holds_up_a_render_once(folder: Path) -> None:
    obj = wrinkled_head()
    settle(obj)
    expected = render_animation(obj, 3, folder)
    for path in folder.glob("frame *"):
        path.unlink()
    # One that hangs once: it is started again, and no frame is lost.
    answer, live._ANSWER_S = live._ANSWER_S, 2.0
    assert live._live is not None
    live._live.cache.resize(0)
    pid = real_session().pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    seen = render_animation(obj, 3, folder)
    assert real_session().pid != pid
    assert all(np.array_equal(a.map_NN, b.map_NN) for a, b in zip(seen, expected, strict=True))
    assert len(list(folder.glob("frame *"))) == 3
    live._ANSWER_S = answer
    # One that hangs for good.
    request = real_session().request
    for path in folder.glob("frame *"):
        path.unlink()

    def hang(*args: object, timeout: float = 0.0, **kwargs: object) -> None:
        time.sleep(timeout)
        raise live.RequestTimeout("It hangs.")

    real_session().request = hang  # type: ignore[method-assign, assignment]
    limit, live.RENDER_TIMEOUT_S = live.RENDER_TIMEOUT_S, 0.6
    told, started = io.StringIO(), time.monotonic()
    try:
        with contextlib.redirect_stderr(told):
            render_animation(obj, 3, folder)
    finally:
        real_session().request, live.RENDER_TIMEOUT_S = request, limit  # type: ignore[method-assign]
        live._live.cache.resize(64 << 20)
    assert list(folder.glob("frame *")) == [] and told.getvalue().count("could not be made") >= 3
    assert time.monotonic() - started < 10


case.main(globals())
