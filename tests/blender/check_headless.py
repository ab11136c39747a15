"""The batch: a .blend and a JSON line per photo, failures reported and skipped."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import blender_case as case
import bpy
import numpy as np

from deca_blender import backend, headless
from deca_blender.client import RequestFailed
from deca_blender.protocol.messages import ReconstructReply

HEAD = case.head_reply()


def face_of(path: str):
    name = Path(path).stem
    return case.face_reply(HEAD, len(name), name=name, photo=path)


ASKED: list = []


def answer(request):
    ASKED.append(request)
    if not Path(request.path).exists():
        return RequestFailed("PhotoError", f"{request.path} does not exist.", "Check the name.")
    return ReconstructReply((face_of(request.path),))


backend.session = lambda: case.FakeSession(HEAD, answer)  # type: ignore[assignment, return-value]


def run(*arguments: str | Path) -> tuple[int, dict[str, dict], dict]:
    """Exit status, report lines by photo, summary."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        status = headless.main([str(argument) for argument in arguments])
    lines = [json.loads(line) for line in printed.getvalue().splitlines() if line.startswith("{")]
    return status, {line["photo"]: line for line in lines[:-1]}, lines[-1]["summary"]


def test_good_and_bad_photos(folder: Path) -> None:
    photos = folder / "phötos"
    (photos / "empty").mkdir(parents=True)
    for name in ("Zoë 1.jpg", "b.png"):
        (photos / name).touch()
    missing, out = folder / "missing.jpg", folder / "oüt"
    status, lines, summary = run(photos, missing, photos / "empty", "--out", out)
    assert status == 1 and summary == {"photos": 4, "failed": 2}
    assert lines[str(photos / "Zoë 1.jpg")]["ok"] and lines[str(photos / "b.png")]["ok"]
    assert "does not exist" in lines[str(missing)]["error"]
    assert "holds no photo" in lines[str(photos / "empty")]["error"]
    assert sorted(path.name for path in out.iterdir()) == ["Zoë 1.blend", "b.blend"]
    bpy.ops.wm.open_mainfile(filepath=lines[str(photos / "Zoë 1.jpg")]["out"])
    assert len([obj for obj in bpy.data.objects if obj.deca.is_head]) == 1
    face = face_of(str(photos / "Zoë 1.jpg"))
    expected = case.posed_verts(HEAD, face.shape, face.expression, face.pose)
    assert np.abs(case.evaluated_verts(bpy.data.objects["Zoë 1"]) - expected).max() < 1e-5
    assert all(image.packed_file for image in bpy.data.images if image.type == "IMAGE")


def test_all_good_is_status_zero(folder: Path) -> None:
    (folder / "a.jpg").touch()
    status, lines, summary = run(folder / "a.jpg", "--out", folder / "out", "--texture-size", "512")
    assert status == 0 and summary == {"photos": 1, "failed": 0}
    (line,) = lines.values()
    assert line["ok"] and line["landmark_error"] == 0.0125 and Path(line["out"]).is_file()


def test_the_head_model_is_asked_for_and_remembered(folder: Path) -> None:
    (folder / "a.jpg").touch()
    ASKED.clear()
    status, lines, _ = run(folder / "a.jpg", "--out", folder / "out", "--head", folder / "flame é.safetensors")
    assert status == 0 and {request.head for request in ASKED} == {str(folder / "flame é.safetensors")}
    bpy.ops.wm.open_mainfile(filepath=next(iter(lines.values()))["out"])
    assert bpy.data.objects["a"].deca.model_file == str(folder / "flame é.safetensors")


def test_output_that_cannot_be_written_fails_photo_by_photo(folder: Path) -> None:
    (folder / "a.jpg").touch()
    (folder / "out").touch()
    status, lines, _ = run(folder / "a.jpg", "--out", folder / "out")
    (line,) = lines.values()
    assert status == 1 and "could not be written" in line["error"] and "--out" in line["error"]


def test_a_failed_save_keeps_the_old_file(folder: Path) -> None:
    (folder / "a.jpg").touch()
    out = folder / "out"
    (out / "a.blend" / "x").mkdir(parents=True)  # a folder of that name: the rename fails
    status, lines, _ = run(folder / "a.jpg", "--out", out)
    assert status == 1 and "could not be written" in next(iter(lines.values()))["error"]
    assert [path.name for path in out.iterdir()] == ["a.blend"]


def test_the_photo_is_what_the_file_renders(folder: Path) -> None:
    (folder / "a.jpg").touch()
    _, lines, _ = run(folder / "a.jpg", "--out", folder / "out")
    bpy.ops.wm.open_mainfile(filepath=next(iter(lines.values()))["out"])
    render = bpy.context.scene.render
    assert (render.resolution_x, render.resolution_y) == face_of("a.jpg").image_size
    assert bpy.context.scene.camera.parent == bpy.data.objects["a"].parent


def test_wrong_usage_is_status_two() -> None:
    with contextlib.redirect_stderr(io.StringIO()):
        assert headless.main(["photo.jpg"]) == 2


case.main(globals())
