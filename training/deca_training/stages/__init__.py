"""The stages of training as Lightning modules: what a step computes, and which networks learn from it."""

from deca_training.stages.base import StageModule
from deca_training.stages.coarse import CoarseStage
from deca_training.stages.detail import DetailStage
from deca_training.stages.nonlinear import NonlinearStage

__all__ = ["CoarseStage", "DetailStage", "NonlinearStage", "StageModule"]
