"""The numbers that were chosen by measuring or by eye, read from the code, where each has its one home.

    python -m tools.tuned_numbers     # as the tables of docs/numbers.md have them

A number is here if it is a constant of its module and has words below it. Nothing is imported or run: the syntax trees
tell.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LONGEST = 60
"""Characters of a value that a table shows."""


@dataclass(frozen=True)
class Tuned:
    """A constant, or several of one line.

    Attributes:
        file: Its home, relative to the repository.
        name: Its name; several are joined by commas.
        value: As the code writes it, cut short.
        words: What it is, its unit, and where it comes from.
    """

    file: str
    name: str
    value: str
    words: str


def tuned_numbers(folder: str, root: Path = ROOT) -> list[Tuned]:
    """The constants with words of all files below a folder, in the files' order."""
    return [
        Tuned(path.relative_to(root).as_posix(), *found)
        for path in sorted((root / folder).rglob("*.py"))
        for found in _of_file(ast.parse(path.read_text(encoding="utf-8")))
    ]


def table(found: list[Tuned]) -> str:
    """A Markdown table of constants."""
    rows = [f"| `{Path(each.file).name}` | `{each.name}` | `{each.value}` | {_cell(each.words)} |" for each in found]
    return (
        "\n".join(["| file | name | value | what it is, and where it comes from |", "|---|---|---|---|", *rows]) + "\n"
    )


def _of_file(tree: ast.Module) -> Iterator[tuple[str, str, str]]:
    for node, below in pairwise(tree.body):
        match node, below:
            case ast.Assign(targets=[target], value=value), ast.Expr(value=ast.Constant(value=str(words))):
                names = [name.id for name in ast.walk(target) if isinstance(name, ast.Name)]
                if all(name.isupper() for name in names) and _is_number(value):
                    yield ", ".join(names), _short(ast.unparse(value).strip("()")), words


def _is_number(value: ast.expr) -> bool:
    constants = [node.value for node in ast.walk(value) if isinstance(node, ast.Constant)]
    return any(isinstance(each, int | float) and not isinstance(each, bool) for each in constants)


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    for part in ("backend/deca/appearance", "backend/deca/reconstruct", "training/deca_training/data/synthetic"):
        print(f"{part}\n\n{table(tuned_numbers(part))}")
