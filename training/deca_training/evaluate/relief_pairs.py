"""Do two photos of one person show the same lines? On photos of real people, whose relief nobody knows.

Shape suffixes: D detail code, E expression coefficients, H W rows and columns of UV maps (256), N pairs or texels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from deca.errors import OptionError
from deca.reconstruct.models import Models
from deca.reconstruct.moving_relief import Shares
from deca.reconstruct.pipeline import reconstruct
from deca.reconstruct.relief import layout_of, relief_of_photo
from deca_training.evaluate.separation import auc
from deca_training.evaluate.subjects import FacePhoto, Subjects
from deca_training.evaluate.tables import Table
from deca_training.relief.measures import fine_part

FACE = 120.0
"""Pixels: a line of a smaller face is thinner than one of them."""
_OTHERS = 10
"""Pairs with other people for each pair of photos of one person."""
_SEEN = 0.5
_ENOUGH = 2000
"""Texels, a tenth of a face, that both photos must show."""


@dataclass(frozen=True)
class Seen:
    """A photo's maps, metres, by the way to them; and where it shows the skin."""

    maps: dict[str, NDArray[np.float32]]
    seen_HW: NDArray[np.bool_]


def evaluate_relief_pairs(
    models: Models, subjects: Subjects, people: int, face: float = FACE, *, progress: bool = False
) -> Table:
    """How alike the fine parts of maps are on two photos of one person, and on photos of two people.

    Args:
        models: The product's models, with a relief network.
        subjects: The photos.
        people: At most so many; the first of whom two photos show a face that is large enough.
        face: Least size of faces, pixels: the larger side of the landmarks' box.
        progress: Show a progress bar.

    Raises:
        OptionError: A network is missing, or there are fewer than two such people.
    """
    if models.networks is None or models.relief is None:
        raise OptionError("Wrinkles and relief come from weights only.", "Name weights files.")
    pairs: list[tuple[Seen, Seen]] = []
    with tqdm(total=people, unit="person", disable=not progress) as bar:
        for photos in subjects:
            large = [photo for photo in photos if _size(photo) >= face][:2]
            if len(large) == 2:
                pairs.append((look(models, large[0]), look(models, large[1])))
                bar.update()
            if len(pairs) == people:
                break
    if len(pairs) < 2:
        raise OptionError(
            f"{subjects.data} has {len(pairs)} people with two faces of {face:g} pixels.", "Allow smaller ones."
        )
    table = Table("Relief of two photos of one person")
    for way in pairs[0][0].maps:
        own_N, other_N = correlations(pairs, way)
        separation = auc(-own_N, -other_N)
        table.add(
            maps=way,
            own=round(float(own_N.mean()), 3),
            others=round(float(other_N.mean()), 3),
            own_pairs=len(own_N),
            other_pairs=len(other_N),
            auc=None if separation is None else round(separation, 3),
        )
    table.notes += [
        f"{len(pairs)} people, the first two photos with a face of {face:g} pixels or more",
        "own, others: mean correlation of what varies over less than five texels, where both photos show the skin",
        "auc: how often a pair of one person is more alike than one of two people",
        *subjects.notes(),
    ]
    return table


def _size(photo: FacePhoto) -> float:
    left, top, right, bottom = photo.found.box
    return float(max(right - left, bottom - top))


@torch.inference_mode()
def look(models: Models, photo: FacePhoto) -> Seen:
    """Reads a photo as the product does."""
    assert models.relief is not None
    pixels_HW3 = photo.photo.pixels
    (face,) = reconstruct(photo.photo, path=Path(photo.name), models=models, texture_size=None, max_faces=1)
    expression_1E, jaw_13, detail_1D = (
        torch.from_numpy(np.array(code, np.float32))[None]
        for code in (face.expression_E, face.pose_53[2], face.detail_D)
    )

    def worn(reliefs: Shares = ()) -> NDArray[np.float32]:
        return models.displacement(detail_1D, expression_1E, jaw_13, reliefs)[0, 0].numpy()

    maps = {
        "relief of the photo": relief_of_photo(pixels_HW3, face, models.relief).displacement_HW,
        "the head's, with it": worn(face.reliefs),
        "F_d by E_d's code": worn(),
    }
    return Seen(maps, layout_of(pixels_HW3, face).seen_B1HW[0, 0].numpy() > _SEEN)


def correlations(pairs: list[tuple[Seen, Seen]], way: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of the two photos of each person, and of each person's first and some other people's second."""
    count = len(pairs)
    own = [alike(*pair, way) for pair in pairs]
    steps = range(1, min(_OTHERS, count - 1) + 1)
    other = [alike(pairs[row][0], pairs[(row + step) % count][1], way) for row in range(count) for step in steps]
    return (
        np.array([value for value in own if value is not None]),
        np.array([value for value in other if value is not None]),
    )


def alike(one: Seen, other: Seen, way: str) -> float | None:
    """Correlation of the fine parts where both are seen; None where that is hardly anywhere."""
    both_HW = one.seen_HW & other.seen_HW
    if both_HW.sum() < _ENOUGH:
        return None
    a_N, b_N = (fine_part(seen.maps[way], both_HW)[both_HW].astype(np.float64) * 1000 for seen in (one, other))
    return float(a_N @ b_N / np.sqrt(max((a_N @ a_N) * (b_N @ b_N), 1e-12)))
