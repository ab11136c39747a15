"""The plan of a batch import: which photos, which output files, what is reported."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True)
class PlannedPhoto:
    """One photo and the .blend file that it becomes."""

    photo: Path
    blend: Path


@dataclass(frozen=True)
class Problem:
    """A path that stands for no photo."""

    path: Path
    message: str


def plan(paths: Sequence[Path], out: Path) -> tuple[list[PlannedPhoto], list[Problem]]:
    """Expands folders (their photos by name, not their sub-folders') and names the outputs.

    Outputs carry the photo's name; photos of equal names get `_2`, `_3`, ..., regardless of case, because file systems
    may not tell cases apart.
    """
    photos: list[Path] = []
    problems: list[Problem] = []
    for path in paths:
        if not path.is_dir():
            photos.append(path)
            continue
        inside = sorted(file for file in path.iterdir() if file.suffix.lower() in PHOTO_SUFFIXES and file.is_file())
        if not inside:
            suffixes = ", ".join(PHOTO_SUFFIXES)
            problems.append(Problem(path, f"The folder {path} holds no photo. Photos end in {suffixes}."))
        photos += inside
    taken: set[str] = set()
    planned = []
    for photo in photos:
        name, number = photo.stem, 2
        while name.casefold() in taken:
            name, number = f"{photo.stem}_{number}", number + 1
        taken.add(name.casefold())
        planned.append(PlannedPhoto(photo, out / f"{name}.blend"))
    return planned, problems


def success_line(planned: PlannedPhoto, landmark_error: float, seconds: float, notices: Sequence[str] = ()) -> str:
    """The report line of an imported photo; `notices` are in it if there are any."""
    told = {"notices": list(notices)} if notices else {}
    return _line(
        photo=str(planned.photo),
        ok=True,
        out=str(planned.blend),
        landmark_error=round(landmark_error, 5),
        seconds=round(seconds, 2),
        **told,
    )


def failure_line(photo: Path, message: str, seconds: float = 0.0) -> str:
    """The report line of a photo that could not be imported."""
    return _line(photo=str(photo), ok=False, error=message, seconds=round(seconds, 2))


def summary_line(photos: int, failed: int) -> str:
    """The last line of a report."""
    return _line(summary={"photos": photos, "failed": failed})


def _line(**values: object) -> str:
    return json.dumps(values, ensure_ascii=False)
