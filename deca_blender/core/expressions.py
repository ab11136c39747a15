"""Expressions as ARKit weights: presets, random ones, and mirroring."""

from __future__ import annotations

import random
from collections.abc import Mapping

Weights = dict[str, float]
"""ARKit name -> weight in 0..1; names that are missing stand for 0."""


def both(**weights: float) -> Weights:
    """Weights for both sides: `mouthSmile` stands for `mouthSmileLeft` and `mouthSmileRight`."""
    return {f"{name}{side}": weight for name, weight in weights.items() for side in ("Left", "Right")}


PRESETS: dict[str, Weights] = {
    "Smile": both(mouthSmile=0.6, cheekSquint=0.35, eyeSquint=0.15),
    "Laugh": both(mouthSmile=0.9, cheekSquint=0.7, eyeSquint=0.4, mouthUpperUp=0.3) | {"jawOpen": 0.35},
    "Sad": both(mouthFrown=0.7, browDown=0.1, eyeSquint=0.15) | {"browInnerUp": 0.8, "mouthShrugLower": 0.3},
    "Angry": both(browDown=0.9, noseSneer=0.5, mouthPress=0.4, eyeSquint=0.4, mouthFrown=0.3) | {"jawForward": 0.2},
    "Surprised": both(browOuterUp=0.8, eyeWide=0.8) | {"browInnerUp": 0.8, "jawOpen": 0.4},
    "Afraid": both(eyeWide=0.9, mouthStretch=0.5, browOuterUp=0.3) | {"browInnerUp": 0.9, "jawOpen": 0.15},
    "Disgusted": both(noseSneer=0.9, mouthUpperUp=0.5, browDown=0.5, eyeSquint=0.4, mouthFrown=0.3),
    "Contempt": {"mouthSmileLeft": 0.5, "mouthDimpleLeft": 0.5, "noseSneerLeft": 0.3, "cheekSquintLeft": 0.2},
    "Wink": {"eyeBlinkLeft": 1.0, "cheekSquintLeft": 0.6, "mouthSmileLeft": 0.5, "browDownLeft": 0.3},
    "Doubt": {
        "browOuterUpRight": 0.8,
        "browInnerUp": 0.2,
        "browDownLeft": 0.5,
        "mouthPressLeft": 0.4,
        "mouthLeft": 0.3,
    },
    "Kiss": both(eyeBlink=0.3) | {"mouthPucker": 0.9, "mouthFunnel": 0.2},
    "Puffed Cheeks": both(mouthPress=0.3) | {"cheekPuff": 0.9, "mouthPucker": 0.2},
    "Shout": both(browDown=0.6, eyeSquint=0.4, noseSneer=0.4, mouthLowerDown=0.6, mouthUpperUp=0.4) | {"jawOpen": 0.8},
    "Yawn": both(eyeBlink=0.8, browDown=0.2, mouthStretch=0.2) | {"jawOpen": 0.95, "browInnerUp": 0.2},
    "Asleep": both(eyeBlink=1.0) | {"jawOpen": 0.05},
}
"""Named expressions, ours (CC0)."""

_SWAPPED = {"Left": "Right", "Right": "Left"}


def mirrored_name(name: str) -> str:
    """The ARKit shape of the other side: `eyeBlinkLeft` -> `eyeBlinkRight`; a middle one's own name."""
    for side, other in _SWAPPED.items():
        if name.endswith(side):
            return name.removesuffix(side) + other
    return name


def mirrored(weights: Mapping[str, float]) -> Weights:
    """The expression in the mirror."""
    return {mirrored_name(name): weight for name, weight in weights.items()}


def copied_side(weights: Mapping[str, float], source: str) -> Weights:
    """The expression with one side's shapes copied to the other: `source` is `Left` or `Right`, the subject's."""
    kept = {name: weight for name, weight in weights.items() if not name.endswith(_SWAPPED[source])}
    return kept | {mirrored_name(name): weight for name, weight in kept.items() if name.endswith(source)}


def random_expression(seed: int, amount: float = 1.0) -> Weights:
    """A plausible expression: two presets mixed, in the mirror half of the time.

    Args:
        seed: The same seed gives the same expression.
        amount: Strength; weights stay in 0..1.
    """
    source = random.Random(seed)
    first, second = source.sample(sorted(PRESETS), 2)
    share = source.uniform(0.2, 0.8)
    strength = amount * source.uniform(0.6, 1.1)
    mixed: Weights = {}
    for preset, part in ((PRESETS[first], share), (PRESETS[second], 1 - share)):
        for name, weight in preset.items():
            mixed[name] = mixed.get(name, 0.0) + part * weight * strength * source.uniform(0.8, 1.2)
    mixed = {name: min(max(weight, 0.0), 1.0) for name, weight in mixed.items()}
    return mirrored(mixed) if source.random() < 0.5 else mixed
