"""Expression: the ARKit units as a 50-dimensional space, plus the map from ARKit weights to coefficients and poses.

jawOpen is a rotation of the jaw joint with its pose correctives; eyeLook* units turn the eyeballs and move the lids;
tongueOut has a component of its own; the other shapes span components 0..49. The components are scaled so that
psi ~ N(0, 1) is the assumed distribution of ARKit weights in real faces (:func:`weight_covariance`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import gaze
from .lids import close_left_lids
from .lips import CHEEK_GAIN, PURSES, mended_puff, mended_smile, mended_squint, pursed
from .mouth import Mouth
from .sculpt import still_socket
from .skinning import Skinning
from .source import Source
from .topology import EYE_LEFT, EYE_RIGHT, INNER_MOUTH, SKIN, TONGUE, Topology

COMPONENTS = 100
SPAN = 50
TONGUE_OUT = 50
LID_WEIGHT = 8.0
"""Weight of the eyes' surroundings against the rest in the order of the components."""

STANDARD_DEVIATION = {
    "eyeBlink": 0.40,
    "eyeLook": 0.25,
    "eyeSquint": 0.22,
    "mouthSmile": 0.32,
    "brow": 0.28,
    "mouthClose": 0.06,
}
"""Assumed standard deviation of ARKit weights by the start of the name; others have :data:`DEFAULT_DEVIATION`."""
DEFAULT_DEVIATION = 0.20
SIDE_CORRELATION = 0.7
"""Assumed correlation of a left unit with its right twin."""
BLINK_CORRELATION = 0.5
"""The same for blinks: with their deviation, one closed eye and two closed eyes both lie within 3 deviations."""


@dataclass(frozen=True)
class Expression:
    """Expression directions.

    Attributes:
        dirs: (V, 3, 100) float64, metres per unit coefficient.
        parity: (100,) int8, +1 symmetric, -1 antisymmetric.
        arkit_names: the 52 names, in the columns' order.
        arkit_map: (60, 52) float64, see docs/architecture.md.
    """

    dirs: np.ndarray
    parity: np.ndarray
    arkit_names: list[str]
    arkit_map: np.ndarray


OWN_MOUTH = ("jaw", "mouthClose", "tongueOut")
"""Starts of the names of the units that move the jaw or tongue: the inside of the mouth keeps MakeHuman's motion."""

MENDED = (
    *(
        f"{name}{side}"
        for name in ("cheekSquint", "eyeBlink", "eyeLookDown", "eyeLookUp", "eyeSquint", "mouthSmile")
        for side in ("Left", "Right")
    ),
    *PURSES,
    "cheekPuff",
)
"""Units of our own: MakeHuman's fit its own face, not the mean of many, or are not what people do."""


def face_units(source: Source, topology: Topology, mouth: Mouth) -> dict[str, np.ndarray]:
    """The 52 units on our mesh, (V, 3) float64, metres; left and right twins are exact mirror images."""
    units = {name: topology.gather(source.face_unit(name)) for name in source.face_unit_names}
    for name, unit in units.items():
        if not name.startswith(OWN_MOUTH):
            mouth.follow(unit[None], mouth.bag)
    flip = np.array([-1, 1, 1])
    units = {name: (unit + units[twin(name)][topology.mirror] * flip) / 2 for name, unit in units.items()}
    units.update(mend_units(topology, topology.template, units))
    for unit in units.values():
        still_socket(topology, unit)
    return units


def mend_units(topology: Topology, template_V3: np.ndarray, units: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Our own versions of the units in :data:`MENDED`, (V, 3) each."""
    blink = close_left_lids(topology, template_V3, units["eyeBlinkLeft"])
    cheek = CHEEK_GAIN * mended_squint(topology, units["cheekSquintLeft"])
    left = {
        "cheekSquintLeft": cheek,
        "eyeSquintLeft": mended_squint(topology, units["eyeSquintLeft"]),
        "eyeBlinkLeft": blink,
        "eyeLookDownLeft": gaze.lower_left_lids(topology, template_V3, blink),
        "eyeLookUpLeft": units["eyeLookUpLeft"] + gaze.WIDE_SHARE * units["eyeWideLeft"],
        "mouthSmileLeft": mended_smile(topology, template_V3, units["mouthSmileLeft"], cheek),
    }
    right = {twin(name): unit[topology.mirror] * (-1, 1, 1) for name, unit in left.items()}
    middle = {
        name: pursed(topology, template_V3, units[name], units["jawOpen"], purse) for name, purse in PURSES.items()
    }
    middle["cheekPuff"] = mended_puff(topology, template_V3, units["cheekPuff"])
    return left | right | middle


def twin(name: str) -> str:
    """Name of the mirrored unit."""
    if name in ("jawLeft", "mouthLeft"):
        return name.replace("Left", "Right")
    if name in ("jawRight", "mouthRight"):
        return name.replace("Right", "Left")
    if name.endswith("Left"):
        return name[:-4] + "Right"
    if name.endswith("Right"):
        return name[:-5] + "Left"
    return name


def build_expression(
    source: Source, topology: Topology, template_V3: np.ndarray, units: dict[str, np.ndarray], skinning: Skinning
) -> Expression:
    """Principal components of the units under the assumed distribution of their weights."""
    names = source.face_unit_names
    # mouthClose is meant to be used with jawOpen = 1: take the jaw's rotation out of it.
    units = dict(units)
    closed = template_V3 + units["jawOpen"] + units["mouthClose"]
    units["mouthClose"] = skinning.unpose_jaw(closed, skinning.jaw_open) - template_V3
    span = [name for name in names if name not in ("jawOpen", "tongueOut")]
    shapes = np.stack([units[name] for name in span])
    factor = _factor(span)
    weight = np.sqrt(_vertex_weights(topology, template_V3))[None, :, None]

    # Symmetric and antisymmetric combinations of the units, apart.
    swap = np.zeros((SPAN, SPAN))
    for k, name in enumerate(span):
        swap[k, span.index(twin(name))] = 1
    values, to_units, parities = [], [], []
    for parity in (1, -1):
        project = (np.eye(SPAN) + parity * swap) / 2
        basis = np.linalg.svd(project)[0][:, : round(np.trace(project))]
        reduced = basis.T @ factor @ factor.T @ basis
        root = basis @ np.linalg.cholesky((reduced + reduced.T) / 2)
        moved = np.tensordot(root.T, shapes, 1) * weight
        rows = moved.reshape(len(moved), -1)
        value, vector = np.linalg.eigh(rows @ rows.T)
        values.append(value)
        to_units.append(root @ vector)
        parities.append(np.full(len(value), parity))
    value, unit_weights, parity = np.concatenate(values), np.concatenate(to_units, axis=1), np.concatenate(parities)
    order = np.argsort(-value, kind="stable")
    unit_weights, parity = unit_weights[:, order], parity[order]
    unit_weights *= np.sign(unit_weights[np.abs(unit_weights).argmax(axis=0), np.arange(SPAN)])

    dirs = np.zeros((*template_V3.shape, COMPONENTS))
    dirs[:, :, :SPAN] = np.tensordot(shapes, unit_weights, (0, 0))
    dirs[:, :, TONGUE_OUT] = units["tongueOut"]
    all_parity = np.ones(COMPONENTS, dtype=np.int8)
    all_parity[:SPAN] = parity
    mirrored = dirs[topology.mirror] * np.array([-1, 1, 1])[:, None] * all_parity
    arkit_map = _arkit_map(names, span, np.linalg.inv(unit_weights), skinning)
    return Expression((dirs + mirrored) / 2, all_parity, names, arkit_map)


def weight_covariance(names: list[str]) -> np.ndarray:
    """Assumed second moments of the ARKit weights of real faces, (N, N)."""
    deviation = np.array(
        [
            next((sd for key, sd in STANDARD_DEVIATION.items() if name.startswith(key)), DEFAULT_DEVIATION)
            for name in names
        ]
    )
    correlation = np.eye(len(names))
    for k, name in enumerate(names):
        other = names.index(twin(name))
        if other != k and name not in ("jawLeft", "jawRight", "mouthLeft", "mouthRight"):
            correlation[k, other] = BLINK_CORRELATION if name.startswith("eyeBlink") else SIDE_CORRELATION
    return correlation * np.outer(deviation, deviation)


def _factor(names: list[str]) -> np.ndarray:
    return np.linalg.cholesky(weight_covariance(names))


def _vertex_weights(topology: Topology, template_V3: np.ndarray) -> np.ndarray:
    weight = np.where(topology.part == SKIN, 1.0, 0.0)
    weight[np.isin(topology.part, (INNER_MOUTH, TONGUE))] = 0.1
    for part in (EYE_LEFT, EYE_RIGHT):
        ball = template_V3[topology.part == part]
        distance = np.linalg.norm(template_V3 - (ball.min(0) + ball.max(0)) / 2, axis=1)
        weight[(topology.part == SKIN) & (distance < 0.022)] = LID_WEIGHT
    return weight


def _arkit_map(names: list[str], span: list[str], to_psi: np.ndarray, skinning: Skinning) -> np.ndarray:
    table = np.zeros((60, len(names)))
    for column, name in enumerate(names):
        if name in span:
            table[:SPAN, column] = to_psi[:, span.index(name)]
    table[TONGUE_OUT, names.index("tongueOut")] = 1
    table[51:54, names.index("jawOpen")] = skinning.jaw_open
    for name, turn in gaze.rotations().items():
        row = 54 if name.endswith("Left") else 57
        table[row : row + 3, names.index(name)] = turn
    return table
