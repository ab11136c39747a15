"""Lips of textures: their own colour where the photo does not show them, and no shine."""

from __future__ import annotations

import numpy as np
import pytest

from deca.appearance.lips import inside_of_mouth, lips_lab, with_lips, without_shine
from deca.appearance.skin import to_lab, to_srgb

SIZE = 256
SKIN, RED = np.array([0.8, 0.6, 0.5], np.float32), np.array([0.7, 0.4, 0.38], np.float32)
LIPS, SHOWN, UNSEEN = np.s_[100:160, 80:180], np.s_[130:160, 80:180], np.s_[100:130, 80:180]


def face() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Colours of skin with red lips, confidence in them (the upper lip is not seen), and where lips are."""
    colours_HW3 = np.tile(SKIN, (SIZE, SIZE, 1))
    colours_HW3[LIPS] = RED
    colours_HW3[UNSEEN] = 1.0  # teeth
    weight_HW, lips_HW = np.ones((SIZE, SIZE), np.float32), np.zeros((SIZE, SIZE), np.float32)
    weight_HW[UNSEEN], lips_HW[LIPS] = 0.0, 1.0
    return colours_HW3, weight_HW, lips_HW


def test_unseen_lips_have_the_colour_of_the_seen_ones() -> None:
    colours_HW3, weight_HW, lips_HW = face()
    own_3 = lips_lab(colours_HW3, weight_HW, lips_HW)
    base_HW3 = np.tile(SKIN, (SIZE, SIZE, 1))
    painted_HW3 = with_lips(base_HW3, SKIN, lips_HW, own_3)
    np.testing.assert_allclose(painted_HW3[UNSEEN], np.broadcast_to(RED, painted_HW3[UNSEEN].shape), atol=5e-3)
    np.testing.assert_array_equal(painted_HW3[lips_HW == 0], base_HW3[lips_HW == 0])


@pytest.mark.parametrize("tone", [SKIN, np.array([0.35, 0.23, 0.18], np.float32)])
def test_lips_that_are_nowhere_seen_are_redder_and_darker_than_the_skin(tone: np.ndarray) -> None:
    _, weight_HW, lips_HW = face()
    base_HW3 = np.tile(tone, (SIZE, SIZE, 1))
    nothing_HW = np.zeros_like(weight_HW)
    assert lips_lab(base_HW3, nothing_HW, lips_HW) is None
    light, red, _ = (to_lab(with_lips(base_HW3, tone, lips_HW, None))[LIPS] - to_lab(tone)).mean((0, 1))
    assert -8 < light < -4
    assert 7 < red < 11


def test_a_head_model_without_lips_keeps_its_skin() -> None:
    base_HW3 = np.tile(SKIN, (SIZE, SIZE, 1))
    np.testing.assert_array_equal(with_lips(base_HW3, SKIN, np.zeros((SIZE, SIZE), np.float32), None), base_HW3)


def test_shine_goes_and_the_rest_of_the_lip_stays() -> None:
    colours_HW3, weight_HW, lips_HW = face()
    shine, rest = np.s_[140:146, 120:130], np.s_[131:159, 82:110]
    shaded_3 = to_srgb(to_lab(RED) - np.array([10, 0, 0], np.float32))
    colours_HW3[rest] = shaded_3
    colours_HW3[shine] = 0.95
    matt_HW3 = without_shine(colours_HW3, weight_HW, lips_HW)
    middle_HW3 = to_lab(matt_HW3[141:145, 121:129])
    np.testing.assert_allclose(middle_HW3, np.broadcast_to(to_lab(RED), middle_HW3.shape), atol=3.1)
    np.testing.assert_allclose(matt_HW3[rest], colours_HW3[rest], atol=2e-3)
    np.testing.assert_array_equal(matt_HW3[lips_HW == 0], colours_HW3[lips_HW == 0])


def test_the_dark_between_parted_lips_is_no_lip() -> None:
    colours_HW3, weight_HW, lips_HW = face()
    dark, opening_HW = np.s_[131:140, 82:92], np.zeros((SIZE, SIZE), bool)
    colours_HW3[dark] = 0.05
    opening_HW[110:125, 90:170] = True
    inside_HW = inside_of_mouth(colours_HW3, weight_HW > 0.5, opening_HW, lips_HW)
    assert inside_HW[dark].all()
    assert not inside_HW[145:160, 100:180].any() and not inside_HW[lips_HW == 0].any()
    closed_HW = np.zeros_like(opening_HW)
    assert not inside_of_mouth(colours_HW3, weight_HW > 0.5, closed_HW, lips_HW).any()


def test_lips_that_are_not_seen_have_no_shine_to_lose() -> None:
    colours_HW3, weight_HW, lips_HW = face()
    assert without_shine(colours_HW3, np.zeros_like(weight_HW), lips_HW) is colours_HW3
