"""Backbones that start from weights of the product. Oracle: the landmark network as its file says it runs."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from deca.head import load_head
from deca.networks.backbones import DepthwiseBlock, FaceMesh, build_backbone
from deca.vision.landmarks import LandmarkNet
from deca_training.pretrained import start_backbone


@torch.no_grad()
def test_face_mesh_sees_what_the_landmark_network_sees() -> None:
    """The landmark network's own last layers find the same mesh on the grid of the trunk."""
    graph = LandmarkNet().graph
    image_B3HW = F.interpolate(torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(1)), (192, 192))
    backbone = FaceMesh()
    start_backbone(backbone, load_head())
    last = torch.nn.Sequential(
        torch.nn.Conv2d(128, 32, 1), torch.nn.PReLU(32), DepthwiseBlock(32, 32, 1), torch.nn.Conv2d(32, 1404, 3)
    )
    used = len(list(backbone.parameters()))
    for parameter, weights in zip(last.parameters(), list(graph.weights())[used:], strict=False):
        parameter.copy_(weights)
    mesh_BN = last(backbone.features(image_B3HW)).flatten(1)
    expected_BN = graph(image_B3HW)["output_mesh_identity"].flatten(1)
    assert expected_BN.std() > 10  # pixels
    assert (mesh_BN - expected_BN).abs().max() < 1e-2
    assert torch.equal(backbone(image_B3HW)[:, : 9 * 128] * 8, backbone.features(image_B3HW).flatten(1))


@torch.no_grad()
def test_face_mesh_gives_the_colours_too() -> None:
    features_BN = FaceMesh()(torch.full((1, 3, 224, 224), 0.25))
    assert features_BN.shape == (1, 9 * 128 + 3 * 64)
    assert torch.allclose(features_BN[:, 9 * 128 :], torch.tensor(0.25))


def test_other_backbones_keep_their_fresh_weights() -> None:
    backbone = build_backbone("resnet18")
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    start_backbone(backbone, load_head())
    assert all(torch.equal(value, before[key]) for key, value in backbone.state_dict().items())
