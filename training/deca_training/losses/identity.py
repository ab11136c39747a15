"""Identity loss (DECA, Eq. 7)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from deca_training.losses.reduction import in_full_precision


def identity_loss(embedding_BD: Tensor, other_BD: Tensor) -> Tensor:
    """1 - the cosine between face recognition embeddings of any length; mean over the batch, 0..2."""
    return (1 - functional.cosine_similarity(*in_full_precision(embedding_BD, other_BD), dim=-1)).mean()
