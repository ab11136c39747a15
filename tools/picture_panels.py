"""The documentation's pictures of the add-on: docs/pictures, made in a real Blender on a virtual screen.

    python tools/picture_panels.py --blender ROOT [--out docs/pictures]

ROOT is what `tools/real_blender.sh make ROOT` has made (Linux, root). `make pictures` does both. The photo is in the
public domain: Eileen Collins, NASA.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data

ROOT = Path(__file__).resolve().parents[1]
WIDTH, HEIGHT = 1440, 1000
WHOLE = ("first_head", "photo_camera", "import_options", "export_options")
"""Pictures of the whole window; all others are cut to the sidebar."""
BELOW_EMPTY = 62
"""Pixels of the headers *Import* and *Head*, which are empty on the pictures of the panels below them."""
Box = tuple[int, int, int, int]
"""Left, top, right and bottom on the screen, pixels from its top left corner."""
NOT_FOR_DOCS = ("row", "error", "astronaut")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blender", type=Path, required=True, help="folder that tools/real_blender.sh has made")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "pictures", help="folder for the pictures")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="deca-pictures-", dir="/tmp") as folder:  # the other Debian sees /tmp
        taken = Path(folder)
        seen = take(options.blender, taken)
        for path in sorted(taken.glob("*.png")):
            if path.stem in NOT_FOR_DOCS:
                continue
            cut = cut_of(Image.open(path).convert("RGB"), path.stem, seen)
            cut.quantize(256, dither=Image.Dither.NONE).save(options.out / path.name, optimize=True)
            print(options.out / path.name, cut.size)
    return 0


def take(blender: Path, folder: Path) -> dict[str, Box]:
    """Fills a folder with screenshots; returns where on them the sidebar and the preferences are."""

    def run(*command: str | Path) -> None:
        words = [str(ROOT / "tools" / "real_blender.sh"), "run", str(blender), *map(str, command)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(words)} failed:\n{done.stdout}{done.stderr}")

    photo = folder / "astronaut.png"
    Image.fromarray(data.astronaut()).save(photo)
    run("blender", "--command", "extension", "build", "--source-dir", ROOT, "--output-dir", folder)
    (package,) = folder.glob("*.zip")
    run("blender", "--command", "extension", "install-file", "-r", "user_default", "-e", package)
    screen = ("xvfb-run", "-a", "-s", f"-screen 0 {WIDTH}x{HEIGHT}x24")
    window = ("blender", "--window-geometry", "0", "0", str(WIDTH), str(HEIGHT))
    run(*screen, *window, "--python", ROOT / "tools" / "panel_session.py", "--", folder, photo)
    seen = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    if "error" in seen:
        raise SystemExit(seen["error"])
    return {name: tuple(seen[name]) for name in ("sidebar", "preferences")}


def cut_of(picture: Image.Image, name: str, seen: dict[str, Box]) -> Image.Image:
    """The part of a screenshot that shows what its name says."""
    if name in WHOLE:
        return picture
    if name == "preferences":
        return trimmed(picture.crop(seen["preferences"]))
    sidebar = trimmed(picture.crop(seen["sidebar"]))
    return sidebar if name in ("import", "head") else sidebar.crop((0, BELOW_EMPTY, *sidebar.size))


def trimmed(picture: Image.Image) -> Image.Image:
    """Without the empty rows at the end; what stands at the edge, tabs and an arrow, does not count."""
    brightness = np.asarray(picture.convert("L")).astype(int)[:, : picture.width - 70]
    used = np.flatnonzero(np.ptp(brightness, axis=1) > 40)
    return picture.crop((0, 0, picture.width, min(picture.height, int(used.max()) + 14)))


if __name__ == "__main__":
    sys.exit(main())
