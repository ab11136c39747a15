"""A short video of the bundled head whose expressions are known, made on the fly: no picture is kept in the repository.

Shape suffixes: F frames, S shape and E expression coefficients.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deca.head import HeadModel
from tools.openhead.portrait import Look, View, paint, posed_verts

RATE = 15


@dataclass(frozen=True, eq=False)
class Acted:
    """What the head does.

    Attributes:
        shape_S: Who it is.
        weights_F: ARKit weights by name, one array over the frames each.
        expression_FE, pose_F53: The coefficients that they are.
    """

    shape_S: NDArray[np.float64]
    weights_F: dict[str, NDArray[np.float64]]
    expression_FE: NDArray[np.float64]
    pose_F53: NDArray[np.float64]


def act(head: HeadModel, count: int, seed: int = 3) -> Acted:
    """Opens the jaw and closes it, begins to smile, lowers the brows, and turns the head from right to left."""
    t_F = np.linspace(0, 1, count)
    swell_F = np.sin(np.pi * t_F) ** 2
    weights_F = {
        "jawOpen": 0.7 * swell_F,
        "mouthSmileLeft": t_F,
        "mouthSmileRight": t_F,
        "browInnerUp": 1 - t_F,
        "browOuterUpLeft": 1 - t_F,
        "browOuterUpRight": 1 - t_F,
    }
    rows_F52 = np.stack([weights_F.get(name, np.zeros(count)) for name in head.arkit_names], axis=1)
    assert head.arkit_map_K52 is not None
    mapped_FK = rows_F52 @ head.arkit_map_K52.T.astype(np.float64)
    pose_F53 = np.zeros((count, 5, 3))
    pose_F53[:, 0, 1] = np.radians(np.linspace(-12, 12, count))
    pose_F53[:, 2] = mapped_FK[:, 51:54]
    shape_S = np.random.default_rng(seed).normal(0, 0.4, 100)
    return Acted(shape_S, weights_F, mapped_FK[:, :50], pose_F53)


def frames_of(head: HeadModel, acted: Acted, size: int = 256) -> list[NDArray[np.uint8]]:
    """A portrait of each frame, (size, size, 3)."""
    pictures = []
    for expression_E, pose_53 in zip(acted.expression_FE, acted.pose_F53, strict=True):
        verts_V3 = posed_verts(head, acted.shape_S, expression_E, pose_53)
        pictures.append(paint(head, verts_V3, view=View(distance=2.0), look=Look(), size=size).image_HW3)
    return pictures


def write_video(path: Path, pictures: Iterable[NDArray[np.uint8]], rate: int = RATE, rotation: int = 0) -> Path:
    """Encodes pictures as a video; `rotation` is what the file says of how to turn them, counter-clockwise."""
    import av

    pictures = list(pictures)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(rate))
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, stream.bit_rate = "yuv420p", 4_000_000
        if rotation:
            stream.set_display_rotation(rotation)
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        container.mux(stream.encode())
    return path


def faceless(count: int, size: int = 256) -> Sequence[NDArray[np.uint8]]:
    """Frames that show nobody."""
    return [np.full((size, size, 3), 120, np.uint8)] * count
