"""Which points of a surface a picture shows, from the depths of its rasterisation.

Shape suffixes: B batch, X points, H W picture.
"""

from __future__ import annotations

import torch
from torch import Tensor

from deca.render.rasterizer import Fragments


def visible_points(picture_BX3: Tensor, facing_BX: Tensor, fragments: Fragments, *, tolerance: float = 0.005) -> Tensor:
    """True (B, X) for the surface points that nothing hides.

    A point is visible if it faces the camera, lies on the picture, and is no farther than what the four pixels around
    it show. The farthest of the four counts, so that points at a contour are not lost: hidden points within a pixel of
    a contour may be called visible. Carries no gradients.

    Args:
        picture_BX3: Points in picture coordinates, smaller z is nearer.
        facing_BX: z of the surface normals in head space (the camera looks along -z); its sign counts.
        fragments: Rasterisation of the surface in the same coordinates.
        tolerance: Depth, in units of z, by which a point may lie behind.
    """
    _, height, width = fragments.size
    with torch.no_grad():
        background = torch.where(fragments.mask_BHW, fragments.depth_BHW, torch.inf).flatten(1)
        x_BX, y_BX, z_BX = picture_BX3.nan_to_num(torch.inf, torch.inf, -torch.inf).unbind(-1)
        on_picture_BX = (x_BX.abs() <= 1) & (y_BX.abs() <= 1)
        left_BX = _pixel_before(x_BX, width)
        top_BX = _pixel_before(y_BX, height)
        depths = [
            background.gather(1, (top_BX + down).clamp(max=height - 1) * width + (left_BX + right).clamp(max=width - 1))
            for down in (0, 1)
            for right in (0, 1)
        ]
        farthest_BX = torch.stack(depths).amax(0)
        return (facing_BX > 0) & on_picture_BX & (z_BX <= farthest_BX + tolerance)


def _pixel_before(coordinate: Tensor, size: int) -> Tensor:
    return torch.floor(((coordinate + 1) * size - 1) / 2).clamp(0, size - 1).long()
