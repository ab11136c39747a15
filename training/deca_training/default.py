"""The weights that come with the product: `deca-train default`.

    from nothing:   people -> pretrain (photos) -> coarse (photos, people)
    carried over:   weights of an earlier version of the head -> people
    then, side by side: E_d, F_d (people)  |  faces -> shape encoder, E_c's last layers (faces, people, photos)
    last:           the relief network (people of its own)

Each part leaves its file in the folder, and is not done again.
"""

from __future__ import annotations

import json
import multiprocessing
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypedDict

import torch

from deca.appearance.albedo import load_albedo
from deca.errors import AssetError, DecaError, OptionError
from deca.files import file_hash, write_file
from deca.head import load_head
from deca.networks import Checkpoint, load_checkpoint, save_checkpoint
from deca_training.carry_over import CARRIED_OVER, carry_over
from deca_training.closed_form.age import age_direction
from deca_training.closed_form.code_change import read_codes_of
from deca_training.closed_form.least_squares import fit_detail_encoder
from deca_training.closed_form.shape_encoder import add_shape_encoder, with_shape_encoder
from deca_training.closed_form.told_traits import FILE as TRAITS
from deca_training.closed_form.told_traits import with_traits
from deca_training.config import Recipe
from deca_training.data.index import PhotoIndex
from deca_training.data.synthetic import SyntheticSubjects
from deca_training.data.synthetic.generate import generate
from deca_training.engine import Hardware, load_networks, read_run, train
from deca_training.export import export
from deca_training.model import NETWORKS, DecaModel, card_of
from deca_training.processes import begin_worker
from deca_training.recipes import default
from deca_training.relief.trainer import SCALES as RELIEF_SCALES
from deca_training.relief.trainer import Scale as ReliefScale
from deca_training.relief.trainer import train_relief

Budget = Literal["cpu", "gpu"]
DATA = "Labeled Faces in the Wild (people with two photos or more) and synthetic subjects"
RELIEF = "relief.safetensors"
LICENCE = "CC0-1.0; the trunk of the encoders is from MediaPipe's landmark network, Apache-2.0"


@dataclass(frozen=True)
class Earlier:
    """Weights to begin with, and the version of the head model that they belong to.

    Attributes:
        weights: Weights file.
        head, albedo: Head and albedo model, by name or path.
    """

    weights: Path
    head: str
    albedo: str


@dataclass(frozen=True)
class Scale:
    """How much a budget buys.

    Attributes:
        subjects, images: Synthetic people and photos of each.
        faces: More of them, with two photos each, for the shape encoder.
        steps: By the name of a run; `landmarks` of E_c's last layers, beside the shape encoder.
        relief: Of the relief network.
        minutes: About what each part takes of two CPU cores that nobody else uses; empty where it is not known.
    """

    subjects: int
    images: int
    faces: int
    steps: dict[str, int]
    relief: ReliefScale
    minutes: Mapping[str, float] = field(default_factory=dict)


class Manner(TypedDict, total=False):
    """How synthetic people are (`data.synthetic.generate`)."""

    outside: float
    perspective: float
    variety: float


SYNTHETIC: Manner = {"outside": 1.0, "perspective": 0.4, "variety": 0.35}
"""How the synthetic people are. Where lines lie can hardly be told from a small photo, and
F_d would draw the mean of all places, which is nothing: so they differ a third of what they might."""

FACES: Manner = {"outside": 1.5, "perspective": 1.0}
"""How those for the shape encoder are: outside of the shape model's span and near the camera, as people are."""
_FIRST_FACE = 3_000_001

_CPU = {"pretrain": 1500, "coarse": 240, "detail": 1200, "landmarks": 500}
_GPU = {"pretrain": 40_000, "coarse": 40_000, "detail": 100_000, "landmarks": 5000}
_MINUTES = {"carry over": 0.5, "people": 5, "detail encoder": 2, "detail decoder": 15, "shape encoder": 12, "file": 0.5,
            "relief": 90}  # fmt: skip
SCALES: dict[Budget, Scale] = {
    "cpu": Scale(500, 6, 1300, _CPU, RELIEF_SCALES["cpu"], {"people": 5, "pretrain": 20, "coarse": 22} | _MINUTES),
    "gpu": Scale(10_000, 8, 20_000, _GPU, RELIEF_SCALES["gpu"]),
}
CARRIED: dict[Budget, Scale] = {
    "cpu": Scale(500, 6, 1300, {"detail": 1200, "landmarks": 500}, RELIEF_SCALES["cpu"], _MINUTES),
    "gpu": Scale(10_000, 8, 20_000, {"detail": 50_000, "landmarks": 5000}, RELIEF_SCALES["gpu"]),
}
"""With networks to begin with: E_c's backbone, which knows faces already, stays as it is."""


def train_default(
    photos: Path,
    out: Path,
    budget: Budget = "cpu",
    hardware: Hardware | None = None,
    earlier: Earlier | None = None,
    portraits: Path | None = None,
) -> Path:
    """Trains the weights, and the relief network; what was stopped goes on where it was, and what is done stays.

    A run that was stopped leaves weights files that the product loads: `begun.safetensors`, and later
    `shaped.safetensors`, whose wrinkles are those of the earlier weights, or none.

    Args:
        photos: An index (`deca-train prepare`).
        out: Folder of the synthetic subjects, the runs and the weights file.
        budget: An hour or so of two CPU cores, or hours of a GPU.
        hardware: What to use.
        earlier: What to begin with, instead of nothing.
        portraits: Folder of sharp photos, on whose skin the relief network also learns, and the shape encoder of age
            and sex if it names them (`told_traits.FILE`).

    Returns:
        The weights file; that of the relief network lies beside it, `relief.safetensors`.

    Raises:
        AssetError: The index or a model is missing or damaged, or the earlier weights are for other networks.
        OptionError: The folder is of another beginning or another head.
        OutputError: A file cannot be written.
        DecaError: A process died.
    """
    begun, weights = out / "begun.safetensors", out / "openhead.safetensors"
    if begun.is_file():
        _check_begun(begun, earlier)
    if weights.is_file() and (out / RELIEF).is_file():
        return weights
    PhotoIndex.load(photos)  # better now than after minutes
    hardware = hardware or Hardware()
    scale = (SCALES if earlier is None else CARRIED)[budget]
    told = _Told(scale.minutes)
    if not weights.is_file():
        _networks(photos, out, begun, weights, budget, scale, hardware, earlier, told, portraits)
    told.begins("relief")
    _relief(out, budget, scale, portraits)
    return weights


def _networks(
    photos: Path,
    out: Path,
    begun: Path,
    weights: Path,
    budget: Budget,
    scale: Scale,
    hardware: Hardware,
    earlier: Earlier | None,
    told: _Told,
    portraits: Path | None,
) -> None:
    """Writes the weights file of encoders and F_d."""
    synthetic = out / "synthetic"
    if earlier is not None and not begun.is_file():
        told.begins("carry over")
        save_checkpoint(_carried(earlier), begun)
    told.begins("people")
    generate(synthetic, scale.subjects, scale.images, seed=1, **SYNTHETIC, progress=True, processes=hardware.workers)
    if not begun.is_file():
        told.begins("pretrain")
        pretrained = _run(default("pretrain"), [photos], out / "pretrain", None, scale, hardware)
        told.begins("coarse")
        coarse = _run(default("coarse"), [photos, synthetic], out / "coarse", pretrained, scale, hardware)
        export(coarse, begun, licence=LICENCE)
    is_carried = earlier is not None
    task = (begun, synthetic, photos, out, scale)
    if hardware.workers:
        with _beside(_shape_encoder, *task, log=out / "shape_encoder.log"):
            detail = _wrinkles(begun, synthetic, out, scale, hardware, told, is_carried)
            told.begins("shape encoder")
    else:
        detail = _wrinkles(begun, synthetic, out, scale, hardware, told, is_carried)
        told.begins("shape encoder")
        _shape_encoder(*task)
    told.begins("file")
    command = f"deca-train default --budget {budget}"
    _write_weights(out, detail, _data(photos, out), command, scale, weights, portraits)


def _wrinkles(
    begun: Path, synthetic: Path, out: Path, scale: Scale, hardware: Hardware, told: _Told, is_carried: bool
) -> Path:
    """E_d, then F_d; returns the checkpoint of F_d's run."""
    encoded = out / "encoded.safetensors"
    if not encoded.is_file():
        told.begins("detail encoder")
        _fit_detail_encoder(begun, synthetic, encoded, is_carried)
    told.begins("detail decoder")
    return _run(default("detail"), [synthetic], out / "detail", encoded, scale, hardware)


def _shape_encoder(begun: Path, synthetic: Path, photos: Path, out: Path, scale: Scale) -> None:
    """Writes `shaped.safetensors`: the networks so far, with a shape encoder and an E_c that poses its shapes."""
    shaped, faces = out / "shaped.safetensors", out / "faces"
    if not shaped.is_file():
        generate(faces, scale.faces, 2, seed=_FIRST_FACE, **FACES, progress=True)
        add_shape_encoder(begun, [faces, synthetic], photos, shaped, scale.steps["landmarks"])


def _relief(out: Path, budget: Budget, scale: Scale, portraits: Path | None) -> None:
    """The first half of the time finds what portraits show, the second learns from it."""
    start = None
    rounds = ("smooth", "portraits") if portraits else ("smooth",)
    for name in rounds:
        file = out / "relief" / f"{name}.safetensors"
        hours, people = scale.relief.hours / len(rounds), scale.relief.people
        train_relief(file, budget, hours, portraits if start else None, people, start)
        start = file
    assert start is not None
    write_file(out / RELIEF, start.read_bytes())


def _carried(earlier: Earlier) -> Checkpoint:
    """The earlier weights for the present head."""
    recipe = default("detail")
    head, albedo = load_head(recipe.head), load_albedo(recipe.albedo)
    checkpoint = carry_over(earlier.weights, load_head(earlier.head), load_albedo(earlier.albedo), head, albedo)
    wanted = card_of(recipe, head)
    kinds = ("sizes", "backbone", "detail_backbone", "coarse_reduction")
    if any(getattr(checkpoint.card, kind) != getattr(wanted, kind) for kind in kinds):
        raise AssetError(f"{earlier.weights} holds other networks than those of the product.", "Train without --start.")
    return replace(checkpoint, shape_encoder=None)  # a new one is fitted


def _check_begun(begun: Path, earlier: Earlier | None) -> None:
    card = load_checkpoint(begun).card
    is_same = file_hash(earlier.weights) in card.recipe if earlier else not card.recipe.startswith(CARRIED_OVER)
    if card.head_hash != load_head().hash or not is_same:
        raise OptionError(
            f"{begun.parent} was begun with another head model or other weights ({card.recipe}).",
            "Give another folder.",
        )


def _run(
    recipe: Recipe, data: list[Path], run: Path, start: Path | None, scale: Scale, hardware: Hardware | None
) -> Path:
    """The last checkpoint of a run, which is done or gone on with if need be."""
    if not (run / "summary.json").is_file():
        begun = (run / "last.ckpt").is_file()
        changed = recipe.changed({"steps": str(scale.steps[run.name])})
        train(changed, data, run, start=None if begun else start, resume=begun, hardware=hardware)
    return run / "last.ckpt"


def _fit_detail_encoder(start: Path, synthetic: Path, out: Path, is_carried: bool) -> None:
    """Writes the networks of a file with an E_d that knows codes (`least_squares`), and an F_d that reads them where it
    knew other people's (`code_change`)."""
    model, subjects = DecaModel(default("detail")), SyntheticSubjects(synthetic)
    load_networks(model, start)
    length = model.recipe.sizes.detail
    fit_detail_encoder(model.detail_encoder, subjects, length, progress=True)
    if is_carried:
        read_codes_of(model.detail_decoder, subjects, model.head, length)
    card = card_of(model.recipe, model.head)
    save_checkpoint(Checkpoint(card, *(model.get_submodule(name) for name in NETWORKS)), out)  # type: ignore[arg-type]


def _write_weights(
    out: Path, detail: Path, data: str, command: str, scale: Scale, weights: Path, portraits: Path | None
) -> None:
    """Puts the networks of both branches into one file, with a card that says how they were made."""
    shaped, run = load_checkpoint(out / "shaped.safetensors"), read_run(detail)
    for name in ("detail_encoder", "detail_decoder"):
        shaped.networks()[name].load_state_dict(run.states[name])
    begun = load_checkpoint(out / "begun.safetensors").card.recipe
    recipe = (
        f"{command}: {begun}; then shape encoder by ridge regression and by other photos of the people, E_c's last"
        f" layers {scale.steps['landmarks']:,} steps of 48 photos beside it, E_d by least squares, F_d {run.steps:,}"
        f" steps of {run.recipe.batch_size} photos"
    )
    metrics = json.loads((detail.parent / "summary.json").read_text("utf-8"))["validation"]
    card = replace(shaped.card, data=data, recipe=recipe, metrics=metrics, licence=LICENCE)
    assert shaped.shape_encoder is not None
    shaped = with_shape_encoder(replace(shaped, card=card), shaped.shape_encoder)
    if portraits is not None and (portraits / TRAITS).is_file():
        shaped, measured = with_traits(shaped, portraits, portraits / TRAITS)
        print(f"deca-train: {measured}", flush=True)
    try:  # E_d has not seen these people
        shaped = replace(shaped, age_D=age_direction(shaped, SyntheticSubjects(out / "faces")).direction_D)
    except AssetError as reason:
        print(f"deca-train: the weights do not know age: {reason}", flush=True)
    save_checkpoint(shaped, weights, torch.float16)


def _data(photos: Path, out: Path) -> str:
    index = PhotoIndex.load(photos)
    people, faces = (len(SyntheticSubjects(out / name)) for name in ("synthetic", "faces"))
    return (
        f"{DATA}: {len(index):,} photos of {index.num_subjects:,} people; {people:,} synthetic people ({SYNTHETIC}) for"
        f" wrinkles and shapes, {faces:,} ({FACES}) for shapes"
    )


class _Told:
    """Says which part begins, and about how long it and the rest take.

    Args:
        minutes: What each part takes, in their order; parts that are skipped are left out of the rest.
    """

    def __init__(self, minutes: Mapping[str, float]) -> None:
        self._names, self._minutes = list(minutes), minutes
        self._since, self._part = time.monotonic(), ""
        self._took, self._expected = 0.0, 0.0

    def begins(self, part: str) -> None:
        """A part begins; the one before it has ended."""
        now = time.monotonic()
        self._took += (now - self._since) / 60
        self._expected += self._minutes.get(self._part, 0.0)
        self._since, self._part = now, part
        line = f"deca-train: {part}"
        if part in self._minutes:
            # On a slower or busier computer the rest will take longer by as much as the beginning did.
            slower = max(self._took / self._expected, 0.5) if self._expected > 1 else 1.0
            rest = sum(self._minutes[name] for name in self._names[self._names.index(part) :])
            line += f", about {slower * self._minutes[part]:.0f} minutes, of {slower * rest:.0f} that are left"
        print(line, flush=True)


@contextmanager
def _beside(function: Callable[..., object], *arguments: object, log: Path) -> Iterator[None]:
    """Calls a function in a process of its own, which has ended when the block is left.

    Raises:
        DecaError: It failed; the reason is in the log.
    """
    process = multiprocessing.get_context("spawn").Process(target=_logged, args=(log, function, arguments), daemon=True)
    threads = torch.get_num_threads()
    process.start()
    torch.set_num_threads(max(1, threads - 1))
    try:
        yield
        process.join()
    finally:
        process.terminate()  # where the block failed
        torch.set_num_threads(threads)
    if process.exitcode:
        raise DecaError(f"A part of the training failed; {log} says why.", "The same command goes on where it was.")


def _logged(log: Path, function: Callable[..., object], arguments: tuple[object, ...]) -> None:
    begin_worker()
    with log.open("a", encoding="utf-8") as file, redirect_stdout(file), redirect_stderr(file):
        try:
            function(*arguments)
        except Exception:
            traceback.print_exc()
            raise
