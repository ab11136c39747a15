"""Reproducible weights without training, for demos, tests and benchmarks: their results are sane and mean nothing."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deca.networks.checkpoint import OFFICIAL_CARD, Card, Checkpoint, build_networks
from deca.networks.encoders import Encoder
from deca_blender.protocol.conventions import CROP_SIZE


@torch.no_grad()
def random_checkpoint(seed: int = 0, card: Card = OFFICIAL_CARD) -> Checkpoint:
    """Networks of the card's backbone and sizes with random weights.

    Weights, biases and the factors of batch normalisation are random, its statistics those of random inputs: every
    layer's values stay in the range of a trained network, and no mistake hides behind a 0 or 1. The camera is put where
    a head fills the crop, and the light is grey but for some noise.
    """
    # Where skin is, only a head model knows, and shapes come from E_c.
    card = replace(card, detail_backbone="", shape_encoder=False)
    with torch.device("meta"):
        networks = build_networks(card)
    generator = torch.Generator().manual_seed(seed)
    pictures = F.interpolate(torch.rand(4, 3, 9, 9, generator=generator), (CROP_SIZE, CROP_SIZE), mode="bicubic")
    sizes = card.sizes
    codes = [torch.randn(4, size, generator=generator) for size in (sizes.detail, sizes.expression, 3)]
    for network in networks.values():
        network.to_empty(device="cpu")
        _fill(network, generator)
        _measure(network, [pictures] if isinstance(network, Encoder) else codes)
        if isinstance(network, Encoder):
            weight = network.get_parameter("layers.2.weight")
            weight *= 0.5 / network(pictures[:1]).std()
    weight, bias = (networks["coarse_encoder"].get_parameter(f"layers.2.{name}") for name in ("weight", "bias"))
    camera = slice(-sizes.light - 3, -sizes.light)
    weight[camera] *= 0.05
    bias[camera] = torch.tensor([8.0, 0.0, 0.0])
    bias[-sizes.light :].view(9, 3)[0] += 3.0
    return Checkpoint(card, **networks)  # type: ignore[arg-type]


def _fill(network: nn.Module, generator: torch.Generator) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.weight.normal_(0, module.weight[0].numel() ** -0.5, generator=generator)
            if module.bias is not None:
                module.bias.normal_(0, 0.1, generator=generator)
        elif isinstance(module, nn.PReLU):
            module.weight.uniform_(0.1, 0.4, generator=generator)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.weight.uniform_(0.5, 1.5, generator=generator)
            module.bias.normal_(0, 0.1, generator=generator)


def _measure(network: nn.Module, inputs: list[Tensor]) -> None:
    """Sets the statistics of batch normalisation to those of the inputs; leaves the network in evaluation mode."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = None  # the plain mean
    network.train()(*inputs)
    network.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.get_buffer("running_var").clamp_(min=0.1)  # what these inputs leave silent must not explode on others
