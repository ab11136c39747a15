"""The network that tells skin from what covers it: beard and brows, hair, glasses, hands, cloth, what is behind.

It sees a photo laid out as the head's UV map, where every part of a face has its place.

Shape suffixes: B photos, K kinds, C channels, H W rows and columns of the UV map (256), top row first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from deca.errors import AssetError
from deca.head import HeadModel
from deca.networks.network_file import fill_network, read_card, read_network, save_network
from deca.networks.relief import landmark_places, unet_level

_FORMAT, _VERSION = "deca-skin-map", "1"
_CHANNELS = (24, 40, 64, 96, 96)
_INPUTS = 13
_DARKEST = 0.05
"""Added to display values before their logarithm."""
_ELSEWHERE = 3.0 / 256
"""Mean distance of the landmarks' places from which on a UV map is another one."""


class Kind(IntEnum):
    """What a texel of a photo shows."""

    SKIN = 0
    FACIAL_HAIR = 1
    """Brows, beards: on the skin, and kept in its texture."""
    HAIR = 2
    GLASSES = 3
    OTHER = 4
    """Hands, cloth, whatever is before the face, and what is behind it."""


@dataclass(frozen=True)
class SkinMapCard:
    """What a network is; fields as in `ReliefCard`."""

    head: str
    data: str = ""
    recipe: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    licence: str = ""


class Seen(NamedTuple):
    """Photos laid out as UV maps.

    Attributes:
        photo_B3HW: Display values, 0..1; where nothing is seen, anything.
        normals_B3HW: Unit normals of the fitted head, head space as seen: x right, y up, z to the camera.
        seen_B1HW: 1 where the photo shows the head's surface, if nothing hides it.
        person_B1HW: 1 where the photo shows a person, 0 where it shows what is behind (`deca.vision.person`).
    """

    photo_B3HW: Tensor
    normals_B3HW: Tensor
    seen_B1HW: Tensor
    person_B1HW: Tensor


class SkinMapNetwork(nn.Module):
    """A U-Net over the UV map that works at half its size: four neighbouring texels enter and leave together.

    Args:
        card: What it is.

    Attributes:
        place_L2: Where the head's landmarks are on the map (`landmark_places`).
    """

    place_L2: Tensor

    def __init__(self, card: SkinMapCard) -> None:
        super().__init__()
        self.card = card
        self.register_buffer("place_L2", torch.zeros(68, 2))
        widths = (4 * _INPUTS, *_CHANNELS)
        self.down = nn.ModuleList(unet_level(*pair) for pair in pairwise(widths))
        self.up = nn.ModuleList(
            unet_level(coarse + fine, fine) for coarse, fine in zip(_CHANNELS[:0:-1], _CHANNELS[-2::-1], strict=True)
        )
        self.kinds = nn.Conv2d(_CHANNELS[0], 4 * len(Kind), 3, padding=1)

    def forward(self, inputs_BCHW: Tensor) -> Tensor:
        """Logits of the kinds (B, K, H, W).

        Args:
            inputs_BCHW: `inputs`.
        """
        found, kept = functional.pixel_unshuffle(inputs_BCHW, 2), []
        for index, level in enumerate(self.down):
            found = level(functional.max_pool2d(found, 2) if index else found)
            kept.append(found)
        found = kept.pop()
        for level in self.up:
            finer = functional.interpolate(found, scale_factor=2.0, mode="nearest")
            found = level(torch.cat((finer, kept.pop()), 1))
        return functional.pixel_shuffle(self.kinds(found), 2)

    def inputs(self, seen: Seen) -> Tensor:
        """What the network sees (B, C, H, W): colours, also relative to the face's, normals, and the place."""
        seen_B1HW = seen.seen_B1HW
        colour_B3HW = torch.log(seen.photo_B3HW.clamp(0, 1) + _DARKEST)
        # The middle of the map is cheeks and nose.
        size = colour_B3HW.shape[-1]
        along = (torch.arange(size, device=seen_B1HW.device) + 0.5) / size * 2 - 1
        v_HW, u_HW = torch.meshgrid(-along, along, indexing="ij")
        weight_B1HW = seen_B1HW * torch.exp(-(u_HW.square() + v_HW.square()) / 0.1)
        total_B111 = weight_B1HW.sum((2, 3), keepdim=True).clamp(min=1e-3)
        mean_B311 = (colour_B3HW * weight_B1HW).sum((2, 3), keepdim=True) / total_B111
        place_B2HW = torch.stack((u_HW, v_HW)).expand(len(seen_B1HW), -1, -1, -1)
        return torch.cat(
            (
                (seen.photo_B3HW - 0.5) * seen_B1HW,
                (colour_B3HW - mean_B311) * seen_B1HW,
                seen.normals_B3HW * seen_B1HW,
                seen_B1HW,
                seen.person_B1HW * seen_B1HW,
                place_B2HW,
            ),
            1,
        )

    @torch.inference_mode()
    def read(self, seen: Seen) -> Tensor:
        """Probability of each kind (B, K, H, W); they sum to 1 everywhere, and mean nothing where nothing is seen."""
        return self(self.inputs(seen)).softmax(1)

    def check_head(self, head: HeadModel) -> None:
        """Makes sure that the network reads this head model's UV map.

        Raises:
            AssetError: It reads another one's.
        """
        off = float((landmark_places(head) - self.place_L2.cpu()).norm(dim=1).mean())
        if off > _ELSEWHERE:
            raise AssetError(
                f"The skin map network reads the UV map of {self.card.head}, not that of {head.name}.",
                "Train it again for this head model with `deca-train skin-map`.",
            )


def skin_map_network(card: SkinMapCard, head: HeadModel) -> SkinMapNetwork:
    """A network for a head model, with fresh weights."""
    network = SkinMapNetwork(card)
    network.place_L2.copy_(landmark_places(head))
    return network


def save_skin_map(network: SkinMapNetwork, path: str | Path) -> None:
    """Writes a weights file in half precision, in one piece.

    Raises:
        OutputError: The file cannot be written.
    """
    save_network(network, network.card, _FORMAT, _VERSION, path)


def load_skin_map(path: str | Path) -> SkinMapNetwork:
    """Reads a weights file; the network is in evaluation mode.

    Raises:
        AssetError: The file is missing, damaged or foreign.
    """
    path = Path(path)
    arrays, metadata = read_network(path, "skin-map", _FORMAT, _VERSION)
    network = SkinMapNetwork(read_card(metadata, SkinMapCard, "skin map", path))
    fill_network(network, arrays, path)
    return network.eval()
