"""Which head may give its wrinkles or its expression to which, and the wrinkles between two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


class TransferError(Exception):
    """Why one head cannot take something from another."""


@dataclass(frozen=True)
class Origin:
    """What a head's codes belong to.

    Attributes:
        name: The head's name in the scene.
        model: Name of its head model.
        model_hash: Hash of the head model's file.
        weights_hash: Hash of the weights of its detail code.
        has_detail: Whether it has a detail code.
    """

    name: str
    model: str
    model_hash: str
    weights_hash: str = ""
    has_detail: bool = False


def check_expression(source: Origin, target: Origin) -> None:
    """Passes when the target understands the source's expression.

    Raises:
        TransferError: The heads are of different head models.
    """
    if source.model_hash == target.model_hash:
        return
    if source.model != target.model:
        what = f"{target.name} is of the head model {target.model}, {source.name} of {source.model}"
    else:
        what = f"{target.name} and {source.name} are of different versions of the head model {source.model}"
    raise TransferError(f"{what}. Import both photos with the same head model.")


def check_wrinkles(source: Origin, target: Origin) -> None:
    """Passes when the target can wear the source's detail code.

    Raises:
        TransferError: The heads are of different head models, one has no detail code, or the codes belong to different
            weights.
    """
    check_expression(source, target)
    for head in (source, target):
        if not head.has_detail:
            raise TransferError(f"{head.name} has no wrinkles of its own. Import its photo with weights for wrinkles.")
    if source.weights_hash != target.weights_hash:
        raise TransferError(
            f"The wrinkles of {target.name} and {source.name} were made with different weights."
            " Import both photos with the same weights."
        )


def blend_detail(own_D: ArrayLike, other_D: ArrayLike, amount: float) -> NDArray[np.float32]:
    """The detail code between two; exactly the one or the other at both ends.

    Args:
        own_D: Code at amount 0.
        other_D: Code at amount 1.
        amount: 0..1; what lies beyond is clamped.

    Raises:
        ValueError: The codes differ in length.
    """
    own, other = np.asarray(own_D, np.float64), np.asarray(other_D, np.float64)
    if own.shape != other.shape:
        raise ValueError(f"Detail codes of {len(own)} and {len(other)} numbers do not mix.")
    share = min(max(amount, 0.0), 1.0)
    return ((1 - share) * own + share * other).astype(np.float32)


def blend_reliefs(own: Mapping[bytes, float], other: Mapping[bytes, float], amount: float) -> dict[bytes, float]:
    """Shares of the reliefs between those of two heads; none that is zero.

    Args:
        own: Share of each relief at amount 0, by its bytes.
        other: Likewise at amount 1.
        amount: 0..1; what lies beyond is clamped.
    """
    share = min(max(amount, 0.0), 1.0)
    mixed = {key: (1 - share) * own.get(key, 0.0) + share * other.get(key, 0.0) for key in {**own, **other}}
    return {key: value for key, value in mixed.items() if value > 0}
