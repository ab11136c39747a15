"""Files and folders of the library are written in one piece."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deca.errors import OutputError
from deca.files import write_file, write_folder

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX limits and open files")


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes, as where the disk is full in the middle of it."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@posix
def test_a_file_is_never_half_written(tmp_path: Path) -> None:
    path = tmp_path / "deep" / ("é" * 120 + ".json")  # as long as a name may be, nearly
    write_file(path, b"old")
    with path.open("rb") as reader:
        write_file(path, b"new" * 1000)
        assert reader.read() == b"old", "who reads it meanwhile sees the old file"
    with full_disk(1000), pytest.raises(OutputError, match="could not be written"):
        write_file(path, b"x" * 5000)
    assert path.read_bytes() == b"new" * 1000 and os.listdir(path.parent) == [path.name]


def test_an_interrupt_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    write_file(tmp_path / "a", b"old")
    monkeypatch.setattr(os, "replace", interrupt)
    monkeypatch.setattr(os, "rename", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_file(tmp_path / "a", b"new")
    with pytest.raises(KeyboardInterrupt):
        write_folder(tmp_path / "folder", {"a": b"1"}, "a", str.isalpha)
    assert os.listdir(tmp_path) == ["a"] and (tmp_path / "a").read_bytes() == b"old"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@posix
def test_a_folder_is_whole_or_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "out" / "me"
    files = {"big": b"x" * 5000, "mark": b"1"}
    with full_disk(1000), pytest.raises(OutputError, match="could not be written"):
        write_folder(folder, files, "mark", str.isalpha)
    assert os.listdir(tmp_path / "out") == []
    write_folder(folder, files, "mark", str.isalpha)
    assert contents(folder) == files and os.listdir(tmp_path / "out") == ["me"]
    (folder / "own.txt").write_bytes(b"the user's")
    with full_disk(1000), pytest.raises(OutputError):
        write_folder(folder, {"big": b"y" * 5000, "mark": b"2"}, "mark", str.isalpha)
    assert contents(folder) == files | {"own.txt": b"the user's"}
    write_folder(folder, {"small": b"z", "mark": b"3"}, "mark", str.isalpha)
    assert contents(folder) == {"small": b"z", "mark": b"3", "own.txt": b"the user's"}
    assert os.listdir(tmp_path / "out") == ["me"]


def test_a_folder_that_stays_half_replaced_has_no_mark(tmp_path: Path) -> None:
    """Something of the user's own is in the way of a file: what is left does not pass for a whole result."""
    write_folder(tmp_path / "me", {"a": b"1", "mark": b"1"}, "mark", str.isalpha)
    (tmp_path / "me" / "b" / "own").mkdir(parents=True)
    with pytest.raises(OutputError):
        write_folder(tmp_path / "me", {"a": b"2", "b": b"2", "mark": b"2"}, "mark", str.isalpha)
    assert not (tmp_path / "me" / "mark").exists() and (tmp_path / "me" / "b" / "own").is_dir()
