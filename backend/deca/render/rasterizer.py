"""A z-buffer rasteriser in plain torch: which triangle every pixel sees, and where on it.

Visibility is found without gradients: every triangle's bounding box is cut into strips of a few pixels, every covered
pixel of a strip votes with (depth, triangle), and the smallest vote wins. The barycentrics at the winners are then
computed again with gradients. Coverage rule as DECA's renderer (one triangle per pixel, no blur): pixel centres, all
barycentrics > 0, no culling; of equally near triangles the one with the lowest index wins.

Pixels are kept as a list, channels first ("planar"): torch is several times faster on (3, N) than on (N, 3), above all
backwards, and a head covers only half of its crop.

Shape suffixes: B batch, V vertices, F triangles, N covered pixels, C channels, H W picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

Backend = Literal["torch", "pytorch3d"]

_MIN_AREA = 1e-8
_EDGE_TOLERANCE = 1e-4
"""Barycentric weight by which a `closed` triangle reaches over its edges: more than rounding, less than any texel."""
_STRIP = 4
"""Pixels of a row that are tested together."""
_STRIPS_AT_ONCE, _STRIPS_AT_ONCE_CPU = 1 << 22, 1 << 16
"""Bound the memory; on a CPU, small enough for its cache."""
_NO_VOTE = torch.iinfo(torch.int64).max


@dataclass(frozen=True)
class Fragments:
    """What the pixels see, as a list of the covered ones in order (picture, row, column).

    Attributes:
        size: Pictures, rows, columns.
        pixel_N: Index into the flattened (B, H, W) pixels, int64.
        face_N: Triangle seen, int64.
        bary_3N: Barycentric weights of the triangle's corners.
        depth_N: z.
    """

    size: tuple[int, int, int]
    pixel_N: Tensor
    face_N: Tensor
    bary_3N: Tensor
    depth_N: Tensor

    @cached_property
    def picture_N(self) -> Tensor:
        """Index of the pixel's picture."""
        return self.pixel_N // (self.size[1] * self.size[2])

    @cached_property
    def counts(self) -> list[int]:
        """Covered pixels of every picture."""
        return torch.bincount(self.picture_N, minlength=self.size[0]).tolist()

    def interpolate(self, attributes_BVC: Tensor, faces_F3: Tensor) -> Tensor:
        """Vertex attributes at the covered pixels, (C, N); a batch of one is shared by all pictures."""
        corners_3N = faces_F3[self.face_N].T
        if len(attributes_BVC) > 1:
            corners_3N = corners_3N + self.picture_N * attributes_BVC.shape[1]
        return blend(attributes_BVC.flatten(0, 1).T.contiguous(), corners_3N, self.bary_3N)

    def image(self, values_CN: Tensor) -> Tensor:
        """Values at the covered pixels as pictures (B, C, H, W), zero elsewhere."""
        batch, height, width = self.size
        channels = len(values_CN)
        flat = values_CN.new_zeros(channels, batch * height * width)
        flat = flat.scatter(1, self.pixel_N.expand(channels, -1), values_CN)
        return flat.view(channels, batch, height, width).transpose(0, 1)

    @cached_property
    def mask_BHW(self) -> Tensor:
        """True where a triangle is seen."""
        return self.face_BHW >= 0

    @cached_property
    def face_BHW(self) -> Tensor:
        """Triangle index, -1 where there is none, int64."""
        return self.image(self.face_N[None] + 1)[:, 0] - 1

    @property
    def bary_BHW3(self) -> Tensor:
        """Barycentric weights, zero where there is no triangle."""
        return self.image(self.bary_3N).permute(0, 2, 3, 1)

    @property
    def depth_BHW(self) -> Tensor:
        """z, zero where there is no triangle."""
        return self.image(self.depth_N[None])[:, 0]


def rasterize(
    verts_BV3: Tensor, faces_F3: Tensor, height: int, width: int, *, closed: bool = False, backend: Backend = "torch"
) -> Fragments:
    """Rasterises meshes of one topology.

    Args:
        verts_BV3: Picture coordinates: x right and y down in [-1, 1] across the picture, smaller z is nearer.
            Triangles with a corner that is not finite are left out.
        faces_F3: Triangles, int64.
        height: Rows.
        width: Columns.
        closed: Count pixels on an edge as covered (for texture space, where vertices lie on pixel centres).
        backend: Who decides what is visible; `pytorch3d` needs that package and does not know `closed`.

    Returns:
        Fragments; barycentrics and depth carry gradients to `verts_BV3`. Silhouettes carry none.

    Raises:
        DecaError: The backend is not installed.
    """
    with torch.no_grad():
        if backend == "pytorch3d":
            from deca.render.pytorch3d_backend import visible_faces

            face_X = visible_faces(verts_BV3.detach(), faces_F3, height, width).flatten()
        else:
            face_X = _visible_faces(verts_BV3.detach(), faces_F3, height, width, closed)
        pixel_N = torch.nonzero(face_X >= 0)[:, 0]
        face_N = face_X[pixel_N]
        corners_3N = faces_F3[face_N].T + pixel_N // (height * width) * verts_BV3.shape[1]
    planar_3X = verts_BV3.flatten(0, 1).T.contiguous()
    (x0, y0, z0), (x1, y1, z1), (x2, y2, z2) = (planar_3X.gather(1, corner.expand(3, -1)) for corner in corners_3N)
    pixel_x, pixel_y = _centre(pixel_N % width, width, x0.dtype), _centre(pixel_N // width % height, height, x0.dtype)
    w0, w1, w2 = _barycentrics((x0, x1, x2), (y0, y1, y2), pixel_x, pixel_y)
    return Fragments(
        (len(verts_BV3), height, width), pixel_N, face_N, torch.stack((w0, w1, w2)), w0 * z0 + w1 * z1 + w2 * z2
    )


def interpolate(attributes_BVC: Tensor, faces_F3: Tensor, fragments: Fragments) -> Tensor:
    """Vertex attributes (B, V, C) at every pixel, (B, H, W, C); zero where no triangle is seen.

    A batch of one is shared by all pictures.
    """
    return fragments.image(fragments.interpolate(attributes_BVC, faces_F3)).permute(0, 2, 3, 1)


def blend(attributes_CX: Tensor, corners_3N: Tensor, weights_3N: Tensor) -> Tensor:
    """Weighted sums (C, N) of three columns each of `attributes_CX`."""
    channels = len(attributes_CX)
    a, b, c = (
        attributes_CX.gather(1, corner.expand(channels, -1)) * weight
        for corner, weight in zip(corners_3N, weights_3N, strict=True)
    )
    return a + b + c


def _visible_faces(verts_BV3: Tensor, faces_F3: Tensor, height: int, width: int, closed: bool) -> Tensor:
    """Index of the triangle that each of the B * H * W pixels sees, -1 for none."""
    batch, num_faces, device = len(verts_BV3), len(faces_F3), verts_BV3.device
    corners_3BF = verts_BV3[:, faces_F3.T].permute(3, 1, 0, 2).flatten(2).contiguous()  # x y z, corner, triangle
    x, y, z = corners_3BF

    # The strips of each triangle's bounding box; a thousandth of a pixel of slack, the edge functions decide.
    left, right = _first_pixel(x.amin(0), width), _last_pixel(x.amax(0), width)
    top, bottom = _first_pixel(y.amin(0), height), _last_pixel(y.amax(0), height)
    strips = ((right - left).clamp(min=-1) + _STRIP) // _STRIP
    usable = (_area(x, y).abs() > _MIN_AREA) & corners_3BF.isfinite().all(0).all(0)
    count = strips * (bottom - top + 1).clamp(min=0) * usable

    face = torch.arange(num_faces, device=device).repeat(batch)
    first_pixel = torch.arange(batch, device=device).repeat_interleave(num_faces) * (height * width)
    fields = (*x, *y, *z, face, first_pixel, left, top, strips)
    lane = torch.arange(_STRIP, device=device)[:, None]
    votes = torch.full((batch * height * width + _STRIP,), _NO_VOTE, device=device)
    for start, end in _groups(count, _STRIPS_AT_ONCE_CPU if device.type == "cpu" else _STRIPS_AT_ONCE):
        owner, place = _expand(count[start:end])
        x0, x1, x2, y0, y1, y2, z0, z1, z2, face_R, first_R, left_R, top_R, strips_R = (
            field[start:end].index_select(0, owner) for field in fields
        )
        down = place // strips_R
        row, column = top_R + down, left_R + (place - down * strips_R) * _STRIP
        pixel_x, pixel_y = _centre(column + lane, width, x0.dtype), _centre(row, height, x0.dtype)
        w0, w1, w2 = _barycentrics((x0, x1, x2), (y0, y1, y2), pixel_x, pixel_y)
        least = torch.minimum(torch.minimum(w0, w1), w2)
        inside = ((least > -_EDGE_TOLERANCE) if closed else (least > 0)) & (pixel_x < 1)
        vote = (_ordered_bits(w0 * z0 + w1 * z1 + w2 * z2) << 32) | face_R
        pixel = first_R + row * width + column + lane
        votes.scatter_reduce_(0, pixel.view(-1), torch.where(inside, vote, _NO_VOTE).view(-1), reduce="amin")
    votes = votes[:-_STRIP]
    return torch.where(votes == _NO_VOTE, -1, votes & 0xFFFFFFFF)


def _centre(index: Tensor, size: int, dtype: torch.dtype) -> Tensor:
    """Coordinate of a pixel's centre; this order of operations rounds as PyTorch3D's does."""
    return 1 - (2 * (size - 1 - index) + 1).to(dtype) / size


def _first_pixel(coordinate: Tensor, size: int) -> Tensor:
    """Index of the first pixel whose centre is not before the coordinate."""
    return torch.ceil(((coordinate + 1) * size - 1) / 2 - 1e-3).nan_to_num(size).clamp(0, size).long()


def _last_pixel(coordinate: Tensor, size: int) -> Tensor:
    """Index of the last pixel whose centre is not behind the coordinate."""
    return torch.floor(((coordinate + 1) * size - 1) / 2 + 1e-3).nan_to_num(-1).clamp(-1, size - 1).long()


def _groups(count_N: Tensor, at_once: int) -> list[tuple[int, int]]:
    """Ranges of triangles with about `at_once` strips each."""
    total_N = count_N.cumsum(0)
    total = int(total_N[-1]) if len(total_N) else 0
    steps = torch.arange(at_once, total + at_once, at_once, device=count_N.device).clamp(max=total)
    ends = [0, *(torch.searchsorted(total_N, steps) + 1).tolist()]
    return [(start, end) for start, end in pairwise(ends) if start < end]


def _expand(count_N: Tensor) -> tuple[Tensor, Tensor]:
    """For ranges of the given lengths laid end to end: the range of every element, and its place in the range."""
    owner = torch.repeat_interleave(count_N)
    start_N = count_N.cumsum(0) - count_N
    return owner, torch.arange(len(owner), device=count_N.device) - start_N.index_select(0, owner)


def _ordered_bits(value: Tensor) -> Tensor:
    """float32 -> int64 whose order is the floats' order."""
    bits = value.float().view(torch.int32)
    return (bits ^ ((bits >> 31) & 0x7FFFFFFF)).long()


def _area(x: tuple[Tensor, ...] | Tensor, y: tuple[Tensor, ...] | Tensor) -> Tensor:
    """Twice the signed areas of triangles, kept from zero as PyTorch3D keeps them."""
    return (x[2] - x[0]) * (y[1] - y[0]) - (y[2] - y[0]) * (x[1] - x[0]) + _MIN_AREA


def _barycentrics(
    x: tuple[Tensor, Tensor, Tensor], y: tuple[Tensor, Tensor, Tensor], pixel_x: Tensor, pixel_y: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Barycentrics of points in the picture plane; the order of operations is PyTorch3D's, so that rounding agrees."""
    (x0, x1, x2), (y0, y1, y2) = x, y
    area = _area(x, y)
    w0 = ((pixel_x - x1) * (y2 - y1) - (pixel_y - y1) * (x2 - x1)) / area
    w1 = ((pixel_x - x2) * (y0 - y2) - (pixel_y - y2) * (x0 - x2)) / area
    w2 = ((pixel_x - x0) * (y1 - y0) - (pixel_y - y0) * (x1 - x0)) / area
    return w0, w1, w2
