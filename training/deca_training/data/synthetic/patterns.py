"""How the lines of each family of wrinkles lie on a face, drawn anew for every person.

Paired families are drawn for the subject's left side (+x); the right side is the mirror image of another draw. Families
of the middle run from the right to the left. Lengths are millimetres along the skin from an iBUG landmark: to the
subject's left, and up.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from deca_training.data.synthetic.curves import Draws, Line

# iBUG landmarks of the subject's left half.
_NASION, _BRIDGE, _WING, _CANTHUS, _INNER_CANTHUS, _LOWER_LID = 27, 28, 35, 45, 42, 46
_BROW, _CUPID, _CORNER, _LOWER_LIP, _LOWER_LIP_MIDDLE = 22, 52, 54, 56, 57


def _points(*pairs: tuple[float, float]) -> NDArray[np.float64]:
    return np.array(pairs, np.float64)


def _varied(way_M2: NDArray[np.float64], draws: Draws, sd: float, shift: float) -> NDArray[np.float64]:
    """Control points moved one by one and all together."""
    own = np.stack((draws.normal(len(way_M2)), draws.normal(len(way_M2))), 1) * sd
    return way_M2 + own + np.array([draws.one(), draws.one()]) * shift


def _factor(draws: Draws, sd: float) -> float:
    return float(np.exp(sd * draws.one()))


def forehead(draws: Draws) -> list[Line]:
    """Lines across, in the shape of a gull's wing above the brows; short ones between them."""
    count = draws.count(3.4, 0.9, 2, 5)
    spacing = 9.0 * _factor(draws, 0.14)
    first = 47.0 + 2.0 * draws.one()
    wing, dip = 2.6 + 1.2 * draws.one(), 2.0 + 1.0 * draws.one()
    lines = []
    for i in range(count):
        half = 50.0 * _factor(draws, 0.10) * (1 - 0.05 * i)
        x_M = np.linspace(-half, half, 9)
        bend_M = wing * (1 - np.exp(-((x_M / 15) ** 2))) - dip * np.abs(x_M / half) ** 3
        # 14.2 is the nasion's height above the origin; the lines' heights are meant from there.
        y_M = first - 14.2 + i * spacing + bend_M * (1 - 0.12 * i) + 0.4 * draws.normal(9)
        depth_M = _factor(draws, 0.25) * np.exp(0.32 * draws.normal(9)) * (1.0 if i < 3 else 0.75)
        lines.append(Line(_NASION, np.stack((x_M, y_M), 1), depth_M, taper=(0.2, 0.2)))
        if i + 1 < count and draws.one() > -0.2:
            middle, reach = 18.0 + 5.0 * draws.one(), 10.0 * _factor(draws, 0.2)
            depth_M = 0.55 * np.exp(-(((np.abs(x_M) - middle) / reach) ** 2)) * np.exp(0.25 * draws.normal(9))
            y_M = y_M + spacing * (0.5 + 0.06 * draws.one())
            lines.append(Line(_NASION, np.stack((x_M, y_M), 1), depth_M, 0.85))
    return lines


def glabella(draws: Draws) -> list[Line]:
    """One or two upright lines between the brows, the inner one longer."""
    tilt, shift = 1.2 * draws.one(), 0.8 * draws.one()
    main = _points((-3.4, -11.0), (-4.8, -5.5), (-5.0, 0.0), (-4.4, 5.5), (-3.0, 10.0))
    main[:, 0] += shift + tilt * np.linspace(-0.6, 1, 5)
    main[:, 1] *= _factor(draws, 0.12)
    lines = [Line(_BROW, _varied(main, draws, 0.25, 0.5), _factor(draws, 0.2))]
    second = _points((0.6, -4.0), (1.0, 0.5), (2.4, 4.5), (4.6, 8.0)) + np.array([shift, 0])
    chance, depth = draws.one(), 0.5 * _factor(draws, 0.3)
    if chance > 0.25:
        lines.append(Line(_BROW, _varied(second, draws, 0.3, 0.6), depth, 0.85))
    return lines


def nasal_root(draws: Draws) -> list[Line]:
    """One or two lines across the root of the nose."""
    count = draws.count(1.5, 0.5, 1, 2)
    half = 8.5 * _factor(draws, 0.1)
    x_M = np.linspace(-half, half, 5)
    lines = []
    for i in range(count):
        y_M = 1.5 + 5.0 * i - 2.0 * (x_M / half) ** 2 + 0.3 * draws.normal(5) + draws.normal(5)[2]
        lines.append(Line(_NASION, np.stack((x_M, y_M), 1), (1.0 if i == 0 else 0.7) * _factor(draws, 0.2)))
    return lines


def crows_feet(draws: Draws) -> list[Line]:
    """A fan at the outer corner of the eye, which bends away from its middle."""
    count = draws.count(4.4, 0.9, 3, 6)
    low, high = -38.0 + 5.0 * draws.one(), 32.0 + 5.0 * draws.one()
    lines = []
    for i in range(count):
        angle = np.radians(low + (high - low) * i / (count - 1) + 3.0 * draws.one())
        start, length = 6.5 * _factor(draws, 0.10), 13.0 * _factor(draws, 0.22)
        radius_M = start + length * np.linspace(0, 1, 4)
        angle_M = angle + angle * 0.35 * np.linspace(0, 1, 4) ** 2
        way_M2 = radius_M[:, None] * np.stack((np.cos(angle_M), np.sin(angle_M)), 1)
        lines.append(Line(_CANTHUS, _varied(way_M2, draws, 0.15, 0.2), _factor(draws, 0.3), _factor(draws, 0.1)))
    return lines


def under_eye(draws: Draws) -> list[Line]:
    """Lines under the lower lid, from the inner corner outwards and down."""
    count = draws.count(2.0, 0.7, 1, 3)
    lines = []
    for i in range(count):
        drop = 3.8 * i
        way_M2 = _points((-10.0, -3.2), (-4.0, -6.0), (3.0, -7.2), (9.0, -6.6), (14.0, -4.6))
        way_M2 = way_M2 * (1 - 0.1 * i) + np.array([-1.5 * i, -drop])
        lines.append(Line(_LOWER_LID, _varied(way_M2, draws, 0.3, 0.7), (1 - 0.2 * i) * _factor(draws, 0.25)))
    return lines


def nasolabial(draws: Draws) -> list[Line]:
    """The fold from the wing of the nose past the corner of the mouth."""
    way_M2 = _points((3.5, 4.5), (9.0, -1.5), (14.0, -9.0), (18.0, -16.5), (20.5, -24.0))
    way_M2[:, 0] *= _factor(draws, 0.10)
    way_M2[:, 1] *= _factor(draws, 0.10)
    return [Line(_WING, _varied(way_M2, draws, 0.3, 0.8), _factor(draws, 0.12), _factor(draws, 0.12), (0.16, 0.5), 0.4)]


def bunny(draws: Draws) -> list[Line]:
    """Slanted lines on the side of the nose."""
    count = draws.count(2.4, 0.6, 2, 3)
    lines = []
    for i in range(count):
        way_M2 = _points((4.2, 5.0), (7.5, 3.2), (10.5, 0.2), (12.5, -3.4)) + np.array([0.4 * i, -4.6 * i])
        lines.append(Line(_BRIDGE, _varied(way_M2, draws, 0.25, 0.5), (1 - 0.15 * i) * _factor(draws, 0.25)))
    return lines


def marionette(draws: Draws) -> list[Line]:
    """The fold from the corner of the mouth downwards."""
    way_M2 = _points((2.0, -0.5), (4.2, -6.5), (6.0, -13.0), (6.6, -20.0))
    way_M2 = way_M2 * _factor(draws, 0.12)
    return [Line(_CORNER, _varied(way_M2, draws, 0.3, 0.6), _factor(draws, 0.15), 1.0, (0.22, 0.42), 0.5)]


def cheek(draws: Draws) -> list[Line]:
    """One or two arcs on the cheek, beside the nasolabial fold."""
    count = draws.count(1.5, 0.5, 1, 2)
    lines = []
    for i in range(count):
        way_M2 = _points((19.0, 17.0), (23.5, 9.5), (25.5, 1.0), (24.5, -8.0)) + np.array([8.5 * i, 2.5 * i])
        depth = (1 - 0.35 * i) * _factor(draws, 0.25)
        lines.append(Line(_CORNER, _varied(way_M2, draws, 0.4, 1.2), depth, _factor(draws, 0.1), (0.35, 0.4)))
    return lines


def upper_lip(draws: Draws) -> list[Line]:
    """Short upright lines above the lip, fanned."""
    count = draws.count(4.0, 0.7, 3, 5)
    lines = []
    for i in range(count):
        share = (i + 0.5) / count
        x = -4.6 + 17.0 * share + 0.5 * draws.one()
        rim = 1.2 - 5.5 * max(share - 0.35, 0) * 1.6  # the vermilion falls towards the corner
        length, lean = 7.0 * _factor(draws, 0.2), 0.30 * (share - 0.1)
        along_M = np.linspace(0, 1, 3) * length
        way_M2 = np.stack((x + lean * along_M, rim + along_M), 1)
        lines.append(Line(_CUPID, _varied(way_M2, draws, 0.12, 0.15), _factor(draws, 0.3), 1.0, (0.15, 0.5)))
    return lines


def lower_lip(draws: Draws) -> list[Line]:
    """Short upright lines below the lip."""
    lines = []
    for i in range(3):
        x = -4.5 + 5.2 * i + 0.5 * draws.one()
        length, lean = 5.5 * _factor(draws, 0.2), 0.14 * i
        along_M = np.linspace(0, 1, 3) * length
        way_M2 = np.stack((x + lean * along_M, -1.4 + 0.9 * max(i - 1, 0) - along_M), 1)
        lines.append(Line(_LOWER_LIP, _varied(way_M2, draws, 0.12, 0.15), _factor(draws, 0.3), 1.0, (0.15, 0.5)))
    return lines


def mental_crease(draws: Draws) -> list[Line]:
    """The crease between lower lip and chin."""
    half = 15.0 * _factor(draws, 0.1)
    x_M = np.linspace(-half, half, 7)
    y_M = -8.5 + draws.normal(7)[3] - 3.2 * (x_M / half) ** 2 + 0.25 * draws.normal(7)
    return [Line(_LOWER_LIP_MIDDLE, np.stack((x_M, y_M), 1), _factor(draws, 0.15), _factor(draws, 0.1), (0.35, 0.35))]


PATTERNS: dict[str, Callable[[Draws], list[Line]]] = {
    function.__name__: function
    for function in (
        forehead, glabella, nasal_root, crows_feet, under_eye, nasolabial, bunny, marionette, cheek, upper_lip,
        lower_lip, mental_crease,
    )
}  # fmt: skip
"""Patterns by the name of their family."""
