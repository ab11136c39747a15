"""How light the product makes people's skin, on real photos whose people's lightness was told by eye.

Shape suffixes: H W rows and columns of UV maps (256), N photos.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from deca.appearance.skin import to_lab
from deca.errors import NoFaceError
from deca.networks import MAP_SIZE
from deca.networks.skin_map import Kind
from deca.reconstruct.face import Face
from deca.reconstruct.models import Models
from deca.reconstruct.pipeline import reconstruct
from deca.render.detail import DETAIL_MASK
from deca.render.uv import uv_mask
from deca.vision import read_photo
from deca_training.evaluate.tables import Table

_DARK, _LIGHT = 48.0, 58.0
"""L* up to which skin counts as dark, and from which on as light."""


def evaluate_tones(product: Models, folder: Path, tones: dict[str, float], progress: bool = False) -> Table:
    """The product's way, and the same by the photo's tone alone.

    Args:
        product: The product's models, with albedo model and skin map network.
        folder: Of the photos.
        tones: L* of people's skin by photo (`deca_training.closed_form.skin_tone.read_tones`).
        progress: Show a progress bar.
    """
    ways = {"by face and photo": product, "by the photo alone": by_photo_alone(product)}
    found: dict[str, list[float]] = {way: [] for way in ways}
    known, missed = [], 0
    for name, lightness in tqdm(sorted(tones.items()), unit="photo", disable=not progress):
        photo = read_photo(folder / name)
        try:
            faces = {
                way: reconstruct(photo, path=name, models=models, texture_size=512, max_faces=1)[0]
                for way, models in ways.items()
            }
        except NoFaceError:
            missed += 1
            continue
        known.append(lightness)
        for way, face in faces.items():
            found[way].append(_lightness(face))
    table = Table(f"How light skin is on {len(known)} photos")
    known_N = np.array(known)
    groups = {"all": known_N > 0, "light": known_N >= _LIGHT, "between": (known_N > _DARK) & (known_N < _LIGHT),
              "dark": known_N <= _DARK}  # fmt: skip
    for way, found_of_way in found.items():
        for group, of_group_N in groups.items():
            off_N = (np.array(found_of_way) - known_N)[of_group_N]
            if len(off_N):
                table.add(way=way, skin=group, photos=len(off_N), rms=_rounded(np.sqrt(np.square(off_N).mean())),
                          median=_rounded(np.median(np.abs(off_N))), bias=_rounded(off_N.mean()))  # fmt: skip
    table.notes += ["errors in L*, of lightness told by eye, which is good to about 3"]
    if missed:
        table.notes.append(f"No face was found on {missed} photos.")
    return table


def by_photo_alone(product: Models) -> Models:
    """The product's models without what tells the skin's lightness by the face."""
    return Models(product.head, product.networks, product.albedo, product.device, product.relief, product.skin_map)


def as_map(image_NN3: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A texture as a map (H, W, 3) in 0..1."""
    small = cv2.resize(image_NN3.astype(np.float32) / 255, (MAP_SIZE,) * 2, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)


def _lightness(face: Face) -> float:
    assert face.texture is not None and face.skin_map is not None
    albedo_HW3 = as_map(face.texture.albedo_NN3)
    is_skin_HW: NDArray[np.bool_] = face.skin_map.share(Kind.SKIN, size=MAP_SIZE) > 0.9
    is_skin_HW &= uv_mask(face.head, DETAIL_MASK).numpy() > 0.5
    return float(to_lab(np.median(albedo_HW3[is_skin_HW], axis=0))[0])


def _rounded(value: float | np.floating) -> float:
    return round(float(value), 2)
