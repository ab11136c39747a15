"""A run's networks as a weights file that the backend and the add-on load."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from deca.head import HeadModel, load_head
from deca.networks import Card, Checkpoint, save_checkpoint
from deca.networks.checkpoint import build_networks
from deca.networks.conformance import conformance_vectors
from deca_blender.protocol.conventions import CROP_SIZE
from deca_training.engine import read_run
from deca_training.model import NETWORKS, card_of

_PIXELS_PER_METRE = 900


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
    card = card_of(
        recipe,
        head,
        data=data,
        recipe="; ".join(
            (f"{recipe.name} {recipe.stage}, {found.steps} steps of {recipe.batch_size} photos", *found.features)
        ),
        metrics=metrics,
        licence=licence,
    )
    networks = build_networks(card)
    for name in NETWORKS:
        networks[name].load_state_dict(found.states[name])
        # What the file holds is what is checked: rounded to its precision.
        networks[name].eval().to(dtype).float()
    if recipe.stage != "detail":
        last = networks["detail_decoder"].get_submodule("conv_blocks")[-1]  # type: ignore[index]
        torch.nn.init.zeros_(last.weight)
        torch.nn.init.zeros_(last.bias)
    checkpoint = Checkpoint(card, **networks)  # type: ignore[arg-type]
    vectors = conformance_vectors(
        *(networks[name] for name in NETWORKS), sizes=recipe.sizes, landmarks_1L3=frontal_landmarks(head)
    )
    save_checkpoint(replace(checkpoint, conformance=vectors), out, dtype)
    return card


def frontal_landmarks(head: HeadModel) -> Tensor | None:
    """MediaPipe's landmarks (1, 478, 3) of the mean head that looks straight at a crop, pixels with depth; or None."""
    if head.landmarks_478 is None:
        return None
    points_L3 = torch.from_numpy(head.landmarks_478.positions(head.template_V3, head.faces_F3)).float()
    points_L3 = points_L3 - points_L3.mean(0)
    upright = torch.tensor([1.0, -1.0, -1.0])
    return (_PIXELS_PER_METRE * upright * points_L3 + CROP_SIZE / 2 * torch.tensor([1.0, 1.0, 0.0]))[None]
