"""The `deca` command on good and bad input."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deca.blender import BlenderError, headless_command
from deca.cli import find_photos, main, unique_names
from deca.errors import PhotoError


@pytest.fixture(scope="module")
def portrait(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The public-domain portrait of an astronaut, under a name with a space and an accent."""
    data = pytest.importorskip("skimage.data")
    path = tmp_path_factory.mktemp("photos") / "Eileen é.png"
    Image.fromarray(data.astronaut()).save(path)
    return path


def test_folder_is_listed_by_name_and_photos_only(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder.jpg").mkdir()
    assert [path.name for path in find_photos([tmp_path])] == ["a.png", "b.JPG"]


def test_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match="holds no photo"):
        list(find_photos([tmp_path]))


def test_names_never_collide() -> None:
    photos = [Path("a/x.jpg"), Path("b/X.png"), Path("x_2.jpg"), Path("x.bmp")]
    names = unique_names(photos)
    assert len({name.casefold() for name in names}) == len(photos)
    assert names[0] == "x"


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


@pytest.mark.skipif(os.name == "nt", reason="the stand-in is a shell script")
def test_import_hands_its_options_to_blender(tmp_path: Path) -> None:
    blender = tmp_path / "blender"
    blender.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >"{tmp_path / "arguments"}"\n')
    blender.chmod(0o755)
    command = ["import", "a.jpg", "--out", str(tmp_path), "--blender", str(blender), "--head", "flame é.safetensors"]
    assert main([*command, "--weights", "deca.safetensors"]) == 0
    given = (tmp_path / "arguments").read_text().splitlines()
    given = given[given.index("--") + 1 :]
    assert given[-4:] == ["--head", "flame é.safetensors", "--weights", "deca.safetensors"] and given[0] == "a.jpg"
