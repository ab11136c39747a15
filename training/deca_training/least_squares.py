"""E_d by least squares: what a linear map can tell of the detail code from the features of its backbone.

Beside an F_d that knows nothing, or from codes that a photo hardly shows, gradient descent silences E_d's hidden units
before it learns anything. This start cannot fail, and keeps only what holds for people it has not seen.

Shape suffixes: N photos, F features, D detail code.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from deca.networks import DetailEncoder
from deca.networks.skin import SkinBackbone
from deca.vision.landmarks import LandmarkNet
from deca_training.data.dataset import pictures
from deca_training.data.synthetic import SyntheticSubjects
from deca_training.data.synthetic.codes import subject_codes
from deca_training.data.synthetic.seen import found_landmarks

_RIDGE = 3e-4
"""Of features of variance 1, per photo and feature."""
_SMALL = 1e-3
"""Features that vary less are nobody's."""
_HELD_OUT, _KNOWN = 10, 0.05
"""Every tenth person decides which components are kept: those of which this share of the variance is explained."""


@torch.no_grad()
def fit_detail_encoder(
    encoder: DetailEncoder, subjects: SyntheticSubjects, length: int, *, progress: bool = False
) -> list[float]:
    """Sets E_d's two layers so that they answer the estimate.

    Args:
        encoder: E_d, whose backbone stays, but for the statistics of a `SkinBackbone`.
        subjects: Synthetic people.
        length: Of the detail code.
        progress: Show a progress bar.

    Returns:
        The share of each component's variance (D,) that is explained for people held out; 0 for those left out.
    """
    encoder.eval()
    codes, network = subject_codes(subjects, length), LandmarkNet().eval()
    features, targets, is_held_out = [], [], []
    for number, subject in enumerate(tqdm(subjects, unit="subject", disable=not progress)):
        landmarks_KL3 = torch.from_numpy(found_landmarks(subject, network)) if encoder.reads_landmarks else None
        features.append(encoder.features(pictures(list(subject.image_KHW3)), landmarks_KL3).double().numpy())
        targets.append(np.tile(codes[subject.name], (len(subject), 1)))
        is_held_out += [number % _HELD_OUT == 0] * len(subject)
    features_NF = np.concatenate(features)
    if isinstance(encoder.encoder, SkinBackbone):
        features_NF = _standardised(encoder.encoder, features_NF)
    weight_FD, bias_D, explained_D = ridge(features_NF, np.concatenate(targets), np.array(is_held_out))
    hidden, last = encoder.layers[0], encoder.layers[-1]
    assert isinstance(hidden, nn.Linear) and isinstance(last, nn.Linear)
    # A ReLU passes a number and its opposite; their difference is the number.
    both = torch.from_numpy(np.concatenate((weight_FD, -weight_FD), 1).T).float()
    hidden.weight[: 2 * length] = both
    hidden.bias[: 2 * length] = 0
    last.weight.zero_()
    last.weight[:, :length] = torch.eye(length)
    last.weight[:, length : 2 * length] = -torch.eye(length)
    last.bias[:] = torch.from_numpy(bias_D).float()
    return explained_D.tolist()


def _standardised(backbone: SkinBackbone, features_NF: NDArray[np.float64]) -> NDArray[np.float64]:
    """The features with the backbone's statistics, which are set to theirs."""
    raw_NF = features_NF * backbone.spread_F.double().numpy() + backbone.usual_F.double().numpy()
    # What a file in half precision holds.
    backbone.usual_F.copy_(torch.from_numpy(raw_NF.mean(0)).half())
    backbone.spread_F.copy_(torch.from_numpy(raw_NF.std(0) + _SMALL).half())
    return (raw_NF - backbone.usual_F.double().numpy()) / backbone.spread_F.double().numpy()


def ridge(
    features_NF: NDArray[np.float64], codes_ND: NDArray[np.floating], is_held_out_N: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Weights (F, D) and bias (D,) of the linear estimate, and what it explains (D,); components left out are 0."""
    used_N = ~is_held_out_N
    mean_F, spread_F = features_NF[used_N].mean(0), features_NF[used_N].std(0) + 1e-6
    unit_NF, mean_D = (features_NF - mean_F) / spread_F, codes_ND[used_N].mean(0)
    fitted_NF = unit_NF[used_N]
    square_FF = fitted_NF.T @ fitted_NF / len(fitted_NF) + _RIDGE * len(mean_F) * np.eye(len(mean_F))
    weight_FD = np.linalg.solve(square_FF, fitted_NF.T @ (codes_ND[used_N] - mean_D) / len(fitted_NF))
    error_ND = unit_NF[is_held_out_N] @ weight_FD + mean_D - codes_ND[is_held_out_N]
    spread_D = np.square(codes_ND[is_held_out_N] - mean_D).sum(0)
    explained_D = 1 - np.square(error_ND).sum(0) / np.maximum(spread_D, 1e-12)
    kept_D = (explained_D > _KNOWN).astype(np.float64)
    weight_FD = weight_FD / spread_F[:, None] * kept_D
    return weight_FD, kept_D * mean_D - mean_F @ weight_FD, np.where(kept_D > 0, explained_D, 0.0)
