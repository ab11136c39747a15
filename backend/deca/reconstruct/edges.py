"""Where a photo's lips and lids are to be on the head, so that it shows what the photo shows.

The landmarks of the inner lips lie where skin and inner mouth meet. On closed lips that is the line between them. Lips
that part show as their edge what lay in front of that line, against the other lip: on a smile the upper lip ends 2 mm
below it. A head that brings the line to the photo's edge hides that much of the teeth.

The landmark network pulls faces towards its own mean: it sees closed eyes a third open, and pressed lips with half of
their red. And a smile parts the lips without the jaw, which landmarks on the chin can hardly tell.

Shape suffixes: B batch, N landmarks of the inner lips, C places of a column over a lip, K codes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deca.head.model import HeadModel, Part, SurfacePoints
from deca.reconstruct.landmark_head import LandmarkHead
from deca.vision.landmarks import EYE_RINGS, NUM_LANDMARKS

Array = NDArray[np.floating]

UPPER_INNER = np.array([191, 80, 81, 82, 13, 312, 311, 310, 415])
"""MediaPipe landmarks on the upper lip's inner line, from the subject's right to the left."""
LOWER_INNER = np.array([95, 88, 178, 87, 14, 317, 402, 318, 324])
"""Those on the lower lip's, each below the upper lip's."""
OUTLINES = np.array([185, 40, 39, 37, 0, 267, 269, 270, 409, 146, 91, 181, 84, 17, 314, 405, 321, 375])
"""Those on the upper and the lower lip's outline, each beside one of the inner line's."""
INNER_LIPS = np.concatenate((UPPER_INNER, LOWER_INNER, (78, 308)))
"""Both lips' inner line with its corners."""
_MIDDLE = slice(3, 6)

_STEPS = 4
"""Rows of polygons in front of the inner line among which the edge is looked for: half of the lip's red."""
_CLOSED, _PARTED = 0.0007, 0.002
"""Metres between the lips on the photo up to which they count as closed, and from which they show their edges."""

LIP_CORNERS = (61, 291)
_PLAIN, _WIDE = 1.02, 1.2
"""Width of lips, in that of the same at rest, that do not smile yet, and that smile broadly."""
_TEETH = 0.009
"""Metres by which a broad smile parts the lips without the jaw: the height of the front teeth."""
_JAW_REACH = 0.075
"""Metres from the jaw's joint forward to the lips."""
JAW_BEHIND_LIPS_SIGMA = 0.02
"""Standard deviation, radians, of the jaw around what lips let expect."""

_NO_RED, _FULL = 0.46, 0.87
"""Both lips' red, in that of the same at rest, that the network sees where there is none, and from which on it sees
what there is; by eye on photos of people to choose on."""

_SHUT, _TRUE = 0.085, 0.135
"""Gap of the lids, in widths of the eye, that the network sees on a closed eye, and from which on it sees the gap there
is; by eye on photos of people to choose on, where open eyes have 0.28."""


class ShownEdges:
    """Landmarks of lips and lids where a head model has them when it shows what the photo shows.

    Args:
        head: The head model.
        points: Its 478 landmarks.
        num_shape, num_expression: Leading coefficients used.
    """

    def __init__(self, head: HeadModel, points: SurfacePoints, num_shape: int, num_expression: int) -> None:
        columns = _Columns(head)
        rows = np.concatenate((UPPER_INNER, LOWER_INNER))
        self._inner_N = rows
        places = [columns.over(int(points.faces[row]), points.bary[row]) for row in rows]
        faces = np.array([face for column in places for face, _ in column])
        bary = np.array([weights for column in places for _, weights in column], np.float32)
        self._places = LandmarkHead(head, SurfacePoints(faces, bary), num_shape, num_expression)

    @classmethod
    def of(cls, head: HeadModel, points: SurfacePoints, num_shape: int, num_expression: int) -> ShownEdges | None:
        """Those of a head model; None where its inner mouth is not told from the skin, or other points are fitted."""
        knows_lips = head.polygons_P4 is not None and (head.parts_V == Part.INNER_MOUTH).any()
        if len(points.faces) != NUM_LANDMARKS or not knows_lips:
            return None
        return cls(head, points, num_shape, num_expression)

    def traced(self, points_BL2: Array, upright_BL2: Array, rest_BL2: Array, beyond_BN: Array) -> Array:
        """The landmarks (B, L, 2) that the head's are to be traced to; metres, x right, y up.

        Args:
            points_BL2: The face's landmarks less their bias.
            upright_BL2: The face's landmarks as they were found.
            rest_BL2: Where they would be found on this head without expression.
            beyond_BN: As `beyond` gives it.
        """
        inner, parted_BN = self._inner_N, parted(upright_BL2, rest_BL2)
        pressed_BN = pressed(upright_BL2, rest_BL2)[:, None] * (1 - parted_BN)
        # Outlines have their bias from closed lips of all people.
        bias_BN2 = (upright_BL2 - points_BL2)[:, OUTLINES]
        red_BN2 = upright_BL2[:, OUTLINES] - upright_BL2[:, inner]
        out_BL2 = lowered_lids(points_BL2)
        out_BL2[:, OUTLINES] += np.maximum(parted_BN, pressed_BN)[..., None] * bias_BN2
        out_BL2[:, OUTLINES] -= pressed_BN[..., None] * red_BN2
        out_BL2[:, inner, 1] -= parted_BN * beyond_BN
        return out_BL2

    def beyond(self, codes_BK: Array, pose_B7: Array, root_B33: Array) -> Array:
        """How far the edges that are seen lie beyond the inner line: up (B, N), metres; upper lips' below zero."""
        turned_BX3 = self._places.positions(codes_BK, pose_B7) @ root_B33.transpose(0, 2, 1)
        up_BNC = turned_BX3[..., 1].reshape(len(codes_BK), len(self._inner_N), -1)
        up_BNC = up_BNC - up_BNC[..., :1]
        count = len(UPPER_INNER)
        return np.concatenate((up_BNC[:, :count].min(2), up_BNC[:, count:].max(2)), axis=1)


def parted(upright_BL2: Array, rest_BL2: Array) -> Array:
    """How far lips are parted at each landmark of the inner lips, (B, N) in 0..1. Arguments as in
    `ShownEdges.traced`."""
    gap_BM = _gap(upright_BL2) - _gap(rest_BL2)
    parted_BM = np.clip((gap_BM - _CLOSED) / (_PARTED - _CLOSED), 0, 1)
    return np.concatenate((parted_BM, parted_BM), axis=1)


def jaw_behind_lips(upright_BL2: Array, rest_BL2: Array) -> Array:
    """The jaw's opening (B,), radians, that is to be expected behind lips: a smile shows teeth without it. Arguments
    as in `ShownEdges.traced`."""
    gap_B = (_gap(upright_BL2) - _gap(rest_BL2))[:, _MIDDLE].mean(1)
    smile_B = np.clip((_width(upright_BL2) / _width(rest_BL2) - _PLAIN) / (_WIDE - _PLAIN), 0, 1)
    return np.clip(gap_B - _TEETH * smile_B, 0, None) / _JAW_REACH


def pressed(upright_BL2: Array, rest_BL2: Array) -> Array:
    """How far closed lips are pressed (B,), in 0..1: the network draws red where next to none is left. Arguments as
    in `ShownEdges.traced`."""
    share_B = _red(upright_BL2) / _red(rest_BL2)
    return np.clip((_FULL - share_B) / (_FULL - _NO_RED), 0, 1)


def lowered_lids(points_BL2: Array) -> Array:
    """Landmarks with the upper lids where lowered ones are: the network leaves a third of an eye open that is closed.

    Args:
        points_BL2: 478 landmarks.
    """
    ring_ER = np.array(EYE_RINGS)
    corners_E2, lower_EP, upper_EP = ring_ER[:, [0, 8]], ring_ER[:, 1:8], ring_ER[:, 9:]
    gap_BEP2 = points_BL2[:, upper_EP] - points_BL2[:, lower_EP]
    width_BE = np.linalg.norm(points_BL2[:, corners_E2[:, 0]] - points_BL2[:, corners_E2[:, 1]], axis=2)
    open_BE = np.linalg.norm(gap_BEP2[:, :, 2:5], axis=3).mean(2) / width_BE
    share_BE = np.clip((open_BE - _SHUT) / (_TRUE - _SHUT), 0, 1)
    out_BL2 = points_BL2.copy()
    out_BL2[:, upper_EP] = points_BL2[:, lower_EP] + share_BE[..., None, None] * gap_BEP2
    return out_BL2


def _gap(points_BL2: Array) -> Array:
    return points_BL2[:, UPPER_INNER, 1] - points_BL2[:, LOWER_INNER, 1]


def _red(points_BL2: Array) -> Array:
    both_BN = points_BL2[:, OUTLINES, 1] - points_BL2[:, np.concatenate((UPPER_INNER, LOWER_INNER)), 1]
    count = len(UPPER_INNER)
    return (both_BN[:, :count] - both_BN[:, count:])[:, _MIDDLE].mean(1)


def _width(points_BL2: Array) -> Array:
    return np.linalg.norm(points_BL2[:, LIP_CORNERS[1]] - points_BL2[:, LIP_CORNERS[0]], axis=1)


class _Columns:
    """Walks over polygons from the inner line of the lips outwards."""

    def __init__(self, head: HeadModel) -> None:
        polygons_P4, _ = head.faces_of_four()
        skin_P = (head.parts_V[polygons_P4] == Part.SKIN).all(1)
        self._polygons: dict[frozenset[int], list[tuple[int, ...]]] = {}
        for polygon in polygons_P4[skin_P].tolist():
            for a, b in zip(polygon, polygon[1:] + polygon[:1], strict=True):
                self._polygons.setdefault(frozenset((a, b)), []).append(tuple(polygon))
        self._triangles: dict[frozenset[int], int] = {}
        for index, (a, b, c) in enumerate(head.faces_F3.tolist()):
            for edge in ((a, b), (b, c), (c, a)):
                self._triangles.setdefault(frozenset(edge), index)
        self._faces_F3 = head.faces_F3

    def over(self, face: int, bary_3: Array) -> list[tuple[int, list[float]]]:
        """The places in front of one on the inner line, itself first: triangle and weights of each; always as many."""
        weight = dict(zip(self._faces_F3[face].tolist(), bary_3.tolist(), strict=True))
        a, b = self._first_edge(weight)
        share, places, seen = (weight[a], weight.get(b, 0.0)), [(int(face), bary_3.tolist())], None
        for _ in range(_STEPS):
            following = [p for p in self._polygons.get(frozenset((a, b)), []) if p != seen]
            if len(following) == 1:
                seen = following[0]
                at, to = seen.index(a), seen.index(b)
                step = 1 if (to - at) % 4 == 3 else -1  # away from b
                a, b = seen[(at + step) % 4], seen[(to - step) % 4]
                triangle = self._triangles[frozenset((a, b))]
                weights = [{a: share[0], b: share[1]}.get(v, 0.0) for v in self._faces_F3[triangle].tolist()]
                places.append((triangle, weights))
            else:
                places.append(places[-1])
        return places

    def _first_edge(self, weight: dict[int, float]) -> tuple[int, int]:
        """The edge of the inner line that a place lies on, its heavier end first."""
        ends = sorted(weight, key=lambda vertex: -weight[vertex])
        for other in sorted(ends[1:], key=lambda vertex: -weight[vertex]):
            if len(self._polygons.get(frozenset((ends[0], other)), [])) == 1:
                return ends[0], other
        return ends[0], ends[1]
