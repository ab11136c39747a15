"""Wrinkles: a displacement map on the head, and the normals of the displaced surface (DECA, Eqs. 9 to 11).

Shape suffixes: B batch, V vertices, H W rows and columns of UV maps.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from deca.head.model import HeadModel
from deca.render.normals import cross, unit, vertex_normals
from deca.render.uv import pad_islands, uv_mask, uv_raster, world2uv

DETAIL_MASK = "face_no_eyes"
"""Where the head model lets wrinkles be."""


def detail_patch(head: HeadModel, size: int) -> tuple[slice, slice]:
    """Rows and columns of square UV maps that show the face: the box of the detail mask.

    DECA's release takes rows and columns 50 to 206 of FLAME's 256.

    Raises:
        AssetError: The head model has no detail mask.
    """
    is_skin_HW = uv_mask(head, DETAIL_MASK, size) > 0.5
    rows, columns = is_skin_HW.any(1).nonzero()[:, 0], is_skin_HW.any(0).nonzero()[:, 0]
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


class DetailSurface(NamedTuple):
    """The displaced surface as UV maps, head space.

    Attributes:
        positions_B3HW: Points of the displaced surface, metres; zero outside the UV islands.
        normals_B3HW: Its normals inside the detail mask, those of the coarse head outside; padded over the edges of
            the UV islands.
        coarse_normals_B3HW: Interpolated vertex normals of the coarse head.
        mask_11HW: The detail mask, 0..1.
    """

    positions_B3HW: Tensor
    normals_B3HW: Tensor
    coarse_normals_B3HW: Tensor
    mask_11HW: Tensor


def detail_surface(
    verts_BV3: Tensor,
    displacement_B1HW: Tensor,
    head: HeadModel,
    *,
    normals_BV3: Tensor | None = None,
    smooth: bool = False,
) -> DetailSurface:
    """Displaces the head along its normals (DECA, Eq. 10) and finds the displaced surface's normals.

    Args:
        verts_BV3: Posed vertices, metres.
        displacement_B1HW: The displacement map D, metres, square, top row first.
        head: Gives the texture space, the detail mask and the fixed displacement.
        normals_BV3: Vertex normals, computed when None.
        smooth: Take the facets of the coarse mesh out of the normals: the coarse normals, turned as the displacement
            turns those of the facets. DECA leaves them in, and so must who uses or compares with its weights.

    Raises:
        AssetError: The head model has no detail mask.
    """
    size = displacement_B1HW.shape[-1]
    if normals_BV3 is None:
        normals_BV3 = vertex_normals(verts_BV3, torch.from_numpy(head.faces_F3).to(verts_BV3.device))
    coarse_B6HW = world2uv(torch.cat((verts_BV3, normals_BV3), dim=2), head, size)
    coarse_B3HW, coarse_normals_B3HW = coarse_B6HW[:, :3], coarse_B6HW[:, 3:]
    offset_B1HW = applied_displacement(displacement_B1HW, head)
    positions_B3HW = coarse_B3HW + offset_B1HW * coarse_normals_B3HW
    mask_HW = uv_mask(head, DETAIL_MASK, size, verts_BV3.device, verts_BV3.dtype)
    covered_HW = uv_raster(head, size, verts_BV3.device).covered_HW
    if smooth:
        detail_B3HW = smooth_normals(positions_B3HW, coarse_B3HW, coarse_normals_B3HW, covered_HW)
    else:
        detail_B3HW = grid_normals(positions_B3HW, covered_HW)
    normals_B3HW = torch.lerp(coarse_normals_B3HW, detail_B3HW, mask_HW)
    return DetailSurface(positions_B3HW, pad_islands(normals_B3HW, head), coarse_normals_B3HW, mask_HW[None, None])


def applied_displacement(displacement_B1HW: Tensor, head: HeadModel) -> Tensor:
    """What displaces the surface (B, 1, H, W), metres: D inside the detail mask, and what every head of the model has.

    Args:
        displacement_B1HW: The displacement map D, metres, square.
        head: Gives the detail mask and the fixed displacement.

    Raises:
        AssetError: The head model has no detail mask.
    """
    size, device, dtype = displacement_B1HW.shape[-1], displacement_B1HW.device, displacement_B1HW.dtype
    applied_B1HW = displacement_B1HW * uv_mask(head, DETAIL_MASK, size, device, dtype)
    if head.fixed_displacement_NN is None:
        return applied_B1HW
    fixed_11HW = torch.from_numpy(head.fixed_displacement_NN).to(device, dtype)[None, None]
    if fixed_11HW.shape[-1] != size:
        fixed_11HW = functional.interpolate(fixed_11HW, (size, size), mode="bilinear", align_corners=False)
    return applied_B1HW + fixed_11HW


def smooth_normals(
    positions_B3HW: Tensor, coarse_B3HW: Tensor, coarse_normals_B3HW: Tensor, covered_HW: Tensor
) -> Tensor:
    """Unit normals (B, 3, H, W) of a displaced surface without the facets of the coarse mesh.

    Args:
        positions_B3HW: Points of the displaced surface.
        coarse_B3HW: Points of the coarse surface.
        coarse_normals_B3HW: Its interpolated vertex normals.
        covered_HW: Texels that exist.
    """
    facets_B3HW = grid_normals(coarse_B3HW, covered_HW)
    return unit(coarse_normals_B3HW + grid_normals(positions_B3HW, covered_HW) - facets_B3HW)


def grid_normals(positions_B3HW: Tensor, covered_HW: Tensor | None = None) -> Tensor:
    """Unit normals (B, 3, H, W) of the mesh whose vertices are the texels; area-weighted, differentiable.

    Every square of four texels is cut from its top right to its bottom left corner. Normals point to where u runs
    right and v runs up counter-clockwise, that is outwards.

    Args:
        positions_B3HW: Points of the surface.
        covered_HW: Texels that exist; triangles with another corner do not count. All when None.
    """
    right = positions_B3HW[..., 1:] - positions_B3HW[..., :-1]
    down = positions_B3HW[..., 1:, :] - positions_B3HW[..., :-1, :]
    upper = cross(down[..., :-1], right[..., :-1, :])
    lower = cross(down[..., 1:], right[..., 1:, :])
    if covered_HW is not None:
        a, b, c, d = covered_HW[:-1, :-1], covered_HW[:-1, 1:], covered_HW[1:, :-1], covered_HW[1:, 1:]
        upper, lower = upper * (a & b & c), lower * (b & c & d)
    both = upper + lower
    # Pads are (left, right, top, bottom): each triangle's normal goes to its three corners.
    total = (
        functional.pad(upper, (0, 1, 0, 1))
        + functional.pad(both, (1, 0, 0, 1))
        + functional.pad(both, (0, 1, 1, 0))
        + functional.pad(lower, (1, 0, 1, 0))
    )
    return unit(total)
