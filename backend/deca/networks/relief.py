"""The relief network: a photo's skin, laid out as the head's UV map -> the displacement that it shows, and how sure
that is.

Wrinkles are told from shadows, hair and pigment by their shading, by their colour, which relief hardly changes, and by
their place; so the network also sees where each texel is, and how deep people's skin is there.

The weights file is one safetensors file: the network's tensors, and metadata `format` = `deca-relief`, `version` and
`card` (JSON, the fields of `ReliefCard`).

Shape suffixes: B batch, C channels, H W rows and columns of the UV map or of a part of it, P Q those of the photo laid
out as this map, `FINER` times as many.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from deca.errors import AssetError
from deca.head.model import HeadModel
from deca.networks.decoder import MAP_SIZE
from deca.networks.network_file import fill_network, read_card, read_network, save_network
from deca.render.lighting import sh_bands

_FORMAT, _VERSION = "deca-relief", "2"
_CHANNELS = (24, 32, 64, 96)
_DEPTH = 2 ** (len(_CHANNELS) - 1)
"""Rows and columns of the network's input are multiples of this."""
FINER = 2
"""The photo is laid out with so many times the map's rows and columns: slopes between two texels show what the map's
finest lines are, and a photo's mean over a texel hides it."""
_INPUTS = 20 + 3 * FINER**2
NUM_LANDMARKS = 68
_BANDS = (2.5, 6.0)
"""Sigmas in texels of the blurs whose difference from the light is looked at: a fine line, and a fold."""
_FAINT = 0.05
"""Square of the change of log light per slope below which light says little of slopes."""
_RIDGE = (0.0, *[3e-4] * 3, *[3e-3] * 5)
"""Of the light's nine bands, per texel: a part of a face says little of the light from all around."""
_DARKEST = 0.03
"""Added to display values before their logarithm: a camera's black is not to be trusted."""
_LIMIT = 3.0
"""Millimetres: skin is no deeper."""
_ENOUGH = 0.2
"""Share from which on relief is certain: the network gives what is likely, and most of the rest is unevenness that no
photo shows. By portraits, where plainly seen lines have about this much."""
_NEAR = 3.0
"""Sigma in texels of the surroundings whose lines are looked at together for how certain they are."""
_ELSEWHERE = 3.0
"""Texels by which landmarks may be off on average: training takes the layout to err by as much as two."""
_FLOOR = 0.03
"""Millimetres: pores and unevenness that no photo shows, and that no certainty is drawn from."""


@dataclass(frozen=True)
class ReliefCard:
    """What a relief network is.

    Attributes:
        head: Name of the head model whose UV map it reads.
        data: What it was trained on.
        recipe: How.
        metrics: Measured quality by name.
        licence: Licence of the weights.
    """

    head: str
    data: str = ""
    recipe: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    licence: str = ""


class Layout(NamedTuple):
    """Photos laid out as UV maps, or the same part of each.

    Attributes:
        photo_B3PQ: Display values, 0..1; where nothing is seen, anything.
        normals_B3HW: Unit normals of the coarse head as it is on the photo: x right, y up, z to the camera.
        seen_B1HW: How well the photo shows each texel's skin, 0..1.
        density_B: Photo pixels per texel; 1 and more is all that the map can hold.
    """

    photo_B3PQ: Tensor
    normals_B3HW: Tensor
    seen_B1HW: Tensor
    density_B: Tensor

    @property
    def photo_B3HW(self) -> Tensor:
        """The photo's mean over each texel."""
        return functional.avg_pool2d(self.photo_B3PQ, FINER)


class ReliefNetwork(nn.Module):
    """A U-Net over the UV map.

    Args:
        card: What it is.

    Attributes:
        usual_HW: Mean displacement of people and expressions, millimetres.
        spread_HW: Its standard deviation, millimetres.
        place_L2: Where the head's landmarks are on the map (`landmark_places`).
    """

    usual_HW: Tensor
    spread_HW: Tensor
    place_L2: Tensor

    def __init__(self, card: ReliefCard) -> None:
        super().__init__()
        self.card = card
        self.register_buffer("usual_HW", torch.zeros(MAP_SIZE, MAP_SIZE))
        self.register_buffer("spread_HW", torch.full((MAP_SIZE, MAP_SIZE), 0.1))
        self.register_buffer("place_L2", torch.zeros(NUM_LANDMARKS, 2))
        widths = (_INPUTS, *_CHANNELS)
        self.down = nn.ModuleList(unet_level(*pair) for pair in pairwise(widths))
        self.up = nn.ModuleList(
            unet_level(coarse + fine, fine) for coarse, fine in zip(_CHANNELS[:0:-1], _CHANNELS[-2::-1], strict=True)
        )
        self.depth = nn.Conv2d(_CHANNELS[0], 1, 3, padding=1)
        self.doubt = nn.Conv2d(_CHANNELS[2], 1, 3, padding=1)

    def forward(self, inputs_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Displacement, millimetres (B, 1, H, W), and the logarithm of its root mean square error.

        Args:
            inputs_BCHW: `inputs`; rows and columns are multiples of 8.
        """
        seen, kept = inputs_BCHW, []
        for index, level in enumerate(self.down):
            seen = level(functional.max_pool2d(seen, 2) if index else seen)
            kept.append(seen)
        doubt = None
        seen = kept.pop()
        for level in self.up:
            finer = functional.interpolate(seen, scale_factor=2.0, mode="nearest")
            seen = level(torch.cat((finer, kept.pop()), 1))
            if doubt is None:  # at a quarter of the size: how sure it is changes slowly
                doubt = self.doubt(seen)
        assert doubt is not None
        doubt = functional.interpolate(doubt.float(), inputs_BCHW.shape[2:], mode="bilinear", align_corners=False)
        return _LIMIT * torch.tanh(self.depth(seen).float() / _LIMIT), doubt.clamp(-5.0, 1.0)

    def inputs(self, layout: Layout, corner_B2: Tensor | None = None) -> Tensor:
        """What the network sees (B, C, H, W).

        Args:
            layout: Photos of the whole UV map or of parts of it.
            corner_B2: First row and column of each part; the whole map when None.
        """
        seen_B1HW, photo_B3HW = layout.seen_B1HW, layout.photo_B3HW
        colour_B3HW = torch.log(photo_B3HW.clamp(0, 1) + _DARKEST)
        light_B1HW = log_light(photo_B3HW)
        chroma_B2HW = (colour_B3HW - light_B1HW)[:, ::2]
        about_B3HW = torch.cat((light_B1HW, chroma_B2HW * 3), 1)
        about_B3HW = about_B3HW - _mean(about_B3HW, seen_B1HW)
        band_B2HW = torch.cat([(light_B1HW - _blurred(light_B1HW, seen_B1HW, sigma)) * 5 for sigma in _BANDS], 1)
        # What slopes do to the light, and so which slopes the bands would stand for.
        slope_B2HW = slope_light(light_B1HW, layout.normals_B3HW, seen_B1HW)
        share_B2HW = slope_B2HW / (slope_B2HW.square().sum(1, keepdim=True) + _FAINT)
        within_BKHW = (functional.pixel_unshuffle(log_light(layout.photo_B3PQ), FINER) - light_B1HW) * 5
        slopes_BCHW, within_slopes_BCHW = (
            torch.cat([shown_BCHW * share_B2HW[:, axis : axis + 1] for axis in range(2)], 1)
            for shown_BCHW in (band_B2HW, within_BKHW)
        )
        rows, columns = seen_B1HW.shape[2:]
        corners = torch.zeros(len(seen_B1HW), 2, dtype=torch.long) if corner_B2 is None else corner_B2
        places = []
        for row, column in corners.tolist():
            part = slice(row, row + rows), slice(column, column + columns)
            places.append(self._place_4HW[(slice(None), *part)])
        fine_B111 = layout.density_B.clamp(0.05, 2.0).log()[:, None, None, None]
        return torch.cat(
            (
                torch.cat((band_B2HW, about_B3HW, slope_B2HW, slopes_BCHW), 1) * seen_B1HW,
                layout.normals_B3HW * (seen_B1HW > 0),
                seen_B1HW,
                torch.stack(places).to(seen_B1HW),
                fine_B111.expand(-1, -1, rows, columns),
                torch.cat((within_BKHW, within_slopes_BCHW), 1) * seen_B1HW,
            ),
            1,
        )

    @property
    def _place_4HW(self) -> Tensor:
        """Where texels are, and how deep people's skin is there."""
        along = (torch.arange(MAP_SIZE, device=self.usual_HW.device) + 0.5) / MAP_SIZE * 2 - 1
        v_HW, u_HW = torch.meshgrid(-along, along, indexing="ij")
        return torch.stack((u_HW, v_HW, self.usual_HW * 5, self.spread_HW * 5)).to(self.usual_HW.dtype)

    @property
    def _part(self) -> tuple[slice, slice]:
        """Rows and columns where people's skin differs, in steps of what the network can halve."""
        differs_HW = self.spread_HW > 0
        rows, columns = (differs_HW.any(axis).nonzero()[:, 0].tolist() for axis in (1, 0))
        steps = [(found[0] // _DEPTH, found[-1] // _DEPTH + 1) for found in (rows, columns)]
        return slice(*(_DEPTH * step for step in steps[0])), slice(*(_DEPTH * step for step in steps[1]))

    def certainty(self, depth_B1HW: Tensor, doubt_B1HW: Tensor, corner_B2: Tensor | None = None) -> Tensor:
        """How much better than people's mean the relief is expected to be: the share of the squares of what people's
        skin differs by there, or this one's, that it explains, from nothing (0) to enough (1).

        Args:
            depth_B1HW, doubt_B1HW: As `forward` gives them.
            corner_B2: As in `inputs`.
        """
        rows, columns = doubt_B1HW.shape[2:]
        corners = [(0, 0)] * len(doubt_B1HW) if corner_B2 is None else corner_B2.tolist()
        usual_B1HW, spread_B1HW = (
            torch.stack([map_HW[r : r + rows, c : c + columns] for r, c in corners])[:, None]
            for map_HW in (self.usual_HW, self.spread_HW)
        )
        wrong_B1HW = torch.exp(2 * doubt_B1HW)
        own_B1HW = (depth_B1HW - usual_B1HW).square()
        own_B1HW = wrong_B1HW + _blurred(own_B1HW, torch.ones_like(own_B1HW), _NEAR)
        # The photo may tell that there are deep lines, and as well that there are none where people have some.
        explained_B1HW = 1 - wrong_B1HW / torch.maximum(spread_B1HW.square() + _FLOOR**2, own_B1HW)
        return (explained_B1HW / _ENOUGH).clamp(0, 1)

    @torch.inference_mode()
    def read(self, layout: Layout) -> tuple[Tensor, Tensor]:
        """Displacement, metres, and certainty, 0..1, of photos laid out as whole UV maps, (B, 1, 256, 256) each; both 0
        where nothing is seen."""
        seen_B1HW = layout.seen_B1HW
        displacement_B1HW, certainty_B1HW = torch.zeros_like(seen_B1HW), torch.zeros_like(seen_B1HW)
        part = self._part
        corner_B2 = torch.tensor([[part[0].start, part[1].start]]).expand(len(seen_B1HW), -1)
        normals, seen = (tensor[..., part[0], part[1]] for tensor in layout[1:3])
        shown = Layout(layout.photo_B3PQ[(..., *finer(part))], normals, seen, layout.density_B)
        depth_B1HW, doubt_B1HW = self(self.inputs(shown, corner_B2))
        is_seen_B1HW = shown.seen_B1HW > 0
        displacement_B1HW[..., part[0], part[1]] = 1e-3 * depth_B1HW * is_seen_B1HW
        certainty_B1HW[..., part[0], part[1]] = self.certainty(depth_B1HW, doubt_B1HW, corner_B2) * shown.seen_B1HW
        return displacement_B1HW, certainty_B1HW

    def check_head(self, head: HeadModel) -> None:
        """Makes sure that the network reads this head model's UV map.

        Raises:
            AssetError: It reads another one's.
        """
        places_L2 = landmark_places(head)
        off = float((places_L2 - self.place_L2.cpu()).norm(dim=1).mean()) * MAP_SIZE
        if off > _ELSEWHERE:
            raise AssetError(
                f"The relief network reads the UV map of {self.card.head}, not that of {head.name}: the landmarks are"
                f" {off:.0f} texels off.",
                "Train it again for this head model with `deca-train relief`.",
            )


def finer(part: tuple[slice, slice]) -> tuple[slice, slice]:
    """A part of the map, in rows and columns of the photo that is laid out as this map."""
    rows, columns = (slice(FINER * side.start, FINER * side.stop) for side in part)
    return rows, columns


def landmark_places(head: HeadModel) -> Tensor:
    """Texture coordinates (L, 2) of iBUG's landmarks, which tell UV maps apart: other shapes of a head keep them.

    Raises:
        AssetError: The head model has no landmarks.
    """
    points = head.landmarks_68
    if points is None:
        raise AssetError(f"The head model {head.name} has no landmarks, which relief needs.", "Use OpenHead.")
    uv_L2 = (head.uv_T2[head.uv_faces_F3[points.faces]] * points.bary[..., None]).sum(1)
    return torch.from_numpy(uv_L2.astype(np.float32))


def relief_network(card: ReliefCard, head: HeadModel) -> ReliefNetwork:
    """A network for a head model, with fresh weights."""
    network = ReliefNetwork(card)
    network.place_L2.copy_(landmark_places(head))
    return network


def new_relief_network(head: HeadModel, seed: int = 0) -> ReliefNetwork:
    """A network with random weights for a head model."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return relief_network(ReliefCard(head.name), head).eval()


def save_relief(network: ReliefNetwork, path: str | Path) -> None:
    """Writes a weights file in half precision, in one piece; the same network gives the same bytes.

    Raises:
        OutputError: The file cannot be written.
    """
    save_network(network, network.card, _FORMAT, _VERSION, path)


def load_relief(path: str | Path) -> ReliefNetwork:
    """Reads a weights file; the network is in evaluation mode.

    Raises:
        AssetError: The file is missing, damaged or foreign.
    """
    path = Path(path)
    arrays, metadata = read_network(path, "relief", _FORMAT, _VERSION)
    network = ReliefNetwork(read_card(metadata, ReliefCard, "relief", path))
    fill_network(network, arrays, path)
    return network.eval()


def unet_level(given: int, wanted: int) -> nn.Sequential:
    """One level of a U-Net: two convolutions from `given` channels to `wanted`, each with its normalisation."""
    layers: list[nn.Module] = []
    for channels in (given, wanted):
        convolution = nn.Conv2d(channels, wanted, 3, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(wanted), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def log_light(photo_B3HW: Tensor) -> Tensor:
    """Logarithm of a photo's light (B, 1, H, W)."""
    return torch.log(photo_B3HW.clamp(0, 1).mean(1, keepdim=True) + _DARKEST)


def band(map_B1HW: Tensor, seen_B1HW: Tensor) -> Tensor:
    """What of a map varies over the width of lines."""
    return map_B1HW - _blurred(map_B1HW, seen_B1HW, 4.0)


def slope_light(light_B1HW: Tensor, normals_B3HW: Tensor, seen_B1HW: Tensor) -> Tensor:
    """How much brighter skin is per slope that faces right, and up, on the map (B, 2, H, W), in logarithms.

    Args are those of `light_gradient`.
    """
    gradient_B3HW = light_gradient(light_B1HW, normals_B3HW, seen_B1HW)
    x, y, z = normals_B3HW.unbind(1)
    # Along the map's rows the surface runs to the right, as far as it can, and at a right angle to it up.
    right_B3HW = functional.normalize(torch.stack((1 - x * x, -x * y, -x * z), 1), dim=1, eps=1e-3)
    up_B3HW = torch.linalg.cross(normals_B3HW, right_B3HW, dim=1)
    along = [(gradient_B3HW * axis_B3HW).sum(1) for axis_B3HW in (right_B3HW, up_B3HW)]
    return torch.stack(along, 1).clamp(-3, 3)


def light_gradient(light_B1HW: Tensor, normals_B3HW: Tensor, seen_B1HW: Tensor) -> Tensor:
    """How the logarithm of the light changes with the normal (B, 3, H, W).

    The light is a quadratic of the normals, fitted to what is seen; pigment and relief average out.

    Args:
        light_B1HW: Logarithm of the light.
        normals_B3HW: Coarse unit normals.
        seen_B1HW: Weights.
    """
    basis_B9X, light_BX1 = sh_bands(normals_B3HW).flatten(2), light_B1HW.flatten(2).transpose(1, 2)
    weighted_B9X = basis_B9X * seen_B1HW.flatten(2)
    total_B11 = seen_B1HW.sum((2, 3)).clamp(min=1.0)[..., None]
    gram_B99 = weighted_B9X @ basis_B9X.transpose(1, 2) / total_B11 + torch.diag(basis_B9X.new_tensor(_RIDGE) + 1e-6)
    c_B9 = torch.linalg.solve(gram_B99, weighted_B9X @ light_BX1 / total_B11)[..., 0]
    x, y, z = normals_B3HW.unbind(1)
    _, cx, cy, cz, cxy, cxz, cyz, cxx, czz = (column[:, None, None] for column in c_B9.unbind(1))
    return torch.stack(
        (
            cx + cxy * y + cxz * z + 2 * cxx * x,
            cy + cxy * x + cyz * z - 2 * cxx * y,
            cz + cxz * x + cyz * y + 6 * czz * z,
        ),
        1,
    )


def _mean(map_BCHW: Tensor, weight_B1HW: Tensor) -> Tensor:
    total_B111 = weight_B1HW.sum((2, 3), keepdim=True).clamp(min=1e-6)
    return (map_BCHW * weight_B1HW).sum((2, 3), keepdim=True) / total_B111


def _blurred(map_B1HW: Tensor, weight_B1HW: Tensor, sigma: float) -> Tensor:
    """The weighted mean of the surroundings, which what has no weight does not enter."""
    reach = round(2.5 * sigma)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=map_B1HW.device) / sigma).square())
    kernel = (kernel / kernel.sum()).to(map_B1HW.dtype)
    both_B2HW = torch.cat((map_B1HW * weight_B1HW, weight_B1HW), 1)
    down_21K1, across_211K = (
        kernel.view(1, 1, -1, 1).expand(2, -1, -1, -1),
        kernel.view(1, 1, 1, -1).expand(2, -1, -1, -1),
    )
    both_B2HW = functional.conv2d(both_B2HW, down_21K1, padding=(reach, 0), groups=2)
    both_B2HW = functional.conv2d(both_B2HW, across_211K, padding=(0, reach), groups=2)
    return both_B2HW[:, :1] / both_B2HW[:, 1:].clamp(min=1e-3)
