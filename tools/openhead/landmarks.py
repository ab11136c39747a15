"""Where the 68 iBUG and the 478 MediaPipe landmarks lie on the head.

MediaPipe defines its points by what its network answers, so the network is asked: it looks at portraits of several
people of the shape space from several sides, and its answers are traced back to the surface and averaged. On photos it
answers a little otherwise: a table of how much (`tools/measure_landmark_places.py`) moves the points. Where
geometry knows better, geometry decides: lid edges, lip lines, irises, and the outline of the face (`outline.py`).

Shape suffixes: V vertices, F triangles, L landmarks, R renders.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from deca.head import HeadModel, Part, SurfacePoints
from deca.vision import Photo, find_faces
from deca.vision.landmarks import NUM_LANDMARKS

from .feature_lines import inner_lip_points, iris_points, lid_points, lip_outline
from .outline import Outline, contour_table, frontal_points
from .portrait import Look, View, paint, posed_verts
from .surface import MIRROR, Surface

# MediaPipe's indices, on the subject's left (+x); the right half follows from the pairing of the points.
UPPER_LID = (466, 388, 387, 386, 385, 384, 398)
LOWER_LID = (249, 390, 373, 374, 380, 381, 382)
EYE_CORNERS_LEFT = (362, 263)
UPPER_LIP_INNER = (191, 80, 81, 82, 13, 312, 311, 310, 415)
LOWER_LIP_INNER = (95, 88, 178, 87, 14, 317, 402, 318, 324)
LIP_CORNERS, LIP_CORNERS_INNER = (61, 291), (78, 308)
UPPER_LIP_OUTER = (185, 40, 39, 37, 0, 267, 269, 270, 409)
LOWER_LIP_OUTER = (146, 91, 181, 84, 17, 314, 405, 321, 375)
FACE_OVAL = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152)
FACE_OVAL += (148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)
IRIS_LEFT = range(473, 478)
CHIN = 152
# Angle of the four ring points on the picture, right to left and upwards positive, degrees.
IRIS_ANGLES = (0.0, 90.0, 180.0, 270.0)

# iBUG 17..67: brows, nose, eyes, outer lips, inner lips.
IBUG_FROM_MEDIAPIPE = (
    *(70, 63, 105, 66, 107, 336, 296, 334, 293, 300),
    *(168, 197, 5, 4, 98, 97, 2, 326, 327),
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),
    *(78, 81, 13, 311, 308, 402, 14, 178),
)

PLACES = Path(__file__).with_name("landmark_places.csv")
"""Where the network puts its points on photos, less where it puts them on painted portraits."""

_PEOPLE = 8
_SIZE = 400  # pixels of a portrait; the network looks at 192 of the face
_VIEWS = ((0, 0), (0, 8), (0, -8), (10, 0), (-10, 0), (25, 0), (-25, 0))
_MIN_FACING = 0.25  # cosine between surface and view below which a traced point is worthless


@dataclass(frozen=True)
class Sightings:
    """The network's answers, traced back to the mean head.

    Attributes:
        points_RL3: Positions on the mean head, metres; NaN where a point could not be traced.
        pairs_L: MediaPipe's left-right pairing, an involution.
    """

    points_RL3: NDArray[np.float64]
    pairs_L: NDArray[np.int64]

    def both_sides(self) -> NDArray[np.float64]:
        """The sightings and, for every point, the reflected sightings of its partner: (2R, L, 3)."""
        return np.concatenate((self.points_RL3, self.points_RL3[:, self.pairs_L] * MIRROR))


def build_landmarks(head: HeadModel, eye_corners_23: NDArray) -> dict[str, NDArray]:
    """Places the landmarks on a head model that has a mirror map, parts and UV masks.

    Args:
        head: The mean head.
        eye_corners_23: The left eye's inner and outer corner, metres.

    Returns:
        The tensors lmk68_*, contour_* and mp_* of docs/architecture.md.
    """
    outline = Outline(head, Surface(head))
    mediapipe = place_mediapipe(head, outline, eye_corners_23, observe(head), read_places(PLACES))
    contour = contour_table(outline)
    fixed = SurfacePoints(mediapipe.faces[list(IBUG_FROM_MEDIAPIPE)], mediapipe.bary[list(IBUG_FROM_MEDIAPIPE)])
    tensors = {}
    for name, points in (
        ("mp", mediapipe),
        ("contour", contour),
        ("lmk68", _joined(SurfacePoints(contour.faces[0], contour.bary[0]), fixed)),
    ):
        tensors[f"{name}_face"] = points.faces.astype(np.int32)
        tensors[f"{name}_bary"] = points.bary.astype(np.float32)
    return tensors


def observe(head: HeadModel, people: int = _PEOPLE, seed: int = 7) -> Sightings:
    """Shows portraits of random people to the landmark network and traces its answers to the mean head."""
    rng = np.random.default_rng(seed)
    sightings, answers = [], []
    for person in range(people):
        shape = rng.normal(0, 0.7, min(50, head.shape_dirs_V3S.shape[2]))
        look = Look.random(seed + person)
        for yaw, pitch in _VIEWS:
            pose = np.zeros((5, 3))
            pose[0] = np.radians((pitch, yaw, 0))
            points_L3, answer_L3 = _sighting(head, posed_verts(head, shape, None, pose), look)
            sightings.append(points_L3)
            if yaw == 0:
                answers.append(answer_L3)
    return Sightings(np.stack(sightings), _pairing(np.mean(answers, axis=0)))


def _sighting(head: HeadModel, verts_V3: NDArray, look: Look) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What the network sees on one portrait.

    Returns:
        Positions (L, 3) on the mean head, NaN where there is no surface or it is seen at a glancing angle; the
        network's own answer (L, 3), centred, in pixels, x right and y down.
    """
    face = verts_V3[head.parts_V == Part.EYE_L].mean(0) + verts_V3[head.parts_V == Part.EYE_R].mean(0)
    view = View(span=0.28, centre=(float(face[0] / 2), float(face[1] / 2) - 0.02))
    portrait = paint(head, verts_V3, view=view, look=look, size=_SIZE)
    found = find_faces(Photo(portrait.image_HW3, "portrait"), max_faces=1)
    if not found:
        raise ValueError("the landmark network takes a portrait for no face")
    pixels_L2 = found[0].landmarks_L3[:, :2]
    column, row = np.clip(pixels_L2.astype(int), 0, _SIZE - 1).T
    face_L, bary_L3 = portrait.face_HW[row, column], portrait.bary_HW3[row, column]
    corners_L3 = head.faces_F3[face_L]
    seen = verts_V3[corners_L3]
    normal = np.cross(seen[:, 1] - seen[:, 0], seen[:, 2] - seen[:, 0])
    facing = normal[:, 2] / (np.linalg.norm(normal, axis=1) + 1e-12)
    points_L3 = (head.template_V3[corners_L3].astype(np.float64) * bary_L3[..., None]).sum(1)
    points_L3[(face_L < 0) | (facing < _MIN_FACING)] = np.nan
    return points_L3, found[0].landmarks_L3 - found[0].landmarks_L3[:, :1].mean() * np.array([1.0, 0.0, 0.0])


def _pairing(mean_L3: NDArray) -> NDArray[np.int64]:
    """MediaPipe's left-right partner of every point, from the network's mean answer on faces seen from the front."""
    distance_LL = np.linalg.norm((mean_L3 * MIRROR)[:, None] - mean_L3[None], axis=2)
    pairs_L = linear_sum_assignment((distance_LL + distance_LL.T) ** 2)[1]
    if not np.array_equal(pairs_L[pairs_L], np.arange(NUM_LANDMARKS)):
        odd = np.flatnonzero(pairs_L[pairs_L] != np.arange(NUM_LANDMARKS))
        raise ValueError(f"the landmarks {odd.tolist()} have no clear left-right partner")
    return pairs_L


def read_places(path: Path) -> NDArray[np.float64]:
    """The table of photo places: displacements (478, 3) on the mean head, metres; zero where there is no table."""
    if not path.exists():
        return np.zeros((NUM_LANDMARKS, 3))
    return np.loadtxt(path, delimiter=",") * 1e-3


def write_places(path: Path, moved_L3: NDArray, provenance: str) -> None:
    """Writes the table, in millimetres, with a line on how it was measured."""
    np.savetxt(path, 1e3 * moved_L3 + 0.0, fmt="%.2f", delimiter=",", header=f"x, y, z in millimetres. {provenance}")


def place_mediapipe(
    head: HeadModel,
    outline: Outline,
    eye_corners_23: NDArray,
    sightings: Sightings,
    moved_L3: NDArray | None = None,
) -> SurfacePoints:
    """The 478 points as triangles and barycentrics, mirror-symmetric.

    Args:
        head, outline: The mean head.
        eye_corners_23: The left eye's inner and outer corner, metres.
        sightings: Where portraits place the points.
        moved_L3: How far photos move them from there, metres. On lines that geometry decides, only along the line.
    """
    surface = outline.surface
    pairs_L = sightings.pairs_L
    mean_L3 = geometric_median(sightings.both_sides())
    if moved_L3 is not None:
        mean_L3 = mean_L3 + moved_L3
    mean_L3 = (mean_L3 + mean_L3[pairs_L] * MIRROR) / 2
    faces = np.zeros(NUM_LANDMARKS, np.int64)
    bary = np.zeros((NUM_LANDMARKS, 3), np.float32)

    def put(indices: NDArray | list[int], points: SurfacePoints) -> None:
        faces[indices], bary[indices] = points.faces, points.bary

    middle = np.flatnonzero(pairs_L == np.arange(NUM_LANDMARKS))
    left = np.flatnonzero((mean_L3[:, 0] > 0) & (pairs_L != np.arange(NUM_LANDMARKS)))
    put(left, surface.nearest(mean_L3[left]))
    put(middle, surface.nearest_on_plane(mean_L3[middle]))

    for indices, points in _feature_points(head, outline, mean_L3):
        put(list(indices), points)
    # A ray through the network's corner may pass between the lids, and hit what does not move with them.
    put(list(EYE_CORNERS_LEFT), surface.nearest(eye_corners_23))
    aside = middle[np.abs(surface.positions(SurfacePoints(faces[middle], bary[middle]))[:, 0]) > 1e-7]
    put(aside, surface.nearest_on_plane(surface.positions(SurfacePoints(faces[aside], bary[aside]))))

    right = pairs_L[left]
    put(right, surface.mirrored(SurfacePoints(faces[left], bary[left])))
    return SurfacePoints(faces, bary)


def _feature_points(
    head: HeadModel, outline: Outline, mean_L3: NDArray
) -> Iterator[tuple[Sequence[int], SurfacePoints]]:
    """The left half's and the middle's points on lids, lips, iris and outline: their indices and where they go."""

    def left(indices: Sequence[int]) -> list[int]:
        return [k for k in indices if mean_L3[k, 0] > -1e-9]

    def xs(indices: Sequence[int]) -> NDArray:
        return mean_L3[list(indices), 0]

    mouth = mean_L3[list(UPPER_LIP_INNER + LOWER_LIP_INNER)].mean(0)
    upper, lower = left(UPPER_LID), left(LOWER_LID)
    yield from zip((upper, lower), lid_points(head, xs(upper), xs(lower)), strict=True)
    upper, lower = left(UPPER_LIP_OUTER), left(LOWER_LIP_OUTER)
    yield from zip((upper, lower), lip_outline(head, xs(upper), xs(lower), mouth), strict=True)
    upper, lower = left(UPPER_LIP_INNER), left(LOWER_LIP_INNER)
    yield from zip((upper, lower), inner_lip_points(head, xs(upper), xs(lower)), strict=True)
    yield IRIS_LEFT, iris_points(head, IRIS_ANGLES)
    jaw = [k for k in left(FACE_OVAL) if mean_L3[k, 1] < outline.eye_height and mean_L3[k, 0] > 1e-4]
    yield jaw, frontal_points(outline, mean_L3[jaw, :2])
    yield [CHIN], outline.chin


def geometric_median(points_RL3: NDArray, rounds: int = 30) -> NDArray[np.float64]:
    """The point (L, 3) with the least sum of distances to the sightings of each landmark (Weiszfeld's algorithm)."""
    present_RL1 = np.isfinite(points_RL3[..., :1])
    points_RL3 = np.nan_to_num(points_RL3)
    median_L3 = points_RL3.sum(0) / present_RL1.sum(0)
    for _ in range(rounds):
        distance_RL1 = np.linalg.norm(points_RL3 - median_L3, axis=2, keepdims=True)
        weight_RL1 = present_RL1 / np.maximum(distance_RL1, 1e-5)
        median_L3 = (points_RL3 * weight_RL1).sum(0) / weight_RL1.sum(0)
    return median_L3


def _joined(first: SurfacePoints, second: SurfacePoints) -> SurfacePoints:
    return SurfacePoints(np.append(first.faces, second.faces), np.concatenate((first.bary, second.bary)))
