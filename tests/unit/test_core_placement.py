"""Where a new head stands."""

from __future__ import annotations

import numpy as np
import pytest

from deca_blender.core.placement import GAP, SURROUNDINGS, step_aside

BOX = np.array([[-0.1, -0.12, -0.15], [0.1, 0.12, 0.15]])


def cube(centre: tuple[float, float, float], side: float) -> np.ndarray:
    return np.array([np.subtract(centre, side / 2), np.add(centre, side / 2)])


def test_free_where_nothing_touches() -> None:
    assert step_aside(BOX, np.empty((0, 2, 3))) == 0
    assert step_aside(BOX, np.array([cube((0, 2, 0), 1), cube((0, 0, -3), 1), cube((-1, 0, 0), 1)])) == 0


def test_aside_of_the_default_cube() -> None:
    assert step_aside(BOX, np.array([cube((0, 0, 0), 2)])) == pytest.approx(1 + GAP + 0.1)


def test_it_passes_a_whole_row() -> None:
    rng = np.random.default_rng(0)
    row = np.array([cube((x, *rng.uniform(-0.1, 0.1, 2)), 0.3) for x in np.arange(0, 5, 0.45)])
    for order in (row, row[::-1]):
        low, high = BOX + [step_aside(BOX, order), 0, 0]  # noqa: RUF005
        assert not any((other[0] <= high).all() and (other[1] >= low).all() for other in order)


def test_what_is_all_around_does_not_count() -> None:
    assert step_aside(BOX, np.array([cube((0, 0, 0), SURROUNDINGS + 0.1)])) == 0
    assert step_aside(BOX, np.array([cube((0, 0, 0), SURROUNDINGS - 0.1)])) > 0
