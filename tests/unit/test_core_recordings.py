"""Recordings of Live Link Face and Face Cap, sound and damaged ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from deca_blender.core import arkit, recordings
from deca_blender.core.recordings import RecordingError, read_recording

TURNS = [f"{part}{angle}" for part in ("Head", "LeftEye", "RightEye") for angle in ("Yaw", "Pitch", "Roll")]
COLUMNS = ["Timecode", "BlendShapeCount", *(name[0].upper() + name[1:] for name in arkit.NAMES), *TURNS]


def _row(timecode: str, **values: float) -> str:
    cells = [timecode, "61", *(f"{values.get(name, 0.0):.6f}" for name in COLUMNS[2:])]
    return ",".join(cells)


def _csv(rows: list[str]) -> str:
    return "\n".join([",".join(COLUMNS), *rows]) + "\n"


def _write(folder: Path, text: str, name: str = "take.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def _facing(turn_3: np.ndarray) -> np.ndarray:
    """Where a head looks that looked along +z."""
    return Rotation.from_rotvec(turn_3).apply([0, 0, 1])


def test_live_link_face(tmp_path: Path) -> None:
    stamps = [f"23:59:{second:02d}:{frame:02d}.{frame % 10}00" for second in (58, 59) for frame in range(60)]
    stamps += [f"00:00:00:{frame:02d}.000" for frame in range(10)]
    rows = [_row(stamp, JawOpen=min(0.01 * i, 1.5), HeadYaw=0.3) for i, stamp in enumerate(stamps)]
    take = read_recording(_write(tmp_path, "\ufeff" + _csv(rows)))
    assert set(take.sliders) == set(arkit.NAMES) and len(take) == 130
    assert take.times_F[0] == 0 and (np.diff(take.times_F) > 0).all()
    assert take.times_F[60] == pytest.approx(1.0, abs=0.02) and take.duration == pytest.approx(2.15, abs=0.03)
    np.testing.assert_allclose(take.sliders["jawOpen"], np.minimum(0.01 * np.arange(130), 1.0))
    assert not take.sliders["eyeBlinkLeft"].any()


@pytest.mark.parametrize(
    ("column", "looks"),
    [("HeadYaw", (-1, 0)), ("HeadPitch", (0, 1)), ("LeftEyeYaw", (-1, 0)), ("RightEyePitch", (0, 1))],
)
def test_turns_of_live_link_face(column: str, looks: tuple[int, int]) -> None:
    """Unreal's yaw is to the subject's right (-x), its pitch up."""
    lines = _csv([_row("00:00:00:00.000", **{column: 0.2})]).splitlines()
    joint = {"H": "root", "L": "eye_l", "R": "eye_r"}[column[0]]
    x, y, _ = _facing(recordings.live_link_face(lines).joints[joint][0])
    assert (np.sign(np.round(x, 9)), np.sign(np.round(y, 9))) == looks


def test_roll_of_live_link_face() -> None:
    """To the right shoulder: the left ear goes up."""
    lines = _csv([_row("00:00:00:00.000", HeadRoll=0.2)]).splitlines()
    left_ear = Rotation.from_rotvec(recordings.live_link_face(lines).joints["root"][0]).apply([1, 0, 0])
    assert left_ear[1] > 0.1


@pytest.mark.parametrize(("rate", "largest"), [(24.0, 23), (30.0, 29), (60.0, 59)])
def test_the_rate_of_timecodes_is_seen(rate: float, largest: int) -> None:
    stamps = [f"01:00:{second:02d}:{frame:02d}.5" for second in range(3) for frame in range(largest + 1)]
    take = recordings.live_link_face(_csv([_row(stamp) for stamp in stamps]).splitlines())
    np.testing.assert_allclose(np.diff(take.times_F), 1 / rate, atol=1e-9)


def test_short_takes_are_taken_to_be_a_phones() -> None:
    lines = _csv([_row("01:00:00:05.0"), _row("01:00:00:06.0")]).splitlines()
    assert recordings.live_link_face(lines).duration == pytest.approx(1 / 60)
    assert recordings.live_link_face(lines, rate=30).duration == pytest.approx(1 / 30)


def test_frames_that_repeat_are_left_out() -> None:
    lines = _csv([_row("01:00:00:05.0"), _row("01:00:00:05.0"), _row("01:00:00:06.0")]).splitlines()
    assert len(recordings.live_link_face(lines)) == 2


def test_spreadsheets_and_a_last_line_that_is_cut(tmp_path: Path) -> None:
    text = _csv([_row("00:00:00:00.0"), _row("00:00:00:01.0")]).replace(",", ";") + "00:00:00:02.0;61;0.1\n"
    assert len(read_recording(_write(tmp_path, text))) == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "empty"),
        ("a,b,c\n1,2,3\n", "no recording of Live Link Face"),
        (_csv([]), "no frame"),
        (_csv(["1:2:3,61"]), "Line 2 has 2 of 63"),
        (_csv([_row("00:00:00"), _row("00:00:00:01.0")]), "Line 2: the timecode '00:00:00'"),
        (_csv([_row("00:00:00:00.0").replace("0.000000", "abc", 1)]), "Line 2: BrowDownLeft is 'abc'"),
        (_csv([_row("00:00:00:00.0").replace("0.000000", "nan", 1)]), "Line 2: BrowDownLeft is 'nan'"),
        ("bs,jawOpen\nk,0,0,0\nk,1,0,0\n", "Line 2 has 4 of 13"),
        ("k,0,0,0,0,0,0,0,0,0,0,0,1\n", "no line before it names"),
        ("info,a\nbs,jawOpen\n", "no line begins with k"),
        ("bs,jawOpen\nq,1\n", "Line 2 begins with 'q'"),
        ("bs,foo\nk,0,0,0,0,0,0,0,0,0,0,0,1\n", "None of its blend shapes"),
    ],
)
def test_damaged_files_are_told(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(RecordingError) as caught:
        read_recording(_write(tmp_path, text))
    assert told.lower() in str(caught.value).lower() and str(caught.value).startswith("take.csv: ")


def test_other_files_are_no_recordings(tmp_path: Path) -> None:
    path = tmp_path / "photo.csv"
    path.write_bytes(b"\xff\xd8\xff\xe0" + bytes(range(256)))
    with pytest.raises(RecordingError, match="no text file"):
        read_recording(path)


def test_face_cap(tmp_path: Path) -> None:
    lines = ["info,made by a test", "bs,browDown_L,eyeLookUp_R,jawOpen,mouthLeft"]
    lines += [f"k,{100 + 20 * i},1,2,3,0,10,0,0,5,0,-5,0.25,0,{0.1 * i},0.5" for i in range(5)] + ["k,200,1"]
    take = read_recording(_write(tmp_path, "\n".join(lines), "take.txt"))
    np.testing.assert_allclose(take.times_F, 0.02 * np.arange(5))
    assert set(take.sliders) == {"browDownLeft", "eyeLookUpRight", "jawOpen", "mouthLeft"}
    np.testing.assert_allclose(take.sliders["jawOpen"], 0.1 * np.arange(5))
    np.testing.assert_allclose(take.joints["root"], np.tile(np.radians([0, 10, 0]), (5, 1)), atol=1e-12)
    np.testing.assert_allclose(take.joints["eye_l"][0], np.radians([0, 5, 0]), atol=1e-12)
    np.testing.assert_allclose(take.joints["eye_r"][0], np.radians([0, -5, 0]), atol=1e-12)


def test_a_neutral_face_is_taken_off() -> None:
    neutral = recordings.live_link_face(_csv([_row("00:00:00:00.0", JawOpen=0.2, HeadYaw=0.1)]).splitlines())
    rows = [_row(f"00:00:00:0{i}.0", JawOpen=value, HeadYaw=0.1) for i, value in enumerate((0.1, 0.2, 0.6, 1.0))]
    take = recordings.calibrated(recordings.live_link_face(_csv(rows).splitlines()), neutral)
    np.testing.assert_allclose(take.sliders["jawOpen"], [0, 0, 0.5, 1], atol=1e-9)
    np.testing.assert_allclose(take.joints["root"], 0, atol=1e-9)


def test_the_gaze_does_not_add_up() -> None:
    take = recordings.live_link_face(_csv([_row("0:0:0:0", EyeLookInLeft=0.4, LeftEyeYaw=0.2)]).splitlines())
    by_sliders, by_bones = recordings.gaze_by(take, False), recordings.gaze_by(take, True)
    assert by_sliders.sliders["eyeLookInLeft"] == [0.4] and "eye_l" not in by_sliders.joints
    assert by_bones.sliders["eyeLookInLeft"] == [0.0] and by_bones.joints["eye_l"].any()
