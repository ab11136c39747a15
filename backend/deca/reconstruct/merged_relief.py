"""The reliefs that several photos of a person show, as one.

Each photo's relief belongs to its own expression. With R a photo's relief, a the local strength of F_d's map there
(`deca.reconstruct.moving_relief`) and w its share at a place, the merged relief belongs to an expression whose strength
is the mean of the photos',

    A = sum w a,    R_merged = sum w R m,    m = min((A + f) / (a + f), MOST_ACTIVE),

so that where one photo decides, its relief and its strength are taken as they are. Shares go to the photo that is the
surest and whose expression folds the skin there: a smooth brow does not tell which lines it has when it is raised.

Shape suffixes: H W rows and columns of UV maps (256), P Q those of cells of 4 x 4 texels (64).
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from deca.reconstruct.moving_relief import ACTIVITY_FLOOR, MOST_ACTIVE, MovingRelief

_POWER = 4.0
"""How sharply the better photo wins: means of lines that do not lie on each other are shallow and blurred."""


def merge_reliefs(reliefs: Sequence[MovingRelief], weights: Sequence[float]) -> MovingRelief:
    """One relief of several photos' of a person.

    Args:
        reliefs: One at least, of one head model and one detail code.
        weights: How much each photo tells as a whole, above 0.
    """
    if len(reliefs) == 1:
        return reliefs[0]
    activity_NPQ = np.stack([relief.activity_PQ for relief in reliefs])
    certainty_NPQ = np.stack([relief.certainty_PQ for relief in reliefs])
    worth_NPQ = certainty_NPQ * (activity_NPQ + ACTIVITY_FLOOR) * np.asarray(weights, np.float32)[:, None, None]
    worth_NPQ = (worth_NPQ / np.maximum(worth_NPQ.max(0), 1e-12)) ** _POWER
    share_NPQ = (worth_NPQ + 1e-6) / (worth_NPQ + 1e-6).sum(0)
    activity_PQ = (share_NPQ * activity_NPQ).sum(0)
    displacement_HW = np.zeros_like(reliefs[0].displacement_HW)
    for relief, share_PQ in zip(reliefs, share_NPQ, strict=True):
        ratio_PQ = (activity_PQ + ACTIVITY_FLOOR) / (relief.activity_PQ + ACTIVITY_FLOOR)
        scale_PQ = share_PQ * np.minimum(ratio_PQ, MOST_ACTIVE)
        displacement_HW += relief.displacement_HW * _texels(scale_PQ, len(displacement_HW))
    return MovingRelief(displacement_HW, (share_NPQ * certainty_NPQ).sum(0), activity_PQ)


def _texels(cells_PQ: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Cells as texels, without steps."""
    return np.asarray(cv2.resize(cells_PQ.astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR), np.float32)
