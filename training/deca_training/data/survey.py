"""Looks at photos: which face is meant, where its landmarks are, and how sure that is. In several processes."""

from __future__ import annotations

import itertools
import traceback
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, wait
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from deca.errors import PhotoError
from deca.vision import DetectedFace, Photo, find_faces, read_photo
from deca_training.data.cleaning import box_dependence, disagreement, expanded, find_mediapipe, shifted
from deca_training.data.journal import Finding
from deca_training.processes import worker_pool

Landmarks = Literal["mediapipe", "fan"]

_MAX_WORKERS = 61  # Windows cannot wait for more
_WAITING_PER_WORKER = 8  # photos handed out ahead: enough that no process waits, little to lose on an error


def stamp_of(path: Path) -> tuple[int, int]:
    """Bytes and time of change of a file; (-1, -1) when it cannot be asked."""
    try:
        status = path.stat()
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns


def survey_photo(folder: Path, photo: str, landmarks: Landmarks = "mediapipe") -> Finding:
    """Looks at one photo.

    Of several faces the most central is meant: photos of face data sets are cut around the person they are named after.

    Args:
        folder: The folder of photos.
        photo: Path below it.
        landmarks: Who finds the 68 landmarks.
    """
    stamp = stamp_of(folder / photo)
    try:
        return _look(folder, photo, stamp, landmarks)
    except PhotoError as error:
        return Finding(photo, stamp, "unreadable", str(error))
    except Exception as error:  # whatever it is, it stays with this photo, which is looked at again the next time
        traceback.print_exc()
        return Finding(photo, (-1, -1), f"failed ({type(error).__name__})", str(error))


def _look(folder: Path, photo: str, stamp: tuple[int, int], landmarks: Landmarks) -> Finding:
    picture = read_photo(folder / photo)
    size = (picture.width, picture.height)
    faces = find_faces(picture)
    if not faces:
        return Finding(photo, stamp, "no face", size=size)
    face = most_central(faces, picture)
    box = face.box.astype(np.float64)
    landmarks68_L2 = None
    if landmarks == "fan":
        from deca_training.data.fan import find_fan

        both_268 = find_fan(picture.pixels, np.stack([expanded(box), expanded(shifted(box))]), face.roll)
        landmarks68_L2, spread = both_268[0].astype(np.float32), disagreement(both_268[0], both_268[1], box)
    else:
        spread = box_dependence(picture.pixels, box, face.roll, find_mediapipe)
    return Finding(
        photo,
        stamp,
        faces=len(faces),
        size=size,
        box=tuple(round(float(side), 3) for side in box),  # type: ignore[arg-type]
        score=round(float(face.score), 4),
        presence=round(float(face.presence), 4),
        disagreement=round(spread, 5),
        landmarks478_L3=face.landmarks_L3,
        landmarks68_L2=landmarks68_L2,
    )


def most_central(faces: list[DetectedFace], photo: Photo) -> DetectedFace:
    """The face whose centre is nearest to the photo's, counted in its own size."""
    middle = np.array([photo.width, photo.height]) / 2

    def distance(face: DetectedFace) -> float:
        low, high = face.box[:2], face.box[2:]
        return float(np.linalg.norm((low + high) / 2 - middle) / max(float((high - low).mean()), 1e-6))

    return min(faces, key=distance)


def survey(folder: Path, photos: Iterable[str], landmarks: Landmarks, workers: int) -> Iterator[Finding]:
    """Looks at many photos.

    Args:
        folder: The folder of photos.
        photos: Paths below it.
        landmarks: Who finds the 68 landmarks.
        workers: Processes beside this one; 0 does the work in this one.

    Yields:
        The findings, in the order in which they are done.

    Raises:
        DecaError: A process died.
    """
    if workers <= 0:
        threads = torch.get_num_threads()
        try:
            for photo in photos:
                torch.set_num_threads(1)  # as in the processes, since sums in another order move landmarks by 0.05 px
                finding = survey_photo(folder, photo, landmarks)
                torch.set_num_threads(threads)
                yield finding
        finally:
            torch.set_num_threads(threads)
        return
    rest = iter(photos)
    waiting = set()
    workers = min(workers, _MAX_WORKERS)
    with worker_pool(workers) as pool:
        while True:
            for photo in itertools.islice(rest, workers * _WAITING_PER_WORKER - len(waiting)):
                waiting.add(pool.submit(survey_photo, folder, photo, landmarks))
            if not waiting:
                break
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
