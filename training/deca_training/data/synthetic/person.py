"""A person's skin: wrinkles of an age and a character of their own, and how an expression deepens them.

D = static + sum over channels of activation * wrinkles. With x the drive of a channel, about 0 to 1, and r the share of
its depth that age has left at rest,

    activation = r / (1 + 1.2 max(-x, 0)) + (1 - r) g(x),    g(x) = (1 + k) x^1.6 / (x^1.6 + k),  k = 0.45^1.6, x >= 0

so that stretched skin flattens what is there, and compression saturates.

Shape suffixes: V vertices, E expression coefficients, C channels, H W rows and columns of maps (256).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from deca.head import HeadModel
from deca.networks import MAP_SIZE
from deca_training.data.synthetic.curves import Draws, press, trace
from deca_training.data.synthetic.families import FAMILIES, FOREHEAD_BINS, Family
from deca_training.data.synthetic.patterns import PATTERNS
from deca_training.data.synthetic.skin import SIZE, Skin, reduced, skin_of, smoothstep
from deca_training.data.synthetic.strain import bin_shares, gauge_of, reader_of, sided

ASYMMETRY = 0.4
_MILLIMETRE = 1e-3
_YOUNG, _SPAN = 20.0, 55.0
_POWER, _HALF = 1.6, 0.45**1.6
_DRIVE_LIMIT = (-1.5, 1.8)
_STRENGTH_LIMIT = (0.45, 1.4)
_FAINT = 0.2
"""Depth of a kind of wrinkle on people who hardly have it, as a share of what the others have."""
_INVISIBLE = 0.04
"""Lines whose depth is below this share of the family's are left out."""
_MEETING, _MEETING_MORE = 0.8, 0.4
"""From which depth on valleys add up less and less, and how much can still be added, in units of the family's depth."""
_CREPE = 0.11
"""Depth of the fine crossing lines at 80 years, millimetres; like all depths here, chosen by eye."""

# What a person's generators are for.
_CHARACTER, _LINES, _STATIC = 1, 2, 3


@dataclass(frozen=True)
class Person:
    """The wrinkles of one person.

    Attributes:
        head: The head model.
        age: Years.
        static_HW: Skin without wrinkles, metres, top row first.
        wrinkles_CHW: Relief of each channel at activation 1, metres.
        rest_C: Share of each channel's depth that stays at rest.
        mark_HW: Moles, 0..1: they are dark, too.
    """

    head: HeadModel
    age: float
    static_HW: NDArray[np.float32]
    wrinkles_CHW: NDArray[np.float32]
    rest_C: NDArray[np.float64]
    mark_HW: NDArray[np.float32]

    @classmethod
    def make(cls, head: HeadModel, seed: int, age: float, asymmetry: float = ASYMMETRY, variety: float = 1.0) -> Person:
        """Draws a person.

        Args:
            head: The head model, with MediaPipe's and iBUG's landmarks, ARKit map and masks.
            seed: Of everything random; the same seed and age give the same person.
            age: Years, 18 to 80.
            asymmetry: 0 for a face whose wrinkles are their own mirror image, 1 for independent sides.
            variety: How far lines lie from where they typically lie; depth, age and skin differ all the same.
        """
        skin = skin_of(head)
        # Strength and lines do not depend on the age, so that a person can be shown at several.
        character = np.random.default_rng((seed, _CHARACTER))
        strength = np.exp(0.28 * character.standard_normal())
        aging = 5 * character.standard_normal()
        years = np.clip((age - _YOUNG) / _SPAN, 0, 1)
        wrinkles, rest = [], []
        for number, family in enumerate(FAMILIES):
            own, late = np.exp(0.30 * character.standard_normal()), character.standard_normal()
            depth = family.depth[0] + (family.depth[1] - family.depth[0]) * years**1.2
            depth *= np.clip(strength * own, *_STRENGTH_LIMIT)
            common = family.common + 0.6 * (1 - family.common) * years**2
            has_it = np.clip((common - character.uniform()) / 0.25 + 0.5, 0, 1)
            depth *= _FAINT + (1 - _FAINT) * has_it
            begun = 1 / (1 + np.exp(-(age - family.onset - 10 + aging + 2 * late) / 6))
            reliefs = _reliefs(family, (seed, _LINES, number), skin, asymmetry, variety)
            wrinkles += [relief_HW * np.float32(depth * _MILLIMETRE) for relief_HW in reliefs]
            rest += [family.rest[0] + (family.rest[1] - family.rest[0]) * begun] * len(reliefs)
        static_HW, mark_HW = _static(np.random.default_rng((seed, _STATIC)), age, skin)
        return cls(head, age, static_HW, np.stack(wrinkles), np.array(rest), mark_HW)

    def activation(
        self,
        expression_E: NDArray[np.floating],
        jaw_3: NDArray[np.floating],
        neutral_V3: NDArray[np.floating],
        verts_V3: NDArray[np.floating],
    ) -> NDArray[np.float64]:
        """How active each channel is (C,), about 0 to 1.3.

        Args:
            expression_E: Expression coefficients.
            jaw_3: Axis-angle of the jaw.
            neutral_V3: This person's neutral head.
            verts_V3: The same with the expression, in any place and turned anyhow.
        """
        return self.response(drives(self.head, expression_E, jaw_3, neutral_V3, verts_V3))

    def response(self, drive_C: NDArray[np.floating]) -> NDArray[np.float64]:
        """Activation (C,) of drives."""
        drive_C = np.clip(drive_C, *_DRIVE_LIMIT)
        pressed_C = np.maximum(drive_C, 0) ** _POWER
        grown_C = (1 + _HALF) * pressed_C / (pressed_C + _HALF)
        return self.rest_C / (1 + 1.2 * np.maximum(-drive_C, 0)) + (1 - self.rest_C) * grown_C

    @property
    def neutral(self) -> NDArray[np.float64]:
        """Activation (C,) of the neutral face."""
        return self.response(np.zeros(len(self.rest_C)))

    def displacement(self, activation_C: NDArray[np.floating]) -> NDArray[np.float32]:
        """The map D (256, 256), metres."""
        return self.static_HW + np.tensordot(np.asarray(activation_C, np.float32), self.wrinkles_CHW, 1)


@lru_cache(maxsize=4)
def typical_relief(head: HeadModel, people: int = 16) -> NDArray[np.float64]:
    """How deep wrinkles are where: root mean square of all channels at activation 1 over people, metres (256, 256).

    Smoothed, since lines lie elsewhere on the next person.
    """
    square_HW = np.zeros((MAP_SIZE, MAP_SIZE))
    for seed in range(people):
        age = 20 + 60 * (seed + 0.5) / people
        relief_HW = Person.make(head, seed, age).wrinkles_CHW.sum(0, dtype=np.float64)
        square_HW += gaussian_filter(relief_HW**2, 4.0) / people
    return np.sqrt(square_HW)


def drives(
    head: HeadModel,
    expression_E: NDArray[np.floating],
    jaw_3: NDArray[np.floating],
    neutral_V3: NDArray[np.floating],
    verts_V3: NDArray[np.floating],
) -> NDArray[np.float64]:
    """What an expression does to each channel (C,): 1 at the family's reference, negative where it smooths the skin.

    Args are those of `Person.activation`.
    """
    drive_C = gauge_of(head).compression(np.asarray(neutral_V3, np.float64), np.asarray(verts_V3, np.float64))
    reader = reader_of(head)
    weights = reader.weights(expression_E, jaw_3)
    channel = 0
    for family in FAMILIES:
        sides = {"middle": ("",), "paired": ("Left", "Right"), "forehead": ("",) * len(FOREHEAD_BINS)}[family.layout]
        for side in sides:
            drive_C[channel] *= family.strain
            for name, factor in family.arkit.items():
                shapes = sided(name, reader.names, side)
                drive_C[channel] += factor * sum(weights[shape] for shape in shapes) / len(shapes)
            channel += 1
    return drive_C


def _reliefs(
    family: Family, seed: tuple[int, ...], skin: Skin, asymmetry: float, variety: float
) -> list[NDArray[np.float32]]:
    """Relief of each of a family's channels (256, 256), in units of the family's depth."""
    if family.layout == "paired":
        left_HW, right_HW = (_relief(family, Draws(seed, side, asymmetry, variety=variety), skin) for side in (0, 1))
        return [left_HW, np.ascontiguousarray(right_HW[:, ::-1])]
    relief_HW = _relief(family, Draws(seed, 0, asymmetry, mirrored=True, variety=variety), skin)
    if asymmetry == 0:
        # Spline and nearest points are symmetric up to rounding only.
        relief_HW = (relief_HW + relief_HW[:, ::-1]) / 2
    if family.layout == "middle":
        return [relief_HW]
    x_HW = reduced(skin.position_HW3[..., 0])
    shares = bin_shares(x_HW.ravel()).reshape(len(FOREHEAD_BINS), MAP_SIZE, MAP_SIZE).astype(np.float32)
    return list(relief_HW * shares)


def _relief(family: Family, draws: Draws, skin: Skin) -> NDArray[np.float32]:
    relief_HW = np.zeros((SIZE, SIZE), np.float32)
    for number, line in enumerate(PATTERNS[family.name](draws)):
        if np.max(line.depth) < _INVISIBLE:
            continue
        own = draws.child(number)
        press(relief_HW, trace(line, skin, own), line, family.width, family.is_fold, skin, own)
    # Where lines meet, the valley is hardly deeper than each.
    deeper_HW = np.maximum(-relief_HW - _MEETING, 0)
    relief_HW = relief_HW + deeper_HW - _MEETING_MORE * np.tanh(deeper_HW / _MEETING_MORE)
    return reduced(relief_HW * skin.fade_HW)


def _static(rng: np.random.Generator, age: float, skin: Skin) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What the skin has without expression and lines, metres, and its moles, 0..1."""
    years = np.clip((age - _YOUNG) / _SPAN, 0, 1)
    position_HW3 = reduced(skin.position_HW3)
    fade_HW = reduced(skin.fade_HW)
    crepe = _CREPE * np.clip((age - 45) / 35, 0, 1) ** 1.3 * _spread(rng)
    uneven, lumps = (0.010 + 0.010 * years) * _spread(rng), (0.020 + 0.020 * years) * _spread(rng)
    relief_HW = uneven * solid_noise(rng, position_HW3, 2.4) + lumps * solid_noise(rng, position_HW3, 6.0)
    relief_HW = relief_HW - crepe * _crossing(rng, position_HW3)
    places_N2 = np.argwhere(fade_HW > 0.9)
    mark_HW = np.zeros((MAP_SIZE, MAP_SIZE), np.float32)
    for row, column in rng.permutation(places_N2)[: rng.poisson(2.0 + age / 30)]:
        radius, height = rng.uniform(0.9, 1.7), rng.uniform(0.10, 0.45)
        distance_HW = np.linalg.norm(position_HW3 - position_HW3[row, column], axis=-1)
        bump_HW = np.exp(-((distance_HW / radius) ** 2))
        relief_HW = relief_HW + height * bump_HW
        mark_HW = np.maximum(mark_HW, bump_HW * rng.uniform(0.2, 1.0))
    if rng.uniform() < 0.2:
        relief_HW = relief_HW + _scar(rng, places_N2, position_HW3)
    return (relief_HW * fade_HW * _MILLIMETRE).astype(np.float32), mark_HW


def _crossing(rng: np.random.Generator, position_HW3: NDArray[np.float32]) -> NDArray[np.float32]:
    """Depth, about 0 to 1, of the fine lines that cross each other on old cheeks, in patches (256, 256).

    The zeros of two noises that are stretched fivefold along slanted directions.
    """
    lines_HW = np.zeros(position_HW3.shape[:2], np.float32)
    x_HW, y_HW, z_HW = np.moveaxis(position_HW3, -1, 0)
    slant = rng.normal(0, 0.25)
    for angle in (slant + rng.uniform(0.35, 0.8), slant - rng.uniform(0.35, 0.8)):
        # Mirrored at the middle, and round the cheek rather than through it.
        side_HW = np.abs(x_HW) - 0.8 * z_HW
        along_HW = side_HW * np.sin(angle) + y_HW * np.cos(angle)
        across_HW = side_HW * np.cos(angle) - y_HW * np.sin(angle)
        apart_HW = 300 * np.sign(x_HW)  # the sides are not the same
        place_HW3 = np.stack((along_HW / 5 + apart_HW, across_HW, 0 * x_HW), -1)
        lines_HW += np.exp(-((solid_noise(rng, place_HW3, 7.0, turned=False) / 0.35) ** 2)) - 0.3
    patches_HW = np.clip(0.5 + 0.5 * solid_noise(rng, position_HW3, 40.0), 0, 1)
    cheeks_HW = smoothstep((np.abs(x_HW) - 22) / 20) * smoothstep((28 - y_HW) / 20)
    return lines_HW * patches_HW * (0.12 + 0.88 * cheeks_HW)


def _spread(rng: np.random.Generator) -> float:
    return float(np.exp(0.3 * rng.standard_normal()))


def _scar(rng: np.random.Generator, places_N2: NDArray, position_HW3: NDArray[np.float32]) -> NDArray[np.floating]:
    """A short groove, slightly bent."""
    row, column = places_N2[rng.integers(len(places_N2))]
    offset_HW3 = position_HW3 - position_HW3[row, column]
    angle, length, bend = rng.uniform(0, np.pi), rng.uniform(6, 16), rng.normal(0, 0.012)
    along_HW = offset_HW3[..., 0] * np.cos(angle) + offset_HW3[..., 1] * np.sin(angle)
    distance_HW = np.sqrt(np.maximum((offset_HW3**2).sum(-1) - along_HW**2, 0)) - bend * along_HW**2
    return -rng.uniform(0.1, 0.35) * np.exp(-((distance_HW / 0.9) ** 2) - (2 * along_HW / length) ** 4)


_noise: list[NDArray[np.float32]] = []
_NOISE_SIDE, _NOISE_SIGMA = 48, 1.2


def solid_noise(
    rng: np.random.Generator, position_X3: NDArray[np.float32], wavelength: float, turned: bool = True
) -> NDArray[np.float32]:
    """Noise of unit variance at points (..., 3), as fine in all directions.

    A cube of filtered noise that repeats itself, cut by the surface at a random place and turn.

    Args:
        rng: Source.
        position_X3: Millimetres.
        wavelength: Distance between bumps, about, millimetres.
        turned: Whether the cube is turned at random; else its axes are those of the points.
    """
    if not _noise:
        cube = np.random.default_rng(0).standard_normal((_NOISE_SIDE,) * 3)
        cube = gaussian_filter(cube, _NOISE_SIGMA, mode="wrap") - gaussian_filter(cube, 2 * _NOISE_SIGMA, mode="wrap")
        _noise.append((cube / cube.std()).astype(np.float32))
    turn_33 = np.linalg.qr(rng.standard_normal((3, 3)))[0] if turned else np.eye(3)
    # The band's middle has a wavelength of about six sigmas.
    place_X3 = position_X3.reshape(-1, 3) @ turn_33.T * (6 * _NOISE_SIGMA / wavelength) + rng.uniform(0, 100, 3)
    values_X = map_coordinates(_noise[0], place_X3.T, order=1, mode="grid-wrap")
    return np.asarray(values_X, np.float32).reshape(position_X3.shape[:-1])
