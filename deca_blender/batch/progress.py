"""How a batch is told while it runs: a bar, JSON lines, or what an Open Job Description runner understands."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import Any

from ..protocol import batch
from .engine import Told, Totals

_LISTED = 20
"""Failures that a terminal lists at the end; the report lists all."""


def teller(kind: str, report: Path) -> Told:
    """Who is told: `bar`, `json`, `openjd`, or `auto`: a bar on a terminal, JSON lines elsewhere.

    Args:
        kind: One of these.
        report: The contact sheet, to be named at the end.
    """
    if kind == "auto":
        kind = "bar" if sys.stdout.isatty() else "json"
    return Bar(report) if kind == "bar" else OpenJd() if kind == "openjd" else JsonLines()


class JsonLines:
    """A JSON line per photo, and a summary."""

    def line(self, line: dict[str, Any], totals: Totals) -> None:
        batch.write(batch.line(**line))

    def end(self, totals: Totals) -> None:
        batch.write(batch.line(summary=totals.summary()))


class OpenJd(JsonLines):
    """The same for a log, and beside it the lines that move a farm's progress bar (Open Job Description 2023-09)."""

    def line(self, line: dict[str, Any], totals: Totals) -> None:
        super().line(line, totals)
        batch.write(f"openjd_progress: {100 * totals.done / totals.photos:.1f}\n")
        batch.write(f"openjd_status: {_counted(totals)}\n")

    def end(self, totals: Totals) -> None:
        super().end(totals)
        if totals.why:
            batch.write(f"openjd_fail: {_one_line(totals.why)}\n")


class Bar:
    """A bar that stays on its line, and at the end what failed and where to look.

    Args:
        report: The contact sheet.
    """

    def __init__(self, report: Path) -> None:
        self._report, self._started = report, time.monotonic()

    def line(self, line: dict[str, Any], totals: Totals) -> None:
        made = totals.done - totals.skipped
        pace = f"{60 * made / max(time.monotonic() - self._started, 1e-3):.0f} a minute" if made else ""
        columns = shutil.get_terminal_size().columns
        text = f" {_counted(totals)}  {pace}  {_one_line(Path(line['photo']).name)}"
        width = max(10, min(30, columns - len(text) - 4))
        full = round(width * totals.done / totals.photos)
        batch.write(f"\r[{'#' * full}{'.' * (width - full)}]{text}"[: columns - 1].ljust(columns - 1))

    def end(self, totals: Totals) -> None:
        failed = [line for line in totals.lines if not line["ok"] and "skipped" not in line]
        text = f"\n{_counted(totals)}. {totals.why}\n" if totals.why else f"\n{_counted(totals)}.\n"
        text += "".join(f"  {_one_line(line['photo'])}: {_one_line(line['error'])}\n" for line in failed[:_LISTED])
        more = len(failed) - _LISTED
        text += f"  and {more} more\n" if more > 0 else ""
        batch.write(f"{text}{self._report}\n")


def _counted(totals: Totals) -> str:
    text = f"{totals.done} of {totals.photos}"
    text += f", {totals.failed} failed" if totals.failed else ""
    return text + (f", {totals.skipped} there already" if totals.skipped else "")


def _one_line(text: str) -> str:
    """Text without what would end a line or move the cursor."""
    return "".join(character if character.isprintable() else " " for character in text)
