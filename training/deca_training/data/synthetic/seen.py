"""Synthetic people as the product sees them: by the landmark network, which is off as it is on photos."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deca.vision.landmarks import LandmarkNet, region_of
from deca_blender.protocol.conventions import CROP_SIZE
from deca_training.data.synthetic.subjects import SyntheticSubject

_PASSES = 2
"""Runs of the network, the first where the true landmarks say: the product's detector gives but a box."""


def found_landmarks(subject: SyntheticSubject, network: LandmarkNet, photos: int | None = None) -> NDArray[np.float32]:
    """What the landmark network finds on the first photos, or all (K, 478, 3): pixels, with depth in the same scale."""
    found = []
    for image_HW3, true_L2 in zip(subject.image_KHW3[:photos], subject.landmarks478_KL2[:photos], strict=True):
        points_L3 = np.pad((true_L2 + 1) * (CROP_SIZE / 2), ((0, 0), (0, 1)))
        for _ in range(_PASSES):
            points_L3 = network.locate(image_HW3, [region_of(points_L3)])[0][0]
        found.append(points_L3)
    return np.stack(found).astype(np.float32)
