"""Grids of what the nonlinear face model makes of photos: one row per photo.

Shape suffixes: B photos, H W rows and columns of the window of the UV map, Y of crops, G of the grid.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from deca.networks.nonlinear import Pair
from deca.reconstruct.nonlinear import render
from deca.render.camera import project
from deca.render.lighting import CLAY, lamp_shading
from deca.render.renderer import Renderer
from deca_training.batch import Batch
from deca_training.nonlinear_model import NonlinearModel, Shape
from deca_training.pictures import as_grid, in_evaluation_mode


@torch.no_grad()
def nonlinear_grid(model: NonlinearModel, batch: Batch) -> NDArray[np.uint8]:
    """Crop, shape over the crop; then on the window: the photo, the renderings of true elements and of proxies, both
    albedos, and both shapes in grey.

    Args:
        model: The networks; their mode is left as it was.
        batch: Photos.

    Returns:
        (G, G, 3) uint8.
    """
    with in_evaluation_mode(model):
        return as_grid(_columns(model, batch))


def _columns(model: NonlinearModel, batch: Batch) -> list[Tensor]:
    known = batch.truth.codes if batch.truth is not None else batch.geometry
    codes = model.with_known(model.codes(batch.image_B3HW), known)
    shape, proxy_shape = model.shapes(codes, batch)
    albedos = model.albedos(codes)
    renderer = Renderer.of_head(model.face.head).to(batch.image_B3HW.device)
    surface = renderer(shape.verts_BV3, project(shape.verts_BV3, codes.camera_B3))
    over_B3YY = torch.lerp(batch.image_B3HW, surface.clay(), surface.alpha_B1HW)
    seen_B1HW = (shape.view.seen_B1HW > 0).float()

    def rendered(one: Shape, albedo_B3HW: Tensor) -> Tensor:
        return _grey(render(albedo_B3HW, one.view.normals_B3HW, codes.light_B93), model.face.skin_HW)

    pair = Pair(*(_grey(albedo_B3HW, model.face.skin_HW) for albedo_B3HW in albedos))
    windows = [
        _grey(shape.view.photo_B3HW, seen_B1HW),
        rendered(shape, albedos.true_B3HW),
        rendered(proxy_shape, albedos.proxy_B3HW),
        *pair,
        *(_clay(one.view.normals_B3HW, model.face.skin_HW) for one in (shape, proxy_shape)),
    ]
    return [batch.image_B3HW, over_B3YY, *(_square(window_B3HW) for window_B3HW in windows)]


def _grey(map_B3HW: Tensor, shown: Tensor) -> Tensor:
    """A map that is grey where nothing is to be shown."""
    return torch.lerp(torch.full_like(map_B3HW, 0.5), map_B3HW, shown)


def _clay(normals_B3HW: Tensor, skin_HW: Tensor) -> Tensor:
    grey_311 = normals_B3HW.new_tensor(CLAY)[:, None, None]
    return _grey(lamp_shading(normals_B3HW) * grey_311, skin_HW)


def _square(map_B3HW: Tensor) -> Tensor:
    """A map with grey columns or rows beside it, so that it keeps its proportions."""
    high, wide = map_B3HW.shape[-2:]
    side = max(high, wide)
    left, top = (side - wide) // 2, (side - high) // 2
    return functional.pad(map_B3HW, (left, side - wide - left, top, side - high - top), value=0.5)
