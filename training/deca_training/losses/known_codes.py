"""How far the encoder is from codes that are known: of synthetic people, or of heads that were fitted to photos.

Shape suffixes: B photos; the dataclasses' fields are those of `deca.networks.Codes`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from deca.networks import Codes
from deca_training.losses.reduction import in_full_precision

_SPREADS = {
    "shape_BS": 1.0,
    "albedo_BA": 1.0,
    "expression_BE": 0.5,
    "global_pose_B3": 0.2,
    "jaw_pose_B3": 0.1,
    "camera_B3": 0.05,
    "light_B93": 0.5,
}
"""By how much codes differ between photos, about: errors count in these. The camera's scale is some 10, its shift some
hundredths of a metre, and so counts little here; landmarks teach it."""


def known_codes_loss(codes: Codes, known: Codes) -> Tensor:
    """Squared errors in spreads, capped where they are outliers (Huber), mean over each code and over the codes.

    Args:
        codes: E's; codes of more entries than are known are compared on the leading ones.
        known: What they should be.
    """
    terms = []
    for name, spread in _SPREADS.items():
        found, wanted = in_full_precision(getattr(codes, name), getattr(known, name))
        length = min(found.shape[1], wanted.shape[1])
        off = (found[:, :length] - wanted[:, :length]) / spread
        terms.append(torch.nn.functional.huber_loss(off, torch.zeros_like(off)))
    return torch.stack(terms).mean()
