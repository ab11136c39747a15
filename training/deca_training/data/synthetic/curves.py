"""Wrinkle lines on the skin: smooth curves, their wobble, and the relief that they press into it.

Shape suffixes: N points of a curve, M control points, X texels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import KDTree

from deca_training.data.synthetic.skin import SIZE, Skin, smoothstep

_STEP = 0.4
"""Millimetres between the points of a curve."""
_WOBBLE = ((0.34, 4.5), (0.075, 1.7))
"""Wobble across the line: standard deviation and correlation length, millimetres. More looks like worms."""
_UNEVEN = ((0.16, 12.0), (0.08, 4.0))
"""Unevenness of the depth along the line: standard deviation of its logarithm and correlation length."""


class Draws:
    """Random numbers of which both sides of a face share a part.

    Args:
        seed: Of what is drawn.
        side: 0 left or middle, 1 right.
        asymmetry: Weight of the side's own part: 0 for equal sides, 1 for independent ones.
        mirrored: Make what is shared symmetric within each array, for curves across the middle.
        variety: Factor of all numbers: 0 for what is typical, which all people then share.
    """

    def __init__(
        self, seed: tuple[int, ...], side: int, asymmetry: float, mirrored: bool = False, variety: float = 1.0
    ) -> None:
        self._seed, self._side, self._asymmetry, self._mirrored = seed, side, asymmetry, mirrored
        self._variety = variety
        self._shared = np.random.default_rng((*seed, 0))
        self._own = np.random.default_rng((*seed, 1 + side))

    def child(self, number: int) -> Draws:
        """Draws of one of several things, which do not depend on how much the others took."""
        return Draws((*self._seed, number), self._side, self._asymmetry, self._mirrored, self._variety)

    def normal(self, count: int) -> NDArray[np.float64]:
        """Normal numbers, of standard deviation `variety`."""
        shared = self._shared.standard_normal(count)
        if self._mirrored:
            shared = np.concatenate((shared[: count // 2], shared[: (count + 1) // 2][::-1]))
        own = self._own.standard_normal(count)
        return self._variety * (np.sqrt(1 - self._asymmetry**2) * shared + self._asymmetry * own)

    def one(self) -> float:
        """One normal number."""
        return float(self.normal(1)[0])

    def lopsided(self) -> float:
        """One normal number of the side's own, of standard deviation `variety` times `asymmetry`."""
        return float(self._variety * self._asymmetry * self._own.standard_normal())

    def count(self, mean: float, sd: float, low: int, high: int) -> int:
        """A whole number."""
        return int(np.clip(np.rint(mean + sd * self.one()), low, high))


@dataclass(frozen=True)
class Line:
    """A wrinkle before it is drawn.

    Attributes:
        anchor: iBUG landmark from which the points are measured.
        way_M2: Control points, millimetres along the skin from the anchor: to the subject's left, and up.
        depth: Factor of the family's depth; one for the whole line, or one per control point.
        width: Factor of the family's width.
        taper: Shares of the length over which the depth rises and falls.
        wobble: Factor of the wobble.
    """

    anchor: int
    way_M2: NDArray[np.float64]
    depth: float | NDArray[np.float64] = 1.0
    width: float = 1.0
    taper: tuple[float, float] = (0.22, 0.28)
    wobble: float = 1.0


@dataclass(frozen=True)
class Curve:
    """A line on the skin.

    Attributes:
        texel_N2: Column and row.
        position_N3: Millimetres on the template.
        tangent_N3: Unit vectors along the curve.
        length: Millimetres.
    """

    texel_N2: NDArray[np.float64]
    position_N3: NDArray[np.float64]
    tangent_N3: NDArray[np.float64]

    @property
    def length(self) -> float:
        return float(np.linalg.norm(np.diff(self.position_N3, axis=0), axis=1).sum())


def trace(line: Line, skin: Skin, draws: Draws) -> Curve:
    """The curve of a line: a spline through its control points, with wobble."""
    start_M2 = np.repeat(skin.landmark_L2[line.anchor][None], len(line.way_M2), 0)
    control_M2 = skin.walk(start_M2, line.way_M2)
    chord_M = np.concatenate(([0.0], np.cumsum(np.linalg.norm(np.diff(line.way_M2, axis=0), axis=1))))
    count = max(int(chord_M[-1] / _STEP) | 1, 9)  # odd, so that a symmetric curve has a middle
    texel_N2 = CubicSpline(chord_M, control_M2)(np.linspace(0, chord_M[-1], count))
    along_N2 = np.gradient(texel_N2, axis=0)
    across_N2 = np.stack((-along_N2[:, 1], along_N2[:, 0]), 1)
    step_N23 = skin.steps(texel_N2)
    millimetres_N = np.linalg.norm((across_N2[:, :, None] * step_N23).sum(1), axis=1)
    wobble_N = line.wobble * sum(sd * _smooth_noise(draws.normal(count), scale) for sd, scale in _WOBBLE)
    texel_N2 = texel_N2 + across_N2 * (wobble_N / np.maximum(millimetres_N, 1e-6))[:, None]
    position_N3 = skin.at(texel_N2, skin.position_HW3)
    tangent_N3 = np.gradient(position_N3, axis=0)
    length_N1 = np.linalg.norm(tangent_N3, axis=1, keepdims=True)
    return Curve(texel_N2, position_N3, tangent_N3 / np.maximum(length_N1, 1e-9))


def _smooth_noise(white_N: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """Noise of unit variance with a correlation length in millimetres."""
    sigma = scale / _STEP / 2
    # A filtered white noise loses variance as 1 / (2 sigma sqrt(pi)).
    return gaussian_filter1d(white_N, sigma, mode="reflect") * np.sqrt(2 * sigma * np.sqrt(np.pi))


def valley(distance_X: NDArray, width: float | NDArray) -> NDArray:
    """Depth profile of a wrinkle: a sharp, narrow valley between two soft, wide shoulders, about -1 in the middle."""
    x = np.abs(distance_X) / width
    floor = -(0.65 * np.exp(-(x**2)) + 0.37 * np.exp(-1.3 * x))
    return floor + 0.27 * np.exp(-(((x - 2.9) / 1.7) ** 2))


def fold(distance_X: NDArray, width: float | NDArray) -> NDArray:
    """Profile of a fold: a valley, and a soft bulge on the side of positive distances, millimetres."""
    bulge = 0.48 * np.exp(-(((distance_X - 5.5) / 5.0) ** 2)) / (1 + np.exp(-distance_X / 1.5))
    bulge = bulge * np.exp(-((distance_X / 16) ** 4))
    return 0.75 * valley(distance_X, width) + bulge - 0.10 * np.exp(-(((distance_X + 4) / 3.5) ** 2))


def press(
    relief_HW: NDArray[np.float32], curve: Curve, line: Line, width: float, is_fold: bool, skin: Skin, draws: Draws
) -> None:
    """Adds a curve's relief to a map, in units of the family's depth.

    Args:
        relief_HW: The map, changed in place.
        curve: Where.
        line: Its depth, width and taper.
        width: The family's width, millimetres.
        is_fold: The profile.
        skin: The surface.
        draws: Unevenness.
    """
    reach = 17.0 if is_fold else 5.5 * width * line.width
    count = len(curve.texel_N2)
    share_N = np.linspace(0, 1, count)
    taper_N = smoothstep(share_N / line.taper[0]) * smoothstep((1 - share_N) / line.taper[1])
    uneven_N = sum(sd * _smooth_noise(draws.normal(count), scale) for sd, scale in _UNEVEN)
    depths = np.atleast_1d(line.depth)
    depth_N = np.interp(share_N, np.linspace(0, 1, len(depths)), depths) * taper_N * np.exp(uneven_N)
    width_N = width * line.width * (0.5 + 0.5 * taper_N)
    rows, columns = _window(curve.texel_N2, reach)
    texel_position_X3 = skin.position_HW3[rows, columns].reshape(-1, 3)
    # Texels that count are few in a window around a slanted curve: ask for their nearest point alone.
    tree = KDTree(curve.position_N3)
    distance_X, nearest_X = (np.asarray(found) for found in tree.query(texel_position_X3, distance_upper_bound=reach))
    found_X = np.flatnonzero(np.isfinite(distance_X))
    point_X = nearest_X[found_X]
    offset_X3 = texel_position_X3[found_X] - curve.position_N3[point_X]
    along_X = (offset_X3 * curve.tangent_N3[point_X]).sum(1)
    inside_X = (point_X > 0) & (point_X < count - 1)
    across_X = np.sqrt(np.maximum(distance_X[found_X] ** 2 - np.where(inside_X, along_X, 0.0) ** 2, 0))
    # Depth and width between the curve's points.
    place_X = np.clip(point_X + along_X / _STEP, 0, count - 1)
    low_X = np.minimum(place_X.astype(int), count - 2)
    part_X = place_X - low_X
    at_depth_X = depth_N[low_X] * (1 - part_X) + depth_N[low_X + 1] * part_X
    at_width_X = width_N[low_X] * (1 - part_X) + width_N[low_X + 1] * part_X
    if is_fold:
        column_X3, row_X3 = (step[rows, columns].reshape(-1, 3)[found_X] for step in (skin.column_HW3, skin.row_HW3))
        normal_X3 = np.cross(row_X3, column_X3)
        left_X3 = np.cross(normal_X3, curve.tangent_N3[point_X])
        profile_X = fold(np.copysign(across_X, (offset_X3 * left_X3).sum(1)), at_width_X)
    else:
        profile_X = valley(across_X, at_width_X)
    window = relief_HW[rows, columns]
    flat = np.zeros(window.size, np.float32)
    flat[found_X] = at_depth_X * profile_X * (1 - smoothstep(distance_X[found_X] / reach * 4 - 3))
    window += flat.reshape(window.shape)


def _window(texel_N2: NDArray[np.float64], reach: float) -> tuple[slice, slice]:
    margin = reach * 2.2  # texels per millimetre, at most
    low, high = texel_N2.min(0) - margin, texel_N2.max(0) + margin
    left, top = np.clip(np.floor(low).astype(int), 0, SIZE - 1)
    right, bottom = np.clip(np.ceil(high).astype(int) + 1, 1, SIZE)
    return slice(top, bottom), slice(left, right)
