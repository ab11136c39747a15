"""Closes the eyelids: MakeHuman's blink fits its own face, not the mean of many."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import spsolve

from .skinning import laplacian
from .topology import EYE_LEFT, EYE_RADIUS, SKIN, Topology

OVERLAP = 0.0015
"""Metres the upper lid passes below the lower lid's edge in a full blink, so that other faces close too."""
LAYER = 0.0008
"""Metres the upper lid's edge lies outside the lower one's where they overlap."""
CLEARANCE = 0.0003
"""Metres kept between lids and eyeball."""
REACH = 0.018
"""Metres from the eye's centre within which the lids' skin may be moved."""
LOCALITY = 0.04
"""How quickly the correction of the lid's edge fades over the lid."""


def island_edge(topology: Topology, island: int) -> np.ndarray:
    """Vertices at which the inner mouth (island 1) or an eye socket (2 left, 3 right) meets the face, in order."""
    triangles = topology.triangles[topology.island == island]
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    _, index, count = np.unique(np.sort(edges, axis=1), axis=0, return_index=True, return_counts=True)
    after = dict(edges[index[count == 1]].tolist())
    loop = [min(after)]
    while after[loop[-1]] != loop[0]:
        loop.append(after[loop[-1]])
    return np.array(loop)


def close_left_lids(topology: Topology, template_V3: np.ndarray, blink_V3: np.ndarray) -> np.ndarray:
    """The left blink with the upper lid's edge laid along the lower one's, (V, 3)."""
    ball = topology.vertices_of(EYE_LEFT)
    centre = (template_V3[ball[0]] + template_V3[ball[-1]]) / 2
    upper, lower = _split(template_V3, island_edge(topology, 2))
    closed = template_V3 + blink_V3

    below = closed[lower[np.argsort(closed[lower, 0])]]
    goal = closed[upper].copy()
    along = np.clip((goal[:, 0] - below[0, 0]) / (below[-1, 0] - below[0, 0]), 0, 1)
    bump = np.sin(np.pi * along) ** 0.6
    goal[:, 1] = np.interp(goal[:, 0], below[:, 0], below[:, 1]) - OVERLAP * bump
    lower_radius = np.interp(goal[:, 0], below[:, 0], np.linalg.norm(below - centre, axis=1))
    radius = np.maximum(lower_radius, EYE_RADIUS + CLEARANCE) + LAYER * bump
    flat = ((goal[:, :2] - centre[:2]) ** 2).sum(axis=1)
    goal[:, 2] = centre[2] + np.sqrt(np.maximum(radius**2 - flat, 0.0))
    delta = np.zeros_like(closed)
    delta[upper] = goal - closed[upper]

    rim, rim_goal = _roll_rim(topology, template_V3 - centre, upper, goal - centre, lower)
    delta[rim] = rim_goal + centre - closed[rim]

    distance = np.linalg.norm(template_V3 - centre, axis=1)
    near = (topology.part == SKIN) & (distance < REACH)
    free = near.copy()
    free[np.concatenate([upper, lower, rim])] = False
    matrix = laplacian(topology) + LOCALITY * sp.identity(len(template_V3))
    inside, known = np.flatnonzero(free), np.flatnonzero(~free)
    delta[inside] = spsolve(matrix[inside][:, inside].tocsc(), -(matrix[inside][:, known] @ delta[known]))

    closed = closed + delta
    offset = closed[near] - centre
    length = np.linalg.norm(offset, axis=1, keepdims=True)
    closed[near] = centre + offset / length * np.maximum(length, EYE_RADIUS + CLEARANCE)
    return closed - template_V3


def _roll_rim(
    topology: Topology, open_V3: np.ndarray, upper: np.ndarray, upper_goal: np.ndarray, lower: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The lid's outer rim turns about the eye's x axis as its edge does, so that the lid keeps its thickness.

    Args:
        topology: the mesh.
        open_V3: open head, relative to the eye's centre.
        upper: vertices of the upper lid's edge.
        upper_goal: where they go, relative to the eye's centre.
        lower: vertices of the lower lid's edge, which stay out of it.

    Returns:
        Vertices next to the edge, and where they go.
    """
    angle = np.arctan2(upper_goal[:, 1], upper_goal[:, 2]) - np.arctan2(open_V3[upper, 1], open_V3[upper, 2])
    radius = np.hypot(upper_goal[:, 1], upper_goal[:, 2]) / np.hypot(open_V3[upper, 1], open_V3[upper, 2])
    shift = upper_goal[:, 0] - open_V3[upper, 0]
    joined = laplacian(topology)[:, upper] != 0
    around = np.setdiff1d(np.flatnonzero(joined.sum(axis=1)), np.concatenate([upper, lower]))
    rim = around[np.isin(around, topology.triangles[topology.island == 0])]
    share = joined[rim].toarray().astype(float)
    share /= share.sum(axis=1, keepdims=True)
    angle, radius, shift = share @ angle, share @ radius, share @ shift
    x, y, z = open_V3[rim].T
    cos, sin = np.cos(angle), np.sin(angle)
    return rim, np.stack([x + shift, radius * (cos * y + sin * z), radius * (cos * z - sin * y)], axis=1)


def _split(template_V3: np.ndarray, loop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The upper lid's edge without the corners, and the lower one's with them."""
    x = template_V3[loop, 0]
    loop = np.roll(loop, -int(x.argmin()))
    far = int(template_V3[loop, 0].argmax())
    one, other = loop[1:far], loop[far + 1 :]
    corners = loop[[0, far]]
    if template_V3[one, 1].mean() < template_V3[other, 1].mean():
        one, other = other, one
    return one, np.concatenate([other, corners])
