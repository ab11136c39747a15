"""Whatever is in a picture file: which way up it lies, how bright it is, what it says beside its pixels, its damage."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFile, PngImagePlugin

from deca.errors import PhotoError
from deca.vision.photo import Photo, decode_photo, read_photo
from tests.fuzz.fuzz_photos import trials

UPRIGHT = np.kron(np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8), np.ones((16, 16, 1), np.uint8))
GREY = UPRIGHT[..., 0]


def as_stored(upright: np.ndarray, orientation: int) -> np.ndarray:
    """How a camera stores the upright picture under each EXIF value (EXIF 2.32, 4.6.4 A)."""
    return np.ascontiguousarray(
        {
            1: upright,
            2: upright[:, ::-1],
            3: upright[::-1, ::-1],
            4: upright[::-1],
            5: upright.swapaxes(0, 1),
            6: np.rot90(upright, 1),
            7: upright[::-1, ::-1].swapaxes(0, 1),
            8: np.rot90(upright, -1),
        }[orientation]
    )


def correlation(pixels: np.ndarray, expected: np.ndarray) -> float:
    """-1 where even the shapes differ."""
    return np.corrcoef(pixels.ravel(), expected.ravel())[0, 1] if pixels.shape == expected.shape else -1.0


# ---- files made by hand ----------------------------------------------------------------------------------------------


def saved(pixels: np.ndarray, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def exif_of(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def tiff_entry(tag: int, kind: int, value: int, order: str, beyond: int) -> bytes:
    """An entry of a TIFF directory with one value of any type; a fraction lies at `beyond`."""
    layouts = {1: "B", 3: "H", 4: "I", 6: "b", 7: "B", 8: "h", 9: "i", 11: "f"}
    content = str(value).encode() + b"\0" if kind == 2 else struct.pack(order + layouts.get(kind, "I"), value)
    content = struct.pack(order + "I", beyond) if kind == 5 else content
    return struct.pack(order + "HHI", tag, kind, 2 if kind == 2 else 1) + content.ljust(4, b"\0")


def tiff_with(pixels: np.ndarray, orientation: int, kind: int, order: str) -> bytes:
    """An uncompressed TIFF whose orientation has any type."""
    height, width = pixels.shape[:2]
    tags = {256: width, 257: height, 258: 8, 259: 1, 262: 2, 273: 0, 274: orientation, 277: 3, 278: height, 279: 0}
    fraction = 8 + 2 + 12 * len(tags) + 4
    tags[273], tags[279] = fraction + 8, pixels.nbytes
    entries = [tiff_entry(tag, kind if tag == 274 else 4, value, order, fraction) for tag, value in tags.items()]
    start = (b"II" if order == "<" else b"MM") + struct.pack(order + "HIH", 42, 8, len(tags))
    return start + b"".join(entries) + bytes(4) + struct.pack(order + "II", orientation, 1) + pixels.tobytes()


def exif_block(orientation: int, kind: int, order: str) -> bytes:
    start = (b"II" if order == "<" else b"MM") + struct.pack(order + "HIH", 42, 8, 1)
    entry = tiff_entry(0x0112, kind, orientation, order, 26)
    return start + entry + bytes(4) + struct.pack(order + "II", orientation, 1)


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_with(png: bytes, *chunks: bytes, at_end: bool = False) -> bytes:
    """Chunks behind the header or behind the pixels."""
    place = len(png) - 12 if at_end else 33
    return png[:place] + b"".join(chunks) + png[place:]


def jpeg_with(jpeg: bytes, *segments: bytes, marker: int = 0xE1) -> bytes:
    return jpeg[:2] + b"".join(struct.pack(">BBH", 255, marker, len(s) + 2) + s for s in segments) + jpeg[2:]


def xmp(orientation: int, as_element: bool = False) -> str:
    inside = (
        f"><tiff:Orientation>{orientation}</tiff:Orientation></"
        if as_element
        else f' tiff:Orientation="{orientation}"></'
    )
    return f'<x:xmpmeta><rdf:RDF xmlns:tiff="http://ns.adobe.com/tiff/1.0/"><rdf:Description{inside}rdf:Description></x:xmpmeta>'


def png_with_xmp(pixels: np.ndarray, orientation: int, as_element: bool = False) -> bytes:
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", xmp(orientation, as_element))
    return saved(pixels, "PNG", pnginfo=text)


def png_with_raw_profile(pixels: np.ndarray, orientation: int) -> bytes:
    """As ImageMagick writes EXIF where it has no eXIf chunk."""
    text, exif = PngImagePlugin.PngInfo(), exif_of(orientation).hex()
    text.add_text("Raw profile type exif", f"\nexif\n{len(exif) // 2:8}\n{exif}\n", zip=True)
    return saved(pixels, "PNG", pnginfo=text)


# ---- which way up ----------------------------------------------------------------------------------------------------

CONTAINERS: dict[str, Callable[[np.ndarray, int], bytes]] = {
    "jpeg": lambda pixels, turn: saved(pixels, "JPEG", quality=98, exif=exif_of(turn)),
    "jpeg xmp": lambda pixels, turn: jpeg_with(
        saved(pixels, "JPEG", quality=98), b"http://ns.adobe.com/xap/1.0/\0" + xmp(turn).encode()
    ),
    "mpo": lambda pixels, turn: saved(pixels, "MPO", quality=98, exif=exif_of(turn)),
    "png": lambda pixels, turn: saved(pixels, "PNG", exif=exif_of(turn)),
    "png exif at its end": lambda pixels, turn: png_with(
        saved(pixels, "PNG"), png_chunk(b"eXIf", exif_block(turn, 3, "<")), at_end=True
    ),
    "png xmp": png_with_xmp,
    "png xmp element": lambda pixels, turn: png_with_xmp(pixels, turn, as_element=True),
    "png raw profile": png_with_raw_profile,
    "png 12 bits": lambda pixels, turn: png_with(
        cv2.imencode(".png", pixels[..., ::-1].astype(np.uint16) * 16)[1].tobytes(),
        png_chunk(b"eXIf", exif_block(turn, 3, "<")),
    ),
    "webp": lambda pixels, turn: saved(pixels, "WEBP", lossless=True, exif=exif_of(turn)),
    "webp xmp": lambda pixels, turn: saved(pixels, "WEBP", lossless=True, xmp=xmp(turn).encode()),
    "avif": lambda pixels, turn: saved(pixels, "AVIF", quality=95, exif=exif_of(turn)),
    "tiff": lambda pixels, turn: saved(pixels, "TIFF", exif=exif_of(turn)),
    "tiff lzw": lambda pixels, turn: saved(pixels, "TIFF", exif=exif_of(turn), compression="tiff_lzw"),
    "tiff jpeg": lambda pixels, turn: saved(pixels, "TIFF", exif=exif_of(turn), compression="jpeg", quality=98),
    "tiff 16 bits": lambda pixels, turn: saved(pixels[..., 0].astype(np.uint16) * 257, "TIFF", exif=exif_of(turn)),
    "tiff float": lambda pixels, turn: saved(pixels[..., 0] / np.float32(255), "TIFF", exif=exif_of(turn)),
}


def upright_of(container: str) -> np.ndarray:
    """The picture that each holds, lying as it should."""
    return np.repeat(GREY[..., None], 3, 2) if container in ("tiff 16 bits", "tiff float") else UPRIGHT


@pytest.mark.parametrize("container", CONTAINERS)
def test_photo_and_its_jpeg_are_upright(container: str) -> None:
    """For every orientation, by pixels made upright here."""
    expected = upright_of(container)
    for orientation in range(1, 9):
        photo = decode_photo(CONTAINERS[container](as_stored(UPRIGHT, orientation), orientation), container)
        assert correlation(photo.pixels, expected) > 0.98, orientation
        with Image.open(io.BytesIO(photo.jpeg(4096).tobytes())) as jpeg:
            assert correlation(np.asarray(jpeg), expected) > 0.98, orientation
            assert not jpeg.getexif() and not {"icc_profile", "exif", "xmp", "comment"} & set(jpeg.info)


@pytest.mark.parametrize("kind", [1, 2, 3, 4, 5, 6, 7, 8, 9, 11])
def test_orientation_of_any_type(kind: int) -> None:
    """16 or 32 bits, signed, a fraction, text: a tag's type is the writer's affair. Both byte orders."""
    for orientation in range(1, 9):
        pixels = as_stored(UPRIGHT, orientation)
        for order in "<>":
            block = exif_block(orientation, kind, order)
            files = {
                "jpeg": jpeg_with(saved(pixels, "JPEG", quality=98), b"Exif\0\0" + block),
                "png": png_with(saved(pixels, "PNG"), png_chunk(b"eXIf", block)),
                "tiff": tiff_with(pixels, orientation, kind, order),
            }
            for name, data in files.items():
                assert correlation(decode_photo(data, name).pixels, UPRIGHT) > 0.98, (name, orientation, order)


@pytest.mark.parametrize("nonsense", [0, 9, 255])
def test_orientation_that_is_none_leaves_the_photo_as_it_is(nonsense: int) -> None:
    png = saved(UPRIGHT, "PNG")
    for kind in (1, 2, 3, 4, 5, 7, 8, 9, 11):
        block = exif_block(nonsense, kind, ">")
        assert np.array_equal(decode_photo(png_with(png, png_chunk(b"eXIf", block)), "x").pixels, UPRIGHT)
        assert np.array_equal(decode_photo(tiff_with(UPRIGHT, nonsense, kind, ">"), "x").pixels, UPRIGHT)
    turned = png_with(png_with_xmp(as_stored(UPRIGHT, 8), 8), png_chunk(b"eXIf", exif_block(nonsense, 3, ">")))
    assert np.array_equal(decode_photo(turned, "x").pixels, UPRIGHT)  # XMP knows


def test_a_jpeg_is_scaled_down_to_what_is_asked_for() -> None:
    wide = Photo(np.zeros((300, 900, 3), np.uint8))
    sizes = {side: Image.open(io.BytesIO(wide.jpeg(side).tobytes())).size for side in (1, 300, 900, 4096)}
    assert sizes == {1: (1, 1), 300: (300, 100), 900: (900, 300), 4096: (900, 300)}
    assert Image.open(io.BytesIO(Photo(np.zeros((2, 70_000, 3), np.uint8)).jpeg(100_000).tobytes())).size[0] == 65_500


# ---- how bright ------------------------------------------------------------------------------------------------------


def spoilt(values: np.ndarray, *hot: float) -> np.ndarray:
    """With such values at single places, in the corner and inside."""
    values = values.copy()
    for index, value in enumerate(hot):
        values[0, 7 * index] = values[40 + 5 * index, 60] = value
    return values


FLOAT = GREY / np.float32(255)
CLUSTER = FLOAT.copy()
CLUSTER[:10, :2] = np.inf
STRIPE = FLOAT.copy()
STRIPE[:, 50] = 1e6
BRIGHTNESS: dict[str, tuple[np.ndarray, np.ndarray]] = {  # what is in the file -> 8-bit grey
    "float": (FLOAT, GREY),
    "dark float": (FLOAT / 5, GREY / 5),
    "hot float": (spoilt(FLOAT, 40), GREY),
    "not numbers": (spoilt(FLOAT, np.inf, -np.inf, np.nan, 3e38), GREY),
    "infinite corner": (CLUSTER, GREY),
    "hot column": (STRIPE, GREY),
    "dark hot float": (spoilt(FLOAT / 5, np.inf), GREY / 5),
    "high range": (FLOAT * 1000, GREY),
    "hot high range": (spoilt(FLOAT * 1000, 1e9), GREY),
    "float of 255": (spoilt(GREY.astype(np.float32), 1e5), GREY),
    "minus one to one": (2 * FLOAT - 1, GREY),
    "noise below zero": (FLOAT - np.float32(0.04), GREY - 10.2),
    "16 bits": (GREY.astype(np.uint16) * 257, GREY),
    "12 bits": (GREY.astype(np.uint16) * 16, GREY),
    "hot 12 bits": (spoilt(GREY.astype(np.uint16) * 16, 65535), GREY),
    "14 bits": (GREY.astype(np.uint16) * 64, GREY),
    "8 bits in 16": (GREY.astype(np.uint16), GREY),
    "hot 8 bits in 16": (spoilt(GREY.astype(np.uint16), 65535, 300), GREY),
    "8 bits in 32": (GREY.astype(np.int32), GREY),
    "31 bits": (spoilt(GREY.astype(np.int32) * 8_000_000, 2**31 - 1), GREY),
    "below zero in 32": (GREY.astype(np.int32) * 12 - 1000, GREY),
}


@pytest.mark.parametrize("kind", BRIGHTNESS)
def test_grey_is_scaled_by_what_most_pixels_are(kind: str) -> None:
    values, expected = BRIGHTNESS[kind]
    pixels = decode_photo(saved(values, "TIFF"), kind).pixels.astype(float)
    assert np.median(np.abs(pixels - np.clip(expected, 0, 255)[..., None])) <= 4
    assert correlation(pixels[..., 0], expected.astype(float)) > 0.9


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("bits", [9, 12, 14, 16])
def test_colours_keep_their_bits(bits: int, suffix: str) -> None:
    """12 bits in a file of 16 are a picture, not a dark one; one hot pixel changes nothing."""
    values = UPRIGHT.astype(np.uint16) * 2 ** (bits - 8)
    values[3, 5] = 65535
    encoded = cv2.imencode(suffix, values[..., ::-1])[1].tobytes()
    pixels = decode_photo(encoded, "deep").pixels.astype(float)
    expected = UPRIGHT * (0.5 if bits == 9 else 1)
    assert np.median(np.abs(pixels - expected)) <= 4 and correlation(pixels, expected) > 0.98


@pytest.mark.parametrize(("scale", "expected"), [(1, 1), (0.2, 0.2), (300, 1)])
def test_float_colours(scale: float, expected: float) -> None:
    values = UPRIGHT[..., ::-1] / np.float32(255) * np.float32(scale)
    values[3, 5] = np.inf
    encoded = cv2.imencode(".tiff", values)[1].tobytes()
    pixels = decode_photo(encoded, "float").pixels.astype(float)
    assert np.median(np.abs(pixels - UPRIGHT * expected)) <= 4 and correlation(pixels, UPRIGHT.astype(float)) > 0.98


# ---- what is said beside the pixels ----------------------------------------------------------------------------------


def much_metadata() -> Iterator[tuple[str, bytes]]:
    """Sound pictures that carry a lot, or rubbish."""
    png, jpeg, lying = saved(UPRIGHT, "PNG"), saved(UPRIGHT, "JPEG", quality=98), as_stored(UPRIGHT, 6)
    text = b"A" * (3 << 20)
    packed = zlib.compress(text)
    long_texts = {
        "zTXt": png_chunk(b"zTXt", b"workflow\0\0" + packed),
        "iTXt": png_chunk(b"iTXt", b"workflow\0\1\0\0\0" + packed),
        "many tEXt": png_chunk(b"tEXt", b"prompt\0" + text[:1_000_000]) * 80,
        "XMP": png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + packed),
        "iCCP": png_chunk(b"iCCP", b"profile\0\0" + packed),
        "iCCP of nothing": png_chunk(b"iCCP", b"profile\0\0rubbish"),
    }
    for name, chunk in long_texts.items():
        yield name, png_with(png, chunk)
        yield f"{name} at its end", png_with(png, chunk, at_end=True)
        yield f"{name} in a turned PNG", png_with(png_with_xmp(lying, 6), chunk)
        yield f"{name} in another turned PNG", png_with(saved(lying, "PNG", exif=exif_of(6)), chunk)
    yield "text with a wrong checksum", png_with(png, long_texts["zTXt"][:-1] + b"?")
    yield "EXIF of nothing in a PNG", png_with(png, png_chunk(b"eXIf", b"rubbish"))
    yield "many segments", jpeg_with(jpeg, *[b"x" * 65_000] * 300, marker=0xED)
    yield "EXIF of nothing", jpeg_with(jpeg, b"Exif\0\0MM\0\x2a\xff\xff\xff\xff" + b"\xff" * 50_000)
    yield "profile of nothing", jpeg_with(jpeg, b"ICC_PROFILE\0\1\1" + b"\xff" * 60_000, marker=0xE2)
    yield "broken MPF", jpeg_with(jpeg, b"MPF\0MM\0\x2a\0\0\0\x08\xff\xff" + b"\xff" * 90, marker=0xE2)
    yield "EXIF in a WebP", saved(UPRIGHT, "WEBP", lossless=True, exif=b"Exif\0\0" + text)
    yield "XMP in a WebP", saved(UPRIGHT, "WEBP", lossless=True, xmp=text)
    yield "profile in a TIFF", saved(UPRIGHT, "TIFF", icc_profile=text)


def test_metadata_is_no_reason_to_refuse_a_photo() -> None:
    for name, data in much_metadata():
        assert correlation(decode_photo(data, name).pixels, UPRIGHT) > 0.98, name


def test_lab_is_colour() -> None:
    profile = ImageCms.createProfile("LAB")
    lab = ImageCms.profileToProfile(Image.fromarray(UPRIGHT), ImageCms.createProfile("sRGB"), profile, outputMode="LAB")
    file = io.BytesIO()
    lab.save(file, "TIFF")
    assert correlation(decode_photo(file.getvalue(), "lab").pixels, UPRIGHT) > 0.98


# ---- why not ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def unprivileged() -> Iterator[Path]:
    """A folder that everybody may enter, and no right to what is not everybody's."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def refusal(path: Path) -> str:
    """What is said of a file, as somebody without root's rights."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        with pytest.raises(PhotoError) as caught:
            read_photo(path)
    finally:
        if is_root:
            os.seteuid(0)
    assert caught.value.hint
    return caught.value.message


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_what_may_not_be_read_is_not_damaged() -> None:
    with unprivileged() as folder:
        locked = folder / "locked"
        locked.mkdir()
        for path in (locked / "a.png", folder / "b.png"):
            path.write_bytes(saved(UPRIGHT, "PNG"))
        (folder / "b.png").chmod(0)
        locked.chmod(0)
        for path in (locked / "a.png", folder / "b.png", locked / "missing.png"):
            assert "no permission" in refusal(path) and "damaged" not in refusal(path)
        locked.chmod(0o755)


def test_names_that_no_file_can_have(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(saved(UPRIGHT, "PNG"))
    assert "The name" in refusal(Path("a" * 300 + ".jpg"))
    assert "cannot be the name" in refusal(Path("a\0b.jpg"))
    with pytest.raises(PhotoError, match="no photo file"):
        read_photo(tmp_path / "file" / "below.jpg")
    with pytest.raises(PhotoError, match="is a folder"):
        read_photo(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of POSIX")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(PhotoError, match="no regular file"):
        read_photo(tmp_path / "pipe.jpg")


HEIC = b"\0\0\0\x24ftypheic\0\0\0\0mif1heic" + bytes(200)
REASONS = {
    "text": (b"this is a text file\n" * 50, "not a picture"),
    "heic": (HEIC, "HEIC"),
    "half a jpeg": (saved(np.tile(UPRIGHT, (4, 4, 1)), "JPEG")[:-400], "incomplete"),
    "half a png": (saved(UPRIGHT, "PNG")[:600], "incomplete"),
    "start of a jpeg": (saved(UPRIGHT, "JPEG")[:30], "incomplete"),
    "start of a tiff": (tiff_with(UPRIGHT, 1, 3, "<")[:40], "starts like a TIFF|damaged"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n", "not a picture"),
    "huge png": (
        saved(UPRIGHT, "PNG")[:8]
        + png_chunk(b"IHDR", struct.pack(">II", 60_000, 60_000) + b"\x08\2\0\0\0")
        + saved(UPRIGHT, "PNG")[33:],
        "too many pixels",
    ),
    "huge tiff": (
        tiff_with(UPRIGHT, 1, 3, "<").replace(
            struct.pack("<HHII", 256, 4, 1, 144), struct.pack("<HHII", 256, 4, 1, 2_000_000)
        ),
        "too many pixels",
    ),
}


def huge_float_tiff() -> bytes:
    data = cv2.imencode(".tiff", UPRIGHT / np.float32(255))[1].tobytes()
    for tag, size in ((256, 144), (257, 96)):
        told = struct.pack("<HHIHH", tag, 3, 1, size, 0)
        assert told in data
        data = data.replace(told, struct.pack("<HHII", tag, 4, 1, 60_000))
    return data


REASONS["huge float tiff"] = (huge_float_tiff(), "too many pixels")


@pytest.mark.parametrize("kind", REASONS)
def test_reasons_are_true(kind: str, tmp_path: Path) -> None:
    data, reason = REASONS[kind]
    (tmp_path / "me.jpg").write_bytes(data)
    with pytest.raises(PhotoError, match=reason) as caught:
        read_photo(tmp_path / "me.jpg")
    assert str(tmp_path / "me.jpg") in caught.value.message and caught.value.hint


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("x"),
        KeyError("x"),
        RecursionError(),
        AssertionError(),
        SystemError("x"),
        OSError(-2),
        OSError(5, "Input/output error"),
        MemoryError(),
        NotImplementedError("x"),
        StopIteration(),
    ],
)
def test_whatever_a_plugin_raises_is_a_photo_error(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    with pytest.raises(PhotoError) as caught:
        decode_photo(saved(UPRIGHT, "BMP"), "me.bmp")
    assert caught.value.__cause__ is error and "me.bmp" in caught.value.message and caught.value.hint
    assert ("cannot be reached: Input/output error" in caught.value.message) == (error.args[:1] == (5,))


def test_interrupts_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ImageFile.ImageFile, "load", interrupt)
    with pytest.raises(KeyboardInterrupt):
        decode_photo(saved(UPRIGHT, "PNG"), "me.png")


def test_the_first_of_many_pictures_is_read() -> None:
    others = [Image.fromarray(np.full_like(UPRIGHT, value)) for value in range(100)]
    for kind in ("GIF", "TIFF", "WEBP", "PNG", "MPO"):
        data = saved(UPRIGHT, kind, save_all=True, append_images=others)
        assert correlation(decode_photo(data, kind).pixels, UPRIGHT) > 0.9, kind


def test_damaged_files_give_a_photo_or_a_reason() -> None:
    """A few of `tests/fuzz/fuzz_photos.py`."""
    outcomes = [trial.outcome for trial in trials(200)]
    assert set(outcomes) == {"read", "refused"}, [outcome for outcome in outcomes if len(outcome) > 7]
