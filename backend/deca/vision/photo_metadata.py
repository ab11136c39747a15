"""What a picture file says beside its pixels: which way up it is, and with which lens it was taken."""

from __future__ import annotations

import io
import re
from typing import BinaryIO

from PIL import ExifTags, Image

UPRIGHT = 1
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_XMP_ORIENTATION = re.compile(rb"""tiff:Orientation\s*(?:=\s*["']|>)\s*([1-8])\s*["'<]""")
_ORIENTATION_TEXTS = (b"XML:com.adobe.xmp", b"Raw profile type exif")
_LONGEST_TEXT = 1 << 16  # bytes; an XMP packet has a few thousand
_LONGEST_COMPRESSED_TEXT = 1000  # bytes; deflate makes at most 1032 of one, and Pillow refuses a text above 1 MiB


def orientation(image: Image.Image) -> int:
    """EXIF orientation 1 to 8 that is still to be applied to the pixels; 1, upright, where nothing valid is said.

    Where EXIF says nothing, XMP is asked; not for AVIF, which turns by properties of its own, in EXIF by now. `image`
    must be loaded: a PNG may carry its orientation behind the pixels.
    """
    try:
        tag = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # damaged EXIF data counts as absent
        tag = None
    value = _orientation(tag)
    if image.format == "TIFF":  # Pillow turns it while it loads, if it knows the tag's type; before 10.4 the tag stays
        return value if value and tag not in range(1, 9) else UPRIGHT
    if value is None and image.format != "AVIF":
        texts = (image.info.get(key) for key in ("XML:com.adobe.xmp", "xmp"))
        for text in (text.encode("utf-8", "replace") if isinstance(text, str) else text for text in texts):
            found = _XMP_ORIENTATION.search(text) if isinstance(text, bytes) else None
            value = value or (int(found[1]) if found else None)
    return value or UPRIGHT


def focal_length_35mm(image: Image.Image) -> float | None:
    """Focal length in mm for a 36 x 24 mm frame as the camera wrote it, or None."""
    try:
        value = float(image.getexif().get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.FocalLengthIn35mmFilm, 0))
    except Exception:  # damaged EXIF data counts as absent
        return None
    return value if 0 < value < 10_000 else None


def bare_png(file: BinaryIO) -> io.BytesIO | None:
    """A PNG without what its pixels and its orientation do not need; None for other files.

    Pillow refuses a PNG for one large text or profile.
    """
    file.seek(0)
    if file.read(8) != _SIGNATURE:
        return None
    data = file.read()
    kept, seen, at = [_SIGNATURE], set(), 0
    while at + 8 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        chunk = data[at : at + size + 12]
        at += size + 12
        if kind in (b"tEXt", b"zTXt", b"iTXt"):
            keyword, _, rest = chunk[8:].partition(b"\0")
            is_compressed = kind == b"zTXt" or (kind == b"iTXt" and rest[:1] != b"\0")
            longest = _LONGEST_COMPRESSED_TEXT if is_compressed else _LONGEST_TEXT
            if keyword not in _ORIENTATION_TEXTS or keyword in seen or size > longest:
                continue
            seen.add(keyword)
        elif not kind[:1].isupper() and kind not in (b"tRNS", b"eXIf"):
            continue  # the small first letter says that the picture can be shown without
        kept.append(chunk)
    return io.BytesIO(b"".join(kept))


def _orientation(value: object) -> int | None:
    """1 to 8 from a tag of any of TIFF's types, or None."""
    if isinstance(value, (tuple, list, bytes)) and value:
        value = value[0]
    try:
        number = int(value)  # pyright: ignore[reportArgumentType]
    except Exception:
        return None
    return number if 1 <= number <= 8 else None
