"""Light on a Lambertian surface: nine spherical harmonics, and fixed lamps for plain pictures of a shape.

Normals are in head space (x to the subject's left, y up, z towards the camera of a frontal head).

Shape suffixes: B batch, X any trailing dimensions (pixels, texels).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from deca.render.normals import unit

SH_CONSTANTS = (0.2820948, 1.0233268, 1.0233268, 1.0233268, 0.8580855, 0.8580855, 0.8580855, 0.42904276, 0.24770796)
"""Factors of the bands 1, x, y, z, xy, xz, yz, x^2 - y^2, 3 z^2 - 1, as DECA's light coefficients expect them: the
harmonics' norms times the Lambertian kernel's coefficients 2 pi / 3 and pi / 4 (Ramamoorthi and Hanrahan 2001); that of
the first band, pi, is left to its coefficient."""

CLAY = (0.72, 0.71, 0.70)
"""Albedo of plain pictures of a shape, linear."""

_LAMPS = (
    ((-0.55, 0.55, 0.63), 0.52),
    ((0.70, 0.15, 0.70), 0.30),
    ((0.0, -0.75, 0.66), 0.10),
    ((0.0, 0.9, -0.43), 0.12),
)
"""Key, fill, bounce and rim: direction to the lamp, intensity."""
_AMBIENT = 0.12


def sh_basis(normals_B3X: Tensor) -> Tensor:
    """The nine bands (B, 9, ...) at normals (B, 3, ...), with `SH_CONSTANTS`."""
    bands_B9X = sh_bands(normals_B3X).unbind(1)
    return torch.stack([constant * band for constant, band in zip(SH_CONSTANTS, bands_B9X, strict=True)], dim=1)


def sh_bands(normals_B3X: Tensor) -> Tensor:
    """The nine bands (B, 9, ...) at normals (B, 3, ...), without factors."""
    x, y, z = normals_B3X.unbind(1)
    return torch.stack((torch.ones_like(x), x, y, z, x * y, x * z, y * z, x * x - y * y, 3 * z * z - 1), 1)


def sh_shading(normals_B3X: Tensor, light_B93: Tensor) -> Tensor:
    """Shading under spherical harmonics light (DECA, Eq. 3, without the albedo).

    Args:
        normals_B3X: Normals, (B, 3, ...), used at the length they come in.
        light_B93: Coefficients of the nine bands for red, green and blue.

    Returns:
        (B, 3, ...), not clamped: light from one side can be negative on the other.
    """
    basis_B9X = sh_basis(normals_B3X).flatten(2)
    return (light_B93.transpose(1, 2) @ basis_B9X).view(len(basis_B9X), 3, *normals_B3X.shape[2:])


def grey_light(batch: int = 1, intensity: float = 1.0, device: torch.device | str = "cpu") -> Tensor:
    """Light coefficients (B, 9, 3) under which every surface has the given shading."""
    light_B93 = torch.zeros(batch, 9, 3, device=device)
    light_B93[:, 0] = intensity / SH_CONSTANTS[0]
    return light_B93


def lamp_shading(normals_B3X: Tensor) -> Tensor:
    """Shading (B, 1, ...) in about [0.1, 1] by fixed lamps, for pictures that are to be compared."""
    unit_B3X = unit(normals_B3X)
    shading = torch.full_like(unit_B3X[:, :1], _AMBIENT)
    for direction, intensity in _LAMPS:
        towards = functional.normalize(unit_B3X.new_tensor(direction), dim=0)
        x, y, z = (towards[axis] * unit_B3X[:, axis : axis + 1] for axis in range(3))
        shading = shading + intensity * (x + y + z).clamp(min=0)
    return shading
