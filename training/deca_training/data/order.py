"""Which subjects a step takes, and which are kept for what.

A batch depends on its source, the seed and the step alone: not on where a run began, on loader processes, or on how
many processes train. Whatever is random comes from a generator that is seeded with these numbers.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from deca.errors import OptionError
from deca_training.config import VALIDATION_SHARE

# What a generator is for, so that none of them repeats another's numbers.
_ORDER, _SUBJECT, _PHOTO = 1, 2, 3


SPLITS = ("learn", "choose", "report", "unseen")

_REPORT, _LEARN, _CHOOSE = 0.2, 0.5, 0.65
"""Places of names in 0..1 where `report`, the first part of `learn`, and `choose` end."""


@dataclass
class SubjectOrder:
    """Each epoch goes once through all subjects, in an order of its own; the few that do not fill a batch are left out.

    Args:
        num_subjects: How many there are.
        subjects_per_batch: Subjects of the whole batch, over all processes.
        images_per_subject: K photos of each.
        seed: Of everything random.
        rank, world_size: Which process this is, of how many: it gets the subjects rank, rank + world_size, ...

    Raises:
        OptionError: There are no subjects, or they cannot be shared equally.
    """

    num_subjects: int
    subjects_per_batch: int
    images_per_subject: int
    seed: int
    rank: int = 0
    world_size: int = 1
    _order: tuple[int, NDArray[np.int64]] = field(default=(-1, np.zeros(0, np.int64)), init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.num_subjects:
            raise OptionError(
                "There are no photos for this part of the training.",
                "Prepare more subjects, or change the share of the validation photos.",
            )
        if self.subjects_per_batch < 1 or self.images_per_subject < 1 or not 0 <= self.rank < self.world_size:
            raise OptionError("A batch needs one subject and one image per subject at least, and a rank that exists.")
        if self.subjects_per_batch % self.world_size:
            raise OptionError(
                f"{self.subjects_per_batch} subjects per batch cannot be shared by {self.world_size} processes.",
                "Make the number of subjects a multiple of the number of processes.",
            )

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which each subject comes about once."""
        return max(self.num_subjects // self.subjects_per_batch, 1)

    def subjects_of(self, step: int) -> NDArray[np.int64]:
        """Subjects of the whole batch of a step."""
        epoch, batch = divmod(step, self.steps_per_epoch)
        if self._order[0] != epoch:
            order = np.random.default_rng((self.seed, _ORDER, epoch)).permutation(self.num_subjects)
            self._order = epoch, np.resize(order, max(len(order), self.subjects_per_batch))
        first = batch * self.subjects_per_batch
        return self._order[1][first : first + self.subjects_per_batch]

    def own_subjects(self, step: int) -> list[tuple[int, int]]:
        """This process's positions in a step's batch, each with its subject."""
        subjects = self.subjects_of(step)
        return [(at, int(subjects[at])) for at in range(self.rank, self.subjects_per_batch, self.world_size)]

    def subject_rng(self, step: int, position: int) -> np.random.Generator:
        """Random numbers for what the photos of a subject share."""
        return np.random.default_rng((self.seed, _SUBJECT, step, position))

    def photo_rng(self, step: int, position: int, k: int) -> np.random.Generator:
        """Random numbers for one photo."""
        return np.random.default_rng((self.seed, _PHOTO, step, position, k))

    def choose(self, photos: NDArray[np.integer], rng: np.random.Generator) -> list[int]:
        """K of a subject's photos: different ones as long as there are any."""
        chosen: list[int] = []
        while len(chosen) < self.images_per_subject:
            chosen += rng.permutation(photos).tolist()
        return chosen[: self.images_per_subject]


def fraction(name: str, seed: int) -> float:
    """A number in 0..1 that a name always has: whether a subject is held out depends on nothing else."""
    digest = hashlib.sha256(f"{seed}:{name}".encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def in_split(name: str, split: str) -> bool:
    """Whether a person belongs to one of `SPLITS`.

    `learn`, `choose` and `report` are disjoint: what is estimated is estimated on the first, what is chosen by numbers
    on the second, and numbers that are told are of the third; `unseen` are those of the third who were kept out of the
    networks' training, too. People named p000, p001 and so on are split by number: up to p149 to learn, up to p249 to
    choose. All others by the hash of their name that also decides whom the training keeps out.
    """
    if re.fullmatch(r"p\d{3,}", name):
        number = int(name[1:])
        own = "learn" if number < 150 else "choose" if number < 250 else "report"
        unseen = number >= 250
    else:
        place = fraction(name, 0)
        own = "report" if place < _REPORT else "choose" if _LEARN <= place < _CHOOSE else "learn"
        unseen = place < VALIDATION_SHARE
    return unseen if split == "unseen" else split == own
