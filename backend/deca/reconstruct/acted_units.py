"""What faces do in videos, in ARKit's units: how likely each is, and how much of each the landmarks show.

A movement of the face is the sum of a few units that only push. Coefficients that may have either sign, all equally
likely, spread what a lid or a jaw does over dozens of others.

Shape suffixes: E expression coefficients, U units, K rows of the ARKit map, A its names.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deca.head.model import HeadModel

Array = NDArray[np.float64]

_LIKELY = {
    "eyeBlink": 0.7,
    "mouthSmile": 0.7,
    "browInnerUp": 0.6,
    "browDown": 0.6,
    "mouthPucker": 0.6,
    "browOuterUp": 0.5,
    "mouthFunnel": 0.3,
    "mouthFrown": 0.2,
    "mouthStretch": 0.2,
    "noseSneer": 0.2,
    "mouthShrugLower": 0.12,
    "mouthShrugUpper": 0.12,
    "jawLeft": 0.1,
    "jawRight": 0.1,
}
_ELSE_LIKELY = 0.15
"""Standard deviations of the units' weights: wide for what faces do at every moment, narrow for what landmarks can
hardly tell from it (a squint from a blink, a lowered lip from an opened jaw). Chosen by hand on rendered
performances."""

_UNSEEN = ("jawOpen", "jawForward", "mouthClose", "cheekPuff", "tongueOut", "eyeLook")
"""Left to the joints (jaw, gaze), or not to be seen by landmarks."""

_REST = -0.25
"""Mean of a weight's prior, in its standard deviations: below zero, where weights end, so that small ones vanish."""
_SIDES_SIGMA = 0.1
"""Standard deviation of left against right: faces are mostly symmetric, and a wink has many landmarks."""

JAW_SIGMA = 0.4
"""Of the jaw's opening, radians: twice a photo's, as people in videos talk."""

_AMPLITUDE = {
    "eyeBlink": 1.5,
    "mouthSmile": 1.3,
    "browInnerUp": 2.0,
    "browOuterUp": 2.0,
    "browDown": 2.0,
    "mouthPucker": 1.5,
}
_JAW_AMPLITUDE = 1.4
"""By how much movements that are found fall short: the priors hold them back, and so does bare skin, which the network
moves too little. Estimated on renders of two people (`bench_capture.py --movements`, seeds 0 and 1), told of others
(docs/capture.md). The jaw's is less than renders ask for (1.8): on photos, lips part too far already, by 8 to 18 %."""


@dataclass(frozen=True, eq=False)
class ActedUnits:
    """The units of a head model that landmarks show.

    Attributes:
        names: Their ARKit names.
        dirs_EU: Expression coefficients of each.
        sigma_U, mean_U: Standard deviation and mean of their weights' prior.
        amplitude_U: By how much found weights fall short of acted ones.
    """

    names: tuple[str, ...]
    dirs_EU: Array
    sigma_U: Array
    mean_U: Array
    amplitude_U: Array

    @classmethod
    def of(cls, head: HeadModel, num_expression: int) -> ActedUnits | None:
        """Those of a head model; None where it has no ARKit map."""
        if head.arkit_map_K52 is None:
            return None
        columns = [i for i, name in enumerate(head.arkit_names) if not name.startswith(_UNSEEN)]
        names = tuple(head.arkit_names[i] for i in columns)
        sigma_U = np.array([_of(name, _LIKELY, _ELSE_LIKELY) for name in names])
        return cls(
            names,
            head.arkit_map_K52[:num_expression, columns].astype(np.float64),
            sigma_U,
            _REST * sigma_U,
            np.array([_of(name, _AMPLITUDE, 1.0) for name in names]),
        )

    def precision(self) -> Array:
        """Prior precision (U, U) of the weights."""
        out = np.diag(1 / self.sigma_U**2)
        for left, name in enumerate(self.names):
            other = name.removesuffix("Left") + "Right"
            if name.endswith("Left") and name not in ("jawLeft", "mouthLeft"):
                right = self.names.index(other)
                out[[left, right], [left, right]] += 1 / _SIDES_SIGMA**2
                out[[left, right], [right, left]] -= 1 / _SIDES_SIGMA**2
        return out

    def acted(self, weights_FU: Array) -> Array:
        """Expression coefficients (F, E) of what was acted where these weights were found."""
        return np.clip(weights_FU * self.amplitude_U, 0, 1) @ self.dirs_EU.T


def acted_jaw(opening_F: Array) -> Array:
    """The jaw's opening, radians, that was acted where the landmarks show this one."""
    return opening_F * _JAW_AMPLITUDE


def _of(name: str, table: dict[str, float], otherwise: float) -> float:
    return table.get(name, table.get(name.removesuffix("Left").removesuffix("Right"), otherwise))
