"""The curve in which the plane x = 0 cuts a head's skin, followed on every shape of the head.

The curve is found on the mean head, as points on edges of the mesh, and moves with the surface. It is drawn finely, as
a cubic spline through these points, so that the lowest or deepest point does not jump from vertex to vertex.

Shape suffixes: V vertices, F triangles, P points of the curve.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from deca.head import HeadModel, Part

STEP = 0.25e-3
"""Metres between points of the fine curve: a quarter of the precision of a caliper."""
_SAME = 1e-7  # metres below which two crossings are one point: an edge that ends on the plane


class Midline:
    """The midline of a head: `upper` from the nape over the crown to the upper lip, `lower` from the lower lip down.

    Where the skin is closed at the mouth both are the same curve.

    Args:
        head: Any head model with iBUG landmarks.
        subnasale: Index among the 68 landmarks of a point of the upper part.
        chin: Of a point of the lower part.
        lip: Of a point of the lower part above the chin.
    """

    def __init__(self, head: HeadModel, subnasale: int, chin: int, lip: int) -> None:
        assert head.landmarks_68 is not None
        template_V3 = head.template_V3.astype(np.float64)
        skin_F3 = head.faces_F3[(head.parts_V[head.faces_F3] == Part.SKIN).all(1)]
        self._places_L3 = head.landmarks_68.positions(template_V3, head.faces_F3)
        chains = [_Chain(template_V3, chain) for chain in _chains(template_V3, skin_F3)]
        self.upper, self.lower = (
            min(chains, key=lambda chain: chain.distance(self._places_L3[landmark])) for landmark in (subnasale, chin)
        )
        crown = int(self.upper(template_V3)[:, 1].argmax())
        if crown > self.upper.nearest(self._places_L3[subnasale]):
            self.upper.reverse()
        if self.lower.nearest(self._places_L3[lip]) > self.lower.nearest(self._places_L3[chin]):
            self.lower.reverse()

    def near(self, chain: _Chain, landmark: int, above: float = 0.0, below: float = 0.0) -> slice:
        """The points of a part from `above` metres before an iBUG landmark to `below` after it, along the curve."""
        at = chain.nearest(self._places_L3[landmark])
        return slice(max(at - round(above / STEP), 0), at + round(below / STEP) + 1)


class _Chain:
    """One continuous piece of the curve; call it with vertices (V, 3) for its points (P, 3)."""

    def __init__(self, template_V3: NDArray, edges_N3: list[tuple[int, int, float]]) -> None:
        first, second, share = (np.array(column) for column in zip(*edges_N3, strict=True))
        points = template_V3[first] * (1 - share[:, None]) + template_V3[second] * share[:, None]
        steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
        keep = np.append(True, steps > _SAME)
        self._first, self._second, self._share_N1 = first[keep], second[keep], share[keep, None]
        along = np.append(0, np.cumsum(steps[keep[1:]]))
        fine = np.linspace(0, along[-1], max(round(along[-1] / STEP), 1) + 1)
        self._spline_PN = CubicSpline(along, np.eye(len(along)))(fine)
        self._template_P3 = self(template_V3)

    def __call__(self, verts_V3: NDArray) -> NDArray[np.float64]:
        points = verts_V3[self._first] * (1 - self._share_N1) + verts_V3[self._second] * self._share_N1
        return self._spline_PN @ points

    def reverse(self) -> None:
        """Turns the direction round."""
        self._spline_PN, self._template_P3 = self._spline_PN[::-1], self._template_P3[::-1]

    def nearest(self, place: NDArray) -> int:
        """Index of the point that is nearest to a place on the mean head."""
        return int(np.linalg.norm(self._template_P3 - place, axis=1).argmin())

    def distance(self, place: NDArray) -> float:
        """Metres from the piece to a place on the mean head."""
        return float(np.linalg.norm(self._template_P3 - place, axis=1).min())


def _chains(verts_V3: NDArray, faces_F3: NDArray) -> list[list[tuple[int, int, float]]]:
    """The pieces in which x = 0 cuts triangles, each as edges (vertex, vertex, share of the way) in order."""
    left_V = verts_V3[:, 0] >= 0
    links: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for face in faces_F3[left_V[faces_F3].any(1) & ~left_V[faces_F3].all(1)].tolist():
        sides = [(min(a, b), max(a, b)) for a, b in zip(face, face[1:] + face[:1], strict=True)]
        one, other = (side for side in sides if left_V[side[0]] != left_V[side[1]])
        links.setdefault(one, []).append(other)
        links.setdefault(other, []).append(one)
    pieces = []
    while links:
        ends = [edge for edge, nexts in links.items() if len(nexts) == 1]
        edge = ends[0] if ends else next(iter(links))
        piece = []
        while edge in links:
            nexts = links.pop(edge)
            x_first, x_second = verts_V3[edge[0], 0], verts_V3[edge[1], 0]
            piece.append((*edge, float(x_first / (x_first - x_second))))
            edge = next((follower for follower in nexts if follower in links), edge)
        if len(piece) > 2:
            pieces.append(piece)
    return pieces
