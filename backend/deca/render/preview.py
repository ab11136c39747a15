"""A quick look at a head: smooth-shaded, textured or plain, drawn over a picture."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from deca.head import HeadModel
from deca.render.normals import vertex_normals
from deca.render.rasterizer import interpolate, rasterize

_LIGHT = (0.35, 0.45, 0.82)
_CLAY = (0.78, 0.77, 0.75)


def draw_head(
    background: NDArray[np.uint8],
    head: HeadModel,
    verts_V3: NDArray[np.float32],
    to_picture_24: NDArray[np.float64],
    *,
    texture_NN3: NDArray[np.uint8] | None = None,
    opacity: float = 1.0,
) -> NDArray[np.uint8]:
    """Draws a head over a picture.

    Args:
        background: (H, W, 3) uint8 sRGB.
        head: Gives triangles and texture coordinates.
        verts_V3: Posed vertices, metres, z towards the viewer.
        to_picture_24: Head space -> pixels of `background`.
        texture_NN3: Colours, top row first; clay grey when None.
        opacity: 0 leaves the background, 1 covers it.

    Returns:
        (H, W, 3) uint8 sRGB.
    """
    height, width = background.shape[:2]
    verts = torch.from_numpy(np.ascontiguousarray(verts_V3, dtype=np.float32))
    faces = torch.from_numpy(head.faces_F3)
    pixels_V2 = verts_V3 @ to_picture_24[:, :3].T + to_picture_24[:, 3]
    flat_V2 = torch.from_numpy(pixels_V2 / (width, height) * 2 - 1).float()
    fragments = rasterize(torch.cat((flat_V2, -verts[:, 2:]), 1)[None], faces, height, width)
    mask_HW = fragments.mask_BHW[0]

    normal_BHW3 = interpolate(vertex_normals(verts[None], faces), faces, fragments)
    normal_N3 = functional.normalize(normal_BHW3[0][mask_HW], dim=1)
    light_N = (normal_N3 @ torch.tensor(_LIGHT)).clamp(min=0) * 0.75 + 0.35
    if texture_NN3 is None:
        colour_N3 = torch.tensor(_CLAY).expand(len(normal_N3), 3) * light_N[:, None]
    else:
        colour_N3 = _sample(texture_NN3, head, fragments.face_BHW[0][mask_HW], fragments.bary_BHW3[0][mask_HW])
        colour_N3 = colour_N3 * (0.75 + 0.25 * light_N[:, None])
    out = background.copy()
    covered = mask_HW.numpy()
    blended = out[covered] * (1 - opacity) + colour_N3.clamp(0, 1).numpy() * 255 * opacity
    out[covered] = np.round(blended).astype(np.uint8)
    return out


def _sample(texture_NN3: NDArray[np.uint8], head: HeadModel, face_N: Tensor, bary_N3: Tensor) -> Tensor:
    corners_N32 = torch.from_numpy(head.uv_T2)[torch.from_numpy(head.uv_faces_F3)[face_N]]
    uv_N2 = (corners_N32 * bary_N3[..., None]).sum(1)
    grid = torch.stack((uv_N2[:, 0] * 2 - 1, 1 - uv_N2[:, 1] * 2), -1)[None, None]
    image = torch.from_numpy(texture_NN3.astype(np.float32) / 255).permute(2, 0, 1)[None]
    return functional.grid_sample(image, grid, align_corners=False, padding_mode="border")[0, :, 0].T
