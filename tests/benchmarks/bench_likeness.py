"""Measures on real photos how like the heads are. Each measurement is one command and prints one JSON object:

    python tests/benchmarks/bench_likeness.py mouths FOLDER  the mouth of wide smiles, open and puckered mouths
    python tests/benchmarks/bench_likeness.py lids FOLDER    how far closed and lowered eyes are open
    python tests/benchmarks/bench_likeness.py photos FOLDER  interior landmark error of the fit and of the product

FOLDER is laid out as FOLDER/person/*.jpg, e.g. Labeled Faces in the Wild. `--split` says whose photos are measured:

    learn   what is estimated is estimated on these people
    choose  what is chosen by numbers is chosen on them
    report  for numbers that are told
    unseen  those of the people to report on who were kept out of the networks' training, too

A person's name alone decides (`deca_training/data/people.py`). `--head FILE` measures another head file, which the
built-in networks do not fit, so that the product's way is left out unless `--weights FILE` has networks for it.
`--noise FILE` takes another landmark calibration. All errors are in percent of the distance of the outer eye corners.
Nothing is written but the landmarks to `--cache FILE`, which all measurements of a folder may share.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "training"), str(ROOT / "tests/benchmarks")]

from bench_fit import quantiles  # noqa: E402

from deca.reconstruct import fit as landmark_fit  # noqa: E402
from deca.reconstruct.coarse import fitted_faces, refined_faces  # noqa: E402
from deca.reconstruct.face import Face  # noqa: E402
from deca.reconstruct.models import Models, load_models  # noqa: E402
from deca.reconstruct.noise import LandmarkNoise, interior_landmarks  # noqa: E402
from deca.vision import DetectedFace, Photo, read_photo  # noqa: E402
from deca_blender.protocol.conventions import BUILTIN_WEIGHTS  # noqa: E402
from deca_training.data.order import SPLITS  # noqa: E402
from deca_training.data.people import (  # noqa: E402
    Landmarks,
    eye_distance,
    people_of,
    photo_name,
    photos_of,
)
from tools.openhead.landmarks import (  # noqa: E402
    LIP_CORNERS,
    LIP_CORNERS_INNER,
    LOWER_LIP_INNER,
    LOWER_LIP_OUTER,
    UPPER_LIP_INNER,
    UPPER_LIP_OUTER,
)

LIPS = sorted({*UPPER_LIP_OUTER, *LOWER_LIP_OUTER, *UPPER_LIP_INNER, *LOWER_LIP_INNER})
LIPS += [*LIP_CORNERS_INNER, *LIP_CORNERS]
LID_PAIRS = np.array([(160, 144), (159, 145), (158, 153), (387, 373), (386, 374), (385, 380)])
"""Upper and lower lid, three pairs on the right and three on the left eye."""

# -- The ways to a head -----------------------------------------------------------------------------------------------


def ways_of(options: argparse.Namespace) -> dict[str, Callable[[Path, NDArray], Face]]:
    """The landmark fit alone, and, where the networks fit the head, the product's way: E_c refined by the fit."""
    models = load_models(options.head, options.weights)
    networks, models.albedo = models.networks, None  # the geometry does not depend on it
    alone = Models(models.head)

    def seen(path: Path, landmarks_L3: NDArray) -> tuple[Photo, Path, list[DetectedFace]]:
        box = np.concatenate((landmarks_L3[:, :2].min(0), landmarks_L3[:, :2].max(0)))
        return read_photo(path), path, [DetectedFace(landmarks_L3, box, 1.0, 1.0, 0.0)]

    ways = {"fit": lambda path, landmarks_L3: fitted_faces(*seen(path, landmarks_L3), alone)[0]}
    if networks is not None:
        ways["refined"] = lambda path, landmarks_L3: refined_faces(*seen(path, landmarks_L3), models, networks)[0]
    return ways


def placed(face: Face) -> NDArray[np.float64]:
    """The head's 478 landmarks (478, 2) on the photo, pixels."""
    assert face.head.landmarks_478 is not None
    points_L3 = face.head.landmarks_478.positions(face.vertices(), face.head.faces_F3)
    to_photo_24 = face.to_photo()
    return points_L3 @ to_photo_24[:, :3].T + to_photo_24[:, 3]


def placed_by_ways(
    options: argparse.Namespace, paths: list[Path], landmarks_NL3: NDArray
) -> Iterator[tuple[str, NDArray]]:
    """Names of the ways, and where they place the heads' landmarks on each photo (N, 478, 2)."""
    for name, way in ways_of(options).items():
        yield name, np.stack([placed(way(path, found)) for path, found in zip(paths, landmarks_NL3, strict=True)])


# -- Measurements -----------------------------------------------------------------------------------------------------


def frontal_photos(options: argparse.Namespace) -> tuple[list[Path], NDArray]:
    """The first two photos of each person that show a face from the front, and their landmarks (N, 478, 3)."""
    people = people_of(options.folder, options.split)
    return Landmarks(options.cache).frontal([path for person in people for path in photos_of(person, 2)])[:2]


def measure_mouths(options: argparse.Namespace) -> dict:
    """Mouths chosen by the landmarks alone, so that they are the same for every head."""
    paths, landmarks_NL3 = frontal_photos(options)
    flat_NL2 = landmarks_NL3[..., :2] / eye_distance(landmarks_NL3)[:, None, None]

    def gap(first: int, second: int) -> NDArray:
        return np.linalg.norm(flat_NL2[:, first] - flat_NL2[:, second], axis=1)

    width, opening = gap(*LIP_CORNERS), gap(13, 14)
    left = np.ones(len(paths), bool)
    kinds = {}
    for kind, score in (
        ("open", opening),
        ("smile", width - opening),
        ("pucker", -width - 2 * opening),
    ):
        best = np.argsort(-np.where(left, score, -np.inf))[: options.count]
        left[best] = False
        kinds[kind] = best
    rows = np.concatenate(list(kinds.values()))
    chosen = [paths[row] for row in rows]
    result: dict = {"photos": {kind: [photo_name(paths[row]) for row in best] for kind, best in kinds.items()}}
    for name, placed_NL2 in placed_by_ways(options, chosen, landmarks_NL3[rows]):
        miss_NL = np.linalg.norm(placed_NL2 - landmarks_NL3[rows, :, :2], axis=2)
        error_N = 100 * miss_NL[:, LIPS].mean(1) / eye_distance(landmarks_NL3[rows])
        by_kind = dict(zip(kinds, np.split(error_N, len(kinds)), strict=True))
        result[name] = {kind: round(float(errors.mean()), 3) for kind, errors in by_kind.items()}
        result[name]["all"] = round(float(error_N.mean()), 3)
    return result


def lid_opening(points_NLC: NDArray) -> NDArray:
    """Mean gap of the lids of both eyes, pixels."""
    gap_NP2 = points_NLC[:, LID_PAIRS[:, 0], :2] - points_NLC[:, LID_PAIRS[:, 1], :2]
    return np.linalg.norm(gap_NP2, axis=2).mean(1)


def measure_lids(options: argparse.Namespace) -> dict:
    """The eyes that are least open by the landmarks; an open eye is the median of the people measured."""
    paths, landmarks_NL3 = frontal_photos(options)
    opening_N = lid_opening(landmarks_NL3) / eye_distance(landmarks_NL3)
    rows = np.argsort(opening_N)[: options.count]
    chosen, found_NL3 = [paths[row] for row in rows], landmarks_NL3[rows]
    open_eye = float(np.median(opening_N))
    result: dict = {
        "photos": [photo_name(path) for path in chosen],
        "open_eye_percent": round(100 * open_eye, 2),
        "landmarks": round(float((opening_N[rows] / open_eye).mean()), 3),
    }
    for name, placed_NL2 in placed_by_ways(options, chosen, found_NL3):
        shown_N = lid_opening(placed_NL2) / eye_distance(found_NL3)
        error_N = (shown_N - opening_N[rows]) / open_eye
        result[name] = {
            "opening": round(float((shown_N / open_eye).mean()), 3),
            "error_percent_of_open_eye": round(100 * float(np.abs(error_N).mean()), 1),
            "too_open_percent": round(100 * float(error_N.mean()), 1),
        }
    return result


def measure_photos(options: argparse.Namespace) -> dict:
    """As `FitResult.error_B`, on the first two photos of each person."""
    people = people_of(options.folder, options.split)
    chosen = np.random.default_rng(options.seed).permutation(len(people))[: options.people]
    paths = [path for index in sorted(chosen) for path in photos_of(people[index], 2)]
    found_NL3, _ = Landmarks(options.cache).find(paths)
    there = np.flatnonzero(np.isfinite(found_NL3[:, 0, 0]))
    paths, found_NL3 = [paths[row] for row in there], found_NL3[there]
    result: dict = {"people": len(chosen), "photos": len(paths)}
    for name, placed_NL2 in placed_by_ways(options, paths, found_NL3):
        miss_NL = np.linalg.norm(placed_NL2 - found_NL3[..., :2], axis=2)[:, interior_landmarks()]
        error_N = 100 * miss_NL.mean(1) / eye_distance(found_NL3)
        result[name] = quantiles(error_N, 3) | {"mean": round(float(error_N.mean()), 3)}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, measure, people, count in (
        ("mouths", measure_mouths, 0, 20),
        ("lids", measure_lids, 0, 40),
        ("photos", measure_photos, 123, 0),
    ):
        command = commands.add_parser(name)
        command.set_defaults(measure=measure)
        command.add_argument("folder", type=Path, help="FOLDER/person/*.jpg")
        command.add_argument("--split", choices=SPLITS, default="report")
        command.add_argument("--cache", type=Path, metavar="FILE", help="keeps the photos' landmarks in this .npz file")
        command.add_argument("--head", default="openhead", metavar="FILE", help="another head model file")
        command.add_argument("--noise", type=Path, metavar="FILE", help="another landmark calibration")
        if people:
            command.add_argument("--people", type=int, default=people, help="at most so many")
            command.add_argument("--seed", type=int, default=0)
        if count:
            command.add_argument("--count", type=int, default=count, help="photos, of mouths: of each kind")
        command.add_argument("--weights", default=BUILTIN_WEIGHTS, metavar="FILE")
    options = parser.parse_args()
    if options.noise is not None:
        noise = LandmarkNoise.load(options.noise)
        landmark_fit.calibrated_noise = lambda head, reduced: noise
    print(json.dumps(options.measure(options), indent=1))


if __name__ == "__main__":
    main()
