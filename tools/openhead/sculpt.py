"""Mends sampled heads: eyeballs of our own, lids that touch them, a mouth bag that stays under the skin."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from .lids import island_edge, lid_grid
from .mouth import Mouth
from .skinning import laplacian
from .source import Source
from .topology import (
    EYE_LEFT,
    EYE_RADIUS,
    EYE_RIGHT,
    HEAD_CENTRE,
    INNER_MOUTH,
    NECK_RINGS,
    SKIN,
    TEETH_LOWER,
    TEETH_UPPER,
    Topology,
    eyeball,
)

EYE_SETBACK = 0.0008
"""Metres the eyeball's front pole lies behind the front of MakeHuman's eye (whose cornea bulges)."""
LID_CLEARANCE = 0.0003
"""Metres kept between the eyeballs and the skin."""
SOCKET_GAP = 0.0007
"""Metres the eye socket lies over the eyeball, beyond the clearance, where it is far from the lids' edge."""
SOCKET_SLOPE = 0.25
"""The same gap per metre from the lids' edge, near it."""
SOCKET_RIM = 0.0035
"""Metres from the lids' edge over which the socket moves with the lids."""
OPENING_KEPT = 0.4
"""Share of the spread of the eyes' openings that stays with the identity. How far eyes are open is mostly expression,
and one blink can close the eyes of all people only if these open alike."""
THICKNESS_KEPT = 0.35
"""The same for the lids' distance from the eyeball, which otherwise cuts through the deepest creases."""
LID_FADE = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.8, 0.6, 0.4, 0.2)
"""How much each ring of the lids, from their edge outwards, takes part in both."""
GAP_KEPT = 0.12
"""Share of the spread of the gap between the lips, so that neutral mouths are closed and lips do not cross."""
LIP_FADE = 0.006
"""Metres from the line between the lips over which the skin takes part in that."""
LIP_RED = (0.004, 0.009)
"""Metres above and below that line between which the lips' fronts are looked for."""
LIP_STEP = 0.001
"""Metres by which the lower lip's edge lies in front of the upper's where they meet; sliders leave up to five times
that, and lips that lie one before the other open when they are moved."""
DEPTH_KEPT = 0.5
"""Share of the spread of the line's depth behind them: thin lips are drawn in, but not inside out."""
SOCKET_BACK, SOCKET_FROM = 0.006, 0.0008
"""Metres that the eye sockets are set back into the eyeballs, and from which distance from the lids' edge."""
TEETH_BACK = 0.0015
"""Metres that the teeth are set back."""
INSIDE_BACK, INSIDE_FROM, INSIDE_TO = 0.011, 0.001, 0.02
"""Metres that the mouth's bag is set back behind the lips, from and to which distance from their line."""
NECK_LENGTH = 0.045
"""Metres from the edge of the head's UV island down to the cut of the neck."""
NECK_FLARE = 0.35
"""How much of the shoulders' widening the neck keeps."""
NECK_SMOOTHING = 8
NECK_RELAXATION = 4.0


class Sculptor:
    """Turns morphed source vertices into finished heads."""

    def __init__(self, source: Source, topology: Topology) -> None:
        self._topology = topology
        base = source.base
        self._mesh = np.flatnonzero(topology.origin >= 0)
        self._proxies = [np.unique(base.quads[base.groups == f"helper-{side}-eye"]) for side in "lr"]
        self.source_index = np.concatenate([topology.origin[self._mesh], *self._proxies])
        """Source vertices that :meth:`finish` needs, in its order."""
        x, y, _ = topology.template[self._mesh].T
        self.rigid_region = np.flatnonzero((topology.part[self._mesh] == SKIN) & (y > -0.03) & (np.abs(x) < 0.07))
        """Positions in :attr:`source_index` of the upper face and skull, on which heads are aligned."""

        self.sockets = [socket_vertices(topology, island) for island in (2, 3)]

    def finish(self, verts_NX3: np.ndarray) -> np.ndarray:
        """Head space, own eyeballs, mended lids.

        Args:
            verts_NX3: heads at :attr:`source_index`, source space, metres.

        Returns:
            (N, V, 3) float32.
        """
        topology = self._topology
        verts_NX3 = verts_NX3 - HEAD_CENTRE.astype(np.float32)
        out = np.zeros((len(verts_NX3), len(topology.origin), 3), dtype=np.float32)
        out[:, self._mesh] = verts_NX3[:, : len(self._mesh)]
        sphere, _, mirror = eyeball()
        first = len(self._mesh)
        sizes = []
        for proxy in self._proxies:
            eye = verts_NX3[:, first : first + len(proxy)]
            first += len(proxy)
            sizes.append(_proxy_size(eye))
        mean_size = np.mean(sizes)
        first = len(self._mesh)
        for side, proxy in enumerate(self._proxies):
            eye = verts_NX3[:, first : first + len(proxy)]
            first += len(proxy)
            radius = EYE_RADIUS * sizes[side] / mean_size
            centre = (eye.min(axis=1) + eye.max(axis=1)) / 2
            centre[:, 2] = eye[:, :, 2].max(axis=1) - EYE_SETBACK - radius
            unit = sphere if side == 0 else sphere[mirror] * (-1, 1, 1)
            verts = topology.vertices_of(side + 1)
            out[:, verts] = centre[:, None] + radius[:, None, None] * unit
            self._even_lids(out, side, centre, radius)
            self._push_out(out, centre, radius)
            self._cling(out, side, centre, radius)
        _close_lips(out, topology)
        _level_neck(out, topology)
        self.mouth = Mouth(topology, _symmetric_mean(out, topology))
        mean = self.mouth.rest_V3.astype(np.float32)
        out -= mean
        self.mouth.follow(out)
        out += mean
        return out

    def _even_lids(self, verts_NV3: np.ndarray, side: int, centre_N3: np.ndarray, radius_N: np.ndarray) -> None:
        """Turns the lids of every head about the eyeball towards the mean opening and evens them out, in place."""
        grid, partner = lid_grid(self._topology, len(LID_FADE))
        grid = grid if side == 0 else self._topology.mirror[grid]
        fade_R1 = np.array(LID_FADE, np.float32)[:, None]
        offset = verts_NV3[:, grid] - centre_N3[:, None, None]
        thickness_NRC = np.linalg.norm(offset, axis=-1) - radius_N[:, None, None]
        excess_NRC = thickness_NRC - thickness_NRC.mean(axis=0)
        thinner_NRC = (1 - THICKNESS_KEPT) * fade_R1 * excess_NRC
        offset *= (1 - thinner_NRC / np.linalg.norm(offset, axis=-1))[..., None]

        angle_NRC = np.arctan2(offset[..., 1], offset[..., 2])
        opening_NC = (angle_NRC - angle_NRC[..., partner])[:, 1:3].mean(axis=1)
        excess_NC = opening_NC - opening_NC.mean(axis=0)
        angle_NRC -= (1 - OPENING_KEPT) / 2 * fade_R1 * excess_NC[:, None]
        radius_NRC = np.hypot(offset[..., 1], offset[..., 2])
        offset[..., 1], offset[..., 2] = radius_NRC * np.sin(angle_NRC), radius_NRC * np.cos(angle_NRC)
        verts_NV3[:, grid] = centre_N3[:, None, None] + offset

    def _cling(self, verts_NV3: np.ndarray, side: int, centre_N3: np.ndarray, radius_N: np.ndarray) -> None:
        """Draws the eye socket onto the eyeball, in place, so that it cannot show through the lids over it."""
        socket, from_edge = self.sockets[side]
        offset = verts_NV3[:, socket] - centre_N3[:, None]
        distance = np.linalg.norm(offset, axis=-1, keepdims=True)
        nearest = radius_N[:, None, None] + LID_CLEARANCE
        slack = np.minimum(SOCKET_SLOPE * from_edge, SOCKET_GAP).astype(np.float32)[:, None]
        verts_NV3[:, socket] = centre_N3[:, None] + offset / distance * np.clip(distance, nearest, nearest + slack)

    def _push_out(self, verts_NV3: np.ndarray, centre_N3: np.ndarray, radius_N: np.ndarray) -> None:
        skin = self._topology.vertices_of(SKIN)
        near = skin[np.linalg.norm(self._topology.template[skin] - centre_N3.mean(axis=0), axis=1) < 0.025]
        offset = verts_NV3[:, near] - centre_N3[:, None]
        distance = np.linalg.norm(offset, axis=-1, keepdims=True)
        wanted = np.maximum(distance, radius_N[:, None, None] + LID_CLEARANCE)
        verts_NV3[:, near] = centre_N3[:, None] + offset * (wanted / distance)


def socket_vertices(topology: Topology, island: int) -> tuple[np.ndarray, np.ndarray]:
    """Vertices of an eye socket behind the lids' edge, and their distances from that edge in the base mesh, metres."""
    edge = island_edge(topology, island)
    socket = np.setdiff1d(topology.triangles[topology.island == island], edge)
    return socket, cKDTree(topology.template[edge]).query(topology.template[socket])[0]


def still_socket(topology: Topology, motion_V3: np.ndarray) -> None:
    """Lets only the rim of the eye sockets follow an expression, in place: the rest lies on the eyeball."""
    for island in (2, 3):
        socket, from_edge = socket_vertices(topology, island)
        motion_V3[socket] *= np.exp(-((from_edge / SOCKET_RIM) ** 2))[:, None]


def set_back(topology: Topology, template_V3: np.ndarray) -> np.ndarray:
    """The mean head (V, 3) with teeth, the inside of the mouth and eye sockets set back, so that they stay behind the
    skin of all people."""
    template_V3 = template_V3.copy()
    bag = topology.vertices_of(INNER_MOUTH)
    from_lips = cKDTree(template_V3[island_edge(topology, 1)]).query(template_V3[bag])[0]
    share = (1 - np.exp(-((from_lips / INSIDE_FROM) ** 2))) * np.exp(-((from_lips / INSIDE_TO) ** 2))
    template_V3[bag, 2] -= INSIDE_BACK * share
    template_V3[np.isin(topology.part, (TEETH_UPPER, TEETH_LOWER)), 2] -= TEETH_BACK
    for island, part in ((2, EYE_LEFT), (3, EYE_RIGHT)):
        socket, from_edge = socket_vertices(topology, island)
        ball = template_V3[topology.vertices_of(part)]
        outwards = template_V3[socket] - (ball.min(axis=0) + ball.max(axis=0)) / 2
        outwards /= np.linalg.norm(outwards, axis=1, keepdims=True)
        template_V3[socket] -= SOCKET_BACK * (1 - np.exp(-((from_edge / SOCKET_FROM) ** 2)))[:, None] * outwards
    return (template_V3 + template_V3[topology.mirror] * (-1, 1, 1)) / 2


def _close_lips(verts_NV3: np.ndarray, topology: Topology) -> None:
    """Draws the lips of every head to the mean gap, and their line towards its mean depth behind the lips, in place."""
    place = topology.template
    loop = island_edge(topology, 1)
    loop = np.roll(loop, -int(place[loop, 0].argmin()))
    end = int(place[loop, 0].argmax())
    chains = [loop[: end + 1], np.append(loop[end:], loop[0])[::-1]]  # corner to corner, along the x axis
    lower, upper = sorted(chains, key=lambda chain: place[chain, 1].mean())
    x = np.linspace(place[lower[0], 0], place[lower[-1], 0], 4 * len(lower))

    def upper_less_lower(axis: int) -> np.ndarray:
        low_NX, high_NX = (
            np.stack([np.interp(x, place[chain, 0], at) for at in verts_NV3[:, chain, axis]])
            for chain in (lower, upper)
        )
        return high_NX - low_NX

    gap_NX = upper_less_lower(1)
    excess_NX = (1 - GAP_KEPT) * (gap_NX - gap_NX.mean(axis=0))
    step_NX = -upper_less_lower(2)
    step_NX -= LIP_STEP + GAP_KEPT * (step_NX - step_NX.mean(axis=0))

    skin = topology.vertices_of(SKIN)
    distance = cKDTree(place[loop]).query(place[skin])[0]
    is_near = (distance < 2.5 * LIP_FADE) & (place[skin, 0] >= x[0]) & (place[skin, 0] <= x[-1])
    is_near &= ~np.isin(skin, loop[[0, end]])
    near, fade = skin[is_near], np.exp(-((distance[is_near] / LIP_FADE) ** 2))
    line_y = (np.interp(place[near, 0], *place[lower, :2].T) + np.interp(place[near, 0], *place[upper, :2].T)) / 2
    side = np.where(np.isin(near, upper), 1.0, np.where(np.isin(near, lower), -1.0, np.sign(place[near, 1] - line_y)))
    excess_NM = np.stack([np.interp(place[near, 0], x, excess) for excess in excess_NX])
    verts_NV3[:, near, 1] -= side / 2 * fade * excess_NM
    verts_NV3[:, near, 2] += side / 2 * fade * np.stack([np.interp(place[near, 0], x, step) for step in step_NX])

    middle = 1 - (2 * place[near, 0] / (x[-1] - x[0])) ** 2
    for sign, chain in ((1, upper), (-1, lower)):
        above = sign * (place[skin, 1] - place[chain, 1].mean())
        front = skin[(np.abs(place[skin, 0]) < LIP_FADE) & (above > LIP_RED[0]) & (above < LIP_RED[1])]
        front = front[place[front, 2] > place[chain, 2].mean()]
        line = chain[np.abs(place[chain, 0]) < LIP_FADE]
        depth_N = verts_NV3[:, front, 2].mean(axis=1) - verts_NV3[:, line, 2].mean(axis=1)
        back_N = (1 - DEPTH_KEPT) * (depth_N - depth_N.mean())
        verts_NV3[:, near, 2] += back_N[:, None] * ((side == sign) * fade * middle)


def _level_neck(verts_NV3: np.ndarray, topology: Topology) -> None:
    """Ends the neck in a level ring, in place; MakeHuman's rings run up and down over the shoulders."""
    rings = topology.neck_rings
    top = verts_NV3[:, rings[0]]
    bottom_y = top[:, :, 1].mean(axis=1, keepdims=True) - NECK_LENGTH
    for k, ring in enumerate(rings[1:], start=1):
        place = top + (verts_NV3[:, ring] - top) * NECK_FLARE
        place[:, :, 1] = top[:, :, 1] + (bottom_y - top[:, :, 1]) * k / NECK_RINGS
        verts_NV3[:, ring] = place
    for _ in range(NECK_SMOOTHING):
        for above, ring, below in zip(rings[:-2], rings[1:-1], rings[2:], strict=True):
            around = np.roll(ring, 1), np.roll(ring, -1), above, below
            verts_NV3[:, ring] = 0.5 * verts_NV3[:, ring] + 0.125 * sum(verts_NV3[:, other] for other in around)
        last = rings[-1]
        around = verts_NV3[:, np.roll(last, 1)] + verts_NV3[:, np.roll(last, -1)]
        verts_NV3[:, last] = 0.5 * verts_NV3[:, last] + 0.25 * around

    # The head's own rows above still run up and down: relax the neck's skin between the ears, the jaw and the cut.
    x, y, z = topology.template.T
    neck = (topology.part == SKIN) & (y < -0.07) & (z < 0.035) & (np.abs(x) > 0.02)
    neck[rings[-1]] = False
    inside = np.flatnonzero(neck)
    matrix = sp.identity(len(inside)) + NECK_RELAXATION * laplacian(topology)[inside][:, inside]
    edge = np.flatnonzero(np.asarray(abs(laplacian(topology)[inside]).sum(axis=0)).ravel() * ~neck)
    pull = -NECK_RELAXATION * laplacian(topology)[inside][:, edge]
    solve = splu(matrix.tocsc()).solve
    right = verts_NV3[:, inside].transpose(1, 0, 2).reshape(len(inside), -1).astype(np.float64)
    right += pull @ verts_NV3[:, edge].transpose(1, 0, 2).reshape(len(edge), -1).astype(np.float64)
    relaxed = solve(right).reshape(len(inside), len(verts_NV3), 3).transpose(1, 0, 2)
    verts_NV3[:, inside] = relaxed


def _symmetric_mean(verts_NV3: np.ndarray, topology: Topology) -> np.ndarray:
    mean = verts_NV3.mean(axis=0, dtype=np.float64)
    return (mean + mean[topology.mirror] * (-1, 1, 1)) / 2


def _proxy_size(eye_NP3: np.ndarray) -> np.ndarray:
    """Root mean square distance of an eye's vertices from their centre, (N,)."""
    return np.sqrt(((eye_NP3 - eye_NP3.mean(axis=1, keepdims=True)) ** 2).sum(axis=-1).mean(axis=1))
