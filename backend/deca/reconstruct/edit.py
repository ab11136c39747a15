"""Albedo editing (Tran, Liu and Liu 2019, Sec. 4.5): what is painted on a face's colours appears in its photo.

A photo is albedo times shading. Where the albedo was changed, the photo becomes the new albedo times the shading that
the old one says: paint lies in the photo's light, in its wrinkles and on the face's expression.

Shape suffixes: N rows and columns of textures, P pixels of the photo that the head covers, H W of the photo.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from deca.errors import OptionError
from deca.networks.skin_map import Kind
from deca.reconstruct.face import Face
from deca.reconstruct.models import Models
from deca.render.camera import Window, photo_pixels, window_picture

_CHANGED = 3.0 / 255
"""Display values by which a texel must differ to count as painted: what saving a picture may change."""
_DARKEST = 0.08
"""Least albedo that the photo is divided by."""
_BRIGHTEST = 1.6
"""Greatest shading: beyond it there are highlights, which no albedo makes."""


def edited_photo(
    photo_HW3: NDArray[np.uint8],
    face: Face,
    before_NN3: NDArray[np.uint8],
    after_NN3: NDArray[np.uint8],
    models: Models,
) -> NDArray[np.uint8]:
    """The photo with the changes of a face's albedo.

    Args:
        photo_HW3: The upright photo, sRGB.
        face: A face as it was fitted to this photo; another photo's albedo of the person may be given.
        before_NN3: The albedo as it was unwrapped (`Texture.albedo_NN3`).
        after_NN3: The same, painted on.
        models: Of the head model.

    Raises:
        OptionError: The two are of different sizes.
    """
    if before_NN3.shape != after_NN3.shape:
        raise OptionError(
            f"The painted albedo has {after_NN3.shape[1]} x {after_NN3.shape[0]} pixels, the face's {len(before_NN3)}.",
            "Paint on the picture that `deca reconstruct` wrote (head.png), and keep its size.",
        )
    before, after = (torch.from_numpy(image.astype(np.float32) / 255) for image in (before_NN3, after_NN3))
    painted = ((before - after).abs().amax(-1, keepdim=True) > _CHANGED).float()
    decoded = models.decode_face(face)
    crop_133 = torch.from_numpy(face.crop_33)[None].to(models.device)
    window = Window.around(photo_pixels(decoded.picture_BV3, crop_133).cpu().numpy(), *photo_HW3.shape[:2])
    where = window_picture(decoded.picture_BV3, crop_133, window)
    with torch.inference_mode():
        surface = models.renderer(decoded.verts_BV3, where, window.height, window.width)
        maps_1CNN = torch.cat((before, after, painted), -1).permute(2, 0, 1)[None].to(models.device)
        before_P3, after_P3, painted_P1 = surface.sample(maps_1CNN).T.split((3, 3, 1), dim=1)
        if face.skin_map is not None:  # paint lies under hair, frames and hands
            bare_NN = face.skin_map.share(Kind.SKIN, Kind.FACIAL_HAIR, size=256)
            painted_P1 = painted_P1 * surface.sample(torch.from_numpy(bare_NN)[None, None].to(painted_P1)).T
        changed = photo_HW3.copy()
        part = window.cut(changed)
        covered = surface.alpha_B1HW[0, 0].cpu().numpy() > 0
        own_P3 = torch.from_numpy(part[covered].astype(np.float32) / 255).to(before_P3)
        shading_P3 = (own_P3 / before_P3.clamp(min=_DARKEST)).clamp(max=_BRIGHTEST)
        mixed_P3 = own_P3 + painted_P1 * (after_P3 * shading_P3 - own_P3)
    part[covered] = (mixed_P3.clamp(0, 1) * 255).round().byte().cpu().numpy()
    return changed
