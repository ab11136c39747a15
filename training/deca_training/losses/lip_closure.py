"""Lip closure loss: as the eye closure loss (DECA, Eq. 6), for the lips. DECA's release has it, its paper has not."""

from __future__ import annotations

import torch

from deca_training.losses.closure import closure_loss, mediapipe_pairs

PAIRS_68 = torch.tensor([(61, 67), (62, 66), (63, 65)])
"""iBUG landmarks of the upper and the lower lip's inner edge, one above the other."""

PAIRS_478 = mediapipe_pairs(PAIRS_68)
"""The same of MediaPipe's landmarks."""

lip_closure_loss = closure_loss
"""`closure_loss` of the lips."""
