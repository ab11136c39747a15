"""The photo unwrapped into a head's texture.

Three layers, each carried over to the tone of the one above it (`deca.appearance.blend.tone_field`), so that no seam
shows: the photo where it sees the face; the same photo mirrored where it sees only the other side; painted skin where
it sees neither. Hair, eyes and the inside of the mouth are painted last.

Shape suffixes: V vertices, L landmarks, N texels, H W texture rows and columns.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from deca.appearance import skin
from deca.appearance.blend import shrink_mask, smoothstep, tone_field
from deca.appearance.eyes import DEFAULT_IRIS, iris_colour, paint_eyes, paint_mouth
from deca.appearance.sampling import SurfaceView, inside_photo, sample_photo, view_surface
from deca.appearance.trust import FACING, Regions, believe, connected_to, outlines, regions_of, without_specks
from deca.head.model import HeadModel, Part
from deca.render.uv import Texels, texels_of

SIZES = (512, 1024, 2048)

_GRAZING = 0.22
"""Cosine from which on the photo is used at all; its weight rises to 1 at `FACING`."""
_FEATHER = 0.012
"""Width of the photo layer's soft border, as a fraction of the texture."""
_OPENING_FEATHER = 0.008
"""The same around the eye openings and the open mouth."""
_BALD = 3.0
"""Distance from skin below which 60 % of the visible scalp must stay to be bare."""
_MAX_LIGHTER, _MAX_TINT = 0.15, 0.03
"""How far paint follows the photo's rim in lightness and in hue, sRGB."""
_RIM, _FADE = 0.03, 0.10
"""Distances from the photo, as fractions of the texture, over which paint keeps the tone of the photo's rim, and then
that of its wider surroundings, before it is back at its own."""


def unwrap_photo(
    photo_pixels: NDArray[np.uint8],
    verts_V3: NDArray,
    to_photo: NDArray,
    head: HeadModel,
    size: int = 1024,
    *,
    landmarks_L2: NDArray | None = None,
) -> NDArray[np.uint8]:
    """Unwraps a photo into the head's texture.

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
    _check(photo_pixels, verts_V3, to_photo, head, size)
    texels = texels_of(head, size)
    view = view_surface(texels, verts_V3, to_photo)
    regions = regions_of(texels)
    on_skin_HW = texels.interpolate((head.parts_V != Part.SKIN).astype(np.float32), fill=1.0) < 0.01
    seen_HW = on_skin_HW & view.visible_HW & (view.facing_HW > _GRAZING) & inside_photo(view, *photo_pixels.shape[:2])
    photo_HW3 = sample_photo(photo_pixels, view, seen_HW)

    outline = landmarks_L2
    if outline is None and head.landmarks_478 is not None:
        outline = head.landmarks_478.positions(verts_V3, head.faces_F3) @ to_photo[:, :3].T + to_photo[:, 3]
    face_HW, opening_HW = seen_HW & (regions.face > 0.5), np.zeros_like(seen_HW)
    if outline is not None:
        inside_HW, opening_HW = outlines(view, outline)
        face_HW &= inside_HW & ~opening_HW
    light, believed_HW = believe(photo_HW3, face_HW, view, regions, size)
    # The islands' own borders are no reason to fade: lips and lids reach up to them.
    weight_HW = shrink_mask(believed_HW | opening_HW | ~on_skin_HW, _FEATHER * size)
    weight_HW = np.minimum(weight_HW, shrink_mask(~opening_HW, _OPENING_FEATHER * size)) * believed_HW
    weight_HW *= smoothstep(view.facing_HW, _GRAZING, FACING)

    even_HW3 = light.unlit(photo_HW3, view.normals_HW3)
    tone = np.median(even_HW3[weight_HW > 0.99], axis=0) if (weight_HW > 0.99).any() else skin.DEFAULT_SKIN
    skin_HW3, skin_HW = _with_mirrored(even_HW3, weight_HW, texels)
    image_HW3 = _over_base(skin_HW3, skin_HW, skin.base_skin(tone, texels))
    hair = _hair(photo_HW3, light, view, seen_HW, regions, texels)
    if hair is not None:
        hair_HW3, hair_HW = hair
        image_HW3 += (hair_HW * (1 - skin_HW))[..., None] * (hair_HW3 - image_HW3)

    brightness = float(np.clip(skin.to_lab(tone)[0] / 65, 0.55, 1.08))
    iris = DEFAULT_IRIS if landmarks_L2 is None else iris_colour(photo_pixels, landmarks_L2)
    paint_mouth(image_HW3, texels, brightness)
    paint_eyes(image_HW3, texels, iris, brightness)
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
        raise ValueError(f"texture size must be one of {SIZES}, got {size}")


def _hair(
    photo_HW3: NDArray[np.float32],
    light: skin.ColourModel,
    view: SurfaceView,
    seen_HW: NDArray[np.bool_],
    regions: Regions,
    texels: Texels,
) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    """Hair (H, W, 3) and where it grows (H, W): the photo's where it shows any, painted elsewhere; None if bald."""
    size = texels.size
    near_HW = _soft(regions.scalp, texels, 0.012 * size)
    front_HW = seen_HW & (view.facing_HW > 0.3)
    skin_distance_HW = light.distance(photo_HW3, view.normals_HW3)

    def model_of(samples_HW: NDArray[np.bool_]) -> skin.ColourModel | None:
        return skin.ColourModel.of(photo_HW3[samples_HW], view.normals_HW3[samples_HW])

    def shown_by(model: skin.ColourModel) -> NDArray[np.bool_]:
        """What is nearer to hair than to skin and hangs together with the scalp, but no brows and no beard."""
        distance_HW = model.distance(photo_HW3, view.normals_HW3)
        hairlike_HW = skin.likeness(distance_HW * (3 / np.clip(skin_distance_HW, 3, 7)), 0.004 * size) > 0.5
        allowed_HW = front_HW & ((near_HW > 0.1) | (regions.upper > 0.5) & (regions.tolerance < 1.25))
        return connected_to(near_HW > 0.4, without_specks(allowed_HW & hairlike_HW, allowed_HW, 0.004 * size))

    def far_from_skin(samples_HW: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The half of the samples less like skin: the other half may be hair with skin shining through."""
        return samples_HW & (skin_distance_HW > np.median(skin_distance_HW[samples_HW]))

    scalp_HW = front_HW & (regions.scalp > 0.4)
    if not scalp_HW.any() or np.percentile(skin_distance_HW[scalp_HW], 60) < _BALD:
        return None
    model = model_of(far_from_skin(scalp_HW))
    if model is None:
        return None
    # Once more with the whole of it: the scalp's front is seen at a grazing angle.
    shown_HW = shown_by(model)
    model = model_of(far_from_skin(shown_HW)) or model
    if not model.may_be_hair:
        return None
    shown_HW = shown_by(model)
    painted_HW3, streaks_HW = skin.cropped_hair(model.colour, texels)
    grown_HW = smoothstep(near_HW + 0.12 * streaks_HW.clip(-1.5, 1.5), 0.2, 0.55)
    weight_HW = shrink_mask(shown_HW | ~front_HW, _FEATHER * size) * shown_HW
    weight_HW *= smoothstep(view.facing_HW, 0.3, 0.6)
    return _over_base(photo_HW3, weight_HW, painted_HW3), np.maximum(grown_HW, weight_HW)


def _soft(mask_HW: NDArray[np.float32], texels: Texels, sigma: float) -> NDArray[np.float32]:
    """A mask blurred within the islands: what lies outside of them does not count."""
    covered_HW = texels.covered_HW.astype(np.float32)
    blurred_HW = cv2.GaussianBlur(mask_HW * covered_HW, (0, 0), sigma)
    return blurred_HW / np.maximum(cv2.GaussianBlur(covered_HW, (0, 0), sigma), 1e-3)


def _with_mirrored(
    photo_HW3: NDArray[np.float32], weight_HW: NDArray[np.float32], texels: Texels
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The photo with what only the other side shows mirrored in, and the weight (H, W) of both."""
    map_HW2 = texels.mirrored_HW2
    if map_HW2 is None:
        return photo_HW3, weight_HW
    # Weighted before it is resampled: a texel beside the believed ones may show the background.
    known_HW3 = photo_HW3 * weight_HW[..., None]
    mirrored_HW = cv2.remap(weight_HW, map_HW2, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    mirrored_HW3 = cv2.remap(known_HW3, map_HW2, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    mirrored_HW3 /= np.maximum(mirrored_HW, 1e-6)[..., None]
    mirrored_HW3 += tone_field(photo_HW3 - mirrored_HW3, np.minimum(weight_HW, mirrored_HW), blur=0.03)
    share_HW1 = (mirrored_HW * (1 - weight_HW))[..., None]
    total_HW1 = weight_HW[..., None] + share_HW1
    both_HW3 = (photo_HW3 * weight_HW[..., None] + mirrored_HW3 * share_HW1) / np.maximum(total_HW1, 1e-6)
    return both_HW3, total_HW1[..., 0]


def _over_base(
    photo_HW3: NDArray[np.float32], weight_HW: NDArray[np.float32], base_HW3: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The photo layer over painted skin that takes on the photo's tone at their border and loses it further out."""
    size = len(weight_HW)
    difference_HW3 = photo_HW3 - base_HW3
    lighter_HW1 = difference_HW3.mean(-1, keepdims=True)
    # Light may differ much, hue only little: beyond that it is a neighbour's colour that bled into the rim.
    tint_HW3 = np.clip(difference_HW3 - lighter_HW1, -_MAX_TINT, _MAX_TINT)
    tone_HW3 = np.clip(lighter_HW1, -_MAX_LIGHTER, _MAX_LIGHTER) + tint_HW3
    rim_HW3 = tone_field(tone_HW3, weight_HW, blur=0.012)
    around_HW3 = tone_field(tone_HW3, weight_HW, blur=0.06)
    distance_HW1 = cv2.distanceTransform((weight_HW < 0.5).astype(np.uint8), cv2.DIST_L2, 5)[..., None] / size
    near_HW1, far_HW1 = (np.exp(-((np.minimum(distance_HW1, 1) / width) ** 2)) for width in (_RIM, _FADE))
    toned_HW3 = base_HW3 + far_HW1 * (around_HW3 + near_HW1 * (rim_HW3 - around_HW3))
    return toned_HW3 + weight_HW[..., None] * (photo_HW3 - toned_HW3)
