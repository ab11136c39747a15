"""Random expressions: what faces do together, as ARKit weights."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

_ACTIONS: tuple[tuple[float, Mapping[str, tuple[float, float]]], ...] = (
    (3.0, {"mouthSmile": (0.6, 1), "cheekSquint": (0.4, 1), "eyeSquint": (0.1, 0.6), "mouthDimple": (0, 0.4)}),
    (1.5, {"mouthSmile": (0.7, 1), "cheekSquint": (0.5, 1), "eyeSquint": (0.3, 0.7), "jawOpen": (0.2, 0.5),
           "mouthUpperUp": (0.1, 0.4)}),
    (3.0, {"browInnerUp": (0.7, 1), "browOuterUp": (0.7, 1), "eyeWide": (0, 0.6)}),
    (1.0, {"browOuterUp": (0.6, 1), "browInnerUp": (0, 0.4)}),
    (3.0, {"browDown": (0.7, 1), "eyeSquint": (0, 0.6)}),
    (2.0, {"noseSneer": (0.6, 1), "browDown": (0.1, 0.7), "mouthUpperUp": (0.2, 0.8), "cheekSquint": (0, 0.5)}),
    (1.5, {"mouthFrown": (0.6, 1), "mouthShrugLower": (0.3, 0.9), "browInnerUp": (0, 0.9)}),
    (1.0, {"mouthPucker": (0.6, 1)}),
    (0.7, {"mouthFunnel": (0.5, 1), "jawOpen": (0, 0.3)}),
    (1.0, {"mouthPress": (0.5, 1), "mouthShrugLower": (0, 0.6)}),
    (1.0, {"mouthStretch": (0.5, 1), "jawOpen": (0, 0.4)}),
    (1.0, {"browInnerUp": (0.6, 1), "browOuterUp": (0.6, 1), "eyeWide": (0.4, 1), "jawOpen": (0.3, 0.7)}),
    (1.0, {"eyeSquint": (0.6, 1), "cheekSquint": (0.4, 1), "browDown": (0, 0.4)}),
    (0.7, {"eyeBlink": (0.7, 1)}),
    (0.8, {"jawOpen": (0.3, 0.7)}),
    (0.5, {"mouthRollLower": (0.4, 1), "mouthRollUpper": (0.4, 1)}),
    (0.5, {"cheekPuff": (0.4, 1)}),
    (0.5, {"mouthLeft": (0.3, 0.9)}),
    (0.5, {"mouthRight": (0.3, 0.9)}),
)  # fmt: skip
"""How often an action is chosen, and the range of each shape's weight at full strength."""

_NEUTRAL, _STRONG, _ONE_SIDED = 0.08, 0.35, 0.15


def random_expression(rng: np.random.Generator, names: tuple[str, ...]) -> dict[str, float]:
    """ARKit weights by name, 0..1: up to three actions at once, often strong ones, one in twelve neutral.

    Args:
        rng: Source.
        names: The head's ARKit shapes.
    """
    weights = dict.fromkeys(names, 0.0)
    _look(weights, rng)
    if rng.uniform() < _NEUTRAL:
        return weights
    chance = np.array([often for often, _ in _ACTIONS])
    count = rng.choice([1, 2, 3], p=[0.5, 0.37, 0.13])
    for action in rng.choice(len(_ACTIONS), count, replace=False, p=chance / chance.sum()):
        strength = rng.uniform(0.8, 1.0) if rng.uniform() < _STRONG else rng.beta(1.6, 1.1)
        weak_side = rng.choice(["Left", "Right"]) if rng.uniform() < _ONE_SIDED else ""
        weaker = rng.uniform(0, 0.5)
        for name, (low, high) in _ACTIONS[action][1].items():
            weight = strength * rng.uniform(low, high)
            if name in weights:
                weights[name] = max(weights[name], weight)
                continue
            for side in ("Left", "Right"):
                factor = weaker if side == weak_side else 1.0
                own = weight * factor * np.exp(0.08 * rng.standard_normal())
                weights[name + side] = max(weights[name + side], own)
    weights["jawOpen"] = min(weights["jawOpen"], 0.7)
    return {name: float(np.clip(weight, 0, 1)) for name, weight in weights.items()}


def _look(weights: dict[str, float], rng: np.random.Generator) -> None:
    """Both eyes look somewhere, mostly ahead; lids that are rarely quite the same."""
    across, up = rng.normal(0, 0.2), rng.normal(0, 0.15)
    for side, outward in (("Left", across), ("Right", -across)):
        weights[f"eyeLookOut{side}"], weights[f"eyeLookIn{side}"] = max(outward, 0), max(-outward, 0)
        weights[f"eyeLookUp{side}"], weights[f"eyeLookDown{side}"] = max(up, 0), max(-up, 0)
        weights[f"eyeBlink{side}"] = float(np.clip(rng.normal(0.05, 0.08), 0, 0.3))
