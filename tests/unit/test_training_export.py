"""From a run to a weights file that the product loads and reconstructs a photo with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data

from deca.errors import AssetError
from deca.networks import Networks, load_checkpoint
from deca.reconstruct.models import load_models
from deca.reconstruct.pipeline import reconstruct
from deca.vision.photo import read_photo
from deca_training.cli import main
from deca_training.data.augment import Augmentation
from deca_training.engine import Hardware, read_run, train
from deca_training.export import export
from deca_training.recipes import small
from tests.photo_folders import make_index


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pretraining of one step."""
    folder = tmp_path_factory.mktemp("export")
    recipe = replace(
        small("pretrain"), steps=1, validate_every=1, subjects_per_batch=2, validation_batches=1, validation_share=0.3
    )
    recipe = replace(recipe, augmentation=Augmentation.none())
    train(
        recipe,
        make_index(folder, subjects=8, photos=1),
        folder / "run",
        hardware=Hardware("cpu", workers=0),
        progress=False,
    )
    return folder / "run" / "last.ckpt"


def test_exported_weights_are_the_runs(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "w.safetensors"
    card = export(run, out, data="drawn people", licence="CC0-1.0", dtype=torch.float32)
    checkpoint = load_checkpoint(out)
    assert (
        checkpoint.card == card
        and card.data == "drawn people"
        and card.recipe.startswith("small pretrain, 1 steps of 2")
    )
    assert card.metrics["validation/nme"] > 0
    state = read_run(run).states["coarse_encoder"]
    for key, value in checkpoint.coarse_encoder.state_dict().items():
        assert torch.equal(value, state[key])
    assert checkpoint.conformance


def test_photo_to_head_with_exported_weights(run: Path, tmp_path: Path) -> None:
    """Half precision by the command; a models that was not trained gives no wrinkles."""
    out = tmp_path / "w.safetensors"
    assert main(["export", str(run), "--out", str(out), "--data-name", "drawn people"]) == 0
    single = export(run, tmp_path / "full.safetensors", dtype=torch.float32)
    assert out.stat().st_size < 0.52 * (tmp_path / "full.safetensors").stat().st_size and single.data == ""
    from PIL import Image

    photo = tmp_path / "astronaut.png"
    Image.fromarray(data.astronaut()).save(photo)
    models = load_models(weights=out)
    (face,) = reconstruct(read_photo(photo), path=photo, models=models, coarse="weights", texture_size=None)
    assert np.isfinite(face.vertices()).all() and face.landmark_error < 0.6
    networks = Networks.load(out)
    codes = torch.randn(2, networks.sizes.detail), torch.randn(2, networks.sizes.expression), torch.randn(2, 3)
    assert float(networks.displacement(*codes).abs().max()) == 0


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.ckpt").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(AssetError, match="cannot be read"):
        export(tmp_path / "x.ckpt", tmp_path / "w")
    assert main(["export", str(tmp_path / "none.ckpt"), "--out", str(tmp_path / "w")]) == 1
    assert not (tmp_path / "w").exists()
