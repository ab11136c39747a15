"""The shape encoder by ridge regression on synthetic people, the only ones whose heads are known; then by photos of
real people, of whom each photo tells how like the head from another one is (`cross_photo`).

Shape suffixes: N photos, M photos of synthetic people, L landmarks, X inputs of the shape encoder, S shape
coefficients, I directions of shape, V vertices, D directions of face vertices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from deca.errors import AssetError
from deca.head import HeadModel, load_head
from deca.networks import ShapeEncoder, load_checkpoint, save_checkpoint
from deca.networks.checkpoint import Checkpoint
from deca.networks.conformance import conformance_vectors
from deca.networks.face_descriptor import FaceFeatures
from deca.networks.shape_encoder import face_chips
from deca.reconstruct.fit import LandmarkSolver
from deca.vision.crop import encoder_crop
from deca.vision.landmarks import LandmarkNet
from deca_training.config import VALIDATION_SHARE
from deca_training.cross_photo import (
    WRONG,
    Directions,
    Evidence,
    average_shape,
    gather_evidence,
    joint_ridge,
    of_others,
)
from deca_training.data.index import PhotoIndex
from deca_training.data.order import in_split
from deca_training.data.storage import read_indexed_photo
from deca_training.data.synthetic import SyntheticSubject, SyntheticSubjects
from deca_training.data.synthetic.seen import found_landmarks
from deca_training.export import frontal_landmarks
from deca_training.landmark_layers import STEPS, teach_landmarks
from deca_training.model import face_vertices

_RIDGE = 3e-4
"""Of inputs as `scales` scales them."""
_OF_LANDMARKS = 0.2
"""What the variances of the landmarks add up to, beside 1 of the maps and 1 of the descriptor: more of them fits their
noise, which other photos of the person do not share (docs/fit.md)."""
_TAUGHT, _KEEP = 1e-4, 0.0075
"""Ridge of what photos of real people teach, and how much it counts that answers for synthetic people stay, beside
squared landmark distances in percent; chosen on people to choose on."""
_HARDLY_SEEN = 0.05
"""Of the mean coefficient's squared distance: what directions that hardly show are taken to have, too."""
_PHOTOS_EACH = 25
_CLOSER = 0.01
"""Square millimetres by which a coefficient must bring the face closer, per vertex, to leave the person's own value."""

_PER_PERSON = 2
"""Photos of each person: more people teach more."""


def add_shape_encoder(
    weights: Path, people: Sequence[Path], photos: Path | None, out: Path, steps: int = STEPS
) -> None:
    """Writes a weights file with a shape encoder fitted anew, and an E_c that poses its shapes (`landmark_layers`);
    its other networks stay as they are.

    Args:
        weights: A weights file, in half precision or not.
        people: Folders of synthetic people.
        photos: An index of photos of real people, of whom those that runs keep out are kept out here, too.
        out: The file, in half precision.
        steps: Of E_c's last layers on those photos.

    Raises:
        AssetError: A file is missing or damaged, or the weights belong to another head model.
        OutputError: The file cannot be written.
    """
    checkpoint = load_checkpoint(weights)
    head = load_head(checkpoint.card.head)
    sources = [SyntheticSubjects(folder) for folder in people]
    index = None if photos is None else PhotoIndex.load(photos).split(VALIDATION_SHARE)[0]
    encoder = fit_shape_encoder(head, sources, index, checkpoint.card.sizes.shape, progress=True)
    if index is not None:
        teach_landmarks(replace(checkpoint, shape_encoder=encoder), head, index, steps, progress=True)
    recipe = f"{checkpoint.card.recipe}; another shape encoder"
    checkpoint = replace(checkpoint, card=replace(checkpoint.card, recipe=recipe))
    save_checkpoint(with_shape_encoder(checkpoint, encoder), out, torch.float16)


def with_shape_encoder(checkpoint: Checkpoint, encoder: ShapeEncoder) -> Checkpoint:
    """A checkpoint with a shape encoder and new conformance vectors, all rounded to half precision."""
    card = replace(checkpoint.card, shape_encoder=True)
    checkpoint = replace(checkpoint, card=card, shape_encoder=encoder)
    for network in checkpoint.networks().values():
        network.half().float()
    features = FaceFeatures.load()
    vectors = conformance_vectors(
        checkpoint.coarse_encoder,
        checkpoint.detail_encoder,
        checkpoint.detail_decoder,
        card.sizes,
        lambda image_B3HW, landmarks_BL3: encoder(features(face_chips(image_B3HW, landmarks_BL3)), landmarks_BL3),
        frontal_landmarks(load_head(card.head)),
    )
    return replace(checkpoint, conformance=vectors)


def fit_shape_encoder(
    head: HeadModel,
    people: Sequence[SyntheticSubjects],
    photos: PhotoIndex | None,
    num_shape: int,
    *,
    progress: bool = False,
) -> ShapeEncoder:
    """A shape encoder for a head model, from photos as the product sees them.

    Args:
        head: The head model.
        people: Synthetic people with that head.
        photos: Of real people.
        num_shape: Shape coefficients.
        progress: Show a progress bar.

    Raises:
        AssetError: The head model has no MediaPipe landmarks.
    """
    if head.landmarks_478 is None:
        raise AssetError(f"The head model {head.name} has no MediaPipe landmarks.", "Train without a shape encoder.")
    encoder = ShapeEncoder(num_shape)
    mean_L3 = 1000 * head.landmarks_478.positions(head.template_V3, head.faces_F3)
    encoder.mean_L3.copy_(torch.from_numpy(mean_L3).half())  # what a file in half precision holds
    features, landmarks, truth = FaceFeatures.load(), LandmarkNet().eval(), ShapeTruth(head, num_shape)
    inputs_NX, shape_NS = [], []
    for subject in tqdm([s for source in people for s in source.paths], unit="subject", disable=not progress):
        person = SyntheticSubject.load(subject)
        found_KL3 = found_landmarks(person, landmarks, _PER_PERSON)
        inputs_NX += [inputs(encoder, features, *photo) for photo in zip(person.image_KHW3, found_KL3, strict=False)]
        shape_NS += [truth(person)] * len(found_KL3)
    weight_XS, bias_S = ridge(np.array(inputs_NX), np.array(shape_NS))
    rows, names = ([], []) if photos is None else _to_learn_from(photos)
    if photos is not None and rows:
        seen_NX, landmarks_NL2, sizes_N2 = _read_indexed(encoder, features, photos, rows, progress)
        kept_MX = np.array(inputs_NX)
        solver, first_N = LandmarkSolver(head), np.unique(names, return_index=True)[1]
        average_S = average_shape(solver, landmarks_NL2[first_N], sizes_N2[first_N], progress=progress)
        evidence = gather_evidence(solver, landmarks_NL2, sizes_N2, average_S, progress=progress)
        answers_MS = kept_MX @ weight_XS + bias_S
        weight_XS, bias_S = by_photos(kept_MX, answers_MS, seen_NX, evidence, average_S, names, truth.metric_SS)
    with torch.no_grad():
        encoder.layer.weight.copy_(torch.from_numpy(weight_XS.T))
        encoder.layer.bias.copy_(torch.from_numpy(bias_S))
    return encoder.eval()


def _to_learn_from(photos: PhotoIndex) -> tuple[list[int], list[str]]:
    """The first photos of people to learn from of whom there are two, and whose each is."""
    rows, people = [], []
    for subject, name in enumerate(photos.subject_names):
        first, last = photos.first_photo[subject : subject + 2].tolist()
        own = range(first, min(last, first + _PHOTOS_EACH))
        if len(own) > 1 and in_split(name, "learn"):
            rows += own
            people += [name] * len(own)
    return rows, people


def _read_indexed(
    encoder: ShapeEncoder, features: FaceFeatures, photos: PhotoIndex, rows: list[int], progress: bool
) -> tuple[NDArray[np.float32], NDArray[np.floating], NDArray[np.integer]]:
    """Inputs, landmarks and sizes of photos."""
    landmarks_NL3 = [photos.landmarks_of(row)[1] for row in rows]
    inputs_NX = [
        inputs(encoder, features, read_indexed_photo(photos, row).pixels, landmarks_L3)
        for row, landmarks_L3 in zip(tqdm(rows, unit="photo", disable=not progress), landmarks_NL3, strict=True)
    ]
    sizes_N2 = np.array([photos.size_of(row) for row in rows])
    return np.array(inputs_NX), np.array(landmarks_NL3)[..., :2], sizes_N2


def by_photos(
    kept_MX: NDArray[np.floating],
    answers_MS: NDArray[np.floating],
    seen_NX: NDArray[np.floating],
    evidence: Evidence,
    average_S: NDArray[np.floating],
    people: list[str],
    metric_SS: NDArray[np.floating],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights (X, S) and bias (S,) of the estimate that photos of real people teach, and synthetic ones keep.

    Who differs from the average person, and how, the photos of a person tell of each other (`cross_photo`).

    Args:
        kept_MX: Inputs of synthetic people.
        answers_MS: What is to be said of them.
        seen_NX: Inputs of photos of real people.
        evidence: Of their landmarks, around the average person's shape.
        average_S: That shape.
        people: Whose these photos are.
        metric_SS: Squared distance of heads by their coefficients, mean square of millimetres.
    """
    sound = np.flatnonzero(evidence.squared_N < WRONG)
    seen_NX, evidence, whose = seen_NX[sound], evidence.take(sound), [people[row] for row in sound.tolist()]
    rows, others = of_others(evidence, whose)
    metric_SS = metric_SS * (len(metric_SS) / np.trace(metric_SS)) + _HARDLY_SEEN * np.eye(len(metric_SS))
    directions = Directions.of(others.square_NSS.mean(0, dtype=np.float64), metric_SS)
    mean_X, scale_X = scales(seen_NX)
    change_XI = joint_ridge(
        (seen_NX[rows] - mean_X) / scale_X,
        others.slope_NS @ directions.dirs_SI,
        directions.weight_I,
        (kept_MX - mean_X) / scale_X,
        (answers_MS - average_S) @ directions.read_IS.T,
        _KEEP,
        _TAUGHT,
    )
    weight_XS = change_XI @ directions.dirs_SI.T / scale_X[:, None]
    return weight_XS, average_S - mean_X @ weight_XS


def scales(inputs_NX: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means of inputs, and what they are divided by so that the variances of the maps and of the descriptor add up to
    one each, and those of the landmarks to `_OF_LANDMARKS`."""
    mean_X, spread_X = inputs_NX.mean(0, dtype=np.float64), inputs_NX.std(0, dtype=np.float64) + 1e-6
    # Landmarks share one unit: those that hardly move are noise.
    landmarks = spread_X[FaceFeatures.width :]
    if len(landmarks):
        landmarks[:] = np.sqrt(np.square(landmarks).mean() / _OF_LANDMARKS)
    for part in np.split(spread_X, (FaceFeatures.map_width, FaceFeatures.width)):
        part *= np.sqrt(len(part))
    return mean_X, spread_X


@torch.inference_mode()
def inputs(
    encoder: ShapeEncoder, features: FaceFeatures, image_HW3: NDArray[np.uint8], landmarks_L3: NDArray[np.floating]
) -> NDArray[np.float32]:
    """What the linear map reads (X,) of a picture, whose crop is the product's (`deca.reconstruct.regressed_faces`)."""
    image_13HW, points_1L3 = (torch.from_numpy(value)[None] for value in encoder_crop(image_HW3, landmarks_L3)[1:])
    return encoder.inputs(features(face_chips(image_13HW, points_1L3)), points_1L3)[0].numpy()


class ShapeTruth:
    """Coefficients that come as near to a synthetic person's neutral face as they can.

    Near as benchmarks have it: along the surface's normals, after a similarity. What the coefficients can give they
    have already (`SyntheticSubject.shape_S`); they move a little for what lies outside of their span.

    Args:
        head: The head model.
        num_shape: Coefficients to find; those beyond belong to what lies outside.

    Attributes:
        metric_SS: Their squared distances, mean squares of millimetres.
    """

    def __init__(self, head: HeadModel, num_shape: int) -> None:
        face_V = face_vertices(head).numpy()
        template_V3 = 1000 * head.template_V3.astype(np.float64)
        normals_V3 = np.zeros_like(template_V3)
        corners_F33 = template_V3[head.faces_F3]
        normals_F3 = np.cross(corners_F33[:, 1] - corners_F33[:, 0], corners_F33[:, 2] - corners_F33[:, 0])
        for corner in range(3):
            np.add.at(normals_V3, head.faces_F3[:, corner], normals_F3)
        normals_D3 = normals_V3[face_V] / np.linalg.norm(normals_V3[face_V], axis=1, keepdims=True)
        places_D3 = template_V3[face_V] - template_V3[face_V].mean(0)
        moved_D7 = np.c_[normals_D3, np.cross(places_D3, normals_D3), (places_D3 * normals_D3).sum(1)]
        self._face_V, self._normals_D3 = face_V, normals_D3
        self._similarity_D7 = np.linalg.qr(moved_D7)[0]
        self._dirs_DXS = self.of(head.shape_dirs_V3S)
        self._num_shape = num_shape
        dirs_DS = self._dirs_DXS[:, :num_shape]
        self.metric_SS = dirs_DS.T @ dirs_DS / len(dirs_DS)
        square_SS = self.metric_SS + _CLOSER * np.eye(num_shape)
        self._closest_SD = np.linalg.solve(square_SS, dirs_DS.T / len(dirs_DS))

    def of(self, offset_V3X: NDArray[np.floating]) -> NDArray[np.float64]:
        """Offsets (V, 3, X) of vertices, metres, as the benchmarks see them: (D, X) millimetres."""
        along_DX = 1000 * np.einsum("dk,dkx->dx", self._normals_D3, offset_V3X[self._face_V].astype(np.float64))
        return along_DX - self._similarity_D7 @ (self._similarity_D7.T @ along_DX)

    def __call__(self, person: SyntheticSubject) -> NDArray[np.float64]:
        """The coefficients (S,)."""
        own_S = person.shape_S.astype(np.float64)
        outside_D = self._dirs_DXS[:, self._num_shape :] @ own_S[self._num_shape :]
        outside_D += self.of(person.offset_V3[..., None])[:, 0]
        return own_S[: self._num_shape] + self._closest_SD @ outside_D


def ridge(
    inputs_NX: NDArray[np.floating], shape_NS: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights (X, S) and bias (S,) of the estimate; with fewer photos than inputs solved in its dual form.

    Args:
        inputs_NX: Of synthetic people: `FaceFeatures.width` features, then landmarks.
        shape_NS: Their coefficients.
    """
    mean_S, (mean_X, scale_X) = shape_NS.mean(0), scales(inputs_NX)
    rows_NX = ((inputs_NX - mean_X) / scale_X).astype(np.float32)
    gram_NN = (rows_NX @ rows_NX.T).astype(np.float64) + len(rows_NX) * _RIDGE * np.eye(len(rows_NX))
    weight_XS = rows_NX.T @ np.linalg.solve(gram_NN, shape_NS - mean_S) / scale_X[:, None]
    return weight_XS, mean_S - mean_X @ weight_XS
