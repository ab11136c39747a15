"""Points on the head's surface as triangle and barycentrics: where they are nearest, and how they mirror.

Shape suffixes: V vertices, F triangles, L points.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from deca.head import HeadModel, Part, SurfacePoints
from deca.render.rasterizer import rasterize

MIRROR = np.array([-1.0, 1.0, 1.0])


class Surface:
    """The mean head's outer skin and how it mirrors.

    Attributes:
        verts_V3: The template, float64.
        faces_F3: All triangles.
        mirror_face_F: Index of each triangle's mirror image.
        mirror_corner_F3: Corner of the mirror image that each corner maps to.
        outer_faces: Triangles of the skin that can be seen from the front or a side.
    """

    def __init__(self, head: HeadModel) -> None:
        assert head.mirror_V is not None
        self.verts_V3 = head.template_V3.astype(np.float64)
        self.faces_F3 = head.faces_F3
        self.on_plane_V = head.mirror_V == np.arange(head.num_verts)
        index = {tuple(face): k for k, face in enumerate(np.sort(head.faces_F3, 1).tolist())}
        mirrored_F3 = head.mirror_V[head.faces_F3]
        self.mirror_face_F = np.array([index[tuple(face)] for face in np.sort(mirrored_F3, 1).tolist()])
        self.mirror_corner_F3 = (head.faces_F3[self.mirror_face_F][:, None, :] == mirrored_F3[:, :, None]).argmax(-1)
        skin_F = (head.parts_V[head.faces_F3] == Part.SKIN).all(1)
        self.outer_faces = np.flatnonzero(skin_F & _seen(head))

    def positions(self, points: SurfacePoints) -> NDArray[np.float64]:
        """Positions (L, 3) on the mean head."""
        return points.positions(self.verts_V3, self.faces_F3)

    def mirrored(self, points: SurfacePoints) -> SurfacePoints:
        """The mirror images of points."""
        bary = np.zeros_like(points.bary)
        np.put_along_axis(bary, self.mirror_corner_F3[points.faces], points.bary, axis=-1)
        return SurfacePoints(self.mirror_face_F[points.faces], bary)

    def nearest(self, targets_L3: NDArray) -> SurfacePoints:
        """The points of the outer skin that are nearest to some positions."""
        faces = np.empty(len(targets_L3), np.int64)
        bary = np.empty((len(targets_L3), 3))
        corners = self.verts_V3[self.faces_F3[self.outer_faces]]
        for k, target in enumerate(targets_L3):
            near = np.flatnonzero((np.abs(corners - target) < 0.02).all(2).any(1))
            near = near if len(near) else np.arange(len(corners))
            weights = nearest_barycentrics(target, corners[near])
            gap = np.linalg.norm((weights[..., None] * corners[near]).sum(1) - target, axis=1)
            best = gap.argmin()
            faces[k], bary[k] = self.outer_faces[near[best]], weights[best]
        return SurfacePoints(faces, bary.astype(np.float32))

    def nearest_on_plane(self, targets_L3: NDArray) -> SurfacePoints:
        """The nearest points on the outer skin's edges in the plane x = 0, on the left half's triangles."""
        middle_F3 = self.on_plane_V[self.faces_F3[self.outer_faces]]
        left = self.verts_V3[self.faces_F3[self.outer_faces]][:, :, 0].max(1) > 0
        candidates = self.outer_faces[(middle_F3.sum(1) == 2) & left]
        off_plane = ~self.on_plane_V[self.faces_F3[candidates]]
        faces, bary = [], []
        for target in targets_L3:
            weights = _nearest_on_edge(target, self.verts_V3[self.faces_F3[candidates]], off_plane)
            position = (weights[..., None] * self.verts_V3[self.faces_F3[candidates]]).sum(1)
            best = np.linalg.norm(position - target, axis=1).argmin()
            faces.append(candidates[best])
            bary.append(weights[best])
        return SurfacePoints(np.array(faces, np.int64), np.array(bary, np.float32))


def nearest_barycentrics(target: NDArray, corners_F33: NDArray) -> NDArray:
    """Barycentrics (F, 3) of the point of every triangle that is nearest to a position."""
    a, b, c = corners_F33[:, 0], corners_F33[:, 1], corners_F33[:, 2]
    ab, ac, ap = b - a, c - a, target - a
    d00, d01, d11 = (ab * ab).sum(1), (ab * ac).sum(1), (ac * ac).sum(1)
    d20, d21 = (ap * ab).sum(1), (ap * ac).sum(1)
    area = d00 * d11 - d01**2 + 1e-30
    v, w = (d11 * d20 - d01 * d21) / area, (d00 * d21 - d01 * d20) / area
    inside = np.stack((1 - v - w, v, w), 1)
    options = [inside] + [_nearest_on_edge(target, corners_F33, np.eye(3, dtype=bool)[[k]]) for k in range(3)]
    gaps = [np.linalg.norm((o[..., None] * corners_F33).sum(1) - target, axis=1) for o in options]
    gaps[0] = np.where((inside >= 0).all(1), gaps[0], np.inf)
    return np.take_along_axis(np.stack(options), np.argmin(gaps, 0)[None, :, None], 0)[0]


def _nearest_on_edge(target: NDArray, corners_F33: NDArray, opposite_F3: NDArray) -> NDArray:
    """Barycentrics (F, 3) of the nearest point on the edge opposite to the marked corner."""
    opposite = np.broadcast_to(opposite_F3, corners_F33.shape[:2]).argmax(1)
    rows = np.arange(len(corners_F33))
    first, second = (opposite + 1) % 3, (opposite + 2) % 3
    a, b = corners_F33[rows, first], corners_F33[rows, second]
    t = np.clip(((target - a) * (b - a)).sum(1) / (((b - a) ** 2).sum(1) + 1e-30), 0, 1)
    weights = np.zeros(corners_F33.shape[:2])
    weights[rows, first] = 1 - t
    weights[rows, second] = t
    return weights


def turn(yaw: float, pitch: float = 0.0) -> NDArray[np.float64]:
    """Rotation (3, 3) by a yaw about y (positive turns the face to the subject's left, +x) after a pitch about x."""
    (cy, sy), (cx, sx) = ((math.cos(angle), math.sin(angle)) for angle in map(math.radians, (yaw, pitch)))
    return np.matmul([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]], [[1, 0, 0], [0, cx, -sx], [0, sx, cx]])


def _seen(head: HeadModel) -> NDArray[np.bool_]:
    """Triangles (F,) seen from the front, from both sides, from above or from below."""
    seen = np.zeros(len(head.faces_F3), bool)
    for yaw, pitch in ((0, 0), (40, 0), (-40, 0), (80, 0), (-80, 0), (0, 35), (0, -35)):
        turned = head.template_V3 @ turn(yaw, pitch).T
        picture = (turned * np.array([1, -1, -1]) / 0.18).astype(np.float32)
        face_HW = rasterize(torch.from_numpy(picture)[None], torch.from_numpy(head.faces_F3), 800, 800).face_BHW[0]
        seen[np.unique(face_HW[face_HW >= 0].numpy())] = True
    return seen
