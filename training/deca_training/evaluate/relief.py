"""The relief network on synthetic people kept out: what it finds, and what it takes for relief that is none."""

from __future__ import annotations

from pathlib import Path

from deca.head import load_head
from deca.networks.relief import ReliefNetwork
from deca_training.evaluate.tables import Table
from deca_training.relief import pigment
from deca_training.relief.measures import HeldOut, added_by, false_lines, measure
from deca_training.relief.pigment import Layer

_ON_SKIN: tuple[Layer, ...] = (pigment.moles, pigment.freckles, pigment.brows, pigment.stubble, pigment.beard)
_FALSE: tuple[tuple[str, Layer | None, Layer | None], ...] = (
    ("light alone", None, None),
    ("shadows", None, pigment.shadows),
    ("highlights", None, pigment.highlights),
    ("glasses", None, pigment.glasses),
    ("fringe", None, pigment.fringe),
    ("stubble", pigment.stubble, None),
    ("beard", pigment.beard, None),
    ("make up", pigment.make_up, None),
)


def evaluate_relief(network: ReliefNetwork, folder: Path, people: int) -> Table:
    """Measures a relief network.

    Args:
        network: For the bundled head model.
        folder: Where the people kept out are, or are written.
        people: How many.

    Raises:
        AssetError: The network reads another UV map.
        OutputError: The people cannot be written.
    """
    head = load_head()
    network.check_head(head)
    held_out = HeldOut(head, folder, people)
    table = Table("Relief of synthetic people kept out")
    for name, value in measure(network, held_out).rounded().items():
        table.add(what=f"relief, {name}", value=value)
    for layer in _ON_SKIN:
        table.add(what=f"added by {layer.__name__}, mm", value=round(added_by(network, held_out, layer, None), 4))
    for name, on_skin, front in _FALSE:
        value = false_lines(network, held_out, on_skin, front)
        table.add(what=f"false lines on smooth skin, {name}, mm", value=round(value, 4))
    table.notes += [
        f"{people} people, frontal, each with an expression and a light of its own; seen skin",
        "explained: share of the squares of the relief; usual: of people's mean relief; sure: as far as it is"
        " certain, and people's mean beyond; fine: correlation of what varies over less than five texels",
        "added by: root mean square of the change of the map when the thing is put on the same picture",
        "false lines: root mean square of the fine part of what is found where there is no relief",
    ]
    return table
