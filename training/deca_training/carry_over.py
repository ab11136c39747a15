"""Weights of an earlier version of a head model, carried over to the present one: training need not begin from nothing.

Both versions have the same vertices in the same order; mean, directions, UV map and albedo may differ. What the old
networks say is a linear map away from what it would be called on the new head. So E_c's last layer is followed by
that map, and F_d's first layer preceded by its inverse. The wrinkles of the maps stay where they were on the old UV
map, and training moves them.

Shape suffixes: V vertices, S shape, E expression and A albedo coefficients, X expression coefficients and jaw, W ARKit
units, C columns of a right side.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from torch import nn

from deca.appearance.albedo import AlbedoModel, load_albedo
from deca.errors import AssetError
from deca.files import file_hash
from deca.head import HeadModel, load_head
from deca.networks import Card, Checkpoint, CodeSizes, check_head, load_checkpoint, save_checkpoint
from deca.networks.skin import SkinBackbone
from deca_training.closed_form.shape_encoder import with_shape_encoder
from deca_training.model import face_vertices
from deca_training.skin import place_skin

CARRIED_OVER = "carried over"
"""How the card of such weights begins to say where they come from."""
_REST = 0.1
"""How much vertices outside of the face count, beside those in it."""
_RIDGE = 1e-4
"""Square millimetres per vertex by which a coefficient of 1 must bring the heads closer."""
_ALBEDO_RIDGE = 1e-9
"""Squared albedo (0..1) per vertex and channel, likewise."""
_SAME_UNITS = 1e-3
"""Singular values of the ARKit units below this share of the largest are none: what they would tell is noise."""


@dataclass(frozen=True)
class Affine:
    """`new = matrix @ old + offset`."""

    matrix: NDArray[np.float64]
    offset: NDArray[np.float64]


@dataclass(frozen=True)
class Similarity:
    """How large and where the new head is: `old place = scale * new place + shift_3`, metres."""

    scale: float
    shift_3: NDArray[np.float64]


def write_carried_over(weights: Path, head: str, albedo: str, out: Path) -> Card:
    """Writes a weights file of an earlier head for the built-in one, shape encoder included; see `carry_over`.

    Args:
        weights, head, albedo: The earlier files.
        out: The new weights file.
    """
    checkpoint = carry_over(weights, load_head(head), load_albedo(albedo), load_head(), load_albedo())
    before, card = load_checkpoint(weights).card, checkpoint.card
    card = replace(card, recipe=f"{card.recipe}; before that: {before.recipe}", metrics=before.metrics)
    checkpoint = replace(checkpoint, card=card)
    if checkpoint.shape_encoder is not None:
        checkpoint = with_shape_encoder(checkpoint, checkpoint.shape_encoder)
    save_checkpoint(checkpoint, out, torch.float16)
    return checkpoint.card


def carry_over(
    weights: Path, old: HeadModel, old_albedo: AlbedoModel, head: HeadModel, albedo: AlbedoModel
) -> Checkpoint:
    """The networks of a weights file, as they have to be for another version of their head.

    Args:
        weights: The weights file of the old head.
        old, old_albedo: The models that it belongs to.
        head, albedo: The present ones.

    Raises:
        AssetError: The file is missing or damaged, or the models do not belong together.
    """
    checkpoint = load_checkpoint(weights)
    check_head(checkpoint.card, old)
    old_albedo.check_head(old)
    albedo.check_head(head)
    if old.num_verts != head.num_verts:
        raise AssetError(
            f"The earlier head has {old.num_verts} vertices, the present one {head.num_verts}: nothing says which"
            " belong together.",
            "Train without --start.",
        )
    sizes = checkpoint.card.sizes
    shape, similarity = shape_map(old, head, sizes.shape)
    expression_XX = expression_map(old, head, sizes.expression, similarity.scale)
    back_XX = expression_map(head, old, sizes.expression, 1 / similarity.scale)
    _carry_coarse(checkpoint.coarse_encoder.layers[-1], sizes, shape, similarity, expression_XX,
                  albedo_map(old, old_albedo, head, albedo, sizes.albedo))  # fmt: skip
    with torch.no_grad():
        first = checkpoint.detail_decoder.l1[0]
        assert isinstance(first, nn.Linear)
        codes_HX = first.weight[:, : len(back_XX)]
        codes_HX.copy_(torch.from_numpy(codes_HX.double().numpy() @ _jaw_first(back_XX)))
    if checkpoint.shape_encoder is not None:
        _append(checkpoint.shape_encoder.layer, shape.matrix, shape.offset)
    if isinstance(checkpoint.detail_encoder.encoder, SkinBackbone):
        place_skin(checkpoint.detail_encoder.encoder, head)
    told = f"{CARRIED_OVER} from weights {file_hash(weights)} of head {old.hash}"
    kept = {
        name: getattr(checkpoint.card, name) for name in ("backbone", "detail_backbone", "coarse_reduction", "licence")
    }
    card = Card.of(head, sizes=sizes, data=checkpoint.card.data, recipe=told, **kept)
    return replace(checkpoint, card=card, conformance={})


def shape_map(old: HeadModel, head: HeadModel, count: int) -> tuple[Affine, Similarity]:
    """New shape coefficients of old ones, and the similarity that is left to the camera.

    Size and place cannot be told from a photo, so what of the difference of the means they explain is theirs.
    """
    weight_V = _weights(head)
    dirs_RS = _rows(head.shape_dirs_V3S[:, :, :count], weight_V)
    places_R4 = np.concatenate((head.template_V3[:, :, None], np.tile(np.eye(3), (head.num_verts, 1, 1))), 2)
    wanted_V3C = np.concatenate((old.template_V3[:, :, None], old.shape_dirs_V3S[:, :, :count]), 2)
    basis_RX = np.concatenate((_rows(places_R4, weight_V), dirs_RS), 1)
    mean_X = _least_squares(basis_RX, _rows(wanted_V3C[:, :, :1], weight_V), _RIDGE, free=4)[:, 0]
    similarity = Similarity(float(mean_X[0]), mean_X[1:4])
    moved_SS = _least_squares(dirs_RS, _rows(wanted_V3C[:, :, 1:], weight_V), _RIDGE)
    return Affine(moved_SS / similarity.scale, mean_X[4:] / similarity.scale), similarity


def expression_map(old: HeadModel, head: HeadModel, count: int, scale: float = 1.0) -> NDArray[np.float64]:
    """New expression coefficients and jaw turn (X, X) of old ones: the same ARKit units as strongly; and what is no
    sum of units by the way that vertices move.

    Args:
        old, head: From which head to which.
        count: Expression coefficients.
        scale: Size of the old head in that of the new one.
    """
    weight_V = _weights(head)
    dirs_RE, wanted_RE = (_rows(model.expression_dirs_V3E[:, :, :count], weight_V) for model in (head, old))
    moved_XX = np.eye(count + 3)
    moved_XX[:count, :count] = _least_squares(dirs_RE, wanted_RE, _RIDGE) / scale
    if old.arkit_map_K52 is None or head.arkit_map_K52 is None or old.arkit_names != head.arkit_names:
        return moved_XX
    old_XW, new_XW = (_units(model, count) for model in (old, head))
    units_WX = np.linalg.pinv(old_XW, _SAME_UNITS)
    return new_XW @ units_WX + moved_XX @ (np.eye(count + 3) - old_XW @ units_WX)


def albedo_map(old: HeadModel, old_albedo: AlbedoModel, head: HeadModel, albedo: AlbedoModel, count: int) -> Affine:
    """New albedo coefficients of old ones, by the colours of the vertices."""
    weight_V = _weights(head)
    old_V3X, new_V3X = (_colours(*models, count) for models in ((old, old_albedo), (head, albedo)))
    mean_V31 = old_V3X[:, :, :1] - new_V3X[:, :, :1]
    wanted_RC = _rows(np.concatenate((mean_V31, old_V3X[:, :, 1:]), 2), weight_V)
    found_AC = _least_squares(_rows(new_V3X[:, :, 1:], weight_V), wanted_RC, _ALBEDO_RIDGE, unit=1.0)
    return Affine(found_AC[:, 1:], found_AC[:, 0])


@torch.no_grad()
def _carry_coarse(
    layer: nn.Module,
    sizes: CodeSizes,
    shape: Affine,
    similarity: Similarity,
    expression_XX: NDArray[np.float64],
    albedo: Affine,
) -> None:
    """Has E_c's last layer say its codes for the new head."""
    assert isinstance(layer, nn.Linear)
    matrix_NN, offset_N = np.eye(sizes.num_coarse), np.zeros(sizes.num_coarse)
    numbers = np.split(np.arange(sizes.num_coarse), np.cumsum(sizes.coarse)[:-1])
    shapes, albedos, expressions, poses, cameras, _ = numbers
    for rows, affine in ((shapes, shape), (albedos, albedo)):
        matrix_NN[np.ix_(rows, rows)] = affine.matrix
        offset_N[rows] = affine.offset
    with_jaw = np.concatenate((expressions, poses[3:]))
    matrix_NN[np.ix_(with_jaw, with_jaw)] = expression_XX
    # s_old (scale x + shift + t_old) = s_new (x + t_new)
    matrix_NN[cameras, cameras] = (similarity.scale, 1 / similarity.scale, 1 / similarity.scale)
    offset_N[cameras[1:]] = similarity.shift_3[:2] / similarity.scale
    _append(layer, matrix_NN, offset_N)


def _append(layer: nn.Linear, matrix_NN: NDArray[np.float64], offset_N: NDArray[np.float64]) -> None:
    """Has a layer say `matrix @ what it said + offset`."""
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(matrix_NN @ layer.weight.double().numpy()))
        layer.bias.copy_(torch.from_numpy(matrix_NN @ layer.bias.double().numpy() + offset_N))


def _jaw_first(matrix_XX: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same map of codes in F_d's order: the jaw before the expression."""
    return np.roll(matrix_XX, 3, (0, 1))


def _units(head: HeadModel, count: int) -> NDArray[np.float64]:
    """Expression coefficients and jaw turn (X, W) of each ARKit unit; the eyes' turns, which no network gives, less."""
    assert head.arkit_map_K52 is not None
    known = len(head.arkit_map_K52) - 9  # then jaw, left and right eye
    return head.arkit_map_K52[[*range(count), *range(known, known + 3)]].astype(np.float64)


def _weights(head: HeadModel) -> NDArray[np.float64]:
    weight_V: NDArray[np.float64] = np.full(head.num_verts, _REST, np.float64)
    weight_V[face_vertices(head).numpy()] = 1.0
    weight_V /= weight_V.sum()
    return weight_V


def _rows(values_V3C: NDArray, weight_V: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows of a weighted least squares problem (3 V, C), whose squares add up to the mean over the face."""
    return (np.sqrt(weight_V)[:, None, None] * values_V3C).astype(np.float64).reshape(-1, values_V3C.shape[2])


def _least_squares(
    basis_RX: NDArray, wanted_RC: NDArray, ridge: float, *, free: int = 0, unit: float = 1e-3
) -> NDArray[np.float64]:
    """The combinations (X, C) of columns that come nearest; the first `free` columns cost nothing.

    Args:
        basis_RX, wanted_RC: `_rows`.
        ridge: What the square of each other number costs, in squares of `unit`.
        unit: Of the ridge, in the rows' unit.
    """
    cost_X = np.where(np.arange(basis_RX.shape[1]) < free, 0.0, ridge * unit**2)
    return np.linalg.solve(basis_RX.T @ basis_RX + np.diag(cost_X), basis_RX.T @ wanted_RC)


def _colours(head: HeadModel, albedo: AlbedoModel, count: int) -> NDArray[np.float64]:
    """Mean albedo and the leading components at the vertices (V, 3, 1 + A)."""
    uv_V2 = np.zeros((head.num_verts, 2))
    uv_V2[head.faces_F3] = head.uv_T2[head.uv_faces_F3]  # at a seam one of its sides
    size = np.array((albedo.height, albedo.width))
    places_2V = (np.stack((1 - uv_V2[:, 1], uv_V2[:, 0]), 1) * size - 0.5).T
    maps_XHW = (
        torch.cat((albedo.mean_X[None], albedo.basis_AX[:count])).numpy().reshape(-1, albedo.height, albedo.width)
    )
    sampled = [map_coordinates(map_HW, places_2V, order=1, mode="nearest") for map_HW in maps_XHW.astype(np.float64)]
    return np.stack(sampled, 1).reshape(head.num_verts, -1, 3).transpose(0, 2, 1)
