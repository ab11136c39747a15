"""The bundled portrait to a rigged head: out/demo/astronaut.blend, preview.png, report.json. Called by `make demo`."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from skimage import data

TOOLS = Path(__file__).resolve().parent
CELL, COLUMNS = 512, 4


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/demo"))
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    photo = out / "astronaut.png"
    Image.fromarray(data.astronaut()).save(photo)  # NASA portrait of Eileen Collins, public domain

    seconds: dict[str, float] = {}
    line = timed(seconds, "import", import_photo, photo, out)
    if not line["ok"]:
        print(f"The import failed: {line['error']}", file=sys.stderr)
        return 1
    views = out / "views"
    timed(seconds, "render", run, [sys.executable, TOOLS / "render_views.py", out / "astronaut.blend", "--out", views])
    compose(photo, views).save(out / "preview.png")
    report = {"photo": "skimage.data.astronaut()", "import": line, "seconds": seconds}
    (out / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=1))
    print(f"Open {out / 'astronaut.blend'} in Blender; {out / 'preview.png'} shows it.")
    return 0


def timed(seconds, name, function, *arguments):
    started = time.perf_counter()
    result = function(*arguments)
    seconds[name] = round(time.perf_counter() - started, 2)
    return result


def run(command: list) -> str:
    """Runs a command; its output is shown only when it fails."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
        raise SystemExit(f"{' '.join(map(str, command))} failed with status {done.returncode}.")
    return done.stdout


def import_photo(photo: Path, out: Path) -> dict:
    """`deca import`, and the line that it reports for the photo."""
    output = run([sys.executable, "-P", "-m", "deca.cli", "import", photo, "--out", out, "--overwrite"])
    return next(entry for entry in map(json.loads, output.splitlines()) if "photo" in entry)


def compose(photo: Path, views: Path) -> Image.Image:
    """Photo, overlay, both sides / front and three expressions, as one labelled picture."""
    head = Image.open(views / "photo_view.png").convert("RGBA")
    original = Image.open(photo).convert("RGBA").resize(head.size, Image.Resampling.LANCZOS)
    left, top, right, bottom = head.getchannel("A").getbbox() or (0, 0, *head.size)
    side = min(round(1.4 * max(right - left, bottom - top)), *head.size)
    x = min(max((left + right - side) // 2, 0), head.width - side)
    y = min(max((top + bottom - side) // 2, 0), head.height - side)
    close_up = (x, y, x + side, y + side)
    cells = {
        "photo": original.crop(close_up),
        "head over the photo": Image.alpha_composite(original, head).crop(close_up),
        "30° left": Image.open(views / "left.png"),
        "30° right": Image.open(views / "right.png"),
        "front": Image.open(views / "front.png"),
        "brows up": Image.open(views / "brows.png"),
        "disgusted": Image.open(views / "sneer.png"),
        "jaw open, smile": Image.open(views / "open.png"),
    }
    sheet = Image.new("RGB", (COLUMNS * CELL, 2 * CELL))
    font = ImageFont.load_default(18)
    for index, (label, picture) in enumerate(cells.items()):
        cell = picture.convert("RGB").resize((CELL, CELL), Image.Resampling.LANCZOS)
        draw = ImageDraw.Draw(cell)
        ink = (255, 255, 255) if np.asarray(cell)[-40:, :160].mean() < 128 else (30, 30, 30)
        draw.text((12, CELL - 32), label, fill=ink, font=font)
        sheet.paste(cell, (index % COLUMNS * CELL, index // COLUMNS * CELL))
    return sheet


if __name__ == "__main__":
    sys.exit(main())
