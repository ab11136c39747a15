"""Image backbones, each from its paper: ResNet (He et al. 2016), MobileNetV3 (Howard et al. 2019) and the trunk of
MediaPipe's attention mesh (Grishchenko et al. 2020).

State-dict keys of the first two are torchvision's, so that weights published for it fit. The classifier is left out: a
backbone gives (B, width) features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deca.errors import OptionError


class Backbone(nn.Module):
    """A network from pictures (B, 3, H, W) to features (B, `width`).

    Attributes:
        width: How many features.
        reads_landmarks: Whether it is given landmarks (B, 478, 2) beside the pictures.
    """

    width: int
    reads_landmarks = False


def build_backbone(name: str, known: Mapping[str, Callable[[], Backbone]] | None = None) -> Backbone:
    """A backbone with fresh weights (He et al. 2015).

    Args:
        name: One of `known`.
        known: The backbones to choose from; None for `BACKBONES`.

    Raises:
        OptionError: There is no such backbone.
    """
    known = BACKBONES if known is None else known
    if name not in known:
        raise OptionError(f"There is no backbone {name!r}.", f"Choose one of {', '.join(known)}.")
    return known[name]()


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut (He et al. 2016, Fig. 5 left)."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(y)) + self.downsample(x), inplace=True)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions around a shortcut (He et al. 2016, Fig. 5 right), the stride on the 3x3."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = _shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x), inplace=True)


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """A projection where the shape changes; else the identity, which has no weights."""
    if stride == 1 and inputs == outputs:
        return nn.Sequential()
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


class ResNet(Backbone):
    """ResNet (He et al. 2016, Table 1).

    Args:
        block: Residual block.
        depths: Blocks in each of the four stages, of width 64, 128, 256 and 512.
    """

    def __init__(self, block: type[BasicBlock] | type[Bottleneck], depths: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        stages, inputs = [], 64
        for stage, depth in enumerate(depths):
            width, blocks = 64 << stage, []
            for index in range(depth):
                blocks.append(block(inputs, width, 2 if stage and not index else 1))
                inputs = width * block.expansion
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.width = inputs
        _initialise(self)

    def forward(self, image_B3HW: Tensor) -> Tensor:
        x = self.maxpool(F.relu(self.bn1(self.conv1(image_B3HW)), inplace=True))
        return self.layer4(self.layer3(self.layer2(self.layer1(x)))).mean((2, 3))


# MobileNetV3-Large (Howard et al. 2019, Table 1): kernel, expanded width, output width, squeeze-and-excite, hard-swish
# (else ReLU), stride.
_MOBILENET_V3_LARGE = (
    (3, 16, 16, False, False, 1),
    (3, 64, 24, False, False, 2),
    (3, 72, 24, False, False, 1),
    (5, 72, 40, True, False, 2),
    (5, 120, 40, True, False, 1),
    (5, 120, 40, True, False, 1),
    (3, 240, 80, False, True, 2),
    (3, 200, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 480, 112, True, True, 1),
    (3, 672, 112, True, True, 1),
    (5, 672, 160, True, True, 2),
    (5, 960, 160, True, True, 1),
    (5, 960, 160, True, True, 1),
)


class MobileNetV3(Backbone):
    """MobileNetV3-Large without its classifier (Howard et al. 2019)."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [_conv_bn(3, 16, 3, 2, activation=nn.Hardswish)]
        inputs = 16
        for kernel, expanded, outputs, squeeze, swish, stride in _MOBILENET_V3_LARGE:
            layers.append(InvertedResidual(inputs, expanded, outputs, kernel, stride, squeeze, swish))
            inputs = outputs
        self.width = 960
        layers.append(_conv_bn(inputs, self.width, 1, activation=nn.Hardswish))
        self.features = nn.Sequential(*layers)
        _initialise(self)

    def forward(self, image_B3HW: Tensor) -> Tensor:
        return self.features(image_B3HW).mean((2, 3))


class InvertedResidual(nn.Module):
    """Expand, filter each channel, weigh the channels, project (Howard et al. 2019, Fig. 4)."""

    def __init__(
        self, inputs: int, expanded: int, outputs: int, kernel: int, stride: int, squeeze: bool, swish: bool
    ) -> None:
        super().__init__()
        activation = nn.Hardswish if swish else nn.ReLU
        layers: list[nn.Module] = []
        if expanded != inputs:
            layers.append(_conv_bn(inputs, expanded, 1, activation=activation))
        layers.append(_conv_bn(expanded, expanded, kernel, stride, groups=expanded, activation=activation))
        if squeeze:
            layers.append(SqueezeExcitation(expanded))
        layers.append(_conv_bn(expanded, outputs, 1))
        self.block = nn.Sequential(*layers)
        self.use_shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x) if self.use_shortcut else self.block(x)


class SqueezeExcitation(nn.Module):
    """Weighs channels by what the whole picture holds (Hu et al. 2018), squeezed to a quarter."""

    def __init__(self, width: int) -> None:
        super().__init__()
        squeezed = _multiple_of_8(width // 4)
        self.fc1 = nn.Conv2d(width, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * F.hardsigmoid(self.fc2(F.relu(self.fc1(x.mean((2, 3), keepdim=True)))))


def _multiple_of_8(width: int) -> int:
    """The nearest multiple of 8 that is not more than a tenth below, as in MobileNet's reference implementation."""
    rounded = max(8, (width + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * width else rounded + 8


def _conv_bn(
    inputs: int,
    outputs: int,
    kernel: int,
    stride: int = 1,
    groups: int = 1,
    activation: Callable[..., nn.Module] | None = None,
) -> nn.Sequential:
    layers = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, eps=0.001, momentum=0.01),
    ]
    return nn.Sequential(*layers, *([activation(inplace=True)] if activation else []))


class FaceMesh(Backbone):
    """The trunk of the landmark network, which starts from its weights, and the crop's colours.

    The layers are those of `assets/vision/face_landmarks.safetensors` up to its 3 x 3 grid, which is not averaged:
    where things are matters. They were trained to see geometry; so the crop in 8 x 8 colours joins the features, for
    albedo and light. There is no batch normalisation: it is folded into the convolutions.
    """

    size, colours = 192, 8
    _SCALE = 1 / 8  # brings what the trained trunk gives to the size of the colours

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [_pad_end(), nn.Conv2d(3, 16, 3, 2), nn.PReLU(16)]
        inputs = 16
        for outputs in (16, 32, 64, 128, 128, 128):
            if len(layers) > 3:
                layers.append(DepthwiseBlock(inputs, outputs, 2))
            layers += [DepthwiseBlock(outputs, outputs, 1) for _ in range(2)]
            inputs = outputs
        self.features = nn.Sequential(*layers)
        self.width = inputs * 3 * 3 + 3 * self.colours**2
        _initialise(self)

    def forward(self, image_B3HW: Tensor) -> Tensor:
        seen_B3SS = F.interpolate(image_B3HW, size=(self.size, self.size), mode="bilinear")
        colours = F.adaptive_avg_pool2d(image_B3HW, self.colours)
        return torch.cat((self.features(seen_B3SS).flatten(1) * self._SCALE, colours.flatten(1)), 1)


class DepthwiseBlock(nn.Module):
    """Filter each channel, mix the channels, add the input: the block of BlazeFace (Bazarevsky et al. 2019, Fig. 1)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride, self.more_channels = stride, outputs - inputs
        self.pad = _pad_end() if stride > 1 else nn.Identity()
        self.depthwise = nn.Conv2d(inputs, inputs, 3, stride, 1 if stride == 1 else 0, groups=inputs)
        self.pointwise = nn.Conv2d(inputs, outputs, 1)
        self.activation = nn.PReLU(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = self.pointwise(self.depthwise(self.pad(x)))
        if self.stride > 1:
            x = F.max_pool2d(x, self.stride)
        return self.activation(y + F.pad(x, (0, 0, 0, 0, 0, self.more_channels)))


def _pad_end() -> nn.Module:
    """One row and column of zeros after the last: how TensorFlow pads a stride of two."""
    return nn.ZeroPad2d((0, 1, 0, 1))


def _initialise(network: nn.Module) -> None:
    """He et al. 2015: keeps the gradients' variance through the layers.

    Weights without memory stay as they are: a file's will take their places, and filling them would make torch import
    its compiler, for a second and a half.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and not module.weight.is_meta:
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


BACKBONES: dict[str, Callable[[], Backbone]] = {
    "resnet50": lambda: ResNet(Bottleneck, (3, 4, 6, 3)),
    "resnet18": lambda: ResNet(BasicBlock, (2, 2, 2, 2)),
    "mobilenet_v3_large": MobileNetV3,
    "face_mesh": FaceMesh,
}
