"""Finds the faces on a photo: detector, landmark network, and the order in which they are tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from deca.vision.detector import Detection, FaceDetector, box_overlap
from deca.vision.geometry import Region
from deca.vision.landmarks import LandmarkNet, eye_line_angle, region_of
from deca.vision.photo import Photo

MIN_PRESENCE = 0.5
# The short-range detector gives upright faces 0.85 and more. It also fires, with less, on faces that lie on their side
# or stand on their head, and then takes the chin for the forehead: below this score it looks at the other orientations.
SURE_SCORE = 0.85
# A face that was found with less is looked at again, upright and large, and must then score this.
MIN_SECOND_SCORE = 0.75
SECOND_LOOK = 1.3  # side of the square looked at, in sides of the landmark network's region
PADDING = 1.5  # a face that fills the whole photo is found once there is some room around it
# Each pass of the landmark network reads the region that the pass before asks for. On in-the-wild photos, turned,
# shifted and scaled at random, the landmarks of 1, 2, 3 and 4 passes spread by 0.71, 0.34, 0.19 and 0.15 % of the outer
# eye distance.
PASSES = 3


@dataclass(frozen=True, eq=False)
class DetectedFace:
    """One face; all lengths in pixels of the upright photo.

    Attributes:
        landmarks_L3: (478, 3) float32, MediaPipe's points: x, y, and the depth z in the same scale (smaller is nearer,
            0 near the head's centre of rotation).
        box: (4,) float32: left, top, right, bottom of the landmarks.
        score: The detector's confidence, 0..1.
        presence: The landmark network's confidence that these are landmarks of a face, 0..1.
        roll: In-plane rotation of the eye line, radians, positive clockwise on the screen, -pi..pi.
    """

    landmarks_L3: npt.NDArray[np.float32]
    box: npt.NDArray[np.float32]
    score: float
    presence: float
    roll: float


@cache
def face_detector(model: Literal["short", "full"] = "short", device: str = "cpu") -> FaceDetector:
    """The detector, loaded once per device.

    Raises:
        AssetError: Its weights are missing or damaged.
    """
    return FaceDetector(model).to(device).eval()


@cache
def landmark_net(device: str = "cpu") -> LandmarkNet:
    """The landmark network, loaded once per device.

    Raises:
        AssetError: Its weights are missing or damaged.
    """
    return LandmarkNet().to(device).eval()


def find_faces(
    photo: Photo, max_faces: int = 8, device: str | torch.device = "cpu", passes: int = PASSES
) -> list[DetectedFace]:
    """Finds the faces on a photo, turned ones included.

    The detector looks at the photo as it is, then with room around it; where it is not sure, also turned by 90, 180 and
    270 degrees.

    Args:
        photo: The photo.
        max_faces: Return at most this many. With 1 the detector for small faces runs only when the other finds none.
        device: torch device.
        passes: Runs of the landmark network per face; fewer are faster and less steady.

    Returns:
        The faces, largest and most central first. Empty when there is none.

    Raises:
        AssetError: The networks' weights are missing or damaged.
    """
    device = str(device)
    scale = photo.width / photo.overview.shape[1]
    for padding in (1.0, PADDING):
        detections = _detect(photo, padding, max_faces > 1, device)
        detections = [Detection(_scaled(d.region, scale), d.score) for d in detections]
        detections.sort(key=lambda d: _prominence(photo, d.region.centre, d.region.side), reverse=True)
        faces = _landmarks(photo, detections[: 2 * max_faces], passes, device)
        if faces:
            faces.sort(
                key=lambda f: _prominence(photo, (f.box[:2] + f.box[2:]) / 2, max(f.box[2:] - f.box[:2])), reverse=True
            )
            return faces[:max_faces]
    return []


def _detect(photo: Photo, padding: float, small_faces: bool, device: str) -> list[Detection]:
    """Detections on the overview, each face once, in the orientation where it scores best."""
    height, width = photo.overview.shape[:2]
    centre, side = (width / 2, height / 2), padding * max(width, height)

    def look(angle: float) -> list[Detection]:
        square = Region(centre, side, angle)
        found = face_detector("short", device).detect(photo.overview, square)
        if small_faces or not found:
            found = found + face_detector("full", device).detect(photo.overview, square)
        return found

    found = look(0)
    if not found or max(d.score for d in found) < SURE_SCORE:
        for angle in (np.pi / 2, np.pi, -np.pi / 2):
            found = found + look(angle)
    found.sort(key=lambda d: -d.score)
    return [found[i] for i in _distinct([_square_box(d.region) for d in found])]


def _landmarks(photo: Photo, detections: list[Detection], passes: int, device: str) -> list[DetectedFace]:
    """Runs the landmark network on each detection and drops what turns out to be no face, or a face found before."""
    if not detections:
        return []
    net = landmark_net(device)
    points_BL3, presence_B = net.locate(photo.pixels, [d.region for d in detections])
    for _ in range(passes - 1):
        points_BL3, presence_B = net.locate(photo.pixels, [region_of(points_L3) for points_L3 in points_BL3])
    faces = []
    for points_L3, presence, detection in zip(points_BL3, presence_B, detections, strict=True):
        score = detection.score
        if presence > MIN_PRESENCE and score < SURE_SCORE:
            score = _second_look(photo, points_L3, device)
        if presence > MIN_PRESENCE and score > MIN_SECOND_SCORE:
            box = np.concatenate([points_L3[:, :2].min(0), points_L3[:, :2].max(0)])
            faces.append(DetectedFace(points_L3, box, score, float(presence), eye_line_angle(points_L3)))
    faces.sort(key=lambda face: -face.score)
    return [faces[i] for i in _distinct([face.box for face in faces])]


def _second_look(photo: Photo, points_L3: npt.NDArray[np.float32], device: str) -> float:
    """The detector's score for the face under these landmarks when it sees them upright and large; 0 when it disagrees.

    The landmark network draws a face into whatever it is given and is sure of it, upside down as well; this tells.
    """
    wanted = region_of(points_L3)
    square = Region(wanted.centre, SECOND_LOOK * wanted.side, wanted.angle)
    for detection in face_detector("short", device).detect(photo.pixels, square):
        overlap = box_overlap(_square_box(wanted), _square_box(detection.region)[None])[0]
        if overlap > 0.4 and np.cos(detection.region.angle - wanted.angle) > np.cos(np.radians(30)):
            return detection.score
    return 0.0


def _scaled(region: Region, scale: float) -> Region:
    x, y = region.centre
    return Region((x * scale, y * scale), region.side * scale, region.angle)


def _square_box(region: Region) -> npt.NDArray[np.float64]:
    x, y = region.centre
    half = region.side / 3  # the face itself, without the margin of 1.5
    return np.array([x - half, y - half, x + half, y + half])


def _prominence(photo: Photo, centre: Sequence[float] | npt.NDArray[np.floating], side: float) -> float:
    """Size of a face, up to halved towards the photo's corners."""
    x, y = centre[0] / photo.width - 0.5, centre[1] / photo.height - 0.5
    return float(side * (1 - 0.5 * min(np.hypot(x, y) / np.hypot(0.5, 0.5), 1)))


def _distinct(boxes: list[npt.NDArray[np.floating]]) -> list[int]:
    """Indices of the boxes that do not overlap an earlier one of them."""
    kept: list[int] = []
    for i, box in enumerate(boxes):
        if not kept or box_overlap(box, np.stack([boxes[k] for k in kept])).max() < 0.3:
            kept.append(i)
    return kept
