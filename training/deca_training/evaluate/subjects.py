"""Faces of photos by subject, from a prepared index or from a folder of folders.

Shape suffixes: L landmarks, H W rows and columns of the crop (224).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deca.errors import DecaError, OptionError
from deca.reconstruct.coarse import fitted_faces, regressed_faces
from deca.reconstruct.face import Face
from deca.reconstruct.models import Models
from deca.vision.crop import warp_crop
from deca.vision.faces import DetectedFace, find_faces
from deca.vision.geometry import apply
from deca.vision.photo import Photo, read_photo
from deca_blender.protocol.conventions import CROP_SIZE
from deca_blender.protocol.photos import pictures_below
from deca_training.data.index import PhotoIndex
from deca_training.data.landmarks import ibug_from_mediapipe
from deca_training.data.masks import mask_from_landmarks
from deca_training.data.storage import read_indexed_photo


@dataclass(frozen=True)
class FacePhoto:
    """A photo with its most prominent face.

    Attributes:
        subject, name: Whose, and which.
        photo: The photo.
        found: The face as the detector, or the index, has it.
        landmarks68_L2: iBUG's landmarks, photo pixels.
    """

    subject: str
    name: str
    photo: Photo
    found: DetectedFace
    landmarks68_L2: NDArray[np.float32]

    def face(self, models: Models, by_fit: bool = False) -> Face:
        """Its codes: from the encoders, or from the landmark fit, as the product makes them.

        Raises:
            OptionError: The encoders are asked for and the models has none.
        """
        if by_fit:
            return fitted_faces(self.photo, Path(self.name), [self.found], models)[0]
        if models.networks is None:
            raise OptionError("There are no weights to regress codes with.", "Name a weights file.")
        return regressed_faces(self.photo, Path(self.name), [self.found], models, models.networks)[0]

    def crop(self, face: Face) -> Tensor:
        """The crop that the codes belong to, (1, 3, H, W) in 0..1."""
        return torch.from_numpy(warp_crop(self.photo.pixels, face.crop_33))[None]

    def crop_landmarks(self, face: Face) -> Tensor:
        """The 68 landmarks on that crop (1, 68, 2), picture coordinates."""
        points_L2 = apply(face.crop_33, self.landmarks68_L2) / (CROP_SIZE / 2) - 1
        return torch.from_numpy(points_L2.astype(np.float32))[None]

    def skin(self, face: Face) -> Tensor:
        """1 where that crop shows skin of the face (1, 1, H, W), by the landmarks."""
        width, height = self.photo.width, self.photo.height
        corners_42 = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float64)
        points_L2 = apply(face.crop_33, self.found.landmarks_L3[:, :2])
        mask_HW = mask_from_landmarks(points_L2, apply(face.crop_33, corners_42))
        return torch.from_numpy((mask_HW > 127).astype(np.float32))[None, None]


@dataclass
class Subjects:
    """Photos by subject, read one subject at a time.

    Args:
        data: A prepared index (.npz), or a folder `identity/photo.jpg`.
        validation: Only the subjects that `PhotoIndex.split` keeps out with this share; None for all.
        seed: Of that split.
        subjects, photos: At most this many subjects, photos of each; None for all.
        device: torch device of the detector.

    Attributes:
        skipped: Why photos were left out, by name; grows while photos are read.

    Raises:
        OptionError: There are no photos, or a share of a folder is asked for.
        AssetError: The index is damaged.
    """

    data: Path
    validation: float | None = None
    seed: int = 0
    subjects: int | None = None
    photos: int | None = None
    device: str = "cpu"
    skipped: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._index: PhotoIndex | None = None
        if self.data.is_dir():
            if self.validation is not None:
                raise OptionError("Only an index can be split.", "Prepare the folder with `deca-train prepare`.")
            folders = sorted(folder for folder in self.data.iterdir() if folder.is_dir())
            self._work = [(f.name, photos[: self.photos]) for f in folders if (photos := self._below(f))]
        else:
            index = PhotoIndex.load(self.data)
            self._index = index if self.validation is None else index.split(self.validation, self.seed)[1]
            starts = self._index.first_photo
            rows = [range(a, b)[: self.photos] for a, b in pairwise(starts)]
            self._work = list(zip(self._index.subject_names, rows, strict=True))
        self._work = self._work[: self.subjects]
        if not self._work:
            raise OptionError(
                f"{self.data} holds no photos{' in its validation share' if self.validation is not None else ''}.",
                "Expected: an index of `deca-train prepare`, or a folder with a folder of photos for each person.",
            )

    def __len__(self) -> int:
        """Number of subjects."""
        return len(self._work)

    def __iter__(self) -> Iterator[list[FacePhoto]]:
        """The usable photos of each subject; lists may be empty."""
        for subject, photos in self._work:
            usable = []
            for photo in photos:
                try:
                    usable.append(self._look(subject, photo))
                except DecaError as error:
                    self.skipped[self._name(photo)] = error.message
            yield usable

    def _below(self, folder: Path) -> list[Path]:
        found = [(folder / name, problem) for name, problem in pictures_below(folder)]
        self.skipped.update((self._name(path), problem) for path, problem in found if problem)
        return sorted(path for path, problem in found if not problem)

    def _name(self, photo: Path | int) -> str:
        if isinstance(photo, Path):
            return photo.relative_to(self.data).as_posix()
        assert self._index is not None
        return self._index.photo_name(photo)

    def _look(self, subject: str, photo: Path | int) -> FacePhoto:
        name = self._name(photo)
        if isinstance(photo, Path):
            picture = read_photo(photo)
            faces = find_faces(picture, max_faces=1, device=self.device)
            if not faces:
                raise OptionError(f"No face was found on {name}.")
            return FacePhoto(
                subject, name, picture, faces[0], ibug_from_mediapipe(faces[0].landmarks_L3)[:, :2].astype(np.float32)
            )
        assert self._index is not None
        landmarks68_L2, landmarks478_L3 = self._index.landmarks_of(photo)
        box_4 = np.concatenate((landmarks478_L3[:, :2].min(0), landmarks478_L3[:, :2].max(0)))
        found = DetectedFace(landmarks478_L3, box_4, score=1.0, presence=1.0, roll=0.0)
        return FacePhoto(subject, name, read_indexed_photo(self._index, photo), found, landmarks68_L2)

    def notes(self) -> list[str]:
        """What was left out, for a report."""
        if not self.skipped:
            return []
        reasons = [f"{name}: {reason}" for name, reason in list(self.skipped.items())[:5]]
        return [f"{len(self.skipped)} photos were left out.", *reasons]
