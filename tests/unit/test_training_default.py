"""`deca-train default` on drawn people: from nothing, carried over, and stopped at each of its parts."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from deca.errors import AssetError, DecaError, OptionError
from deca.head import load_head
from deca.networks import Card, Checkpoint, CodeSizes, load_checkpoint, save_checkpoint
from deca.networks.checkpoint import build_networks
from deca.networks.encoders import SKIN
from deca_training import default as made
from deca_training.config import Recipe, Stage
from deca_training.engine import Hardware
from deca_training.relief.trainer import Scale as ReliefScale
from tests.photo_folders import make_index

CPU = Hardware("cpu", workers=0)
SIZES = CodeSizes(detail=32)
"""A quarter of what F_d is asked for when it learns to read other people's codes; ten people have nine at most."""
STEPS = {"pretrain": 1, "coarse": 2, "detail": 2, "landmarks": 2}
PARTS = ("carry_over", "generate", "fit_detail_encoder", "train", "add_shape_encoder", "with_shape_encoder")
"""What the parts call, in their order."""


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_index(tmp_path_factory.mktemp("photos"), subjects=8, photos=2)


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> made.Earlier:
    """Weights of the present head."""
    path = tmp_path_factory.mktemp("earlier") / "weights.safetensors"
    save_weights(path)
    return made.Earlier(path, "openhead", "openhead")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where people lie that a test has had drawn, for the next one that asks for the same."""
    return tmp_path_factory.mktemp("drawn")


def save_weights(path: Path, **changes: Any) -> None:
    """Weights of no training."""
    kinds = {"backbone": "mobilenet_v3_large", "detail_backbone": SKIN, "sizes": SIZES}
    card = replace(Card.of(load_head(), **kinds), **changes)  # type: ignore[arg-type]
    torch.manual_seed(0)
    save_checkpoint(Checkpoint(card, **build_networks(card)), path)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch, drawn: Path) -> None:
    """Seconds instead of minutes; parts and their order stay."""
    few = ReliefScale(people=2, hours=1.0)
    scale = made.Scale(10, 2, faces=2, steps=STEPS, relief=few, minutes={"people": 2, "detail encoder": 1})
    for scales in (made.SCALES, made.CARRIED):
        monkeypatch.setitem(scales, "cpu", scale)
    recipe_of = made.default

    def light(stage: Stage) -> Recipe:
        small = {"backbone": "mobilenet_v3_large", "render_size": 64, "mrf_size": 48, "sizes": SIZES}
        batch = {"subjects_per_batch": 2, "validation_share": 0.3, "validation_batches": 1}
        recipe = recipe_of(stage)
        return replace(recipe, **small | batch, images_per_subject=min(recipe.images_per_subject, 2))

    def relief(out: Path, budget: str, hours: float, carriers: Path | None, people: int, start: Path | None) -> None:
        """What was asked for, in place of the weights; `test_training_relief` trains."""
        out.parent.mkdir(exist_ok=True)
        before = start.read_text() if start else ""
        out.write_text(f"{before}{hours} hours, {people} people on {carriers and carriers.name}; ")

    generate = made.generate

    def once(out: Path, subjects: int, images: int, seed: int, **how: Any) -> None:
        """The same people are drawn once; `test_training_synthetic` knows that they would be the same again."""
        known = drawn / f"{subjects} {images} {seed}"
        if known.exists() and not out.exists():
            shutil.copytree(known, out)
        generate(out, subjects, images, seed, **how)
        if not known.exists():
            shutil.copytree(out, known)

    monkeypatch.setattr(made, "generate", once)
    monkeypatch.setattr(made, "default", light)
    monkeypatch.setattr(made, "train_relief", relief)


def test_portraits_are_learnt_from_once_their_relief_is_known(index: Path, tmp_path: Path) -> None:
    save_weights(tmp_path / "openhead.safetensors")  # so that only the relief is left to learn
    made.train_default(index, tmp_path, hardware=CPU, portraits=tmp_path / "sharp")
    assert (tmp_path / made.RELIEF).read_text() == "0.5 hours, 2 people on None; 0.5 hours, 2 people on sharp; "


def test_from_nothing(index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = made.train_default(index, tmp_path, hardware=CPU)
    assert (tmp_path / made.RELIEF).read_text() == "1.0 hours, 2 people on None; "
    card = load_checkpoint(weights).card
    assert card.head == "openhead" and card.shape_encoder and card.metrics
    assert "16 photos of 8 people; 10 synthetic people" in card.data and "2 (" in card.data
    for words in (
        "--budget cpu",
        "default coarse, 2 steps of 4 photos",
        "last layers 2 steps",
        "F_d 2 steps of 4 photos",
    ):
        assert words in card.recipe
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("deca-train: ")]
    assert lines[0] == "deca-train: people, about 2 minutes, of 3 that are left"
    kept = weights.stat().st_mtime_ns
    assert made.train_default(index, tmp_path, hardware=CPU).stat().st_mtime_ns == kept


def test_stopped_at_every_part_it_comes_to_the_same(
    index: Path, earlier: made.Earlier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each attempt comes to the next part; what was done before is not done again."""
    called: list[str] = []

    def stopping(name: str, stop: str) -> Any:
        function = getattr(made, name)

        def either(*arguments: Any, **options: Any) -> Any:
            if name == stop:
                raise KeyboardInterrupt
            called.append(name)
            return function(*arguments, **options)

        return either

    for part in PARTS:
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            for name in PARTS:
                patched.setattr(made, name, stopping(name, part))
            made.train_default(index, tmp_path / "stopped", hardware=CPU, earlier=earlier)
        assert not (tmp_path / "stopped" / "openhead.safetensors").exists()
    once = [name for name in called if name != "generate"]  # which looks itself what is there
    assert sorted(once) == sorted(set(once)) and set(called) == set(PARTS[:-1])
    stopped = made.train_default(index, tmp_path / "stopped", hardware=CPU, earlier=earlier)
    in_one_go = made.train_default(index, tmp_path / "in one go", hardware=CPU, earlier=earlier)
    assert stopped.read_bytes() == in_one_go.read_bytes()
    card = load_checkpoint(stopped).card
    digest = hashlib.sha256(earlier.weights.read_bytes()).hexdigest()[:16]
    assert f"carried over from weights {digest} of head {load_head().hash}" in card.recipe
    for name in ("begun", "shaped"):  # what a run that is stopped leaves can be used
        left = load_checkpoint(tmp_path / "stopped" / f"{name}.safetensors")
        assert left.card.head_hash == load_head().hash and (left.shape_encoder is not None) == (name == "shaped")


def test_the_folder_of_another_beginning(index: Path, earlier: made.Earlier, tmp_path: Path) -> None:
    save_weights(tmp_path / "begun.safetensors", recipe="carried over from others")
    with pytest.raises(OptionError, match="other weights"):
        made.train_default(index, tmp_path, hardware=CPU, earlier=earlier)
    with pytest.raises(OptionError, match="other weights"):
        made.train_default(index, tmp_path, hardware=CPU)
    save_weights(tmp_path / "begun.safetensors", head_hash="0" * 16)
    with pytest.raises(OptionError, match="another head model"):
        made.train_default(index, tmp_path, hardware=CPU)


def test_other_networks_are_refused_at_once(index: Path, earlier: made.Earlier, tmp_path: Path) -> None:
    save_weights(tmp_path / "other.safetensors", detail_backbone="")
    with pytest.raises(AssetError, match="other networks"):
        made.train_default(
            index, tmp_path, hardware=CPU, earlier=replace(earlier, weights=tmp_path / "other.safetensors")
        )
    assert not (tmp_path / "synthetic").exists()


def test_a_part_beside_that_fails_says_where_the_reason_is(tmp_path: Path) -> None:
    with (
        pytest.raises(DecaError, match=r"shape\.log"),
        made._beside(Path.read_text, tmp_path / "none", log=tmp_path / "shape.log"),
    ):
        pass
    assert "No such file" in (tmp_path / "shape.log").read_text()
