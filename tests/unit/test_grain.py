"""Grain of albedos: evened where light or view graze the skin, and kept where the photo shows it well."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from deca.appearance.grain import grain_left, with_even_grain

SIZE = 256
BARE_HW = np.ones((SIZE, SIZE), bool)
LEFT, MIDDLE, RIGHT = np.s_[:, 20:70], np.s_[:, 100:150], np.s_[:, 190:240]


def skin(contrast: float, seed: int = 0) -> np.ndarray:
    """Skin with grain of a contrast, the share of its brightness."""
    grain_HW1 = np.random.default_rng(seed).normal(0, contrast, (SIZE, SIZE, 1))
    return (np.array([0.7, 0.5, 0.4]) * (1 + grain_HW1)).astype(np.float32)


def contrast(image_HW3: np.ndarray, where: tuple[slice, slice]) -> float:
    """Standard deviation of what differs from the next two millimetres, beside the brightness."""
    fine_HW3 = image_HW3 - gaussian_filter(image_HW3, (2.5, 2.5, 0))
    return float((fine_HW3 / image_HW3.mean((0, 1)))[where].std())


def facing(left: float) -> np.ndarray:
    """The left third is seen at an angle, the rest straight."""
    facing_HW = np.ones((SIZE, SIZE), np.float32)
    facing_HW[:, :85] = left
    return facing_HW


def test_grain_seen_from_the_side_is_no_stronger_than_elsewhere() -> None:
    albedo_HW3 = skin(0.02)
    albedo_HW3[:, :85] = skin(0.12)[:, :85]
    even_HW3 = with_even_grain(albedo_HW3, albedo_HW3, BARE_HW, facing(0.3))
    assert contrast(even_HW3, LEFT) == pytest.approx(0.8 * contrast(albedo_HW3, MIDDLE), rel=0.15)
    assert np.array_equal(even_HW3[MIDDLE], albedo_HW3[MIDDLE])
    assert even_HW3[LEFT].mean() == pytest.approx(albedo_HW3[LEFT].mean(), abs=0.005)


def test_shade_that_was_brightened_counts_as_seen_badly() -> None:
    photo_HW3, albedo_HW3 = skin(0.02), skin(0.02)
    albedo_HW3[:, 170:] = skin(0.12)[:, 170:]
    photo_HW3[:, 170:] = albedo_HW3[:, 170:] / 2
    even_HW3 = with_even_grain(albedo_HW3, photo_HW3, BARE_HW, facing(1.0))
    assert contrast(even_HW3, RIGHT) < 0.25 * contrast(albedo_HW3, RIGHT)
    assert np.array_equal(even_HW3[MIDDLE], albedo_HW3[MIDDLE])


def test_freckled_skin_stays_freckled_and_what_is_no_skin_as_it_is() -> None:
    """Freckles everywhere are the person's; a beard at the face's side is not bare skin."""
    freckled_HW3 = skin(0.1)
    even_HW3 = with_even_grain(freckled_HW3, freckled_HW3, BARE_HW, facing(0.3))
    assert contrast(even_HW3, LEFT) > 0.7 * contrast(freckled_HW3, LEFT)
    bearded_HW3, bare_HW = skin(0.02), BARE_HW.copy()
    bearded_HW3[:, :85], bare_HW[:, :85] = skin(0.3)[:, :85], False
    even_HW3 = with_even_grain(bearded_HW3, bearded_HW3, bare_HW, facing(0.3))
    assert np.array_equal(even_HW3[LEFT], bearded_HW3[LEFT])
    nothing_HW3 = with_even_grain(freckled_HW3, freckled_HW3, ~BARE_HW, facing(0.3))
    assert np.array_equal(nothing_HW3, freckled_HW3)


def test_finer_detail_loses_the_same_share() -> None:
    photo_HW3, albedo_HW3 = skin(0.1), skin(0.1)
    albedo_HW3[:, :85] = skin(0.05)[:, :85]
    left_HW = grain_left(albedo_HW3, photo_HW3, BARE_HW)
    assert left_HW[LEFT].mean() == pytest.approx(0.5, abs=0.06) and left_HW[RIGHT].min() > 0.99
    assert grain_left(2 * photo_HW3 / 3, photo_HW3 / 2, BARE_HW).max() <= 1
