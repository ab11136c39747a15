"""A photo laid out as the UV map of a head that was fitted to it: made once, read by all that asks what is skin.

Shape suffixes: V vertices, L landmarks, H W rows and columns of the UV map, top row first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deca.appearance.sampling import SurfaceView, inside_photo, sample_photo, skin_alone, view_surface
from deca.appearance.trust import outlines
from deca.head.model import HeadModel
from deca.render.uv import Texels, texels_of
from deca.vision.person import person_mask

GRAZING = 0.15
"""Cosine between skin and view from which on a photo says anything of it."""


@dataclass(frozen=True)
class LaidOut:
    """A photo as a UV map.

    Attributes:
        texels: The UV map.
        view: How the photo's camera sees every texel.
        photo_HW3: Its colours, sRGB in 0..1; where nothing is seen, anything.
        seen_HW: Texels of skin that the photo shows, if nothing hides them.
        inside_HW: Those inside the outline of the face's landmarks.
        opening_HW: Those in an opening of the eyes or the mouth.
        person_HW: 1 where the photo shows a person there, 0 where it shows what is behind.
    """

    texels: Texels
    view: SurfaceView
    photo_HW3: NDArray[np.float32]
    seen_HW: NDArray[np.bool_]
    inside_HW: NDArray[np.bool_]
    opening_HW: NDArray[np.bool_]
    person_HW: NDArray[np.float32]


def lay_out(
    photo_HW3: NDArray[np.uint8],
    verts_V3: NDArray,
    to_photo: NDArray,
    head: HeadModel,
    landmarks_L2: NDArray,
    size: int = 256,
) -> LaidOut:
    """Lays out a photo.

    Args:
        photo_HW3: The upright photo, sRGB.
        verts_V3: Posed vertices in head space, metres, as fitted to the photo.
        to_photo: (2, 4), head space to photo pixels (`deca_blender.protocol.camera.photo_matrix`).
        head: The head model.
        landmarks_L2: The face's landmarks, photo pixels.
        size: Rows and columns of the map.
    """
    texels = texels_of(head, size)
    view = view_surface(texels, verts_V3, to_photo)
    on_skin_HW = skin_alone(texels)
    seen_HW = on_skin_HW & view.visible_HW & (view.facing_HW > GRAZING) & inside_photo(view, *photo_HW3.shape[:2])
    inside_HW, opening_HW = outlines(view, landmarks_L2)
    return LaidOut(
        texels,
        view,
        sample_photo(photo_HW3, view.pixels_HW2, seen_HW),
        seen_HW,
        inside_HW,
        opening_HW,
        person_mask(photo_HW3, landmarks_L2).at(view.pixels_HW2),
    )
