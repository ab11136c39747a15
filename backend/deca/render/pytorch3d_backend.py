"""PyTorch3D's rasteriser behind `deca.render.rasterizer.rasterize`, for those who have it installed.

Written from its public documentation: normalised device coordinates have x to the left, y up and positive z in front
of the camera; the shorter side of the picture spans [-1, 1], the longer one [-s, s] with s its ratio to the shorter.
"""

from __future__ import annotations

import torch
from torch import Tensor

from deca.errors import DecaError


def visible_faces(verts_BV3: Tensor, faces_F3: Tensor, height: int, width: int) -> Tensor:
    """Index of the triangle that each pixel sees (B, H, W), -1 for none; picture coordinates as in `rasterize`.

    Raises:
        DecaError: PyTorch3D is not installed.
    """
    try:
        from pytorch3d.renderer.mesh import rasterize_meshes  # pyright: ignore[reportMissingImports]
        from pytorch3d.structures import Meshes  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise DecaError(
            f"The rasteriser 'pytorch3d' was chosen, but PyTorch3D cannot be imported ({error}).",
            "Install it, or use the rasteriser 'torch', which sees the same pixels.",
        ) from error
    shorter = min(height, width)
    to_ndc = verts_BV3.new_tensor([-width / shorter, -height / shorter, 1])
    finite_BV = verts_BV3.isfinite().all(-1)
    ndc_BV3 = torch.where(finite_BV[..., None], verts_BV3 * to_ndc, 0)
    ndc_BV3[..., 2] += 1 - ndc_BV3[..., 2].amin()
    # A triangle with a corner that is not finite loses its area, and is skipped.
    faces_BF3 = torch.where(finite_BV[:, faces_F3].all(-1, keepdim=True), faces_F3, 0)
    found = rasterize_meshes(
        Meshes(ndc_BV3.float(), faces_BF3),
        image_size=(height, width),
        blur_radius=0.0,
        faces_per_pixel=1,
        perspective_correct=False,
        clip_barycentric_coords=False,
        cull_backfaces=False,
    )
    face_BHW = found[0][..., 0]
    return torch.where(face_BHW >= 0, face_BHW % len(faces_F3), -1)
