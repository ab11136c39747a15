"""Photos of synthetic people, found and laid out by the product: pictures with all that happens to skin on its way.

Pictures made in UV space are cheap and many; but what is drawn as a map and looked at as a map is sharper, and lies
better, than what a camera saw of a head and a fit has found again. A network that learnt from pictures alone got better
on pictures, and not on photos.

Shape suffixes: K photos, C channels, H W rows and columns of the part of the UV map that shows the face.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from deca.errors import NoFaceError
from deca.networks.relief import FINER, finer
from deca.reconstruct.face import Face
from deca.reconstruct.models import Models, load_models
from deca.reconstruct.pipeline import reconstruct
from deca.reconstruct.relief import layout_of
from deca.render.detail import DETAIL_MASK, applied_displacement
from deca.render.uv import uv_mask
from deca.vision import Photo
from deca_blender.protocol.conventions import BUILTIN_WEIGHTS, OPENHEAD
from deca_training.data.synthetic.carried import KnownPhoto, known_face
from deca_training.data.synthetic.generate import Generator
from deca_training.data.synthetic.looks import Looks
from deca_training.data.synthetic.person import Person
from deca_training.data.synthetic.subjects import SyntheticSubject
from deca_training.relief.lines import free_lines
from deca_training.relief.pictures import Picture, picture_part, random_gain
from deca_training.relief.surfaces import keep, surface_file

PHOTOS = 2
"""Of each person."""
_SIDE = 784
"""Rows and columns of the photos: faces are about 500 pixels high and wide."""
_SMALLEST = 0.35
"""Of a photo's side, as a share of `_SIDE`."""
_LINED = 0.4
"""Share of people with lines where no family of wrinkles has them."""
_WITH_LINES = 21
_MILLIMETRE = 1e-3


class _Lined(Generator):
    """People whose lines are as deep, and lie as freely, as those of pictures."""

    def who(self, seed: int, age: float | None = None) -> tuple[float, int, NDArray[np.float32], Person, Looks]:
        age, sex, shape_S, person, looks = super().who(seed, age)
        rng = np.random.default_rng((seed, _WITH_LINES))
        gain = random_gain(rng)
        static_HW = person.static_HW * gain
        if rng.uniform() < _LINED:
            part, _ = picture_part(self.head)
            static_HW[part] += free_lines(static_HW[part].shape, rng) * _MILLIMETRE
            static_HW *= uv_mask(self.head, DETAIL_MASK).numpy()
        return age, sex, shape_S, replace(person, static_HW=static_HW, wrinkles_CHW=person.wrinkles_CHW * gain), looks


class PhotoMaker:
    """Takes photos and lays them out by the head that the product's bundled models fit to them."""

    def __init__(self) -> None:
        self.models = plain(load_models(OPENHEAD, BUILTIN_WEIGHTS))
        self.generator = _Lined(side=_SIDE)
        self.part, _ = picture_part(self.models.head)

    def pictures(self, person: int, photos: int = PHOTOS) -> NDArray[np.int16]:
        """Photos of one person as `Picture.of` reads them, (K, C, H, W); those without a face are left out."""
        subject, _ = self.generator.subject(person, photos)
        subject = _smaller(subject, np.random.default_rng((person, _WITH_LINES, 1)))
        taken = [picture for photo in range(photos) if (picture := self.picture(subject, photo)) is not None]
        high, wide = (side.stop - side.start for side in self.part)
        none = np.zeros((0, 6 + 3 * FINER**2, high, wide), np.int16)
        return np.stack([picture.stored() for picture in taken]) if taken else none

    @torch.inference_mode()
    def picture(self, subject: SyntheticSubject, photo: int) -> Picture | None:
        """A photo as the relief network sees it, and the relief that it shows there; None where no face is found."""
        known = known_face(subject, photo, self.models.head)
        pixels_HW3 = subject.image_KHW3[photo]
        face = face_on(pixels_HW3, known.photo, self.models)
        if face is None:
            return None
        layout = layout_of(pixels_HW3, face)
        truth_1HW = applied_displacement(
            torch.from_numpy(subject.displacement_KHW[photo])[None, None], self.models.head
        )[0].numpy()
        seen_HW = layout.seen_B1HW[0, 0].numpy()
        shown = KnownPhoto(known, truth_1HW, subject.mask_KHW[photo]).at(face, seen_HW > 0)
        return Picture(
            layout.photo_B3PQ[0].numpy()[(slice(None), *finer(self.part))],
            layout.normals_B3HW[0].numpy()[(slice(None), *self.part)],
            (seen_HW * shown.is_skin_HW)[self.part],
            float(layout.density_B[0]),
            (shown.maps_CHW[0] * shown.is_skin_HW)[self.part] / _MILLIMETRE,
        )


def plain(models: Models) -> Models:
    """Models that read neither colours nor relief: photos of known people are laid out, and their relief is known."""
    return Models(models.head, models.networks, skin_map=models.skin_map)


def face_on(pixels_HW3: NDArray[np.uint8], path: Path, models: Models) -> Face | None:
    """The head that the product fits to a photo, without texture; None where it finds no face."""
    try:
        (face,) = reconstruct(Photo(pixels_HW3, path.name), path=path, models=models, texture_size=None, max_faces=1)
    except NoFaceError:
        return None
    return face


def _smaller(subject: SyntheticSubject, rng: np.random.Generator) -> SyntheticSubject:
    """A person's photos, reduced to a random size at times."""
    if rng.uniform() < 0.5:
        return subject
    side = round(_SIDE * float(np.exp(rng.uniform(np.log(_SMALLEST), 0))))
    image_KHW3, mask_KHW = (
        np.stack([cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA) for picture in pictures])
        for pictures in (subject.image_KHW3, subject.mask_KHW)
    )
    return replace(subject, image_KHW3=image_KHW3, mask_KHW=mask_KHW)


def take_photos(maker: PhotoMaker, folder: Path, person: int) -> None:
    """Writes the laid out photos of a person; those that are there stay."""
    keep(surface_file(folder, person), lambda: maker.pictures(person))
