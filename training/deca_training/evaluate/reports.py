"""A report of an evaluation: its table, its cumulative curves, and both beside earlier reports.

STEM.csv .json .md      the table
STEM_curves.json        the curves, for later comparisons
STEM_GROUP.png .svg     a plot per group, with the curves of all compared methods
STEM_comparison.*       the table with the rows of earlier reports, if there are any
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

from deca.errors import AssetError
from deca.files import write_file
from deca_training.evaluate.curves import Curve, plot_curves
from deca_training.evaluate.tables import Table, Value, read_json

Curves = Mapping[str, Mapping[str, Curve]]
"""Curves by method and group."""


def write_report(
    out: Path, stem: str, table: Table, curves: Curves, *, unit: str, compare: Iterable[Path] = ()
) -> Table:
    """Writes a report; rows and curves of earlier reports come along.

    Args:
        out: Folder.
        stem: The evaluation's short name, which begins the files' names.
        table: Rows with a value `method`.
        curves: Of its methods.
        unit: Of the errors.
        compare: Folders of earlier reports of the same evaluation.

    Returns:
        The table with the rows of earlier reports.

    Raises:
        AssetError: An earlier report is missing or damaged.
        OutputError: A file cannot be written.
    """
    together = Table(table.title, list(table.rows), list(table.notes))
    all_curves = dict(curves)
    for folder in compare:
        rows, earlier, notes = read_report(folder, stem)
        taken = {str(row["method"]) for row in together.rows} | set(all_curves)
        methods = dict.fromkeys([str(row["method"]) for row in rows] + list(earlier))
        renamed = {method: _free(method, taken) for method in methods}
        together.rows += [{**row, "method": renamed[str(row["method"])]} for row in rows]
        together.notes += [f"{folder.name}: {note}" for note in notes if note not in table.notes]
        all_curves |= {renamed[method]: groups for method, groups in earlier.items()}
    table.write(out, stem)
    by_method = {method: {group: asdict(c) for group, c in groups.items()} for method, groups in curves.items()}
    write_file(out / f"{stem}_curves.json", (json.dumps({"unit": unit, "curves": by_method}) + "\n").encode())
    if len(together.rows) > len(table.rows):
        together.write(out, f"{stem}_comparison")
    for group in dict.fromkeys(group for groups in curves.values() for group in groups):
        lines = {method: groups[group] for method, groups in all_curves.items() if group in groups}
        files = [out / f"{stem}_{group}{suffix}" for suffix in (".png", ".svg")]
        plot_curves(files, lines, f"{table.title}: {group.replace('_', ' ')}", unit)
    return together


def read_report(folder: Path, stem: str) -> tuple[list[dict[str, Value]], Curves, list[str]]:
    """Rows, curves and notes of an earlier report.

    Raises:
        AssetError: It is missing or damaged.
    """
    content, curves = (read_json(folder / f"{stem}{end}.json", "report") for end in ("", "_curves"))
    try:
        rows = [dict(row) for row in content["rows"]]
        if not all("method" in row for row in rows):
            raise KeyError("method")
        read = {
            method: {group: Curve(**curve) for group, curve in groups.items()}
            for method, groups in curves["curves"].items()
        }
        return rows, read, [str(note) for note in content["notes"]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AssetError(f"{folder} holds no report of {stem} ({error}).", "Run its evaluation again.") from error


def _free(name: str, taken: set[str]) -> str:
    """The name, numbered if it is taken."""
    names = [name, *(f"{name} ({number})" for number in range(2, len(taken) + 3))]
    return next(one for one in names if one not in taken)
