"""Losses against the truth of synthetic subjects: values by hand, and a slow sum in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deca_training.losses.truth import correlations, displacement_truth_loss, neutral_truth_loss

SKIN = torch.ones(4, 4)


def maps(*millimetres: float) -> torch.Tensor:
    return torch.tensor(millimetres)[:, None, None, None].expand(-1, 1, 4, 4) * 1e-3


def test_a_static_error_counts_once_and_a_moving_one_more() -> None:
    """0.1 mm everywhere on both photos of a subject is 1; 0.1 mm up on one and down on the other is 8; over 0.5 and
    the truth's."""
    zero = maps(0, 0)
    assert displacement_truth_loss(maps(0.1, 0.1), zero, SKIN, 2) == pytest.approx(1 / 0.5, rel=1e-4)
    assert displacement_truth_loss(maps(0.1, -0.1), zero, SKIN, 2) == pytest.approx(8 / 0.5, rel=1e-4)
    assert displacement_truth_loss(maps(0.3), maps(0.1), SKIN, 1) == pytest.approx(4 / 1.5, rel=1e-4)


def test_displacement_against_a_slow_sum() -> None:
    rng = np.random.default_rng(0)
    made, truth = rng.normal(0, 1e-4, (2, 6, 1, 5, 4))
    skin = rng.uniform(size=(5, 4)) < 0.7

    def mean_square(error: np.ndarray) -> float:
        total = []
        for factor, step in ((1.0, (0, 0)), (2.0, (1, 0)), (2.0, (0, 1))):
            squares = []
            for row in range(5 - step[0]):
                for column in range(4 - step[1]):
                    if skin[row + step[0], column + step[1]]:
                        at = error[row + step[0], column + step[1]]
                        squares.append(((at - error[row, column]) if any(step) else at) ** 2)
            total.append(factor * np.mean(squares))
        return float(sum(total))

    expected = []
    for subject in range(2):
        squares = []
        for map_K in (made - truth, truth):
            map_K = map_K[3 * subject : 3 * subject + 3, 0] * 1e4
            static = map_K.mean(0)
            squares.append(mean_square(static) + 8 * np.mean([mean_square(each - static) for each in map_K]))
        expected.append(squares)
    loss = displacement_truth_loss(torch.tensor(made), torch.tensor(truth), torch.tensor(skin).double(), 3)
    missed, there = np.mean(expected, 0)
    assert loss == pytest.approx(missed / (there + 0.5))


def test_neutral_truth_by_hand() -> None:
    made, truth = torch.zeros(1, 3, 3), torch.zeros(1, 3, 3)
    truth[0, 0] = torch.tensor([3e-3, 4e-3, 0])
    truth[0, 2] = 1.0  # does not count
    assert neutral_truth_loss(made, truth, torch.tensor([0, 1])) == pytest.approx(2.5)


def test_correlations_tell_static_from_moving() -> None:
    random = torch.Generator().manual_seed(0)
    static, moving = torch.randn(1, 1, 4, 4, generator=random), torch.randn(2, 1, 4, 4, generator=random)
    moving -= moving.mean(0)
    truth = 3 * static + moving
    total, dynamic = correlations(3 * static - moving, truth, SKIN, 2)
    assert dynamic == pytest.approx(-1, abs=1e-5) and total > 0.5
    total, dynamic = correlations(2e-3 * truth, truth, SKIN, 2)
    assert total == pytest.approx(1, abs=1e-5) and dynamic == pytest.approx(1, abs=1e-5)
    expected = np.corrcoef((static + moving).flatten(), truth.flatten())[0, 1]
    assert correlations(static + moving, truth, SKIN, 2)[0] == pytest.approx(expected, abs=1e-5)
