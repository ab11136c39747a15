"""Made-up files in the formats of FLAME's and DECA's official ones, for tests.

The head is an egg with two eyeballs, of FLAME's 5023 vertices; its blend shapes are smooth random fields. The model
file is written opcode by opcode as Python 2 would have, with chumpy and SciPy objects in it.

Shape suffixes: V vertices, F triangles, J joints, L landmarks.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial import ConvexHull, cKDTree

Arrays = dict[str, NDArray]

HEAD_VERTS, EYE_VERTS = 3931, 546
NUM_VERTS = HEAD_VERTS + 2 * EYE_VERTS
EYES = (slice(HEAD_VERTS, HEAD_VERTS + EYE_VERTS), slice(HEAD_VERTS + EYE_VERTS, NUM_VERTS))

_EGG = np.array([0.075, 0.110, 0.095])
_EYE_CENTRES = np.array([[0.032, 0.035, 0.072], [-0.032, 0.035, 0.072]])
_EYE_RADIUS = 0.012


@dataclass(frozen=True)
class FlameFiles:
    """The paths of one set of files, and what is in them."""

    model: Path
    landmarks: Path
    template: Path
    maps: Path
    mediapipe: Path
    arrays: Arrays
    embedding: Arrays


def make_flame_files(folder: Path) -> FlameFiles:
    """Writes all of a licensee's files into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = flame_arrays()
    embedding = landmark_embedding(arrays)
    files = FlameFiles(
        folder / "generic_model.pkl",
        folder / "landmark_embedding.npy",
        folder / "head_template.obj",
        folder / "data",
        folder / "mediapipe_landmark_embedding.npz",
        arrays,
        embedding,
    )
    make_flame_pickle(files.model, arrays)
    make_landmark_embedding(files.landmarks, embedding)
    make_template(files.template, arrays)
    make_maps(files.maps)
    make_mediapipe_embedding(files.mediapipe, arrays)
    return files


# -- The head ---------------------------------------------------------------------------------------------------------


def sphere(count: int) -> tuple[NDArray, NDArray]:
    """`count` directions (Fibonacci's spiral) and the triangles between them, counter-clockwise from outside."""
    step = np.arange(count) + 0.5
    polar, azimuth = np.arccos(1 - 2 * step / count), np.pi * (1 + 5**0.5) * step
    dirs = np.stack((np.sin(polar) * np.cos(azimuth), np.cos(polar), np.sin(polar) * np.sin(azimuth)), 1)
    faces = ConvexHull(dirs).simplices.astype(np.int64)
    a, b, c = dirs[faces].transpose(1, 0, 2)
    inward = (np.cross(b - a, c - a) * a).sum(1) < 0
    faces[inward] = faces[inward][:, ::-1]
    return dirs, faces


def flame_arrays(seed: int = 0) -> Arrays:
    """FLAME's arrays as its file holds them: float64, uint32 triangles and kinematic tree; `J_regressor` dense."""
    rng = np.random.default_rng(seed)
    head, head_faces = sphere(HEAD_VERTS)
    eye, eye_faces = sphere(EYE_VERTS)
    template = np.concatenate((head * _EGG, *(centre + _EYE_RADIUS * eye for centre in _EYE_CENTRES)))
    faces = np.concatenate((head_faces, *(eye_faces + part.start for part in EYES)))
    joints = np.array([[0, -0.10, 0], [0, -0.06, -0.01], [0, -0.01, 0.01], *_EYE_CENTRES])
    regressor = np.zeros((5, NUM_VERTS))
    for joint, near in enumerate(cKDTree(template).query(joints, k=40)[1]):
        regressor[joint, near] = 1 / len(near)
    x, y, z = template.T
    turning = 1 / (1 + np.exp(-(y + 0.07) / 0.01))  # the root keeps what lies low
    jaw = turning / (1 + np.exp((y + 0.03) / 0.01)) / (1 + np.exp(-(z - 0.02) / 0.01))
    weights = np.stack((1 - turning, turning - jaw, jaw, np.zeros_like(x), np.zeros_like(x)), 1)
    for eye_joint, part in zip((3, 4), EYES, strict=True):
        weights[part] = np.eye(5)[eye_joint]
        regressor[eye_joint] = 0
        regressor[eye_joint, part] = 1 / EYE_VERTS
    sizes = np.concatenate((0.003 / (1 + np.arange(300) / 5), 0.002 / (1 + np.arange(100) / 5)))
    return {
        "v_template": template,
        "f": rng.permutation(faces).astype(np.uint32),
        "shapedirs": smooth_fields(template, rng, 400) * sizes,
        "posedirs": smooth_fields(template, rng, 36) * 0.002,
        "J_regressor": regressor,
        "J": regressor @ template,
        "kintree_table": np.array([[2**32 - 1, 0, 1, 1, 1], range(5)], np.uint32),
        "weights": weights,
    }


def smooth_fields(points_V3: NDArray, rng: np.random.Generator, count: int) -> NDArray:
    """Random vector fields (V, 3, count) of size one that vary over some centimetres."""
    waves = points_V3 @ rng.normal(scale=25, size=(3, 3 * count)) + rng.uniform(0, 2 * np.pi, 3 * count)
    return np.sin(waves).reshape(-1, 3, count)


def uv_arrays(arrays: Arrays) -> tuple[NDArray, NDArray]:
    """Texture coordinates (T, 2) and triangles (F, 3): per piece a disc for its front and one for its back."""
    template, faces = arrays["v_template"], arrays["f"].astype(np.int64)
    dirs = template / _EGG
    for part, centre in zip(EYES, _EYE_CENTRES, strict=True):
        dirs[part] = template[part] - centre
    dirs = dirs / np.linalg.norm(dirs, axis=1, keepdims=True)
    piece_V = np.zeros(NUM_VERTS, int)
    piece_V[EYES[0]], piece_V[EYES[1]] = 1, 2
    chart_F = 2 * piece_V[faces[:, 0]] + (dirs[faces].mean(1)[:, 2] < 0)
    centres = np.array([[0.32, 0.66], [0.81, 0.8], [0.1, 0.15], [0.3, 0.15], [0.5, 0.15], [0.7, 0.15]])
    radii = np.array([0.3, 0.17, 0.08, 0.08, 0.08, 0.08])
    corner_chart, corner_vert = np.repeat(chart_F, 3), faces.ravel()
    (chart, vert), uv_faces = _unique_pairs(corner_chart, corner_vert)
    side = np.where(chart % 2 == 0, 1.0, -1.0)
    x, y, z = dirs[vert].T
    angle = np.arccos(np.clip(side * z, -1, 1))
    flat = np.stack((side * x, y), 1) / np.maximum(np.hypot(x, y), 1e-9)[:, None]
    return centres[chart] + flat * (radii[chart] * angle / 2.0)[:, None], uv_faces.reshape(-1, 3)


def _unique_pairs(first: NDArray, second: NDArray) -> tuple[tuple[NDArray, NDArray], NDArray]:
    pairs, index = np.unique(np.stack((first, second), 1), axis=0, return_inverse=True)
    return (pairs[:, 0], pairs[:, 1]), index.ravel()


# -- Landmarks --------------------------------------------------------------------------------------------------------


def landmark_embedding(arrays: Arrays) -> Arrays:
    """DECA's landmark embedding: where 68 landmarks lie, and the contour's 17 for each of 79 yaws."""
    rng = np.random.default_rng(1)
    points = ibug_points()
    faces_68, bary_68 = on_surface(arrays, points, rng)
    faces_51, bary_51 = on_surface(arrays, points[17:] + np.array([0, 0.001]), rng)
    yaws = np.radians([*range(40), *range(-1, -40, -1)])
    rows = [on_surface(arrays, points[:17] + np.array([0.02 * np.sin(yaw), 0]), rng) for yaw in yaws]
    return {
        "full_lmk_faces_idx": faces_68[None],
        "full_lmk_bary_coords": bary_68[None],
        "static_lmk_faces_idx": faces_51,
        "static_lmk_bary_coords": bary_51,
        "dynamic_lmk_faces_idx": np.stack([row[0] for row in rows]),
        "dynamic_lmk_bary_coords": np.stack([row[1] for row in rows]),
    }


def ibug_points() -> NDArray:
    """Roughly where the 68 landmarks lie, seen from the front (68, 2), metres."""

    def arc(count: int, centre: tuple[float, float], radii: tuple[float, float], start: float, end: float) -> NDArray:
        turn = np.radians(np.linspace(start, end, count))
        return np.stack((centre[0] + radii[0] * np.cos(turn), centre[1] + radii[1] * np.sin(turn)), 1)

    nose = np.stack((np.zeros(4), np.linspace(0.03, 0.0, 4)), 1)
    groups = [
        arc(17, (0, 0), (0.06, 0.08), 180, 360),  # contour
        arc(5, (-0.032, 0.04), (0.018, 0.012), 160, 20),  # brows
        arc(5, (0.032, 0.04), (0.018, 0.012), 160, 20),
        nose,
        arc(5, (0, 0), (0.012, 0.008), 180, 360),
        arc(6, (-0.032, 0.035), (0.013, 0.006), 180, -120),  # eyes
        arc(6, (0.032, 0.035), (0.013, 0.006), 180, -120),
        arc(12, (0, -0.035), (0.024, 0.012), 180, -150),  # lips
        arc(8, (0, -0.035), (0.017, 0.005), 180, -135),
    ]
    return np.concatenate(groups)


def on_surface(arrays: Arrays, points_L2: NDArray, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """Triangles of the head's front near points seen from the front, and random barycentrics in them."""
    centroids_F3 = arrays["v_template"][arrays["f"].astype(np.int64)].mean(1)
    front = np.flatnonzero((centroids_F3[:, 2] > 0) & (arrays["f"] < HEAD_VERTS).all(1))
    near = cKDTree(centroids_F3[front, :2]).query(points_L2)[1]
    return front[near], rng.dirichlet((4, 4, 4), len(points_L2))


def make_landmark_embedding(path: Path, embedding: Arrays) -> None:
    """`landmark_embedding.npy`: a pickled dict in which the contour is torch tensors, the rest NumPy arrays."""
    content = {key: torch.from_numpy(value) if "dynamic" in key else value for key, value in embedding.items()}
    np.save(path, content, allow_pickle=True)  # type: ignore[arg-type]


def make_mediapipe_embedding(path: Path, arrays: Arrays) -> None:
    """`mediapipe_landmark_embedding.npz`: 105 of MediaPipe's landmarks."""
    rng = np.random.default_rng(2)
    faces, bary = on_surface(arrays, rng.uniform((-0.05, -0.06), (0.05, 0.06), (105, 2)), rng)
    index = np.sort(rng.choice(468, 105, replace=False))
    np.savez(path, lmk_face_idx=faces, lmk_b_coords=bary, landmark_indices=index)


# -- Template, maps, albedo -------------------------------------------------------------------------------------------


def make_template(path: Path, arrays: Arrays) -> None:
    """`head_template.obj`, with its triangles in another order and begun at other corners than the model's."""
    rng = np.random.default_rng(3)
    uv_T2, uv_faces_F3 = uv_arrays(arrays)
    corners_F32 = np.stack((arrays["f"].astype(np.int64), uv_faces_F3), 2)[rng.permutation(len(uv_faces_F3))] + 1
    lines = ["# a made-up head", *(f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in arrays["v_template"])]
    lines += [f"vt {u:.8f} {v:.8f}" for u, v in uv_T2]
    for corners, first in zip(corners_F32, rng.integers(0, 3, len(corners_F32)), strict=True):
        lines.append("f " + " ".join(f"{v}/{vt}" for v, vt in np.roll(corners, first, axis=0)))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def make_maps(folder: Path) -> None:
    """The maps of DECA's data folder: two masks, the fixed displacement and a mean texture."""
    folder.mkdir(exist_ok=True)
    rows, columns = np.mgrid[0:256, 0:256] / 255
    face = (np.hypot(columns - 0.32, rows - 0.34) < 0.25).astype(np.uint8) * 255
    Image.fromarray(face).convert("RGB").save(folder / "uv_face_mask.png")
    Image.fromarray(face * (rows > 0.3)).convert("RGB").save(folder / "uv_face_eye_mask.png")
    np.save(folder / "fixed_displacement_256.npy", 1e-3 * np.sin(12 * rows) * np.cos(9 * columns))
    Image.fromarray(np.full((256, 256, 3), (190, 140, 120), np.uint8)).save(folder / "mean_texture.jpg")


def make_albedo(path: Path, kind: str = "bfm", components: int = 4) -> tuple[NDArray, NDArray]:
    """`FLAME_albedo_from_BFM.npz` (kind "bfm") or `FLAME_texture.npz` ("flame"), with few components.

    Returns:
        Mean (512, 512, 3) and basis (512, 512, 3, components), RGB in 0..1, whatever the file's order and range.
    """
    rng = np.random.default_rng(4)
    mean = rng.uniform(0.2, 0.8, (512, 512, 3)).astype(np.float32)
    basis = rng.normal(scale=0.05, size=(512, 512, 3, components)).astype(np.float32)
    mean_bgr, basis_bgr = mean[..., ::-1], basis[..., ::-1, :]
    if kind == "bfm":
        np.savez(path, MU=mean_bgr.reshape(1, -1), PC=basis_bgr.reshape(-1, components))
    else:
        np.savez(path, mean=mean_bgr * 255, tex_dir=basis_bgr * 255)
    return mean, basis


# -- Pickles as Python 2 wrote them -----------------------------------------------------------------------------------


class Instance(NamedTuple):
    """An object of a class that is not there: protocol 2 makes it with `__new__`, older ones with a function."""

    module: str
    name: str
    state: Any
    with_reconstructor: bool = False


def chumpy(array: NDArray, *, with_reconstructor: bool = False) -> Instance:
    """A chumpy variable, with some of the bookkeeping that such objects carry."""
    state = {
        "_dirty_vars": {"x"},
        "_itr": None,
        "_make_dense": False,
        "_make_sparse": False,
        "x": array,
        "_status": "new",
    }
    return Instance("chumpy.ch", "Ch", state, with_reconstructor)


def sparse(matrix: NDArray, module: str = "scipy.sparse.csc") -> Instance:
    """A `csc_matrix`."""
    columns, rows = np.nonzero(matrix.T)
    starts = np.concatenate(([0], np.bincount(columns, minlength=matrix.shape[1]).cumsum())).astype(np.int32)
    parts = {"data": matrix[rows, columns], "indices": rows.astype(np.int32), "indptr": starts}
    return Instance(module, "csc_matrix", {**parts, "_shape": matrix.shape, "format": "csc", "maxprint": 50})


def flame_content(arrays: Arrays) -> dict[str, Any]:
    """What FLAME's file holds."""
    content: dict[str, Any] = {**arrays, "bs_style": "lbs", "bs_type": "lrotmin"}
    for key in ("v_template", "shapedirs", "weights"):
        content[key] = chumpy(arrays[key], with_reconstructor=key == "weights")
    content["posedirs"] = np.asfortranarray(arrays["posedirs"])
    content["J_regressor"] = sparse(arrays["J_regressor"])
    return content


def make_flame_pickle(path: Path, arrays: Arrays) -> None:
    """`generic_model.pkl`."""
    path.write_bytes(python2_pickle(flame_content(arrays)))


def python2_pickle(value: Any) -> bytes:
    """A value pickled with protocol 2 by Python 2: text is bytes without an encoding, modules have their old names."""
    return b"\x80\x02" + opcodes(value) + b"."


def call(module: str, name: str, *args: Any) -> bytes:
    """The opcodes of a function call."""
    return named(module, name) + opcodes(args) + b"R"


def named(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def opcodes(value: Any) -> bytes:
    """The opcodes that put a value on the unpickler's stack; `bytes` are opcodes already."""
    match value:
        case bytes():
            return value
        case None:
            return b"N"
        case bool():
            return b"\x88" if value else b"\x89"
        case int() if -(2**31) <= value < 2**31:
            return b"J" + struct.pack("<i", value)
        case int():
            return b"\x8a\x10" + value.to_bytes(16, "little", signed=True)
        case str():
            text = value.encode("latin1")
            return b"T" + struct.pack("<i", len(text)) + text
        case Instance(module, name, state, True):
            made = b"ccopy_reg\n_reconstructor\n(" + named(module, name) + b"c__builtin__\nobject\nNtR"
            return made + opcodes(state) + b"b"
        case Instance(module, name, state):
            return named(module, name) + b")\x81" + opcodes(state) + b"b"
        case tuple():
            return b"(" + b"".join(map(opcodes, value)) + b"t"
        case list():
            return b"](" + b"".join(map(opcodes, value)) + b"e"
        case set():
            return call("__builtin__", "set", list(value))
        case dict():
            return b"}(" + b"".join(opcodes(key) + opcodes(item) for key, item in value.items()) + b"u"
        case np.dtype():
            state = (3, "<" if value.itemsize > 1 else "|", None, None, None, -1, -1, 0)
            return call("numpy", "dtype", value.str[1:], 0, 1) + opcodes(state) + b"b"
        case np.ndarray():
            empty = call("numpy.core.multiarray", "_reconstruct", named("numpy", "ndarray"), (0,), "b")
            fortran = value.flags.f_contiguous and not value.flags.c_contiguous
            data = value.tobytes("F" if fortran else "C").decode("latin1")
            return empty + opcodes((1, value.shape, value.dtype, fortran, data)) + b"b"
    raise TypeError(f"no opcodes for {type(value)}")
