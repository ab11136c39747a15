"""Cumulative error curves: which share of the measurements lies below an error."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deca.errors import AssetError
from deca.files import write_file
from deca_training.evaluate.tables import read_json


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


def write_curves(path: Path, curves: Mapping[str, Curve], unit: str) -> None:
    """Keeps curves by group for later comparisons."""
    content = {"unit": unit, "curves": {name: asdict(curve) for name, curve in curves.items()}}
    write_file(path, (json.dumps(content) + "\n").encode())


def read_curves(path: Path) -> dict[str, Curve]:
    """What `write_curves` wrote.

    Raises:
        AssetError: The file is missing or damaged.
    """
    content = read_json(path, "file of curves")
    try:
        return {name: Curve(**curve) for name, curve in content["curves"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise AssetError(f"{path} holds no curves ({error}).", "Run its evaluation again.") from error


def plot_curves(path: Path, curves: Mapping[str, Curve], title: str, unit: str) -> None:
    """Draws curves by method; the suffix of the file, .png or .svg, decides its format."""
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
    buffer = io.BytesIO()
    figure.savefig(buffer, format=path.suffix[1:])
    write_file(path, buffer.getvalue())
