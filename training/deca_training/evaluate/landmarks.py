"""Landmark error: how far the head's projected 68 landmarks lie from those found on the photos (DECA, Eq. 5).

Shape suffixes: L landmarks.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from deca.errors import OptionError
from deca.reconstruct.face import Face
from deca.reconstruct.models import Models
from deca_training.evaluate.curves import cumulative
from deca_training.evaluate.reports import Curves
from deca_training.evaluate.subjects import Subjects
from deca_training.evaluate.tables import Table

LIMIT_PERCENT = 10.0
"""Where curves end, and beyond which a face counts as failed."""
FIT = "landmark fit"
"""What the method without weights is called."""
_INNER = slice(17, 68)
_OUTER_EYES = (36, 45)


def landmark_errors(projected_L2: NDArray, found_L2: NDArray) -> dict[str, float]:
    """Normalised mean errors of one face's 68 landmarks, percent.

    By the distance of the outer eye corners, of all landmarks and without the jaw's; and of all by the geometric mean
    of the sides of the found landmarks' box.
    """
    distance_L = np.linalg.norm(projected_L2 - found_L2, axis=1)
    eyes = max(float(np.linalg.norm(found_L2[_OUTER_EYES[0]] - found_L2[_OUTER_EYES[1]])), 1e-6)
    box = max(float(np.sqrt(np.prod(np.ptp(found_L2, axis=0)))), 1e-6)
    return {
        "inner_by_eyes": float(100 * distance_L[_INNER].mean() / eyes),
        "all_by_eyes": float(100 * distance_L.mean() / eyes),
        "all_by_box": float(100 * distance_L.mean() / box),
    }


def projected_landmarks(face: Face, models: Models) -> NDArray[np.float64]:
    """The head's landmarks (68, 2), photo pixels.

    Raises:
        OptionError: The head model has none.
    """
    landmarks_BL3 = models.decode_face(replace(face, detail_D=None, albedo_A=None, light_93=None)).landmarks_BL3
    if landmarks_BL3 is None:
        raise OptionError(f"{models.head.name} carries no 68 landmarks.", "Build or convert it with its landmarks.")
    to_photo_24 = face.to_photo()
    return landmarks_BL3[0].double().cpu().numpy() @ to_photo_24[:, :3].T + to_photo_24[:, 3]


def evaluate_landmarks(
    models: Models, subjects: Subjects, *, name: str = "E_c", with_fit: bool = True, progress: bool = False
) -> tuple[Table, Curves]:
    """Landmark errors of the coarse encoder alone and of the landmark fit, on the same photos.

    Args:
        models: Head model, and networks for the encoder's rows.
        subjects: The photos.
        name: What the encoder is called.
        with_fit: Measure the landmark fit, too.
        progress: Show a progress bar.

    Returns:
        A row and curves per method.

    Raises:
        OptionError: No photo could be used.
    """
    methods = {name: False} if models.networks is not None else {}
    methods |= {FIT: True} if with_fit or not methods else {}
    errors: dict[str, dict[str, list[float]]] = {method: defaultdict(list) for method in methods}
    for photos in tqdm(subjects, unit="subject", desc="landmarks", disable=not progress):
        for photo in photos:
            for method, by_fit in methods.items():
                projected_L2 = projected_landmarks(photo.face(models, by_fit), models)
                for key, value in landmark_errors(projected_L2, photo.landmarks68_L2).items():
                    errors[method][key].append(value)
    table, curves = Table("Landmark error"), {}
    for method, found in errors.items():
        arrays = {key: np.array(values) for key, values in found.items()}
        if not arrays:
            raise OptionError(f"None of the photos in {subjects.data} can be used.", "; ".join(subjects.notes()))
        summary = {f"{key}_mean_percent": round(float(values.mean()), 4) for key, values in arrays.items()}
        inner = arrays["inner_by_eyes"]
        table.add(
            method=method,
            photos=len(inner),
            left_out=len(subjects.skipped),
            **summary,
            inner_by_eyes_median_percent=round(float(np.median(inner)), 4),
            failed_percent=round(float(100 * (inner > LIMIT_PERCENT).mean()), 2),
        )
        curves[method] = {key: cumulative(values, LIMIT_PERCENT) for key, values in arrays.items()}
    table.notes += [
        "Mean distance of projected from detected landmarks, in percent of the outer eye distance or the box's size;"
        f" failed: inner landmarks beyond {LIMIT_PERCENT:g} %.",
        "The jaw line of detected and projected landmarks may follow different rules; the inner landmarks do not.",
        *subjects.notes(),
    ]
    return table, curves


def default_name(weights: Path | None) -> str:
    """What the methods of a weights file are called unless the user says otherwise."""
    return FIT if weights is None else f"{weights.resolve().parent.name}/{weights.stem}"
