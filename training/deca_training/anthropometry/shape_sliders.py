"""Directions of a head model's shape with names that people understand: the width of the jaw, the length of the nose.

A slider's direction is the likeliest way in which a head gets a measure and keeps the others. Codes are N(0, I) over
the population. A measure of random heads is regressed on their codes, m = m0 + g . beta; with the standardised
sensitivities G (N, S) of all sliders' measures as rows, |g| = 1, the directions are the columns of

    D = G^T (G G^T + ridge I)^-1,    each scaled so that its own measure moves by one deviation of the population.

Without a ridge the other measures stay exactly (in the linear model) and D is the shortest such code; where two
measures nearly go together, that is an unlikely head. `ridge` trades the one for the other.

Shape suffixes: N sliders, H heads, S shape coefficients, V vertices.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deca.errors import AssetError
from deca.head import HeadModel, Part
from deca.head.named_shapes import NamedShape
from deca_training.anthropometry.landmarks import BETWEEN_LIPS, FROM_IBUG, LEFT, RIGHT, Landmarks, Points
from deca_training.anthropometry.measures import MEASURES, MILLIMETRES

RIDGE = 0.03
"""Of the sensitivities' Gram matrix, whose diagonal is 1. By the trade-off that docs/correcting.md shows."""

_CHEEK = {RIGHT: (207, 187, 192, 213, 147), LEFT: (427, 411, 416, 433, 376)}
"""MediaPipe's landmarks on the soft cheek, between cheekbone, corner of the mouth and corner of the jaw."""
_LIDS = ((37, 41), (38, 40), (43, 47), (44, 46))
"""iBUG's landmarks above each other on the edges of the lids."""


@dataclass(frozen=True)
class ShapeSlider:
    """A slider and what it is to move.

    Attributes:
        key: What people call it, in lower case with underscores.
        definition: What it measures, by the points of `landmarks.py`.
        unit: mm or degrees.
        take: The measure in metres or degrees.
    """

    key: str
    definition: str
    unit: str
    take: Callable[[Points], float]


def _surveyed(key: str, measure: str) -> ShapeSlider:
    """A slider of one of the surveys' measures."""
    (found,) = (one for one in MEASURES if one.key == measure)
    assert found.take is not None
    return ShapeSlider(key, f"{found.name}: {found.definition}", found.unit, found.take)


def _millimetres(key: str, definition: str, take: Callable[[Points], float]) -> ShapeSlider:
    return ShapeSlider(key, definition, "mm", take)


def _straight(points: Points, first: str, second: str) -> float:
    return float(np.linalg.norm(points[first] - points[second]))


def _cheek(points: Points) -> float:
    """How far the soft cheeks stand out of the planes through cheekbone, corner of the jaw and corner of the mouth."""
    heights = []
    for side, outwards in ((RIGHT, -1.0), (LEFT, 1.0)):
        corners = [points[name + side] for name in ("zy", "go", "ch")]
        normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
        normal *= np.sign(normal[0]) * outwards / np.linalg.norm(normal)
        heights.append((points[f"cheek{side}"] - corners[0]) @ normal)
    return float(np.mean(heights))


SLIDERS: tuple[ShapeSlider, ...] = (
    _surveyed("face_width", "bizygomatic"),
    _surveyed("face_length", "face_height"),
    _millimetres("forehead_height", "height, g to v", lambda points: float(points["v"][1] - points["g"][1])),
    _surveyed("head_depth", "head_length"),
    _surveyed("jaw_width", "bigonial"),
    _millimetres("chin_height", "straight, li to gn", lambda points: _straight(points, "li", "gn")),
    _millimetres("chin_forward", "depth, sn to pg", lambda points: float(points["pg"][2] - points["sn"][2])),
    _millimetres("cheek_fullness", "cheek out of the plane zy-go-ch, mean of both sides", _cheek),
    _surveyed("eye_distance", "interpupillary"),
    _surveyed("eye_width", "eye_fissure"),
    _millimetres(
        "eye_opening",
        "between the edges of the lids, iBUG 37-41, 38-40 and mirrored",
        lambda points: float(points["lids"][0]),
    ),
    _millimetres(
        "eye_depth",
        "depth, g to pu, mean of both sides",
        lambda points: float(points["g"][2] - (points["pu_r"][2] + points["pu_l"][2]) / 2),
    ),
    _surveyed("nose_length", "nose_height"),
    _surveyed("nose_width", "nose_width"),
    _surveyed("nose_depth", "nose_protrusion"),
    _surveyed("nose_tip_up", "nasolabial_angle"),
    _surveyed("nose_bridge", "dorsum"),
    _surveyed("mouth_width", "mouth_width"),
    _millimetres(
        "lip_fullness",
        "red of both lips: straight, ls to sto and sto to li",
        lambda points: _straight(points, "ls", "sto") + _straight(points, "sto", "li"),
    ),
    _millimetres(
        "upper_lip_length",
        "philtrum length: straight, sn to ls",
        lambda points: _straight(points, "sn", "ls"),
    ),
    _surveyed("ear_size", "ear_length"),
    _surveyed("ears_out", "ear_protrusion"),
)
"""In the order of the panel."""


class SliderTape:
    """Takes the sliders' measures of one head model's neutral shapes.

    Args:
        head: The head model.
        is_fixed: Measure between the points of the skin that are the landmarks of the mean head. Landmarks that are
            looked for on each head (the widest, the foremost point) jump along the skin, which no direction can follow;
            points of the skin move as the codes do. False looks for them on each head, as the surveys do.

    Raises:
        AssetError: The head model lacks landmarks or the mask of the ears.
    """

    def __init__(self, head: HeadModel, is_fixed: bool = True) -> None:
        if head.landmarks_68 is None or head.landmarks_478 is None or "ears" not in head.masks:
            raise AssetError("The head model lacks the landmarks that name its shapes.", "Choose another head model.")
        self._landmarks, self._head = Landmarks(head), head
        self._ibug, self._mediapipe = head.landmarks_68, head.landmarks_478
        self._fixed: dict[str, NDArray[np.intp]] = {}
        if is_fixed:
            template_V3 = head.template_V3.astype(np.float64)
            skin = np.flatnonzero(head.parts_V == Part.SKIN)
            found = {name: point for name, point in self._landmarks(template_V3).items() if not name.startswith("pu_")}
            for name, point in found.items():
                self._fixed[name] = skin[[np.linalg.norm(template_V3[skin] - point, axis=1).argmin()]]
            for name, part in (("pu_r", Part.EYE_R), ("pu_l", Part.EYE_L)):
                self._fixed[name] = np.flatnonzero(head.parts_V == part)

    def __call__(self, verts_V3: NDArray) -> NDArray[np.float64]:
        """Measures (N,) of shaped, unposed vertices (V, 3), mm and degrees."""
        verts_V3 = verts_V3.astype(np.float64)
        ibug_L3 = self._ibug.positions(verts_V3, self._head.faces_F3)
        seen_L3 = self._mediapipe.positions(verts_V3, self._head.faces_F3)
        if self._fixed:
            points = {name: verts_V3[indices].mean(0) for name, indices in self._fixed.items()}
            points |= {name: ibug_L3[index] for name, index in FROM_IBUG.items()}
            points["sto"] = ibug_L3[list(BETWEEN_LIPS)].mean(0)
        else:
            points = self._landmarks(verts_V3)
        points |= {f"cheek{side}": seen_L3[list(indices)].mean(0) for side, indices in _CHEEK.items()}
        points["lids"] = np.array([np.mean([np.linalg.norm(ibug_L3[a] - ibug_L3[b]) for a, b in _LIDS])])
        return np.array([slider.take(points) * (MILLIMETRES if slider.unit == "mm" else 1.0) for slider in SLIDERS])


def regress(codes_HS: NDArray, measures_HN: NDArray) -> NDArray[np.float64]:
    """Sensitivities (N, S) of measures to codes, by least squares about the means.

    Raises:
        ValueError: There are not more heads than coefficients.
    """
    if len(codes_HS) <= codes_HS.shape[1]:
        raise ValueError(f"{len(codes_HS)} heads do not tell {codes_HS.shape[1]} coefficients apart.")
    centred_HS = codes_HS - codes_HS.mean(0)
    return np.linalg.lstsq(centred_HS, measures_HN - measures_HN.mean(0), rcond=None)[0].T


def directions(sensitivities_NS: NDArray, ridge: float = RIDGE) -> NDArray[np.float64]:
    """Codes (N, S) by which one measure each moves by one deviation of the population (the module's text)."""
    unit_NS = sensitivities_NS / np.linalg.norm(sensitivities_NS, axis=1, keepdims=True)
    gram_NN = unit_NS @ unit_NS.T
    raw_NS = np.linalg.solve(gram_NN + ridge * np.eye(len(gram_NN)), unit_NS)
    return raw_NS / (raw_NS * unit_NS).sum(1, keepdims=True)


@dataclass(frozen=True)
class CrossTalk:
    """What sliders do to each other's measures.

    Attributes:
        moved_NN: Row: a slider at 1; column: by how many deviations of the population each measure moves.
        length_N: Length of the sliders' codes: how unlikely a head at 1 is, 1 being an ordinary person.
    """

    moved_NN: NDArray[np.float64]
    length_N: NDArray[np.float64]

    @property
    def worst_N(self) -> NDArray[np.float64]:
        """The largest motion of another slider's measure."""
        return np.abs(self.moved_NN - np.diag(np.diag(self.moved_NN))).max(1)


def measured_cross_talk(
    head: HeadModel, codes_NS: NDArray, deviations_N: NDArray, at: float = 1.0, is_fixed: bool = False
) -> CrossTalk:
    """Moves each slider of the mean head up and down by `at` and takes the tape to it, which is not linear."""
    tape = SliderTape(head, is_fixed)
    dirs_DS = head.shape_dirs_V3S.reshape(-1, head.shape_dirs_V3S.shape[2])

    def measure(code_S: NDArray) -> NDArray[np.float64]:
        return tape(head.template_V3 + (dirs_DS @ code_S.astype(np.float32)).reshape(-1, 3))

    moved = [(measure(at * code_S) - measure(-at * code_S)) / (2 * at) / deviations_N for code_S in codes_NS]
    return CrossTalk(np.array(moved), np.linalg.norm(codes_NS, axis=1))


def named_shapes(head: HeadModel, count: int = 1500, seed: int = 0, ridge: float = RIDGE) -> tuple[NamedShape, ...]:
    """The sliders of a head model, from `count` random heads of it."""
    tape, rng = SliderTape(head), np.random.default_rng(seed)
    dirs_DS = head.shape_dirs_V3S.reshape(-1, head.shape_dirs_V3S.shape[2])
    codes_HS = rng.normal(size=(count, dirs_DS.shape[1])).astype(np.float32)
    measures_HN = np.array([tape(head.template_V3 + (dirs_DS @ code_S).reshape(-1, 3)) for code_S in codes_HS])
    codes_NS = directions(regress(codes_HS.astype(np.float64), measures_HN), ridge)
    deviations_N = measures_HN.std(0)
    return tuple(
        NamedShape(slider.key, slider.unit, float(deviation), code_S.astype(np.float32))
        for slider, deviation, code_S in zip(SLIDERS, deviations_N, codes_NS, strict=True)
    )
