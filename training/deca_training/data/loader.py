"""The loader of training batches."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TypeVar

import cv2
import torch
from torch.utils.data import DataLoader, Sampler

from deca_training.batch import Batch
from deca_training.data.augment import Augmentation
from deca_training.data.dataset import PhotoBatches
from deca_training.data.index import PhotoIndex

T = TypeVar("T")


def photo_loader(
    index: PhotoIndex,
    *,
    subjects_per_batch: int,
    images_per_subject: int,
    augmentation: Augmentation,
    seed: int,
    first_step: int = 0,
    steps: int | None = None,
    rank: int = 0,
    world_size: int = 1,
    num_workers: int = 0,
) -> DataLoader[Batch]:
    """A loader that gives the batch of one step after the other.

    The batch of a step depends on index, seed and step alone: a run that goes on at `first_step=n` sees what it would
    have seen. Workers are spawned, on every system: a script needs its `if __name__ == "__main__":`.

    Args:
        index: The photos.
        subjects_per_batch: Subjects of the whole batch, over all processes.
        images_per_subject: Photos of each.
        augmentation: Random changes.
        seed: Of everything random.
        first_step: Number of the first step.
        steps: How many steps; None for no end.
        rank, world_size: Which training process this is, of how many.
        num_workers: Loader processes; each makes whole batches. 0 loads in this process.

    Raises:
        OptionError: There are no photos, or the batch cannot be shared by the processes.
    """
    batches = PhotoBatches(
        index,
        subjects_per_batch=subjects_per_batch,
        images_per_subject=images_per_subject,
        augmentation=augmentation,
        seed=seed,
        rank=rank,
        world_size=world_size,
    )
    return DataLoader(
        batches,
        batch_size=None,
        sampler=range(first_step, first_step + steps) if steps is not None else _Endless(first_step),
        collate_fn=_as_it_is,
        num_workers=num_workers,
        worker_init_fn=_start_worker,
        multiprocessing_context="spawn" if num_workers else None,
        persistent_workers=num_workers > 0,
        pin_memory=torch.cuda.is_available(),
    )


class _Endless(Sampler[int]):
    """first, first + 1, ..."""

    def __init__(self, first: int) -> None:
        self._first = first

    def __iter__(self) -> Iterator[int]:
        return itertools.count(self._first)


def _as_it_is(item: T) -> T:
    return item


def _start_worker(worker: int) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
