"""Brings the files of the add-on's languages up to date with its words.

    python -m tools.translations              all files in deca_blender/languages
    python -m tools.translations fr           the same, and a new file for French

A file keeps what is translated already. New words come with an empty translation; words that the add-on does not say
any more go. Nothing is imported of Blender: the words are read from the syntax trees of their homes.
"""

from __future__ import annotations

import argparse
import ast
import json
import struct
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from deca_blender.core import arkit, expressions, po, rig
from deca_blender.protocol import notices

ROOT = Path(__file__).resolve().parents[1]
LANGUAGES = ROOT / "deca_blender" / "languages"
HOMES = ("deca_blender/ui/texts.py", "deca_blender/properties/texts.py")
"""Where words are written as constants."""
NAMED_SHAPES = ROOT / "assets" / "openhead" / "named_shapes.safetensors"
HEADER = """Words of the add-on. Edit with Poedit or any text editor, then run `python -m tools.translations`.
What stands in braces stays as it is: names, numbers and files are put in there.

Language: {language}
MIME-Version: 1.0
Content-Type: text/plain; charset=UTF-8
Content-Transfer-Encoding: 8bit"""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("languages", nargs="*", help="codes of Blender's languages, such as fr or pt_BR")
    options = parser.parse_args(arguments)
    LANGUAGES.mkdir(exist_ok=True)
    for language in sorted({*options.languages, *(path.stem for path in LANGUAGES.glob("*.po"))}):
        path = LANGUAGES / f"{language}.po"
        known = po.read(path.read_text(encoding="utf-8")) if path.exists() else {}
        path.write_text(updated(language, known), encoding="utf-8")
        texts = words()
        print(f"{path.relative_to(ROOT)}: {sum(text in known for text in texts)} of {len(texts)} translated")
    return 0


def updated(language: str, known: dict[str, str]) -> str:
    """A language's file with all words of now, and what of them is translated."""
    texts = {text: (place, known.get(text, "")) for text, place in words().items()}
    return po.written(HEADER.format(language=language), texts)


def words() -> dict[str, str]:
    """All that is to be translated, and the file that says it; in the order of the files."""
    found: dict[str, str] = {}
    for home in HOMES:
        for node in ast.parse((ROOT / home).read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign):
                for text in said(node.value):
                    found.setdefault(text, home)
    for home, texts in (
        ("deca_blender/protocol/notices.py", notices.SENTENCES.values()),
        ("deca_blender/core/arkit.py", (*arkit.REGIONS, arkit.OTHER)),
        ("deca_blender/core/expressions.py", expressions.PRESETS),
        (NAMED_SHAPES.relative_to(ROOT).as_posix(), map(rig.named_shape_label, named_shapes())),
    ):
        for text in texts:
            found.setdefault(text, home)
    return found


def said(node: ast.expr) -> Iterator[str]:
    """The words in a constant: all its strings, but for the identifiers of choices and the keys of a table."""
    match node:
        case ast.Constant(value=str(text)) if any(letter.isalpha() for letter in text):
            yield text
        case ast.Tuple(elts=[ast.Constant(), *shown]) if len(shown) == 2:
            for part in shown:
                yield from said(part)
        case ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.Dict(values=parts):
            for part in parts:
                yield from said(part)


def named_shapes() -> list[str]:
    """Names of the bundled head's measures."""
    with NAMED_SHAPES.open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
    return [name for name, *_ in json.loads(header["__metadata__"]["shapes"])]


if __name__ == "__main__":
    sys.exit(main())
