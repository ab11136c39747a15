"""How far the eyes turn in the eyeLook units, and lids that follow them.

MakeHuman's units turn the eyeballs by 10 to 15 degrees; people look to the side by about 35 degrees before they turn
the head, and their upper lids go down with lowered eyes.
"""

from __future__ import annotations

import numpy as np

from .lids import lid_grid
from .skinning import rotation_matrix
from .topology import EYE_LEFT, Topology

DEGREES = {"Down": (35, 0, 0), "In": (0, -35, 0), "Out": (0, 35, 0), "Up": (-25, 0, 0)}
"""Rotation of the left eyeball about x (down) and y (towards the left) at full weight. Ductions of healthy adults are
about 45 to 50 degrees to the sides and down and 35 to 45 up; this is what people use before they turn the head."""
BLINK_SHARE = 0.5
"""Share of a blink with which the upper lid follows full eyeLookDown, so that its margin stays on the iris's edge."""
LOWER_LID_DEGREES = 14.0
"""How far the lower lid's margin turns down about the eyeball meanwhile: the eye draws it along, by less."""
WIDE_SHARE = 0.7
"""Share of eyeWide with which the upper lid follows full eyeLookUp, beyond MakeHuman's own motion."""
RINGS = 12
LOWER_LID_FADE = 5.0
"""Rings over which the lower lid's motion falls off outwards from its margin."""


def rotations() -> dict[str, np.ndarray]:
    """Axis-angle (3,) of an eyeball in every eyeLook unit, radians."""
    turns = {f"eyeLook{way}Left": np.radians(degrees) for way, degrees in DEGREES.items()}
    return turns | {f"{name[:-4]}Right": turn * (1, -1, -1) for name, turn in turns.items()}


def lower_left_lids(topology: Topology, template_V3: np.ndarray, blink_V3: np.ndarray) -> np.ndarray:
    """The left eyeLookDown, (V, 3): part of the blink, and a lower lid that makes room for the iris.

    Args:
        topology: the mesh.
        template_V3: mean head.
        blink_V3: the left blink as mended.
    """
    grid, partner = lid_grid(topology, RINGS)
    ball = topology.vertices_of(EYE_LEFT)
    offset_RC3 = template_V3[grid] - (template_V3[ball[0]] + template_V3[ball[-1]]) / 2
    gap_C = np.maximum(offset_RC3[1, partner, 1] - offset_RC3[1, :, 1], 0)
    fade_R1 = np.exp(-((np.arange(RINGS) / LOWER_LID_FADE) ** 2))[:, None]
    turned_RC3 = offset_RC3 @ rotation_matrix(np.radians([LOWER_LID_DEGREES, 0, 0])).T
    motion_V3 = BLINK_SHARE * blink_V3
    motion_V3[grid] += (fade_R1 * gap_C / gap_C.max())[..., None] * (turned_RC3 - offset_RC3)
    return motion_V3
