"""What the trainer asks of what it trains."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import nn


class TrainedModel(nn.Module):
    """Networks with fresh weights, and the frozen parts around them.

    Attributes:
        network_names: Of the networks, which checkpoints hold.
    """

    network_names: tuple[str, ...]

    def trained_networks(self) -> Iterable[nn.Module]:
        """The networks that the recipe's stage trains."""
        raise NotImplementedError

    def slow_parameters(self) -> Iterable[nn.Parameter]:
        """Parameters that learn at `Recipe.final_rate` times the rate."""
        return ()

    def states_of(self, weights: Path) -> Mapping[str, Mapping[str, Any]]:
        """The states of the networks, by name, that a weights file gives to begin with.

        Raises:
            AssetError: The file is missing or damaged, or belongs to another model.
        """
        raise NotImplementedError
