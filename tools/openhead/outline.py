"""The outline of the face: jaw and cheeks as they bound the picture, by geometry.

The landmark network's answers scatter by a centimetre there. Instead, rays leave the mouth in the frontal picture; the
skin under a ray, from the face to where the frontal picture ends, is a path on the surface. The outline at a yaw is the
point of every path that lies farthest out on the picture: on the far side the silhouette, on the near side the line
that bounds the face from the front.

Shape suffixes: V vertices, F triangles, P points of a path.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deca.head import HeadModel, Part, SurfacePoints

from .portrait import eye_centre, sample_uv
from .surface import Surface, turn

MAX_YAW = 39
NUM_CONTOUR = 17
_START = 0.024  # metres from the mouth's centre: just outside the lips
_FALL = 1.0e-3  # metres of retreat after which a path has passed the silhouette
_SUBDIVIDE = 4
_EASE = 4  # degrees of yaw to each side
_IN_FACE = 0.2  # of the mask of the face: up to the ears and the neck
# The skin under the jaw is almost parallel to the line of sight: the face ends where a path gains less than this
# outwards per metre backwards, by the ray's angle in degrees.
_SLOPE_ANGLES, _SLOPES = (-60.0, -20.0), (0.35, 0.10)
_DOWN = np.radians(-89.9)  # the middle itself runs along edges


@dataclass(frozen=True)
class Path:
    """Surface points under a ray of the frontal picture, from the face outwards, the last on the frontal outline."""

    points: SurfacePoints
    positions_P3: NDArray[np.float64]

    def at(self, index: int) -> SurfacePoints:
        return SurfacePoints(self.points.faces[index], self.points.bary[index])


class Outline:
    """Paths on the left half of the mean head's face."""

    def __init__(self, head: HeadModel, surface: Surface) -> None:
        self.surface = surface
        self.verts_V3 = surface.verts_V3
        lips = self.verts_V3[(head.parts_V == Part.INNER_MOUTH)]
        self.centre = np.array([0.0, np.median(lips[lips[:, 2] > lips[:, 2].max() - 0.01, 1])])
        self.eye_height = float(eye_centre(head, Part.EYE_L)[1])
        face_T = sample_uv(head.masks["face"], head.uv_T2)
        self.faces = surface.outer_faces[(face_T[head.uv_faces_F3[surface.outer_faces]] > _IN_FACE).all(1)]

    def path(self, angle: float) -> Path:
        """The path under the ray at an angle from +x towards +y, radians."""
        direction, normal = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
        offset_V2 = self.verts_V3[:, :2] - self.centre
        side_V, reach_V = offset_V2 @ normal, offset_V2 @ direction
        slope = float(np.interp(np.degrees(angle), _SLOPE_ANGLES, _SLOPES))
        corners_F3 = self.surface.faces_F3[self.faces]
        crossed = self.faces[(side_V[corners_F3].min(1) < 0) & (side_V[corners_F3].max(1) >= 0)]
        ends: dict[tuple[int, int], list[int]] = {}
        for face in crossed:
            for a, b in _crossed_edges(self.surface.faces_F3[face], side_V):
                ends.setdefault((a, b), []).append(int(face))

        def crossing(edge: tuple[int, int]) -> tuple[float, float]:
            a, b = edge
            t = side_V[a] / (side_V[a] - side_V[b])
            depth = self.verts_V3[a, 2] + t * (self.verts_V3[b, 2] - self.verts_V3[a, 2])
            return float(reach_V[a] + t * (reach_V[b] - reach_V[a])), float(depth)

        def extent(edge: tuple[int, int]) -> float:
            reach, depth = crossing(edge)
            return reach + slope * depth

        begin = [edge for edge in ends if _START < crossing(edge)[0] < _START + 0.012]
        # From every start, both ways: a fold beside the mouth can end a walk at once.
        walks = [self._walk(edge, face, ends, side_V, extent) for edge in begin for face in ends[edge]]
        edges, faces = max(walks, key=lambda walk: max(crossing(e)[0] for e in walk[0]))
        last = int(np.argmax([extent(e) for e in edges]))
        return self._sampled(edges[: last + 1], faces[:last], side_V)

    def _walk(self, edge, face, ends, side_V, extent):
        """Follows the slice over the triangles until it retreats or ends."""
        edges, faces, farthest = [edge], [], extent(edge)
        while True:
            faces.append(face)
            others = [e for e in _crossed_edges(self.surface.faces_F3[face], side_V) if e != edges[-1]]
            if not others or others[0] in edges:
                return edges, faces
            edges.append(others[0])
            farthest = max(farthest, extent(edges[-1]))
            onward = [f for f in ends[edges[-1]] if f != face]
            if extent(edges[-1]) < farthest - _FALL or not onward:
                return edges, faces
            face = onward[0]

    def _sampled(self, edges: list[tuple[int, int]], faces: list[int], side_V: NDArray) -> Path:
        out_faces, out_bary = [], []
        for (a, b), (c, d), face in zip(edges[:-1], edges[1:], faces, strict=True):
            corners = self.surface.faces_F3[face]
            first, second = _edge_weights(corners, a, b, side_V), _edge_weights(corners, c, d, side_V)
            for t in np.arange(_SUBDIVIDE) / _SUBDIVIDE if face != faces[-1] else np.linspace(0, 1, _SUBDIVIDE + 1):
                out_faces.append(face)
                out_bary.append((1 - t) * first + t * second)
        points = SurfacePoints(np.array(out_faces, np.int64), np.array(out_bary, np.float64))
        return Path(points, self.surface.positions(points))

    @property
    def chin(self) -> SurfacePoints:
        """The lowest point of the outline, in the middle; one point."""
        return self.surface.nearest_on_plane(self.path(_DOWN).positions_P3[-1:])

    def extreme(self, path: Path, angle: float, yaw: float) -> int:
        """Index of the path's point that lies farthest out on the picture when the head is turned by a yaw, degrees."""
        turned_P3 = path.positions_P3 @ turn(yaw).T
        return int(np.argmax(turned_P3[:, :2] @ np.array([np.cos(angle), np.sin(angle)])))

    def ibug_angles(self) -> NDArray[np.float64]:
        """Angles of the contour points 8 (chin) to 16 (left, eye height), evenly spaced along the frontal outline."""
        angles = np.append(_DOWN, np.radians(np.arange(-88.5, 75.0, 1.5)))
        ends = np.array([self.path(angle).positions_P3[-1, :2] for angle in angles])
        below = np.flatnonzero(ends[:, 1] > self.eye_height)
        stop = int(below[0]) if len(below) else len(ends) - 1
        travelled = np.append(0, np.cumsum(np.linalg.norm(np.diff(ends[: stop + 1], axis=0), axis=1)))
        return np.interp(np.linspace(0, travelled[-1], NUM_CONTOUR // 2 + 1), travelled, angles[: stop + 1])


def contour_table(outline: Outline) -> SurfacePoints:
    """The dynamic contour: (79 yaws, 17) points, rows 0..39 = yaw 0..39 degrees, 40..78 = yaw -1..-39."""
    surface = outline.surface
    yaws = np.append(np.arange(MAX_YAW + 1), -np.arange(1, MAX_YAW + 1))
    angles = outline.ibug_angles()
    faces = np.zeros((len(yaws), NUM_CONTOUR), np.int64)
    bary = np.zeros((len(yaws), NUM_CONTOUR, 3))
    middle = NUM_CONTOUR // 2
    for k, angle in enumerate(angles):
        path = outline.path(angle)
        # Over a flat cheek the farthest point leaps along the path; nearby yaws share the leap.
        every = np.arange(-MAX_YAW - _EASE, MAX_YAW + _EASE + 1)
        farthest = [float(outline.extreme(path, angle, yaw)) for yaw in every]
        eased = np.convolve(farthest, np.full(2 * _EASE + 1, 1 / (2 * _EASE + 1)), "valid")
        for row, yaw in enumerate(yaws):
            point = path.at(round(float(eased[yaw + MAX_YAW])))
            faces[row, middle + k], bary[row, middle + k] = point.faces, point.bary
    faces[:, middle], bary[:, middle] = outline.chin.faces[0], outline.chin.bary[0]
    opposite = np.append([0], np.append(np.arange(MAX_YAW + 1, len(yaws)), np.arange(1, MAX_YAW + 1)))
    right = surface.mirrored(SurfacePoints(faces[opposite, middle + 1 :], bary[opposite, middle + 1 :]))
    faces[:, :middle], bary[:, :middle] = right.faces[:, ::-1], right.bary[:, ::-1]
    return SurfacePoints(faces, bary.astype(np.float32))


def frontal_points(outline: Outline, targets_L2: NDArray) -> SurfacePoints:
    """Points of the frontal outline in the directions of targets (x > 0, y) seen from the mouth."""
    ends = []
    for x, y in targets_L2 - outline.centre:
        path = outline.path(float(np.arctan2(y, max(x, 1e-4))))
        ends.append(path.at(-1))
    return SurfacePoints(
        np.array([point.faces for point in ends], np.int64), np.array([point.bary for point in ends], np.float32)
    )


def _crossed_edges(corners: NDArray, side_V: NDArray) -> list[tuple[int, int]]:
    a, b, c = (int(v) for v in corners)
    return [(min(e), max(e)) for e in ((a, b), (b, c), (c, a)) if (side_V[e[0]] < 0) != (side_V[e[1]] < 0)]


def _edge_weights(corners: NDArray, a: int, b: int, side_V: NDArray) -> NDArray[np.float64]:
    """Barycentrics of the point where the edge a-b crosses the plane."""
    t = side_V[a] / (side_V[a] - side_V[b])
    return np.where(corners == a, 1 - t, np.where(corners == b, t, 0.0))
