"""`deca-train evaluate anthropometry`: is the head model's zero the average of people, and its one sigma theirs?

The mean head and random heads of it are measured like people (`deca_training.anthropometry`), and compared with the
joined figures of the surveys.

Shape suffixes: V vertices, S shape coefficients, N heads, M measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deca.head import HeadModel
from deca_training.anthropometry.measures import MEASURES, Anthropometer
from deca_training.anthropometry.population import CORRELATIONS, correlation_target, target
from deca_training.evaluate.tables import Table

MEAN_BAR = 0.4
"""Standard deviations of the population by which the mean head may miss the population's mean."""
SPREAD_BAR = 0.2
"""Share by which the spread of heads may miss the population's."""
CORRELATION_BAR = 0.2
ROWS_BAR = 0.9
"""Share of the rows that are to meet their bar."""


@dataclass(frozen=True)
class Survey:
    """Heads of a model as an anthropometric survey sees them; columns in the order of `MEASURES`, mm and degrees.

    Attributes:
        mean_head_M: The mean head's measures.
        heads_NM: Those of random heads; NaN where the head model lacks the points.
    """

    mean_head_M: NDArray[np.float64]
    heads_NM: NDArray[np.float64]


def survey_heads(head: HeadModel, count: int = 1000, seed: int = 0) -> Survey:
    """Measures the mean head and `count` heads with shape coefficients from N(0, 1).

    Raises:
        AssetError: The head model has no iBUG landmarks.
    """
    measured, rng = Anthropometer(head), np.random.default_rng(seed)
    dirs_DS = head.shape_dirs_V3S.reshape(-1, head.shape_dirs_V3S.shape[2])
    betas_NS = rng.normal(size=(count, dirs_DS.shape[1])).astype(np.float32)
    heads = [measured(head.template_V3 + (dirs_DS @ beta_S).reshape(-1, 3)) for beta_S in betas_NS]
    rows = [list(values.values()) for values in (measured(head.template_V3), *heads)]
    return Survey(np.array(rows[0]), np.array(rows[1:]))


def anthropometry_tables(survey: Survey, name: str) -> tuple[Table, Table]:
    """The table of the measures and that of their correlations.

    Args:
        survey: Of `survey_heads`.
        name: The head model's, for the titles.
    """
    measures = Table(f"Anthropometry of {name}: adults of both sexes, mm and degrees")
    spreads_M = survey.heads_NM.std(0)
    good_means, good_spreads, missing = [], [], []
    for column, measure in enumerate(MEASURES):
        wanted, value = target(measure.key), float(survey.mean_head_M[column])
        if np.isnan(value):
            missing.append(measure.name)
            continue
        off, ratio = (value - wanted.mean) / wanted.spread, float(spreads_M[column]) / wanted.spread
        good_means.append(abs(off) <= MEAN_BAR)
        good_spreads.append(abs(ratio - 1) <= SPREAD_BAR)
        measures.add(
            measure=measure.name,
            men=f"{wanted.men[0]:.1f} ({wanted.men[1]:.1f})",
            women=f"{wanted.women[0]:.1f} ({wanted.women[1]:.1f})",
            people=f"{wanted.mean:.1f} ({wanted.spread:.1f})",
            heads=f"{value:.1f} ({spreads_M[column]:.1f})",
            off_in_deviations=round(off, 2),
            spread_ratio=round(ratio, 2),
            meets=_meets(good_means[-1], good_spreads[-1]),
        )
    both = [mean and spread for mean, spread in zip(good_means, good_spreads, strict=True)]
    measures.notes += [
        "Mean (standard deviation). Heads: the mean head, and the deviation of "
        f"{len(survey.heads_NM)} heads with coefficients from N(0, 1).",
        f"Mean within {MEAN_BAR} deviations of people's: {_share(good_means)}.",
        f"Spread within {SPREAD_BAR:.0%} of people's: {_share(good_spreads)}.",
        f"Both: {_share(both)} (bar: {ROWS_BAR:.0%}).",
    ]
    if missing:
        measures.notes.append(f"Not measured, for lack of landmarks: {', '.join(missing)}.")
    return measures, _correlations(survey, name)


def _correlations(survey: Survey, name: str) -> Table:
    table = Table(f"Correlations between measures of {name}, adults of both sexes")
    columns, good = {measure.key: k for k, measure in enumerate(MEASURES)}, []
    names = {measure.key: measure.name for measure in MEASURES}
    for pair in CORRELATIONS:
        both_NM = survey.heads_NM[:, [columns[pair.first], columns[pair.second]]]
        if np.isnan(both_NM).any():
            continue
        wanted, value = correlation_target(pair), float(np.corrcoef(both_NM.T)[0, 1])
        good.append(abs(value - wanted) <= CORRELATION_BAR)
        table.add(
            first=names[pair.first],
            second=names[pair.second],
            within_sex=pair.within_sex,
            people=round(wanted, 2),
            heads=round(value, 2),
            meets="yes" if good[-1] else "no",
        )
    table.notes.append(f"Within {CORRELATION_BAR} of people's: {_share(good)}.")
    return table


def _meets(mean: bool, spread: bool) -> str:
    return {(True, True): "both", (True, False): "mean", (False, True): "spread", (False, False): "no"}[mean, spread]


def _share(good: Sequence[bool]) -> str:
    return f"{sum(good)} of {len(good)} rows" + (f", {sum(good) / len(good):.0%}" if good else "")
