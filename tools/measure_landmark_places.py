"""Measures where the landmark network puts its points on photos of real people -> tools/openhead/landmark_places.csv.

`openhead.landmarks` asks the network about painted portraits, on which it answers otherwise than on photos. Here the
mean head, with the points as portraits place them, is laid on photos of many people; expression, pose and camera
follow the landmarks. What the people's landmarks then have in common is where the points belong. The
head's builder moves them by the table. It belongs to a mean head: whoever changes that measures again:

    python tools/build_openhead.py --output HEAD
    python tools/measure_landmark_places.py --head HEAD --photos FOLDER [FOLDER ...]
    python tools/build_openhead.py

Photos are laid out as FOLDER/person/*.jpg; the first of each person to learn from (`data/people.py`) is
used. The table holds means over all people and nothing of a photo.

Shape suffixes: N photos, L landmarks.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "training")]

from deca.head import HeadModel, SurfacePoints, load_head  # noqa: E402
from deca.reconstruct.fit import FitResult, Guess, LandmarkSolver  # noqa: E402
from deca.reconstruct.fit_result import HELD  # noqa: E402
from deca.reconstruct.geometry import rotation  # noqa: E402
from deca.reconstruct.noise import FACE_OVAL, LandmarkNoise  # noqa: E402
from deca_blender.protocol.conventions import OPENHEAD  # noqa: E402
from deca_training.data.people import Landmarks, people_of, photos_of  # noqa: E402
from tools.openhead.landmarks import EYE_CORNERS_LEFT, PLACES, observe, place_mediapipe, write_places  # noqa: E402
from tools.openhead.outline import Outline  # noqa: E402
from tools.openhead.surface import MIRROR, Surface  # noqa: E402

ROUNDS = 3
"""Fits to the photos, each with the points moved by what the last one left."""

LOST = 0.04
"""Interior error, as a fraction of the outer-eye distance, beyond which a photo says nothing: something is in front."""

FARTHEST = 0.006
"""Metres that a point may move; more is a silhouette's doing, not the surface's."""

OUTLIER = 0.004
"""Metres beyond which a landmark on a photo counts for little."""

GRAZING = 0.05
"""Weight of leaving a point where it is, against the photos': it counts where the surface faces sideways."""

_BATCH = 16


def fitted(head: HeadModel, points: SurfacePoints, landmarks_NL2: NDArray, sizes_N2: NDArray) -> tuple[NDArray, ...]:
    """Lays the mean head on photos.

    Returns:
        What is left between detected and placed landmarks (M, L, 2), metres, x right, y up, of the photos that are not
        `LOST`; the head's rotations (M, 3, 3); expression coefficients and jaw opening (M, 51); the interior errors
        (N,).
    """
    # One shape coefficient, which is held, spares the time of a hundred.
    solver = LandmarkSolver(head, points, LandmarkNoise.plain(len(points.faces), 52), num_shape=1)
    left, turned, moving, errors = [], [], [], []
    for size in np.unique(sizes_N2, axis=0):
        same = np.flatnonzero((sizes_N2 == size).all(1))
        for rows in np.array_split(same, -(-len(same) // _BATCH)):
            guess = Guess(np.zeros((len(rows), 1)), np.zeros((len(rows), 0)), np.zeros((len(rows), 3)), HELD)
            result = solver.fit(landmarks_NL2[rows], (int(size[0]), int(size[1])), guess=guess)
            root_N33 = rotation(result.pose_B53[:, 0])
            placed_NL2 = placed(solver, result, root_N33)
            left.append((landmarks_NL2[rows] - placed_NL2) * (1, -1) / result.scale_B[:, None, None])
            turned.append(root_N33)
            moving.append(np.hstack((result.expression_BE, result.pose_B53[:, 2, :1])))
            errors.append(result.error_B)
    error_N = np.concatenate(errors)
    kept = error_N < LOST
    return *(np.concatenate(parts)[kept] for parts in (left, turned, moving)), error_N


def placed(solver: LandmarkSolver, result: FitResult, root_N33: NDArray) -> NDArray:
    """The fitted heads' landmarks (N, L, 2), photo pixels."""
    codes_NK = np.hstack((result.shape_BS, result.expression_BE))
    pose_N7 = np.hstack((result.pose_B53[:, 2], result.pose_B53[:, 3, :2], result.pose_B53[:, 4, :2]))
    points_NL3 = solver.reduced.positions(codes_NK, pose_N7) @ root_N33.transpose(0, 2, 1)
    points_NL3 += (solver.reduced.root_3 + codes_NK @ solver.reduced.root_dirs_K3)[:, None]
    return result.scale_B[:, None, None] * points_NL3[..., :2] * (1, -1) + result.offset_B2[:, None]


def common_move(left_NL2: NDArray, root_N33: NDArray, normal_L3: NDArray) -> NDArray:
    """The move (L, 3) over the surface, metres, that explains best what all photos leave."""
    up_L3 = np.array([0, 1, 0]) - normal_L3[:, 1:2] * normal_L3
    up_L3 /= np.linalg.norm(up_L3, axis=1, keepdims=True)
    tangents_L32 = np.stack((np.cross(up_L3, normal_L3), up_L3), axis=2)
    seen_NL22 = root_N33[:, None, :2] @ tangents_L32
    trust_NL = 1 / (1 + (left_NL2**2).sum(2) / OUTLIER**2)
    squares_L22 = np.einsum("nl,nlxa,nlxb->lab", trust_NL, seen_NL22, seen_NL22)
    squares_L22 += GRAZING * trust_NL.sum(0)[:, None, None] * np.eye(2)
    along_L2 = np.einsum("nl,nlxa,nlx->la", trust_NL, seen_NL22, left_NL2)
    return (tangents_L32 @ np.linalg.solve(squares_L22, along_L2[..., None]))[..., 0]


def measure(head: HeadModel, landmarks_NL2: NDArray, sizes_N2: NDArray) -> NDArray:
    """How far photos move the points (L, 3) from where portraits place them, metres, mirror-symmetric."""
    outline, sightings = Outline(head, Surface(head)), observe(head)
    corners_23 = head.landmarks_478.positions(head.template_V3, head.faces_F3)[list(EYE_CORNERS_LEFT)]
    moved_L3 = np.zeros((landmarks_NL2.shape[1], 3))
    for _ in range(ROUNDS):
        points = place_mediapipe(head, outline, corners_23, sightings, moved_L3)
        left_NL2, root_N33, _, error_N = fitted(head, points, landmarks_NL2, sizes_N2)
        print(f"{len(error_N)} photos, {len(left_NL2)} used, mean error {100 * error_N.mean():.3f} %", flush=True)
        corners_L33 = head.template_V3[head.faces_F3[points.faces]].astype(np.float64)
        normal_L3 = np.cross(corners_L33[:, 1] - corners_L33[:, 0], corners_L33[:, 2] - corners_L33[:, 0])
        normal_L3 /= np.linalg.norm(normal_L3, axis=1, keepdims=True)
        move_L3 = common_move(left_NL2, root_N33, normal_L3)
        move_L3[FACE_OVAL] = 0  # it follows the silhouette of every view, which is the outline's business
        moved_L3 += (move_L3 + move_L3[sightings.pairs_L] * MIRROR) / 2
        moved_L3 *= np.minimum(1, FARTHEST / np.maximum(np.linalg.norm(moved_L3, axis=1, keepdims=True), FARTHEST))
    first, last = (
        outline.surface.positions(place_mediapipe(head, outline, corners_23, sightings, by)) for by in (None, moved_L3)
    )
    return last - first  # what geometry has not let move is not told


def add_photo_options(parser: argparse.ArgumentParser, required: bool = False) -> None:
    """The options of a tool that looks at photos of real people."""
    parser.add_argument("--photos", type=Path, nargs="+", required=required, help="folders of FOLDER/person/*.jpg")
    parser.add_argument("--cache", type=Path, nargs="+", help="files that keep the landmarks, one for each folder")
    parser.add_argument("--people", type=int, default=400, help="at most so many of each folder")


def first_photos(folders: list[Path], caches: list[Path] | None, people: int) -> tuple[NDArray, NDArray]:
    """Landmarks (N, 478, 2), photo pixels, and widths and heights (N, 2) of one photo each of people to learn from."""
    found, sizes = [], []
    for folder, cache in zip(folders, caches or [None] * len(folders), strict=True):
        paths = [path for person in people_of(folder, "learn")[:people] for path in photos_of(person, 1)]
        landmarks_NL3, sizes_N2 = Landmarks(cache).find(paths)
        seen = np.isfinite(landmarks_NL3[:, 0, 0])
        found.append(landmarks_NL3[seen, :, :2])
        sizes.append(sizes_N2[seen])
    return np.concatenate(found), np.concatenate(sizes)


def asked_for(description: str | None, table: Path) -> tuple[Path, HeadModel, NDArray, NDArray]:
    """What the command line of a tool that lays a head on photos asks for: where its table goes, the head, and what
    `first_photos` gives.

    Args:
        description: What the tool says of itself.
        table: Where its table goes by default.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--head", default=OPENHEAD, help="head model: its name or file")
    add_photo_options(parser, required=True)
    parser.add_argument("--out", type=Path, default=table)
    options = parser.parse_args()
    return options.out, load_head(options.head), *first_photos(options.photos, options.cache, options.people)


def main() -> None:
    out, head, landmarks_NL2, sizes_N2 = asked_for(__doc__, PLACES)
    moved_L3 = measure(head, landmarks_NL2, sizes_N2)
    write_places(out, moved_L3, f"Mean over {len(landmarks_NL2)} people; head {head.hash}.")
    print(f"{out}: points move by {1e3 * np.linalg.norm(moved_L3, axis=1).mean():.2f} mm on average")


if __name__ == "__main__":
    main()
