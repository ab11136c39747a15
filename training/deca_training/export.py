"""A run's networks as a weights file that the backend and the add-on load."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import torch

from deca.head import load_head
from deca.networks import Card, Checkpoint, save_checkpoint
from deca.networks.checkpoint import build_networks
from deca.networks.conformance import conformance_vectors
from deca_training.engine import read_run
from deca_training.model import NETWORKS


def export(run: Path, out: Path, *, data: str = "", licence: str = "", dtype: torch.dtype = torch.float16) -> Card:
    """Writes the weights file of a run's checkpoint, with its card and conformance vectors.

    Networks that no stage has trained yet are in it too; an F_d among them gives no wrinkles.

    Args:
        run: `last.ckpt` or `best.ckpt`; the metrics of the card are those of `summary.json` beside it.
        out: The file.
        data: What the networks were trained on, for the card.
        licence: Licence of the weights, for the card.
        dtype: Of the weights in the file.

    Raises:
        AssetError: The checkpoint is missing or damaged.
        OutputError: The file cannot be written.
    """
    found = read_run(run)
    recipe = found.recipe
    head = load_head(recipe.head)
    summary = run.parent / "summary.json"
    metrics = json.loads(summary.read_text("utf-8"))["validation"] if summary.is_file() else {}
    card = Card.of(
        head,
        sizes=recipe.sizes,
        backbone=recipe.backbone,
        coarse_reduction=recipe.coarse_reduction,
        data=data,
        recipe="; ".join(
            (f"{recipe.name} {recipe.stage}, {found.steps} steps of {recipe.batch_size} photos", *found.features)
        ),
        metrics=metrics,
        licence=licence,
    )
    networks = build_networks(recipe.backbone, recipe.sizes, recipe.coarse_reduction)
    for name in NETWORKS:
        networks[name].load_state_dict(found.states[name])
        # What the file holds is what is checked: rounded to its precision.
        networks[name].eval().to(dtype).float()
    if recipe.stage != "detail":
        last = networks["detail_decoder"].get_submodule("conv_blocks")[-1]  # type: ignore[index]
        torch.nn.init.zeros_(last.weight)
        torch.nn.init.zeros_(last.bias)
    checkpoint = Checkpoint(card, **networks)  # type: ignore[arg-type]
    vectors = conformance_vectors(*(networks[name] for name in NETWORKS), sizes=recipe.sizes)
    save_checkpoint(replace(checkpoint, conformance=vectors), out, dtype)
    return card
