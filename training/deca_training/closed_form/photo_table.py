"""Tables of what is known of people on photos: a line per photo, with names of columns on top."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from deca.errors import AssetError

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
