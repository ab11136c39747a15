"""Measures on photos how far forward the parts of the mean face should lie -> tools/openhead/face_depth.csv.

The mean head is laid on photos of many people, who look in many directions; pose, expression and camera follow the
landmarks. A point that lies too deep is left behind to one side on faces turned left, to the other on faces turned
right. What all photos have in common is added to the table by which the head was built (`openhead/depth.py`); the
first head is built without one:

    python tools/build_openhead.py --output HEAD
    python tools/measure_face_depth.py --head HEAD --photos FOLDER [FOLDER ...]
    python tools/build_openhead.py --output HEAD        (and measure again: what is left shrinks)
    python tools/measure_landmark_places.py ...

Photos are laid out as FOLDER/person/*.jpg; the first of each person to learn from (`data/people.py`) is
used. The table holds means over all people and nothing of a photo.

Shape suffixes: N photos, L landmarks.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from deca.head import HeadModel  # noqa: E402
from deca.reconstruct.noise import FACE_OVAL, IRIS  # noqa: E402
from tools.calibrate_landmarks import pairs_of  # noqa: E402
from tools.measure_landmark_places import OUTLIER, asked_for, fitted  # noqa: E402
from tools.openhead.depth import DEPTHS, FRONT, forward, read_depths, write_depths  # noqa: E402
from tools.openhead.landmarks import (  # noqa: E402
    LIP_CORNERS,
    LIP_CORNERS_INNER,
    LOWER_LID,
    LOWER_LIP_INNER,
    LOWER_LIP_OUTER,
    UPPER_LID,
    UPPER_LIP_INNER,
    UPPER_LIP_OUTER,
)

SHARE = 0.8
"""Of what photos want. Whoever is photographed from two or three metres has a nose that looks some percent nearer than
the orthographic fit knows, which a turned face shows as depth: about a millimetre of the nose's sixty."""
HELD = 2.0
"""Weight of leaving a point where it is, in photos of a face seen from the side."""

LIPS = [*UPPER_LIP_OUTER, *LOWER_LIP_OUTER, *UPPER_LIP_INNER, *LOWER_LIP_INNER, *LIP_CORNERS_INNER, *LIP_CORNERS]
"""They move as one: people on photos smile, which bends them back."""


def depths(head: HeadModel, landmarks_NL2: NDArray, sizes_N2: NDArray) -> NDArray[np.float64]:
    """x, y of points of the face, and how far forward they should move (L, 3), metres, mirror-symmetric."""
    assert head.landmarks_478 is not None
    left_NL2, root_N33, _, error_N = fitted(head, head.landmarks_478, landmarks_NL2, sizes_N2)
    print(f"{len(error_N)} photos, {len(left_NL2)} used, mean error {100 * error_N.mean():.3f} %", flush=True)
    forward_L = common_forward(left_NL2, root_N33)
    forward_L[LIPS] = forward_L[LIPS].mean()
    place_L3 = head.landmarks_478.positions(head.template_V3, head.faces_F3)
    lids = np.array([*UPPER_LID, *LOWER_LID])  # they say how far eyes are open; the corners stay
    told = np.setdiff1d(np.arange(len(place_L3)), (*FACE_OVAL, *IRIS, *lids, *pairs_of(head)[lids]))
    table_L3 = np.column_stack((place_L3[:, :2], SHARE * forward_L))[told]
    return np.concatenate((table_L3, table_L3 * (-1, 1, 1)))


def common_forward(left_NL2: NDArray, root_N33: NDArray) -> NDArray:
    """z of the move (L, 3) in head space that explains best what all photos leave, metres."""
    trust_NL = 1 / (1 + (left_NL2**2).sum(2) / OUTLIER**2)
    seen_N23 = root_N33[:, :2]
    squares_L33 = np.einsum("nl,nxa,nxb->lab", trust_NL, seen_N23, seen_N23) + HELD * np.eye(3)
    along_L3 = np.einsum("nl,nxa,nlx->la", trust_NL, seen_N23, left_NL2)
    return np.linalg.solve(squares_L33, along_L3[..., None])[:, 2, 0]


def main() -> None:
    out, head, landmarks_NL2, sizes_N2 = asked_for(__doc__, DEPTHS)
    table_L3 = depths(head, landmarks_NL2, sizes_N2)
    left = np.abs(table_L3[:, 2]).mean()
    front_L3 = np.column_stack((table_L3[:, :2], np.full(len(table_L3), FRONT)))
    table_L3[:, 2] += forward(front_L3, read_depths(out))
    write_depths(out, table_L3, f"Mean over {len(landmarks_NL2)} people; head {head.hash}.")
    print(f"{out}: moved by another {1e3 * left:.2f} mm on average")


if __name__ == "__main__":
    main()
