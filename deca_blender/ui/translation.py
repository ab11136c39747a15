"""The user's language, through Blender's own mechanism: a .po file for each in `deca_blender/languages`.

Blender looks up by itself what it draws of classes and properties, and what `label`, `report` and their like are given
as it stands in `texts.py`. What is put together at run time (`texts.PHOTOS_ADDED` with a name and a number) goes
through `iface`, `tip` or `rpt`, which translate first and put in the values afterwards. Without a language, and in
background, all of it is English.
"""

from __future__ import annotations

from pathlib import Path

import bpy

from ..core import po

LANGUAGES = Path(__file__).resolve().parents[1] / "languages"
_OWNER = __name__


def register() -> None:
    """Hands all languages to Blender."""
    bpy.app.translations.register(_OWNER, {path.stem: _messages(path) for path in sorted(LANGUAGES.glob("*.po"))})


def unregister() -> None:
    """Takes them back."""
    bpy.app.translations.unregister(_OWNER)


def iface(text: str, **values: object) -> str:
    """A text of the interface in the user's language, with its values put in."""
    translated = bpy.app.translations.pgettext_iface(text)
    return translated.format(**values) if values else translated


def tip(text: str, **values: object) -> str:
    """A text of tooltips, also why a button is grey."""
    translated = bpy.app.translations.pgettext_tip(text)
    return translated.format(**values) if values else translated


def rpt(text: str, **values: object) -> str:
    """A text of reports: the status bar, and boxes that say what happened."""
    translated = bpy.app.translations.pgettext_rpt(text)
    return translated.format(**values) if values else translated


def _messages(path: Path) -> dict[tuple[str, str], str]:
    """A file as Blender takes it. Buttons of operators are looked up in a context of their own: texts stand in both."""
    contexts = bpy.app.translations.contexts
    found = po.read(path.read_text(encoding="utf-8"))
    both = (contexts.default, contexts.operator_default)
    return {(context, text): translation for text, translation in found.items() for context in both}
