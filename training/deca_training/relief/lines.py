"""Lines and folds anywhere on the face, of any form: real skin has more than the families of synthetic wrinkles know.

Shape suffixes: H W rows and columns of a part of the UV map, P Q those of a part of photos laid out as it, N lines.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deca_training.data.synthetic.skin import Skin

_GROUPS = (2, 8)
_FOLD = 0.25
"""Share of the groups that are one broad fold."""
_RIM = 0.3
"""Height of a line's rims, where the skin that it took away went, as a share of its depth."""


def free_lines(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """Relief (H, W), millimetres, of a few groups of lines side by side, and of folds."""
    relief_HW = np.zeros(shape, np.float32)
    for _ in range(rng.integers(*_GROUPS)):
        middle_2, turn = rng.uniform((0.1, 0.15), (0.9, 0.85)) * shape, rng.uniform(0, np.pi)
        if rng.uniform() < 0.6:  # most lines lie across or upright
            turn = rng.choice((0.0, np.pi / 2)) + rng.normal(0, 0.2)
        is_fold = rng.uniform() < _FOLD
        length = rng.uniform(25, 75) if is_fold else rng.uniform(12, 60)
        bend, apart = rng.normal(0, 0.006), rng.uniform(4, 11)
        depth = rng.uniform(0.1, 0.9) if is_fold else 0.6 * rng.uniform(0.1, 1.0) ** 1.5
        width = rng.uniform(1.8, 4.5) if is_fold else rng.uniform(0.6, 1.8)
        for number in range(1 if is_fold else rng.integers(1, 5)):
            own = np.exp(0.3 * rng.standard_normal(3))
            shift_2 = apart * number * np.array([np.cos(turn), -np.sin(turn)]) + rng.normal(0, 1.5, 2)
            _groove(
                relief_HW, middle_2 + shift_2, turn, length * own[0], bend + rng.normal(0, 0.003), depth * own[1],
                width * own[2], rng,
            )  # fmt: skip
    return relief_HW


def _groove(
    relief_HW: NDArray[np.float32],
    middle_2: NDArray[np.floating],
    turn: float,
    length: float,
    bend: float,
    depth: float,
    width: float,
    rng: np.random.Generator,
) -> None:
    """Presses a line into the relief, in place: deepest between its ends, with rims."""
    reach = length / 2 + 4 * width + 4
    low, high = (np.clip(middle_2 + step, 0, relief_HW.shape).astype(int) for step in (-reach, reach))
    rows, columns = np.mgrid[low[0] : high[0], low[1] : high[1]].astype(np.float32)
    if not rows.size:
        return
    down, right = rows - np.float32(middle_2[0]), columns - np.float32(middle_2[1])
    along = right * np.cos(turn) + down * np.sin(turn)
    across = down * np.cos(turn) - right * np.sin(turn)
    waves = rng.uniform(0, 1.5) * np.sin(along * (6.3 / rng.uniform(12, 40)) + rng.uniform(0, 6))
    across = (across - bend * along**2 - waves) / width
    taper = (1 - (2 * along / length + rng.uniform(-0.3, 0.3)) ** 2).clip(0) ** rng.uniform(0.5, 1.2)
    rim = _RIM * rng.uniform(0, 1.5) * np.exp(-0.5 * (np.abs(across) - 2.2) ** 2)
    relief_HW[low[0] : high[0], low[1] : high[1]] += (depth * taper * (rim - np.exp(-0.5 * across**2))).astype(
        np.float32
    )


class Tilt:
    """Turns relief into what it adds to the normals, on the template's skin.

    Args:
        skin: The head model's.
        part: Rows and columns of the skin's own maps, which are those of photos.
    """

    def __init__(self, skin: Skin, part: tuple[slice, slice]) -> None:
        column_PQ3, row_PQ3 = skin.column_HW3[part], skin.row_HW3[part]
        cc, cr, rr = ((a * b).sum(-1) for a, b in ((column_PQ3, column_PQ3), (column_PQ3, row_PQ3), (row_PQ3, row_PQ3)))
        area = np.maximum(cc * rr - cr**2, 1e-5)[..., None]
        # The gradient along the surface of what grows by one per column, and per row.
        self._column_PQ3 = (column_PQ3 * rr[..., None] - row_PQ3 * cr[..., None]) / area
        self._row_PQ3 = (row_PQ3 * cc[..., None] - column_PQ3 * cr[..., None]) / area

    def __call__(self, relief_PQ: NDArray[np.floating]) -> NDArray[np.float32]:
        """(3, P, Q) to add to unit normals; relief in millimetres."""
        down, across = np.gradient(relief_PQ)
        tilt_PQ3 = -(across[..., None] * self._column_PQ3 + down[..., None] * self._row_PQ3)
        return np.ascontiguousarray(tilt_PQ3.transpose(2, 0, 1), np.float32)
