"""What a face tells of its owner's age and sex, put into the shape encoder.

Landmarks of photos tell little of a brow's ridge, the back of a jaw or a neck, and the shape encoder, which they teach
(`cross_photo`), leaves these as they are on average: women had men's heads. The encoder's inputs tell age and sex all
the same, and the head model knows what shapes go along with them (its traits). So the estimate also gets the mean shape
of people of the age and sex that the face tells, as far as landmarks would not see it: what they do see they have said.

Shape suffixes: N photos, X inputs of the shape encoder, S shape coefficients, T traits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from deca.errors import AssetError
from deca.head import load_head
from deca.head.traits import Trait
from deca.networks import Checkpoint, ShapeEncoder, check_head, load_checkpoint, save_checkpoint
from deca.networks.face_descriptor import FaceFeatures
from deca.reconstruct.fit import LandmarkSolver
from deca_training.closed_form.photo_table import faces_of, read_photo_table
from deca_training.closed_form.shape_encoder import ShapeTruth, inputs, scales, with_shape_encoder
from deca_training.cross_photo import gather_evidence

FILE = "traits.csv"
"""In a folder of portraits: a line per photo, `photo,age,sex`; sex is `woman` or `man`, age in years."""
_SEX = {"woman": -1.0, "man": 1.0}
_OLDEST = 130.0
"""Years: more is a mistake."""
_RIDGES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
"""Ridges of which the one is taken that foretells photos left out best; of inputs scaled as the shape encoder's."""
_UNSEEN = 3.0
"""Square millimetres of what is added that are given up for a squared percent by which landmarks move. On people to
choose on a third of the way to the other sex is given up at 3, a fifth at 1, and the error of other photos grows by
0.0015 and 0.003 %; with all of it by 0.02."""
_FEWEST = 40
"""Photos that a readout is trusted from."""
_MARK = "age and sex told by"
"""The last step of the recipe of weights that have this."""


class Told(NamedTuple):
    """Photos of people whose traits are known.

    Attributes:
        inputs_NX: What the shape encoder sees of them.
        landmarks_NL2: Their landmarks, pixels, and the photos' widths and heights.
        sizes_N2: Likewise.
        values_NT: The people's traits, in standard deviations from the head model's mean.
    """

    inputs_NX: NDArray[np.float32]
    landmarks_NL2: NDArray[np.floating]
    sizes_N2: NDArray[np.integer]
    values_NT: NDArray[np.floating]


def read_traits(path: Path) -> dict[str, dict[str, float]]:
    """Traits by photo, in the units of the head model's; see `FILE`.

    Raises:
        AssetError: The file is missing or damaged.
    """
    lines = "`photo,age,sex`, as p001/1.jpg,62,woman"
    return read_photo_table(path, lambda row: {"age": _age(row["age"]), "sex": _SEX[row["sex"]]}, "traits", lines)


def _age(text: str) -> float:
    age = float(text)
    if not 0 <= age <= _OLDEST:
        raise ValueError(f"an age of {text}")
    return age


def add_traits(weights: Path, portraits: Path, traits: Path, out: Path) -> str:
    """Writes a weights file whose shape encoder heeds age and sex; its other networks stay as they are.

    Args:
        weights: A weights file.
        portraits, traits: As in `with_traits`.
        out: The file, in half precision.

    Returns:
        What was measured, in words.

    Raises:
        AssetError: As `with_traits`, or the weights are missing or damaged.
        OutputError: The file cannot be written.
    """
    checkpoint, measured = with_traits(load_checkpoint(weights), portraits, traits)
    save_checkpoint(checkpoint, out, torch.float16)
    return measured


def with_traits(checkpoint: Checkpoint, portraits: Path, traits: Path) -> tuple[Checkpoint, str]:
    """A checkpoint whose shape encoder heeds age and sex, and what was measured, in words.

    Args:
        checkpoint: Networks with a shape encoder that does not yet.
        portraits: Folder of photos.
        traits: File of the traits of people on them.

    Raises:
        AssetError: The file of traits is missing or damaged, the networks belong to another head, have no shape encoder
            or one that heeds them already, or there are too few photos.
    """
    head, encoder, card = load_head(), checkpoint.shape_encoder, checkpoint.card
    check_head(card, head)
    # What was done before the last step, a newer shape encoder has replaced.
    if encoder is None or card.recipe.split("; ")[-1].startswith(_MARK):
        raise AssetError("The weights have no shape encoder, or one that heeds age and sex.", "Give other weights.")
    known = [trait for trait in head.traits if trait.name in ("age", "sex")]
    told = _read_portraits(encoder, portraits, read_traits(traits), known)
    square_SS = gather_evidence(
        LandmarkSolver(head), told.landmarks_NL2, told.sizes_N2, np.zeros(encoder.layer.out_features), progress=True
    ).square_NSS.mean(0, dtype=np.float64)
    metric_SS = ShapeTruth(head, len(square_SS)).metric_SS
    taught, correlation_T = heeding(encoder, told, known, square_SS, metric_SS)
    card = replace(card, recipe=f"{card.recipe}; {_MARK} {len(told.inputs_NX)} portraits")
    measured = ", ".join(
        f"{trait.name} told of people left out: r {correlation:.2f}"
        for trait, correlation in zip(known, correlation_T, strict=True)
    )
    return with_shape_encoder(replace(checkpoint, card=card), taught), measured


def heeding(
    encoder: ShapeEncoder,
    told: Told,
    traits: Sequence[Trait],
    square_SS: NDArray[np.floating],
    metric_SS: NDArray[np.floating],
) -> tuple[ShapeEncoder, NDArray[np.float64]]:
    """The encoder with the traits' shapes added, and how well each trait is told of photos left out (T,).

    Args:
        encoder: A shape encoder.
        told: Photos to learn from.
        traits: Of the head model, those of `told`.
        square_SS: Squared distance by which landmarks move, percent of the outer-eye distance.
        metric_SS: Squared distance of heads by their coefficients, mean square of millimetres.
    """
    codes_ST = np.stack([trait.code_S[: len(metric_SS)] for trait in traits], 1).astype(np.float64)
    unseen_ST = np.linalg.solve(metric_SS + _UNSEEN * square_SS, metric_SS @ codes_ST)
    readouts = [readout(told.inputs_NX, value_N) for value_N in told.values_NT.T]
    taught = ShapeEncoder(len(metric_SS))
    taught.load_state_dict(encoder.state_dict())
    with torch.no_grad():
        for (weight_X, bias, _), unseen_S in zip(readouts, unseen_ST.T, strict=True):
            taught.layer.weight.add_(torch.from_numpy(np.outer(unseen_S, weight_X)))
            taught.layer.bias.add_(torch.from_numpy(bias * unseen_S))
    return taught.eval(), np.array([correlation for _, _, correlation in readouts])


def readout(inputs_NX: NDArray[np.floating], value_N: NDArray[np.floating]) -> tuple[NDArray[np.float64], float, float]:
    """The ridge regression of a trait, as long as its truth on photos left out asks for.

    A ridge answers too cautiously; what it says of photos left out tells by how much.

    Returns:
        Weights (X,), bias, and the correlation of answer and truth on photos left out.
    """
    mean_X, scale_X = scales(inputs_NX)
    rows_NX = (inputs_NX - mean_X) / scale_X
    centred_N = value_N - value_N.mean()
    size_N, basis_NN = np.linalg.eigh(rows_NX @ rows_NX.T)
    found = []
    for ridge in _RIDGES:
        kept_N = np.maximum(size_N, 0) / (np.maximum(size_N, 0) + ridge * len(size_N))
        said_N = basis_NN @ (kept_N * (basis_NN.T @ centred_N))
        own_N = np.square(basis_NN) @ kept_N + 1 / len(size_N)
        # Leaving one out in closed form: its residual grows by what the photo says of itself.
        left_out_N = centred_N - (centred_N - said_N) / (1 - own_N)
        found.append((float(np.corrcoef(left_out_N, centred_N)[0, 1]), ridge, left_out_N))
    correlation, ridge, left_out_N = max(found, key=lambda each: each[0])
    cautious = float(left_out_N @ centred_N / (left_out_N @ left_out_N))
    dual_N = basis_NN @ ((basis_NN.T @ centred_N) / (np.maximum(size_N, 0) + ridge * len(size_N)))
    weight_X = cautious * (rows_NX.T @ dual_N) / scale_X
    return weight_X, float(value_N.mean() - mean_X @ weight_X), correlation


def _read_portraits(
    encoder: ShapeEncoder, portraits: Path, told: Mapping[str, Mapping[str, float]], traits: Sequence[Trait]
) -> Told:
    features, seen = FaceFeatures.load(), []
    for photo, face, values in faces_of(portraits, told):
        landmarks_L3 = face.landmarks_L3
        value_T = [(values[trait.name] - trait.mean) / trait.deviation for trait in traits]
        seen.append((inputs(encoder, features, photo.pixels, landmarks_L3), landmarks_L3[:, :2],
                     photo.pixels.shape[1::-1], value_T))  # fmt: skip
    if len(seen) < _FEWEST:
        raise AssetError(f"{len(seen)} photos with faces do not tell age and sex.", f"Give {_FEWEST} at least.")
    return Told(*(np.array(field) for field in zip(*seen, strict=True)))
