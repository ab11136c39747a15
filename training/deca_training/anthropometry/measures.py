"""The measures: what is taken between which landmarks, as the surveys take it.

Straight distances are those of a caliper. The breadth of a pair across the head is measured along x, as by a caliper's
parallel jaws; measures of both sides are averaged. The head circumference is a tape's: the convex outline.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

from deca.head import HeadModel
from deca_training.anthropometry.landmarks import LEFT, RIGHT, Landmarks, Points, ahead

MILLIMETRES = 1000.0


@dataclass(frozen=True)
class Measure:
    """One measure.

    Attributes:
        key: Short name, as in `population.py`.
        name: What people call it.
        definition: How it is taken, by the landmarks of `landmarks.py`.
        unit: mm or degrees.
        take: Its value in metres or degrees from the points; None for a tape's, which needs the whole surface.
        needs: Points without which it cannot be taken.
    """

    key: str
    name: str
    definition: str
    unit: str
    take: Callable[[Points], float] | None
    needs: tuple[str, ...]


class Anthropometer:
    """Measures the neutral shapes of one head model.

    Raises:
        AssetError: The head model has no iBUG landmarks.
    """

    def __init__(self, head: HeadModel) -> None:
        self.head, self.landmarks = head, Landmarks(head)

    def __call__(self, verts_V3: NDArray) -> dict[str, float]:
        """All measures (mm, degrees) of shaped, unposed vertices (V, 3); NaN where the head model lacks the points."""
        points = self.landmarks(verts_V3)
        values = {}
        for measure in MEASURES:
            if not all(name in points for name in measure.needs):
                value = float("nan")
            elif measure.take is None:
                value = _perimeter(self.landmarks.forehead_section(verts_V3, points))
            else:
                value = measure.take(points)
            values[measure.key] = float(value) * (MILLIMETRES if measure.unit == "mm" else 1.0)
        return values


def _perimeter(points_N2: NDArray) -> float:
    return float(ConvexHull(points_N2).area)  # of a plane figure, scipy calls its perimeter its area


def _straight(key: str, name: str, first: str, second: str) -> Measure:
    def take(points: Points) -> float:
        return float(np.linalg.norm(points[first] - points[second]))

    return Measure(key, name, f"straight, {first} to {second}", "mm", take, (first, second))


def _breadth(key: str, name: str, point: str) -> Measure:
    pair = (point + RIGHT, point + LEFT)

    def take(points: Points) -> float:
        return float(points[pair[1]][0] - points[pair[0]][0])

    return Measure(key, name, f"across, {point} to {point}", "mm", take, pair)


def _both_sides(key: str, name: str, first: str, second: str, definition: str, axes: tuple[int, ...]) -> Measure:
    """The mean of left and right of a distance along some axes."""
    pairs = [(first + side, second + side) for side in (RIGHT, LEFT)]

    def take(points: Points) -> float:
        return float(np.mean([np.linalg.norm((points[a] - points[b])[list(axes)]) for a, b in pairs]))

    return Measure(key, name, definition, "mm", take, (*pairs[0], *pairs[1]))


def _ear_breadth(points: Points) -> float:
    """Extent of the ear square to sa-sba, seen from the side; the mean of both ears."""
    breadths = []
    for side in (RIGHT, LEFT):
        along = (points[f"sa{side}"] - points[f"sba{side}"])[1:]
        gap = (points[f"pra{side}"] - points[f"pa{side}"])[1:]
        breadths.append(abs(gap[0] * along[1] - gap[1] * along[0]) / np.linalg.norm(along))
    return float(np.mean(breadths))


def _angle(key: str, name: str, first: str, corner: str, second: str) -> Measure:
    def take(points: Points) -> float:
        one, other = ((points[p] - points[corner])[1:] for p in (first, second))
        return float(np.degrees(np.arccos(one @ other / np.linalg.norm(one) / np.linalg.norm(other))))

    definition = f"angle {first}-{corner}-{second}, seen from the side"
    return Measure(key, name, definition, "degrees", take, (first, corner, second))


def _dorsum(points: Points) -> float:
    return float(ahead(points["d"][None], points["se"], points["prn"])[0])


def _to_e_line(key: str, name: str, lip: str) -> Measure:
    def take(points: Points) -> float:
        return float(ahead(points[lip][None], points["prn"], points["pg"])[0])

    return Measure(key, name, f"{lip} to the line prn-pg, positive in front", "mm", take, (lip, "prn", "pg"))


def _tragion_to_vertex(points: Points) -> float:
    return float(points["v"][1] - (points["t_r"][1] + points["t_l"][1]) / 2)


_EAR_POINTS = tuple(point + side for point in ("sa", "sba", "pra", "pa") for side in (RIGHT, LEFT))

MEASURES: tuple[Measure, ...] = (
    _straight("head_length", "head length", "g", "op"),
    _breadth("head_breadth", "head breadth", "eu"),
    # A tape runs over no ears, so that these must be known.
    Measure("head_circumference", "head circumference", "tape through g and op", "mm", None, ("g", "op", "t_r", "t_l")),
    Measure("tragion_to_vertex", "tragion to vertex", "height, t to v", "mm", _tragion_to_vertex, ("v", "t_r", "t_l")),
    _breadth("bizygomatic", "face breadth", "zy"),
    _breadth("bigonial", "jaw breadth", "go"),
    _straight("face_height", "face height", "se", "gn"),
    _straight("lower_face_height", "lower face height", "sn", "gn"),
    _straight("nose_height", "nose height", "se", "sn"),
    _straight("nose_protrusion", "nose protrusion", "sn", "prn"),
    _breadth("nose_width", "nose width", "al"),
    Measure("dorsum", "back of the nose", "d to the line se-prn, positive in front", "mm", _dorsum, ("d", "se", "prn")),
    _breadth("interpupillary", "pupil distance", "pu"),
    _breadth("intercanthal", "inner corners of the eyes", "en"),
    _breadth("biocular", "outer corners of the eyes", "ex"),
    _both_sides("eye_fissure", "eye length", "en", "ex", "straight, en to ex", (0, 1, 2)),
    _breadth("mouth_width", "mouth width", "ch"),
    _breadth("philtrum_width", "philtrum width", "cph"),
    _straight("philtrum_length", "philtrum length", "sn", "ls"),
    _straight("upper_lip_height", "upper lip height", "sn", "sto"),
    _straight("upper_vermilion", "red of the upper lip", "ls", "sto"),
    _straight("lower_vermilion", "red of the lower lip", "sto", "li"),
    _both_sides("ear_length", "ear length", "sa", "sba", "straight, sa to sba", (0, 1, 2)),
    Measure("ear_breadth", "ear breadth", "pra to pa, square to sa-sba", "mm", _ear_breadth, _EAR_POINTS),
    _both_sides("ear_protrusion", "ear protrusion", "rim", "mastoid", "across, mastoid to rim", (0,)),
    _angle("facial_convexity", "facial convexity", "g", "sn", "pg"),
    _angle("nasofrontal_angle", "nasofrontal angle", "g", "se", "prn"),
    _angle("nasolabial_angle", "nasolabial angle", "cm", "sn", "ls"),
    _to_e_line("upper_lip_to_e_line", "upper lip to E-line", "lip_upper"),
    _to_e_line("lower_lip_to_e_line", "lower lip to E-line", "lip_lower"),
)
"""In the order of the tables."""
