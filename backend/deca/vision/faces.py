"""Finds the faces on a photo: where the detectors look, the landmark network, and what counts as a face.

One look at the whole photo shows the detector faces of about a sixth of its longer side. Smaller ones are looked for on
larger and larger copies of the photo, from coarse to fine, and only as long as they can be among the faces asked for:
the places where a face may be are checked in the order of their prominence, and a finer look cannot find a face that
is more prominent than its limit. So the first faces are the same however many are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
import torch

from deca.vision.detector import MIN_SCORE, Detection, FaceDetector, box_overlap
from deca.vision.geometry import Region, scaled
from deca.vision.landmarks import LandmarkNet, eye_line_angle, region_of
from deca.vision.photo import Photo

MIN_PRESENCE = 0.5
NO_PRESENCE = 0.02  # below this after any pass there is no face, and the passes that follow are saved
# The short-range detector gives upright faces 0.85 and more. It also fires, with less, on faces that lie on their side
# or stand on their head, and then takes the chin for the forehead: below this score it looks at the other orientations.
SURE_SCORE = 0.85
# A face that was found with less is looked at again, upright and large, and must then score this.
MIN_SECOND_SCORE = 0.75
SECOND_LOOK = 1.3  # side of the square looked at, in sides of the landmark network's region
SAME_FACE = 0.3  # overlap (intersection over union) of two boxes from which on they are of one face
UPRIGHT = np.pi / 4  # a face that is turned by less shows that the photo is held upright
TURNS = (np.pi / 2, np.pi, -np.pi / 2)
PADDING = 1.5  # a face that fills the whole photo is found once there is some room around it
# Each pass of the landmark network reads the region that the pass before asks for. On in-the-wild photos, turned,
# shifted and scaled at random, the landmarks of 1, 2, 3 and 4 passes spread by 0.71, 0.34, 0.19 and 0.15 % of the outer
# eye distance.
PASSES = 3
# From a start that was further off the passes run once more. On 171 photos of LFW the detector's angle was at most 6
# degrees off and its side by a factor of 1.24; a face at the limit of its sight can be off by 50 degrees.
FAR_ANGLE, FAR_SIDE = np.radians(15), 1.3
SMALLEST_FACE = 60  # width from jaw to jaw of the smallest face that is looked for, pixels of the photo
SCANNED_PIXELS = 24_000_000  # what is looked through at that size; of a larger photo a copy with so many pixels
# Of 60 upright faces on textures the short-range detector finds, by their width in pixels of its picture, 16: 70 %,
# 18: 90 %, 20 to 112: all. The square that it hands to the landmark network is 1.4 times as wide as the face.
SCANNED_FACE = 20
# Squares of this side and more (a face of 27) are not missed by the coarser look, so a finer one is not needed.
SEEN_SIDE = 38
SCAN_STEP = 3  # between one size of the photo's copies and the next
# Upright, the detector gives faces that lie or stand on their head 0.3 and more (3 x 160 of them, 20 to 40 pixels wide,
# on textures). So only where it gives this it looks once more, turned, at a square with the face at a good size.
HINT_SCORE = 0.25
HINT_AROUND = 2.5  # sides of the square that the landmark network would read
HINT_SIZE = 80  # pixels of the square, 23 of the face


_Look = tuple[list[Detection], Callable[[], list[Detection]]]
"""What a look sees, and what it sees turned by 90, 180 and 270 degrees, found out when asked."""


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


def smallest_face(photo: Photo) -> int:
    """Width of the smallest face that `find_faces` can be relied on to find, pixels of the photo."""
    return round(SMALLEST_FACE * max(1.0, (photo.width * photo.height / SCANNED_PIXELS) ** 0.5))


def find_faces(
    photo: Photo, max_faces: int = 8, device: str | torch.device = "cpu", passes: int = PASSES
) -> list[DetectedFace]:
    """Finds the faces on a photo, small and turned ones included.

    The detector looks at the photo as a whole, then with room around it; where it is not sure, also turned by 90, 180
    and 270 degrees. Then it looks for smaller faces down to `smallest_face`, turned where no upright face was found.

    Args:
        photo: The photo.
        max_faces: Return at most this many. The faces are those that a larger number would give first; looks for
            faces that cannot be among them are left out.
        device: torch device.
        passes: Runs of the landmark network per face; fewer are faster and less steady.

    Returns:
        The faces, largest and most central first. Empty when there is none.

    Raises:
        AssetError: The networks' weights are missing or damaged.
    """
    device = str(device)
    search = _Search(photo, passes, device)
    for padding in (1.0, PADDING):
        search.add(_overview(photo, padding, device))
        if any(search.faces()):
            break
    for limit, look in _finer_looks(photo, device):
        if len(list(search.faces(limit))) >= max_faces:
            break
        upright, turned = look()
        search.add(upright, limit)
        if not any(abs(face.roll) < UPRIGHT for face in search.faces()):
            search.add(turned(), limit)
    return search.most_prominent(max_faces)


@dataclass
class _Search:
    """Places where detectors saw a face, and those that the landmark network found to be one, by their prominence."""

    photo: Photo
    passes: int
    device: str
    places: list[tuple[float, list[Detection]]] = field(default_factory=list)
    found: list[tuple[float, DetectedFace]] = field(default_factory=list)

    def add(self, detections: list[Detection], limit: float = np.inf) -> None:
        """Adds what one look saw; none of it counts as more prominent than `limit`."""
        detections = sorted(detections, key=lambda d: -d.score)
        boxes = [_square_box(d.region) for d in detections]
        first = _distinct(boxes)
        places: dict[int, list[Detection]] = {i: [] for i in first}
        for detection, box in zip(detections, boxes, strict=True):
            overlaps = box_overlap(box, np.stack([boxes[i] for i in first]))
            places[first[int(overlaps.argmax())]].append(detection)
        self.places += [(min(_prominence(self.photo, place[0].region), limit), place) for place in places.values()]
        self.places.sort(key=lambda item: -item[0])

    def faces(self, least: float = 0.0) -> Iterator[DetectedFace]:
        """The faces of at least this prominence; those not yet looked at follow, most prominent first."""
        yield from [face for prominence, face in self.found if prominence >= least]
        while self.places and self.places[0][0] >= least:
            prominence, place = self.places.pop(0)
            face = self._check(place)
            if face is not None:
                self.found.append((prominence, face))
                yield face

    def most_prominent(self, count: int) -> list[DetectedFace]:
        """The most prominent faces; looks at no place that cannot be among them."""
        for prominence in [prominence for prominence, _ in self.places]:
            if sum(p >= prominence for p, _ in self.found) >= count:
                break
            list(self.faces(prominence))
        return [face for _, face in sorted(self.found, key=lambda item: -item[0])][:count]

    def _check(self, place: list[Detection]) -> DetectedFace | None:
        """The face at a place, in the first of the orientations, best score first, that turns out to be one."""
        for detection in place:
            if self._is_known(_square_box(detection.region)):
                return None
            face = _landmarks(self.photo, detection, self.passes, self.device)
            if face is not None and not self._is_known(face.box):
                return face
        return None

    def _is_known(self, box: npt.NDArray[np.floating]) -> bool:
        return any(box_overlap(box, face.box[None])[0] > SAME_FACE for _, face in self.found)


def _overview(photo: Photo, padding: float, device: str) -> list[Detection]:
    """What the detectors see on the photo as a whole."""
    height, width = photo.overview.shape[:2]
    centre, side = (width / 2, height / 2), padding * max(width, height)

    def look(angle: float) -> list[Detection]:
        square = Region(centre, side, angle)
        found = face_detector("short", device).detect(photo.overview, square)
        return found or face_detector("full", device).detect(photo.overview, square)

    found = look(0)
    if not found or max(d.score for d in found) < SURE_SCORE:
        found = found + [detection for angle in TURNS for detection in look(angle)]
    return [Detection(scaled(d.region, photo.width / width), d.score) for d in found]


def _finer_looks(photo: Photo, device: str) -> Iterator[tuple[float, Callable[[], _Look]]]:
    """Looks for faces too small for the overview, from coarse to fine.

    Yields:
        Prominence from which on the looks before miss no face; the look.
    """
    scale = face_detector("short", device).graph.size / max(photo.width, photo.height)
    yield SEEN_SIDE / scale, partial(_look_closer, photo, device)
    finest = SCANNED_FACE / smallest_face(photo)
    steps = int(np.ceil(np.log(finest / scale) / np.log(SCAN_STEP)))
    for step in reversed(range(steps)):
        limit, scale = SEEN_SIDE / scale, finest / SCAN_STEP**step
        yield limit, partial(_scan, photo, scale, device)


def _look_closer(photo: Photo, device: str) -> _Look:
    """What the detector for small faces sees on the photo as a whole."""
    height, width = photo.overview.shape[:2]

    def look(angle: float) -> list[Detection]:
        square = Region((width / 2, height / 2), max(width, height), angle)
        found = face_detector("full", device).detect(photo.overview, square)
        return [Detection(scaled(d.region, photo.width / width), d.score) for d in found]

    return look(0), lambda: [detection for angle in TURNS for detection in look(angle)]


def _scan(photo: Photo, scale: float, device: str) -> _Look:
    """What the detector for large faces sees anywhere on a copy of the photo."""
    size = max(round(photo.width * scale), 1), max(round(photo.height * scale), 1)
    source = photo.pixels if size[0] > photo.overview.shape[1] else photo.overview  # which is quicker to scale down
    copy = np.asarray(cv2.resize(source, size, interpolation=cv2.INTER_AREA), np.uint8)
    detector = face_detector("short", device)
    hints = detector.scan(copy, HINT_SCORE)

    def on_photo(found: list[Detection]) -> list[Detection]:
        return [Detection(scaled(d.region, photo.width / size[0]), d.score) for d in found]

    def turned() -> list[Detection]:
        squares = [Region(d.region.centre, HINT_AROUND * d.region.side, angle) for d in hints for angle in TURNS]
        return on_photo(detector.detect_each(copy, squares, HINT_SIZE))

    return on_photo([d for d in hints if d.score > MIN_SCORE]), turned


def _landmarks(photo: Photo, detection: Detection, passes: int, device: str) -> DetectedFace | None:
    """Runs the landmark network on what a detector saw; None when it turns out to be no face."""
    net = landmark_net(device)
    region = detection.region
    for _ in range(2):
        start = region
        for _ in range(passes):
            (points_L3,), (presence,) = net.locate(photo.pixels, [region])
            region = region_of(points_L3)
            if presence < NO_PRESENCE:
                return None
        if not _is_far(start, region):
            break
    score = detection.score
    if presence > MIN_PRESENCE and score < SURE_SCORE:
        score = second_look(photo, points_L3, device)
    if presence <= MIN_PRESENCE or score <= MIN_SECOND_SCORE:
        return None
    box = np.concatenate([points_L3[:, :2].min(0), points_L3[:, :2].max(0)])
    return DetectedFace(points_L3, box, score, float(presence), eye_line_angle(points_L3))


def second_look(photo: Photo, points_L3: npt.NDArray[np.float32], device: str) -> float:
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


def _is_far(start: Region, end: Region) -> bool:
    ratio = end.side / start.side
    return np.cos(end.angle - start.angle) < np.cos(FAR_ANGLE) or not 1 / FAR_SIDE < ratio < FAR_SIDE


def _square_box(region: Region) -> npt.NDArray[np.float64]:
    x, y = region.centre
    half = region.side / 3  # the face itself, without the margin of 1.5
    return np.array([x - half, y - half, x + half, y + half])


def _prominence(photo: Photo, region: Region) -> float:
    """Size of a face, up to halved towards the photo's corners."""
    x, y = region.centre[0] / photo.width - 0.5, region.centre[1] / photo.height - 0.5
    return float(region.side * (1 - 0.5 * min(np.hypot(x, y) / np.hypot(0.5, 0.5), 1)))


def _distinct(boxes: list[npt.NDArray[np.floating]]) -> list[int]:
    """Indices of the boxes that do not overlap an earlier one of them."""
    kept: list[int] = []
    for i, box in enumerate(boxes):
        if not kept or box_overlap(box, np.stack([boxes[k] for k in kept])).max() < SAME_FACE:
            kept.append(i)
    return kept
