"""Runs of the trainer on drawn people: every recipe, going on after a crash, several processes, divergence."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from deca.errors import AssetError, OptionError
from deca_training import cli
from deca_training.batch import Batch
from deca_training.config import Recipe
from deca_training.data.augment import Augmentation
from deca_training.data.sources import batches_of, load_source
from deca_training.data.synthetic import SyntheticSubjects
from deca_training.data.synthetic.generate import generate
from deca_training.engine import Hardware, read_run, saved_recipe, train
from deca_training.features import vgg
from deca_training.model import NETWORKS, DecaModel
from deca_training.recipes import VARIANTS, default, small
from deca_training.stages import CoarseStage, StageModule
from deca_training.stages.base import DivergedError
from tests.photo_folders import make_index

CPU = Hardware("cpu", workers=0)
LIGHT = {"backbone": "mobilenet_v3_large", "coarse_reduction": 2, "render_size": 64, "mrf_size": 48}
"""What makes any recipe fit into seconds; its losses, batches and stages stay."""


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_index(tmp_path_factory.mktemp("run"), subjects=8, photos=2)


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic")
    generate(folder, subjects=4, images=2, seed=9)  # the second is held out
    return folder


@pytest.fixture(scope="module")
def vgg_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A VGG19 of random weights with torchvision's names."""
    network = vgg.VggFeatures("random", vgg._VGG19, (0.0,) * 3, (1.0,) * 3)
    state, position = {}, 0
    for name, convolution in network.convolutions.items():
        position += name.endswith("_1") and name != "conv1_1"
        torch.nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        state |= {f"features.{position}.{key}": value for key, value in convolution.state_dict().items()}
        position += 2
    path = tmp_path_factory.mktemp("vgg") / "vgg19.pth"
    torch.save(state, path)
    return str(path)


def light(recipe: Recipe, **changes: Any) -> Recipe:
    changes = LIGHT | {"subjects_per_batch": 2, "validation_share": 0.3, "validation_batches": 1} | changes
    changes["images_per_subject"] = min(recipe.images_per_subject, changes.get("images_per_subject", 2))
    return replace(recipe, **changes)


def logged(run: Path, name: str) -> dict[int, float]:
    return {int(row["step"]): float(row[name]) for row in rows(run) if row.get(name)}


def rows(run: Path) -> list[dict[str, str]]:
    files = sorted(run.glob("metrics/version_*/metrics.csv"))
    return [row for path in files for row in csv.DictReader(path.read_text().splitlines())]


def weights(run: Path) -> dict[str, Tensor]:
    states = read_run(run / "last.ckpt").states
    return {f"{name}.{key}": value for name, state in states.items() for key, value in state.items()}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("stage", ["pretrain", "coarse", "detail"])
def test_every_recipe_runs(
    variant: str, stage: str, index: Path, synthetic: Path, vgg_file: str, tmp_path: Path
) -> None:
    recipe = light(VARIANTS[variant](stage), steps=2, validate_every=2, picture_every=1, vgg_weights=vgg_file)  # type: ignore[arg-type]
    names = tuple(f"{name}." for name in NETWORKS)
    before = {key: value for key, value in DecaModel(recipe).state_dict().items() if key.startswith(names)}
    needs_truth = recipe.losses.neutral_truth or recipe.losses.displacement_truth
    train(recipe, synthetic if needs_truth else index, tmp_path, hardware=CPU, progress=False)
    wanted = {name for name, weight in vars(recipe.losses).items() if weight}
    for name in (*wanted, "loss"):
        (value,) = logged(tmp_path, f"validation/{name}").values()
        assert value == pytest.approx(value) and abs(value) < 1e4, name
    if not recipe.learn_detail_encoder:
        wanted -= {"code_truth"}  # which then only validation tells
    assert {name.split("/")[1] for name in rows(tmp_path)[0] if name.startswith("train/")} >= wanted | {
        "gradient_norm",
        "loss",
    }
    trained = ("detail_encoder.", "detail_decoder.") if stage == "detail" else ("coarse_encoder.",)
    trained = trained if recipe.learn_detail_encoder else trained[1:]
    after = weights(tmp_path)
    for key, value in after.items():
        # What a stage does not train must not move, its statistics neither.
        if not key.startswith(trained):
            assert torch.equal(value, before[key]), key
    moved = [key for key, value in after.items() if not torch.equal(value, before[key])]
    assert {name for name in trained if any(key.startswith(name) for key in moved)} == set(trained)
    assert (tmp_path / "pictures" / "step_000002.png").is_file() and list(tmp_path.glob("events.out.tfevents*"))
    assert saved_recipe(tmp_path) == recipe == read_run(tmp_path / "best.ckpt").recipe
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["steps"] == 2 and summary["photos_per_second"] > 0 and summary["peak_memory_mb"] > 100


@pytest.mark.parametrize("stage", ["coarse", "detail"])
def test_going_on_after_a_crash_changes_nothing(
    stage: str, index: Path, vgg_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = light(small(stage), steps=5, validate_every=2, vgg_weights=vgg_file)  # type: ignore[arg-type]
    train(recipe, index, tmp_path / "whole", hardware=CPU, progress=False)
    step = StageModule.training_step

    def crash(self: StageModule, batch: Batch, number: int) -> Tensor:
        if self.global_step == 3:
            raise RuntimeError("power cut")
        return step(self, batch, number)

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="power cut"):
        patch.setattr(StageModule, "training_step", crash)
        train(recipe, index, tmp_path / "parts", hardware=CPU, progress=False)
    seen = []

    def watch(self: StageModule, batch: Batch, number: int) -> Tensor:
        seen.append((self.global_step, batch.names))
        return step(self, batch, number)

    with monkeypatch.context() as patch:
        patch.setattr(StageModule, "training_step", watch)
        train(saved_recipe(tmp_path / "parts"), index, tmp_path / "parts", resume=True, hardware=CPU, progress=False)
    assert [number for number, _ in seen] == [2, 3, 4]
    whole, parts = logged(tmp_path / "whole", "validation/loss"), logged(tmp_path / "parts", "validation/loss")
    assert parts == {step: whole[step] for step in parts} and max(whole) in parts
    ended, went_on = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert ended.keys() == went_on.keys() and all(torch.equal(ended[key], went_on[key]) for key in ended)


def test_two_processes_learn_what_one_does(index: Path, tmp_path: Path) -> None:
    changes = [f"{name}={value}" for name, value in LIGHT.items() if name != "mrf_size"]
    changes += ["steps=3", "validate_every=3", "subjects_per_batch=4", "validation_share=0.5", "validation_batches=1"]
    for processes in (1, 2):
        arguments = ["coarse", "--data", str(index), "--out", str(tmp_path / str(processes)), "--workers", "0"]
        arguments += ["--accelerator", "cpu", "--devices", str(processes), "--set", *changes]
        if processes == 1:  # this one, whose imports are done
            assert cli.main(arguments) == 0
            continue
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "deca_training.cli", *arguments]
        subprocess.run(command, env=environment, check=True, capture_output=True, timeout=300)
    for name in ("train/loss", "validation/loss"):
        one, two = (logged(tmp_path / str(processes), name) for processes in (1, 2))
        assert one.keys() == two.keys() and one
        for number in one:
            assert two[number] == pytest.approx(one[number], abs=1e-4), (name, number)


def test_sources_take_turns(index: Path, synthetic: Path) -> None:
    recipe = light(default("detail"))
    sources = [load_source(index), load_source(synthetic)]
    batches = batches_of(sources, recipe, Augmentation.none(), seed=3)
    alone = [batches_of([source], recipe, Augmentation.none(), seed=3) for source in sources]
    for step in range(4):
        turn, source = divmod(step, 2)
        batch, expected = batches[step], alone[source][turn]
        assert batch.names == expected.names and torch.equal(batch.image_B3HW, expected.image_B3HW)
        assert (batch.truth is not None) == (source == 1)


def test_synthetic_batches_hold_what_made_the_photos(synthetic: Path) -> None:
    """The landmarks, the neutral head and the wrinkles follow from the codes and the subject's file."""
    subjects = SyntheticSubjects(synthetic)
    recipe = light(default("detail"))
    model = DecaModel(recipe)
    batch = batches_of([subjects], recipe, Augmentation.none(), seed=0)[1]
    assert batch.truth is not None and len(batch) == 4
    shown = model.geometry(batch.truth.codes).landmarks_BL2
    # But for the coefficients after the first hundred, and the irises.
    assert (shown - batch.landmarks478_BL3[..., :2])[:, :468].abs().median() < 0.05
    twice = batch.to("cpu").repeated(2)
    assert twice.truth is not None
    for row, name in enumerate(batch.names):
        subject, photo = name.split("/")
        known = next(one for one in subjects if one.name == subject)
        assert torch.equal(batch.truth.displacement_B1HW[row, 0], torch.from_numpy(known.displacement_KHW[int(photo)]))
        assert torch.equal(batch.image_B3HW[row] * 255, torch.from_numpy(known.image_KHW3[int(photo)]).permute(2, 0, 1))
        whole = model.head.template_V3 + model.head.shape_dirs_V3S @ known.shape_S + known.offset_V3
        assert np.abs(batch.truth.neutral_BV3[row].numpy() - whole).max() < 1e-6
        assert torch.equal(twice.truth.codes.shape_BS[4 + row], batch.truth.codes.shape_BS[row])


def test_wrinkles_without_truth_need_a_loss_of_photos(index: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="photos have none"):
        train(light(default("detail"), steps=2), index, tmp_path, hardware=CPU, progress=False)


def test_it_learns(index: Path) -> None:
    """E_c finds the landmarks of four photos that it sees again and again."""
    recipe = light(small("pretrain"), steps=1, subjects_per_batch=4)
    batch = batches_of([load_source(index)], recipe, Augmentation.none(), seed=0)[0]

    class Alone(CoarseStage):
        trainer = SimpleNamespace(world_size=1)  # type: ignore[assignment]

    stage = Alone(recipe)
    optimizer = torch.optim.Adam(stage.model.coarse_encoder.parameters(), 1e-3)
    errors = []
    for _ in range(40):
        terms, numbers = stage.terms(batch, None)
        optimizer.zero_grad()
        stage.total(terms).backward()
        optimizer.step()
        errors.append(float(numbers["nme"]))
    assert min(errors[-3:]) < 0.5 * errors[0]


def test_there_must_be_somebody_to_validate_on(index: Path, tmp_path: Path) -> None:
    recipe = light(small("pretrain"), steps=1, validation_share=0.0)
    with pytest.raises(OptionError, match="8 subjects, and the validation part of them is empty"):
        train(recipe, index, tmp_path, hardware=CPU, progress=False)


def test_numbers_that_are_none_stop_the_run(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = light(small("pretrain"), steps=2, validate_every=2)
    terms = CoarseStage.terms

    def spoilt(self: CoarseStage, batch: Batch, order_B: Tensor | None) -> tuple[Any, Any]:
        found, numbers = terms(self, batch, order_B)
        return found | {"landmark": found["landmark"] * float("nan")}, numbers

    monkeypatch.setattr(CoarseStage, "terms", spoilt)
    with pytest.raises(DivergedError, match=r"step 0: The loss is nan .*landmark nan.* The batch is in"):
        train(recipe, index, tmp_path, hardware=CPU, progress=False)
    with safe_open(tmp_path / "bad_batch_0.safetensors", "pt") as file:
        assert file.get_tensor("image_B3HW").shape == (2, 3, 224, 224)
        assert file.metadata()["names"].startswith("person")


def test_bad_folders_and_files(index: Path, tmp_path: Path) -> None:
    recipe = light(small("pretrain"), steps=1, validate_every=1)
    with pytest.raises(OptionError, match="no checkpoint to resume"):
        train(recipe, index, tmp_path / "none", resume=True, hardware=CPU)
    with pytest.raises(AssetError, match="does not exist"):
        train(recipe, tmp_path / "none.npz", tmp_path / "a", hardware=CPU)
    assert not (tmp_path / "a").exists()
    with pytest.raises(OptionError, match="2 subjects per batch cannot be shared by 3 processes"):
        train(recipe, index, tmp_path / "a", hardware=replace(CPU, devices=3))
    (tmp_path / "x.ckpt").write_bytes(b"not a checkpoint")
    with pytest.raises(AssetError, match="cannot be read"):
        train(recipe, index, tmp_path / "a", start=tmp_path / "x.ckpt", hardware=CPU)
    train(recipe, index, tmp_path / "b", hardware=CPU, progress=False)
    with pytest.raises(OptionError, match="holds a run already"):
        train(recipe, index, tmp_path / "b", hardware=CPU)
    with pytest.raises(AssetError, match="does not fit"):
        other = replace(recipe, backbone="resnet18")
        train(other, index, tmp_path / "c", start=tmp_path / "b" / "last.ckpt", hardware=CPU)
    stage = train(recipe, index, tmp_path / "c", start=tmp_path / "b" / "last.ckpt", hardware=CPU, progress=False)
    assert stage.global_step == 1
