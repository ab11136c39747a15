"""The product's way from a photo to a head's wrinkles, on photos of synthetic people whose wrinkles are known.

Detection, landmark fit, layout and relief are the product's own. Their errors are told apart: against the truth where
the photo shows it, and against the truth in its own place, to which the layout's error is added.

Shape suffixes: K photos of a person, B expressions, D detail code, E expression coefficients, H W rows and columns of
UV maps (256), N texels.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from deca.errors import OptionError
from deca.networks.relief import Layout
from deca.reconstruct.face import Face
from deca.reconstruct.models import Models
from deca.reconstruct.moving_relief import MovingRelief, with_reliefs
from deca.reconstruct.relief import Relief, layout_of, relief_of_photo
from deca.render.detail import DETAIL_MASK, applied_displacement
from deca.render.uv import uv_mask
from deca_training.data.synthetic import SyntheticSubject
from deca_training.data.synthetic.carried import Carried, KnownPhoto, known_face
from deca_training.data.synthetic.generate import generate
from deca_training.evaluate.tables import Table
from deca_training.relief.measures import FIRST_HELD_OUT, fine_part
from deca_training.relief.photos import face_on, plain

SIDE = 784
"""Rows and columns of the photos: faces are 500 pixels high and wide, give or take 60."""
SHOWN, PLACED, ALL = "as the photo shows it", "in its place", "in its place, all skin"
_WHICH = (SHOWN, PLACED, ALL)
RELIEF, EXACT = "relief of the photo", "the true relief, moved"
_SEEN = 0.5
_JAW = 2


@dataclass
class Explained:
    """Sums over texels of what was found and what is true.

    Attributes:
        squares_4: Of the errors, of the truth, of what was found, and products of the last two; square millimetres.
        fine_3: Of the fine parts: products, squares of what was found and of the truth.
    """

    squares_4: NDArray[np.float64] = field(default_factory=lambda: np.zeros(4))
    fine_3: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))

    def add(self, found_HW: NDArray[np.floating], true_HW: NDArray[np.floating], seen_HW: NDArray[np.bool_]) -> None:
        """Adds the seen texels of a map, metres."""
        found_N, true_N = (1000 * map_HW[seen_HW].astype(np.float64) for map_HW in (found_HW, true_HW))
        self.squares_4 += [((found_N - true_N) ** 2).sum(), true_N @ true_N, found_N @ found_N, found_N @ true_N]
        a_N, b_N = (1000 * fine_part(map_HW, seen_HW)[seen_HW].astype(np.float64) for map_HW in (found_HW, true_HW))
        self.fine_3 += [a_N @ b_N, a_N @ a_N, b_N @ b_N]

    @property
    def share(self) -> float:
        """Share of the truth's squares that is explained."""
        return float(1 - self.squares_4[0] / max(self.squares_4[1], 1e-30))

    @property
    def correlation(self) -> float:
        """About zero; what would be explained with the best depth is its square."""
        return float(self.squares_4[3] / np.sqrt(max(self.squares_4[1] * self.squares_4[2], 1e-30)))

    @property
    def fine(self) -> float:
        """Correlation of the fine parts."""
        return float(self.fine_3[0] / np.sqrt(max(self.fine_3[1] * self.fine_3[2], 1e-30)))

    @property
    def factor(self) -> float:
        """What to multiply the found depth with to explain most."""
        return float(self.squares_4[3] / max(self.squares_4[2], 1e-30))


@dataclass
class Moved:
    """A way to a head's maps: at the photo's expression, at the person's others, and there what moves, D - D(rest)."""

    own: Explained = field(default_factory=Explained)
    others: Explained = field(default_factory=Explained)
    moves: Explained = field(default_factory=Explained)

    def add(self, found_BHW: NDArray, true_BHW: NDArray, seen_HW: NDArray[np.bool_]) -> None:
        """Adds maps at the photo's expression, the others, and at rest."""
        self.own.add(found_BHW[0], true_BHW[0], seen_HW)
        for found_HW, true_HW in zip(found_BHW[1:-1], true_BHW[1:-1], strict=True):
            self.others.add(found_HW, true_HW, seen_HW)
            self.moves.add(found_HW - found_BHW[-1], true_HW - true_BHW[-1], seen_HW)


@dataclass(frozen=True)
class Looked:
    """A photo of a known person as the product reads it.

    Attributes:
        photo: The photo of the person's head as it is, with the maps of `truth_BHW`.
        face: The head that was found.
        layout: Of the photo, by that head.
        relief: What the photo shows, by that layout.
        truth_BHW: What displaces the skin at this expression, the person's others, and at rest, metres.
        carried: The same as the photo shows it on the head that was found.
        seen_HW: Skin that the photo shows and the product takes for seen.
        expression_BE, jaw_B3: The expressions, the first as it was found.
    """

    photo: KnownPhoto
    face: Face
    layout: Layout
    relief: Relief
    truth_BHW: NDArray[np.float32]
    carried: Carried
    seen_HW: NDArray[np.bool_]
    expression_BE: Tensor
    jaw_B3: Tensor


class PhotoRelief:
    """Sums over photos of what a product finds.

    Args:
        models: Its models, with a relief network.

    Attributes:
        steps: The photo's own expression, after each step of the way.
        ways: By way and by which truth.
        off_mm, off_texels: Errors of the layouts at the seen texels, a photo each.
        taken: Of each photo, seen skin as a share of what the true head would see.
        lost: Photos on which no face, or no skin, was found.

    Raises:
        OptionError: A network is missing.
    """

    def __init__(self, models: Models) -> None:
        if models.networks is None or models.relief is None:
            raise OptionError("Wrinkles and relief come from weights only.", "Name weights files.")
        self.head, self.networks, self.network = models.head, models.networks, models.relief
        self.num_expression = models.networks.sizes.expression
        self._plain = plain(models)
        self.mask_HW = uv_mask(models.head, DETAIL_MASK).numpy()
        self.steps: defaultdict[str, Explained] = defaultdict(Explained)
        self.ways: defaultdict[tuple[str, str], Moved] = defaultdict(Moved)
        self.off_mm: list[NDArray[np.float32]] = []
        self.off_texels: list[NDArray[np.float32]] = []
        self.taken: list[float] = []
        self.lost = 0

    @torch.inference_mode()
    def add(self, subject: SyntheticSubject, photo: int) -> None:
        """Adds a photo."""
        looked = self.look(subject, photo)
        if looked is None or not looked.seen_HW.any():
            self.lost += 1
            return
        self.off_mm.append(looked.carried.off_mm_HW[looked.seen_HW])
        self.off_texels.append(looked.carried.off_texels_HW[looked.seen_HW])
        detail_D = looked.face.detail_D
        assert detail_D is not None
        by_code_B1HW, by_zeros_B1HW = (self._decoded(code_D, looked) for code_D in (detail_D, np.zeros_like(detail_D)))
        found = {
            RELIEF: self._worn(looked.relief, by_code_B1HW),
            "F_d by E_d's code": self._applied(by_code_B1HW),
            "F_d by a code of zeros": self._applied(by_zeros_B1HW),
        }
        self._add_steps(subject, photo, looked, found[RELIEF][0])
        everywhere_HW = np.ones_like(self.mask_HW)
        for which, true_BHW, seen_HW in (
            (SHOWN, looked.carried.maps_CHW * looked.seen_HW, looked.seen_HW),
            (PLACED, looked.truth_BHW, looked.seen_HW),
            (ALL, looked.truth_BHW, self.mask_HW > _SEEN),
        ):
            found[EXACT] = self._worn(Relief(true_BHW[0], everywhere_HW), by_code_B1HW)
            for way, found_BHW in found.items():
                self.ways[which, way].add(found_BHW, true_BHW, seen_HW)

    def look(self, subject: SyntheticSubject, photo: int) -> Looked | None:
        """Reads a photo; None where no face is found."""
        pixels_HW3, known = subject.image_KHW3[photo], known_face(subject, photo, self.head)
        face = face_on(pixels_HW3, known.photo, self._plain)
        if face is None:
            return None
        layout, relief = layout_of(pixels_HW3, face), relief_of_photo(pixels_HW3, face, self.network)
        others = [other for other in range(len(subject)) if other != photo]
        maps_BHW = (*subject.displacement_KHW[[photo, *others]], subject.neutral_displacement_HW)
        truth_BHW = self._applied(torch.from_numpy(np.stack(maps_BHW))[:, None])
        seen_HW = layout.seen_B1HW[0, 0].numpy() > _SEEN
        known_photo = KnownPhoto(known, truth_BHW, subject.mask_KHW[photo])
        shown = known_photo.at(face, seen_HW)
        expression_BE, jaw_B3 = (
            torch.from_numpy(np.stack((found, *known_KX[others], np.zeros_like(found))).astype(np.float32))
            for found, known_KX in (
                (face.expression_E[: self.num_expression], subject.expression_KE[:, : self.num_expression]),
                (face.pose_53[_JAW], subject.pose_KJ3[:, _JAW]),
            )
        )
        return Looked(
            known_photo, face, layout, relief, truth_BHW, shown, seen_HW & shown.is_skin_HW, expression_BE, jaw_B3
        )

    def _add_steps(self, subject: SyntheticSubject, photo: int, looked: Looked, worn_HW: NDArray[np.float32]) -> None:
        known = looked.photo.known
        best = layout_of(subject.image_KHW3[photo], known)
        best_HW = best.seen_B1HW[0, 0].numpy() > _SEEN
        best_HW = looked.photo.at(known, best_HW).is_skin_HW
        self.taken.append(float(looked.seen_HW.sum() / max(best_HW.sum(), 1)))
        best_read_HW = self.network.read(best)[0][0, 0].numpy() * self.mask_HW
        self.steps["network, laid out by the true head"].add(best_read_HW, looked.truth_BHW[0], best_HW)
        read_11HW, _ = self.network.read(looked.layout)
        for step, map_HW in (
            ("people's mean relief", self.network.usual_HW.numpy() / 1000 * self.mask_HW),
            ("network, laid out by the fitted head", read_11HW[0, 0].numpy() * self.mask_HW),
            ("where it is unsure, the other side's", looked.relief.displacement_HW * self.mask_HW),
            ("on the head, where that is unsure, F_d's", worn_HW),
        ):
            self.steps[step].add(map_HW, looked.carried.maps_CHW[0], looked.seen_HW)

    def _decoded(self, detail_D: NDArray[np.float32], looked: Looked) -> Tensor:
        """F_d's maps of a code at the expressions (B, 1, H, W), metres."""
        detail_BD = torch.from_numpy(detail_D).expand(len(looked.expression_BE), -1)
        return self.networks.displacement(detail_BD, looked.expression_BE, looked.jaw_B3)

    def _worn(self, relief: Relief, decoded_B1HW: Tensor) -> NDArray[np.float32]:
        """What displaces a head that wears a relief of the first expression (B, H, W), metres."""
        moving = MovingRelief.of(relief, decoded_B1HW[:1], self.head)
        return self._applied(with_reliefs(decoded_B1HW, [(moving, 1.0)], self.head))

    def _applied(self, detail_B1HW: Tensor) -> NDArray[np.float32]:
        return applied_displacement(detail_B1HW, self.head)[:, 0].numpy()


def evaluate_photo_relief(
    models: Models, folder: Path, people: int, photos: int, *, progress: bool = False
) -> list[Table]:
    """The product's wrinkles against the truth, and what each step of its way does to them.

    Args:
        models: The product's models, with a relief network.
        folder: Where the photos of people kept out are, or are written; a folder has so many of each.
        people: How many people.
        photos: Of each; two at least, for other expressions.
        progress: Show progress bars.

    Raises:
        OptionError: A network is missing, there are too few photos, or those in the folder are others.
        OutputError: The photos cannot be written.
    """
    if photos < 2:
        raise OptionError("One photo of a person knows no other expression.", "Take two or more.")
    measured = PhotoRelief(models)
    generate(folder, people, photos, FIRST_HELD_OUT, side=SIDE, progress=progress)
    for number in tqdm(range(people), unit="person", disable=not progress):
        subject = SyntheticSubject.load(folder / f"{FIRST_HELD_OUT + number:08d}.npz")
        if subject.image_KHW3.shape[:2] != (photos, SIDE):
            raise OptionError(f"{folder} holds other photos of {subject.name}.", "Name another folder.")
        for photo in range(photos):
            measured.add(subject, photo)
    return _tables(measured, people)


def _tables(measured: PhotoRelief, people: int) -> list[Table]:
    if not measured.taken:
        raise OptionError("No face was found on any of the photos.")
    wrinkles = Table("Wrinkles by the product's way from a photo")
    for (which, way), moved in sorted(measured.ways.items(), key=lambda item: _WHICH.index(item[0][0])):
        wrinkles.add(
            truth=which,
            maps_from=way,
            explained=round(moved.own.share, 3),
            fine=round(moved.own.fine, 3),
            explained_others=round(moved.others.share, 3),
            explained_dynamic=round(moved.moves.share, 3),
        )
    steps = Table("Relief at the photo's expression, step by step")
    for step, explained in measured.steps.items():
        steps.add(
            what=step,
            explained=round(explained.share, 3),
            correlation=round(explained.correlation, 3),
            fine=round(explained.fine, 3),
            best_factor=round(explained.factor, 2),
        )
    found, mm_N, texels_N = len(measured.taken), np.concatenate(measured.off_mm), np.concatenate(measured.off_texels)
    wrinkles.notes += [
        f"{found} photos of {people} people kept out, faces of about 500 pixels; on {measured.lost} no face was found",
        "explained: share of the squares of the displacement at the photo's expression; others: at the person's other"
        " expressions; dynamic: of D - D(rest) there",
        "fine: correlation of what varies over less than five texels, at the photo's expression",
        f"{SHOWN}: the true map carried through the photo onto the fitted head, on skin that is seen; {PLACED}: the"
        " same texels of the true map, where the layout's error counts too",
        f"error of the layout on seen skin: root mean square {_rms(mm_N):.2f} mm, {_rms(texels_N):.2f} texels; median"
        f" {np.median(mm_N):.2f} mm, {np.median(texels_N):.2f} texels",
    ]
    steps.notes += [
        "the true head: against the truth in its place; all others against the truth as the photo shows it",
        "best factor: of the depth, with which the most would be explained",
        f"seen by the fitted head is {100 * np.mean(measured.taken):.0f} % of the skin that the true head sees",
    ]
    return [wrinkles, steps]


def _rms(values_N: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(np.square(values_N, dtype=np.float64))))
