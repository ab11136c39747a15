"""Reads photos and masks of an index, from their folders or from shards."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from deca.errors import AssetError, PhotoError
from deca.vision.photo import Photo, decode_photo, read_photo
from deca_training.data.index import PhotoIndex
from deca_training.data.shards import read_bytes

_HINT = "Run `deca-train prepare` again."


def read_indexed_photo(index: PhotoIndex, photo: int) -> Photo:
    """A photo of an index.

    Raises:
        PhotoError: The file has gone, is damaged, or is not the photo that was prepared.
    """
    name = index.photo_name(photo)
    if not index.shards:
        picture = read_photo(index.folder / name)
    else:
        place = index.place_of(photo)
        try:
            data = read_bytes(index.folder / index.shards[place.shard], place)
        except OSError as error:
            raise PhotoError(f"{name} cannot be read from its shard ({error}).", _HINT) from error
        picture = decode_photo(data, name)
    if (picture.width, picture.height) != index.size_of(photo):
        raise PhotoError(f"{name} has changed since it was prepared.", _HINT)
    return picture


def evenly_chosen(
    index: PhotoIndex, count: int, *, progress: bool = False
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.floating]]]:
    """Pixels and MediaPipe's landmarks (478, 3) of at most so many photos, from all over an index.

    Raises:
        PhotoError: A photo has gone, is damaged or has changed.
    """
    chosen = np.unique(np.linspace(0, len(index) - 1, min(len(index), count)).astype(int))
    for photo in tqdm(chosen.tolist(), unit="photo", disable=not progress):
        yield read_indexed_photo(index, photo).pixels, index.landmarks_of(photo)[1]


def read_indexed_mask(index: PhotoIndex, photo: int) -> NDArray[np.uint8] | None:
    """A photo's mask as the user gave it, 255 where skin is seen, else 0; None without one.

    Raises:
        AssetError: The file has gone or is damaged.
    """
    name = index.mask_name(photo)
    if not name:
        return None
    try:
        if index.shards:
            place = index.place_of(photo, mask=True)
            data = read_bytes(index.folder / index.shards[place.shard], place)
        else:
            assert index.masks_folder is not None
            data = (index.masks_folder / name).read_bytes()
        return decode_mask(data, name)
    except OSError as error:
        raise AssetError(f"The mask {name} cannot be read ({error}).", _HINT) from error


def decode_mask(data: bytes, name: str) -> NDArray[np.uint8]:
    """A mask from the bytes of a .png or .npy file: 255 above half of the largest possible value, else 0.

    Values up to 1 count as shares (a segmentation network's answer), larger ones as 0..255.

    Raises:
        AssetError: The file is damaged or not a single channel.
    """
    try:
        if Path(name).suffix == ".npy":
            values = np.load(io.BytesIO(data), allow_pickle=False)
        else:
            values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
        values = np.squeeze(np.asarray(values, np.float32))
        if values.ndim != 2 or not values.size:
            raise ValueError(f"its shape is {values.shape}")
    except Exception as error:  # damaged npy files fail in many ways
        raise AssetError(f"The mask {name} is damaged ({error}).", "Make it again, one channel per photo.") from error
    return np.where(values > (0.5 if values.max() <= 1 else 127.5), 255, 0).astype(np.uint8)
