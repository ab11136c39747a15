"""What a photo shows of a face's skin, wherever and however the face looks: the backbone that reads wrinkles.

Wrinkles are thin, weak and always in the same places of the head. So the crop is first laid out as the head's UV map
by MediaPipe's landmarks, and then described, place by place, by how much its light varies.

Shape suffixes: B batch, L landmarks, G rows and columns of a coarse grid on the UV map, N of the skin laid out, C of
its cells, F features, H W of the crop.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from deca.networks.backbones import Backbone
from deca_blender.protocol.conventions import CROP_SIZE

NUM_POINTS = 468
"""Landmarks on the skin; MediaPipe's irises, which follow, are left out."""
GRID = 48
_SKIN, _CELL = 128, 8
_CELLS = _SKIN // _CELL
_BANDS = ((5, 1e-4), (17, 4e-4), (41, 4e-4))
"""Widths in texels of the blurs that take the slower changes away, and about the energy of smooth skin."""
_EDGE = 0.02
_TURNED, _FACING = 0.15, 0.3
"""Cosines of the angle to the view: skin is not read below the first, and fully above the second."""


class SkinBackbone(Backbone):
    """From crops and landmarks to features of the skin. Nothing in it learns by gradients.

    Attributes:
        place_GGL: Weight of each landmark in the position of each grid point (`deca_training.skin`).
        area_GG: Area of the head's skin around each grid point, relative to the others; 0 where there is none.
        skin_NN: 1 where wrinkles may be.
        usual_F, spread_F: Mean and standard deviation of the features over people, which are taken out of them.
    """

    place_GGL: Tensor
    area_GG: Tensor
    skin_NN: Tensor
    usual_F: Tensor
    spread_F: Tensor
    reads_landmarks = True

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("place_GGL", torch.zeros(GRID, GRID, NUM_POINTS))
        self.register_buffer("area_GG", torch.zeros(GRID, GRID))
        self.register_buffer("skin_NN", torch.zeros(_SKIN, _SKIN))
        self.width = (4 * len(_BANDS) + 1) * _CELLS**2
        self.register_buffer("usual_F", torch.zeros(self.width))
        self.register_buffer("spread_F", torch.ones(self.width))

    def forward(self, image_B3HW: Tensor, landmarks_BL2: Tensor) -> Tensor:
        """Features (B, `width`) of crops.

        Args:
            image_B3HW: RGB in 0..1.
            landmarks_BL2: MediaPipe's landmarks (B, 478, 2) on them, pixels.
        """
        return (self.energies(*self.laid_out(image_B3HW, landmarks_BL2)) - self.usual_F) / self.spread_F

    def laid_out(self, image_B3HW: Tensor, landmarks_BL2: Tensor) -> tuple[Tensor, Tensor]:
        """Logarithm of the skin's brightness (B, 1, N, N) about its mean, and how well each texel is seen, 0..1."""
        size = (_SKIN, _SKIN)
        points_BL2 = landmarks_BL2[:, :NUM_POINTS, :2] / (CROP_SIZE / 2) - 1
        xy_B2GG = torch.einsum("ghl,blc->bcgh", self.place_GGL, points_BL2)
        xy_B2NN = F.interpolate(xy_B2GG, size, mode="bilinear", align_corners=False)
        facing_B1NN = F.interpolate(self._facing(xy_B2GG), size, mode="bilinear", align_corners=False)
        inside_B1NN = ((1 - _EDGE - xy_B2NN.abs().amax(1, keepdim=True)) * 1e3).clamp(0, 1)
        turned_B1NN = ((facing_B1NN - _TURNED) / (_FACING - _TURNED)).clamp(0, 1)
        seen_B1NN = self.skin_NN * inside_B1NN * turned_B1NN
        texture_B3NN = F.grid_sample(image_B3HW, xy_B2NN.permute(0, 2, 3, 1), align_corners=False)
        grey = texture_B3NN.new_tensor([0.299, 0.587, 0.114])[:, None, None]
        light_B1NN = torch.log((texture_B3NN * grey).sum(1, keepdim=True) + 0.05)
        mean_B111 = (light_B1NN * seen_B1NN).sum((2, 3), keepdim=True) / (seen_B1NN.sum((2, 3), keepdim=True) + 1)
        return (light_B1NN - mean_B111) * seen_B1NN, seen_B1NN

    def _facing(self, xy_B2GG: Tensor) -> Tensor:
        """Cosine of the skin's angle to the view (B, 1, G, G): how large it looks against how large it is."""
        across = F.pad(xy_B2GG[..., 2:] - xy_B2GG[..., :-2], (1, 1, 0, 0), mode="replicate")
        down = F.pad(xy_B2GG[..., 2:, :] - xy_B2GG[..., :-2, :], (0, 0, 1, 1), mode="replicate")
        looks_BGG = across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0]
        ratio_BGG = looks_BGG / self.area_GG.clamp(min=1e-6) * (self.area_GG > 0)
        # Somewhere every face looks straight at the camera.
        full_B = ratio_BGG.flatten(1).topk(GRID * GRID // 20).values.mean(1)
        return (ratio_BGG / full_B[:, None, None].clamp(min=1e-6))[:, None]

    def energies(self, light_B1NN: Tensor, seen_B1NN: Tensor) -> Tensor:
        """How much the light varies in each cell, by scale and direction, and how much of the cell is seen."""
        share_B1CC = F.avg_pool2d(seen_B1NN, _CELL)
        found = [share_B1CC]
        for width, smooth in _BANDS:
            blurred = _blur(light_B1NN, width) / (_blur(seen_B1NN, width) + 0.01)
            band_B1NN = (light_B1NN - blurred) * seen_B1NN
            down = F.pad(band_B1NN[..., 2:, :] - band_B1NN[..., :-2, :], (0, 0, 1, 1))
            across = F.pad(band_B1NN[..., 2:] - band_B1NN[..., :-2], (1, 1, 0, 0))
            squares_B3NN = torch.cat((band_B1NN, down, across), 1).square()
            found.append(torch.log(F.avg_pool2d(squares_B3NN, _CELL) / (share_B1CC + 0.02) + smooth))
            found.append(F.avg_pool2d(band_B1NN, _CELL) / (share_B1CC + 0.02))
        return torch.cat(found, 1).flatten(1)


def _blur(map_B1NN: Tensor, width: int) -> Tensor:
    """Two box filters; what is outside of the map counts as 0."""
    for _ in range(2):
        map_B1NN = F.avg_pool2d(map_B1NN, (width, 1), 1, (width // 2, 0))
        map_B1NN = F.avg_pool2d(map_B1NN, (1, width), 1, (0, width // 2))
    return map_B1NN
