"""MediaPipe's attention mesh (Grishchenko et al. 2020): 478 points on a face."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from deca.assets import asset
from deca.vision.geometry import Region, apply, sample
from deca.vision.graph import TensorGraph

NUM_LANDMARKS = 478
EYE_LEFT, EYE_RIGHT = 33, 263  # outer corners, left and right on an upright picture (the subject's right and left)
FOREHEAD, CHIN = 10, 152
# The 16 points around each eye opening whose mean depth the five points of the iris take.
EYE_RINGS = (
    (33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173),
    (263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398),
)
# The points nearest to iBUG's 68: jaw, brows, nose, eyes, mouth. On the jaw and the brows they mean other places.
# fmt: off
IBUG_68 = (
    162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389,
    71, 63, 105, 66, 107, 336, 296, 334, 293, 301,
    168, 197, 5, 4, 75, 97, 2, 326, 305,
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87,
)
# fmt: on


class LandmarkNet(nn.Module):
    """The 478-point network with attention to lips, eyes and irises."""

    def __init__(self) -> None:
        super().__init__()
        self.graph = TensorGraph(asset("vision/face_landmarks.safetensors"))
        lips, eye_left, eye_right = self.graph.attribute("landmarks_to_matrix", "subset")
        self._refined = {
            "output_lips": lips,
            "output_left_eye": eye_left,
            "output_right_eye": eye_right,
            "output_left_iris": list(range(468, 473)),
            "output_right_iris": list(range(473, 478)),
        }

    @torch.inference_mode()
    def forward(self, image_B3HW: Tensor) -> tuple[Tensor, Tensor]:
        """Landmarks of crops that show one upright face each.

        Args:
            image_B3HW: float32 in 0..1, 192 x 192.

        Returns:
            Points (B, 478, 3): x, y and z (smaller is nearer) in 0..1 of the crop's side; the probability (B,) that the
            crop shows a face.
        """
        out = self.graph(image_B3HW)
        mesh_BL3 = out["output_mesh_identity"].reshape(-1, 468, 3)
        points_BL3 = torch.cat([mesh_BL3, mesh_BL3.new_zeros(len(mesh_BL3), NUM_LANDMARKS - 468, 3)], 1)
        for name, indices in self._refined.items():
            points_BL3[:, indices, :2] = out[name].reshape(len(mesh_BL3), -1, 2)
        for first, ring in zip((468, 473), EYE_RINGS, strict=True):
            points_BL3[:, first : first + 5, 2] = mesh_BL3[:, ring, 2].mean(1, keepdim=True)
        return points_BL3 / self.graph.size, torch.sigmoid(out["conv_faceflag"].flatten())

    def locate(
        self, pixels: npt.NDArray[np.uint8], regions: list[Region]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Landmarks in pixels of the picture.

        Args:
            pixels: (H, W, 3) sRGB.
            regions: One square per face.

        Returns:
            Points (B, 478, 3): x, y in pixels, z in the same scale; the probability (B,) of a face.
        """
        crops = np.stack([sample(pixels, region, self.graph.size, cv2.BORDER_REPLICATE) for region in regions])
        device = next(self.graph.buffers()).device
        points, presence = self(torch.from_numpy(crops).to(device).permute(0, 3, 1, 2).float() / 255)
        points_BL3 = points.cpu().numpy()
        for points_L3, region in zip(points_BL3, regions, strict=True):
            points_L3[:, :2] = apply(region.to_picture(), points_L3[:, :2])
            points_L3[:, 2] *= region.side
        return points_BL3, presence.cpu().numpy()


def eye_line_angle(points_L3: npt.NDArray[np.floating]) -> float:
    """Direction from the left to the right eye on the picture, radians, positive clockwise."""
    dx, dy = points_L3[EYE_RIGHT, :2] - points_L3[EYE_LEFT, :2]
    return float(np.arctan2(dy, dx))


def region_of(points_L3: npt.NDArray[np.floating]) -> Region:
    """The square that the network expects around a face with these landmarks: 1.5 times their turned bounding box."""
    angle = eye_line_angle(points_L3)
    cos, sin = np.cos(angle), np.sin(angle)
    axes = np.array([[cos, sin], [-sin, cos]])
    turned_L2 = points_L3[:, :2] @ axes.T
    low, high = turned_L2.min(0), turned_L2.max(0)
    x, y = axes.T @ ((low + high) / 2)
    return Region((float(x), float(y)), float(1.5 * (high - low).max()), angle)
