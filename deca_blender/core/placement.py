"""Where a new head stands in a scene that may be full already."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GAP = 0.2
"""Metres between a new head and what it steps aside from; two heads' centres are then about 0.4 m apart."""
SURROUNDINGS = 10.0
"""Metres. Longer objects are what things stand in or on (rooms, grounds, skies), and nothing steps aside from them."""


def step_aside(box_23: NDArray, obstacles_N23: NDArray) -> float:
    """How far a box has to move along +x until it touches no obstacle; 0 where it stands free.

    Args:
        box_23: Lowest and highest corner of what is new, metres.
        obstacles_N23: The same of what is there.
    """
    obstacles_N23 = obstacles_N23[np.ptp(obstacles_N23, axis=1).max(axis=-1, initial=0.0) <= SURROUNDINGS]
    shift = 0.0
    while True:
        low, high = box_23 + np.array([shift, 0.0, 0.0])
        touched = (obstacles_N23[:, 0] <= high).all(axis=1) & (obstacles_N23[:, 1] >= low).all(axis=1)
        if not touched.any():
            return shift
        shift = float(obstacles_N23[touched, 1, 0].max()) + GAP - box_23[0, 0]
