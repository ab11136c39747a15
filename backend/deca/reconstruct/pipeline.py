"""From a photo to `Face`: read, find, fit, crop, unwrap."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from deca.appearance.albedo import load_albedo
from deca.appearance.laid_out import lay_out
from deca.appearance.lines import without_lines
from deca.appearance.skin_map import read_skin
from deca.appearance.texture import unwrap_photo
from deca.assets import asset, assets_dir
from deca.devices import choose_device
from deca.errors import AssetError, DecaWarning, NoFaceError, OptionError
from deca.head import HeadModel, load_head
from deca.head.bundled import bundle_of
from deca.networks import Networks, check_head
from deca.networks.relief import ReliefNetwork, load_relief
from deca.networks.skin_map import SkinMapNetwork, load_skin_map
from deca.reconstruct.coarse import can_refine, fitted_faces, refined_faces, regressed_faces
from deca.reconstruct.decode import Decoder
from deca.reconstruct.face import Face
from deca.reconstruct.relief import reliefs_of_photo
from deca.vision.faces import DetectedFace, find_faces, smallest_face
from deca.vision.photo import Photo, read_photo
from deca_blender.protocol.conventions import BUILTIN_WEIGHTS, OPENHEAD

T = TypeVar("T")
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
        weights: As in `load_decoder`.
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
        decoder=load_decoder(head, weights, device=device),
        coarse=coarse,
        texture_size=texture_size,
        max_faces=max_faces,
        paint_hair=paint_hair,
        progress=progress,
    )


def load_decoder(
    head: str | Path = OPENHEAD,
    weights: str | Path | None = None,
    albedo: str | Path | None = None,
    device: str = "cpu",
) -> Decoder:
    """The models that a reconstruction needs, by name or path; bundled head models bring their albedo model along.

    Args:
        head: `openhead`, or the path of a head model file.
        weights: DECA's `deca_model.tar` or a weights file of ours; None for none, and thus the landmark fit and no
            wrinkles; `BUILTIN_WEIGHTS` for the bundled ones, or none where they are missing or the head has none.
        albedo: The name of a bundled head model, or the path of an albedo model file.
        device: Torch device of the networks.

    Raises:
        AssetError: A file is missing or damaged, or they do not belong together.
        DeviceError: There is no such device here.

    Warns:
        DecaWarning: The built-in weights are there, but cannot be used.
    """
    device = choose_device(device)
    bundle = bundle_of(str(head))
    if albedo is None and bundle and bundle.albedo:
        albedo = str(head)
    model = load_head(str(head))
    if weights is None:
        networks = None
    elif weights == BUILTIN_WEIGHTS:
        networks = builtin_networks(model, device)
    else:
        networks = Networks.load(weights, device)
    relief = builtin_relief(model) if networks is not None else None
    skin = builtin_skin_map(model)
    return Decoder(model, networks, None if albedo is None else load_albedo(albedo), device, relief, skin)


def builtin_networks(head: HeadModel, device: str = "cpu") -> Networks | None:
    """The networks of the bundled weights; None where they are missing, or for a head model that comes with none.

    Warns:
        DecaWarning: They are there, but damaged or made for another version of the head model; None, too.
    """

    def load(path: Path) -> Networks:
        networks = Networks.load(path, device)
        check_head(networks.card, head)
        return networks

    trouble = "The built-in weights cannot be used, so heads have no wrinkles"
    return _builtin(head, "weights", load, trouble, "Reinstall the add-on, or choose other weights.")


def builtin_relief(head: HeadModel) -> ReliefNetwork | None:
    """The bundled relief network; None where it is missing, or for a head model that comes with none.

    Warns:
        DecaWarning: It is there, but damaged or made for another version of the head model; None, too.
    """

    def load(path: Path) -> ReliefNetwork:
        relief = load_relief(path)
        relief.check_head(head)
        return relief

    return _builtin(
        head, "relief", load, "The relief network cannot be used, so wrinkles lie where most people have them"
    )


def builtin_skin_map(head: HeadModel) -> SkinMapNetwork | None:
    """The bundled skin map network; None where it is missing, or for a head model that comes with none.

    Warns:
        DecaWarning: It is there, but damaged or made for another version of the head model; None, too.
    """

    def load(path: Path) -> SkinMapNetwork:
        network = load_skin_map(path)
        network.check_head(head)
        return network

    return _builtin(head, "skin_map", load, "The skin map network cannot be used, so skin is told by its colour")


def _builtin(
    head: HeadModel, what: str, load: Callable[[Path], T], trouble: str, advice: str = "Reinstall the add-on."
) -> T | None:
    """What a head model's bundle names by the field `what`; None, with a warning, where it cannot be used."""
    file = getattr(bundle_of(head.name), what, "")
    if not file or not (assets_dir() / file).is_file():
        return None
    try:
        return load(asset(file))
    except AssetError as error:
        warnings.warn(f"{trouble}: {error.message} {advice}", DecaWarning, stacklevel=3)
        return None


def reconstruct(
    photo: Photo,
    *,
    path: str | Path,
    decoder: Decoder,
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
        decoder: Head model, networks and albedo model.
        coarse: Where the coarse codes come from: `weights` regresses them (E_c), `fit` fits the landmarks, `auto`
            regresses and refines them by the fit; what DECA's released weights give it leaves as it is, and without
            weights it fits.
        texture_size: As in `reconstruct_photo`.
        max_faces: As in `reconstruct_photo`.
        paint_hair: As in `reconstruct_photo`.
        progress: As in `reconstruct_photo`.
    """
    check_coarse(coarse, decoder)
    progress(0.1, "Finding faces")
    detected = faces_on(photo, path, decoder, max_faces)
    progress(0.4, "Fitting the head")
    networks = decoder.networks
    if coarse == "fit" or networks is None:
        faces = fitted_faces(photo, Path(path), detected, decoder)
    elif coarse == "weights" or not can_refine(networks, decoder.head):
        faces = regressed_faces(photo, Path(path), detected, decoder, networks)
    else:
        faces = refined_faces(photo, Path(path), detected, decoder, networks)
    if decoder.skin_map is not None:
        faces = [with_skin_map(photo.pixels, face, decoder.skin_map) for face in faces]
    if decoder.relief is not None and networks is not None:
        progress(0.5, "Reading the skin")
        reliefs = reliefs_of_photo(photo.pixels, faces, decoder.relief)
        faces = [decoder.wear(face, relief) for face, relief in zip(faces, reliefs, strict=True)]
    for index, face in enumerate(faces):
        progress(0.55 + 0.45 * index / len(faces), "Unwrapping the photo")
        if texture_size:
            texture = unwrap_photo(
                photo.pixels,
                face.vertices(),
                face.to_photo(),
                decoder.head,
                size=texture_size,
                landmarks_L2=face.landmarks_L2,
                skin_map=face.skin_map,
                albedo=decoder.albedo,
                paint_hair=paint_hair,
            )
            if face.reliefs:
                texture = without_lines(texture, face.reliefs[0][0].displacement_HW, decoder.head)
            faces[index] = replace(face, texture=texture)
    progress(1.0, "Done")
    return faces


def with_skin_map(photo_HW3: NDArray[np.uint8], face: Face, network: SkinMapNetwork) -> Face:
    """The face, and what its photo shows of the skin."""
    laid = lay_out(photo_HW3, face.vertices(), face.to_photo(), face.head, face.landmarks_L2)
    return replace(face, skin_map=read_skin(laid, network))


def check_coarse(coarse: Coarse, decoder: Decoder) -> None:
    """Makes sure that there are weights where they are asked for.

    Raises:
        OptionError: There are none.
    """
    if coarse == "weights" and decoder.networks is None:
        raise OptionError("Coarse codes from weights were asked for, but no weights are given.", "Name a weights file.")


def faces_on(photo: Photo, path: str | Path, decoder: Decoder, max_faces: int) -> list[DetectedFace]:
    """The faces on a photo, the most prominent first.

    Raises:
        NoFaceError: There is none.
    """
    detected = find_faces(photo, max_faces=max_faces, device=str(decoder.device))
    if not detected:
        raise NoFaceError(
            f"No face was found on {path}.",
            f"Use a photo where the face is at least {smallest_face(photo)} pixels wide, uncovered and not turned past "
            "profile.",
        )
    return detected
