"""The head model file of docs/architecture.md, byte for byte reproducible."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save

LICENCE = "CC0-1.0"


def half_directions(dirs_V3K: np.ndarray, mirror: np.ndarray, parity_K: np.ndarray) -> np.ndarray:
    """Directions at the vertices with v <= mirror[v], float16, exactly in the plane x = 0 where they must be."""
    kept = np.flatnonzero(np.arange(len(mirror)) <= mirror)
    half = dirs_V3K[kept].copy()
    on_plane = mirror[kept] == kept
    half[on_plane, 0] *= parity_K < 0
    half[on_plane, 1:] *= (parity_K > 0)[None, None]
    return half.astype(np.float16)


def write_head(path: Path, arrays: dict[str, np.ndarray], arkit_names: list[str]) -> None:
    """Writes a head model; arrays must have the names, shapes and types of docs/architecture.md."""
    metadata = {
        "format": "deca-head",
        "version": "1",
        "name": "openhead",
        "licence": LICENCE,
        "arkit_names": json.dumps(arkit_names),
    }
    ordered = {name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_sorted_header(save(ordered, metadata)))


def _sorted_header(data: bytes) -> bytes:
    """safetensors writes its metadata in an order that differs between runs; sort the header."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    names = sorted((name for name in header if name != "__metadata__"), key=lambda n: header[n]["data_offsets"])
    ordered = {"__metadata__": dict(sorted(header["__metadata__"].items())), **{name: header[name] for name in names}}
    text = json.dumps(ordered, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + length :]
