"""Are detail codes a person's wrinkles? A photo's rendering with detail codes of other photos (DECA, Eq. 15).

Detail consistency says that the code of another photo of the same person must explain a photo as well as its own code,
since expression and jaw bring the wrinkles of the moment; a code of another person should not.

Shape suffixes: B codes, D detail code, H W rows and columns of the crop or of UV maps.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from deca.errors import OptionError
from deca.reconstruct.face import Face
from deca.reconstruct.models import Decoded, Models
from deca.render.detail import DETAIL_MASK, applied_displacement
from deca.render.uv import uv_mask
from deca_training.evaluate.separation import mean, subject_auc
from deca_training.evaluate.subjects import FacePhoto, Subjects
from deca_training.evaluate.tables import Table

CODES = ("own", "same", "other")
"""Whose detail code: the photo's own, that of another photo of the subject, of another subject."""


@dataclass(frozen=True)
class Transfer:
    """A photo's rendering with detail codes.

    Attributes:
        error: Mean absolute difference from the photo by name of the code, and `none` without wrinkles; 0..1 in sRGB,
            over the pixels where both show skin.
        difference_mm: Mean |D - D_own| of the displacement on the detail mask by name of the code, millimetres.
        depth_mm: Mean |D_own|, without the head model's fixed displacement.
    """

    error: dict[str, float]
    difference_mm: dict[str, float]
    depth_mm: float


@torch.inference_mode()
def transfer(photo: FacePhoto, face: Face, codes: dict[str, NDArray[np.float32]], models: Models) -> Transfer:
    """Renders a photo's face with several detail codes; everything else is its own.

    Args:
        photo: The photo.
        face: Its codes.
        codes: Detail codes by name; `own` among them.
        models: Head model, networks and albedo model.

    Raises:
        OptionError: There are no networks, no albedo model, or the face does not show on its crop.
    """
    if models.networks is None or models.albedo is None:
        raise OptionError("Wrinkles need weights, and their rendering an albedo model.", "Name both.")
    picture_13HW, is_skin_11HW = photo.crop(face).to(models.device), photo.skin(face).to(models.device)
    skin_HW = uv_mask(models.head, DETAIL_MASK, device=models.device)
    error: dict[str, float] = {}
    displacement: dict[str, Tensor] = {}
    for name, detail_D in codes.items():
        decoded = models.decode_face(replace(face, detail_D=detail_D))
        surface = models.renderer(decoded.verts_BV3, decoded.picture_BV3)
        mask_11HW = is_skin_11HW * (surface.texture(skin_HW[None, None]) > 0.5)
        if mask_11HW.sum() < 1:
            raise OptionError(f"The reconstruction of {photo.name} lies beside its face.")
        pictures = {name: _normals(decoded)} | ({} if error else {"none": None})
        for key, normals in pictures.items():
            assert decoded.albedo_B3HW is not None and decoded.light_B93 is not None
            image = surface.shade(decoded.albedo_B3HW, decoded.light_B93, normals).image_B3HW.clamp(0, 1)
            difference_11HW = (image - picture_13HW).abs().mean(1, keepdim=True)
            error[key] = float((difference_11HW * mask_11HW).sum() / mask_11HW.sum())
        assert decoded.displacement_B1HW is not None
        displacement[name] = decoded.displacement_B1HW
    flat = applied_displacement(torch.zeros_like(displacement["own"]), models.head)

    def on_skin(map_11HW: Tensor) -> float:
        return 1000 * float(map_11HW.abs().sum() / skin_HW.sum())

    own = displacement["own"]
    return Transfer(error, {name: on_skin(other - own) for name, other in displacement.items()}, on_skin(own - flat))


def evaluate_transfer(
    models: Models, subjects: Subjects, *, by_fit: bool = False, name: str = "E_d", progress: bool = False
) -> Table:
    """Photometric errors with own and foreign detail codes; a row per kind of code.

    Args:
        models: Head model, networks and albedo model.
        subjects: The photos; subjects with a single one only lend their code to the next.
        by_fit: Coarse codes of the landmark fit instead of E_c's.
        name: What the method is called.
        progress: Show a progress bar.

    Raises:
        OptionError: No two photos of one subject could be used, or there are no networks or no albedo model.
    """
    errors, differences, depths = defaultdict(list), defaultdict(list), []
    codes: list[NDArray] = []
    names: list[str] = []
    nearer: list[float] = []
    for photo, face, same_D, other_D in _triples(models, subjects, by_fit, codes, names, progress):
        assert face.detail_D is not None
        try:
            found = transfer(photo, face, {"own": face.detail_D, "same": same_D, "other": other_D}, models)
        except OptionError as error:
            if models.networks is None or models.albedo is None:
                raise
            subjects.skipped[photo.name] = error.message
            continue
        for key, value in found.error.items():
            errors[key].append(value)
        for key, value in found.difference_mm.items():
            differences[key].append(value)
        depths.append(found.depth_mm)
        nearer.append(_nearer(found))
    if not depths:
        raise OptionError(
            f"{subjects.data} holds no two subjects of which one has two usable photos.", "; ".join(subjects.notes())
        )
    table = Table("Detail transfer")
    for key in ("none", *CODES):
        row = {"photos": len(errors[key]), "photometric_error": _rounded(mean(errors[key]))}
        if key in differences:
            row["displacement_difference_mm"] = _rounded(mean(differences[key]))
        table.add(method=name, detail_code=key, **row)
    separation = subject_auc(np.stack(codes), names)
    table.add(
        method=name,
        detail_code="all",
        photos=len(depths),
        mean_displacement_mm=_rounded(mean(depths)),
        same_beats_other=_rounded(mean(nearer)),
        code_auc_distance=_rounded(separation["distance"]),
        code_auc_angle=_rounded(separation["angle"]),
    )
    table.notes += [
        "photometric error: mean absolute difference of photo and rendering (0..1) where both show skin; `none` has no"
        " wrinkles. A consistent code gives `same` about the error of `own`, and `other` a larger one.",
        "same beats other: share of photos that the code of another photo of the subject explains better than that of"
        " another subject.",
        *subjects.notes(),
    ]
    return table


def _triples(
    models: Models, subjects: Subjects, by_fit: bool, codes: list[NDArray], names: list[str], progress: bool
) -> Iterator[tuple[FacePhoto, Face, NDArray[np.float32], NDArray[np.float32]]]:
    """Photos with the detail codes of the subject's next photo and of a subject before; all codes are collected."""
    before: NDArray[np.float32] | None = None
    waiting: list[tuple[FacePhoto, Face, NDArray[np.float32]]] = []
    for photos in tqdm(subjects, unit="subject", desc="detail transfer", disable=not progress):
        faces = [photo.face(models, by_fit) for photo in photos]
        details = [face.detail_D for face in faces if face.detail_D is not None]
        if len(details) < len(faces):
            raise OptionError("There are no weights that know wrinkles.", "Name a weights file.")
        codes += details
        names += [photo.subject for photo in photos]
        if not details:
            continue
        for one in waiting:  # the first subject's, whom nobody came before
            yield *one, details[0]
        waiting = []
        for k, (photo, face) in enumerate(zip(photos, faces, strict=True)):
            if len(photos) < 2:
                continue
            one = photo, face, details[(k + 1) % len(details)]
            if before is None:
                waiting.append(one)
            else:
                yield *one, before
        before = details[0]


def _nearer(found: Transfer) -> float:
    same, other = found.error["same"], found.error["other"]
    return 0.5 if same == other else float(same < other)


def _normals(decoded: Decoded) -> Tensor | None:
    return None if decoded.detail is None else decoded.detail.normals_B3HW


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 5)
