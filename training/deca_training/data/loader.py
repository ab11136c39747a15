"""The loader of training batches."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TypeVar

import cv2
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from deca_training.batch import Batch

T = TypeVar("T")


def batch_loader(
    batches: Dataset[Batch], first_step: int = 0, steps: int | None = None, num_workers: int = 0
) -> DataLoader[Batch]:
    """A loader that gives the batch of one step after the other.

    A run that goes on at `first_step=n` sees what it would have seen. Workers are spawned, on every system: a script
    needs its `if __name__ == "__main__":`.

    Args:
        batches: `batches[step]` is the batch of a step.
        first_step: Number of the first step.
        steps: How many steps; None for no end.
        num_workers: Loader processes; each makes whole batches. 0 loads in this process.
    """
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
