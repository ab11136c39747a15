"""A user's licensed FLAME files, converted once to a head model file (docs/architecture.md).

The pickles are read without running anything in them (`deca.head.unpickle`) and never again afterwards.

Shape suffixes: V vertices, F triangles, T texture vertices, J joints, N picture rows and columns.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from deca.errors import AssetError
from deca.files import read_npy, read_npz, safetensors_bytes, write_file
from deca.head.model import FORMAT, VERSIONS, Part
from deca.head.unpickle import read_object_npy, read_pickle
from deca_blender.protocol.conventions import JOINTS

NUM_SHAPE, NUM_EXPRESSION = 300, 100

LICENCE = (
    "Converted from FLAME (Max Planck Institute for Intelligent Systems) for its licensee; the licence under which the "
    "original was obtained (https://flame.is.tue.mpg.de) holds for this file too. Do not pass it on."
)

MASKS = {"uv_face_mask.png": "mask_face", "uv_face_eye_mask.png": "mask_face_no_eyes"}
DISPLACEMENT = "fixed_displacement_256.npy"
TEXTURES = ("mean_texture.jpg", "mean_texture.png")

_HINT = "Give the files of FLAME's and DECA's official sites, unchanged."


def convert_flame(
    model_pkl: str | Path,
    landmarks_npy: str | Path,
    template_obj: str | Path,
    out_dir: str | Path,
    *,
    maps: str | Path | None = None,
    mediapipe: str | Path | None = None,
    name: str | None = None,
) -> Path:
    """Converts FLAME 2020 or 2023 to a head model file that `deca.head.HeadModel.load` reads.

    Args:
        model_pkl: FLAME's `generic_model.pkl` or `flame2023.pkl`.
        landmarks_npy: DECA's `landmark_embedding.npy`.
        template_obj: `head_template.obj`, for its texture coordinates.
        out_dir: Folder for the result, made if need be.
        maps: Folder with any of DECA's `uv_face_mask.png`, `uv_face_eye_mask.png`, `fixed_displacement_256.npy` and
            `mean_texture.jpg`.
        mediapipe: FLAME's `mediapipe_landmark_embedding.npz`, without which no photo can be fitted by landmarks.
        name: Name of the head model. The years' files look alike inside, so by default it follows the file's name:
            "FLAME 2023" if that says 2023, else "FLAME 2020".

    Returns:
        The head model file, `<out_dir>/flame_2020.safetensors` for "FLAME 2020".

    Raises:
        AssetError: A file is missing, damaged, refused, or does not fit the others.
        OutputError: The result cannot be written.
    """
    model_pkl, landmarks_npy, template_obj = Path(model_pkl), Path(landmarks_npy), Path(template_obj)
    name = name or _name_of(model_pkl)
    arrays = _model_arrays(model_pkl)
    faces_F3, num_verts = arrays["f"], len(arrays["v_template"])
    arrays["vt"], arrays["ft"] = texture_coordinates(template_obj, faces_F3, num_verts)
    arrays["part"] = _parts(faces_F3, arrays["weights"])
    arrays |= _landmark_arrays(landmarks_npy, len(faces_F3))
    sources = {"model": model_pkl, "landmarks": landmarks_npy, "template": template_obj}
    if maps is not None:
        found = _map_files(Path(maps))
        sources |= {path.name: path for path in found}
        arrays |= dict(map(_map_array, found))
    if mediapipe is not None:
        sources["mediapipe"] = Path(mediapipe)
        arrays |= _mediapipe_arrays(Path(mediapipe), len(faces_F3))
    metadata = {
        "format": FORMAT,
        "version": VERSIONS[0],
        "name": name,
        "licence": LICENCE,
        "num_shape": str(NUM_SHAPE),
        "joints_follow_expression": "true",  # as in DECA's release, which its weights and fits expect
        "sources": json.dumps({role: hashlib.sha256(path.read_bytes()).hexdigest() for role, path in sources.items()}),
    }
    file_name = re.sub(r"[^\w.-]+", "_", name.lower())
    out = Path(out_dir) / f"{file_name}.safetensors"
    write_file(out, safetensors_bytes(arrays, metadata))
    return out


def _name_of(path: Path) -> str:
    year = "2023" if "2023" in path.stem else "2020"
    return f"FLAME {year} no jaw" if "no_jaw" in path.stem else f"FLAME {year}"


# -- FLAME's arrays ---------------------------------------------------------------------------------------------------


def _model_arrays(path: Path) -> dict[str, NDArray]:
    content = _Entries(path, read_pickle(path))
    joints = len(JOINTS)
    template_V3 = content.array("v_template", (None, 3))
    num_verts = len(template_V3)
    faces_F3 = content.indices("f", (None, 3), num_verts)
    kintree_2J = content.array("kintree_table", (2, joints), np.int64)
    kintree_2J[0, kintree_2J[0] == 2**32 - 1] = -1  # what -1 became in an unsigned array
    if kintree_2J[0].tolist() != [-1, 0, 1, 1, 1]:
        raise AssetError(f"{path} has joints whose parents are {kintree_2J[0].tolist()}, which is not FLAME.", _HINT)
    return {
        "v_template": template_V3,
        "f": faces_F3,
        "shapedirs": content.array("shapedirs", (num_verts, 3, NUM_SHAPE + NUM_EXPRESSION)),
        "posedirs": content.array("posedirs", (num_verts, 3, 9 * (joints - 1))),
        "J_regressor": content.array("J_regressor", (joints, num_verts)),
        "kintree_table": kintree_2J,
        "weights": content.array("weights", (num_verts, joints)),
    }


def _landmark_arrays(path: Path, num_faces: int) -> dict[str, NDArray]:
    content = _Entries(path, read_object_npy(path))
    arrays: dict[str, NDArray] = {}
    for key, ours, shape in (("full", "lmk68", (68,)), ("static", "lmk51", (51,)), ("dynamic", "contour", (79, 17))):
        arrays[f"{ours}_face"] = content.indices(f"{key}_lmk_faces_idx", shape, num_faces)
        arrays[f"{ours}_bary"] = content.array(f"{key}_lmk_bary_coords", (*shape, 3))
    return arrays


def _mediapipe_arrays(path: Path, num_faces: int) -> dict[str, NDArray]:
    """The landmarks that the file places; the others of MediaPipe's 478 get the triangle -1."""
    content = _Entries(path, read_npz(path, ("landmark_indices", "lmk_face_idx", "lmk_b_coords")))
    index_L = content.indices("landmark_indices", (None,), 478)
    face, bary = np.full(478, -1, np.int32), np.zeros((478, 3), np.float32)
    face[index_L] = content.indices("lmk_face_idx", index_L.shape, num_faces)
    bary[index_L] = content.array("lmk_b_coords", (len(index_L), 3))
    return {"mp_face": face, "mp_bary": bary}


class _Entries:
    """Arrays of a file by name, checked as they are taken out."""

    def __init__(self, path: Path, content: Any) -> None:
        if not isinstance(content, Mapping):
            raise AssetError(f"{path} holds a {type(content).__name__} where arrays by name were expected.", _HINT)
        self._path, self._content = path, content

    def array(self, key: str, shape: tuple[int | None, ...], dtype: type = np.float32) -> NDArray:
        """One array; None in `shape` stands for any size, and leading axes of size 1 are dropped."""
        if key not in self._content:
            raise AssetError(f"{self._path} holds no {key}.", _HINT)
        array = self._content[key]
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
            raise AssetError(f"{key} in {self._path} is not an array of numbers.", _HINT)
        array = array.astype(dtype)
        while array.ndim > len(shape) and len(array) == 1:
            array = array[0]
        fits = array.ndim == len(shape) and all(b in (None, a) for a, b in zip(array.shape, shape, strict=True))
        if not fits or array.size == 0:
            expected = f"({', '.join('any' if size is None else str(size) for size in shape)})"
            raise AssetError(f"{key} in {self._path} has shape {array.shape} where {expected} was expected.", _HINT)
        if not np.isfinite(array).all():
            raise AssetError(f"{key} in {self._path} holds values that are not finite.", _HINT)
        return array

    def indices(self, key: str, shape: tuple[int | None, ...], limit: int) -> NDArray[np.int32]:
        """One array of indices below `limit`."""
        array = self.array(key, shape, np.int64)
        if array.min() < 0 or array.max() >= limit:
            raise AssetError(
                f"{key} in {self._path} points at {array.max()} where there are {limit}.", "Do the files fit together?"
            )
        return array.astype(np.int32)


def _parts(faces_F3: NDArray, weights_VJ: NDArray) -> NDArray[np.uint8]:
    """`Part` of each vertex: eyeballs are pieces of their own that turn with the eye joints, the rest is skin."""
    corners, nexts = faces_F3.ravel(), np.roll(faces_F3, 1, axis=1).ravel()
    num_verts = len(weights_VJ)
    edges = coo_matrix((np.ones(len(corners), np.int8), (corners, nexts)), shape=(num_verts, num_verts))
    pieces, piece_V = connected_components(edges, directed=False)
    joint_weights_PJ = np.stack([weights_VJ[piece_V == piece].mean(0) for piece in range(pieces)])
    part_P = np.full(pieces, Part.SKIN, np.uint8)
    for joint, part in (("eye_l", Part.EYE_L), ("eye_r", Part.EYE_R)):
        part_P[joint_weights_PJ[:, JOINTS.index(joint)] > 0.5] = part
    return part_P[piece_V]


# -- Texture coordinates and maps -------------------------------------------------------------------------------------


def texture_coordinates(path: Path, faces_F3: NDArray, num_verts: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Texture coordinates (T, 2) of an OBJ file and their triangles (F, 3) in the order of the model's.

    The file may list its polygons in another order, start them at another corner, and use quads.

    Raises:
        AssetError: The file is missing or damaged, or is of another mesh.
    """
    uv: list[tuple[float, float]] = []
    positions = 0
    texture_corners: dict[tuple[int, ...], dict[int, int]] = {}  # vertices of a triangle -> their texture vertices
    try:
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            kind, *values = line.split() or [""]
            if kind == "v":
                positions += 1
            elif kind == "vt":
                uv.append((float(values[0]), float(values[1])))
            elif kind == "f":
                corner = {int(v) - 1: int(vt) - 1 for v, vt in (value.split("/")[:2] for value in values)}
                for triple in combinations(sorted(corner), 3):
                    texture_corners.setdefault(triple, corner)
        uv_T2 = np.array(uv, np.float32).reshape(-1, 2)
        triples = (tuple(sorted(face)) for face in faces_F3.tolist())
        corners = [texture_corners.get(triple) for triple in triples]
    except OSError as error:
        raise AssetError(f"The template {path} could not be read ({error.strerror}).", "Check the path.") from error
    except (ValueError, IndexError) as error:
        raise AssetError(f"{path} is not an OBJ file with texture coordinates ({error}).", _HINT) from error
    if positions != num_verts:
        raise AssetError(f"{path} has {positions} vertices, the model has {num_verts}.", "Do the files fit together?")
    if missing := corners.count(None):
        raise AssetError(
            f"{missing} of the model's {len(corners)} triangles have no texture coordinates in {path}.",
            "Do the files fit together?",
        )
    uv_faces_F3 = np.array(
        [[corner[v] for v in face] for corner, face in zip(corners, faces_F3.tolist(), strict=True) if corner], np.int32
    )
    if uv_faces_F3.min() < 0 or uv_faces_F3.max() >= len(uv_T2) or not np.isfinite(uv_T2).all():
        raise AssetError(f"{path} points at texture coordinates that it does not hold.", _HINT)
    return uv_T2, uv_faces_F3


def _map_files(folder: Path) -> list[Path]:
    names = (*MASKS, DISPLACEMENT, *TEXTURES)
    found = [folder / name for name in names if (folder / name).is_file()]
    if not found:
        raise AssetError(f"The folder {folder} holds none of {', '.join(names)}.", "Check the path.")
    return found


def _map_array(path: Path) -> tuple[str, NDArray]:
    if path.name == DISPLACEMENT:
        return "fixed_displacement", _Entries(path, {"map": read_npy(path)}).array("map", (256, 256))
    is_mask = path.name in MASKS
    try:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("L" if is_mask else "RGB"))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise AssetError(f"The picture {path} could not be read ({error}).", _HINT) from error
    if pixels.shape[0] != pixels.shape[1]:
        raise AssetError(f"The picture {path} is {pixels.shape[1]} x {pixels.shape[0]}, not square.", _HINT)
    return (MASKS[path.name] if is_mask else "mean_texture"), pixels
