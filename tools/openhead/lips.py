"""Mends MakeHuman's smile, squints, pucker, funnel and puffed cheeks: their folds do not fit the mean of many faces.

All measures are relative to half the mouth's width, so that they hold for other mean heads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from .lids import MARGIN_RINGS, island_edge, lid_grid
from .skinning import smooth
from .topology import EYE_LEFT, EYE_RIGHT, INNER_MOUTH, SKIN, Topology

SMILE_DIRECTION = (1.1, 0.8, 1.0)
"""MakeHuman's smile by axis: the zygomatic muscle draws the corner as much outwards as upwards."""
SMILE_SMOOTHING = 60.0
SMILE_CHEEKS = 0.3
"""Share of cheekSquint in a smile: the cheeks rise with the corners."""
LIPS_KEPT = 0.25
"""Half widths from the lip line within which nothing is smoothed, and over which smoothing sets in."""
EYE_SURROUNDINGS = (0.016, 0.026)
"""Metres from an eye's centre below which nothing is smoothed, and above which all is."""


@dataclass(frozen=True)
class Purse:
    """What is added to a unit that purses the lips: full lips keep their volume as the mouth becomes narrow.

    Attributes:
        narrower: share of its width that the mouth loses, beyond MakeHuman's motion.
        fuller: share by which the lips' red becomes higher.
        forward_upper, forward_lower: motion of the middle of the lips, in half widths.
        rounder: motion of each lip away from the other half-way between middle and corner, in half widths.
    """

    narrower: float
    fuller: float
    forward_upper: float
    forward_lower: float
    rounder: float


PURSES = {"mouthPucker": Purse(0.15, 0.55, 0.10, 0.10, 0.0), "mouthFunnel": Purse(0.16, 0.75, 0.10, 0.20, 0.16)}
SQUINT_SMOOTHING = 25.0
CHEEK_GAIN = 1.45
"""Factor of cheekSquint that gives the cheek's apple back the rise that smoothing takes."""
PUFF_SMOOTHING, PUFF_GAIN = 5.0, 1.25
PURSE_SMOOTHING = 12.0
"""Of MakeHuman's motion beyond the lips, which has bumps between nose and lip."""
PURSE_REACH = 0.8
"""Half widths from the lip line over which a purse falls off."""
LIP_HEIGHT = 0.6
"""The same for the lips' height."""
LOWER_LIP = 0.7
"""Share of the largest drop in jawOpen with which all of the lower lip moves."""


def mended_smile(topology: Topology, template_V3: np.ndarray, smile_V3: np.ndarray, cheek_V3: np.ndarray) -> np.ndarray:
    """One side's smile without a trench beside the mouth, and with its cheek, (V, 3)."""
    return _smoothed(topology, template_V3, smile_V3 * SMILE_DIRECTION, SMILE_SMOOTHING) + SMILE_CHEEKS * cheek_V3


def pursed(
    topology: Topology, template_V3: np.ndarray, unit_V3: np.ndarray, jaw_open_V3: np.ndarray, purse: Purse
) -> np.ndarray:
    """A pucker or funnel with full lips, (V, 3); jawOpen tells the lower lip from the upper one."""
    line_P3 = template_V3[island_edge(topology, 1)]
    half_width = np.ptp(line_P3[:, 0]) / 2
    face = topology.vertices_of(SKIN, INNER_MOUTH)
    place = template_V3[face]
    distance, nearest = cKDTree(line_P3).query(place)
    fade = np.exp(-((distance / (PURSE_REACH * half_width)) ** 2))
    above = place[:, 1] - line_P3[nearest, 1]
    near = np.exp(-((distance / (LIP_HEIGHT * half_width)) ** 2))
    middle = np.clip(1 - (place[:, 0] / half_width) ** 2, 0, None)
    between = np.sin(np.pi * np.clip(np.abs(place[:, 0]) / half_width, 0, 1)) ** 2
    is_lower = np.clip(jaw_open_V3[face, 1] / jaw_open_V3[:, 1].min() / LOWER_LIP, 0, 1)
    forward = is_lower * purse.forward_lower + (1 - is_lower) * purse.forward_upper
    unit_V3 = _smoothed(topology, template_V3, unit_V3, PURSE_SMOOTHING)
    unit_V3[face, 0] -= purse.narrower * fade * place[:, 0]
    unit_V3[face, 1] += purse.fuller * near * above
    unit_V3[face, 1] += purse.rounder * half_width * between * near * (1 - 2 * is_lower)
    unit_V3[face, 2] += forward * half_width * middle * near
    return unit_V3


def mended_puff(topology: Topology, template_V3: np.ndarray, puff_V3: np.ndarray) -> np.ndarray:
    """The cheekPuff without the dents around its balls, (V, 3)."""
    return PUFF_GAIN * _smoothed(topology, template_V3, puff_V3, PUFF_SMOOTHING)


def mended_squint(topology: Topology, unit_V3: np.ndarray) -> np.ndarray:
    """The left cheekSquint or eyeSquint without the edge that MakeHuman's has beyond the eye's corner, (V, 3)."""
    share = (topology.part == SKIN).astype(float)
    share[lid_grid(topology, MARGIN_RINGS)[0]] = 0
    return np.stack([smooth(topology, column, share, SQUINT_SMOOTHING) for column in unit_V3.T], axis=1)


def _smoothed(topology: Topology, template_V3: np.ndarray, unit_V3: np.ndarray, strength: float) -> np.ndarray:
    """A unit (V, 3) smoothed on the skin of the face, but neither on lips nor on lids."""
    line_P3 = template_V3[island_edge(topology, 1)]
    reach = LIPS_KEPT * np.ptp(line_P3[:, 0]) / 2
    share = np.clip((cKDTree(line_P3).query(template_V3)[0] - reach) / reach, 0, 1) * (topology.part == SKIN)
    for part in (EYE_LEFT, EYE_RIGHT):
        centre = template_V3[topology.vertices_of(part)[[0, -1]]].mean(axis=0)
        near, far = EYE_SURROUNDINGS
        share *= np.clip((np.linalg.norm(template_V3 - centre, axis=1) - near) / (far - near), 0, 1)
    return np.stack([smooth(topology, column, share, strength) for column in unit_V3.T], axis=1)
