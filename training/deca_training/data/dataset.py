"""Batches of an index by the number of the step.

A batch depends on the index, the seed and the step alone: not on where a run began, on loader processes, or on how many
processes train. Whatever is random comes from a generator that is seeded with these numbers.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from deca.errors import OptionError
from deca.vision.crop import CROP_SIZE
from deca.vision.geometry import apply, warp
from deca.vision.landmarks import IBUG_68
from deca_training.batch import Batch
from deca_training.data.augment import Augmentation, change_colours, occlude, random_crop
from deca_training.data.index import PhotoIndex
from deca_training.data.landmarks import MIRROR_68, MIRROR_478
from deca_training.data.masks import mask_from_landmarks
from deca_training.data.storage import read_indexed_mask, read_indexed_photo

# What a generator is for, so that none of them repeats another's numbers.
_ORDER, _SUBJECT, _PHOTO = 1, 2, 3


class PhotoBatches(Dataset[Batch]):
    """`self[step]` is the batch of a step.

    Each epoch goes once through all subjects, in an order of its own; the few that do not fill a batch are left out.

    Args:
        index: The photos.
        subjects_per_batch: Subjects of the whole batch, over all processes.
        images_per_subject: Photos of each. A subject with fewer gives some twice, changed in another way.
        augmentation: Random changes.
        seed: Of everything random.
        rank, world_size: Which process this is, of how many: it gets the subjects rank, rank + world_size, ...

    Raises:
        OptionError: There are no photos, or the subjects cannot be shared equally.
    """

    def __init__(
        self,
        index: PhotoIndex,
        *,
        subjects_per_batch: int,
        images_per_subject: int,
        augmentation: Augmentation,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if not len(index):
            raise OptionError(
                "There are no photos for this part of the training.",
                "Prepare more subjects, or change the share of the validation photos.",
            )
        if subjects_per_batch < 1 or images_per_subject < 1 or not 0 <= rank < world_size:
            raise OptionError("A batch needs one subject and one image per subject at least, and a rank that exists.")
        if subjects_per_batch % world_size:
            raise OptionError(
                f"{subjects_per_batch} subjects per batch cannot be shared by {world_size} processes.",
                "Make the number of subjects a multiple of the number of processes.",
            )
        self.index, self.augmentation, self.seed = index, augmentation, seed
        self.subjects_per_batch, self.images_per_subject = subjects_per_batch, images_per_subject
        self.rank, self.world_size = rank, world_size
        self._order: tuple[int, NDArray[np.int64]] = (-1, np.zeros(0, np.int64))

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which each subject comes about once."""
        return max(self.index.num_subjects // self.subjects_per_batch, 1)

    def subjects_of(self, step: int) -> NDArray[np.int64]:
        """Subjects of the whole batch of a step."""
        epoch, batch = divmod(step, self.steps_per_epoch)
        if self._order[0] != epoch:
            order = np.random.default_rng((self.seed, _ORDER, epoch)).permutation(self.index.num_subjects)
            self._order = epoch, np.resize(order, max(len(order), self.subjects_per_batch))
        first = batch * self.subjects_per_batch
        return self._order[1][first : first + self.subjects_per_batch]

    def __getitem__(self, step: int) -> Batch:
        """This process's part of a step's batch.

        Raises:
            DecaError: A photo or a mask cannot be read.
        """
        subjects = self.subjects_of(step)
        rows = []
        for position in range(self.rank, self.subjects_per_batch, self.world_size):
            subject = int(subjects[position])
            rng = np.random.default_rng((self.seed, _SUBJECT, step, position))
            flipped = bool(rng.uniform() < self.augmentation.flip)
            for k, photo in enumerate(self._photos_of(subject, rng)):
                photo_rng = np.random.default_rng((self.seed, _PHOTO, step, position, k))
                rows.append((*self._row(photo, photo_rng, flipped), subject, self.index.photo_name(photo)))
        images, marks68, marks478, masks, numbers, names = zip(*rows, strict=True)
        return Batch(
            image_B3HW=torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous().float() / 255,
            landmarks68_BL3=_tensor(marks68),
            landmarks478_BL3=_tensor(marks478),
            mask_B1HW=(torch.from_numpy(np.stack(masks)) > 127)[:, None].float(),
            subject_B=torch.tensor(numbers),
            images_per_subject=self.images_per_subject,
            names=names,
        )

    def _photos_of(self, subject: int, rng: np.random.Generator) -> list[int]:
        """K photos of a subject: different ones as long as there are any."""
        first, end = self.index.first_photo[subject : subject + 2]
        photos: list[int] = []
        while len(photos) < self.images_per_subject:
            photos += (first + rng.permutation(end - first)).tolist()
        return photos[: self.images_per_subject]

    def _row(
        self, photo: int, rng: np.random.Generator, flipped: bool
    ) -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.float64], NDArray[np.uint8]]:
        """A photo's crop (224, 224, 3), its landmarks (68, 3) and (478, 3), and its mask (224, 224) of 0 and 255."""
        picture = read_indexed_photo(self.index, photo)
        own_mask_HW = read_indexed_mask(self.index, photo)
        marks68_L2, marks478_L3 = self.index.landmarks_of(photo)
        # The crop is measured on the points that inference measures it on, whoever found the 68 landmarks.
        to_crop_33 = random_crop(marks478_L3[list(IBUG_68), :2], self.augmentation, rng, flipped)
        image_HW3 = warp(picture.pixels, to_crop_33, CROP_SIZE, CROP_SIZE, cv2.BORDER_CONSTANT)
        crop68_L2 = apply(to_crop_33, marks68_L2.astype(np.float64))
        crop478_L2 = apply(to_crop_33, marks478_L3[:, :2].astype(np.float64))
        if own_mask_HW is None:
            width, height = picture.width, picture.height
            corners_42 = np.array([[0, 0], [width, 0], [width, height], [0, height]], float)
            mask_HW = mask_from_landmarks(crop478_L2, apply(to_crop_33, corners_42))
        else:
            rows, columns = own_mask_HW.shape
            to_photo_33 = np.diag([picture.width / columns, picture.height / rows, 1.0])
            mask_HW = warp(own_mask_HW, to_crop_33 @ to_photo_33, CROP_SIZE, CROP_SIZE, cv2.BORDER_CONSTANT)
        image_HW3 = change_colours(image_HW3, self.augmentation, rng)
        image_HW3, mask_HW = occlude(image_HW3, mask_HW, self.augmentation, rng)
        if flipped:
            crop68_L2, crop478_L2 = crop68_L2[MIRROR_68], crop478_L2[MIRROR_478]
        return image_HW3, _on_picture(crop68_L2), _on_picture(crop478_L2), mask_HW


def _on_picture(points_L2: NDArray[np.floating]) -> NDArray[np.float64]:
    """Crop pixels to [-1, 1] across the crop, with a weight of 1."""
    return np.concatenate([points_L2 / (CROP_SIZE / 2) - 1, np.ones((len(points_L2), 1))], 1)


def _tensor(arrays: tuple[NDArray[np.floating], ...]) -> Tensor:
    return torch.from_numpy(np.stack(arrays).astype(np.float32))
