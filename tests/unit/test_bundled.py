"""A new head model or a new network is one file and one registration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from deca.assets import asset
from deca.errors import AssetError
from deca.head import load_head
from deca.head.bundled import BUNDLES, Bundle
from deca.networks import BACKBONES, Card, load_checkpoint, random_checkpoint, save_checkpoint
from deca.networks.backbones import Backbone
from deca.reconstruct.models import load_models
from deca_blender.protocol.conventions import BUILTIN_WEIGHTS


class Brightness(Backbone):
    """The smallest backbone: the mean of each colour."""

    width = 3

    def forward(self, image_B3HW: Tensor) -> Tensor:
        return image_B3HW.mean((2, 3))


@pytest.fixture
def twin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Bundled data that hold one head model, `twin`: OpenHead's arrays under another name."""
    folder = tmp_path / "assets"
    folder.mkdir()
    bundled = asset(BUNDLES["openhead"].head)
    with safe_open(str(bundled), framework="pt") as file:
        metadata = file.metadata() | {"name": "twin"}
    save_file(load_file(bundled), folder / "twin.safetensors", metadata)
    (folder / "identity").symlink_to(asset("identity/face_descriptor.safetensors").parent, target_is_directory=True)
    monkeypatch.setenv("DECA_ASSETS", str(folder))
    return folder


def test_a_head_model_is_a_file_and_a_line(twin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssetError):
        load_head("twin")
    monkeypatch.setitem(BUNDLES, "twin", Bundle(head="twin.safetensors", weights="weights.safetensors"))
    head = load_head("twin")
    assert head.name == "twin"
    card = Card.of(head, backbone="mobilenet_v3_large")
    save_checkpoint(random_checkpoint(0, card), twin / "weights.safetensors")
    models = load_models("twin", BUILTIN_WEIGHTS)
    assert models.networks is not None and models.networks.card.head == "twin"
    assert (models.albedo, models.relief, models.skin_map) == (None, None, None)
    shape_BS, expression_BE = torch.zeros(1, 100), torch.zeros(1, 50)
    decoded = models.decode(shape_BS, expression_BE, torch.zeros(1, 5, 3), torch.tensor([[8.0, 0, 0]]))
    torch.testing.assert_close(decoded.verts_BV3[0], torch.from_numpy(head.template_V3), atol=1e-6, rtol=0)


def test_a_backbone_is_a_class_and_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.safetensors"
    monkeypatch.setitem(BACKBONES, "brightness", Brightness)
    save_checkpoint(random_checkpoint(0, Card("any", "", 0, backbone="brightness")), path)
    with safe_open(str(path), framework="pt") as file:
        assert json.loads(file.metadata()["card"])["backbone"] == "brightness"
    checkpoint, image_B3HW = load_checkpoint(path), torch.rand(2, 3, 224, 224)
    assert isinstance(checkpoint.coarse_encoder.encoder, Brightness)
    assert checkpoint.coarse_encoder(image_B3HW).shape == (2, checkpoint.card.sizes.num_coarse)
    monkeypatch.delitem(BACKBONES, "brightness")
    with pytest.raises(AssetError, match="unknown backbone 'brightness'"):
        load_checkpoint(path)
