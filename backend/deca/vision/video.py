"""Reads videos, and pictures that are numbered like the frames of one, into upright sRGB frames.

Videos are decoded by FFmpeg through PyAV.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deca.errors import AssetError, DecaError, PhotoError
from deca.vision.photo import read_photo
from deca_blender.protocol.photos import PHOTO_SUFFIXES

MAX_SIDE = 1280
"""Longer side of the frames, pixels: the landmark network sees a face at 192, and larger ones take longer to make."""
DEFAULT_RATE = 24.0
"""Frames per second of numbered pictures, which do not say: Blender's default."""

_NUMBERED = re.compile(r"^(?P<stem>.*?)(?P<number>\d+)$", re.DOTALL)


class VideoError(DecaError):
    """A video could not be read."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame.

    Attributes:
        time: Seconds from the video's beginning.
        pixels: (H, W, 3) uint8, sRGB, upright; None where the frame is missing or damaged.
    """

    time: float
    pixels: NDArray[np.uint8] | None


@dataclass(frozen=True)
class Video:
    """What is known of a video before its frames are read.

    Attributes:
        path: The video, or the folder or first file of its pictures.
        rate: Frames per second.
        duration: Seconds; 0 where the file does not say.
        has_audio: Whether there is sound.
        files: Its pictures by their number; empty for a video file.
    """

    path: Path
    rate: float
    duration: float
    has_audio: bool
    files: tuple[tuple[int, Path], ...] = ()

    def frames(self, start: float = 0.0, end: float = 0.0) -> Iterator[Frame]:
        """The frames from `start` to `end`, seconds; an `end` of 0 is the video's.

        A video file that is damaged ends where it is.

        Raises:
            VideoError: Not even its first frame can be read.
        """
        for frame in self._pictures() if self.files else self._decoded(start):
            if end and frame.time > end:
                return
            if frame.time >= start - 0.5 / self.rate:
                yield frame

    def _pictures(self) -> Iterator[Frame]:
        by_number = dict(self.files)
        first, last = self.files[0][0], self.files[-1][0]
        for number in range(first, last + 1):
            pixels = None
            if number in by_number:
                try:
                    pixels = _scaled(read_photo(by_number[number]).pixels)
                except PhotoError:
                    pixels = None  # as a frame that is missing
            yield Frame((number - first) / self.rate, pixels)

    def _decoded(self, start: float) -> Iterator[Frame]:
        av = _av()
        count = 0
        with _opened(self.path) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            origin = float((stream.start_time or 0) * stream.time_base)
            if start > 0:
                container.seek(int((start + origin) / stream.time_base), stream=stream)
            try:
                for frame in container.decode(stream):
                    time = count / self.rate if frame.time is None else float(frame.time) - origin
                    count += 1
                    yield Frame(time, _upright(frame))
            except av.error.FFmpegError as error:
                if not count:
                    raise _unreadable(self.path, error) from error


def open_video(path: str | Path, rate: float = DEFAULT_RATE) -> Video:
    """Looks at a video file, at a folder of numbered pictures, or at one of them.

    Args:
        path: The video; or a folder whose pictures are the frames, in the order of the last number of their names; or
            one such picture, which stands for all of the same name but for the number.
        rate: Frames per second of pictures.

    Raises:
        VideoError: There is no such file, it holds no pictures, or it cannot be decoded.
        AssetError: PyAV is not installed.
    """
    path = Path(path)
    if path.is_dir() or path.suffix.lower() in PHOTO_SUFFIXES:
        files = _numbered(path)
        if not files:
            raise VideoError(
                f"The folder {path} holds no numbered pictures.", "Name them like frame_0001.png, frame_0002.png."
            )
        return Video(path, rate, (files[-1][0] - files[0][0] + 1) / rate, False, tuple(files))
    with _opened(path) as container:
        if not container.streams.video:
            raise VideoError(f"{path} holds no pictures.", "Choose a video file: MP4, MOV, WebM, AVI.")
        stream = container.streams.video[0]
        rate = float(stream.average_rate or stream.guessed_rate or DEFAULT_RATE)
        duration = float(container.duration or 0) / 1e6  # FFmpeg's AV_TIME_BASE
        if stream.duration:  # the sound may be longer
            duration = float(stream.duration * stream.time_base)
        return Video(path, rate, duration, bool(container.streams.audio))


def _numbered(path: Path) -> list[tuple[int, Path]]:
    """The pictures of a folder, or those that belong with one, by their number."""
    chosen = _NUMBERED.match(path.stem) if not path.is_dir() else None
    if not path.is_dir() and chosen is None:
        return [(0, path)] if path.is_file() else []
    folder = path if path.is_dir() else path.parent
    found: dict[int, Path] = {}
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        match = _NUMBERED.match(file.stem)
        is_picture = file.suffix.lower() in PHOTO_SUFFIXES and not file.name.startswith(".")
        if match is None or not is_picture:
            continue
        if chosen is None or (match["stem"], file.suffix) == (chosen["stem"], path.suffix):
            found.setdefault(int(match["number"]), file)
    return sorted(found.items())


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise AssetError(
            f"Videos need the package PyAV, which is not there ({error}).",
            "Press Install Backend again, or: pip install av. Pictures that are numbered need nothing.",
        ) from error
    return av


def _opened(path: Path) -> Any:
    """An open container.

    Raises:
        VideoError: The file cannot be opened.
    """
    av = _av()
    try:
        return av.open(str(path), metadata_errors="replace")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> VideoError:
    reason = getattr(error, "strerror", None) or error
    return VideoError(
        f"The video {path} could not be read ({reason}).", "Check the path; play the file, or copy it again."
    )


def _upright(frame: Any) -> NDArray[np.uint8]:
    """The pixels of a decoded frame, scaled down and turned as the file says."""
    scale = min(MAX_SIDE / max(frame.width, frame.height), 1.0)
    size = {"width": max(round(frame.width * scale), 1), "height": max(round(frame.height * scale), 1)}
    pixels = frame.reformat(**size, format="rgb24").to_ndarray()
    turns = round(frame.rotation / 90) % 4  # counter-clockwise, degrees
    return np.ascontiguousarray(np.rot90(pixels, turns))


def _scaled(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    scale = MAX_SIDE / max(pixels.shape[:2])
    if scale >= 1:
        return pixels
    size = (max(round(pixels.shape[1] * scale), 1), max(round(pixels.shape[0] * scale), 1))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
