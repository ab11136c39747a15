"""The 52 ARKit shapes as an artist looks for them: by region of the face, with readable names."""

from __future__ import annotations

import re
from collections.abc import Iterable

REGIONS = {
    "Brows": ("brow",),
    "Eyes": ("eye",),
    "Cheeks": ("cheek",),
    "Nose": ("nose",),
    "Jaw": ("jaw",),
    "Mouth": ("mouth", "tongue"),
}
"""Regions of the face, and how the names of their sliders begin."""
OTHER = "Other"
"""The region of all other names."""


_BOTH = (
    *("browDown", "browOuterUp", "cheekSquint", "eyeBlink", "eyeLookDown", "eyeLookIn", "eyeLookOut", "eyeLookUp"),
    *("eyeSquint", "eyeWide", "mouthDimple", "mouthFrown", "mouthLowerDown", "mouthPress", "mouthSmile"),
    *("mouthStretch", "mouthUpperUp", "noseSneer"),
)
_MIDDLE = (
    *("browInnerUp", "cheekPuff", "jawForward", "jawLeft", "jawOpen", "jawRight", "mouthClose", "mouthFunnel"),
    *("mouthLeft", "mouthPucker", "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower"),
    *("mouthShrugUpper", "tongueOut"),
)
NAMES = tuple(sorted((*_MIDDLE, *(f"{name}{side}" for name in _BOTH for side in ("Left", "Right")))))
"""The 52 names, which head models with an ARKit map have as sliders."""


def slider_groups(names: Iterable[str]) -> dict[str, list[str]]:
    """ARKit names by region, in the order of the panel; unknown names come under `OTHER`."""
    groups: dict[str, list[str]] = {group: [] for group in REGIONS}
    for name in names:
        matches = (group for group, prefixes in REGIONS.items() if name.startswith(prefixes))
        groups.setdefault(next(matches, OTHER), []).append(name)
    return {group: members for group, members in groups.items() if members}


def gaze(names: Iterable[str]) -> list[str]:
    """The ARKit names that turn the eyes."""
    return [name for name in names if name.startswith("eyeLook")]


def matching(names: Iterable[str], search: str) -> list[str]:
    """The ARKit names whose labels hold every word of a search, in any order and case."""
    words = search.lower().split()
    return [name for name in names if all(word in label(name).lower() for word in words)]


def label(name: str) -> str:
    """`mouthSmileLeft` -> `Mouth Smile Left`."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return words[:1].upper() + words[1:]
