"""Damaged picture files: whatever is in a file, `read_photo` gives a `Photo` or a `PhotoError`.

    python tests/fuzz/fuzz_photos.py --count 10000

Small pictures in every container that Pillow writes are damaged at random, each from the seed and its own number alone.
Prints how many were read and refused per container, what was raised instead (exit status 1; the files are kept), and
the slowest. A file that takes longer than LIMIT_S ends the run with the place where it hangs.
"""

from __future__ import annotations

import argparse
import faulthandler
import io
import sys
import tempfile
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, PngImagePlugin

from deca.errors import PhotoError
from deca.vision.photo import Photo, read_photo

LIMIT_S = 120
_SIZE = (48, 40)
_MODES = ("RGB", "RGBA", "L", "P", "CMYK", "I;16", "F", "1", "LA", "I")


@dataclass(frozen=True)
class Trial:
    """What became of one damaged file.

    Attributes:
        container: Format and mode of the sound file.
        outcome: `read`, `refused`, or the traceback of what else was raised.
        seconds: How long it took.
        data: The damaged file.
    """

    container: str
    outcome: str
    seconds: float
    data: bytes


def containers() -> dict[str, bytes]:
    """Sound files by format and mode, all that Pillow writes, with metadata where they take any."""
    Image.init()
    red, green = np.meshgrid(np.linspace(0, 255, _SIZE[0]), np.linspace(0, 255, _SIZE[1]))
    picture = Image.fromarray(np.stack([red, green, (red * green) % 256], 2).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = exif.tobytes()
    exif.get_ifd(0x8769)[0xA405] = 50  # libtiff refuses to write this part
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", '<rdf:Description tiff:Orientation="8"/>', zip=True)
    text.add_text("comment", "a" * 300, zip=True)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    options: dict[str, list[dict]] = {
        "TIFF": [{}, *({"compression": kind} for kind in ("tiff_lzw", "jpeg", "tiff_adobe_deflate", "packbits"))],
        "PNG": [{"pnginfo": text}],
        "GIF": [{}, {"save_all": True, "append_images": [picture.rotate(90)]}],
        "MPO": [{"append_images": [picture.rotate(90)], "save_all": True}],
        "WEBP": [{}, {"lossless": True}],
        "JPEG": [{}, {"progressive": True}],
    }
    found = {}
    for kind in sorted(Image.SAVE):
        for mode in _MODES:
            for number, option in enumerate(options.get(kind, [{}])):
                file = io.BytesIO()
                converted = picture.convert("L").convert("I").convert(mode) if mode == "I;16" else picture.convert(mode)
                tags = turned if kind == "TIFF" else exif.tobytes()
                try:
                    converted.save(file, kind, exif=tags, icc_profile=profile, **option)
                except Exception:  # the format does not take the mode
                    continue
                found[f"{kind} {mode} {number}"] = file.getvalue()
    return found


def damaged(data: bytes, random: np.random.Generator) -> bytes:
    """The file after one to three accidents."""
    for _ in range(random.integers(1, 4)):
        data = _ACCIDENTS[random.integers(len(_ACCIDENTS))](data, random)
    return _sealed(data) if random.random() < 0.5 else data


def trials(count: int, seed: int = 0) -> Iterator[Trial]:
    """Damages and reads `count` files."""
    sound = list(containers().items())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photo"
        for number in range(count):
            random = np.random.default_rng([seed, number])
            name, data = sound[random.integers(len(sound))]
            data = damaged(data, random)
            path.write_bytes(data)
            started = time.perf_counter()
            try:
                outcome = "read" if isinstance(read_photo(path), Photo) else "no photo"
            except PhotoError as error:
                outcome = "refused" if error.message and error.hint else "a refusal without a reason or a way out"
            except Exception:
                outcome = traceback.format_exc()
            yield Trial(name, outcome, time.perf_counter() - started, data)


def _sealed(data: bytes) -> bytes:
    """A PNG with right checksums, so that its damage is not seen before it does something; other files as they are."""
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        return data
    parts, at = [data[:8]], 8
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        body = data[at + 4 : at + 8 + size]
        parts += [data[at : at + 4], body, zlib.crc32(body).to_bytes(4, "big")]
        at += size + 12
    return b"".join(parts)


def _spot(data: bytes, random: np.random.Generator) -> int:
    """A place in the file; half of them in its first 256 bytes, where the headers are."""
    return int(random.integers(min(len(data), 256 if random.random() < 0.5 else len(data)) + 1))


def _flip(data: bytes, random: np.random.Generator) -> bytes:
    changed = bytearray(data)
    for _ in range(min(int(random.geometric(0.2)), len(data))):
        changed[_spot(data, random) % len(data)] = random.integers(256)
    return bytes(changed)


def _truncate(data: bytes, random: np.random.Generator) -> bytes:
    return data[: _spot(data, random)]


def _cut(data: bytes, random: np.random.Generator) -> bytes:
    start = _spot(data, random)
    return data[:start] + data[start + int(random.geometric(0.05)) :]


def _insert(data: bytes, random: np.random.Generator) -> bytes:
    start = _spot(data, random)
    return data[:start] + random.bytes(int(random.geometric(0.05))) + data[start:]


def _repeat(data: bytes, random: np.random.Generator) -> bytes:
    start = _spot(data, random)
    return data[:start] + data[start : start + int(random.geometric(0.02))] * 2 + data[start:]


def _extreme(data: bytes, random: np.random.Generator) -> bytes:
    start, width = _spot(data, random), int(random.choice([1, 2, 4, 8]))
    number = random.choice([b"\0", b"\xff", b"\x7f", b"\x80", b"\1"])
    return data[:start] + bytes(number) * width + data[start + width :]


_ACCIDENTS: tuple[Callable[[bytes, np.random.Generator], bytes], ...] = (
    _flip,
    _truncate,
    _cut,
    _insert,
    _repeat,
    _extreme,
)


def main() -> int:
    """Runs from the command line; returns 1 when something else than a photo or a `PhotoError` came out."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path("out/fuzz"), help="folder for files that failed")
    options = parser.parse_args()
    counts: dict[str, Counter[str]] = {}
    slowest, failed, started = Trial("", "", 0.0, b""), 0, time.perf_counter()
    for number, trial in enumerate(trials(options.count, options.seed)):
        faulthandler.dump_traceback_later(LIMIT_S, exit=True)
        is_expected = trial.outcome in ("read", "refused")
        counts.setdefault(trial.container.split()[0], Counter())[trial.outcome if is_expected else "failed"] += 1
        slowest = max(slowest, trial, key=lambda one: one.seconds)
        if not is_expected:
            failed += 1
            options.keep.mkdir(parents=True, exist_ok=True)
            (options.keep / f"{options.seed}-{number}").write_bytes(trial.data)
            print(f"{options.keep}/{options.seed}-{number} ({trial.container}): {trial.outcome}")
    faulthandler.cancel_dump_traceback_later()
    for kind, count in sorted(counts.items()):
        print(f"{kind:9}", *(f"{name} {count[name]:5}" for name in ("read", "refused", "failed")))
    print(f"{options.count} files, seed {options.seed}, {failed} failed, {time.perf_counter() - started:.0f} s")
    print(f"slowest: {slowest.container}, {slowest.seconds:.2f} s, {slowest.outcome}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
