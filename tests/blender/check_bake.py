"""Baked frames equal F_d's answers, also in a Blender without add-on and backend; failures leave nothing."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Generator
from pathlib import Path

import blender_case as case
import bpy
import numpy as np
import wrinkle_case
from bake_case import elsewhere, select, shown_by_live, state
from wrinkle_case import HEAD, decoded, real_session, wrinkled_head

from deca_blender import backend
from deca_blender.client import BackendDied
from deca_blender.operators.bake_wrinkles import BakeSteps
from deca_blender.scene import bake, live
from deca_blender.scene.import_face import import_face

HALF = 2e-6
"""Metres that half floats of a few millimetres may be off, and their sums on the way."""


def animate(obj: bpy.types.Object, first: int, last: int) -> None:
    key, bone = obj.data.shape_keys.key_blocks["exp_000"], obj.parent.pose.bones["jaw"]
    for frame in range(first, last + 1):
        key.value = 0.7 * (frame - first) - 2
        key.keyframe_insert("value", frame=frame)
        bone.rotation_axis_angle = (0.1 * (frame - first), 1, 0, 0)
        bone.keyframe_insert("rotation_axis_angle", frame=frame)
    bpy.context.scene.frame_start, bpy.context.scene.frame_end = first, last


def truth(obj: bpy.types.Object, frame: int, first: int) -> np.ndarray:
    """F_d's map of a frame, from the keyframes as `animate` sets them."""
    keys = obj.data.shape_keys.key_blocks
    expression = np.array([keys[f"exp_{index:03d}"].value for index in range(50)])
    expression[0] = 0.7 * (frame - first) - 2
    return decoded(obj["deca_detail"], expression, np.array([0.1 * (frame - first), 0, 0]))


def assert_frames(obj: bpy.types.Object, first: int, last: int) -> None:
    scene = bpy.context.scene
    seen = []
    # Subframes belong to the frame before them; below zero Blender's own picture sequences round the other way.
    times = [(frame, 0.0) for frame in range(first - 2, last + 3)] + [(max(first, 0), 0.75), (last - 1, 0.5)]
    for frame, subframe in times:
        scene.frame_set(frame, subframe=subframe)
        moved = case.evaluated_verts(obj)
        expected = shown_by_live(obj, truth(obj, min(max(frame, first), last), first))
        error = np.abs(moved - expected).max()
        assert error < HALF, (frame, subframe, error)
        seen.append(moved)
    flat = shown_by_live(obj, np.zeros((256, 256), np.float32))
    assert np.abs(seen[-1] - flat).max() > 1e-4


def test_packed_frames_equal_the_decoder_and_can_be_cleared() -> None:
    obj = wrinkled_head()
    animate(obj, 3, 7)
    bpy.context.scene.frame_set(5)
    before = state(obj)
    select(obj)
    assert bpy.ops.deca.bake_wrinkles() == {"FINISHED"}
    assert obj.deca_bake.kind == "FRAMES" and (obj.deca_bake.first, obj.deca_bake.last) == (3, 7)
    assert not obj.deca.wrinkles_live and bpy.context.scene.frame_current == 5
    assert [m.name for m in obj.modifiers if m.show_render][-1] == "Baked Wrinkles"
    assert_frames(obj, 3, 7)
    obj.deca.wrinkle_strength = 2.0
    bpy.context.scene.frame_set(6)
    assert np.abs(case.evaluated_verts(obj) - shown_by_live(obj, truth(obj, 6, 3))).max() < 2 * HALF
    obj.deca.wrinkle_strength = 1.0
    assert bpy.ops.deca.bake_wrinkles(use_scene_range=False, first=4, last=5) == {"FINISHED"}  # in place of the other
    assert obj.deca_bake.first == 4 and len([m for m in obj.modifiers if m.name.startswith("Baked")]) == 1
    bpy.context.scene.frame_set(5)
    assert bpy.ops.deca.clear_baked_wrinkles() == {"FINISHED"}
    assert state(obj) == before
    live.update_now(obj)
    assert np.abs(wrinkle_case.shown_map(obj) - truth(obj, 5, 3)).max() < 1e-6


def test_a_folder_of_frames_on_two_heads(folder: Path) -> None:
    first, second = wrinkled_head(1), wrinkled_head(2)
    for obj in (first, second):
        animate(obj, -1, 2)
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "scene é.blend"))
    select(first, second)
    assert bpy.ops.deca.bake_wrinkles(storage="FOLDER", use_scene_range=False, first=-1, last=2) == {"FINISHED"}
    found = {path.name: sorted(file.name for file in path.iterdir()) for path in (folder / "wrinkles").iterdir()}
    numbered = [f"{number:04d}.exr" for number in range(4)]
    assert len(found) == 2 and all(names == numbered for names in found.values()), found
    for obj in (first, second):
        assert obj.modifiers["Baked Wrinkles"].texture.image.filepath.startswith("//")
        assert_frames(obj, -1, 2)
    select(first)
    assert bpy.ops.deca.bake_wrinkles(storage="FOLDER", use_scene_range=False, first=2, last=2) == {"FINISHED"}
    sizes = sorted(len(list(path.iterdir())) for path in (folder / "wrinkles").iterdir())
    assert sizes == [1, 4]  # the old files of this head are gone
    for frame in (1, 2, 9):
        bpy.context.scene.frame_set(frame)
        expected = shown_by_live(first, truth(first, 2, -1))
        assert np.abs(case.evaluated_verts(first) - expected).max() < HALF


def test_other_files_are_never_overwritten(folder: Path) -> None:
    obj = wrinkled_head()
    (folder / "head_0_wrinkles").mkdir()
    (folder / "head_0_wrinkles" / "thesis.txt").write_text("precious")
    obj.name = "head 0"
    before = state(obj)
    select(obj)
    assert fails(use_scene_range=False, first=1, last=2, storage="FOLDER", directory=str(folder))
    assert (folder / "head_0_wrinkles" / "thesis.txt").read_text() == "precious" and state(obj) == before
    assert [path.name for path in folder.iterdir()] == ["head_0_wrinkles"]


def fails(**options: object) -> str:
    """The message of a bake that is refused."""
    try:
        bpy.ops.deca.bake_wrinkles(**options)
    except RuntimeError as error:
        return str(error)
    raise AssertionError("it did not fail")


class Failing:
    """A session whose backend dies at some request."""

    def __init__(self, good: int) -> None:
        self.left, self.jobs = good, []

    def submit(self, request: object) -> object:
        self.left -= 1
        self.jobs.append(real_session().submit(request) if self.left >= 0 else case.FakeJob(BackendDied("It died.")))
        return self.jobs[-1]


def test_what_fails_or_is_given_up_leaves_nothing(folder: Path) -> None:
    obj = wrinkled_head()
    animate(obj, 1, 8)
    bpy.context.scene.frame_set(3)
    before = state(obj)
    select(obj)
    failing = Failing(4)
    backend.session = lambda: failing  # type: ignore[assignment]
    try:
        assert "It died." in fails(storage="FOLDER", directory=str(folder))
        assert state(obj) == before and list(folder.iterdir()) == []
        failing.left = 4
        assert "It died." in fails()
    finally:
        backend.session = real_session  # type: ignore[assignment]
    assert state(obj) == before
    steps = bake.bake_frames(bpy.context.scene, [obj], range(1, 9), folder, real_session())
    while next(steps).fraction < 0.4:
        pass
    assert len(list(folder.iterdir())) == 1 and not obj.deca.wrinkles_live
    steps.close()  # what Esc does
    assert state(obj) == before and list(folder.iterdir()) == []


class Windowed(BakeSteps):
    """The operators' work beside a window's events, with a window manager that only counts."""

    bl_label = "Bake"

    def __init__(self, steps: Callable[[], Generator[bake.Step]]) -> None:
        self._make, self.reports, self.window = steps, [], case.Window()

    def steps(self, context: object) -> Generator[bake.Step]:
        return self._make()

    def report(self, kind: set[str], text: str) -> None:
        self.reports.append((kind, text))

    def run(self, escape_at: float = 2.0) -> set[str]:
        """Timer events until it is done; Esc once it is so far."""
        context = self.window.context
        assert self.start(context) == {"RUNNING_MODAL"} and self.window.timers == 1
        result, slowest = {"RUNNING_MODAL"}, 0.0
        while result == {"RUNNING_MODAL"}:
            begin = time.monotonic()
            result = self.modal(context, case.event("ESC" if self._step.fraction >= escape_at else "TIMER"))
            slowest = max(slowest, time.monotonic() - begin)
            time.sleep(0.002)
        assert self.window.is_left_clean
        print(f"modal: {result}, longest event {1e3 * slowest:.0f} ms")
        return result


def test_beside_a_window(folder: Path) -> None:
    obj = wrinkled_head()
    animate(obj, 1, 8)
    bpy.context.scene.frame_set(2)
    before = state(obj)

    def steps(session: object) -> Generator[bake.Step]:
        return bake.bake_frames(bpy.context.scene, [obj], range(1, 9), folder, session)  # type: ignore[arg-type]

    escaped = Windowed(lambda: steps(real_session()))
    assert escaped.run(escape_at=0.3) == {"CANCELLED"} and escaped.reports[0][0] == {"WARNING"}
    assert state(obj) == before and list(folder.iterdir()) == []
    failed = Windowed(lambda: steps(Failing(4)))
    assert failed.run() == {"CANCELLED"} and failed.reports == [({"ERROR"}, "It died.")]
    assert state(obj) == before and list(folder.iterdir()) == []
    assert Windowed(lambda: steps(real_session())).run() == {"FINISHED"}
    assert_frames(obj, 1, 8)


def test_refusals_say_why(folder: Path) -> None:
    obj = wrinkled_head()
    select(obj)
    assert "before" in fails(use_scene_range=False, first=5, last=4)
    assert "Save" in fails(storage="FOLDER")
    assert "folder" in fails(use_scene_range=False, first=1, last=5000)
    (folder / "file").write_text("")
    before = state(obj)
    assert fails(use_scene_range=False, first=1, last=2, storage="FOLDER", directory=str(folder / "file" / "sub"))
    assert state(obj) == before
    plain = case.face_reply(HEAD)
    select(import_face(bpy.context, HEAD, plain))
    assert not bpy.ops.deca.bake_wrinkles.poll() and not bpy.ops.deca.bake_wrinkle_rig.poll()
    assert not bpy.ops.deca.clear_baked_wrinkles.poll() and not bpy.ops.deca.bake_normal_map.poll()


def test_baked_frames_live_on_in_a_blender_without_the_add_on(folder: Path) -> None:
    obj = wrinkled_head()
    animate(obj, 1, 3)
    obj.deca.wrinkle_strength = 1.5
    obj.modifiers["Wrinkle Subdivision"].render_levels = 1
    blend = folder / "away" / "scene é.blend"
    blend.parent.mkdir()
    select(obj)
    for storage in ("PACKED", "FOLDER"):
        bpy.ops.wm.save_as_mainfile(filepath=str(blend))
        assert bpy.ops.deca.bake_wrinkles(storage=storage) == {"FINISHED"}
        bpy.ops.wm.save_as_mainfile(filepath=str(blend))
        moved_to = shutil.move(blend.parent, folder / f"given {storage}")
        elsewhere(moved_to / blend.name, folder / storage, obj.name, "frames", "1,2,3")
        shown = np.load(folder / f"{storage}.npz")
        for frame in (1, 2, 3):
            bpy.context.scene.frame_set(frame)
            expected = shown_by_live(obj, truth(obj, frame, 1))
            for way in ("viewport", "render"):
                error = np.abs(shown[f"{way}_{frame}"] - expected).max()
                assert error < 2 * HALF, (storage, way, frame, error)
        bpy.ops.deca.clear_baked_wrinkles()
        blend.parent.mkdir()


case.main(globals())
