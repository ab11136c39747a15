"""Which wrinkles a face can have: where, how deep at which age, and what makes them.

Depths, widths and ages are chosen so that faces look right; they are not measured on people. Every family has one or
several channels: a paired family one per side, the forehead five across.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Layout = Literal["middle", "paired", "forehead"]


@dataclass(frozen=True)
class Family:
    """One kind of wrinkle.

    Attributes:
        name: Its name, and that of its pattern (`patterns`).
        depth: Millimetres at 20 and at 75 years, at full activation.
        rest: Share of the depth that stays without expression, early and late in life.
        onset: Age at which the share begins to rise.
        width: Of the valley, millimetres.
        layout: `middle`: one channel; `paired`: one per side, left first; `forehead`: five from right to left.
        strain: Weight of the skin's compression across the lines, which is 1 at `reference` on the mean head.
        reference: ARKit weights; names without Left or Right mean both sides.
        reach: Standard deviation of the region whose compression counts, millimetres from the lines.
        arkit: Weights of ARKit coefficients of the channel's own side, where strain does not tell.
        is_fold: A fold with a bulge on its outer or upper side instead of a valley with two shoulders.
        common: Share of young people who have it well; on the others it is faint. It grows with age.
    """

    name: str
    depth: tuple[float, float]
    rest: tuple[float, float]
    onset: float
    width: float
    layout: Layout = "paired"
    strain: float = 0.0
    reference: Mapping[str, float] = field(default_factory=dict)
    reach: float = 4.0
    arkit: Mapping[str, float] = field(default_factory=dict)
    is_fold: bool = False
    common: float = 1.0


FAMILIES = (
    Family("forehead", (0.45, 1.05), (0.03, 0.48), 42, 1.15, "forehead", 1.0,
           {"browInnerUp": 1, "browOuterUp": 1}, reach=9.0, common=0.85),
    Family("glabella", (0.40, 1.00), (0.03, 0.52), 42, 1.1, "paired", 0.3, {"browDown": 1},
           arkit={"browDown": 0.7, "browInnerUp": -0.15}, common=0.7),
    Family("nasal_root", (0.30, 0.80), (0.02, 0.42), 45, 1.0, "middle", 1.0, {"noseSneer": 1}, common=0.6),
    Family("crows_feet", (0.26, 0.80), (0.03, 0.48), 40, 0.85, "paired", 0.8, {"cheekSquint": 1}, reach=3.5,
           arkit={"eyeSquint": 0.5, "mouthSmile": 0.25, "eyeBlink": 0.12}, common=0.85),
    Family("under_eye", (0.16, 0.45), (0.10, 0.55), 38, 0.8, "paired", 0.6, {"cheekSquint": 1}, reach=3.0,
           arkit={"eyeSquint": 0.5, "cheekSquint": 0.2, "eyeBlink": 0.1}, common=0.75),
    Family("bag", (0.08, 0.75), (0.60, 0.90), 42, 1.9, is_fold=True,
           arkit={"cheekSquint": 0.8, "eyeSquint": 0.3, "mouthSmile": 0.2, "jawOpen": -0.1}, common=0.5),
    Family("nasolabial", (0.55, 1.25), (0.14, 0.62), 38, 1.5, is_fold=True,
           arkit={"mouthSmile": 0.85, "noseSneer": 0.7, "mouthUpperUp": 0.5, "mouthDimple": 0.35, "mouthStretch": 0.35,
                  "cheekSquint": 0.3, "mouthPress": 0.15, "mouthPucker": -0.4, "mouthFunnel": -0.4, "cheekPuff": -0.6,
                  "jawOpen": -0.15}, common=0.85),
    Family("bunny", (0.28, 0.60), (0.0, 0.20), 48, 0.85,
           arkit={"noseSneer": 1.0, "cheekSquint": 0.3, "mouthUpperUp": 0.2, "browDown": 0.15}, common=0.7),
    Family("marionette", (0.20, 0.95), (0.03, 0.62), 46, 1.3, is_fold=True,
           arkit={"mouthFrown": 1.0, "mouthStretch": 0.4, "mouthShrugLower": 0.35, "mouthPress": 0.3,
                  "mouthSmile": -0.25, "jawOpen": -0.4, "cheekPuff": -0.6, "mouthFunnel": -0.3}, common=0.7),
    Family("cheek", (0.10, 0.70), (0.0, 0.42), 46, 1.3, "paired", 1.0, {"mouthSmile": 1}, reach=5.0, common=0.6),
    Family("upper_lip", (0.18, 0.55), (0.0, 0.45), 52, 0.75, "paired", 0.7, {"mouthPucker": 1}, reach=3.0,
           arkit={"mouthPucker": 0.3, "mouthRollUpper": 0.3}, common=0.6),
    Family("lower_lip", (0.16, 0.38), (0.0, 0.35), 52, 0.8, "paired", 0.7, {"mouthPucker": 1}, reach=3.0,
           arkit={"mouthPucker": 0.3, "mouthShrugLower": 0.25}, common=0.6),
    Family("mental_crease", (0.45, 0.95), (0.20, 0.50), 42, 1.7, "middle",
           arkit={"mouthShrugLower": 0.9, "mouthFrown": 0.5, "mouthPress": 0.4, "mouthPucker": 0.3, "mouthSmile": 0.15,
                  "jawOpen": -0.3}, common=0.8),
    Family("chin", (0.22, 0.50), (0.0, 0.25), 50, 1.3,
           arkit={"mouthShrugLower": 0.9, "mouthFrown": 0.4, "mouthPress": 0.25, "mouthPucker": 0.35, "jawOpen": -0.3},
           common=0.6),
)  # fmt: skip

FOREHEAD_BINS = (-30.0, -15.0, 0.0, 15.0, 30.0)
"""Middles of the forehead's channels, millimetres to the subject's left."""


def channel_names() -> tuple[str, ...]:
    """Names of all channels, in order: `forehead0`..`forehead4`, `glabella_l`, `glabella_r`, `nasal_root`, ..."""
    suffixes = {"middle": ("",), "paired": ("_l", "_r"), "forehead": tuple(str(i) for i in range(len(FOREHEAD_BINS)))}
    return tuple(family.name + suffix for family in FAMILIES for suffix in suffixes[family.layout])
