"""Albedo models: a head's skin colours without light, linear in a few coefficients (DECA's alpha).

A(alpha) = mean + basis alpha, a texture of values 0..1 that DECA multiplies with the shading (Feng et al. 2021, Eq. 2).
OpenHead has its own; for FLAME the user's licensed files are read.

Shape suffixes: B batch, A coefficients, H W texture rows and columns, X = 3 H W.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from deca.assets import asset
from deca.errors import AssetError
from deca.files import read_npz, read_safetensors
from deca.head import HeadModel
from deca.head.bundled import bundle_of
from deca_blender.protocol.conventions import OPENHEAD

FORMAT, VERSION = "deca-albedo", "1"
NUM_COEFFICIENTS = 50
"""Coefficients that DECA's networks give; files may hold more."""

_FLAME_SIZE, _FLAME_VERTS = 512, 5023
_FLAME_FILES = {("MU", "PC"): 1.0, ("mean", "tex_dir"): 255.0}
"""Names of mean and basis in `FLAME_albedo_from_BFM.npz` and `FLAME_texture.npz`, and the value of white."""


class AlbedoModel(nn.Module):
    """Albedo coefficients to textures.

    Args:
        mean_HW3: Mean albedo, RGB 0..1, top row first.
        basis_AHW3: Change per unit of each coefficient (unit variance).
        name: What the coefficients belong to.
        head_hash: Hash of the head model whose texture space it is; None stands for FLAME's, of any year.
    """

    mean_X: Tensor
    basis_AX: Tensor

    def __init__(self, mean_HW3: NDArray, basis_AHW3: NDArray, *, name: str, head_hash: str | None = None) -> None:
        super().__init__()
        self.name, self.head_hash = name, head_hash
        self._reduced: dict[int, tuple[NDArray[np.float32], NDArray[np.float32]]] = {}
        self.height, self.width = mean_HW3.shape[:2]
        mean_X = mean_HW3.transpose(2, 0, 1).reshape(-1)
        basis_AX = basis_AHW3.transpose(0, 3, 1, 2).reshape(len(basis_AHW3), -1)
        for key, array in (("mean_X", mean_X), ("basis_AX", basis_AX)):
            tensor = torch.from_numpy(np.ascontiguousarray(array, np.float32))
            self.register_buffer(key, tensor, persistent=False)

    @property
    def num_coefficients(self) -> int:
        return len(self.basis_AX)

    def albedo(self, codes_BA: Tensor) -> Tensor:
        """Albedo textures (B, 3, H, W), RGB, top row first; 0..1 for plausible codes, but not clamped.

        Args:
            codes_BA: The leading coefficients.
        """
        textures_BX = self.mean_X + codes_BA @ self.basis_AX[: codes_BA.shape[1]]
        return textures_BX.view(-1, 3, self.height, self.width)

    forward = albedo

    def arrays(self, size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean (H, W, 3) and basis (A, H, W, 3) reduced to size x size texels by averaging; not to be changed."""
        if size not in self._reduced:
            textures_AX = torch.cat((self.mean_X[None], self.basis_AX)).view(-1, 3, self.height, self.width)
            small = functional.interpolate(textures_AX, (size, size), mode="area").permute(0, 2, 3, 1).cpu().numpy()
            self._reduced[size] = small[0], small[1:]
        return self._reduced[size]

    def check_head(self, head: HeadModel) -> None:
        """Makes sure that the textures are for this head model.

        Raises:
            AssetError: They are for another.
        """
        fits = head.num_verts == _FLAME_VERTS if self.head_hash is None else head.hash == self.head_hash
        if not fits:
            raise AssetError(
                f"The albedo model {self.name} is for another head model than {head.name}.",
                "Give the albedo model that was made for the head model, or leave it out.",
            )


def load_albedo(name: str | Path = OPENHEAD, num_coefficients: int = NUM_COEFFICIENTS) -> AlbedoModel:
    """Loads an albedo model by the name of its head model (`openhead`) or by the path of its file.

    The file is our own (docs/architecture.md), `FLAME_albedo_from_BFM.npz` or `FLAME_texture.npz`; which one is told by
    what it holds. The official files' textures of 512 x 512 are reduced to DECA's 256 x 256 as there, by nearest texel.

    Args:
        name: Name or path.
        num_coefficients: Leading coefficients kept.

    Raises:
        AssetError: The file is missing, damaged, or none of these.
    """
    bundle = bundle_of(str(name))
    path = asset(bundle.albedo) if bundle and bundle.albedo else Path(name)
    if path.suffix == ".npz":
        return _read_flame(path, num_coefficients)
    return _read_own(path, num_coefficients)


def _read_own(path: Path, count: int) -> AlbedoModel:
    hint = "Give an albedo model file, FLAME_albedo_from_BFM.npz or FLAME_texture.npz, or reinstall the add-on."
    arrays, metadata = read_safetensors(path, "albedo model", hint)
    if (metadata.get("format"), metadata.get("version")) != (FORMAT, VERSION):
        raise AssetError(f"{path} is not an albedo model file of format {FORMAT} {VERSION}.", hint)
    mean, basis = arrays.get("albedo_mean"), arrays.get("albedo_basis")
    scale = arrays.get("albedo_scale")
    if mean is None or basis is None or basis.shape[1:] != mean.shape or mean.ndim != 3 or mean.shape[2] != 3:
        raise AssetError(f"The albedo model {path} has arrays that do not fit together.", hint)
    basis = basis[:count]
    if scale is not None:
        if len(scale) < len(basis):
            raise AssetError(f"The albedo model {path} lacks the scale of some components.", hint)
        basis = basis * scale[:count, None, None, None]
    if metadata.get("half") == "left":
        mean, basis = (np.concatenate((half, half[..., ::-1, :]), axis=-2) for half in (mean, basis))
    return _checked(path, mean, basis, metadata.get("name", path.stem), metadata.get("head_hash"))


def _read_flame(path: Path, count: int) -> AlbedoModel:
    for (mean_key, basis_key), white in _FLAME_FILES.items():
        # One after the other: the basis has some 200 components, and most are dropped at once.
        mean = read_npz(path, [mean_key]).get(mean_key)
        if mean is None:
            continue
        basis = read_npz(path, [basis_key]).get(basis_key)
        texels = (_FLAME_SIZE, _FLAME_SIZE, 3)
        if basis is None or mean.size != np.prod(texels) or basis.size % mean.size or basis.size == 0:
            break
        half = np.s_[::2, ::2, ::-1]  # every other texel; files have blue first
        mean_HW3 = mean.reshape(texels)[half] / white
        basis_AHW3 = np.moveaxis(basis.reshape(*texels, -1)[half][..., :count] / white, -1, 0)
        return _checked(path, mean_HW3, basis_AHW3, path.stem, None)
    raise AssetError(
        f"{path} is not an albedo model of FLAME: mean and basis of 512 x 512 x 3 values were expected.",
        "Give FLAME_albedo_from_BFM.npz or FLAME_texture.npz, unchanged.",
    )


def _checked(path: Path, mean: NDArray, basis: NDArray, name: str, head_hash: str | None) -> AlbedoModel:
    if not (np.isfinite(mean).all() and np.isfinite(basis).all()):
        raise AssetError(f"The albedo model {path} holds values that are not finite.", "Download or build it again.")
    return AlbedoModel(mean, basis, name=name, head_hash=head_hash)
