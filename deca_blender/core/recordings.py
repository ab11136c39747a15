"""Face recordings of phones: CSV files of Live Link Face, text files of Face Cap.

Both hold ARKit's weights and the turns of head and eyes per frame. Turns become axis-angles in head space: x to the
subject's left, y up, z forward; left and right are the subject's.

Shape suffixes: F frames.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import arkit
from .rotations import axis_angles, from_euler, product, quaternions
from .takes import Take

RATES = (24.0, 25.0, 30.0, 48.0, 50.0, 60.0, 100.0, 120.0)
"""Frame rates that timecodes count in."""
PHONE_RATE = 60.0
"""What phones record at; for takes too short to tell."""

_TIMECODE = re.compile(r"^\s*(\d+):(\d+):(\d+)[:;](\d+(?:\.\d*)?)\s*$")
_NAMES = {name.lower(): name for name in arkit.NAMES}
_SIDES = {"_L": "Left", "_R": "Right"}
_DAY_S = 86_400.0
_FACE_CAP_TAGS = ("info", "bs", "k")
_BEFORE_WEIGHTS = 12  # values of a Face Cap keyframe, with its tag


class RecordingError(ValueError):
    """A file is no recording, or a damaged one; the message says where and what to do."""


def read_recording(path: str | Path, rate: float = 0.0) -> Take:
    """The take of a file of Live Link Face or Face Cap; which one, its first line says.

    Args:
        path: The file.
        rate: Frames per second that timecodes count in; 0 to see from the file. Face Cap writes milliseconds.

    Returns:
        ARKit sliders, and the joints `root` (the head's turn), `eye_l` and `eye_r`, from the time 0 on.

    Raises:
        RecordingError: It is none of them, or damaged.
        OSError: It cannot be read.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecordingError(f"{Path(path).name} is no text file. Choose a .csv or .txt file.") from error
    lines = text.splitlines()
    first = next((line for line in lines if line.strip()), "")
    is_face_cap = first.split(",")[0].strip().lower() in _FACE_CAP_TAGS
    try:
        return face_cap(lines) if is_face_cap else live_link_face(lines, rate)
    except RecordingError as error:
        raise RecordingError(f"{Path(path).name}: {error}") from error


def live_link_face(lines: list[str], rate: float = 0.0) -> Take:
    """The take of a CSV file of Live Link Face, Epic's app.

    Its columns are `Timecode` (HH:MM:SS:FF.fff), `BlendShapeCount`, ARKit's names with a capital letter, and yaw, pitch
    and roll of head, left and right eye in radians as Unreal counts them: to the subject's right, up, and to the
    right shoulder.

    Raises:
        RecordingError: A column, a row or a number is not as it should be.
    """
    rows = list(_csv_rows(lines))
    if not rows:
        raise RecordingError("The file is empty.")
    header = {name.strip().lower(): column for column, name in enumerate(rows[0][1])}
    known = {_NAMES[name]: column for name, column in header.items() if name in _NAMES}
    if "timecode" not in header or not known:
        raise RecordingError(
            "This is no recording of Live Link Face: its first line lacks the columns Timecode, EyeBlinkLeft and so on."
        )
    width = len(rows[0][1])
    body = [row for row in rows[1:] if any(cell.strip() for cell in row[1])]
    if len(body) > 1 and len(body[-1][1]) < width:  # the app was stopped while it wrote
        body.pop()
    if not body:
        raise RecordingError("There is no frame below the first line.")
    for number, row in body:
        if len(row) < width:
            raise RecordingError(f"Line {number} has {len(row)} of {width} values. Copy the file again.")
    stamps = [_stamp(number, row[header["timecode"]]) for number, row in body]
    times_F = _times(stamps, rate or _rate_of(stamps))
    later_F = _later(times_F)

    def column(name: str, place: int) -> NDArray[np.float64]:
        return np.array([_number(number, name, row[place]) for number, row in body])[later_F]

    def turns(part: str, zeros: NDArray) -> NDArray[np.float64]:
        yaw_F, pitch_F, roll_F = (
            column(f"{part}{angle}", header[f"{part}{angle}".lower()]) if f"{part}{angle}".lower() in header else zeros
            for angle in ("Yaw", "Pitch", "Roll")
        )
        return from_euler(np.stack((-yaw_F, -pitch_F, roll_F), axis=1), "yxz")

    sliders = {name: np.clip(column(rows[0][1][place], place), 0.0, 1.0) for name, place in known.items()}
    zeros = np.zeros(int(later_F.sum()))
    joints = {"root": turns("Head", zeros), "eye_l": turns("LeftEye", zeros), "eye_r": turns("RightEye", zeros)}
    return Take(times_F[later_F] - times_F[0], sliders, joints)


def face_cap(lines: list[str]) -> Take:
    """The take of a text file of Face Cap, Bannaflak's app.

    `bs` names the blend shapes (`browDown_L` for browDownLeft). Each `k` is a frame: milliseconds; position of the
    head; Euler angles of the head x, y, z, of the left eye x, y and of the right eye x, y, in degrees; the weights.
    `info` lines are comments.

    Raises:
        RecordingError: A line or a number is not as it should be.
    """
    names: list[str] = []
    frames: list[list[float]] = []
    for number, line in enumerate(lines, start=1):
        cells = [cell.strip() for cell in line.split(",")]
        tag = cells[0].lower()
        if tag == "bs":
            names = [_face_cap_name(cell) for cell in cells[1:] if cell]
        elif tag == "k":
            if not names:
                raise RecordingError(f"Line {number} is a frame, but no line before it names the blend shapes (bs).")
            if cells[-1] == "":
                cells.pop()
            if len(cells) != _BEFORE_WEIGHTS + len(names):
                if number == len(lines):  # the app was stopped while it wrote
                    break
                want = _BEFORE_WEIGHTS + len(names)
                raise RecordingError(f"Line {number} has {len(cells)} of {want} values. Copy the file again.")
            frames.append([_number(number, f"value {place}", cell) for place, cell in enumerate(cells[1:], start=1)])
        elif tag not in ("", "info"):
            raise RecordingError(f"Line {number} begins with {cells[0][:20]!r}; Face Cap writes info, bs and k.")
    if not frames:
        raise RecordingError("There is no frame: no line begins with k.")
    values_FX = np.array(frames)
    times_F = values_FX[:, 0] / 1e3
    later_F = _later(times_F)
    values_FX, times_F = values_FX[later_F], times_F[later_F]
    weights_FA = np.clip(values_FX[:, _BEFORE_WEIGHTS - 1 :], 0.0, 1.0)
    known = {name: weights_FA[:, place] for place, name in enumerate(names) if name in arkit.NAMES}
    if not known:
        raise RecordingError(f"None of its blend shapes is one of ARKit's: {', '.join(names[:5])}, ...")
    head_F3, left_F2, right_F2 = np.radians(values_FX[:, 4:7]), *np.radians((values_FX[:, 7:9], values_FX[:, 9:11]))
    flat_F1 = np.zeros((len(times_F), 1))
    joints = {
        "root": from_euler(head_F3[:, ::-1], "zyx"),
        "eye_l": from_euler(np.hstack((flat_F1, left_F2[:, ::-1])), "zyx"),
        "eye_r": from_euler(np.hstack((flat_F1, right_F2[:, ::-1])), "zyx"),
    }
    return Take(times_F - times_F[0], known, joints)


def calibrated(take: Take, neutral: Take) -> Take:
    """The take as if its face at rest had no weights, and its head looked ahead.

    Args:
        take: A recording.
        neutral: A recording of the same face at rest; its average counts. What is left of each weight is stretched, so
            that its full strength stays 1; the head's turn is from there.
    """
    sliders = {}
    for name, values_F in take.sliders.items():
        rest = float(np.mean(neutral.sliders[name])) if name in neutral.sliders else 0.0
        sliders[name] = np.clip((values_F - rest) / max(1.0 - rest, 0.1), 0.0, 1.0)
    joints = dict(take.joints)
    if "root" in joints and "root" in neutral.joints:
        back_14 = quaternions(-neutral.joints["root"].mean(axis=0, keepdims=True))
        joints["root"] = axis_angles(product(np.tile(back_14, (len(take), 1)), quaternions(joints["root"])))
    return replace(take, sliders=sliders, joints=joints)


def gaze_by(take: Take, is_by_bones: bool) -> Take:
    """A recording says twice where the eyes look, which must not add up: by the `eyeLook` sliders, which move the lids
    along, or by the angles of the eyes."""
    if is_by_bones:
        rest = np.zeros(len(take))
        return replace(
            take, sliders={name: rest if name in arkit.gaze([name]) else kept for name, kept in take.sliders.items()}
        )
    return replace(take, joints={name: kept for name, kept in take.joints.items() if not name.startswith("eye_")})


def _csv_rows(lines: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Rows with the number of their line, from 1; spreadsheets may have put semicolons between the values."""
    first = next((line for line in lines if line.strip()), "")
    reader = csv.reader(lines, delimiter=";" if first.count(";") > first.count(",") else ",")
    try:
        for row in reader:
            if row:
                yield reader.line_num, row
    except csv.Error as error:
        raise RecordingError(f"Line {reader.line_num} is no CSV ({error}).") from error


def _stamp(number: int, text: str) -> tuple[float, float]:
    """Seconds of the day, and frames, of a timecode."""
    match = _TIMECODE.match(text)
    if match is None:
        raise RecordingError(f"Line {number}: the timecode {text[:30]!r} is not HH:MM:SS:FF.fff.")
    hours, minutes, seconds, frames = (float(part) for part in match.groups())
    return 3600 * hours + 60 * minutes + seconds, frames


def _rate_of(stamps: list[tuple[float, float]]) -> float:
    """The rate that timecodes count in: no frame number reaches it, and in a second that is whole, it nearly does."""
    seconds = [second for second, _ in stamps]
    largest = max(frames for _, frames in stamps)
    if len(set(seconds)) < 3 and largest < PHONE_RATE:  # no second is whole
        return PHONE_RATE
    return next((rate for rate in RATES if largest < rate), math.floor(largest) + 1.0)


def _times(stamps: list[tuple[float, float]], rate: float) -> NDArray[np.float64]:
    """Seconds (F,); midnight is no step back."""
    times_F = np.array([second + frames / rate for second, frames in stamps])
    days_F = np.concatenate(([0], np.cumsum(np.diff(times_F) < -_DAY_S / 2)))
    return times_F + _DAY_S * days_F


def _later(times_F: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Frames that come after all before them."""
    return np.concatenate(([True], times_F[1:] > np.maximum.accumulate(times_F)[:-1]))


def _number(line: int, name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise RecordingError(f"Line {line}: {name} is {text[:20]!r}, which is no number.")
    return value


def _face_cap_name(name: str) -> str:
    for ending, side in _SIDES.items():
        if name.endswith(ending):
            name = name.removesuffix(ending) + side
    return _NAMES.get(name.lower(), name)
