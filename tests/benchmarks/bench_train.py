"""A coarse training step against the sum of its parts, in one run: what the trainer itself costs.

    PYTHONPATH=.:backend:training .venv/bin/python tests/benchmarks/bench_train.py [--recipe small] [--steps 8]

Parts: the networks' forward and backward passes (E_c on the batch; the identity network on pictures with and without
gradients), and the geometry and rendering of the doubled batch with their backward pass. `ratio` is the step over
their sum (bar 1.25); all in process CPU time, medians, milliseconds per photo. `loading` is the making of a batch in
the loader's process. Photos are drawn.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from types import SimpleNamespace

import torch
from torch import Tensor

from deca.networks import Codes
from deca_training.data.sources import batches_of, load_source
from deca_training.recipes import VARIANTS
from deca_training.stages.coarse import CoarseStage
from tests.photo_folders import make_index


class Bench(CoarseStage):
    """The stage without a trainer around it."""

    trainer = SimpleNamespace(world_size=1)  # type: ignore[assignment]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--recipe", choices=sorted(VARIANTS), default="small")
    parser.add_argument("--steps", type=int, default=8)
    options = parser.parse_args()
    torch.set_num_threads(1)
    recipe = VARIANTS[options.recipe]("coarse")
    with tempfile.TemporaryDirectory() as folder:
        path = make_index(Path(folder), subjects=recipe.subjects_per_batch, photos=2)
        batches = batches_of([load_source(path)], recipe, recipe.augmentation, seed=0)
        started = time.process_time()
        batch = [batches[step] for step in range(options.steps)][-1]
        loading = (time.process_time() - started) / options.steps
    stage = Bench(recipe)
    model, optimizer = stage.model, torch.optim.Adam(stage.model.coarse_encoder.parameters(), 1e-4)
    order_B = torch.arange(len(batch)).view(-1, recipe.images_per_subject).roll(1, 1).flatten()
    assert stage.identity is not None
    identity, landmarks_BL2 = stage.identity, batch.landmarks68_BL3[..., :2]

    def step() -> None:
        optimizer.zero_grad()
        stage.total(stage.terms(batch, order_B)[0]).backward()
        torch.nn.utils.clip_grad_norm_(model.coarse_encoder.parameters(), recipe.gradient_clip)
        optimizer.step()

    def networks() -> None:
        model.codes(batch.image_B3HW).pack().square().mean().backward()
        with torch.no_grad():
            identity(batch.image_B3HW, landmarks_BL2)
        picture_B3HW = twice(batch.image_B3HW).requires_grad_()
        identity(picture_B3HW, twice(landmarks_BL2)).square().sum().backward()

    packed_BN = twice(model.codes(batch.image_B3HW).pack().detach())

    def rendering() -> None:
        codes = Codes.split(packed_BN.clone().requires_grad_(), recipe.sizes)
        geometry = model.geometry(codes)
        surface = model.surface(geometry)
        albedo_B3HW = model.albedo(codes.albedo_BA)
        lit = surface.shade(albedo_B3HW, codes.light_B93).image_B3HW
        lit_shape = surface.shade(albedo_B3HW.detach(), codes.light_B93.detach()).image_B3HW
        (lit.sum() + lit_shape.sum() + geometry.landmarks_BL2.sum()).backward()

    milliseconds = {name: 1e3 / len(batch) * timed(work, options.steps) for name, work in
                    {"step": step, "networks": networks, "rendering": rendering}.items()}  # fmt: skip
    milliseconds["loading"] = 1e3 / len(batch) * loading
    ratio = milliseconds["step"] / (milliseconds["networks"] + milliseconds["rendering"])
    rounded = {name: round(value, 1) for name, value in milliseconds.items()}
    print(json.dumps({"recipe": options.recipe, "ms_per_photo": rounded, "ratio": round(ratio, 3)}))


def twice(value: Tensor) -> Tensor:
    """The batch as the shape consistency doubles it."""
    return torch.cat((value, value)).detach()


def timed(work: Callable[[], None], steps: int) -> float:
    """Median CPU seconds."""
    work()
    seconds = []
    for _ in range(steps):
        started = time.process_time()
        work()
        seconds.append(time.process_time() - started)
    return median(seconds)


if __name__ == "__main__":
    main()
