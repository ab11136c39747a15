"""DECA's encoders: E_c regresses the coarse codes from a picture, E_d the detail code (Feng et al. 2021, Section 4).

Shape suffixes: B batch, N coarse codes (236), D detail code (128).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from deca.networks.backbones import build_backbone
from deca.networks.codes import CodeSizes

_HIDDEN = 1024


class Encoder(nn.Module):
    """A backbone and two linear layers, with the state-dict keys of DECA's release.

    Args:
        backbone: One of `deca.networks.BACKBONES`; DECA's is resnet50.
        outputs: Length of the code.
    """

    def __init__(self, backbone: str, outputs: int) -> None:
        super().__init__()
        self.encoder = build_backbone(backbone)
        self.layers = nn.Sequential(nn.Linear(self.encoder.width, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, outputs))

    def forward(self, image_B3HW: Tensor) -> Tensor:
        """Codes (B, outputs), not limited, of crops (B, 3, 224, 224): RGB in 0..1, without mean and deviation."""
        # A backbone in half precision leaves the short way to the codes in single precision.
        return self.layers(self.encoder(image_B3HW).to(self.layers[0].weight.dtype))


class CoarseEncoder(Encoder):
    """E_c: crop to the coarse codes (B, N), which `Codes.split` takes apart.

    Args:
        backbone: As `Encoder`.
        sizes: Lengths of the codes.
        reduction: Pixels of the crop that become one before the backbone, along each side. DECA has 1; 2 takes a
            quarter of the time, and the head's coarse shape needs no more.
    """

    def __init__(self, backbone: str = "resnet50", sizes: CodeSizes | None = None, reduction: int = 1) -> None:
        super().__init__(backbone, (sizes or CodeSizes()).num_coarse)
        self.reduction = reduction

    def forward(self, image_B3HW: Tensor) -> Tensor:
        """Codes (B, N), not limited, of crops (B, 3, 224, 224)."""
        if self.reduction > 1:
            image_B3HW = functional.avg_pool2d(image_B3HW, self.reduction)
        return super().forward(image_B3HW)


class DetailEncoder(Encoder):
    """E_d: crop to the detail code (B, D), who this person is in wrinkles."""

    def __init__(self, backbone: str = "resnet50", sizes: CodeSizes | None = None) -> None:
        super().__init__(backbone, (sizes or CodeSizes()).detail)
