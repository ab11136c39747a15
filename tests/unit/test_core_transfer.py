"""Who may give what to whom, and codes between two."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from deca_blender.core.transfer import (
    Origin,
    TransferError,
    blend_detail,
    blend_reliefs,
    check_expression,
    check_wrinkles,
)

ANNA = Origin("Anna", "openhead", "aa", "w1", has_detail=True)
BERT = Origin("Bert", "openhead", "aa", "w1", has_detail=True)


def test_equal_origins_may_share_everything() -> None:
    check_expression(ANNA, BERT)
    check_wrinkles(ANNA, BERT)


def test_an_expression_needs_no_wrinkles() -> None:
    check_expression(replace(ANNA, has_detail=False, weights_hash=""), BERT)


@pytest.mark.parametrize("check", [check_expression, check_wrinkles])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": "flame2020", "model_hash": "bb"}, "Bert is of the head model flame2020, Anna of openhead"),
        ({"model_hash": "bb"}, "different versions of the head model openhead"),
    ],
)
def test_different_head_models_are_refused(check, change: dict[str, str], said: str) -> None:
    with pytest.raises(TransferError, match=said):
        check(ANNA, replace(BERT, **change))


def test_different_weights_are_refused() -> None:
    with pytest.raises(TransferError, match="Bert and Anna were made with different weights"):
        check_wrinkles(ANNA, replace(BERT, weights_hash="w2"))


def test_heads_without_wrinkles_are_refused_by_name() -> None:
    with pytest.raises(TransferError, match="Anna has no wrinkles"):
        check_wrinkles(replace(ANNA, has_detail=False), BERT)
    with pytest.raises(TransferError, match="Bert has no wrinkles"):
        check_wrinkles(ANNA, replace(BERT, has_detail=False))


def test_reliefs_between_two() -> None:
    own, other = {b"own": 1.0, b"both": 0.5}, {b"other": 0.25, b"both": 1.0}
    assert blend_reliefs(own, other, -1) == own and blend_reliefs(own, other, 2) == other
    assert blend_reliefs(own, other, 0.5) == {b"own": 0.5, b"other": 0.125, b"both": 0.75}
    assert blend_reliefs({}, other, 0) == {}


def test_codes_between_two() -> None:
    own, other = np.random.default_rng(0).normal(size=(2, 128)).astype(np.float32)
    assert np.array_equal(blend_detail(own, other, 0.0), own)
    assert np.array_equal(blend_detail(own, other, 1.0), other)
    assert np.array_equal(blend_detail(own, other, 7.0), other)
    for amount in (0.25, 0.5):
        expected = [a + amount * (b - a) for a, b in zip(own.tolist(), other.tolist(), strict=True)]
        assert np.allclose(blend_detail(own, other, amount), expected, atol=1e-6)
    with pytest.raises(ValueError, match="128 and 64"):
        blend_detail(own, other[:64], 0.5)
