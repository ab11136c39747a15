"""Measures where landmarks lie on photos of neutral faces -> the bias in assets/openhead/landmark_noise.safetensors.

What all people's landmarks have in common beyond the head is either where the network puts its points or what the head
lacks; it is no expression. `calibrate_landmarks.py` cannot tell: there expression follows the landmarks, so that brows
two millimetres lower than the head's became a frown of everybody. Here the photos are of people with closed, relaxed
mouths, whose heads are placed without any expression; the median of what is left becomes the bias of the view from the
front. How it changes with the view stays.

That goes for brows, forehead and irises. Lids are left out: the eyes' opening is seen as it is, and skin there must not
show what is eye. So is the lower face: a closed mouth's bias does not serve smiles, whose landmarks (portraits) are
then missed by 1.05 % of the outer-eye distance, without it by 0.89 %. Run it after `calibrate_landmarks.py`:

    deca-train fit FOLDER --photos 1 --out fitted.npz          # photos as FOLDER/person/*.jpg
    python tools/measure_neutral_faces.py fitted.npz

Shape suffixes: N photos, L landmarks, F view features, P parameters.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "training")]

from deca.head import HeadModel, load_head  # noqa: E402
from deca.reconstruct.fit import LandmarkSolver  # noqa: E402
from deca.reconstruct.fit_result import HELD, Guess  # noqa: E402
from deca.reconstruct.noise import IRIS, OUTER_EYES, YAW_KNOTS, LandmarkNoise  # noqa: E402
from deca_blender.protocol.conventions import CROP_SIZE, OPENHEAD  # noqa: E402
from deca_training.data.fitted import FittedPhotos  # noqa: E402
from tools.calibrate_landmarks import OUT, pairs_of  # noqa: E402

INNER_LIPS, MOUTH_CORNERS = (13, 14), (61, 291)
CLOSED, RELAXED = 0.03, 0.56
"""Gap of the lips and width of the mouth, in outer-eye distances: people's median width with closed lips is 0.56, and
below it half of the fits see no smile at all (0.06 of a full one)."""
TURNED = 0.3
"""Radians of yaw beyond which a photo is not used."""
STIFF = 0.05
"""Standard deviation of the expression coefficients, 1 of people's."""
LIDS = (33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173)
"""MediaPipe's landmarks of the right eye's lid edges."""
NEAR, FAR = 0.001, 0.005
"""Metres from the lids between which the bias sets in."""
RISE = 0.012
"""Metres above the corners of the eyes over which it does."""
_BATCH = 16


def neutral(photos: FittedPhotos) -> NDArray[np.intp]:
    """Rows of the photos that show a relaxed, closed mouth from the front."""
    marks_NL2 = photos.arrays["landmarks478_NL3"][..., :2]

    def apart(first: int, second: int) -> NDArray:
        return np.linalg.norm(marks_NL2[:, first] - marks_NL2[:, second], axis=1)

    eyes_N, yaw_N = apart(*OUTER_EYES), photos.arrays["pose_N23"][:, 0, 1]
    relaxed_N = (apart(*INNER_LIPS) < CLOSED * eyes_N) & (apart(*MOUTH_CORNERS) < RELAXED * eyes_N)
    return np.flatnonzero(relaxed_N & (np.abs(yaw_N) < TURNED))


def left_without_expression(head: HeadModel, photos: FittedPhotos, rows: NDArray[np.intp]) -> NDArray:
    """Landmarks less the fitted heads' (N, L, 2), metres, roll removed, x right, y up; the heads have their people's
    shapes and no expression.

    The fit knows of no bias: with it, pose and camera would follow a bias that follows them.
    """
    solver = LandmarkSolver(head)
    noise = LandmarkNoise.plain(solver.reduced.num_points, solver.reduced.num_codes + 1)
    solver = LandmarkSolver(head, noise=noise).stiff(STIFF)
    left = []
    for part in np.array_split(rows, -(-len(rows) // _BATCH)):
        shape_BS = photos.arrays["shape_NS"][part]
        guess = Guess(shape_BS, np.zeros((len(part), 0)), np.zeros((len(part), 3)), HELD)
        left.append(solver.left(photos.arrays["landmarks478_NL3"][part, :, :2], (CROP_SIZE, CROP_SIZE), guess))
    return np.concatenate(left)


def shares(head: HeadModel, pairs_L: NDArray[np.intp]) -> NDArray:
    """How much of the bias landmarks (L,) take, 0..1."""
    assert head.landmarks_478 is not None, "OpenHead has MediaPipe's landmarks"
    points_L3 = head.landmarks_478.positions(head.template_V3, head.faces_F3)
    lids = np.concatenate((LIDS, pairs_L[list(LIDS)]))
    nearest_L = np.linalg.norm(points_L3[:, None, :2] - points_L3[lids, :2], axis=2).min(1)
    above_L = points_L3[:, 1] - points_L3[list(OUTER_EYES), 1].mean()
    share_L = np.clip((nearest_L - NEAR) / (FAR - NEAR), 0, 1) * np.clip(above_L / RISE, 0, 1)
    share_L[IRIS] = 1.0
    return share_L


def with_neutral_bias(head: HeadModel, photos: FittedPhotos, noise: LandmarkNoise) -> tuple[LandmarkNoise, int]:
    """Noise whose bias from the front is what neutral faces leave, and of how many photos that is."""
    rows, pairs_L, middle = neutral(photos), pairs_of(head), len(YAW_KNOTS) // 2
    left_NL2 = left_without_expression(head, photos, rows)
    common_L2 = np.median(np.concatenate((left_NL2, left_NL2[:, pairs_L] * (-1, 1))), axis=0)
    bias_FL2 = noise.bias_FL2.copy()
    bias_FL2[: len(YAW_KNOTS)] += shares(head, pairs_L)[:, None] * (common_L2 - bias_FL2[middle])
    return replace(noise, bias_FL2=bias_FL2), len(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fitted", type=Path, help="what `deca-train fit` wrote")
    parser.add_argument("--noise", type=Path, default=OUT, help="the calibration to be changed")
    options = parser.parse_args()
    head, photos = load_head(OPENHEAD), FittedPhotos.load(options.fitted)
    photos.check_head(head.hash)
    noise, count = with_neutral_bias(head, photos, LandmarkNoise.load(options.noise, head))
    with safe_open(str(options.noise), "numpy") as file:
        metadata, tensors = file.metadata(), {key: file.get_tensor(key) for key in file.keys()}
    save_file(tensors | {"bias": noise.bias_FL2.astype(np.float32)}, options.noise, metadata)
    print(f"{options.noise}: {count} neutral faces")


if __name__ == "__main__":
    main()
