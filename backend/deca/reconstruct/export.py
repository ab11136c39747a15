"""Writes reconstructed faces to disk: codes, meshes, textures, maps, pictures."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deca.reconstruct.dense_mesh import displaced_mesh
from deca.reconstruct.face import Face
from deca.reconstruct.maps import displacement_exr, displacement_png, normal_png, tangent_normals
from deca.reconstruct.mesh import obj_text, ply_bytes
from deca.reconstruct.models import Decoded, Models
from deca.reconstruct.person import Person
from deca.reconstruct.pictures import comparison, on_photo, overlay, png_bytes
from deca.reconstruct.results import PERSON, write_results
from deca.render.uv import uv_raster, world2uv
from deca_blender.protocol.photos import told


def write_faces(folder: Path, photo: NDArray[np.uint8], faces: list[Face], models: Models) -> list[Path]:
    """Writes what is known of a photo's faces into `folder`, in one piece, in place of an earlier result.

    `overlay.png` and `comparison.png` show all faces. For the first face, and for a further one with `head_<k>`:
    `face_<k>.json` (codes, camera, crop); `head.obj` with its texture `head.png`, and with the photo's light left in it
    `head_photographed.png`; `head_coarse.png` (the rendering on the photo); with an albedo model `head_albedo.png`, its
    albedo; with a detail code `head_detail.obj`, `head_detail.ply`, `head_displacement.png` and `.exr`,
    `head_normals.png` (tangent space) and `head_detail.png`; with a relief of the photo, which is in all these,
    `head_relief.png` and `.exr`, and how sure it is, `head_relief_certainty.png`.

    Returns:
        The files.

    Raises:
        OutputError: Something could not be written.
    """
    files: dict[str, bytes] = {}
    decoded = [models.decode_face(face) for face in faces]
    for face, codes in zip(faces, decoded, strict=True):
        stem = "head" if face.index == 0 else f"head_{face.index}"
        files[f"face_{face.index}.json"] = _codes(face)
        files.update(_head_files(face, codes, stem))
        for name, picture in on_photo(photo, face, codes, models).items():
            files[f"{stem}_{name}.png"] = png_bytes(picture)
    files["overlay.png"] = png_bytes(overlay(photo, faces))
    files["comparison.png"] = png_bytes(comparison(photo, faces, decoded, models))
    write_results(folder, files)
    return [folder / name for name in files]


def write_person(
    folder: Path, person: Person, given: Sequence[Path], read: Callable[[Path], NDArray[np.uint8]], models: Models
) -> list[Path]:
    """Writes what is known of a person into `folder`, in one piece, in place of an earlier result.

    `person.json` (the photos given, used and left out) and, with the pose and expression of the first photo, the files
    that `write_faces` writes of a head; of each photo by its number, the first one's 0, `face_<k>.json`,
    `overlay_<k>.png`, `comparison_<k>.png`, and `head_coarse.png` or `head_<k>_coarse.png` and so on.

    Args:
        folder: Where to.
        person: The person.
        given: All photos, also those that were left out.
        read: Gives a photo's upright pixels (H, W, 3), sRGB.
        models: Head model and networks.

    Returns:
        The files.

    Raises:
        OutputError: Something could not be written.
    """
    told_of = {
        "given": list(map(told, given)),
        "used": [told(face.photo) for face in person.faces],
        "left_out": [{"photo": told(left.photo), "reason": left.reason} for left in person.left_out],
    }
    files = {PERSON: json.dumps(told_of, indent=1, ensure_ascii=False).encode()}
    for number, face in enumerate(person.faces):
        photo, codes = read(face.photo), models.decode_face(face)
        files[f"face_{number}.json"] = _codes(face)
        files[f"overlay_{number}.png"] = png_bytes(overlay(photo, [face]))
        files[f"comparison_{number}.png"] = png_bytes(comparison(photo, [face], [codes], models))
        if number == 0:
            files.update(_head_files(face, codes, "head"))
        for name, picture in on_photo(photo, face, codes, models).items():
            files[f"head_{name}.png" if number == 0 else f"head_{number}_{name}.png"] = png_bytes(picture)
    write_results(folder, files)
    return [folder / name for name in files]


def _codes(face: Face) -> bytes:
    return json.dumps(face.to_json(), indent=1, ensure_ascii=False).encode()


def _head_files(face: Face, decoded: Decoded, stem: str) -> dict[str, bytes]:
    """The textured head and its maps."""
    obj, material = obj_text(face.mesh(), face.head.name, f"{stem}.png")
    files = {f"{stem}.obj": obj.encode()}
    if face.texture is not None:
        files[f"{stem}.mtl"] = material.encode()
        files[f"{stem}.png"] = png_bytes(face.texture.albedo_NN3)
        files[f"{stem}_photographed.png"] = png_bytes(face.texture.photographed_NN3)
    files.update(_decoded_files(face, decoded, stem))
    files.update(_relief_files(face, stem))
    return files


def _relief_files(face: Face, stem: str) -> list[tuple[str, bytes]]:
    """The relief of the face's own photo, if it wears one alone."""
    if len(face.reliefs) != 1:
        return []
    relief = face.reliefs[0][0]
    certainty_PQ = np.round(relief.certainty_PQ * 255).astype(np.uint8)
    return [
        (f"{stem}_relief.png", displacement_png(relief.displacement_HW)),
        (f"{stem}_relief.exr", displacement_exr(relief.displacement_HW)),
        (f"{stem}_relief_certainty.png", png_bytes(np.repeat(certainty_PQ[..., None], 3, axis=2))),
    ]


def _decoded_files(face: Face, decoded: Decoded, stem: str) -> list[tuple[str, bytes]]:
    """Maps and the dense mesh, as far as the codes go."""
    files: list[tuple[str, bytes]] = []
    if decoded.albedo_B3HW is not None:
        albedo_HW3 = decoded.albedo_B3HW[0].clamp(0, 1).permute(1, 2, 0).cpu().numpy()
        files.append((f"{stem}_albedo.png", png_bytes(np.round(albedo_HW3 * 255).astype(np.uint8))))
    if decoded.displacement_B1HW is None or decoded.detail is None:
        return files
    displacement_NN = decoded.displacement_B1HW[0, 0].cpu().numpy()
    normals_V3 = decoded.normals_BV3[0].cpu().numpy()
    dense = displaced_mesh(face.mesh(), normals_V3, displacement_NN)
    obj, _ = obj_text(dense, face.head.name, f"{stem}.png")
    size = len(displacement_NN)
    covered_HW = uv_raster(face.head, size, decoded.verts_BV3.device).covered_HW.cpu().numpy()
    maps = (
        world2uv(decoded.verts_BV3, face.head, size),
        decoded.detail.coarse_normals_B3HW,
        decoded.detail.normals_B3HW,
    )
    positions, coarse, detail = (tensor_13HW[0].permute(1, 2, 0).cpu().numpy() for tensor_13HW in maps)
    return [
        *files,
        (f"{stem}_detail.obj", obj.encode()),
        (f"{stem}_detail.ply", ply_bytes(dense)),
        (f"{stem}_displacement.png", displacement_png(displacement_NN)),
        (f"{stem}_displacement.exr", displacement_exr(displacement_NN)),
        (f"{stem}_normals.png", normal_png(tangent_normals(positions, coarse, detail, covered_HW))),
    ]
