"""A head model as data: arrays with FLAME's structure, read from one safetensors file (docs/architecture.md).

Shape suffixes: V vertices, F triangles, T texture vertices, S shape and E expression directions, L landmarks,
P polygons.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from pathlib import Path
from stat import S_ISDIR

import numpy as np
from numpy.typing import NDArray

from deca.assets import asset
from deca.errors import AssetError
from deca.files import file_hash, read_safetensors
from deca.head.bundled import bundle_of
from deca.head.polygons import as_polygons, uv_polygons
from deca.head.traits import Trait, traits_of
from deca_blender.protocol.conventions import OPENHEAD

_REQUIRED = ("v_template", "f", "posedirs", "J_regressor", "kintree_table", "weights", "vt", "ft")
FORMAT, VERSIONS = "deca-head", ("1", "2")
"""Files of version 1 have no polygons; nothing else tells the versions apart."""


class Part(IntEnum):
    """What a vertex belongs to (`HeadModel.parts_V`)."""

    SKIN = 0
    EYE_L = 1
    EYE_R = 2
    TEETH_UPPER = 3
    TEETH_LOWER = 4
    TONGUE = 5
    INNER_MOUTH = 6


@dataclass(frozen=True)
class SurfacePoints:
    """Points fixed to the surface: a triangle index and barycentric weights each.

    Attributes:
        faces: (...,) int64, indices into `HeadModel.faces_F3`; -1 where a point is not placed.
        bary: (..., 3), rows sum to 1, or are zero where a point is not placed.
    """

    faces: NDArray[np.int64]
    bary: NDArray[np.floating]

    @property
    def placed(self) -> NDArray[np.bool_]:
        """(...,) False for the points of which the head model does not know where they lie."""
        return self.faces >= 0

    def positions(self, verts_V3: NDArray, faces_F3: NDArray) -> NDArray:
        """Positions (..., 3) of the points on the given vertices."""
        return (verts_V3[faces_F3[self.faces]] * self.bary[..., None]).sum(-2)


@dataclass(frozen=True, eq=False)
class HeadModel:
    """Arrays of a head model. Metres, y up, z forward, x to the subject's left; sizes come from the file.

    Attributes:
        name: Name of the model; coefficients belong to it and to no other.
        hash: First 16 hex digits of the SHA-256 of the file, or of the earlier one whose codes mean the same
            (`codes_of` in the metadata): what was made for that one is for this one, too.
        template_V3: Mean neutral head.
        faces_F3: Triangles, counter-clockwise from outside, int64.
        polygons_P4: The same surface in faces of four, of which the triangles are halves, cut from the first to the
            third corner; -1 is the last corner of triangles. None where there are only triangles.
        shape_dirs_V3S: Displacement per unit of each shape coefficient.
        expression_dirs_V3E: Displacement per unit of each expression coefficient.
        pose_dirs_V3P: Displacement per unit of each entry of (R_j - I), joints 1..4, row-major (P = 36).
        joint_regressor_JV: Joint positions as weighted sums of the unposed vertices (`joints_follow_expression`).
        parents: Parent of each joint, -1 for the root.
        skin_weights_VJ: Linear blend skinning weights, rows sum to 1.
        uv_T2, uv_faces_F3: Texture coordinates (v up) and their triangles.
        mirror_V: Index of the mirrored vertex, or None.
        parts_V: `Part` of each vertex (all skin when the file does not say).
        masks: UV masks by name, (N, N) uint8, top row first.
        landmarks_68, landmarks_478: iBUG and MediaPipe landmarks, or None. FLAME's file places 105 of the 478.
        landmarks_51: The iBUG landmarks inside the face, which stay on the skin when the head turns; or None.
        contour: Dynamic jaw contour (79 yaws, 17), or None.
        arkit_names, arkit_map_K52: ARKit weight -> 51 expression coefficients, then the axis-angle of
            jaw, left eye and right eye; or None.
        fixed_displacement_NN: Displacement in metres that DECA adds to every face's, top row first; or None.
        mean_texture_NN3: Mean texture, uint8 sRGB, top row first; or None.
        licence: Licence of the file as its header states it.
        joints_follow_expression: Whether joints come from the vertices with identity and expression, as in DECA's
            release, or with identity alone, as in FLAME's paper and in OpenHead.
        traits: Age and sex as directions of the shape; empty where the file does not know them.
    """

    name: str
    hash: str
    template_V3: NDArray[np.float32]
    faces_F3: NDArray[np.int64]
    shape_dirs_V3S: NDArray[np.float32]
    expression_dirs_V3E: NDArray[np.float32]
    pose_dirs_V3P: NDArray[np.float32]
    joint_regressor_JV: NDArray[np.float32]
    parents: tuple[int, ...]
    skin_weights_VJ: NDArray[np.float32]
    uv_T2: NDArray[np.float32]
    uv_faces_F3: NDArray[np.int64]
    parts_V: NDArray[np.uint8]
    polygons_P4: NDArray[np.int64] | None = None
    mirror_V: NDArray[np.int64] | None = None
    masks: dict[str, NDArray[np.uint8]] = field(default_factory=dict)
    landmarks_68: SurfacePoints | None = None
    landmarks_478: SurfacePoints | None = None
    landmarks_51: SurfacePoints | None = None
    contour: SurfacePoints | None = None
    arkit_names: tuple[str, ...] = ()
    arkit_map_K52: NDArray[np.float32] | None = None
    fixed_displacement_NN: NDArray[np.float32] | None = None
    mean_texture_NN3: NDArray[np.uint8] | None = None
    licence: str = ""
    joints_follow_expression: bool = False
    traits: tuple[Trait, ...] = ()

    @property
    def num_verts(self) -> int:
        return len(self.template_V3)

    def faces_of_four(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The faces to show and to export, `polygons_P4` or else the triangles in that form, and those of `uv_T2`."""
        if self.polygons_P4 is None:
            return as_polygons(self.faces_F3), as_polygons(self.uv_faces_F3)
        return self.polygons_P4, uv_polygons(self.polygons_P4, self.faces_F3, self.uv_faces_F3)

    @classmethod
    def load(cls, path: str | Path) -> HeadModel:
        """Reads a head model file.

        Raises:
            AssetError: The file is missing, damaged, or not a head model of this version.
        """
        path = Path(path)
        hint = "Build or convert the head model again, or reinstall the add-on."
        tensors, metadata = read_safetensors(path, "head model", hint)
        if metadata.get("format") != FORMAT or metadata.get("version") not in VERSIONS:
            raise AssetError(f"{path} is not a head model file of format {FORMAT} {' or '.join(VERSIONS)}.", hint)
        missing = [key for key in _REQUIRED if key not in tensors]
        if missing:
            raise AssetError(f"The head model {path} lacks {', '.join(missing)}.", hint)
        try:
            return _from_tensors(tensors, metadata, file_hash(path))
        except (KeyError, ValueError, IndexError) as error:
            raise AssetError(f"The head model {path} has arrays that do not fit together ({error}).", hint) from error


def joint_basis(
    head: HeadModel, num_shape: int, num_expression: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the joints of the unposed head are: positions (J, 3) of the mean head, and their change (K, J, 3), metres
    per unit of each of the leading shape, then expression coefficients."""
    regressor_JV = head.joint_regressor_JV.astype(np.float64)
    dirs_KJ3 = np.concatenate(
        [
            np.tensordot(regressor_JV, dirs_V3K[:, :, :count], 1).transpose(2, 0, 1)
            for dirs_V3K, count in ((head.shape_dirs_V3S, num_shape), (head.expression_dirs_V3E, num_expression))
        ]
    )
    if not head.joints_follow_expression:
        dirs_KJ3[min(num_shape, head.shape_dirs_V3S.shape[2]) :] = 0.0
    return regressor_JV @ head.template_V3, dirs_KJ3


def mirror_directions(dirs_V3K: NDArray, mirror_V: NDArray) -> NDArray:
    """Displacement directions (V, 3, K) reflected in the plane x = 0."""
    return dirs_V3K[mirror_V] * np.array([-1, 1, 1], dirs_V3K.dtype)[:, None]


def expand_half(half_H3K: NDArray, parity_K: NDArray, mirror_V: NDArray) -> NDArray[np.float32]:
    """Directions at all vertices from those at the vertices with v <= mirror[v] (docs/architecture.md)."""
    full_V3K = np.zeros((len(mirror_V), 3, half_H3K.shape[2]), np.float32)
    first = np.flatnonzero(np.arange(len(mirror_V)) <= mirror_V)
    full_V3K[first] = half_H3K
    reflected = half_H3K.astype(np.float32) * np.array([-1, 1, 1], np.float32)[:, None] * parity_K.astype(np.float32)
    off_plane = mirror_V[first] != first
    full_V3K[mirror_V[first[off_plane]]] = reflected[off_plane]
    return full_V3K


def _from_tensors(tensors: dict[str, NDArray], metadata: dict[str, str], digest: str) -> HeadModel:
    verts = len(tensors["v_template"])
    num_shape = int(metadata.get("num_shape", 300))
    mirror = tensors["mirror"].astype(np.int64) if "mirror" in tensors else None
    if "shapedirs" in tensors:
        dirs_V3K = tensors["shapedirs"].astype(np.float32)
    else:
        if mirror is None:
            raise ValueError("shapedirs_half needs mirror")
        dirs_V3K = expand_half(tensors["shapedirs_half"], tensors["parity"], mirror)
    for key in ("weights", "posedirs"):
        if len(tensors[key]) != verts:
            raise ValueError(f"{key} has {len(tensors[key])} rows for {verts} vertices")
    landmarks_68, landmarks_51 = _points(tensors, "lmk68"), _points(tensors, "lmk51")
    if landmarks_68 is not None and landmarks_51 is None:
        landmarks_51 = SurfacePoints(landmarks_68.faces[17:], landmarks_68.bary[17:])
    if int(tensors["f"].max()) >= verts or int(tensors["ft"].max()) >= len(tensors["vt"]):
        raise ValueError("triangle indices out of range")
    polygons_P4 = tensors["polygons"].astype(np.int64) if "polygons" in tensors else None
    if polygons_P4 is not None:
        uv_polygons(polygons_P4, tensors["f"], tensors["ft"])
    return HeadModel(
        name=metadata.get("name", "unnamed"),
        hash=metadata.get("codes_of", digest),
        template_V3=tensors["v_template"].astype(np.float32),
        faces_F3=tensors["f"].astype(np.int64),
        shape_dirs_V3S=np.ascontiguousarray(dirs_V3K[:, :, :num_shape]),
        expression_dirs_V3E=np.ascontiguousarray(dirs_V3K[:, :, num_shape:]),
        pose_dirs_V3P=tensors["posedirs"].astype(np.float32),
        joint_regressor_JV=tensors["J_regressor"].astype(np.float32),
        parents=tuple(int(p) for p in tensors["kintree_table"][0]),
        skin_weights_VJ=tensors["weights"].astype(np.float32),
        uv_T2=tensors["vt"].astype(np.float32),
        uv_faces_F3=tensors["ft"].astype(np.int64),
        parts_V=tensors["part"] if "part" in tensors else np.zeros(verts, np.uint8),
        polygons_P4=polygons_P4,
        mirror_V=mirror,
        masks={key[5:]: tensors[key] for key in tensors if key.startswith("mask_")},
        landmarks_68=landmarks_68,
        landmarks_478=_points(tensors, "mp"),
        landmarks_51=landmarks_51,
        contour=_points(tensors, "contour"),
        arkit_names=tuple(json.loads(metadata.get("arkit_names", "[]"))),
        arkit_map_K52=tensors.get("arkit_map"),
        fixed_displacement_NN=tensors.get("fixed_displacement"),
        mean_texture_NN3=tensors.get("mean_texture"),
        licence=metadata.get("licence", ""),
        joints_follow_expression=_follows_expression(metadata),
        traits=traits_of(tensors.get("trait_codes"), metadata, num_shape),
    )


def _follows_expression(metadata: dict[str, str]) -> bool:
    """The joints' rule; files from before it was written down follow DECA's release where FLAME was converted."""
    from_flame = "sources" in metadata
    return {"true": True, "false": False}.get(metadata.get("joints_follow_expression", ""), from_flame)


def _points(tensors: dict[str, NDArray], prefix: str) -> SurfacePoints | None:
    if f"{prefix}_face" not in tensors:
        return None
    return SurfacePoints(tensors[f"{prefix}_face"].astype(np.int64), tensors[f"{prefix}_bary"].astype(np.float32))


def load_head(name: str = OPENHEAD) -> HeadModel:
    """Loads a head model by name (of `BUNDLES`; `openhead` is the default) or the path of its file; cached until it
    changes.

    Raises:
        AssetError: There is no such head model, or its file is damaged, or still FLAME's own.
    """
    path = asset(bundle.head) if (bundle := bundle_of(name)) else Path(name)
    try:
        status = path.stat()
    except FileNotFoundError:
        return _load(path, 0)  # which says so
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise AssetError(
            f"The head model {path} cannot be read ({reason}).", "Check its path and permissions."
        ) from error
    if S_ISDIR(status.st_mode) or path.suffix == ".pkl":
        raise AssetError(
            f"{path} is no head model file; FLAME's own files are converted once, and read as one file after that.",
            "Press Convert in the add-on's preferences, or use `deca convert-flame`.",
        )
    return _load(path, status.st_mtime_ns)


@lru_cache(maxsize=4)
def _load(path: Path, changed: int) -> HeadModel:
    return HeadModel.load(path)
