"""The operators from a script, with a backend that answers from memory."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import SimpleNamespace

import blender_case as case
import bpy
import numpy as np

from deca_blender import backend
from deca_blender.client import RequestFailed
from deca_blender.core.reconstruction import Outcome
from deca_blender.operators import import_face as operator
from deca_blender.operators.in_steps import InSteps
from deca_blender.operators.photo_job import OnPhotos
from deca_blender.protocol.messages import ReconstructReply

HEAD = case.head_reply()
PHOTO = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)


def answer(request):
    """One face; two on "group" photos; an error on "nobody" photos."""
    name = Path(request.path).stem
    if "nobody" in name:
        return RequestFailed("NoFaceError", f"No face was found on {request.path}.", "Try a larger one.")
    faces = [case.face_reply(HEAD, 1, name=name, photo=request.path)]
    if "group" in name and request.max_faces > 1:
        faces.append(case.face_reply(HEAD, 2, name=f"{name}_1", photo=request.path))
    return ReconstructReply(tuple(faces), picture=case.picture_of(PHOTO) if request.picture_size else None)


backend.session = lambda: case.FakeSession(HEAD, answer)  # type: ignore[assignment, return-value]


def heads() -> list[str]:
    return sorted(obj.name for obj in bpy.data.objects if obj.deca.is_head)


def test_one_photo() -> None:
    assert bpy.ops.deca.import_face(filepath="/photos/Zoë 1.jpg") == {"FINISHED"}
    assert heads() == ["Zoë 1"]
    assert np.array_equal(case.backdrop(bpy.context.scene.camera).round(), PHOTO)


def test_several_photos_and_a_bad_one() -> None:
    files = [{"name": "a.jpg"}, {"name": "nobody.jpg"}, {"name": "b.jpg"}]
    assert bpy.ops.deca.import_face(directory="/photos/", files=files) == {"FINISHED"}
    assert heads() == ["a", "b"]


def test_whatever_fails_stays_with_its_photo() -> None:
    build = operator.import_face

    def failing(context, head, face, options, picture):
        if face.name == "b":
            raise KeyError("nobody foresaw this")
        return build(context, head, face, options, picture)

    operator.import_face = failing
    try:
        files = [{"name": f"{letter}.jpg"} for letter in "abc"]
        assert bpy.ops.deca.import_face(directory="/photos/", files=files) == {"FINISHED"}
    finally:
        operator.import_face = build
    assert heads() == ["a", "c"]


def test_only_bad_photos_raise_with_the_reason() -> None:
    try:
        bpy.ops.deca.import_face(filepath="/photos/nobody.jpg")
    except RuntimeError as error:
        assert "nobody.jpg: No face was found" in str(error) and "Try a larger one." in str(error)
    else:
        raise AssertionError("no error was reported")
    assert heads() == []


def test_nothing_chosen_is_an_error(folder: Path) -> None:
    for path in ("", str(folder)):
        try:
            bpy.ops.deca.import_face(filepath=path)
        except RuntimeError as error:
            assert "No photo was chosen" in str(error)
        else:
            raise AssertionError("no error was reported")


def test_all_faces_of_a_group_on_request() -> None:
    bpy.ops.deca.import_face(filepath="/photos/group.jpg")
    assert heads() == ["group"]
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    bpy.ops.deca.import_face(filepath="/photos/group.jpg", use_all_faces=True, use_camera=False)
    assert heads() == ["group", "group_1"] and not bpy.data.cameras
    assert not any(image.name.endswith("Photo") for image in bpy.data.images)
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    bpy.ops.deca.import_face(filepath="/photos/group.jpg", use_all_faces=True)
    cameras = [obj for obj in bpy.data.objects if obj.type == "CAMERA"]
    assert len(cameras) == 2 and all(np.array_equal(case.backdrop(camera).round(), PHOTO) for camera in cameras)


def test_reset_expression() -> None:
    assert not bpy.ops.deca.reset_expression.poll()
    bpy.ops.deca.import_face(filepath="/photos/a.jpg")
    keys = bpy.data.objects["a"].data.shape_keys.key_blocks
    photo = [keys[f"exp_{index:03d}"].value for index in range(50)]
    assert max(map(abs, photo)) > 0.5
    bpy.ops.deca.reset_expression(target="NEUTRAL")
    assert all(keys[f"exp_{index:03d}"].value == 0 for index in range(50))
    bpy.context.view_layer.objects.active = bpy.data.objects["a Rig"]  # works from the armature too
    bpy.ops.deca.reset_expression(target="PHOTO")
    assert np.allclose([keys[f"exp_{index:03d}"].value for index in range(50)], photo)


def test_the_backend_is_not_installed_without_permission() -> None:
    bpy.context.preferences.system.use_online_access = False
    assert not bpy.app.online_access and not bpy.ops.deca.install_backend.poll()


def test_diagnostics_and_log() -> None:
    assert bpy.ops.deca.copy_diagnostics() == {"FINISHED"}
    if not bpy.app.background:
        assert f"Blender: {bpy.app.version_string}" in bpy.context.window_manager.clipboard
    assert not bpy.ops.deca.open_log.poll()  # nothing has run here


class Counting(InSteps):
    """Is done at the tick `end`; Esc asks it to be done at the next one."""

    def __init__(self, end: int) -> None:
        self.end, self.ticks, self.is_dropped = end, 0, False

    def _advance(self, context):
        self.ticks += 1
        if self.ticks > self.end:
            raise KeyError("nobody foresaw this")
        self.tell(context, f"{self.ticks} of {self.end}", self.ticks / self.end)
        return {"FINISHED"} if self.ticks == self.end else None

    def _interrupt(self, context):
        self.end = self.ticks + 1

    def _drop(self) -> None:
        self.is_dropped = True


def test_work_beside_the_windows_events_leaves_no_trace() -> None:
    window, work = case.Window(), Counting(2)
    work.cancel(window.context)  # a file browser was closed: nothing has begun
    assert not work.is_dropped
    assert work.start(window.context) == {"RUNNING_MODAL"} and window.timers == 1
    assert work.modal(window.context, case.event("TIMER")) == {"PASS_THROUGH"} and window.status == "1 of 2"
    assert work.modal(window.context, case.event("A")) == {"PASS_THROUGH"} and work.ticks == 1
    assert work.modal(window.context, case.event("TIMER")) == {"FINISHED"} and window.is_left_clean

    work = Counting(99)
    work.start(window.context)
    assert work.modal(window.context, case.event("ESC")) == {"PASS_THROUGH"} and window.timers == 1
    assert work.modal(window.context, case.event("TIMER")) == {"FINISHED"} and window.is_left_clean

    work = Counting(0)
    work.start(window.context)
    with contextlib.suppress(KeyError):
        work.modal(window.context, case.event("TIMER"))
        raise AssertionError("what fails is told")
    assert work.is_dropped and window.is_left_clean

    work = Counting(99)
    work.holds_window = True
    work.start(window.context)
    assert work.modal(window.context, case.event("A")) == {"RUNNING_MODAL"}
    work.cancel(window.context)  # its window is closed
    assert work.is_dropped and window.is_left_clean


class Photos(OnPhotos):
    """An import beside a window's events that counts what it is given."""

    def __init__(self, steps) -> None:
        self.window, self._is_interactive, self.reports, self.built = case.Window(), True, [], 0
        self._run(self.window.context, steps, ["/photos/a.jpg", "/photos/b.jpg"])

    def report(self, kind, text: str) -> None:
        self.reports.append((kind, text))

    def _build(self, context, outcome) -> None:
        self.built += 1

    def _finish(self, context):
        return self._tell(is_done=True)


def test_photos_beside_the_windows_events() -> None:
    waiting = case.FakeJob(None)
    waiting.progress = SimpleNamespace(fraction=0.5, text="Finding faces")
    waiting.cancel = lambda: setattr(waiting, "is_cancelled", True)
    waiting.is_cancelled, waiting.poll = False, lambda: waiting.is_cancelled
    ended = []

    def steps():
        try:
            yield Outcome("/photos/a.jpg", HEAD)
            yield waiting
            yield Outcome("/photos/b.jpg", error=RequestFailed("NoFaceError", "No face.", ""))
        finally:
            ended.append(True)

    photos = Photos(steps())
    assert photos.modal(photos.window.context, case.event("TIMER")) == {"PASS_THROUGH"} and photos.built == 1
    assert "b.jpg" in photos.window.status and "Finding faces" in photos.window.status
    assert photos.modal(photos.window.context, case.event("ESC")) == {"CANCELLED"}
    assert waiting.is_cancelled and ended and photos.window.is_left_clean and photos.reports[0][0] == {"WARNING"}

    photos = Photos(steps())  # the job is done by now
    assert photos.modal(photos.window.context, case.event("TIMER")) == {"FINISHED"} and photos.built == 1
    assert photos.reports == [({"ERROR"}, "b.jpg: No face.")] and photos.window.is_left_clean


case.main(globals())
