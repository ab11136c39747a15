"""Random light of photos: lamps that show relief, and the spherical harmonics that come nearest.

Shape suffixes: N pixels, 93 bands by RGB.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deca.render.lighting import sh_basis

_GAMMA = 1 / 2.2
_SHININESS = 28.0
_FRONTAL = 0.2
_RIDGE = 1e-4


@dataclass(frozen=True)
class Light:
    """Lamps far away, in head space, in front of a camera that looks along -z.

    Attributes:
        towards_N3: Unit vectors to the lamps.
        colour_N3: Their linear RGB intensity.
        sky_3, ground_3: Ambient light from above and from below, linear RGB.
        gloss: Strength of the highlights.
    """

    towards_N3: NDArray[np.float32]
    colour_N3: NDArray[np.float32]
    sky_3: NDArray[np.float32]
    ground_3: NDArray[np.float32]
    gloss: float

    @classmethod
    def random(cls, rng: np.random.Generator) -> Light:
        """A key light, mostly far beside the camera, a weaker fill light, and some from all around."""
        frontal = rng.uniform() < _FRONTAL
        off_axis = rng.uniform(0, 35) if frontal else rng.uniform(40, 75)
        # From all around, least from below.
        around = np.degrees(rng.vonmises(np.pi / 2, 0.5))
        key_3 = _direction(off_axis, around)
        fill_3 = _direction(rng.uniform(10, 60), around + 180 + rng.uniform(-60, 60))
        warm = rng.normal(0, 0.08)
        white_3 = np.array([1 + warm, 1.0, 1 - warm])
        brightness = rng.uniform(0.75, 1.25)
        tint_3 = white_3 * np.exp(0.04 * rng.standard_normal(3))
        fill = rng.uniform(0.1, 0.35) * (1.6 if frontal else 1.0)
        ambient = rng.uniform(0.05, 0.22) * (1.6 if frontal else 1.0)
        other_3 = np.exp(0.12 * rng.standard_normal(3))
        return cls(
            np.stack((key_3, fill_3)).astype(np.float32),
            (brightness * np.stack((tint_3, fill * other_3))).astype(np.float32),
            (brightness * ambient * np.exp(0.1 * rng.standard_normal(3))).astype(np.float32),
            (brightness * ambient * rng.uniform(0.4, 1.0) * np.array([1.05, 1.0, 0.92])).astype(np.float32),
            float(rng.uniform(0.02, 0.14)),
        )

    def shading(self, normals_3N: Tensor) -> tuple[Tensor, Tensor]:
        """Shading of display values and highlights in them, (3, N) each.

        Display values are about linear light to the power of 1 / 2.2, and so is what multiplies them.

        Args:
            normals_3N: Unit normals.
        """
        towards_N3, colour_N3 = torch.from_numpy(self.towards_N3), torch.from_numpy(self.colour_N3)
        facing_N = (towards_N3 @ normals_3N).clamp(min=0)
        up_1N = normals_3N[1:2] * 0.5 + 0.5
        sky_31, ground_31 = (torch.from_numpy(colour_3)[:, None] for colour_3 in (self.sky_3, self.ground_3))
        linear_3N = colour_N3.T @ facing_N + ground_31 + (sky_31 - ground_31) * up_1N
        halfway_N3 = towards_N3 + torch.tensor([0.0, 0.0, 1.0])
        halfway_N3 = halfway_N3 / halfway_N3.norm(dim=1, keepdim=True)
        glint_N = (halfway_N3 @ normals_3N).clamp(min=0) ** _SHININESS
        return linear_3N.clamp(min=1e-4) ** _GAMMA, self.gloss * colour_N3.T @ glint_N


def _direction(off_axis: float, around: float) -> NDArray[np.float64]:
    """The unit vector so many degrees from +z, in the direction `around` of the picture (0 right, 90 up)."""
    polar, turn = np.radians((off_axis, around))
    return np.array([np.sin(polar) * np.cos(turn), np.sin(polar) * np.sin(turn), np.cos(polar)])


def nearest_harmonics(normals_3N: Tensor, shading_3N: Tensor) -> NDArray[np.float32]:
    """The light (9, 3) whose shading comes nearest, by least squares over the pixels, with a slight pull to zero."""
    basis_9N = sh_basis(normals_3N[None])[0]
    gram_99 = basis_9N @ basis_9N.T + _RIDGE * max(normals_3N.shape[1], 1) * torch.eye(9)
    return torch.linalg.solve(gram_99, basis_9N @ shading_3N.T).numpy()
