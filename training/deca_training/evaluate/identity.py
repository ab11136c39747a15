"""Does a reconstruction keep who it is? Shape codes and renderings within and between subjects (DECA, Eqs. 7 and 8).

Shape suffixes: N photos, D embedding, H W rows and columns of the crop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from deca.errors import OptionError
from deca.reconstruct.face import Face
from deca.reconstruct.models import Models
from deca.render.detail import DETAIL_MASK
from deca.render.uv import uv_mask
from deca_training.evaluate.separation import auc, mean, subject_auc
from deca_training.evaluate.subjects import FacePhoto, Subjects
from deca_training.evaluate.tables import Table

Embedding = Callable[[Tensor, Tensor], Tensor]
"""Crops (B, 3, H, W) in 0..1 and their 68 landmarks (B, 68, 2) in picture coordinates to embeddings (B, D) of length
one: `deca_training.features.identity.IdentityNetwork`."""


@dataclass
class _Seen:
    """What is kept of the photos."""

    subjects: list[str]
    shapes: list[NDArray]
    photos: list[NDArray]
    renderings: list[NDArray]
    exchanged: list[float]


def evaluate_identity(
    models: Models,
    subjects: Subjects,
    *,
    embedding: Embedding | None = None,
    by_fit: bool = False,
    name: str = "E_c",
    progress: bool = False,
) -> Table:
    """Separation of subjects by shape codes, and identity of renderings.

    The rendering (albedo in the photo's light) is drawn over the skin of its photo's crop, as for the identity loss. So
    that hair and background do not count as the reconstruction's merit, the same is drawn with shape and albedo of the
    subject before.

    Args:
        models: Head model, networks, and the albedo model that renderings need.
        subjects: The photos; several of each subject.
        embedding: Face recognition; None leaves the renderings out.
        by_fit: Codes of the landmark fit instead of E_c's.
        name: What the method is called.
        progress: Show a progress bar.

    Raises:
        OptionError: There is no albedo model for renderings, or no photo could be used.
    """
    if embedding is not None and models.albedo is None:
        raise OptionError("Renderings need an albedo model.", "Name one, or measure the shape codes alone.")
    seen = _Seen([], [], [], [], [])
    before: Face | None = None
    for photos in tqdm(subjects, unit="subject", desc="identity", disable=not progress):
        first: Face | None = None
        for photo in photos:
            face = photo.face(models, by_fit)
            seen.subjects.append(photo.subject)
            seen.shapes.append(face.shape_S)
            if embedding is not None:
                _embed(seen, photo, face, before, models, embedding)
            first = first or face
        before = first or before
    if not seen.subjects:
        raise OptionError(f"None of the photos in {subjects.data} can be used.", "; ".join(subjects.notes()))
    table = Table("Identity", notes=subjects.notes())
    separation = subject_auc(np.stack(seen.shapes), seen.subjects)
    row = {
        "method": name,
        "photos": len(seen.subjects),
        "subjects": len(set(seen.subjects)),
        "left_out": len(subjects.skipped),
        "shape_auc_distance": _rounded(separation["distance"]),
        "shape_auc_angle": _rounded(separation["angle"]),
    }
    table.notes.append(
        "shape auc: how often two photos of one subject have nearer shape codes than two of different ones."
    )
    if embedding is not None:
        row |= _similarities(seen)
        table.notes.append(
            "Similarities are cosines between a photo and: its own rendering; that with shape and albedo of another"
            " subject in its place; another photo of the subject; a photo of another subject. rendering auc: how often"
            " a rendering is nearer to another photo of its subject than to one of another."
        )
    table.rows.append(row)
    return table


def rendering_on(photo: FacePhoto, face: Face, codes: Face, models: Models) -> Tensor:
    """The crop (1, 3, H, W) of `face` with the skin of the coarse head of `codes` rendered over it."""
    decoded = models.decode_face(replace(codes, detail_D=None))
    if decoded.albedo_B3HW is None or decoded.light_B93 is None:
        raise OptionError("Renderings need an albedo model.", "Name one that belongs to the head model.")
    surface = models.renderer(decoded.verts_BV3, decoded.picture_BV3)
    skin_HW = uv_mask(models.head, DETAIL_MASK, device=models.device)
    image_13HW = surface.shade(decoded.albedo_B3HW, decoded.light_B93).image_B3HW.clamp(0, 1)
    return torch.lerp(photo.crop(face).to(models.device), image_13HW, surface.texture(skin_HW[None, None]))


@torch.inference_mode()
def _embed(
    seen: _Seen, photo: FacePhoto, face: Face, before: Face | None, models: Models, embedding: Embedding
) -> None:
    pictures = [photo.crop(face).to(models.device), rendering_on(photo, face, face, models)]
    if before is not None:
        other = replace(face, shape_S=before.shape_S, albedo_A=before.albedo_A)
        pictures.append(rendering_on(photo, face, other, models))
    landmarks_BL2 = photo.crop_landmarks(face).to(models.device).expand(len(pictures), -1, -1)
    embeddings_BD = embedding(torch.cat(pictures), landmarks_BL2).double().cpu().numpy()
    seen.photos.append(embeddings_BD[0])
    seen.renderings.append(embeddings_BD[1])
    if before is not None:
        seen.exchanged.append(float(embeddings_BD[0] @ embeddings_BD[2]))


def _similarities(seen: _Seen) -> dict[str, float | None]:
    photos_ND, renderings_ND, names = np.stack(seen.photos), np.stack(seen.renderings), np.array(seen.subjects)
    is_same_NN = names[:, None] == names
    is_other_photo_NN = ~np.eye(len(names), dtype=bool)
    between_NN: NDArray = photos_ND @ photos_ND.T
    crossed_NN: NDArray = renderings_ND @ photos_ND.T
    same, different = is_same_NN & is_other_photo_NN, ~is_same_NN
    return {
        "own_rendering": _rounded(mean(np.diag(crossed_NN).tolist())),
        "exchanged_rendering": _rounded(mean(seen.exchanged)),
        "same_subject": _rounded(mean(between_NN[same].tolist())),
        "other_subject": _rounded(mean(between_NN[different].tolist())),
        "photo_auc": _rounded(auc(-between_NN[same], -between_NN[different])),
        "rendering_auc": _rounded(auc(-crossed_NN[same], -crossed_NN[different])),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
