"""Skin of synthetic people with an expression, as UV maps: what is drawn once, and lit and photographed many times.

A file holds one person: (K, C, H, W) half precision, K expressions, the rows and columns of `detail_patch`, and the
channels of `Surface`, with those of each texel's photo pixels side by side.

Shape suffixes: H W rows and columns of a part of the UV map, P Q those of a part of photos laid out as it.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch.nn import functional

from deca.files import write_file
from deca.networks import MAP_SIZE
from deca.networks.relief import FINER
from deca.render.detail import detail_patch, detail_surface
from deca.render.normals import unit
from deca_blender.protocol.conventions import OPENHEAD
from deca_training.data.synthetic.generate import AGES, NUM_EXPRESSION, Generator
from deca_training.data.synthetic.looks import Looks
from deca_training.data.synthetic.person import Person
from deca_training.data.synthetic.skin import in_between

EXPRESSIONS = 4
"""Of each person; making a person takes as long as a few expressions."""
_WHO, _LOOKS, _FACE = 11, 12, 13


@dataclass(frozen=True)
class Surface:
    """A part of a face's skin. Directions are of the head, which faces +z.

    Attributes:
        depth_HW: Displacement, millimetres.
        tilt_3PQ: What the displacement adds to the coarse normals, before they are made unit length again.
        normals_3HW: Coarse unit normals; 0 outside of the UV islands.
        albedo_3HW: Display values.
    """

    depth_HW: NDArray[np.float32]
    tilt_3PQ: NDArray[np.float32]
    normals_3HW: NDArray[np.float32]
    albedo_3HW: NDArray[np.float32]

    @classmethod
    def of(cls, maps_CHW: NDArray[np.floating], mirrored: bool) -> Surface:
        """The surface of a file's maps, or of their part."""
        maps_CHW = np.asarray(maps_CHW, np.float32)
        maps = [maps_CHW[0], maps_CHW[1:4], maps_CHW[4:7], side_by_side(maps_CHW[7:])]
        if mirrored:
            maps = [map_HW[..., ::-1].copy() for map_HW in maps]
            for directions_3HW in (maps[1], maps[3]):
                directions_3HW[0] *= -1
        depth_HW, normals_3HW, albedo_3HW, tilt_3PQ = maps
        return cls(depth_HW, tilt_3PQ, normals_3HW, albedo_3HW)


def side_by_side(map_CHW: NDArray) -> NDArray:
    """A map (C, P, Q) whose values within a texel were channels, C FINER^2 of them, row by row."""
    return functional.pixel_shuffle(torch.from_numpy(np.ascontiguousarray(map_CHW)), FINER).numpy()


def as_channels(map_CPQ: NDArray) -> NDArray:
    """The inverse of `side_by_side`."""
    return functional.pixel_unshuffle(torch.from_numpy(np.ascontiguousarray(map_CPQ)), FINER).numpy()


class SurfaceMaker:
    """Makes people's skin on a head model.

    Args:
        head, albedo: Names or paths of head and albedo model.
    """

    def __init__(self, head: str = OPENHEAD, albedo: str = OPENHEAD) -> None:
        self.generator = Generator(head, albedo)
        self.part = detail_patch(self.generator.head, MAP_SIZE)

    def maps(self, seed: int, expressions: int = EXPRESSIONS) -> NDArray[np.float16]:
        """The maps (K, C, H, W) of one person, whose lines lie where they lie."""
        generator, rng = self.generator, np.random.default_rng((seed, _WHO))
        age, sex = rng.uniform(*AGES), generator.sex(rng)
        shape_S = generator.shape(age, sex, rng)
        person = Person.make(generator.head, seed, age, variety=1.0)
        looks = Looks.random(
            generator.head, generator.albedo, person.mark_HW, age, sex, np.random.default_rng((seed, _LOOKS))
        )
        still_J3 = np.zeros((5, 3), np.float32)
        neutral_V3 = generator.verts(shape_S, np.zeros(NUM_EXPRESSION, np.float32), still_J3).numpy()
        rows, columns = self.part
        made = []
        for number in range(expressions):
            expression_E, pose_J3 = generator.expression(np.random.default_rng((seed, _FACE, number)))
            pose_J3[0] = 0
            verts_V3 = generator.verts(shape_S, expression_E, pose_J3)
            activation_C = person.activation(expression_E, pose_J3[2], neutral_V3, verts_V3.numpy())
            depth_HW = person.displacement(activation_C)
            with torch.no_grad():
                depth_11PQ = torch.from_numpy(in_between(depth_HW))[None, None]
                skin = detail_surface(verts_V3[None], depth_11PQ, generator.head, smooth=True)
                coarse_3PQ, detail_3PQ = unit(skin.coarse_normals_B3HW)[0], unit(skin.normals_B3HW)[0]
                is_skin_PQ = coarse_3PQ.norm(dim=0) > 0.5
                tilt_3PQ = ((detail_3PQ - coarse_3PQ) * is_skin_PQ).numpy()
                coarse_3HW = unit(functional.avg_pool2d(coarse_3PQ[None], FINER))[0]
            maps_CHW = np.concatenate((depth_HW[None] * 1000, coarse_3HW, looks.albedo_3HW, as_channels(tilt_3PQ)))
            made.append(maps_CHW[:, rows, columns])
        return np.stack(made).astype(np.float16)


def make_person(folder: Path, person: int, maker: SurfaceMaker) -> None:
    """Writes a person's file, if it is not there."""
    keep(surface_file(folder, person), lambda: maker.maps(person))


def keep(path: Path, make: Callable[[], NDArray]) -> None:
    """Writes an array that takes long to make, if its file is not there."""
    if not path.is_file():
        data = io.BytesIO()
        np.save(data, make())
        write_file(path, data.getvalue())


def surface_file(folder: Path, seed: int) -> Path:
    """Where a person's maps are."""
    return folder / f"{seed:08d}.npy"


def usual_and_spread(
    folder: Path, seeds: range, part: tuple[slice, slice]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean displacement of people's skin and its deviation, (256, 256) millimetres, alike on both sides and smooth."""
    maps = np.concatenate([np.load(surface_file(folder, seed))[:, 0] for seed in seeds]).astype(np.float64)
    maps = np.concatenate((maps, maps[:, :, ::-1]))
    usual_HW, spread_HW = np.zeros((2, MAP_SIZE, MAP_SIZE), np.float32)
    usual_HW[part] = gaussian_filter(maps.mean(0), 1.0)
    spread_HW[part] = np.sqrt(gaussian_filter(maps.var(0), 3.0))
    return usual_HW, spread_HW
