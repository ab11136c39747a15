"""Follows one face through the frames of a video: the last frame's landmarks say where to look, not the detector."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from deca.vision.faces import MIN_PRESENCE, MIN_SECOND_SCORE, find_faces, landmark_net, second_look
from deca.vision.geometry import Region
from deca.vision.landmarks import region_of
from deca.vision.photo import Photo

LOOK_AGAIN_S = 0.25
"""While no face is there, the detector looks at a frame so often: it takes ten times as long as following a face."""
CHECK_S = 1.0
"""So often the detector confirms that what is followed is a face: the landmark network draws one into anything."""
_MAX_GROWTH = 1.5
"""A face that seems to grow or shrink by more from one frame to the next is none."""


class FaceTracker:
    """Landmarks of one face, frame after frame.

    Args:
        face: Which of the faces on the frame where it is found, the most prominent first.
        device: Torch device of the networks.
    """

    def __init__(self, face: int = 0, device: str | torch.device = "cpu") -> None:
        self._face, self._device = face, str(device)
        self._region: Region | None = None  # where it was seen last
        self._is_lost = True
        self._looked_at = self._checked_at = -np.inf

    def follow(self, pixels: NDArray[np.uint8], time: float) -> NDArray[np.float32] | None:
        """The face's landmarks (478, 3) on the next frame, pixels, as `DetectedFace` has them; None without a face.

        Args:
            pixels: (H, W, 3) uint8, sRGB, upright.
            time: The frame's, seconds; frames come in their order.
        """
        points_L3 = self._followed(pixels, time) if self._region is not None else None
        was_lost, self._is_lost = self._is_lost, points_L3 is None
        if points_L3 is not None or (was_lost and time - self._looked_at < LOOK_AGAIN_S):
            return points_L3
        return self._found(pixels, time)

    def _followed(self, pixels: NDArray[np.uint8], time: float) -> NDArray[np.float32] | None:
        """The face where it was seen last: what covers a face for a moment is gone soon."""
        assert self._region is not None
        (points_L3,), (presence,) = landmark_net(self._device).locate(pixels, [self._region])
        region = region_of(points_L3)
        if presence < MIN_PRESENCE or not 1 / _MAX_GROWTH < region.side / self._region.side < _MAX_GROWTH:
            return None
        if self._is_lost or time - self._checked_at >= CHECK_S:
            if second_look(Photo(pixels), points_L3, self._device) < MIN_SECOND_SCORE:
                return None
            self._checked_at = time
        self._region = region
        return points_L3

    def _found(self, pixels: NDArray[np.uint8], time: float) -> NDArray[np.float32] | None:
        faces = find_faces(Photo(pixels), self._face + 1, self._device)
        self._looked_at = self._checked_at = time
        if len(faces) <= self._face:
            return None
        points_L3 = faces[self._face].landmarks_L3
        self._region, self._is_lost = region_of(points_L3), False
        return points_L3
