"""`deca-train skin-map`: from folders of portraits to the weights file of the skin map network.

One process draws pictures, block by block, the other learns from the blocks as they come; what is there stays: the same
command goes on where it was stopped.

Shape suffixes: B batch, K kinds, H W rows and columns of the UV map.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from deca.errors import DecaError
from deca.files import write_file
from deca.head import load_head
from deca.networks.relief import landmark_places
from deca.networks.skin_map import (
    Kind,
    Seen,
    SkinMapCard,
    SkinMapNetwork,
    load_skin_map,
    save_skin_map,
    skin_map_network,
)
from deca_training.processes import begin_worker
from deca_training.skin_map.carriers import UNKNOWN, Carrier, lay_out_carriers
from deca_training.skin_map.pictures import Picture, PictureMaker

_BLOCK = 32
"""Pictures of a file."""
_FIRST, _STEPS_PER_BLOCK = 4, 8
"""Blocks that training begins with, and after how many steps one more joins, however fast they are drawn."""
_BATCH, _RATE, _DECAY = 4, 3e-3, 0.02
_KEPT = 0.995
"""Share that the mean of the weights keeps at each step."""
_WEIGHTS = (1.0, 1.5, 1.2, 2.0, 1.2)
"""Of the kinds in the loss: frames of glasses are thin."""
_HELD_OUT = 64
"""Pictures that are only measured on; drawn on the last tenth of the carriers, which training does not see."""
_SAVED = 300.0
"""Seconds between checkpoints."""
_CARRIERS = "carriers.npz"
LICENCE = "CC0-1.0"


def train_skin_map(
    out: Path, carriers: Sequence[Path], steps: int = 8000, start: Path | None = None, keep: float = 0.0
) -> Path:
    """Trains the skin map network for the bundled head model; the weights file is good from the first minutes on.

    Args:
        out: The weights file, .safetensors. What it is made from lies beside it, in a folder of its name.
        carriers: Folders of portraits, with the lists that `lay_out_carriers` reads.
        steps: Of training.
        start: Weights file to begin with; what it is sure of on the carriers is learnt, too.
        keep: Share of its weights in the written ones: what few carriers do not show is then less forgotten.

    Raises:
        AssetError: There is no face on the photos.
        OutputError: A file cannot be written.
        DecaError: The process that draws pictures died.
    """
    folder = out.with_suffix("")
    network = None if start is None else load_skin_map(start)
    found = lay_out_carriers(list(carriers), folder / _CARRIERS, network)
    blocks = _FIRST + steps // _STEPS_PER_BLOCK
    maker = multiprocessing.get_context("spawn").Process(target=_draw, args=(folder, blocks), daemon=True)
    maker.start()
    try:
        Run(folder, out, found, steps, maker, network, keep).train()
    finally:
        maker.terminate()
    return out


def _learnt_from(carriers: Sequence[Carrier]) -> Sequence[Carrier]:
    return carriers[: max(len(carriers) * 9 // 10, 1)]


def _draw(folder: Path, blocks: int) -> None:
    begin_worker()
    if hasattr(os, "nice"):
        os.nice(5)  # what learns goes first
    maker = PictureMaker(load_head(), _learnt_from(lay_out_carriers([], folder / _CARRIERS)))
    for block in range(blocks):
        path = _block_file(folder, block)
        if not path.is_file():
            rng = np.random.default_rng((3, block))
            stored = np.stack([_stored(maker.picture(rng)) for _ in range(_BLOCK)])
            data = io.BytesIO()
            np.save(data, stored)
            write_file(path, data.getvalue())


def _block_file(folder: Path, block: int) -> Path:
    return folder / "pictures" / f"{block:06}.npy"


def _stored(picture: Picture) -> NDArray[np.uint8]:
    """The picture in whole numbers (9, H, W)."""
    maps = (
        *picture.photo_HW3.transpose(2, 0, 1) * 255,
        *picture.normals_HW3.transpose(2, 0, 1) * 127 + 128,
        picture.seen_HW * 255,
        picture.person_HW * 255,
        picture.kind_HW,
    )
    return np.rint(np.stack(maps)).clip(0, 255).astype(np.uint8)


def batch_of(stored_B9HW: NDArray[np.uint8]) -> tuple[Seen, Tensor]:
    """What the network sees of stored pictures, and their kinds (B, H, W), -1 where not known."""
    maps_B8HW = torch.from_numpy(stored_B9HW[:, :8].astype(np.float32))
    kind_BHW = torch.from_numpy(stored_B9HW[:, 8].astype(np.int64))
    kind_BHW[kind_BHW == UNKNOWN] = -1
    seen = Seen(
        maps_B8HW[:, :3] / 255, (maps_B8HW[:, 3:6] - 128) / 127, maps_B8HW[:, 6:7] / 255, maps_B8HW[:, 7:8] / 255
    )
    return seen, kind_BHW


class Run:
    """One training, begun or gone on with.

    Args:
        folder: Of pictures and checkpoint.
        out: The weights file.
        carriers: Real photos.
        steps: How many.
        maker: The process that draws the pictures; None where all are there.
        start: What to begin with.
        keep: Share of its weights in the written ones.
    """

    def __init__(
        self,
        folder: Path,
        out: Path,
        carriers: Sequence[Carrier],
        steps: int,
        maker: BaseProcess | None = None,
        start: SkinMapNetwork | None = None,
        keep: float = 0.0,
    ) -> None:
        self.folder, self.out, self.steps, self._maker = folder, out, steps, maker
        self._start, self._keep = start, keep
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        head = load_head()
        torch.manual_seed(0)
        data = f"{len(_learnt_from(carriers))} photos, with glasses, hair, hands and cloth drawn over them"
        self.network = skin_map_network(SkinMapCard(head.name, data=data, licence=LICENCE), head).to(self.device)
        if start is not None:
            self.network.load_state_dict(start.state_dict())
            self.network.place_L2.copy_(landmark_places(head))
        self.mean = {name: value.clone() for name, value in self.network.state_dict().items()}
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=_RATE, weight_decay=_DECAY)
        self.step = 0
        kept = carriers[len(_learnt_from(carriers)) :] or carriers
        pictures, rng = PictureMaker(head, kept), np.random.default_rng(1)
        self._held_out = np.stack([_stored(pictures.picture(rng)) for _ in range(_HELD_OUT)])
        self._resume()

    def train(self) -> None:
        """Trains to the last step; writes the weights file every few minutes."""
        saved, losses = time.monotonic(), []
        while self.step < self.steps:
            share = self.step / self.steps
            losses.append(self.learn(*self.batch(self.step), _RATE * min(1.0, (self.step + 1) / 200) * (1 - share)))
            if time.monotonic() - saved > _SAVED:
                self.save(float(np.mean(losses)))
                saved, losses = time.monotonic(), []
        self.save(float(np.mean(losses)) if losses else 0.0)

    def batch(self, step: int) -> tuple[Seen, Tensor]:
        """What is learnt from in a step."""
        rng = np.random.default_rng((7, step))
        picked = rng.integers(0, _FIRST + step // _STEPS_PER_BLOCK, _BATCH)
        stored = [self._block(block)[rng.integers(_BLOCK)] for block in picked.tolist()]
        return batch_of(np.stack(stored))

    def learn(self, seen: Seen, kind_BHW: Tensor, rate: float) -> float:
        """One step; returns the loss."""
        self.network.train()
        logits_BKHW = self.network(self.network.inputs(Seen(*(tensor.to(self.device) for tensor in seen))))
        loss = skin_map_loss(logits_BKHW, kind_BHW.to(self.device))
        self.optimiser.param_groups[0]["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        self._average()
        return float(loss.detach())

    @torch.no_grad()
    def _average(self) -> None:
        kept = min(_KEPT, (1 + self.step) / (10 + self.step))
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                self.mean[name].lerp_(value, 1 - kept)
            else:
                self.mean[name].copy_(value)

    def averaged(self) -> SkinMapNetwork:
        """The network with the mean of its weights over the last steps, and those that are kept."""
        network = SkinMapNetwork(self.network.card)
        weights = {name: value.cpu() for name, value in self.mean.items()}
        if self._start is not None and self._keep:
            for name, value in self._start.state_dict().items():
                if value.is_floating_point() and name != "place_L2":
                    weights[name] = torch.lerp(weights[name], value, self._keep)
        network.load_state_dict(weights)
        return network.eval()

    def _recipe(self) -> str:
        kept = f", and {self._keep} of the weights before" if self._start is not None and self._keep else ""
        return f"{self.step:,} steps of {_BATCH} pictures{kept}"

    def save(self, loss: float) -> None:
        """Writes checkpoint, weights file, and a line of the log."""
        network = self.averaged()
        measured = overlaps(network, self._held_out)
        network.card = replace(network.card, recipe=self._recipe(), metrics=measured)
        save_skin_map(network, self.out)
        state = {"step": self.step, "network": self.network.state_dict(), "mean": self.mean,
                 "optimiser": self.optimiser.state_dict()}  # fmt: skip
        data = io.BytesIO()
        torch.save(state, data)
        write_file(self.folder / "last.ckpt", data.getvalue())
        line = {"step": self.step, "loss": round(loss, 4), **measured}
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
        print(f"deca-train: skin-map {line}", flush=True)

    def _resume(self) -> None:
        path = self.folder / "last.ckpt"
        if path.is_file():
            state: dict[str, Any] = torch.load(path, map_location=self.device, weights_only=True)
            self.network.load_state_dict(state["network"])
            self.mean, self.step = state["mean"], state["step"]
            self.optimiser.load_state_dict(state["optimiser"])

    def _block(self, block: int) -> NDArray[np.uint8]:
        path = _block_file(self.folder, block)
        while not path.is_file():
            if self._maker is None or not self._maker.is_alive():
                raise DecaError(
                    f"{path.name} is missing, and the process that draws pictures has ended.",
                    "Run the same command again: it goes on where it stopped.",
                )
            time.sleep(0.2)
        return np.load(path, mmap_mode="r")


def skin_map_loss(logits_BKHW: Tensor, kind_BHW: Tensor) -> Tensor:
    """Cross entropy over the texels whose kind is known.

    Args:
        logits_BKHW: Of the kinds.
        kind_BHW: `Kind`, or -1.
    """
    weights_K = logits_BKHW.new_tensor(_WEIGHTS)
    return functional.cross_entropy(logits_BKHW, kind_BHW, weights_K, ignore_index=-1, label_smoothing=0.02)


def overlaps(network: SkinMapNetwork, stored_N9HW: NDArray[np.uint8]) -> dict[str, float]:
    """Intersection over union of each kind, over the texels of pictures whose kind is known."""
    both, either = np.zeros(len(Kind)), np.zeros(len(Kind))
    for start in range(0, len(stored_N9HW), 4):
        seen, kind_BHW = batch_of(stored_N9HW[start : start + 4])
        found_BHW, known_BHW = network.read(seen).argmax(1), kind_BHW >= 0
        for kind in Kind:
            is_found, is_it = (found_BHW == kind) & known_BHW, kind_BHW == kind
            both[kind] += float((is_found & is_it).sum())
            either[kind] += float((is_found | is_it).sum())
    return {kind.name.lower(): round(float(both[kind] / max(either[kind], 1)), 4) for kind in Kind}
