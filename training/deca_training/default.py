"""The weights that come with the product, from nothing: `deca-train default`.

pretrain (photos) -> coarse (photos, synthetic people) -> E_d, detail (synthetic) -> shape encoder (both)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from deca.networks import Checkpoint, save_checkpoint
from deca_training.config import Recipe
from deca_training.data.synthetic import SyntheticSubjects
from deca_training.data.synthetic.generate import generate
from deca_training.engine import Hardware, load_networks, train
from deca_training.export import export
from deca_training.least_squares import fit_detail_encoder
from deca_training.model import NETWORKS, DecaModel, card_of
from deca_training.recipes import default
from deca_training.shape_encoder import add_shape_encoder

Budget = Literal["cpu", "gpu"]
DATA = "Labeled Faces in the Wild (people with two photos or more) and synthetic subjects"
LICENCE = "CC0-1.0; the trunk of the encoders is from MediaPipe's landmark network, Apache-2.0"


@dataclass(frozen=True)
class Scale:
    """How much a budget buys.

    Attributes:
        subjects, images: Synthetic people and photos of each.
        faces: More of them, with two photos each, for the shape encoder.
        steps: By the name of a run; `landmarks` of E_c's last layers, beside the shape encoder.
    """

    subjects: int
    images: int
    faces: int
    steps: dict[str, int]


SYNTHETIC = {"outside": 1.0, "perspective": 0.4, "variety": 0.35}
"""How the synthetic people are (`data.synthetic.generate`). Where lines lie can hardly be told from a small photo, and
F_d would draw the mean of all places, which is nothing: so they differ a third of what they might."""

FACES = {"outside": 1.5, "perspective": 1.0}
"""How those for the shape encoder are: outside of the shape model's span and near the camera, as people are."""
_FIRST_FACE = 3_000_001

_CPU = {"pretrain": 2400, "coarse": 700, "detail": 4000, "landmarks": 600}
_GPU = {"pretrain": 40_000, "coarse": 40_000, "detail": 100_000, "landmarks": 5000}
SCALES: dict[Budget, Scale] = {"cpu": Scale(1000, 6, 2300, _CPU), "gpu": Scale(10_000, 8, 20_000, _GPU)}


def train_default(photos: Path, out: Path, budget: Budget = "cpu", hardware: Hardware | None = None) -> Path:
    """Trains the weights; what was stopped goes on where it was, and what is done stays.

    Args:
        photos: An index (`deca-train prepare`).
        out: Folder of the synthetic subjects, the runs and the weights file.
        budget: A few hours of two CPU cores, or of a GPU.
        hardware: What to use.

    Returns:
        The weights file.

    Raises:
        AssetError: The index is missing or damaged.
        OutputError: A file cannot be written.
    """
    scale = SCALES[budget]
    synthetic = out / "synthetic"
    generate(synthetic, scale.subjects, scale.images, seed=1, **SYNTHETIC, progress=True)
    pretrained = _run(default("pretrain"), [photos], out / "pretrain", None, scale, hardware)
    coarse = _run(default("coarse"), [photos, synthetic], out / "coarse", pretrained, scale, hardware)
    encoded = out / "encoded.safetensors"
    if not encoded.is_file():
        _fit_detail_encoder(coarse, synthetic, encoded)
    detail = _run(default("detail"), [synthetic], out / "detail", encoded, scale, hardware)
    weights = out / "openhead.safetensors"
    if not weights.is_file():
        networks, faces = out / "networks.safetensors", out / "faces"
        export(detail, networks, data=DATA, licence=LICENCE)
        generate(faces, scale.faces, 2, seed=_FIRST_FACE, **FACES, progress=True)
        add_shape_encoder(networks, [faces, synthetic], photos, weights, scale.steps["landmarks"])
    return weights


def _run(
    recipe: Recipe, data: list[Path], run: Path, start: Path | None, scale: Scale, hardware: Hardware | None
) -> Path:
    """The last checkpoint of a run, which is done or gone on with if need be."""
    if not (run / "summary.json").is_file():
        begun = (run / "last.ckpt").is_file()
        changed = recipe.changed({"steps": str(scale.steps[run.name])})
        train(changed, data, run, start=None if begun else start, resume=begun, hardware=hardware)
    return run / "last.ckpt"


def _fit_detail_encoder(start: Path, synthetic: Path, out: Path) -> None:
    """Writes the networks of a run with an E_d that knows codes (`least_squares`)."""
    model = DecaModel(default("detail"))
    load_networks(model, start)
    fit_detail_encoder(model.detail_encoder, SyntheticSubjects(synthetic), model.recipe.sizes.detail, progress=True)
    card = card_of(model.recipe, model.head)
    save_checkpoint(Checkpoint(card, *(model.get_submodule(name) for name in NETWORKS)), out)  # type: ignore[arg-type]
