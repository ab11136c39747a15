"""Depths of the face from photos: what turned faces leave says how far forward points should lie."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[2] / "tools")]

from deca.reconstruct.geometry import rotation  # noqa: E402
from openhead.depth import BACK, DEPTHS, FRONT, forward, read_depths, write_depths  # noqa: E402
from tools.measure_face_depth import common_forward  # noqa: E402


def test_depth_is_found_from_faces_that_look_aside() -> None:
    rng = np.random.default_rng(0)
    move_L3 = rng.normal(0, (1e-3, 1e-3, 3e-3), (30, 3))
    root_N33 = rotation(rng.normal(0, (0.1, 0.3, 0.1), (500, 3)))
    left_NL2 = (root_N33[:, None] @ move_L3[..., None])[..., :2, 0] + rng.normal(0, 1e-3, (500, 30, 2))
    np.testing.assert_allclose(common_forward(left_NL2, root_N33), move_L3[:, 2], atol=1e-3)
    assert np.abs(common_forward(left_NL2, np.tile(np.eye(3), (500, 1, 1)))).max() < 1e-9, "nobody looks aside"


def test_the_face_moves_forward_and_what_is_far_stays() -> None:
    x, y = np.meshgrid(np.arange(-0.03, 0.031, 0.004), np.arange(-0.03, 0.031, 0.004))
    table_L3 = np.column_stack((x.ravel(), y.ravel(), np.where(x.ravel() > 0, 0.004, -0.002)))
    places = {
        "on the forward side": ((0.015, 0, FRONT), 0.004),
        "on the other": ((-0.015, 0, 0.08), -0.002),
        "half way back": ((0.015, 0, (BACK + FRONT) / 2), 0.002),
        "the back of the head": ((0.015, 0, -0.05), 0.0),
        "the ear": ((0.08, 0, FRONT), 0.0),
    }
    found = forward(np.array([place for place, _ in places.values()]), table_L3)
    np.testing.assert_allclose(found, [wanted for _, wanted in places.values()], atol=4e-4)
    assert not forward(np.zeros((2, 3)), np.zeros((0, 3))).any(), "no table, no move"


def test_table_is_symmetric_and_small(tmp_path: Path) -> None:
    table_L3 = read_depths(DEPTHS)
    left_L3, right_L3 = (side[np.lexsort(side.T)] for side in (table_L3, table_L3 * (-1, 1, 1)))
    np.testing.assert_allclose(left_L3, right_L3, atol=1e-5)
    assert 5e-4 < np.abs(table_L3[:, 2]).mean() and np.abs(table_L3[:, 2]).max() < 0.01
    write_depths(tmp_path / "table.csv", table_L3, "A test.")
    np.testing.assert_allclose(read_depths(tmp_path / "table.csv"), table_L3, atol=1e-8)
