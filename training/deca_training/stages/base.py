"""What all stages share: weighted losses, the optimiser, logs, and the guard against numbers that are none.

Shape suffixes: B photos of a batch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor

from deca.errors import DecaError
from deca.files import write_file
from deca_training.batch import Batch
from deca_training.config import Recipe
from deca_training.losses.exchange import exchange_within_subjects
from deca_training.trained_model import TrainedModel

Terms = dict[str, Tensor]
"""Losses by the name of their factor in `LossWeights`, before it."""


class DivergedError(DecaError):
    """Training came to numbers that are infinite or none."""


class StageModule(lightning.LightningModule):
    """A stage: subclasses give the loss terms of a batch.

    Args:
        recipe: The stage's recipe.
        model: Its networks, and the frozen parts around them.
    """

    def __init__(self, recipe: Recipe, model: TrainedModel) -> None:
        super().__init__()
        self.recipe = recipe
        self.weights = vars(recipe.losses)
        self.model = model
        self.model.requires_grad_(False)
        for network in self.model.trained_networks():
            network.requires_grad_(True)
        self.strict_loading = False  # the state leaves out what does not learn (`state_dict`)
        self.feature_networks: tuple[str, ...] = ()
        """Names of the networks that losses compare pictures by, for the card."""
        self._batch: Batch | None = None
        self.train()  # a run goes on in the modes that it finds

    def terms(self, batch: Batch, order_B: Tensor | None) -> tuple[Terms, Terms]:
        """Loss terms and further numbers of a batch.

        Args:
            batch: The photos.
            order_B: Whose code each photo takes in the consistency losses; None: its own, hence no such losses.
        """
        raise NotImplementedError

    def picture_grid(self, batch: Batch) -> NDArray[np.uint8]:
        """What the networks make of photos, one row each, (G, G, 3)."""
        raise NotImplementedError

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum (DECA, Eqs. 4 and 12)."""
        return torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()

    def train(self, mode: bool = True) -> StageModule:
        """As ever, but what is frozen keeps its statistics too."""
        super().train(mode)
        for child in self.children():
            child.eval()
        for network in self.model.trained_networks():
            network.train(mode)
        return self

    def state_dict(self, *args: Any, **options: Any) -> dict[str, Any]:
        """The model's networks; the networks of the losses have files of their own."""
        state = super().state_dict(*args, **options)
        wanted = tuple(f"model.{name}." for name in self.model.network_names)
        return {key: value for key, value in state.items() if key.startswith(wanted)}

    def training_step(self, batch: Batch, index: int) -> Tensor:
        self._batch = batch
        terms, numbers = self.terms(batch, self._exchanged(batch))
        loss = self.total(terms)
        if not torch.isfinite(loss):
            values = ", ".join(f"{name} {value.item():.3g}" for name, value in terms.items())
            self._give_up(f"The loss is {loss.item()} ({values}).")
        self._log("train", {"loss": loss.detach(), **terms, **numbers}, batch)
        return loss

    def validation_step(self, batch: Batch, index: int) -> None:
        terms, numbers = self.terms(batch, None)
        self._log("validation", {"loss": self.total(terms), **terms, **numbers}, batch)

    def configure_optimizers(self) -> dict[str, object]:
        recipe = self.recipe
        slow = set(self.model.slow_parameters())
        parameters = [parameter for network in self.model.trained_networks() for parameter in network.parameters()]
        groups = [
            {"params": [parameter for parameter in parameters if parameter not in slow], "lr": recipe.learning_rate},
            {"params": [parameter for parameter in parameters if parameter in slow],
             "lr": recipe.learning_rate * recipe.final_rate},
        ]  # fmt: skip
        optimizer = torch.optim.Adam([group for group in groups if group["params"]])

        def factor(step: int) -> float:
            warm = min(1.0, (step + 1) / max(recipe.warmup_steps, 1))
            return warm * (0.5 + 0.5 * math.cos(math.pi * min(step / recipe.steps, 1)) if recipe.decay else 1.0)

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["recipe"] = self.recipe.to_json()
        checkpoint["features"] = self.feature_networks

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        gradients = [
            parameter.grad
            for network in self.model.trained_networks()
            for parameter in network.parameters()
            if parameter.grad is not None
        ]
        norm = torch.nn.utils.get_total_norm(gradients)
        # In 16-bit precision the scaler expects infinite gradients now and then, and skips their step.
        if not torch.isfinite(norm) and self.recipe.precision != "16-mixed":
            self._give_up(f"The norm of the gradients is {float(norm)}.")
        self.log("train/gradient_norm", norm)

    def _exchanged(self, batch: Batch) -> Tensor | None:
        if not (self.recipe.shape_consistency or self.recipe.detail_consistency):
            return None
        images, processes = batch.images_per_subject, self.trainer.world_size
        generator = torch.Generator().manual_seed(hash((self.recipe.seed, self.global_step)) % 2**63)
        # Drawn for the photos of all processes, so that their number does not matter.
        rows_N = torch.arange(len(batch) * processes)
        order_SK = exchange_within_subjects(rows_N[:, None], images, generator).view(-1, images)
        own_SK = rows_N.view(-1, images)[self.global_rank :: processes]
        order_B = order_SK[self.global_rank :: processes] - own_SK[:, :1] + images * torch.arange(len(own_SK))[:, None]
        return order_B.flatten().to(batch.image_B3HW.device)

    def _log(self, kind: str, values: Mapping[str, Tensor], batch: Batch) -> None:
        named = {f"{kind}/{name}": value.detach() for name, value in values.items()}
        self.log_dict(named, batch_size=len(batch), sync_dist=self.trainer.world_size > 1)

    def _give_up(self, what: str) -> None:
        """Stops, with the batch saved so that it can be looked at."""
        saved = ""
        if self._batch is not None:
            path = Path(self.trainer.default_root_dir) / f"bad_batch_{self.global_rank}.safetensors"
            tensors = {key: value for key, value in vars(self._batch).items() if isinstance(value, Tensor)}
            names = "\n".join(self._batch.names)
            write_file(
                path, save({key: value.detach().cpu().contiguous() for key, value in tensors.items()}, {"names": names})
            )
            saved = f" The batch is in {path}."
        raise DivergedError(
            f"Training stopped at step {self.global_step}: {what}{saved}",
            "Look at the batch; resume from the last checkpoint with a lower learning rate or gradient clip.",
        )
