"""Which texels of an unwrapped photo to believe: inside the face's outline, outside the eyes, coloured like skin.

Shape suffixes: L landmarks, H W texture rows and columns.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from deca.appearance import skin
from deca.appearance.eyes import LEFT_EYE, RIGHT_EYE
from deca.appearance.sampling import SurfaceView
from deca.networks.skin_map import Kind
from deca.render.uv import Texels, cached

if TYPE_CHECKING:
    from deca.appearance.skin_map import SkinMap

FACING = 0.5
"""Cosine from which a surface is well seen."""
_HULL_SCALE = 0.98
"""Part of the landmarks' hull in which the photo shows the face: its rim mixes with what is behind."""
_CERTAIN = 0.8
"""Probability from which on a texel's colour is a sample of the skin."""
_KEPT = 0.75
"""Probability of skin, or of hair on it, from which on a texel's colour is kept: thin frames are never certain."""
_FEATURE = 50.0
"""`Regions.tolerance` from which on a texel belongs to brows, eyes or lips."""
_MIXED = 0.005
"""Width of the border, as a share of the texture, in which skin mixes with the hair or frame beside it."""
_AROUND = 0.032
"""How far around brows, eyes, nostrils and mouth, as a share of the texture, they are looked at with what is beside
them: 8 mm."""
_BARE = {"brows": 0.72, "eyes": 0.58, "nostrils": 0.7, "mouth": 0.75}
"""Mean probability of skin, or of hair on it, from which on these show nothing else: lids, lips and nostrils in shade
look like hair and frames here and there. On 35 portraits without glasses brows have 0.73 and more (0.47 below a fringe,
0.69 behind hair), eyes 0.61, nostrils 0.89, the mouth 0.87."""
_WORN = 0.12
"""Mean probability of glasses around the eyes, but not at the brows, which thick and black look like rims, from which
on they are worn: on 11 of 84 people, 0.13 and more (0.08 where they have no rims), on others up to 0.11."""
_SURELY_WORN = 0.25
"""The same from which on rims are looked for where the network hardly sees them; a cloth mask's edge gives 0.14."""
_SURELY, _HARDLY = 0.3, 0.03
"""Probability from which on a texel shows such glasses, and from which on one that hangs together with it does
so, too: thin rims are hardly seen by the network. By eye on portraits."""
_DARK_LENS, _HIDDEN = 0.6, 0.1
"""Mean probability of glasses on an eye behind a dark lens, and on the brow above it, from which on nothing of the brow
is kept: its upper half beside a painted one are two."""
_NOSTRILS, _NOSTRILS_WIDE = (98, 2, 327), 0.012
"""MediaPipe landmarks below the nose, and metres around them."""
_INSIDE, _OPENING = 1, 2
_INNER_LIPS = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)


@dataclass(frozen=True)
class Regions:
    """Parts of the texture, (H, W) float32 in [0, 1], from the head model's masks and landmarks."""

    face: NDArray[np.float32]
    """Where the photo may be used."""
    scalp: NDArray[np.float32]
    core: NDArray[np.float32]
    """Cheeks and nose: skin on nearly every photo."""
    forehead: NDArray[np.float32]
    """Above the brows: skin, hair or a hat."""
    around_eyes: NDArray[np.float32]
    """Below and between the eyes: skin or glasses, and what a cloth mask leaves free."""
    lower_core: NDArray[np.float32]
    """Chin and upper lip: skin or beard."""
    lower: NDArray[np.float32]
    """Below the nose, where a beard may be."""
    beard: NDArray[np.float32]
    """Of the face, what is below the nose and no lips, where dark hair is a beard."""
    upper: NDArray[np.float32]
    """Of the face, what is above the brows or beside the eyes, where a fringe may hang."""
    brows: NDArray[np.float32]
    lips: NDArray[np.float32]
    """Their red, with what of it rolls into the mouth."""
    tolerance: NDArray[np.float32]
    """How much further from the skin's colours than elsewhere a texel may be: features and shadows are no occluders."""

    parts: dict[str, list[NDArray[np.bool_]]]
    """Brows, eyes, nostrils and mouth (`_BARE`) with what is beside them, each side of the face for itself."""

    @property
    def is_feature_HW(self) -> NDArray[np.bool_]:
        """Brows, eyes and lips."""
        return self.tolerance > _FEATURE


_regions: OrderedDict[tuple, Regions] = OrderedDict()


def regions_of(texels: Texels) -> Regions:
    """The regions at the texture's size, not to be changed; a model without masks or landmarks counts all its skin as
    face and core."""
    return cached(_regions, (texels.head.hash, texels.size), lambda: _regions_from(texels))


def _regions_from(texels: Texels) -> Regions:
    head, size = texels.head, texels.size

    def mask(name: str, default: float) -> NDArray[np.float32]:
        if name not in head.masks:
            return np.full((size, size), default, np.float32)
        return cv2.resize(head.masks[name], (size, size), interpolation=cv2.INTER_LINEAR).astype(np.float32) / 255

    face = mask("face", 1)
    marked = {
        "brows": mask("brows", 0),
        "eyes": np.maximum(mask("eyes", 0), mask("eyelids", 0)),
        "mouth": np.maximum(mask("lips", 0), mask("mouth", 0)),
    }
    features = np.maximum.reduce(list(marked.values()))
    core = lower_core = forehead = around_eyes = face * (1 - features)
    lower, upper = np.zeros_like(face), np.zeros_like(face)
    anchored = head.landmarks_478 is not None and bool(head.landmarks_478.placed[[33, 263, 2, 152]].all())
    if head.landmarks_478 is not None and anchored:
        points = head.landmarks_478.positions(head.template_V3, head.faces_F3)
        eye_y, nose_y, chin_y = points[[33, 263], 1].mean(), points[2, 1], points[152, 1]
        height_HW = texels.interpolate(head.template_V3[:, 1], fill=-1.0)
        front_HW = texels.interpolate(head.template_V3[:, 2], fill=-1.0) > points[[33, 263], 2].mean() - 0.02
        brow_y = points[[105, 334], 1].mean()
        forehead = core * ((height_HW > brow_y + 0.006) & front_HW)
        around_eyes = core * ((height_HW > eye_y - 0.01) & (height_HW < brow_y) & front_HW)
        lower_core = core * ((height_HW < nose_y) & (height_HW > chin_y) & front_HW)
        core = core * ((height_HW < eye_y - 0.012) & (height_HW > nose_y) & front_HW)
        upper = face * (height_HW > eye_y)
        lower = (height_HW < nose_y).astype(np.float32)
        below_nose_N3 = points[list(_NOSTRILS)]
        position_HW13 = texels.interpolate(head.template_V3, fill=-1.0)[:, :, None]
        away_HW = np.linalg.norm(position_HW13 - below_nose_N3, axis=-1).min(-1)
        marked["nostrils"] = (away_HW < _NOSTRILS_WIDE).astype(np.float32)
    tolerance = 1 + 0.5 * np.maximum(core, lower_core) * anchored + 100 * features
    is_left_HW = texels.interpolate(head.template_V3[:, 0], fill=0.0) > 0
    grown = {name: cv2.dilate(mark_HW * face, disc(_AROUND * size)) > 0.5 for name, mark_HW in marked.items()}
    parts = {name: [around_HW & is_left_HW, around_HW & ~is_left_HW] for name, around_HW in grown.items()}
    scalp, lips = mask("scalp", 0), mask("lips", 0)
    beard = face * lower * (1 - marked["mouth"])
    return Regions(
        face,
        scalp,
        core,
        forehead,
        around_eyes,
        lower_core,
        lower,
        beard,
        upper,
        marked["brows"],
        lips,
        tolerance,
        parts,
    )


def outlines(view: SurfaceView, landmarks_L2: NDArray) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
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
        cv2.fillPoly(drawing, points, (value,), shift=4)
        if rim > 0:
            cv2.polylines(drawing, points, True, (value,), max(round(2 * rim * scale), 1), shift=4)

    middle = hull.mean(0)
    draw(middle + (hull - middle) * _HULL_SCALE, _INSIDE)
    for eye in (RIGHT_EYE, LEFT_EYE):
        lids = landmarks_L2[list(eye)]
        draw(lids, _OPENING, rim=0.03 * float(np.linalg.norm(lids[0] - lids[8])))
    lips = landmarks_L2[list(_INNER_LIPS)]
    width = float(np.linalg.norm(lips[0] - lips[10]))
    if np.linalg.norm(lips[5] - lips[15]) > 0.08 * width:
        draw(lips, _OPENING, rim=0.02 * width)
    cell_HW2 = np.floor((view.pixels_HW2 - origin.astype(np.float32)) * scale).clip(-1, cells).astype(np.int32)
    on_drawing_HW = ((cell_HW2 >= 0) & (cell_HW2 < cells)).all(-1)
    cell_HW2 = cell_HW2.clip(0, cells - 1)
    value_HW = drawing[cell_HW2[..., 1], cell_HW2[..., 0]] * on_drawing_HW
    return value_HW > 0, (value_HW == _OPENING) & view.visible_HW


def believe(
    photo_HW3: NDArray[np.float32],
    seen_HW: NDArray[np.bool_],
    view: SurfaceView,
    regions: Regions,
    size: int,
    skin_map: SkinMap | None = None,
) -> tuple[skin.ColourModel, NDArray[np.bool_]]:
    """The skin under the photo's light, and the texels (H, W) that show it: no occluders, hair, background.

    Where no network has told what is skin, its colour has to.
    """
    if skin_map is not None:
        return _told(photo_HW3, seen_HW, view, regions, size, skin_map)
    well_seen_HW = seen_HW & (view.facing_HW > FACING)

    def model_of(samples_HW: NDArray[np.bool_]) -> skin.ColourModel | None:
        return skin.ColourModel.of(photo_HW3[samples_HW], view.normals_HW3[samples_HW])

    def alike_of(model: skin.ColourModel) -> NDArray[np.float32]:
        distance_HW = model.distance(photo_HW3, view.normals_HW3) / regions.tolerance
        return skin.likeness(distance_HW, 0.006 * size)

    skin_HW, is_covered = _where_skin_is(photo_HW3, well_seen_HW, regions)
    light = model_of(skin_HW) or model_of(seen_HW)
    if light is None:
        return skin.ColourModel.flat(skin.DEFAULT_SKIN), np.zeros_like(seen_HW)
    if is_covered:  # so little skin says nothing of the light's direction, which could turn skin into white cloth
        light = skin.ColourModel.flat(light.colour)
        return light, without_specks(seen_HW & (alike_of(light) > 0.5), seen_HW, 0.004 * size)
    alike_HW = alike_of(light)
    # Once more with all that passed: cheeks and nose alone say little about light from above and from the side.
    light = model_of(seen_HW & (alike_HW > 0.9)) or light
    alike_HW = alike_of(light)
    beard = model_of(well_seen_HW & (regions.lower_core > 0.5))
    if beard is not None:
        alike_HW = np.maximum(alike_HW, regions.lower * alike_of(beard))
    return light, without_specks(seen_HW & (alike_HW > 0.5), seen_HW, 0.004 * size)


def _told(
    photo_HW3: NDArray[np.float32],
    seen_HW: NDArray[np.bool_],
    view: SurfaceView,
    regions: Regions,
    size: int,
    skin_map: SkinMap,
) -> tuple[skin.ColourModel, NDArray[np.bool_]]:
    """`believe` by a skin map."""
    bare_HW = skin_map.share(Kind.SKIN, size=size)
    certain_HW = seen_HW & (bare_HW > _CERTAIN)
    for samples_HW in (certain_HW & (view.facing_HW > FACING), certain_HW, seen_HW):
        light = skin.ColourModel.of(photo_HW3[samples_HW], view.normals_HW3[samples_HW])
        if light is not None:
            break
    else:
        return skin.ColourModel.flat(skin.DEFAULT_SKIN), np.zeros_like(seen_HW)
    kept_HW = cv2.erode(bare_HW + skin_map.share(Kind.FACIAL_HAIR, size=size), disc(_MIXED * size))
    # Brows, lids and lips may look like frames, too.
    is_kept_HW = kept_HW > np.where(regions.is_feature_HW, 0.5, _KEPT)
    glasses_HW = skin_map.share(Kind.GLASSES, size=size)
    worn = _worn(glasses_HW, seen_HW, regions)
    is_kept_HW |= _bare_parts(seen_HW, regions, skin_map, worn > _WORN)
    if worn > _SURELY_WORN:
        rims_HW = connected_to(glasses_HW > _SURELY, glasses_HW > _HARDLY)
        rims_HW = cv2.dilate(rims_HW.astype(np.uint8), disc(_MIXED * size)) > 0
        is_kept_HW &= ~rims_HW | ((regions.brows > 0) & (glasses_HW < _SURELY))  # brows look like rims
    for eye_HW, around_HW in zip(regions.parts["eyes"], regions.parts["brows"], strict=True):
        brow_HW, lens_HW = around_HW & (regions.brows > 0), eye_HW & regions.is_feature_HW & (regions.brows == 0)
        if mean_over(glasses_HW, seen_HW & lens_HW) > _DARK_LENS and mean_over(glasses_HW, seen_HW & brow_HW) > _HIDDEN:
            is_kept_HW &= ~brow_HW
    core = skin.median_lab(photo_HW3[certain_HW & (regions.core > 0.5)])
    is_odd = core is not None and not skin.may_be_skin(core)
    skin_HW, is_covered = _where_skin_is(photo_HW3, certain_HW, regions) if is_odd else (certain_HW, False)
    if core is not None and is_covered:
        # Cloth without folds looks like skin in all but its colour.
        light = skin.ColourModel.of(photo_HW3[skin_HW], view.normals_HW3[skin_HW]) or light
        light, cloth = skin.ColourModel.flat(light.colour), skin.ColourModel.flat(skin.to_srgb(core))
        off_HW, from_cloth_HW = (model.distance(photo_HW3, view.normals_HW3) for model in (light, cloth))
        is_kept_HW &= (skin.likeness(off_HW / regions.tolerance, 0.006 * size) > 0.5) & (off_HW < from_cloth_HW)
    return light, without_specks(seen_HW & is_kept_HW, seen_HW, 0.004 * size)


def _worn(glasses_HW: NDArray[np.float32], seen_HW: NDArray[np.bool_], regions: Regions) -> float:
    """The mean probability of glasses around the eyes."""
    eyes_HW, brows_HW = (np.logical_or.reduce(regions.parts[name]) for name in ("eyes", "brows"))
    return mean_over(glasses_HW, seen_HW & eyes_HW & ~brows_HW)


def mean_over(map_HW: NDArray[np.float32], where_HW: NDArray[np.bool_]) -> float:
    """The mean over a part; 0 of nothing."""
    return float(map_HW[where_HW].mean()) if where_HW.any() else 0.0


def _bare_parts(seen_HW: NDArray[np.bool_], regions: Regions, skin_map: SkinMap, are_worn: bool) -> NDArray[np.bool_]:
    """Brows, eyes, nostrils and mouth that nothing covers: there the map takes for hair and frames what is none.

    What goes on beyond them is some, a strand beside a brow.

    Args:
        seen_HW, regions, skin_map: As in `believe`.
        are_worn: Whether there are glasses, which hide brows and eyes.
    """
    size = len(seen_HW)
    share_HW = skin_map.share(Kind.SKIN, Kind.FACIAL_HAIR, size=size)
    if not are_worn:
        share_HW += skin_map.share(Kind.GLASSES, size=size)
    within_HW = np.logical_or.reduce([side_HW for sides in regions.parts.values() for side_HW in sides])
    other_HW = seen_HW & (share_HW < 0.5)
    covers_HW = connected_to(other_HW & ~within_HW, other_HW)
    bare_HW = np.zeros_like(seen_HW)
    for name, sides in regions.parts.items():
        for side_HW in () if are_worn and name in ("brows", "eyes") else sides:
            shown_HW = side_HW & seen_HW
            if shown_HW.any() and share_HW[shown_HW].mean() > _BARE[name]:
                bare_HW |= shown_HW
    return bare_HW & ~covers_HW


def _where_skin_is(
    photo_HW3: NDArray[np.float32], seen_HW: NDArray[np.bool_], regions: Regions
) -> tuple[NDArray[np.bool_], bool]:
    """Texels that show skin for certain, and whether cheeks and nose, where it usually is, are covered.

    They are if neither the forehead nor the surroundings of the eyes have their colour. Then these two are the skin if
    they agree with each other, and otherwise the first of the three that has a colour that skin can have.
    """
    core_HW, eyes_HW, forehead_HW = (
        seen_HW & (region > 0.5) for region in (regions.core, regions.around_eyes, regions.forehead)
    )
    core, eyes, forehead = (skin.median_lab(photo_HW3[patch_HW]) for patch_HW in (core_HW, eyes_HW, forehead_HW))
    if core is None or skin.may_be_same(core, eyes) or skin.may_be_same(core, forehead):
        return core_HW, False
    if skin.may_be_same(eyes, forehead):
        return eyes_HW | forehead_HW, True
    for patch_HW, colour in ((core_HW, core), (eyes_HW, eyes), (forehead_HW, forehead)):
        if colour is not None and skin.may_be_skin(colour):
            return patch_HW, patch_HW is not core_HW
    return core_HW, False


def without_specks(believed_HW: NDArray[np.bool_], seen_HW: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """Takes out what is narrower than a disc; borders of what is seen do not count as such."""
    solid_HW = (believed_HW | ~seen_HW).astype(np.uint8)
    return believed_HW & cv2.morphologyEx(solid_HW, cv2.MORPH_OPEN, disc(radius)).astype(bool)


def closed(mask_HW: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """The mask with gaps narrower than a disc filled. By distances, whose time does not grow with the radius."""
    radius = max(round(radius), 1)
    grown_HW = _distance(~mask_HW) <= radius
    return _distance(grown_HW) > radius


def _distance(mask_HW: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Of each pixel of the mask from the nearest one outside of it, pixels; the picture's border does not count."""
    return np.asarray(cv2.distanceTransform(mask_HW.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float32)


def disc(radius: float) -> NDArray[np.uint8]:
    """A disc to grow and shrink masks with, of one texel at least."""
    width = 2 * max(round(radius), 1) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width)), np.uint8)


def connected_to(seeds_HW: NDArray[np.bool_], mask_HW: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The connected parts of a mask that contain a seed."""
    _, label_HW = cv2.connectedComponents(mask_HW.astype(np.uint8))
    keep = np.zeros(label_HW.max() + 1, bool)
    keep[np.unique(label_HW[seeds_HW])] = True
    keep[0] = False
    return keep[np.asarray(label_HW, np.int64)]
