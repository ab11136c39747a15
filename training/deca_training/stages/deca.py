"""What the stages of DECA's networks share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deca.appearance.albedo import AlbedoModel
from deca.head import HeadModel
from deca_training.batch import Batch
from deca_training.config import Recipe
from deca_training.model import DecaModel
from deca_training.pictures import picture_grid
from deca_training.stages.base import StageModule


class DecaStage(StageModule):
    """A stage of E_c, E_d and F_d.

    Args:
        recipe: The stage's recipe.
        head, albedo: Instead of loading the recipe's.
    """

    model: DecaModel

    def __init__(self, recipe: Recipe, head: HeadModel | None = None, albedo: AlbedoModel | None = None) -> None:
        super().__init__(recipe, DecaModel(recipe, head, albedo))

    def picture_grid(self, batch: Batch) -> NDArray[np.uint8]:
        """`deca_training.pictures.picture_grid` of the networks."""
        return picture_grid(self.model, batch)
