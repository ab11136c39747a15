"""Albedo and light of a face from its unwrapped photo, for heads whose codes come from the landmark fit.

The photo is albedo times shading (DECA, Eqs. 2 and 3): linear in the albedo coefficients when the light is known, and
linear in the light when the albedo is known. Least squares in turns, with priors, because a dark skin in bright light
looks like a light one in dim light.

Shape suffixes: N texels, A albedo coefficients, 93 light: 9 bands of RGB, H W rows and columns.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from deca.render.lighting import SH_CONSTANTS, sh_basis

_ROUNDS = 10
_NOISE = 0.05
"""Standard deviation of the photo from the model, of the range 0..1; what lies far outside counts little."""
_INDEPENDENT_TEXELS = 300
"""Neighbouring texels err together: all texels weigh as many independent ones as this."""
_MEAN_SHADING, _SHADING_SD = 0.85, 0.25
_BAND_SD = (0.4, 0.4, 0.4, 0.2, 0.2, 0.2, 0.2, 0.2)
"""Shading that each band beyond the first adds, standard deviation."""
_TINT_SD = 0.05
"""Shading of a colour channel apart from grey, standard deviation: photographers balance white."""


def fit_albedo_and_light(
    texture_HW3: NDArray[np.floating],
    weight_HW: NDArray[np.floating],
    normals_HW3: NDArray[np.floating],
    mean_HW3: NDArray[np.floating],
    basis_AHW3: NDArray[np.floating],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Albedo coefficients and light under which the albedo model looks like the photo.

    Args:
        texture_HW3: The photo unwrapped, 0..1, any size in texture space (64 x 64 is plenty).
        weight_HW: How far to trust each texel; 0 where the photo does not show it.
        normals_HW3: Unit normals of the posed head, head space.
        mean_HW3: Mean albedo at the same texels.
        basis_AHW3: Albedo per unit of each coefficient; coefficients have unit variance.

    Returns:
        Albedo coefficients (A,) and spherical harmonics coefficients (9, 3); the mean albedo in the prior's light
        when no texel can be trusted.
    """
    known_HW = weight_HW > 0
    weight_N = weight_HW[known_HW].astype(np.float64)
    pixels_N3, mean_N3 = texture_HW3[known_HW].astype(np.float64), mean_HW3[known_HW].astype(np.float64)
    basis_AN3 = basis_AHW3[:, known_HW].astype(np.float64)
    bands_N9 = sh_basis(torch.from_numpy(normals_HW3[known_HW].astype(np.float64).T)[None])[0].T.numpy()

    albedo_A = np.zeros(len(basis_AHW3))
    robust_N = np.ones(len(weight_N))
    light_93 = _fit_light(pixels_N3, mean_N3, bands_N9, weight_N)
    for _ in range(_ROUNDS):
        total_N = weight_N * robust_N
        albedo_A = _fit_albedo(pixels_N3, mean_N3, basis_AN3, bands_N9 @ light_93, total_N)
        albedo_N3 = mean_N3 + np.tensordot(albedo_A, basis_AN3, 1)
        light_93 = _fit_light(pixels_N3, albedo_N3, bands_N9, total_N)
        error_N = ((pixels_N3 - albedo_N3 * (bands_N9 @ light_93)) ** 2).mean(1)
        robust_N = 1 / (1 + error_N / (2 * _NOISE) ** 2) ** 2
    return albedo_A.astype(np.float32), light_93.astype(np.float32)


def _fit_light(
    pixels_N3: NDArray[np.float64], albedo_N3: NDArray[np.float64], bands_N9: NDArray[np.float64], weight_N: NDArray
) -> NDArray[np.float64]:
    """Light (9, 3) of least squares with a Gaussian prior; the channels hang together through the tint's."""
    precision_9 = (np.array(SH_CONSTANTS) / np.array((_SHADING_SD, *_BAND_SD))) ** 2
    tint_9 = (np.array(SH_CONSTANTS) / _TINT_SD) ** 2
    apart_33 = np.eye(3) - 1 / 3
    matrix = np.kron(np.eye(3), np.diag(precision_9)) + np.kron(apart_33, np.diag(tint_9))
    prior_27 = np.zeros((3, 9))
    prior_27[:, 0] = precision_9[0] * _MEAN_SHADING / SH_CONSTANTS[0]
    right = prior_27.ravel()
    scaled_N = _precision(weight_N)
    for channel in range(3):
        rows_N9 = bands_N9 * albedo_N3[:, channel, None]
        block = slice(9 * channel, 9 * channel + 9)
        matrix[block, block] += (rows_N9 * scaled_N[:, None]).T @ rows_N9
        right[block] += rows_N9.T @ (scaled_N * pixels_N3[:, channel])
    return np.linalg.solve(matrix, right).reshape(3, 9).T


def _fit_albedo(
    pixels_N3: NDArray[np.float64],
    mean_N3: NDArray[np.float64],
    basis_AN3: NDArray[np.float64],
    shading_N3: NDArray[np.float64],
    weight_N: NDArray,
) -> NDArray[np.float64]:
    """Albedo coefficients of least squares with a standard normal prior."""
    rows_AK = (basis_AN3 * shading_N3).reshape(len(basis_AN3), -1)
    scaled_K = np.repeat(_precision(weight_N), 3)
    residual_K = (pixels_N3 - mean_N3 * shading_N3).ravel()
    matrix = (rows_AK * scaled_K) @ rows_AK.T + np.eye(len(rows_AK))
    return np.linalg.solve(matrix, rows_AK @ (scaled_K * residual_K))


def _precision(weight_N: NDArray) -> NDArray[np.float64]:
    """1 / variance of each texel, such that together they weigh as `_INDEPENDENT_TEXELS`."""
    total = max(float(weight_N.sum()), 1e-12)
    return weight_N * (min(_INDEPENDENT_TEXELS, total) / total / _NOISE**2)
