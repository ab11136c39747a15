"""What a relief network is worth on people it was not trained on.

Shape suffixes: H W rows and columns of pictures.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from deca.head import HeadModel
from deca.networks.relief import Layout, ReliefNetwork
from deca_training.relief.pictures import Picture, PictureMaker, picture_part
from deca_training.relief.pigment import Layer
from deca_training.relief.surfaces import EXPRESSIONS, Surface, SurfaceMaker, make_person, surface_file

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


class HeldOut:
    """People that nothing is trained on, one expression of each.

    Args:
        head: The head model.
        folder: Of their files; made if they are missing.
        people: How many.
    """

    def __init__(self, head: HeadModel, folder: Path, people: int) -> None:
        self.seeds = range(FIRST_HELD_OUT, FIRST_HELD_OUT + people)
        if not all(surface_file(folder, seed).is_file() for seed in self.seeds):
            maker = SurfaceMaker()
            for seed in self.seeds:
                make_person(folder, seed, maker)
        self.camera, (self.part, within) = PictureMaker(head, folder), picture_part(head)
        maps = [np.load(surface_file(folder, seed))[seed % EXPRESSIONS] for seed in self.seeds]
        self.surfaces = [Surface.of(maps_CHW[(slice(None), *within)], False) for maps_CHW in maps]

    def portraits(
        self, on_skin: Layer | None = None, front: Layer | None = None, smooth: bool = False
    ) -> list[Picture]:
        """A portrait of each; `smooth` without any relief."""
        return [
            self.camera.portrait(_smoothed(surface) if smooth else surface, seed, on_skin, front)
            for seed, surface in zip(self.seeds, self.surfaces, strict=True)
        ]


def _smoothed(surface: Surface) -> Surface:
    return replace(surface, depth_HW=np.zeros_like(surface.depth_HW), tilt_3PQ=np.zeros_like(surface.tilt_3PQ))


def relief_of_picture(
    network: ReliefNetwork, picture: Picture, corner_2: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Displacement, millimetres, and certainty of a picture (H, W)."""
    maps = (picture.photo_3PQ, picture.normals_3HW, picture.seen_HW[None])
    photo, normals, seen = (torch.from_numpy(np.ascontiguousarray(map_HW, np.float32))[None] for map_HW in maps)
    layout = Layout(photo, normals, seen, torch.tensor([picture.density]))
    corner_12 = torch.tensor([corner_2])
    with torch.inference_mode():
        depth, doubt = network(network.inputs(layout, corner_12))
        certainty = network.certainty(depth, doubt, corner_12)
    return depth[0, 0].numpy(), (certainty[0, 0].numpy() * picture.seen_HW).astype(np.float32)


def measure(network: ReliefNetwork, held_out: HeldOut) -> Measured:
    """How much of their relief the network finds."""
    rows, columns = held_out.part
    usual_HW = network.usual_HW[rows, columns].numpy()
    squares_4, fine_3 = np.zeros(4), np.zeros(3)
    for picture in held_out.portraits():
        depth_HW, certainty_HW = relief_of_picture(network, picture, (rows.start, columns.start))
        seen_HW, true_HW = picture.seen_HW > _SEEN, picture.depth_HW
        ways = (depth_HW, usual_HW + certainty_HW * (depth_HW - usual_HW), usual_HW, np.zeros_like(true_HW))
        squares_4 += [float(((way_HW - true_HW)[seen_HW] ** 2).sum()) for way_HW in ways]
        a, b = fine_part(depth_HW, seen_HW), fine_part(true_HW, seen_HW)
        fine_3 += [float((a * b).sum()), float((a * a).sum()), float((b * b).sum())]
    explained, sure, usual = (float(share) for share in 1 - squares_4[:3] / squares_4[3])
    return Measured(explained, sure, float(fine_3[0] / np.sqrt(max(fine_3[1] * fine_3[2], 1e-12))), usual)


def added_by(network: ReliefNetwork, held_out: HeldOut, on_skin: Layer | None, front: Layer | None) -> float:
    """Root mean square, millimetres, of what something on the skin or before it adds to the relief of the same people
    in the same light."""
    corner_2 = held_out.part[0].start, held_out.part[1].start
    squares = []
    for plain, shown in zip(held_out.portraits(), held_out.portraits(on_skin, front), strict=True):
        without_HW, with_HW = (relief_of_picture(network, picture, corner_2)[0] for picture in (plain, shown))
        squares.append(((with_HW - without_HW)[plain.seen_HW > _SEEN] ** 2).mean())
    return float(np.sqrt(np.mean(squares)))


def false_lines(network: ReliefNetwork, held_out: HeldOut, on_skin: Layer | None, front: Layer | None) -> float:
    """Root mean square, millimetres, of the fine relief that is found on people without any."""
    corner_2 = held_out.part[0].start, held_out.part[1].start
    squares = []
    for picture in held_out.portraits(on_skin, front, smooth=True):
        seen_HW = picture.seen_HW > _SEEN
        depth_HW, _ = relief_of_picture(network, picture, corner_2)
        squares.append((fine_part(depth_HW, seen_HW)[seen_HW] ** 2).mean())
    return float(np.sqrt(np.mean(squares)))


def fine_part(map_HW: NDArray, seen_HW: NDArray[np.bool_]) -> NDArray[np.float32]:
    """A map less its surroundings, where it is seen; 0 elsewhere."""
    weight_HW = seen_HW.astype(np.float32)
    around_HW = cv2.GaussianBlur(np.asarray(map_HW * weight_HW, np.float32), (0, 0), FINE)
    return (map_HW - around_HW / np.maximum(cv2.GaussianBlur(weight_HW, (0, 0), FINE), 1e-3)) * weight_HW
