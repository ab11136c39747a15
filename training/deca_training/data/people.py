"""Photos of real people, FOLDER/person/*.jpg: those of a part of the people, and their landmarks.

Shape suffixes: N photos, L landmarks, C coordinates.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deca.reconstruct.noise import OUTER_EYES
from deca.vision import find_faces, read_photo
from deca_training.data.order import in_split

FRONTAL = 15.0
"""Degrees of yaw up to which a photo counts as seen from the front."""


def people_of(folder: Path, split: str) -> list[Path]:
    """The folders of a split's people."""
    return [person for person in sorted(folder.iterdir()) if person.is_dir() and in_split(person.name, split)]


def photos_of(person: Path, count: int) -> list[Path]:
    """A person's first photos."""
    return sorted(person.glob("*.jpg"))[:count]


def photo_name(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


class Landmarks:
    """The landmarks of the most prominent face of photos, found once and kept in a file.

    Args:
        cache: The .npz file; None keeps nothing.
    """

    def __init__(self, cache: Path | None) -> None:
        self._cache = cache
        self._known: dict[str, tuple[NDArray, NDArray]] = {}
        if cache is not None and cache.exists():
            with np.load(cache) as stored:
                rows = zip(stored["names"], stored["landmarks_NL3"], stored["sizes_N2"], strict=True)
                self._known = {str(name): (landmarks_L3, size_2) for name, landmarks_L3, size_2 in rows}

    def find(self, paths: list[Path]) -> tuple[NDArray, NDArray]:
        """Landmarks (N, 478, 3), photo pixels, NaN where there is no face; and the photos' widths and heights."""
        missing = [path for path in paths if photo_name(path) not in self._known]
        for path in missing:
            photo = read_photo(path)
            faces = find_faces(photo, max_faces=1)
            landmarks_L3 = faces[0].landmarks_L3 if faces else np.full((478, 3), np.nan)
            self._known[photo_name(path)] = landmarks_L3.astype(np.float32), np.array((photo.width, photo.height))
        if missing and self._cache is not None:
            landmarks, sizes = zip(*self._known.values(), strict=True)
            self._cache.parent.mkdir(parents=True, exist_ok=True)
            np.savez(self._cache, names=list(self._known), landmarks_NL3=landmarks, sizes_N2=sizes)
        found, sizes = zip(*(self._known[photo_name(path)] for path in paths), strict=True)
        return np.array(found, np.float64), np.array(sizes)

    def frontal(self, paths: list[Path]) -> tuple[list[Path], NDArray, NDArray]:
        """The photos that show a face from the front, their landmarks (N, 478, 3), and widths and heights."""
        landmarks_NL3, sizes_N2 = self.find(paths)
        rows = np.flatnonzero(np.isfinite(landmarks_NL3[:, 0, 0]) & (np.abs(yaw_degrees(landmarks_NL3)) < FRONTAL))
        return [paths[row] for row in rows], landmarks_NL3[rows], sizes_N2[rows]


def yaw_degrees(landmarks_NL3: NDArray) -> NDArray:
    """How far faces are turned, from the depth that the network gives the outer eye corners."""
    across_N3 = landmarks_NL3[:, OUTER_EYES[1]] - landmarks_NL3[:, OUTER_EYES[0]]
    return np.degrees(np.arctan2(across_N3[:, 2], across_N3[:, 0]))


def eye_distance(landmarks_NLC: NDArray) -> NDArray:
    """Distance of the outer eye corners on the photo, pixels."""
    return np.linalg.norm(landmarks_NLC[:, OUTER_EYES[0], :2] - landmarks_NLC[:, OUTER_EYES[1], :2], axis=1)
