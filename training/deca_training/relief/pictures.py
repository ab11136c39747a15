"""Pictures of synthetic skin, laid out as the UV map, and the relief that they show.

What is cheap is drawn anew for each picture: how deep lines are, where the head looks, light, pigment and what hangs
before the face, the error of the layout, the camera's faults.

Shape suffixes: K pictures or cells, C channels, D dimensions, H W rows and columns of the part of the UV map that shows
the face, P Q those of the photo laid out as this part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from deca.appearance.blend import smoothstep
from deca.appearance.trust import FACING
from deca.head import HeadModel
from deca.networks import MAP_SIZE
from deca.networks.relief import FINER, finer
from deca.reconstruct.relief import GRAZING
from deca.render.detail import DETAIL_MASK, detail_patch
from deca.render.lighting import sh_shading
from deca.render.uv import uv_mask
from deca_training.data.synthetic.light import Light
from deca_training.data.synthetic.photos import random_turn
from deca_training.data.synthetic.skin import in_between, skin_of
from deca_training.relief.carriers import Carrier
from deca_training.relief.lines import Tilt, free_lines
from deca_training.relief.pigment import Layer, in_front, pigmented
from deca_training.relief.surfaces import Surface, as_channels, keep, side_by_side, surface_file

COPIES = 2
"""Pictures of each expression of a person: light and pigment are cheaper than skin."""
_ON_PHOTO, _TEXTURED = 0.3, 0.25
"""Shares of pictures whose skin is a real photo's, and that have the texture of one."""
_SMOOTH = 0.4
"""Share of the carriers whose texture is taken: the smoothest, since it must not hold lines."""
_LINED = 0.5
"""Share of pictures with lines where no family of wrinkles has them."""
_DEEPER = 0.5, 0.6
"""Mean and deviation of the logarithm of a factor of the depth: on portraits lines have one to six times the contrast
that they have on synthetic people."""
_NORMALS_ERROR = 0.15
"""Largest root mean square of the smooth error of the fitted head's normals."""
_LAYOUT_ERROR = 2.0
"""Texels, about millimetres: the largest root mean square of the layout's error."""
_CREASE = 0.12
"""Share of the light that a crease of a millimetre swallows, as in photos of synthetic people."""
_SMOOTHED, _GREY, _SHARPENED = 0.06, 0.06, 0.2


@dataclass(frozen=True)
class Picture:
    """What the network sees, and what it should say; fields of `deca.networks.relief.Layout`, without the batch.

    Attributes:
        depth_HW: The relief where the picture shows it, millimetres.
    """

    photo_3PQ: NDArray[np.floating]
    normals_3HW: NDArray[np.floating]
    seen_HW: NDArray[np.floating]
    density: float
    depth_HW: NDArray[np.floating]

    def stored(self) -> NDArray[np.int16]:
        """The picture in whole numbers (C, H, W), the density in a channel of its own."""
        density_HW = np.full(self.seen_HW.shape, self.density)
        maps = (*self.normals_3HW, self.seen_HW, density_HW, self.depth_HW, *as_channels(self.photo_3PQ))
        return np.rint(np.stack([map_HW * scale for map_HW, scale in zip(maps, _SCALES, strict=True)])).astype(np.int16)

    @classmethod
    def of(cls, stored_CHW: NDArray[np.int16]) -> Picture:
        """The picture, or the part of one, from whole numbers."""
        maps_CHW = stored_CHW.astype(np.float32) / np.array(_SCALES, np.float32)[:, None, None]
        photo_3PQ = side_by_side(maps_CHW[6:])
        return cls(photo_3PQ, maps_CHW[:3], maps_CHW[3], float(maps_CHW[4, 0, 0]), maps_CHW[5])


_SCALES = (*[32_000] * 3, 32_000, 4_000, 4_000, *[16_000] * (3 * FINER**2))
"""Whole numbers per unit of each channel."""


def picture_part(head: HeadModel) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Rows and columns of the UV map that pictures show, multiples of 8 and alike on both sides; the same within the
    maps of surfaces."""
    rows, columns = detail_patch(head, MAP_SIZE)
    high, wide = ((full.stop - full.start) // 8 * 8 for full in (rows, columns))
    aside = (columns.stop - columns.start - wide) // 2
    within = slice(0, high), slice(aside, aside + wide)
    first = columns.start + aside
    return (slice(rows.start, rows.start + high), slice(first, first + wide)), within


class PictureMaker:
    """Takes pictures of the surfaces in a folder.

    Args:
        head: The head model.
        people: Folder of `make_person`.
        carriers: Real skin, if there is some.
    """

    def __init__(self, head: HeadModel, people: Path, carriers: Sequence[Carrier] = ()) -> None:
        self.people, self.carriers = people, sorted(carriers, key=lambda carrier: carrier.lined)
        self.part, self._within = picture_part(head)
        self.skin_HW = uv_mask(head, DETAIL_MASK).numpy()[self.part]
        self.place_PQ2 = skin_of(head).position_HW3[finer(self.part)][..., :2]
        self._tilt = Tilt(skin_of(head), finer(self.part))

    def pictures(self, person: int, copies: int = COPIES) -> NDArray[np.int16]:
        """Pictures of one person as `Picture.of` reads them, (K, C, H, W): so many of each expression."""
        maps_KCHW = np.load(surface_file(self.people, person))
        taken = []
        for expression, maps_CHW in enumerate(maps_KCHW):
            for copy in range(copies):
                rng = np.random.default_rng((person, expression, copy))
                surface = Surface.of(maps_CHW[(slice(None), *self._within)], bool(rng.uniform() < 0.5))
                taken.append(self.picture(surface, rng).stored())
        return np.stack(taken)

    def picture(self, surface: Surface, rng: np.random.Generator) -> Picture:
        """A picture of a surface, which has the rows and columns of `part`, as anyone might have taken it."""
        gain = random_gain(rng)
        depth_HW, tilt_3PQ = surface.depth_HW * gain, surface.tilt_3PQ * gain
        if rng.uniform() < _LINED:
            more_HW = free_lines(depth_HW.shape, rng) * self.skin_HW
            depth_HW, tilt_3PQ = depth_HW + more_HW, tilt_3PQ + self._tilt(in_between(more_HW))
        way = rng.uniform() if self.carriers else 1.0
        if way < _ON_PHOTO:
            picture_PQ3, normals_3HW, seen_HW, depth_HW = self._on_photo(depth_HW, tilt_3PQ, rng)
            picture_PQ3 = in_front(picture_PQ3, self.place_PQ2, rng, FINER) if rng.uniform() < 0.3 else picture_PQ3
        else:
            turn_33 = cv2.Rodrigues(random_turn(rng))[0].astype(np.float32)
            normals_3HW = np.tensordot(turn_33, surface.normals_3HW, 1)
            albedo_PQ3 = pigmented(in_between(surface.albedo_3HW.transpose(1, 2, 0)), self.place_PQ2, rng, FINER)
            if way < _ON_PHOTO + _TEXTURED:
                albedo_PQ3 = albedo_PQ3 * self._texture(rng)
            picture_PQ3 = _lit(albedo_PQ3, depth_HW, np.tensordot(turn_33, tilt_3PQ, 1), normals_3HW, rng)
            picture_PQ3 = in_front(picture_PQ3, self.place_PQ2, rng, FINER)
            seen_HW = smoothstep(normals_3HW[2], GRAZING, FACING)
        picture_PQ3, depth_HW = _misplaced(picture_PQ3, depth_HW, rng)
        picture_PQ3, density = photographed(picture_PQ3, rng, rows=FINER)
        error_HW3 = _smooth_error(depth_HW.shape, 3, _NORMALS_ERROR, rng)
        normals_3HW = _unit(normals_3HW + error_HW3.transpose(2, 0, 1))
        return self._told(picture_PQ3, normals_3HW, _with_holes(seen_HW, rng), density, depth_HW)

    def portrait(
        self, surface: Surface, seed: int, on_skin: Layer | None = None, front: Layer | None = None
    ) -> Picture:
        """A frontal picture of a surface as it is, by an undamaged camera, to measure with.

        Args:
            surface: The skin.
            seed: Of light and camera, which are the same whatever the skin shows beside relief.
            on_skin, front: What it shows.
        """
        light, camera, layer = (np.random.default_rng((seed, kind)) for kind in range(3))
        albedo_PQ3 = in_between(surface.albedo_3HW.transpose(1, 2, 0))
        albedo_PQ3 = on_skin(albedo_PQ3, self.place_PQ2, layer, FINER) if on_skin else albedo_PQ3
        picture_PQ3 = _lit(albedo_PQ3, surface.depth_HW, surface.tilt_3PQ, surface.normals_3HW, light)
        picture_PQ3 = front(picture_PQ3, self.place_PQ2, layer, FINER) if front else picture_PQ3
        picture_PQ3, density = photographed(picture_PQ3, camera, good=True, rows=FINER)
        seen_HW = smoothstep(surface.normals_3HW[2], GRAZING, FACING)
        return self._told(picture_PQ3, surface.normals_3HW, seen_HW, density, surface.depth_HW)

    def _told(
        self, picture_PQ3: NDArray, normals_3HW: NDArray, seen_HW: NDArray, density: float, depth_HW: NDArray
    ) -> Picture:
        is_skin_HW = (self.skin_HW > 0).astype(np.float32)
        seen_HW = seen_HW * is_skin_HW
        return Picture(
            picture_PQ3.transpose(2, 0, 1),
            np.where(seen_HW > 0, normals_3HW, 0),
            seen_HW,
            density,
            depth_HW * is_skin_HW,
        )

    def _carrier(self, rng: np.random.Generator, share: float = 1.0) -> tuple[Carrier, tuple[slice, ...], bool]:
        """One of the smoothest share of the carriers, the part of its photo, and whether it is mirrored."""
        carrier = self.carriers[rng.integers(max(int(share * len(self.carriers)), 1))]
        return carrier, (slice(None), *finer(self.part)), bool(rng.uniform() < 0.5)

    def _on_photo(
        self, depth_HW: NDArray, tilt_3PQ: NDArray, rng: np.random.Generator
    ) -> tuple[NDArray, NDArray, NDArray, NDArray]:
        """A real photo's skin with the relief shaded on it; the last is both reliefs, as far as is known."""
        carrier, part, mirrored = self._carrier(rng)
        photo_3PQ = carrier.photo_3PQ[part].astype(np.float32)
        normals_3HW = carrier.normals_3HW[(slice(None), *self.part)].astype(np.float32)
        seen_HW, own_HW = (map_HW[self.part].astype(np.float32) for map_HW in (carrier.seen_HW, carrier.relief_HW))
        light_93 = carrier.light_93.copy()
        if mirrored:
            own_HW = own_HW[:, ::-1]
            photo_3PQ, normals_3HW, seen_HW = photo_3PQ[..., ::-1], normals_3HW[..., ::-1].copy(), seen_HW[:, ::-1]
            normals_3HW[0] *= -1
            light_93[[1, 4, 5]] *= -1
        # Tilts are of a head that looks ahead; that of the photo may look elsewhere by some degrees.
        smooth_3PQ = _between(normals_3HW)
        both_23PQ = torch.from_numpy(np.stack((smooth_3PQ, _unit(smooth_3PQ + tilt_3PQ))).astype(np.float32))
        shading_23PQ = sh_shading(both_23PQ, torch.from_numpy(light_93)[None].expand(2, -1, -1)).numpy().clip(0.05)
        # Harmonics that were fitted to a face are softer than its light.
        ratio_3PQ = (shading_23PQ[1] / shading_23PQ[0]).clip(0.3, 2.5) ** rng.uniform(1.0, 1.8)
        picture_PQ3 = (photo_3PQ * ratio_3PQ).transpose(1, 2, 0) * _creases(depth_HW, rng)[..., None]
        return picture_PQ3, normals_3HW, seen_HW, depth_HW + own_HW

    def _texture(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """Factors (P, Q, 3) of a real skin's texture."""
        carrier, part, mirrored = self._carrier(rng, _SMOOTH)
        texture_3PQ = carrier.texture_3PQ[part].astype(np.float32)
        texture_3PQ = texture_3PQ[..., ::-1] if mirrored else texture_3PQ
        return np.exp(texture_3PQ * rng.uniform(0.4, 1.2)).transpose(1, 2, 0)


def random_gain(rng: np.random.Generator) -> float:
    """How much deeper than on synthetic people lines are."""
    return 1.0 if rng.uniform() < 0.4 else float(np.exp(rng.normal(*_DEEPER)).clip(0.3, 6.0))


def _unit(normals_3HW: NDArray) -> NDArray:
    return normals_3HW / np.maximum(np.linalg.norm(normals_3HW, axis=0), 1e-6)


def _between(normals_3HW: NDArray) -> NDArray[np.float32]:
    """Unit normals (3, P, Q) of a map's."""
    return _unit(in_between(normals_3HW.transpose(1, 2, 0)).transpose(2, 0, 1))


def _creases(depth_HW: NDArray, rng: np.random.Generator) -> NDArray[np.float32]:
    """Factor (P, Q) of the light in the depth of lines and folds."""
    near, far = (np.minimum(depth_HW - cv2.GaussianBlur(depth_HW, (0, 0), sigma), 0) for sigma in (1.5, 4.0))
    return in_between((1 + _CREASE * (rng.uniform(0, 2) * far + rng.uniform(0, 2) * near)).clip(0.5, 1))


def _lit(
    albedo_PQ3: NDArray, depth_HW: NDArray, tilt_3PQ: NDArray, normals_3HW: NDArray, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Display values of skin under a random light, exposed as cameras do."""
    light = Light.random(rng)
    smooth_3PQ = _between(normals_3HW)
    facing_PQ, wrinkled_3PQ = smooth_3PQ[2] > FACING, _unit(smooth_3PQ + tilt_3PQ)
    shading_3N, glint_3N = light.shading(torch.from_numpy(wrinkled_3PQ.reshape(3, -1).astype(np.float32)))
    shading_PQ3, glint_PQ3 = (
        part.numpy().reshape(3, *facing_PQ.shape).transpose(1, 2, 0) for part in (shading_3N, glint_3N)
    )
    picture_PQ3 = albedo_PQ3 * shading_PQ3 * _creases(depth_HW, rng)[..., None] + glint_PQ3
    mean = max(float(picture_PQ3[facing_PQ].mean()) if facing_PQ.any() else 0.5, 0.02)
    exposed_PQ3 = picture_PQ3 * (rng.uniform(0.3, 0.68) / mean) ** 0.75
    # Bright parts run into white softly, as cameras have them.
    return np.where(exposed_PQ3 < 0.8, exposed_PQ3, 1 - 0.2 * np.exp(-(exposed_PQ3 - 0.8) / 0.2))


def _misplaced(picture_PQ3: NDArray, depth_HW: NDArray, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """Picture and relief with a smooth error of the layout, the same for both."""
    error_HW2 = _smooth_error(depth_HW.shape, 2, _LAYOUT_ERROR, rng)
    moved = []
    for map_HWC, by_HW2 in ((picture_PQ3, FINER * in_between(error_HW2)), (depth_HW, error_HW2)):
        rows, columns = np.mgrid[: map_HWC.shape[0], : map_HWC.shape[1]].astype(np.float32)
        where = columns + by_HW2[..., 0], rows + by_HW2[..., 1]
        source_HWC = np.asarray(map_HWC, np.float32)
        moved.append(cv2.remap(source_HWC, *where, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101))
    return moved[0], moved[1]


def _smooth_error(shape: tuple[int, ...], size: int, most: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """A smooth random field (H, W, size), of a root mean square length of at most `most`."""
    cells = int(rng.integers(3, 10))
    coarse_KKD = rng.standard_normal((cells, cells, size)).astype(np.float32)
    error_HWD = cv2.resize(coarse_KKD, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return error_HWD * rng.uniform(0, most) / max(float(np.sqrt((error_HWD**2).sum(-1).mean())), 1e-6)


def _with_holes(seen_HW: NDArray, rng: np.random.Generator) -> NDArray[np.float32]:
    """What is seen, without a part that something covers, at times."""
    if rng.uniform() < 0.4:
        rough = rng.standard_normal((10, 10)).astype(np.float32)
        field_HW = cv2.resize(rough, seen_HW.shape[::-1], interpolation=cv2.INTER_CUBIC)
        seen_HW = seen_HW * smoothstep(field_HW, -1.5, -1.0)
    return seen_HW


def photographed(
    picture_HW3: NDArray, rng: np.random.Generator, good: bool = False, rows: int = 1
) -> tuple[NDArray, float]:
    """The layout (H, W, 3) of a camera's picture, of so many rows for each texel of the relief, and the picture's
    pixels per texel: faces are 80 to 600 pixels wide."""
    high, wide = picture_HW3.shape[:2]
    density = float(np.exp(rng.uniform(np.log(0.9 if good else 0.5), np.log(4.0))))
    taken_HW3 = np.asarray(picture_HW3.clip(0, 1), np.float32)
    scale = min(density / rows, 1.0)
    if rng.uniform() < _SMOOTHED and not good:
        taken_HW3 = cv2.bilateralFilter(taken_HW3, 7, rng.uniform(0.03, 0.12), rng.uniform(2, 5))
    if scale < 0.95:
        size = max(round(wide * scale), 8), max(round(high * scale), 8)
        taken_HW3 = cv2.resize(taken_HW3, size, interpolation=cv2.INTER_AREA)
    # Pixels finer than the layout's are averaged, and with them what the camera did to them.
    averaged = max(density / rows, 1.0)
    blur = np.exp(rng.uniform(np.log(0.2), np.log(0.6 if good else 1.5))) / averaged ** rng.uniform(0, 1)
    if blur > 0.25:
        taken_HW3 = cv2.GaussianBlur(taken_HW3, (0, 0), blur)
    if rng.uniform() < _SHARPENED and not good:
        soft_HW3 = cv2.GaussianBlur(taken_HW3, (0, 0), rng.uniform(0.6, 1.5))
        taken_HW3 = taken_HW3 + rng.uniform(0.2, 1.2) * (taken_HW3 - soft_HW3)
    noise = rng.uniform(0, 0.02) / averaged ** rng.uniform(0.3, 1)
    colour = rng.uniform(0, 1)
    shape = taken_HW3.shape[:2]
    noise_HW3 = rng.standard_normal((*shape, 1), np.float32) + colour * rng.standard_normal((*shape, 3), np.float32)
    taken_HW3 = taken_HW3 + np.float32(noise) * noise_HW3
    if rng.uniform() < _GREY and not good:
        taken_HW3 = np.repeat(taken_HW3.mean(2, keepdims=True), 3, 2)
    pixels_HW3 = np.rint(taken_HW3.clip(0, 1) * 255).astype(np.uint8)
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(55, 98))]
    if rng.uniform() < 0.85:
        pixels_HW3 = cv2.imdecode(cv2.imencode(".jpg", pixels_HW3[..., ::-1], quality)[1], cv2.IMREAD_COLOR)[..., ::-1]
    back_HW3 = np.ascontiguousarray(pixels_HW3).astype(np.float32) / 255
    if back_HW3.shape[:2] != (high, wide):
        back_HW3 = cv2.resize(back_HW3, (wide, high), interpolation=cv2.INTER_CUBIC)
    return back_HW3, density


def take_pictures(maker: PictureMaker, folder: Path, person: int) -> None:
    """Writes the pictures of a person; those that are there stay."""
    keep(surface_file(folder, person), lambda: maker.pictures(person))
