"""What is known about each photo, in a file that grows while `deca-train prepare` runs.

One JSON object per line, landmarks as base64 of little-endian float32. A line is written when its photo is done, so
that a run may be killed at any time: a last line that is not whole is dropped. Photos that were looked at again have a
later line, which counts.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from deca.errors import OutputError

_ARRAYS = {"landmarks478_L3": (478, 3), "landmarks68_L2": (68, 2)}


@dataclass(frozen=True, eq=False)
class Finding:
    """What was found on one photo; lengths in pixels of the upright photo.

    Attributes:
        photo: Path below the folder, with `/`.
        stamp: Bytes and time of change (nanoseconds) of the file: a photo with another stamp is looked at again.
        problem: Why the photo cannot be used: "unreadable", "no face"; "" when it can.
        message: More about the problem.
        faces: How many faces were found.
        size: Width and height.
        box: Left, top, right, bottom of the face's landmarks.
        score, presence: Confidence of the detector and of the landmark network, 0..1.
        disagreement: How far the landmarks move with the box (`cleaning.box_dependence`).
        landmarks478_L3: MediaPipe's landmarks: x, y, depth in the same scale; None without a face.
        landmarks68_L2: iBUG's, when a network of its own found them; None when they come from MediaPipe's.
    """

    photo: str
    stamp: tuple[int, int]
    problem: str = ""
    message: str = ""
    faces: int = 0
    size: tuple[int, int] = (0, 0)
    box: tuple[float, float, float, float] = (0, 0, 0, 0)
    score: float = 0.0
    presence: float = 0.0
    disagreement: float = 0.0
    landmarks478_L3: NDArray[np.float32] | None = None
    landmarks68_L2: NDArray[np.float32] | None = None

    def to_json(self) -> str:
        """One line."""
        record = {name: value for name, value in asdict(self).items() if value is not None}
        for name in _ARRAYS:
            if name in record:
                record[name] = base64.b64encode(record[name].astype("<f4").tobytes()).decode()
        return json.dumps(record, separators=(",", ":"))

    @classmethod
    def from_json(cls, line: str | bytes) -> Finding:
        """Reads a line.

        Raises:
            ValueError: The line is damaged.
        """
        try:
            record: dict[str, Any] = json.loads(line)
            for name, shape in _ARRAYS.items():
                if name in record:
                    data = base64.b64decode(record[name], validate=True)
                    record[name] = np.frombuffer(data, "<f4").reshape(shape)
            for name in ("stamp", "size", "box"):
                record[name] = tuple(record[name])
            return cls(**{field.name: record[field.name] for field in fields(cls) if field.name in record})
        except (KeyError, TypeError, binascii.Error) as error:
            raise ValueError(f"damaged line ({error})") from error


class Journal:
    """The file of findings, open for more.

    Args:
        path: The file; made when it is not there. Its folder must exist.

    Raises:
        OutputError: The file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offsets: dict[str, int] = {}
        self._stamps: dict[str, tuple[int, int]] = {}
        try:
            self._file: IO[bytes] = path.open("r+b" if path.exists() else "w+b")
            self._read()
        except OSError as error:
            raise OutputError(f"The journal {path} cannot be used ({error}).", "Check permissions and room.") from error

    def _read(self) -> None:
        end = 0
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            try:
                finding = Finding.from_json(line)
            except ValueError:
                pass  # a line that was torn by a crash of the computer: its photo is looked at again
            else:
                self._note(finding, end)
            end += len(line)
        self._file.seek(end)
        self._file.truncate()

    def _note(self, finding: Finding, offset: int) -> None:
        self._offsets[finding.photo], self._stamps[finding.photo] = offset, finding.stamp

    def knows(self, photo: str, stamp: tuple[int, int]) -> bool:
        """Whether this very file was looked at."""
        return self._stamps.get(photo) == stamp

    def add(self, finding: Finding) -> None:
        """Writes a finding, at once.

        Raises:
            OutputError: There is no room.
        """
        try:
            offset = self._file.seek(0, os.SEEK_END)
            self._file.write(finding.to_json().encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise OutputError(
                f"{self.path} could not be written ({error}).", "Make room, then run it again."
            ) from error
        self._note(finding, offset)

    def findings(self, photos: list[str]) -> Iterator[Finding]:
        """The findings of photos that the journal knows, in the order given."""
        for photo in photos:
            self._file.seek(self._offsets[photo])
            yield Finding.from_json(self._file.readline())

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
