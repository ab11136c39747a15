"""E_d by least squares: known linear maps, noise, and the encoder that answers as the estimate says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from deca.head import load_head
from deca.networks import CodeSizes, DetailEncoder
from deca.networks.encoders import SKIN
from deca.vision.landmarks import LandmarkNet
from deca_training.closed_form.least_squares import Estimate, _set_layers, fit_detail_encoder, ridge
from deca_training.data.dataset import pictures
from deca_training.data.synthetic import SyntheticSubjects
from deca_training.data.synthetic.codes import subject_codes
from deca_training.data.synthetic.generate import generate
from deca_training.data.synthetic.seen import found_landmarks
from deca_training.pretrained import start_backbone


def test_what_can_be_known_is_kept_and_noise_left_out() -> None:
    rng = np.random.default_rng(0)
    features_NF = rng.normal(3, 2, (4000, 6))
    known_N = features_NF @ (0.2, 0, -0.1, 0, 0, 0.3) + 5
    codes_ND = np.stack((known_N, rng.normal(size=4000)), 1)
    weight_FD, bias_D, low_D, high_D, explained_D = ridge(features_NF, codes_ND, np.arange(4000) % 10 == 0)
    assert (low_D, high_D) == (pytest.approx(codes_ND.min(0), abs=0.5), pytest.approx(codes_ND.max(0), abs=0.5))
    made_N = features_NF @ weight_FD[:, 0] + bias_D[0]
    assert np.corrcoef(made_N, known_N)[0, 1] > 0.999 and made_N.mean() == pytest.approx(known_N.mean(), abs=0.05)
    assert explained_D[0] > 0.9 and explained_D[1] == 0
    assert not weight_FD[:, 1].any() and bias_D[1] == 0


@pytest.mark.parametrize("backbone", ["face_mesh", SKIN])
def test_the_encoder_answers_the_estimate(backbone: str, tmp_path: Path) -> None:
    """Whatever the estimate is: E_d's answers explain what the returned shares say, on the people that it held out."""
    generate(tmp_path, subjects=12, images=2)
    subjects = SyntheticSubjects(tmp_path)
    sizes = CodeSizes(detail=8)
    encoder = DetailEncoder(backbone, sizes)
    start_backbone(encoder.encoder, load_head())
    network = LandmarkNet().eval()
    explained = fit_detail_encoder(encoder, subjects, 8)
    codes = subject_codes(subjects, 8)
    used = [number for number in range(12) if number % 10]
    mean_D = np.repeat([codes[subjects[number].name] for number in used], 2, 0).mean(0)
    errors, spreads = np.zeros(8), np.zeros(8)
    with torch.no_grad():
        for number in (0, 10):
            subject = subjects[number]
            found_KL3 = torch.from_numpy(found_landmarks(subject, network))
            made_KD = encoder(pictures(list(subject.image_KHW3)), found_KL3).numpy()
            truth_D = codes[subject.name]
            errors += np.square(made_KD - truth_D).sum(0)
            spreads += 2 * np.square(truth_D - mean_D)
    kept = np.array(explained) > 0
    np.testing.assert_allclose((1 - errors / spreads)[kept], np.array(explained)[kept], atol=1e-2)
    assert encoder(torch.rand(1, 3, 224, 224), found_KL3[:1])[0, torch.from_numpy(~kept)].abs().max() == 0 or kept.all()


@torch.no_grad()
def test_answers_stay_within_the_limits() -> None:
    encoder = DetailEncoder("face_mesh", CodeSizes(detail=2))
    rng = np.random.default_rng(1)
    weight_FD = rng.normal(0, 0.1, (encoder.encoder.width, 2))
    low_D, high_D = np.array([-0.5, -1.0]), np.array([1.0, 0.25])
    _set_layers(encoder, Estimate(weight_FD, np.array([0.1, -0.2]), low_D, high_D, np.zeros(2)))
    features_NF = rng.normal(size=(200, encoder.encoder.width)) * rng.uniform(0, 1, (200, 1))
    expected_ND = np.clip(features_NF @ weight_FD + (0.1, -0.2), low_D, high_D)
    assert 20 < (expected_ND == low_D).sum() < 380
    made_ND = encoder.codes(torch.from_numpy(features_NF).float())
    np.testing.assert_allclose(made_ND, expected_ND, atol=1e-5)
