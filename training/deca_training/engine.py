"""Runs a stage: batches, precision, processes, checkpoints, logs, and going on where a run was stopped.

A run's folder holds `recipe.json`, `last.ckpt` and `best.ckpt`, TensorBoard's events, `metrics/version_0/metrics.csv`
(one version each time the run is started), `pictures/` and, at the end, `summary.json`.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch.utils.data import DataLoader

from deca.devices import DeviceError, devices
from deca.errors import AssetError, OptionError
from deca.files import write_file
from deca_training.batch import Batch
from deca_training.batch_norm import share_statistics
from deca_training.callbacks import PictureGrids, RunSummary
from deca_training.config import Recipe
from deca_training.data.augment import Augmentation
from deca_training.data.loader import batch_loader
from deca_training.data.sources import Source, batches_of, load_source
from deca_training.data.synthetic.person import typical_relief
from deca_training.stages import CoarseStage, DetailStage, NonlinearStage, StageModule
from deca_training.trained_model import TrainedModel

_VALIDATION_SEED = 1


@dataclass(frozen=True)
class Hardware:
    """What a run may use.

    Attributes:
        accelerator: Lightning's: `auto`, `cpu`, `gpu`.
        devices: GPUs, or processes on a CPU, per node.
        nodes: Computers.
        workers: Loader processes per process.
    """

    accelerator: str = "auto"
    devices: int = 1
    nodes: int = 1
    workers: int = 2

    @property
    def processes(self) -> int:
        """Processes of the run."""
        return self.devices * self.nodes


class Photos(lightning.LightningDataModule):
    """Batches of the sources in turn: training goes on at the step that the trainer is at; validation is always the
    same, on the first source.
    """

    def __init__(self, recipe: Recipe, data: Sequence[Path], workers: int) -> None:
        super().__init__()
        self.recipe, self.workers = recipe, workers
        self.training: list[Source] = []
        self.validation: list[Source] = []
        for path in data:
            source = load_source(path)
            parts = source.split(recipe.validation_share, recipe.seed)
            for part, which, kept in zip(
                parts, ("training", "validation"), (self.training, self.validation), strict=True
            ):
                if not part.num_subjects:
                    raise OptionError(
                        f"{path} has {source.num_subjects} subjects, and the {which} part of them is empty.",
                        "Prepare photos of more people, or change validation_share.",
                    )
                kept.append(part)

    def train_dataloader(self) -> Iterable[Batch]:
        """Every batch of the run."""
        return _FromCurrentStep(self)

    def val_dataloader(self) -> Iterable[Batch]:
        """Photos as they are at inference."""
        batches = self.recipe.validation_batches
        return self.loader(self.validation[:1], Augmentation.none(), _VALIDATION_SEED, 0, batches)

    def loader(
        self, sources: Sequence[Source], augmentation: Augmentation, seed: int, first: int, end: int
    ) -> DataLoader[Batch]:
        """This process's share of the batches of steps first .. end - 1."""
        trainer = self.trainer
        process = (trainer.global_rank, trainer.world_size) if trainer is not None else (0, 1)
        batches = batches_of(sources, self.recipe, augmentation, seed, *process)
        return batch_loader(batches, first, end - first, self.workers)


class _FromCurrentStep:
    """The training batches: as many as the run has steps, but those that a resumed run has seen are not made again.

    Lightning counts them from the run's beginning.
    """

    def __init__(self, photos: Photos) -> None:
        self._photos = photos

    def __len__(self) -> int:
        return self._photos.recipe.steps

    def __iter__(self) -> Iterator[Batch]:
        photos, recipe = self._photos, self._photos.recipe
        assert photos.trainer is not None
        step = photos.trainer.global_step
        return iter(photos.loader(photos.training, recipe.augmentation, recipe.seed, step, recipe.steps))


def train(
    recipe: Recipe,
    data: Path | Sequence[Path],
    out: Path,
    *,
    start: Path | None = None,
    resume: bool = False,
    hardware: Hardware | None = None,
    progress: bool = True,
) -> StageModule:
    """Trains a stage.

    Args:
        recipe: What to do.
        data: A prepared index (`deca-train prepare`) or synthetic subjects (`deca-train synthetic`), or several.
        out: Folder of the run; new unless it is resumed.
        start: Checkpoint or weights file of the stage before.
        resume: Go on from the folder's last checkpoint, with the folder's recipe.
        hardware: What to use; one process by default.
        progress: Show a progress bar.

    Raises:
        OptionError: The folder is in use, or there is nothing to resume, or the batch does not divide, or the hardware
            is not there.
        AssetError: A file is missing, damaged, or of another recipe.
        DivergedError: The loss or its gradients were not finite.
    """
    hardware = hardware or Hardware()
    last = out / "last.ckpt"
    if resume and not last.is_file():
        raise OptionError(f"There is no checkpoint to resume in {out}.", "Name the folder of a run that was stopped.")
    if not resume and last.exists():
        raise OptionError(f"{out} holds a run already.", "Resume it with --resume, or give another folder.")
    if recipe.subjects_per_batch % hardware.processes:
        raise OptionError(
            f"{recipe.subjects_per_batch} subjects per batch cannot be shared by {hardware.processes} processes.",
            f"Set subjects_per_batch to a multiple of {hardware.processes}.",
        )
    _on_gpu(hardware)
    photos = Photos(recipe, [data] if isinstance(data, Path) else data, hardware.workers)
    stage = stage_of(recipe)
    if start is not None:
        load_networks(stage.model, start)
    # Written once all is known to be good; the processes of one run write the same.
    write_file(out / "recipe.json", recipe.to_json().encode())
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # it advertises otherwise
    with warnings.catch_warnings():
        # Lightning's doubts about what is meant to be so: the run's folder, frozen networks, a loader of our own.
        for words in (
            "LeafSpec",
            "exists and is not empty",
            "in eval mode at the start",
            "not resumable",
            "many workers",
        ):
            warnings.filterwarnings("ignore", message=f".*{words}.*")
        trainer = _trainer(recipe, out, stage, hardware, progress)
        trainer.fit(stage, photos, ckpt_path=str(last) if resume else None, weights_only=True)
        trainer.save_checkpoint(last)  # validations save it, and there may be steps after the last of them
    return stage


def stage_of(recipe: Recipe) -> StageModule:
    """The stage of a recipe, with fresh weights."""
    if recipe.stage in ("nonlinear_pretrain", "nonlinear"):
        return NonlinearStage(recipe)
    return DetailStage(recipe, typical_relief) if recipe.stage == "detail" else CoarseStage(recipe)


def _on_gpu(hardware: Hardware) -> bool:
    """Whether the networks run on graphics cards, of which there are enough.

    Raises:
        DeviceError: There are fewer than asked for.
    """
    cards = [device for device in devices() if ":" in device]
    on_gpu = hardware.accelerator in ("gpu", "cuda") or (hardware.accelerator == "auto" and bool(cards))
    if on_gpu and hardware.devices > len(cards):
        raise DeviceError(
            f"{hardware.devices} graphics cards were asked for; torch can use {', '.join(cards) or 'none'} here.",
            f"Use --devices {len(cards)}." if cards else "Use --accelerator cpu.",
        )
    return on_gpu


def _trainer(recipe: Recipe, out: Path, stage: StageModule, hardware: Hardware, progress: bool) -> lightning.Trainer:
    on_gpu = _on_gpu(hardware)
    several = hardware.processes > 1
    if several and not on_gpu:
        share_statistics(stage.model)
    return lightning.Trainer(
        accelerator="gpu" if on_gpu else "cpu",
        devices=hardware.devices,
        num_nodes=hardware.nodes,
        strategy="ddp" if several else "auto",
        sync_batchnorm=several and on_gpu,
        use_distributed_sampler=False,  # the loader knows its process
        precision=recipe.precision,  # type: ignore[arg-type]
        max_steps=recipe.steps,
        gradient_clip_val=recipe.gradient_clip or None,
        val_check_interval=min(recipe.validate_every, recipe.steps),
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        log_every_n_steps=max(1, min(10, recipe.steps // 2)),
        default_root_dir=out,
        logger=[TensorBoardLogger(out, name="", version=""), CSVLogger(out, name="metrics")],
        callbacks=[
            # Two, since `save_last` leaves out what is no new best.
            ModelCheckpoint(out, "best", monitor="validation/loss", enable_version_counter=False,
                            save_on_train_epoch_end=False),
            ModelCheckpoint(out, "last", enable_version_counter=False, save_on_train_epoch_end=False),
            PictureGrids(out / "pictures", recipe.picture_every),
            RunSummary(out / "summary.json"),
            *([TQDMProgressBar(refresh_rate=10)] if progress else []),
        ],
        enable_progress_bar=progress,
        enable_model_summary=False,
    )  # fmt: skip


def load_networks(model: TrainedModel, path: Path) -> None:
    """Takes the networks of a run's checkpoint or of a weights file.

    Raises:
        AssetError: The file is missing or damaged, or its networks have other sizes.
    """
    states = read_run(path).states if path.suffix == ".ckpt" else model.states_of(path)
    try:
        for name in model.network_names:
            model.get_submodule(name).load_state_dict(states.get(name, {}))
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise AssetError(
            f"{path} does not fit the recipe's networks: {reason}",
            "Give the checkpoint of a run with the same backbone, or a weights file.",
        ) from error


@dataclass(frozen=True)
class Run:
    """What a run's checkpoint says.

    Attributes:
        states: The state of each network, by its name.
        recipe: The run's recipe.
        steps: Steps that it has done.
        features: Names of the networks that its losses compared pictures by.
    """

    states: dict[str, dict[str, torch.Tensor]]
    recipe: Recipe
    steps: int
    features: tuple[str, ...]


def read_run(path: Path) -> Run:
    """Reads a run's checkpoint; nothing in it is executed.

    Raises:
        AssetError: The file is missing or damaged, or is not a run's checkpoint.
    """
    hint = "Give last.ckpt or best.ckpt of a run's folder."
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        names = dict.fromkeys(key.split(".")[1] for key in content["state_dict"])
        states = {name: _below(f"model.{name}.", content["state_dict"]) for name in names}
        recipe = Recipe.from_json(content["recipe"])
        return Run(states, recipe, int(content["global_step"]), tuple(content["features"]))
    except (OSError, RuntimeError, KeyError, TypeError, ValueError, EOFError, UnpicklingError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise AssetError(f"The checkpoint {path} cannot be read ({reason}).", hint) from error


def _below(prefix: str, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def saved_recipe(out: Path) -> Recipe:
    """The recipe of a run's folder.

    Raises:
        OptionError: There is none.
    """
    try:
        return Recipe.from_json((out / "recipe.json").read_text("utf-8"))
    except OSError as error:
        raise OptionError(f"{out} holds no run ({error.strerror or error}).", "Name the folder of a run.") from error
