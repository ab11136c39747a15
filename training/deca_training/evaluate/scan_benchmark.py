"""What the benchmarks with scans share: predictions from photos, errors of predictions, tables and curves.

Shape suffixes: V vertices, F triangles, N scan points.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from deca.errors import AssetError, DecaError, NoFaceError, OptionError
from deca.head import HeadModel, Part
from deca.reconstruct.models import Models
from deca.reconstruct.pipeline import Coarse, reconstruct
from deca.vision.photo import read_photo
from deca_training.evaluate.alignment import align, scan_to_mesh
from deca_training.evaluate.curves import Curve, cumulative
from deca_training.evaluate.reports import write_report
from deca_training.evaluate.scans import (
    LANDMARK_SUFFIXES,
    LANDMARKS_7,
    MESH_SUFFIXES,
    Scan,
    TriangleMesh,
    read_prediction,
    read_scan,
    write_prediction,
)
from deca_training.evaluate.tables import Table

ALL = "all"
"""Name of the group of all images."""
LIMIT_MM = 7.0
"""Where curves end."""


@dataclass(frozen=True)
class Case:
    """One image of a benchmark.

    Attributes:
        name: Path of the image below the benchmark's images, without suffix: where its prediction lies, too.
        group: The challenge that it belongs to.
        image: The image.
        scan, scan_landmarks: Its subject's scan.
    """

    name: str
    group: str
    image: Path
    scan: Path
    scan_landmarks: Path


@dataclass(frozen=True)
class Protocol:
    """How a benchmark is measured.

    Attributes:
        title: Its name.
        groups: Its challenges, in the order of its tables.
        radius: Of the measured part of the scans (`Scan.face_region`); 0: all of them.
        with_scale: Whether predictions are scaled to the scans.
    """

    title: str
    groups: tuple[str, ...]
    radius: float
    with_scale: bool = True


@dataclass
class Errors:
    """Scan-to-mesh distances of a method.

    Attributes:
        method: Its name.
        distances: Millimetres by case.
        missing: Cases without a prediction.
        failed: Why other cases could not be measured.
    """

    method: str
    distances: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def neutral_face(head: HeadModel, shape_S: NDArray[np.floating]) -> TriangleMesh:
    """The neutral face of shape coefficients, looking ahead, millimetres: what both benchmarks' scans show.

    What lies inside the mouth is left out: no scanner sees it.

    Raises:
        AssetError: The head model has no 68 landmarks.
    """
    points = head.landmarks_51
    if points is None:
        raise AssetError(f"{head.name} carries no 68 landmarks.", "Build or convert it again with its landmarks.")
    verts_V3 = 1000 * (head.template_V3 + head.shape_dirs_V3S[..., : len(shape_S)] @ shape_S).astype(np.float64)
    landmarks_73 = points.positions(verts_V3, head.faces_F3)[[number - 17 for number in LANDMARKS_7]]
    seen_V = np.isin(head.parts_V, (Part.SKIN, Part.EYE_L, Part.EYE_R))
    faces_F3 = head.faces_F3[seen_V[head.faces_F3].all(1)]
    kept, faces = np.unique(faces_F3, return_inverse=True)
    return TriangleMesh(verts_V3[kept], faces.reshape(-1, 3).astype(np.int64), landmarks_73)


def predict(
    cases: Sequence[Case], models: Models, out: Path, *, coarse: Coarse = "auto", progress: bool = False
) -> dict[str, str]:
    """Writes the neutral face of every image into `out`, laid out as the benchmark asks for.

    Faces that are there already are kept, so that the same command goes on after it was stopped.

    Returns:
        Why images have none.

    Raises:
        OutputError: A file cannot be written.
    """
    without: dict[str, str] = {}
    for case in tqdm(cases, unit="image", desc="predictions", disable=not progress):
        if _find_prediction(out, case) is not None:
            continue
        try:
            photo = read_photo(case.image)
            faces = reconstruct(photo, path=case.image, models=models, coarse=coarse, texture_size=None, max_faces=1)
        except NoFaceError:
            without[case.name] = "no face was found"
            continue
        except DecaError as error:
            without[case.name] = error.message
            continue
        write_prediction(out / case.name, neutral_face(models.head, faces[0].shape_S))
    return without


def measure(cases: Sequence[Case], folder: Path, protocol: Protocol, method: str, *, progress: bool = False) -> Errors:
    """Scan-to-mesh distances of the predictions in a folder.

    Raises:
        AssetError: A scan is missing or damaged, or no prediction is there at all.
    """
    errors = Errors(method)
    scan_of = lru_cache(maxsize=2)(read_scan)  # the cases of a subject follow each other
    for case in tqdm(cases, unit="image", desc=method, disable=not progress):
        files = _find_prediction(folder, case)
        if files is None:
            errors.missing.append(case.name)
            continue
        scan = scan_of(case.scan, case.scan_landmarks).face_region(protocol.radius)
        try:
            prediction = read_prediction(*files)
            errors.distances[case.name] = distances(prediction, scan, protocol.with_scale)
        except DecaError as error:
            errors.failed[case.name] = error.message
    if len(errors.missing) == len(cases):
        raise AssetError(
            f"{folder} holds no prediction for any of the {len(cases)} images.",
            f"Expected for instance {cases[0].name}.obj with {cases[0].name}.npy (or .txt) beside it."
            if cases
            else "There are no images either.",
        )
    return errors


def distances(prediction: TriangleMesh, scan: Scan, with_scale: bool = True) -> NDArray[np.float32]:
    """Distance of each scan point to the prediction placed on the scan, millimetres."""
    placed = align(prediction, scan, with_scale)
    return scan_to_mesh(prediction, scan.points_N3, placed).astype(np.float32)


def report(cases: Sequence[Case], errors: Errors, protocol: Protocol) -> tuple[Table, dict[str, Curve]]:
    """A row and a curve per challenge, over the distances of all its images together."""
    table, curves = Table(protocol.title), {}
    for group in (*protocol.groups, ALL):
        names = [case.name for case in cases if group in (ALL, case.group)]
        if not names:
            continue
        measured = [errors.distances[name] for name in names if name in errors.distances]
        values = np.concatenate(measured) if measured else np.zeros(0, np.float32)
        table.add(
            method=errors.method,
            group=group,
            images=len(names),
            measured=len(measured),
            missing=len(set(names) & set(errors.missing)),
            failed=len(set(names) & set(errors.failed)),
            vertices=values.size,
            median_mm=_rounded(np.median, values),
            mean_mm=_rounded(np.mean, values),
            std_mm=_rounded(np.std, values),
        )
        curves[group] = cumulative(values, LIMIT_MM)
    table.notes += _notes(errors, protocol)
    return table, curves


def write_benchmark(
    out: Path, stem: str, cases: Sequence[Case], errors: Errors, protocol: Protocol, compare: Iterable[Path] = ()
) -> Table:
    """Writes the report (`deca_training.evaluate.reports`) and `STEM_images.*`, the errors per image.

    Args:
        out: Folder.
        stem: The benchmark's short name.
        cases, errors, protocol: What was measured.
        compare: Folders of earlier reports of the same benchmark.

    Raises:
        AssetError: An earlier report is missing or damaged.
        OutputError: A file cannot be written.
    """
    per_image = Table(f"{protocol.title}: per image")
    for case in cases:
        values = errors.distances.get(case.name)
        state = "missing" if case.name in errors.missing else errors.failed.get(case.name, "measured")
        row = {} if values is None else {"median_mm": _rounded(np.median, values), "mean_mm": _rounded(np.mean, values)}
        per_image.add(image=case.name, group=case.group, state=state, **row)
    per_image.write(out, f"{stem}_images")
    table, curves = report(cases, errors, protocol)
    return write_report(out, stem, table, {errors.method: curves}, unit="mm", compare=compare)


def _notes(errors: Errors, protocol: Protocol) -> list[str]:
    part = (
        f"Measured: scan vertices within {protocol.radius:g} times the mean of outer eye distance and nose length of "
        "the middle of the face (Feng et al. 2018)."
        if protocol.radius
        else "Measured: all scan vertices."
    )
    how = "rotation, translation and scale" if protocol.with_scale else "rotation and translation"
    notes = [f"Aligned by {how} on seven landmarks, then on the squared scan-to-mesh distance.", part]
    absent = len(errors.missing) + len(errors.failed)
    if absent:
        notes.append(
            f"INCOMPLETE: {len(errors.missing)} predictions are missing and {len(errors.failed)} could not be measured;"
            " they count in no figure, which is thus not comparable to complete ones."
        )
    notes += [f"{name}: {reason}" for name, reason in list(errors.failed.items())[:10]]
    return notes


def _find_prediction(folder: Path, case: Case) -> tuple[Path, Path] | None:
    """Mesh and landmarks of a case, if both are there."""
    found = []
    for suffixes in (MESH_SUFFIXES, LANDMARK_SUFFIXES):
        files = [folder / f"{case.name}{suffix}" for suffix in suffixes]
        found.append(next((file for file in files if file.is_file()), None))
    return (found[0], found[1]) if found[0] and found[1] else None


def _rounded(function, values: NDArray) -> float | None:
    return round(float(function(values.astype(np.float64))), 4) if values.size else None


def check_folder(folder: Path, what: str, layout: str) -> None:
    """Raises an OptionError that tells the expected layout unless the folder exists."""
    if not folder.is_dir():
        raise OptionError(f"{what}: there is no folder {folder}.", f"Expected: {layout}")
