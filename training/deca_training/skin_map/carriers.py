"""Real photos laid out as UV maps, and what is certain of them: skin, brows, hair, what is behind.

Nobody drew these labels. Inside the outline of the landmarks there is skin, unless something covers it; what looks like
the scalp's hair and hangs together with it is hair; what of a bearded face is unlike its cheeks is beard; what the
person's mask leaves out is behind. What is not certain is not learnt from: the pictures put glasses, hands and hair
where they are known (`deca_training.skin_map.covers`).

Shape suffixes: H W rows and columns of the UV map (256).
"""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from deca.appearance.grain import fine_contrast
from deca.appearance.laid_out import LaidOut, lay_out
from deca.appearance.skin import ColourModel
from deca.appearance.trust import Regions, regions_of
from deca.errors import AssetError, DecaError
from deca.files import read_npz, write_file
from deca.head import HeadModel
from deca.networks import MAP_SIZE
from deca.networks.skin_map import Kind, Seen, SkinMapNetwork
from deca.reconstruct.models import load_models
from deca.reconstruct.pipeline import reconstruct
from deca.render.uv import Texels, texels_of
from deca.vision.photo import read_photo
from deca_blender.protocol.conventions import BUILTIN_WEIGHTS, OPENHEAD

UNKNOWN = 255
"""Label of texels of which nothing is learnt."""
WITH_THINGS = "covered.txt"
"""In a folder of photos: names (a line each) of those whose people wear glasses, hats, or have something before the
face. Where there is no such list, skin near the eyes is believed only if it has the skin's colour."""
BEARDED = "bearded.txt"
"""In such a folder: names of those with beards and moustaches, which look much like skin in shade."""
_LIKE_SKIN, _UNLIKE_SKIN = 2.2, 3.5
"""Mahalanobis distance from the person's own lit skin. By eye, on 24 portraits."""
_BALD = 3.0
_ROUGH, _SMOOTH = 1.8, 1.2
"""Fine contrast as a share of the cheeks' from which on it is a beard's, and up to which there is none. By eye, on the
bearded of the 250 portraits to learn on."""
_SURE = 0.9
"""Probability from which on an earlier network is believed."""
_FIELDS = ("photo_HW3", "normals_HW3", "seen_HW", "person_HW", "pixels_HW2", "kind_HW")


@dataclass(frozen=True)
class Carrier:
    """A face of a photo as a UV map.

    Attributes:
        photo_HW3: Display values, uint8.
        normals_HW3: Unit normals as seen, times 127.
        seen_HW: What the photo shows of the head's surface.
        person_HW: How far it shows a person, 0..255.
        pixels_HW2: Where each texel is on the photo: right and down, in widths of the face from its middle.
        kind_HW: What it shows (`Kind`), or `UNKNOWN`.
    """

    photo_HW3: NDArray[np.uint8]
    normals_HW3: NDArray[np.int8]
    seen_HW: NDArray[np.bool_]
    person_HW: NDArray[np.uint8]
    pixels_HW2: NDArray[np.float16]
    kind_HW: NDArray[np.uint8]


class Labeller:
    """Tells what is certain of photos of one head model.

    Args:
        head: The head model; with masks and MediaPipe's landmarks.
    """

    def __init__(self, head: HeadModel) -> None:
        self.texels: Texels = texels_of(head, MAP_SIZE)
        self.regions: Regions = regions_of(self.texels)
        assert head.landmarks_478 is not None
        points_L3 = head.landmarks_478.positions(head.template_V3, head.faces_F3)
        self.up_HW = self.texels.interpolate(head.template_V3)[..., 1]
        self.brow, self.eye, self.nose = (float(points_L3[rows, 1].mean()) for rows in ([105, 334], [33, 263], [2]))
        self.mask_HW = {
            name: cv2.resize(mask, (MAP_SIZE, MAP_SIZE), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
            for name, mask in head.masks.items()
        }

    @cached_property
    def _features_HW(self) -> NDArray[np.bool_]:
        names = ("brows", "eyes", "eyelids", "lips", "mouth", "lashes")
        return np.maximum.reduce([self.mask_HW[name] for name in names]) > 0.3

    @cached_property
    def low_HW(self) -> NDArray[np.bool_]:
        """Where beards grow: below the nose, but for the lips."""
        return (self.up_HW < self.nose) & (self.mask_HW["lips"] < 0.3)

    def label(self, laid: LaidOut, bare: bool, bearded: bool = False) -> NDArray[np.uint8] | None:
        """Kinds (H, W), or None where the photo shows too little of the face.

        Args:
            laid: The photo.
            bare: Nothing covers the face, for certain; a beard does not count.
            bearded: There is a beard or a moustache.
        """
        photo_HW3, normals_HW3 = laid.photo_HW3, laid.view.normals_HW3
        facing_HW, seen_HW, person_HW = laid.view.facing_HW, laid.seen_HW, laid.person_HW
        inside_HW = seen_HW & laid.inside_HW
        well_inside_HW = eroded(inside_HW, 7)
        core_HW = inside_HW & (self.regions.core > 0.5) & (facing_HW > 0.4)
        light = ColourModel.of(photo_HW3[core_HW], normals_HW3[core_HW])
        if light is None:
            return None
        from_cheeks_HW = light.distance(photo_HW3, normals_HW3)
        near_HW = from_cheeks_HW < _UNLIKE_SKIN + 0.5
        wide_HW = well_inside_HW & (facing_HW > 0.3) & near_HW & ~self._features_HW
        light = ColourModel.of(photo_HW3[wide_HW], normals_HW3[wide_HW]) or light
        far_HW = _soft(light.distance(photo_HW3, normals_HW3))

        kind_HW = np.full(seen_HW.shape, UNKNOWN, np.uint8)
        kind_HW[well_inside_HW & (self.up_HW < self.brow)] = Kind.SKIN
        if not bare:
            kind_HW[(self.up_HW > self.eye - 0.03) & (far_HW > _LIKE_SKIN)] = UNKNOWN
        kind_HW[seen_HW & (far_HW < _LIKE_SKIN) & (person_HW > 0.8) & (self.mask_HW["neck"] < 0.5)] = Kind.SKIN
        self._label_hair(kind_HW, laid, far_HW, well_inside_HW)
        low_HW = self.low_HW
        kind_HW[low_HW & inside_HW & (far_HW > 3.0)] = UNKNOWN
        beard_HW = low_HW & well_inside_HW & (far_HW > 5.0)
        if bare and beard_HW.sum() > 600:  # texels; less is a shadow
            kind_HW[beard_HW] = Kind.FACIAL_HAIR
        if bearded:
            from_cheeks_HW, contrast_HW = _soft(from_cheeks_HW), fine_contrast(photo_HW3, inside_HW)
            rougher_HW = contrast_HW / max(float(np.median(contrast_HW[core_HW])), 1e-6)
            unlike_HW = (from_cheeks_HW > _UNLIKE_SKIN) | ((from_cheeks_HW > _LIKE_SKIN) & (rougher_HW > _ROUGH))
            alike_HW = (from_cheeks_HW < _LIKE_SKIN) & (rougher_HW < _SMOOTH)
            kind_HW[low_HW & seen_HW & ~alike_HW] = UNKNOWN
            kind_HW[low_HW & well_inside_HW & unlike_HW] = Kind.FACIAL_HAIR
        neck_HW = seen_HW & (self.mask_HW["neck"] > 0.5)
        kind_HW[neck_HW & (far_HW < 2.5) & (person_HW > 0.8)] = Kind.SKIN
        kind_HW[neck_HW & (far_HW > 6.0)] = Kind.OTHER
        brows_HW = self.mask_HW["brows"]
        around_HW = cv2.dilate((brows_HW > 0.2).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        kind_HW[inside_HW & around_HW & (far_HW > 2.0)] = UNKNOWN
        if bare:
            kind_HW[inside_HW & (brows_HW > 0.5)] = Kind.FACIAL_HAIR
            kind_HW[inside_HW & (self.mask_HW["eyelids"] > 0.5)] = Kind.SKIN
        kind_HW[seen_HW & (person_HW < 0.7) & ~well_inside_HW] = UNKNOWN
        kind_HW[seen_HW & (person_HW < 0.25)] = Kind.OTHER
        kind_HW[~seen_HW | laid.opening_HW | (self.mask_HW["mouth"] > 0.3)] = UNKNOWN
        return kind_HW

    def _label_hair(
        self, kind_HW: NDArray[np.uint8], laid: LaidOut, far_HW: NDArray[np.float32], well_inside_HW: NDArray[np.bool_]
    ) -> None:
        """The forehead and above: skin, hair, or not known."""
        sure_HW = laid.seen_HW & (laid.person_HW > 0.8)
        scalp_HW = sure_HW & (self.mask_HW["scalp"] > 0.4)
        if not scalp_HW.any() or np.percentile(far_HW[scalp_HW], 60) < _BALD:
            kind_HW[sure_HW & (far_HW < _UNLIKE_SKIN) & (self.up_HW > self.brow)] = Kind.SKIN
            return
        seeds_HW = sure_HW & (self.mask_HW["scalp"] > 0.6) & (far_HW > _UNLIKE_SKIN)
        hair = ColourModel.of(laid.photo_HW3[seeds_HW], laid.view.normals_HW3[seeds_HW])
        if hair is None:
            return
        from_hair_HW = _soft(hair.distance(laid.photo_HW3, laid.view.normals_HW3))
        upper_HW = laid.seen_HW & (self.up_HW > self.eye - 0.01) & (laid.person_HW > 0.6)
        upper_HW &= ~(well_inside_HW & (self.up_HW < self.brow + 0.004))
        kind_HW[upper_HW & (far_HW > _LIKE_SKIN)] = UNKNOWN
        kind_HW[upper_HW & (far_HW > 3.2) & (from_hair_HW < 0.8 * far_HW)] = Kind.HAIR
        kind_HW[upper_HW & (from_hair_HW < 2.0) & (from_hair_HW < 0.5 * far_HW)] = Kind.HAIR
        kind_HW[upper_HW & (far_HW < 2.0) & (far_HW < from_hair_HW)] = Kind.SKIN


def eroded(mask_HW: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    """Where a whole square of texels is in a mask; outside of the map nothing is."""
    square = np.ones((width, width), np.uint8)
    whole_HW = cv2.erode(mask_HW.astype(np.uint8), square, borderType=cv2.BORDER_CONSTANT, borderValue=(0,))
    return np.asarray(whole_HW) > 0


def _soft(map_HW: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(map_HW, (0, 0), 1.0), np.float32)


def lay_out_carriers(folders: list[Path], out: Path, network: SkinMapNetwork | None = None) -> list[Carrier]:
    """The largest face of each photo of folders; laid out once, and kept in a file.

    Args:
        folders: Of photos; `WITH_THINGS` and `BEARDED` in each tell of which people.
        out: The file, .npz.
        network: An earlier one (`told_again`).

    Raises:
        AssetError: There is no photo with a face, or the file is damaged.
    """
    if not out.is_file():
        models = load_models(OPENHEAD, BUILTIN_WEIGHTS)
        models.relief = None
        labeller, found = Labeller(models.head), []
        for folder in folders:
            covered, with_beards = _listed(folder / WITH_THINGS), _listed(folder / BEARDED) or set()
            for path in sorted(folder.rglob("*")):
                if not path.is_file() or path.name in (WITH_THINGS, BEARDED):
                    continue
                name = path.relative_to(folder).with_suffix("").as_posix()
                try:
                    photo = read_photo(path)
                    face = reconstruct(photo, path=path, models=models, texture_size=None, max_faces=1)[0]
                except DecaError as error:
                    print(f"no carrier: {error}", file=sys.stderr)
                    continue
                laid = lay_out(photo.pixels, face.vertices(), face.to_photo(), face.head, face.landmarks_L2)
                bare, bearded = covered is not None and name not in covered, name in with_beards
                carrier = carrier_of(laid, labeller, bare, bearded, face.landmarks_L2)
                if carrier is not None:
                    if network is not None:
                        carrier = told_again(carrier, network, labeller.low_HW & bearded)
                    found.append([getattr(carrier, field) for field in _FIELDS])
        if not found:
            raise AssetError("There is no photo with a face in the folders.", "Give folders of portraits.")
        data = io.BytesIO()
        arrays = zip(_FIELDS, zip(*found, strict=True), strict=True)
        np.savez_compressed(data, **{name: np.stack(maps) for name, maps in arrays})
        write_file(out, data.getvalue())
    return read_carriers(out)


def _listed(path: Path) -> set[str] | None:
    return set(path.read_text(encoding="utf-8").split()) if path.is_file() else None


def carrier_of(laid: LaidOut, labeller: Labeller, bare: bool, bearded: bool, landmarks_L2: NDArray) -> Carrier | None:
    """A photo as a carrier; None where it shows too little. Arguments as of `Labeller.label`."""
    kind_HW = labeller.label(laid, bare, bearded)
    if kind_HW is None:
        return None
    low_2, high_2 = landmarks_L2.min(0), landmarks_L2.max(0)
    pixels_HW2 = (laid.view.pixels_HW2 - (low_2 + high_2) / 2) / float((high_2 - low_2).max())
    return Carrier(
        np.rint(laid.photo_HW3.clip(0, 1) * 255).astype(np.uint8),
        np.rint(laid.view.normals_HW3 * 127).astype(np.int8),
        laid.seen_HW,
        np.rint(laid.person_HW * 255).astype(np.uint8),
        pixels_HW2.clip(-5, 5).astype(np.float16),
        kind_HW,
    )


def told_again(carrier: Carrier, network: SkinMapNetwork, spared_HW: NDArray[np.bool_]) -> Carrier:
    """The carrier with what an earlier network is sure of: it knows what was not known, and doubts what it denies.

    Args:
        carrier: A photo.
        network: The earlier one.
        spared_HW: Where it is not asked.
    """
    planar = (
        carrier.photo_HW3.transpose(2, 0, 1)[None].astype(np.float32) / 255,
        carrier.normals_HW3.transpose(2, 0, 1)[None].astype(np.float32) / 127,
        carrier.seen_HW[None, None].astype(np.float32),
        carrier.person_HW[None, None].astype(np.float32) / 255,
    )
    chance_KHW = network.read(Seen(*map(torch.from_numpy, planar)))[0].numpy()
    found_HW = chance_KHW.argmax(0).astype(np.uint8)
    sure_HW = (chance_KHW.max(0) > _SURE) & carrier.seen_HW & ~spared_HW
    is_known_HW = carrier.kind_HW != UNKNOWN
    kind_HW = np.where(sure_HW & ~is_known_HW, found_HW, carrier.kind_HW)
    kind_HW[sure_HW & is_known_HW & (found_HW != carrier.kind_HW)] = UNKNOWN
    return replace(carrier, kind_HW=kind_HW)


def read_carriers(path: Path) -> list[Carrier]:
    """Those that `lay_out_carriers` wrote.

    Raises:
        AssetError: The file is missing or damaged.
    """
    arrays = read_npz(path, _FIELDS)
    return [Carrier(*fields) for fields in zip(*(arrays[name] for name in _FIELDS), strict=True)]
