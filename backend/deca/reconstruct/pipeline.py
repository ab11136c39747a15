"""From a photo to `Face`: read, find, fit, crop, unwrap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from deca.appearance.texture import unwrap_photo
from deca.errors import NoFaceError
from deca.head import HeadModel, load_head
from deca.head.layer import HeadLayer
from deca.reconstruct.face import Face
from deca.reconstruct.fit import FitResult, fit_landmarks
from deca.render.camera import CROP_SIZE
from deca.vision.crop import crop_from_landmarks
from deca.vision.faces import find_faces
from deca.vision.photo import Photo, read_photo

Progress = Callable[[float, str], None]


def reconstruct_photo(
    path: str | Path,
    *,
    head: str = "openhead",
    texture_size: int | None = 1024,
    max_faces: int = 8,
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
        path=path,
        head=load_head(head),
        texture_size=texture_size,
        max_faces=max_faces,
        device=device,
        progress=progress,
    )


def reconstruct(
    photo: Photo,
    *,
    path: str | Path,
    head: HeadModel,
    texture_size: int | None = 1024,
    max_faces: int = 8,
    device: str = "cpu",
    progress: Progress = lambda fraction, text: None,
) -> list[Face]:
    """As `reconstruct_photo`, from a photo and a head model already read."""
    progress(0.1, "Finding faces")
    detected = find_faces(photo, max_faces=max_faces, device=device)
    if not detected:
        raise NoFaceError(
            f"No face was found on {path}.",
            "Use a photo where the face is at least 60 pixels wide, uncovered and not turned past profile.",
        )
    progress(0.4, "Fitting the head")
    landmarks_BL2 = np.stack([face.landmarks_L3[:, :2] for face in detected])
    size = (photo.width, photo.height)
    fit = fit_landmarks(landmarks_BL2, size, head, focal_px=focal_in_pixels(photo))
    contours_BL2 = ibug_landmarks(head, fit)
    faces: list[Face] = []
    for index, found in enumerate(detected):
        progress(0.5 + 0.5 * index / len(detected), "Unwrapping the photo")
        crop_33 = crop_from_landmarks(contours_BL2[index])
        face = Face(
            photo=Path(path),
            index=index,
            head=head,
            shape_S=fit.shape_BS[index].astype(np.float32),
            expression_E=fit.expression_BE[index].astype(np.float32),
            pose_53=fit.pose_B53[index].astype(np.float32),
            camera_3=camera_on_crop(fit.scale_B[index], fit.offset_B2[index], crop_33),
            crop_33=crop_33,
            image_size=size,
            box=tuple(found.box.tolist()),
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


def focal_in_pixels(photo: Photo) -> float | None:
    """Focal length in pixels, from the 35 mm equivalent that the camera noted (its film's diagonal is 43.27 mm)."""
    if not photo.focal_length_35mm:
        return None
    return photo.focal_length_35mm / 43.27 * float(np.hypot(photo.width, photo.height))


def ibug_landmarks(head: HeadModel, fit: FitResult) -> NDArray[np.float64]:
    """The fitted heads' 68 landmarks (B, 68, 2) in photo pixels: what DECA's crop is measured on."""
    layer = HeadLayer(head, fit.shape_BS.shape[1], fit.expression_BE.shape[1])
    shape, expression, pose = (
        torch.from_numpy(np.asarray(code, np.float32)) for code in (fit.shape_BS, fit.expression_BE, fit.pose_B53)
    )
    with torch.inference_mode():
        points_BL3 = layer.landmarks_68(layer(shape, expression, pose), pose).double().numpy()
    return fit.scale_B[:, None, None] * points_BL3[..., :2] * (1, -1) + fit.offset_B2[:, None]


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
