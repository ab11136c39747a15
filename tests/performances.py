"""A short video of the bundled head whose expressions are known, made on the fly: no picture is kept in the repository.

Shape suffixes: F frames, S shape and E expression coefficients.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deca.head import HeadModel
from tools.openhead.portrait import Look, View, paint, posed_verts

RATE = 15
_ROUTINE, _EVERY = 96, 2  # moments at twice the rate, of which every other is a frame
_BLINK = (0.25, 0.8, 1.0, 1.0, 0.7, 0.4, 0.2, 0.08)  # a quarter of a second


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
    root_F3 = np.zeros((count, 3))
    root_F3[:, 1] = np.radians(np.linspace(-12, 12, count))
    shape_S = np.random.default_rng(seed).normal(0, 0.4, 100)
    return _acted(head, shape_S, weights_F, root_F3)


def routine(head: HeadModel, seed: int) -> Acted:
    """Three seconds in which a face does what captures are judged by: it smiles and squints, talks, raises and lowers
    its brows, puckers its lips, looks and turns about, and blinks four times amid it."""
    rng, moments = np.random.default_rng(1000 + seed), np.arange(_ROUTINE)

    def swell(start: int, end: int, peak: float) -> NDArray[np.float64]:
        return peak * np.sin(np.pi * np.clip((moments - start) / (end - start), 0, 1)) ** 2

    smile = swell(14, 44, rng.uniform(0.6, 1))
    talk = swell(38, 50, 0.5) + swell(49, 62, rng.uniform(0.6, 0.9)) + swell(61, 73, 0.3)
    raised = swell(56, 84, rng.uniform(0.6, 1))
    blink = np.zeros(_ROUTINE)
    for middle in (5, 27, 53, 76):
        start = middle + int(rng.integers(-2, 3))
        blink[start : start + len(_BLINK)] = _BLINK
    both = {
        "mouthSmile": smile,
        "eyeSquint": swell(18, 40, 0.5),
        "cheekSquint": swell(18, 40, 0.5),
        "browOuterUp": raised,
        "browDown": swell(82, 98, 0.8),
        "eyeBlink": blink,
    }
    weights_F = {f"{name}{side}": values for name, values in both.items() for side in ("Left", "Right")}
    weights_F |= {"jawOpen": talk, "browInnerUp": raised, "mouthPucker": swell(72, 86, 0.8)}
    root_F3, t_F = np.zeros((_ROUTINE, 3)), np.linspace(0, 1, _ROUTINE)
    root_F3[:, 1] = np.radians(12 * np.sin(2 * np.pi * (t_F + rng.uniform())))
    root_F3[:, 0] = np.radians(5 * np.sin(4 * np.pi * (t_F + rng.uniform())))
    gaze_F2 = np.repeat(rng.normal(0, 1, (6, 2)) * np.radians([5, 10]), _ROUTINE // 6, axis=0)
    shape_S = rng.normal(0, 0.6, 100)
    kept_F = {name: values[::_EVERY] for name, values in weights_F.items()}
    return _acted(head, shape_S, kept_F, root_F3[::_EVERY], gaze_F2[::_EVERY])


def _acted(
    head: HeadModel,
    shape_S: NDArray[np.float64],
    weights_F: dict[str, NDArray[np.float64]],
    root_F3: NDArray[np.float64],
    gaze_F2: NDArray[np.float64] | None = None,
) -> Acted:
    count = len(root_F3)
    rows_F52 = np.stack([weights_F.get(name, np.zeros(count)) for name in head.arkit_names], axis=1)
    assert head.arkit_map_K52 is not None
    mapped_FK = rows_F52 @ head.arkit_map_K52.T.astype(np.float64)
    pose_F53 = np.zeros((count, 5, 3))
    pose_F53[:, 0] = root_F3
    pose_F53[:, 2] = mapped_FK[:, 51:54]
    if gaze_F2 is not None:
        pose_F53[:, 3:, :2] = gaze_F2[:, None]
    return Acted(shape_S, weights_F, mapped_FK[:, :50], pose_F53)


def close_ups(head: HeadModel, acted: Acted, seed: int, size: int = 360) -> list[NDArray[np.uint8]]:
    """Frames of a performance with a look of its own, and with lashes: without them closed eyes show nothing."""
    look, view = replace(Look.random(seed), lashes=0.8), View(distance=1.5, span=0.30)
    verts = (
        posed_verts(head, acted.shape_S, expression_E, pose_53)
        for expression_E, pose_53 in zip(acted.expression_FE, acted.pose_F53, strict=True)
    )
    return [paint(head, verts_V3, view=view, look=look, size=size).image_HW3 for verts_V3 in verts]


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
