"""The weights that come with the product, from nothing: `deca-train default`.

pretrain (photos) -> coarse (photos, synthetic people) -> code, detail (synthetic) -> finetune (both)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from deca_training.config import Recipe
from deca_training.data.synthetic.generate import generate
from deca_training.engine import Hardware, train
from deca_training.export import export
from deca_training.recipes import code, default, finetune

Budget = Literal["cpu", "gpu"]
DATA = "Labeled Faces in the Wild (people with two photos or more) and synthetic subjects"
LICENCE = "CC0-1.0; the trunk of the encoders is from MediaPipe's landmark network, Apache-2.0"


@dataclass(frozen=True)
class Scale:
    """How much a budget buys.

    Attributes:
        subjects, images: Synthetic people and photos of each.
        steps: By the name of a run.
    """

    subjects: int
    images: int
    steps: dict[str, int]


SYNTHETIC = {"outside": 1.0, "perspective": 0.4, "variety": 0.35}
"""How the synthetic people are (`data.synthetic.generate`). Where lines lie can hardly be told from a small photo, and
F_d would draw the mean of all places, which is nothing: so they differ a third of what they might."""

_CPU = {"pretrain": 2400, "coarse": 700, "code": 900, "detail": 4000, "finetune": 200}
_GPU = {"pretrain": 40_000, "coarse": 40_000, "code": 20_000, "detail": 100_000, "finetune": 10_000}
SCALES: dict[Budget, Scale] = {"cpu": Scale(1000, 6, _CPU), "gpu": Scale(10_000, 8, _GPU)}


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
    runs: list[tuple[str, Recipe, list[Path]]] = [
        ("pretrain", default("pretrain"), [photos]),
        ("coarse", default("coarse"), [photos, synthetic]),
        ("code", code(), [synthetic]),
        ("detail", default("detail"), [synthetic]),
        ("finetune", finetune(), [photos, synthetic]),
    ]
    before: Path | None = None
    for name, recipe, data in runs:
        run = out / name
        if not (run / "summary.json").is_file():
            begun = (run / "last.ckpt").is_file()
            changed = recipe.changed({"steps": str(scale.steps[name])})
            train(changed, data, run, start=None if begun else before, resume=begun, hardware=hardware)
        before = run / "last.ckpt"
    assert before is not None
    weights = out / "openhead.safetensors"
    export(before, weights, data=DATA, licence=LICENCE)
    return weights
