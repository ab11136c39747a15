"""The nonlinear face model's networks (Tran, Liu and Liu 2019, "Towards High-fidelity Nonlinear 3D Face Morphable
Model"): an encoder from crops to codes, and decoders from codes to maps of shape and albedo.

What codes mean on a head is in `deca.reconstruct.nonlinear`. The weights file is one safetensors file: the networks'
tensors, and metadata `format` = `deca-nonlinear`, `version` and `card` (JSON, the fields of `NonlinearCard`).

Shape suffixes: B batch, N code, C channels, H W rows and columns of the window of the UV map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from deca.errors import AssetError, OptionError
from deca.head.model import HeadModel
from deca.networks.checkpoint import fitting_state
from deca.networks.codes import Codes, CodeSizes
from deca.networks.encoders import CoarseEncoder
from deca.networks.network_file import read_card, read_network, save_network
from deca.render.detail import detail_patch

_FORMAT, _VERSION = "deca-nonlinear", "1"
GLOBAL_DOUBLINGS, LOCAL_DOUBLINGS = 5, 3
"""Up-samplings of the two pathways (Section 3.4)."""
_REGIONS = ((*range(17, 22), *range(36, 42)), (*range(22, 27), *range(42, 48)), range(27, 36), range(48, 68))
"""iBUG landmarks of the local pathways: each eye with its brow, nose, mouth."""
_LOCAL_REACH = 1.4
"""Sides of a local pathway's region in those of its landmarks' box: lids, wings of the nose and folds belong to it."""
_SHAPE_UNIT, _ALBEDO_UNIT = 2e-3, 0.1
"""What a decoder's output of one is: metres of displacement, display values of albedo. By how much people differ from
linear models, so that both decoders learn at one rate."""
_SMALL_START = 0.1
"""Factor of the last layers' first weights: faces begin as the linear models have them."""

Region = tuple[int, int, int, int]
"""Top, left, height and width in texels of the window."""


@dataclass(frozen=True)
class DecoderSizes:
    """Of the decoders; the paper's by default (Section 4), whose channels are not told: those are ours.

    Attributes:
        map_size: Rows and columns of the whole UV map whose texels the window has.
        rows, columns: Of the window around the face, multiples of 32.
        linear_shape, linear_albedo: How many leading entries of the codes are coefficients of the linear models.
        decoder: `linear`: the linear models alone; `global`: with a decoder of the global pathway alone;
            `global_local`: with both pathways.
        proxy: Whether proxies are apart from the true shape and albedo.
        global_channels: After the linear layer, and after each of the five up-samplings.
        local_channels: Likewise, three.
        fused_channels: Of the convolutions after both pathways.
    """

    map_size: int = 256
    rows: int = 224
    columns: int = 192
    linear_shape: int = 100
    linear_albedo: int = 50
    decoder: Literal["linear", "global", "global_local"] = "global_local"
    proxy: bool = True
    global_channels: tuple[int, ...] = (256, 256, 128, 64, 64, 32)
    local_channels: tuple[int, ...] = (128, 128, 64, 32)
    fused_channels: int = 32

    def __post_init__(self) -> None:
        step = 2**GLOBAL_DOUBLINGS
        if self.rows % step or self.columns % step or not 0 < max(self.rows, self.columns) <= self.map_size:
            raise OptionError(
                f"A window of {self.rows} x {self.columns} texels of a map of {self.map_size} is not possible.",
                f"Rows and columns are multiples of {step}, and no more than the map has.",
            )
        lengths = len(self.global_channels), len(self.local_channels)
        if lengths != (GLOBAL_DOUBLINGS + 1, LOCAL_DOUBLINGS + 1):
            raise OptionError("The pathways have six and four numbers of channels.", "Give as many.")
        if self.decoder not in ("linear", "global", "global_local"):
            raise OptionError(f"There is no decoder {self.decoder!r}.", "Choose linear, global or global_local.")

    @classmethod
    def small(cls) -> DecoderSizes:
        """For CPUs: half the resolution, and few channels where maps are large: a wide start costs next to nothing."""
        return cls(
            map_size=128,
            rows=128,
            columns=96,
            global_channels=(192, 128, 64, 32, 16, 8),
            local_channels=(64, 32, 16, 8),
            fused_channels=8,
        )


def window_of(head: HeadModel, sizes: DecoderSizes) -> tuple[slice, slice]:
    """Rows and columns of the UV map that the decoders draw, about the middle of the face.

    Raises:
        AssetError: The head model has no detail mask.
    """
    rows, _ = detail_patch(head, sizes.map_size)
    top = (rows.start + rows.stop - sizes.rows) // 2
    top, left = min(max(top, 0), sizes.map_size - sizes.rows), (sizes.map_size - sizes.columns) // 2
    return slice(top, top + sizes.rows), slice(left, left + sizes.columns)


def local_regions(head: HeadModel, sizes: DecoderSizes) -> tuple[Region, ...]:
    """Where the four local pathways draw, around a head model's landmarks.

    Raises:
        AssetError: The head model has no landmarks.
    """
    if head.landmarks_68 is None:
        raise AssetError(f"The head model {head.name} has no landmarks for the local pathways.", "Use OpenHead.")
    points = head.landmarks_68
    uv_L2 = (head.uv_T2[head.uv_faces_F3[points.faces]] * points.bary[..., None]).sum(1)
    rows, columns = window_of(head, sizes)
    places_L2 = np.stack((1 - uv_L2[:, 1], uv_L2[:, 0]), 1) * sizes.map_size - (rows.start, columns.start)
    limit_2 = np.array([sizes.rows, sizes.columns])
    regions = []
    for landmarks in _REGIONS:
        low_2, high_2 = places_L2[list(landmarks)].min(0), places_L2[list(landmarks)].max(0)
        step = 2**LOCAL_DOUBLINGS
        size_2 = np.minimum(np.ceil((high_2 - low_2) * _LOCAL_REACH / step).astype(int) * step, limit_2)
        corner_2 = np.clip(np.rint((low_2 + high_2 - size_2) / 2).astype(int), 0, limit_2 - size_2)
        regions.append((*corner_2.tolist(), *size_2.tolist()))
    return tuple(regions)


class Pair(NamedTuple):
    """What a decoder gives: the true element and its proxy (Section 3.3); the same one without proxies."""

    true_B3HW: Tensor
    proxy_B3HW: Tensor


class UvDecoder(nn.Module):
    """D_S or D_A: a code to maps of the true element and of its proxy, beyond the linear model (Section 3.4, Fig. 3).

    Args:
        code: Length of the code.
        sizes: Of the decoder; not `linear`.
        regions: Where the local pathways draw.
        unit: What an output of one is.
    """

    def __init__(self, code: int, sizes: DecoderSizes, regions: Sequence[Region], unit: float) -> None:
        super().__init__()
        self.unit, self.regions = unit, tuple(regions) if sizes.decoder == "global_local" else ()
        self.size = sizes.rows, sizes.columns
        self.global_path = _Pathway(code, self.size, sizes.global_channels)
        self.local_paths = nn.ModuleList(
            _Pathway(code, (height, width), sizes.local_channels) for _, _, height, width in self.regions
        )
        fused = sizes.fused_channels
        channels = sizes.global_channels[-1] + (sizes.local_channels[-1] if self.regions else 0)
        self.fuse = nn.Sequential(nn.Conv2d(channels, fused, 3, padding=1), nn.ReLU(inplace=True))
        self.branches = nn.ModuleList(_branch(fused) for _ in range(2 if sizes.proxy else 1))

    def forward(self, code_BN: Tensor) -> Pair:
        """Maps (B, 3, H, W) of a code, in metres or display values."""
        features = self.global_path(code_BN)
        if self.regions:
            features = torch.cat((features, self._local(code_BN)), 1)
        fused = self.fuse(features)
        maps = [branch(fused).float() * self.unit for branch in self.branches]
        return Pair(maps[0], maps[-1])

    def _local(self, code_BN: Tensor) -> Tensor:
        """The local pathways' features, zero-padded into the window, the largest where they overlap."""
        rows, columns = self.size
        fused: Tensor | None = None
        for path, (top, left, height, width) in zip(self.local_paths, self.regions, strict=True):
            # Features are not negative, so that the zeros around a region hide nothing.
            placed = functional.pad(path(code_BN), (left, columns - left - width, top, rows - top - height))
            fused = placed if fused is None else torch.maximum(fused, placed)
        assert fused is not None
        return fused


class _Pathway(nn.Module):
    """A linear layer to a small map, then fractionally strided convolutions that double it."""

    def __init__(self, code: int, size: tuple[int, int], channels: tuple[int, ...]) -> None:
        super().__init__()
        shrunk = 2 ** (len(channels) - 1)
        self.start = channels[0], size[0] // shrunk, size[1] // shrunk
        self.linear = nn.Linear(code, self.start[0] * self.start[1] * self.start[2])
        layers: list[nn.Module] = [nn.BatchNorm2d(channels[0]), nn.ReLU(inplace=True)]
        for given, wanted in pairwise(channels):
            layers += [
                nn.ConvTranspose2d(given, wanted, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(wanted),
                nn.ReLU(inplace=True),
            ]
        self.layers = nn.Sequential(*layers)

    def forward(self, code_BN: Tensor) -> Tensor:
        return self.layers(self.linear(code_BN).view(-1, *self.start))


def _branch(channels: int) -> nn.Sequential:
    last = nn.Conv2d(channels, 3, 3, padding=1)
    with torch.no_grad():
        last.weight.mul_(_SMALL_START)
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]
    return nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(inplace=True), last)


@dataclass(frozen=True)
class NonlinearCard:
    """What nonlinear networks are.

    Attributes:
        head, head_hash: Head model whose coefficients and UV map they have.
        sizes: Lengths of the codes; no detail code.
        decoders: Sizes of the decoders.
        regions: Of the local pathways.
        backbone, reduction: Of the encoder (`CoarseEncoder`).
        data, recipe: What they were trained on, and how.
        metrics: Measured quality by name.
        licence: Licence of the weights.
    """

    head: str
    head_hash: str
    sizes: CodeSizes
    decoders: DecoderSizes
    regions: tuple[Region, ...]
    backbone: str = "resnet50"
    reduction: int = 1
    data: str = ""
    recipe: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    licence: str = ""

    @classmethod
    def of(cls, head: HeadModel, sizes: CodeSizes, decoders: DecoderSizes, **fields: Any) -> NonlinearCard:
        """The card of networks for a head model.

        Raises:
            AssetError: The head model lacks landmarks or the detail mask.
        """
        return cls(head.name, head.hash, sizes, decoders, local_regions(head, decoders), **fields)

    def check_head(self, head: HeadModel) -> None:
        """Makes sure that the codes belong to this head model.

        Raises:
            AssetError: They belong to another.
        """
        if self.head_hash != head.hash:
            raise AssetError(
                f"The nonlinear networks are for another version of {self.head} than this {head.name}.",
                "Train them again with `deca-train nonlinear`.",
            )


class NonlinearNetworks(nn.Module):
    """E, D_S and D_A with fresh weights.

    E is `CoarseEncoder`: f_S and f_A stand for the shape and the albedo of its codes. The decoders are None where the
    models are linear.

    Args:
        card: What they are.
    """

    def __init__(self, card: NonlinearCard) -> None:
        super().__init__()
        self.card = card
        self.encoder = CoarseEncoder(card.backbone, card.sizes, card.reduction)
        self.shape_decoder: UvDecoder | None = None
        self.albedo_decoder: UvDecoder | None = None
        if card.decoders.decoder != "linear":
            self.shape_decoder = UvDecoder(card.sizes.shape, card.decoders, card.regions, _SHAPE_UNIT)
            self.albedo_decoder = UvDecoder(card.sizes.albedo, card.decoders, card.regions, _ALBEDO_UNIT)

    def codes(self, image_B3HW: Tensor) -> Codes:
        """E's codes of crops (B, 3, 224, 224), 0..1."""
        return Codes.split(self.encoder(image_B3HW).float(), self.card.sizes)

    def displacement(self, shape_BS: Tensor) -> Pair:
        """D_S's displacement of the neutral head's skin in the window, metres along x, y, z of head space."""
        return self._decoded(self.shape_decoder, shape_BS)

    def albedo_offset(self, albedo_BA: Tensor) -> Pair:
        """D_A's change of the linear albedo in the window, display values."""
        return self._decoded(self.albedo_decoder, albedo_BA)

    def _decoded(self, decoder: UvDecoder | None, code_BN: Tensor) -> Pair:
        if decoder is not None:
            return decoder(code_BN)
        nothing = code_BN.new_zeros(len(code_BN), 3, self.card.decoders.rows, self.card.decoders.columns)
        return Pair(nothing, nothing)


def save_nonlinear(networks: NonlinearNetworks, path: str | Path) -> None:
    """Writes a weights file in half precision, in one piece; the same networks give the same bytes.

    Raises:
        OutputError: The file cannot be written.
    """
    save_network(networks, networks.card, _FORMAT, _VERSION, path)


def load_nonlinear(path: str | Path) -> NonlinearNetworks:
    """Reads a weights file; the networks are in evaluation mode.

    Raises:
        AssetError: The file is missing, damaged or foreign.
    """
    path = Path(path)
    arrays, metadata = read_network(path, "nonlinear", _FORMAT, _VERSION)
    networks = NonlinearNetworks(read_card(metadata, _card, "nonlinear", path))
    state = {key: torch.from_numpy(array) for key, array in arrays.items()}
    networks.load_state_dict(fitting_state(path, networks, state))
    return networks.eval()


def _card(**values: Any) -> NonlinearCard:
    decoders: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in values["decoders"].items()
    }
    return NonlinearCard(
        **values
        | {
            "sizes": CodeSizes(**values["sizes"]),
            "decoders": DecoderSizes(**decoders),
            "regions": tuple(tuple(region) for region in values["regions"]),
        }
    )
