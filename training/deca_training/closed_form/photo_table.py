"""Tables of what is known of people on photos: a line per photo, with names of columns on top; and their faces."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from deca.errors import AssetError, DecaError, NoFaceError
from deca.vision import DetectedFace, Photo, find_faces, read_photo

T = TypeVar("T")


def read_photo_table(path: Path, value_of: Callable[[Mapping[str, str]], T], what: str, lines: str) -> dict[str, T]:
    """What is known, by photo.

    Args:
        path: A CSV file with a column `photo`.
        value_of: What a line's other columns say; raises ValueError or KeyError where that makes no sense.
        what: What the file holds, in words.
        lines: What its lines are to look like, in words.

    Raises:
        AssetError: The file is missing or damaged.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return {row["photo"]: value_of(row) for row in csv.DictReader(file)}
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise AssetError(f"The {what} {path} cannot be read ({error}).", f"Lines are {lines}.") from error


def faces_of(folder: Path, known: Mapping[str, T]) -> Iterator[tuple[Photo, DetectedFace, T]]:
    """Photos, their most prominent faces, and what is known of them.

    Those that cannot be read, or show no face, are left out and named on standard error.

    Args:
        folder: Of the photos.
        known: By photo, as `read_photo_table` gives it.
    """
    for name, value in tqdm(sorted(known.items()), unit="photo"):
        try:
            photo = read_photo(folder / name)
            faces = find_faces(photo, max_faces=1)
            if not faces:
                raise NoFaceError(f"No face was found on {folder / name}.")
        except DecaError as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        yield photo, faces[0], value
