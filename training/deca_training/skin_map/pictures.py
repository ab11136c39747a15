"""Pictures to learn skin maps from: real faces, some with what covers skin drawn over them, in any light.

Shape suffixes: H W rows and columns of the UV map (256), P of a patch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from deca.head import HeadModel
from deca.networks import MAP_SIZE
from deca.networks.skin_map import Kind
from deca.render.uv import texels_of
from deca_training.relief.pictures import photographed
from deca_training.relief.pigment import highlights, shadows
from deca_training.skin_map import covers
from deca_training.skin_map.carriers import UNKNOWN, Carrier, eroded
from deca_training.skin_map.covers import Cover, Place

_PATCH = 24
_EYES_APART = 62.0
"""Millimetres, of most adults."""
_DRAWN, _BARELY = 0.5, 0.15
"""Opacity from which on something covers the skin, and up to which it does not; between them nothing is learnt."""
_LAYERS: tuple[tuple[float, Kind, Cover], ...] = (
    (0.30, Kind.FACIAL_HAIR, covers.beard),
    (0.25, Kind.HAIR, covers.fringe),
    (0.35, Kind.GLASSES, covers.glasses),
    (0.12, Kind.OTHER, covers.hands),
    (0.15, Kind.OTHER, covers.cloth),
)
_BEHIND = 0.3
"""Shares of pictures."""
_SHIFT = 5.0
"""Texels: the largest root mean square of the layout's error."""


@dataclass(frozen=True)
class Picture:
    """What the network sees, and what it should say.

    Attributes:
        photo_HW3: Display values, 0..1.
        normals_HW3, seen_HW, person_HW: As in `deca.networks.skin_map.Seen`.
        kind_HW: `Kind`, or `UNKNOWN`.
    """

    photo_HW3: NDArray[np.float32]
    normals_HW3: NDArray[np.float32]
    seen_HW: NDArray[np.float32]
    person_HW: NDArray[np.float32]
    kind_HW: NDArray[np.uint8]


class PictureMaker:
    """Draws pictures on carriers.

    Args:
        head: The head model.
        carriers: Real photos.
    """

    def __init__(self, head: HeadModel, carriers: Sequence[Carrier]) -> None:
        self.carriers = carriers
        texels = texels_of(head, MAP_SIZE)
        self._skin_HW3 = texels.interpolate(head.template_V3) * 1000
        assert head.landmarks_478 is not None
        points_L3 = head.landmarks_478.positions(head.template_V3, head.faces_F3) * 1000
        # Middles of the eyes' openings: the skin nearest to them tells where they are on the photo.
        self._eyes = [
            np.unravel_index(
                np.where(texels.covered_HW, np.linalg.norm(self._skin_HW3 - points_L3[rows].mean(0), axis=-1), 1e9)
                .argmin(), texels.covered_HW.shape)
            for rows in ([33, 133], [263, 362])
        ]  # fmt: skip
        self._hair = [patch for carrier in carriers for patch in _patches(carrier, Kind.HAIR)] or [
            np.full((_PATCH, _PATCH, 3), 0.1, np.float32)
        ]

    def picture(self, rng: np.random.Generator) -> Picture:
        """A picture of any carrier."""
        return self.over(self.carriers[rng.integers(len(self.carriers))], rng)

    def over(self, carrier: Carrier, rng: np.random.Generator) -> Picture:
        """A picture of a carrier, with things drawn over it."""
        photo_HW3 = carrier.photo_HW3.astype(np.float32) / 255
        normals_HW3 = carrier.normals_HW3.astype(np.float32) / 127
        person_HW = carrier.person_HW.astype(np.float32) / 255
        kind_HW = carrier.kind_HW.copy()
        place = self._place(carrier, normals_HW3)
        for share, kind, cover in _LAYERS:
            if rng.uniform() < share:
                photo_HW3, opacity_HW = cover(photo_HW3, place, rng, self._hair)
                _mark(kind_HW, opacity_HW, kind, keeps=kind is Kind.FACIAL_HAIR)
        if rng.uniform() < _BEHIND:
            photo_HW3, opacity_HW = covers.behind(photo_HW3, place, rng, self._hair)
            _mark(kind_HW, opacity_HW, Kind.OTHER)
            person_HW = person_HW * (
                1 - cv2.GaussianBlur(opacity_HW, (0, 0), rng.uniform(0.5, 4)) * rng.uniform(0.3, 1)
            )
        for share, layer in ((0.3, shadows), (0.25, highlights)):
            if rng.uniform() < share:
                photo_HW3 = layer(photo_HW3, place.skin_HW3[..., :2], rng)
        if rng.uniform() < 0.15:  # at times the person's mask fails
            person_HW = np.maximum(person_HW, rng.uniform(0, 1))
        photo_HW3 = _graded(np.asarray(photo_HW3, np.float32), rng)
        photo_HW3, _ = photographed(photo_HW3, rng)
        kind_HW[~carrier.seen_HW] = UNKNOWN
        return _moved(Picture(photo_HW3, normals_HW3, carrier.seen_HW.astype(np.float32), person_HW, kind_HW), rng)

    def _place(self, carrier: Carrier, normals_HW3: NDArray[np.float32]) -> Place:
        right_2, left_2 = (carrier.pixels_HW2[eye].astype(np.float32) for eye in self._eyes)
        middle_2 = (right_2 + left_2) / 2
        turn = np.arctan2(left_2[1] - right_2[1], left_2[0] - right_2[0])
        # Turned faces have their eyes closer together: the face's height does not change, a width is 140 mm or so.
        scale = max(_EYES_APART / max(float(np.linalg.norm(left_2 - right_2)), 0.05), 100.0)
        scale = min(scale, 190.0)
        cos, sin = np.cos(turn) * scale, np.sin(turn) * scale
        to_22 = np.array([[cos, sin], [sin, -cos]], np.float32)  # y up
        photo_HW2 = (carrier.pixels_HW2.astype(np.float32) - middle_2) @ to_22.T
        return Place(self._skin_HW3, photo_HW2, normals_HW3[..., 2])


def _mark(kind_HW: NDArray[np.uint8], opacity_HW: NDArray, kind: Kind, keeps: bool = False) -> None:
    """Labels what is drawn; what `keeps` covers only skin that is known."""
    drawn_HW, between_HW = opacity_HW > _DRAWN, (opacity_HW > _BARELY) & (opacity_HW <= _DRAWN)
    if keeps:
        drawn_HW &= kind_HW != Kind.HAIR
        drawn_HW &= kind_HW != Kind.OTHER
    kind_HW[drawn_HW] = kind
    kind_HW[between_HW] = UNKNOWN


def _patches(carrier: Carrier, kind: Kind) -> list[NDArray[np.float32]]:
    """Up to two squares of a carrier that show one kind alone."""
    rows, columns = np.nonzero(eroded(carrier.kind_HW == kind, _PATCH))
    half = _PATCH // 2
    return [
        carrier.photo_HW3[rows[k] - half : rows[k] + half, columns[k] - half : columns[k] + half].astype(np.float32)
        / 255
        for k in np.linspace(0, len(rows) - 1, 2).astype(int)[: len(rows)]
    ]


def _graded(photo_HW3: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Another exposure, lamp and camera."""
    photo_HW3 = photo_HW3.clip(0, 1) ** np.float32(np.exp(rng.normal(0, 0.25)))
    gain_3 = np.exp(rng.normal(0, 0.2) + rng.normal(0, 0.1, 3) * (rng.uniform() < 0.5))
    return np.asarray((photo_HW3 * gain_3).clip(0, 1), np.float32)


def _moved(picture: Picture, rng: np.random.Generator) -> Picture:
    """The picture with a smooth error of the layout, and mirrored at times."""
    high, wide = picture.kind_HW.shape
    cells = int(rng.integers(3, 7))
    coarse = rng.standard_normal((cells, cells, 2)).astype(np.float32)
    error_HW2 = cv2.resize(coarse, (wide, high), interpolation=cv2.INTER_CUBIC)
    error_HW2 *= rng.uniform(0, _SHIFT) / max(float(np.sqrt((error_HW2**2).sum(-1).mean())), 1e-6)
    rows, columns = np.mgrid[:high, :wide].astype(np.float32)
    where = columns + error_HW2[..., 0], rows + error_HW2[..., 1]
    photo_HW3 = cv2.remap(picture.photo_HW3, *where, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    person_HW = cv2.remap(picture.person_HW, *where, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    kind_HW = cv2.remap(
        picture.kind_HW, *where, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=(UNKNOWN,)
    )
    normals_HW3, seen_HW = picture.normals_HW3, picture.seen_HW
    if rng.uniform() < 0.5:
        photo_HW3, person_HW, kind_HW, seen_HW = (
            map_HW[:, ::-1] for map_HW in (photo_HW3, person_HW, kind_HW, seen_HW)
        )
        normals_HW3 = normals_HW3[:, ::-1] * np.array([-1, 1, 1], np.float32)
    kind_HW = np.where(seen_HW > 0, kind_HW, UNKNOWN).astype(np.uint8)
    photo_HW3, normals_HW3, seen_HW, person_HW = (
        np.ascontiguousarray(map_HW, np.float32) for map_HW in (photo_HW3, normals_HW3, seen_HW, person_HW)
    )
    return Picture(photo_HW3, normals_HW3, seen_HW, person_HW, kind_HW)
