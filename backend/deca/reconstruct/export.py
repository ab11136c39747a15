"""Writes a reconstructed face to disk: codes as JSON, the textured mesh as OBJ, an overlay picture."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deca.files import write_file
from deca.reconstruct.face import Face
from deca.reconstruct.mesh import obj_text
from deca.render.preview import draw_head

_OVERLAY_SIZE = 1600
"""Longest side of the overlay's photo, pixels; small photos are enlarged up to it until a face is _FACE_SIZE wide."""
_FACE_SIZE = 400


def png_bytes(pixels: NDArray[np.uint8]) -> bytes:
    """A picture (H, W, 3) as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


def overlay(photo: NDArray[np.uint8], faces: list[Face]) -> NDArray[np.uint8]:
    """The photo, and beside it the photo with the fitted heads drawn over it and the landmarks as dots."""
    widest = max(face.box[2] - face.box[0] for face in faces)
    scale = min(max(1.0, _FACE_SIZE / widest), _OVERLAY_SIZE / max(photo.shape[:2]))
    size = (max(1, round(photo.shape[1] * scale)), max(1, round(photo.shape[0] * scale)))
    small = np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.LANCZOS))
    drawn = small
    for face in faces:
        drawn = draw_head(drawn, face.head, face.vertices(), face.to_photo() * scale, opacity=0.75)
    for face in faces:
        for x, y in np.round(face.landmarks_L2 * scale - 0.5).astype(int):
            if 0 <= x < size[0] and 0 <= y < size[1]:
                drawn[y, x] = (90, 220, 120)
    return np.concatenate((small, drawn), axis=1)


def write_faces(folder: Path, photo: NDArray[np.uint8], faces: list[Face]) -> list[Path]:
    """Writes `face_<k>.json`, `head.obj` with its texture, and `overlay.png` into `folder`.

    The first face's mesh is `head.obj`, a further one's `head_<k>.obj`.

    Raises:
        OutputError: Something could not be written.
    """
    written: list[Path] = []

    def put(name: str, data: bytes) -> None:
        write_file(folder / name, data)
        written.append(folder / name)

    for face in faces:
        stem = "head" if face.index == 0 else f"head_{face.index}"
        put(f"face_{face.index}.json", json.dumps(face.to_json(), indent=1, ensure_ascii=False).encode())
        obj, material = obj_text(face.mesh(), face.head.name, f"{stem}.png")
        put(f"{stem}.obj", obj.encode())
        if face.texture_NN3 is not None:
            put(f"{stem}.mtl", material.encode())
            put(f"{stem}.png", png_bytes(face.texture_NN3))
    put("overlay.png", png_bytes(overlay(photo, faces)))
    return written
