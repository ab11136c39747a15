"""What the texels of a photo show: skin, hair on it, other hair, glasses, or something else.

Shape suffixes: K kinds (`deca.networks.skin_map.Kind`), H W rows and columns of the UV map.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from deca.appearance.laid_out import LaidOut
from deca.networks.skin_map import Kind, Seen, SkinMapNetwork


@dataclass(frozen=True)
class SkinMap:
    """What the texels of a photo show.

    Attributes:
        kinds_KHW: Probability of each kind, (5, 256, 256); they sum to 1. They mean nothing where nothing is seen.
    """

    kinds_KHW: NDArray[np.float32]

    def share(self, *kinds: Kind, size: int) -> NDArray[np.float32]:
        """Probability (size, size) that a texel shows one of some kinds."""
        share_HW = self.kinds_KHW[list(kinds)].sum(0)
        return np.asarray(cv2.resize(share_HW, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)


def read_skin(laid: LaidOut, network: SkinMapNetwork) -> SkinMap:
    """Tells what a photo shows.

    Args:
        laid: The photo, 256 x 256.
        network: For the same head model.
    """
    length_HW1 = np.linalg.norm(laid.view.normals_HW3, axis=-1, keepdims=True)
    maps = (
        laid.photo_HW3,
        laid.view.normals_HW3 / np.maximum(length_HW1, 1e-6),
        laid.seen_HW[..., None],
        laid.person_HW[..., None],
    )
    planar = [np.ascontiguousarray(map_HWC.transpose(2, 0, 1)[None], np.float32) for map_HWC in maps]
    return SkinMap(network.read(Seen(*map(torch.from_numpy, planar)))[0].numpy())
