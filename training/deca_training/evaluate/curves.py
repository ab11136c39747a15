"""Cumulative error curves: which share of the measurements lies below an error."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deca.files import write_file


@dataclass(frozen=True)
class Curve:
    """A cumulative curve.

    Attributes:
        errors: Ascending errors.
        percent: Percentage of the measurements at or below each.
    """

    errors: list[float]
    percent: list[float]


def cumulative(values_N: NDArray[np.floating], limit: float, samples: int = 701) -> Curve:
    """The curve of measurements up to an error of `limit`; empty without measurements."""
    errors = np.linspace(0, limit, samples)
    if not values_N.size:
        return Curve([], [])
    below = np.searchsorted(np.sort(values_N), errors, side="right")
    return Curve(errors.round(6).tolist(), (100 * below / values_N.size).round(4).tolist())


def plot_curves(paths: Iterable[Path], curves: Mapping[str, Curve], title: str, unit: str) -> None:
    """Draws curves by method; the suffix of each file, .png or .svg, decides its format."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.8), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name, curve in curves.items():
        axes.plot(curve.errors, curve.percent, label=name, linewidth=1.8)
    limit = max((curve.errors[-1] for curve in curves.values() if curve.errors), default=1.0)
    axes.set(xlim=(0, limit), ylim=(0, 100), xlabel=f"Error [{unit}]", ylabel="Percentage", title=title)
    axes.grid(alpha=0.3)
    if curves:
        axes.legend(loc="lower right")
    for path in paths:
        buffer = io.BytesIO()
        figure.savefig(buffer, format=path.suffix[1:])
        write_file(path, buffer.getvalue())
