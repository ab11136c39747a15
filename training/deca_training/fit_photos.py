"""`deca-train fit`: heads fitted to photos as the product does, with what the photos show of their skin."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from deca.errors import DecaError, OptionError
from deca.files import write_file
from deca.reconstruct.coarse import refined_faces
from deca.reconstruct.face import Face
from deca.reconstruct.models import Models, load_models
from deca.reconstruct.relief import layout_of
from deca.vision.crop import warp_crop
from deca.vision.geometry import apply
from deca_blender.protocol.conventions import BUILTIN_WEIGHTS
from deca_training.data.fitted import FORMAT, FittedPhotos
from deca_training.data.masks import mask_from_landmarks
from deca_training.evaluate.subjects import FacePhoto, Subjects

_QUALITY = 95
"""Of the crops' JPEG files."""
_SAVED = 50
"""Photos between two writings of the file."""
_WORST = 0.05
"""Landmark error, in outer-eye distances, beyond which a fit is not used: it is another face, or none."""


def fit_photos(
    data: Path, out: Path, *, models: Models | None = None, photos: int | None = None, progress: bool = False
) -> int:
    """Fits heads to photos as the product does, and writes `out`; returns how many photos are in it.

    What is in `out` already is kept, and the rest is added: the same command goes on where it was stopped.

    Args:
        data: An index, or a folder of folders.
        out: The file, .npz.
        models: Head model and networks; the bundled ones when None.
        photos: At most this many of each subject.
        progress: Show a progress bar.

    Raises:
        OptionError: No photo can be used, or there are no networks.
        AssetError: `out` is damaged, or its heads are of another head model.
        OutputError: The file cannot be written.
    """
    models = models or load_models(weights=BUILTIN_WEIGHTS)
    rows = _rows_of(out, models.head.hash) if out.exists() else []
    known = {str(row["photos"]) for row in rows}
    saved = len(rows)
    for found in tqdm(Subjects(data, photos=photos), disable=not progress, unit="subject"):
        for photo in found:
            if photo.name in known:
                continue
            try:
                row = _fitted(photo, models)
            except DecaError:  # one photo that cannot be fitted is no reason to lose the others
                continue
            if row is not None:
                rows.append(row)
        if len(rows) >= saved + _SAVED:
            _save(rows, models.head.hash, out)
            saved = len(rows)
    if not rows:
        raise OptionError(f"No photo of {data} can be used.", "Give photos with faces of 50 pixels and more.")
    _save(rows, models.head.hash, out)
    return len(rows)


def _rows_of(out: Path, head_hash: str) -> list[dict[str, NDArray]]:
    """The rows of a file, to be added to."""
    there = FittedPhotos.load(out)
    there.check_head(head_hash)
    arrays = there.arrays
    crops = np.split(arrays["jpeg"], arrays["jpeg_ends"][:-1])
    names = [name for name in arrays if name not in ("meta", "jpeg", "jpeg_ends")]
    return [{name: arrays[name][row] for name in names} | {"jpeg": crop} for row, crop in enumerate(crops)]


def _save(rows: list[dict[str, NDArray]], head_hash: str, out: Path) -> None:
    rows = sorted(rows, key=lambda row: (str(row["subjects"]), str(row["photos"])))
    arrays = {name: np.stack([row[name] for row in rows]) for name in rows[0] if name != "jpeg"}
    crops = [row["jpeg"] for row in rows]
    arrays |= {
        "meta": np.array([FORMAT[0], str(FORMAT[1]), head_hash]),
        "jpeg": np.concatenate(crops),
        "jpeg_ends": np.cumsum([len(crop) for crop in crops]),
    }
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_file(out, buffer.getvalue())


def _fitted(photo: FacePhoto, models: Models) -> dict[str, NDArray] | None:
    """A photo's row, or None where the fit is off."""
    if models.networks is None:
        raise OptionError("Photos are fitted from what networks say of them.", "Name weights, or reinstall.")
    face = refined_faces(photo.photo, Path(photo.name), [photo.found], models, models.networks)[0]
    if face.landmark_error > _WORST or face.albedo_A is None or face.light_93 is None:
        return None
    marks_L2 = apply(face.crop_33, photo.found.landmarks_L3[:, :2])
    width, height = photo.photo.width, photo.photo.height
    corners_42 = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float64)
    mask_HW = mask_from_landmarks(marks_L2, apply(face.crop_33, corners_42))
    depth_L1 = photo.found.landmarks_L3[:, 2:] * face.crop_33[0, 0]
    return {
        "subjects": np.array(photo.subject),
        "photos": np.array(photo.name),
        "jpeg": _jpeg(photo, face),
        "landmarks478_NL3": np.concatenate((marks_L2, depth_L1), 1).astype(np.float32),
        "mask_NHW": np.packbits(mask_HW > 127, axis=-1),
        "seen_NYY": np.packbits(layout_of(photo.photo.pixels, face).seen_B1HW[0, 0].numpy() > 0.5, axis=-1),
        "error_N": np.array(face.landmark_error, np.float32),
        "shape_NS": face.shape_S,
        "albedo_NA": face.albedo_A,
        "expression_NE": face.expression_E,
        "pose_N23": face.pose_53[[0, 2]],
        "camera_N3": face.camera_3,
        "light_N93": face.light_93,
    }


def _jpeg(photo: FacePhoto, face: Face) -> NDArray[np.uint8]:
    crop_HW3 = np.rint(warp_crop(photo.photo.pixels, face.crop_33).transpose(1, 2, 0) * 255).astype(np.uint8)
    return cv2.imencode(".jpg", crop_HW3[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].ravel()
