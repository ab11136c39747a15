"""The nonlinear face model's stages, its photos, and its way into a weights file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from deca.appearance.albedo import load_albedo
from deca.errors import AssetError, OptionError
from deca.head import load_head
from deca.networks import Card, Codes, load_checkpoint, random_checkpoint, save_checkpoint
from deca.networks.nonlinear import DecoderSizes, load_nonlinear, save_nonlinear
from deca.reconstruct.nonlinear import NonlinearHead
from deca.render.lighting import sh_shading
from deca_training.batch import Batch
from deca_training.cli import main
from deca_training.config import Recipe
from deca_training.data.augment import Augmentation
from deca_training.data.fitted import FittedPhotos
from deca_training.data.photo_albedo import batches, components_of, view_of
from deca_training.data.sources import batches_of, load_source
from deca_training.data.synthetic import SyntheticSubjects
from deca_training.data.synthetic.generate import AGES, Generator, generate
from deca_training.engine import Hardware, load_networks, read_run, train
from deca_training.evaluate.nonlinear import (
    AlbedoSpace,
    evaluate_shapes,
    evaluate_textures,
    learnt_space,
    linear_space,
)
from deca_training.export_nonlinear import export_nonlinear
from deca_training.fit_photos import fit_photos
from deca_training.nonlinear_model import NonlinearModel
from deca_training.recipes import NONLINEAR_VARIANTS, nonlinear, nonlinear_small
from deca_training.stages import NonlinearStage
from tests.photo_folders import make_index

CPU = Hardware("cpu", workers=0)
TINY = replace(
    DecoderSizes.small(), global_channels=(16, 16, 8, 8, 8, 4), local_channels=(8, 8, 4, 4), fused_channels=4
)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("people")
    generate(folder, subjects=4, images=2, seed=9, outside=1.0)  # the second is held out
    return folder


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fitted")
    index = make_index(folder / "photos", subjects=4, photos=1)
    assert fit_photos(index, folder / "fitted.npz") == 4
    return folder / "fitted.npz"


def tiny(stage: str = "nonlinear", **changes: Any) -> Recipe:
    recipe = nonlinear_small(stage)  # type: ignore[arg-type]
    changes = {
        "decoders": TINY,
        "subjects_per_batch": 2,
        "validation_share": 0.6,
        "heads": 12,
        "validation_batches": 1,
    } | changes
    return replace(recipe, **changes)


class Alone(NonlinearStage):
    """A stage outside a trainer."""

    trainer = SimpleNamespace(world_size=1)  # type: ignore[assignment]
    global_step = 0  # type: ignore[assignment]


def a_batch(path: Path, recipe: Recipe) -> Batch:
    return batches_of([load_source(path)], recipe, Augmentation.none(), seed=0)[0]


@pytest.mark.parametrize("variant", NONLINEAR_VARIANTS)
@pytest.mark.parametrize("stage", ["nonlinear_pretrain", "nonlinear"])
def test_recipes(variant: str, stage: str) -> None:
    """The paper's numbers (Section 4), as text and back, and the switches by name."""
    recipe = NONLINEAR_VARIANTS[variant](stage)  # type: ignore[arg-type]
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert recipe.learning_rate == 1e-3 and recipe.sizes.shape == recipe.sizes.albedo == 320
    changed = recipe.changed({"decoders.decoder": "global", "decoders.proxy": "false", "losses.residual_symmetry": "0"})
    assert (changed.decoders.decoder, changed.decoders.proxy) == ("global", False)
    assert nonlinear("nonlinear").decoders == DecoderSizes()


def test_both_stages_run_and_make_a_weights_file(people: Path, fitted: Path, tmp_path: Path) -> None:
    known, seen = tmp_path / "known", tmp_path / "seen"
    steps: dict[str, Any] = {"steps": 2, "validate_every": 2, "picture_every": 1}
    first, second = tiny("nonlinear_pretrain", **steps), tiny(**steps, albedo_photos=str(fitted))
    train(first, people, known, hardware=CPU, progress=False)
    train(second, fitted, seen, start=known / "last.ckpt", hardware=CPU, progress=False)
    for run in (known, seen):
        assert (run / "pictures" / "step_000002.png").is_file()
        summary = json.loads((run / "summary.json").read_text())
        assert summary["steps"] == 2 and summary["validation"]["validation/l21_true"] > 0
    measured = json.loads((seen / "summary.json").read_text())["validation"]
    of_photos = {name for name, weight in vars(second.losses).items() if weight} - {"neutral_truth", "albedo_truth"}
    assert {f"validation/{name}" for name in of_photos} <= set(measured)
    card = export_nonlinear(
        seen / "last.ckpt", tmp_path / "weights.safetensors", data="drawn people", licence="CC0-1.0"
    )
    loaded = load_nonlinear(tmp_path / "weights.safetensors")
    assert loaded.card == card and "2 steps of 2 photos; first layers of MediaPipe" in card.recipe
    state = read_run(seen / "last.ckpt").states["networks"]
    for key, value in loaded.state_dict().items():
        assert torch.allclose(value.float(), state[key].float(), rtol=2e-3, atol=1e-4), key


def test_commands(people: Path, fitted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From the command line: a stage of its default recipe, the weights file, and all tables."""
    changes = ["steps=1", "validate_every=1", "validation_batches=1", "validation_share=0.6", "subjects_per_batch=2"]
    changes += ["heads=4", "decoders.global_channels=[8,8,8,8,8,4]", "decoders.proxy=false"]
    run, weights = tmp_path / "run", tmp_path / "mine.safetensors"
    arguments = [
        "nonlinear",
        "--data",
        fitted,
        "--out",
        run,
        "--workers",
        "0",
        "--accelerator",
        "cpu",
        "--set",
        *changes,
    ]
    assert main([str(argument) for argument in arguments]) == 0
    assert main(["export", str(run / "last.ckpt"), "--out", str(weights)]) == 0
    assert load_nonlinear(weights).card.decoders.global_channels == (8, 8, 8, 8, 8, 4)
    report = tmp_path / "report"
    arguments = ["evaluate", "nonlinear", "--weights", weights, "--data", fitted, "--learnt-from", fitted]
    arguments += ["--people", people, "--steps", "2", "--out", report]
    assert main([str(argument) for argument in arguments]) == 0
    said = capsys.readouterr().out
    assert "| mine" in said and "PCA 3 of the same photos" in said and "identity cosine" in said
    assert (report / "textures.csv").is_file() and (report / "shapes.csv").is_file()
    assert main(["evaluate", "nonlinear", "--weights", str(weights), "--out", str(report)]) == 1
    assert "nothing to measure" in capsys.readouterr().err


def test_going_on_changes_nothing(fitted: Path, tmp_path: Path) -> None:
    recipe = tiny(steps=3, validate_every=1)
    train(recipe, fitted, tmp_path / "whole", hardware=CPU, progress=False)
    train(replace(recipe, steps=2, decay=False), fitted, tmp_path / "constant", hardware=CPU, progress=False)
    assert read_run(tmp_path / "constant" / "last.ckpt").steps == 2

    class Crash(RuntimeError):
        pass

    step = NonlinearStage.training_step

    def crash(self: NonlinearStage, batch: Batch, number: int) -> torch.Tensor:
        if self.global_step == 2:
            raise Crash
        return step(self, batch, number)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Crash):
        patch.setattr(NonlinearStage, "training_step", crash)
        train(recipe, fitted, tmp_path / "parts", hardware=CPU, progress=False)
    train(recipe, fitted, tmp_path / "parts", resume=True, hardware=CPU, progress=False)
    whole, parts = (read_run(tmp_path / run / "last.ckpt").states["networks"] for run in ("whole", "parts"))
    assert all(torch.equal(whole[key], parts[key]) for key in whole)


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"decoder": "linear", "proxy": False}, {"residual", "residual_symmetry", "shape_space"}),
        ({"decoder": "global", "proxy": False}, {"residual", "residual_symmetry"}),
        ({"decoder": "global_local", "proxy": False}, {"residual", "residual_symmetry"}),
        ({}, set()),
    ],
)
def test_ablations(changes: dict, missing: set[str], fitted: Path) -> None:
    """linear, + nonlinear, + GL, + proxy: without proxies there is one picture and no residual."""
    recipe = tiny(decoders=replace(TINY, **changes))
    stage = Alone(recipe)
    batch = a_batch(fitted, recipe)
    terms, numbers = stage.terms(batch, None)
    expected = {name for name, weight in vars(recipe.losses).items() if weight}
    expected -= {"neutral_truth", "albedo_truth", "albedo_space"}
    assert set(terms) == expected - missing
    if missing:
        assert torch.allclose(terms["reconstruction"], numbers["l21_true"])
    stage.total(terms).backward()
    learns = {name.split(".")[0] for name, p in stage.model.networks.named_parameters() if p.grad is not None}
    assert learns == (
        {"encoder"} if changes.get("decoder") == "linear" else {"encoder", "shape_decoder", "albedo_decoder"}
    )


def test_without_residual_symmetry(fitted: Path) -> None:
    recipe = tiny(losses=replace(tiny().losses, residual_symmetry=0.0))
    terms, _ = Alone(recipe).terms(a_batch(fitted, recipe), None)
    assert "residual_symmetry" not in terms and "residual" in terms


def test_what_each_loss_teaches(fitted: Path) -> None:
    """Landmarks teach E alone (Eq. 7); regularisers the proxies alone (Eq. 13); the residual and symmetry both."""
    recipe = tiny()
    stage = Alone(recipe)
    batch = a_batch(fitted, recipe)

    def taught(name: str) -> set[str]:
        stage.zero_grad()
        terms, _ = stage.terms(batch, None)
        terms[name].backward()
        found = set()
        for key, parameter in stage.model.networks.named_parameters():
            if parameter.grad is not None and parameter.grad.any():
                part = key.split(".")
                found.add(
                    part[0]
                    if part[0] == "encoder"
                    else f"{part[0]}.{part[1]}.{part[2]}"
                    if part[1] == "branches"
                    else part[0]
                )
        return found

    true_shape, proxy_shape = "shape_decoder.branches.0", "shape_decoder.branches.1"
    true_albedo, proxy_albedo = "albedo_decoder.branches.0", "albedo_decoder.branches.1"
    assert taught("landmark") == {"encoder"}
    assert taught("known_codes") == {"encoder"}
    for name in ("albedo_symmetry", "albedo_constancy"):
        assert {proxy_albedo} <= taught(name) and not {true_albedo, true_shape} & taught(name)
    assert proxy_shape in taught("shape_smoothness") and true_shape not in taught("shape_smoothness")
    assert {true_shape, proxy_shape, true_albedo, proxy_albedo} <= taught("residual")
    assert {true_shape, proxy_shape} <= taught("residual_symmetry")
    assert {true_shape, proxy_shape, true_albedo, proxy_albedo} <= taught("reconstruction")


def test_it_learns_what_linear_models_lack(fitted: Path) -> None:
    """A tint below the eyes of two photos that are seen again and again: the true albedo learns it, though no loss sees
    it with the true shape."""
    recipe = tiny()
    stage = Alone(recipe)
    batch = a_batch(fitted, recipe)
    tinted_B3YY = batch.image_B3HW.clone()
    tinted_B3YY[:, 1:, 120:] *= 0.6
    batch = replace(batch, image_B3HW=tinted_B3YY)
    optimizer = torch.optim.Adam(stage.model.networks.parameters(), 3e-3)
    errors = []
    for _ in range(40):
        terms, numbers = stage.terms(batch, None)
        optimizer.zero_grad()
        stage.total(terms).backward()
        optimizer.step()
        errors.append(float(numbers["l21_true"]))
    assert min(errors[-3:]) < 0.6 * errors[0]


def test_what_is_known_takes_e_s_place(people: Path) -> None:
    recipe = tiny("nonlinear_pretrain")
    model = NonlinearModel(recipe)
    batch = a_batch(people, recipe)
    assert batch.truth is not None
    codes = model.codes(batch.image_B3HW)
    known = replace(batch.truth.codes, shape_BS=batch.truth.codes.shape_BS[:, :100])
    used = model.with_known(codes, known)
    assert torch.equal(used.shape_BS[:, :100], known.shape_BS)
    assert torch.equal(used.shape_BS[:, 100:], codes.shape_BS[:, 100:])
    assert torch.equal(used.camera_B3, known.camera_B3) and torch.equal(used.light_B93, known.light_B93)
    assert torch.equal(used.albedo_BA[:, :50], known.albedo_BA)
    assert torch.equal(used.albedo_BA[:, 50:], codes.albedo_BA[:, 50:])
    assert model.with_known(codes, None) is codes


def test_shapes_beyond_the_linear_model(people: Path) -> None:
    """Random heads' codes are spread as a normal distribution's and stand for them again; a person's known code gives
    what the components hold of the whole shape."""
    recipe = tiny("nonlinear_pretrain", heads=40)
    stage = Alone(recipe)
    space, face = stage.space, stage.model.face
    assert space is not None
    code = torch.randn(3, 220, generator=torch.Generator().manual_seed(0))
    code[:, 40:] = 0
    assert torch.allclose(space.codes(space.offsets(code)), code, atol=1e-2)
    generator = Generator(outside=recipe.heads_outside)
    rng = np.random.default_rng((7_000_000, 3))  # one of the forty
    shape_S = generator.shape(rng.uniform(*AGES), generator.sex(rng), rng)
    beyond = face.head.shape_dirs_V3S[..., 100:] @ shape_S[100:] + generator.offset(rng)
    wanted = torch.from_numpy(beyond.astype(np.float32))[None] * face.share_V1
    assert (space.offsets(space.codes(wanted)) - wanted).norm() < 0.02 * wanted.norm()
    assert 1e-3 < wanted[0, stage.model.face_V].norm(dim=-1).mean() < 5e-3  # millimetres
    batch = a_batch(people, recipe)
    known = stage._known(batch)
    assert known is not None and batch.truth is not None and known.shape_BS.shape[1] == 320
    assert torch.equal(known.shape_BS[:, :100], batch.truth.codes.shape_BS[:, :100])
    with torch.no_grad():
        neutral = face.neutral(known.shape_BS, torch.zeros(len(batch), 3, 128, 96))
    rest, found = batch.truth.neutral_BV3 - neutral, space.offsets(known.shape_BS[:, 100:])
    part = stage.model.face_V
    assert (rest - found)[:, part].norm() < 0.9 * rest[:, part].norm()


def test_d_s_learns_the_space() -> None:
    recipe = tiny("nonlinear_pretrain", heads=8)
    stage = Alone(recipe)
    optimizer = torch.optim.Adam(stage.model.networks.parameters(), 3e-3)
    losses = []
    for _ in range(60):
        loss = stage._space_terms(4)["shape_space"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:3])


def test_components_of_maps_with_gaps() -> None:
    """Maps of three components with a fifth unknown: all of it is found again, as SVD finds it of the whole maps."""
    generator = torch.Generator().manual_seed(2)
    maps = torch.randn(60, 3, generator=generator) @ torch.randn(3, 500, generator=generator)
    known = torch.rand(maps.shape, generator=generator) > 0.2
    found = components_of(torch.where(known, maps, 9.0), known, 3, torch.zeros(500))
    given = found.mean_X + found.codes_NK @ found.basis_KX
    assert (given - maps).square().mean() < 2e-3 * maps.square().mean()
    assert torch.allclose(found.codes_NK.std(0, correction=0), torch.ones(3), atol=1e-3)
    sizes = torch.linalg.svdvals(maps - maps.mean(0))[:3]
    assert torch.allclose(found.basis_KX.norm(dim=1) * 60**0.5, sizes, rtol=0.05)


def test_albedo_beyond_the_linear_model(fitted: Path, face: NonlinearHead) -> None:
    """A photo's code gives what its fitted albedo lacks where the photo shows it; D_A learns what codes stand for, and
    the stage takes photos' codes as known."""
    recipe = tiny(albedo_photos=str(fitted))
    stage = Alone(recipe)
    space, photos = stage.photo_albedo, FittedPhotos.load(fitted)
    assert space is not None
    (batch,) = batches(photos)
    view, light_B93 = view_of(face, batch)
    code = space.codes(batch.names)
    assert code is not None and code.shape == (4, 270) and batch.geometry is not None
    assert space.codes(("another.jpg",)) is None
    shown = (view.seen_B1HW > 0.5).expand_as(view.photo_B3HW)
    shading = sh_shading(view.normals_B3HW, light_B93).clamp(min=0.15)
    wanted = (view.photo_B3HW / shading).clamp(0, 1)
    linear = face.albedo(batch.geometry.albedo_BA, torch.zeros(()))
    off = (linear + space.offsets(code) - wanted)[shown].abs().mean()
    assert off < 0.3 * (linear - wanted)[shown].abs().mean()
    known = stage._known(batch)
    assert known is not None and torch.equal(known.albedo_BA[:, 50:], code)
    assert torch.equal(known.albedo_BA[:, :50], batch.geometry.albedo_BA)
    optimizer = torch.optim.Adam(stage.model.networks.parameters(), 3e-3)
    losses = []
    for _ in range(60):
        loss = stage._space_terms(8)["albedo_space"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:3])


def test_e_begins_as_e_c(tmp_path: Path) -> None:
    """From DECA's weights E takes what E_c knows; the codes beyond the linear models' are its own."""
    recipe = tiny()
    model = NonlinearModel(recipe)
    checkpoint = random_checkpoint(card=Card.of(model.face.head, backbone="face_mesh"))
    save_checkpoint(checkpoint, tmp_path / "deca.safetensors", torch.float32)
    load_networks(model, tmp_path / "deca.safetensors")
    image = torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        found = model.eval().codes(image)
        known = Codes.split(load_checkpoint(tmp_path / "deca.safetensors").coarse_encoder(image), checkpoint.card.sizes)
    for name, code in vars(known).items():
        assert torch.allclose(getattr(found, name)[:, : code.shape[1]], code, atol=1e-4), name
    assert found.shape_BS.shape == (1, 320) and found.shape_BS[:, 100:].any()


def test_ablations_begin_with_the_same_e(tmp_path: Path) -> None:
    """From weights with other decoders E alone is taken; from those with the same ones all is."""
    first = NonlinearModel(tiny(seed=1))
    path = tmp_path / "nonlinear.safetensors"
    save_nonlinear(first.networks, path)
    same, other = NonlinearModel(tiny()), NonlinearModel(tiny(decoders=replace(TINY, proxy=False)))
    fresh = {key: value.clone() for key, value in other.networks.state_dict().items()}
    given = load_nonlinear(path).state_dict()
    for model in (same, other):
        load_networks(model, path)
    assert all(torch.equal(value, given[key]) for key, value in same.networks.state_dict().items())
    for key, value in other.networks.state_dict().items():
        assert torch.equal(value, given[key] if key.startswith("encoder.") else fresh[key]), key


def test_fitted_photos(fitted: Path, tmp_path: Path) -> None:
    """The heads lie on their photos' landmarks; the file goes on where it was; its parts are told by name."""
    photos = FittedPhotos.load(fitted)
    assert len(photos) == photos.num_subjects == 4
    recipe = tiny(subjects_per_batch=4)
    batch = a_batch(fitted, recipe)
    assert batch.geometry is not None and batch.seen_B1HW is not None
    model = NonlinearModel(recipe)
    used = model.with_known(model.codes(batch.image_B3HW), batch.geometry)
    nothing = torch.zeros(4, 3, 128, 96)
    off = (model.projected_landmarks(used, nothing) - batch.landmarks478_BL3[..., :2])[:, :468].norm(dim=-1)
    assert off.median() < 0.03
    shape, _ = model.shapes(used, batch)
    assert 0.1 < shape.view.seen_B1HW.mean() < 0.9
    training, validation = photos.split(0.6)
    assert sorted(training.names + validation.names) == photos.names and validation.names
    before = fitted.read_bytes()
    with np.load(fitted) as file:
        part = {key: value for key, value in file.items()}
    copy = tmp_path / "fitted.npz"
    ends = part["jpeg_ends"][:2]
    half = {key: value if key in ("meta", "jpeg") else value[:2] for key, value in part.items()}
    np.savez(copy, **half | {"jpeg": part["jpeg"][: ends[-1]]})
    assert fit_photos(fitted.parent / "photos" / "photos.npz", copy) == 4
    with np.load(copy) as file:
        assert all(np.array_equal(file[key], part[key]) for key in part)
    assert fitted.read_bytes() == before


def test_foreign_files(people: Path, fitted: Path, tmp_path: Path) -> None:
    with pytest.raises(AssetError, match="no fitted photos"):
        FittedPhotos.load(next(people.glob("*.npz")))
    photos = FittedPhotos.load(fitted)
    with pytest.raises(AssetError, match="another version"):
        photos.check_head("0" * 16)


# --- the paper's tables


@pytest.fixture(scope="module")
def face(fitted: Path) -> NonlinearHead:
    return NonlinearHead(load_head(), load_albedo(), TINY, 50)


def test_textures_table(fitted: Path, face: NonlinearHead) -> None:
    """Of the photos that it learnt from, a linear model of as many components as they leave gives every one back."""
    photos = FittedPhotos.load(fitted)
    learnt = learnt_space(photos, face, 320)
    table = evaluate_textures(photos, face, [linear_space(face), learnt], steps=80)
    rows = {str(row["model"]): row for row in table.rows}
    assert list(rows) == ["linear 50", "PCA 3 of the same photos"]
    linear, pca = rows.values()
    assert isinstance(linear["l21"], float) and isinstance(pca["l21"], float)
    assert pca["of_the_first"] == pytest.approx(pca["l21"] / linear["l21"]) and pca["l21"] < 0.6 * linear["l21"]
    assert "4 photos" in table.notes[0]


def test_components_explain_what_is_seen(fitted: Path, face: NonlinearHead) -> None:
    """Codes of unit spread; with one photo more than components the seen albedo comes back exactly."""
    photos = FittedPhotos.load(fitted)
    space = learnt_space(photos, face, 320)
    (batch,) = batches(photos)
    view, light_B93 = view_of(face, batch)
    albedo = view.photo_B3HW / sh_shading(view.normals_B3HW, light_B93).clamp(min=0.15)
    seen = (view.seen_B1HW > 0.5).expand_as(albedo)
    mean, *parts = (space.albedo_of(code[None])[0] for code in torch.cat((torch.zeros(1, 3), torch.eye(3))))
    basis = torch.stack([part - mean for part in parts]).flatten(1)
    # Components are at right angles.
    gram = basis @ basis.T
    assert (gram - torch.diag(gram.diag())).abs().max() < 1e-3 * gram.max()
    for one, shown in zip(albedo.clamp(0, 1), seen, strict=True):
        inside = shown.flatten()
        found = torch.linalg.lstsq(basis[:, inside].T, (one - mean).flatten()[inside][:, None])
        off = basis[:, inside].T @ found.solution - (one - mean).flatten()[inside][:, None]
        assert off.abs().mean() < 0.03


def test_who_the_renderings_are_taken_for(fitted: Path, face: NonlinearHead) -> None:
    """An embedding that looks at the mean colour: what gives the photo back is best everywhere."""
    photos = FittedPhotos.load(fitted)

    def embedding(image_B3HW: torch.Tensor, landmarks_BL2: torch.Tensor) -> torch.Tensor:
        assert landmarks_BL2.shape[1:] == (68, 2)
        return image_B3HW[..., 60:180, 60:180].mean((2, 3)) - 0.4

    black = AlbedoSpace(
        "black", lambda code: torch.zeros(len(code), 3, 128, 96) + 0 * code.sum(), lambda b: torch.zeros(len(b), 1)
    )
    table = evaluate_textures(photos, face, [black, linear_space(face)], embedding=embedding, steps=30)
    assert [row["best_on"] for row in table.rows] == [0.0, 1.0]


def test_shapes_table(people: Path) -> None:
    """More coefficients come nearer; so would a decoder that knows the rest."""
    head, albedo = load_head(), load_albedo()
    networks = NonlinearModel(tiny()).networks.eval().requires_grad_(False)
    subjects = SyntheticSubjects(people)
    table = evaluate_shapes(subjects, head, albedo, [("nonlinear", networks)], steps=40)
    nme = {str(row["model"]): row["nme"] for row in table.rows}
    assert list(nme) == ["linear 100", "linear 300", "nonlinear"]
    assert all(isinstance(value, float) and 0.001 < value < 0.1 for value in nme.values())
    assert nme["linear 300"] < nme["linear 100"]  # type: ignore[operator]
    with pytest.raises(OptionError, match="No networks"):
        evaluate_shapes(subjects, head, albedo, [])
