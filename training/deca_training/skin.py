"""Where each place of the skin is, seen from the landmarks.

A linear estimate, the same for every pose, size and place of a picture: under scaled orthographic projection a point
that is a weighted sum of others stays that sum.

Shape suffixes: B heads, V vertices, L landmarks, G rows and columns of a grid on the UV map.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from deca.head import HeadModel
from deca.head.layer import HeadLayer
from deca.networks import MAP_SIZE
from deca.networks.skin import GRID, NUM_POINTS, SkinBackbone
from deca.render.detail import DETAIL_MASK, detail_patch
from deca.render.uv import pad_islands, uv_mask, world2uv

_HEADS = 400
_NOISE = 1.2e-3
"""Metres: how far off landmarks are; the estimate takes as many of them together as that needs."""
_EXPRESSION, _JAW = 0.8, 0.12


@torch.no_grad()
def place_skin(backbone: SkinBackbone, head: HeadModel) -> None:
    """Sets what the backbone knows of a head model.

    Raises:
        AssetError: The head model has no MediaPipe landmarks or no detail mask.
    """
    weights_VL = vertex_weights(head)
    backbone.place_GGL.copy_(_on_grid(weights_VL, head))
    template_V3 = torch.from_numpy(head.template_V3).float()
    points_GG3 = _on_grid(template_V3, head)
    across = points_GG3[:, 2:] - points_GG3[:, :-2]
    down = points_GG3[2:] - points_GG3[:-2]
    area_GG = torch.linalg.cross(across[1:-1], down[:, 1:-1]).norm(dim=-1)
    skin_HW = uv_mask(head, DETAIL_MASK, MAP_SIZE)[*detail_patch(head, MAP_SIZE)]

    def resized(map_HW: Tensor, size: int) -> Tensor:
        return functional.interpolate(map_HW[None, None], (size, size), mode="bilinear", antialias=True)[0, 0]

    backbone.skin_NN.copy_((resized(skin_HW, len(backbone.skin_NN)) > 0.5).float())
    area_GG = functional.pad(area_GG, (1, 1, 1, 1)) * (resized(skin_HW, GRID) > 0.5)
    backbone.area_GG.copy_(area_GG / area_GG.max())


@lru_cache(maxsize=4)
def vertex_weights(head: HeadModel) -> Tensor:
    """The best linear estimate of vertices from noisy landmarks over random heads: weights (V, L), rows sum to 1."""
    generator = torch.Generator().manual_seed(0)
    layer = HeadLayer(head, 100, 50)
    shape_BS = torch.randn(_HEADS, 100, generator=generator)
    expression_BE = _EXPRESSION * torch.randn(_HEADS, 50, generator=generator)
    pose_BJ3 = torch.zeros(_HEADS, 5, 3)
    pose_BJ3[:, 2, 0] = _JAW * torch.randn(_HEADS, generator=generator).abs()
    verts_BV3 = layer(shape_BS, expression_BE, pose_BJ3)
    points_BL3 = layer.landmarks_478(verts_BV3)[:, :NUM_POINTS]
    centre_B13 = points_BL3.mean(1, keepdim=True)

    def columns(values_BX3: Tensor) -> Tensor:
        return (values_BX3 - centre_B13).transpose(0, 1).flatten(1).double()

    points_LX, verts_VX = columns(points_BL3), columns(verts_BV3)
    count = points_LX.shape[1]
    square_LL = points_LX @ points_LX.T / count + _NOISE**2 * torch.eye(NUM_POINTS, dtype=torch.float64)
    weights_VL = torch.linalg.solve(square_LL, points_LX @ verts_VX.T / count).T
    return (weights_VL + (1 - weights_VL.sum(1, keepdim=True)) / NUM_POINTS).float()


def _on_grid(values_VC: Tensor, head: HeadModel) -> Tensor:
    """Vertex attributes at the points of the grid (G, G, C) on the face's patch of the UV map."""
    map_1CHW = pad_islands(world2uv(values_VC[None], head, MAP_SIZE), head)[..., *detail_patch(head, MAP_SIZE)]
    return functional.interpolate(map_1CHW, (GRID, GRID), mode="bilinear", antialias=True)[0].permute(1, 2, 0)
