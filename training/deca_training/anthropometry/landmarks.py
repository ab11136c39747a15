"""Anthropometric landmarks on a neutral head, by their definitions (Farkas 1994; ANSUR II; NIOSH 2003).

No vertex numbers: the corners of eyes and lips are the head model's own iBUG landmarks, everything else is looked for
on the shape that is measured (the highest, deepest, widest point). The head looks along +z in the Frankfurt plane.

| point | where |
|---|---|
| g glabella | the foremost point of the midline from 8 to 30 mm above iBUG's top of the nose (27) |
| se sellion | the hindmost point of the midline from 6 mm above to 12 mm below iBUG's top of the nose |
| prn pronasale | the foremost point of the nose |
| d dorsum | the point of the midline half-way from sellion to pronasale |
| cm columella | where the line from subnasale touches the underside of the nose |
| sn subnasale | the deepest point of the midline behind the chord from pronasale to the upper lip's edge |
| ls, li | the edges of the red of the lips, in the middle (iBUG 51, 57) |
| lip_upper, lip_lower | the points of the lips farthest in front of the chord from pronasale to pogonion |
| sto stomion | between the lips, in the middle (iBUG 62 and 66) |
| pg pogonion | the point of the midline farthest in front of the chord from the fold below the lip to gnathion |
| gn gnathion, menton | the point of the chin that a plane touches which rises forward by 20 degrees |
| v vertex | the highest point of the midline |
| op opisthocranion | the point of the midline above subnasale that is farthest from glabella |
| en, ex | the inner and outer corners of the lids (iBUG 39, 42; 36, 45) |
| pu pupil | the middle of the eyeball |
| ch cheilion | the outer corners of the mouth (iBUG 48, 54) |
| cph | the peaks of Cupid's bow (iBUG 50, 52) |
| al alare | where the wing of the nose meets the cheek, in the level section through it that is widest there |
| zy zygion | the widest point of the face from 15 mm in front of the tragion on, between the levels of ex and sn |
| eu euryon | the widest point of the head above the ears |
| go gonion | the corner of the border of the jaw: farthest from the chord ear to chin, from the side (iBUG 1..15) |
| t tragion | the front edge of the ear at half its height |
| sa, sba | the highest and the lowest point of the ear |
| pra, pa | the foremost and hindmost points of the ear, square to sa-sba as seen from the side |
| rim, mastoid | the outermost point of the ear, and the head's skin behind the ear at its height |

Shape suffixes: V vertices, F triangles, P points of a curve.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deca.errors import AssetError
from deca.head import HeadModel, Part
from deca_training.anthropometry.midline import STEP, Midline
from deca_training.anthropometry.nose_wing import NoseWing

Points = dict[str, NDArray[np.float64]]

RIGHT, LEFT = "_r", "_l"
"""Endings of the names of points on the subject's right and left."""
FROM_IBUG = {
    **{"ls": 51, "li": 57, "en_r": 39, "en_l": 42, "ex_r": 36, "ex_l": 45},
    **{"ch_r": 48, "ch_l": 54, "cph_r": 50, "cph_l": 52},
}
_NASION, _TIP, _SUBNASALE, _UPPER_EDGE, _LOWER_EDGE, _CHIN = 27, 30, 33, 51, 57, 8
BETWEEN_LIPS = _UPPER_INNER, _LOWER_INNER = 62, 66
_JAW = {RIGHT: slice(1, 9), LEFT: slice(8, 16)}

# Metres. Chosen by eye on OpenHead; see the docstring for what each is for.
GLABELLA_FROM, GLABELLA_TO = 8e-3, 30e-3
SELLION_ABOVE, SELLION_BELOW = 6e-3, 12e-3
COLUMELLA_FROM = 2e-3
CHIN_AROUND = 18e-3
ZYGION_BEFORE_TRAGION = 15e-3
MASTOID_WITHIN = 20e-3
LEVEL = 4e-3  # how far a vertex may lie from a level to count as lying in it
GNATHION_TILT = math.radians(20)
EAR = 0.5  # value of the mask `ears` from which on a vertex is the ear's


class Landmarks:
    """Finds the landmarks of one head model's shapes.

    Args:
        head: Any head model with iBUG landmarks. Without a mask `ears` (FLAME) the ears' points are missing, and what
            needs to know where the ears are.

    Raises:
        AssetError: The head model has no iBUG landmarks.
    """

    def __init__(self, head: HeadModel) -> None:
        if head.landmarks_68 is None:
            raise AssetError("The head model has no iBUG landmarks to measure it by.", "Choose another head model.")
        self._head, self._ibug = head, head.landmarks_68
        self._midline = Midline(head, _SUBNASALE, _CHIN, _LOWER_EDGE)
        self._wing = NoseWing(head)
        self._sides: list[_Side] = []
        self._skin_F3 = head.faces_F3[(head.parts_V[head.faces_F3] == Part.SKIN).all(1)]
        if "ears" in head.masks:
            ear_V = (head.parts_V == Part.SKIN) & (vertex_mask(head, "ears") > EAR)
            places = self._ibug.positions(head.template_V3, head.faces_F3)
            self._sides = [_Side.of(head, ear_V, places, name) for name in (RIGHT, LEFT)]
            self._skin_F3 = self._skin_F3[~ear_V[self._skin_F3].any(1)]  # a tape does not run over the ears

    def __call__(self, verts_V3: NDArray) -> Points:
        """Points by name, (3,) metres each, on the shaped, unposed vertices (V, 3)."""
        verts_V3 = verts_V3.astype(np.float64)
        ibug = self._ibug.positions(verts_V3, self._head.faces_F3)
        points = {name: ibug[k] for name, k in FROM_IBUG.items()}
        points["sto"] = (ibug[_UPPER_INNER] + ibug[_LOWER_INNER]) / 2
        points |= self._profile(verts_V3)
        points |= self._wing(verts_V3)
        for side, part in ((RIGHT, Part.EYE_R), (LEFT, Part.EYE_L)):
            eyeball_P3 = verts_V3[self._head.parts_V == part]
            if len(eyeball_P3):
                points[f"pu{side}"] = (eyeball_P3.min(0) + eyeball_P3.max(0)) / 2
            points[f"go{side}"] = _corner(ibug[_JAW[side]])
        for side in self._sides:
            points |= side(verts_V3)
        return points

    def forehead_section(self, verts_V3: NDArray, points: Points) -> NDArray[np.float64]:
        """(N, 2) metres: where the plane through glabella and opisthocranion, level from ear to ear, cuts the skin."""
        along = points["op"] - points["g"]
        along[0] = 0
        along /= np.linalg.norm(along)
        up = np.array([0, -along[2], along[1]])
        height_V = (verts_V3 - points["g"]) @ up
        first, second = self._skin_F3.ravel(), np.roll(self._skin_F3, -1, 1).ravel()
        cut = (height_V[first] > 0) != (height_V[second] > 0)
        first, second = first[cut], second[cut]
        share = (height_V[first] / (height_V[first] - height_V[second]))[:, None]
        crossing = verts_V3[first] * (1 - share) + verts_V3[second] * share
        return np.stack((crossing[:, 0], crossing @ along), 1)

    def _profile(self, verts_V3: NDArray) -> Points:
        line = self._midline
        upper_P3, lower_P3 = line.upper(verts_V3), line.lower(verts_V3)
        brow = line.near(line.upper, _NASION, GLABELLA_TO, -GLABELLA_FROM)
        g = upper_P3[brow.start + int(upper_P3[brow, 2].argmax())]
        tip = line.near(line.upper, _TIP, 8e-3, 8e-3)
        prn_at = tip.start + int(upper_P3[tip, 2].argmax())
        prn = upper_P3[prn_at]
        root = line.near(line.upper, _NASION, SELLION_ABOVE, SELLION_BELOW)
        se_at = root.start + int(upper_P3[root, 2].argmin())
        se, back_P3 = upper_P3[se_at], upper_P3[se_at : prn_at + 1]
        middle = (back_P3 - (se + prn) / 2)[:, 1:] @ (prn - se)[1:]
        lip_P3 = upper_P3[prn_at : line.near(line.upper, _UPPER_EDGE).start + 1]
        sn_at = prn_at + int(ahead(lip_P3, prn, lip_P3[-1]).argmin())
        sn = upper_P3[sn_at]
        under_P3 = upper_P3[prn_at : max(sn_at - round(COLUMELLA_FROM / STEP), prn_at + 1)]
        slope_P = np.arctan2(under_P3[:, 1] - sn[1], under_P3[:, 2] - sn[2])
        bottom = line.near(line.lower, _CHIN, CHIN_AROUND, CHIN_AROUND)
        down = np.array([0, -math.cos(GNATHION_TILT), math.sin(GNATHION_TILT)])
        gn_at = bottom.start + int((lower_P3[bottom] @ down).argmax())
        edge = line.near(line.lower, _LOWER_EDGE).start
        front_P3 = lower_P3[edge : gn_at + 1]
        fold_at = int(ahead(front_P3, front_P3[0], front_P3[-1]).argmin())
        pg = front_P3[fold_at + int(ahead(front_P3[fold_at:], front_P3[fold_at], front_P3[-1]).argmax())]
        lips = {
            "lip_upper": upper_P3[sn_at : line.near(line.upper, _UPPER_INNER).stop],
            "lip_lower": lower_P3[line.near(line.lower, _LOWER_INNER).start : edge + fold_at + 1],
        }
        cranium_P3 = upper_P3[: brow.start]
        cranium_P3 = cranium_P3[cranium_P3[:, 1] > sn[1]]
        return {
            **{"g": g, "se": se, "prn": prn, "cm": under_P3[slope_P.argmin()], "sn": sn},
            **{"d": back_P3[np.abs(middle).argmin()], "pg": pg, "gn": lower_P3[gn_at]},
            **{name: lip_P3[ahead(lip_P3, prn, pg).argmax()] for name, lip_P3 in lips.items()},
            "v": upper_P3[upper_P3[:, 1].argmax()],
            "op": cranium_P3[np.linalg.norm(cranium_P3 - g, axis=1).argmax()],
        }


@dataclass(frozen=True)
class _Side:
    """The vertices among which the points of one side of the head are looked for, found on the mean head.

    Attributes:
        name: Ending of the points' names.
        ear, cheek, dome, behind: Indices of vertices.
        tragion: Index of the foremost vertex of the ear at about half its height.
    """

    name: str
    ear: NDArray[np.int64]
    cheek: NDArray[np.int64]
    dome: NDArray[np.int64]
    behind: NDArray[np.int64]
    tragion: int

    @classmethod
    def of(cls, head: HeadModel, ear_V: NDArray[np.bool_], ibug_L3: NDArray, name: str) -> _Side:
        """One side of a head model whose ears are known."""
        x, y, z = head.template_V3.T.astype(np.float64)
        on_side_V = (x < 0) == (name == RIGHT)
        ear = np.flatnonzero(ear_V & on_side_V)
        half = ear[np.abs(y[ear] - (y[ear].max() + y[ear].min()) / 2) < LEVEL]
        tragion, rim = int(half[z[half].argmax()]), ear[np.abs(x[ear]).argmax()]
        back = z[ear[np.abs(y[ear] - y[rim]) < LEVEL]].min()
        skin_V = (head.parts_V == Part.SKIN) & ~ear_V & on_side_V
        between = (y < ibug_L3[FROM_IBUG[f"ex{name}"], 1]) & (y > ibug_L3[_SUBNASALE, 1])
        return cls(
            name,
            ear,
            cheek=np.flatnonzero(skin_V & between & (z > z[tragion] + ZYGION_BEFORE_TRAGION)),
            dome=np.flatnonzero(skin_V & (y > y[ear].max())),
            behind=np.flatnonzero(skin_V & (np.abs(y - y[rim]) < LEVEL) & (z < back) & (z > back - MASTOID_WITHIN)),
            tragion=tragion,
        )

    def __call__(self, verts_V3: NDArray) -> Points:
        ear_P3 = verts_V3[self.ear]
        sa, sba = ear_P3[ear_P3[:, 1].argmax()], ear_P3[ear_P3[:, 1].argmin()]
        front = verts_V3[self.tragion]
        across_P = ear_P3[:, 1:] @ np.array([sba[2] - sa[2], sa[1] - sba[1]])  # square to sba-sa, grows to the front
        found = {
            **{"sa": sa, "sba": sba, "rim": _outermost(ear_P3)},
            "t": np.array([front[0], (sa[1] + sba[1]) / 2, front[2]]),
            **{"pra": ear_P3[across_P.argmax()], "pa": ear_P3[across_P.argmin()]},
            **{"mastoid": _outermost(verts_V3[self.behind]), "zy": _outermost(verts_V3[self.cheek])},
            "eu": _outermost(verts_V3[self.dome]),
        }
        return {key + self.name: point for key, point in found.items()}


def vertex_mask(head: HeadModel, name: str) -> NDArray[np.float64]:
    """(V,) values 0..1 of a UV mask at the vertices; a vertex on a seam has that of one of its places in the map."""
    mask = head.masks[name]
    uv_V2 = np.zeros((head.num_verts, 2))
    uv_V2[head.faces_F3.ravel()] = head.uv_T2[head.uv_faces_F3.ravel()]
    column, row = (uv_V2 * [1, -1] + [0, 1]).T * len(mask)
    last = len(mask) - 1
    return mask[np.clip(row.astype(int), 0, last), np.clip(column.astype(int), 0, last)] / 255


def _outermost(points_P3: NDArray) -> NDArray:
    return points_P3[np.abs(points_P3[:, 0]).argmax()]


def ahead(points_P3: NDArray, start: NDArray, end: NDArray) -> NDArray[np.float64]:
    """(P,) metres by which points lie in front of a chord that runs downwards, seen from the side."""
    chord, gap_P2 = (end - start)[1:], points_P3[:, 1:] - start[1:]
    return (gap_P2[:, 0] * chord[1] - gap_P2[:, 1] * chord[0]) / np.linalg.norm(chord)


def _corner(points_P3: NDArray) -> NDArray:
    """The corner of an outline: its point farthest from the chord between its ends, seen from the side.

    Evened out by its neighbours: on a smooth cheek single landmarks of the outline lie two centimetres too far back.
    """
    points_P3 = np.concatenate(
        (points_P3[:1], (points_P3[:-2] + 2 * points_P3[1:-1] + points_P3[2:]) / 4, points_P3[-1:])
    )
    shares = np.arange(0, len(points_P3) - 1, 0.05)
    at = shares.astype(int)
    fine_P3 = points_P3[at] + (points_P3[at + 1] - points_P3[at]) * (shares - at)[:, None]
    chord, gap_P2 = (points_P3[-1] - points_P3[0])[1:], (fine_P3 - points_P3[0])[:, 1:]
    return fine_P3[np.abs(gap_P2[:, 0] * chord[1] - gap_P2[:, 1] * chord[0]).argmax()]
