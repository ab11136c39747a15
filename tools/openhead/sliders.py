"""Random people as positions of MakeHuman's sliders: age, sex, ancestry, muscle, weight, local sliders, asymmetry.

Before `population.py` corrects them they are guesses: how far each slider may go so that heads look human.

Shape suffixes: N people, L local sliders, T targets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from .source import LOCAL_FOLDERS, Source

YOUNGEST, OLDEST = 18.0, 85.0
MEAN_AGE, AGE_SPREAD = 45.0, 17.0
"""Years: the adults of docs/openhead.md."""
AGES = {"child": 0.1875, "young": 0.5, "old": 1.0}
"""MakeHuman's age slider at the anchors between which it interpolates: about 10, 25 and 90 years."""
YEARS = {"young": 25.0, "old": 90.0}
RACES, GENDERS = ("african", "asian", "caucasian"), ("female", "male")
LEVELS = ("min", "average", "max")

OPPOSITES = {
    "decr": "incr",
    "down": "up",
    "in": "out",
    "backward": "forward",
    "concave": "convex",
    "compress": "uncompress",
    "pointed": "triangle",
    "square": "round",
}
"""Last word of the target at the negative end of a slider -> at the positive end."""

SPREAD = {
    "head/head-scale": 0.09,
    "head/head-fat": 0.09,
    "head/head-back": 0.09,
    "head/": 0.06,
    "forehead/": 0.08,
    "neck/": 0.15,
    "asym/": 0.12,
    "ears/": 0.24,
    "eyebrows/": 0.14,
    "mouth/mouth-angles": 0.10,
    "mouth/mouth-laugh-lines": 0.14,
    "mouth/mouth-dimples": 0.14,
    "mouth/mouth-upperlip-ext": 0.14,
    "mouth/mouth-lowerlip-ext": 0.14,
    "mouth/mouth-trans-out": 0.06,
    "nose/nose-trans-out": 0.06,
    "": 0.22,
}
"""Standard deviation of the sliders (from -1 to 1) by the start of their names, the first that fits: by eye. Skulls
soon look like eggs, brows and mouths as if they frowned, and what moves the middle of the face aside looks ill."""
SIDE_SPREAD = 0.25
"""Standard deviation of the difference of a left slider from its right twin, relative to the slider's own."""
SKIPPED = ("head-trans", "head-angle", "neck-trans", "asymm-", "head-age", "measure-neck")
"""Sliders that move the head as a whole, belong to the body, or look like a caricature."""
ANDROGYNY = 0.3
"""Standard deviation of how far MakeHuman's sex slider stays from its ends, which are caricatures."""
WITH_WEIGHT = {"head-fat": 0.15, "neck-double": 0.25, "cheek-volume": 0.10}
"""How far local sliders go with one deviation of the body's weight, by a part of their names: MakeHuman's weight leaves
a heavy person's face lean. By eye."""
WITH_AGE = {"eye-bag-incr": 0.18, "neck-double": 0.12, "eye-eyefold-up": -0.15}
"""The same for one deviation of age: heavier lower lids, a looser throat, drooping upper lids."""


@dataclass(frozen=True)
class People:
    """Slider positions.

    Attributes:
        sliders: The local sliders' (folder, target at the negative end or "", target at the positive end).
        values_NL: Their positions; -1 to 1 is what MakeHuman offers, and targets go on linearly beyond.
        age_N: Years.
        male_N: 0 women, 1 men.
        macros: Weights (N,) of the macro targets by their names.
    """

    sliders: list[tuple[str, str, str]]
    values_NL: np.ndarray
    age_N: np.ndarray
    male_N: np.ndarray
    macros: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.age_N)

    def moved(self, values_NL: np.ndarray) -> People:
        """The same people with other local sliders."""
        return replace(self, values_NL=values_NL)

    def first(self, count: int) -> People:
        """The first of them."""
        macros = {name: weight_N[:count] for name, weight_N in self.macros.items()}
        return People(self.sliders, self.values_NL[:count], self.age_N[:count], self.male_N[:count], macros)

    def targets(self) -> tuple[list[str], np.ndarray]:
        """Names of the targets (T) and their weights (N, T), none negative."""
        weights = dict(self.macros)
        for (folder, negative, positive), value_N in zip(self.sliders, self.values_NL.T, strict=True):
            if negative:
                weights[f"{folder}/{negative}"] = np.maximum(-value_N, 0)
            weights[f"{folder}/{positive}"] = np.maximum(value_N, 0)
        return list(weights), np.stack(list(weights.values()), axis=1)


def local_sliders(source: Source, skipped: tuple[str, ...] = SKIPPED) -> Iterator[tuple[str, str, str]]:
    """The local sliders as (folder, target at the negative end or "", target at the positive end)."""
    for folder in LOCAL_FOLDERS:
        prefix = f"data/mpfb2/targets/{folder}/"
        stems = [
            name.removeprefix(prefix).removesuffix(".target.gz")
            for name in source.data_files
            if name.startswith(prefix)
        ]
        for stem in stems:
            if stem.startswith(skipped):
                continue
            base, _, last = stem.rpartition("-")
            if folder == "asym":
                if last == "r":
                    yield folder, stem, f"{base}-l"
            elif last in OPPOSITES and f"{base}-{OPPOSITES[last]}" in stems:
                yield folder, stem, f"{base}-{OPPOSITES[last]}"
            elif not (last in OPPOSITES.values() and any(f"{base}-{low}" in stems for low in OPPOSITES)):
                yield folder, "", stem


def side_twin(sliders: list[tuple[str, str, str]]) -> list[int]:
    """For every slider the column of its twin on the other side of the face, or its own."""
    columns = {positive: k for k, (_, _, positive) in enumerate(sliders)}
    other = {"l-": "r-", "r-": "l-"}
    return [columns.get(other.get(name[:2], name[:2]) + name[2:], k) for k, (_, _, name) in enumerate(sliders)]


def slider_spread(sliders: list[tuple[str, str, str]]) -> np.ndarray:
    """(L,) standard deviation of each slider as guessed."""
    return by_start(sliders, SPREAD)


def by_start(sliders: list[tuple[str, str, str]], table: Mapping[str, float]) -> np.ndarray:
    """(L,) for each slider the entry of the first start that its name, without its side, has."""
    names = [f"{folder}/{positive.removeprefix('l-').removeprefix('r-')}" for folder, _, positive in sliders]
    return np.array([next(value for start, value in table.items() if name.startswith(start)) for name in names])


def random_people(source: Source, rng: np.random.Generator, count: int) -> People:
    """Adults of both sexes, several ancestries, and all weights."""
    age_N = truncated_normal(rng, MEAN_AGE, AGE_SPREAD, YOUNGEST, OLDEST, count)
    male_N = (rng.random(count) < 0.5).astype(np.float64)
    weight_N = rng.normal(0, 1, count)
    sliders = list(local_sliders(source))
    spread_L, twins = slider_spread(sliders), side_twin(sliders)
    values_NL = spread_L * rng.normal(size=(count, len(sliders)))
    differing_NL = spread_L * SIDE_SPREAD * rng.normal(size=values_NL.shape)
    for k, twin in enumerate(twins):
        if twin != k:
            # Twins share their value but for a small difference.
            values_NL[:, k] = values_NL[:, min(k, twin)] + (differing_NL[:, k] if k > twin else 0)
    years_N = (age_N - MEAN_AGE) / AGE_SPREAD
    for k, (_, negative, positive) in enumerate(sliders):
        values_NL[:, k] += sum(share * weight_N for part, share in WITH_WEIGHT.items() if part in positive)
        values_NL[:, k] += sum(share * years_N for part, share in WITH_AGE.items() if part in positive)
        if not negative:
            values_NL[:, k] = np.abs(values_NL[:, k])
    looks_male_N = np.abs(male_N - np.abs(rng.normal(0, ANDROGYNY, count)).clip(0, 1))
    return People(sliders, values_NL, age_N, male_N, _macros(rng, age_N, looks_male_N, weight_N))


def truncated_normal(
    rng: np.random.Generator, mean: float, spread: float, low: float, high: float, count: int
) -> np.ndarray:
    """(N,) numbers of a normal distribution within limits."""
    values_N = rng.normal(mean, spread, count)
    while (outside_N := (values_N < low) | (values_N > high)).any():
        values_N[outside_N] = rng.normal(mean, spread, int(outside_N.sum()))
    return values_N


def _macros(
    rng: np.random.Generator, age_N: np.ndarray, male_N: np.ndarray, weight_N: np.ndarray
) -> dict[str, np.ndarray]:
    count = len(age_N)
    slider_N = np.interp(age_N, [YOUNGEST, *YEARS.values()], [0.47, AGES["young"], AGES["old"]])
    positions = np.array(list(AGES.values()))
    age_weights = {name: np.interp(slider_N, positions, np.eye(3)[k]) for k, name in enumerate(AGES)}
    gender_weights = {"female": 1 - male_N, "male": male_N}
    race_weights = dict(zip(RACES, rng.dirichlet([0.6] * 3, count).T, strict=True))
    muscle_N = np.clip(rng.normal(0.5, 0.18, count), 0, 1)
    heavy_N = np.clip(0.5 + 0.27 * weight_N, 0, 1)
    muscle_weights, weight_weights = (
        {level: np.interp(value_N, [0, 0.5, 1], np.eye(3)[k]) for k, level in enumerate(LEVELS)}
        for value_N in (muscle_N, heavy_N)
    )
    weights = {}
    for gender, g in gender_weights.items():
        for age_name, a in age_weights.items():
            for race, r in race_weights.items():
                weights[f"macrodetails/{race}-{gender}-{age_name}"] = g * a * r
            for muscle_level, m in muscle_weights.items():
                for weight_level, w in weight_weights.items():
                    name = f"universal-{gender}-{age_name}-{muscle_level}muscle-{weight_level}weight"
                    weights[f"macrodetails/{name}"] = g * a * m * w
    return weights
