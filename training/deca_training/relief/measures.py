"""What a relief network is worth on people it was not trained on.

Shape suffixes: H W rows and columns of pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from deca.head import HeadModel
from deca.networks.relief import Layout, ReliefNetwork
from deca_training.relief.pictures import Picture, PictureMaker, picture_part
from deca_training.relief.surfaces import Surface, SurfaceMaker, make_person, surface_file

FIRST_HELD_OUT = 9_000_001
"""Number of the first person that nothing is trained on."""
_SEEN = 0.5
FINE = 5.0
"""Sigma in texels below which relief counts as fine: lines, not folds."""


@dataclass(frozen=True)
class Measured:
    """Over all seen skin of the pictures.

    Attributes:
        explained: Share of the squares of the true relief that is explained.
        sure: The same where the relief counts by its certainty.
        fine: Correlation of the fine parts.
        usual: `explained` of people's mean relief.
    """

    explained: float
    sure: float
    fine: float
    usual: float

    def rounded(self) -> dict[str, float]:
        """The numbers with three digits."""
        return {name: round(value, 3) for name, value in asdict(self).items()}


def held_out_pictures(head: HeadModel, folder: Path, people: int) -> list[Picture]:
    """One frontal picture each of people kept out, under random light, with a camera's faults."""
    maker = None
    for person in range(FIRST_HELD_OUT, FIRST_HELD_OUT + people):
        if not surface_file(folder, person).is_file():
            maker = maker or SurfaceMaker()
            make_person(folder, person, maker)
    camera, (_, within) = PictureMaker(head, folder, plain=True), picture_part(head)
    pictures = []
    for person in range(FIRST_HELD_OUT, FIRST_HELD_OUT + people):
        rng = np.random.default_rng((person, 99))
        maps_KCHW = np.load(surface_file(folder, person))
        surface = Surface.of(maps_KCHW[rng.integers(len(maps_KCHW))][(slice(None), *within)], False)
        pictures.append(camera.picture(surface, rng))
    return pictures


def relief_of_picture(
    network: ReliefNetwork, picture: Picture, corner_2: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Displacement, millimetres, and certainty of a picture (H, W)."""
    maps = (picture.photo_3HW, picture.normals_3HW, picture.seen_HW[None])
    tensors = [torch.from_numpy(np.ascontiguousarray(map_HW, np.float32))[None] for map_HW in maps]
    corner_12 = torch.tensor([corner_2])
    with torch.inference_mode():
        depth, doubt = network(network.inputs(Layout(*tensors, torch.tensor([picture.density])), corner_12))
        certainty = network.certainty(doubt, corner_12)
    return depth[0, 0].numpy(), (certainty[0, 0].numpy() * picture.seen_HW).astype(np.float32)


def explained_share(network: ReliefNetwork, pictures: Sequence[Picture]) -> Measured:
    """Measures a network for the bundled head model on pictures."""
    from deca.head import load_head

    (rows, columns), _ = picture_part(load_head())
    usual_HW = network.usual_HW[rows, columns].numpy()
    sums = np.zeros(4)
    fine = np.zeros(3)
    for picture in pictures:
        depth_HW, certainty_HW = relief_of_picture(network, picture, (rows.start, columns.start))
        seen_HW = picture.seen_HW > _SEEN
        true_HW = picture.depth_HW
        ways = (depth_HW, usual_HW + certainty_HW * (depth_HW - usual_HW), usual_HW, np.zeros_like(true_HW))
        sums += [float(((way_HW - true_HW)[seen_HW] ** 2).sum()) for way_HW in ways]
        a, b = fine_part(depth_HW, seen_HW), fine_part(true_HW, seen_HW)
        fine += [float((a * b).sum()), float((a * a).sum()), float((b * b).sum())]
    explained, sure, usual = 1 - sums[:3] / max(sums[3], 1e-9)
    return Measured(float(explained), float(sure), float(fine[0] / np.sqrt(max(fine[1] * fine[2], 1e-12))), float(usual))


def fine_part(map_HW: NDArray, seen_HW: NDArray[np.bool_]) -> NDArray[np.float32]:
    """A map less its surroundings, where it is seen; 0 elsewhere."""
    weight_HW = seen_HW.astype(np.float32)
    around_HW = cv2.GaussianBlur(np.asarray(map_HW * weight_HW, np.float32), (0, 0), FINE)
    return (map_HW - around_HW / np.maximum(cv2.GaussianBlur(weight_HW, (0, 0), FINE), 1e-3)) * weight_HW
