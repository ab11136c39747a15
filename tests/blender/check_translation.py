"""The add-on's words in Blender: all that is registered can be translated; without a language they are English."""

from __future__ import annotations

from typing import Any

import blender_case as case
import bpy

from deca_blender import registration
from deca_blender.core.export import FORMATS
from deca_blender.properties.sliders import DECA_PG_sliders
from deca_blender.ui import texts, translation
from tools import translations


def _shown_properties(cls: type) -> list[bpy.types.Property]:
    """Properties that a class has of the add-on, and not of Blender, and that users see."""
    names = {name for base in cls.__mro__ for name in vars(base).get("__annotations__", ())}
    kind: Any = cls.bl_rna  # type: ignore[attr-defined]
    if issubclass(cls, bpy.types.Operator):
        kind = getattr(bpy.ops.deca, cls.bl_idname.partition(".")[2]).get_rna_type()
    return [prop for prop in kind.properties if prop.identifier in names and not prop.is_hidden]


def test_everything_registered_is_in_the_languages() -> None:
    words, said = set(translations.words()), set()
    for cls in registration.CLASSES:
        said |= {getattr(cls, "bl_label", ""), getattr(cls, "bl_description", "")}
        for prop in _shown_properties(cls) if cls is not DECA_PG_sliders else ():
            said |= {prop.name, prop.description}
            if prop.type == "ENUM":
                said |= {word for item in prop.enum_items for word in (item.name, item.description)}
    said = {word for word in said if any(letter.islower() for letter in word)}
    assert len(said & words) > 250, len(said & words)
    names = {kind.label for kind in FORMATS.values()} | {"filepath"}  # Blender's file browser shows it its own way
    assert said <= words | names, sorted(said - words - names)


def test_without_a_language_it_is_english() -> None:
    assert translation.iface(texts.PHOTOS, count=3) == "Made from 3 photos"
    assert translation.tip(texts.NO_HEAD) == texts.NO_HEAD
    assert texts.imported(["Zoë"]) == "Imported Zoë" and texts.imported(["Zoë", "Ann"]) == "Imported 2 heads"


def test_a_language_gives_labels_and_buttons() -> None:
    german = translation._messages(translation.LANGUAGES / "de.po")
    assert german["*", texts.IMPORT] == german["Operator", texts.IMPORT] == "Gesicht aus Foto importieren"
    assert len(german) == 2 * len(translations.words())


case.main(globals())
