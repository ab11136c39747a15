"""What a training step sees.

Shape suffixes: B photos of a batch, L landmarks, H W rows and columns of the crop (224).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Crops of B = S * K photos: K of each of S subjects, one subject after the other.

    Attributes:
        image_B3HW: RGB in 0..1, float32.
        landmarks68_BL3: iBUG landmarks: x right, y down in [-1, 1] across the crop, and a weight, 0 where unknown.
        landmarks478_BL3: MediaPipe's, likewise.
        mask_B1HW: 1 where skin of the face is seen, 0 elsewhere, float32.
        subject_B: Number of each photo's subject.
        images_per_subject: K.
        names: Name of each photo, for messages.
    """

    image_B3HW: Tensor
    landmarks68_BL3: Tensor
    landmarks478_BL3: Tensor
    mask_B1HW: Tensor
    subject_B: Tensor
    images_per_subject: int
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.image_B3HW)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """The batch on another device."""
        moved = {
            name: value.to(device, non_blocking=non_blocking)
            for name, value in vars(self).items()
            if isinstance(value, Tensor)
        }
        return replace(self, **moved)

    def pin_memory(self) -> Batch:
        """The batch in pinned memory, for faster copies to a GPU."""
        pinned = {name: value.pin_memory() for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **pinned)

    def repeated(self, times: int) -> Batch:
        """The same photos several times, one whole batch after the other."""
        tensors = {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}
        copies = {name: torch.cat([value] * times) for name, value in tensors.items()}
        return replace(self, names=self.names * times, **copies)

    def first(self, count: int) -> Batch:
        """The first photos alone."""
        tensors = {name: value[:count] for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, names=self.names[:count], **tensors)
