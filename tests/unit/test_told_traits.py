"""Age and sex, told by faces and put into the shape encoder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from deca.assets import asset
from deca.errors import AssetError
from deca.head import load_head
from deca.head.traits import Trait
from deca.networks import Card, ShapeEncoder, load_checkpoint, random_checkpoint
from deca_training.closed_form import told_traits
from deca_training.closed_form.shape_encoder import scales
from deca_training.closed_form.told_traits import Told, heeding, read_traits, readout, with_traits

SHAPE, PHOTOS = 5, 30


def told(seed: int = 0) -> Told:
    """Photos on which some inputs tell the trait, beside noise."""
    rng = np.random.default_rng(seed)
    inputs_NX = rng.standard_normal((PHOTOS, ShapeEncoder(SHAPE).layer.in_features)).astype(np.float32)
    value_N = np.where(rng.uniform(size=PHOTOS) < 0.4, -1.0, 1.0)
    inputs_NX[:, :800] += value_N[:, None]
    return Told(inputs_NX, np.zeros((PHOTOS, 478, 2)), np.full((PHOTOS, 2), 100), value_N[:, None])


def test_the_readout_is_as_long_as_photos_left_out_ask_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against thirty ridge regressions, each without one photo."""
    photos, ridge = told(), 1e-2
    monkeypatch.setattr(told_traits, "_RIDGES", (ridge,))
    weight_X, bias, correlation = readout(photos.inputs_NX, photos.values_NT[:, 0])

    mean_X, scale_X = scales(photos.inputs_NX)
    rows_NX, value_N = (photos.inputs_NX - mean_X) / scale_X, photos.values_NT[:, 0]
    left_out = []
    for row in range(PHOTOS):
        kept_NX, kept_N = np.delete(rows_NX, row, 0), np.delete(value_N, row)
        middle_X, middle = kept_NX.mean(0), kept_N.mean()
        gram_NN = (kept_NX - middle_X) @ (kept_NX - middle_X).T + ridge * PHOTOS * np.eye(PHOTOS - 1)
        weights_X = (kept_NX - middle_X).T @ np.linalg.solve(gram_NN, kept_N - middle)
        left_out.append((rows_NX[row] - middle_X) @ weights_X + middle)
    said_N = np.array(left_out)
    assert correlation == pytest.approx(np.corrcoef(said_N, value_N)[0, 1], abs=1e-6)
    whole = rows_NX.T @ np.linalg.solve(rows_NX @ rows_NX.T + ridge * PHOTOS * np.eye(PHOTOS), value_N - value_N.mean())
    off_N = said_N - value_N.mean()
    length = (off_N @ (value_N - value_N.mean())) / (off_N @ off_N)
    np.testing.assert_allclose(weight_X, length * whole / scale_X, rtol=1e-5, atol=1e-9)
    assert bias == pytest.approx(value_N.mean() - mean_X @ weight_X)


def test_shapes_that_landmarks_would_see_are_left_to_them() -> None:
    """Against SciPy's minimum of what is given up and what landmarks see."""
    rng = np.random.default_rng(1)
    root = rng.standard_normal((SHAPE, SHAPE))
    metric_SS, square_SS = root @ root.T + np.eye(SHAPE), np.diag([4.0, 1.0, 0.1, 0.0, 0.0])
    trait = Trait("sex", "-1 women, 1 men", 0.0, 1.0, rng.standard_normal(SHAPE).astype(np.float32))
    encoder = ShapeEncoder(SHAPE)
    photos = told()
    taught, correlation_T = heeding(encoder, photos, [trait], square_SS, metric_SS)
    assert correlation_T[0] > 0.9

    def cost(added_S: np.ndarray) -> float:
        given_up_S = added_S - trait.code_S
        return given_up_S @ metric_SS @ given_up_S + 3.0 * added_S @ square_SS @ added_S

    wanted_S = minimize(cost, np.zeros(SHAPE), tol=1e-12).x
    landmarks_2L3 = torch.zeros(2, 478, 3)
    landmarks_2L3[:, :, 0] = torch.arange(478.0)
    landmarks_2L3[:, :, 1] = torch.arange(478.0) ** 2 / 500
    features_2F = torch.from_numpy(photos.inputs_NX[:2, : encoder.layer.in_features - 3 * 478])
    change_2S = (taught(features_2F, landmarks_2L3) - encoder(features_2F, landmarks_2L3)).detach().numpy()
    along_S = change_2S[0] - change_2S[1]
    np.testing.assert_allclose(along_S / np.linalg.norm(along_S), wanted_S / np.linalg.norm(wanted_S)
                               * np.sign(along_S @ wanted_S), atol=1e-4)  # fmt: skip


class TestFiles:
    def test_traits_are_read(self, tmp_path: Path) -> None:
        file = tmp_path / "traits.csv"
        file.write_text("photo,age,sex\na/1.jpg,62,woman\nb.jpg,30.5,man\n")
        assert read_traits(file) == {"a/1.jpg": {"age": 62.0, "sex": -1.0}, "b.jpg": {"age": 30.5, "sex": 1.0}}

    @pytest.mark.parametrize("line", ["a.jpg,3", "a.jpg,old,man", "a,3,x", "a,nan,man"])
    def test_damaged_ones_are_named(self, tmp_path: Path, line: str) -> None:
        (tmp_path / "traits.csv").write_text(f"photo,age,sex\n{line}\n")
        with pytest.raises(AssetError, match=r"traits\.csv"):
            read_traits(tmp_path / "traits.csv")

    def test_weights_get_them_once(self, tmp_path: Path) -> None:
        card = Card.of(load_head(), backbone="mobilenet_v3_large", recipe=f"r; {told_traits._MARK} 3 portraits")
        checkpoint = replace(random_checkpoint(3, card), shape_encoder=ShapeEncoder(card.sizes.shape))
        with pytest.raises(AssetError, match="heeds age and sex"):
            with_traits(checkpoint, tmp_path, tmp_path / "traits.csv")

    def test_a_newer_shape_encoder_can_have_them_again(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Weights that others were begun with are in the recipe, too."""

        def readings(path: Path) -> dict[str, dict[str, float]]:
            raise AssetError("they are asked for", str(path))

        monkeypatch.setattr(told_traits, "read_traits", readings)
        recipe = f"before that: r; {told_traits._MARK} 3 portraits; another shape encoder"
        checkpoint = random_checkpoint(3, Card.of(load_head(), backbone="mobilenet_v3_large", recipe=recipe))
        checkpoint = replace(checkpoint, shape_encoder=ShapeEncoder(checkpoint.card.sizes.shape))
        with pytest.raises(AssetError, match="they are asked for"):
            with_traits(checkpoint, tmp_path, tmp_path / "traits.csv")

    def test_the_built_in_weights_have_them(self) -> None:
        assert told_traits._MARK in load_checkpoint(asset("weights/openhead.safetensors")).card.recipe
