"""`deca-train relief`: from nothing to the weights file of the relief network.

One process makes people and takes pictures of them, the other learns from the pictures as they come; each is looked at
many times, in parts, mirrored, in other tones. With weights to begin with, half of what is learnt from are photos that
the product has laid out. What is there stays: the same command goes on where it was stopped.

Shape suffixes: B batch, C channels, H W rows and columns of parts of pictures, `PART` x `PART`.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from deca.errors import DecaError
from deca.files import write_file
from deca.head import load_head
from deca.networks.relief import (
    Layout,
    ReliefCard,
    ReliefNetwork,
    landmark_places,
    load_relief,
    relief_network,
    save_relief,
)
from deca.render.detail import detail_patch
from deca_training.processes import begin_worker
from deca_training.relief.carriers import Carrier, lay_out_carriers, read_carriers
from deca_training.relief.measures import HeldOut, measure
from deca_training.relief.photos import PhotoMaker, take_photos
from deca_training.relief.pictures import Picture, PictureMaker, picture_part, take_pictures
from deca_training.relief.sheet import write_sheet
from deca_training.relief.surfaces import SurfaceMaker, make_person, surface_file, usual_and_spread

Budget = Literal["cpu", "gpu"]
PART = 112
"""Rows and columns of what is looked at together."""
_BATCH, _RATE, _DECAY = 4, 3e-3, 0.02
_KEPT, _MEAN_STEPS = 0.99, 10
"""Share that the mean of the weights keeps, and of how many steps each."""
_PHOTOS = 0.5
"""Share of parts that are of photos laid out by the product."""
_SQUARE, _SLOPE, _DOUBT = 15.0, 1.0, 0.1
"""Weights of the loss: of squares, per millimetre, beside absolute values, since deep lines count; of the slope beside
the depth; and of the doubt."""
_FIRST, _STEPS_PER_PERSON = 48, 45
"""People that training begins with, and after how many steps one more joins, however fast they are made."""
_MIDDLE = 2.5, 2.5
"""Of the beta distribution of where parts lie: photos show the middle of the map."""
_SAVED, _MEASURED, _SHOWN = 480.0, 16, 40
"""Seconds between checkpoints, people kept out that the network is measured on then, and photos on the sheet."""
_CARRIERS = "carriers.npz"
LICENCE = "CC0-1.0"


@dataclass(frozen=True)
class Scale:
    """How much a budget buys: people, and hours of training; and the number of the first of these people."""

    people: int
    hours: float
    first: int = 1

    def persons(self, people: int) -> range:
        """Numbers of the first so many people."""
        return range(self.first, self.first + people)


SCALES: dict[Budget, Scale] = {"cpu": Scale(1500, 1.5), "gpu": Scale(20_000, 6.0)}


def train_relief(
    out: Path,
    budget: Budget = "cpu",
    hours: float | None = None,
    carriers: Path | None = None,
    people: int | None = None,
    start: Path | None = None,
    first: int = 1,
) -> Path:
    """Trains the relief network for the bundled head model; the weights file is good from the first minutes on.

    Args:
        out: The weights file, .safetensors. People, pictures and the checkpoint lie beside it, in a folder of its name.
        budget: An hour and a half of two CPU cores, or hours of a GPU.
        hours: Of training, instead of the budget's; on CPUs of the core that learns.
        carriers: Folder of photos; of smooth skin, if there are no earlier weights that tell their relief.
        people: How many, instead of the budget's.
        start: Weights file to begin with.
        first: Number of the first person; numbers tell people apart.

    Raises:
        AssetError: A model is missing, or there is no face on the carriers.
        OutputError: A file cannot be written.
        DecaError: The process that makes pictures died.
    """
    scale = SCALES[budget]
    scale = Scale(people or scale.people, hours or scale.hours, first)
    folder = out.with_suffix("")
    maker = multiprocessing.get_context("spawn").Process(
        target=_make_pictures, args=(folder, scale, carriers, start), daemon=True
    )
    maker.start()
    try:
        run = Run(folder, out, scale, maker, start, with_carriers=carriers is not None)
        run.train()
    finally:
        maker.terminate()
    return out


def _make_pictures(folder: Path, scale: Scale, carriers: Path | None, start: Path | None) -> None:
    begin_worker()
    if hasattr(os, "nice"):
        os.nice(11)  # what learns goes first: it waits where it must
    network = load_relief(start) if start else None
    skins = lay_out_carriers(carriers, folder / _CARRIERS, network) if carriers else []
    surfaces = SurfaceMaker()
    pictures = PictureMaker(surfaces.generator.head, folder / "people", skins)
    photos = PhotoMaker() if start else None
    for person in scale.persons(scale.people):
        make_person(folder / "people", person, surfaces)
        if photos is not None:
            take_photos(photos, folder / "photos", person)
        take_pictures(pictures, folder / "pictures", person)


class Batch(NamedTuple):
    """Parts of pictures: what the network sees, the relief in millimetres, and how well it is seen."""

    inputs_BCHW: Tensor
    depth_B1HW: Tensor
    seen_B1HW: Tensor


class Run:
    """One training, begun or gone on with.

    Args:
        folder: Of people, pictures and checkpoint.
        out: The weights file.
        scale: How much.
        maker: The process that writes the pictures; None where all are there.
        start: Weights file to begin with.
        with_carriers: Whether there are photos.
    """

    def __init__(
        self,
        folder: Path,
        out: Path,
        scale: Scale,
        maker: BaseProcess | None = None,
        start: Path | None = None,
        with_carriers: bool = False,
    ) -> None:
        self.folder, self.out, self.scale, self._maker = folder, out, scale, maker
        self._with_carriers = with_carriers
        self.head = load_head()
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.part, _ = picture_part(self.head)
        torch.manual_seed(0)
        self.network = relief_network(ReliefCard(self.head.name, licence=LICENCE), self.head)
        self._with_photos = start is not None
        if start is not None:
            self.network.load_state_dict(load_relief(start).state_dict())
            self.network.place_L2.copy_(landmark_places(self.head))
        self._first = min(_FIRST, scale.people)
        self._begin_with_people()
        self.network = self.network.to(self.device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.mean = {name: value.clone() for name, value in self.network.state_dict().items()}
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=_RATE, weight_decay=_DECAY, fused=True)
        self.step, self.seconds = 0, 0.0
        self._resume()

    def train(self) -> None:
        """Trains until the hours are over; writes the weights file every few minutes."""
        # A busy computer makes it take longer, not worse.
        clock = time.thread_time if self.device.type == "cpu" else time.monotonic
        saved, begun = time.monotonic(), clock()
        losses: list[float] = []
        ahead = ThreadPoolExecutor(1)  # the next batch, while one is learnt from
        batch = ahead.submit(self.batch, self.step)
        while self.seconds < 3600 * self.scale.hours:
            share = self.seconds / (3600 * self.scale.hours)
            parts, batch = batch.result(), ahead.submit(self.batch, self.step + 1)
            losses.append(self.learn(parts, rate=_RATE * min(1.0, (self.step + 1) / 200) * (1 - share) ** 1.2))
            self.seconds, begun = self.seconds + clock() - begun, clock()
            if time.monotonic() - saved > _SAVED:
                self.save(float(np.mean(losses)))
                saved, begun, losses = time.monotonic(), clock(), []  # measuring is no training
        self.save(float(np.mean(losses)) if losses else 0.0)

    def batch(self, step: int) -> Batch:
        """What is learnt from in a step."""
        rng = np.random.default_rng((7, step))
        persons = self.scale.persons(self._people(step))
        high, wide = (part.stop - part.start for part in self.part)
        parts, corners = [], []
        for person in rng.integers(persons.start, persons.stop, _BATCH).tolist():
            stored_KCHW = self._stored("pictures", person)
            if self._with_photos and rng.uniform() < _PHOTOS and len(photos_KCHW := self._stored("photos", person)):
                stored_KCHW = photos_KCHW
            picture = int(rng.integers(len(stored_KCHW)))
            row, column = (int((full - PART) * rng.beta(*_MIDDLE) + 0.5) for full in (high, wide))
            stored_CHW = stored_KCHW[picture, :, row : row + PART, column : column + PART]
            parts.append(_changed(Picture.of(stored_CHW), rng))
            corners.append((row + self.part[0].start, column + self.part[1].start))
        maps = [torch.from_numpy(np.stack([np.asarray(getattr(part, name), np.float32) for part in parts]))
                for name in ("photo_3PQ", "normals_3HW", "seen_HW", "density", "depth_HW")]  # fmt: skip
        photo, normals, seen, density, depth = (tensor.to(self.device) for tensor in maps)
        corner_B2 = torch.tensor(corners)
        # A mirrored part is seen at the mirrored place.
        if rng.uniform() < 0.5:
            photo, normals, seen, depth = (tensor.flip(-1) for tensor in (photo, normals, seen, depth))
            normals = normals * normals.new_tensor([-1.0, 1.0, 1.0])[:, None, None]
            size = self.network.usual_HW.shape[1]
            corner_B2[:, 1] = size - corner_B2[:, 1] - PART
        with torch.no_grad():
            inputs_BCHW = self.network.inputs(Layout(photo, normals, seen[:, None], density), corner_B2)
        return Batch(inputs_BCHW.contiguous(memory_format=torch.channels_last), depth[:, None], seen[:, None])

    def _people(self, step: int) -> int:
        """How many have joined."""
        return min(self.scale.people, self._first + step // _STEPS_PER_PERSON)

    def learn(self, batch: Batch, rate: float) -> float:
        """One step; returns the loss."""
        self.network.train()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=_is_fast_in_half(self.device)):
            found_B1HW, doubt_B1HW = self.network(batch.inputs_BCHW)
        loss = relief_loss(found_B1HW, doubt_B1HW, batch.depth_B1HW, batch.seen_B1HW)
        self.optimiser.param_groups[0]["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        if self.step % _MEAN_STEPS == 0:
            self._average()
        return float(loss.detach())

    @torch.no_grad()
    def _average(self) -> None:
        taken = self.step / _MEAN_STEPS
        kept = min(_KEPT, (1 + taken) / (10 + taken))
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                self.mean[name].lerp_(value, 1 - kept)
            else:
                self.mean[name].copy_(value)

    def averaged(self) -> ReliefNetwork:
        """The network with the mean of its weights over the last steps."""
        network = ReliefNetwork(self.network.card)
        network.load_state_dict({name: value.cpu() for name, value in self.mean.items()})
        return network.eval()

    def save(self, loss: float) -> None:
        """Writes checkpoint, weights file, and a line of the log."""
        network = self.averaged()
        measured = measure(network, self._held_out)
        recipe = f"{self.step:,} steps of {_BATCH} parts of {PART} x {PART} texels"
        data = f"{self._people(self.step):,} synthetic people" + (", on skin of real photos" * self._with_carriers)
        data += ", and photos of them" * self._with_photos
        metrics = {"explained": round(measured.explained, 4)}
        network.card = replace(network.card, data=data, recipe=recipe, metrics=metrics)
        save_relief(network, self.out)
        if self._with_carriers:
            write_sheet(network, self._shown, self.part, self.folder / f"sheet_{self.step:06}.jpg")
        state = {"step": self.step, "seconds": self.seconds, "network": self.network.state_dict(), "mean": self.mean,
                 "optimiser": self.optimiser.state_dict()}  # fmt: skip
        data = io.BytesIO()
        torch.save(state, data)
        write_file(self.folder / "last.ckpt", data.getvalue())
        line = {"step": self.step, "minutes": round(self.seconds / 60, 1), "loss": round(loss, 4), **measured.rounded()}
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
        print(f"deca-train: relief {line}", flush=True)

    def _resume(self) -> None:
        path = self.folder / "last.ckpt"
        if path.is_file():
            state: dict[str, Any] = torch.load(path, map_location=self.device, weights_only=True)
            self.network.load_state_dict(state["network"])
            self.mean = state["mean"]
            self.optimiser.load_state_dict(state["optimiser"])
            self.step, self.seconds = state["step"], state["seconds"]

    def _begin_with_people(self) -> None:
        """Gives the network people's mean and spread."""
        persons = self.scale.persons(self._first)
        self._wait_for(surface_file(self.folder / "pictures", persons[-1]))
        usual_HW, spread_HW = usual_and_spread(
            self.folder / "people", persons, detail_patch(self.head, self.network.usual_HW.shape[0])
        )
        self.network.usual_HW.copy_(torch.from_numpy(usual_HW))
        self.network.spread_HW.copy_(torch.from_numpy(spread_HW))

    def _stored(self, kind: Literal["pictures", "photos"], person: int) -> np.ndarray:
        path = surface_file(self.folder / kind, person)
        self._wait_for(path)
        return np.load(path, mmap_mode="r")

    def _wait_for(self, path: Path) -> None:
        while not path.is_file():
            if self._maker is None or not self._maker.is_alive():
                raise DecaError(
                    f"{path.name} is missing, and the process that makes pictures has ended.",
                    "Run the same command again: it goes on where it stopped.",
                )
            time.sleep(0.5)

    @cached_property
    def _held_out(self) -> HeldOut:
        return HeldOut(self.head, self.folder / "held_out", _MEASURED)

    @cached_property
    def _shown(self) -> list[Carrier]:
        return read_carriers(self.folder / _CARRIERS)[-_SHOWN:]


def relief_loss(found_B1HW: Tensor, doubt_B1HW: Tensor, depth_B1HW: Tensor, seen_B1HW: Tensor) -> Tensor:
    """How far relief is off where it is seen: depth, slope, and how well the doubt foretells it.

    Args:
        found_B1HW, depth_B1HW: Found and true relief, millimetres.
        doubt_B1HW: Logarithm of the error's expected root mean square.
        seen_B1HW: Weights.
    """
    off_B1HW = found_B1HW - depth_B1HW
    total = seen_B1HW.sum().clamp(min=1.0)
    size = (_cost(off_B1HW) * seen_B1HW).sum() / total
    down, across = off_B1HW.diff(dim=2), off_B1HW.diff(dim=3)
    both_down, both_across = seen_B1HW[:, :, 1:] * seen_B1HW[:, :, :-1], seen_B1HW[..., 1:] * seen_B1HW[..., :-1]
    slope = ((_cost(down) * both_down).sum() + (_cost(across) * both_across).sum()) / total
    # The normal distribution's likelihood; the relief itself is not made worse for it.
    unlikely = ((0.5 * off_B1HW.detach().square() * torch.exp(-2 * doubt_B1HW) + doubt_B1HW) * seen_B1HW).sum() / total
    return size + _SLOPE * slope + _DOUBT * unlikely


def _cost(off: Tensor) -> Tensor:
    return off.abs() + _SQUARE * off.square()


def _changed(part: Picture, rng: np.random.Generator) -> Picture:
    """A picture in another tone, with a little noise."""
    photo_3PQ = part.photo_3PQ.clip(0, 1) ** np.exp(0.2 * rng.standard_normal())
    photo_3PQ = photo_3PQ * np.exp(0.15 * rng.standard_normal() + 0.04 * rng.standard_normal((3, 1, 1)))
    noise = np.float32(rng.uniform(0, 0.012))
    photo_3PQ = photo_3PQ + noise * rng.standard_normal((1, *photo_3PQ.shape[1:]), np.float32)
    return replace(part, photo_3PQ=photo_3PQ)


def _is_fast_in_half(device: torch.device) -> bool:
    """Whether bfloat16 is faster than single precision."""
    if device.type == "cuda":
        return True
    has_tiles = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return bool(has_tiles and has_tiles())
