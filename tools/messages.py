"""What the product says when something goes wrong, read from its code, where each of these sentences has its one home.

    python -m tools.messages          # as the table of docs/troubleshooting.md has them

Nothing is imported or run: the syntax trees tell. `{}` in a message stands for what it names (a file, a number).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("backend/deca", "deca_blender")
INSIDE = "deca_blender/protocol/"
"""Errors between the two processes, which reach users only as the two that `client` makes of them."""
ERRORS = re.compile(r"(Error|Warning|Died|Failed|Timeout|Cancelled|_NotBegun|_Cause)$")
"""Names of what is raised, warned of or listed with a message and, mostly, a hint as arguments."""
KIND_FIRST = ("Error", "RequestFailed")
"""Those whose first argument is not the message but the kind of error."""
SENTENCE = re.compile(r"^([A-Z{].*\s.*)[.!?]?\s*$", re.DOTALL)
CALLERS_FAULT = ("ValueError", "KeyError", "TypeError", "NotImplementedError", "RuntimeError", "OSError")
"""Errors of wrong calls by programmers, which no user meets; those with a hint are shown all the same."""


@dataclass(frozen=True, order=True)
class Message:
    """A sentence that users may read.

    Attributes:
        text: What happened and why; `{}` where it names something.
        hint: What to do; "" where the text says it.
        file: Where it is raised, relative to the repository.
    """

    text: str
    hint: str
    file: str


def messages(root: Path = ROOT) -> list[Message]:
    """All of them, sorted by their text, each once."""
    found: dict[tuple[str, str], Message] = {}
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            if path.relative_to(root).as_posix().startswith(INSIDE):
                continue
            for text, hint in _of_file(ast.parse(path.read_text(encoding="utf-8"))):
                found.setdefault((text, hint), Message(text, hint, path.relative_to(root).as_posix()))
    return sorted(found.values())


def table(found: list[Message]) -> str:
    """A Markdown table of messages."""
    rows = [f"| {_cell(each.text)} | {_cell(each.hint)} |" for each in found]
    return "\n".join(["| message | what to do |", "|---|---|", *rows]) + "\n"


def _of_file(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Message and hint of every error that a file makes."""
    constants = {
        target.id: _text(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }

    def words(node: ast.expr) -> str:
        return constants.get(node.id, "") if isinstance(node, ast.Name) else _text(node)

    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        if not ERRORS.search(name):
            continue
        texts = [words(argument) for argument in node.args[name == "_Cause" :]]  # its first is a pattern, not a message
        texts += [words(keyword.value) for keyword in node.keywords if keyword.arg in ("message", "hint")]
        start = int(name in KIND_FIRST)
        if len(texts) <= start or not SENTENCE.match(texts[start]):
            continue
        hint = texts[start + 1] if len(texts) > start + 1 else ""
        if hint or name not in CALLERS_FAULT:
            yield texts[start].strip(), hint.strip()


def _text(node: ast.expr) -> str:
    """A string in the code with `{}` for what is put in; "" for anything else."""
    match node:
        case ast.Constant(value=str(text)):
            return re.sub(r"\{\w+\}", "{}", text)
        case ast.JoinedStr(values=parts):
            return "".join(_text(part) if isinstance(part, ast.Constant) else "{}" for part in parts)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return (_text(left) or "{}") + (_text(right) or "{}")
        case ast.IfExp(body=body):
            return _text(body)
    return ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("{}", "…").replace("<", "&lt;")


if __name__ == "__main__":
    print(table(messages()), end="")
