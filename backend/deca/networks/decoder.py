"""F_d of DECA: detail code, expression and jaw to a displacement map (Feng et al. 2021, Eq. 8).

Shape suffixes: B batch, D detail code (128), E expression coefficients (50).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from deca.networks.codes import CodeSizes

MAP_SIZE = 256
MAX_DISPLACEMENT = 0.01  # metres
_START = 8  # side of the first feature map
_CHANNELS = (128, 128, 64, 64, 32, 16)  # after the linear layer, and after each doubling
# The released weights were trained with this epsilon in all but the first batch normalisation.
_EPS = 0.8


class DetailDecoder(nn.Module):
    """F_d, with the state-dict keys of DECA's release.

    Args:
        sizes: Lengths of the expression and the detail code.
    """

    def __init__(self, sizes: CodeSizes | None = None) -> None:
        super().__init__()
        sizes = sizes or CodeSizes()
        first = _CHANNELS[0]
        self.l1 = nn.Sequential(nn.Linear(3 + sizes.expression + sizes.detail, first * _START**2))
        layers: list[nn.Module] = [nn.BatchNorm2d(first)]
        for inputs, outputs in pairwise(_CHANNELS):
            layers += [
                nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
                nn.Conv2d(inputs, outputs, 3, padding=1),
                nn.BatchNorm2d(outputs, eps=_EPS),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        layers.append(nn.Conv2d(_CHANNELS[-1], 1, 3, padding=1))
        self.conv_blocks = nn.Sequential(*layers)

    def forward(self, detail_BD: Tensor, expression_BE: Tensor, jaw_pose_B3: Tensor) -> Tensor:
        """Displacement along the surface normals.

        Args:
            detail_BD: Detail code.
            expression_BE: Expression coefficients.
            jaw_pose_B3: Rotation of the jaw, axis-angle, radians.

        Returns:
            (B, 1, 256, 256) map in metres, within 0.01, in texture space, top row first.
        """
        codes = torch.cat((jaw_pose_B3, expression_BE, detail_BD), 1)
        start = self.l1(codes).view(-1, _CHANNELS[0], _START, _START)
        return torch.tanh(self.conv_blocks(start)) * MAX_DISPLACEMENT
