"""The batch: a .blend and a JSON line per photo, failures reported and skipped."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
from pathlib import Path

import blender_case as case
import bpy
import numpy as np

from deca_blender import backend, headless
from deca_blender.batch.plan import FOLDER
from deca_blender.client import RequestFailed
from deca_blender.protocol.messages import ReconstructReply
from deca_blender.protocol.photos import result_name, told

HEAD = case.head_reply()
PHOTO = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)


def face_of(path: str):
    name = result_name(path)
    return case.face_reply(HEAD, len(name), name=name, photo=path)


ASKED: list = []


def answer(request):
    ASKED.append(request)
    if not Path(request.path).exists():
        return RequestFailed("PhotoError", f"{request.path} does not exist.", "Check the name.")
    picture, sheet = (case.picture_of(PHOTO) if size else None for size in (request.picture_size, request.sheet_size))
    return ReconstructReply((face_of(request.path),), picture=picture, sheet=sheet)


backend.session = lambda: case.FakeSession(HEAD, answer)  # type: ignore[assignment, return-value]


def run(*arguments: str | Path) -> tuple[int, dict[str, dict], dict]:
    """Exit status, report lines by photo, summary."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        status = headless.main([str(argument) for argument in arguments])
    lines = [json.loads(line) for line in printed.getvalue().splitlines() if line.startswith("{")]
    return status, {line["photo"]: line for line in lines[:-1]}, lines[-1]["summary"]


def results(out: Path) -> list[str]:
    """What is in a folder of results, but for the report."""
    return sorted(name for name in os.listdir(out) if name != FOLDER)


def test_good_and_bad_photos(folder: Path) -> None:
    photos = folder / "phötos"
    (photos / "empty").mkdir(parents=True)
    for name in ("Zoë 1.jpg", "b.png"):
        (photos / name).touch()
    missing, out = folder / "missing.jpg", folder / "oüt"
    status, lines, summary = run(photos, missing, photos / "empty", "--out", out)
    assert status == 1 and summary == {"photos": 4, "failed": 2, "skipped": 0}
    assert lines[str(photos / "Zoë 1.jpg")]["ok"] and lines[str(photos / "b.png")]["ok"]
    assert "does not exist" in lines[str(missing)]["error"]
    assert "holds no photo" in lines[str(photos / "empty")]["error"]
    assert results(out) == ["Zoë 1.blend", "b.blend"]
    bpy.ops.wm.open_mainfile(filepath=lines[str(photos / "Zoë 1.jpg")]["out"])
    assert len([obj for obj in bpy.data.objects if obj.deca.is_head]) == 1
    face = face_of(str(photos / "Zoë 1.jpg"))
    expected = case.posed_verts(HEAD, face.shape, face.expression, face.pose)
    assert np.abs(case.evaluated_verts(bpy.data.objects["Zoë 1"]) - expected).max() < 1e-5
    assert all(image.packed_file for image in bpy.data.images if image.type == "IMAGE")
    assert np.array_equal(case.backdrop(bpy.context.scene.camera).round(), PHOTO)


def test_all_good_is_status_zero(folder: Path) -> None:
    (folder / "a.jpg").touch()
    status, lines, summary = run(folder / "a.jpg", "--out", folder / "out", "--texture-size", "512")
    assert status == 0 and summary == {"photos": 1, "failed": 0, "skipped": 0}
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
    status, lines, _ = run(folder / "a.jpg", "--out", out, "--overwrite")
    assert status == 1 and "could not be written" in next(iter(lines.values()))["error"]
    assert results(out) == ["a.blend"]


def test_files_that_are_there_are_skipped_before_any_work(folder: Path) -> None:
    photos, out = folder / "in", folder / "out"
    for path in (photos, out):
        path.mkdir()
    for name in ("a.jpg", "b.jpg"):
        (photos / name).touch()
    (out / "a.blend").write_text("three days of animation")
    ASKED.clear()
    status, lines, summary = run(photos, "--out", out)
    assert status == 0 and summary == {"photos": 2, "failed": 0, "skipped": 1}
    line = lines[str(photos / "a.jpg")]
    assert line["skipped"] and not line["ok"] and "--overwrite" in line["error"]
    assert (out / "a.blend").read_text() == "three days of animation" and len(ASKED) == 1
    status, lines, summary = run(photos / "a.jpg", "--out", out, "--overwrite")
    assert status == 0 and summary == {"photos": 1, "failed": 0, "skipped": 0}
    bpy.ops.wm.open_mainfile(filepath=str(out / "a.blend"))
    assert bpy.data.objects["a"].deca.is_head and results(out) == ["a.blend", "b.blend"]


def test_names_that_are_not_utf8_or_long(folder: Path) -> None:
    """Blender's own names and paths hold UTF-8 of 63 bytes; which photo it was is told all the same."""
    names = [f"{'é' * 120}.jpg"] + (["caf\udce9.jpg"] if os.name == "posix" else [])
    for name in names:
        (folder / name).touch()
    status, lines, _ = run(*(folder / name for name in names), folder / "..jpg", "--out", folder / "out")
    assert status == 1 and [line["ok"] for line in lines.values()] == [True] * len(names) + [False]
    for name in names:
        line = lines[told(folder / name)]
        bpy.ops.wm.open_mainfile(filepath=line["out"])
        (head,) = (obj for obj in bpy.data.objects if obj.deca.is_head)
        assert head.deca.photo == told(folder / name) and result_name(name).startswith(head.name)
    assert results(folder / "out") == sorted(f"{result_name(name)}.blend" for name in names)


def test_whatever_fails_stays_with_its_photo(folder: Path) -> None:
    for name in "abc":
        (folder / f"{name}.jpg").touch()
    build = headless.import_face

    def failing(context, head, face, options, picture):
        if face.name == "b":
            raise RuntimeError("nobody foresaw this")
        return build(context, head, face, options, picture)

    headless.import_face = failing
    try:
        with contextlib.redirect_stderr(io.StringIO()) as stderr:
            status, lines, summary = run(*(folder / f"{name}.jpg" for name in "abc"), "--out", folder / "out")
    finally:
        headless.import_face = build
    assert status == 1 and [line["ok"] for line in lines.values()] == [True, False, True]
    assert summary == {"photos": 3, "failed": 1, "skipped": 0}
    assert "RuntimeError: nobody foresaw this" in lines[str(folder / "b.jpg")]["error"]
    assert "Traceback" in stderr.getvalue() and results(folder / "out") == ["a.blend", "c.blend"]


def test_an_interrupt_and_a_closed_pipe_end_quietly(folder: Path) -> None:
    (folder / "a.jpg").touch()
    build = headless.import_face

    def interrupted(*_):
        signal.raise_signal(signal.SIGTERM)

    headless.import_face = interrupted
    try:
        assert headless.main([str(folder / "a.jpg"), "--out", str(folder / "out")]) == 75
    finally:
        headless.import_face = build
    read_end, write_end = os.pipe()
    os.close(read_end)
    pipe = open(write_end, "w")
    with contextlib.redirect_stdout(pipe):
        status = headless.main([str(folder / "a.jpg"), "--out", str(folder / "out")])
    with contextlib.suppress(BrokenPipeError):
        pipe.close()
    assert status == 141 and results(folder / "out") == ["a.blend"]


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
        assert headless.main(["--out", "out"]) == 2
        assert headless.main(["", "--out", "out"]) == 2
        assert headless.main(["photo.jpg", "--out", ""]) == 2


def test_formats_and_the_contact_sheet_and_what_is_resumed(folder: Path) -> None:
    (folder / "a.jpg").touch()
    out = folder / "out"
    arguments = (folder / "a.jpg", "--out", out, "--format", "blend,glb,fbx,usd,obj")
    status, lines, _ = run(*arguments)
    assert status == 0, lines
    files = ["a.blend", "a.fbx", "a.fbx.json", "a.glb", "a.glb.json", "a.mtl", "a.obj", "a.obj.json", "a.usdz"]
    assert set(files) < set(results(out)) and (out / "a.glb").read_bytes()[:4] == b"glTF"
    record = json.loads((out / FOLDER / "done" / "a.json").read_text(encoding="utf-8"))
    assert (
        set(record["files"]) == set(results(out)) and record["line"]["digest"] == lines[str(folder / "a.jpg")]["digest"]
    )
    assert (out / FOLDER / record["picture"]).read_bytes() == case.picture_of(PHOTO).tobytes()
    ASKED.clear()
    status, lines, summary = run(*arguments, "--resume")
    assert (status, summary["skipped"], ASKED) == (0, 1, [])
    glb = (out / "a.glb").read_bytes()
    run(*arguments, "--overwrite")
    assert (out / "a.glb").read_bytes() == glb  # as for the .blend, that holds its own place in memory


def test_the_button_runs_the_same_batch_in_another_blender(folder: Path) -> None:
    """Photos that are none: no backend is needed to say so."""
    (folder / "photos").mkdir()
    try:
        bpy.ops.deca.import_folder(directory=str(folder / "photos"))
    except RuntimeError as error:  # a script is told of nothing but errors
        raise AssertionError(str(error)) from error
    rows = (folder / "photos Heads" / FOLDER / "report.csv").read_text(encoding="utf-8")
    assert rows.count("\n") == 2 and "holds no photo" in rows


case.main(globals())
