"""The add-on in a real Blender with a window, on a virtual screen: `make test-blender` sets it up and runs this."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deca.head import load_head
from deca.networks import Card, random_checkpoint, save_checkpoint

ROOT = Path(__file__).resolve().parents[2]
BLENDER_ROOT = os.environ.get("DECA_WINDOW_ROOT", "")
SCREENSHOTS = ROOT / "out" / "window"

pytestmark = pytest.mark.skipif(not BLENDER_ROOT, reason="DECA_WINDOW_ROOT names no Blender: run `make test-blender`")


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    prefix = [str(ROOT / "tools" / "real_blender.sh"), "run", BLENDER_ROOT]
    return subprocess.run([*prefix, *map(str, command)], capture_output=True, text=True, timeout=400, check=False)


@pytest.fixture(scope="module")
def result() -> dict[str, object]:
    """What a session in the window saw (drive.py)."""
    data = pytest.importorskip("skimage.data")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for old in (*SCREENSHOTS.glob("*.png"), *SCREENSHOTS.glob("*.zip"), SCREENSHOTS / "result.json"):
        old.unlink(missing_ok=True)
    photo = SCREENSHOTS / "astronaut é.png"
    Image.fromarray(data.astronaut()).save(photo)
    weights = SCREENSHOTS / "weights.safetensors"
    save_checkpoint(random_checkpoint(0, Card.of(load_head(), backbone="mobilenet_v3_large")), weights)
    built = run("blender", "--command", "extension", "build", "--source-dir", ROOT, "--output-dir", SCREENSHOTS)
    (package,) = SCREENSHOTS.glob("*.zip")
    assert built.returncode == 0, built.stdout + built.stderr
    for command in (("validate", package), ("install-file", "-r", "user_default", "-e", package)):
        done = run("blender", "--command", "extension", *command)
        assert done.returncode == 0, done.stdout + done.stderr
    screen = ("xvfb-run", "-a", "-s", "-screen 0 1280x800x24")
    window = ("blender", "--window-geometry", "0", "0", "1280", "800")
    session = run(*screen, *window, "--python", ROOT / "tests/window/drive.py", "--", SCREENSHOTS, photo, weights)
    written = SCREENSHOTS / "result.json"
    assert written.exists(), session.stdout + session.stderr
    seen = json.loads(written.read_text())
    print(json.dumps(seen, indent=1), file=sys.stderr)
    assert "error" not in seen, seen["error"]
    return seen | {"console": session.stdout + session.stderr}


def test_file_browser_opens_and_esc_cancels_an_import(result: dict[str, object]) -> None:
    assert result["windows with the file browser"] == 2
    assert result["heads after Esc"] == 0


def test_the_first_import_is_seen_and_leaves_the_scene_as_it_is(result: dict[str, object]) -> None:
    """Into the default scene, whose cube stands at the origin and whose view is set for it."""
    sight = result["in the default scene"]
    assert isinstance(sight, dict)
    assert sight["selected"] and sight["active"] and sight["in the viewport"]
    assert sight["share of its height"] > 0.3
    assert sight["nearest to the cube's centre"] > 1
    assert sight["shading"] == ["SOLID", "TEXTURE"]
    assert sight["scene"] == ["Camera", 1920, 1080]
    picture = np.asarray(Image.open(SCREENSHOTS / "imported.png").convert("RGB")).astype(int)[80:680, 60:740]
    is_skin = (picture[..., 0] > 90) & (picture[..., 0] > picture[..., 1] + 15) & (picture[..., 1] > picture[..., 2])
    assert is_skin.mean() > 0.03


def test_the_view_goes_through_the_photos_camera_and_back(result: dict[str, object]) -> None:
    """The scene's own camera stays what it is."""
    looks = result["through the photo's camera and back"]
    assert isinstance(looks, list)
    before, through, after = looks
    assert through[0] == "CAMERA" and through[1] == "astronaut é Camera" and through[3] == "Camera"
    assert after == before


def test_a_dragged_landmark_takes_the_face_along(result: dict[str, object]) -> None:
    pins = result["pins"]
    assert isinstance(pins, dict)
    assert all(abs(moved - asked) <= 3 for moved, asked in zip(pins["moved"], pins["asked"], strict=True)), pins
    assert pins["held"] == pins["held after Esc"] == 1
    assert pins["off after the click"] <= 1


def test_nothing_complains_on_the_console(result: dict[str, object]) -> None:
    """Also not while a file is opened whose asset shelf is visible."""
    console = str(result["console"])
    assert "Traceback" not in console and "Python script error" not in console, console


def test_deleted_heads_leave_no_collections(result: dict[str, object]) -> None:
    assert result["collections after all was deleted"] == ["Collection"]


def test_dragging_a_slider_opens_the_mouth(result: dict[str, object]) -> None:
    assert float(str(result["jawOpen after the drag"])) > 0.3
    assert 0.01 < float(str(result["largest motion"])) < 0.08


def test_wrinkles_follow_the_slider(result: dict[str, object]) -> None:
    assert 1e-5 < float(str(result["largest change of the wrinkle map"])) < 0.02


def number(result: dict[str, object], name: str, part: str = "") -> float:
    found = result[name]
    return float(str(found[part] if isinstance(found, dict) else found))


def test_wrinkles_follow_playback(result: dict[str, object]) -> None:
    assert number(result, "playback", "frames") >= 5 and number(result, "playback", "maps") >= 3
    assert number(result, "playback", "longest pause") < 5  # seconds; pictures are drawn by the processor here


def test_a_rendered_frame_has_its_own_map(result: dict[str, object]) -> None:
    assert number(result, "frame and slider differ") > 1e-5
    assert number(result, "rendered map off the frame's") < 1e-6
    assert number(result, "map after the render off the slider's") < 1e-6


def test_wrinkles_go_from_head_to_head(result: dict[str, object]) -> None:
    assert number(result, "transfer", "change") > 1e-5
    assert number(result, "transfer", "off the source's") < 1e-6


def test_it_speaks_the_language_of_blender(result: dict[str, object]) -> None:
    assert result["in German"] == ["Gesicht aus Foto importieren", "2 Köpfe importiert", "3 Nadeln"]
    assert result["in English again"] == "3 pins"


def test_photos_are_dropped_on_the_viewport_only(result: dict[str, object]) -> None:
    taken = result["photos may be dropped"]
    assert isinstance(taken, dict) and [area for area, is_taken in taken.items() if is_taken] == ["VIEW_3D"]


def test_the_window_shows_it(result: dict[str, object]) -> None:
    """The panel is drawn, the head appears, and the drag changes the picture of the head, not only the panel."""

    def picture(name: str) -> np.ndarray:
        return np.asarray(Image.open(SCREENSHOTS / f"{name}.png").convert("RGB")).astype(int)

    view = np.s_[80:680, 60:740]  # beside the panel

    def change(first: str, second: str) -> float:
        return float((np.abs(picture(first)[view] - picture(second)[view]).max(-1) > 12).mean())

    assert change("panel", "neutral") > 0.1
    assert change("neutral", "dragged") > 0.005
