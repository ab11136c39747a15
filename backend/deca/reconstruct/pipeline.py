"""From a photo to `Face`: read, find, fit, crop, unwrap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from deca.appearance.laid_out import lay_out
from deca.appearance.lines import without_lines
from deca.appearance.skin_map import read_skin
from deca.appearance.texture import Texture, unwrap_photo
from deca.errors import NoFaceError, OptionError
from deca.networks.skin_map import SkinMapNetwork
from deca.reconstruct.coarse import can_refine, fitted_faces, refined_faces, regressed_faces
from deca.reconstruct.face import Face
from deca.reconstruct.models import Models, load_models
from deca.reconstruct.relief import reliefs_of_photo
from deca.reconstruct.same_person import describe
from deca.vision.faces import DetectedFace, find_faces, smallest_face
from deca.vision.photo import Photo, read_photo
from deca_blender.protocol.conventions import BUILTIN_WEIGHTS, OPENHEAD

Progress = Callable[[float, str], None]
Coarse = Literal["auto", "fit", "weights"]


def reconstruct_photo(
    path: str | Path,
    *,
    head: str = OPENHEAD,
    weights: str | Path | None = BUILTIN_WEIGHTS,
    coarse: Coarse = "auto",
    texture_size: int | None = 1024,
    max_faces: int = 8,
    paint_hair: bool = False,
    device: str = "cpu",
    progress: Progress = lambda fraction, text: None,
) -> list[Face]:
    """All faces of one photo file, the most prominent first.

    Args:
        path: The photo.
        head: `openhead`, or the path of a head model file.
        weights: As in `load_models`.
        coarse: As in `reconstruct`.
        texture_size: Side of the unwrapped texture in pixels; None or 0 leaves it out.
        max_faces: Give at most this many, the most prominent first.
        paint_hair: Paint hair on the textures' scalps where the photo shows hair.
        device: Torch device of the networks.
        progress: Called with a fraction in [0, 1] and what is being done; may raise to cancel.

    Raises:
        PhotoError: The photo cannot be read.
        NoFaceError: There is no face on it.
        AssetError: The head model or a network is missing or damaged, or they do not belong together.
    """
    progress(0.0, "Reading the photo")
    return reconstruct(
        read_photo(path),
        path=path,
        models=load_models(head, weights, device=device),
        coarse=coarse,
        texture_size=texture_size,
        max_faces=max_faces,
        paint_hair=paint_hair,
        progress=progress,
    )


def reconstruct(
    photo: Photo,
    *,
    path: str | Path,
    models: Models,
    coarse: Coarse = "auto",
    texture_size: int | None = 1024,
    max_faces: int = 8,
    paint_hair: bool = False,
    progress: Progress = lambda fraction, text: None,
) -> list[Face]:
    """As `reconstruct_photo`, from a photo and models already read.

    Args:
        photo: The photo.
        path: Where it is from.
        models: Head model, networks and albedo model.
        coarse: Where the coarse codes come from: `weights` regresses them (E_c), `fit` fits the landmarks, `auto`
            regresses and refines them by the fit; what DECA's released weights give it leaves as it is, and without
            weights it fits.
        texture_size: As in `reconstruct_photo`.
        max_faces: As in `reconstruct_photo`.
        paint_hair: As in `reconstruct_photo`.
        progress: As in `reconstruct_photo`.
    """
    check_coarse(coarse, models)
    progress(0.1, "Finding faces")
    detected = faces_on(photo, path, models, max_faces)
    progress(0.4, "Fitting the head")
    networks = models.networks
    if coarse == "fit" or networks is None:
        faces = fitted_faces(photo, Path(path), detected, models)
    elif coarse == "weights" or not can_refine(networks, models.head):
        faces = regressed_faces(photo, Path(path), detected, models, networks)
    else:
        faces = refined_faces(photo, Path(path), detected, models, networks)
    if models.skin_map is not None:
        faces = [with_skin_map(photo.pixels, face, models.skin_map) for face in faces]
    if models.relief is not None and networks is not None:
        progress(0.5, "Reading the skin")
        reliefs = reliefs_of_photo(photo.pixels, faces, models.relief)
        faces = [models.wear(face, relief) for face, relief in zip(faces, reliefs, strict=True)]
    described_ND = describe(photo, detected) if texture_size and models.skin_tone is not None else None
    for index, face in enumerate(faces):
        progress(0.55 + 0.45 * index / len(faces), "Unwrapping the photo")
        if texture_size:
            texture = unwrap_photo(
                photo.pixels,
                face.vertices(),
                face.to_photo(),
                models.head,
                size=texture_size,
                landmarks_L2=face.landmarks_L2,
                skin_map=face.skin_map,
                albedo=models.albedo,
                lightness=None if described_ND is None else models.skin_lightness(described_ND[index]),
                paint_hair=paint_hair,
            )
            faces[index] = with_texture(face, texture)
    progress(1.0, "Done")
    return faces


def with_skin_map(photo_HW3: NDArray[np.uint8], face: Face, network: SkinMapNetwork) -> Face:
    """The face, and what its photo shows of the skin."""
    laid = lay_out(photo_HW3, face.vertices(), face.to_photo(), face.head, face.landmarks_L2)
    return replace(face, skin_map=read_skin(laid, network))


def with_texture(face: Face, texture: Texture) -> Face:
    """The face with a texture whose albedo does not show the lines that its relief shows."""
    if face.reliefs:
        texture = without_lines(texture, face.reliefs[0][0].displacement_HW, face.head, face.skin_map)
    return replace(face, texture=texture)


def check_coarse(coarse: Coarse, models: Models) -> None:
    """Makes sure that there are weights where they are asked for.

    Raises:
        OptionError: There are none.
    """
    if coarse == "weights" and models.networks is None:
        raise OptionError("Coarse codes from weights were asked for, but no weights are given.", "Name a weights file.")


def faces_on(photo: Photo, path: str | Path, models: Models, max_faces: int) -> list[DetectedFace]:
    """The faces on a photo, the most prominent first.

    Raises:
        NoFaceError: There is none.
    """
    detected = find_faces(photo, max_faces=max_faces, device=str(models.device))
    if not detected:
        raise NoFaceError(
            f"No face was found on {path}.",
            f"Use a photo where the face is at least {smallest_face(photo)} pixels wide, uncovered and not turned past "
            "profile.",
        )
    return detected
