"""Backbones that do not start from nothing."""

from __future__ import annotations

import torch
from torch import nn

from deca.networks.backbones import FaceMesh
from deca.vision.landmarks import LandmarkNet


@torch.no_grad()
def start_backbone(backbone: nn.Module) -> None:
    """Gives a fresh backbone the weights that come with the product: `FaceMesh` the landmark network's, others none."""
    if not isinstance(backbone, FaceMesh):
        return
    parameters = list(backbone.parameters())
    trained = list(LandmarkNet().graph.weights())[: len(parameters)]
    for parameter, weights in zip(parameters, trained, strict=True):
        parameter.copy_(weights)
