"""Face recognition networks for the identity loss (DECA, Eq. 7).

Shape suffixes: B batch, L landmarks, H W rows and columns, D embedding.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from deca.errors import AssetError
from deca.networks.backbones import Bottleneck, ResNet
from deca.networks.face_descriptor import FaceDescriptor
from deca.vision.chips import box_chip, dlib_chip
from deca_training.features.weights_file import read_state

_log = logging.getLogger(__name__)

_MEAN_BGR = (91.4953, 103.8827, 131.0912)


class IdentityNetwork(nn.Module):
    """Pictures with landmarks -> embeddings of length one; frozen, differentiable by the pictures.

    Attributes:
        name: What it is, for logs and cards.
        network: Face chips -> embeddings.
    """

    def __init__(self, name: str, network: nn.Module, align: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.name, self.network, self.align = name, network, align

    def forward(self, image_B3HW: Tensor, landmarks_BL2: Tensor) -> Tensor:
        """Embeddings (B, D) of faces.

        Args:
            image_B3HW: Square pictures, RGB 0..1, sRGB.
            landmarks_BL2: iBUG's 68 landmarks, picture coordinates. They get no gradient. To compare a photo with a
                rendering drawn over it, pass the photo's for both: then the network sees whether the face moved.

        Raises:
            OptionError: Pictures that are not square, or other landmarks.
        """
        with torch.autocast(image_B3HW.device.type, enabled=False):
            return self.network(self.align(image_B3HW.float(), landmarks_BL2.float()))


def load_identity_network(path: str | Path | None = None) -> IdentityNetwork:
    """The face recognition network of a run.

    Args:
        path: Weights of VGGFace2's ResNet50 (`VggFace2Network`), which DECA was trained with; the bundled face
            descriptor when None.

    Raises:
        AssetError: The file is missing, damaged or another network's.
    """
    if path is None:
        identity = IdentityNetwork("dlib face descriptor", FaceDescriptor.load(), dlib_chip)
    else:
        identity = IdentityNetwork(f"ResNet50 of {Path(path).name}", VggFace2Network.load(Path(path)), box_chip)
    _log.info("Identity loss: %s", identity.name)
    return identity


class VggFace2Network(nn.Module):
    """ResNet50 trained on VGGFace2 (Cao et al. 2018) up to its last pooling, 2048 features at length one.

    For the weights that Oxford published for Caffe, in any conversion that keeps torchvision's names (`conv1.weight`,
    `layer1.0.conv1.weight`, ...; `fc.*` is not needed). As in Caffe's ResNets, stride 2 is on the first 1 x 1
    convolution of a stage, and the first pooling has no padding and rounds up; a network with torchvision's strides has
    the same tensors, but would give other features here. Its input is 224 x 224; blue, green, red; 0..255 minus a mean
    colour.

    Written from the paper and the published description; it was tried with made-up weights only, since the original
    file cannot be shipped or fetched.
    """

    mean_311: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.backbone = ResNet(Bottleneck, (3, 4, 6, 3))
        self.backbone.maxpool = nn.MaxPool2d(3, 2, 0, ceil_mode=True)
        for stage in (self.backbone.layer2, self.backbone.layer3, self.backbone.layer4):
            first = stage[0]
            first.conv1.stride, first.conv2.stride = (2, 2), (1, 1)
        self.register_buffer("mean_311", torch.tensor(_MEAN_BGR).view(3, 1, 1), persistent=False)
        self.requires_grad_(False).eval()

    @classmethod
    def load(cls, path: Path) -> VggFace2Network:
        """The network with weights from a file (`weights_file.read_state`).

        Raises:
            AssetError: The file is missing, damaged or another network's.
        """
        state = read_state(path)
        network = cls()
        expected = network.backbone.state_dict()
        _check(path, state, expected)
        network.backbone.load_state_dict({name: state.get(name, tensor) for name, tensor in expected.items()})
        return network

    def train(self, mode: bool = True) -> VggFace2Network:
        """Stays in evaluation mode: its statistics are fixed."""
        return super().train(False)

    def forward(self, chip_B3HW: Tensor) -> Tensor:
        """Embeddings (B, 2048) of chips of 224 x 224 pixels, RGB 0..1."""
        return functional.normalize(self.backbone(255 * chip_B3HW.flip(1) - self.mean_311), dim=1)


def _check(path: Path, state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    for name, tensor in expected.items():
        if name.endswith("num_batches_tracked"):
            continue  # older files lack it, and nothing needs it
        found = state.get(name)
        if found is None or found.shape != tensor.shape:
            what = "lacks" if found is None else f"has the shape {tuple(found.shape)} for"
            raise AssetError(
                f"{path} is no ResNet50: it {what} {name} {tuple(tensor.shape)}.",
                "Point at the state dict of a VGGFace2 ResNet50, or leave the option out for the bundled descriptor.",
            )
