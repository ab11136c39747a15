"""Eye closure loss (DECA, Eq. 6)."""

from __future__ import annotations

import torch

from deca_training.losses.closure import closure_loss, mediapipe_pairs

PAIRS_68 = torch.tensor([(37, 41), (38, 40), (43, 47), (44, 46)])
"""iBUG landmarks of the upper and the lower lid, one above the other."""

PAIRS_478 = mediapipe_pairs(PAIRS_68)
"""The same of MediaPipe's landmarks."""

eye_closure_loss = closure_loss
"""`closure_loss` of the lids."""
