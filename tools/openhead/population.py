"""Makes random people measure what surveys of people measure: mean, spread and correlations.

People whose sliders were guessed are measured (`deca_training.anthropometry`). Where a measure should be for each of
them follows from the published means of the person's sex and age, and from the linear map that turns the guessed
people's covariance about those means into the published one and moves people least (the optimal transport of normal
distributions). Then the local sliders go there by the shortest way, measured in their guessed deviations. A few
rounds, since heads are not linear in the sliders. What the table says nothing of stays as it was guessed.

Shape suffixes: N people, L local sliders, M measures, P predictors (1, sex, age).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from multiprocessing import get_context

import numpy as np

from deca.head import HeadModel
from deca_training.anthropometry.measures import MEASURES, Anthropometer
from deca_training.anthropometry.population import AGEING, CORRELATIONS, target

from .sliders import AGE_SPREAD, MEAN_AGE, People, by_start, side_twin, slider_spread

STEP = 0.15
"""Slider positions by which each is moved to see what it does."""
SLACK = {"bigonial": 1.0, "philtrum_width": 1.0, "head_circumference": 0.07}
DEFAULT_SLACK = 0.1
"""Share of a measure's published deviation that need not be met, so that no slider is torn out for it. Much for the
corner of the jaw, which is hardly to be found on a smooth surface, and the peaks of Cupid's bow, which the landmark
network sees where it expects them."""
RELUCTANT = {
    "eyebrows/": 0.2,
    "forehead/": 0.35,
    "head/head-diamond": 0.3,
    "head/head-round": 0.5,
    "nose/nose-septumangle": 0.4,
    "nose/nose-volume": 0.3,
    "nose/nose-base": 0.3,
    "mouth/": 0.6,
    "": 1.0,
}
"""How far sliders go to meet measures, as a share of most (in guessed deviations), by the start of their names, the
first that fits: by eye. No survey says how a brow ridge, a forehead or the skin below the nose should bulge; moved
freely, they met the angles of the nose with a frown, a flat forehead and ridges over the eyes that no woman has,
and made noses stand out by a ball between raised wings, and lips thin where nobody asked for it."""
FURTHEST = 1.6
"""Slider positions that nobody exceeds; MakeHuman's own limit is 1."""
WITH_YEARS = {
    "nose_height": 0.03,
    "nose_protrusion": 0.03,
    "nose_width": 0.03,
    "mouth_width": 0.04,
    "philtrum_length": 0.05,
    "upper_lip_height": 0.03,
    "upper_vermilion": -0.05,
    "lower_vermilion": -0.05,
}
"""Millimetres a year. The direction is published (docs/openhead.md), the size is a guess within what is."""

Finish = Callable[[People], np.ndarray]
"""People to finished heads, (N, V, 3) metres."""


def calibrate(people: People, finish: Finish, head: HeadModel, rounds: int) -> People:
    """People with local sliders moved so that their heads are a population's.

    Args:
        people: With sliders as guessed.
        finish: Makes their heads.
        head: Any head of the same mesh with landmarks, by which heads are measured.
        rounds: How often they are measured and moved.
    """
    measured = Measured(head)
    keys = [measure.key for measure in MEASURES]
    wanted_PM, covariance_MM = wanted(keys)
    spread_M = np.array([target(key).spread for key in keys])
    slack_M = np.array([SLACK.get(key, DEFAULT_SLACK) for key in keys])
    predictors_NP = np.stack(
        [np.ones(len(people)), 2 * people.male_N - 1, (people.age_N - MEAN_AGE) / AGE_SPREAD], axis=1
    )
    values_NL = people.values_NL
    for round_ in range(rounds):
        heads_NV3 = finish(people.moved(values_NL))
        heads_NM = measured(heads_NV3)
        mean_head_M = measured.one(heads_NV3.mean(axis=0, dtype=np.float64))
        found_PM = np.linalg.lstsq(predictors_NP, heads_NM, rcond=None)[0]
        rest_NM = heads_NM - predictors_NP @ found_PM
        goal_MM = with_own_correlations(covariance_MM, rest_NM)
        goal_NM = predictors_NP @ wanted_PM + rest_NM @ transport(np.cov(rest_NM.T), goal_MM)
        # It is the mean head that is to measure what people do on average, which is not quite the heads' average.
        goal_NM += heads_NM.mean(axis=0) - mean_head_M
        off_M = np.abs(mean_head_M - wanted_PM[0]) / spread_M
        ratio_M = heads_NM.std(0) / spread_M
        worst, low, high = off_M.argmax(), ratio_M.argmin(), ratio_M.argmax()
        print(
            f"round {round_}: means off by {off_M[worst]:.2f} deviations at most ({keys[worst]}), "
            f"spreads {ratio_M[low]:.2f} ({keys[low]}) to {ratio_M[high]:.2f} ({keys[high]})",
            flush=True,
        )
        if round_ % 2 == 0:
            effect_LM = effects(people, values_NL.mean(0), finish, measured)
        change_NM = (goal_NM - heads_NM) / spread_M
        values_NL = values_NL + shortest_way(change_NM, effect_LM / spread_M, slack_M, people.sliders)
        values_NL = np.clip(values_NL, [-FURTHEST if low else 0 for _, low, _ in people.sliders], FURTHEST)
    return people.moved(values_NL)


class Measured:
    """Heads (N, V, 3) to measures (N, M), by all cores."""

    def __init__(self, head: HeadModel) -> None:
        self.anthropometer = Anthropometer(head)

    def __call__(self, heads_NV3: np.ndarray) -> np.ndarray:
        with get_context("fork").Pool() as pool:
            return np.array(pool.map(self.one, heads_NV3, chunksize=25))

    def one(self, verts_V3: np.ndarray) -> list[float]:
        return list(self.anthropometer(verts_V3).values())


def wanted(keys: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Published figures.

    Returns:
        Means (P, M): of both sexes together at the mean age, half of what men have more than women, and what one
        deviation of age adds. Covariance (M, M) among people of one sex and age; NaN where it is not known.
    """
    targets = [target(key) for key in keys]
    half_M = np.array([(t.men[0] - t.women[0]) / 2 for t in targets])
    ageing_M = np.array([np.mean(AGEING[key]) if key in AGEING else WITH_YEARS.get(key, 0.0) for key in keys])
    means_PM = np.stack([[t.mean for t in targets], half_M, AGE_SPREAD * ageing_M])
    variance_M = np.array([t.spread**2 for t in targets]) - half_M**2
    # The tables' deviations hold ages, too.
    rest_M = np.maximum(variance_M - means_PM[2] ** 2, 0.5 * variance_M)
    covariance_MM = np.full((len(keys), len(keys)), math.nan)
    np.fill_diagonal(covariance_MM, rest_M)
    for pair in CORRELATIONS:
        first, second = keys.index(pair.first), keys.index(pair.second)
        value = pair.within_sex * math.sqrt(variance_M[first] * variance_M[second])
        value -= means_PM[2, first] * means_PM[2, second]
        covariance_MM[first, second] = covariance_MM[second, first] = value
    return means_PM, covariance_MM


def with_own_correlations(covariance_MM: np.ndarray, rest_NM: np.ndarray) -> np.ndarray:
    """Fills unknown covariances with the people's own correlations; then the nearest matrix that is a covariance."""
    deviation_M = np.sqrt(np.diag(covariance_MM))
    correlation_MM = np.where(
        np.isnan(covariance_MM), np.corrcoef(rest_NM.T), covariance_MM / np.outer(deviation_M, deviation_M)
    )
    value, vector = np.linalg.eigh(correlation_MM)
    correlation_MM = vector * np.maximum(value, 1e-3) @ vector.T
    own = np.sqrt(np.diag(correlation_MM))
    return correlation_MM / np.outer(own, own) * np.outer(deviation_M, deviation_M)


def transport(source_MM: np.ndarray, goal_MM: np.ndarray) -> np.ndarray:
    """The symmetric map (M, M) that turns one covariance into another and moves least (Gelbrich 1990)."""
    scale_M = np.sqrt(np.diag(goal_MM))  # "least" is meant in deviations
    source_MM, goal_MM = (matrix / np.outer(scale_M, scale_M) for matrix in (source_MM, goal_MM))
    root_MM = _power(source_MM, 0.5)
    inverse_MM = _power(source_MM, -0.5)
    map_MM = inverse_MM @ _power(root_MM @ goal_MM @ root_MM, 0.5) @ inverse_MM
    return map_MM / scale_M[:, None] * scale_M[None, :]


def effects(people: People, values_L: np.ndarray, finish: Finish, measured: Measured) -> np.ndarray:
    """(L, M): what one unit of every local slider, with its twin, does to the measures of the mean person."""
    twins = side_twin(people.sliders)
    first = [k for k, (folder, _, _) in enumerate(people.sliders) if k <= twins[k] and folder != "asym"]
    moved = np.zeros((2 * len(first), len(values_L)))
    for row, k in enumerate(first):
        for sign, at in ((1, row), (-1, row + len(first))):
            moved[at, k] = moved[at, twins[k]] = sign * STEP
    values = values_L + moved
    macros = {name: np.full(len(values), weight_N.mean()) for name, weight_N in people.macros.items()}
    mean = People(people.sliders, values, people.age_N[: len(values)], people.male_N[: len(values)], macros)
    heads = measured(finish(mean))
    effect_LM = np.zeros((len(values_L), heads.shape[1]))
    for row, k in enumerate(first):
        change_M = (heads[row] - heads[row + len(first)]) / (2 * STEP)
        for column in {k, twins[k]}:
            effect_LM[column] = change_M / len({k, twins[k]})
    return effect_LM


def shortest_way(
    change_NM: np.ndarray, effect_LM: np.ndarray, slack_M: np.ndarray, sliders: list[tuple[str, str, str]]
) -> np.ndarray:
    """Slider changes (N, L) that make measures change as wanted (deviations), least squares in guessed deviations."""
    willing_L = slider_spread(sliders) * by_start(sliders, RELUCTANT)
    scaled_LM = willing_L[:, None] ** 2 * effect_LM
    return change_NM @ np.linalg.solve(effect_LM.T @ scaled_LM + np.diag(slack_M**2), scaled_LM.T)


def _power(matrix: np.ndarray, exponent: float) -> np.ndarray:
    value, vector = np.linalg.eigh((matrix + matrix.T) / 2)
    return vector * np.maximum(value, 1e-6) ** exponent @ vector.T
