"""The lines of the face that landmarks must sit on: lid edges, lip outlines, the inner lip line, the iris rims.

All on the mean head, on the subject's left side and the middle (x >= 0); the right side follows by mirroring.

Shape suffixes: V vertices, F triangles, L landmarks, H W picture.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from deca.head import HeadModel, Part, SurfacePoints
from deca.render.rasterizer import rasterize

from .portrait import EYE_RADIUS, IRIS_RADIUS, eye_centre, sample_uv


class CloseUp:
    """An orthographic front view of a part of the mean head.

    Attributes:
        face_HW: Triangle seen by every pixel, -1 for none.
        part_HW: `Part` of that triangle (the least of its corners), 255 for none.
    """

    def __init__(self, head: HeadModel, centre: NDArray, span: float, size: int = 1000) -> None:
        self.head, self.centre, self.span, self.size = head, centre[:2].astype(np.float64), span, size
        picture = (head.template_V3 - np.append(centre[:2], 0)) * np.array([1, -1, -1]) * 2 / span
        verts = torch.from_numpy(picture.astype(np.float32))[None]
        fragments = rasterize(verts, torch.from_numpy(head.faces_F3), size, size)
        self.face_HW, self.bary_HW3 = fragments.face_BHW[0].numpy(), fragments.bary_BHW3[0].numpy()
        parts_F = head.parts_V[head.faces_F3].min(1)
        self.part_HW = np.where(self.face_HW >= 0, parts_F[self.face_HW], 255)

    def column(self, x: float) -> int:
        """Pixel column of a coordinate in head space."""
        return int(np.clip(((x - self.centre[0]) / self.span + 0.5) * self.size, 0, self.size - 1))

    def points(self, rows: list[int], columns: list[int]) -> SurfacePoints:
        """The surface points that pixels see."""
        bary = self.bary_HW3[rows, columns].astype(np.float64)
        # The rasteriser guards against empty triangles, which unbalances the smallest ones.
        return SurfacePoints(self.face_HW[rows, columns], (bary / bary.sum(1, keepdims=True)).astype(np.float32))

    def mask(self, name: str) -> NDArray[np.bool_]:
        """Where a UV mask is on, (H, W)."""
        seen = self.face_HW >= 0
        corners_N32 = self.head.uv_T2[self.head.uv_faces_F3[self.face_HW[seen]]]
        uv_N2 = np.einsum("nkc,nk->nc", corners_N32, self.bary_HW3[seen])
        inside = np.zeros(seen.shape, bool)
        inside[seen] = sample_uv(self.head.masks[name], uv_N2) > 0.5
        return inside


def lid_points(head: HeadModel, upper_x: NDArray, lower_x: NDArray) -> tuple[SurfacePoints, SurfacePoints]:
    """Points of the left eye's upper and lower lid edges, as seen from the front, at given x (metres)."""
    view = CloseUp(head, eye_centre(head, Part.EYE_L), 0.05)
    eye_HW = view.part_HW == Part.EYE_L
    columns = np.flatnonzero(eye_HW.any(0))
    points = []
    for xs, upper in ((upper_x, True), (lower_x, False)):
        chosen = [int(np.clip(view.column(x), columns[0], columns[-1])) for x in xs]
        rows = [np.flatnonzero(eye_HW[:, column])[[0, -1]] + (-1, 1) for column in chosen]
        points.append(view.points([int(row[0 if upper else 1]) for row in rows], chosen))
    return points[0], points[1]


def lip_outline(
    head: HeadModel, upper_x: NDArray, lower_x: NDArray, mouth: NDArray
) -> tuple[SurfacePoints, SurfacePoints]:
    """Points of the upper and lower vermilion border, from the UV mask of the lips, at given x (metres)."""
    view = CloseUp(head, mouth, 0.08)
    lips_HW = view.mask("lips") & (view.part_HW == Part.SKIN)
    columns = np.flatnonzero(lips_HW.any(0))
    points = []
    for xs, upper in ((upper_x, True), (lower_x, False)):
        chosen = [int(np.clip(view.column(x), columns[0], columns[-1])) for x in xs]
        rows = [int(np.flatnonzero(lips_HW[:, column])[0 if upper else -1]) for column in chosen]
        points.append(view.points(rows, chosen))
    return points[0], points[1]


def inner_lip_points(head: HeadModel, upper_x: NDArray, lower_x: NDArray) -> tuple[SurfacePoints, SurfacePoints]:
    """Points of the line where skin and inner mouth meet, on the upper and the lower lip, at given x (metres)."""
    upper, lower = inner_lip_chains(head)
    return _at_x(head, upper, upper_x), _at_x(head, lower, lower_x)


def inner_lip_chains(head: HeadModel) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Vertices of the inner lip line's left half from the middle to the corner: upper lip, lower lip."""
    parts_F3 = head.parts_V[head.faces_F3]
    inner_F = (parts_F3 == Part.INNER_MOUTH).any(1)
    neighbours: dict[int, set[int]] = {}
    skin_edges = _edges(head.faces_F3[(parts_F3 == Part.SKIN).all(1)])
    for a, b in sorted(_edges(head.faces_F3[inner_F]) & skin_edges):
        neighbours.setdefault(a, set()).add(b)
        neighbours.setdefault(b, set()).add(a)
    x_V = head.template_V3[:, 0]
    middle = [v for v in neighbours if abs(x_V[v]) < 1e-6]
    middle.sort(key=lambda v: -head.template_V3[v, 1])
    chains = []
    for start in (middle[0], middle[-1]):
        chain = [start, max(neighbours[start], key=lambda v: x_V[v])]
        while x_V[chain[-1]] > x_V[chain[-2]] - 1e-3:
            following = [v for v in neighbours[chain[-1]] if v not in chain]
            if not following:
                break
            chain.append(following[0])
        chains.append(np.array(chain[: int(np.argmax(x_V[chain])) + 1]))
    return chains[0], chains[1]


def iris_points(head: HeadModel, angles: tuple[float, ...]) -> SurfacePoints:
    """Centre and rim of the left iris: the eyeball's front pole, and the rim at angles from +x towards +y, degrees."""
    centre = eye_centre(head, Part.EYE_L)
    eye_faces = np.flatnonzero((head.parts_V[head.faces_F3] == Part.EYE_L).all(1))
    corners = head.template_V3[head.faces_F3[eye_faces]].astype(np.float64) - centre
    front = corners[:, :, 2].mean(1) > 0
    eye_faces, corners = eye_faces[front], corners[front]
    scale = np.ptp(head.template_V3[head.parts_V == Part.EYE_L][:, 0]) / 2 / EYE_RADIUS
    radians = np.radians(angles)
    rim = IRIS_RADIUS * scale * np.stack((np.cos(radians), np.sin(radians)), 1)
    faces, bary = [], []
    for target in np.concatenate(([[0.0, 0.0]], rim)):
        edges = np.stack((corners[:, 1, :2] - corners[:, 0, :2], corners[:, 2, :2] - corners[:, 0, :2]), axis=2)
        vw = np.linalg.solve(edges, (target - corners[:, 0, :2])[..., None])[..., 0]
        weights = np.column_stack((1 - vw.sum(1), vw))
        best = weights.min(1).argmax()
        faces.append(eye_faces[best])
        bary.append(np.clip(weights[best], 0, 1))
    return SurfacePoints(np.array(faces, np.int64), np.array(bary, np.float32))


def _edges(faces_F3: NDArray) -> set[tuple[int, int]]:
    edges = np.sort(np.concatenate([faces_F3[:, [0, 1]], faces_F3[:, [1, 2]], faces_F3[:, [2, 0]]]), axis=1)
    return set(map(tuple, edges.tolist()))


def _at_x(head: HeadModel, chain: NDArray, xs: NDArray) -> SurfacePoints:
    """Points of a chain of edges at given x, on skin triangles."""
    skin = np.flatnonzero((head.parts_V[head.faces_F3] == Part.SKIN).all(1))
    chain_x = head.template_V3[chain, 0]
    faces, bary = [], []
    for x in np.clip(xs, 0, chain_x[-1]):
        k = int(np.clip(np.searchsorted(chain_x, x) - 1, 0, len(chain) - 2))
        t = float(np.clip((x - chain_x[k]) / (chain_x[k + 1] - chain_x[k]), 0, 1))
        corners_F3 = head.faces_F3[skin]
        holds = (corners_F3 == chain[k]).any(1) & (corners_F3 == chain[k + 1]).any(1)
        face = int(skin[np.flatnonzero(holds)[0]])
        weights = np.where(head.faces_F3[face] == chain[k], 1 - t, np.where(head.faces_F3[face] == chain[k + 1], t, 0))
        faces.append(face)
        bary.append(weights)
    return SurfacePoints(np.array(faces, np.int64), np.array(bary, np.float32))
