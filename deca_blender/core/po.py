"""Translations as .po files, the format of gettext, which translators' tools edit."""

from __future__ import annotations

import ast
from collections.abc import Mapping


def read(text: str) -> dict[str, str]:
    """A file's texts and their translations; what is not translated yet, or marked as `fuzzy`, is left out.

    Args:
        text: The file. Of gettext's format it may have comments, `msgid` and `msgstr`, each over any number of lines.

    Raises:
        ValueError: A line is of another kind.
    """
    found: dict[str, str] = {}
    entry = {"msgid": "", "msgstr": ""}
    field, is_fuzzy = "", False

    def finish() -> None:
        if field == "msgstr" and entry["msgid"] and entry["msgstr"] and not is_fuzzy:
            found[entry["msgid"]] = entry["msgstr"]

    for number, line in enumerate(text.splitlines(), 1):
        word, _, rest = line.strip().partition(" ")
        if word.startswith("#") or word == "msgid":
            if field == "msgstr":
                finish()
                entry, field, is_fuzzy = {"msgid": "", "msgstr": ""}, "", False
            if word == "#,":
                is_fuzzy = "fuzzy" in rest
        if word in entry:
            field, line = word, rest
        if not line.strip() or line.startswith("#"):
            continue
        try:
            entry[field] += ast.literal_eval(line.strip())
        except (KeyError, SyntaxError, TypeError, ValueError) as error:
            raise ValueError(f"Line {number} is no line of a .po file: {line[:40]!r}.") from error
    finish()
    return found


def written(header: str, texts: Mapping[str, tuple[str, str]]) -> str:
    """A file.

    Args:
        header: Comment at its top, and gettext's header fields after an empty line.
        texts: By text: where it is used, and its translation, "" for none yet.
    """
    comment, _, fields = header.partition("\n\n")
    lines = [*(f"# {line}".rstrip() for line in comment.splitlines()), 'msgid ""', 'msgstr ""']
    lines += [_quoted(f"{field}\n") for field in fields.splitlines()]
    for text, (place, translation) in texts.items():
        lines += ["", f"#: {place}", f"msgid {_quoted(text)}", f"msgstr {_quoted(translation)}"]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
