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
from deca.appearance.blend import shrink_mask, smoothstep, tone_field
from deca.appearance.eyes import DEFAULT_IRIS, LEFT_EYE, RIGHT_EYE, iris_colour, paint_eyes, paint_mouth
from deca.appearance.sampling import SurfaceView, inside_photo, sample_photo, view_surface
from deca.head.model import HeadModel, Part
from deca.render.uv import Texels, texels_of

SIZES = (512, 1024, 2048)

_GRAZING, _FACING = 0.15, 0.45
"""Cosines between which the photo's weight rises from 0 to 1."""
_FEATHER = 0.012
"""Width of the photo layer's soft border, as a fraction of the texture."""
_OPENING_FEATHER = 0.004
"""The same around the eye openings and the open mouth."""
_HULL_MARGIN = 1.03
"""How far beyond the landmarks' hull, relative to its size, the photo is believed to show the face."""
_FADE = 0.10
"""Distance from the photo, as a fraction of the texture, at which painted skin is back at its own tone (1/e)."""
_INSIDE, _OPENING = 1, 2
_INNER_LIPS = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)


@dataclass(frozen=True)
class _Regions:
    """Parts of the texture, (H, W) float32 in [0, 1], from the head model's masks and landmarks."""

    face: NDArray[np.float32]
    """Where the photo may be used."""
    scalp: NDArray[np.float32]
    core: NDArray[np.float32]
    """Cheeks and nose: skin on nearly every photo."""
    lower_core: NDArray[np.float32]
    """Chin and upper lip: skin or beard."""
    lower: NDArray[np.float32]
    """Below the nose, where a beard may be."""
    inner: NDArray[np.float32]
    """Features and what lies between them: never taken for an occluder, so that glasses and shadows stay."""


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
    regions = _regions(texels)
    on_skin_HW = texels.interpolate((head.parts_V != Part.SKIN).astype(np.float32), fill=1.0) < 0.01
    wanted_HW = on_skin_HW & (view.facing_HW > 0) & inside_photo(view, *photo_pixels.shape[:2])
    photo_HW3 = sample_photo(photo_pixels, view, wanted_HW)

    outline = landmarks_L2
    if outline is None and head.landmarks_478 is not None:
        outline = head.landmarks_478.positions(verts_V3, head.faces_F3) @ to_photo[:, :3].T + to_photo[:, 3]
    seen_HW = wanted_HW & view.visible_HW & (view.facing_HW > _GRAZING) & (regions.face > 0.5)
    opening_HW = np.zeros_like(seen_HW)
    if outline is not None:
        inside_HW, opening_HW = _outlines(view, outline)
        seen_HW &= inside_HW

    light, believed_HW = _believed(photo_HW3, seen_HW & ~opening_HW, view, regions, size)
    # The islands' own borders are no reason to fade: lips and lids reach up to them.
    weight_HW = shrink_mask(believed_HW | opening_HW | ~on_skin_HW, _FEATHER * size)
    weight_HW = np.minimum(weight_HW, shrink_mask(~opening_HW, _OPENING_FEATHER * size)) * believed_HW
    weight_HW *= smoothstep(view.facing_HW, _GRAZING, _FACING)
    scalp_seen_HW = wanted_HW & view.visible_HW & (view.facing_HW > 0.3) & (regions.scalp > 0.9)
    hair = skin.hair_colour(photo_HW3[scalp_seen_HW], view.normals_HW3[scalp_seen_HW], light)
    photo_HW3 = light.unlit(photo_HW3, view.normals_HW3)

    tone = np.median(photo_HW3[weight_HW > 0.99], axis=0) if (weight_HW > 0.99).any() else skin.DEFAULT_SKIN
    base_HW3 = skin.base_skin(tone, texels)
    both_HW3, both_HW = _with_mirrored(photo_HW3, weight_HW, texels)
    image_HW3 = _over_base(both_HW3, both_HW, base_HW3)

    if hair is not None:
        hair_HW3, streaks_HW = skin.cropped_hair(hair, texels)
        soft_HW = _soft(regions.scalp, texels, 0.012 * size)
        hair_HW1 = (smoothstep(soft_HW + 0.12 * streaks_HW, 0.3, 0.75) * (1 - both_HW))[..., None]
        image_HW3 += hair_HW1 * (hair_HW3 - image_HW3)

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


def _regions(texels: Texels) -> _Regions:
    """The regions at the texture's size; a model without masks or landmarks counts all its skin as face and core."""
    head, size = texels.head, texels.size

    def mask(name: str, default: float) -> NDArray[np.float32]:
        if name not in head.masks:
            return np.full((size, size), default, np.float32)
        return cv2.resize(head.masks[name], (size, size), interpolation=cv2.INTER_LINEAR).astype(np.float32) / 255

    face = mask("face", 1)
    features = np.maximum.reduce([mask(name, 0) for name in ("brows", "eyes", "eyelids", "lips", "mouth")])
    core = lower_core = face * (1 - features)
    lower = np.zeros_like(face)
    inner = features
    if head.landmarks_478 is not None:
        points = head.landmarks_478.positions(head.template_V3, head.faces_F3)
        eye_y, nose_y, chin_y = points[[33, 263], 1].mean(), points[2, 1], points[152, 1]
        height_HW = texels.interpolate(head.template_V3[:, 1], fill=-1.0)
        front_HW = texels.interpolate(head.template_V3[:, 2], fill=-1.0) > points[[33, 263], 2].mean() - 0.02
        lower_core = core * ((height_HW < nose_y) & (height_HW > chin_y) & front_HW)
        core = core * ((height_HW < eye_y - 0.012) & (height_HW > nose_y) & front_HW)
        lower = (height_HW < nose_y).astype(np.float32)
        inner = np.maximum.reduce((features, core, lower_core))
    return _Regions(face, mask("scalp", 0), core, lower_core, lower, inner)


def _outlines(view: SurfaceView, landmarks_L2: NDArray) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which texels lie inside the landmarks' hull on the photo, and which in an eye opening or the open mouth.

    What lies in an eye opening on the photo is eyeball, even where the fitted lid covers it: taken for skin, it would
    show as a smear on closed lids.
    """
    landmarks_L2 = np.asarray(landmarks_L2, np.float64)
    hull = cv2.convexHull(landmarks_L2[:468].astype(np.float32))[:, 0]
    low, high = hull.min(0), hull.max(0)
    # Drawn at a fixed size around the face: independent of the photo's resolution.
    cells = 1024
    scale = cells / max((high - low).max() * 1.2, 1e-6)
    origin = (low + high) / 2 - cells / 2 / scale
    drawing = np.zeros((cells, cells), np.uint8)

    def draw(polygon: NDArray, value: int, rim: float = 0.0) -> None:
        points = [np.round((polygon - origin) * scale * 16).astype(np.int32)]
        cv2.fillPoly(drawing, points, value, shift=4)
        if rim > 0:
            cv2.polylines(drawing, points, True, value, max(round(2 * rim * scale), 1), shift=4)

    middle = hull.mean(0)
    draw(middle + (hull - middle) * _HULL_MARGIN, _INSIDE)
    for eye in (RIGHT_EYE, LEFT_EYE):
        lids = landmarks_L2[list(eye)]
        draw(lids, _OPENING, rim=0.03 * float(np.linalg.norm(lids[0] - lids[8])))
    lips = landmarks_L2[list(_INNER_LIPS)]
    width = float(np.linalg.norm(lips[0] - lips[10]))
    if np.linalg.norm(lips[5] - lips[15]) > 0.08 * width:
        draw(lips, _OPENING, rim=0.01 * width)
    cell_HW2 = np.floor((view.pixels_HW2 - origin.astype(np.float32)) * scale).clip(-1, cells).astype(np.int32)
    on_drawing_HW = ((cell_HW2 >= 0) & (cell_HW2 < cells)).all(-1)
    cell_HW2 = cell_HW2.clip(0, cells - 1)
    value_HW = drawing[cell_HW2[..., 1], cell_HW2[..., 0]] * on_drawing_HW
    return value_HW > 0, (value_HW == _OPENING) & view.visible_HW


def _believed(
    photo_HW3: NDArray[np.float32], seen_HW: NDArray[np.bool_], view: SurfaceView, regions: _Regions, size: int
) -> tuple[skin.ColourModel, NDArray[np.bool_]]:
    """The skin under the photo's light, and the texels (H, W) whose colour fits it: no occluders, hair, background."""
    well_seen_HW = seen_HW & (view.facing_HW > _FACING)

    def model_of(samples_HW: NDArray[np.bool_]) -> skin.ColourModel | None:
        return skin.ColourModel.of(photo_HW3[samples_HW], view.normals_HW3[samples_HW])

    def alike_of(model: skin.ColourModel) -> NDArray[np.float32]:
        return skin.likeness(photo_HW3, view.normals_HW3, model, 0.006 * size)

    light = model_of(well_seen_HW & (regions.core > 0.5)) or model_of(seen_HW)
    if light is None:
        return skin.ColourModel.flat(skin.DEFAULT_SKIN), np.zeros_like(seen_HW)
    alike_HW = alike_of(light)
    # Once more with all that passed: cheeks and nose alone say little about light from above and from the side.
    light = model_of(seen_HW & (alike_HW > 0.9)) or light
    alike_HW = alike_of(light)
    beard = model_of(well_seen_HW & (regions.lower_core > 0.5))
    if beard is not None:
        alike_HW = np.maximum(alike_HW, regions.lower * alike_of(beard))
    believed_HW = seen_HW & ((alike_HW > 0.5) | ((regions.inner > 0.5) & (view.facing_HW > _FACING)))
    radius = max(round(0.004 * size), 1)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    closed_HW = believed_HW | ~seen_HW
    return light, believed_HW & cv2.morphologyEx(closed_HW.astype(np.uint8), cv2.MORPH_OPEN, kernel).astype(bool)


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
    tone_HW3 = tone_field(photo_HW3 - base_HW3, weight_HW, blur=0.012)
    distance_HW = np.minimum(cv2.distanceTransform((weight_HW < 0.5).astype(np.uint8), cv2.DIST_L2, 5) / size, 1)
    fade_HW1 = np.exp(-((distance_HW / _FADE) ** 2))[..., None]
    return base_HW3 + tone_HW3 * fade_HW1 * (1 - weight_HW[..., None]) + (photo_HW3 - base_HW3) * weight_HW[..., None]
