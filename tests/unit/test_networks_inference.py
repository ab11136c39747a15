"""The fast ways to run the networks agree with the plain modules; the cache of ONNX graphs."""

from __future__ import annotations

import copy
import shutil
import sys
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from deca.errors import OptionError
from deca.networks import Card, Checkpoint, Codes, CodeSizes, Networks, random_checkpoint, save_checkpoint
from deca.networks import inference as inference_module
from deca.networks import onnx_runtime as onnx_module

CODE_TOLERANCE = 1e-4  # of codes of about one unit
MAP_TOLERANCE = 1e-7  # metres, of displacements of about half a millimetre
SMALL = Card("any", "", 0, CodeSizes(shape=30, albedo=4, expression=20, detail=16), "mobilenet_v3_large")


class Sample(NamedTuple):
    """Inputs, and what the plain modules make of them."""

    checkpoint: Checkpoint
    images: Tensor
    codes: Codes
    detail: Tensor
    displacement: Tensor

    def networks(self, runtime: Literal["auto", "torch", "onnx"] = "torch", half: bool | None = None) -> Networks:
        return Networks(copy.deepcopy(self.checkpoint), runtime=runtime, half=half)


@cache
def sample(backbone: str = "mobilenet_v3_large") -> Sample:
    sizes = CodeSizes() if backbone == "resnet50" else SMALL.sizes
    checkpoint = random_checkpoint(3, Card("any", "", 0, sizes, backbone))
    images = torch.rand(3, 3, 7, 7, generator=torch.Generator().manual_seed(4))
    images = F.interpolate(images, (224, 224), mode="bicubic")
    with torch.no_grad():
        codes = Codes.split(checkpoint.coarse_encoder(images), sizes)
        detail = checkpoint.detail_encoder(images)
        displacement = checkpoint.detail_decoder(detail, codes.expression_BE, codes.jaw_pose_B3)
    assert (codes.pack()[0] - codes.pack()[1]).abs().max() > 100 * CODE_TOLERANCE  # the pictures matter
    assert 1e-4 < displacement.abs().max() < 0.01
    return Sample(checkpoint, images, codes, detail, displacement)


def check(networks: Networks, expected: Sample) -> None:
    codes, detail = networks.encode(expected.images)
    assert (codes.pack() - expected.codes.pack()).abs().max() < CODE_TOLERANCE
    assert (detail - expected.detail).abs().max() < CODE_TOLERANCE
    found = networks.displacement(expected.detail, expected.codes.expression_BE, expected.codes.jaw_pose_B3)
    assert found.shape == (3, 1, 256, 256)
    assert (found - expected.displacement).abs().max() < MAP_TOLERANCE


@pytest.fixture(scope="module")
def _has_onnx() -> None:
    """Skips where ONNX Runtime is not installed."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    pytest.importorskip("platformdirs")


@pytest.fixture
def graphs(_has_onnx: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Folder of the cached ONNX graphs."""
    monkeypatch.setenv("DECA_CACHE", str(tmp_path / "cache é"))
    return tmp_path / "cache é"


@pytest.fixture(scope="module")
def exported(_has_onnx: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with the graphs of the sample."""
    folder = tmp_path_factory.mktemp("exported")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DECA_CACHE", str(folder))
        sample().networks("onnx")
    return folder


@pytest.mark.skipif(sys.platform != "linux", reason="other systems name the folder by other means")
def test_graphs_are_kept_where_the_system_says(
    _has_onnx: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("DECA_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "ça"))
    assert onnx_module.cache_dir() == tmp_path / "ça" / "deca"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert onnx_module.cache_dir() == tmp_path / ".cache" / "deca"
    monkeypatch.setenv("DECA_CACHE", str(tmp_path / "other"))
    assert onnx_module.cache_dir() == tmp_path / "other"


@pytest.fixture
def filled(graphs: Path, exported: Path) -> Path:
    """As `graphs`, with those of the sample in it, as an earlier process has left them."""
    shutil.copytree(exported, graphs)
    return graphs


@pytest.mark.parametrize("backbone", ["resnet50", "resnet18", "mobilenet_v3_large", "face_mesh"])
def test_torch_agrees_with_the_plain_modules(backbone: str) -> None:
    networks = sample(backbone).networks("torch")
    check(networks, sample(backbone))


@pytest.mark.parametrize("backbone", ["resnet50", "resnet18", "mobilenet_v3_large", "face_mesh"])
def test_onnx_agrees_with_the_plain_modules(backbone: str, graphs: Path) -> None:
    networks = sample(backbone).networks("onnx")
    assert networks.runtime == "onnx"
    check(networks, sample(backbone))
    assert len(list(graphs.iterdir())) == 3


def test_half_precision_stays_near() -> None:
    """On the CPU; CUDA uses the same modules."""
    expected = sample("resnet18")
    codes, detail = expected.networks("torch", half=True).encode(expected.images)
    error = (codes.pack() - expected.codes.pack()).abs().max()
    assert CODE_TOLERANCE < error < 1e-2
    assert (detail - expected.detail).abs().max() < 1e-2
    assert codes.shape_BS.dtype == detail.dtype == torch.float32


@pytest.mark.parametrize("runtime", ["torch", "onnx"])
def test_gradients_may_start_at_the_codes(runtime: Literal["torch", "onnx"], filled: Path) -> None:
    networks = sample().networks(runtime)
    codes, detail = networks.encode(sample().images)
    expression = codes.expression_BE.requires_grad_()
    assert not networks.displacement(detail, expression, codes.jaw_pose_B3).requires_grad
    (expression * expression).sum().backward()
    assert torch.equal(expression.grad, 2 * expression)


def test_pictures_do_not_depend_on_their_batch(filled: Path) -> None:
    for runtime in ("torch", "onnx"):
        networks = sample().networks(runtime)
        together, alone = networks.encode(sample().images)[0], networks.encode(sample().images[1:2])[0]
        assert (together.pack()[1] - alone.pack()[0]).abs().max() < CODE_TOLERANCE


def test_load_and_random_give_the_same_networks(tmp_path: Path) -> None:
    save_checkpoint(random_checkpoint(7, SMALL), tmp_path / "weights.safetensors")
    loaded = Networks.load(tmp_path / "weights.safetensors", runtime="torch")
    assert (loaded.card, loaded.sizes) == (SMALL, SMALL.sizes)
    first, second = (networks.encode(sample().images) for networks in (loaded, Networks.random(7, SMALL)))
    assert torch.equal(first[0].pack(), second[0].pack()) and torch.equal(first[1], second[1])
    assert not torch.equal(first[1], Networks.random(8, SMALL).encode(sample().images)[1])


def test_auto_takes_onnx_where_it_is_installed(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sample().networks("auto").runtime == "onnx"
    monkeypatch.setattr(inference_module, "is_installed", lambda: False)
    assert sample().networks("auto").runtime == "torch"
    with pytest.raises(OptionError, match=r"ONNX Runtime cannot run .* on cpu.*deca-blender\[onnx\]"):
        sample().networks("onnx")


def test_onnx_is_refused_where_it_cannot_run() -> None:
    with pytest.raises(OptionError, match="on cpu in half precision"):
        sample().networks("onnx", half=True)


def test_graphs_are_exported_once(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample().networks("onnx")
    monkeypatch.setattr(onnx_module, "_export", lambda *arguments: pytest.fail("exported again"))
    check(sample().networks("onnx"), sample())
    with pytest.raises(pytest.fail.Exception, match="exported again"):
        Networks.random(9, SMALL, runtime="onnx")  # other weights


def test_damaged_graphs_are_made_again(filled: Path, caplog: pytest.LogCaptureFixture) -> None:
    for path in filled.iterdir():
        path.write_bytes(path.read_bytes()[:1000])
    check(sample().networks("onnx"), sample())
    assert "made again" in caplog.text
    assert all(path.stat().st_size > 100_000 for path in filled.iterdir())


def test_cache_that_cannot_be_written_does_no_harm(
    graphs: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (graphs.parent / "file").touch()
    monkeypatch.setenv("DECA_CACHE", str(graphs.parent / "file" / "cache"))
    check(sample().networks("onnx"), sample())
    assert "not kept" in caplog.text


def test_old_graphs_go(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = set(filled.iterdir())
    monkeypatch.setattr(onnx_module, "_KEPT", 3)
    Networks.random(9, SMALL, runtime="onnx")
    assert len(set(filled.iterdir()) - first) == 3 and not first & set(filled.iterdir())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda_agrees_with_the_plain_modules() -> None:
    expected = sample("resnet50")
    networks = Networks(copy.deepcopy(expected.checkpoint), "cuda")
    codes, detail = networks.encode(expected.images)
    assert (codes.pack().cpu() - expected.codes.pack()).abs().max() < 3e-2
    found = networks.displacement(detail, codes.expression_BE, codes.jaw_pose_B3)
    assert (found.cpu() - expected.displacement).abs().max() < 1e-4
