"""From a photo to `Face`: read, find, fit, crop, unwrap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deca.appearance.texture import unwrap_photo
from deca.errors import NoFaceError
from deca.head import HeadModel, load_head
from deca.reconstruct.face import Face
from deca.reconstruct.fit import fit_landmarks
from deca.render.camera import CROP_SIZE
from deca.vision.crop import crop_transform
from deca.vision.faces import find_faces
from deca.vision.photo import Photo, read_photo

Progress = Callable[[float, str], None]


def reconstruct_photo(
    path: str | Path,
    *,
    head: str = "openhead",
    texture_size: int | None = 1024,
    max_faces: int | None = None,
    device: str = "cpu",
    progress: Progress = lambda fraction, text: None,
) -> list[Face]:
    """All faces of one photo file, the most prominent first.

    Args:
        path: The photo.
        head: `openhead`, or the path of a head model file.
        texture_size: Side of the unwrapped texture in pixels; None or 0 leaves it out.
        max_faces: Stop after this many faces.
        device: Torch device of the vision networks.
        progress: Called with a fraction in [0, 1] and what is being done; may raise to cancel.

    Raises:
        PhotoError: The photo cannot be read.
        NoFaceError: There is no face on it.
        AssetError: The head model or a network is missing or damaged.
    """
    progress(0.0, "Reading the photo")
    return reconstruct(
        read_photo(path),
        head=load_head(head),
        texture_size=texture_size,
        max_faces=max_faces,
        device=device,
        progress=progress,
    )


def reconstruct(
    photo: Photo,
    *,
    head: HeadModel,
    texture_size: int | None = 1024,
    max_faces: int | None = None,
    device: str = "cpu",
    progress: Progress = lambda fraction, text: None,
) -> list[Face]:
    """As `reconstruct_photo`, from a photo and a head model already read."""
    progress(0.1, "Finding faces")
    detected = find_faces(photo, max_faces=max_faces, device=device)
    if not detected:
        raise NoFaceError(
            f"No face was found on {photo.path}.",
            "Use a photo where the face is at least 60 pixels wide, uncovered and not turned past profile.",
        )
    progress(0.4, "Fitting the head")
    landmarks_BL2 = np.stack([face.landmarks_L3[:, :2] for face in detected])
    size = (photo.width, photo.height)
    fit = fit_landmarks(landmarks_BL2, size, head, focal_px=photo.focal_px)
    faces: list[Face] = []
    for index, found in enumerate(detected):
        progress(0.5 + 0.5 * index / len(detected), "Unwrapping the photo")
        crop_33 = crop_transform(found.box)
        face = Face(
            photo=Path(photo.path),
            index=index,
            head=head,
            shape_S=fit.shape_BS[index],
            expression_E=fit.expression_BE[index],
            pose_53=fit.pose_B53[index],
            camera_3=camera_on_crop(fit.scale_B[index], fit.offset_B2[index], crop_33),
            crop_33=crop_33,
            image_size=size,
            box=found.box,
            landmarks_L2=landmarks_BL2[index].astype(np.float32),
            landmark_error=float(fit.error_B[index]),
        )
        if texture_size:
            texture = unwrap_photo(
                photo.pixels, face.vertices(), face.to_photo(), head, size=texture_size, landmarks_L2=face.landmarks_L2
            )
            face = replace(face, texture_NN3=texture)
        faces.append(face)
    progress(1.0, "Done")
    return faces


def camera_on_crop(scale: float, offset_2: NDArray, crop_33: NDArray) -> NDArray[np.float32]:
    """DECA's `[s, tx, ty]` on the crop, from `photo pixel = scale * (x, -y) + offset`.

    Args:
        scale: Photo pixels per metre.
        offset_2: Photo pixel of the head space's origin.
        crop_33: Photo pixels -> crop pixels; uniform scale and shift.
    """
    half = CROP_SIZE / 2
    zoom = crop_33[0, 0]
    s = zoom * scale / half
    x, y = zoom * np.asarray(offset_2) + crop_33[:2, 2]
    return np.array([s, (x - half) / (half * s), (half - y) / (half * s)], np.float32)
