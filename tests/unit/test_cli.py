"""The `deca` command on good and bad input."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deca.blender import BlenderError, headless_command
from deca.cli import main
from deca.devices import DeviceError, choose_device
from deca.reconstruct.results import write_results
from deca_blender.protocol.photos import told

ROOT = Path(__file__).resolve().parents[2]
WORKER = Path(__file__).with_name("fake_batch_worker.py")


@pytest.fixture(scope="module")
def portrait(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The public-domain portrait of an astronaut, under a name with a space and an accent."""
    data = pytest.importorskip("skimage.data")
    path = tmp_path_factory.mktemp("photos") / "Eileen é.png"
    Image.fromarray(data.astronaut()).save(path)
    return path


def test_reconstruct_goes_on_after_bad_photos(
    portrait: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_text("not a picture")
    empty = tmp_path / "nobody.png"
    Image.fromarray(np.full((200, 200, 3), 127, np.uint8)).save(empty)
    folder = tmp_path / "no photos"
    folder.mkdir()
    out = tmp_path / "out put"
    photos = [str(path) for path in (broken, empty, folder, tmp_path / "missing.jpg", portrait)]
    status = main(["reconstruct", *photos, "--out", str(out), "--texture-size", "512"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    summary = lines.pop()["summary"]
    by_photo = {line["photo"]: line for line in lines}
    assert status == 1 and summary["failed"] == 4
    assert [by_photo[photo]["ok"] for photo in photos] == [False, False, False, False, True]
    assert "No face" in by_photo[str(empty)]["error"]
    result = out / "Eileen é"
    assert {"face_0.json", "overlay.png", "head.obj", "head.mtl", "head.png"} <= {p.name for p in result.iterdir()}
    codes = json.loads((result / "face_0.json").read_text(encoding="utf-8"))
    assert codes["landmark_error"] < 0.03
    assert sorted(path.name for path in out.iterdir()) == ["Eileen é"]


def test_output_that_cannot_be_made_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main(["import", str(tmp_path / "a.jpg"), "--out", str(tmp_path / "file" / "out")]) == 1
    assert "cannot be made" in capsys.readouterr().err


def test_a_blender_that_is_none_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DECA_BLENDER", raising=False)
    with pytest.raises(BlenderError, match="not a Blender executable"):
        headless_command(str(tmp_path / "blender"))


def test_blender_is_looked_for_in_the_documented_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for folder in ("env", "path"):
        (tmp_path / folder).mkdir()
        executable = tmp_path / folder / "blender"
        executable.write_text("#!/bin/sh\n")
        executable.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.delenv("DECA_BLENDER", raising=False)
    assert headless_command()[0] == str(tmp_path / "path" / "blender")
    monkeypatch.setenv("DECA_BLENDER", str(tmp_path / "env" / "blender"))
    assert headless_command()[0] == str(tmp_path / "env" / "blender")
    assert headless_command(str(tmp_path / "path" / "blender"))[0] == str(tmp_path / "path" / "blender")


posix = pytest.mark.skipif(os.name == "nt", reason="the stand-in is a shell script")


@pytest.fixture
def blender(tmp_path: Path) -> Callable[[str], str]:
    """Makes a stand-in for Blender of a shell script."""

    def make(script: str) -> str:
        path = tmp_path / "blender"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return str(path)

    return make


SUMMARY = """echo '{"summary": {"photos": 1, "failed": 0, "skipped": 0}}'"""


@pytest.fixture
def worker(blender: Callable[[str], str]) -> str:
    """A stand-in for Blender that copies photos, and dies or fails where a photo says so."""
    return blender(f'echo "$@" >"$(dirname "$0")/arguments"\nexec {sys.executable} "{WORKER}"')


@posix
def test_import_hands_its_options_to_blender(
    tmp_path: Path, worker: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Full paths, so that no name is taken for an option."""
    monkeypatch.chdir(tmp_path)
    for name in ("-me.jpg", "--head"):
        (tmp_path / name).write_text(name)
    options = ["--out", "o", "--blender", worker, "--head", "flame é.safetensors", "--weights=-w", "--overwrite"]
    options += ["--format", "blend,usd", "--device", "cuda:1", "--texture-size", "512"]
    assert main(["import", *options, "--", "-me.jpg", "--head"]) == 0
    assert (tmp_path / "arguments").read_text().strip().endswith("-- --worker")
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [line.get("photo") for line in lines] == [f"{tmp_path}/-me.jpg", f"{tmp_path}/--head", None]
    assert lines[0]["settings"] == {
        "head": f"{tmp_path}/flame é.safetensors",
        "weights": f"{tmp_path}/-w",
        "formats": ["blend", "usd"],
        "texture_size": 512,
        "paint_hair": False,
        "device": "cuda:1",
        "pictures": True,
    }
    assert {"-me.blend", "-me.usdz", "--head.blend", "--head.usdz"} < set(os.listdir(tmp_path / "o"))


@posix
def test_a_photo_that_ends_blender_is_a_failure(tmp_path: Path, worker: str, capfd: pytest.CaptureFixture[str]) -> None:
    """It is named, and the next ones are done by another; what Blender prints goes to stderr."""
    (tmp_path / "in").mkdir()
    (tmp_path / "empty").mkdir()
    for name, what in {"a": "x", "b": "die", "c": "no face", "d": "x"}.items():
        (tmp_path / "in" / f"{name}.jpg").write_text(what)
    photos = [str(tmp_path / name) for name in ("in", "caf\udce9.jpg", "empty")]
    status = main(["import", *photos, "--out", str(tmp_path / "out"), "--blender", worker])
    captured = capfd.readouterr()
    lines = [json.loads(line) for line in captured.out.splitlines()]
    told = {Path(line["photo"]).name: line.get("error") for line in lines[:-1]}
    assert status == 1 and lines[-1] == {"summary": {"photos": 6, "failed": 4, "skipped": 0}}
    assert list(told) == ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "caf\\xe9.jpg", "empty"]
    assert told["a.jpg"] is told["d.jpg"] is None and told["c.jpg"] == "'no face'"
    assert "(exit status 3)" in told["b.jpg"] and "holds no photo" in told["empty"]
    assert "half a line" in captured.err


@posix
@pytest.mark.parametrize("end", ["exit 0", "kill -9 $$"])
def test_a_blender_that_always_ends_is_to_be_tried_again(
    end: str, tmp_path: Path, blender: Callable[[str], str], capfd: pytest.CaptureFixture[str]
) -> None:
    photos = [str(tmp_path / f"{number}.jpg") for number in range(9)]
    assert main(["import", *photos, "--out", str(tmp_path / "out"), "--blender", blender(end)]) == 75
    summary = json.loads(capfd.readouterr().out.splitlines()[-1])["summary"]
    code = 0 if end == "exit 0" else -9
    assert (summary["failed"], summary["left"]) == (5, 4) and f"(exit status {code})" in summary["why"]


@posix
def test_export_hands_its_arguments_to_blender_and_its_report_on(
    tmp_path: Path,
    blender: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    line = '{"blend": "a.blend", "ok": false}'
    summary = '{"summary": {"exports": 1, "failed": 1, "skipped": 0}}'
    stand_in = blender(f"""printf "%s\\n" "$@" >arguments\nprintf 'half a word{line}\\n{summary}\\n'; exit 1""")
    options = ["a.blend", "--out", "o", "--format", "fbx,obj", "--without", "eyes", "--blender", stand_in]
    assert main(["export", *options]) == 1
    given = (tmp_path / "arguments").read_text().splitlines()
    assert given[given.index("--") + 1 :] == options and "headless_export" in "".join(given)
    captured = capfd.readouterr()
    assert captured.out.splitlines() == [line, summary] and captured.err == "half a word\n"
    died = blender("exit 0")
    assert main(["export", "a.blend", "--out", "o", "--blender", died]) == 1
    assert "before all was done" in capfd.readouterr().err
    with pytest.raises(SystemExit):
        main(["export", "a.blend", "--out", "o", "--format", "stl"])


@posix
def test_capture_hands_its_arguments_to_blender_and_its_report_on(
    tmp_path: Path, blender: Callable[[str], str], capfd: pytest.CaptureFixture[str]
) -> None:
    lines = ['{"capture": "a.mp4", "ok": true}', '{"summary": {"captures": 1, "failed": 0, "skipped": 0}}']
    stand_in = blender(f"""printf "%s\\n" "$@" >'{tmp_path}/arguments'\nprintf '{lines[0]}\\n{lines[1]}\\n'""")
    options = ["a.mp4", "--head", "a.blend", "--out", "b.blend", "--sliders", "arkit", "--blender", stand_in]
    assert main(["capture", *options]) == 0 and capfd.readouterr().out.splitlines() == lines
    given = (tmp_path / "arguments").read_text().splitlines()
    assert given[given.index("--") + 1 :] == options and "headless_capture" in "".join(given)
    with pytest.raises(SystemExit):
        main(["capture", "a.mp4", "--head", "a.blend"])


def deca(*arguments: str | Path, cwd: Path, **options) -> subprocess.Popen:
    """The command as a process."""
    paths = [str(ROOT), str(ROOT / "backend"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "deca.cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={key: value for key, value in os.environ.items() if key != "DECA_BLENDER"}
        | {"PYTHONPATH": os.pathsep.join([*paths, "", "."])},
        cwd=cwd,
        **options,
    )


@posix
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_an_interrupted_import_ends_with_its_blender(
    number: int, status: int, tmp_path: Path, blender: Callable[[str], str]
) -> None:
    """Also where Blender is started by a script of its own, and with what it was at cleaned up."""
    script = "import signal, sys; signal.signal(15, lambda *_: sys.exit(print('cleaned'))); print('{}', flush=True);"
    stand_in = blender(f'{sys.executable} -c "{script} signal.pause()"')
    process = deca("import", "a.jpg", "--out", "out", "--blender", stand_in, cwd=tmp_path)
    assert process.stderr and process.stderr.readline() == b"{}\n"
    process.send_signal(number)
    out, error = process.communicate(timeout=30)  # ends when the last process that holds the pipe has ended
    assert process.returncode == status and error == (b"deca: stopped.\n" if status == 130 else b"")
    assert not out if status == 130 else json.loads(out)["summary"]["left"] == 1


@posix
@pytest.mark.parametrize("command", ["reconstruct", "import"])
def test_a_closed_pipe_ends_the_command_quietly(command: str, tmp_path: Path, blender: Callable[[str], str]) -> None:
    (tmp_path / "empty").mkdir()
    options = ["--blender", blender(f"{SUMMARY}\nsleep 60")] if command == "import" else []
    process = deca(command, "empty", "--out", "out", *options, cwd=tmp_path)
    assert process.stdout and process.stderr
    process.stdout.close()
    assert process.wait(20) == 141 and process.stderr.read() == b""


@pytest.mark.skipif(importlib.util.find_spec("bpy") is None, reason="needs the bpy module")
def test_nothing_is_imported_from_the_current_folder(tmp_path: Path) -> None:
    """Not by the command, not by Blender's module, though PYTHONPATH has empty and relative entries."""
    (tmp_path / "empty").mkdir()
    for module in ("argparse", "numpy", "bpy", "queue", "deca_blender", "sitecustomize"):
        (tmp_path / f"{module}.py").write_text("raise SystemExit('ran from the folder of photos')\n")
    environment = tmp_path / "in" / "here"
    environment.mkdir(parents=True)
    code = f"from deca.cli import main; import os; os.chdir({str(tmp_path)!r});" + (
        "assert main(['import', 'empty', '--out', 'out']) == 1; import subprocess; from deca import blender;"
        "worker = [*blender.headless_command(), '--worker'];"
        "raise SystemExit(subprocess.run(worker, stdin=-3, env=blender._environment()).returncode)"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        capture_output=True,
        text=True,
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "backend"), "", "."]), "PATH": "", "DECA_BLENDER": ""},
        cwd=environment,
        timeout=180,
        check=False,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0 and "holds no photo" in lines[0]["error"], done.stderr
    assert lines[1] == {"summary": {"photos": 1, "failed": 1, "skipped": 0}} and "ran from" not in done.stderr


@pytest.mark.parametrize("command", ["reconstruct", "import"])
@pytest.mark.parametrize("arguments", [["", "--out", "out"], ["a.jpg", "--out", ""], ["", "--out="]])
def test_empty_paths_are_wrong_usage(
    command: str,
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main([command, *arguments])
    assert stop.value.code == 2 and "a path is empty" in capsys.readouterr().err and not os.listdir(tmp_path)


@pytest.mark.parametrize("device", ["cuda", "gpu", "cuda:7", "mps", "", "cpu:x", "meta"])
def test_devices_that_are_not_there_name_those_that_are(
    device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert main(["reconstruct", "a.jpg", "--out", str(tmp_path / "out"), "--device", device]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith(f"deca: There is no device {device!r} here. Choose auto or cpu.")
    assert captured.err.count("\n") == 1 and not captured.out


def test_devices_that_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert [choose_device(name) for name in ("auto", "cpu", "cuda:1")] == ["cuda", "cpu", "cuda:1"]
    with pytest.raises(DeviceError, match="Choose auto or cpu or cuda or cuda:0 or cuda:1"):
        choose_device("cuda:2")


# ---- what is there already -------------------------------------------------------------------------------------------


@pytest.fixture
def reconstruct(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple]:
    """`deca reconstruct` that makes a face of each of the photo's bytes; gives exit status, lines, photos worked on."""
    work: list[str] = []

    def reconstructor(options: object):
        def into(folder: Path, photo: Path, others: object) -> dict[str, object]:
            work.append(photo.name)
            data = photo.read_bytes()
            faces = {f"face_{k}.json": json.dumps({"photo": told(photo), "byte": byte}).encode()
                     for k, byte in enumerate(data)}  # fmt: skip
            write_results(folder, faces | {f"head_{k}.obj": data for k in range(1, len(data))} | {"head.obj": data})
            return {"out": str(folder)}

        return into

    monkeypatch.setattr("deca.cli._reconstructor", reconstructor)

    def run(*arguments: str | Path) -> tuple[int, list[dict], list[str]]:
        work.clear()
        status = main(["reconstruct", *map(str, arguments)])
        return status, [json.loads(line) for line in capsys.readouterr().out.splitlines()], list(work)

    return run


def test_results_that_are_there_are_skipped_before_any_work(reconstruct: Callable, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "in" / name).write_bytes(b"1")
    out = tmp_path / "out"
    assert reconstruct(tmp_path / "in" / "b.jpg", "--out", out)[::2] == (0, ["b.jpg"])
    (out / "b" / "head.obj").write_text("edited by hand")
    status, lines, work = reconstruct(tmp_path / "in", "--out", out)
    assert (status, work) == (0, ["a.jpg"]) and [line.get("skipped") for line in lines] == [None, True, None]
    assert lines[-1] == {"summary": {"photos": 2, "failed": 0, "skipped": 1}}
    assert (out / "b" / "head.obj").read_text() == "edited by hand"
    assert reconstruct(tmp_path / "in", "--out", out, "--overwrite")[::2] == (0, ["a.jpg", "b.jpg"])
    assert (out / "b" / "head.obj").read_text() == "1"


def test_two_photos_never_share_a_folder(reconstruct: Callable, tmp_path: Path) -> None:
    for folder, data in (("1", b"x"), ("2", b"yz")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "me.jpg").write_bytes(data)
    first, second, out = tmp_path / "1" / "me.jpg", tmp_path / "2" / "me.jpg", tmp_path / "out"
    assert reconstruct(second, "--out", out)[0] == 0
    (out / "me" / "notes.txt").write_text("the user's own")
    (out / "me" / "head_final.obj").write_text("the user's own")
    before = sorted(os.listdir(out / "me"))
    status, lines, work = reconstruct(first, "--out", out)
    assert (status, work) == (1, []) and "skipped" not in lines[0] and str(second) in lines[0]["error"]
    assert sorted(os.listdir(out / "me")) == before
    assert reconstruct(first, "--out", out, "--overwrite")[0] == 0
    assert sorted(os.listdir(out / "me")) == ["face_0.json", "head.obj", "head_final.obj", "notes.txt"]
    assert (out / "me" / "head.obj").read_bytes() == b"x" and os.listdir(out) == ["me"]


def test_what_is_in_the_way_fails_its_photo_only(reconstruct: Callable, tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / f"{name}.jpg").write_bytes(b"1")
    out = tmp_path / "out"
    (out / "c").mkdir(parents=True)
    (out / "c" / "own.txt").touch()
    (out / "a").touch()
    (out / "b").mkdir()
    (out / "b" / "head.obj").write_text("of nobody knows whom")
    status, lines, work = reconstruct(*(tmp_path / f"{name}.jpg" for name in "abc"), "--out", out)
    assert status == 1 and [line.get("ok") for line in lines] == [False, False, True, None] and work == ["c.jpg"]
    assert "is a file" in lines[0]["error"] and "unknown photo" in lines[1]["error"]
    assert sorted(os.listdir(out / "c")) == ["face_0.json", "head.obj", "own.txt"]


def test_names_that_are_no_folder_names(reconstruct: Callable, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    odd = ["...jpg", "..jpg", "-me.jpg", "caf\udce9.jpg"] if os.name == "posix" else ["..jpg"]
    for name in odd:
        (tmp_path / "in" / name).write_bytes(b"1")
    status, lines, work = reconstruct(*(tmp_path / "in" / name for name in odd), "--out", tmp_path / "a" / "results")
    assert status == 0 and work == odd
    assert os.listdir(tmp_path / "a") == ["results"]
    assert {line["out"] for line in lines[:-1]} == {str(path) for path in (tmp_path / "a" / "results").iterdir()}
    assert all(line["photo"] == told(tmp_path / "in" / name) for line, name in zip(lines, odd, strict=False))


def test_a_head_that_may_not_be_read_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for head, reason in ((tmp_path / ("x" * 300), "name too long"), (tmp_path / "none", "does not exist")):
        assert main(["reconstruct", "a.jpg", "--out", str(tmp_path / "out"), "--head", str(head)]) == 1
        assert reason in capsys.readouterr().err
