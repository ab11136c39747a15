"""The coarse codes of DECA: what E_c regresses from a picture (Feng et al. 2021, Section 4.1).

Shape suffixes: B batch, S shape, A albedo and E expression coefficients, J joints (5), 93 light: 9 bands of RGB.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from deca.errors import OptionError


@dataclass(frozen=True)
class CodeSizes:
    """How many coefficients each code has; DECA's by default.

    Attributes:
        shape, albedo, expression: Coefficients of the head and albedo models.
        detail: The detail code of E_d, which is not among the coarse codes.
    """

    shape: int = 100
    albedo: int = 50
    expression: int = 50
    detail: int = 128
    pose: ClassVar[int] = 6
    camera: ClassVar[int] = 3
    light: ClassVar[int] = 27

    def __post_init__(self) -> None:
        if not all(isinstance(size, int) and size >= 0 for size in (*self.coarse, self.detail)):
            raise OptionError(f"Code sizes must be whole numbers from 0, got {self}.")

    @property
    def coarse(self) -> tuple[int, ...]:
        """Sizes in the order E_c gives them: shape, albedo, expression, pose, camera, light."""
        return self.shape, self.albedo, self.expression, self.pose, self.camera, self.light

    @property
    def num_coarse(self) -> int:
        """Length of E_c's output, 236 in DECA."""
        return sum(self.coarse)


@dataclass(frozen=True)
class Codes:
    """Coarse codes of B pictures.

    Attributes:
        shape_BS: Shape coefficients (beta).
        albedo_BA: Albedo coefficients (alpha).
        expression_BE: Expression coefficients (psi).
        global_pose_B3: Rotation of the root, axis-angle, radians.
        jaw_pose_B3: Rotation of the jaw, axis-angle, radians.
        camera_B3: `[s, tx, ty]` on the 224 x 224 crop (`deca.render.camera`).
        light_B93: Spherical harmonics coefficients, 9 bands of RGB.
    """

    shape_BS: Tensor
    albedo_BA: Tensor
    expression_BE: Tensor
    global_pose_B3: Tensor
    jaw_pose_B3: Tensor
    camera_B3: Tensor
    light_B93: Tensor

    @classmethod
    def split(cls, codes_BN: Tensor, sizes: CodeSizes) -> Codes:
        """Splits E_c's output.

        Raises:
            OptionError: Its length is not that of the sizes.
        """
        if codes_BN.ndim != 2 or codes_BN.shape[1] != sizes.num_coarse:
            raise OptionError(f"Codes must be (B, {sizes.num_coarse}) for {sizes}, got {tuple(codes_BN.shape)}.")
        shape, albedo, expression, pose, camera, light = codes_BN.split(sizes.coarse, 1)
        return cls(shape, albedo, expression, pose[:, :3], pose[:, 3:], camera, light.reshape(-1, 9, 3))

    def pack(self) -> Tensor:
        """The inverse of `split`: (B, N)."""
        pose = (self.global_pose_B3, self.jaw_pose_B3)
        parts = (self.shape_BS, self.albedo_BA, self.expression_BE, *pose, self.camera_B3, self.light_B93.flatten(1))
        return torch.cat(parts, 1)

    @property
    def pose_BJ3(self) -> Tensor:
        """Full pose (B, 5, 3): root, neck, jaw, left eye, right eye; neck and eyes at rest."""
        rest = torch.zeros_like(self.jaw_pose_B3)
        return torch.stack((self.global_pose_B3, rest, self.jaw_pose_B3, rest, rest), 1)
