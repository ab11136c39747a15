"""The photo unwrapped into a head's texture.

Three layers, each carried over to the tone of the one above it (`deca.appearance.blend.tone_field`), so that no seam
shows: the photo where it sees the face; the same photo mirrored where it sees only the other side; painted skin where
it sees neither. Hair, eyes and the inside of the mouth are painted last.

Shape suffixes: V vertices, L landmarks, N texels, H W texture rows and columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from deca.appearance import skin
from deca.appearance.blend import FEATHER, over_base, shrink_mask, smoothstep, tone_field
from deca.appearance.eyes import DEFAULT_IRIS, iris_colour, paint_eyes
from deca.appearance.hair import hair_layer
from deca.appearance.mouth import paint_mouth
from deca.appearance.sampling import SurfaceView, inside_photo, pixels_per_texel, sample_photo, view_surface
from deca.appearance.trust import FACING, believe, outlines, regions_of
from deca.errors import OptionError
from deca.head.model import HeadModel, Part
from deca.render.uv import Texels, texels_of

SIZES = (512, 1024, 2048)

_GRAZING = 0.22
"""Cosine from which on the photo is used at all; its weight rises to 1 at `FACING`."""
_OPENING_FEATHER = 0.008
"""Width of its soft border around the eye openings and the open mouth."""


@dataclass(frozen=True)
class Shown:
    """What a photo shows of a head's texture, before anything is filled in.

    Attributes:
        colours_HW3: Its skin, sRGB in [0, 1], part of the light's direction taken out; elsewhere meaningless.
        confidence_HW: How far to believe each texel, 0 where the photo does not show skin.
        density: Photo pixels per texel.
        photo_HW3: The photo as it is.
        seen_HW: Where it sees the surface.
        view: How.
        light: The skin under the photo's light.
        iris: Colour of the irises, sRGB.
    """

    colours_HW3: NDArray[np.float32]
    confidence_HW: NDArray[np.float32]
    density: float
    photo_HW3: NDArray[np.float32]
    seen_HW: NDArray[np.bool_]
    view: SurfaceView
    light: skin.ColourModel
    iris: NDArray[np.float32]


def unwrap_photo(
    photo_pixels: NDArray[np.uint8],
    verts_V3: NDArray,
    to_photo: NDArray,
    head: HeadModel,
    size: int = 1024,
    *,
    landmarks_L2: NDArray | None = None,
) -> NDArray[np.uint8]:
    """Unwraps a photo into the head's texture: what it shows, and the rest filled in.

    Args:
        photo_pixels: (H, W, 3) uint8 sRGB, upright.
        verts_V3: Posed vertices in head space, metres, as fitted to the photo.
        to_photo: (2, 4), head space to photo pixels (`deca.render.camera.photo_transform`).
        head: The head model.
        size: Rows and columns of the texture: 512, 1024 or 2048.
        landmarks_L2: 478 MediaPipe landmarks in photo pixels. Without them the fitted head's own stand in: the eye
            openings and the face's outline are then only as good as the fit, and the irises stay brown.

    Returns:
        (size, size, 3) uint8 sRGB, top row first.

    Raises:
        ValueError: Arrays of the wrong shape or type.
    """
    shown = shown_by_photo(photo_pixels, verts_V3, to_photo, head, size, landmarks_L2=landmarks_L2)
    return filled_in(shown, head)


def shown_by_photo(
    photo_pixels: NDArray[np.uint8],
    verts_V3: NDArray,
    to_photo: NDArray,
    head: HeadModel,
    size: int = 1024,
    *,
    landmarks_L2: NDArray | None = None,
) -> Shown:
    """What a photo shows of the head's texture; arguments and errors as of `unwrap_photo`."""
    _check(photo_pixels, verts_V3, to_photo, head, size)
    texels = texels_of(head, size)
    view = view_surface(texels, verts_V3, to_photo)
    regions = regions_of(texels)
    on_skin_HW = texels.interpolate((head.parts_V != Part.SKIN).astype(np.float32), fill=1.0) < 0.01
    seen_HW = on_skin_HW & view.visible_HW & (view.facing_HW > _GRAZING) & inside_photo(view, *photo_pixels.shape[:2])
    photo_HW3 = sample_photo(photo_pixels, view, seen_HW)

    outline = landmarks_L2
    if outline is None and head.landmarks_478 is not None and head.landmarks_478.placed.all():
        outline = head.landmarks_478.positions(verts_V3, head.faces_F3) @ to_photo[:, :3].T + to_photo[:, 3]
    face_HW, opening_HW = seen_HW & (regions.face > 0.5), np.zeros_like(seen_HW)
    if outline is not None:
        inside_HW, opening_HW = outlines(view, outline)
        face_HW &= inside_HW & ~opening_HW
    light, believed_HW = believe(photo_HW3, face_HW, view, regions, size)
    # The islands' own borders are no reason to fade: lips and lids reach up to them.
    weight_HW = shrink_mask(believed_HW | opening_HW | ~on_skin_HW, FEATHER * size)
    weight_HW = np.minimum(weight_HW, shrink_mask(~opening_HW, _OPENING_FEATHER * size)) * believed_HW
    weight_HW *= smoothstep(view.facing_HW, _GRAZING, FACING)

    even_HW3 = light.unlit(photo_HW3, view.normals_HW3)
    iris = DEFAULT_IRIS if landmarks_L2 is None else iris_colour(photo_pixels, landmarks_L2)
    density = pixels_per_texel(view, seen_HW) if seen_HW.any() else 0.0
    return Shown(even_HW3, weight_HW, density, photo_HW3, seen_HW, view, light, iris)


def filled_in(shown: Shown, head: HeadModel) -> NDArray[np.uint8]:
    """The whole texture (size, size, 3), uint8 sRGB, top row first, of what a photo shows of it."""
    texels = texels_of(head, len(shown.confidence_HW))
    regions = regions_of(texels)
    even_HW3, weight_HW = shown.colours_HW3, shown.confidence_HW
    tone = np.median(even_HW3[weight_HW > 0.99], axis=0) if (weight_HW > 0.99).any() else skin.DEFAULT_SKIN
    skin_HW3, skin_HW = _with_mirrored(even_HW3, weight_HW, texels)
    image_HW3 = over_base(skin_HW3, skin_HW, skin.base_skin(tone, texels))
    hair = hair_layer(shown.photo_HW3, shown.light, shown.view, shown.seen_HW, skin_HW, regions, texels)
    if hair is not None:
        hair_HW3, hair_HW = hair
        image_HW3 += hair_HW[..., None] * (hair_HW3 - image_HW3)

    brightness = float(np.clip(skin.to_lab(tone)[0] / 65, 0.55, 1.08))
    paint_mouth(image_HW3, texels, brightness)
    paint_eyes(image_HW3, texels, shown.iris, brightness)
    image_HW3 = image_HW3.reshape(-1, 3)[texels.nearest_HW]
    return np.clip(np.round(image_HW3 * 255), 0, 255).astype(np.uint8)


def _check(photo: NDArray, verts_V3: NDArray, to_photo: NDArray, head: HeadModel, size: int) -> None:
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3:
        raise ValueError(f"the photo must be (H, W, 3) uint8, got {photo.shape} {photo.dtype}")
    if verts_V3.shape != head.template_V3.shape:
        raise ValueError(f"the head has vertices {head.template_V3.shape}, got {verts_V3.shape}")
    if np.shape(to_photo) != (2, 4):
        raise ValueError(f"to_photo must be (2, 4), got {np.shape(to_photo)}")
    if size not in SIZES:
        raise OptionError(f"A texture of {size} pixels is not offered.", f"Choose one of {', '.join(map(str, SIZES))}.")


def _with_mirrored(
    photo_HW3: NDArray[np.float32], weight_HW: NDArray[np.float32], texels: Texels
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The photo with what only the other side shows mirrored in, and the weight (H, W) of both."""
    if texels.mirrored_HW2 is None:
        return photo_HW3, weight_HW
    column_HW, row_HW = cv2.split(texels.mirrored_HW2)
    # Weighted before it is resampled: a texel beside the believed ones may show the background.
    known_HW3 = photo_HW3 * weight_HW[..., None]
    mirrored_HW = cv2.remap(weight_HW, column_HW, row_HW, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    mirrored_HW3 = cv2.remap(known_HW3, column_HW, row_HW, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    mirrored_HW3 /= np.maximum(mirrored_HW, 1e-6)[..., None]
    mirrored_HW3 += tone_field(photo_HW3 - mirrored_HW3, np.minimum(weight_HW, mirrored_HW), blur=0.03)
    share_HW1 = (mirrored_HW * (1 - weight_HW))[..., None]
    total_HW1 = weight_HW[..., None] + share_HW1
    both_HW3 = (photo_HW3 * weight_HW[..., None] + mirrored_HW3 * share_HW1) / np.maximum(total_HW1, 1e-6)
    return both_HW3, total_HW1[..., 0]
