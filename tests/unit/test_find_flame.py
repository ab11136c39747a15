"""FLAME's files found by one path, and converted to the same head as when each is named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from deca.errors import AssetError
from deca.head import load_head
from deca.head.find_flame import convert_found, find_flame
from deca.head.flame import convert_flame
from tests.flame_files import FlameFiles, make_flame_files


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> FlameFiles:
    return make_flame_files(tmp_path_factory.mktemp("flame") / "Ünser FLAME")


def test_any_file_or_the_folder_will_do(files: FlameFiles) -> None:
    folder = files.model.parent
    for path in (folder, files.model, files.template, folder / "README.txt"):
        found = find_flame(path)
        assert (found.model, found.landmarks, found.template) == (files.model, files.landmarks, files.template)
        assert (found.maps, found.mediapipe) == (files.maps, files.mediapipe)
    assert find_flame(folder.parent).model == files.model


def test_a_pickle_of_another_name_is_taken_when_it_is_named(files: FlameFiles, tmp_path: Path) -> None:
    for path in (files.landmarks, files.template):
        shutil.copy(path, tmp_path)
    mine = tmp_path / "my flame 2023.pkl"
    shutil.copy(files.model, mine)
    found = find_flame(mine)
    assert found.model == mine and found.maps is None and found.mediapipe is None


def test_the_result_is_that_of_the_named_files(files: FlameFiles, tmp_path: Path) -> None:
    named = convert_flame(
        files.model, files.landmarks, files.template, tmp_path / "a", maps=files.maps, mediapipe=files.mediapipe
    )
    found = convert_found(files.model.parent, tmp_path / "b")
    assert found.name == named.name and found.read_bytes() == named.read_bytes()
    assert load_head(str(found)).name == "FLAME 2020"


def test_what_is_missing_is_named(files: FlameFiles, tmp_path: Path) -> None:
    with pytest.raises(AssetError, match=r"generic_model.pkl or flame2023.pkl, landmark_embedding.npy, head_template"):
        find_flame(tmp_path)
    shutil.copy(files.model, tmp_path)
    shutil.copy(files.template, tmp_path)
    with pytest.raises(AssetError, match=r"lacks landmark_embedding.npy, which") as caught:
        find_flame(tmp_path / "generic_model.pkl")
    assert "landmark_embedding.npy" in caught.value.hint


def test_flames_own_files_are_not_read_as_a_head_model(files: FlameFiles) -> None:
    for path in (files.model, files.model.parent):
        with pytest.raises(AssetError) as caught:
            load_head(str(path))
        assert "convert-flame" in caught.value.hint


def test_a_head_model_file_that_changes_is_read_again(files: FlameFiles, tmp_path: Path) -> None:
    first = convert_found(files.model, tmp_path)
    assert load_head(str(first)).fixed_displacement_NN is not None
    convert_flame(files.model, files.landmarks, files.template, tmp_path)
    assert load_head(str(first)).fixed_displacement_NN is None
