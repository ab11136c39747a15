"""Who is who: the faces of several photos that show one person, by the face descriptor.

Shape suffixes: N faces, D descriptor.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from deca.networks.face_descriptor import FaceDescriptor
from deca.networks.shape_encoder import face_chips
from deca.vision.crop import encoder_crop
from deca.vision.faces import DetectedFace
from deca.vision.photo import Photo

SAME = 0.6
"""Distance of two descriptors up to which two faces are one person's: dlib's own. On 50 people of Labeled Faces in the
Wild with five photos each 1.2 % of the pairs of one person lie beyond it, and 1.5 % of the others within
(`tests/benchmarks/bench_people.py agree`)."""


@lru_cache(maxsize=1)
def _descriptor() -> FaceDescriptor:
    return FaceDescriptor.load()


def describe(photo: Photo, faces: Sequence[DetectedFace]) -> NDArray[np.float32]:
    """Descriptors (N, 128) of the faces of a photo; those of one person are about 0.6 apart at most.

    Raises:
        AssetError: The descriptor's file is missing or damaged.
    """
    crops = [encoder_crop(photo.pixels, face.landmarks_L3) for face in faces]
    images_N3HW, marks_NL3 = (torch.from_numpy(np.stack([crop[part] for crop in crops])) for part in (1, 2))
    with torch.inference_mode():
        return _descriptor().descriptor(face_chips(images_N3HW, marks_NL3)).numpy()


def same_person(described: Sequence[Sequence[NDArray[np.floating]]], same: float = SAME) -> list[int | None]:
    """Which face of each photo is the person that most photos show; None where no face is.

    A face stands for a group: of each photo the face that is nearest to it, if it is near enough. The largest group is
    the person; of several as large, that of the earliest photo and the most prominent face. The mean of its descriptors
    then chooses once more, since one photo alone may be an odd one.

    Args:
        described: Descriptors (D,) of the faces of each photo, the most prominent first; photos may have none.
        same: Distance up to which faces are one person's.
    """
    chosen: list[int | None] = [None] * len(described)
    for faces in described:
        for face_D in faces:
            group = _nearest(described, face_D, same)
            if _size(group) > _size(chosen):
                chosen = group
    members = [faces[face] for faces, face in zip(described, chosen, strict=True) if face is not None]
    if len(members) > 2:
        again = _nearest(described, np.mean(members, axis=0), same)
        chosen = again if _size(again) >= len(members) else chosen
    return chosen


def _size(group: Sequence[int | None]) -> int:
    return sum(face is not None for face in group)


def _nearest(
    described: Sequence[Sequence[NDArray[np.floating]]], wanted_D: NDArray[np.floating], same: float
) -> list[int | None]:
    group: list[int | None] = []
    for faces in described:
        distances = [float(np.linalg.norm(face_D - wanted_D)) for face_D in faces]
        nearest = int(np.argmin(distances)) if distances else None
        group.append(nearest if nearest is not None and distances[nearest] <= same else None)
    return group
