"""Backbones, encoders, codes and F_d, against what is known of the released networks and against a slow reference."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

from deca.errors import OptionError
from deca.networks import (
    BACKBONES,
    Card,
    CoarseEncoder,
    Codes,
    CodeSizes,
    DetailDecoder,
    DetailEncoder,
    build_backbone,
    random_checkpoint,
)

NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def conv_bn(conv: str, bn: str) -> list[str]:
    return [f"{conv}.weight", *(f"{bn}.{name}" for name in NORM)]


def resnet_keys(depths: tuple[int, ...], convs: int) -> list[str]:
    """Keys of torchvision's ResNets without `fc`; `convs` in a block."""
    keys = conv_bn("conv1", "bn1")
    for stage, depth in enumerate(depths, 1):
        for block in range(depth):
            name = f"layer{stage}.{block}"
            keys += [key for i in range(1, convs + 1) for key in conv_bn(f"{name}.conv{i}", f"{name}.bn{i}")]
            if not block and (stage > 1 or convs == 3):
                keys += conv_bn(f"{name}.downsample.0", f"{name}.downsample.1")
    return keys


def parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("name", "width", "count"),
    [("resnet50", 2048, 23_508_032), ("resnet18", 512, 11_176_512), ("mobilenet_v3_large", 960, 2_971_952)],
)
def test_backbone_has_torchvisions_size_and_gives_its_width(name: str, width: int, count: int) -> None:
    backbone = build_backbone(name).eval()
    assert (backbone.width, parameters(backbone)) == (width, count)
    assert backbone(torch.rand(2, 3, 96, 64)).shape == (2, width)


def test_unknown_backbone_names_the_known_ones() -> None:
    with pytest.raises(OptionError, match=r"no backbone 'vgg16'.*resnet50"):
        build_backbone("vgg16")


@pytest.mark.parametrize(("name", "depths", "convs"), [("resnet50", (3, 4, 6, 3), 3), ("resnet18", (2, 2, 2, 2), 2)])
def test_resnet_keys(name: str, depths: tuple[int, ...], convs: int) -> None:
    assert list(build_backbone(name).state_dict()) == resnet_keys(depths, convs)


def test_mobilenet_keys() -> None:
    shapes = {key: tuple(value.shape) for key, value in build_backbone("mobilenet_v3_large").state_dict().items()}
    assert len(shapes) == 308
    assert shapes["features.0.0.weight"] == (16, 3, 3, 3)
    assert shapes["features.1.block.0.0.weight"] == (16, 1, 3, 3)  # no expansion
    assert shapes["features.1.block.1.0.weight"] == (16, 16, 1, 1)
    assert shapes["features.4.block.1.0.weight"] == (72, 1, 5, 5)
    assert shapes["features.4.block.2.fc1.weight"] == (24, 72, 1, 1)
    assert shapes["features.4.block.2.fc2.bias"] == (72,)
    assert shapes["features.4.block.3.1.running_mean"] == (40,)
    assert shapes["features.7.block.1.0.weight"] == (240, 1, 3, 3)
    assert shapes["features.12.block.2.fc1.weight"] == (168, 672, 1, 1)
    assert shapes["features.15.block.3.0.weight"] == (160, 960, 1, 1)
    assert shapes["features.16.0.weight"] == (960, 160, 1, 1)
    assert shapes["features.16.1.num_batches_tracked"] == ()


@pytest.mark.parametrize(
    ("name", "published", "classifier"),
    [
        ("resnet50", 4.089e9, 2048 * 1000),
        ("resnet18", 1.814e9, 512 * 1000),
        ("mobilenet_v3_large", 0.217e9, 960 * 1280 + 1280 * 1000),
    ],
)
def test_backbone_needs_the_published_multiply_adds(name: str, published: float, classifier: int) -> None:
    """Tells a misplaced stride or kernel. Published by torchvision, classifier included, with three decimals."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        build_backbone(name).eval()(torch.empty(1, 3, 224, 224))
    assert counter.get_total_flops() / 2 + classifier == pytest.approx(published, abs=0.0006e9)


def test_mobilenet_activations() -> None:
    """ReLU in the first six blocks, hard-swish in all others (Howard et al. 2019, Table 1)."""
    blocks = list(build_backbone("mobilenet_v3_large").get_submodule("features"))
    kinds = [{type(m) for m in block.modules()} & {torch.nn.ReLU, torch.nn.Hardswish} for block in blocks]
    assert kinds == [{torch.nn.Hardswish}, *[{torch.nn.ReLU}] * 6, *[{torch.nn.Hardswish}] * 10]


@pytest.mark.parametrize(("name", "depths", "convs"), [("resnet50", (3, 4, 6, 3), 3), ("resnet18", (2, 2, 2, 2), 2)])
def test_resnet_forward_follows_the_paper(name: str, depths: tuple[int, ...], convs: int) -> None:
    """A forward pass written out from the keys alone: strides (on the 3x3 convolution), pooling, shortcuts."""
    network = random_checkpoint(1, Card("any", "", 0, backbone=name)).coarse_encoder
    state = {key: value.double() for key, value in network.state_dict().items()}

    def layer(x: torch.Tensor, conv: str, bn: str, stride: int = 1) -> torch.Tensor:
        weight = state[f"encoder.{conv}.weight"]
        x = F.conv2d(x, weight, None, stride, weight.shape[-1] // 2)
        scale, shift, mean, var = (state[f"encoder.{bn}.{n}"][:, None, None] for n in NORM[:4])
        return (x - mean) / (var + 1e-5).sqrt() * scale + shift

    image = F.interpolate(torch.rand(2, 3, 6, 6), (160, 128), mode="bicubic")
    x = F.max_pool2d(layer(image.double(), "conv1", "bn1", 2).relu(), 3, 2, 1)
    for stage, depth in enumerate(depths, 1):
        for block in range(depth):
            prefix, stride, shortcut = f"layer{stage}.{block}.", 2 if stage > 1 and block == 0 else 1, x
            for i in range(1, convs + 1):
                own = stride if i == convs - 1 else 1
                x = layer(x, f"{prefix}conv{i}", f"{prefix}bn{i}", own)
                x = x.relu() if i < convs else x
            if f"encoder.{prefix}downsample.0.weight" in state:
                shortcut = layer(shortcut, f"{prefix}downsample.0", f"{prefix}downsample.1", stride)
            x = (x + shortcut).relu()
    x = (x.mean((2, 3)) @ state["layers.0.weight"].T + state["layers.0.bias"]).relu()
    expected = x @ state["layers.2.weight"].T + state["layers.2.bias"]
    with torch.no_grad():
        assert (network(image) - expected).abs().max() < 1e-4
    assert (expected[0] - expected[1]).abs().max() > 1e-2  # the pictures matter


@pytest.mark.parametrize(("encoder", "outputs"), [(CoarseEncoder, 236), (DetailEncoder, 128)])
def test_encoders_have_the_keys_of_the_release(encoder: type[CoarseEncoder | DetailEncoder], outputs: int) -> None:
    network = encoder()
    state = network.state_dict()
    head = ["layers.0.weight", "layers.0.bias", "layers.2.weight", "layers.2.bias"]
    assert list(state) == [f"encoder.{key}" for key in resnet_keys((3, 4, 6, 3), 3)] + head
    assert len(state) == 322
    assert tuple(state["layers.0.weight"].shape) == (1024, 2048)
    assert tuple(state["layers.2.weight"].shape) == (outputs, 1024)
    if outputs == 236:
        assert parameters(network) == 25_848_108  # the paper's 25.8 million


def test_detail_decoder_has_the_keys_of_the_release() -> None:
    state = DetailDecoder().state_dict()
    keys = ["l1.0.weight", "l1.0.bias", *(f"conv_blocks.0.{name}" for name in NORM)]
    for index in (2, 6, 10, 14, 18):
        keys += [f"conv_blocks.{index}.weight", f"conv_blocks.{index}.bias"]
        keys += [f"conv_blocks.{index + 1}.{name}" for name in NORM]
    keys += ["conv_blocks.21.weight", "conv_blocks.21.bias"]
    assert list(state) == keys and len(keys) == 44
    widths = [(128, 128), (64, 128), (64, 64), (32, 64), (16, 32), (1, 16)]
    shapes = [tuple(state[f"conv_blocks.{index}.weight"].shape) for index in (2, 6, 10, 14, 18, 21)]
    assert shapes == [(*width, 3, 3) for width in widths]
    assert tuple(state["l1.0.weight"].shape) == (8192, 181)


def slow_detail_decoder(state: dict[str, NDArray], codes: NDArray, eps: float = 0.8) -> NDArray:
    """F_d for one input [jaw 3 | expression 50 | detail 128], in NumPy with double precision."""

    def norm(x: NDArray, index: int, eps: float) -> NDArray:
        scale, shift, mean, var = (state[f"conv_blocks.{index}.{name}"][:, None, None] for name in NORM[:4])
        return (x - mean) / np.sqrt(var + eps) * scale + shift

    def double(x: NDArray, axis: int) -> NDArray:
        """Twice the samples, at a quarter and three quarters of each old one; the border repeats."""
        x = np.moveaxis(x, axis, -1)
        padded = np.concatenate([x[..., :1], x, x[..., -1:]], -1)
        before, after = 0.25 * padded[..., :-2] + 0.75 * x, 0.75 * x + 0.25 * padded[..., 2:]
        return np.moveaxis(np.stack([before, after], -1).reshape(*x.shape[:-1], -1), -1, axis)

    def conv(x: NDArray, index: int) -> NDArray:
        weight, (_, height, width) = state[f"conv_blocks.{index}.weight"], x.shape
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
        shifted = [
            np.tensordot(weight[:, :, i, j], padded[:, i : i + height, j : j + width], 1)
            for i in range(3)
            for j in range(3)
        ]
        return sum(shifted) + state[f"conv_blocks.{index}.bias"][:, None, None]

    x = norm((state["l1.0.weight"] @ codes + state["l1.0.bias"]).reshape(128, 8, 8), 0, 1e-5)
    for index in (2, 6, 10, 14, 18):
        x = norm(conv(double(double(x, 1), 2), index), index + 1, eps)
        x = np.where(x > 0, x, 0.2 * x)
    return np.tanh(conv(x, 21)) * 0.01


def test_detail_decoder_equals_the_slow_reference() -> None:
    decoder = random_checkpoint(2, Card("any", "", 0, backbone="mobilenet_v3_large")).detail_decoder
    state = {key: value.double().numpy() for key, value in decoder.state_dict().items()}
    rng = np.random.default_rng(3)
    jaw, expression, detail = 0.2 * rng.normal(size=3), rng.normal(size=50), rng.normal(size=128)
    tensors = [torch.tensor(code[None], dtype=torch.float32) for code in (detail, expression, jaw)]
    with torch.no_grad():
        found = decoder(*tensors).numpy()
    assert found.shape == (1, 1, 256, 256)
    expected = slow_detail_decoder(state, np.concatenate([jaw, expression, detail]))
    assert np.abs(found[0] - expected).max() < 1e-8  # metres
    assert 1e-4 < np.abs(expected).max() < 0.01
    # The reference tells the known traps apart.
    for wrong in (
        slow_detail_decoder(state, np.concatenate([jaw, expression, detail]), eps=1e-5),
        slow_detail_decoder(state, np.concatenate([detail, expression, jaw])),
    ):
        assert np.abs(wrong - expected).max() > 1e-4


def test_order_of_the_236_codes() -> None:
    codes_BN = torch.arange(2 * 236.0).view(2, 236)
    codes = Codes.split(codes_BN, CodeSizes())
    first = [
        *(codes.shape_BS[0, 0], codes.albedo_BA[0, 0], codes.expression_BE[0, 0], codes.global_pose_B3[0, 0]),
        *(codes.jaw_pose_B3[0, 0], codes.camera_B3[0, 0], codes.light_B93[0, 0, 0]),
    ]
    assert first == [0, 100, 150, 200, 203, 206, 209]
    assert codes.light_B93.shape == (2, 9, 3)
    assert codes.light_B93[0, 1].tolist() == [212, 213, 214]  # RGB of the second band
    assert torch.equal(codes.pack(), codes_BN)
    rest = [0.0, 0.0, 0.0]
    assert codes.pose_BJ3[0].tolist() == [[200, 201, 202], rest, [203, 204, 205], rest, rest]


def test_code_sizes_can_be_chosen() -> None:
    sizes = CodeSizes(shape=40, albedo=0, expression=60, detail=16)
    assert sizes.num_coarse == 136
    codes = Codes.split(torch.rand(3, 136), sizes)
    assert codes.albedo_BA.shape == (3, 0) and codes.expression_BE.shape == (3, 60)
    assert CoarseEncoder("resnet18", sizes).layers[2].out_features == 136
    assert DetailEncoder("resnet18", sizes).layers[2].out_features == 16
    assert DetailDecoder(sizes).l1[0].in_features == 3 + 60 + 16


@pytest.mark.parametrize("bad", [{"shape": -1}, {"detail": 1.5}])
def test_impossible_code_sizes_are_refused(bad: dict) -> None:
    with pytest.raises(OptionError, match="whole numbers"):
        CodeSizes(**bad)


def test_codes_of_another_length_are_refused() -> None:
    with pytest.raises(OptionError, match=r"\(B, 236\).*\(1, 235\)"):
        Codes.split(torch.zeros(1, 235), CodeSizes())


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_weight_learns(backbone: str) -> None:
    torch.manual_seed(0)
    encoder, decoder = DetailEncoder(backbone), DetailDecoder()
    detail_BD = encoder(torch.rand(4, 3, 64, 64))
    decoder(detail_BD, torch.randn(4, 50), torch.randn(4, 3)).square().mean().sqrt().backward()
    for name, parameter in [*encoder.named_parameters(), *decoder.named_parameters()]:
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        if name.endswith("weight"):  # normalisation cancels the biases before it
            assert parameter.grad.abs().max() > 0, name
