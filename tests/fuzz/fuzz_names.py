"""Photos with names of all kinds through the batch: nothing outside, nothing lost, nothing twice, a sound report.

    python tests.fuzz.fuzz_names.py --count 2000

Names are random bytes, dots and spaces, reserved names, control characters, long names, equal ones in other case or
composed differently, in many folders; the files are really there. A cheap stand-in for the reconstruction writes each
photo's bytes where its results belong: by the library's writer of folders, and as one file as `deca import` does.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import tempfile
import time
import unicodedata
from pathlib import Path, PureWindowsPath

from deca.reconstruct.results import CODES, refuse_results, write_results
from deca_blender.core.files import whole
from deca_blender.protocol import batch
from deca_blender.protocol.photos import FoundPhoto, find_photos, told

JPEG = b"\xff\xd8\xff"
RESERVED = ("CON", "prn", "Aux", "NUL", "COM1", "lpt9", "COM¹", "CONIN$")


def random_name(rng: random.Random) -> bytes:
    """A file name as bytes, of any kind."""
    stem = (
        lambda: rng.randbytes(rng.randint(1, 40)),
        lambda: bytes(rng.choice(b". -_~'\"\\:|?*<>%$&") for _ in range(rng.randint(1, 6))),
        lambda: (rng.choice(RESERVED) + rng.choice(("", ".x", " ", ".", "1"))).encode(),
        lambda: "".join(chr(rng.choice((rng.randint(1, 31), rng.randint(127, 0xD7FF)))) for _ in range(5)).encode(),
        lambda: rng.choice(("x", "ß", "é", "写", "👩", "a\u0301")).encode() * rng.randint(30, 300),
        lambda: rng.choice(("me", "Me", "ME", "me_2", "é", "e\u0301", "É", "straße", "STRASSE", "ﬁ", "FI")).encode(),
        lambda: rng.choice(("--out", "-h", "--", "-", "@me", "$HOME", "`id`")).encode(),
    )[rng.randrange(7)]()
    suffix = rng.choice((b".jpg", b".JPG", b".png", b".heic", b"", b".", b". ", b"..jpg"))
    name = (stem[: 255 - len(suffix)] + suffix).replace(b"\0", b"").replace(b"/", b"")
    return b"_" if name in (b"", b".", b"..") else name


def fuzz_names(count: int, folder: Path, seed: int = 0) -> int:
    """Makes photos, runs the batch over them twice, and checks what it left.

    Returns:
        How many photos there were.
    """
    rng = random.Random(seed)
    photos, out = folder / "in", folder / "a" / "out"
    made: dict[str, bytes] = {}
    for number in range(count):
        place = photos / str(rng.randrange(max(count // 4, 1)))
        place.mkdir(parents=True, exist_ok=True)
        path = os.path.join(os.fsencode(place), random_name(rng))
        made[os.fsdecode(path)] = JPEG + str(number).encode()
        with open(path, "wb") as file:
            file.write(made[os.fsdecode(path)])
    hidden = [path for path in made if os.path.basename(path).startswith(".")]
    # Folders leave hidden files out; named one by one they are taken.
    given = [*sorted(photos.iterdir()), *map(Path, hidden)]
    rng.shuffle(given)
    found = [photo for photo in find_photos(given) if not photo.problem]
    assert sorted(str(photo.path) for photo in found) == sorted(made), "lost, or taken twice"
    _check_names([photo.name for photo in found])

    def work(photo: FoundPhoto) -> dict[str, object]:
        source = photo.path.absolute()
        refuse_results(out / photo.name, source)
        codes = json.dumps({"photo": told(source)}, ensure_ascii=False).encode()
        write_results(out / photo.name, {CODES: codes, "head.png": photo.path.read_bytes()})
        with whole(out / f"{photo.name}.blend") as unfinished:
            unfinished.write_bytes(photo.path.read_bytes())
        return {"out": str(out / photo.name)}

    lines = _report(given, work)
    assert all(line["ok"] for line in lines), [line for line in lines if not line["ok"]][:3]
    assert [line["photo"] for line in lines] == [told(photo.path) for photo in find_photos(given) if not photo.problem]
    assert {path.name for path in folder.iterdir()} == {"in", "a"} and os.listdir(folder / "a") == ["out"]
    there = sorted(os.listdir(out))
    assert there == sorted(name for photo in found for name in (photo.name, f"{photo.name}.blend"))
    for photo in found:
        data = made[str(photo.path)]
        assert (out / photo.name / "head.png").read_bytes() == data == (out / f"{photo.name}.blend").read_bytes()
    again = _report(given, work)
    assert all(line.get("skipped") for line in again), "the same photos again are skipped"
    assert sorted(os.listdir(out)) == there
    return len(found)


def _report(given: list[Path], work) -> list[dict]:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        batch.run([photo for photo in find_photos(given) if not photo.problem], work, ())
    lines = printed.getvalue().encode().decode().splitlines()
    assert lines[-1].startswith('{"summary"')
    return [json.loads(line) for line in lines[:-1]]


def _check_names(names: list[str]) -> None:
    """Each is one folder below any folder, on any system, and no two are one on any of them."""
    for name in names:
        windows = PureWindowsPath("C:/out") / name
        assert windows.parent == PureWindowsPath("C:/out") and not windows.is_reserved(), name
        assert not set(name) & set('<>:"/\\|?*') and not name.startswith(".") and name == name.rstrip(". "), name
        assert not any(unicodedata.category(c) in ("Cc", "Cs") for c in name) and 0 < len(name.encode()) < 240, name
    for fold in (str.casefold, str.upper, lambda name: unicodedata.normalize("NFC", name)):
        assert len(set(map(fold, names))) == len(names)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        photos = fuzz_names(options.count, Path(folder), options.seed)
    seconds = time.perf_counter() - started
    print(f"{photos} photos, each with its results in a place of its own, in {seconds:.1f} s")
