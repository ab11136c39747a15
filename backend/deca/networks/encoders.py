"""DECA's encoders: E_c regresses the coarse codes from a picture, E_d the detail code (Feng et al. 2021, Section 4).

Shape suffixes: B batch, N coarse codes (236), D detail code (128), L landmarks.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping

from torch import Tensor, nn
from torch.nn import functional

from deca.errors import OptionError
from deca.networks.backbones import BACKBONES, Backbone, build_backbone
from deca.networks.codes import CodeSizes
from deca.networks.skin import SkinBackbone

_HIDDEN = 1024
SKIN = "skin"
"""Name of the backbone to which the skin is laid out by landmarks first (`deca.networks.skin`)."""
DETAIL_BACKBONES: Mapping[str, Callable[[], Backbone]] = ChainMap({SKIN: SkinBackbone}, BACKBONES)
"""Of E_d: those that see pictures alone, as E_c, and the one that reads landmarks."""


class Encoder(nn.Module):
    """A backbone and two linear layers, with the state-dict keys of DECA's release.

    Args:
        backbone: From a crop to features.
        outputs: Length of the code.
    """

    def __init__(self, backbone: Backbone, outputs: int) -> None:
        super().__init__()
        self.encoder = backbone
        self.layers = nn.Sequential(nn.Linear(self.encoder.width, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, outputs))

    def forward(self, image_B3HW: Tensor) -> Tensor:
        """Codes (B, outputs), not limited, of crops (B, 3, 224, 224): RGB in 0..1, without mean and deviation."""
        return self.codes(self.encoder(image_B3HW))

    def codes(self, features_BF: Tensor) -> Tensor:
        """Codes (B, outputs) of what the backbone sees."""
        # A backbone in half precision leaves the short way to the codes in single precision.
        return self.layers(features_BF.to(next(self.layers.parameters()).dtype))


class CoarseEncoder(Encoder):
    """E_c: crop to the coarse codes (B, N), which `Codes.split` takes apart.

    Args:
        backbone: One of `deca.networks.BACKBONES`; DECA's is resnet50.
        sizes: Lengths of the codes.
        reduction: Pixels of the crop that become one before the backbone, along each side. DECA has 1; 2 takes a
            quarter of the time, and the head's coarse shape needs no more.
    """

    def __init__(self, backbone: str = "resnet50", sizes: CodeSizes | None = None, reduction: int = 1) -> None:
        super().__init__(build_backbone(backbone), (sizes or CodeSizes()).num_coarse)
        self.reduction = reduction

    def forward(self, image_B3HW: Tensor) -> Tensor:
        """Codes (B, N), not limited, of crops (B, 3, 224, 224)."""
        if self.reduction > 1:
            image_B3HW = functional.avg_pool2d(image_B3HW, self.reduction)
        return super().forward(image_B3HW)


class DetailEncoder(Encoder):
    """E_d: crop to the detail code (B, D), who this person is in wrinkles.

    Args:
        backbone: One of `DETAIL_BACKBONES`; DECA's is resnet50.
        sizes: Lengths of the codes.
    """

    def __init__(self, backbone: str = "resnet50", sizes: CodeSizes | None = None) -> None:
        super().__init__(build_backbone(backbone, DETAIL_BACKBONES), (sizes or CodeSizes()).detail)

    @property
    def reads_landmarks(self) -> bool:
        """Whether it has to be given landmarks."""
        return self.encoder.reads_landmarks

    def features(self, image_B3HW: Tensor, landmarks_BL2: Tensor | None = None) -> Tensor:
        """What the backbone sees (B, width); arguments as in `forward`.

        Raises:
            OptionError: Landmarks are needed and missing.
        """
        if not self.reads_landmarks:
            return self.encoder(image_B3HW)
        if landmarks_BL2 is None:
            raise OptionError("This detail encoder reads the skin by landmarks, and none were given.")
        return self.encoder(image_B3HW, landmarks_BL2)

    def forward(self, image_B3HW: Tensor, landmarks_BL2: Tensor | None = None) -> Tensor:
        """Detail codes (B, D).

        Args:
            image_B3HW: Crops, as for `Encoder`.
            landmarks_BL2: MediaPipe's landmarks (B, 478, 2) on them, pixels.
        """
        return self.codes(self.features(image_B3HW, landmarks_BL2))
