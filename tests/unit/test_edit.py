"""Albedo editing: paint appears in the photo where the face shows it, under the photo's light, and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deca.appearance.skin_map import SkinMap
from deca.errors import OptionError
from deca.head import load_head
from deca.networks.skin_map import Kind
from deca.reconstruct.edit import edited_photo
from deca.reconstruct.face import Face
from deca.reconstruct.models import Models

SIDE, SIZE = 224, 512


@pytest.fixture(scope="module")
def models() -> Models:
    return Models(load_head())


@pytest.fixture(scope="module")
def face(models: Models) -> Face:
    """The mean head, looking ahead, on a crop that is the photo."""
    return Face(
        photo=Path("known.png"),
        index=0,
        head=models.head,
        shape_S=np.zeros(100, np.float32),
        expression_E=np.zeros(50, np.float32),
        pose_53=np.zeros((5, 3), np.float32),
        camera_3=np.array([6.5, 0.0, 0.02], np.float32),
        crop_33=np.eye(3),
        image_size=(SIDE, SIDE),
        box=(0, 0, SIDE, SIDE),
        landmarks_L2=np.zeros((478, 2), np.float32),
        landmark_error=0.0,
    )


BEFORE = np.full((SIZE, SIZE, 3), (200, 150, 120), np.uint8)
PAINT = np.array((40, 60, 220), np.uint8)


def painted() -> np.ndarray:
    """A square on the middle of the UV map, which is the face."""
    after = BEFORE.copy()
    after[240:300, 230:290] = PAINT
    return after


def test_paint_is_shaded_as_the_photo_is(models: Models, face: Face) -> None:
    shade = np.linspace(0.4, 1.0, SIDE)[None, :, None]
    photo = np.rint(BEFORE[:SIDE, :SIDE] * shade).astype(np.uint8)
    edited = edited_photo(photo, face, BEFORE, painted(), models)
    changed = (edited != photo).any(-1)
    assert 100 < changed.sum() < 0.1 * SIDE * SIDE
    rows, columns = np.nonzero(changed)
    inner = (np.abs(rows - np.median(rows)) < 4) & (np.abs(columns - np.median(columns)) < 4)
    expected = PAINT * shade[0, columns[inner]]
    assert np.abs(edited[rows[inner], columns[inner]] - expected).max() <= 3


def test_nothing_painted_changes_nothing(models: Models, face: Face) -> None:
    photo = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
    saved_again = np.clip(BEFORE.astype(int) + 2, 0, 255).astype(np.uint8)
    assert (edited_photo(photo, face, BEFORE, saved_again, models) == photo).all()


def test_paint_lies_under_what_covers_the_face(models: Models, face: Face) -> None:
    kinds = np.zeros((len(Kind), 256, 256), np.float32)
    kinds[Kind.GLASSES] = 1
    photo = BEFORE[:SIDE, :SIDE].copy()
    covered = replace(face, skin_map=SkinMap(kinds))
    assert (edited_photo(photo, covered, BEFORE, painted(), models) == photo).all()


def test_another_size_is_refused(models: Models, face: Face) -> None:
    with pytest.raises(OptionError, match="512"):
        edited_photo(BEFORE, face, BEFORE, np.zeros((100, 100, 3), np.uint8), models)
