"""Reads photo files into upright sRGB pixels."""

from __future__ import annotations

import io
import struct
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError

from deca.errors import PhotoError

MAX_PIXELS = 178_000_000  # just below the size at which Pillow refuses a file as a decompression bomb
OVERVIEW_SIDE = 1024
BACKDROP = 128  # transparent parts of a cut-out become mid-grey, which no network takes for skin or hair

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
        scale = OVERVIEW_SIDE / max(self.width, self.height)
        if scale >= 1:
            return self.pixels
        size = (max(round(self.width * scale), 1), max(round(self.height * scale), 1))
        return np.asarray(cv2.resize(self.pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def read_photo(path: str | Path) -> Photo:
    """Reads a photo in any format that Pillow knows.

    Grey, palette, 16-bit, float, CMYK and transparent pictures become 8-bit sRGB; the EXIF orientation is applied; an
    embedded colour profile is converted to sRGB.

    Raises:
        PhotoError: No such file, not a picture, damaged, or above MAX_PIXELS.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise PhotoError(f"There is no photo file {path}.", "Check the path.")
        if not path.stat().st_size:
            raise PhotoError(f"The file {path} is empty.", "Copy the photo again from its source.")
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    return _open(path, path)


def decode_photo(data: bytes, name: str) -> Photo:
    """`read_photo` for a file whose bytes are in memory.

    Args:
        data: The file's content.
        name: Its name, for messages.

    Raises:
        PhotoError: Not a picture, damaged, or above MAX_PIXELS.
    """
    return _open(io.BytesIO(data), Path(name))


def _open(source: Path | io.BytesIO, path: Path) -> Photo:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(source) as image:
                return _decode(image, path)
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        if isinstance(error, UnidentifiedImageError):
            reason, hint = "is not a picture, or of an unknown format", "Save it as JPEG or PNG."
        else:
            reason, hint = "has too many pixels", f"Scale it below {MAX_PIXELS // 1_000_000} megapixels."
        raise PhotoError(f"{path} {reason}.", hint) from error
    except (OSError, ValueError, SyntaxError, EOFError, struct.error) as error:
        raise _unreadable(path, error) from error
    except MemoryError as error:
        raise PhotoError(f"There is not enough memory to open {path}.", "Scale the photo down.") from error


def _unreadable(path: Path, error: Exception) -> PhotoError:
    return PhotoError(f"{path} cannot be read: {error}.", "The file is damaged; copy it again from its source.")


def _decode(image: Image.Image, path: Path) -> Photo:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise PhotoError(
            f"{path} has {width} x {height} pixels, too many.", f"Scale it below {MAX_PIXELS // 1_000_000} megapixels."
        )
    orientation, focal_length = _exif(image)
    image.load()
    pixels = np.asarray(_to_srgb(image))
    if orientation in _ORIENTATIONS:
        transposed, flip_rows, flip_columns = _ORIENTATIONS[orientation]
        pixels = pixels.transpose(1, 0, 2) if transposed else pixels
        pixels = pixels[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]
    return Photo(np.ascontiguousarray(pixels), path.name, focal_length)


def _exif(image: Image.Image) -> tuple[int, float | None]:
    """Orientation (1 when absent) and 35 mm focal length. Damaged EXIF data counts as absent."""
    try:
        exif = image.getexif()
        orientation = int(exif.get(ExifTags.Base.Orientation, 1))
        focal_length = float(exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.FocalLengthIn35mmFilm, 0))
    except (OSError, ValueError, TypeError, SyntaxError, KeyError, ZeroDivisionError, struct.error):
        return 1, None
    return orientation, focal_length if 0 < focal_length < 10_000 else None


def _to_srgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return Image.fromarray(_to_8_bit(np.asarray(image))).convert("RGB")
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
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


def _to_8_bit(values: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """Grey values of more than 8 bits scaled to 0..255: integers from 16 bits, floats from 0..1."""
    numbers = np.nan_to_num(values.astype(np.float32))
    if np.issubdtype(values.dtype, np.integer):
        white = 65535.0 if numbers.max() > 255 else 255.0
    else:
        white = max(float(numbers.max()), 1.0)
    return np.clip(numbers * (255 / white) + 0.5, 0, 255).astype(np.uint8)
