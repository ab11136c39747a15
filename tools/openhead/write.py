"""The head model file of docs/architecture.md, byte for byte reproducible."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from deca.files import safetensors_bytes, write_file

LICENCE = "CC0-1.0"


def half_directions(dirs_V3K: np.ndarray, mirror: np.ndarray, parity_K: np.ndarray) -> np.ndarray:
    """Directions at the vertices with v <= mirror[v], float16, exactly in the plane x = 0 where they must be."""
    kept = np.flatnonzero(np.arange(len(mirror)) <= mirror)
    half = dirs_V3K[kept].copy()
    on_plane = mirror[kept] == kept
    half[on_plane, 0] *= parity_K < 0
    half[on_plane, 1:] *= (parity_K > 0)[None, None]
    return half.astype(np.float16)


def write_head(
    path: Path,
    arrays: dict[str, np.ndarray],
    arkit_names: list[str],
    traits: Sequence[dict[str, str | float]],
    codes_of: str | None = None,
) -> None:
    """Writes a head model; arrays must have the names, shapes and types of docs/architecture.md. `codes_of` is the hash
    of an earlier head whose codes mean the same."""
    metadata = {
        "format": "deca-head",
        "version": "2",
        "name": "openhead",
        "licence": LICENCE,
        "arkit_names": json.dumps(arkit_names),
        "traits": json.dumps(traits),
    }
    if codes_of is not None:
        metadata["codes_of"] = codes_of
    write_file(path, safetensors_bytes(arrays, metadata))
