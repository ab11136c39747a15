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


def obj_text(face: Face, texture_name: str) -> tuple[str, str]:
    """The posed head as OBJ and its material library: metres, y up, z forward, one texture coordinate per corner."""
    head = face.head
    material = f"{Path(texture_name).stem}.mtl"
    lines = [f"# {head.name}, {head.num_verts} vertices", f"mtllib {material}", "o head"]
    lines += [f"v {x:.7f} {y:.7f} {z:.7f}" for x, y, z in face.vertices()]
    lines += [f"vt {u:.6f} {v:.6f}" for u, v in head.uv_T2]
    lines += ["usemtl head", "s 1"]
    corners = np.stack((head.faces_F3 + 1, head.uv_faces_F3 + 1), -1).tolist()
    lines += ["f " + " ".join(f"{vertex}/{uv}" for vertex, uv in triangle) for triangle in corners]
    return "\n".join(lines) + "\n", f"newmtl head\nKd 1 1 1\nmap_Kd {texture_name}\n"


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
        obj, material = obj_text(face, f"{stem}.png")
        put(f"{stem}.obj", obj.encode())
        if face.texture_NN3 is not None:
            put(f"{stem}.mtl", material.encode())
            put(f"{stem}.png", png_bytes(face.texture_NN3))
    put("overlay.png", png_bytes(overlay(photo, faces)))
    return written
