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
_NASION, _BRIDGE, _WING, _CANTHUS = 27, 28, 35, 45
_BROW, _CUPID, _CORNER, _LOWER_LIP, _LOWER_LIP_MIDDLE = 22, 52, 54, 56, 57


_NEAREST, _SHORTEST = 4.0, 22.0
"""Millimetres between two lines of the forehead, nearer ones are one; and half the length of the shortest."""


def _points(*pairs: tuple[float, float]) -> NDArray[np.float64]:
    return np.array(pairs, np.float64)


def _varied(way_M2: NDArray[np.float64], draws: Draws, sd: float, shift: float) -> NDArray[np.float64]:
    """Control points moved one by one and all together."""
    own = np.stack((draws.normal(len(way_M2)), draws.normal(len(way_M2))), 1) * sd
    return way_M2 + own + np.array([draws.one(), draws.one()]) * shift


def _factor(draws: Draws, sd: float) -> float:
    return float(np.exp(sd * draws.one()))


def _more(draws: Draws, threshold: float) -> float:
    """0 for most people, up to 1 for those whose draw is above a threshold: what some have and others do not."""
    return float(np.clip((draws.one() - threshold) / 0.4, 0, 1))


def _spread_out(draws: Draws, count: int, sd: float) -> NDArray[np.float64]:
    """Places from 0 to 1 whose gaps differ: near each other here, far apart there."""
    if count < 2:
        return np.full(count, 0.5)
    gap_M = np.exp(sd * draws.normal(count - 1))
    return np.concatenate(([0.0], np.cumsum(gap_M))) / gap_M.sum()


def forehead(draws: Draws) -> list[Line]:
    """Lines across: straight, arched or in the shape of a gull's wing, long, broken or on one side."""
    count = draws.count(3.6, 1.3, 1, 6)
    spacing = 8.6 * _factor(draws, 0.16)
    # Heights are meant above the nasion; the brows lie 18 above it.
    y = 32.5 + 3.0 * draws.one()
    wing, dip = 2.4 + 2.0 * draws.one(), 3.0 + 2.4 * draws.one()
    tilt, one_sided = 4.0 * draws.lopsided(), 2.2 * draws.lopsided()
    parted = 0.25 + 0.45 * draws.one()
    half_way = 47.0 * _factor(draws, 0.14)
    # On some people the lowest line follows the arches over the brows, and is two.
    arches = 0.8 * _more(draws, 0.4)
    lines = []
    for i in range(count):
        half = max(half_way * _factor(draws, 0.24) * (1 - 0.05 * i), _SHORTEST)
        share_M = np.linspace(-1, 1, 13)
        x_M = half * share_M + 12.0 * draws.lopsided()
        bend_M = wing * (1 - np.exp(-((x_M / 15) ** 2))) - dip * np.abs(share_M) ** 2.4 + tilt * share_M
        rough = min(0.5 * half / 47, 0.5)
        y_M = y + bend_M * (1 - 0.12 * i) + rough * draws.normal(13) + 3.0 * draws.lopsided() * share_M
        side_M = np.minimum(2 / (1 + np.exp(-one_sided * x_M / 25)), 1.15)
        gap_M = 1 - np.clip(parted + (arches if i == 0 else 0) + 0.2 * draws.one(), 0, 0.95) * np.exp(-((x_M / 7) ** 2))
        gap_M = gap_M * (1 - 0.85 * _more(draws, 0.5) * np.exp(-(((x_M - 60 * draws.lopsided()) / 6) ** 2)))
        depth = 1.2 * _factor(draws, 0.35) * (1.0 if i < 3 else 0.7)
        depth_M = depth * np.exp(0.38 * draws.normal(13)) * gap_M * side_M
        width = _factor(draws, 0.2)
        taper = 0.26 * _factor(draws, 0.3)
        lines.append(Line(_NASION, np.stack((x_M, y_M), 1), depth_M, width, (taper, taper)))
        gap = max(spacing * _factor(draws, 0.36), _NEAREST)
        if draws.one() > -0.2:
            # A short line between two long ones, on each side of the middle or on one; it may lead over.
            middle, reach = 18.0 + 9.0 * draws.one(), 9.0 * _factor(draws, 0.3)
            short_M = 0.55 * np.exp(-(((np.abs(x_M) - middle) / reach) ** 2)) * np.exp(0.3 * draws.normal(13))
            part_M = np.clip(0.5 + 0.12 * draws.one() + 0.7 * draws.lopsided() * share_M, 0.05, 0.95)
            between_M = y_M + gap * part_M + 0.3 * draws.normal(13)
            lines.append(Line(_NASION, np.stack((x_M, between_M), 1), short_M * side_M * depth, 0.7 * width))
        y += gap
    return lines


def glabella(draws: Draws) -> list[Line]:
    """Upright lines between the brows: a pair, one on one side, one near the middle, or several."""
    tilt, shift, length = 1.2 + 1.6 * draws.one(), 1.6 * draws.one(), _factor(draws, 0.28)
    # On two people of five one side has a third of the other, or less.
    uneven = min(4.0 * draws.lopsided(), 0.45)
    main = _points((-6.6, -9.5), (-7.6, -5.0), (-7.8, 0.0), (-7.3, 5.0), (-6.2, 10.0))
    main[:, 0] += shift + tilt * np.linspace(-0.6, 1, 5) - 4.5 * _more(draws, 1.0)
    main[:, 1] = main[:, 1] * length + 2.0 * draws.one()
    depth = 1.12 * np.exp(uneven) * _factor(draws, 0.25)
    lines = [Line(_BROW, _varied(main, draws, 0.35, 1.0), depth, _factor(draws, 0.2), (0.3, 0.4))]
    for threshold, x, share in ((0.2, 5.0, 0.7), (0.8, -4.2, 0.55), (1.0, 9.0, 0.5)):
        # Another beside the first: outside, nearer to the middle, and slanted over the brow. It begins beside and above
        # the first one's foot, since frowning draws what has one foot into a star.
        more, lean = _more(draws, threshold), 0.16 * x * (1 + 0.7 * draws.one())
        way_M2 = main * np.array([1.0, 0.6 * _factor(draws, 0.3)])
        way_M2[:, 0] += x * _factor(draws, 0.15) + lean * np.linspace(0, 1, 5) * (x > 0)
        way_M2[:, 1] += 3.0 + 2.5 * draws.one()
        depth = more * share * np.exp(0.5 * uneven) * _factor(draws, 0.35)
        lines.append(Line(_BROW, _varied(way_M2, draws, 0.4, 0.9), depth, 0.8 * _factor(draws, 0.2), (0.35, 0.4)))
    return lines


def nasal_root(draws: Draws) -> list[Line]:
    """One or two lines across the root of the nose."""
    count = draws.count(1.5, 0.7, 1, 3)
    lines = []
    for i in range(count):
        half = 8.5 * _factor(draws, 0.18)
        x_M = np.linspace(-half, half, 5)
        slant = 5.0 * draws.lopsided() * x_M / half
        y_M = 1.0 + 4.4 * i - 2.0 * _factor(draws, 0.4) * (x_M / half) ** 2 + 0.3 * draws.normal(5) + 1.2 * draws.one()
        depth = (1.0 if i == 0 else 0.7) * _factor(draws, 0.3)
        lines.append(Line(_NASION, np.stack((x_M, y_M + slant), 1), depth, _factor(draws, 0.15), (0.35, 0.35)))
    return lines


def crows_feet(draws: Draws) -> list[Line]:
    """A fan at the outer corner of the eye, which bends away from its middle; its lower lines run down the cheek."""
    count = draws.count(4.6, 1.4, 2, 8)
    low, high = -48.0 + 8.0 * draws.one(), 34.0 + 8.0 * draws.one()
    bend, middle = 0.28 + 0.10 * draws.one(), _points((-1.0, 0.0)) + draws.normal(2) * 1.0
    length_all = 15.5 * _factor(draws, 0.28)
    share_N = _spread_out(draws, count, 0.55)
    lines = []
    for i in range(count):
        share = float(share_N[i])
        angle = np.radians(np.clip(low + (high - low) * share + 2.0 * draws.one(), -62, 48))
        start = 7.0 * _factor(draws, 0.22)
        length = length_all * _factor(draws, 0.4) * (1.4 - 0.55 * share)
        radius_M = start + length * np.linspace(0, 1, 5)
        angle_M = angle + (angle * bend + 0.08 * draws.one()) * np.linspace(0, 1, 5) ** 2
        way_M2 = middle + radius_M[:, None] * np.stack((np.cos(angle_M), np.sin(angle_M)), 1)
        depth, width = _factor(draws, 0.4), _factor(draws, 0.18)
        lines.append(Line(_CANTHUS, _varied(way_M2, draws, 0.25, 0.3), depth, width, (0.2, 0.5)))
        if draws.one() > 0.7:
            # A branch that leaves the line half way.
            fork = np.linspace(0, 1, 4)[:, None] * _points((0.6, 0.35 * np.sign(angle))) * length * 0.7
            way_M2 = way_M2[2] + fork * _factor(draws, 0.2)
            lines.append(Line(_CANTHUS, _varied(way_M2, draws, 0.2, 0.3), 0.6 * depth, 0.8 * width, (0.3, 0.5)))
    return lines


def under_eye(draws: Draws) -> list[Line]:
    """Fine lines under the lower lid, from the inner corner outwards and down, and some that cross them."""
    count = draws.count(3.0, 1.2, 1, 6)
    gap, rise = 2.6 * _factor(draws, 0.2), 1.0 + 0.7 * draws.one()  # outside they rise to the crow's feet, or sink
    lines = []
    # Measured from the wing of the nose: on the way from the lid itself the eyelid's folds are in the way.
    for i in range(count):
        way_M2 = _points(
            (-12.0, 4.0), (-6.0, 1.0), (1.0, -0.2), (8.0, 0.3 * rise), (14.5, 2.2 * rise), (20.0, 5.0 * rise)
        )
        way_M2 = way_M2 * (1 - 0.06 * i) * np.array([_factor(draws, 0.22), 1.0])
        way_M2 += np.array([19.5 + 2.5 * draws.one(), 30.5 - gap * i + 0.5 * draws.one()])
        depth_M = (1 - 0.1 * i) * _factor(draws, 0.35) * np.exp(0.35 * draws.normal(6))
        lines.append(Line(_WING, _varied(way_M2, draws, 0.35, 0.5), depth_M, _factor(draws, 0.2), (0.3, 0.4)))
    for i in range(draws.count(1.6, 1.5, 0, 4)):
        way_M2 = _points((0.0, 0.0), (3.5, -3.5), (6.0, -8.0)) * np.array([1.0, _factor(draws, 0.2)])
        way_M2 += np.array([19.6 + 3.6 * i, 33.0 + 0.6 * i])
        lines.append(Line(_WING, _varied(way_M2, draws, 0.4, 0.8), 0.6 * _factor(draws, 0.3), 0.8, (0.3, 0.5)))
    return lines


def bag(draws: Draws) -> list[Line]:
    """The furrow from the inner corner of the eye round the pouch under it; the pouch lies above."""
    low, outer, share_M = 24.5 + 1.8 * draws.one(), 32.0 + 4.0 * draws.one(), np.linspace(0, 1, 7)
    # Steep at the nose, flat outside; heights above the wing of the nose, 38 below the lid.
    rise_M = (8.0 + 1.0 * draws.one()) * (1 - share_M / 0.45) ** 2 * (0.45 + 0.55 * (share_M < 0.45))
    fade = 0.6 * draws.one()
    depth_M = np.exp(fade * (share_M - 0.5) + 0.2 * draws.normal(7)) * _factor(draws, 0.2)
    way_M2 = np.stack((2.0 + (outer - 2.0) * share_M, low + rise_M), 1)
    return [Line(_WING, _varied(way_M2, draws, 0.3, 0.7), depth_M, _factor(draws, 0.2), (0.35, 0.55), 0.5)]


def nasolabial(draws: Draws) -> list[Line]:
    """The fold from the wing of the nose past the corner of the mouth; some have a second line below or beside it."""
    way_M2 = _points((2.5, 6.5), (6.5, 2.5), (11.5, -4.0), (17.0, -12.0), (21.5, -21.0), (24.2, -30.0), (25.0, -38.0))
    stretch, out, bow = _factor(draws, 0.16), _factor(draws, 0.12), 1.5 * draws.one()
    way_M2[:, 0] = 2.5 + (way_M2[:, 0] - 2.5) * out + bow * np.sin(np.linspace(0, np.pi, 7))
    way_M2[:, 1] = 6.5 + (way_M2[:, 1] - 6.5) * stretch
    profile = np.array([0.75, 0.95, 1.05, 1.05, 1.0, 0.9, 0.8])
    depth_M = profile * _factor(draws, 0.2) * np.exp(0.16 * draws.normal(7) + 0.5 * draws.lopsided())
    width = _factor(draws, 0.2)
    lines = [Line(_WING, _varied(way_M2, draws, 0.4, 1.0), depth_M, width, (0.25, 0.5), 0.4)]
    more, side = _more(draws, 0.6), 4.5 * _factor(draws, 0.3)
    second = way_M2[2:] + np.array([side, -1.0]) + np.linspace(0, 1, 5)[:, None] * _points((2.0 * draws.one(), 0.0))
    lines.append(Line(_WING, _varied(second, draws, 0.4, 0.6), 0.35 * more, 0.75 * width, (0.4, 0.5), 0.6))
    return lines


def bunny(draws: Draws) -> list[Line]:
    """Slanted lines on the side of the nose."""
    count = draws.count(2.4, 0.8, 1, 4)
    lines = []
    for i in range(count):
        way_M2 = _points((4.2, 5.0), (7.5, 3.2), (10.5, 0.2), (12.5, -3.4)) + np.array([0.4 * i, -4.2 * i])
        depth = (1 - 0.15 * i) * _factor(draws, 0.3)
        lines.append(Line(_BRIDGE, _varied(way_M2, draws, 0.35, 0.8), depth, _factor(draws, 0.15), (0.3, 0.4)))
    return lines


def marionette(draws: Draws) -> list[Line]:
    """The fold from the corner of the mouth downwards."""
    # It begins below the corner, which a smile pulls up and out: from the corner itself it would be bent into a hook.
    start = np.array([3.8 + 0.8 * draws.one(), -4.5 + 0.8 * draws.one()])
    way_M2 = _points((0.0, 0.0), (1.2, -4.6), (2.3, -9.8), (3.1, -15.6), (3.3, -22.0))
    way_M2 = start + way_M2 * np.array([_factor(draws, 0.25), _factor(draws, 0.2)])
    way_M2[:, 0] += 2.0 * draws.one() * np.linspace(0, 1, 5)
    depth_M = np.array([0.95, 1.1, 1.1, 0.95, 0.8]) * _factor(draws, 0.25) * np.exp(0.5 * draws.lopsided())
    return [Line(_CORNER, _varied(way_M2, draws, 0.4, 0.8), depth_M, _factor(draws, 0.2), (0.3, 0.55), 0.5)]


def cheek(draws: Draws) -> list[Line]:
    """Arcs of laughing on the cheek, beside the nasolabial fold, one behind the other."""
    count = draws.count(1.9, 0.9, 1, 4)
    gap, low_end = 6.8 * _factor(draws, 0.2), 4.0 * draws.one()
    lines, beside = [], 0.0
    for i in range(count):
        # Each a part of an arc around the corner of the mouth, higher and shorter the farther out.
        length, bow = _factor(draws, 0.3) * (1 - 0.1 * i), 1 + 0.35 * draws.one()
        share_M = np.linspace(-1, 1, 5)
        y_M = 4.5 + 2.5 * i + low_end + 3.5 * draws.one() + 20.0 * length * share_M
        x_M = 27.0 + beside - 8.0 * bow * share_M**2 - 2.5 * share_M + 1.2 * draws.one()
        depth_M = (1 - 0.18 * i) * _factor(draws, 0.35) * np.exp(0.25 * draws.normal(5))
        width = _factor(draws, 0.2)
        way_M2 = np.stack((x_M, y_M), 1)[::-1]
        lines.append(Line(_CORNER, _varied(way_M2, draws, 0.6, 1.0), depth_M, width, (0.4, 0.5)))
        beside += gap * _factor(draws, 0.35)
    return lines


def upper_lip(draws: Draws) -> list[Line]:
    """Short upright lines above the lip, fanned."""
    count = draws.count(5.0, 1.4, 2, 9)
    margin = 0.5 / count
    share_N = margin + (1 - 2 * margin) * _spread_out(draws, count, 0.5)
    lines = []
    for i in range(count):
        share = float(share_N[i])
        x = -5.6 + 18.0 * share
        rim = 1.0 - 5.5 * max(share - 0.35, 0) * 1.6  # the vermilion falls towards the corner
        length, lean = 7.0 * _factor(draws, 0.4), 0.30 * (share - 0.1) + 0.08 * draws.one()
        along_M = np.linspace(0, 1, 4) * length
        way_M2 = np.stack((x + lean * along_M, rim + along_M), 1)
        depth, width = _factor(draws, 0.4), _factor(draws, 0.15)
        lines.append(Line(_CUPID, _varied(way_M2, draws, 0.2, 0.2), depth, width, (0.12, 0.6)))
    return lines


def lower_lip(draws: Draws) -> list[Line]:
    """Short upright lines below the lip."""
    lines = []
    for i in range(draws.count(3.0, 1.0, 1, 5)):
        x = -4.5 + 4.6 * i + 0.8 * draws.one()
        length, lean = 5.5 * _factor(draws, 0.3), 0.14 * i + 0.06 * draws.one()
        along_M = np.linspace(0, 1, 3) * length
        way_M2 = np.stack((x + lean * along_M, -1.4 + 0.9 * max(i - 1, 0) - along_M), 1)
        lines.append(Line(_LOWER_LIP, _varied(way_M2, draws, 0.2, 0.2), _factor(draws, 0.4), 1.0, (0.15, 0.5)))
    return lines


def mental_crease(draws: Draws) -> list[Line]:
    """The crease between lower lip and chin."""
    half = 14.0 * _factor(draws, 0.18)
    x_M = np.linspace(-half, half, 7)
    drop = 3.2 + 1.6 * draws.one()
    y_M = -8.5 + 1.2 * draws.one() - drop * (x_M / half) ** 2 + 0.3 * draws.normal(7)
    y_M += 3.0 * draws.lopsided() * x_M / half
    depth_M = _factor(draws, 0.2) * np.exp(0.2 * draws.normal(7))
    return [Line(_LOWER_LIP_MIDDLE, np.stack((x_M, y_M), 1), depth_M, _factor(draws, 0.2), (0.4, 0.4))]


def chin(draws: Draws) -> list[Line]:
    """Short oblique dents where the chin's muscle pulls the skin in."""
    lines = []
    for i in range(draws.count(2.4, 0.8, 1, 4)):
        middle = np.array([5.5 + 2.0 * draws.one(), -14.0 - 4.4 * i + 1.0 * draws.one()])
        slope = -0.45 + 0.4 * draws.one()
        way_M2 = middle + np.linspace(-4.5, 4.5, 4)[:, None] * _points((1.0, slope)) * _factor(draws, 0.3)
        lines.append(Line(_LOWER_LIP_MIDDLE, _varied(way_M2, draws, 0.3, 0.5), _factor(draws, 0.4), taper=(0.4, 0.4)))
    return lines


PATTERNS: dict[str, Callable[[Draws], list[Line]]] = {
    function.__name__: function
    for function in (
        forehead, glabella, nasal_root, crows_feet, under_eye, bag, nasolabial, bunny, marionette, cheek, upper_lip,
        lower_lip, mental_crease, chin,
    )
}  # fmt: skip
"""Patterns by the name of their family."""
