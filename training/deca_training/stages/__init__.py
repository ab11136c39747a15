"""The stages of training as Lightning modules: what a step computes, and which networks learn from it."""

from deca_training.config import Recipe
from deca_training.data.synthetic.person import typical_relief
from deca_training.stages.base import StageModule
from deca_training.stages.coarse import CoarseStage
from deca_training.stages.detail import DetailStage
from deca_training.stages.nonlinear import NonlinearStage

__all__ = ["CoarseStage", "DetailStage", "NonlinearStage", "StageModule", "stage_module"]


def stage_module(recipe: Recipe) -> StageModule:
    """The stage of a recipe, with fresh weights."""
    if recipe.stage in ("nonlinear_pretrain", "nonlinear"):
        return NonlinearStage(recipe)
    return DetailStage(recipe, typical_relief) if recipe.stage == "detail" else CoarseStage(recipe)
