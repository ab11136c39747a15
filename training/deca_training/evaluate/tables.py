"""Tables of results as CSV, JSON and Markdown."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deca.errors import AssetError
from deca.files import write_file

Value = str | int | float | None


@dataclass
class Table:
    """Rows of named values; a value that a row lacks stays empty.

    Attributes:
        title: What was measured.
        rows: The rows, in order.
        notes: What a reader must know: what is missing, how it was measured.
    """

    title: str
    rows: list[dict[str, Value]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def columns(self) -> list[str]:
        """Names of all columns, in the order of their first use."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def add(self, **values: Value) -> None:
        """Adds a row."""
        self.rows.append(values)

    def markdown(self) -> str:
        """The table for people, with four significant digits."""
        header = [name.replace("_", " ") for name in self.columns]
        body = [[_shown(row.get(name)) for name in self.columns] for row in self.rows]
        widths = [max(len(line[k]) for line in (header, *body)) for k in range(len(header))]
        rule = ["-" * max(width, 3) for width in widths]
        lines = ["| " + " | ".join(_padded(line, widths)) + " |" for line in (header, rule, *body)]
        notes = "".join(f"\n- {note}" for note in self.notes)
        return f"## {self.title}\n\n" + "\n".join(lines) + "\n" + (f"{notes}\n" if notes else "")

    def write(self, folder: Path, stem: str) -> list[Path]:
        """Writes `stem.csv`, `stem.json` and `stem.md`.

        Raises:
            OutputError: They could not be written.
        """
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self.columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        content = {"title": self.title, "rows": self.rows, "notes": self.notes}
        data = {".csv": text.getvalue(), ".json": json.dumps(content, indent=1) + "\n", ".md": self.markdown()}
        for suffix, value in data.items():
            write_file(folder / f"{stem}{suffix}", value.encode())
        return [folder / f"{stem}{suffix}" for suffix in data]


def read_json(path: Path, what: str) -> Mapping:
    """A JSON object that an evaluation wrote.

    Raises:
        AssetError: The file is missing or damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AssetError(f"The {what} {path} could not be read ({error}).", "Run its evaluation again.") from error
    if not isinstance(content, dict):
        raise AssetError(f"{path} is not the {what} of an evaluation.", "Run its evaluation again.")
    return content


def _padded(cells: list[str], widths: list[int]) -> list[str]:
    return [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]


def _shown(value: Value) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value).replace("|", "\\|")
