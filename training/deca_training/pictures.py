"""Grids of what the networks make of photos: one row per photo.

Shape suffixes: B photos, H W rows and columns of the crop (224), G of the grid.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from deca_training.batch import Batch
from deca_training.model import DecaModel

_GREEN, _RED = (0.2, 1.0, 0.3), (1.0, 0.25, 0.2)


@torch.no_grad()
def picture_grid(model: DecaModel, batch: Batch) -> NDArray[np.uint8]:
    """Input, landmarks, shape, rendering, albedo, shading; then, once wrinkles are learnt, the wrinkled shape and
    rendering, and those with the detail code of the subject's next photo.

    Args:
        model: The networks; their mode is left as it was.
        batch: Photos, K per subject, one subject after the other.

    Returns:
        (G, G, 3) uint8.
    """
    with in_evaluation_mode(model):
        return as_grid(_columns(model, batch))


@contextmanager
def in_evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Evaluates a model; afterwards its parts are in the modes that they were in."""
    was_training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in was_training.items():
            module.training = mode


def as_grid(columns: Sequence[Tensor]) -> NDArray[np.uint8]:
    """Columns of pictures (B, 3, H, W), 0..1, as one picture (G, G, 3), one row per photo."""
    cells_CB3HW = torch.stack([functional.interpolate(column, (224, 224)) for column in columns]).clamp(0, 1)
    rows = [torch.cat(tuple(row_C3HW), dim=2) for row_C3HW in cells_CB3HW.transpose(0, 1)]
    grid_3GG = torch.cat(rows, dim=1)
    return (grid_3GG.permute(1, 2, 0).cpu().numpy() * 255).round().astype(np.uint8)


def _columns(model: DecaModel, batch: Batch) -> list[Tensor]:
    image_B3HW = batch.image_B3HW
    codes = model.codes(image_B3HW)
    geometry = model.geometry(codes)
    is_68 = model.recipe.landmarks == "68"
    target_BL3 = batch.landmarks68_BL3 if is_68 else batch.landmarks478_BL3
    surface = model.renderer(geometry.verts_BV3, geometry.picture_BV3, 224, 224)
    albedo_B3HW = model.albedo(codes.albedo_BA)
    coarse = surface.shade(albedo_B3HW, codes.light_B93)
    alpha_B1HW = surface.alpha_B1HW

    def on_photo(rendering_B3HW: Tensor) -> Tensor:
        return torch.lerp(image_B3HW, rendering_B3HW, alpha_B1HW)

    marked_B3HW = _marked(image_B3HW, target_BL3[..., :2], target_BL3[..., 2] > 0, _RED)
    placed_BL = geometry.landmarks_BL2.abs().sum(-1) > 0
    marked_B3HW = _marked(marked_B3HW, geometry.landmarks_BL2, placed_BL, _GREEN)
    shading_B3HW = coarse.shading_B3HW * 0.5
    columns = [image_B3HW, marked_B3HW, on_photo(surface.clay()), on_photo(coarse.image_B3HW), coarse.albedo_B3HW,
               shading_B3HW]  # fmt: skip
    if model.recipe.stage != "detail":
        return columns
    detail_BD = model.detail_codes(batch)
    # The next photo of the same subject.
    rows_SK = torch.arange(len(batch), device=image_B3HW.device).split(batch.images_per_subject)
    other_BD = detail_BD[torch.cat([row_K.roll(-1) for row_K in rows_SK])]
    for code_BD in (detail_BD, other_BD):
        normals_B3HW = model.detail_normals(geometry, model.wrinkles(code_BD, codes)).normals_B3HW
        shaded = surface.shade(albedo_B3HW, codes.light_B93, normals_B3HW)
        columns += [on_photo(surface.clay(normals_B3HW)), on_photo(shaded.image_B3HW)]
    return columns


def _marked(image_B3HW: Tensor, points_BL2: Tensor, shown_BL: Tensor, colour: tuple[float, float, float]) -> Tensor:
    """Pictures with a dot of two by two pixels at each point."""
    height, width = image_B3HW.shape[-2:]
    marked = image_B3HW.clone()
    size = torch.tensor([width, height], device=image_B3HW.device)
    corner_BL2 = ((points_BL2 * 0.5 + 0.5) * size - 0.5).floor().long()
    for dx, dy in ((0, 0), (0, 1), (1, 0), (1, 1)):
        column_BL = (corner_BL2[..., 0] + dx).clamp(0, width - 1)
        row_BL = (corner_BL2[..., 1] + dy).clamp(0, height - 1)
        for row, (rows_L, columns_L, shown_L) in enumerate(zip(row_BL, column_BL, shown_BL, strict=True)):
            marked[row, :, rows_L[shown_L], columns_L[shown_L]] = marked.new_tensor(colour)[:, None]
    return marked
