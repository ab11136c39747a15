"""Light: the nine bands against their closed forms and an independent numpy sum."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deca.render.lighting import SH_CONSTANTS, grey_light, lamp_shading, sh_basis, sh_shading


def shade_slowly(normal: np.ndarray, light_93: np.ndarray) -> np.ndarray:
    """DECA's bands in DECA's order, written out for one normal."""
    x, y, z = normal
    total = light_93[0] * 0.2820948
    total = total + 1.0233268 * (light_93[1] * x + light_93[2] * y + light_93[3] * z)
    total = total + 0.8580855 * (light_93[4] * x * y + light_93[5] * x * z + light_93[6] * y * z)
    return total + 0.42904276 * light_93[7] * (x * x - y * y) + 0.24770796 * light_93[8] * (3 * z * z - 1)


def test_shading_equals_the_sum_written_out() -> None:
    random = np.random.default_rng(0)
    normals, light = random.normal(size=(40, 3)), random.normal(size=(9, 3))
    normals[:20] /= np.linalg.norm(normals[:20], axis=1, keepdims=True)  # the others keep the length they come in
    found = sh_shading(torch.from_numpy(normals.T)[None], torch.from_numpy(light)[None])[0].T
    assert np.allclose(found, [shade_slowly(normal, light) for normal in normals], atol=1e-12)


def test_constants_are_the_harmonics_norms_times_the_lambertian_kernel() -> None:
    """Norms of the real spherical harmonics; kernel 2 pi / 3 and pi / 4, none for the first band."""
    pi = np.pi
    first = np.sqrt(3 / (4 * pi)) * 2 * pi / 3
    mixed, squares, pole = np.sqrt(15 / (4 * pi)), np.sqrt(15 / (16 * pi)), np.sqrt(5 / (16 * pi))
    expected = [np.sqrt(1 / (4 * pi)), *[first] * 3, *[mixed * pi / 4] * 3, squares * pi / 4, pole * pi / 4]
    assert np.allclose(SH_CONSTANTS, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("band", "bright", "dark"),
    [
        (1, (1, 0, 0), (-1, 0, 0)),
        (2, (0, 1, 0), (0, -1, 0)),
        (3, (0, 0, 1), (0, 0, -1)),
        (4, (0.6, 0.8, 0), (-0.6, 0.8, 0)),
        (5, (0.6, 0, 0.8), (-0.6, 0, 0.8)),
        (6, (0, 0.6, 0.8), (0, -0.6, 0.8)),
        (7, (1, 0, 0), (0, 1, 0)),
        (8, (0, 0, 1), (1, 0, 0)),
    ],
)
def test_each_band_lights_its_side_and_is_not_clamped(band: int, bright: tuple, dark: tuple) -> None:
    light = torch.zeros(1, 9, 3)
    light[0, band] = torch.tensor([1.0, 2.0, 3.0])
    normals = torch.tensor([bright, dark]).float().T[None]
    lit, unlit = sh_shading(normals, light)[0].T
    assert lit[0] > 0.2 and unlit[0] < -0.2
    assert torch.allclose(lit, lit[0] * torch.tensor([1.0, 2.0, 3.0]))


def test_any_trailing_shape_and_each_picture_its_own_light() -> None:
    generator = torch.Generator().manual_seed(0)
    normals, light = (torch.randn(*shape, generator=generator) for shape in ((2, 3, 4, 5), (2, 9, 3)))
    together = sh_shading(normals, light)
    assert together.shape == (2, 3, 4, 5)
    for picture in range(2):
        alone = sh_shading(normals[picture].reshape(1, 3, 20), light[picture : picture + 1])
        assert torch.allclose(together[picture].reshape(1, 3, 20), alone, atol=1e-6)
    assert sh_basis(normals).shape == (2, 9, 4, 5)


def test_grey_light_is_the_same_on_all_sides() -> None:
    normals = torch.nn.functional.normalize(torch.randn(1, 3, 50), dim=1)
    assert torch.allclose(sh_shading(normals, grey_light(1, 0.7)), torch.full((1, 3, 50), 0.7), atol=1e-6)


def test_gradients_equal_finite_differences() -> None:
    generator = torch.Generator().manual_seed(0)
    normals = torch.randn(2, 3, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    light = torch.randn(2, 9, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(sh_shading, (normals, light))


def test_lamps_light_the_front_from_above() -> None:
    sides = torch.tensor([[0.0, 0, 1], [0, 0, -1], [0, 1, 0.2], [0, -1, 0.2]]).T[None]
    front, back, top, bottom = (float(value) for value in lamp_shading(sides)[0, 0])
    assert back < bottom < top < front and 0 < back and 0.5 < front < 1.0
