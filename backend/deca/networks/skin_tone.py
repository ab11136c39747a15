"""How light a person's skin is, told by the face: a photo's brightness says as much of the lamp.

A recognition network knows people again in any light, so what it says of them has little of the light in it. One linear
map reads the lightness from its descriptor.

The weights file is one safetensors file: the map, and metadata `format` = `deca-skin-tone`, `version` and `card` (JSON,
the fields of `SkinToneCard`).

Shape suffixes: N faces, D descriptor (128).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from deca.assets import asset
from deca.networks.face_descriptor import FaceDescriptor
from deca.networks.network_file import fill_network, read_card, read_network, save_network

ASSET = "identity/skin_tone.safetensors"
_FORMAT, _VERSION = "deca-skin-tone", "1"
_RANGE = 25.0, 80.0
"""L* of people's skin, from and to."""


@dataclass(frozen=True)
class SkinToneCard:
    """What a map is.

    Attributes:
        data: What it was fitted to.
        correlation: With the truth, of people left out.
        licence: Licence of the weights.
    """

    data: str = ""
    correlation: float = 0.0
    licence: str = ""


class SkinTone(nn.Module):
    """Face descriptors to lightness.

    Args:
        card: What it is.
    """

    def __init__(self, card: SkinToneCard) -> None:
        super().__init__()
        self.card = card
        self.layer = nn.Linear(FaceDescriptor.width, 1)

    def forward(self, descriptor_ND: Tensor) -> Tensor:
        """L* (N,) of the skin's albedo as a texture shows it (`FaceDescriptor.descriptor` as the input)."""
        return self.layer(descriptor_ND)[:, 0].clamp(*_RANGE)


def save_skin_tone(network: SkinTone, path: str | Path) -> None:
    """Writes a weights file, in one piece.

    Raises:
        OutputError: The file cannot be written.
    """
    save_network(network, network.card, _FORMAT, _VERSION, path)


def load_skin_tone(path: str | Path | None = None) -> SkinTone:
    """Reads a weights file, the bundled one when None; the network is in evaluation mode.

    Raises:
        AssetError: The file is missing, damaged or foreign.
    """
    path = Path(path or asset(ASSET))
    arrays, metadata = read_network(path, "skin-tone", _FORMAT, _VERSION)
    network = SkinTone(read_card(metadata, SkinToneCard, "skin tone", path))
    fill_network(network, arrays, path)
    return network.eval()
