"""What users should know of how a photo became a head's colours: a code and a number each, and their sentences."""

from __future__ import annotations

from collections.abc import Iterable

from .messages import Notice

MIRRORED, SHADOW, SMALL, CAST, GLASSES = "mirrored", "shadow", "small", "cast", "glasses"

SENTENCES = {
    MIRRORED: "The photo does not show {value:.0%} of the face: the other side is mirrored there.",
    SHADOW: "One half of the face lies in shadow: its colors are uncertain there.",
    SMALL: "The face is {value:.0f} pixels wide on the photo: too few for the skin's detail.",
    CAST: "The light on the photo is colored: balance the white of the photo for true tones of the skin.",
    GLASSES: "Glasses were taken off; the skin below them is made up.",
}
"""By code; `value` is that of the notice: a share of the face, pixels, or a difference of Lab."""


def template(code: str) -> str:
    """The sentence of a code, with `{value}` in it; codes of other versions stand for themselves."""
    return SENTENCES.get(code, f"{code}: {{value:.2g}}")


def sentence(code: str, value: float) -> str:
    """A notice in words."""
    return template(code).format(value=value)


def told(notices: Iterable[Notice]) -> list[dict[str, object]]:
    """Notices as a report's line has them."""
    return [{"code": each.code, "value": each.value, "text": sentence(each.code, each.value)} for each in notices]
