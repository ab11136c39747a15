"""Conformance vectors: answers kept in a weights file are compared with those of the networks as they run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from deca.errors import AssetError
from deca.head import load_head
from deca.networks import Card, Checkpoint, Networks, load_checkpoint, random_checkpoint, save_checkpoint
from deca.networks.conformance import conformance_vectors

RUNTIMES = ("torch", "onnx")


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    plain = random_checkpoint(3, Card.of(load_head(), backbone="mobilenet_v3_large"))
    for network in plain.networks().values():
        network.half().float()
    vectors = conformance_vectors(plain.coarse_encoder, plain.detail_encoder, plain.detail_decoder, plain.card.sizes)
    return replace(plain, conformance=vectors)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_networks_that_answer_as_written_load(
    checkpoint: Checkpoint, runtime: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    path = tmp_path / "w.safetensors"
    save_checkpoint(checkpoint, path, dtype)
    read = load_checkpoint(path)
    assert set(read.conformance) == {"picture_13HW", "coarse_1N", "detail_1D", "map_11HW"}
    assert torch.equal(read.coarse_encoder.layers[0].weight, checkpoint.coarse_encoder.layers[0].weight)
    assert Networks.load(path, runtime=runtime).runtime == runtime  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["coarse_1N", "detail_1D", "map_11HW"])
def test_networks_that_answer_otherwise_are_refused(checkpoint: Checkpoint, name: str, tmp_path: Path) -> None:
    answer = checkpoint.conformance[name]
    off = answer + 0.05 * answer.abs().max()
    save_checkpoint(replace(checkpoint, conformance=dict(checkpoint.conformance) | {name: off}), tmp_path / "w")
    with pytest.raises(AssetError, match=f"{name.split('_')[0]} is off by 5 %"):
        Networks.load(tmp_path / "w", runtime="torch")


def test_a_damaged_weight_is_noticed(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(checkpoint, tmp_path / "w")
    damaged = load_checkpoint(tmp_path / "w")
    with torch.no_grad():
        damaged.detail_decoder.conv_blocks[2].weight.neg_()
    save_checkpoint(damaged, tmp_path / "w")
    with pytest.raises(AssetError, match="map is off"):
        Networks.load(tmp_path / "w", runtime="torch")


def test_files_without_vectors_load(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(replace(checkpoint, conformance={}), tmp_path / "w")
    assert load_checkpoint(tmp_path / "w").conformance == {}
    Networks.load(tmp_path / "w", runtime="torch")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_coarse_encoder_that_reduces_its_crops(runtime: str, tmp_path: Path) -> None:
    """It answers as one without reduction does to the reduced crop, in every runtime, and the file says so."""
    card = Card.of(load_head(), backbone="mobilenet_v3_large", coarse_reduction=2)
    checkpoint = random_checkpoint(5, card)
    plain = random_checkpoint(5, replace(card, coarse_reduction=1)).coarse_encoder
    plain.load_state_dict(checkpoint.coarse_encoder.state_dict())
    crop_13HW = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    reduced_13HW = crop_13HW.view(1, 3, 112, 2, 112, 2).mean((3, 5))
    save_checkpoint(checkpoint, tmp_path / "w")
    assert load_checkpoint(tmp_path / "w").card.coarse_reduction == 2
    codes, _ = Networks.load(tmp_path / "w", runtime=runtime).encode(crop_13HW)  # type: ignore[arg-type]
    with torch.no_grad():
        torch.testing.assert_close(codes.pack(), plain(reduced_13HW), rtol=1e-3, atol=1e-4)
