"""The photo's light taken out: against known albedo under known light."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from deca.appearance.albedo import load_albedo
from deca.appearance.albedo_map import skin_tone, without_light
from deca.appearance.trust import regions_of
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


def upper_lip(bare: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where a moustache may be (H, W), and one."""
    head = load_head()
    texels = texels_of(head, SIZE)
    allowed = regions_of(texels).beard
    below_nose = texels.interpolate(head.template_V3) - head.landmarks_478.positions(head.template_V3, head.faces_F3)[2]
    moustache = bare & (allowed > 0.9) & (np.abs(below_nose) < (0.025, 0.014, 0.02)).all(-1)
    assert moustache.sum() > 100
    return allowed, moustache


@pytest.mark.parametrize("is_rough", [True, False])
def test_a_moustache_stays_dark_and_a_shadow_does_not(known, is_rough: bool) -> None:
    """Both are a third as bright as skin; one has hairs."""
    model, albedo, normals, bare = known
    allowed, moustache = upper_lip(bare)
    dim = cv2.GaussianBlur(np.where(moustache, np.log(0.3), 0.0), (0, 0), 0.5 if is_rough else 3.0)
    grain = np.random.default_rng(0).normal(0, np.where(moustache & is_rough, 0.35, 0.05))
    photo = np.exp(dim + grain)[..., None] * lit(albedo, normals, SIDE_LIGHT)
    left = []
    for beard in (None, allowed):
        found = without_light(photo.astype(np.float32), bare, normals, model, WHITE, beard_HW=beard)
        assert found is not None
        shares = found.mean(-1) / albedo.mean(-1)
        left.append(np.median(shares[moustache]) / np.median(shares[bare & ~moustache]))
    lit_up, kept = left
    assert lit_up > 0.45
    assert kept < 0.36 if is_rough else kept > 0.5


def test_hair_in_deep_shade_does_not_become_white(known) -> None:
    """What the light is on it, skin around it does not tell."""
    model, albedo, normals, bare = known
    _, beard = upper_lip(bare)
    shade = cv2.GaussianBlur(np.where(beard, 0.05, 1.0).astype(np.float32), (0, 0), 3)[..., None]
    photo = (shade * lit(albedo, normals, SIDE_LIGHT)).astype(np.float32)
    found = without_light(photo, bare & ~beard, normals, model, WHITE)
    assert found is not None
    factor = np.log(found.mean(-1) / photo.mean(-1))
    inside = cv2.erode(beard.astype(np.uint8), np.ones((7, 7))) > 0
    assert inside.sum() > 20
    assert np.abs(factor[inside] - np.median(factor[bare & ~beard])).max() < 0.45


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
