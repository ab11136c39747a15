"""A z-buffer rasteriser in plain torch: which triangle every pixel sees, and where on it.

Visibility is found without gradients: every triangle becomes its scanline spans, every pixel of a span votes with
(depth, triangle), and the smallest vote wins. The barycentrics at the winners are then computed again with gradients.
Coverage rule as DECA's renderer (one triangle per pixel, no blur): pixel centres, all barycentrics > 0, no culling.

Shape suffixes: B batch, V vertices, F triangles, H W picture.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

_MIN_AREA = 1e-8
_NO_VOTE = torch.iinfo(torch.int64).max


class Fragments(NamedTuple):
    """What every pixel sees.

    Attributes:
        face_BHW: Triangle index, -1 where there is none, int64.
        bary_BHW3: Barycentric weights of the triangle's corners, zero where there is none.
        depth_BHW: z at the pixel, zero where there is none.
    """

    face_BHW: Tensor
    bary_BHW3: Tensor
    depth_BHW: Tensor

    @property
    def mask_BHW(self) -> Tensor:
        """True where a triangle is seen."""
        return self.face_BHW >= 0


def rasterize(verts_BV3: Tensor, faces_F3: Tensor, height: int, width: int, *, closed: bool = False) -> Fragments:
    """Rasterises meshes of one topology.

    Args:
        verts_BV3: Picture coordinates: x right and y down in [-1, 1] across the picture, smaller z is nearer.
        faces_F3: Triangles, int64.
        height: Rows.
        width: Columns.
        closed: Count pixels on an edge as covered (for texture space, where vertices lie on pixel centres).

    Returns:
        Fragments; barycentrics and depth carry gradients to `verts_BV3`. Silhouettes carry none.
    """
    with torch.no_grad():
        face_BHW = _visible_faces(verts_BV3.detach(), faces_F3, height, width, closed)
    return _fragments(verts_BV3, faces_F3, face_BHW)


def interpolate(attributes_BVC: Tensor, faces_F3: Tensor, fragments: Fragments) -> Tensor:
    """Vertex attributes (B, V, C) at every pixel, (B, H, W, C); zero where no triangle is seen.

    A batch of one is shared by all pictures.
    """
    batch, height, width = fragments.face_BHW.shape
    picture_N, row_N, column_N = torch.nonzero(fragments.mask_BHW, as_tuple=True)
    corners_N3 = faces_F3[fragments.face_BHW[picture_N, row_N, column_N]]
    source_N1 = (picture_N if len(attributes_BVC) > 1 else torch.zeros_like(picture_N))[:, None]
    bary_N31 = fragments.bary_BHW3[picture_N, row_N, column_N][..., None]
    values_NC = (attributes_BVC[source_N1, corners_N3] * bary_N31).sum(1)
    out = values_NC.new_zeros(batch, height, width, attributes_BVC.shape[-1])
    return out.index_put((picture_N, row_N, column_N), values_NC)


def _visible_faces(verts_BV3: Tensor, faces_F3: Tensor, height: int, width: int, closed: bool) -> Tensor:
    batch, device = len(verts_BV3), verts_BV3.device
    num_faces = len(faces_F3)
    tri_N33 = verts_BV3[:, faces_F3].reshape(-1, 3, 3)
    x_N3, y_N3 = tri_N33[..., 0], tri_N33[..., 1]

    # Rows whose centre lies inside the triangle's y range, one entry per (triangle, row).
    first_N = _first_pixel(y_N3.amin(1), height).clamp(min=0)
    last_N = _last_pixel(y_N3.amax(1), height).clamp(max=height - 1)
    tri_R, row_R = _expand(first_N, last_N)
    if len(tri_R) == 0:
        return torch.full((batch, height, width), -1, dtype=torch.int64, device=device)

    # Where that row's centre line crosses the triangle's edges; half a pixel of slack, the edge functions decide.
    centre_R1 = ((2 * row_R + 1) / height - 1)[:, None]
    xa_R3, ya_R3 = x_N3[tri_R], y_N3[tri_R]
    xb_R3, yb_R3 = xa_R3.roll(-1, 1), ya_R3.roll(-1, 1)
    step_R3 = (centre_R1 - ya_R3) / torch.where(yb_R3 == ya_R3, torch.full_like(yb_R3, 1e-12), yb_R3 - ya_R3)
    crossing_R3 = xa_R3 + step_R3.clamp(0, 1) * (xb_R3 - xa_R3)
    crosses_R3 = (step_R3 >= -1e-4) & (step_R3 <= 1 + 1e-4)
    left_R = torch.where(crosses_R3, crossing_R3, torch.full_like(crossing_R3, torch.inf)).amin(1)
    right_R = torch.where(crosses_R3, crossing_R3, torch.full_like(crossing_R3, -torch.inf)).amax(1)
    slack = 0.5 / width
    span_P, column_P = _expand(
        _first_pixel(left_R - slack, width).clamp(min=0), _last_pixel(right_R + slack, width).clamp(max=width - 1)
    )
    tri_P, row_P = tri_R[span_P], row_R[span_P]

    bary_P3, area_P = _barycentrics(tri_N33[tri_P], (2 * column_P + 1) / width - 1, (2 * row_P + 1) / height - 1)
    inside_P = ((bary_P3 >= 0) if closed else (bary_P3 > 0)).all(1) & (area_P.abs() > _MIN_AREA)
    tri_P, row_P, column_P, bary_P3 = tri_P[inside_P], row_P[inside_P], column_P[inside_P], bary_P3[inside_P]
    depth_P = (bary_P3 * tri_N33[tri_P, :, 2]).sum(1)

    face_P, picture_P = tri_P % num_faces, tri_P // num_faces
    pixel_P = (picture_P * height + row_P) * width + column_P
    votes = torch.full((batch * height * width,), _NO_VOTE, dtype=torch.int64, device=device)
    votes.scatter_reduce_(0, pixel_P, (_ordered_bits(depth_P) << 32) | face_P, reduce="amin")
    faces = torch.where(votes == _NO_VOTE, torch.full_like(votes, -1), votes & 0xFFFFFFFF)
    return faces.view(batch, height, width)


def _first_pixel(coordinate: Tensor, size: int) -> Tensor:
    """Index of the first pixel whose centre is not before the coordinate; far out for non-finite input."""
    return torch.ceil(((coordinate + 1) * size - 1) / 2).nan_to_num(size, size, -1).clamp(-1, size).long()


def _last_pixel(coordinate: Tensor, size: int) -> Tensor:
    """Index of the last pixel whose centre is not behind the coordinate."""
    return torch.floor(((coordinate + 1) * size - 1) / 2).nan_to_num(-1, size, -1).clamp(-1, size).long()


def _expand(first_N: Tensor, last_N: Tensor) -> tuple[Tensor, Tensor]:
    """All integers of the ranges first..last, with the index of the range each belongs to."""
    count_N = (last_N - first_N + 1).clamp(min=0)
    owner = torch.repeat_interleave(torch.arange(len(first_N), device=first_N.device), count_N)
    start_N = count_N.cumsum(0) - count_N
    return owner, torch.arange(len(owner), device=first_N.device) - start_N[owner] + first_N[owner]


def _ordered_bits(value_P: Tensor) -> Tensor:
    """float32 -> int64 whose order is the floats' order."""
    bits = value_P.float().contiguous().view(torch.int32)
    return (bits ^ ((bits >> 31) & 0x7FFFFFFF)).long()


def _barycentrics(tri_P33: Tensor, x_P: Tensor, y_P: Tensor) -> tuple[Tensor, Tensor]:
    """Barycentrics (P, 3) of points in triangles' picture plane, and twice the triangles' signed areas (P)."""
    (x0, y0, _), (x1, y1, _), (x2, y2, _) = (corner.unbind(1) for corner in tri_P33.unbind(1))
    area = (x2 - x0) * (y1 - y0) - (y2 - y0) * (x1 - x0) + _MIN_AREA
    w0 = ((x_P - x1) * (y2 - y1) - (y_P - y1) * (x2 - x1)) / area
    w1 = ((x_P - x2) * (y0 - y2) - (y_P - y2) * (x0 - x2)) / area
    w2 = ((x_P - x0) * (y1 - y0) - (y_P - y0) * (x1 - x0)) / area
    return torch.stack((w0, w1, w2), dim=1), area


def _fragments(verts_BV3: Tensor, faces_F3: Tensor, face_BHW: Tensor) -> Fragments:
    batch, height, width = face_BHW.shape
    index = torch.nonzero(face_BHW >= 0, as_tuple=True)
    picture_N, row_N, column_N = index
    tri_N33 = verts_BV3[picture_N[:, None], faces_F3[face_BHW[index]]]
    bary_N3, _ = _barycentrics(tri_N33, (2 * column_N + 1) / width - 1, (2 * row_N + 1) / height - 1)
    bary_BHW3 = bary_N3.new_zeros(batch, height, width, 3).index_put(index, bary_N3)
    depth_BHW = bary_N3.new_zeros(batch, height, width).index_put(index, (bary_N3 * tri_N33[..., 2]).sum(1))
    return Fragments(face_BHW, bary_BHW3, depth_BHW)
