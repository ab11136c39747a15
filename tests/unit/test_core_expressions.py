"""Presets, random expressions and mirroring, against the names of the head model."""

from __future__ import annotations

import pytest

from deca.head import load_head
from deca_blender.core import arkit
from deca_blender.core.expressions import PRESETS, copied_side, mirrored, mirrored_name, random_expression

NAMES = load_head().arkit_names


def test_the_names_are_the_head_models() -> None:
    assert sorted(NAMES) == list(arkit.NAMES)


def test_mirroring_pairs_all_names_of_the_head() -> None:
    assert len(NAMES) == 52
    for name in NAMES:
        assert mirrored_name(name) in NAMES and mirrored_name(mirrored_name(name)) == name
    assert sum(mirrored_name(name) != name for name in NAMES) == 40


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_use_known_names_and_weights(preset: str) -> None:
    weights = PRESETS[preset]
    assert weights and set(weights) <= set(NAMES)
    assert all(0 < weight <= 1 for weight in weights.values())
    assert mirrored(mirrored(weights)) == weights


def test_copied_side_is_symmetric_and_keeps_its_source() -> None:
    weights = {"eyeBlinkLeft": 0.3, "eyeBlinkRight": 0.9, "jawOpen": 0.5, "browDownRight": 0.2}
    left = copied_side(weights, "Left")
    assert left == {"eyeBlinkLeft": 0.3, "eyeBlinkRight": 0.3, "jawOpen": 0.5}
    right = copied_side(weights, "Right")
    assert right == mirrored(right) and right["eyeBlinkLeft"] == 0.9 and right["browDownLeft"] == 0.2


def test_random_expressions_are_repeatable_plausible_and_different() -> None:
    drawn = [random_expression(seed) for seed in range(200)]
    assert drawn == [random_expression(seed) for seed in range(200)]
    assert len({tuple(sorted(weights.items())) for weights in drawn}) == 200
    for weights in drawn:
        assert set(weights) <= set(NAMES) and all(0 <= weight <= 1 for weight in weights.values())
    assert not any(random_expression(3, amount=0).values())
