"""Batches of an index by the number of the step."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from deca.vision.geometry import apply, warp
from deca.vision.landmarks import IBUG_68
from deca_blender.protocol.conventions import CROP_SIZE
from deca_training.batch import Batch
from deca_training.data.augment import Augmentation, change_colours, occlude, random_crop
from deca_training.data.index import PhotoIndex
from deca_training.data.landmarks import MIRROR_68, MIRROR_478
from deca_training.data.masks import mask_from_landmarks
from deca_training.data.order import SubjectOrder
from deca_training.data.storage import read_indexed_mask, read_indexed_photo


class PhotoBatches(Dataset[Batch]):
    """`self[step]` is the batch of a step.

    Args:
        index: The photos.
        order: Which subjects, and how many photos of each. A subject with fewer gives some twice, changed in another
            way.
        augmentation: Random changes.
    """

    def __init__(self, index: PhotoIndex, order: SubjectOrder, augmentation: Augmentation) -> None:
        self.index, self.order, self.augmentation = index, order, augmentation

    def __getitem__(self, step: int) -> Batch:
        """This process's part of a step's batch.

        Raises:
            DecaError: A photo or a mask cannot be read.
        """
        order, rows = self.order, []
        for position, subject in order.own_subjects(step):
            rng = order.subject_rng(step, position)
            flipped = bool(rng.uniform() < self.augmentation.flip)
            first, end = self.index.first_photo[subject : subject + 2]
            for k, photo in enumerate(order.choose(np.arange(first, end), rng)):
                row = self._row(photo, order.photo_rng(step, position, k), flipped)
                rows.append((*row, subject, self.index.photo_name(photo)))
        images, marks68, marks478, masks, numbers, names = zip(*rows, strict=True)
        return Batch(
            image_B3HW=pictures(images),
            landmarks68_BL3=_tensor(marks68),
            landmarks478_BL3=_tensor(marks478),
            mask_B1HW=(torch.from_numpy(np.stack(masks)) > 127)[:, None].float(),
            subject_B=torch.tensor(numbers),
            images_per_subject=order.images_per_subject,
            names=names,
        )

    def _row(
        self, photo: int, rng: np.random.Generator, flipped: bool
    ) -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.float64], NDArray[np.uint8]]:
        """A photo's crop (224, 224, 3), its landmarks (68, 3) and (478, 3), and its mask (224, 224) of 0 and 255.

        OpenCV's bilinear crop has whole numbers and takes a fortieth of the time of `warp_crop`, by which the product
        reads photos; they differ by 0.3 of 255 on average and 4 at most. Weights were trained on this one.
        """
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


def pictures(images: Sequence[NDArray[np.uint8]]) -> Tensor:
    """B pictures (H, W, 3) as (B, 3, H, W), 0..1."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous().float() / 255


def _tensor(arrays: tuple[NDArray[np.floating], ...]) -> Tensor:
    return torch.from_numpy(np.stack(arrays).astype(np.float32))
