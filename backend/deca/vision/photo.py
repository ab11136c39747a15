"""Reads photo files into upright sRGB pixels."""

from __future__ import annotations

import errno
import io
import stat
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, UnidentifiedImageError

from deca.errors import PhotoError
from deca.vision.deep_colour import is_dim, may_lose_bits, read_deep, tiff_size
from deca.vision.photo_metadata import UPRIGHT, bare_png, focal_length_35mm, orientation
from deca.vision.tones import to_8_bit

MAX_PIXELS = 178_000_000  # just below the size at which Pillow refuses a file as a decompression bomb
OVERVIEW_SIDE = 1024
_JPEG_QUALITY = 95  # nobody sees the difference
_JPEG_FULL_COLOUR = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444  # red lips and edges keep their colour
_LONGEST_JPEG = 65_500  # what the format holds
BACKDROP = 128  # transparent parts of a cut-out become mid-grey, which no network takes for skin or hair

# Formats of Pillow that are no photos: some only name what they hold, and EPS would run Ghostscript.
_NO_PHOTOS = ("BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF")
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_MAGICS = {
    b"\xff\xd8": "JPEG",
    b"\x89PNG": "PNG",
    b"GIF8": "GIF",
    b"RIFF": "WebP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"BM": "BMP",
}

# EXIF orientation -> (transposed, rows reversed, columns reversed); 1 is upright.
_ORIENTATIONS = {
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo in memory.

    Attributes:
        pixels: (H, W, 3) uint8, sRGB, upright.
        name: File name, for messages.
        focal_length_35mm: Focal length in mm for a 36 x 24 mm frame as the camera wrote it, or None.
    """

    pixels: npt.NDArray[np.uint8]
    name: str = "photo"
    focal_length_35mm: float | None = None

    def __post_init__(self) -> None:
        if self.pixels.ndim != 3 or self.pixels.shape[2] != 3 or self.pixels.dtype != np.uint8:
            raise PhotoError(
                f"{self.name}: pixels must be (H, W, 3) uint8, got {self.pixels.shape} {self.pixels.dtype}."
            )
        if not self.pixels.size:
            raise PhotoError(f"{self.name} has no pixels.")

    @property
    def width(self) -> int:
        """Pixels."""
        return self.pixels.shape[1]

    @property
    def height(self) -> int:
        """Pixels."""
        return self.pixels.shape[0]

    @cached_property
    def overview(self) -> npt.NDArray[np.uint8]:
        """The whole photo with at most OVERVIEW_SIDE pixels on the longer side; `pixels` itself when that is small."""
        return self._scaled(OVERVIEW_SIDE)

    def jpeg(self, longest_side: int) -> npt.NDArray[np.uint8]:
        """The upright photo as the bytes of a JPEG file, sRGB, without any metadata.

        JPEG, because a PNG of a 12 megapixel photo takes five times as long to write and four times the space.

        Args:
            longest_side: At most so many pixels; larger photos are scaled down.
        """
        rgb = self._scaled(min(longest_side, _LONGEST_JPEG))
        options = (cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, _JPEG_FULL_COLOUR)
        done, data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), options)
        if not done:
            raise PhotoError(f"{self.name} could not be written as JPEG.")
        return np.asarray(data, np.uint8)

    def _scaled(self, longest_side: int) -> npt.NDArray[np.uint8]:
        """The photo with at most so many pixels on the longer side; `pixels` itself when that is small."""
        scale = longest_side / max(self.width, self.height)
        if scale >= 1:
            return self.pixels
        size = (max(round(self.width * scale), 1), max(round(self.height * scale), 1))
        return np.asarray(cv2.resize(self.pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def read_photo(path: str | Path) -> Photo:
    """Reads a photo in any format that Pillow knows, the first picture where the file has several.

    Grey, palette, 16-bit, float, CMYK, Lab and transparent pictures become 8-bit sRGB; the orientation that EXIF or XMP
    gives is applied; an embedded colour profile is converted to sRGB. Metadata that is damaged or large is no reason to
    refuse a photo; pixels that are missing are.

    Raises:
        PhotoError: Whatever keeps the file from being read: no such file, no permission, not a picture, damaged, above
            MAX_PIXELS, ...
    """
    path = Path(path)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            what = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
            raise PhotoError(f"There is no photo file {path}: it is {what}.", "Check the path.")
        if not status.st_size:
            raise PhotoError(f"The file {path} is empty.", "Copy the photo again from its source.")
        with open(path, "rb") as file:
            return _read(file, path)
    except (OSError, ValueError) as error:
        raise _out_of_reach(path, error) from error


def decode_photo(data: bytes, name: str) -> Photo:
    """`read_photo` for a file whose bytes are in memory.

    Args:
        data: The file's content.
        name: Its name, for messages.

    Raises:
        PhotoError: As `read_photo`.
    """
    return _read(io.BytesIO(data), Path(name))


def _out_of_reach(path: Path, error: OSError | ValueError) -> PhotoError:
    """Why the system does not hand the file out."""
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.ENOENT, errno.ENOTDIR):
        return PhotoError(f"There is no photo file {path}.", "Check the path.")
    if number in (errno.EACCES, errno.EPERM):
        return PhotoError(
            f"The file {path} may not be read: no permission.", "Allow yourself to read it and the folders it is in."
        )
    if number == errno.ENAMETOOLONG:
        return PhotoError(f"The name {path} is too long for a file.", "Check the path.")
    if number is None:
        return PhotoError(f"{str(path)!r} cannot be the name of a file: {error}.", "Check the path.")
    reason = error.strerror if isinstance(error, OSError) else error
    return PhotoError(f"The file {path} cannot be reached: {reason}.", "Check the drive, or copy it elsewhere.")


def _read(file: BinaryIO, path: Path) -> Photo:
    """The one boundary around whatever a file does to Pillow."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large pictures and of damaged metadata
            try:
                return _decode(file, path)
            except PhotoError:
                raise
            except Exception:
                bare = bare_png(file)
                if bare is None:
                    raise
                return _decode(bare, path)
    except PhotoError:
        raise
    except UnidentifiedImageError as error:
        raise _no_picture(file, path) from error
    except Image.DecompressionBombError as error:
        raise _too_large(path) from error
    except MemoryError as error:
        raise PhotoError(f"There is not enough memory to open {path}.", "Scale the photo down.") from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise _out_of_reach(path, error) from error
        raise _undecodable(path, error) from error


def _undecodable(path: Path, error: Exception) -> PhotoError:
    """Why the pixels of a picture cannot be had. Pillow's words are given where they are words."""
    words = str(error).strip().rstrip(".")
    detail = f" ({words})" if isinstance(error, (OSError, SyntaxError, ValueError)) and " " in words else ""
    if isinstance(error, EOFError) or any(word in words.lower() for word in ("truncated", "end of file", "eof")):
        return PhotoError(f"{path} is incomplete, its end is missing{detail}.", "Copy it again from its source.")
    return PhotoError(
        f"{path} is damaged, or of a kind that is not known here{detail}.",
        "Copy it again from its source, or save it as JPEG or PNG.",
    )


def _no_picture(file: BinaryIO, path: Path) -> PhotoError:
    """Why no plugin of Pillow takes the file, by how it starts."""
    file.seek(0)
    start = file.read(16)
    if start[4:8] == b"ftyp" and start[8:12] in _HEIC_BRANDS:
        return PhotoError(f"{path} is a HEIC picture, which cannot be read here.", "Save it as JPEG or PNG.")
    for magic, name in _MAGICS.items():
        if start.startswith(magic):
            return PhotoError(
                f"{path} starts like a {name} picture, but is damaged, or of a kind of {name} that is not known here.",
                "Copy it again from its source, or save it as JPEG or PNG with 8 bits per channel.",
            )
    return PhotoError(f"{path} is not a picture, or of an unknown format.", "Save it as JPEG or PNG.")


def _check_size(size: tuple[int, int], path: Path) -> None:
    if size[0] * size[1] > MAX_PIXELS:
        raise _too_large(path)


def _too_large(path: Path) -> PhotoError:
    return PhotoError(f"{path} has too many pixels.", f"Scale it below {MAX_PIXELS // 1_000_000} megapixels.")


def _decode(file: BinaryIO, path: Path) -> Photo:
    file.seek(0)
    try:
        image = Image.open(file, formats=_formats())
    except UnidentifiedImageError:
        size = tiff_size(file)
        _check_size(size or (0, 0), path)
        deep = read_deep(file) if size else None
        if deep is None:
            raise
        return Photo(np.ascontiguousarray(_to_srgb(deep)), path.name)
    with image:
        _check_size(image.size, path)
        may_be_dim = may_lose_bits(image)
        image.load()
        picture = image
        if may_be_dim and is_dim(image):
            deep = read_deep(file)
            if deep is not None and deep.size == image.size:
                deep.info["icc_profile"] = image.info.get("icc_profile")
                picture = deep
        pixels = np.asarray(_to_srgb(picture))
        turn = orientation(image)
        if turn != UPRIGHT:
            transposed, flip_rows, flip_columns = _ORIENTATIONS[turn]
            pixels = pixels.transpose(1, 0, 2) if transposed else pixels
            pixels = pixels[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]
        return Photo(np.ascontiguousarray(pixels), path.name, focal_length_35mm(image))


def _formats() -> tuple[str, ...]:
    Image.init()  # loads all plugins, the first time
    return tuple(name for name in Image.OPEN if name not in _NO_PHOTOS)


def _to_srgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return Image.fromarray(to_8_bit(np.asarray(image))).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        cut_out = image.convert("RGBA")
        backdrop = Image.new("RGBA", cut_out.size, (BACKDROP, BACKDROP, BACKDROP, 255))
        backdrop.alpha_composite(cut_out)
        backdrop.info["icc_profile"] = image.info.get("icc_profile")
        image = backdrop.convert("RGB")
    return _apply_profile(image) or image.convert("RGB")


def _apply_profile(image: Image.Image) -> Image.Image | None:
    """The picture in sRGB by its embedded colour profile; None when it has none, a damaged one, or sRGB itself."""
    data = image.info.get("icc_profile")
    if not data or image.mode not in ("RGB", "CMYK", "L"):
        return None
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        if "srgb" in ImageCms.getProfileDescription(profile).lower():
            return None
        return ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except Exception:  # a damaged profile is no reason to refuse a photo
        return None
