"""Measures the landmark fit. Each measurement is one command and prints one JSON object:

    python tests/benchmarks/bench_fit.py photos FOLDER  photos as FOLDER/person/*.jpg: error, identity
    python tests/benchmarks/bench_fit.py synthetic      known heads, noisy landmarks: face and jaw error
    python tests/benchmarks/bench_fit.py identity       rendered heads outside the shape space: does identity do harm
    python tests/benchmarks/bench_fit.py time           milliseconds per face, one thread

`--plain` measures without the landmark calibration. Nothing is written but what `--cache` asks for.
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
import torch  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from scipy.spatial import cKDTree  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from deca.head import HeadModel, load_head  # noqa: E402
from deca.head.layer import HeadLayer  # noqa: E402
from deca.reconstruct.fit import FitResult, LandmarkSolver  # noqa: E402
from deca.reconstruct.noise import OUTER_EYES, LandmarkNoise  # noqa: E402
from deca.vision import Photo, find_faces, read_photo  # noqa: E402


def face_vertices(head: HeadModel) -> NDArray[np.int64]:
    """Skin of the face: the face mask in texture space, without the back of the mask's blur."""
    uv_V2 = np.zeros((head.num_verts, 2))
    uv_V2[head.faces_F3] = head.uv_T2[head.uv_faces_F3]
    mask = head.masks["face"]
    row = np.clip(((1 - uv_V2[:, 1]) * len(mask)).astype(int), 0, len(mask) - 1)
    column = np.clip((uv_V2[:, 0] * len(mask)).astype(int), 0, len(mask) - 1)
    return np.flatnonzero((mask[row, column] > 127) & (head.parts_V == 0))


def similarity(source_N3: NDArray, target_N3: NDArray) -> tuple[float, NDArray, NDArray]:
    """Scale, rotation and shift that take source to target with least squares (Umeyama 1991)."""
    a, b = source_N3 - source_N3.mean(0), target_N3 - target_N3.mean(0)
    u, d, vt = np.linalg.svd(b.T @ a)
    sign = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
    rot = (u * sign) @ vt
    scale = (d * sign).sum() / (a**2).sum()
    return scale, rot, target_N3.mean(0) - scale * rot @ source_N3.mean(0)


def quantiles(values: NDArray | list[float], digits: int = 4) -> dict[str, float]:
    q = np.quantile(values, (0.5, 0.95))
    return {"median": round(float(q[0]), digits), "p95": round(float(q[1]), digits)}


def solver_of(head: HeadModel, plain: bool) -> LandmarkSolver:
    noise = LandmarkNoise.plain(478, 151) if plain else None
    return LandmarkSolver(head, noise=noise)


# -- Photos -----------------------------------------------------------------------------------------------------------


def landmarks_of(paths: list[Path], cache: Path | None) -> tuple[list[Path], NDArray, NDArray]:
    """Paths on which a face was found, the landmarks (N, 478, 2) of the most prominent, photo sizes (N, 2)."""
    if cache is not None and cache.exists():
        with np.load(cache) as stored:
            if stored["asked"].tolist() == [str(p) for p in paths]:
                return [Path(p) for p in stored["paths"]], stored["landmarks"], stored["sizes"]
    found, landmarks, sizes = [], [], []
    for path in paths:
        photo = read_photo(path)
        faces = find_faces(photo, max_faces=1)
        if faces:
            found.append(path)
            landmarks.append(faces[0].landmarks_L3[:, :2])
            sizes.append((photo.width, photo.height))
    arrays = np.array(landmarks, np.float64), np.array(sizes)
    if cache is not None:
        names = {"asked": [str(p) for p in paths], "paths": [str(p) for p in found]}
        np.savez(cache, landmarks=arrays[0], sizes=arrays[1], **{k: np.array(v) for k, v in names.items()})
    return found, *arrays


def fit_all(solver: LandmarkSolver, landmarks_NL2: NDArray, sizes_N2: NDArray) -> FitResult:
    """Fits photo by photo, as the product does."""
    results = [solver.fit(landmarks_NL2[i : i + 1], tuple(sizes_N2[i])) for i in range(len(landmarks_NL2))]
    return FitResult(*(np.concatenate([getattr(r, name) for r in results]) for name in FitResult.__dataclass_fields__))


def auc(same: NDArray, different: NDArray) -> float:
    """Probability that a same-person distance is below a different-person one."""
    ranks = np.concatenate((same, different)).argsort().argsort()
    below = ranks[len(same) :].sum() - len(different) * (len(different) - 1) / 2
    return float(below / (len(same) * len(different)))


def shape_auc(shape_NS: NDArray, person_N: list[str]) -> dict[str, float]:
    """How well distances and angles between shape codes tell people apart."""
    first, second = np.triu_indices(len(shape_NS), 1)
    same = np.array([person_N[i] == person_N[j] for i, j in zip(first, second, strict=True)])
    distance = np.linalg.norm(shape_NS[first] - shape_NS[second], axis=1)
    unit = shape_NS / np.linalg.norm(shape_NS, axis=1, keepdims=True)
    angle = -(unit[first] * unit[second]).sum(1)
    return {name: round(auc(d[same], d[~same]), 4) for name, d in (("distance", distance), ("cosine", angle))}


def measure_photos(args: argparse.Namespace) -> dict:
    head = load_head(args.head)
    solver = solver_of(head, args.plain)
    rng = np.random.default_rng(args.seed)
    everything = sorted(args.folder.glob("*/*.jpg"))
    random = [everything[i] for i in sorted(rng.choice(len(everything), args.count, replace=False))]
    people = sorted({p.parent for p in everything})
    chosen = [people[i] for i in sorted(rng.choice(len(people), args.people, replace=False))]
    pairs = [p for person in chosen for p in sorted(person.glob("*.jpg"))[:2]]
    paths, landmarks, sizes = landmarks_of(random + pairs, args.cache)
    is_random = np.isin([str(p) for p in paths], [str(p) for p in random])
    result = fit_all(solver, landmarks, sizes)
    pair_rows = [i for i, p in enumerate(paths) if p in set(pairs)]
    rows = np.flatnonzero(is_random)
    shape, expression = np.abs(result.shape_BS[rows]), np.abs(result.expression_BE[rows])
    jaw = np.degrees(result.pose_B53[rows, 2, 0])
    return {
        "photos": args.count,
        "found": round(len({str(p) for p in paths} & {str(p) for p in random}) / args.count, 4),
        "interior_error": quantiles(result.error_B[rows]),
        "max_abs_beta": quantiles(shape.max(1), 2),
        "norm_beta": quantiles(np.linalg.norm(shape, axis=1), 2),
        "max_abs_psi": quantiles(expression.max(1), 2),
        "norm_psi": quantiles(np.linalg.norm(expression, axis=1), 2),
        "share_beta_within_3": round(float((shape.max(1) <= 3).mean()), 4),
        "share_psi_within_4": round(float((expression.max(1) <= 4).mean()), 4),
        "jaw_degrees": quantiles(jaw, 1) | {"min": round(float(jaw.min()), 1), "max": round(float(jaw.max()), 1)},
        "auc_pairs_of": args.people,
        "auc": shape_auc(result.shape_BS[pair_rows], [paths[i].parent.name for i in pair_rows]),
    }


# -- Known heads ------------------------------------------------------------------------------------------------------


def measure_synthetic(args: argparse.Namespace) -> dict:
    """Random coefficients, landmarks with 0.5 % noise of the face's size; no landmark network, hence no bias."""
    head = load_head(args.head)
    rng = np.random.default_rng(args.seed)
    count = args.count
    shape, expression = rng.normal(0, 1, (count, 100)), rng.normal(0, 0.5, (count, 50))
    pose = np.zeros((count, 5, 3))
    pose[:, 0] = np.radians(np.stack((rng.uniform(-15, 15, count), rng.uniform(-40, 40, count), np.zeros(count)), 1))
    pose[:, 2, 0] = np.radians(rng.uniform(0, 20, count))
    pose[:, 3:, :2] = rng.normal(0, 0.15, (count, 1, 2))
    layer = HeadLayer(head)

    def vertices(s: NDArray, e: NDArray, p: NDArray) -> NDArray:
        with torch.no_grad():
            tensors = (torch.as_tensor(x, dtype=torch.float32) for x in (s, e, p))
            return layer(*tensors).numpy().astype(np.float64)

    verts = vertices(shape, expression, pose)
    landmarks = np.stack([head.landmarks_478.positions(v, head.faces_F3)[:, :2] for v in verts]) * 900 * (1, -1) + 250
    size = np.ptp(landmarks, axis=1).max(1)
    landmarks += rng.normal(0, 1, landmarks.shape) * 0.005 * size[:, None, None]
    # The noise is known here: independent, no bias. 0.5 % of a face's 0.19 m is 0.95 mm.
    noise = LandmarkNoise.plain(478, 151, sigma=0.95e-3, contour_sigma=0.95e-3)
    solvers = {"known_noise": LandmarkSolver(head, noise=noise), "calibrated": solver_of(head, False)}
    face = face_vertices(head)
    report: dict = {"faces": count}
    for name, solver in solvers.items():
        result = fit_all(solver, landmarks, np.full((count, 2), 500))
        fitted = vertices(result.shape_BS, result.expression_BE, result.pose_B53)
        errors = []
        for a, b in zip(fitted[:, face], verts[:, face], strict=True):
            scale, rot, shift = similarity(a, b)
            errors.append(1e3 * np.linalg.norm(scale * a @ rot.T + shift - b, axis=1).mean())
        jaw = np.abs(np.degrees(result.pose_B53[:, 2, 0] - pose[:, 2, 0]))
        report[name] = {"face_error_mm": quantiles(errors, 2), "jaw_error_degrees": quantiles(jaw, 2)}
    return report


# -- Heads outside the shape space ------------------------------------------------------------------------------------


def foreign_heads(head: HeadModel, count: int, seed: int) -> NDArray:
    """Neutral heads (N, V, 3) that the shape model cannot make: sliders it never saw, and smooth random bumps."""
    from openhead.sliders import SKIPPED, local_sliders
    from openhead.source import Source
    from openhead.topology import build_topology

    source = Source()
    topology = build_topology(source)
    rng = np.random.default_rng(seed)
    known = set(local_sliders(source))
    shape_NS = rng.normal(size=(count, head.shape_dirs_V3S.shape[2])).astype(np.float32)
    verts_NV3 = head.template_V3 + np.einsum("vxs,ns->nvx", head.shape_dirs_V3S, shape_NS, optimize=True)
    for folder, low, high in local_sliders(source, tuple(set(SKIPPED) - {"head-age", "asymm-"})):
        if (folder, low, high) not in known:
            value_N = np.clip(rng.normal(0, 0.2, count), -1, 1)
            for target, part_N in ((low, np.maximum(-value_N, 0)), (high, np.maximum(value_N, 0))):
                if target:
                    verts_NV3 += part_N[:, None, None] * topology.gather(source.target(f"{folder}/{target}"))
    return np.stack([v + smooth_bumps(head.template_V3, rng) for v in verts_NV3]).astype(np.float32)


def smooth_bumps(points_V3: NDArray, rng: np.random.Generator, size: float = 7e-4, reach: float = 0.03) -> NDArray:
    """A smooth random displacement (V, 3): standard deviation `size`, correlation length `reach`, metres."""
    waves = rng.normal(0, 1 / reach, (64, 3))
    phase = rng.uniform(0, 2 * np.pi, 64)
    field = np.cos(points_V3 @ waves.T + phase) * np.sqrt(2 / 64)
    return (field @ rng.normal(0, size, (64, 3))).astype(np.float32)


def scan_to_mesh(scan_N3: NDArray, mesh_V3: NDArray, faces_F3: NDArray, seed_V: NDArray) -> NDArray:
    """Distances (N,) of a scan's points to a mesh after a similarity alignment, as in the NoW benchmark.

    Aligned on correspondences first, then refined by closest points; `seed_V` indexes the mesh at the scan's points.
    """
    scale, rot, shift = similarity(mesh_V3[seed_V], scan_N3)
    placed = scale * mesh_V3 @ rot.T + shift
    for _ in range(10):
        closest = closest_points(scan_N3, placed, faces_F3, cKDTree(placed[faces_F3].mean(1)))
        scale, rot, shift = similarity(closest, scan_N3)
        placed = scale * placed @ rot.T + shift
    closest = closest_points(scan_N3, placed, faces_F3, cKDTree(placed[faces_F3].mean(1)))
    return np.linalg.norm(closest - scan_N3, axis=1)


def closest_points(points_N3: NDArray, verts_V3: NDArray, faces_F3: NDArray, tree: cKDTree, near: int = 6) -> NDArray:
    """Closest points (N, 3) on a mesh, among the triangles whose centres are nearest."""
    _, candidates_NK = tree.query(points_N3, k=near)
    a, b, c = (verts_V3[faces_F3[candidates_NK][..., k]] for k in range(3))
    point = points_N3[:, None]
    normal = np.cross(b - a, c - a)
    normal /= np.linalg.norm(normal, axis=2, keepdims=True) + 1e-15
    options = [point - ((point - a) * normal).sum(2, keepdims=True) * normal]
    outside = np.zeros(candidates_NK.shape, bool)
    for first, second in ((a, b), (b, c), (c, a)):
        edge = second - first
        outside |= (np.cross(edge, point - first) * normal).sum(2) < 0
        along = ((point - first) * edge).sum(2, keepdims=True) / ((edge**2).sum(2, keepdims=True) + 1e-30)
        options.append(first + np.clip(along, 0, 1) * edge)
    on = np.stack(options, 2)
    gap = ((on - point[:, :, None]) ** 2).sum(3)
    gap[..., 0][outside] = np.inf
    best = gap.reshape(len(points_N3), -1).argmin(1)
    return on.reshape(len(points_N3), -1, 3)[np.arange(len(points_N3)), best]


def measure_identity(args: argparse.Namespace) -> dict:
    from openhead.portrait import Look, View, paint
    from openhead.surface import turn

    head = load_head(args.head)
    face = face_vertices(head)
    heads = foreign_heads(head, args.count, args.seed)
    rng = np.random.default_rng(args.seed + 1)
    landmarks, rows, sizes = [], [], []
    if args.cache is not None and args.cache.exists():
        with np.load(args.cache) as stored:
            landmarks, rows = stored["landmarks"], stored["rows"]
    else:
        for i, neutral in enumerate(heads):
            mild = head.expression_dirs_V3E[..., :50] @ rng.normal(0, 0.2, 50)
            verts = (neutral + mild) @ turn(rng.uniform(-25, 25), rng.uniform(-8, 8)).T
            view = View(distance=float(rng.uniform(1.0, 1.8)), span=0.32, centre=(0.0, -0.02))
            picture = paint(head, verts.astype(np.float32), view=view, look=Look.random(7000 + i), size=400)
            faces = find_faces(Photo(picture.image_HW3, "portrait"), max_faces=1)
            if faces:
                landmarks.append(faces[0].landmarks_L3[:, :2].astype(np.float64))
                rows.append(i)
        landmarks = np.array(landmarks)
        if args.cache is not None:
            np.savez(args.cache, landmarks=landmarks, rows=rows)
    sizes = np.full((len(rows), 2), 400)
    solvers = {"fit": solver_of(head, False), "plain_noise": solver_of(head, True)}
    shapes = {name: fit_all(solver, landmarks, sizes).shape_BS for name, solver in solvers.items()}
    shapes["mean_face"] = np.zeros((len(rows), 1))
    weights = np.zeros(head.num_verts)
    weights[face] = 1.0
    basis = head.shape_dirs_V3S[face][..., :100].reshape(-1, 100).astype(np.float64)
    shapes["best_possible"] = np.stack([best_codes(basis, heads[i][face] - head.template_V3[face]) for i in rows])
    report: dict = {"heads": len(rows)}
    per_head = {}
    for name, codes in shapes.items():
        errors = []
        for i, code in zip(rows, codes, strict=True):
            mesh = head.template_V3 + head.shape_dirs_V3S[..., : len(code)] @ code
            errors.append(1e3 * scan_to_mesh(heads[i][face].astype(np.float64), mesh, head.faces_F3, face))
        per_head[name] = np.array([e.mean() for e in errors])
        pooled = np.concatenate(errors)
        report[name] = {"median_mm": round(float(np.median(pooled)), 3), "mean_mm": round(float(pooled.mean()), 3)}
    report["heads_better_than_mean_face"] = round(float((per_head["fit"] < per_head["mean_face"]).mean()), 3)
    truth = shapes["best_possible"]
    for name in solvers:
        own = (shapes[name] * truth).sum(1) / np.linalg.norm(shapes[name], axis=1) / np.linalg.norm(truth, axis=1)
        report[name]["cosine_to_best"] = round(float(own.mean()), 3)
    return report


def best_codes(basis_XS: NDArray, offset_N3: NDArray) -> NDArray:
    """Shape codes nearest to a head, wherever it lies, lightly regularised."""
    count = len(offset_N3)
    rest = offset_N3 - offset_N3.mean(0)
    shifts = np.tile(np.eye(3), (count, 1))
    design = np.hstack((basis_XS, shifts))
    penalty = np.diag(np.append(np.full(basis_XS.shape[1], 1e-6), np.zeros(3)))
    return np.linalg.solve(design.T @ design + penalty + 1e-12 * np.eye(len(penalty)), design.T @ rest.ravel())[:-3]


# -- Time -------------------------------------------------------------------------------------------------------------


def measure_time(args: argparse.Namespace) -> dict:
    from skimage.data import astronaut

    torch.set_num_threads(1)
    photo = Photo(astronaut(), "astronaut")
    find_faces(photo, max_faces=1)
    start = time.process_time()
    for _ in range(5):
        faces = find_faces(photo, max_faces=1)
    vision = (time.process_time() - start) / 5
    solver = solver_of(load_head(args.head), args.plain)
    landmarks = faces[0].landmarks_L3[None, :, :2].astype(np.float64)
    rng = np.random.default_rng(0)
    eyes = np.linalg.norm(np.subtract(*landmarks[0, OUTER_EYES]))
    times = []
    for _ in range(args.count):
        noisy = landmarks + rng.normal(0, 0.01 * eyes, landmarks.shape)
        start = time.process_time()
        solver.fit(noisy, (photo.width, photo.height))
        times.append(1e3 * (time.process_time() - start))
    return {"fit_ms": quantiles(times, 1), "detector_and_landmarks_ms": round(1e3 * vision, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    counts = {"photos": 300, "synthetic": 200, "identity": 100, "time": 50}
    for name, run in (
        ("photos", measure_photos),
        ("synthetic", measure_synthetic),
        ("identity", measure_identity),
        ("time", measure_time),
    ):
        command = commands.add_parser(name)
        command.set_defaults(run=run)
        command.add_argument("--count", type=int, default=counts[name])
        command.add_argument("--seed", type=int, default=5)
        command.add_argument("--head", default="openhead")
        command.add_argument("--plain", action="store_true", help="without the landmark calibration")
        command.add_argument("--cache", type=Path, help="keep detected landmarks in this .npz")
        if name == "photos":
            command.add_argument("folder", type=Path, help="one folder per person, with photos in it")
            command.add_argument("--people", type=int, default=200, help="people whose first two photos are compared")
    args = parser.parse_args()
    print(json.dumps(args.run(args), indent=1))


if __name__ == "__main__":
    main()
