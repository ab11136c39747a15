"""Batches of synthetic subjects by the number of the step, with the truth about them.

Shape suffixes: B photos, K photos of a subject, L landmarks, V vertices, H W rows and columns.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from deca.head import HeadModel
from deca.networks import Codes, CodeSizes
from deca_training.batch import Batch, Truth
from deca_training.data.augment import Augmentation, change_colours, occlude
from deca_training.data.dataset import pictures
from deca_training.data.order import SubjectOrder
from deca_training.data.synthetic.subjects import SyntheticSubject, SyntheticSubjects


class SyntheticBatches(Dataset[Batch]):
    """`self[step]` is the batch of a step: the photos as they were made, with other colours and things in front.

    Args:
        subjects: The subjects.
        order: Which of them, and how many photos of each.
        augmentation: Random changes; those of the crop were made with the photos, and nobody is mirrored.
        head: The head model of the subjects.
        sizes: Lengths of the codes.
        detail: Detail code of each subject, by name; or none.
    """

    def __init__(
        self,
        subjects: SyntheticSubjects,
        order: SubjectOrder,
        augmentation: Augmentation,
        head: HeadModel,
        sizes: CodeSizes,
        detail: Mapping[str, NDArray[np.float32]] | None = None,
    ) -> None:
        self.subjects, self.order, self.augmentation, self.sizes = subjects, order, augmentation, sizes
        self.detail = detail or {}
        self._template_V3 = head.template_V3
        self._shape_dirs_V3S = head.shape_dirs_V3S

    def __getitem__(self, step: int) -> Batch:
        """This process's part of a step's batch.

        Raises:
            AssetError: A subject's file is damaged.
        """
        batches = [self._subject(step, *place) for place in self.order.own_subjects(step)]
        return Batch.joined(batches)

    def _subject(self, step: int, position: int, number: int) -> Batch:
        order, subject = self.order, self.subjects[number]
        chosen = np.array(order.choose(np.arange(len(subject)), order.subject_rng(step, position)))
        photos = []
        for k, photo in enumerate(chosen):
            rng = order.photo_rng(step, position, k)
            image_HW3 = change_colours(subject.image_KHW3[photo], self.augmentation, rng)
            photos.append(occlude(image_HW3, subject.mask_KHW[photo], self.augmentation, rng))
        images, masks = zip(*photos, strict=True)
        return Batch(
            image_B3HW=pictures(images),
            landmarks68_BL3=_with_weights(subject.landmarks68_KL2[chosen]),
            landmarks478_BL3=_with_weights(subject.landmarks478_KL2[chosen]),
            mask_B1HW=(torch.from_numpy(np.stack(masks)) > 127)[:, None].float(),
            subject_B=torch.full((len(chosen),), number),
            images_per_subject=order.images_per_subject,
            names=tuple(f"{subject.name}/{photo}" for photo in chosen),
            truth=self._truth(subject, chosen),
        )

    def _truth(self, subject: SyntheticSubject, chosen: NDArray[np.integer]) -> Truth:
        sizes, count = self.sizes, len(chosen)
        neutral_V3 = self._template_V3 + self._shape_dirs_V3S @ subject.shape_S[: self._shape_dirs_V3S.shape[2]]
        codes = Codes(
            shape_BS=_tensor(np.tile(subject.shape_S[: sizes.shape], (count, 1))),
            albedo_BA=_tensor(np.tile(subject.albedo_A[: sizes.albedo], (count, 1))),
            expression_BE=_tensor(subject.expression_KE[chosen, : sizes.expression]),
            global_pose_B3=_tensor(subject.pose_KJ3[chosen, 0]),
            jaw_pose_B3=_tensor(subject.pose_KJ3[chosen, 2]),
            camera_B3=_tensor(subject.camera_K3[chosen]),
            light_B93=_tensor(subject.light_K93[chosen]),
        )
        return Truth(
            codes=codes,
            neutral_BV3=_tensor(np.tile(neutral_V3 + subject.offset_V3, (count, 1, 1))),
            displacement_B1HW=_tensor(subject.displacement_of(subject.activation_KC[chosen]))[:, None],
            detail_BD=_tensor(np.tile(self.detail[subject.name], (count, 1))) if self.detail else None,
        )


def _tensor(values: NDArray[np.floating]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))


def _with_weights(points_BL2: NDArray[np.floating]) -> Tensor:
    return _tensor(np.concatenate([points_BL2, np.ones((*points_BL2.shape[:2], 1))], 2))
