"""Photo files: formats, orientations, damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image, ImageCms

from deca.errors import PhotoError
from deca.vision import Photo, find_faces, read_photo
from deca.vision.photo import MAX_PIXELS, OVERVIEW_SIDE


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    return skimage.data.astronaut()


def test_reads_rgb_exactly(tmp_path: Path, portrait: np.ndarray) -> None:
    path = tmp_path / "ein Bild – 写真.png"
    Image.fromarray(portrait).save(path)
    photo = read_photo(path)
    np.testing.assert_array_equal(photo.pixels, portrait)
    assert photo.name == path.name and photo.focal_length_35mm is None


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "CMYK"])
def test_modes_become_rgb(tmp_path: Path, portrait: np.ndarray, mode: str) -> None:
    source = Image.fromarray(portrait).convert(mode)
    path = tmp_path / ("photo.jpg" if mode == "CMYK" else "photo.png")
    source.save(path, quality=95)
    photo = read_photo(path)
    assert photo.pixels.shape == (512, 512, 3) and photo.pixels.dtype == np.uint8
    expected = np.asarray(source.convert("RGB")).astype(int)
    assert np.abs(photo.pixels - expected).mean() < 2


def test_sixteen_bit_grey_is_scaled(tmp_path: Path, portrait: np.ndarray) -> None:
    grey = portrait.mean(2).astype(np.uint16)
    Image.fromarray(grey * 257).save(tmp_path / "grey16.png")
    np.testing.assert_array_equal(read_photo(tmp_path / "grey16.png").pixels[..., 1], grey)


def test_sixteen_bit_rgb_is_scaled(tmp_path: Path, portrait: np.ndarray) -> None:
    import cv2

    path = tmp_path / "rgb16.png"
    cv2.imwrite(str(path), portrait[..., ::-1].astype(np.uint16) * 257)
    np.testing.assert_array_equal(read_photo(path).pixels, portrait)


def test_transparency_becomes_grey(tmp_path: Path, portrait: np.ndarray) -> None:
    alpha = np.full((512, 512, 1), 255, np.uint8)
    alpha[:, :100] = 0
    Image.fromarray(np.concatenate([portrait, alpha], 2)).save(tmp_path / "cut.png")
    pixels = read_photo(tmp_path / "cut.png").pixels
    assert (pixels[:, :100] == 128).all()
    np.testing.assert_array_equal(pixels[:, 100:], portrait[:, 100:])


def test_srgb_profile_changes_nothing(tmp_path: Path) -> None:
    grey = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, 2).repeat(8, 0)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(grey).save(tmp_path / "srgb.png", icc_profile=srgb)
    np.testing.assert_array_equal(read_photo(tmp_path / "srgb.png").pixels, grey)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path: Path, portrait: np.ndarray, orientation: int) -> None:
    """Pillow's own exif_transpose is the oracle; the landmarks land where they do on the upright picture."""
    from PIL import ImageOps

    wide = np.ascontiguousarray(portrait[:400])
    stored = {
        1: wide,
        2: wide[:, ::-1],
        3: wide[::-1, ::-1],
        4: wide[::-1],
        5: wide.transpose(1, 0, 2),
        6: np.rot90(wide, 1),
        7: wide[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(wide, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif.get_ifd(0x8769)[0xA405] = 85
    path = tmp_path / "turned.png"
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif)
    photo = read_photo(path)
    np.testing.assert_array_equal(photo.pixels, np.asarray(ImageOps.exif_transpose(Image.open(path))))
    assert photo.focal_length_35mm == 85
    upright, turned = find_faces(Photo(wide), 1)[0], find_faces(photo, 1)[0]
    np.testing.assert_allclose(turned.landmarks_L3, upright.landmarks_L3, atol=1e-3)


@pytest.mark.parametrize("content", [b"", b"this is a text file\n" * 50, b"\xff\xd8\xff\xe0\x00\x10JFIF"])
def test_what_is_no_picture_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with pytest.raises(PhotoError, match=r"photo\.jpg"):
        read_photo(path)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_truncated_file_is_refused(tmp_path: Path, portrait: np.ndarray, suffix: str) -> None:
    path = tmp_path / f"photo.{suffix}"
    Image.fromarray(portrait).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(PhotoError, match="photo"):
        read_photo(path)


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.jpg", tmp_path):
        with pytest.raises(PhotoError, match="no photo file"):
            read_photo(path)


def test_huge_picture_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    side = int(MAX_PIXELS**0.5) + 200
    path = tmp_path / "huge.png"
    Image.new("1", (side, side)).save(path)
    with pytest.raises(PhotoError, match="pixels"):
        read_photo(path)


@pytest.mark.slow
def test_hundred_megapixels(tmp_path: Path, portrait: np.ndarray) -> None:
    """The landmarks of a portrait enlarged 20 times are 20 times those of the portrait."""
    path = tmp_path / "large.jpg"
    Image.fromarray(portrait).resize((10000, 10000), Image.Resampling.BICUBIC).save(path, quality=85)
    photo = read_photo(path)
    assert photo.pixels.shape == (10000, 10000, 3)
    assert max(photo.overview.shape) == OVERVIEW_SIDE
    scale = 10000 / 512
    small, large = find_faces(Photo(portrait), 1)[0], find_faces(photo, 1)[0]
    error = np.linalg.norm(large.landmarks_L3[:, :2] / scale - small.landmarks_L3[:, :2], axis=1).mean()
    assert error < 0.005 * np.ptp(small.landmarks_L3[:, 1])
