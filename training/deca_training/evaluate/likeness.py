"""How much of a person the shape from a photo tells, on photos of real people, without scans.

The shape of one photo is held on another photo of the person, where expression, pose and camera are fitted to the
landmarks. How far these then lie from the head, in percent of the distance of the outer eye corners, can be lowered by
nothing but what is true of the person's geometry. Two shapes say how large the error can be and how small: that which
serves everybody best, which knows nothing of the person, and the photo's own, which knows its landmarks' noise, too.

Shape suffixes: N photos, P pairs, L landmarks, S shape coefficients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from deca.errors import OptionError
from deca.head import HeadModel
from deca.reconstruct.coarse import fitted_faces, refined_faces, regressed_faces
from deca.reconstruct.fit import LandmarkSolver
from deca.reconstruct.fit_result import HELD, Guess
from deca.reconstruct.models import Models
from deca.vision import DetectedFace, read_photo
from deca_training.cross_photo import WRONG, average_shape, together
from deca_training.data.people import Landmarks, people_of, photo_name, photos_of, yaw_degrees
from deca_training.evaluate.separation import auc
from deca_training.evaluate.tables import Table
from deca_training.model import face_vertices

Way = Literal["refined", "encoder", "fit"]
"""The product's way to a shape, the shape encoder alone, or the landmark fit alone."""
TURNED = (15.0, 30.0)
"""Degrees by which the yaws of two photos differ at least, for the columns of turned pairs."""
AVERAGED_PEOPLE = 100
"""People to learn from who make the average, by one photo each."""
_WRONG = WRONG**0.5 / 100
"""The same as a share of the outer-eye distance."""


@dataclass(frozen=True)
class People:
    """Photos of people, those of a person one after the other.

    Attributes:
        paths: The photos.
        landmarks_NL3: Photo pixels.
        sizes_N2: Widths and heights.
    """

    paths: list[Path]
    landmarks_NL3: NDArray[np.float64]
    sizes_N2: NDArray[np.int64]

    @classmethod
    def of(cls, folder: Path, split: str, people: int | None, photos: int, landmarks: Landmarks) -> People:
        """The first photos of the first people of a part (`in_split`) on which a face is found.

        Raises:
            OptionError: There are none.
        """
        paths = [path for person in people_of(folder, split)[:people] for path in photos_of(person, photos)]
        if not paths:
            raise OptionError(f"{folder} has no photos of people of the part {split}.", "Expected: FOLDER/person/*.jpg")
        found_NL3, sizes_N2 = landmarks.find(paths)
        there = np.flatnonzero(np.isfinite(found_NL3[:, 0, 0]))
        return cls([paths[row] for row in there], found_NL3[there], sizes_N2[there])

    def take(self, rows: NDArray[np.intp]) -> People:
        """Some of the photos."""
        return People([self.paths[row] for row in rows], self.landmarks_NL3[rows], self.sizes_N2[rows])

    @property
    def names(self) -> NDArray[np.str_]:
        """Whose the photos are."""
        return np.array([path.parent.name for path in self.paths])


class Shapes:
    """Shapes of photos by one way, found once and kept in a file.

    Args:
        models: Head model, and networks where the way needs them.
        way: To a shape.
        cache: The .npz file; None keeps nothing. It belongs to one head model, one weights file and one way.

    Raises:
        OptionError: The way needs networks, and there are none.
    """

    def __init__(self, models: Models, way: Way, cache: Path | None = None) -> None:
        networks = models.networks
        if networks is None and way != "fit":
            raise OptionError("There are no networks for this head model.", "Name a weights file, or measure the fit.")
        self._models = Models(models.head, networks, device=models.device)  # shapes do not depend on the albedo
        self._way, self._cache = way, cache
        self._known: dict[str, NDArray] = {}
        if cache is not None and cache.is_file():
            with np.load(cache) as stored:
                self._known = dict(zip(stored["names"].tolist(), stored["shape_NS"], strict=True))

    def find(self, people: People, *, progress: bool = False) -> NDArray[np.float64]:
        """The shapes (N, S)."""
        missing = [row for row, path in enumerate(people.paths) if photo_name(path) not in self._known]
        for row in tqdm(missing, unit="photo", disable=not progress):
            self._known[photo_name(people.paths[row])] = self._shape(people.paths[row], people.landmarks_NL3[row])
        if missing and self._cache is not None:
            self._cache.parent.mkdir(parents=True, exist_ok=True)
            np.savez(self._cache, names=list(self._known), shape_NS=list(self._known.values()))
        return np.array([self._known[photo_name(path)] for path in people.paths], np.float64)

    def _shape(self, path: Path, landmarks_L3: NDArray) -> NDArray[np.float32]:
        box_4 = np.concatenate((landmarks_L3[:, :2].min(0), landmarks_L3[:, :2].max(0)))
        found = [DetectedFace(landmarks_L3.astype(np.float32), box_4, 1.0, 1.0, 0.0)]
        if self._way == "fit":
            return fitted_faces(read_photo(path), path, found, Models(self._models.head))[0].shape_S
        assert self._models.networks is not None
        way = refined_faces if self._way == "refined" else regressed_faces
        return way(read_photo(path), path, found, self._models, self._models.networks)[0].shape_S


def held(solver: LandmarkSolver, people: People, shape_NS: NDArray) -> NDArray[np.float64]:
    """Mean distances (N,) of the inner landmarks from heads of given shapes, in outer-eye distances."""
    error_N = np.empty(len(people.paths))
    for rows, size in together(people.sizes_N2):
        guess = Guess(shape_NS[rows], np.zeros((len(rows), 0)), np.zeros((len(rows), 3)), HELD)
        error_N[rows] = solver.fit(people.landmarks_NL3[rows, :, :2], size, guess=guess).error_B
    return error_N


def evaluate_likeness(
    solver: LandmarkSolver, people: People, shape_NS: NDArray, average_S: NDArray, *, progress: bool = False
) -> Table:
    """The errors of shapes from other photos, and how well heads tell people apart.

    Args:
        solver: Of the head model.
        people: Photos of people, at least two of each who is to count.
        shape_NS: The shapes of these photos.
        average_S: The shape of somebody of whom nothing is known.
        progress: Show a progress bar.

    Raises:
        OptionError: There are fewer than two people with two photos.
    """
    average_N = held(solver, people, np.tile(average_S, (len(shape_NS), 1)))
    names, counts = np.unique(people.names[average_N < _WRONG], return_counts=True)
    rows = np.flatnonzero((average_N < _WRONG) & np.isin(people.names, names[counts > 1]))
    if len(set(people.names[rows])) < 2:
        raise OptionError("Two people with two photos each are needed.", "Give more people, or more photos of each.")
    people, shape_NS, average_N = people.take(rows), shape_NS[rows], average_N[rows]
    first_P, second_P, _ = same_person(people.names)
    table = Table("Shapes of people's other photos, held on a photo")
    yaw_N = yaw_degrees(people.landmarks_NL3)
    own_N = held(solver, people, shape_NS)

    def add(shape: str, chosen_P: NDArray, on_P: NDArray, error_P: NDArray) -> None:
        """A row of errors on photos `on_P`; `chosen_P` is the other photo, where there is one."""
        apart_P = np.abs(yaw_N[chosen_P] - yaw_N[on_P])
        values: dict = {"shape": shape, "pairs": len(on_P)}
        parts = {"error": apart_P >= 0} | {f"{least:g}_deg": apart_P > least for least in TURNED}
        for name, part_P in parts.items():
            if not part_P.any():
                continue
            weight_P = 1 / _times(people.names[on_P[part_P]])  # people count alike, however many photos they have
            mean, most, least = (
                float(np.average(values_P, weights=weight_P))
                for values_P in (error_P[part_P], average_N[on_P[part_P]], own_N[on_P[part_P]])
            )
            values |= {
                f"{name}_percent": round(100 * mean, 4),
                f"{name}_share": round((most - mean) / (most - least), 3),
            }
        table.add(**values)

    def mean_of(count: int) -> tuple[NDArray, NDArray]:
        """Photos, and the mean shape of as many others of the person, where there are so many."""
        others = {row: second_P[first_P == row] for row in range(len(rows))}
        on = np.array([row for row, some in others.items() if len(some) >= count], np.intp)
        return on, np.array([shape_NS[others[row][:count]].mean(0) for row in on])

    add("average", first_P, second_P, average_N[second_P])
    shift = np.flatnonzero(people.names != people.names[0])[0]
    stranger_N = np.roll(np.arange(len(rows)), shift)
    add("another person's", stranger_N, np.arange(len(rows)), held(solver, people, shape_NS[stranger_N]))
    rounds = tqdm(range(_times(people.names).max() - 1), unit="round", disable=not progress)
    errors_P = np.empty(len(first_P))
    for step in rounds:  # the step-th other photo of each
        part = np.flatnonzero(_order(second_P) == step)
        errors_P[part] = held(solver, people.take(second_P[part]), shape_NS[first_P[part]])
    add("one other photo's", first_P, second_P, errors_P)
    for count in (2, 4):
        on, mean_S = mean_of(count)
        if len(on):
            add(f"mean of {count} others", on, on, held(solver, people.take(on), mean_S))
    add("its own", first_P, second_P, own_N[second_P])
    table.notes += [
        f"{len(set(people.names))} people, {len(rows)} photos; errors in % of the outer-eye distance",
        "people count alike, however many photos they have",
        "share: of the way from the average's error to that of the photo's own shape, on the same photos",
        f"n_deg: pairs whose yaws differ by more than {' and '.join(f'{least:g}' for least in TURNED)} degrees",
        *separation_notes(solver.head, people.names, shape_NS),
    ]
    return table


def same_person(names: NDArray[np.str_]) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_]]:
    """Rows of all ordered pairs of photos of one person; and which of all unordered pairs are of one person."""
    same_NN = names[:, None] == names[None]
    first_P, second_P = np.nonzero(same_NN & ~np.eye(len(names), dtype=bool))
    return first_P, second_P, same_NN[np.triu_indices(len(names), 1)]


def separation_notes(head: HeadModel, names: NDArray[np.str_], shape_NS: NDArray) -> list[str]:
    """How well the vertices of neutral faces tell people apart, millimetres; codes flatter."""
    face_V = face_vertices(head).numpy()
    dirs_XS = 1000 * head.shape_dirs_V3S[face_V][..., : shape_NS.shape[1]].reshape(-1, shape_NS.shape[1])
    root_SS = np.asarray(np.linalg.qr(dirs_XS.astype(np.float64) / np.sqrt(len(face_V)), mode="r"))
    places_NS = shape_NS @ root_SS.T  # whose distances are root mean squares over the face's vertices
    first_P, second_P = np.triu_indices(len(names), 1)
    apart_P = np.linalg.norm(places_NS[first_P] - places_NS[second_P], axis=1)
    same_P = same_person(names)[2]
    within, between = float(apart_P[same_P].mean()), float(apart_P[~same_P].mean())
    separation = auc(apart_P[same_P], apart_P[~same_P])
    return [
        f"vertices of the neutral face: AUC {separation:.3f}, within people {within:.2f} mm, between {between:.2f} mm,"
        f" ratio {within / between:.3f}"
    ]


def average_of(solver: LandmarkSolver, folder: Path, landmarks: Landmarks) -> NDArray[np.float64]:
    """The one shape (S,) that serves photos of people to learn from best, whatever way to a shape is measured."""
    people = People.of(folder, "learn", AVERAGED_PEOPLE, 1, landmarks)
    return average_shape(solver, people.landmarks_NL3[..., :2], people.sizes_N2)


def _times(values: Sequence | NDArray) -> NDArray[np.int64]:
    """How often each value is there."""
    _, inverse, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    return counts[inverse]


def _order(values_P: NDArray[np.intp]) -> NDArray[np.int64]:
    """How often each value was there before."""
    seen: dict[int, int] = {}
    order_P = np.empty(len(values_P), np.int64)
    for place, value in enumerate(values_P.tolist()):
        order_P[place] = seen.get(value, 0)
        seen[value] = order_P[place] + 1
    return order_P
