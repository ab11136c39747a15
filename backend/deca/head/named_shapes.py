"""Directions of a head model's shape that have names (`assets/openhead/named_shapes.safetensors`).

`tools/build_named_shapes.py` makes them; they belong to one version of a head model, by its hash.

Shape suffixes: N named shapes, S shape coefficients, V vertices.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from deca.assets import assets_dir
from deca.errors import AssetError
from deca.files import read_safetensors
from deca.head.bundled import bundle_of
from deca.head.model import HeadModel

FORMAT, VERSION = "deca-named-shapes", "1"


@dataclass(frozen=True, eq=False)
class NamedShape:
    """One direction.

    Attributes:
        key: What people call it, in lower case with underscores: `jaw_width`.
        unit: Unit of its measure: mm or degrees.
        deviation: By how much of that unit people differ (standard deviation); the direction's 1 is as much.
        code_S: Shape code of the mean head moved by 1.
    """

    key: str
    unit: str
    deviation: float
    code_S: NDArray[np.float32]


def load_named_shapes(head: HeadModel, path: Path | None = None) -> tuple[NamedShape, ...]:
    """The named shapes of a head model; none where the bundled ones are missing or belong to another head model.

    Raises:
        AssetError: The file is damaged.
    """
    if path is None:
        bundle = bundle_of(head.name)
        if bundle is None or not bundle.named_shapes:
            return ()
        path = assets_dir() / bundle.named_shapes
    if not path.is_file():
        return ()
    hint = "Reinstall the add-on."
    tensors, metadata = read_safetensors(path, "named shapes", hint)
    if metadata.get("format") != FORMAT or metadata.get("version") != VERSION:
        raise AssetError(f"{path} does not hold named shapes of format {FORMAT} {VERSION}.", hint)
    if metadata.get("head_hash") != head.hash:
        return ()
    try:
        rows = zip(json.loads(metadata["shapes"]), tensors["codes"].astype(np.float32), strict=True)
        return tuple(NamedShape(str(key), str(unit), float(size), code_S) for (key, unit, size), code_S in rows)
    except (KeyError, TypeError, ValueError) as error:
        raise AssetError(f"{path} has named shapes that do not fit together ({error}).", hint) from error


def directions(head: HeadModel, shapes: Sequence[NamedShape]) -> NDArray[np.float32]:
    """Displacements (N, V, 3) in metres of the shapes at 1."""
    codes_NS = np.array([shape.code_S for shape in shapes], np.float32).reshape(len(shapes), -1)
    dirs_DS = head.shape_dirs_V3S.reshape(-1, head.shape_dirs_V3S.shape[2])[:, : codes_NS.shape[1]]
    return (codes_NS @ dirs_DS.T).reshape(len(shapes), -1, 3)


def prior(shapes: Sequence[NamedShape]) -> NDArray[np.float32]:
    """Inner products (N, N) of the shapes' codes: s^T prior s is the squared length of the code of the shapes s."""
    codes_NS = np.array([shape.code_S for shape in shapes], np.float32).reshape(len(shapes), -1)
    return codes_NS @ codes_NS.T


def save_named_shapes(path: Path, head: HeadModel, shapes: Sequence[NamedShape], licence: str = "CC0-1.0") -> None:
    """Writes the file that `load_named_shapes` reads."""
    described = [(shape.key, shape.unit, round(shape.deviation, 3)) for shape in shapes]
    metadata = {"format": FORMAT, "version": VERSION, "head_hash": head.hash, "licence": licence}
    codes_NS = np.array([shape.code_S for shape in shapes]).astype(np.float16)
    save_file({"codes": codes_NS}, str(path), metadata | {"shapes": json.dumps(described)})
