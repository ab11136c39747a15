"""The 15 visemes of Oculus Lipsync as sums of ARKit shapes.

Names and the sounds behind them are those of Meta's viseme reference (Oculus Lipsync SDK). The weights are ours (CC0):
what lips, jaw and tongue do for these sounds, set by eye on the bundled head. Sounds that are made behind the teeth
(DD, kk, nn) differ from each other by little more than the jaw, as they do to somebody who reads lips.
"""

from __future__ import annotations

from .expressions import Weights, both

VISEMES: dict[str, Weights] = {
    "viseme_sil": {},
    "viseme_PP": both(mouthPress=0.35) | {"mouthRollLower": 0.3, "mouthRollUpper": 0.3},  # put, bat
    "viseme_FF": both(mouthUpperUp=0.2) | {"jawOpen": 0.08, "mouthRollLower": 0.6},  # fat, vat
    "viseme_TH": both(mouthLowerDown=0.2, mouthUpperUp=0.1) | {"jawOpen": 0.18, "tongueOut": 0.25},  # think, that
    "viseme_DD": both(mouthLowerDown=0.25, mouthUpperUp=0.1, mouthStretch=0.1) | {"jawOpen": 0.14},  # tip, doll
    "viseme_kk": both(mouthLowerDown=0.2, mouthUpperUp=0.1) | {"jawOpen": 0.2},  # call, gas
    "viseme_CH": both(mouthUpperUp=0.15, mouthLowerDown=0.15) | {"jawOpen": 0.08, "mouthFunnel": 0.5},  # chair, she
    "viseme_SS": both(mouthStretch=0.3, mouthLowerDown=0.25, mouthUpperUp=0.1) | {"jawOpen": 0.05},  # sir, zeal
    "viseme_nn": both(mouthLowerDown=0.15, mouthStretch=0.1) | {"jawOpen": 0.1},  # lot, not
    "viseme_RR": {"jawOpen": 0.12, "mouthFunnel": 0.3, "mouthPucker": 0.2},  # red
    "viseme_aa": both(mouthLowerDown=0.2, mouthUpperUp=0.1) | {"jawOpen": 0.6},  # car
    "viseme_E": both(mouthSmile=0.2, mouthLowerDown=0.2, mouthStretch=0.25) | {"jawOpen": 0.3},  # bed
    "viseme_I": both(mouthSmile=0.3, mouthLowerDown=0.2, mouthStretch=0.3) | {"jawOpen": 0.15},  # tip
    "viseme_O": {"jawOpen": 0.35, "mouthFunnel": 0.5, "mouthPucker": 0.2},  # toe
    "viseme_U": {"jawOpen": 0.15, "mouthFunnel": 0.35, "mouthPucker": 0.6},  # book
}
"""ARKit weights of each viseme."""
