"""Measures on real photos what several photos of a person say more than one. Prints one JSON object:

    python tests/benchmarks/bench_people.py several FOLDER   the shape of 1, 2, 4 photos held on another photo
    python tests/benchmarks/bench_people.py agree FOLDER     how near the descriptors of a person's photos are

FOLDER and `--split` are those of bench_likeness.py. A person's photos take turns as the one that the shape is judged
on; the next ones in the order of their names give the shape. Errors are in percent of the distance of the outer eye
corners; `share` is how far the error lies on the way from the average code's to the photo's own (both as
`refined_faces` makes them). What the networks say of the photos is kept in `--cache FILE`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "training")]

from deca.reconstruct.coarse import regressed_faces  # noqa: E402
from deca.reconstruct.fit_result import HELD, KNOWN_IDENTITY, FitResult, Guess, Leeway  # noqa: E402
from deca.reconstruct.joint_fit import Marks, PersonGuess  # noqa: E402
from deca.reconstruct.likeness import LikenessSolver  # noqa: E402
from deca.reconstruct.models import load_models  # noqa: E402
from deca.reconstruct.person import PRIOR  # noqa: E402
from deca.reconstruct.photo_quality import quality  # noqa: E402
from deca.reconstruct.same_person import describe  # noqa: E402
from deca.vision import find_faces, read_photo  # noqa: E402
from deca_blender.protocol.conventions import BUILTIN_WEIGHTS  # noqa: E402
from deca_training.data.order import SPLITS  # noqa: E402
from deca_training.data.people import people_of, photos_of  # noqa: E402
from deca_training.model import face_vertices  # noqa: E402

COUNTS = (1, 2, 4)


def seen(options: argparse.Namespace) -> dict[str, NDArray]:
    """What the networks say of the photos of people who have five at least; rows in the order of people and photos."""
    people = [person for person in people_of(options.folder, options.split) if len(photos_of(person, 5)) == 5]
    chosen = sorted(np.random.default_rng(options.seed).permutation(len(people))[: options.people])
    if options.cache is not None and options.cache.exists():
        with np.load(options.cache) as stored:
            known = {name: stored[name] for name in stored.files}
        if len(known["person"]) and known["asked"].tolist() == [options.people, options.seed]:
            return known
    models = load_models("openhead", BUILTIN_WEIGHTS)
    assert models.networks is not None
    models.albedo = None
    rows: list[tuple] = []
    for number, index in enumerate(chosen):
        for path in photos_of(people[index], 5):
            photo = read_photo(path)
            found = find_faces(photo, max_faces=1)
            if not found:
                continue
            (face,) = regressed_faces(photo, path, found, models, models.networks)
            size = (photo.width, photo.height)
            rows.append(
                (
                    number,
                    found[0].landmarks_L3[:, :2],
                    size,
                    face.shape_S,
                    face.expression_E,
                    face.pose_53[2],
                    quality(photo.pixels, found[0].landmarks_L3),
                    face.pose_53[0],
                    describe(photo, found)[0],
                )
            )
    names = ("person", "points", "sizes", "shape", "expression", "jaw", "quality", "root", "descriptor")
    known = {name: np.array(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
    known["asked"] = np.array([options.people, options.seed])
    if options.cache is not None:
        np.savez(options.cache, **known)
    return known


def measure_several(options: argparse.Namespace) -> dict:
    """The shapes of 1, 2 and 4 photos, jointly fitted and as the mean of single ones, held on a photo of the person."""
    photos = seen(options)
    solver = LikenessSolver(load_models("openhead").head)
    prior = PRIOR if options.sigma is None else options.sigma
    average_S = photos["shape"].mean(0)
    errors: dict[str, list[float]] = {}
    seconds = {count: 0.0 for count in COUNTS}
    moves: dict[int, list[float]] = {}
    face_V = face_vertices(solver.head).numpy()

    def marks(row: int) -> Marks:
        width, height = photos["sizes"][row].tolist()
        return Marks(photos["points"][row], (width, height))

    def error_on(row: int, shape_S: NDArray, leeway: Leeway) -> float:
        guess = Guess(shape_S[None], photos["expression"][row : row + 1], photos["jaw"][row : row + 1], leeway)
        mark = marks(row)
        return 100 * float(solver.fit(np.asarray(mark.points_L2)[None], mark.image_size, guess=guess).error_B[0])

    def held_on(rows: NDArray, shape_S: NDArray) -> FitResult:
        return solver.fit_held([marks(row) for row in rows], shape_S, photos["expression"][rows], photos["jaw"][rows])

    def joint(rows: NDArray) -> NDArray:
        weight = photos["quality"][rows] if options.weighted else np.ones(len(rows))
        mean_S = np.average(photos["shape"][rows], axis=0, weights=weight)
        mean_S = average_S + options.gain * (mean_S - average_S)
        guess = PersonGuess(mean_S, photos["expression"][rows], photos["jaw"][rows], prior)
        return solver.fit_shape([marks(row) for row in rows], guess)

    for person in np.unique(photos["person"]):
        rows = np.flatnonzero(photos["person"] == person)
        if len(rows) < 5:
            continue
        for turn in range(options.turns):
            target, *others = np.roll(rows, -turn)
            row_of = errors.setdefault
            row_of("average code", []).append(error_on(target, average_S, HELD))
            row_of("its own, as shipped", []).append(error_on(target, photos["shape"][target], KNOWN_IDENTITY))
            for count in COUNTS:
                sources = np.array(others[:count])
                started = time.process_time()
                shape_S = joint(sources)
                seconds[count] += time.process_time() - started
                held = held_on(np.append(target, sources), shape_S)
                row_of(f"{count} photos", []).append(100 * float(held.error_B[0]))
                if options.surface:
                    given = held.take(np.arange(1, count + 1))
                    moved_V3 = solver.displacement([marks(row) for row in sources], given)
                    moved = solver.fit_moved([marks(target)], held.take(np.array([0])), moved_V3)
                    row_of(f"{count} photos, surface moved", []).append(100 * float(moved.error_B[0]))
                    depth = np.linalg.norm(moved_V3[face_V], axis=1)
                    moves.setdefault(count, []).append(1000 * float(np.sqrt((depth**2).mean())))
                if options.means:
                    mean_S = photos["shape"][sources].mean(0)
                    row_of(f"mean of {count} regressed", []).append(error_on(target, mean_S, HELD))
    mean = {name: float(np.mean(values)) for name, values in errors.items()}
    worst, best = mean["average code"], mean["its own, as shipped"]
    count = len(errors["average code"])
    return {
        "people": len(np.unique(photos["person"])),
        "photos judged on": count,
        "mean_percent": {name: round(value, 3) for name, value in mean.items()},
        "share_percent": {name: round(100 * (worst - value) / (worst - best), 1) for name, value in mean.items()},
        "standard_error_of_the_gain": {
            name: round(float(np.std(np.subtract(errors["average code"], values))) / count**0.5, 3)
            for name, values in errors.items()
        },
        "surface_moved_by_mm_rms": {n: round(float(np.mean(values)), 2) for n, values in moves.items()},
        "cpu_seconds_of_the_joint_fit": {n: round(total / count, 3) for n, total in seconds.items()},
    }


def measure_agree(options: argparse.Namespace) -> dict:
    """Distances of descriptors within and between people."""
    photos = seen(options)
    distance_NN = np.linalg.norm(photos["descriptor"][:, None] - photos["descriptor"], axis=2)
    same_NN = photos["person"][:, None] == photos["person"]
    upper = np.triu_indices(len(same_NN), 1)
    within, between = (distance_NN[upper][same_NN[upper] == kind] for kind in (True, False))
    steps = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75)
    return {
        "within_beyond_percent": {step: round(100 * float((within > step).mean()), 2) for step in steps},
        "between_below_percent": {step: round(100 * float((between <= step).mean()), 3) for step in steps},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, measure in (("several", measure_several), ("agree", measure_agree)):
        command = commands.add_parser(name)
        command.set_defaults(measure=measure)
        command.add_argument("folder", type=Path, help="FOLDER/person/*.jpg")
        command.add_argument("--split", choices=SPLITS, default="unseen")
        command.add_argument("--cache", type=Path, metavar="FILE")
        command.add_argument("--people", type=int, default=60, help="at most so many")
        command.add_argument("--seed", type=int, default=0)
        command.add_argument("--turns", type=int, default=2, help="photos of each person that shapes are judged on")
        command.add_argument("--sigma", type=float, help="leeway of the joint fit in place of the product's")
        command.add_argument("--gain", type=float, default=1.0, help="of the guess's distance from the average code")
        command.add_argument("--weighted", action="store_true", help="weigh the photos' codes by their quality")
        command.add_argument("--surface", action="store_true", help="also with the surface moved (likeness.py)")
        command.add_argument("--means", action="store_true", help="also the mean of the regressed codes")
    options = parser.parse_args()
    print(json.dumps(options.measure(options), indent=1))


if __name__ == "__main__":
    main()
