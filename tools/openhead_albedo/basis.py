"""Principal components of a sample of albedos, and the file that keeps them.

Shape suffixes: P people, A components, N texels of a `Canvas`, X = 3 N, H W texture rows and columns of the left half.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deca.files import safetensors_bytes, write_file

from .people import paint_person, people
from .regions import Canvas

_BACKGROUND = 0.1
"""Weight of scalp, neck, eyes and mouth; the face has 1. The coefficients should tell of what photos show."""
LICENCE = "CC0-1.0"


@dataclass(frozen=True)
class Basis:
    """albedo = mean + basis @ alpha, alpha of zero mean and unit variance over the sample.

    Attributes:
        mean_X: Mean albedo.
        basis_AX: Components, orthogonal under `texel_weights`, by falling variance.
        explained_A: Share of the weighted variance that each explains.
    """

    mean_X: NDArray[np.float32]
    basis_AX: NDArray[np.float32]
    explained_A: NDArray[np.float64]


def sample_albedos(canvas: Canvas, count: int, seed: int) -> NDArray[np.float32]:
    """Albedos (P, X) of random people."""
    albedos_PX = np.empty((count, 3 * len(canvas.noise_NC)), np.float32)
    for row, person in enumerate(people(count, seed)):
        albedos_PX[row] = paint_person(person, canvas).ravel()
    return albedos_PX


def texel_weights(canvas: Canvas) -> NDArray[np.float32]:
    """How much the squared error at each texel counts, (X,)."""
    face_N = canvas.fields["face"] * (1 - canvas.fields["eyes"])
    return np.repeat(_BACKGROUND + (1 - _BACKGROUND) * face_N, 3)


def principal_components(albedos_PX: NDArray[np.float32], weights_X: NDArray[np.float32], count: int) -> Basis:
    """The leading components of a sample, which is overwritten; by the Gram matrix of the people, who are fewer."""
    mean_X = albedos_PX.mean(0, dtype=np.float64).astype(np.float32)
    albedos_PX -= mean_X
    root_X = np.sqrt(weights_X)
    albedos_PX *= root_X
    values_P, vectors_PP = np.linalg.eigh((albedos_PX @ albedos_PX.T).astype(np.float64))
    leading = np.argsort(values_P)[::-1][:count]
    # A component's coefficients over the sample are its eigenvector times sqrt(P): unit variance.
    vectors_PA = vectors_PP[:, leading] / np.sqrt(len(albedos_PX))
    basis_AX = (vectors_PA.T.astype(np.float32) @ albedos_PX) / root_X
    basis_AX *= np.where(basis_AX.sum(1) < 0, -1, 1)[:, None]
    return Basis(mean_X, basis_AX, values_P[leading] / values_P.sum())


def with_signs_of(basis: Basis, before_AHW3: NDArray, canvas: Canvas) -> Basis:
    """The components with the signs that they have in the model before (A, H, W, 3), so that codes mean the same: the
    sample is the same people, and only the sign of a component is left to chance."""
    now_AHW3 = (canvas.image(row_X.reshape(-1, 3)) for row_X in basis.basis_AX)
    sign_A = [-1 if (now * before).sum() < 0 else 1 for now, before in zip(now_AHW3, before_AHW3, strict=True)]
    return replace(basis, basis_AX=basis.basis_AX * np.array(sign_A, np.float32)[:, None])


def write_basis(path: Path, basis: Basis, canvas: Canvas, head_hash: str) -> None:
    """Writes an albedo model file (docs/architecture.md): the left half, components as int8 with a scale each."""

    def picture(values_X: NDArray) -> NDArray:
        return canvas.image(values_X.reshape(-1, 3))

    scale_A = np.abs(basis.basis_AX).max(1) / 127
    steps_AX = np.round(basis.basis_AX / scale_A[:, None]).astype(np.int8)
    arrays = {
        "albedo_mean": picture(basis.mean_X),
        "albedo_basis": np.stack([picture(steps_X) for steps_X in steps_AX]),
        "albedo_scale": scale_A.astype(np.float32),
    }
    metadata = {
        "format": "deca-albedo",
        "version": "1",
        "name": "openhead",
        "half": "left",
        "head_hash": head_hash,
        "licence": LICENCE,
    }
    write_file(path, safetensors_bytes(arrays, metadata))
