"""Landmark re-projection loss (DECA, Eq. 5) and the weights of the landmarks.

Shape suffixes: B batch, L landmarks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from deca.errors import AssetError
from deca.head import HeadModel
from deca.reconstruct.noise import FACE_OVAL, IRIS
from deca_training.losses.mediapipe import LIPS, NOSE, mediapipe_of
from deca_training.losses.reduction import in_full_precision, known_difference, weighted_mean

if TYPE_CHECKING:
    from deca_training.config import Form

_UNSURE = 0.1
"""Weight of MediaPipe's outline, which follows the silhouette, and of the irises, which E_c cannot turn."""


def landmark_loss(predicted_BL2: Tensor, target_BL2: Tensor, weights_BL: Tensor) -> Tensor:
    """Distance of projected from detected landmarks (DECA, Eq. 5).

    Eq. 5 is a sum over landmarks; as in the release it is the weighted mean of |dx| and |dy| over the batch here, in
    both forms, so that its factor does not depend on how many landmarks there are.

    Args:
        predicted_BL2: Projected landmarks, picture coordinates.
        target_BL2: Detected landmarks, likewise.
        weights_BL: Weights, 0 where a landmark is not known.
    """
    predicted_BL2, target_BL2, weights_BL = in_full_precision(predicted_BL2, target_BL2, weights_BL)
    offset_BL2 = known_difference(predicted_BL2, target_BL2, weights_BL)
    return weighted_mean(offset_BL2.abs().mean(-1), weights_BL)


def weights_68(form: Form) -> Tensor:
    """Weights (68,) of the iBUG landmarks.

    Paper (Appendix A): corners of the mouth and tip of the nose 3, the other mouth and nose landmarks 1.5, all others
    1. Release: the wings of the nose (31, 35) too have 3, and 5, 6, 10, 11 of the jaw 2.
    """
    weights_L = torch.ones(68)
    weights_L[27:36] = 1.5
    weights_L[48:68] = 1.5
    weights_L[[30, 48, 54]] = 3
    if form == "release":
        weights_L[[31, 35]] = 3
        weights_L[[5, 6, 10, 11]] = 2
    return weights_L


def weights_478(head: HeadModel) -> Tensor:
    """Weights (478,) of MediaPipe's landmarks: those of `weights_68("paper")` for mouth and nose, 1 for the rest of the
    face, little for its outline and the irises, 0 where the head model does not say where the landmark is.

    Raises:
        AssetError: The head model has no such landmarks.
    """
    if head.landmarks_478 is None:
        raise AssetError(
            f"The head model {head.name} does not carry MediaPipe's landmarks.", "Train on the 68 landmarks instead."
        )
    weights_L = torch.ones(478)
    weights_L[[*LIPS, *NOSE]] = 1.5
    weights_L[mediapipe_of([30, 48, 54])] = 3
    weights_L[[*FACE_OVAL, *IRIS]] = _UNSURE
    weights_L[torch.from_numpy(head.landmarks_478.faces) < 0] = 0
    return weights_L
