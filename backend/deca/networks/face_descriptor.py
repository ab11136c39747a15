"""dlib's face descriptor: a ResNet of 29 convolutions that gives 128 numbers per face (dlib-models, Davis E. King).

The shape encoder reads it, and its maps after half of the layers; the trainer compares identities by it.

The weights are those of face-api 1.7.15, a byte each (assets/PROVENANCE.md).

Shape suffixes: B batch, C channels, H W rows and columns.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional

from deca.assets import asset
from deca.errors import AssetError

ASSET = "identity/face_descriptor.safetensors"
CHIP_SIZE = 150

_MEAN = (122.782, 117.001, 104.298)
# Name, channels in and out of the residual blocks in their order; those named "down" halve the picture.
_BLOCKS = (
    *((f"conv32_{index}", 32, 32) for index in (1, 2, 3)),
    ("conv64_down", 32, 64),
    *((f"conv64_{index}", 64, 64) for index in (1, 2, 3)),
    ("conv128_down", 64, 128),
    *((f"conv128_{index}", 128, 128) for index in (1, 2)),
    ("conv256_down", 128, 256),
    *((f"conv256_{index}", 256, 256) for index in (1, 2)),
    ("conv256_down_out", 256, 256),
)
_HALF = 10
"""Blocks up to conv128_2."""


class FaceDescriptor(nn.Module):
    """Face chips -> embeddings of length one.

    Frozen, but differentiable by the chips. Always in float32. Chips are cut by `deca.vision.chips.dlib_chip`.
    """

    width = 128
    mean_311: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv32_down = nn.Conv2d(3, 32, 7, 2)
        for name, inputs, outputs in _BLOCKS:
            self.add_module(name, _Block(inputs, outputs, "down" in name))
        self.fc = nn.Linear(256, 128, bias=False)
        self.register_buffer("mean_311", torch.tensor(_MEAN).view(3, 1, 1), persistent=False)
        self.requires_grad_(False).eval()

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """The network with its weights.

        Args:
            path: The weights; the bundled ones when None.

        Raises:
            AssetError: The file is missing, damaged or another one.
        """
        path = path or asset(ASSET)
        network = cls()
        try:
            network.load_state_dict(_state(path))
        except (SafetensorError, OSError, RuntimeError, KeyError, ValueError) as error:
            raise AssetError(
                f"The face descriptor {path} could not be read ({str(error).splitlines()[0]}).",
                "Get the file again, or run tools/convert_face_descriptor.py.",
            ) from error
        return network

    def maps(self, chip_B3HH: Tensor) -> Tensor:
        """What half of the layers make of chips (RGB 0..1, sRGB, 150 x 150 pixels): (B, 128, 8, 8), what is where."""
        with torch.autocast(chip_B3HH.device.type, enabled=False):
            x = (255 * chip_B3HH.float() - self.mean_311) / 255
            x = functional.max_pool2d(functional.relu(self.conv32_down(x)), 3, 2)
            return self._blocks(x, _BLOCKS[:_HALF])

    def descriptor_of(self, maps_B128HW: Tensor) -> Tensor:
        """dlib's descriptor (B, 128) of `maps`: two chips show the same person when they are closer than about 0.6."""
        with torch.autocast(maps_B128HW.device.type, enabled=False):
            return self.fc(self._blocks(maps_B128HW, _BLOCKS[_HALF:]).mean((2, 3)))

    def descriptor(self, chip_B3HH: Tensor) -> Tensor:
        """`descriptor_of` of chips."""
        return self.descriptor_of(self.maps(chip_B3HH))

    def forward(self, chip_B3HH: Tensor) -> Tensor:
        """The descriptor (B, 128) at length one."""
        return functional.normalize(self.descriptor(chip_B3HH), dim=1)

    def _blocks(self, x: Tensor, blocks: Iterable[tuple[str, int, int]]) -> Tensor:
        for name, _, _ in blocks:
            x = self.get_submodule(name)(x)
        return x


class FaceFeatures(FaceDescriptor):
    """Face chips -> what the shape encoder reads: the maps, which say what is where, and whose face it is."""

    map_width = 128 * 8 * 8
    width = map_width + FaceDescriptor.width

    def forward(self, chip_B3HH: Tensor) -> Tensor:
        """The maps' values, then the descriptor's (B, 8320)."""
        maps_B128HW = self.maps(chip_B3HH)
        return torch.cat((maps_B128HW.flatten(1), self.descriptor_of(maps_B128HW)), 1)


class _Block(nn.Module):
    """A residual block; its shortcut has no weights: it is pooled, and what it lacks in channels is zero."""

    def __init__(self, inputs: int, outputs: int, down: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, 2 if down else 1, 0 if down else 1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1)
        self.down = down

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(functional.relu(self.conv1(x)))
        if self.down:
            x = functional.avg_pool2d(x, 2)
            x = functional.pad(x, (0, 0, 0, 0, 0, y.shape[1] - x.shape[1]))
            # The shortcut of an even picture is one row and column larger.
            y = functional.pad(y, (0, x.shape[3] - y.shape[3], 0, x.shape[2] - y.shape[2]))
        return functional.relu(x + y)


def _state(path: Path) -> dict[str, Tensor]:
    """The file's weights, each convolution's scale layer multiplied in."""
    with safe_open(str(path), "numpy") as file:
        card = json.loads((file.metadata() or {}).get("card", "{}"))
        if (card.get("format"), card.get("version")) != ("deca-face-descriptor", "1"):
            raise ValueError("it is no face descriptor file of version 1")
        stored = {name: file.get_tensor(name) for name in file.keys()}
    weights: dict[str, NDArray[np.float32]] = {}
    for name, values in stored.items():
        if f"{name}.range" in stored:
            scale, minimum = stored[f"{name}.range"]
            weights[name] = (values * scale + minimum).astype(np.float32)
        elif not name.endswith(".range"):
            weights[name] = values
    state = {"fc.weight": torch.from_numpy(weights["fc"])}
    for name in weights:
        if name.endswith(".conv.filters"):
            layer = name.removesuffix(".conv.filters")
            factor, offset = weights[f"{layer}.scale.weights"], weights[f"{layer}.scale.biases"]
            state[f"{layer}.weight"] = torch.from_numpy(weights[name] * factor[:, None, None, None])
            state[f"{layer}.bias"] = torch.from_numpy(weights[f"{layer}.conv.bias"] * factor + offset)
    return state
