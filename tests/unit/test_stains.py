"""Stains of albedos: what deep shade left of colours of its own, and none of what the light shows of the person."""

from __future__ import annotations

import numpy as np

from deca.appearance.stains import stained

SIZE = 512
EVERYWHERE, NOWHERE = np.ones((SIZE, SIZE), bool), np.zeros((SIZE, SIZE), bool)
KNOWN = np.ones((SIZE, SIZE), np.float32)
SKIN, RED = np.array([0.8, 0.6, 0.5], np.float32), np.array([0.6, 0.25, 0.25], np.float32)
BLOT, ELSEWHERE = np.s_[400:424, 240:272], np.s_[100:300, 100:400]


def blotted(light: float) -> tuple[np.ndarray, np.ndarray]:
    """An albedo with a red blot, and the photo, on which so much light fell there."""
    albedo_HW3 = np.tile(SKIN, (SIZE, SIZE, 1))
    albedo_HW3[BLOT] = RED
    photo_HW3 = albedo_HW3.copy()
    photo_HW3[BLOT] *= light
    return albedo_HW3, photo_HW3


def test_a_blot_in_deep_shade_is_a_stain() -> None:
    share_HW = stained(*blotted(0.25), KNOWN, EVERYWHERE, NOWHERE, NOWHERE)
    assert share_HW[BLOT].min() > 0.95
    assert share_HW[ELSEWHERE].max() == 0


def test_a_birthmark_in_the_light_is_none() -> None:
    assert stained(*blotted(1.0), KNOWN, EVERYWHERE, NOWHERE, NOWHERE).max() < 0.05


def test_shade_that_was_taken_out_well_is_none() -> None:
    albedo_HW3 = np.tile(SKIN, (SIZE, SIZE, 1))
    photo_HW3 = albedo_HW3.copy()
    photo_HW3[:, :200] *= 0.2
    assert stained(albedo_HW3, photo_HW3, KNOWN, EVERYWHERE, NOWHERE, NOWHERE).max() == 0


def test_beards_and_lips_are_none() -> None:
    bare_HW, features_HW = EVERYWHERE.copy(), NOWHERE.copy()
    bare_HW[BLOT], features_HW[BLOT] = False, True
    assert stained(*blotted(0.25), KNOWN, bare_HW, NOWHERE, NOWHERE)[BLOT].max() < 0.1
    assert stained(*blotted(0.25), KNOWN, EVERYWHERE, features_HW, NOWHERE).max() == 0


def test_beside_features_colours_may_differ_by_more() -> None:
    """Lids are dark and lips' rims red: only what is far off is a stain there."""
    features_HW = NOWHERE.copy()
    features_HW[380:444, 276:310] = True
    albedo_HW3, photo_HW3 = blotted(0.25)
    inside = np.s_[404:420, 268:271]
    assert stained(albedo_HW3, photo_HW3, KNOWN, EVERYWHERE, features_HW, NOWHERE)[inside].min() > 0.95
    slight = SKIN * np.array((0.85, 0.8, 0.85), np.float32)
    albedo_HW3[BLOT], photo_HW3[BLOT] = slight, 0.25 * slight
    assert stained(albedo_HW3, photo_HW3, KNOWN, EVERYWHERE, NOWHERE, NOWHERE)[inside].min() > 0.5
    assert stained(albedo_HW3, photo_HW3, KNOWN, EVERYWHERE, features_HW, NOWHERE)[inside].max() < 0.05


def test_a_dark_blot_below_the_nose_is_a_stain_in_any_light() -> None:
    """Beside the red of the lips, which is not looked at; a moustache stays."""
    below_HW, lips_HW = NOWHERE.copy(), NOWHERE.copy()
    below_HW[390:440, 200:320], lips_HW[444:470, 200:320] = True, True
    albedo_HW3, photo_HW3 = blotted(1.0)
    albedo_HW3[lips_HW] = photo_HW3[lips_HW] = RED
    share_HW = stained(albedo_HW3, photo_HW3, KNOWN, EVERYWHERE, lips_HW, below_HW)
    assert share_HW[BLOT].min() > 0.95 and share_HW[lips_HW].mean() < 0.1
    assert share_HW[ELSEWHERE].max() == 0
    bare_HW = EVERYWHERE.copy()
    bare_HW[BLOT] = False
    assert stained(albedo_HW3, photo_HW3, KNOWN, bare_HW, lips_HW, below_HW)[BLOT].max() < 0.1


def test_without_skin_nothing_is_known() -> None:
    assert stained(*blotted(0.25), KNOWN, NOWHERE, NOWHERE, NOWHERE).max() == 0
