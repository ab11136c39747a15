"""Several photos of one person to one head: each photo by itself, the identity over all, one merge per map.

Shape suffixes: P photos, L landmarks, S shape and E expression coefficients, D codes.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from deca.appearance.merge import TextureMerge
from deca.appearance.texture import filled_in, shown_by_photo
from deca.errors import AssetError, DecaError, NoFaceError
from deca.reconstruct.coarse import (
    REFINED_ERROR,
    REFINED_EXCESS,
    can_refine,
    face_of_fit,
    focal_in_pixels,
    interior_error,
    refit,
    regressed_faces,
)
from deca.reconstruct.face import Face
from deca.reconstruct.fit_result import FitResult
from deca.reconstruct.joint_fit import Marks, PersonGuess, joint_solver
from deca.reconstruct.likeness import likeness_solver, sees_likeness
from deca.reconstruct.merged_relief import merge_reliefs
from deca.reconstruct.models import Models
from deca.reconstruct.photo_quality import quality
from deca.reconstruct.pipeline import Coarse, Progress, check_coarse, faces_on, with_skin_map, with_texture
from deca.reconstruct.relief import Relief, relief_of_photo
from deca.reconstruct.same_person import describe, same_person
from deca.reconstruct.teeth import teeth_meet
from deca.vision.faces import DetectedFace
from deca.vision.photo import read_photo
from deca_blender.protocol.photos import told

T = TypeVar("T")

MAX_PHOTOS = 20
"""Of more photos of a person the best are taken."""
PRIOR = 0.1
"""Standard deviation of the shape coefficients around the mean of the photos' regressed ones. On 20 people of Labeled
Faces in the Wild to choose on, two and four photos go 50 and 56 % of the way from the average code to the photo's own;
with 0.2 47 and 55 %, with 0.3 45 and 54 %."""

_JAW = 2
_FACES = 8
"""Faces of a photo that are looked at, the most prominent first."""


@dataclass(frozen=True)
class LeftOut:
    """A photo that tells nothing of the person, and why, in the user's words."""

    photo: Path
    reason: str


@dataclass(frozen=True, eq=False)
class Person:
    """One person on several photos.

    Attributes:
        faces: The person on each photo that is used, with its own expression, pose, camera and light; shape, likeness,
            detail code, relief and texture are the person's, the same on all. The photo that tells most comes first,
            and its tone, hair and irises are the texture's; the others follow as they were given.
        left_out: The photos that are not used.
    """

    faces: tuple[Face, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def shape_S(self) -> NDArray[np.float32]:
        """The identity."""
        return self.faces[0].shape_S


@dataclass(frozen=True, eq=False)
class _Sight:
    """A face on a photo before the person is known.

    Attributes:
        photo: The photo's path.
        index: Which of its faces.
        found: Where it is.
        descriptor_D: Who it is (`same_person.describe`).
        marks: What the identity is fitted to.
        weight: How much the photo tells (`photo_quality.quality`).
        guess: Its codes from E_c; None without weights.
    """

    photo: Path
    index: int
    found: DetectedFace
    descriptor_D: NDArray[np.float32]
    marks: Marks
    weight: float
    guess: Face | None


def reconstruct_person(
    paths: Sequence[str | Path],
    *,
    models: Models,
    coarse: Coarse = "auto",
    texture_size: int | None = 1024,
    paint_hair: bool = False,
    progress: Progress = lambda fraction, text: None,
) -> Person:
    """One head of several photos of one person.

    The person is whom most photos show. Photos that cannot be read, show no face or somebody else are left out, each
    with its reason; so are all but the best `MAX_PHOTOS`.

    Args:
        paths: The photos; the same one twice counts once.
        models: Head model, networks and albedo model.
        coarse: As in `deca.reconstruct.pipeline.reconstruct`.
        texture_size: As in `deca.reconstruct.pipeline.reconstruct_photo`.
        paint_hair: As in `deca.reconstruct.pipeline.reconstruct_photo`.
        progress: As in `deca.reconstruct.pipeline.reconstruct_photo`.

    Raises:
        NoFaceError: No photo shows a face; the message names the photos with their reasons.
        AssetError: A network is missing or damaged.
    """
    check_coarse(coarse, models)
    photos = list(dict.fromkeys(map(Path, paths)))
    left_out: dict[Path, str] = {}
    sights: list[list[_Sight]] = []
    for number, path in enumerate(photos):
        progress(0.4 * number / len(photos), f"Finding faces on {told(path.name)}")
        sights.append(_for_one_photo(path, left_out, partial(_sights_on, path, models, coarse)) or [])
    chosen = _chosen(sights, left_out)
    progress(0.4, "Fitting the head to all photos")
    mean_S = _mean_shape(chosen)
    fit = _joint_fit(chosen, mean_S, models) if chosen and _fits(models, coarse) else None
    likeness_V3 = None
    if fit is not None and len(chosen) > 1 and sees_likeness(models.head):
        solver, marks = likeness_solver(models.head), [sight.marks for sight in chosen]
        likeness_V3 = solver.displacement(marks, fit)
        fit = solver.fit_moved(marks, fit, likeness_V3)
    merge = _Merge(models, texture_size, paint_hair, likeness_V3)
    for number, row in enumerate(sorted(range(len(chosen)), key=lambda row: -chosen[row].weight)):
        sight = chosen[row]
        progress(0.5 + 0.45 * number / len(chosen), f"Reading the skin on {told(sight.photo.name)}")
        own = fit.take(np.array([row])) if fit is not None else None
        _for_one_photo(sight.photo, left_out, partial(merge.add, sight, own, mean_S))
    if not merge.faces:
        reasons = "\n".join(f"{told(path)}: {reason}" for path, reason in left_out.items())
        raise NoFaceError(f"No photo shows a face that can be used.\n{reasons}", "Choose other photos of the person.")
    progress(0.95, "Merging the photos")
    first, *others = merge.result()
    others.sort(key=lambda face: photos.index(face.photo))
    progress(1.0, "Done")
    return Person((first, *others), tuple(LeftOut(path, left_out[path]) for path in photos if path in left_out))


def _fits(models: Models, coarse: Coarse) -> bool:
    """Whether landmarks are fitted, or the weights' codes taken as they are."""
    networks = models.networks
    return coarse == "fit" or networks is None or (coarse == "auto" and can_refine(networks, models.head))


def _for_one_photo(path: Path, left_out: dict[Path, str], work: Callable[[], T]) -> T | None:
    """What the work gives; what fails with a photo leaves that photo out, except for missing models."""
    try:
        return work()
    except AssetError:
        raise
    except DecaError as error:
        left_out[path] = str(error)
    except MemoryError:
        left_out[path] = "There was not enough memory for this photo. Scale it down, or close other programs."
    except Exception as error:
        traceback.print_exception(error, file=sys.stderr)
        left_out[path] = f"This photo failed unexpectedly ({type(error).__name__}: {error})."
    return None


# -- Who it is ------------------------------------------------------------------------------------------------------


def _sights_on(path: Path, models: Models, coarse: Coarse) -> list[_Sight]:
    """The faces of a photo, the most prominent first.

    Raises:
        PhotoError: The photo cannot be read.
        NoFaceError: There is none.
    """
    photo = read_photo(path)
    found = faces_on(photo, path, models, _FACES)
    guesses: Sequence[Face | None] = [None] * len(found)
    if models.networks is not None and coarse != "fit":
        guesses = regressed_faces(photo, path, found, models, models.networks)
    size, focal_px = (photo.width, photo.height), focal_in_pixels(photo)
    marks_FL2 = [face.landmarks_L3[:, :2] for face in found]
    marks = [Marks(marks_L2, size, focal_px, teeth_meet(photo.pixels, marks_L2)) for marks_L2 in marks_FL2]
    weights = [quality(photo.pixels, face.landmarks_L3) for face in found]
    rows = zip(found, describe(photo, found), marks, weights, guesses, strict=True)
    return [_Sight(path, index, *row) for index, row in enumerate(rows)]


def _chosen(sights: Sequence[Sequence[_Sight]], left_out: dict[Path, str]) -> list[_Sight]:
    """The person on each photo that shows it, in the order of the photos."""
    described = [[sight.descriptor_D for sight in on_photo] for on_photo in sights]
    chosen = []
    for on_photo, face in zip(sights, same_person(described), strict=True):
        if face is not None:
            chosen.append(on_photo[face])
        elif on_photo:
            left_out[on_photo[0].photo] = "It shows somebody else than most of the photos."
    best = sorted(chosen, key=lambda sight: -sight.weight)[:MAX_PHOTOS]
    for sight in chosen:
        if sight not in best:
            left_out[sight.photo] = f"{MAX_PHOTOS} photos are taken at most, and the others tell more."
    return [sight for sight in chosen if sight in best]


# -- The identity, and each photo's own ------------------------------------------------------------------------------


def _mean_shape(chosen: Sequence[_Sight]) -> NDArray[np.floating] | None:
    """What the weights say of the identity, the better photos counting more; None without weights."""
    guesses = [sight.guess for sight in chosen if sight.guess is not None]
    if not guesses:
        return None
    return np.average([guess.shape_S for guess in guesses], axis=0, weights=[sight.weight for sight in chosen])


def _joint_fit(chosen: Sequence[_Sight], mean_S: NDArray[np.floating] | None, models: Models) -> FitResult:
    """One shape for all photos, and each photo's expression, pose and camera with it; a row per photo."""
    solver = joint_solver(models.head)
    marks = [sight.marks for sight in chosen]
    guesses = [sight.guess for sight in chosen if sight.guess is not None]
    if mean_S is None:
        shape_S = solver.fit_shape(marks)
        return solver.fit_held(marks, shape_S, np.zeros((len(marks), 0)), np.zeros((len(marks), 3)))
    expression_PE = np.stack([guess.expression_E for guess in guesses])
    jaw_P3 = np.stack([guess.pose_53[_JAW] for guess in guesses])
    shape_S = solver.fit_shape(marks, PersonGuess(mean_S, expression_PE, jaw_P3, PRIOR))
    fit = solver.fit_held(marks, shape_S, expression_PE, jaw_P3)
    doubtful = np.flatnonzero(fit.error_B > REFINED_ERROR)
    if len(doubtful):  # E_c may be wrong of an expression
        again = [marks[row] for row in doubtful]
        alone = solver.fit_held(again, shape_S, expression_PE[doubtful, :0], np.zeros((len(doubtful), 3)))
        better = alone.error_B < fit.error_B[doubtful] - REFINED_EXCESS
        fit = fit.replaced(doubtful[better], alone.take(better))
    return fit


class _Merge:
    """Collects the person's photos, the best first: faces, and what becomes one map of all.

    Args:
        models: Head model and networks.
        texture_size: Side of the texture, pixels; None or 0 for none.
        paint_hair: Paint hair on its scalp.
        likeness_V3: What the person's neutral head has beyond the coefficients, metres, if anything.

    Attributes:
        faces: The person on each photo so far.
    """

    def __init__(
        self,
        models: Models,
        texture_size: int | None,
        paint_hair: bool,
        likeness_V3: NDArray[np.float32] | None = None,
    ) -> None:
        self.faces: list[Face] = []
        self._likeness_V3 = likeness_V3
        self._models, self._texture_size, self._paint_hair = models, texture_size, paint_hair
        self._weights: list[float] = []
        self._reliefs: list[Relief] = []
        self._texture: TextureMerge | None = None

    def add(self, sight: _Sight, fit: FitResult | None, shape_S: NDArray[np.floating] | None) -> None:
        """Reads a photo's skin.

        Args:
            sight: The person on the photo.
            fit: Its fit; None takes the codes of its guess, but the shape from `shape_S`.
            shape_S: The mean of the guesses' shapes, if there are any.
        """
        photo, models = read_photo(sight.photo), self._models
        if fit is None:
            assert sight.guess is not None  # only weights go without a fit
            face = replace(sight.guess, shape_S=np.asarray(shape_S, np.float32))
            face = replace(face, landmark_error=interior_error(face))
        elif sight.guess is not None:
            face = refit(replace(sight.guess, likeness_V3=self._likeness_V3), fit, 0, photo, models)
        else:
            face = face_of_fit(photo, sight.photo, sight.found, fit, models, likeness_V3=self._likeness_V3)
        face = replace(face, index=sight.index)
        if models.skin_map is not None:
            face = with_skin_map(photo.pixels, face, models.skin_map)
        relief = None
        if models.relief is not None and face.detail_D is not None:
            relief = relief_of_photo(photo.pixels, face, models.relief)
        if self._texture_size:
            shown = shown_by_photo(
                photo.pixels,
                face.vertices(),
                face.to_photo(),
                models.head,
                self._texture_size,
                landmarks_L2=face.landmarks_L2,
                skin_map=face.skin_map,
                albedo=models.albedo,
                lightness=models.skin_lightness(sight.descriptor_D),
                paint_hair=self._paint_hair,
            )
            if self._texture is None:
                self._texture = TextureMerge(shown)
            else:
                self._texture.add(shown)
        self.faces.append(face)
        self._weights.append(sight.weight)
        self._reliefs += [relief] if relief is not None else []

    def result(self) -> list[Face]:
        """The faces in the order they came in, with the merged detail."""
        faces, models = self.faces, self._models
        if all(face.detail_D is not None for face in faces):
            codes = [np.asarray(face.detail_D) for face in faces]
            detail_D = np.average(codes, axis=0, weights=self._weights).astype(np.float32)
            faces = [replace(face, detail_D=detail_D) for face in faces]
        if len(self._reliefs) == len(faces):
            # The strength that a relief belongs to is that of the merged code at its photo's expression.
            worn = [models.wear(face, relief) for face, relief in zip(faces, self._reliefs, strict=True)]
            merged = merge_reliefs([face.reliefs[0][0] for face in worn], self._weights)
            faces = [replace(face, reliefs=((merged, 1.0),)) for face in faces]
        if self._texture is not None:
            assert self._texture_size
            texture = filled_in(self._texture.result(), models.head, self._texture_size, self._paint_hair)
            shared = with_texture(faces[0], texture).texture  # whose relief is that of all
            faces = [replace(face, texture=shared) for face in faces]
        return faces
