"""Where batches come from: indices of photos, and folders of synthetic subjects."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch.utils.data import Dataset

from deca.head import load_head
from deca_training.batch import Batch
from deca_training.config import Recipe
from deca_training.data.augment import Augmentation
from deca_training.data.dataset import PhotoBatches
from deca_training.data.fitted import FittedBatches, FittedPhotos
from deca_training.data.index import PhotoIndex
from deca_training.data.order import SubjectOrder
from deca_training.data.synthetic import SyntheticBatches, SyntheticSubjects
from deca_training.data.synthetic.codes import subject_codes

Source = PhotoIndex | FittedPhotos | SyntheticSubjects


def load_source(path: Path) -> Source:
    """What `deca-train prepare` or `fit` (a file) or `deca-train synthetic` (a folder) wrote.

    Raises:
        AssetError: It is missing, damaged or something else.
    """
    if path.is_dir():
        return SyntheticSubjects(path)
    return FittedPhotos.load(path) if FittedPhotos.is_in(path) else PhotoIndex.load(path)


def batches_of(
    sources: Sequence[Source], recipe: Recipe, augmentation: Augmentation, seed: int, rank: int = 0, world_size: int = 1
) -> Dataset[Batch]:
    """The batches of a recipe; with several sources the steps take turns among them.

    Raises:
        OptionError: A source is empty, or its subjects cannot be shared by the processes.
    """

    def of(source: Source) -> Dataset[Batch]:
        subjects, images = recipe.subjects_per_batch, recipe.images_per_subject
        order = SubjectOrder(source.num_subjects, subjects, images, seed, rank, world_size)
        if isinstance(source, FittedPhotos):
            source.check_head(load_head(recipe.head).hash)
            return FittedBatches(source, order, augmentation)
        if isinstance(source, PhotoIndex):
            return PhotoBatches(source, order, augmentation)
        detail = subject_codes(source, recipe.sizes.detail) if recipe.losses.code_truth else None
        return SyntheticBatches(source, order, augmentation, load_head(recipe.head), recipe.sizes, detail)

    each = [of(source) for source in sources]
    return each[0] if len(each) == 1 else _Turns(each)


class _Turns(Dataset[Batch]):
    def __init__(self, sources: Sequence[Dataset[Batch]]) -> None:
        self.sources = sources

    def __getitem__(self, step: int) -> Batch:
        turn, source = divmod(step, len(self.sources))
        return self.sources[source][turn]
