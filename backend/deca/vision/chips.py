"""Face chips: upright square pictures of faces, as face recognition networks expect them; differentiable.

Shape suffixes: B batch, L landmarks, H W rows and columns.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from deca.errors import OptionError

# Landmarks by which dlib's `get_face_chip_details` aligns (nose, eyes, upper lip; brows and lower lip move too much),
# and where the average face has them, in faces' sizes: dlib 19.24, image_transforms/interpolation.h (Boost licence).
_ALIGNED = (*range(27, 55), *range(60, 65))
# fmt: off
_AVERAGE_X = (
    0.490127, 0.490127, 0.490127, 0.490127, 0.36688, 0.426036, 0.490127, 0.554217, 0.613373,
    0.121737, 0.187122, 0.265825, 0.334606, 0.260918, 0.182743,
    0.645647, 0.714428, 0.793132, 0.858516, 0.79751, 0.719335,
    0.254149, 0.340985, 0.428858, 0.490127, 0.551395, 0.639268, 0.726104,
    0.290379, 0.428096, 0.490127, 0.552157, 0.689874,
)
_AVERAGE_Y = (
    0.203352, 0.307009, 0.409805, 0.515625, 0.587326, 0.609345, 0.628106, 0.609345, 0.587326,
    0.216423, 0.178758, 0.179852, 0.231733, 0.245099, 0.244077,
    0.231733, 0.179852, 0.178758, 0.216423, 0.244077, 0.245099,
    0.780233, 0.745405, 0.727388, 0.742578, 0.727388, 0.745405, 0.780233,
    0.784792, 0.778746, 0.785343, 0.778746, 0.784792,
)
# fmt: on
_PADDING = 0.25

_BOX_SIDE, _BOX_UP = 1.3, 0.05


def dlib_chip(image_B3HW: Tensor, landmarks_BL2: Tensor, size: int = 150) -> Tensor:
    """Chips (B, 3, size, size) as dlib cuts them (`get_face_chip_details`, padding 0.25): the similarity that takes an
    average face's landmarks to these with the least squares.

    Args:
        image_B3HW: Square pictures.
        landmarks_BL2: iBUG's 68, picture coordinates: x right, y down, [-1, 1] across the picture. No gradient.
        size: Side of the chips, pixels.

    Raises:
        OptionError: Pictures that are not square, or other landmarks.
    """
    _check(image_B3HW, landmarks_BL2)
    wanted_BL2 = landmarks_BL2.detach()[:, _ALIGNED]
    average_L2 = wanted_BL2.new_tensor([_AVERAGE_X, _AVERAGE_Y]).T
    # dlib counts pixel centres at whole numbers.
    chip_L2 = (average_L2 + _PADDING) / (1 + 2 * _PADDING) * 2 - 1 + 1 / size
    return _warp(image_B3HW, _similarity(chip_L2, wanted_BL2), size)


def box_chip(image_B3HW: Tensor, landmarks_BL2: Tensor, size: int = 224) -> Tensor:
    """Upright squares (B, 3, size, size) around faces, not turned with them: 1.3 times the box of the landmarks, and
    5 % higher, since the box ends at the brows.

    Args, raises: As `dlib_chip`.
    """
    _check(image_B3HW, landmarks_BL2)
    low_B2, high_B2 = landmarks_BL2.detach().aminmax(dim=1)
    half_B = (high_B2 - low_B2).mean(1) / 2 * _BOX_SIDE
    x_B, y_B = ((low_B2 + high_B2) / 2).unbind(1)
    zero_B = torch.zeros_like(half_B)
    y_B = y_B - 2 * half_B * _BOX_UP
    to_picture_B23 = torch.stack((half_B, zero_B, x_B, zero_B, half_B, y_B), -1).view(-1, 2, 3)
    return _warp(image_B3HW, to_picture_B23, size)


def _check(image_B3HW: Tensor, landmarks_BL2: Tensor) -> None:
    if image_B3HW.shape[-2] != image_B3HW.shape[-1]:
        raise OptionError(f"Chips are cut from square pictures, not from {tuple(image_B3HW.shape[-2:])}.")
    if landmarks_BL2.shape != (len(image_B3HW), 68, 2):
        raise OptionError(
            f"Chips need iBUG's 68 landmarks of each picture, {(len(image_B3HW), 68, 2)}; got"
            f" {tuple(landmarks_BL2.shape)}."
        )


def _similarity(from_L2: Tensor, to_BL2: Tensor) -> Tensor:
    """The similarity without reflection (B, 2, 3) that takes points to others with the least squares (Umeyama 1991)."""
    from_mean_2, to_mean_B2 = from_L2.mean(0), to_BL2.mean(1)
    from_L2, to_BL2 = from_L2 - from_mean_2, to_BL2 - to_mean_B2[:, None]
    squared = from_L2.square().sum()
    cos_B = (from_L2 * to_BL2).sum((1, 2)) / squared
    sin_B = (from_L2[:, 0] * to_BL2[..., 1] - from_L2[:, 1] * to_BL2[..., 0]).sum(1) / squared
    turn_B22 = torch.stack((cos_B, -sin_B, sin_B, cos_B), -1).view(-1, 2, 2)
    return torch.cat((turn_B22, (to_mean_B2 - turn_B22 @ from_mean_2)[..., None]), -1)


def _warp(image_B3HW: Tensor, to_picture_B23: Tensor, size: int) -> Tensor:
    """Squares of pictures, bilinear, black outside, from the matrices that take chip to picture coordinates."""
    grid_BHW2 = functional.affine_grid(to_picture_B23, [len(image_B3HW), 3, size, size], align_corners=False)
    return functional.grid_sample(image_B3HW, grid_BHW2.to(image_B3HW.dtype), align_corners=False)
