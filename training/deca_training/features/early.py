"""Features of the landmark network's first layers, which come with the product: edges and features of faces.

Shape suffixes: B batch, C channels, H W rows and columns.
"""

from __future__ import annotations

from torch import Tensor, nn

from deca.networks.backbones import FaceMesh
from deca_training.pretrained import take_landmark_trunk


class EarlyFaceFeatures(nn.Module):
    """The first blocks of the landmark network's trunk; frozen, differentiable by the pictures.

    A hundredth of VGG's work: what a CPU can afford at every step. Only layers that see a few pixels around are used,
    which do not ask how large the face is or where.

    Attributes:
        name: For logs and cards.
    """

    name = "first layers of MediaPipe's landmark network"
    layers = ("block1", "block2")

    def __init__(self) -> None:
        super().__init__()
        trunk = FaceMesh()
        take_landmark_trunk(trunk)
        # The first convolution halves the picture, the second group of blocks once more.
        self.blocks = nn.ModuleDict({"block1": trunk.features[:5], "block2": trunk.features[5:8]})
        self.requires_grad_(False).eval()

    def forward(self, image_B3HW: Tensor, layers: tuple[str, ...]) -> dict[str, Tensor]:
        """Features `block1` (B, 16, H / 2, W / 2) and `block2` (B, 32, H / 4, W / 4) of RGB pictures, 0..1."""
        found: dict[str, Tensor] = {}
        x = image_B3HW
        for name, block in self.blocks.items():
            x = block(x)
            if name in layers:
                found[name] = x
            if len(found) == len(layers):
                break
        return {layer: found[layer] for layer in layers}
