"""Measures the landmark network's errors against renders of known heads -> assets/openhead/landmark_noise.safetensors.

Random people of the shape space with random expressions, looks, views and lenses are rendered, the network looks at
them, and its answers are compared with where the surface points really are. What the errors have in common becomes the
noise model of `deca.reconstruct.noise`: bias per view, gain per code, common factors, and each landmark's own spread.

    python tools/calibrate_landmarks.py [--renders 600] [--samples FILE.npz] [--photos FOLDER ...]

On photos, which the network was made for, its bias is another than on renders. With `--photos` it is what the mean
head leaves on photos of many people (`measure_landmark_places.py`); of the renders' bias stays how it changes with
the view, where photos are few.

Shape suffixes: N samples, L landmarks, K codes (100 shape, 50 expression, jaw opening), F view features.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from scipy.optimize import linear_sum_assignment

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from deca.head import HeadModel, load_head  # noqa: E402
from deca.head.model import mirror_directions  # noqa: E402
from deca.reconstruct.geometry import rotation, turn, view_angles  # noqa: E402
from deca.reconstruct.noise import YAW_KNOTS, view_features, yaw_weights  # noqa: E402
from deca.vision import Photo, find_faces  # noqa: E402
from deca_blender.protocol.conventions import OPENHEAD  # noqa: E402
from tools.measure_landmark_places import add_photo_options, first_photos, fitted  # noqa: E402
from tools.openhead.portrait import Look, Portrait, View, paint, posed_verts  # noqa: E402

NUM_SHAPE, NUM_EXPRESSION, FACTORS = 100, 50, 24
OUT = ROOT / "assets/openhead/landmark_noise.safetensors"
COMMON_SHARE = 0.5
"""Of the common errors' size on renders, what is expected on photos, which the network was made for."""
GAIN_SHARE = 0.0
"""Of the gain on renders, what is expected on photos. Another photo's shape, held, misses a person's landmarks by
1.76 % with all of it, 1.71 % with half, 1.67 % with none (`bench_likeness.py cross`, people to choose on)."""
RENDERS_COUNT = 30.0
"""How many photos of a view the renders' bias counts for."""
_MIN_SIGMA = 2e-4  # metres
_LOST = 0.02  # metres of mean error beyond which the network looked at something else
_FOLDS = 5


@dataclass(frozen=True)
class Samples:
    """Network answers and the truth.

    Attributes:
        error_NL2: Detected minus true position: metres, roll removed, x right, y up.
        codes_NK: Shape, expression, jaw opening.
        yaw_N, pitch_N: View, radians.
        person_N: Samples of one render (and its mirror image) share a number.
    """

    error_NL2: NDArray
    codes_NK: NDArray
    yaw_N: NDArray
    pitch_N: NDArray
    person_N: NDArray


def random_person(head: HeadModel, rng: np.random.Generator) -> tuple[NDArray, NDArray, NDArray]:
    """Shape (100), expression (50) and pose (5, 3): a few ARKit shapes at work, gaze, a view to 45 degrees."""
    names = list(head.arkit_names)
    weights = np.abs(rng.normal(0, 0.5, len(names))) * (rng.random(len(names)) < rng.choice([0.03, 0.1, 0.2]))
    for name in ("jawOpen", "tongueOut", "mouthClose"):
        weights[names.index(name)] = 0.0
    for i, name in enumerate(names):
        if name.endswith("Right") and rng.random() < 0.8:
            weights[i] = weights[names.index(name[:-5] + "Left")]
    mapped = head.arkit_map_K52 @ np.clip(weights, 0, 1)
    pose = np.zeros((5, 3))
    pose[0] = np.radians((rng.normal(0, 9), rng.normal(0, 22) if rng.random() < 0.8 else rng.uniform(-50, 50), 0))
    pose[2] = mapped[51:54]
    pose[2, 0] += np.radians(rng.uniform(0, 20)) if rng.random() < 0.35 else 0.0
    pose[3:, :2] = mapped[54:].reshape(2, 3)[:, :2] * 0.5 + rng.normal(0, (0.08, 0.15), 2)
    return rng.normal(0, 1, NUM_SHAPE), mapped[:NUM_EXPRESSION] + rng.normal(0, 0.2, NUM_EXPRESSION), pose


def random_view(verts_V3: NDArray, head: HeadModel, rng: np.random.Generator) -> View:
    """A camera 0.6 to 2.5 m away that frames the face more or less."""
    eyes = verts_V3[np.isin(head.parts_V, (1, 2))].mean(0)
    centre = rng.normal((eyes[0], eyes[1] - 0.03), 0.015)
    return View(
        distance=float(np.exp(rng.uniform(np.log(0.6), np.log(2.5)))),
        span=float(rng.uniform(0.26, 0.45)),
        centre=(float(centre[0]), float(centre[1])),
    )


def photographed(portrait: Portrait, roll: float, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """The portrait turned by `roll`, blurred and compressed like a photo; and the 2x3 matrix of the turn."""
    size = len(portrait.image_HW3)
    matrix = cv2.getRotationMatrix2D(((size - 1) / 2, (size - 1) / 2), np.degrees(roll), 1.0)
    image = cv2.warpAffine(portrait.image_HW3, matrix, (size, size), borderMode=cv2.BORDER_REPLICATE)
    image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.2, 1.2)))
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(50, 96))]
    image = cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_COLOR)
    assert image is not None, "what was just encoded can be decoded"
    return image, matrix


def observe(head: HeadModel, verts_V3: NDArray, view: View, look: Look, roll: float, seed: int) -> NDArray | None:
    """Detected landmarks (478, 2) in pixels of an unrolled portrait of side 1, or None when no face was found."""
    rng = np.random.default_rng(seed)
    size = int(rng.integers(160, 320))
    image, matrix = photographed(paint(head, verts_V3, view=view, look=look, size=size), roll, rng)
    faces = find_faces(Photo(image, "portrait"), max_faces=1)
    if not faces:
        return None
    points_L2 = faces[0].landmarks_L3[:, :2] - 0.5
    return (cv2.transform(points_L2[None], cv2.invertAffineTransform(matrix))[0] + 0.5) / size


def collect(head: HeadModel, renders: int, seed: int) -> Samples:
    """Renders people and measures the network's errors."""
    errors, codes, yaws, pitches = [], [], [], []
    for index in range(renders):
        rng = np.random.default_rng((seed, index))
        shape, expression, pose = random_person(head, rng)
        verts_V3 = posed_verts(head, shape, expression, pose)
        view = random_view(verts_V3, head, rng)
        look = replace(Look.random(seed * 100000 + index), hair_cap=float(rng.choice([0.0, 0.004, 0.012, 0.02])))
        found_L2 = observe(head, verts_V3, view, look, float(np.clip(rng.normal(0, 0.15), -0.5, 0.5)), seed + index)
        if found_L2 is None:
            continue
        true_L2 = view.project(head.landmarks_478.positions(verts_V3, head.faces_F3))[:, :2]
        error_L2 = (found_L2 * 2 - 1 - true_L2) * (1, -1) * view.span / 2
        if np.linalg.norm(error_L2, axis=1).mean() > _LOST:
            continue
        _, yaw, pitch = view_angles(rotation(pose[:1]))
        errors.append(error_L2)
        codes.append(np.concatenate((shape, expression, pose[2, :1])))
        yaws.append(yaw[0])
        pitches.append(pitch[0])
        if index % 50 == 49:
            print(f"{index + 1} renders, {len(errors)} usable", flush=True)
    return Samples(np.array(errors), np.array(codes), np.array(yaws), np.array(pitches), np.arange(len(errors)))


def pairs_of(head: HeadModel) -> NDArray:
    """The partner (L,) of each landmark on the other side."""
    rest_L3 = head.landmarks_478.positions(head.template_V3, head.faces_F3).astype(np.float64)
    distance_LL = np.linalg.norm(rest_L3[:, None] * (-1, 1, 1) - rest_L3[None], axis=2)
    return linear_sum_assignment(distance_LL**2)[1]


def with_mirror_images(head: HeadModel, samples: Samples) -> Samples:
    """The samples and their reflections: the noise is symmetric by construction."""
    pairs_L = pairs_of(head)
    assert head.mirror_V is not None, "OpenHead has a mirror map"
    dirs = np.concatenate((head.shape_dirs_V3S[..., :NUM_SHAPE], head.expression_dirs_V3E[..., :NUM_EXPRESSION]), 2)
    assert head.mirror_V is not None
    parity_K = np.sign((dirs * mirror_directions(dirs, head.mirror_V)).sum((0, 1)))
    parity_K = np.append(np.where(parity_K == 0, 1, parity_K), 1)
    return Samples(
        np.concatenate((samples.error_NL2, samples.error_NL2[:, pairs_L] * (-1, 1))),
        np.concatenate((samples.codes_NK, samples.codes_NK * parity_K)),
        np.concatenate((samples.yaw_N, -samples.yaw_N)),
        np.concatenate((samples.pitch_N, samples.pitch_N)),
        np.concatenate((samples.person_N, samples.person_N)),
    )


def regress(samples: Samples, rows: NDArray, ridge: float) -> tuple[NDArray, NDArray]:
    """Bias (F, X) and gain (K, X) of the flattened errors by ridge regression; codes count as unit variance."""
    design_NQ = np.hstack((view_features(samples.yaw_N, samples.pitch_N), samples.codes_NK))[rows]
    features = design_NQ.shape[1] - samples.codes_NK.shape[1]
    spread_K = np.append(np.ones(NUM_SHAPE + NUM_EXPRESSION), 0.15)
    penalty_Q = np.append(np.full(features, 1.0), ridge / spread_K**2)
    target_NX = samples.error_NL2[rows].reshape(len(rows), -1)
    solution_QX = np.linalg.solve(design_NQ.T @ design_NQ + np.diag(penalty_Q), design_NQ.T @ target_NX)
    return solution_QX[:features], solution_QX[features:]


def held_out_residuals(samples: Samples, ridge: float) -> NDArray:
    """Errors (N, X) that the regression leaves on people it has not seen."""
    out_NX = np.empty((len(samples.yaw_N), samples.error_NL2[0].size))
    design_NQ = np.hstack((view_features(samples.yaw_N, samples.pitch_N), samples.codes_NK))
    for fold in range(_FOLDS):
        held = samples.person_N % _FOLDS == fold
        bias_FX, gain_KX = regress(samples, np.flatnonzero(~held), ridge)
        predicted = design_NQ[held] @ np.concatenate((bias_FX, gain_KX))
        out_NX[held] = samples.error_NL2[held].reshape(held.sum(), -1) - predicted
    return out_NX


def estimate(samples: Samples) -> dict[str, NDArray]:
    """The noise model's tensors (see `deca.reconstruct.noise.LandmarkNoise`)."""
    landmarks = samples.error_NL2.shape[1]
    ridges = (30.0, 100.0, 300.0, 1000.0, 3000.0, 1e6)
    residuals = {ridge: held_out_residuals(samples, ridge) for ridge in ridges}
    ridge = min(residuals, key=lambda r: float(np.median(np.abs(residuals[r]))))
    for value, residual_NX in residuals.items():
        print(f"ridge {value:9.0f}: held-out error {1e3 * np.sqrt((residual_NX**2).mean()):.3f} mm rms per axis")
    bias_FX, gain_KX = regress(samples, np.arange(len(samples.yaw_N)), ridge)
    residual_NX = residuals[ridge]
    # Robust against the odd lost landmark: clip at four standard deviations.
    spread_X = np.sqrt(np.median(residual_NX**2, axis=0)) * 1.48
    residual_NX = np.clip(residual_NX, -4 * spread_X, 4 * spread_X)
    scale_X = np.sqrt((residual_NX**2).mean(0))
    value, vector = np.linalg.eigh(np.cov((residual_NX / scale_X).T))
    rest = value[:-FACTORS].mean()
    loadings_XR = scale_X[:, None] * vector[:, -FACTORS:] * np.sqrt(np.maximum(value[-FACTORS:] - rest, 0))
    print(f"{FACTORS} factors explain {value[-FACTORS:].sum() / value.sum():.2f} of the standardised residual")
    loadings_L2R = loadings_XR.reshape(landmarks, 2, FACTORS)
    common_L22 = loadings_L2R @ loadings_L2R.transpose(0, 2, 1)
    weight_NY = yaw_weights(samples.yaw_N)
    residual_NL2 = residual_NX.reshape(-1, landmarks, 2)
    covariance = []
    for weight_N in weight_NY.T:
        total_L22 = np.einsum("n,nlx,nly->lxy", weight_N / weight_N.sum(), residual_NL2, residual_NL2)
        own, axes = np.linalg.eigh(total_L22 - common_L22)
        own = np.maximum(own, np.maximum(0.1 * np.linalg.eigvalsh(total_L22).mean(1, keepdims=True), _MIN_SIGMA**2))
        covariance.append(axes * own[:, None] @ axes.transpose(0, 2, 1))
    codes = gain_KX.shape[0]
    return {
        "bias": bias_FX.reshape(-1, landmarks, 2),
        "covariance": np.stack(covariance),
        "loadings": COMMON_SHARE * loadings_L2R,
        "gain": GAIN_SHARE * gain_KX.T.reshape(landmarks, 2, codes),
    }


def photo_bias(
    head: HeadModel, landmarks_NL2: NDArray, sizes_N2: NDArray, renders_FL2: NDArray, gain_L2K: NDArray
) -> NDArray:
    """The bias (F, L, 2) that photos have, towards the renders' change with the view where there are few photos.

    What expression, pose and camera can imitate of it is not seen, and does no harm.
    """
    assert head.landmarks_478 is not None, "OpenHead has MediaPipe's landmarks"
    left_NL2, root_N33, moving_NK, _ = fitted(head, head.landmarks_478, landmarks_NL2, sizes_N2)
    roll_N, yaw_N, pitch_N = view_angles(root_N33)
    left_NL2 = left_NL2 @ turn(-roll_N).transpose(0, 2, 1)
    left_NL2 -= np.einsum("lxk,nk->nlx", gain_L2K[..., NUM_SHAPE:], moving_NK)  # people on photos smile
    left_NL2 = np.concatenate((left_NL2, left_NL2[:, pairs_of(head)] * (-1, 1)))
    features_NF = np.vstack((view_features(yaw_N, pitch_N), view_features(-yaw_N, pitch_N)))
    prior_FL2 = renders_FL2.copy()
    prior_FL2[:-1] -= renders_FL2[len(YAW_KNOTS) // 2]
    strength_F = np.append(np.full(len(YAW_KNOTS), RENDERS_COUNT), RENDERS_COUNT * np.mean(pitch_N**2))
    rest_NX = left_NL2.reshape(len(left_NL2), -1) - features_NF @ prior_FL2.reshape(len(prior_FL2), -1)
    found_FX = np.linalg.solve(features_NF.T @ features_NF + np.diag(strength_F), features_NF.T @ rest_NX)
    return prior_FL2 + found_FX.reshape(prior_FL2.shape)


def report(samples: Samples, noise: dict[str, NDArray]) -> None:
    error_NL = np.linalg.norm(samples.error_NL2, axis=2)
    print(
        f"{len(error_NL)} samples (half of them mirror images), network error {1e3 * np.median(error_NL):.2f} mm median"
    )
    print(f"bias {1e3 * np.linalg.norm(noise['bias'][2], axis=1).mean():.2f} mm frontal mean, ", end="")
    print(f"gain of shape {1e3 * np.sqrt((noise['gain'][..., :NUM_SHAPE] ** 2).sum((1, 2))).mean():.2f} mm, ", end="")
    print(f"common {1e3 * np.sqrt((noise['loadings'] ** 2).sum((1, 2))).mean():.2f} mm, ", end="")
    print(f"own {1e3 * np.sqrt(noise['covariance'][2].trace(axis1=1, axis2=2)).mean():.2f} mm")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--renders", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--samples", type=Path, help="keep the samples in this .npz, or reuse it when it exists")
    add_photo_options(parser)
    parser.add_argument("--head", default=OPENHEAD, help="head model: its name or file")
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    head = load_head(args.head)
    if args.samples is not None and args.samples.exists():
        with np.load(args.samples) as stored:
            samples = Samples(**dict(stored))
    else:
        samples = collect(head, args.renders, args.seed)
        if args.samples is not None:
            np.savez(args.samples, **vars(samples))
    samples = with_mirror_images(head, samples)
    noise = estimate(samples)
    if args.photos:
        noise["bias"] = photo_bias(
            head, *first_photos(args.photos, args.cache, args.people), noise["bias"], noise["gain"]
        )
    report(samples, noise)
    metadata = {"head": head.name, "head_hash": head.hash, "format": "deca-landmark-noise", "version": "1"}
    save_file({key: np.ascontiguousarray(value, np.float32) for key, value in noise.items()}, args.out, metadata)


if __name__ == "__main__":
    main()
