"""The photo unwrapped into a head's texture, twice: as photographed, and with the photo's light taken out.

Three layers, each carried over to the tone of the one above it (`deca.appearance.blend.tone_field`), so that no seam
shows: the photo where it sees the face; the same photo mirrored where it sees only the other side; painted skin where
it sees neither. Hair, where it is asked for, eyes and the inside of the mouth are painted last.

What is skin, and all tones, are found at a size that suffices for them (`_PLAN_SIZE`); what the photo shows beyond that
is sampled at the texture's size and added.

Shape suffixes: V vertices, L landmarks, N texels, K rows and columns of the plan, H W texture rows and columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from deca.appearance import skin
from deca.appearance.albedo import AlbedoModel
from deca.appearance.albedo_map import without_light
from deca.appearance.blend import FEATHER, over_base, shrink_mask, smoothstep, tone_field
from deca.appearance.brows import with_brows
from deca.appearance.eyes import DEFAULT_IRIS, eye_pixels, iris_colour, paint_eyes
from deca.appearance.grain import grain_left, with_even_grain
from deca.appearance.hair import hair_layer
from deca.appearance.lips import inside_of_mouth, lips_lab, with_lips, without_shine
from deca.appearance.mouth import paint_mouth
from deca.appearance.notices import notices_of
from deca.appearance.sampling import SurfaceView, inside_photo, pixels_per_texel, sample_photo, skin_alone, view_surface
from deca.appearance.skin_map import SkinMap
from deca.appearance.stains import stained
from deca.appearance.trust import FACING, Regions, believe, mean_over, outlines, regions_of
from deca.appearance.white import NEUTRAL, White, white_of
from deca.errors import OptionError
from deca.head.model import HeadModel
from deca.networks.skin_map import Kind
from deca.render.uv import Texels, texels_of
from deca_blender.protocol.messages import Notice

SIZES = (512, 1024, 2048)

_PLAN_SIZE = 512
"""Rows at which skin, weights and tones are found: half a millimetre, finer than any of their borders."""
_GRAZING = 0.22
"""Cosine from which on the photo is used at all; its weight rises to 1 at `FACING`."""
_OPENING_FEATHER = 0.008
"""Width of its soft border around the eye openings and the open mouth."""
_MOST_UNLIT = 1.6
"""Factor by which taking the light out may change detail."""
_MOUSTACHE = 0.2
"""Mean probability of facial hair below the nose from which on there is a moustache: four portraits with one have 0.36
to 0.55, nine without up to 0.10."""
_ALBEDO_EYES = 0.95
"""Exposure that eyes and teeth of the albedo are painted for, whatever the photo's."""


@dataclass(frozen=True)
class Texture:
    """A head's colours.

    Attributes:
        albedo_NN3: The photo's light taken out, as far as it is known; uint8 sRGB, top row first.
        photographed_NN3: The photo's light left in.
        notices: What the user should know of them.
    """

    albedo_NN3: NDArray[np.uint8]
    photographed_NN3: NDArray[np.uint8]
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True)
class Shown:
    """What a photo shows of a head's texture, before anything is filled in; all but the detail at the plan's size.

    Attributes:
        photo_KK3: The photo, sRGB in [0, 1]; meaningless where it does not see the surface.
        albedo_KK3, photographed_KK3: Its skin, with the photo's light taken out and as it is.
        own_KK: How far to believe that it shows skin, 0..1.
        seen_KK: Where the photo sees the surface.
        view: How.
        density: Photo pixels per texel.
        light: The skin under the photo's light.
        white: The photo's white.
        iris: Colour of the irises in white light.
        landmarks_L2: The face's landmarks, photo pixels; None where they are not known.
        skin_map: What the photo's texels show, if that was told.
        detail_HW3: What the photo shows beyond the plan's size, at the texture's; None where that is no larger.
    """

    photo_KK3: NDArray[np.float32]
    albedo_KK3: NDArray[np.float32]
    photographed_KK3: NDArray[np.float32]
    own_KK: NDArray[np.float32]
    seen_KK: NDArray[np.bool_]
    view: SurfaceView
    density: float
    light: skin.ColourModel
    white: White
    iris: NDArray[np.float32]
    landmarks_L2: NDArray | None
    skin_map: SkinMap | None
    detail_HW3: NDArray[np.float32] | None


@dataclass(frozen=True)
class _Plan:
    """What is to be shown where, at the plan's size.

    Attributes:
        albedo_KK3, photographed_KK3: The finished skin and hair.
        hair_KK: Share of hair over the skin.
        own_hair_KK: The photo's share in the hair.
        notices: As in `Texture`.
    """

    albedo_KK3: NDArray[np.float32]
    photographed_KK3: NDArray[np.float32]
    hair_KK: NDArray[np.float32]
    own_hair_KK: NDArray[np.float32]
    notices: tuple[Notice, ...]


def unwrap_photo(
    photo_pixels: NDArray[np.uint8],
    verts_V3: NDArray,
    to_photo: NDArray,
    head: HeadModel,
    size: int = 1024,
    *,
    landmarks_L2: NDArray | None = None,
    skin_map: SkinMap | None = None,
    albedo: AlbedoModel | None = None,
    lightness: float | None = None,
    paint_hair: bool = False,
) -> Texture:
    """Unwraps a photo into the head's texture.

    Args:
        photo_pixels: (H, W, 3) uint8 sRGB, upright.
        verts_V3: Posed vertices in head space, metres, as fitted to the photo.
        to_photo: (2, 4), head space to photo pixels (`deca_blender.protocol.camera.photo_matrix`).
        head: The head model.
        size: Rows and columns of the texture: 512, 1024 or 2048.
        landmarks_L2: 478 MediaPipe landmarks in photo pixels. Without them the fitted head's own stand in: the eye
            openings and the face's outline are then only as good as the fit, and the irises stay brown.
        skin_map: What the photo's texels show. Without it only the face inside the landmarks' outline is used, as far
            as it has the skin's colour.
        albedo: Albedo model of the head, which tells the photo's light; without it half of the light's direction is
            taken out.
        lightness: L* of the skin, as far as the face tells it (`deca.networks.skin_tone`).
        paint_hair: Paint hair on the scalp where the photo shows some; else the scalp is skin.

    Raises:
        ValueError: Arrays of the wrong shape or type.
    """
    shown = shown_by_photo(
        photo_pixels,
        verts_V3,
        to_photo,
        head,
        size,
        landmarks_L2=landmarks_L2,
        skin_map=skin_map,
        albedo=albedo,
        lightness=lightness,
        paint_hair=paint_hair,
    )
    return filled_in(shown, head, size, paint_hair)


def shown_by_photo(
    photo_pixels: NDArray[np.uint8],
    verts_V3: NDArray,
    to_photo: NDArray,
    head: HeadModel,
    size: int = 1024,
    *,
    landmarks_L2: NDArray | None = None,
    skin_map: SkinMap | None = None,
    albedo: AlbedoModel | None = None,
    lightness: float | None = None,
    paint_hair: bool = False,
) -> Shown:
    """What a photo shows of the head's texture; arguments and errors as of `unwrap_photo`."""
    _check(photo_pixels, verts_V3, to_photo, head, size)
    texels = texels_of(head, min(size, _PLAN_SIZE))
    view = view_surface(texels, verts_V3, to_photo)
    regions = regions_of(texels)
    on_skin_HW = skin_alone(texels)
    seen_HW = on_skin_HW & view.visible_HW & (view.facing_HW > _GRAZING) & inside_photo(view, *photo_pixels.shape[:2])
    photo_HW3 = sample_photo(photo_pixels, view.pixels_HW2, seen_HW)

    outline = landmarks_L2
    if outline is None and head.landmarks_478 is not None and head.landmarks_478.placed.all():
        outline = head.landmarks_478.positions(verts_V3, head.faces_F3) @ to_photo[:, :3].T + to_photo[:, 3]
    face_HW, opening_HW = seen_HW & (regions.face > 0.5), np.zeros_like(seen_HW)
    if outline is not None:
        inside_HW, opening_HW = outlines(view, outline)
        face_HW &= inside_HW & ~opening_HW
    if skin_map is not None:
        face_HW = seen_HW & ~opening_HW
    light, believed_HW = believe(photo_HW3, face_HW, view, regions, texels.size, skin_map)
    believed_HW &= ~inside_of_mouth(photo_HW3, believed_HW, opening_HW, regions.lips)
    # The islands' own borders are no reason to fade: lips and lids reach up to them, and turn inwards.
    inwards_HW = regions.is_feature_HW & ~view.visible_HW
    weight_HW = shrink_mask(believed_HW | opening_HW | ~on_skin_HW | inwards_HW, FEATHER * texels.size)
    weight_HW = np.minimum(weight_HW, shrink_mask(~opening_HW, _OPENING_FEATHER * texels.size)) * believed_HW
    weight_HW *= smoothstep(view.facing_HW, _GRAZING, FACING)

    white, iris = NEUTRAL, DEFAULT_IRIS
    if landmarks_L2 is not None:
        eyes = eye_pixels(photo_pixels, landmarks_L2)
        white = white_of(eyes.sclera_N3, eyes.iris_radius, skin.median_lab(photo_HW3[weight_HW > 0.99]))
        iris = iris_colour(eyes, white)
    unlit_HW3 = None
    if albedo is not None:
        bare_HW = believed_HW if skin_map is None else believed_HW & (skin_map.share(Kind.SKIN, size=texels.size) > 0.5)
        unlit_HW3 = without_light(photo_HW3, bare_HW, view.normals_HW3, albedo, white.tint_3, lightness, regions.beard)
        if unlit_HW3 is not None:
            unlit_HW3 = with_even_grain(unlit_HW3, photo_HW3, bare_HW, view.facing_HW)
            unlit_HW3 = without_shine(unlit_HW3, weight_HW, regions.lips)
            nostrils_HW = np.any(regions.parts["nostrils"], axis=0)
            if skin_map is not None and not _has_moustache(skin_map, nostrils_HW & believed_HW):
                bare_HW |= nostrils_HW & believed_HW
            weight_HW *= 1 - stained(unlit_HW3, photo_HW3, weight_HW, bare_HW, regions.is_feature_HW, nostrils_HW)
    if unlit_HW3 is None:
        unlit_HW3 = light.unlit(photo_HW3, view.normals_HW3)
    detail_HW3 = None
    if size > texels.size:
        pixels_V2 = (np.asarray(verts_V3, np.float64) @ to_photo[:, :3].T + to_photo[:, 3]).astype(np.float32)
        wanted_HW = _resized((seen_HW if paint_hair else weight_HW > 0).astype(np.float32), size) > 0
        detail_HW3 = sample_photo(photo_pixels, texels_of(head, size).interpolate(pixels_V2, fill=-1e6), wanted_HW)
        detail_HW3 -= _grown(photo_HW3, texels, size)
    return Shown(
        photo_HW3,
        unlit_HW3,
        photo_HW3,
        weight_HW,
        seen_HW,
        view,
        pixels_per_texel(view.pixels_HW2, seen_HW) if seen_HW.any() else 0.0,
        light,
        white,
        iris,
        landmarks_L2,
        skin_map,
        detail_HW3,
    )


def _has_moustache(skin_map: SkinMap, below_nose_HW: NDArray[np.bool_]) -> bool:
    """Whether hair grows below the nose; a shadow there looks like it in places."""
    return mean_over(skin_map.share(Kind.FACIAL_HAIR, size=len(below_nose_HW)), below_nose_HW) > _MOUSTACHE


def filled_in(shown: Shown, head: HeadModel, size: int, paint_hair: bool = False) -> Texture:
    """The whole texture of what a photo shows of it.

    Args:
        shown: What it shows.
        head: The head model.
        size: Rows and columns of the texture, as in `shown_by_photo`.
        paint_hair: Paint hair on the scalp where the photo shows some.
    """
    texels = texels_of(head, size)
    plan = _plan(shown, head, paint_hair)
    albedo_HW3, photographed_HW3 = plan.albedo_KK3, plan.photographed_KK3
    if shown.detail_HW3 is not None:
        coarse = texels_of(head, _PLAN_SIZE)
        left_HW = _resized(grain_left(albedo_HW3, photographed_HW3, skin_alone(coarse)), size)
        albedo_HW3, photographed_HW3 = (_grown(image, coarse, size) for image in (albedo_HW3, photographed_HW3))
        detail_HW3 = _detail(plan, shown.own_KK, shown.detail_HW3, texels)
        # As the plan's light and grain were taken out, so are the detail's.
        gain_HW3 = (albedo_HW3 / np.maximum(photographed_HW3, 0.02)).clip(1 / _MOST_UNLIT, _MOST_UNLIT)
        gain_HW3 *= left_HW[..., None]
        photographed_HW3 += detail_HW3
        albedo_HW3 += gain_HW3 * detail_HW3
    for image_HW3, white in ((albedo_HW3, White(NEUTRAL.tint_3, _ALBEDO_EYES)), (photographed_HW3, shown.white)):
        paint_mouth(image_HW3, texels, white.exposure)
        paint_eyes(image_HW3, texels, shown.iris, white.exposure, white.tint_3)
    return Texture(_finished(albedo_HW3, texels), _finished(photographed_HW3, texels), plan.notices)


def _finished(image_HW3: NDArray[np.float32], texels: Texels) -> NDArray[np.uint8]:
    """As bytes, the islands' colours continued beyond their borders."""
    image_HW3 *= 255
    bytes_HW3 = np.rint(image_HW3, out=image_HW3).clip(0, 255).astype(np.uint8)
    outside_HW = ~texels.covered_HW
    bytes_HW3[outside_HW] = bytes_HW3.reshape(-1, 3)[texels.nearest_HW[outside_HW]]
    return bytes_HW3


def _check(photo: NDArray, verts_V3: NDArray, to_photo: NDArray, head: HeadModel, size: int) -> None:
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3:
        raise ValueError(f"the photo must be (H, W, 3) uint8, got {photo.shape} {photo.dtype}")
    if verts_V3.shape != head.template_V3.shape:
        raise ValueError(f"the head has vertices {head.template_V3.shape}, got {verts_V3.shape}")
    if np.shape(to_photo) != (2, 4):
        raise ValueError(f"to_photo must be (2, 4), got {np.shape(to_photo)}")
    if size not in SIZES:
        raise OptionError(f"A texture of {size} pixels is not offered.", f"Choose one of {', '.join(map(str, SIZES))}.")


def _plan(shown: Shown, head: HeadModel, paint_hair: bool) -> _Plan:
    weight_HW = shown.own_KK
    texels = texels_of(head, len(weight_HW))
    regions = regions_of(texels)
    mirrored_HW = _mirrored(weight_HW, texels)
    albedo_HW3 = _with_base(shown.albedo_KK3, weight_HW, mirrored_HW, regions, texels)
    photographed_HW3 = _with_base(shown.photographed_KK3, weight_HW, mirrored_HW, regions, texels)
    skin_HW = weight_HW + mirrored_HW * (1 - weight_HW)
    hair_HW = own_hair_HW = np.zeros_like(weight_HW)
    hair = None
    if paint_hair:
        hair = hair_layer(shown.photo_KK3, shown.light, shown.view, shown.seen_KK, skin_HW, regions, texels)
    if hair is not None:
        hair_HW, own_hair_HW = hair.cover_HW, hair.own_HW
        for image_HW3 in (albedo_HW3, photographed_HW3):
            image_HW3 += hair_HW[..., None] * (hair.colours_HW3 - image_HW3)
    notices = ()
    if shown.landmarks_L2 is not None:
        told = (shown.white, shown.landmarks_L2, shown.skin_map)
        notices = notices_of(shown.photographed_KK3, weight_HW, mirrored_HW, regions, texels, *told)
    return _Plan(albedo_HW3, photographed_HW3, hair_HW, own_hair_HW, notices)


def _detail(
    plan: _Plan, own_KK: NDArray[np.float32], detail_HW3: NDArray[np.float32], texels: Texels
) -> NDArray[np.float32]:
    """What the photo shows beyond the plan's size, own and mirrored, (H, W, 3)."""
    size = texels.size
    skin_KK = (1 - plan.hair_KK) * own_KK
    shares_KK2 = np.dstack((skin_KK + plan.hair_KK * plan.own_hair_KK, (1 - plan.hair_KK) * (1 - own_KK)))
    own_HW, free_HW = cv2.split(cv2.resize(shares_KK2, (size, size), interpolation=cv2.INTER_LINEAR))
    both_HW3 = detail_HW3 * own_HW[..., None]
    if texels.mirrored_HW2 is not None:
        skin_HW3 = both_HW3 if not plan.hair_KK.any() else both_HW3 * _resized(1 - plan.hair_KK, size)[..., None]
        both_HW3 += _across(skin_HW3, texels.mirrored_HW2) * free_HW[..., None]
    return both_HW3


def _grown(image_KK3: NDArray[np.float32], coarse: Texels, size: int) -> NDArray[np.float32]:
    """A picture of the plan at a larger size; what lies between the islands does not mix into them."""
    padded_KK3 = image_KK3.reshape(-1, 3)[coarse.nearest_HW]
    return _resized(padded_KK3, size)


def _resized(image: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)


def _mirrored(weight_HW: NDArray[np.float32], texels: Texels) -> NDArray[np.float32]:
    """The weight of what the other side shows of each texel."""
    if texels.mirrored_HW2 is None:
        return np.zeros_like(weight_HW)
    return _across(weight_HW, texels.mirrored_HW2)


def _across(image: NDArray[np.float32], mirrored_HW2: NDArray[np.float32]) -> NDArray[np.float32]:
    """What a texture shows on the other side of the head; 0 where nothing is."""
    column_HW, row_HW = cv2.split(mirrored_HW2)
    return np.asarray(cv2.remap(image, column_HW, row_HW, cv2.INTER_LINEAR), np.float32)


def _with_base(
    colours_HW3: NDArray[np.float32],
    weight_HW: NDArray[np.float32],
    mirrored_HW: NDArray[np.float32],
    regions: Regions,
    texels: Texels,
) -> NDArray[np.float32]:
    """The photo, what only the other side shows mirrored in, and painted skin and features of its tones around both."""
    sure_HW = weight_HW > 0.99
    tone = np.median(colours_HW3[sure_HW], axis=0) if sure_HW.any() else skin.DEFAULT_SKIN
    lips = lips_lab(colours_HW3, weight_HW, regions.lips)
    base_HW3 = with_brows(with_lips(skin.base_skin(tone, texels), tone, regions.lips, lips), regions.brows)
    if texels.mirrored_HW2 is None:
        return over_base(colours_HW3, weight_HW, base_HW3)
    # Weighted before it is resampled: a texel beside the believed ones may show the background.
    known_HW3 = colours_HW3 * weight_HW[..., None]
    other_HW3 = _across(known_HW3, texels.mirrored_HW2)
    other_HW3 /= np.maximum(mirrored_HW, 1e-6)[..., None]
    other_HW3 += tone_field(colours_HW3 - other_HW3, np.minimum(weight_HW, mirrored_HW), blur=0.03)
    share_HW1 = (mirrored_HW * (1 - weight_HW))[..., None]
    total_HW1 = weight_HW[..., None] + share_HW1
    both_HW3 = (known_HW3 + other_HW3 * share_HW1) / np.maximum(total_HW1, 1e-6)
    return over_base(both_HW3, total_HW1[..., 0], base_HW3)
