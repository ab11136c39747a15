"""Measures how far the fitted head's cheeks and jaw lie from the outline of the person on photos:

    python tests/benchmarks/bench_outline.py FOLDER --people 0 250

Photos are laid out as FOLDER/person/*.jpg; the first of each is used. Where the background meets the cheek below the
eyes, the distance from the head's silhouette to the edge of `person_mask` is measured across the silhouette, in percent
of the distance of the outer eye corners, positive where the photo's face is wider. Hair, necks and collars belong to
the person, so places where the mask does not end nearby are left out, and photos with fewer than `LEAST` such places.
Prints one JSON object.

Shape suffixes: V vertices, F triangles, E edges, T places along a line.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "training")]

from deca.errors import DecaError  # noqa: E402
from deca.head import HeadModel, Part  # noqa: E402
from deca.reconstruct.face import Face  # noqa: E402
from deca.reconstruct.models import load_models  # noqa: E402
from deca.reconstruct.noise import OUTER_EYES  # noqa: E402
from deca.reconstruct.pipeline import reconstruct  # noqa: E402
from deca.vision import read_photo  # noqa: E402
from deca.vision.person import person_mask  # noqa: E402
from deca_blender.protocol.conventions import BUILTIN_WEIGHTS  # noqa: E402
from tools.openhead.portrait import sample_uv  # noqa: E402

LEAST = 6
"""Places on the outline that a photo must show."""
ACROSS = np.linspace(-0.12, 0.15, 55)
"""Places across the outline, in outer-eye distances: what is farther off is no cheek's edge but hair's or a neck's."""
BELOW, BESIDE = 0.15, 0.35
"""How far below the eyes and beside the middle the outline is looked at, in outer-eye distances."""
JAW = (172, 397)
"""MediaPipe landmarks at the corners of the jaw."""


def edges_of_face(head: HeadModel) -> NDArray[np.int64]:
    """Edges of the face's skin without ears (E, 4): two vertices, the two triangles that meet there."""
    in_face_V, in_ear_V = np.zeros((2, len(head.template_V3)))
    for name, values_V in (("face", in_face_V), ("ears", in_ear_V)):
        of_corner_F3 = sample_uv(head.masks[name], head.uv_T2)[head.uv_faces_F3]
        np.maximum.at(values_V, head.faces_F3.ravel(), of_corner_F3.ravel())
    skin_V = (in_face_V > 0.2) & (in_ear_V < 0.5) & (head.parts_V == Part.SKIN)
    meet: dict[tuple[int, int], list[int]] = {}
    for index, (a, b, c) in enumerate(head.faces_F3.tolist()):
        for first, second in ((a, b), (b, c), (c, a)):
            meet.setdefault((min(first, second), max(first, second)), []).append(index)
    edges_E4 = np.array([(*ends, *faces) for ends, faces in meet.items() if len(faces) == 2])
    return edges_E4[skin_V[edges_E4[:, :2]].all(1)]


def off_the_outline(photo_HW3: NDArray[np.uint8], face: Face, edges_E4: NDArray[np.int64]) -> float:
    """The median distance from the head to the photo's outline, outer-eye distances; NaN where it is not seen."""
    marks_L2, to_photo_24 = face.landmarks_L2.astype(np.float64), face.to_photo()
    pixels_V2 = face.vertices() @ to_photo_24[:, :3].T + to_photo_24[:, 3]
    first_F2, second_F2 = (pixels_V2[face.head.faces_F3[:, k]] - pixels_V2[face.head.faces_F3[:, 0]] for k in (1, 2))
    away_F = first_F2[:, 0] * second_F2[:, 1] > first_F2[:, 1] * second_F2[:, 0]
    ends_E2 = edges_E4[away_F[edges_E4[:, 2]] != away_F[edges_E4[:, 3]], :2]
    middle_E2 = pixels_V2[ends_E2].mean(1)
    along_E2 = np.diff(pixels_V2[ends_E2], axis=1)[:, 0]
    outwards_E2 = along_E2[:, ::-1] * (1, -1) / np.maximum(np.linalg.norm(along_E2, axis=1, keepdims=True), 1e-9)
    eyes_22 = marks_L2[list(OUTER_EYES)]
    size, aside_2 = np.linalg.norm(eyes_22[1] - eyes_22[0]), eyes_22[1] - eyes_22[0]
    aside_2 = aside_2 / size
    from_eyes_E2 = (middle_E2 - eyes_22.mean(0)) / size
    outwards_E2 *= np.sign((from_eyes_E2 * outwards_E2).sum(1, keepdims=True))
    down_E = from_eyes_E2 @ np.array([-aside_2[1], aside_2[0]])
    chosen_E = (down_E > BELOW) & (np.abs(from_eyes_E2 @ aside_2) > BESIDE)
    if chosen_E.sum() < LEAST:
        return np.nan
    places_ET2 = middle_E2[chosen_E, None] + outwards_E2[chosen_E, None] * ACROSS[:, None] * size
    person_ET = person_mask(photo_HW3, marks_L2).at(places_ET2.astype(np.float32))
    person_ET = person_ET[(person_ET[:, :8].min(1) > 0.85) & (person_ET[:, -6:].max(1) < 0.15)]
    return float(np.median(ACROSS[(person_ET < 0.5).argmax(1)])) if len(person_ET) >= LEAST else np.nan


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--people", type=int, nargs=2, default=(0, 100), help="the first, and the one after the last")
    options = parser.parse_args()
    models = load_models("openhead", BUILTIN_WEIGHTS)
    models.relief = models.skin_map = models.albedo = None
    edges_E4, found = edges_of_face(models.head), []
    folders = sorted(path for path in options.folder.iterdir() if path.is_dir())
    for person in folders[slice(*options.people)]:
        path = min(person.glob("*.jpg"))
        photo = read_photo(path)
        try:
            face = reconstruct(photo, path=path, models=models, texture_size=None, max_faces=1)[0]
        except DecaError:
            continue
        eyes, jaw = (
            np.linalg.norm(face.landmarks_L2[first] - face.landmarks_L2[second]) for first, second in (OUTER_EYES, JAW)
        )
        found.append((100 * off_the_outline(photo.pixels, face, edges_E4), jaw / eyes))
    off_N, jaw_N = np.array([row for row in found if np.isfinite(row[0])]).T
    thirds = np.array_split(off_N[np.argsort(jaw_N)], 3)
    print(
        json.dumps(
            {
                "photos": len(found),
                "with_outline": len(off_N),
                "percent_10_50_90": np.percentile(off_N, (10, 50, 90)).round(2).tolist(),
                "correlation_with_jaw_width": round(float(np.corrcoef(off_N, jaw_N)[0, 1]), 2),
                "median_of_narrow_middle_wide_third": [round(float(np.median(part)), 2) for part in thirds],
            }
        )
    )


if __name__ == "__main__":
    main()
