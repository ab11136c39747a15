"""Files written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deca_blender.core.files import whole


def test_a_file_takes_its_place_once_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "normals é.png"
    path.write_bytes(b"old")
    with whole(path) as unfinished:
        unfinished.write_bytes(b"new")
        assert path.read_bytes() == b"old" and unfinished.name == path.name
    assert path.read_bytes() == b"new" and os.listdir(tmp_path) == [path.name]


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "normals.png"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), whole(path) as unfinished:
        unfinished.write_bytes(b"half")
        raise ZeroDivisionError
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == [path.name]
    with pytest.raises(FileNotFoundError), whole(path):
        pass  # nothing was written
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == [path.name]


def test_the_folder_must_exist(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), whole(tmp_path / "none" / "normals.png"):
        pass
