"""What a batch leaves to look at: a contact sheet, a table, and its lines, for a run or for all that is in a folder."""

from __future__ import annotations

import csv
import html
import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..protocol import batch
from ..protocol.photos import FoundPhoto, told
from .ledger import Ledger, Record

PAGE = 500
"""Photos on a page of the contact sheet: what browsers show without delay."""

COLUMNS = ("photo", "result", "ok", "error", "out", "seconds", "landmark_error", "digest", "notes")

_STYLE = """
body{font:14px system-ui,sans-serif;margin:24px;background:#1d1d1f;color:#ddd}a{color:#8ab4f8;text-decoration:none}
main{display:grid;grid-template-columns:repeat(auto-fill,minmax(400px,1fr));gap:14px}
figure{margin:0;background:#2a2a2d;border-radius:6px;overflow:hidden}figure.bad{outline:2px solid #a33}
img{width:100%;display:block;aspect-ratio:3}figcaption{padding:8px 10px;overflow-wrap:anywhere}
small{color:#999;display:block}.bad small{color:#f0a0a0}nav{margin:12px 0}nav a{margin-right:8px}
"""


@dataclass(frozen=True)
class Row:
    """A photo of a report.

    Attributes:
        name: What its results are called, "" for none.
        line: As `batch.run` tells it.
        picture: Path of its picture below `deca-report/`, "" for none.
    """

    name: str
    line: dict[str, Any]
    picture: str = ""

    @property
    def notes(self) -> list[str]:
        """What else the user should know."""
        notices = self.line.get("texture_notices", [])
        left_out = [f"left out: {left['photo']}: {left['reason']}" for left in self.line.get("left_out", [])]
        return [*self.line.get("notices", []), *(notice["text"] for notice in notices), *left_out]


def rows_of(photos: Sequence[FoundPhoto], ledger: Ledger, lines: Iterable[dict[str, Any]]) -> list[Row]:
    """The rows of a run's photos, in their order: from their records, and what has none from its lines."""
    by_photo = {line["photo"]: line for line in lines}
    rows = []
    for found in photos:
        record = ledger.record(found.name) if found.name else None
        if record is not None:
            rows.append(row_of(record))
        elif told(found.path) in by_photo:
            rows.append(Row(found.name, by_photo[told(found.path)]))
    return rows


def row_of(record: Record) -> Row:
    """The row of a record."""
    return Row(record.name, dict(record.line), record.picture)


def write(ledger: Ledger, rows: Sequence[Row], suffix: str = "") -> Path:
    """Writes `report.jsonl`, `report.csv` and the contact sheet `index.html` with further pages, with a suffix each.

    Returns:
        The contact sheet.

    Raises:
        OSError: They cannot be written.
    """
    folder = ledger.folder
    folder.mkdir(parents=True, exist_ok=True)
    _put(folder / f"report{suffix}.jsonl", "".join(batch.line(**row.line) for row in rows))
    _put(folder / f"report{suffix}.csv", table(rows))
    pages = [rows[start : start + PAGE] for start in range(0, len(rows), PAGE)] or [[]]
    names = [f"index{suffix}{'' if number == 0 else f'-page-{number + 1}'}.html" for number in range(len(pages))]
    counts = f"{len(rows)} photos, {sum(not row.line['ok'] and 'skipped' not in row.line for row in rows)} failed"
    for number, page in enumerate(pages):
        _put(folder / names[number], sheet(page, counts, names, number, suffix))
    return folder / names[0]


def table(rows: Sequence[Row]) -> str:
    """The rows as comma-separated values."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        values = {**row.line, "result": row.name, "notes": " ".join(row.notes)}
        writer.writerow([_cell(values.get(column, "")) for column in COLUMNS])
    return text.getvalue()


def sheet(rows: Sequence[Row], counts: str, names: Sequence[str], number: int, suffix: str = "") -> str:
    """A page of the contact sheet; it needs nothing but the pictures beside it."""
    pages = "".join(
        f"<b>{page + 1}</b> " if page == number else f'<a href="{quote(name)}">{page + 1}</a> '
        for page, name in enumerate(names)
    )
    nav = f"<nav>{pages}</nav>" if len(names) > 1 else ""
    figures = "\n".join(map(_figure, rows))
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Heads from photos</title>'
        f"<style>{_STYLE}</style><h1>Heads from photos</h1><p>{counts}. Each picture: the photo, the head over it,"
        f" the head.</p>{nav}<main>\n{figures}\n</main>{nav}"
        f'<p><a href="report{suffix}.csv">Table</a></p></html>\n'
    )


def _figure(row: Row) -> str:
    line, escape = row.line, html.escape
    picture = f'<img src="{quote(row.picture)}" loading="lazy" alt="">' if row.picture else ""
    name = escape(row.name or Path(line["photo"]).name)
    if line["ok"]:
        name = f'<a href="../{quote(row.name + Path(line["out"]).suffix)}">{name}</a>'
        told_of = f"{line.get('seconds', 0):.1f} s, landmarks {escape(str(line.get('landmark_error', '')))}"
    else:
        told_of = escape(line["error"])
    notes = "".join(f"<small>{escape(note)}</small>" for note in row.notes)
    kind = "" if line["ok"] or line.get("skipped") else ' class="bad"'
    return f"<figure{kind}>{picture}<figcaption>{name}<small>{told_of}</small>{notes}</figcaption></figure>"


def _cell(value: object) -> object:
    if isinstance(value, list):
        return " ".join(map(str, value))
    text = str(value)
    # What begins like a formula is one to spreadsheets, and photos come from anywhere.
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") and not isinstance(value, (int, float)) else value


def _put(path: Path, text: str) -> None:
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        unfinished.write_text(text, encoding="utf-8", newline="\n")
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
