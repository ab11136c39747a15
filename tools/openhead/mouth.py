"""Keeps the inside of the mouth inside: a bag with clearance under the skin that follows the skin around it.

MakeHuman's mouth bag runs close under the cheeks and the nose, and its sliders move it apart from the skin, so that it
pokes through in one head of six. Here it is drawn inwards once, in the mean head; after that every identity and
expression moves its vertices by a weighted mean of the skin's motion nearby.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from .skinning import laplacian
from .topology import INNER_MOUTH, SKIN, TEETH_LOWER, TEETH_UPPER, TONGUE, Topology

CLEARANCE = 0.009
"""Metres the bag keeps under the skin where it is far from the lips."""
CLEARANCE_SLOPE = 0.5
"""Clearance per metre of distance from the lip line, where the bag begins at the skin."""
LIP_REACH = 0.008
"""Metres from the lip line over which the bag's motion passes from that of the lips to that of the skin around."""
TEETH_SCALE = 0.88
"""Of the width and depth of the dental arches: MakeHuman's back teeth lie too close to the cheeks."""
UPPER_TEETH_DROP = 0.003
"""Metres: MakeHuman's upper teeth end above the closed lips, so that a smile would show a gap; people's end below."""
TEETH_SETBACK = 0.003
"""Metres the teeth stand further back than MakeHuman's."""
TEETH_REACH = 0.016
"""Metres: radius of the skin that teeth and tongue follow."""
GROOVE = np.array(((-3.5, -4.5), (-7, -6.5), (-10.5, -8), (-13.5, -10), (-17, -14))) * 1e-3
"""Metres up and forward from the lower lip's edge to the rows of the bag behind it, down into the groove before the
teeth. MakeHuman's bag goes straight back over them, and no mouth would show its lower teeth."""
GROOVE_WHOLE, GROOVE_END = 0.014, 0.023
"""Metres from the middle up to which the rows lie so, and from which on they stay where they were."""

LIP_ROWS = 6
"""Rows of vertices from the lips' inner edge outwards that may touch the other lip."""
TOUCHING, SEAL_REACH = 1.3e-3, 1.2e-3
"""Metres between vertices of both lips up to which they touch, and along the lips over which motions are averaged."""
SEAL_WHOLE, SEAL_END = 0.7e-3, 3e-3
"""Metres above and below the line where lips touch up to which they move as one, and from which on as they did."""
SEAL_FROM, SEAL_TO = 0.003, 0.008
"""Metres from the middle from which on they begin to move as one, and do: nearer to it lips meet by themselves."""
SEAL_RISE, SEAL_BEHIND = 0.5e-3, 2e-3
"""Metres that the lower lip's inside rises there behind the upper one, and how far behind the place where they touch it
does so wholly: what is seen of lips stays as it is."""


class Mouth:
    """Inner mouth, teeth and tongue of one mean head."""

    def __init__(self, topology: Topology, mean_V3: np.ndarray) -> None:
        self.bag = topology.vertices_of(INNER_MOUTH)
        self.inside = topology.vertices_of(INNER_MOUTH, TEETH_UPPER, TEETH_LOWER, TONGUE)
        low = mean_V3[self.bag].min(axis=0) - np.array([0.025, 0.025, -0.015])
        high = mean_V3[self.bag].max(axis=0) + np.array([0.025, 0.008, 0.05])
        near = ((mean_V3 > low) & (mean_V3 < high)).all(axis=1)
        self.anchors = np.flatnonzero((topology.part == SKIN) & near)
        self.lip_line = lip_line(topology)
        self.rest_V3 = mean_V3.copy()
        self.rest_V3[self.bag] = self._draw_inwards(topology, mean_V3)
        for part in (TEETH_UPPER, TEETH_LOWER):
            teeth = topology.vertices_of(part)
            front = np.array([0, 0, mean_V3[teeth, 2].max()])
            scale = np.array([TEETH_SCALE, 1, TEETH_SCALE])
            self.rest_V3[teeth] = (mean_V3[teeth] - front) * scale + front - (0, 0, TEETH_SETBACK)
        self.rest_V3[topology.vertices_of(TEETH_UPPER), 1] -= UPPER_TEETH_DROP
        self.weights = self._follow_weights(topology)
        from_lips = cKDTree(mean_V3[self.lip_line]).query(mean_V3[self.inside])[0]
        self.near_lips = np.where(np.isin(self.inside, self.bag), np.exp(-((from_lips / LIP_REACH) ** 2)), 0.0)

    def follow(self, motion_NV3: np.ndarray, parts: np.ndarray | None = None) -> None:
        """Replaces the motion of the mouth's inside by that of the skin around it, in place.

        Args:
            motion_NV3: displacements from the mean head, or of an expression.
            parts: vertices to replace, a subset of :attr:`inside`; by default all.
        """
        rows = slice(None) if parts is None else np.isin(self.inside, parts)
        verts = self.inside[rows]
        followed = self.weights[rows].astype(motion_NV3.dtype) @ motion_NV3[:, self.anchors]
        own = self.near_lips[rows, None].astype(motion_NV3.dtype)
        motion_NV3[:, verts] = own * motion_NV3[:, verts] + (1 - own) * followed

    def _draw_inwards(self, topology: Topology, mean_V3: np.ndarray) -> np.ndarray:
        skin = np.isin(topology.island, (0, 4))
        triangles = topology.triangles[skin]
        corners = mean_V3[triangles]
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        centres = corners.mean(axis=1)
        tree = cKDTree(centres)
        points = mean_V3.copy()
        from_lips = cKDTree(mean_V3[self.lip_line]).query(mean_V3[self.bag])[0]
        wanted = np.minimum(CLEARANCE, CLEARANCE_SLOPE * from_lips)
        operator = laplacian(topology)[self.bag][:, self.bag]
        move = np.zeros((len(self.bag), 3))
        for _ in range(60):
            here = mean_V3[self.bag] + move
            _, nearest = tree.query(here, k=4)
            depth = np.einsum("pkc,pkc->pk", centres[nearest] - here[:, None], normals[nearest])
            missing = np.clip(wanted[:, None] - depth, 0, None).mean(axis=1)
            move -= 0.5 * missing[:, None] * normals[nearest].mean(axis=1)
            move -= 0.25 * (operator @ move)
        points = mean_V3[self.bag] + move
        mirror = np.searchsorted(self.bag, topology.mirror[self.bag])
        return (points + points[mirror] * (-1, 1, 1)) / 2

    def _follow_weights(self, topology: Topology) -> np.ndarray:
        """Rows over the anchors, sum 1: a Gaussian over the skin around, as wide as the vertex is deep."""
        offset = self.rest_V3[self.inside][:, None] - self.rest_V3[self.anchors]
        squared = (offset**2).sum(axis=-1)
        nearest = squared.min(axis=1)
        reach = np.clip(0.5 * np.sqrt(nearest), 0.004, 0.012)
        reach[np.isin(topology.part[self.inside], (TEETH_UPPER, TEETH_LOWER, TONGUE))] = TEETH_REACH
        gauss = np.exp(-(squared - nearest[:, None]) / (2 * reach[:, None] ** 2))
        gauss /= gauss.sum(axis=1, keepdims=True)

        return gauss


def lip_line(topology: Topology) -> np.ndarray:
    """Skin vertices at which the mouth bag begins."""
    in_bag = topology.triangles[topology.island == 1]
    vertices = np.unique(in_bag)
    return vertices[topology.part[vertices] == SKIN]


def with_groove(verts_V3: np.ndarray, part: np.ndarray, polygons: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """A head (V, 3) whose bag goes down between lower lip and teeth before it goes back.

    Args:
        verts_V3: The head, metres; its lips are closed.
        part, polygons, mirror: As in `Topology`.
    """
    beside = _neighbours(polygons)
    upper, lower, corners = _lip_edges(beside, part, verts_V3)
    within = set(np.flatnonzero(part == INNER_MOUTH).tolist())
    from_lower, from_rest = _rows(beside, lower, within), _rows(beside, upper | corners, within)
    moved_V3 = verts_V3.copy()
    for v, (row, edge) in from_lower.items():
        if 1 <= row <= len(GROOVE) and row < from_rest[v][0]:
            share = _smooth((GROOVE_END - abs(verts_V3[v, 0])) / (GROOVE_END - GROOVE_WHOLE))
            there_2 = verts_V3[edge, 1:] + GROOVE[row - 1]
            moved_V3[v, 1:] += share * (there_2 - verts_V3[v, 1:])
    return (moved_V3 + moved_V3[mirror] * (-1, 1, 1)) / 2


def with_sealed_corners(
    verts_V3: np.ndarray, dirs_V3K: np.ndarray, part: np.ndarray, polygons: np.ndarray, mirror: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A head (V, 3), and its shape directions (V, 3, K), whose lips stay closed up to the corners.

    There the lips of most people parted by half a millimetre to two, and teeth were seen. Where they touch, both get
    the mean of their motions, and the inside of the lower one rises behind the upper one. A third of a millimetre stays
    open: to close it, the lips' inside would have to fold more sharply than normals of wrinkles allow.

    Args:
        verts_V3: The head, metres; its lips are closed, or nearly.
        dirs_V3K: What shape coefficients do to it.
        part, polygons, mirror: As in `Topology`.
    """
    beside = _neighbours(polygons)
    upper, lower, corners = _lip_edges(beside, part, verts_V3)
    line = upper | lower | corners
    lips = set(line)
    for _ in range(LIP_ROWS):
        lips |= {n for v in lips for n in beside[v] if part[n] == SKIN}
    lips |= {n for v in line for n in beside[v] if part[n] == INNER_MOUTH}
    from_upper, from_lower = (_rows(beside, edge, lips - corners) for edge in (upper, lower))
    whole = np.array(sorted(lips))
    far = (len(whole), 0)
    rows = np.array([[from_upper.get(v, far)[0], from_lower.get(v, far)[0]] for v in whole.tolist()])
    side = np.sign(rows[:, 1] - rows[:, 0])  # 1 on the upper lip, -1 on the lower, 0 between them
    here_L3 = verts_V3[whole]
    is_skin = part[whole] == SKIN
    trees = {lip: cKDTree(here_L3[is_skin & (side == lip)]) for lip in (1, -1)}
    apart = np.full(len(whole), np.inf)
    for lip, tree in trees.items():
        own = is_skin & (side == -lip)
        apart[own] = tree.query(here_L3[own])[0]
    touches = apart < TOUCHING
    across = np.abs(here_L3[:, 0])
    near_LL = np.exp(-(((across[:, None] - across) / SEAL_REACH) ** 2)) * touches
    near_LL *= (np.sign(here_L3[:, :1]) == np.sign(here_L3[:, 0])) | (across[:, None] < SEAL_REACH)
    near_LL /= np.maximum(near_LL.sum(1, keepdims=True), 1e-12)
    off = np.abs(here_L3[:, 1] - near_LL @ here_L3[:, 1])
    weight = _smooth((SEAL_END - off) / (SEAL_END - SEAL_WHOLE))
    weight *= _smooth((across - SEAL_FROM) / (SEAL_TO - SEAL_FROM)) * (near_LL.sum(1) > 0.5)
    sealed_V3, sealed_V3K = verts_V3.copy(), dirs_V3K.copy()
    behind = near_LL @ here_L3[:, 2] - here_L3[:, 2]
    sealed_V3[whole, 1] += (side < 0) * weight * _smooth(behind / SEAL_BEHIND) * SEAL_RISE
    motion_L3K = dirs_V3K[whole]
    means = []
    for lip in trees:
        lip_LL = near_LL * (side == lip)
        means.append(np.tensordot(lip_LL / np.maximum(lip_LL.sum(1, keepdims=True), 1e-12), motion_L3K, 1))
    sealed_V3K[whole] += weight[:, None, None] * (sum(means) / 2 - motion_L3K)
    return (sealed_V3 + sealed_V3[mirror] * (-1, 1, 1)) / 2, sealed_V3K


def _smooth(t: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, 3t^2 - 2t^3 in between."""
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


def _lip_edges(
    beside: dict[int, set[int]], part: np.ndarray, verts_V3: np.ndarray
) -> tuple[set[int], set[int], set[int]]:
    """Skin vertices at which the mouth bag begins: the upper lip's, the lower lip's, and the two corners."""
    line = {v for v, near in beside.items() if part[v] == SKIN and any(part[n] == INNER_MOUTH for n in near)}
    corners = {min(line, key=lambda v: verts_V3[v, 0]), max(line, key=lambda v: verts_V3[v, 0])}
    start = min(line - corners, key=lambda v: verts_V3[v, 1])
    lower = set(_rows(beside, {start}, line - corners))
    return line - lower - corners, lower, corners


def _neighbours(polygons: np.ndarray) -> dict[int, set[int]]:
    beside: dict[int, set[int]] = {}
    for polygon in polygons.tolist():
        corners = [v for v in polygon if v >= 0]
        for a, b in zip(corners, corners[1:] + corners[:1], strict=True):
            beside.setdefault(a, set()).add(b)
            beside.setdefault(b, set()).add(a)
    return beside


def _rows(beside: dict[int, set[int]], first: set[int], within: set[int]) -> dict[int, tuple[int, int]]:
    """How many edges vertices are away from the first ones, and from which of these; ways lead through `within`."""
    found = {v: (0, v) for v in first}
    last = sorted(first)
    while last:
        following = []
        for v in last:
            row, edge = found[v]
            for n in sorted(beside[v] & within):
                if n not in found:
                    found[n] = (row + 1, edge)
                    following.append(n)
        last = following
    return found
