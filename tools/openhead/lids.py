"""Closes the eyelids: MakeHuman's blink fits its own face, not the mean of many.

Around an eye the mesh is a polar grid: 28 columns run outwards from the edge where lid and eye socket meet. Every
column of the upper lid has one of the lower lid as its partner, and in a full blink the upper margin is laid on its
partner's.

Shape suffixes: V vertices, R rings from the edge outwards, C columns around the eye.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import spsolve

from .skinning import laplacian
from .topology import EYE_LEFT, Topology

MARGIN_RINGS = 4
"""Rings of a lid's margin: the edge on the eyeball, two on the margin's breadth, the front of the lid."""
LANDING = ((-0.8, -0.0016, 0.0004), (-0.1, -0.0008, 0.0006), (1.5, -0.0007, 0.0006), (3.0, -0.0004, 0.0005))
"""Where each ring of the upper margin lands: ring of the lower one (negative: beyond its edge, towards the socket),
metres upwards, metres outwards. Only the front lies on the lower margin; the rest is tucked behind the lower lid, so
that eyes wider than the mean's close as well."""
LOWER_LID_RISE = 0.0002
"""Metres the middle of the lower lid rises."""
CORNER_CALM = 0.5
"""Share of MakeHuman's motion of the outer corner that is taken away: it draws the corner 3 mm down."""
CORNER_REACH = 0.007
"""Metres from the outer corner over which that share falls off."""
CLOSING_GAP, TUCK_GAP = 0.002, 0.004
"""Metres between the lids, open, at which a column takes most of the closing and of the tuck; less at the corners."""
CLEARANCE = 0.0003
"""Metres kept between lids and eyeball."""
SKIN_CLEARANCE = 0.0013
"""The same for the lids' skin in a blink and half-way through it: the eye socket lies up to 1 mm over the eyeball, and
faces other than the mean have thinner lids."""
FOLD_RING = 9
"""Ring of the upper lid above its fold. A blink spreads the rings between it and the margin over the eyeball."""
FOLD_SLIDE = 0.5
"""Share of MakeHuman's motion that the ring above the fold keeps: the skin there does not come down with the lid."""
SPREAD_COLUMNS = 0.7
"""Share of the closing above which a column is spread so; the columns at the corners follow their neighbours."""
LID_THICKNESS = 0.0026
"""Metres, at most, from the eyeball to the outside of the lid below the fold; the margin may be thicker."""
SPREAD_OUT = (0.2, 0.4, 0.58, 0.74, 0.88, 1.0)
"""Where the rings between margin and fold come to lie in a blink, as shares of the angle between these two."""
RISE = (0.0, 0.02, 0.08, 0.24, 0.52, 1.0)
"""Their distance from the eyeball, from the margin's (0) to that of the ring above the fold (1): the lid hugs the ball
and turns up into the fold where the ball goes under the brow."""
REACH = 0.024
"""Metres from the eye's centre within which the lids' skin may be moved."""
LOCALITY = 0.04
"""How quickly the correction of the lid's margin fades over the lid."""


def island_edge(topology: Topology, island: int) -> np.ndarray:
    """Vertices at which the inner mouth (island 1) or an eye socket (2 left, 3 right) meets the face, in order."""
    return _loop(_border(topology.triangles[topology.island == island]))


def lid_grid(topology: Topology, rings: int) -> tuple[np.ndarray, np.ndarray]:
    """The left eye's lids as a polar grid.

    Returns:
        Vertices (R, C), ring 0 the edge; each column's partner (C,) on the other lid, an involution.
    """
    place = topology.template
    outside = topology.triangles[topology.island == 0]
    grid = [island_edge(topology, 2)]
    for _ in range(rings - 1):
        strip = outside[np.isin(outside, grid[-1]).any(axis=1) & ~np.isin(outside, grid[:-1]).any(axis=1)]
        border = _border(strip)
        ring = _loop(border[~np.isin(border, grid[-1]).any(axis=1)])
        turns = [np.roll(way, k) for way in (ring, ring[::-1]) for k in range(len(ring))]
        grid.append(min(turns, key=lambda turn: np.linalg.norm(place[turn] - place[grid[-1]], axis=1).sum()))
    x, column = place[grid[1], 0], np.arange(len(grid[0]))
    pairings = [(k - column) % len(column) for k in range(1, len(column), 2)]
    return np.array(grid), min(pairings, key=lambda partner: np.abs(x - x[partner]).sum())


def eye_corners(topology: Topology) -> np.ndarray:
    """Vertices of the left eye's inner and outer corner, where the fronts of the lids meet."""
    front = lid_grid(topology, MARGIN_RINGS)[0][-1]
    x = topology.template[front, 0]
    return front[[x.argmin(), x.argmax()]]


def close_left_lids(topology: Topology, template_V3: np.ndarray, blink_V3: np.ndarray) -> np.ndarray:
    """The left blink with the upper lid's margin laid on the lower one's, (V, 3)."""
    ball = topology.vertices_of(EYE_LEFT)
    centre = (template_V3[ball[0]] + template_V3[ball[-1]]) / 2
    ball_radius = float(np.linalg.norm(template_V3[ball[0]] - centre))
    grid, partner = lid_grid(topology, MARGIN_RINGS)
    open_RC3 = template_V3[grid] - centre
    columns = np.arange(len(partner))
    gap_C = open_RC3[1, :, 1] - open_RC3[1, partner, 1]
    is_upper = gap_C > 0
    closing_C, tuck_C = (1 - np.exp(-((gap_C / wide) ** 2)) for wide in (CLOSING_GAP, TUCK_GAP))

    corner = template_V3[grid[2, open_RC3[2, :, 0].argmax()]]
    from_corner = np.linalg.norm(template_V3 - corner, axis=1) / CORNER_REACH
    blink_V3 = blink_V3 * (1 - CORNER_CALM * np.exp(-(from_corner**2)))[:, None]
    goal_RC3 = open_RC3 + blink_V3[grid]
    goal_RC3[..., 1] += LOWER_LID_RISE * closing_C
    radius = np.linalg.norm(goal_RC3, axis=-1, keepdims=True)
    goal_RC3 *= np.maximum(radius, ball_radius + CLEARANCE) / radius
    lower_RC3 = goal_RC3[:, partner]
    landed_RC3 = np.empty_like(lower_RC3)
    for own, (ring, up, out) in enumerate(LANDING):
        ring_C = np.clip(own + (ring - own) * tuck_C, -np.inf, MARGIN_RINGS - 1)
        first_C = np.clip(ring_C.astype(int), 0, MARGIN_RINGS - 2)
        start_C3, end_C3 = lower_RC3[first_C, columns], lower_RC3[first_C + 1, columns]
        point_C3 = start_C3 + (ring_C - first_C)[:, None] * (end_C3 - start_C3)
        point_C3[:, 1] += up * tuck_C
        radius = np.linalg.norm(point_C3, axis=1, keepdims=True)
        landed_RC3[own] = point_C3 / radius * np.maximum(radius + out, ball_radius + CLEARANCE)
    # At the corners the lids grow together: there they meet half-way instead of passing each other.
    share = closing_C[:, None]
    upper_goal = share * landed_RC3 + (1 - share) * (0.3 * goal_RC3 + 0.7 * lower_RC3)
    upper_goal[..., 0] = open_RC3[..., 0]
    goal_RC3[:, is_upper] = upper_goal[:, is_upper]
    closed = template_V3 + blink_V3
    delta = np.zeros_like(closed)
    delta[grid] = goal_RC3 + centre - closed[grid]
    rings, lid_RC3 = _lid_over_ball(topology, template_V3, blink_V3, (centre, ball_radius), goal_RC3[-1])
    rings, lid_RC3 = (values[:, is_upper & (closing_C > SPREAD_COLUMNS)] for values in (rings, lid_RC3))
    delta[rings] = lid_RC3 + centre - closed[rings]
    distance = np.linalg.norm(template_V3 - centre, axis=1)
    near = np.zeros(len(template_V3), bool)
    near[topology.triangles[topology.island == 0]] = True
    near &= distance < REACH
    free = near.copy()
    free[grid], free[rings] = False, False
    matrix = laplacian(topology) + LOCALITY * sp.identity(len(template_V3))
    inside, known = np.flatnonzero(free), np.flatnonzero(~free)
    delta[inside] = spsolve(matrix[inside][:, inside].tocsc(), -(matrix[inside][:, known] @ delta[known]))
    closed += delta

    near[grid] = False
    offset = closed[near] - centre
    length = np.linalg.norm(offset, axis=1, keepdims=True)
    closed[near] = centre + offset / length * np.maximum(length, ball_radius + SKIN_CLEARANCE)
    # A vertex moves on a straight line: half-way, too, the lid's skin has to lie outside the eyeball.
    half = (closed[near] + template_V3[near]) / 2 - centre
    length = np.linalg.norm(half, axis=1, keepdims=True)
    closed[near] += 2 * half / length * np.maximum(ball_radius + SKIN_CLEARANCE - length, 0)
    return closed - template_V3


def _lid_over_ball(
    topology: Topology,
    template_V3: np.ndarray,
    blink_V3: np.ndarray,
    ball: tuple[np.ndarray, float],
    margin_C3: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """The rings between margin and fold, and where they lie in a blink: (R, C), and (R, C, 3) from the eye's centre."""
    centre, ball_radius = ball
    rings = lid_grid(topology, FOLD_RING + 1)[0][MARGIN_RINGS:]
    fold_C3 = (template_V3 + FOLD_SLIDE * blink_V3)[rings[-1]] - centre
    start_C1, end_C1 = (np.linalg.norm(ring, axis=1, keepdims=True) for ring in (margin_C3, fold_C3))
    over_ball_C1 = np.minimum(start_C1, ball_radius + LID_THICKNESS)
    points = []
    for along, rise in zip(SPREAD_OUT, RISE, strict=True):
        direction = (1 - along) * margin_C3 / start_C1 + along * fold_C3 / end_C1
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        points.append(direction * ((1 - rise) * over_ball_C1 + rise * end_C1))
    return rings, np.array(points)


def _border(triangles: np.ndarray) -> np.ndarray:
    """Edges (E, 2) that belong to one triangle only, in the triangle's direction."""
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    _, index, count = np.unique(np.sort(edges, axis=1), axis=0, return_index=True, return_counts=True)
    return edges[index[count == 1]]


def _loop(edges: np.ndarray) -> np.ndarray:
    """Directed edges that make one ring -> its vertices in order, the least first."""
    after = dict(edges.tolist())
    loop = [min(after)]
    while after[loop[-1]] != loop[0]:
        loop.append(after[loop[-1]])
    return np.array(loop)
