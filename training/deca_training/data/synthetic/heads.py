"""Heads beyond a linear model's leading coefficients, as a space of their own: what D_S is first taught to draw.

Shape suffixes: B heads, S shape coefficients, K components, V vertices, X = 3 V.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from deca.head import HeadModel
from deca_training.data.synthetic.generate import AGES, Generator

_HEADS_SEED = 7_000_000
"""No other synthetic people have these seeds."""


class BeyondLinear(nn.Module):
    """Principal components of what random heads have beyond the leading shape coefficients, at the vertices that D_S
    moves.

    Args:
        head: The head model.
        leading: Shape coefficients of the linear part.
        components: How many components at most.
        share_V1: How far D_S moves each vertex, 0..1.
        heads: Random heads that they are of.
        outside: Of `Generator`, millimetres.
    """

    basis_KX: Tensor
    dual_XK: Tensor

    def __init__(
        self, head: HeadModel, leading: int, components: int, share_V1: Tensor, heads: int, outside: float
    ) -> None:
        super().__init__()
        self.leading, self.components = leading, components
        generator = Generator(outside=outside)
        rests = []
        for number in range(heads):
            rng = np.random.default_rng((_HEADS_SEED, number))
            shape_S = generator.shape(rng.uniform(*AGES), generator.sex(rng), rng)
            beyond_V3 = head.shape_dirs_V3S[..., leading:] @ shape_S[leading:] + generator.offset(rng)
            rests.append(torch.from_numpy(beyond_V3.astype(np.float32)) * share_V1)
        # The space has no mean: neither coefficients nor offsets have one.
        rest_BX = torch.stack(rests).flatten(1)
        vectors_BB = torch.linalg.eigh((rest_BX @ rest_BX.T).double()).eigenvectors
        count = min(components, heads)
        kept_BK = vectors_BB[:, -count:].flip(1).float()
        basis_KX = kept_BK.T @ rest_BX / heads**0.5  # a component at a code of one deviation
        self.register_buffer("basis_KX", basis_KX, persistent=False)
        # Components are at right angles: their scores are inner products.
        dual_XK = (basis_KX / basis_KX.square().sum(1, keepdim=True).clamp(min=1e-20)).T
        self.register_buffer("dual_XK", dual_XK.contiguous(), persistent=False)

    def codes(self, beyond_BV3: Tensor) -> Tensor:
        """Codes (B, K), about N(0, I), of what heads have beyond the linear part, metres; zero where there are fewer
        components."""
        found_BK = beyond_BV3.flatten(1) @ self.dual_XK
        return torch.nn.functional.pad(found_BK, (0, self.components - found_BK.shape[1]))

    def offsets(self, code_BK: Tensor) -> Tensor:
        """What codes stand for at the vertices (B, V, 3), metres."""
        return (code_BK[:, : len(self.basis_KX)] @ self.basis_KX).view(len(code_BK), -1, 3)
