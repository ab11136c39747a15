"""Pictures of a reconstruction: heads over their photo, and what each step gave side by side.

Shape suffixes: H W rows and columns; pictures are (H, W, 3) uint8 sRGB.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from deca.reconstruct.face import Face
from deca.reconstruct.geometry import rotation
from deca.reconstruct.models import Decoded, Models, Pictures
from deca.render.camera import Window, photo_pixels, window_picture
from deca.render.preview import draw_head
from deca_blender.protocol.conventions import CROP_SIZE

Picture = NDArray[np.uint8]

_CELL = 320
_DOT = (90, 220, 120)
_OVERLAY_SIZE = 1600
"""Longest side of the overlay's photo, pixels; small photos are enlarged up to it until a face is _FACE_SIZE wide."""
_FACE_SIZE = 400
_ASIDE_33 = rotation(np.array([[0, np.radians(25), 0]]))[0]
"""Turns a head to a three-quarter view, in which the nose has a shape."""
_ROOM = 48
"""Grey behind a head on a contact sheet."""


def png_bytes(pixels: Picture) -> bytes:
    """A picture (H, W, 3) as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


def overlay(photo: Picture, faces: list[Face]) -> Picture:
    """The photo, and beside it the photo with the fitted heads drawn over it and the landmarks as dots."""
    widest = max(face.box[2] - face.box[0] for face in faces)
    scale = min(max(1.0, _FACE_SIZE / widest), _OVERLAY_SIZE / max(photo.shape[:2]))
    size = (max(1, round(photo.shape[1] * scale)), max(1, round(photo.shape[0] * scale)))
    small = np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.LANCZOS))
    drawn = small
    for face in faces:
        drawn = draw_head(drawn, face.head, face.vertices(), face.to_photo() * scale, opacity=0.75)
    for face in faces:
        drawn = _dotted(drawn, face.landmarks_L2 * scale)
    return np.concatenate((small, drawn), axis=1)


def on_photo(photo: Picture, face: Face, decoded: Decoded, models: Models) -> dict[str, Picture]:
    """The face's renderings over the whole photo: `coarse` and `detail` (without albedo in grey).

    Photos larger than the overlay's size are reduced to it.
    """
    scale = min(1.0, _OVERLAY_SIZE / max(photo.shape[:2]))
    size = (max(1, round(photo.shape[1] * scale)), max(1, round(photo.shape[0] * scale)))
    small = np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.LANCZOS))
    crop_133 = torch.from_numpy(face.crop_33 @ np.diag((1 / scale, 1 / scale, 1)))[None].to(models.device)
    window = Window.around(photo_pixels(decoded.picture_BV3, crop_133).cpu().numpy(), *small.shape[:2])
    where = window_picture(decoded.picture_BV3, crop_133, window)
    pictures = models.render(decoded, where, window.height, window.width)
    results: dict[str, Picture] = {}
    for name, image, shape in (
        ("coarse", pictures.coarse, pictures.coarse_shape),
        ("detail", pictures.detail, pictures.detail_shape),
    ):
        image_13HW = shape if image is None else image
        if image_13HW is not None:
            results[name] = small.copy()
            part = window.cut(results[name])
            part[...] = _over(part, image_13HW, pictures)
    return results


def comparison(photo: Picture, faces: Sequence[Face], decoded: Sequence[Decoded], models: Models) -> Picture:
    """A row per face: photo, landmarks, coarse shape, shape with wrinkles, albedo in the photo's light."""
    return np.concatenate([_row(photo, face, codes, models) for face, codes in zip(faces, decoded, strict=True)])


def contact_jpeg(photo: Picture, face: Face, size: int) -> bytes:
    """A face for a contact sheet, (size, 3 size, 3) as JPEG: the photo, the head over it, the head turned."""
    crop = _cut_crop(photo, face.crop_33, size)
    posed_V3 = face.vertices()
    scale = size / CROP_SIZE
    to_crop_24 = np.diag((scale, scale, 1))[:2] @ face.crop_33 @ np.vstack((face.to_photo(), (0, 0, 0, 1)))
    texture_NN3 = face.texture.albedo_NN3 if face.texture is not None else None
    over = draw_head(crop, face.head, posed_V3, to_crop_24, texture_NN3=texture_NN3, opacity=0.85)
    turned_V3 = posed_V3 @ rotation(face.pose_53[:1].astype(np.float64))[0] @ _ASIDE_33.T
    low_3, high_3 = turned_V3.min(0), turned_V3.max(0)
    pixels = 0.94 * size / (high_3 - low_3)[:2].max()
    middle_3 = (low_3 + high_3) / 2
    to_cell_24 = np.array(
        ((pixels, 0, 0, size / 2 - pixels * middle_3[0]), (0, -pixels, 0, size / 2 + pixels * middle_3[1]))
    )
    room = np.full((size, size, 3), _ROOM, np.uint8)
    head = draw_head(room, face.head, turned_V3.astype(np.float32), to_cell_24, texture_NN3=texture_NN3)
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate((crop, over, head), axis=1)).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _row(photo: Picture, face: Face, decoded: Decoded, models: Models) -> Picture:
    crop = _cut_crop(photo, face.crop_33, _CELL)
    points_L2 = face.landmarks_L2 @ face.crop_33[:2, :2].T + face.crop_33[:2, 2]
    marked = _dotted(crop, points_L2 * (_CELL / CROP_SIZE))
    pictures = models.render(decoded, height=_CELL, width=_CELL)
    lit = pictures.coarse if pictures.detail is None else pictures.detail
    drawn = [
        _over(crop, image, pictures)
        for image in (pictures.coarse_shape, pictures.detail_shape, lit)
        if image is not None
    ]
    return np.concatenate([crop, marked, *drawn], axis=1)


def _dotted(picture: Picture, points_L2: NDArray[np.floating]) -> Picture:
    dotted = picture.copy()
    for x, y in np.round(points_L2 * 16 - 8).astype(int):
        cv2.circle(dotted, (int(x), int(y)), 16, _DOT, cv2.FILLED, cv2.LINE_AA, shift=4)
    return dotted


def _over(background: Picture, image_13HW: Tensor, pictures: Pictures) -> Picture:
    head = (image_13HW[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    return np.where(pictures.alpha_B1HW[0, 0].cpu().numpy()[..., None] > 0, head, background)


def _cut_crop(photo: Picture, crop_33: NDArray[np.float64], size: int) -> Picture:
    """The crop (size, size, 3), black outside of the photo."""
    to_photo_33 = np.linalg.inv(crop_33)
    low, high = to_photo_33[:2, 2], to_photo_33[:2, :2] @ (CROP_SIZE, CROP_SIZE) + to_photo_33[:2, 2]
    first, last = np.floor(low).astype(int), np.maximum(np.ceil(high), np.floor(low) + 1).astype(int)
    room = np.zeros((last[1] - first[1], last[0] - first[0], 3), np.uint8)
    start, stop = np.maximum(first, 0), np.minimum(last, photo.shape[1::-1])
    if (stop > start).all():
        inside = photo[start[1] : stop[1], start[0] : stop[0]]
        room[start[1] - first[1] : stop[1] - first[1], start[0] - first[0] : stop[0] - first[0]] = inside
    box = (*(low - first), *np.minimum(high - first, last - first))
    return np.asarray(Image.fromarray(room).resize((size, size), Image.Resampling.LANCZOS, box=box))
