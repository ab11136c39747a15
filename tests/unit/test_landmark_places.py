"""Places of landmarks on photos: what many photos have in common moves the points, but not off the face's lines."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[2] / "tools")]

from deca.head import HeadModel, load_head  # noqa: E402
from deca.reconstruct.geometry import rotation  # noqa: E402
from deca_training.data.order import SPLITS, in_split  # noqa: E402
from openhead.landmarks import EYE_CORNERS_LEFT, Sightings, place_mediapipe, read_places, write_places  # noqa: E402
from openhead.outline import Outline  # noqa: E402
from openhead.surface import Surface  # noqa: E402
from tools.calibrate_landmarks import pairs_of  # noqa: E402
from tools.measure_landmark_places import common_move  # noqa: E402

CHEEKS, UPPER_LIP, LIDS = (205, 425), 0, (386, 159)


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_head()


def test_common_move_is_found_from_turned_views() -> None:
    rng = np.random.default_rng(0)
    normal_L3 = rng.normal((0, 0, 3), 1, (40, 3))
    normal_L3 /= np.linalg.norm(normal_L3, axis=1, keepdims=True)
    move_L3 = np.cross(normal_L3, rng.normal(0, 2e-3, (40, 3)))
    root_N33 = rotation(rng.normal(0, 0.15, (400, 3)))
    left_NL2 = (root_N33[:, None] @ move_L3[..., None])[..., :2, 0] + rng.normal(0, 1e-3, (400, 40, 2))
    found_L3 = common_move(left_NL2, root_N33, normal_L3)
    np.testing.assert_allclose((found_L3 * normal_L3).sum(1), 0, atol=1e-9)
    assert np.linalg.norm(found_L3 - move_L3, axis=1).max() < 0.2 * np.linalg.norm(move_L3, axis=1).max()


def test_points_move_over_the_surface_but_not_off_the_lines(head: HeadModel) -> None:
    assert head.landmarks_478 is not None
    outline, pairs_L = Outline(head, Surface(head)), pairs_of(head)
    now_L3 = outline.surface.positions(head.landmarks_478)
    sightings = Sightings(now_L3[None], pairs_L)
    corners_23 = now_L3[list(EYE_CORNERS_LEFT)]
    moved_L3 = np.zeros((478, 3))
    moved_L3[[*CHEEKS, UPPER_LIP, *LIDS], 1] = -0.002
    first_L3, last_L3 = (
        outline.surface.positions(place_mediapipe(head, outline, corners_23, sightings, by)) for by in (None, moved_L3)
    )
    change_L3 = last_L3 - first_L3
    np.testing.assert_allclose(change_L3[list(CHEEKS), 1], -0.002, atol=5e-4)
    np.testing.assert_allclose(change_L3[[UPPER_LIP, *LIDS]], 0, atol=1e-6)
    others = np.setdiff1d(np.arange(478), [*CHEEKS, UPPER_LIP, *LIDS])
    np.testing.assert_allclose(change_L3[others], 0, atol=1e-6)


def test_table_is_symmetric_and_small(head: HeadModel, tmp_path: Path) -> None:
    table = Path(__file__).parents[2] / "tools/openhead/landmark_places.csv"
    moved_L3 = read_places(table)
    assert moved_L3.shape == (478, 3)
    np.testing.assert_allclose(moved_L3, moved_L3[pairs_of(head)] * (-1, 1, 1), atol=2e-4)
    assert 1e-4 < np.linalg.norm(moved_L3, axis=1).mean() and np.linalg.norm(moved_L3, axis=1).max() < 0.0065
    write_places(tmp_path / "table.csv", moved_L3, "A test.")
    np.testing.assert_allclose(read_places(tmp_path / "table.csv"), moved_L3, atol=1e-8)


def test_everybody_is_in_one_part() -> None:
    names = [f"id{k:04}" for k in range(2000)] + ["p000", "p149", "p150", "p249", "p250", "p300"]
    sides = {split: {name for name in names if in_split(name, split)} for split in SPLITS}
    learn, choose, report = (sides[split] for split in ("learn", "choose", "report"))
    assert learn | choose | report == set(names) and len(learn) + len(choose) + len(report) == len(names)
    assert sides["unseen"] < report and 120 < len(sides["unseen"]) < 220
    assert 1200 < len(learn) < 1400 and 250 < len(choose) < 350 and 350 < len(report) < 450
    assert {"p000", "p149"} < learn and {"p150", "p249"} < choose and {"p250", "p300"} < report
