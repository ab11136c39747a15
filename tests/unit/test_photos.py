"""Which photos a batch takes, what results are called, and what the report says: with files and names of all kinds."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import pytest

from deca_blender.protocol import batch
from deca_blender.protocol.photos import (
    MAX_NAME_BYTES,
    FoundPhoto,
    find_people,
    find_photos,
    pictures_below,
    result_name,
    told,
)
from tests.fuzz.fuzz_names import fuzz_names

posix = pytest.mark.skipif(os.name == "nt", reason="names that Windows does not have")


def names(found: list[FoundPhoto]) -> list[str]:
    return [item.path.name for item in found]


# ---- folders ---------------------------------------------------------------------------------------------------------


def test_a_folder_stands_for_its_pictures_by_suffix_or_content(tmp_path: Path) -> None:
    image_module = pytest.importorskip("PIL.Image")
    image = image_module.new("RGB", (9, 9))
    for format in ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "JPEG2000"):
        image.save(tmp_path / f"by content {format}", format)
    taken = {path.name for path in tmp_path.iterdir()}
    suffixes = ("JPG", "jfif", "jpe", "mpo", "gif", "avif", "tif", "HEIC", "heif", "jxl", "NEF", "dng", "cr3", "psd")
    taken |= {f"by suffix.{suffix}" for suffix in suffixes}
    for name in taken:
        (tmp_path / name).touch()
    (tmp_path / "phone").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    for name, data in {
        "notes.txt": b"BM, notes of a meeting",
        "film.mov": b"\0\0\0\x14ftypqt  \0\0\0\0qt  ",
        "Thumbs.db": b"\xd0\xcf\x11\xe0",
        "no suffix": b"",
        "sound.wav": b"RIFF\x24\0\0\0WAVEfmt ",
        "model.blend": b"BLENDER-v405",
        "._by suffix.JPG": b"\0\5\x16\7",
        ".hidden.jpg": b"\xff\xd8\xff",
    }.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "folder.jpg" / "inside.jpg").touch()
    assert names(find_photos([tmp_path])) == sorted(taken | {"phone"})


@posix
def test_what_is_no_file_is_neither_read_nor_dropped(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for ever
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    with socket.socket(socket.AF_UNIX) as here:
        here.bind(str(tmp_path / "socket"))
        assert names(find_photos([tmp_path])) == ["gone.jpg", "loop.png", "pipe.jpg"]


def test_paths_that_cannot_be_looked_at_stay_with_their_reader(tmp_path: Path) -> None:
    paths = [Path("a" * 300 + ".jpg"), tmp_path / ("b" * 9000), Path("nul\0.jpg"), tmp_path / "missing", Path("c.jpg")]
    assert [found.path for found in find_photos(paths)] == paths
    assert not any(found.problem for found in find_photos(paths))


def test_folders_that_give_no_photo_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("empty", "locked", "good"):
        (tmp_path / name).mkdir()
    (tmp_path / "good" / "a.jpg").touch()
    scandir = os.scandir

    def locked(path: str | Path):
        if str(path).endswith("locked"):  # permissions do not keep root out
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", locked)
    empty, refused, good = find_photos([tmp_path / "empty", tmp_path / "locked", tmp_path / "good"])
    assert "holds no photo" in empty.problem and "Permission denied" in refused.problem and good.name == "a"
    assert sorted(pictures_below(tmp_path)) == [
        ("good/a.jpg", ""),
        ("locked/", "cannot be listed (Permission denied)"),
    ]


# ---- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("photo", "name"),
    [
        ("a/me.jpg", "me"),
        ("a/ärger 写真 👩‍🦰.jpg", "ärger 写真 👩‍🦰"),
        ("...jpg", "photo"),
        ("..jpg", "photo"),
        ("....jpg", "photo"),
        (" . .png", "photo"),
        (".jpg", "jpg"),
        ("me. .jpg", "me"),
        ("caf\udce9.jpg", "caf%E9"),
        ("half\ud800.jpg", "half_"),
        ("a\\b:c*?.jpg", "a_b_c__"),
        ("a\nb\x7f\x85\u2028.jpg", "a_b___"),
        ("CON.jpg", "_CON"),
        ("nul.tar.jpg", "_nul.tar"),
        ("com¹ .jpg", "_com¹"),
        ("console.jpg", "console"),
        ("-me.jpg", "-me"),
        ("~.jpg", "~"),
    ],
)
def test_result_names(photo: str, name: str) -> None:
    assert result_name(photo) == name


def test_long_names_are_cut_between_characters() -> None:
    name = result_name("x" + "é" * 180 + ".jpg")
    assert name == "x" + "é" * 99 and len(name.encode()) <= MAX_NAME_BYTES


def test_equal_names_get_numbers_whatever_file_systems_take_for_equal() -> None:
    photos = ["a/x.jpg", "b/X.png", "x_2.jpg", "x.bmp", "x_2.png", "straße.jpg", "STRASSE.jpg", "é.jpg", "e\u0301.jpg"]
    found = [item.name for item in find_photos(map(Path, photos))]
    assert found == ["x", "X_2", "x_2_2", "x_3", "x_2_3", "straße", "STRASSE_2", "é", "e\u0301_2"]


def test_naming_takes_linear_time() -> None:
    """Counted, not timed: every name is folded at most a few times."""
    photos = [Path(f"{i}/photo.jpg") for i in range(2500)] + [Path("photo_2.jpg")] * 2500
    calls = 0

    def count(frame: object, event: str, _: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        found = find_photos(photos)
    finally:
        sys.setprofile(None)
    assert len({item.name for item in found}) == 5000
    assert calls < 100 * len(photos)


def test_names_of_all_kinds(tmp_path: Path) -> None:
    """`tests.fuzz.fuzz_names.py` at length."""
    fuzz_names(120, tmp_path, seed=1)


# ---- the report ------------------------------------------------------------------------------------------------------


def run(photos: list[FoundPhoto], work, monkeypatch: pytest.MonkeyPatch) -> tuple[int, list[dict]]:
    printed = io.StringIO()
    monkeypatch.setattr(sys, "stdout", printed)
    status = batch.run(photos, work, (KeyError,))
    lines = printed.getvalue().split("\n")
    assert lines.pop() == ""
    return status, [json.loads(line) for line in lines]


PHOTOS = [FoundPhoto(Path(f"{letter}.jpg"), letter) for letter in "abc"]


@pytest.mark.parametrize(
    "failure",
    [
        KeyError("expected"),
        OSError(28, "No space left on device"),
        RecursionError(),
        MemoryError(),
        StopIteration(),
        AssertionError(),
        UnicodeEncodeError("utf-8", "\udce9", 0, 1, "surrogates not allowed"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_fails_stays_with_its_photo(
    failure: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(found: FoundPhoto) -> dict[str, object]:
        if found.name == "b":
            raise failure
        return {"out": found.name}

    status, lines = run([*PHOTOS, FoundPhoto(Path("dir"), "", "is empty")], work, monkeypatch)
    assert status == 1 and [line.get("ok") for line in lines] == [True, False, True, False, None]
    assert lines[-1] == {"summary": {"photos": 4, "failed": 2, "skipped": 0}}
    assert lines[0]["out"] == "a" and lines[3]["error"] == "is empty"
    error, stderr = lines[1]["error"], capsys.readouterr().err
    if isinstance(failure, KeyError):
        assert error == "'expected'" and not stderr
    else:
        assert type(failure).__name__ in stderr and "Traceback" in stderr
        assert "memory" in error if isinstance(failure, MemoryError) else type(failure).__name__ in error


def test_skipped_photos_are_told_and_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def work(found: FoundPhoto) -> dict[str, object]:
        raise batch.already_there(Path("out") / found.name)

    status, lines = run(PHOTOS, work, monkeypatch)
    assert status == 0 and lines[-1] == {"summary": {"photos": 3, "failed": 0, "skipped": 3}}
    assert all(line["skipped"] and not line["ok"] and "--overwrite" in line["error"] for line in lines[:-1])


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_interrupts_end_the_batch(stop: type[BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
    def work(found: FoundPhoto) -> dict[str, object]:
        raise stop

    with pytest.raises(stop):
        run(PHOTOS, work, monkeypatch)


@posix
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("swallows", [False, True])
def test_a_signal_ends_the_batch_once(
    number: int, status: int, swallows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cleaning up is not disturbed by further signals, and what swallows the first does not keep the batch going."""
    cleaned = []

    def work(found: FoundPhoto) -> dict[str, object]:
        try:
            os.kill(os.getpid(), number)
            time.sleep(1)
        except KeyboardInterrupt:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)
            cleaned.append(found.name)
            if not swallows:
                raise
        return {}

    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(batch.Stopped) as caught:
        run(PHOTOS, work, monkeypatch)
    assert caught.value.status == status and cleaned == ["a"]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_batches_also_run_on_other_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    results: list = []
    thread = threading.Thread(target=lambda: results.append(run(PHOTOS, lambda found: {}, monkeypatch)[0]))
    thread.start()
    thread.join()
    assert results == [0]


@pytest.mark.parametrize(
    "path", ["caf\udce9.jpg", "\ud800.jpg", 'a"b\\c\n.jpg', "e\u2028\x85\u2029.jpg", "写真 \U0001f469.jpg", "\x00\x1b"]
)
def test_lines_are_json_in_utf8_in_one_line(path: str) -> None:
    text = batch.line(photo=path, error=[path])
    assert text.endswith("\n") and len(text.encode().decode().splitlines()) == 1
    values = json.loads(text)
    assert values == {"photo": told(path), "error": [told(path)]}
    assert told(path) == path or "\\" in told(path)
    assert told("caf\udce9.jpg") == "caf\\xe9.jpg"


def test_people_are_the_files_together_and_each_folder(tmp_path: Path) -> None:
    for name in ("ann.b/1.jpg", "ann.b/2.jpg", "x.jpg", "y.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "empty").mkdir()
    x, y, missing = tmp_path / "x.jpg", tmp_path / "y.jpg", tmp_path / "missing.jpg"
    folder, empty = tmp_path / "ann.b", tmp_path / "empty"
    people = find_people([folder, x, empty, y, missing])
    assert [(person.path, person.name, person.photos) for person in people] == [
        (folder, "ann.b", (folder / "1.jpg", folder / "2.jpg")),
        (x, "x", (x, y, missing)),
        (empty, "", ()),
    ]
    assert "holds no photo" in people[2].problem and find_people([]) == []
