"""`deca-train synthetic`: makes people, takes photos of them, and writes one file per person."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from itertools import repeat
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial import KDTree
from torch import Tensor
from tqdm import tqdm

from deca.appearance.albedo import load_albedo
from deca.errors import OptionError
from deca.head import load_head
from deca.head.layer import HeadLayer
from deca.head.traits import shape_given
from deca_blender.protocol.conventions import CROP_SIZE, OPENHEAD
from deca_training.data.synthetic.expressions import random_expression
from deca_training.data.synthetic.looks import Looks
from deca_training.data.synthetic.person import Person, solid_noise
from deca_training.data.synthetic.photos import Photo, Studio, random_turn
from deca_training.data.synthetic.skin import smoothstep
from deca_training.data.synthetic.strain import reader_of
from deca_training.data.synthetic.subjects import SyntheticSubject
from deca_training.processes import worker_pool

AGES = (18.0, 80.0)
NUM_SHAPE, NUM_EXPRESSION = 300, 50
_SPAN_RIDGE = 1.0
"""Square millimetres: how far one vertex may be from its place for a coefficient of 1."""
_SHAPE_SPREAD = (0.7, 1.2)
"""Of heads that do not know age and sex, whose codes may not be spread as people's are."""

# What a subject's generators are for.
_WHO, _PHOTO, _OFFSET, _SEX = 1, 2, 3, 4


class Generator:
    """Makes subjects on a head model.

    Args:
        head: Name or path of the head model.
        albedo: Likewise of the albedo model.
        outside: How far heads are from the span of their shape coefficients: root mean square of a smooth offset of
            the face, millimetres, along all axes.
        perspective, side: Of `Studio`.
        variety: Of `Person.make`.

    Raises:
        AssetError: A model is missing or lacks something.
    """

    def __init__(
        self,
        head: str = OPENHEAD,
        albedo: str = OPENHEAD,
        outside: float = 0.0,
        perspective: float = 0.0,
        variety: float = 1.0,
        side: int = CROP_SIZE,
    ) -> None:
        self.outside, self.variety = outside, variety
        self.head, self.albedo = load_head(head), load_albedo(albedo)
        self.albedo.check_head(self.head)
        self.layer = HeadLayer(self.head, NUM_SHAPE, NUM_EXPRESSION)
        self.studio = Studio(self.head, self.layer, perspective, side)

    def subject(
        self, seed: int, images: int, age: float | None = None
    ) -> tuple[SyntheticSubject, list[NDArray[np.uint8]]]:
        """A subject, and the JPEG files of its photos.

        Args:
            seed: Of everything; the same seed gives the same subject, and more images the same ones and others.
            images: Photos.
            age: Years; random when None. Wrinkles, hair and, where the head model knows how, the shape follow it.
        """
        age, sex, shape_S, person, looks = self.who(seed, age)
        offset_V3 = self.offset(np.random.default_rng((seed, _OFFSET)))
        neutral_V3 = self.verts(shape_S, np.zeros(NUM_EXPRESSION, np.float32), np.zeros((5, 3), np.float32), offset_V3)
        expressions, poses, activations, photos = [], [], [], []
        for number in range(images):
            photo_rng = np.random.default_rng((seed, _PHOTO, number))
            expression_E, pose_J3 = self.expression(photo_rng)
            verts_V3 = self.verts(shape_S, expression_E, pose_J3, offset_V3)
            activation_C = person.activation(expression_E, pose_J3[2], neutral_V3.numpy(), verts_V3.numpy())
            displacement_HW = person.displacement(activation_C)
            photos.append(self.studio.take(verts_V3, torch.from_numpy(pose_J3), displacement_HW, looks, photo_rng))
            expressions.append(expression_E)
            poses.append(pose_J3)
            activations.append(activation_C.astype(np.float32))
        subject = SyntheticSubject(
            name=f"{seed:08d}",
            age=float(age),
            sex=float(sex),
            image_KHW3=_stacked(photos, "image_HW3"),
            mask_KHW=_stacked(photos, "mask_HW"),
            landmarks478_KL2=_stacked(photos, "landmarks478_L2"),
            landmarks68_KL2=_stacked(photos, "landmarks68_L2"),
            shape_S=shape_S,
            offset_V3=offset_V3,
            albedo_A=looks.albedo_A,
            expression_KE=np.stack(expressions),
            pose_KJ3=np.stack(poses),
            camera_K3=_stacked(photos, "camera_3"),
            light_K93=_stacked(photos, "light_93"),
            static_HW=person.static_HW,
            wrinkles_CHW=person.wrinkles_CHW,
            activation_KC=np.stack(activations),
            neutral_C=person.neutral.astype(np.float32),
        )
        return subject, [photo.jpeg_N for photo in photos]

    def who(self, seed: int, age: float | None = None) -> tuple[float, int, NDArray[np.float32], Person, Looks]:
        """Age, sex, shape code (300,), skin and looks of a subject."""
        rng = np.random.default_rng((seed, _WHO))
        years = rng.uniform(*AGES)
        age = years if age is None else age
        sex = self.sex(np.random.default_rng((seed, _SEX)))
        shape_S = self.shape(age, sex, rng)
        person = Person.make(self.head, seed, age, variety=self.variety)
        return age, sex, shape_S, person, Looks.random(self.head, self.albedo, person.mark_HW, age, sex, rng)

    def sex(self, rng: np.random.Generator) -> int:
        """-1 of women, +1 of men, and 0 where the head model does not know the difference."""
        knows_sex = any(trait.name == "sex" for trait in self.head.traits)
        return int(rng.choice((-1, 1))) if knows_sex else 0

    def shape(self, age: float, sex: float, rng: np.random.Generator) -> NDArray[np.float32]:
        """Random shape code (300,) of people of this age and sex."""
        noise_S, spread = rng.standard_normal(NUM_SHAPE), rng.uniform(*_SHAPE_SPREAD)
        if not self.head.traits:
            return (noise_S * spread).astype(np.float32)
        return shape_given(self.head.traits, {"age": age, "sex": sex}, noise_S)

    def expression(self, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Random expression coefficients (50,) and pose (5, 3)."""
        reader = reader_of(self.head)
        expression_E, turns_33 = reader.coefficients(random_expression(rng, reader.names))
        pose_J3 = np.stack((random_turn(rng), np.zeros(3, np.float32), *turns_33))
        return expression_E, pose_J3.astype(np.float32)

    def offset(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """A smooth offset (V, 3) that the shape coefficients cannot give, metres."""
        if not self.outside:
            return np.zeros((self.head.num_verts, 3), np.float32)
        template_V3 = self.head.template_V3 * 1000
        offset_V3 = np.stack([solid_noise(rng, template_V3, 80.0) for _ in range(3)], 1)
        is_face_V, face_XS, factor_SS = self._span
        # What the coefficients can give of it in the face.
        spanned_S = cho_solve(factor_SS, face_XS.T @ offset_V3[is_face_V].reshape(-1))
        offset_V3 = offset_V3 - self.head.shape_dirs_V3S @ (1000 * spanned_S)
        # Eyes and teeth are rigid; they and their surroundings stay where the coefficients put them. So does the back.
        offset_V3 *= (self._soft_V * smoothstep(template_V3[:, 2] / 30))[:, None]
        size = np.sqrt((offset_V3[is_face_V] ** 2).sum(1).mean())
        return (offset_V3 * (self.outside / 1000 / size)).astype(np.float32)

    @cached_property
    def _span(self) -> tuple[NDArray[np.bool_], NDArray[np.float32], tuple[NDArray, bool]]:
        """The face's vertices, what the coefficients do there, millimetres, and the factor of their normal equations.

        Without the ridge, coefficients that move nothing but the rest of the head would grow without bounds.
        """
        is_face_V = (1000 * self.head.template_V3[:, 2] > 30) & (self.head.parts_V == 0)
        face_XS = 1000 * self.head.shape_dirs_V3S[is_face_V].reshape(-1, NUM_SHAPE)
        return is_face_V, face_XS, cho_factor(face_XS.T @ face_XS + _SPAN_RIDGE * np.eye(NUM_SHAPE))

    @cached_property
    def _soft_V(self) -> NDArray[np.float64]:
        """0 at vertices of eyes and mouth, 1 a centimetre and more away from them."""
        hard_V = self.head.parts_V != 0
        distance_V, _ = KDTree(self.head.template_V3[hard_V]).query(self.head.template_V3)
        return smoothstep(distance_V / 0.01)

    @torch.no_grad()
    def verts(
        self, shape_S: NDArray, expression_E: NDArray, pose_J3: NDArray, offset_V3: NDArray | None = None
    ) -> Tensor:
        """Posed vertices (V, 3) of codes and an offset of the neutral head, metres."""
        codes = tuple(torch.from_numpy(code)[None] for code in (shape_S, expression_E, pose_J3))
        return self.layer(*codes, None if offset_V3 is None else torch.from_numpy(offset_V3)[None])[0]


def _stacked(photos: list[Photo], name: str) -> NDArray:
    return np.stack([getattr(photo, name) for photo in photos])


def generate(
    out: Path,
    subjects: int,
    images: int,
    seed: int = 0,
    *,
    outside: float = 0.0,
    perspective: float = 0.0,
    variety: float = 1.0,
    side: int = CROP_SIZE,
    progress: bool = False,
    processes: int = 0,
) -> None:
    """Writes the subjects with the seeds seed, seed + 1, ...; those that are there already are kept.

    Args:
        out: Folder; made if needed.
        subjects: How many.
        images: Photos of each.
        seed: The first subject's seed.
        outside, perspective, variety, side: Of `Generator`.
        progress: Show a progress bar.
        processes: That do the work; 0: this one.

    Raises:
        OptionError: There would be nothing to do.
        OutputError: A file cannot be written.
        DecaError: A process died.
    """
    if subjects < 1 or images < 1 or seed < 0 or min(outside, variety) < 0 or not 0 <= perspective <= 1:
        raise OptionError(
            "Synthetic subjects need one subject and one image at least, and a seed that is not negative."
        )
    if side < CROP_SIZE or side % 8:
        raise OptionError(f"Photos are {CROP_SIZE} pixels wide or more, a multiple of 8; {side} are not.")
    numbers = range(seed, seed + subjects)
    missing = [number for number in numbers if not (out / f"{number:08d}.npz").is_file()]
    make = partial(Generator, outside=outside, perspective=perspective, variety=variety, side=side)
    with tqdm(total=subjects, initial=subjects - len(missing), unit="subject", disable=not progress) as bar:
        if not processes or len(missing) < processes:
            generator = make()
            for number in missing:
                _write(generator, out, number, images)
                bar.update()
            return
        with worker_pool(processes, _begin, make) as pool:
            for _ in pool.map(_write_one, repeat(out), missing, repeat(images)):
                bar.update()


def _write(generator: Generator, out: Path, number: int, images: int) -> None:
    subject, jpegs = generator.subject(number, images)
    subject.save(out, jpegs)


# What a process of `generate` keeps.
_own: list[Generator] = []


def _begin(make: Callable[[], Generator]) -> None:
    _own.append(make())


def _write_one(out: Path, number: int, images: int) -> None:
    _write(_own[0], out, number, images)
