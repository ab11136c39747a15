"""A picture of what synthetic wrinkles look like: people of several ages with several expressions, and their maps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from deca.files import write_file
from deca.render.camera import project
from deca.render.detail import detail_surface
from deca.render.normals import unit
from deca.render.renderer import Renderer
from deca_training.data.synthetic.generate import NUM_EXPRESSION, NUM_SHAPE, Generator
from deca_training.data.synthetic.person import Person
from deca_training.data.synthetic.strain import reader_of

EXPRESSIONS: Mapping[str, Mapping[str, float]] = {
    "neutral": {},
    "brows up": {"browInnerUp": 1, "browOuterUp": 1},
    "frown": {"browDown": 1, "eyeSquint": 0.3},
    "smile": {"mouthSmile": 0.9, "cheekSquint": 0.9, "eyeSquint": 0.3},
    "sneer": {"noseSneer": 1, "browDown": 0.4, "mouthUpperUp": 0.4},
    "pucker": {"mouthPucker": 1},
    "sad": {"mouthFrown": 1, "mouthShrugLower": 0.7, "browInnerUp": 0.6},
}
AGES = (25, 45, 70)
_CAMERA = (9.6, 0.0, 0.018)
_LAMPS = (((-0.75, 0.42, 0.5), 0.62), ((0.6, 0.1, 0.75), 0.16))
_WHITE = 1.0
"""Millimetres of displacement that are drawn white; as many below are black."""


def write_sheet(path: Path, seed: int) -> None:
    """Writes the picture as a PNG file.

    Raises:
        OutputError: It cannot be written.
    """
    write_file(path, cv2.imencode(".png", contact_sheet(Generator(), seed))[1].tobytes())


def contact_sheet(generator: Generator, seed: int, size: int = 448) -> NDArray[np.uint8]:
    """Clay heads above their displacement maps, (H, W) grey; rows are ages, columns expressions.

    Args:
        generator: Makes the heads.
        seed: Of the first person; each age is another one.
        size: Side of each head's picture.
    """
    return np.concatenate([_row(generator, seed + i, age, size) for i, age in enumerate(AGES)])


def _row(generator: Generator, seed: int, age: int, size: int) -> NDArray[np.uint8]:
    head = generator.head
    renderer = Renderer.of_head(head, size)
    shape_S = (np.random.default_rng(seed).standard_normal(NUM_SHAPE) * 0.8).astype(np.float32)
    person = Person.make(head, seed, age)
    at_rest = np.zeros(NUM_EXPRESSION, np.float32), np.zeros((5, 3), np.float32)
    neutral_V3 = generator.verts(shape_S, *at_rest)
    heads, maps = [], []
    for weights in EXPRESSIONS.values():
        expression_E, turns_33 = reader_of(head).coefficients(weights)
        pose_J3 = np.concatenate((np.zeros((2, 3), np.float32), turns_33))
        verts_1V3 = generator.verts(shape_S, expression_E, pose_J3)[None]
        activation_C = person.activation(expression_E, pose_J3[2], neutral_V3.numpy(), verts_1V3[0].numpy())
        displacement_HW = person.displacement(activation_C)
        surface = renderer(verts_1V3, project(verts_1V3, torch.tensor([_CAMERA])))
        detail = detail_surface(verts_1V3, torch.from_numpy(displacement_HW)[None, None], head, smooth=True)
        normals_3N = unit(surface.sample(detail.normals_B3HW)[None])[0]
        shading_N = torch.full_like(normals_3N[0], 0.06)
        for towards, intensity in _LAMPS:
            towards_3 = torch.tensor(towards)
            shading_N = shading_N + intensity * (towards_3 / towards_3.norm() @ normals_3N).clamp(min=0)
        heads.append(surface.fragments.image(shading_N[None] ** (1 / 1.8))[0, 0].clamp(0, 1).numpy())
        maps.append(cv2.resize(displacement_HW * (500 / _WHITE) + 0.5, (size, size)).clip(0, 1))
    return np.rint(np.concatenate((np.concatenate(heads, 1), np.concatenate(maps, 1))) * 255).astype(np.uint8)
