"""How far forward the parts of the face lie, as photos of people who turn their heads show it.

Surveys measure with callipers what these can reach: breadths, heights, how far the nose stands out. How deep eyes,
bridge and wings of the nose, and corners of the mouth lie, they do not say. Photos do: `tools/measure_face_depth.py`
lays the mean head on them and writes how far each landmark is from where it should be, and every head is moved by that
table before it is measured.

Shape suffixes: V vertices, L landmarks.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

DEPTHS = Path(__file__).with_name("face_depth.csv")
"""x, y of points of the face in front view, and how far forward photos move them; millimetres, head space."""
REACH = 0.008
"""Metres, one deviation, over which points are averaged. Narrower ones (5 mm) leave a hundredth less of the landmark
error, and dents beside the mouth."""
NOTHING = 0.3
"""Weight of not moving at all, against a point's 1 where it lies: the move fades out beyond the points."""
BACK, FRONT = 0.02, 0.05
"""Metres: what lies further back does not move, what lies further forward moves in full."""


def forward(verts_V3: np.ndarray, table_L3: np.ndarray) -> np.ndarray:
    """How far vertices move forward, (V,) metres.

    Args:
        verts_V3: Of the face at rest, head space, metres.
        table_L3: As `read_depths` gives it.
    """
    squared_VL = ((verts_V3[:, None, :2] - table_L3[None, :, :2]) ** 2).sum(axis=2)
    weight_VL = np.exp(-squared_VL / (2 * REACH**2))
    move_V = weight_VL @ table_L3[:, 2] / (weight_VL.sum(axis=1) + NOTHING)
    return move_V * np.clip((verts_V3[:, 2] - BACK) / (FRONT - BACK), 0, 1)


def read_depths(path: Path) -> np.ndarray:
    """The table (L, 3), metres; empty where there is none."""
    if not path.exists():
        return np.zeros((0, 3))
    return np.loadtxt(path, delimiter=",") * 1e-3


def write_depths(path: Path, table_L3: np.ndarray, provenance: str) -> None:
    """Writes the table, in millimetres, with a line on how it was measured."""
    np.savetxt(path, 1e3 * table_L3 + 0.0, fmt="%.2f", delimiter=",", header=f"x, y, forward, mm. {provenance}")
