"""Evaluations on photos: a public-domain portrait in several versions, and networks with random weights."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from deca.appearance.albedo import load_albedo
from deca.errors import DecaError, OptionError
from deca.head import load_head
from deca.networks import Card, Networks, random_checkpoint, save_checkpoint
from deca.reconstruct.models import Models, load_models
from deca_training.data.index import PhotoIndex
from deca_training.data.prepare import prepare
from deca_training.evaluate import cli
from deca_training.evaluate.ablation import CELL, Run, ablation_grid, ablation_table, public_photos
from deca_training.evaluate.detail_transfer import evaluate_transfer, transfer
from deca_training.evaluate.identity import evaluate_identity, rendering_on
from deca_training.evaluate.landmarks import evaluate_landmarks, landmark_errors, projected_landmarks
from deca_training.evaluate.separation import auc, subject_auc
from deca_training.evaluate.subjects import Subjects

pytest.importorskip("skimage")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two subjects of two photos, one of a single photo, and one photo without a face."""
    from skimage.data import astronaut

    folder = tmp_path_factory.mktemp("photos")
    portrait = Image.fromarray(astronaut()).crop((100, 0, 400, 300))
    versions = {
        "a/1.png": portrait,
        "a/2.png": portrait.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        "b/1.png": portrait.rotate(15, Image.Resampling.BILINEAR),
        "b/2.png": portrait.point(lambda value: value * 0.6),
        "b/3.png": Image.new("RGB", (200, 200)),
        "c/1.png": portrait.resize((220, 300)),
    }
    for name, picture in versions.items():
        (folder / name).parent.mkdir(exist_ok=True)
        picture.save(folder / name)
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("runs")
    card = Card.of(load_head("openhead"), backbone="mobilenet_v3_large")
    for seed in (0, 1):
        (folder / str(seed)).mkdir()
        save_checkpoint(random_checkpoint(seed, card), folder / f"{seed}/weights.safetensors")
    return [folder / f"{seed}/weights.safetensors" for seed in (0, 1)]


@pytest.fixture(scope="module")
def models(weights: list[Path]) -> Models:
    return Models(load_head("openhead"), Networks.load(weights[0]), load_albedo("openhead"))


def colours(image_B3HW: torch.Tensor, landmarks_BL2: torch.Tensor) -> torch.Tensor:
    """A face recognition that knows colours only."""
    assert landmarks_BL2.shape == (len(image_B3HW), 68, 2) and landmarks_BL2.abs().max() < 1.5
    return torch.nn.functional.normalize(torch.nn.functional.avg_pool2d(image_B3HW - 0.5, 56).flatten(1), dim=1)


def test_landmark_errors_are_relative_to_the_face() -> None:
    found = np.random.default_rng(0).uniform(0, 10, (68, 2))
    found[36], found[45], found[17], found[20] = (0, 5), (10, 5), (2, 0), (3, 10)
    shifted = found + np.array([0.0, 1.0])
    assert landmark_errors(shifted, found) == pytest.approx(
        {"inner_by_eyes": 10, "all_by_eyes": 10, "all_by_box": 100 / np.sqrt(np.prod(np.ptp(found, axis=0)))}
    )
    shifted[:17] += 100
    errors = landmark_errors(shifted, found)
    assert errors["inner_by_eyes"] == pytest.approx(10) and errors["all_by_eyes"] > 100


def test_landmarks_of_fit_and_random_encoder(photos: Path, models: Models) -> None:
    subjects = Subjects(photos)
    table, curves = evaluate_landmarks(models, subjects, name="random")
    encoder, fit = table.rows
    assert (encoder["method"], fit["method"]) == ("random", "landmark fit")
    assert encoder["photos"] == fit["photos"] == 5 and fit["left_out"] == 1
    assert fit["inner_by_eyes_mean_percent"] < 5 < 15 < encoder["inner_by_eyes_mean_percent"]
    assert fit["failed_percent"] == 0 and encoder["failed_percent"] == 100
    assert curves["landmark fit"]["inner_by_eyes"].percent[-1] == 100
    assert any("1 photos were left out" in note for note in table.notes)
    assert any("b/3.png: No face" in note for note in table.notes)


def test_an_index_gives_what_its_folder_gives(photos: Path, tmp_path: Path, models: Models) -> None:
    prepare(photos, tmp_path / "i.npz", max_disagreement=1.0)
    alone = Models(models.head)
    of_index, _ = evaluate_landmarks(alone, Subjects(tmp_path / "i.npz"))
    of_folder, _ = evaluate_landmarks(alone, Subjects(photos))
    assert of_index.rows[0]["photos"] == 5
    difference = of_index.rows[0]["inner_by_eyes_mean_percent"] - of_folder.rows[0]["inner_by_eyes_mean_percent"]
    assert abs(difference) < 0.5
    for share in (0.2, 0.5, 0.8, 1.0):
        expected = PhotoIndex.load(tmp_path / "i.npz").split(share)[1].photos
        if expected:
            chosen = Subjects(tmp_path / "i.npz", validation=share)
            assert [photo.name for subject in chosen for photo in subject] == expected
        else:
            with pytest.raises(OptionError, match="no photos in its validation share"):
                Subjects(tmp_path / "i.npz", validation=share)


def test_photos_and_subjects_are_limited(photos: Path) -> None:
    names = [[one.name for one in subject] for subject in Subjects(photos, subjects=2, photos=1)]
    assert names == [["a/1.png"], ["b/1.png"]]


def test_projected_landmarks_are_those_of_the_crop(photos: Path, models: Models) -> None:
    """The camera's projection on the crop and the matrix to the photo agree."""
    one = next(iter(Subjects(photos)))[0]
    face = one.face(models)
    decoded = models.decode_face(face)
    s, tx, ty = face.camera_3
    assert decoded.landmarks_BL3 is not None
    marks_L3 = decoded.landmarks_BL3[0].numpy()
    crop_L2 = (s * np.stack((marks_L3[:, 0] + tx, -(marks_L3[:, 1] + ty)), 1) * 0.5 + 0.5) * 224
    photo_L2 = (crop_L2 - face.crop_33[:2, 2]) / face.crop_33[0, 0]
    np.testing.assert_allclose(projected_landmarks(face, models), photo_L2, atol=1e-2)
    on_crop = (one.crop_landmarks(face)[0].numpy() + 1) * 112
    np.testing.assert_allclose((on_crop - face.crop_33[:2, 2]) / face.crop_33[0, 0], one.landmarks68_L2, atol=1e-2)


def test_auc_counts_pairs() -> None:
    rng = np.random.default_rng(0)
    same, different = rng.integers(0, 6, 20), rng.integers(2, 9, 30)
    pairs = [(a < b) + 0.5 * (a == b) for a in same for b in different]
    assert auc(same, different) == pytest.approx(np.mean(pairs))
    assert auc(same, same[:0]) is None
    codes = np.array([[1, 0], [2, 0.1], [0, 1], [0, 3.0]])
    assert subject_auc(codes, ["a", "a", "b", "b"])["angle"] == 1
    assert subject_auc(codes, ["a", "b", "b", "a"])["angle"] == 0.25  # ties count half


def test_renderings_cover_the_skin_alone(photos: Path, models: Models) -> None:
    one = next(iter(Subjects(photos)))[0]
    face = one.face(models, by_fit=True)
    face = replace(face, detail_D=None)
    picture, crop = rendering_on(one, face, face, models)[0], one.crop(face)[0]
    changed = (picture - crop).abs().sum(0) > 0
    skin = one.skin(face)[0, 0] > 0
    assert (changed & skin).sum() > 0.9 * skin.sum()
    assert not changed[:, :10].any() and not changed[:, -10:].any() and changed.float().mean() < 0.6
    assert (picture - crop).abs().mean(0)[skin].mean() < 0.12  # the fit's albedo and light come near the photo


def test_identity_of_shape_codes_and_renderings(photos: Path, models: Models) -> None:
    table = evaluate_identity(models, Subjects(photos), embedding=colours, name="random")
    row = table.rows[0]
    assert (row["photos"], row["subjects"], row["left_out"]) == (5, 3, 1)
    people = [photo for subject in Subjects(photos) for photo in subject]
    faces = [photo.face(models) for photo in people]
    embedded = torch.cat([colours(p.crop(f), p.crop_landmarks(f)) for p, f in zip(people, faces, strict=True)]).numpy()
    pairs = [(i, j) for i in range(5) for j in range(5) if i != j]
    same = [embedded[i] @ embedded[j] for i, j in pairs if people[i].subject == people[j].subject]
    assert row["same_subject"] == pytest.approx(np.mean(same), abs=1e-3)
    distances = {(i, j): np.linalg.norm(faces[i].shape_S - faces[j].shape_S) for i, j in pairs}
    wins = [
        distances[i, j] < distances[k, l]
        for i, j in pairs
        for k, l in pairs
        if people[i].subject == people[j].subject and people[k].subject != people[l].subject
    ]
    assert row["shape_auc_distance"] == pytest.approx(np.mean(wins), abs=1e-3)
    codes_only = evaluate_identity(models, Subjects(photos)).rows[0]
    assert codes_only["shape_auc_angle"] == row["shape_auc_angle"] and "own_rendering" not in codes_only
    with pytest.raises(OptionError, match="albedo"):
        evaluate_identity(Models(models.head), Subjects(photos), embedding=colours, by_fit=True)


def test_transfer_measures_against_the_photo(photos: Path, models: Models) -> None:
    first, second = next(iter(Subjects(photos)))
    face, other = first.face(models, by_fit=True), second.face(models, by_fit=True)
    assert face.detail_D is not None and other.detail_D is not None
    found = transfer(first, face, {"own": face.detail_D, "same": face.detail_D, "other": other.detail_D}, models)
    assert found.error["same"] == found.error["own"] and found.difference_mm["same"] == 0
    decoded = models.decode_face(face)
    pictures = models.render(decoded)
    crop, skin = first.crop(face), first.skin(face)
    for name, picture in (("own", pictures.detail), ("none", pictures.coarse)):
        assert picture is not None
        mask = skin * pictures.alpha_B1HW
        error = ((picture.clamp(0, 1) - crop).abs().mean(1, keepdim=True) * mask).sum() / mask.sum()
        assert found.error[name] == pytest.approx(float(error), rel=0.05)  # the mask ends a little elsewhere
    assert found.error["none"] != found.error["own"] != found.error["other"]
    elsewhere = models.decode_face(replace(face, detail_D=other.detail_D))
    assert decoded.displacement_B1HW is not None and elsewhere.displacement_B1HW is not None
    changed = (decoded.displacement_B1HW - elsewhere.displacement_B1HW).abs()
    share = float((models.head.masks["face_no_eyes"] / 255).mean())
    assert found.difference_mm["other"] == pytest.approx(1000 * float(changed.mean()) / share, rel=0.01)
    assert found.depth_mm > 0


def test_transfer_compares_own_same_and_other(photos: Path, models: Models) -> None:
    table = evaluate_transfer(models, Subjects(photos), by_fit=True)
    rows = {row["detail_code"]: row for row in table.rows}
    assert [rows[code]["photos"] for code in ("none", "own", "same", "other", "all")] == [4] * 5
    assert rows["own"]["displacement_difference_mm"] == 0
    assert 0 <= rows["all"]["same_beats_other"] <= 1
    with pytest.raises(OptionError, match="no weights"):
        evaluate_transfer(Models(models.head), Subjects(photos), by_fit=True)
    with pytest.raises(OptionError, match="no two subjects"):
        evaluate_transfer(models, Subjects(photos, subjects=1), by_fit=True)


def test_ablation_shows_runs_side_by_side(photos: Path, models: Models, weights: list[Path]) -> None:
    runs = [Run("one", models), Run("again", models), Run("two", load_models(weights=weights[1]))]
    grid = ablation_grid(runs, public_photos())
    assert grid.shape[1] == 7 * CELL and grid.shape[0] > CELL
    cells = [grid[-CELL:, k * CELL : (k + 1) * CELL] for k in range(7)]
    np.testing.assert_array_equal(cells[1], cells[3])
    np.testing.assert_array_equal(cells[2], cells[4])
    assert (cells[1] != cells[5]).mean() > 0.05 and (cells[2] != cells[6]).mean() > 0.02
    table = ablation_table(runs[:2], [Subjects(photos) for _ in range(2)])
    first, second = ({**row, "run": ""} for row in table.rows)
    assert first == second and first["photos"] == 5


def command(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    cli.add_parser(parser.add_subparsers())
    options = parser.parse_args(["evaluate", *map(str, arguments)])
    return options.run(options)


def test_commands_write_their_reports(photos: Path, weights: list[Path], tmp_path: Path, capsys) -> None:
    shared = ("--data", photos, "--weights", weights[0])
    assert command("landmarks", *shared, "--out", tmp_path / "l1", "--name", "first") == 0
    assert command("landmarks", "--data", photos, "--out", tmp_path / "l2", "--compare", tmp_path / "l1") == 0
    rows = json.loads((tmp_path / "l2/landmarks_comparison.json").read_text())["rows"]
    assert [row["method"] for row in rows] == ["landmark fit", "first", "landmark fit (2)"]
    assert (tmp_path / "l2/landmarks_inner_by_eyes.png").stat().st_size > 5000
    assert command("identity", *shared, "--out", tmp_path / "i") == 0
    assert "own_rendering" in json.loads((tmp_path / "i/identity.json").read_text())["rows"][0]
    assert command("transfer", *shared, "--out", tmp_path / "t") == 0
    assert (tmp_path / "t/transfer.md").read_text().startswith("## Detail transfer")
    assert command("ablation", "--runs", *weights, "--out", tmp_path / "a") == 0
    assert Image.open(tmp_path / "a/ablation.png").size[0] == 5 * CELL
    assert "first" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("landmarks", "--data", "none.npz"), "does not exist"),
        (("landmarks", "--data", "."), "holds no photos"),
        (("landmarks", "--data", ".", "--validation", "0.1"), "Only an index"),
        (("transfer", "--data", "."), "Detail codes come from weights"),
        (("now", "--data", "."), "no image list"),
        (("feng", "--data", "."), "no folder scans"),
        (("now", "--data", ".", "--predictions", "p", "--predict-only"), "measured as they are"),
        (("landmarks", "--data", ".", "--device", "abacus"), "no device"),
        (("ablation", "--runs", "a", "b", "--names", "x"), "different names"),
    ],
)
def test_wrong_use_is_named(tmp_path: Path, monkeypatch, arguments: tuple, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DecaError, match=message):
        command(*arguments, "--out", "o")
