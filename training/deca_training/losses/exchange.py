"""Exchange of codes between photos of the same person (DECA, Eqs. 8 and 15).

Shape and detail codes of a person must fit all photos of that person. So the consistency losses are the usual losses
once more, with each photo's code taken from another photo.

Shape suffixes: B photos = S subjects times K photos, N code.
"""

from __future__ import annotations

import torch
from torch import Tensor

from deca.errors import OptionError


def exchange_within_subjects(codes_BN: Tensor, images_per_subject: int, generator: torch.Generator) -> Tensor:
    """Codes (B, N) of any type, each in the row of another photo of the same subject; differentiable.

    A subject's photos pass their codes on in a ring of random order, so that every code is used once and, with two or
    more photos, none stays. With one photo per subject there is nothing to exchange.

    Args:
        codes_BN: Rows of one subject after the other.
        images_per_subject: K.
        generator: Random numbers, on the CPU.

    Raises:
        OptionError: The rows are not full sets of K.
    """
    batch, images = len(codes_BN), images_per_subject
    if images < 1 or batch % images:
        raise OptionError(f"{batch} photos cannot be shared out to subjects with {images} photos each.")
    ring_SK = torch.rand(batch // images, images, generator=generator).argsort(1)
    source_SK = torch.empty_like(ring_SK).scatter_(1, ring_SK, ring_SK.roll(1, 1))
    source_SK += images * torch.arange(len(source_SK))[:, None]
    return codes_BN[source_SK.flatten().to(codes_BN.device)]
