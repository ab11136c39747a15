"""Photos with heads that were fitted to them: crops, codes and what is seen of the skin. `deca-train fit` writes them.

The nonlinear face model learns from photos whose geometry is known about, as the paper does from 300W-LP's fits.
Fitting takes half a second per photo; so it is done once (`deca_training.fit_photos`). One .npz, arrays only.

Shape suffixes: N photos, L landmarks, S shape, A albedo and E expression coefficients, H W rows and columns of crops,
Y of whole UV maps (256).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from deca.errors import AssetError
from deca.files import read_npz
from deca.networks import MAP_SIZE, Codes
from deca_blender.protocol.conventions import CROP_SIZE
from deca_training.batch import Batch
from deca_training.data.augment import Augmentation, change_colours
from deca_training.data.dataset import pictures
from deca_training.data.landmarks import ibug_from_mediapipe
from deca_training.data.order import SubjectOrder, fraction
from deca_training.data.synthetic.subjects import decode_jpeg

FORMAT = "deca-fitted", 1
_CODES = ("shape_NS", "albedo_NA", "expression_NE", "pose_N23", "camera_N3", "light_N93")
_ARRAYS = (
    "meta", "subjects", "photos", "jpeg", "jpeg_ends", "landmarks478_NL3", "mask_NHW", "seen_NYY", "error_N", *_CODES,
)  # fmt: skip


@dataclass(frozen=True)
class FittedPhotos:
    """Photos with fitted heads, those of one subject after the other.

    Attributes:
        path: The file.
        head_hash: Head model that was fitted.
        subject_N: Name of each photo's subject.
        arrays: The file's other arrays.
        rows_N: Rows of the arrays that belong to this part.
    """

    path: Path
    head_hash: str
    subject_N: NDArray[np.str_]
    arrays: dict[str, NDArray]
    rows_N: NDArray[np.int64]

    @classmethod
    def load(cls, path: Path) -> FittedPhotos:
        """Opens a file.

        Raises:
            AssetError: It is missing, damaged, or no such file.
        """
        arrays = read_npz(path, _ARRAYS)
        if len(arrays) != len(_ARRAYS) or tuple(arrays["meta"][:2]) != (FORMAT[0], str(FORMAT[1])):
            raise AssetError(f"{path} holds no fitted photos of version {FORMAT[1]}.", "Make it with `deca-train fit`.")
        subject_N = arrays["subjects"]
        return cls(path, str(arrays["meta"][2]), subject_N, arrays, np.arange(len(subject_N)))

    @staticmethod
    def is_in(path: Path) -> bool:
        """Whether a file holds fitted photos; False where it cannot be read."""
        try:
            meta = read_npz(path, ["meta"]).get("meta")
        except AssetError:
            return False
        return meta is not None and meta.ndim == 1 and str(meta[0]) == FORMAT[0]

    def check_head(self, head_hash: str) -> None:
        """Makes sure that these are heads of a head model.

        Raises:
            AssetError: They are of another.
        """
        if self.head_hash != head_hash:
            raise AssetError(
                f"The heads of {self.path} are of another version of the head model.",
                "Fit them again with `deca-train fit`, into another file.",
            )

    def __len__(self) -> int:
        return len(self.rows_N)

    @cached_property
    def _photos(self) -> dict[str, list[int]]:
        """Numbers of each subject's photos."""
        found: dict[str, list[int]] = {}
        for number, name in enumerate(self.subject_N[self.rows_N].tolist()):
            found.setdefault(name, []).append(number)
        return found

    @cached_property
    def names(self) -> list[str]:
        """The subjects, in their order."""
        return list(self._photos)

    @property
    def num_subjects(self) -> int:
        """How many there are."""
        return len(self.names)

    def photos_of(self, subject: int) -> NDArray[np.int64]:
        """Numbers, among those of this part, of a subject's photos."""
        return np.array(self._photos[self.names[subject]])

    def split(self, validation: float, seed: int = 0) -> tuple[FittedPhotos, FittedPhotos]:
        """Training and validation photos; a subject's side depends on its name alone, as `PhotoIndex.split` has it."""
        is_held_out_N = np.array([fraction(name, seed) < validation for name in self.subject_N[self.rows_N]], bool)
        return tuple(replace(self, rows_N=self.rows_N[part_N]) for part_N in (~is_held_out_N, is_held_out_N))  # type: ignore[return-value]

    def batch(
        self, photos: Sequence[int], augmentation: Augmentation, rngs: Sequence[np.random.Generator], images: int = 1
    ) -> Batch:
        """Photos as a batch; their colours alone are changed, since the heads are fitted to these crops.

        Args:
            photos: Numbers of photos of this part.
            augmentation: How far to go.
            rngs: Source of the changes, one per photo.
            images: Photos of each subject in a row.
        """
        rows_N = self.rows_N[list(photos)]
        names_N = self.subject_N[rows_N]
        marks478_NL3 = self.arrays["landmarks478_NL3"][rows_N]
        marks68_NL2 = np.stack([ibug_from_mediapipe(marks_L3)[:, :2] for marks_L3 in marks478_NL3])
        images_HW3 = [change_colours(self._crop(row), augmentation, rng) for row, rng in zip(rows_N, rngs, strict=True)]
        pose_N23 = self.arrays["pose_N23"][rows_N]
        _, number_N = np.unique(names_N, return_inverse=True)
        return Batch(
            image_B3HW=pictures(images_HW3),
            landmarks68_BL3=_marks(marks68_NL2),
            landmarks478_BL3=_marks(marks478_NL3[..., :2]),
            mask_B1HW=_mask(self.arrays["mask_NHW"][rows_N], CROP_SIZE),
            subject_B=torch.from_numpy(number_N.reshape(-1)),
            images_per_subject=images,
            names=tuple(self.arrays["photos"][rows_N].tolist()),
            geometry=Codes(
                shape_BS=_tensor(self.arrays["shape_NS"][rows_N]),
                albedo_BA=_tensor(self.arrays["albedo_NA"][rows_N]),
                expression_BE=_tensor(self.arrays["expression_NE"][rows_N]),
                global_pose_B3=_tensor(pose_N23[:, 0]),
                jaw_pose_B3=_tensor(pose_N23[:, 1]),
                camera_B3=_tensor(self.arrays["camera_N3"][rows_N]),
                light_B93=_tensor(self.arrays["light_N93"][rows_N]),
            ),
            seen_B1HW=_mask(self.arrays["seen_NYY"][rows_N], MAP_SIZE),
        )

    def _crop(self, row: int) -> NDArray[np.uint8]:
        ends = self.arrays["jpeg_ends"]
        return decode_jpeg(self.arrays["jpeg"][ends[row - 1] if row else 0 : ends[row]])


class FittedBatches(Dataset[Batch]):
    """`self[step]` is the batch of a step.

    Args:
        photos: The photos.
        order: Which subjects, and how many photos of each.
        augmentation: Of the colours.
    """

    def __init__(self, photos: FittedPhotos, order: SubjectOrder, augmentation: Augmentation) -> None:
        self.photos, self.order, self.augmentation = photos, order, augmentation

    def __getitem__(self, step: int) -> Batch:
        """This process's part of a step's batch."""
        order = self.order
        chosen: list[int] = []
        rngs: list[np.random.Generator] = []
        for position, subject in order.own_subjects(step):
            chosen += order.choose(self.photos.photos_of(subject), order.subject_rng(step, position))
            rngs += [order.photo_rng(step, position, k) for k in range(order.images_per_subject)]
        return self.photos.batch(chosen, self.augmentation, rngs, order.images_per_subject)


def _tensor(values: NDArray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))


def _marks(points_NL2: NDArray[np.floating]) -> torch.Tensor:
    """Crop pixels to [-1, 1] across the crop, with a weight of 1."""
    on_picture = points_NL2 / (CROP_SIZE / 2) - 1
    return _tensor(np.concatenate((on_picture, np.ones((*on_picture.shape[:2], 1))), 2))


def _mask(packed_NHX: NDArray[np.uint8], size: int) -> torch.Tensor:
    return torch.from_numpy(np.unpackbits(packed_NHX, axis=-1)[:, None, :, :size]).float()
