"""What fitted photos show of albedo, and its principal components: what D_A is first taught to draw.

A photo's albedo is its colours over the fitted shading; what it does not show is filled in by the components, which are
found again then.

Shape suffixes: B N photos, K components, C channels, H W rows and columns of the window of the UV map, X = 3 H W.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from deca.networks import Codes
from deca.reconstruct.nonlinear import NonlinearHead, TexelView
from deca.render.lighting import sh_shading
from deca_training.batch import Batch
from deca_training.data.augment import Augmentation
from deca_training.data.fitted import FittedPhotos

_AT_ONCE = 16
_DARK = 0.15
"""Shading below which a photo says nothing of albedo."""
_ROUNDS = 4
"""Of filling in what photos do not show from the components, and finding these again."""


@dataclass(frozen=True)
class Components:
    """A linear model of maps.

    Attributes:
        mean_X: The mean map.
        basis_KX: Components, each at a code of one deviation.
        codes_NK: Codes of the maps that it was made of.
    """

    mean_X: Tensor
    basis_KX: Tensor
    codes_NK: Tensor


def fitted_verts(face: NonlinearHead, codes: Codes) -> Tensor:
    """Posed vertices (B, V, 3) of fitted heads, which are the linear model's."""
    return face.posed(codes, torch.zeros(len(codes.shape_BS), 3, *face.covered_HW.shape))


def view_of(face: NonlinearHead, batch: Batch) -> tuple[TexelView, Tensor]:
    """What photos show of the heads that were fitted to them, and the light that was."""
    codes = batch.geometry
    assert codes is not None and batch.seen_B1HW is not None
    with torch.no_grad():
        verts_BV3 = fitted_verts(face, codes)
        view = face.view(verts_BV3, codes.camera_B3, batch.image_B3HW, torch.ones_like(batch.mask_B1HW))
        return replace(view, seen_B1HW=view.seen_B1HW * face.shown_on_window(batch.seen_B1HW)), codes.light_B93


def batches(photos: FittedPhotos) -> Iterator[Batch]:
    """All photos, as they are, a few at a time."""
    none, rng = Augmentation.none(), np.random.default_rng(0)  # which nothing is asked of
    for start in range(0, len(photos), _AT_ONCE):
        part = range(start, min(start + _AT_ONCE, len(photos)))
        yield photos.batch(part, none, [rng] * len(part))


def shown_albedo(photos: FittedPhotos, face: NonlinearHead, *, beyond: bool = False) -> tuple[Tensor, Tensor]:
    """Albedo (N, X) that photos show, display values, and where they show it.

    Args:
        photos: The photos.
        face: Gives the window.
        beyond: What the linear albedo that was fitted lacks, instead of the whole.
    """
    rows, known = [], []
    for batch in batches(photos):
        view, light_B93 = view_of(face, batch)
        shading_B3HW = sh_shading(view.normals_B3HW, light_B93)
        seen_B1HW = (view.seen_B1HW > 0.5) & (shading_B3HW.amin(1, keepdim=True) > _DARK)
        albedo_B3HW = (view.photo_B3HW / shading_B3HW.clamp(min=_DARK)).clamp(0, 1)
        if beyond:
            assert batch.geometry is not None
            albedo_B3HW = albedo_B3HW - face.albedo(batch.geometry.albedo_BA, torch.zeros(()))
        rows.append(albedo_B3HW.flatten(1))
        known.append(seen_B1HW.expand(-1, 3, -1, -1).flatten(1))
    return torch.cat(rows), torch.cat(known)


def components_of(maps_NX: Tensor, known_NX: Tensor, count: int, unseen_X: Tensor) -> Components:
    """Principal components of maps with gaps.

    Args:
        maps_NX: The maps.
        known_NX: Where they are known.
        count: Components; fewer where there are no more maps.
        unseen_X: The mean where no map is known.
    """
    count, root = min(count, len(maps_NX) - 1), len(maps_NX) ** 0.5
    seen_X = known_NX.sum(0)
    mean_X = torch.where(seen_X > 0, (maps_NX * known_NX).sum(0) / seen_X.clamp(min=1), unseen_X)
    filled_NX = torch.where(known_NX, maps_NX, mean_X)
    basis_KX, vectors_NK = filled_NX[:count], filled_NX[:, :count]
    for _ in range(_ROUNDS):
        mean_X = filled_NX.mean(0)
        centred_NX = filled_NX - mean_X
        # Few maps of many texels: by their inner products.
        vectors_NK = torch.linalg.eigh(centred_NX @ centred_NX.T).eigenvectors[:, -count:].flip(1)
        basis_KX = vectors_NK.T @ centred_NX / root
        filled_NX = torch.where(known_NX, maps_NX, mean_X + root * vectors_NK @ basis_KX)
    return Components(mean_X, basis_KX, root * vectors_NK)


class PhotoAlbedo(nn.Module):
    """Principal components of what photos' albedo has beyond the linear model, and the photos' codes.

    Args:
        photos: The photos.
        face: Linear albedo and window.
        count: Components at most.
    """

    mean_X: Tensor
    basis_KX: Tensor
    codes_NK: Tensor

    def __init__(self, photos: FittedPhotos, face: NonlinearHead, count: int) -> None:
        super().__init__()
        maps_NX, known_NX = shown_albedo(photos, face, beyond=True)
        # Around the skin there is nothing to draw.
        skin_X = (face.skin_HW > 0).expand(3, -1, -1).flatten()
        found = components_of(maps_NX * skin_X, known_NX | ~skin_X, count, torch.zeros_like(face.mean_Y))
        for name, value in vars(found).items():
            self.register_buffer(name, value, persistent=False)
        self.count, self.shape = count, (3, *face.covered_HW.shape)
        self._row = {name: row for row, name in enumerate(photos.arrays["photos"][photos.rows_N].tolist())}

    def codes(self, names: tuple[str, ...]) -> Tensor | None:
        """Codes (B, K) of photos by name; None where one is not among them."""
        if not all(name in self._row for name in names):
            return None
        code_BK = self.codes_NK[[self._row[name] for name in names]]
        return nn.functional.pad(code_BK, (0, self.count - code_BK.shape[1]))  # there may be fewer photos

    def offsets(self, code_BK: Tensor) -> Tensor:
        """What codes stand for (B, 3, H, W), display values."""
        return (self.mean_X + code_BK[:, : len(self.basis_KX)] @ self.basis_KX).view(len(code_BK), *self.shape)
