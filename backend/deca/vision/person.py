"""What of a photo is a person: MediaPipe's selfie segmenter, around one face.

Shape suffixes: L landmarks, M rows and columns of the mask, H W of the photo, X points.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from deca.assets import asset
from deca.vision.graph import TensorGraph

_FRAME = 2.2
"""Side of the square that the network sees, in sizes of the face: head, hair and shoulders, as in its training."""


@dataclass(frozen=True)
class PersonMask:
    """Where a photo shows a person around one face.

    Attributes:
        person_MM: From 0, something else, to 1, a person, their hair, clothes and glasses.
        from_photo_23: Photo pixels -> pixels of the mask.
    """

    person_MM: NDArray[np.float32]
    from_photo_23: NDArray[np.float64]

    def at(self, pixels_HW2: NDArray[np.float32]) -> NDArray[np.float32]:
        """The mask at photo pixels (x, y), pixel centres at +0.5; 0 outside of the square."""
        linear_22, shift_2 = self.from_photo_23[:, :2].astype(np.float32), self.from_photo_23[:, 2].astype(np.float32)
        column_HW, row_HW = cv2.split(np.ascontiguousarray(pixels_HW2 @ linear_22.T + shift_2 - np.float32(0.5)))
        return np.asarray(cv2.remap(self.person_MM, column_HW, row_HW, cv2.INTER_LINEAR), np.float32)


def person_mask(photo_HW3: NDArray[np.uint8], landmarks_L2: NDArray) -> PersonMask:
    """Finds the person whose face has these landmarks.

    Args:
        photo_HW3: The upright photo, sRGB.
        landmarks_L2: Of the face, photo pixels.
    """
    network = _network()
    low_2, high_2 = landmarks_L2.min(0), landmarks_L2.max(0)
    scale = network.size / (_FRAME * float((high_2 - low_2).max()))
    from_photo_23 = np.column_stack((np.eye(2) * scale, network.size / 2 - scale * (low_2 + high_2) / 2))
    # Warping samples; a photo finer than the mask is averaged first.
    finer = max(int(1 / scale), 1)
    small_HW3 = photo_HW3
    if finer > 1:
        size = max(photo_HW3.shape[1] // finer, 1), max(photo_HW3.shape[0] // finer, 1)
        small_HW3 = cv2.resize(photo_HW3, size, interpolation=cv2.INTER_AREA)
    stretch_2 = np.array(photo_HW3.shape[1::-1]) / np.array(small_HW3.shape[1::-1])
    centred_23 = from_photo_23 * np.array((*stretch_2, 1))
    centred_23[:, 2] += centred_23[:, :2].sum(1) / 2 - 0.5  # OpenCV's pixel centres are whole numbers
    crop = cv2.warpAffine(
        small_HW3, centred_23, (network.size, network.size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    with torch.inference_mode():
        picture_13MM = torch.from_numpy(crop.astype(np.float32) / 255).permute(2, 0, 1)[None]
        (answer_11MM,) = network(picture_13MM).values()
    return PersonMask(answer_11MM[0, 0].numpy().copy(), from_photo_23)


@cache
def _network() -> TensorGraph:
    return TensorGraph(asset("vision/person.safetensors")).eval()
