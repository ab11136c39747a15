"""Backbones that do not start from nothing."""

from __future__ import annotations

import torch
from torch import nn

from deca.head import HeadModel
from deca.networks.backbones import FaceMesh
from deca.networks.skin import SkinBackbone
from deca.vision.landmarks import LandmarkNet
from deca_training.skin import place_skin


@torch.no_grad()
def start_backbone(backbone: nn.Module, head: HeadModel) -> None:
    """Gives a fresh backbone what can be known before training.

    `FaceMesh` takes the landmark network's weights, which come with the product, `SkinBackbone` the places of a head
    model's skin; others stay as they are.

    Raises:
        AssetError: The head model has no MediaPipe landmarks or no detail mask.
    """
    if isinstance(backbone, SkinBackbone):
        place_skin(backbone, head)
    if isinstance(backbone, FaceMesh):
        take_landmark_trunk(backbone)


@torch.no_grad()
def take_landmark_trunk(backbone: FaceMesh) -> None:
    """Gives the backbone the landmark network's weights."""
    parameters = list(backbone.parameters())
    trained = list(LandmarkNet().graph.weights())[: len(parameters)]
    for parameter, weights in zip(parameters, trained, strict=True):
        parameter.copy_(weights)
