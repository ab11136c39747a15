"""How runs went: their validation losses over the steps."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from deca.errors import OptionError
from deca.files import write_file

_SHOWN = ("nme", "landmark", "photometric", "identity", "detail_photometric", "id_mrf", "wrinkles_mm",
          "displacement_truth", "correlation", "correlation_dynamic")  # fmt: skip


def validation_of(run: Path) -> dict[str, dict[int, float]]:
    """The validation numbers of a run by name and step; of a run that was resumed, all its parts.

    Raises:
        OptionError: The folder holds no numbers of a validation.
    """
    numbers: dict[str, dict[int, float]] = defaultdict(dict)
    for path in sorted(run.glob("metrics/version_*/metrics.csv")):
        for row in csv.DictReader(io.StringIO(path.read_text("utf-8"))):
            for name, value in row.items():
                if value and name.startswith("validation/"):
                    numbers[name.removeprefix("validation/")][int(row["step"]) + 1] = float(value)
    if not numbers:
        raise OptionError(f"{run} holds no validation losses.", "Name the folder of a run that has validated.")
    return dict(numbers)


def plot_training(runs: Sequence[Path], path: Path) -> None:
    """Draws a row of curves per run; the suffix, .png or .svg, decides the format.

    Raises:
        OptionError: A folder holds no run.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    found = {run.name: validation_of(run) for run in runs}
    shown = {name: [key for key in _SHOWN if key in numbers] for name, numbers in found.items()}
    columns = max(len(keys) for keys in shown.values())
    figure = Figure(figsize=(2.6 * columns, 2.2 * len(runs)), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(runs), columns, squeeze=False)
    for row, (name, numbers) in zip(grid, found.items(), strict=True):
        for column, axes in enumerate(row):
            axes.set_visible(column < len(shown[name]))
            if column < len(shown[name]):
                key = shown[name][column]
                axes.plot(list(numbers[key]), list(numbers[key].values()), marker=".", linewidth=1.4)
                axes.set_title(f"{name}: {key}", fontsize=9)
                axes.tick_params(labelsize=7)
                axes.grid(alpha=0.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=path.suffix[1:])
    write_file(path, buffer.getvalue())
