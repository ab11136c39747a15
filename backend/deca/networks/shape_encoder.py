"""The shape encoder: who a person is, to E_c's shape coefficients.

A recognition network knows people apart by what stays the same from photo to photo, which is also what a head's shape
is (MICA: Zielonka et al. 2022); the landmark network knows where things are, with its own habits. DECA has none: there
E_c gives the shape.

Shape suffixes: B batch, L landmarks (478), F features (8320), X inputs of the linear map, S shape coefficients.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deca.networks.face_descriptor import FaceFeatures
from deca.vision.chips import dlib_chip
from deca.vision.landmarks import IBUG_68, NUM_LANDMARKS
from deca_blender.protocol.conventions import CROP_SIZE

_RIGID = 468
"""The landmarks that the placement is measured on; those after them are the irises."""


class ShapeEncoder(nn.Module):
    """Features of a person's face chip, and landmarks -> shape coefficients, by a linear map.

    Landmarks are placed on the mean head first (rotation, shift and scale), so that what is left of them are
    differences of faces, and not where the face is and whereto it looks.

    Args:
        num_shape: Shape coefficients.

    Attributes:
        mean_L3: The mean head's landmarks: millimetres, x right, y up, z out of the face.
    """

    width = FaceFeatures.width + 3 * NUM_LANDMARKS
    mean_L3: Tensor

    def __init__(self, num_shape: int = 100) -> None:
        super().__init__()
        self.layer = nn.Linear(self.width, num_shape)
        self.register_buffer("mean_L3", torch.zeros(NUM_LANDMARKS, 3))

    def inputs(self, features_BF: Tensor, landmarks_BL3: Tensor) -> Tensor:
        """What the linear map reads (B, X): features, and the placed landmarks less the mean head's, millimetres."""
        offset_BL3 = place(landmarks_BL3, self.mean_L3) - self.mean_L3
        return torch.cat((features_BF, offset_BL3.flatten(1)), 1)

    def forward(self, features_BF: Tensor, landmarks_BL3: Tensor) -> Tensor:
        """Shape coefficients (B, S).

        Args:
            features_BF: `FaceFeatures` of the chips that `face_chips` cuts.
            landmarks_BL3: As the landmark network gives them, of any picture: x right, y down, z away.
        """
        return self.layer(self.inputs(features_BF, landmarks_BL3))


def face_chips(image_B3HW: Tensor, landmarks_BL3: Tensor) -> Tensor:
    """The chips (B, 3, 150, 150) that the features are of.

    Args:
        image_B3HW: DECA's crops, RGB 0..1.
        landmarks_BL3: Landmarks on them, pixels.
    """
    return dlib_chip(image_B3HW, landmarks_BL3[:, list(IBUG_68), :2] / (CROP_SIZE / 2) - 1)


def place(landmarks_BL3: Tensor, mean_L3: Tensor) -> Tensor:
    """Landmarks of pictures (B, L, 3) moved onto the mean's by the similarity with the least squares (Umeyama 1991)."""
    points_BL3 = landmarks_BL3 * landmarks_BL3.new_tensor((1.0, -1.0, -1.0))
    points_BL3 = points_BL3 - points_BL3[:, :_RIGID].mean(1, keepdim=True)
    middle_3 = mean_L3[:_RIGID].mean(0)
    wanted_L3 = mean_L3[:_RIGID] - middle_3
    u_B33, _, vt_B33 = torch.linalg.svd(points_BL3[:, :_RIGID].transpose(1, 2) @ wanted_L3)
    sign_B3 = torch.ones_like(u_B33[:, 0])
    sign_B3[:, 2] = torch.linalg.det(u_B33 @ vt_B33)  # a rotation, no mirror
    turned_BL3 = points_BL3 @ (u_B33 * sign_B3[:, None]) @ vt_B33
    overlap_B = (turned_BL3[:, :_RIGID] * wanted_L3).sum((1, 2))
    scale_B = overlap_B / turned_BL3[:, :_RIGID].square().sum((1, 2)).clamp(min=1e-12)
    return turned_BL3 * scale_B[:, None, None] + middle_3
