"""Which vertices, polygons and triangles make OpenHead, in which order, and how they mirror.

Vertex order: skin (head, eye sockets, neck), inner mouth, left eyeball, right eyeball, upper teeth, lower teeth,
tongue. A model without teeth and tongue is therefore a slice. Skin, inner mouth, teeth and tongue are vertices of
MakeHuman's base mesh; the eyeballs are spheres of our own.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from .source import ObjMesh, Source

SKIN, EYE_LEFT, EYE_RIGHT, TEETH_UPPER, TEETH_LOWER, TONGUE, INNER_MOUTH = range(7)
"""Values of :attr:`Topology.part`."""

NECK_RINGS = 4
EYE_RADIUS = 0.012
"""Metres: an adult eyeball is 24 mm across."""
EYE_MERIDIANS = 24
EYE_RING_DEGREES = (7.0, 13.0, 19.0, 24.5, 29.5, 34.5, 42.0, 51.0, 61.0, 73.0, 90.0, 107.0, 124.0, 141.0, 160.0)
"""Angle of every ring of an eyeball from its front pole: 13 the pupil's rim, 29.5 the limbus, 90 the equator."""

_HEAD_QUADS, _MOUTH_QUADS, _SOCKET_QUADS, _TORSO_QUADS = 3116, 398, 293, 3938
"""Sizes of the UV islands of the base mesh's body, by which they are told apart."""


@dataclass(frozen=True)
class Topology:
    """The mesh, without its directions.

    Attributes:
        template: (V, 3) float64, metres, head space, mirror-symmetric.
        triangles: (F, 3) int32, counter-clockwise seen from outside.
        polygons: (P, 4) int32, the quads of MakeHuman and of the eyeballs, of which the triangles are halves: cut from
            the first to the third corner. -1 is the last corner of the triangles at the eyeballs' poles.
        mirror: (V,) int32, index of the mirrored vertex, an involution.
        part: (V,) uint8, see :data:`SKIN` and the others.
        source_uv: (F, 3, 2) float64, MakeHuman's UV at every corner; NaN on the eyeballs.
        island: (F,) int32, UV island of MakeHuman the triangle comes from (0 head, 1 inner mouth, 2 left eye socket,
            3 right eye socket, 4 neck, 5 upper teeth, 6 lower teeth, 7 tongue, 8 left eyeball, 9 right eyeball).
        origin: (V,) int32, index in MakeHuman's base mesh; -1 on the eyeballs.
        neck_rings: (5, 48) int32, vertices around the neck from the edge of the head's island down to the cut;
            columns run along the mesh's edges.
    """

    template: np.ndarray
    triangles: np.ndarray
    polygons: np.ndarray
    mirror: np.ndarray
    part: np.ndarray
    source_uv: np.ndarray
    island: np.ndarray
    origin: np.ndarray
    neck_rings: np.ndarray

    def vertices_of(self, *parts: int) -> np.ndarray:
        """Ascending indices of the vertices of some parts."""
        return np.flatnonzero(np.isin(self.part, parts))

    def gather(self, source_V3: np.ndarray) -> np.ndarray:
        """Values at base mesh vertices -> values at our vertices, 0 on the eyeballs."""
        return np.where((self.origin >= 0)[:, None], source_V3[self.origin], 0.0)


HEAD_CENTRE = np.array([0.0, 0.718, 0.055])
"""Metres, in the source's space: the origin of head space, between the ears at the height of the eyes' lower lids."""


def build_topology(source: Source) -> Topology:
    """Cuts the head out of the base mesh and adds the eyeballs.

    The template is MakeHuman's base mesh as it is (an androgynous adult); the build replaces it by the mean of the
    sampled identities.
    """
    base = source.base
    quads, quads_uv, island = _cut(base)
    origin, part = _order_vertices(base, quads, island)
    template = base.verts - HEAD_CENTRE

    triangles, corner_quad, corners, polygons = _triangulate(quads, template, source.mirror)
    to_ours = np.full(len(base.verts), -1)
    n_before_eyes = int(np.sum(np.isin(part, (SKIN, INNER_MOUTH))))
    n_eye = 2 + EYE_MERIDIANS * len(EYE_RING_DEGREES)
    order = np.concatenate([np.arange(n_before_eyes), np.arange(n_before_eyes, len(origin)) + 2 * n_eye])
    to_ours[origin] = order

    eye_verts, eye_triangles, eye_mirror = eyeball()
    centre = eye_centre(base)
    left = eye_verts * EYE_RADIUS + centre
    right = left[eye_mirror] * (-1, 1, 1)
    first = n_before_eyes
    all_verts = np.concatenate([template[origin[:first]], left, right, template[origin[first:]]])
    all_origin = np.concatenate([origin[:first], np.full(2 * n_eye, -1), origin[first:]])
    eye_part = np.repeat([EYE_LEFT, EYE_RIGHT], n_eye)
    all_part = np.concatenate([part[:first], eye_part, part[first:]])

    mirror = np.empty(len(all_origin), dtype=np.int64)
    ours = all_origin >= 0
    mirror[ours] = to_ours[source.mirror[all_origin[ours]]]
    mirror[first : first + n_eye] = np.argsort(eye_mirror) + first + n_eye
    mirror[first + n_eye : first + 2 * n_eye] = eye_mirror + first

    eye_faces = np.concatenate([eye_triangles + first, mirror[eye_triangles + first][:, ::-1]])
    left_eye = _eyeball_polygons(first)
    is_quad = left_eye[:, 3:] >= 0
    right_eye = np.where(left_eye < 0, -1, mirror[left_eye])
    right_eye = np.where(is_quad, right_eye[:, [0, 3, 2, 1]], right_eye[:, [0, 2, 1, 3]])
    triangles, polygons = to_ours[triangles], to_ours[polygons]
    uv = base.uv[quads_uv[corner_quad[:, None], corners]]
    inner_quad = np.isin(island, range(5))
    inner = inner_quad[corner_quad]
    n_eye_faces = len(eye_triangles)
    return Topology(
        template=(all_verts + all_verts[mirror] * (-1, 1, 1)) / 2,
        triangles=np.concatenate([triangles[inner], eye_faces, triangles[~inner]]).astype(np.int32),
        polygons=np.concatenate([polygons[inner_quad], left_eye, right_eye, polygons[~inner_quad]]).astype(np.int32),
        mirror=mirror.astype(np.int32),
        part=all_part.astype(np.uint8),
        source_uv=np.concatenate([uv[inner], np.full((2 * n_eye_faces, 3, 2), np.nan), uv[~inner]]),
        island=np.concatenate(
            [island[corner_quad][inner], np.repeat([8, 9], n_eye_faces), island[corner_quad][~inner]]
        ).astype(np.int32),
        origin=all_origin.astype(np.int32),
        neck_rings=to_ours[_neck_rings(base.verts, quads[island == 0], quads[island == 4])].astype(np.int32),
    )


def eyeball() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A unit sphere whose front pole looks along +z.

    Returns:
        verts: (E, 3) float64: front pole, rings from front to back, back pole.
        triangles: (G, 3) int64, counter-clockwise seen from outside.
        mirror: (E,) int64, the vertex of the same sphere at -x.
    """
    azimuth = 2 * np.pi * np.arange(EYE_MERIDIANS) / EYE_MERIDIANS
    polar = np.radians(EYE_RING_DEGREES)[:, None]
    # Exactly symmetric: cos and sin of mirrored azimuths differ in the last bit otherwise.
    step = (EYE_MERIDIANS // 2 - np.arange(EYE_MERIDIANS)) % EYE_MERIDIANS
    cos, sin = (np.cos(azimuth) - np.cos(azimuth)[step]) / 2, (np.sin(azimuth) + np.sin(azimuth)[step]) / 2
    rings = np.stack(np.broadcast_arrays(np.sin(polar) * cos, np.sin(polar) * sin, np.cos(polar)), axis=-1)
    verts = np.concatenate([[[0, 0, 1]], rings.reshape(-1, 3), [[0, 0, -1]]])

    index = 1 + np.arange(rings[..., 0].size).reshape(rings.shape[:2])
    after = np.roll(index, -1, axis=1)
    last = len(verts) - 1
    triangles = [np.stack([np.zeros_like(index[0]), index[0], after[0]], 1)]
    for k, _ in enumerate(pairwise(EYE_RING_DEGREES)):
        a, b, c, d = index[k], index[k + 1], after[k + 1], after[k]
        triangles += [np.stack([a, b, c], 1), np.stack([a, c, d], 1)]
    triangles.append(np.stack([index[-1], np.full_like(index[0], last), after[-1]], 1))
    mirror = np.concatenate([[0], index[:, step].ravel(), [last]])
    return verts, np.concatenate(triangles), mirror


def _eyeball_polygons(first: int) -> np.ndarray:
    """The polygons (H, 4) of an eyeball whose front pole is vertex `first`; see :attr:`Topology.polygons`."""
    rings = first + 1 + np.arange(EYE_MERIDIANS * len(EYE_RING_DEGREES)).reshape(-1, EYE_MERIDIANS)
    after = np.roll(rings, -1, axis=1)
    none = np.full(EYE_MERIDIANS, -1)
    front, back = np.full(EYE_MERIDIANS, first), np.full(EYE_MERIDIANS, first + 1 + rings.size)
    strips = np.stack([rings[:-1], rings[1:], after[1:], after[:-1]], -1).reshape(-1, 4)
    poles = [(front, rings[0], after[0], none), (rings[-1], back, after[-1], none)]
    return np.concatenate([np.stack(poles[0], 1), strips, np.stack(poles[1], 1)])


def eye_centre(base: ObjMesh) -> np.ndarray:
    """Centre of the left eyeball in the unmodified base mesh: the front pole stays where MakeHuman's eye has it."""
    proxy = base.verts[np.unique(base.quads[base.groups == "helper-l-eye"])] - HEAD_CENTRE
    low, high = proxy.min(axis=0), proxy.max(axis=0)
    centre = (low + high) / 2
    centre[2] = high[2] - EYE_RADIUS
    return centre


def _cut(base: ObjMesh) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Quads of the head, their UV corners, and the island number of :attr:`Topology.island`."""
    body = base.groups == "body"
    quads, quads_uv = base.quads[body], base.quads_uv[body]
    edges = np.concatenate([quads_uv[:, [k, (k + 1) % 4]] for k in range(4)])
    graph = sp.coo_matrix((np.ones(len(edges)), edges.T), (len(base.uv), len(base.uv)))
    label = connected_components(graph, directed=False)[1][quads_uv[:, 0]]
    size = np.bincount(label)[label]

    island = np.full(len(quads), -1)
    island[size == _HEAD_QUADS] = 0
    island[size == _MOUTH_QUADS] = 1
    socket = size == _SOCKET_QUADS
    is_left = base.verts[quads].mean(axis=1)[:, 0] > 0
    island[socket & is_left], island[socket & ~is_left] = 2, 3
    inside = np.zeros(len(base.verts), dtype=bool)
    inside[quads[island == 0]] = True
    for _ in range(NECK_RINGS):
        ring = (size == _TORSO_QUADS) & inside[quads].any(axis=1)
        island[ring] = 4
        inside[quads[ring]] = True

    kept = island >= 0
    parts = [(quads[kept], quads_uv[kept], island[kept])]
    for number, group in ((5, "helper-upper-teeth"), (6, "helper-lower-teeth"), (7, "helper-tongue")):
        chosen = base.groups == group
        parts.append((base.quads[chosen], base.quads_uv[chosen], np.full(chosen.sum(), number)))
    joined = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return joined[0], joined[1], joined[2]


def _order_vertices(base: ObjMesh, quads: np.ndarray, island: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Base mesh indices in our order and their parts, without the eyeballs."""
    part = np.full(len(base.verts), 255)
    by_island = {5: TEETH_UPPER, 6: TEETH_LOWER, 7: TONGUE, 1: INNER_MOUTH}
    for number in (5, 6, 7, 1, 0, 2, 3, 4):  # later ones win: the lip line, shared with the inner mouth, is skin
        part[quads[island == number]] = by_island.get(number, SKIN)
    ordered = [np.flatnonzero(part == p) for p in (SKIN, INNER_MOUTH, TEETH_UPPER, TEETH_LOWER, TONGUE)]
    origin = np.concatenate(ordered)
    return origin, part[origin]


def _neck_rings(verts: np.ndarray, head_quads: np.ndarray, neck_quads: np.ndarray) -> np.ndarray:
    """Rings of base mesh vertices, (5, 48): the head's border and the border after every strip of quads around it.

    Every ring starts at its front vertex and runs to the subject's left, so that columns go straight down.
    """
    inside = np.zeros(len(verts), dtype=bool)
    inside[head_quads] = True
    strip = np.full(len(neck_quads), -1)
    was_inside = inside
    rings = []
    for k in range(NECK_RINGS + 1):
        todo = neck_quads[strip < 0] if k == 0 else neck_quads[strip == k - 1]
        edges = np.concatenate([todo[:, [i, (i + 1) % 4]] for i in range(4)])
        if k == 0:  # edges of the neck that also belong to the head
            is_border = inside[edges].all(axis=1)
        else:
            is_border = ~was_inside[edges].any(axis=1)
        border = edges[is_border]
        if k > 0:  # an edge between two quads of one strip occurs twice
            _, index, count = np.unique(np.sort(border, axis=1), axis=0, return_index=True, return_counts=True)
            border = border[index[count == 1]]
        rings.append(_loop_from_front(verts, border))
        reached = (strip < 0) & inside[neck_quads].any(axis=1)
        strip[reached] = k
        was_inside = inside.copy()
        inside[neck_quads[reached]] = True
    return np.array(rings)


def _loop_from_front(verts: np.ndarray, edges: np.ndarray) -> np.ndarray:
    neighbours: dict[int, list[int]] = {}
    for a, b in edges.tolist():
        neighbours.setdefault(a, []).append(b)
        neighbours.setdefault(b, []).append(a)
    start = max(neighbours, key=lambda vertex: (abs(verts[vertex, 0]) < 1e-9, verts[vertex, 2]))
    loop = [start, max(neighbours[start], key=lambda vertex: verts[vertex, 0])]
    while len(loop) < len(neighbours):
        a, b = neighbours[loop[-1]]
        loop.append(b if a == loop[-2] else a)
    return np.array(loop)


def _triangulate(quads: np.ndarray, verts: np.ndarray, mirror: np.ndarray):
    """Splits quads along the shorter diagonal, mirrored quads alike.

    Returns:
        triangles (F, 3) of base mesh vertices, the quad of every triangle (F,), its corners in the quad (F, 3), and the
        quads turned so that each is cut from its first to its third corner.
    """
    diagonal = np.linalg.norm(verts[quads[:, [0, 1]]] - verts[quads[:, [2, 3]]], axis=-1)
    difference = diagonal[:, 0] - diagonal[:, 1]
    # On a tie the diagonal that holds the smallest index of the quad or of its mirror image decides.
    canonical = np.minimum(quads, mirror[quads])
    tie = np.isclose(difference, 0, atol=1e-9)
    first = np.where(tie, np.argmin(canonical, axis=1) % 2 == 0, difference < 0)
    split = np.where(first[:, None, None], [[[0, 1, 2], [0, 2, 3]]], [[[0, 1, 3], [1, 2, 3]]])
    corners = split.reshape(-1, 3)
    quad = np.repeat(np.arange(len(quads)), 2)
    turned = np.where(first[:, None], quads, np.roll(quads, -1, axis=1))
    return quads[quad[:, None], corners], quad, corners, turned
