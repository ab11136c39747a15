"""The trainer's losses: values by hand, a slow sum in numpy, gradients by finite differences, nothing to compare."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from deca.errors import AssetError, OptionError
from deca.head import load_head
from deca.reconstruct.noise import FACE_OVAL, IRIS
from deca_training.losses import eye_closure, lip_closure
from deca_training.losses.detail_photometric import detail_photometric_loss
from deca_training.losses.detail_regularizer import displacement_magnitude, shading_smoothness
from deca_training.losses.exchange import exchange_within_subjects
from deca_training.losses.eye_closure import eye_closure_loss
from deca_training.losses.identity import identity_loss
from deca_training.losses.landmark import landmark_loss, weights_68, weights_478
from deca_training.losses.lip_closure import lip_closure_loss
from deca_training.losses.photometric import photometric_loss
from deca_training.losses.regularizers import code_energy, grey_light
from deca_training.losses.soft_symmetry import soft_symmetry_loss

PAIRS = torch.tensor([(0, 1), (2, 3)])


@pytest.fixture
def random() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def rand(random: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=random, dtype=torch.float64)


# --- values by hand


def test_landmark_loss_by_hand() -> None:
    predicted = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])
    target = torch.tensor([[[0.0, 0.5], [0.0, -0.2]]])
    # landmark 0: 1 + 0.5, weight 3; landmark 1: 0.2, weight 1; sum w L1 / (2 sum w)
    assert landmark_loss(predicted, target, torch.tensor([[3.0, 1.0]])) == pytest.approx((3 * 1.5 + 0.2) / 8)


@pytest.mark.parametrize(("form", "expected"), [("paper", 0.1 + 0.4), ("release", 0.5 - 0.4)])
def test_closure_by_hand(form: str, expected: float) -> None:
    """Lids 0.3 right and 0.4 down of each other, detected 0.4 right and 0 down: lengths 0.5 and 0.4."""
    predicted = torch.tensor([[[1.3, 2.4], [1.0, 2.0]]])
    target = torch.tensor([[[0.4, 5.0], [0.0, 5.0]]])
    pairs = torch.tensor([(0, 1)])
    assert eye_closure_loss(predicted, target, pairs, form) == pytest.approx(expected, abs=1e-6)
    assert lip_closure_loss(predicted, target, pairs, form) == pytest.approx(expected, abs=1e-6)


def test_photometric_by_hand() -> None:
    image, rendering = torch.zeros(1, 3, 2, 2), torch.full((1, 3, 2, 2), 0.5)
    mask = torch.tensor([[[[1.0, 0.0], [0.5, 0.0]]]])
    for loss in (photometric_loss, detail_photometric_loss):
        assert loss(image, rendering, mask) == pytest.approx(1.5 * 0.5 / 4)


def test_identity_by_hand() -> None:
    embedding = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]])
    other = torch.tensor([[5.0, 0.0], [-1.0, 0.0], [1.0, 0.0]])
    assert identity_loss(embedding, other) == pytest.approx((0 + 2 + 1) / 3)


def test_regularizers_by_hand() -> None:
    assert code_energy(torch.tensor([[1.0, 2.0], [0.0, 3.0]])) == pytest.approx(7.0)
    light = torch.ones(1, 9, 3)
    assert grey_light(light) == 0
    light[0, 4] = torch.tensor([0.0, 3.0, 0.0])  # deviations -1, 2, -1
    assert grey_light(light) == pytest.approx(6 / 27)


def test_symmetry_by_hand() -> None:
    displacement = torch.tensor([[[[0.0, 1.0, 4.0]]]])
    mask = torch.tensor([[[[1.0, 1.0, 0.0]]]])
    assert soft_symmetry_loss(displacement, mask) == pytest.approx(4 / 3)


def test_symmetry_teaches_the_masked_side_only() -> None:
    displacement = torch.tensor([[[[0.0, 1.0, 4.0]]]], requires_grad=True)
    soft_symmetry_loss(displacement, torch.tensor([[[[1.0, 1.0, 0.0]]]])).backward()
    assert displacement.grad is not None
    assert torch.allclose(displacement.grad, torch.tensor([[[[-1 / 3, 0.0, 0.0]]]]))


def test_detail_regularizers_by_hand() -> None:
    assert displacement_magnitude(torch.tensor([[[[-2.0, 1.0]]]])) == pytest.approx(1.5)
    shading = torch.tensor([[[[0.0, 1.0], [0.0, 3.0]]]])
    assert shading_smoothness(shading) == pytest.approx((1 + 9) / 2 + (0 + 4) / 2)


# --- slow sums in numpy


def slow_landmark(predicted: np.ndarray, target: np.ndarray, weights: np.ndarray) -> float:
    total = sum(
        weights[b, i] * (abs(predicted[b, i, 0] - target[b, i, 0]) + abs(predicted[b, i, 1] - target[b, i, 1]))
        for b, i in np.ndindex(*weights.shape)
    )
    return total / (2 * weights.sum())


def slow_closure(predicted: np.ndarray, target: np.ndarray, weights: np.ndarray, form: str) -> float:
    total, share = 0.0, 0.0
    for b in range(len(predicted)):
        for i, j in PAIRS.tolist():
            ours, theirs = predicted[b, i] - predicted[b, j], target[b, i] - target[b, j]
            if form == "paper":
                difference = np.abs(ours - theirs).sum()
            else:
                difference = abs(np.sqrt(ours @ ours) - np.sqrt(theirs @ theirs))
            total += weights[b, i] * weights[b, j] * difference
            share += weights[b, i] * weights[b, j]
    return total / share


def test_landmark_losses_equal_slow_sums(random: torch.Generator) -> None:
    predicted, target, weights = rand(random, 3, 6, 2), rand(random, 3, 6, 2), rand(random, 3, 6).abs()
    arrays = predicted.numpy(), target.numpy(), weights.numpy()
    assert float(landmark_loss(predicted, target, weights)) == pytest.approx(slow_landmark(*arrays), rel=1e-12)
    for form in ("paper", "release"):
        found = eye_closure_loss(predicted, target, PAIRS, form, weights)
        assert float(found) == pytest.approx(slow_closure(*arrays, form), rel=1e-12)


def test_picture_losses_equal_slow_sums(random: torch.Generator) -> None:
    image, rendering, mask = rand(random, 2, 3, 4, 5), rand(random, 2, 3, 4, 5), rand(random, 2, 1, 4, 5).abs()
    a, b, m = image.numpy(), rendering.numpy(), mask.numpy()
    places = list(np.ndindex(2, 3, 4, 5))
    expected = sum(m[n, 0, y, x] * abs(a[n, c, y, x] - b[n, c, y, x]) for n, c, y, x in places) / len(places)
    assert float(photometric_loss(image, rendering, mask)) == pytest.approx(expected, rel=1e-12)
    symmetry = sum(m[n, 0, y, x] * abs(a[n, 0, y, x] - a[n, 0, y, 4 - x]) for n, c, y, x in places if c == 0) / 40
    assert float(soft_symmetry_loss(image[:, :1], mask)) == pytest.approx(symmetry, rel=1e-12)
    rows = np.mean([(a[n, c, y, x] - a[n, c, y, x - 1]) ** 2 for n, c, y, x in places if x])
    columns = np.mean([(a[n, c, y, x] - a[n, c, y - 1, x]) ** 2 for n, c, y, x in places if y])
    assert float(shading_smoothness(image)) == pytest.approx(rows + columns, rel=1e-12)


def test_code_losses_equal_slow_sums(random: torch.Generator) -> None:
    codes, other, light = rand(random, 4, 7), rand(random, 4, 7), rand(random, 2, 9, 3)
    a, b, coefficients = codes.numpy(), other.numpy(), light.numpy()
    assert float(code_energy(codes)) == pytest.approx(sum(c * c / 2 for c in a.ravel()), rel=1e-12)
    cosines = [x @ y / np.sqrt((x @ x) * (y @ y)) for x, y in zip(a, b, strict=True)]
    assert float(identity_loss(codes, other)) == pytest.approx(1 - np.mean(cosines), rel=1e-12)
    grey = [(row[c] - (row[0] + row[1] + row[2]) / 3) ** 2 for row in coefficients.reshape(-1, 3) for c in range(3)]
    assert float(grey_light(light)) == pytest.approx(np.mean(grey), rel=1e-12)


# --- gradients, precision, nothing to compare

Loss = Callable[..., Tensor]


def cases(random: torch.Generator) -> list[tuple[Loss, list[Tensor], list[Tensor]]]:
    """Loss, what gets a gradient, what does not; every target away from the kinks of |x|."""
    points, pictures = (
        (rand(random, 2, 4, 2), rand(random, 2, 4, 2)),
        (rand(random, 2, 3, 4, 4), rand(random, 2, 3, 4, 4)),
    )
    weights, mask = rand(random, 2, 4).abs(), rand(random, 2, 1, 4, 4).abs()
    return [
        (landmark_loss, [points[0]], [points[1], weights]),
        (lambda p, t, w: eye_closure_loss(p, t, PAIRS, "paper", w), [points[0]], [points[1], weights]),
        (lambda p, t, w: lip_closure_loss(p, t, PAIRS, "release", w), [points[0]], [points[1], weights]),
        (lambda r, i, m: photometric_loss(i, r, m), [pictures[0]], [pictures[1], mask]),
        (lambda r, i, m: detail_photometric_loss(i, r, m), [pictures[0]], [pictures[1], mask]),
        (identity_loss, [rand(random, 3, 5), rand(random, 3, 5)], []),
        (code_energy, [rand(random, 3, 5)], []),
        (grey_light, [rand(random, 2, 9, 3)], []),
        (displacement_magnitude, [rand(random, 2, 1, 3, 3)], []),
        (shading_smoothness, [rand(random, 2, 3, 3, 4)], []),
    ]


def test_gradients_equal_finite_differences(random: torch.Generator) -> None:
    for loss, learnt, fixed in cases(random):
        leaves = [tensor.requires_grad_() for tensor in learnt]
        assert torch.autograd.gradcheck(lambda *t, loss=loss, fixed=fixed: loss(*t, *fixed), leaves)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_in_float32(random: torch.Generator, dtype: torch.dtype) -> None:
    for loss, learnt, fixed in cases(random):
        halves = [tensor.to(dtype) for tensor in (*learnt, *fixed)]
        with torch.autocast("cpu", dtype=dtype):
            found = loss(*halves)
        assert found.dtype == torch.float32
        assert float(found) == pytest.approx(float(loss(*(tensor.double() for tensor in halves))), rel=1e-5)


def test_half_precision_does_not_overflow() -> None:
    assert code_energy(torch.full((64, 100), 20.0, dtype=torch.float16)) == pytest.approx(64 * 100 * 200)


def test_without_weights_losses_and_gradients_are_zero() -> None:
    """Also when what has no weight is not a number."""
    predicted = torch.zeros(2, 4, 2, requires_grad=True)
    target, nothing = torch.full((2, 4, 2), torch.nan), torch.zeros(2, 4)
    total = landmark_loss(predicted, target, nothing)
    for form in ("paper", "release"):
        total = total + eye_closure_loss(predicted, target, PAIRS, form, nothing)
    total.backward()
    assert total == 0 and predicted.grad is not None and not predicted.grad.any()
    picture = torch.rand(1, 3, 2, 2, requires_grad=True)
    loss = photometric_loss(torch.rand(1, 3, 2, 2), picture, torch.zeros(1, 1, 2, 2))
    loss.backward()
    assert loss == 0 and picture.grad is not None and not picture.grad.any()


def test_unknown_landmarks_do_not_count(random: torch.Generator) -> None:
    predicted, target = rand(random, 2, 4, 2), rand(random, 2, 4, 2)
    weights = torch.tensor([[1.0, 1, 1, 1], [1, 1, 0, 1]]).double()
    for loss in (landmark_loss, lambda p, t, w: eye_closure_loss(p, t, PAIRS, "release", w)):
        expected = loss(predicted, target, weights)
        spoiled = target.clone()
        spoiled[1, 2] = torch.nan
        assert loss(predicted, spoiled, weights) == expected


def test_closed_lids_have_finite_gradients() -> None:
    predicted = torch.zeros(1, 4, 2, requires_grad=True)
    eye_closure_loss(predicted, torch.rand(1, 4, 2), PAIRS, "release").backward()
    assert predicted.grad is not None and torch.isfinite(predicted.grad).all()


# --- tables of landmarks


def test_weights_of_the_68_landmarks() -> None:
    paper, release = weights_68("paper"), weights_68("release")
    assert [paper[i] for i in (0, 5, 20, 27, 30, 31, 37, 48, 54, 60)] == [1, 1, 1, 1.5, 3, 1.5, 1, 3, 3, 1.5]
    assert [release[i] for i in (0, 5, 6, 7, 10, 11)] == [1, 2, 2, 1, 2, 2]
    assert [release[i] for i in (27, 29, 30, 31, 33, 35)] == [1.5, 1.5, 3, 3, 1.5, 3]
    assert [release[i] for i in (36, 47, 48, 49, 54, 64, 67)] == [1, 1, 3, 1.5, 3, 1.5, 1.5]
    assert float(release.sum()) == pytest.approx(9 * 1.5 + 3 * 1.5 + 20 * 1.5 + 2 * 1.5 + 13 + 4 * 2 + 10 + 12)


def test_weights_of_mediapipe_landmarks() -> None:
    weights = weights_478(load_head())
    assert [weights[i] for i in (61, 291, 4, 1, 13, 159, 50)] == [3, 3, 3, 1.5, 1.5, 1, 1]
    assert weights[[*FACE_OVAL, *IRIS]].unique().tolist() == pytest.approx([0.1])


def test_mediapipe_landmarks_that_the_head_lacks_have_no_weight() -> None:
    head = load_head()
    points = head.landmarks_478
    assert points is not None
    faces = points.faces.copy()
    faces[[4, 10, 159]] = -1
    weights = weights_478(replace(head, landmarks_478=replace(points, faces=faces)))
    assert torch.equal((weights == 0).nonzero()[:, 0], torch.tensor([4, 10, 159]))
    with pytest.raises(AssetError, match="MediaPipe"):
        weights_478(replace(head, landmarks_478=None))


@pytest.mark.parametrize(("room", "part"), [(eye_closure, "eyes"), (lip_closure, "lips")])
def test_pairs_lie_one_above_the_other(room: object, part: str) -> None:
    """On the average head: the upper landmark is above the lower one, hardly beside it."""
    head = load_head()
    for pairs, points in ((room.PAIRS_68, head.landmarks_68), (room.PAIRS_478, head.landmarks_478)):  # type: ignore
        corners_L33 = head.template_V3[head.faces_F3[points.faces]]
        places_L3 = (corners_L33 * points.bary[..., None]).sum(1)
        offset_P3 = places_L3[pairs[:, 0]] - places_L3[pairs[:, 1]]
        assert (offset_P3[:, 1] > -1e-4).all() and (np.abs(offset_P3[:, 0]) < 2e-3).all(), (part, offset_P3)


# --- exchange


def test_every_photo_gets_another_code_of_its_subject() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.arange(12)[:, None]
    seen = set()
    for _ in range(50):
        taken = exchange_within_subjects(rows, 4, generator)[:, 0]
        assert (taken // 4 == rows[:, 0] // 4).all() and (taken != rows[:, 0]).all()
        assert sorted(taken.tolist()) == list(range(12))
        seen.add(tuple(taken[:4].tolist()))
    assert len(seen) == 6  # all rings of four


def test_exchange_of_one_photo_each_changes_nothing_and_repeats_with_its_seed() -> None:
    codes = torch.rand(5, 3)
    assert torch.equal(exchange_within_subjects(codes, 1, torch.Generator()), codes)
    first, second = (exchange_within_subjects(codes[:4], 2, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, second)


def test_exchanged_codes_carry_gradients() -> None:
    codes = torch.rand(4, 3, requires_grad=True)
    exchange_within_subjects(codes, 2, torch.Generator())[0].sum().backward()
    assert codes.grad is not None and torch.equal(codes.grad[1], torch.ones(3)) and codes.grad[0].sum() == 0


@pytest.mark.parametrize("images", [0, 3])
def test_exchange_needs_full_sets(images: int) -> None:
    with pytest.raises(OptionError, match="4 photos"):
        exchange_within_subjects(torch.rand(4, 3), images, torch.Generator())
