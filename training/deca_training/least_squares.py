"""E_d by least squares: what a linear map can tell of the detail code from the features of the backbone it starts from.

Beside an F_d that knows nothing, or from codes that a photo hardly shows, gradient descent silences E_d's hidden units
before it learns anything. This start cannot fail, and keeps only what holds for people it has not seen.

Shape suffixes: N photos, F features, D detail code.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from deca.networks import DetailEncoder
from deca_training.data.dataset import pictures
from deca_training.data.synthetic import SyntheticSubjects
from deca_training.data.synthetic.codes import subject_codes

_RIDGE = 0.3
"""Of features of variance 1, per photo."""
_HELD_OUT, _KNOWN = 10, 0.05
"""Every tenth person decides which components are kept: those of which this share of the variance is explained."""


@torch.no_grad()
def fit_detail_encoder(encoder: DetailEncoder, subjects: SyntheticSubjects, length: int) -> list[float]:
    """Sets E_d's two layers so that they answer the estimate.

    Args:
        encoder: E_d, whose backbone stays.
        subjects: Synthetic people.
        length: Of the detail code.

    Returns:
        The share of each component's variance (D,) that is explained for people held out; 0 for those left out.
    """
    encoder.eval()
    codes = subject_codes(subjects, length)
    features, targets, is_held_out = [], [], []
    for number, subject in enumerate(subjects):
        features.append(encoder.encoder(pictures(list(subject.image_KHW3))).double().numpy())
        targets.append(np.tile(codes[subject.name], (len(subject), 1)))
        is_held_out += [number % _HELD_OUT == 0] * len(subject)
    weight_FD, bias_D, explained_D = ridge(np.concatenate(features), np.concatenate(targets), np.array(is_held_out))
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


def ridge(
    features_NF: NDArray[np.float64], codes_ND: NDArray[np.floating], is_held_out_N: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Weights (F, D) and bias (D,) of the linear estimate, and what it explains (D,); components left out are 0."""
    used_N = ~is_held_out_N
    mean_F, spread_F = features_NF[used_N].mean(0), features_NF[used_N].std(0) + 1e-6
    unit_NF, mean_D = (features_NF - mean_F) / spread_F, codes_ND[used_N].mean(0)
    fitted_NF = unit_NF[used_N]
    square_FF = fitted_NF.T @ fitted_NF / len(fitted_NF) + _RIDGE * np.eye(len(mean_F))
    weight_FD = np.linalg.solve(square_FF, fitted_NF.T @ (codes_ND[used_N] - mean_D) / len(fitted_NF))
    error_ND = unit_NF[is_held_out_N] @ weight_FD + mean_D - codes_ND[is_held_out_N]
    spread_D = np.square(codes_ND[is_held_out_N] - mean_D).sum(0)
    explained_D = 1 - np.square(error_ND).sum(0) / np.maximum(spread_D, 1e-12)
    kept_D = (explained_D > _KNOWN).astype(np.float64)
    weight_FD = weight_FD / spread_F[:, None] * kept_D
    return weight_FD, kept_D * mean_D - mean_F @ weight_FD, np.where(kept_D > 0, explained_D, 0.0)
