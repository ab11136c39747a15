"""The add-on's words: written in their homes alone, and in step with the files of its languages."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest

from deca_blender.core import po
from tools import translations

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(translations.LANGUAGES.glob("*.po"))
SHOWN = ("confirm_text", "description", "items", "message", "name", "placeholder", "text", "title")
"""Keywords of Blender's functions by which the user is shown words."""
TOLD = ("poll_message_set", "report", "status_text_set")
LABELS = ("bl_category", "bl_description", "bl_label")
_WORD = re.compile(r"[a-z]{2}")
"""Names such as "Y" and "CUDA" are the same in all languages."""


def has_words(node: ast.AST) -> bool:
    """Whether something holds a literal that a user would have to understand; identifiers of choices are none."""
    if isinstance(node, ast.Tuple) and len(node.elts) >= 3:
        return any(map(has_words, node.elts[1:]))
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str) and _WORD.search(node.value) is not None
    if isinstance(node, ast.JoinedStr | ast.List | ast.ListComp | ast.Tuple | ast.BinOp | ast.IfExp):
        return any(map(has_words, ast.iter_child_nodes(node)))
    return False


def strays(tree: ast.Module) -> Iterator[int]:
    """Lines of a file that show words of their own, or put values into words without a look for their translation."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            is_blenders = name.endswith("Property") or (
                isinstance(node.func, ast.Attribute) and name != "ArgumentParser"
            )
            shown = [key.value for key in node.keywords if key.arg in SHOWN] if is_blenders else []
            shown += node.args if name in TOLD else []
            if any(map(has_words, shown)) or (name == "format" and "texts." in ast.unparse(node.func)):
                yield node.lineno
        if isinstance(node, ast.Assign) and has_words(node.value):
            if any(isinstance(target, ast.Name) and target.id in LABELS for target in node.targets):
                yield node.lineno


@pytest.mark.parametrize("room", ["operators", "properties", "ui", "."])
def test_words_are_in_their_homes(room: str) -> None:
    files = [path for path in (ROOT / "deca_blender" / room).glob("*.py") if not path.name.startswith("headless")]
    assert files
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in files
        for line in strays(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("code", "is_stray"),
    [
        ('layout.label(text="Bake it")', True),
        ('layout.label(text=f"{name} Angle")', True),
        ("layout.label(text=texts.BAKE)", False),
        ('size: EnumProperty(name=texts.SIZE, items=[("8", "8", "Smaller files")])', True),
        ('up: EnumProperty(name=texts.UP, items=[("Y", "Y", ""), ("low", "Z", "")])', False),
        ('jobs: IntProperty(name="Jobs")', True),
        ('self.report({"ERROR"}, "It failed")', True),
        ('self.report({"ERROR"}, texts.FAILED.format(name=name))', True),
        ('self.report({"ERROR"}, str(error))', False),
        ('bl_label = "Import"', True),
        ('cls.poll_message_set("Not now" if busy else "")', True),
        ('parser = argparse.ArgumentParser(description="For the terminal")', False),
    ],
)
def test_strays_are_found(code: str, is_stray: bool) -> None:
    assert bool(list(strays(ast.parse(code)))) is is_stray


@pytest.mark.parametrize("home", translations.HOMES)
def test_homes_put_nothing_together_by_themselves(home: str) -> None:
    """Words in f-strings would never be found in a language's file."""
    tree = ast.parse((ROOT / home).read_text(encoding="utf-8"))
    assert [node.lineno for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) and has_words(node)] == []


def test_words_leave_out_identifiers_and_keys() -> None:
    node = ast.parse('[("NONE", "None", "No map"), {"cpu": "the processor"}, ("One", "Two"), "8"]', mode="eval").body
    assert list(translations.said(node)) == ["None", "No map", "the processor", "One", "Two"]
    words = translations.words()
    assert {"Import", "Head Model", "Smile", "Jaw Width", "Brows"} <= set(words) and "NEUTRAL" not in words


def fields(text: str) -> set[tuple[str | None, str | None]]:
    return {(name, form) for _, name, form, _ in Formatter().parse(text) if name is not None}


def test_there_is_german() -> None:
    assert [path.stem for path in FILES if path.stem == "de"]
    german = po.read((translations.LANGUAGES / "de.po").read_text(encoding="utf-8"))
    assert sorted(set(translations.words()) - set(german)) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_language_is_in_step_with_the_words(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    known = po.read(text)
    assert text == translations.updated(path.stem, known), "run `python -m tools.translations`"
    for word, translation in known.items():
        if "{" in word or "}" in translation:
            assert fields(word) == fields(translation), word
        assert translation == translation.strip() or word != word.strip(), word


def test_an_update_keeps_what_is_translated() -> None:
    known = {"Import": "Importieren", "Said no more": "Nicht mehr"}
    updated = translations.updated("de", known)
    assert po.read(updated) == {"Import": "Importieren"}
    assert 'msgid "Head"\nmsgstr ""' in updated and "Said no more" not in updated


def test_a_file_is_read_as_translators_tools_write_it() -> None:
    text = (
        "# Translators.\n"
        'msgid ""\nmsgstr ""\n"Language: de\\n"\n\n'
        '#: ui/texts.py\nmsgid "One"\nmsgstr "Eins"\n'
        'msgid ""\n"A long "\n"text \\"quoted\\""\nmsgstr ""\n"Ein langer "\n"Text"\n\n'
        '#, fuzzy\nmsgid "Unsure"\nmsgstr "Unsicher"\n\n'
        'msgid "Not yet"\nmsgstr ""\n\n'
        '#~ msgid "Old"\n#~ msgstr "Alt"\n\n'
        'msgid "Last"\nmsgstr "Zuletzt\\n"\n'
    )
    assert po.read(text) == {"One": "Eins", 'A long text "quoted"': "Ein langer Text", "Last": "Zuletzt\n"}


@pytest.mark.parametrize("line", ['msgctxt "Operator"', 'msgid "open', "words"])
def test_a_line_that_is_none_is_named(line: str) -> None:
    with pytest.raises(ValueError, match="Line 2"):
        po.read(f"# Comment\n{line}\n")


def test_what_is_written_is_read() -> None:
    texts = {'He said "no"\\': ("a.py", "Nein\n"), "Yes": ("b.py", "")}
    assert po.read(po.written("Words.\n\nLanguage: de", texts)) == {'He said "no"\\': "Nein\n"}
