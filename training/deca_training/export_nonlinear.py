"""A run's nonlinear face model as a weights file."""

from __future__ import annotations

import json
from pathlib import Path

from deca.errors import AssetError
from deca.head import load_head
from deca.networks.nonlinear import NonlinearCard, NonlinearNetworks, save_nonlinear
from deca_training.engine import read_run
from deca_training.nonlinear_model import card_of


def export_nonlinear(run: Path, out: Path, *, data: str = "", licence: str = "") -> NonlinearCard:
    """Writes the weights file of a run's checkpoint, with its card.

    Args:
        run: `last.ckpt` or `best.ckpt`; the metrics of the card are those of `summary.json` beside it.
        out: The file.
        data: What the networks were trained on, for the card.
        licence: Licence of the weights, for the card.

    Raises:
        AssetError: The checkpoint is missing or damaged, or another stage's.
        OutputError: The file cannot be written.
    """
    networks = networks_of(run, data=data, licence=licence)
    save_nonlinear(networks, out)
    return networks.card


def networks_of(run: Path, *, data: str = "", licence: str = "") -> NonlinearNetworks:
    """The networks of a run's checkpoint, in evaluation mode; arguments as for `export_nonlinear`.

    Raises:
        AssetError: The checkpoint is missing or damaged, or another stage's.
    """
    found = read_run(run)
    recipe = found.recipe
    if "networks" not in found.states:
        raise AssetError(
            f"{run} is no run of the nonlinear face model.", "Give a checkpoint of `deca-train nonlinear`."
        )
    summary = run.parent / "summary.json"
    metrics = json.loads(summary.read_text("utf-8"))["validation"] if summary.is_file() else {}
    told = (f"{recipe.name} {recipe.stage}, {found.steps} steps of {recipe.batch_size} photos", *found.features)
    card = card_of(recipe, load_head(recipe.head), data=data, recipe="; ".join(told), metrics=metrics, licence=licence)
    networks = NonlinearNetworks(card)
    networks.load_state_dict(found.states["networks"])
    return networks.eval()
