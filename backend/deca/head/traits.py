"""What is known of a person before any photo, and how it shows in the shape: age and sex as directions of a head model.

Over the population of a head model shape codes are N(0, I), traits are not correlated with each other, and C holds
their covariances with the shape. So for a person whose standardised traits t are known

    E[beta | t] = C t,    Cov[beta | t] = I - C C^T.

Shape suffixes: S shape coefficients, T traits, V vertices.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Trait:
    """One trait of the people of a head model.

    Attributes:
        name: `age` or `sex`.
        unit: What its values mean (years; -1 women, +1 men).
        mean, deviation: Of the population, in that unit.
        code_S: Mean shape code of people who are one deviation above the mean.
    """

    name: str
    unit: str
    mean: float
    deviation: float
    code_S: NDArray[np.float32]

    def direction(self, shape_dirs_V3S: NDArray[np.float32]) -> NDArray[np.float32]:
        """How the mean person's neutral head changes per unit of the trait: (V, 3) metres."""
        return shape_dirs_V3S @ (self.code_S / np.float32(self.deviation))


def shape_given(
    traits: Sequence[Trait], values: Mapping[str, float], noise_S: NDArray[np.floating]
) -> NDArray[np.float32]:
    """The shape code (S,) of one of the people who have the given traits.

    Args:
        traits: Of a head model.
        values: Some of them by name, in their units; the others are the person's own.
        noise_S: Draws from N(0, 1): who of these people it is.
    """
    known = [trait for trait in traits if trait.name in values]
    codes_ST = np.array([trait.code_S for trait in known], np.float64).reshape(-1, len(noise_S)).T
    standard_T = np.array([(values[trait.name] - trait.mean) / trait.deviation for trait in known])
    axes_ST, sizes_T, _ = np.linalg.svd(codes_ST, full_matrices=False)
    # The root of I - C C^T shrinks what lies along C's axes, and only that.
    shrink_T = 1 - np.sqrt(1 - sizes_T**2)
    return (codes_ST @ standard_T + noise_S - axes_ST @ (shrink_T * (axes_ST.T @ noise_S))).astype(np.float32)


def traits_of(codes_ST: NDArray[np.floating] | None, metadata: Mapping[str, str], num_shape: int) -> tuple[Trait, ...]:
    """The traits in a head model's file (docs/architecture.md); none where it has no codes of them.

    Raises:
        ValueError: Codes and description do not fit together, or say more of the shape than there is to say.
    """
    if codes_ST is None:
        return ()
    described = json.loads(metadata.get("traits", "[]"))
    if codes_ST.shape != (num_shape, len(described)):
        raise ValueError(f"trait_codes are {codes_ST.shape} for {num_shape} shape codes and {len(described)} traits")
    if len(described) and np.linalg.norm(codes_ST, 2) > 1:
        raise ValueError("trait_codes are longer than the spread of the shape codes allows")
    return tuple(
        Trait(str(trait["name"]), str(trait["unit"]), float(trait["mean"]), float(trait["deviation"]), code_S)
        for trait, code_S in zip(described, codes_ST.T.astype(np.float32), strict=True)
    )
