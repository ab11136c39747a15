"""Measures the default way from a photo to a head with wrinkles. Each measurement is one command and prints JSON:

    python tests/benchmarks/bench_default.py photos INDEX   people kept out of training: landmark error and identity of
                                                            E_c alone, of the fit alone, and of E_c refined by the fit
    python tests/benchmarks/bench_default.py shapes FOLDER  synthetic people outside the shape model's span, with
                                                            perspective: NoW's error of neutral and of mean face
    python tests/benchmarks/bench_default.py light INDEX    the same photos: how far E_c's rendering is from the photo
                                                            with its own albedo and light, and with fitted ones
    python tests/benchmarks/bench_default.py time PHOTO     seconds: backend (codes, texture, first map), and with
                                                            Blender's import (needs bpy)

INDEX is one of `deca-train prepare`. `--weights FILE` measures a weights file instead of the built-in one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deca_blender.client import Session

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402

from deca_blender.protocol.conventions import BUILTIN_WEIGHTS  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "backend"), str(ROOT / "training"), str(ROOT / "tests/benchmarks")]


def photos_of(options: argparse.Namespace) -> list:
    """Photos of people whom the training's own split keeps out."""
    from deca_training.evaluate.subjects import Subjects

    subjects = Subjects(options.index, options.share, subjects=options.people, photos=options.photos)
    return [photo for person in subjects for photo in person if len(person) > 1]


def measure_photos(options: argparse.Namespace) -> dict:
    from bench_fit import quantiles, shape_auc

    from deca.reconstruct import coarse
    from deca.reconstruct.coarse import fitted_faces, refined_faces, regressed_faces
    from deca.reconstruct.face import Face
    from deca.reconstruct.fit_result import Leeway
    from deca.reconstruct.models import load_models
    from deca.reconstruct.noise import OUTER_EYES, interior_landmarks

    coarse.KNOWN_IDENTITY = Leeway(*options.leeway) if options.leeway else coarse.KNOWN_IDENTITY
    models = load_models("openhead", options.weights)
    models.albedo = None  # neither landmarks nor identity depend on it
    networks, points = models.networks, models.head.landmarks_478
    assert networks is not None and points is not None, "there are no weights to measure"
    inner_L = interior_landmarks()

    def error(face: Face) -> float:
        """As `FitResult.error_B`: inner landmarks, by the distance of the outer eye corners."""
        to_photo_24 = face.to_photo()
        placed_L2 = points.positions(face.vertices(), models.head.faces_F3) @ to_photo_24[:, :3].T + to_photo_24[:, 3]
        eyes = np.linalg.norm(np.subtract(*face.landmarks_L2[list(OUTER_EYES)]))
        return float(np.linalg.norm(placed_L2 - face.landmarks_L2, axis=1)[inner_L].mean() / eyes)

    ways: dict[str, Callable[..., list[Face]]] = {
        "E_c": lambda photo, path, found: regressed_faces(photo, path, found, models, networks),
        "fit": lambda photo, path, found: fitted_faces(photo, path, found, models),
        "refined": lambda photo, path, found: refined_faces(photo, path, found, models, networks),
    }
    photos = photos_of(options)
    people = [photo.subject for photo in photos]
    result: dict = {"people": len(set(people)), "photos": len(photos), "recipe": networks.card.recipe}
    errors = {}
    for name, way in ways.items():
        started = time.process_time()
        faces = [way(photo.photo, Path(photo.name), [photo.found])[0] for photo in photos]
        seconds = (time.process_time() - started) / len(photos)
        errors[name] = 100 * np.array([error(face) for face in faces])
        shape_NS = np.array([face.shape_S for face in faces])
        result[name] = {
            "landmark_error_percent": quantiles(errors[name], 2) | {"mean": round(float(errors[name].mean()), 2)},
            "auc": shape_auc(shape_NS, people),
            "shape_norm_median": round(float(np.median(np.linalg.norm(shape_NS, axis=1))), 2),
            "cpu_ms": round(1e3 * seconds, 1),
        }
    worse = errors["refined"] - errors["fit"]
    result["refined_minus_fit_percent"] = quantiles(worse, 3) | {"max": round(float(worse.max()), 3)}
    return result


def measure_shapes(options: argparse.Namespace) -> dict:
    """Scan-to-mesh distances of neutral faces, millimetres, with the true neutral face as the scan."""
    from dataclasses import replace as changed

    from deca.reconstruct import coarse
    from deca.reconstruct.coarse import fitted_faces, refined_faces, regressed_faces
    from deca.reconstruct.fit_result import Leeway
    from deca.reconstruct.models import load_models
    from deca.vision.faces import find_faces
    from deca.vision.photo import Photo
    from deca_training.data.synthetic import SyntheticSubjects
    from deca_training.evaluate.now import PROTOCOL
    from deca_training.evaluate.scan_benchmark import distances, neutral_face
    from deca_training.evaluate.scans import Scan

    coarse.KNOWN_IDENTITY = Leeway(*options.leeway) if options.leeway else coarse.KNOWN_IDENTITY
    models = load_models("openhead", options.weights)
    models.albedo = None
    head, networks = models.head, models.networks
    assert networks is not None, "there are no weights to measure"
    found: dict[str, list[float]] = {name: [] for name in ("mean face", "E_c", "fit", "refined")}
    for subject in SyntheticSubjects(options.folder):
        own_head = changed(head, template_V3=head.template_V3 + subject.offset_V3)
        true = neutral_face(own_head, subject.shape_S)
        scan = Scan(true.verts_V3, true.landmarks_73).face_region(PROTOCOL.radius)
        for image_HW3 in subject.image_KHW3:
            photo, path = Photo(image_HW3), Path(subject.name)
            faces = find_faces(photo)[:1]
            if not faces:
                continue
            shapes = {
                "mean face": np.zeros(1),
                "E_c": regressed_faces(photo, path, faces, models, networks)[0].shape_S,
                "fit": fitted_faces(photo, path, faces, models)[0].shape_S,
                "refined": refined_faces(photo, path, faces, models, networks)[0].shape_S,
            }
            for name, shape_S in shapes.items():
                found[name].append(float(distances(neutral_face(head, shape_S), scan).mean()))
    mean = {name: round(float(np.mean(errors)), 3) for name, errors in found.items()}
    better = {name: round(100 * (1 - error / mean["mean face"]), 1) for name, error in mean.items()}
    return {"photos": len(found["E_c"]), "mean_error_mm": mean, "below_mean_face_percent": better}


def measure_light(options: argparse.Namespace) -> dict:
    """Mean absolute difference of rendering and photo in the face mask, 0..1."""
    from dataclasses import replace

    import torch

    from deca.reconstruct.coarse import refined_faces, regressed_faces
    from deca.reconstruct.models import Models, load_models

    models: Models = load_models("openhead", options.weights)
    networks = models.networks
    assert networks is not None, "there are no weights to measure"
    found: dict[str, list[float]] = {"fitted": [], "E_c": []}
    for photo in photos_of(options):
        arguments = photo.photo, Path(photo.name), [photo.found], models, networks
        refined, regressed = refined_faces(*arguments)[0], regressed_faces(*arguments)[0]
        refined = replace(refined, detail_D=None)
        guessed = replace(refined, albedo_A=regressed.albedo_A, light_93=regressed.light_93)
        for name, face in (("fitted", refined), ("E_c", guessed)):
            with torch.inference_mode():
                pictures = models.render(models.decode_face(face))
                assert pictures.coarse is not None
                shown = pictures.alpha_B1HW * photo.skin(face)
                difference = (pictures.coarse - photo.crop(face)).abs() * shown
            found[name].append(float(difference.sum() / (3 * shown.sum()).clamp_min(1)))
    return {name: round(float(np.mean(values)), 4) for name, values in found.items()} | {"photos": len(found["E_c"])}


def cpu_seconds(session: Session) -> float:
    """Of this process and of the backend (Linux): on a busy machine they say more than the clock."""
    if session.backend is None:
        return 0.0
    fields = Path(f"/proc/{session.backend.pid}/stat").read_text().rpartition(")")[2].split()
    return time.process_time() + (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def spread(seconds: list[float]) -> dict[str, float]:
    return {name: round(float(of(seconds)), 2) for name, of in (("median", np.median), ("best", min), ("worst", max))}


def measure_time(options: argparse.Namespace) -> dict:
    sys.path.insert(0, str(ROOT / "tests/blender"))
    import bpy

    from deca_blender import backend, preferences, registration
    from deca_blender.client import LaunchSettings, Session
    from deca_blender.protocol.messages import DecodeWrinkles, ReconstructPhoto

    weights = str(Path(options.weights).resolve()) if options.weights else BUILTIN_WEIGHTS
    session = Session(LaunchSettings(python=sys.executable, device="cpu"))
    backend.session, preferences.weights = lambda: session, lambda: weights
    registration.register()
    photo = str(options.photo.resolve())

    def by_backend() -> None:
        (face,) = session.request(ReconstructPhoto(photo, max_faces=1, weights=weights), timeout=120).faces
        assert face.detail is not None, "there are no weights to measure"
        codes = face.detail, face.expression[:50], face.pose[2]
        session.request(DecodeWrinkles(weights, face.weights_hash, *codes), timeout=60)

    def with_blender() -> None:
        bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
        assert bpy.ops.deca.import_face(filepath=photo) == {"FINISHED"}

    result: dict = {}
    for name, way in (("backend", by_backend), ("with_blender", with_blender)):
        wall, cpu = [], []
        for _ in range(options.count + 1):
            started = time.perf_counter(), cpu_seconds(session)
            way()
            wall.append(time.perf_counter() - started[0])
            cpu.append(cpu_seconds(session) - started[1])
        result[name] = {"first": round(wall[0], 2), "wall": spread(wall[1:]), "cpu": spread(cpu[1:])}
    session.close()
    return result | {"cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1), "blender": bpy.app.version_string}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, measure in (("photos", measure_photos), ("light", measure_light)):
        command = commands.add_parser(name)
        command.add_argument("index", type=Path)
        command.add_argument("--share", type=float, default=0.08, help="as validation_share of the training")
        command.add_argument("--people", type=int, help="at most so many")
        command.add_argument("--photos", type=int, default=2, help="of each person")
        command.set_defaults(measure=measure)
    command = commands.add_parser("shapes")
    command.add_argument("folder", type=Path, help="of `deca-train synthetic --outside 1.5 --perspective 1`")
    command.set_defaults(measure=measure_shapes)
    for name in ("photos", "shapes"):
        what = "shape, tracing_shape and tracing in place of `fit_result.KNOWN_IDENTITY`"
        commands.choices[name].add_argument("--leeway", type=float, nargs=3, metavar="SIGMA", help=what)
    command = commands.add_parser("time")
    command.add_argument("photo", type=Path)
    command.add_argument("--count", type=int, default=10)
    command.set_defaults(measure=measure_time)
    for command in commands.choices.values():
        command.add_argument("--weights", default=BUILTIN_WEIGHTS, metavar="FILE")
    options = parser.parse_args()
    print(json.dumps(options.measure(options), indent=1), flush=True)
    os._exit(0)  # Blender as a module may hang while the interpreter ends


if __name__ == "__main__":
    main()
