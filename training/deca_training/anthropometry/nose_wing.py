"""Alare: the outermost point of the wing of the nose, where it meets the cheek.

On most heads the skin runs on outwards behind the wing, so that alare is no extreme of the surface: it is the corner
between wing and cheek, in level sections of the mean head. As a point of the surface it moves with every shape.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deca.head import HeadModel, Part

_NOSTRIL = {"_r": 31, "_l": 35}
_TIP, _SUBNASALE = 30, 33
# Metres: how far the part of the section that is looked at reaches from the iBUG point at the nostril's side.
_INWARDS, _OUTWARDS, _BEHIND = 3e-3, 11e-3, 12e-3
_LEVELS = 7
_WALL = 2.0
"""The wing ends where its wall runs outwards by more than 1 on 2 backwards; at 1 on 1 lies the crease behind it."""


class NoseWing:
    """Finds al_r and al_l; call it with vertices (V, 3)."""

    def __init__(self, head: HeadModel) -> None:
        assert head.landmarks_68 is not None
        verts_V3 = head.template_V3.astype(np.float64)
        ibug = head.landmarks_68.positions(verts_V3, head.faces_F3)
        skin_F3 = head.faces_F3[(head.parts_V[head.faces_F3] == Part.SKIN).all(1)]
        first, second = skin_F3.ravel(), np.roll(skin_F3, -1, 1).ravel()
        self._edges: dict[str, tuple[int, int, float]] = {}
        for side, landmark in _NOSTRIL.items():
            sign, nostril = np.sign(ibug[landmark, 0]), ibug[landmark]
            corners = []
            for level in np.linspace(ibug[_SUBNASALE, 1], ibug[_TIP, 1], _LEVELS):
                cut = (verts_V3[first, 1] > level) != (verts_V3[second, 1] > level)
                a, b = first[cut], second[cut]
                share = (verts_V3[a, 1] - level) / (verts_V3[a, 1] - verts_V3[b, 1])
                x, _, z = (verts_V3[a] * (1 - share[:, None]) + verts_V3[b] * share[:, None]).T
                out, back = x * sign - abs(nostril[0]), nostril[2] - z
                near = np.flatnonzero((out > -_INWARDS) & (out < _OUTWARDS) & (back > -_BEHIND) & (back < _BEHIND))
                if len(near) < 3:
                    continue
                corner = near[(back[near] - _WALL * out[near]).argmax()]
                corners.append((out[corner], int(a[corner]), int(b[corner]), float(share[corner])))
            if corners:
                self._edges[side] = max(corners)[1:]

    def __call__(self, verts_V3: NDArray) -> dict[str, NDArray[np.float64]]:
        """al_r and al_l, (3,) metres each; nothing on a head that has no wings there."""
        return {f"al{s}": verts_V3[a] * (1 - k) + verts_V3[b] * k for s, (a, b, k) in self._edges.items()}
