"""Albedo and light fitted to textures that were made from known ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deca.appearance.light import fit_albedo_and_light
from deca.render.lighting import SH_CONSTANTS, sh_shading

SIZE, COUNT = 48, 6


@pytest.fixture
def scene() -> dict[str, np.ndarray]:
    """Normals of half a sphere, and a smooth albedo model."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0.95:-0.95:48j, -0.95:0.95:48j]
    z = np.sqrt(np.clip(1 - x**2 - y**2, 0, 1))
    weight = (x**2 + y**2 < 0.9).astype(float)
    waves = rng.uniform(1, 4, (COUNT, 2, 1, 1))
    patterns = np.cos(waves[:, 0] * x + waves[:, 1] * y + rng.uniform(0, 6, (COUNT, 1, 1)))
    basis = 0.04 * patterns[..., None] * rng.uniform(0.5, 1, (COUNT, 1, 1, 3))
    light = np.zeros((9, 3))
    light[0] = np.array((0.82, 0.80, 0.77)) / SH_CONSTANTS[0]
    light[1:4] = np.array(((0.15,), (0.12,), (0.1,)))
    return {
        "normals": np.stack((x, y, z), -1),
        "weight": weight,
        "mean": np.full((SIZE, SIZE, 3), (0.6, 0.45, 0.38)),
        "basis": basis,
        "albedo": rng.normal(size=COUNT),
        "light": light,
    }


def picture(scene: dict[str, np.ndarray], albedo: np.ndarray, light: np.ndarray) -> np.ndarray:
    normals = torch.from_numpy(scene["normals"]).permute(2, 0, 1)[None]
    shading = sh_shading(normals, torch.from_numpy(light)[None].double())[0].permute(1, 2, 0).numpy()
    return (scene["mean"] + np.tensordot(albedo, scene["basis"], 1)) * shading


def fit(scene: dict[str, np.ndarray], pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return fit_albedo_and_light(pixels, scene["weight"], scene["normals"], scene["mean"], scene["basis"])


def test_known_light_and_albedo_come_back(scene: dict[str, np.ndarray]) -> None:
    pixels = picture(scene, scene["albedo"], scene["light"])
    albedo, light = fit(scene, pixels)
    inside = scene["weight"] > 0
    again = picture(scene, albedo, light)
    assert np.abs(again - pixels)[inside].mean() < 0.01
    shading, wanted = (
        picture(scene | {"mean": np.ones((SIZE, SIZE, 3))}, 0 * albedo, it) for it in (light, scene["light"])
    )
    assert np.abs(shading - wanted)[inside].mean() < 0.06
    assert np.corrcoef(albedo, scene["albedo"])[0, 1] > 0.9


def test_an_occluder_does_not_change_the_result(scene: dict[str, np.ndarray]) -> None:
    pixels = picture(scene, scene["albedo"], scene["light"])
    albedo, light = fit(scene, pixels)
    covered = pixels.copy()
    covered[28:40, 10:30] = (0.1, 0.5, 0.1)
    albedo_covered, light_covered = fit(scene, covered)
    difference = np.abs(picture(scene, albedo_covered, light_covered) - picture(scene, albedo, light))
    assert difference[scene["weight"] > 0].mean() < 0.02


def test_nothing_to_see_gives_the_prior(scene: dict[str, np.ndarray]) -> None:
    albedo, light = fit(scene | {"weight": np.zeros((SIZE, SIZE))}, np.zeros((SIZE, SIZE, 3)))
    assert not albedo.any()
    assert np.allclose(light[0] * SH_CONSTANTS[0], 0.85) and not light[1:].any()
