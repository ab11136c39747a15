"""What a training step sees.

Shape suffixes: B photos of a batch, L landmarks, V vertices, H W rows and columns of the crop (224) or of UV maps
(256).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import TypeVar

import torch
from torch import Tensor

from deca.networks import Codes

T = TypeVar("T")


@dataclass(frozen=True)
class Truth:
    """What is known of synthetic subjects.

    Attributes:
        codes: The coarse codes that made the photos.
        neutral_BV3: Vertices without expression and pose, head space, metres; they may be outside the span of the shape
            coefficients.
        displacement_B1HW: What F_d has to say, metres (B, 1, 256, 256).
        detail_BD: What E_d may say (`deca_training.data.synthetic.codes`), where it is asked for.
    """

    codes: Codes
    neutral_BV3: Tensor
    displacement_B1HW: Tensor
    detail_BD: Tensor | None = None


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
        truth: What made the photos, where it is known.
        geometry: Codes of heads that were fitted to the photos, where they were.
        seen_B1HW: How well the photos show these heads' skin, as whole UV maps, 0..1; likewise.
    """

    image_B3HW: Tensor
    landmarks68_BL3: Tensor
    landmarks478_BL3: Tensor
    mask_B1HW: Tensor
    subject_B: Tensor
    images_per_subject: int
    names: tuple[str, ...]
    truth: Truth | None = None
    geometry: Codes | None = None
    seen_B1HW: Tensor | None = None

    def __len__(self) -> int:
        return len(self.image_B3HW)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """The batch on another device."""
        return _combined([self], lambda parts: parts[0].to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Batch:
        """The batch in pinned memory, for faster copies to a GPU."""
        return _combined([self], lambda parts: parts[0].pin_memory())

    def repeated(self, times: int) -> Batch:
        """The same photos several times, one whole batch after the other."""
        return Batch.joined([self] * times)

    @classmethod
    def joined(cls, batches: Sequence[Batch]) -> Batch:
        """Batches of equally many photos per subject as one."""
        names = tuple(name for batch in batches for name in batch.names)
        return replace(_combined(batches, torch.cat), names=names)

    def first(self, count: int) -> Batch:
        """The first photos alone."""
        return replace(_combined([self], lambda parts: parts[0][:count]), names=self.names[:count])


def _combined(parts: Sequence[T], combine: Callable[[list[Tensor]], Tensor]) -> T:
    """Dataclasses as one: each of their tensors combined, and those of the dataclasses in them."""
    combined = {}
    for field in fields(parts[0]):  # type: ignore[arg-type]
        values = [getattr(part, field.name) for part in parts]
        if isinstance(values[0], Tensor):
            combined[field.name] = combine(values)
        elif isinstance(values[0], Truth | Codes):
            combined[field.name] = _combined(values, combine)
    return replace(parts[0], **combined)  # type: ignore[type-var]
