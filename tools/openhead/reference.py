"""A small extract of the source for the tests, which must run without the source package."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .expression import twin
from .lids import island_edge, lid_grid
from .sculpt import socket_vertices
from .source import Source
from .topology import SKIN, TEETH_LOWER, TONGUE, Topology

VERTICES = 300


def write_reference(
    source: Source, topology: Topology, mended: dict[str, np.ndarray], path: Path, seed: int = 3
) -> None:
    """Stores MakeHuman's own face units at some vertices, and the loops around mouth and eyes.

    `mended`, our own versions (V, 3) of some units by name (see `expression.py`), take the place of MakeHuman's.

    MakeHuman's left and right units differ by rounding to 0.1 mm and more (up to 1 mm); their mirror-symmetric mean is
    the reference, since components that are exactly symmetric or antisymmetric can hold nothing else.

    Arrays: `vertices` (N,), `units` (52, N, 3) float32 metres in the order of the sorted names; `lip_loop`, where skin
    and inner mouth meet, `lid_loop_left`, `lid_loop_right`, on the front of the lids' margins: vertices in order;
    `neck_loop`: the cut of the neck; `socket_faces`: triangles of the eye sockets.
    """
    candidates = topology.vertices_of(SKIN, TEETH_LOWER, TONGUE)
    socket = np.concatenate([socket_vertices(topology, island)[0] for island in (2, 3)])
    candidates = np.setdiff1d(candidates, socket)
    names = source.face_unit_names
    sources = {name: source.face_unit(name) for name in names}
    flip = np.array([-1, 1, 1])
    twins = [(sources[name] + sources[twin(name)][source.mirror] * flip) / 2 for name in names]
    units = np.stack(twins)[:, topology.origin[candidates]]
    moving = np.linalg.norm(units, axis=-1).max(axis=0) > 1e-3
    chosen = np.sort(np.random.default_rng(seed).choice(np.flatnonzero(moving), VERTICES, replace=False))
    lid_loop = lid_grid(topology, 3)[0][2]
    for name, unit_V3 in mended.items():
        units[names.index(name)] = unit_V3[candidates]
    np.savez_compressed(
        path,
        vertices=candidates[chosen].astype(np.int32),
        units=units[:, chosen].astype(np.float32),
        socket_faces=np.flatnonzero(np.isin(topology.island, (2, 3))).astype(np.int32),
        lip_loop=island_edge(topology, 1).astype(np.int32),
        lid_loop_left=lid_loop.astype(np.int32),
        lid_loop_right=topology.mirror[lid_loop].astype(np.int32),
        neck_loop=topology.neck_rings[-1],
    )
