"""The photo's light taken out: against known albedo under known light."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from deca.appearance.albedo import load_albedo
from deca.appearance.albedo_map import skin_tone, without_light
from deca.head import load_head
from deca.render.lighting import sh_basis
from deca.render.uv import texels_of

SIZE = 256
WHITE = np.ones(3, np.float32)


@pytest.fixture(scope="module")
def known():
    """Albedo, normals and where there is skin, of a head that looks ahead."""
    head, model = load_head(), load_albedo()
    texels = texels_of(head, SIZE)
    codes = torch.zeros(1, model.num_coefficients)
    codes[0, :3] = torch.tensor([0.8, -0.6, 0.5])
    albedo = model(codes)[0].permute(1, 2, 0).numpy().clip(0.02, 1)
    across = texels.interpolate(head.template_V3)
    normals = across * (1.0, 0.7, 1.0)
    normals = normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-6)
    bare = texels.covered_HW & (normals[..., 2] > 0.4) & (cv2.resize(head.masks["face_no_eyes"], (SIZE, SIZE)) > 128)
    return model, albedo, normals.astype(np.float32), bare


def error(found: np.ndarray, albedo: np.ndarray, bare: np.ndarray) -> float:
    """Mean error where exposure and lamp's colour are given."""
    gain = albedo[bare].sum(0) / found[bare].sum(0)
    return float(np.abs(found[bare] * gain - albedo[bare]).mean())


def lit(albedo: np.ndarray, normals: np.ndarray, light_93: np.ndarray) -> np.ndarray:
    bands = sh_basis(torch.from_numpy(normals.reshape(-1, 3).T.copy())[None])[0].T.numpy()
    return (albedo * (bands @ light_93).reshape(SIZE, SIZE, 3).clip(0.05)).astype(np.float32)


SIDE_LIGHT = np.zeros((9, 3), np.float32)
SIDE_LIGHT[0], SIDE_LIGHT[1], SIDE_LIGHT[3] = 1.9, 0.55, 0.25


def test_light_from_the_side_goes(known) -> None:
    model, albedo, normals, bare = known
    photo = lit(albedo, normals, SIDE_LIGHT)
    found = without_light(photo, bare, normals, model, WHITE)
    assert found is not None
    assert error(found, albedo, bare) < 0.25 * error(photo, albedo, bare)


def test_cast_shadow_gets_weaker(known) -> None:
    model, albedo, normals, bare = known
    photo = lit(albedo, normals, SIDE_LIGHT * (1, 1, 1))
    photo[:, 150:190] *= 0.6
    found = without_light(photo, bare, normals, model, WHITE)
    assert found is not None
    assert error(found, albedo, bare) < 0.5 * error(photo, albedo, bare)


def test_too_little_skin_says_nothing(known) -> None:
    model, albedo, normals, bare = known
    few = np.zeros_like(bare)
    few[128:130, 128:130] = True
    assert without_light(albedo, few, normals, model, WHITE) is None


@pytest.mark.parametrize(
    "tone",
    [(0.9, 0.78, 0.7), (0.75, 0.55, 0.45), (0.45, 0.32, 0.25), (0.27, 0.2, 0.05), (0.62, 0.47, 0.17), (0.0,) * 3],
)
def test_tones_stay_tones_of_skin(tone) -> None:
    found = skin_tone(np.array(tone, np.float32))
    assert 0.26 < found.mean() < 0.95
    assert found[0] >= found[1] >= found[2] * 0.95
    assert found[2] > 0.6 * found[1]  # however yellow the lamp


def test_darker_photo_means_darker_skin() -> None:
    pale, dark = (skin_tone(np.array((0.8, 0.62, 0.52)) * share) for share in (1.0, 0.5))
    assert dark.mean() < 0.7 * pale.mean()
