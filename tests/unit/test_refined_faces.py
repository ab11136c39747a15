"""E_c's codes refined by the landmark fit: whose are, whose are not, and what becomes of a bad guess."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from deca.head import HeadModel, load_head
from deca.head.layer import HeadLayer
from deca.networks import OFFICIAL_CARD, Card
from deca.networks.codes import Codes
from deca.reconstruct import coarse, pipeline
from deca.reconstruct.coarse import (
    can_refine,
    fitted_faces,
    focal_in_pixels,
    interior_error,
    refined_faces,
    regressed_faces,
)
from deca.reconstruct.face import Face
from deca.reconstruct.models import Models, load_models
from deca.vision.faces import DetectedFace
from deca.vision.landmarks import IBUG_68
from deca.vision.photo import Photo

SCALE, MIDDLE = 900.0, np.array([200.0, 190.0])
PHOTO = Photo(np.full((400, 400, 3), 128, np.uint8))


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_head()


class Answers:
    """Networks that answer what they are told."""

    def __init__(self, card: Card, shape_S: np.ndarray, expression_E: np.ndarray, jaw: float) -> None:
        self.card, self.detail_BD = card, torch.full((1, 128), 0.5)
        coarse = torch.zeros(1, card.sizes.num_coarse)
        self.codes = replace(
            Codes.split(coarse, card.sizes),
            shape_BS=torch.from_numpy(shape_S)[None].float(),
            expression_BE=torch.from_numpy(expression_E)[None].float(),
            jaw_pose_B3=torch.tensor([[jaw, 0.0, 0.0]]),
            camera_B3=torch.tensor([[8.0, 0.0, 0.0]]),
        )

    def encode(
        self, images_B3HW: torch.Tensor, landmarks_BL3: torch.Tensor | None = None
    ) -> tuple[Codes, torch.Tensor]:
        return self.codes, self.detail_BD

    def encode_detail(self, images_B3HW: torch.Tensor, landmarks_BL3: torch.Tensor) -> torch.Tensor:
        return torch.full((1, 128), -0.5)


@pytest.fixture
def person(head: HeadModel) -> SimpleNamespace:
    """Known codes, and the landmarks of a photo of them."""
    rng = np.random.default_rng(0)
    shape_S, expression_E = rng.normal(0, 0.8, 100).clip(-2, 2), rng.normal(0, 0.4, 50)
    pose_53 = np.zeros((5, 3))
    pose_53[0], pose_53[2, 0] = (0.1, 0.2, 0.05), 0.1
    codes = (torch.from_numpy(x)[None].float() for x in (shape_S, expression_E, pose_53))
    with torch.no_grad():
        verts_V3 = HeadLayer(head)(*codes)[0].numpy()
    assert head.landmarks_478 is not None
    points_L3 = head.landmarks_478.positions(verts_V3, head.faces_F3) * (SCALE, -SCALE, -SCALE) + (*MIDDLE, 0)
    box_4 = np.concatenate((points_L3[:, :2].min(0), points_L3[:, :2].max(0))).astype(np.float32)
    found = DetectedFace(points_L3.astype(np.float32), box_4, 1.0, 1.0, 0.0)
    return SimpleNamespace(shape_S=shape_S, expression_E=expression_E, found=found)


def models_of(head: HeadModel, networks: Answers) -> Models:
    models = Models(head)
    models.networks = networks  # type: ignore[assignment]
    return models


def reconstructed(
    person: SimpleNamespace, head: HeadModel, networks: Answers, monkeypatch: pytest.MonkeyPatch, **options
) -> Face:
    monkeypatch.setattr(pipeline, "find_faces", lambda *_, **__: [person.found])
    models = models_of(head, networks)
    (face,) = pipeline.reconstruct(PHOTO, path="p.png", models=models, texture_size=None, **options)
    return face


def test_a_disturbed_answer_is_put_on_the_landmarks(
    person: SimpleNamespace, head: HeadModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(1)
    shape_S = person.shape_S + rng.normal(0, 0.2, 100)
    networks = Answers(Card.of(head), shape_S, person.expression_E + rng.normal(0, 0.5, 50), 0.3)
    face = reconstructed(person, head, networks, monkeypatch)
    alone = fitted_faces(PHOTO, Path("p.png"), [person.found], Models(head))[0]
    assert face.landmark_error < max(alone.landmark_error + 0.002, 0.01)
    assert np.linalg.norm(face.shape_S - person.shape_S) < np.linalg.norm(alone.shape_S - person.shape_S)
    assert abs(face.pose_53[2, 0] - 0.1) < np.radians(4)
    assert face.detail_D is not None and (face.detail_D == 0.5).all()
    # camera and crop agree with the landmarks: the head's own, on the photo
    assert head.landmarks_478 is not None
    points_L3 = head.landmarks_478.positions(face.vertices(), head.faces_F3)
    projected_L2 = points_L3 @ face.to_photo()[:, :3].T + face.to_photo()[:, 3]
    assert np.linalg.norm(projected_L2 - person.found.landmarks_L3[:, :2], axis=1).mean() < 0.003 * SCALE


def test_a_useless_answer_does_no_harm(
    person: SimpleNamespace, head: HeadModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks = Answers(Card.of(head), np.full(100, 40.0), np.full(50, -40.0), 3.0)
    face = reconstructed(person, head, networks, monkeypatch)
    alone = fitted_faces(PHOTO, Path("p.png"), [person.found], Models(head))[0]
    assert face.landmark_error < max(alone.landmark_error + 0.002, 0.01)
    assert np.abs(face.shape_S).max() <= 3.0


def test_the_encoders_own_codes_can_be_had(
    person: SimpleNamespace, head: HeadModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks = Answers(Card.of(head), person.shape_S, person.expression_E, 0.3)
    face = reconstructed(person, head, networks, monkeypatch, coarse="weights")
    np.testing.assert_array_equal(face.shape_S, networks.codes.shape_BS[0].numpy())
    fit = reconstructed(person, head, networks, monkeypatch, coarse="fit")
    np.testing.assert_array_equal(
        fit.shape_S, fitted_faces(PHOTO, Path("p.png"), [person.found], Models(head))[0].shape_S
    )


def test_what_decas_released_weights_say_is_left_as_it_is(
    person: SimpleNamespace, head: HeadModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks = Answers(replace(OFFICIAL_CARD, head_verts=head.num_verts), person.shape_S, person.expression_E, 0.3)
    face = reconstructed(person, head, networks, monkeypatch)
    expected = regressed_faces(PHOTO, Path("p.png"), [person.found], Models(head), networks)[0]  # type: ignore[arg-type]
    for code in ("shape_S", "expression_E", "pose_53", "camera_3", "albedo_A", "light_93", "detail_D"):
        np.testing.assert_array_equal(getattr(face, code), getattr(expected, code), err_msg=code)


def test_heads_without_all_landmarks_are_not_refined(head: HeadModel) -> None:
    networks = Answers(Card.of(head), np.zeros(100), np.zeros(50), 0.0)
    assert can_refine(networks, head)  # type: ignore[arg-type]
    assert not can_refine(networks, replace(head, landmarks_478=None))  # type: ignore[arg-type]
    assert head.landmarks_478 is not None
    faces = head.landmarks_478.faces.copy()
    faces[10] = -1
    sparse = replace(head, landmarks_478=replace(head.landmarks_478, faces=faces))
    assert not can_refine(networks, sparse)  # type: ignore[arg-type]


def test_several_faces_keep_their_order(person: SimpleNamespace, head: HeadModel) -> None:
    networks = Answers(Card.of(head), person.shape_S, person.expression_E, 0.1)
    one = networks.codes
    networks.codes = Codes(*(torch.cat((value, value)) for value in one.__dict__.values()))
    networks.detail_BD = torch.stack((torch.zeros(128), torch.ones(128)))
    moved = replace(person.found, landmarks_L3=person.found.landmarks_L3 + np.array((30, 0, 0), np.float32))
    models = models_of(head, networks)
    first, second = refined_faces(PHOTO, Path("p.png"), [person.found, moved], models, networks)  # type: ignore[arg-type]
    assert (first.detail_D == 0).all() and (second.detail_D == 1).all()
    np.testing.assert_allclose(first.shape_S, second.shape_S, atol=1e-2)
    assert second.index == 1
    shift_2 = second.to_photo()[:, 3] - first.to_photo()[:, 3]
    np.testing.assert_allclose(shift_2, (30, 0), atol=0.2)


@pytest.mark.parametrize(("width", "height"), [(3600, 2400), (2400, 3600), (300, 200)])
def test_focal_length_of_a_full_frame_camera(width: int, height: int) -> None:
    """A 35 mm camera's film is 36 by 24 millimetres."""
    photo = Photo(np.zeros((height, width, 3), np.uint8), focal_length_35mm=50.0)
    assert focal_in_pixels(photo) == pytest.approx(50 / 36 * max(width, height), rel=1e-4)
    assert focal_in_pixels(replace(photo, focal_length_35mm=None)) is None


def test_the_landmark_error_leaves_out_the_contour(person: SimpleNamespace, head: HeadModel) -> None:
    (face,) = fitted_faces(PHOTO, Path("p.png"), [person.found], Models(head))
    eyes = [face.landmarks_L2[IBUG_68[corner]] for corner in (36, 45)]
    for index in range(68):
        moved_L2 = face.landmarks_L2.copy()
        moved_L2[IBUG_68[index]] += (0, 1e4)
        moved = interior_error(replace(face, landmarks_L2=moved_L2))
        if index < 17:
            assert moved == interior_error(face), index
        elif index not in (36, 45):
            assert moved == pytest.approx(1e4 / 51 / np.linalg.norm(eyes[1] - eyes[0]), rel=0.05), index


def test_grazing_texels_do_not_count_for_the_light(
    person: SimpleNamespace, head: HeadModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is behind the head is mixed into what it shows at a grazing angle."""
    seen: list[tuple[np.ndarray, ...]] = []

    def spy(texture_HW3, weight_HW, normals_HW3, mean_HW3, basis_AHW3):
        seen.append((weight_HW, normals_HW3[..., 2]))
        return np.zeros(len(basis_AHW3), np.float32), np.zeros((9, 3), np.float32)

    monkeypatch.setattr(coarse, "fit_albedo_and_light", spy)
    models = load_models("openhead", None)
    fitted_faces(PHOTO, Path("p.png"), [person.found], models)
    ((weight_HW, ahead_HW),) = seen
    for low, high, share in ((-1.0, 0.2, 0.0), (0.3, 0.32, 0.37), (0.4, 0.42, 0.7), (0.5, 1.0, 1.0)):
        chosen_HW = (ahead_HW > low) & (ahead_HW < high)
        assert chosen_HW.sum() > 5 and weight_HW[chosen_HW].max() == pytest.approx(share, abs=0.04)
