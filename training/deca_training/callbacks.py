"""What a run writes beside its numbers: picture grids, and a summary at the end."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image

from deca.files import write_file
from deca_training.batch import Batch
from deca_training.stages.base import StageModule

_ROWS = 6


class PictureGrids(Callback):
    """Every so many steps, what the networks make of the same photos of the validation split.

    Args:
        folder: Gets `step_000100.png`, ...; TensorBoard gets them too.
        every: Steps between grids.
    """

    def __init__(self, folder: Path, every: int) -> None:
        self.folder, self.every = folder, every
        self._batch: Batch | None = None
        self._done = -1

    def on_validation_batch_start(
        self, trainer: lightning.Trainer, stage: lightning.LightningModule, batch: Batch, index: int, *_: Any
    ) -> None:
        if index == 0 and trainer.is_global_zero:
            self._batch = batch

    def on_validation_end(self, trainer: lightning.Trainer, stage: lightning.LightningModule) -> None:
        due = trainer.global_step // self.every
        if due <= self._done and trainer.global_step < self._stage(stage).recipe.steps:
            return
        if self._batch is None or not trainer.is_global_zero:
            return
        self._done = due
        grid_HW3 = self._stage(stage).picture_grid(self._batch.first(_ROWS))
        self.folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(grid_HW3).save(self.folder / f"step_{trainer.global_step:06d}.png")
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image("pictures", np.asarray(grid_HW3), trainer.global_step, dataformats="HWC")

    @staticmethod
    def _stage(stage: lightning.LightningModule) -> StageModule:
        assert isinstance(stage, StageModule)
        return stage


class RunSummary(Callback):
    """Writes how fast a run was, what memory it took, and its last validation.

    Args:
        path: A JSON file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._started = self._first = 0.0
        self._first_step = 0
        self._waited = 0.0
        self._ended = 0.0
        self._validated = 0.0

    def on_train_batch_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        now = time.perf_counter()
        if not self._started:  # the first batch waits for the loader's processes to start
            self._started, self._first_step = now, trainer.global_step
        elif self._ended:
            self._waited += now - self._ended

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        self._ended = time.perf_counter()

    def on_validation_start(self, *_: Any) -> None:
        self._validation_started = time.perf_counter()

    def on_validation_end(self, *_: Any) -> None:
        now = time.perf_counter()
        self._validated += now - self._validation_started
        self._ended = now

    def on_train_end(self, trainer: lightning.Trainer, stage: lightning.LightningModule) -> None:
        if not trainer.is_global_zero or not self._started:
            return
        assert isinstance(stage, StageModule)
        seconds = time.perf_counter() - self._started - self._validated
        steps = trainer.global_step - self._first_step
        metrics = {key: float(value) for key, value in trainer.callback_metrics.items()}
        summary = {
            "steps": trainer.global_step,
            "seconds": round(seconds, 1),
            "seconds_validation": round(self._validated, 1),
            "photos_per_second": round(steps * stage.recipe.batch_size / max(seconds, 1e-9), 2),
            "share_waiting_for_data": round(self._waited / max(seconds, 1e-9), 4),
            "peak_memory_mb": peak_memory_mb(),
            "validation": {key: value for key, value in metrics.items() if key.startswith("validation/")},
        }
        write_file(self.path, json.dumps(summary, indent=2).encode())


def peak_memory_mb() -> int | None:
    """The GPU's peak where there is one, else this process's; None where the system does not tell (Windows)."""
    if torch.cuda.is_available():
        return round(torch.cuda.max_memory_allocated() / 2**20)
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / 2**20 if sys.platform == "darwin" else peak / 2**10)
