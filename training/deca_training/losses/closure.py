"""How far pairs of landmarks are apart, whatever their place (DECA, Eq. 6): lids and lips.

Shape suffixes: B batch, L landmarks, P pairs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from deca_training.losses.mediapipe import mediapipe_of
from deca_training.losses.reduction import in_full_precision, weighted_mean

if TYPE_CHECKING:
    from deca_training.config import Form


def closure_loss(
    predicted_BL2: Tensor, target_BL2: Tensor, pairs_P2: Tensor, form: Form, weights_BL: Tensor | None = None
) -> Tensor:
    """Compares the offsets within pairs of landmarks; mean over pairs and batch.

    Args:
        predicted_BL2: Projected landmarks, picture coordinates.
        target_BL2: Detected landmarks, likewise.
        pairs_P2: Indices of the upper and the lower landmark of each pair.
        form: "paper", Eq. 6: L1 norm of the difference of the offsets. "release": difference of their lengths.
        weights_BL: Weights of the landmarks, a pair's is their product; all 1 when None.
    """
    if weights_BL is None:
        weights_BL = torch.ones_like(predicted_BL2[..., 0])
    predicted_BL2, target_BL2, weights_BL = in_full_precision(predicted_BL2, target_BL2, weights_BL)
    upper_P, lower_P = pairs_P2.to(predicted_BL2.device).unbind(1)
    weights_BP = weights_BL[:, upper_P] * weights_BL[:, lower_P]
    is_known_BP1 = weights_BP[..., None] > 0
    predicted_BP2, target_BP2 = (
        torch.where(is_known_BP1, places_BL2[:, upper_P] - places_BL2[:, lower_P], 0)
        for places_BL2 in (predicted_BL2, target_BL2)
    )
    if form == "paper":
        return weighted_mean((predicted_BP2 - target_BP2).abs().sum(-1), weights_BP)
    lengths = (torch.linalg.vector_norm(offset_BP2, dim=-1) for offset_BP2 in (predicted_BP2, target_BP2))
    return weighted_mean(torch.sub(*lengths).abs(), weights_BP)


def mediapipe_pairs(pairs_P2: Tensor) -> Tensor:
    """The same pairs as indices of MediaPipe's landmarks."""
    return torch.from_numpy(mediapipe_of(pairs_P2.numpy()))
