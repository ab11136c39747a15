"""Lips and lids of the photo's fit: a head shows as much teeth, red and eye as the photo does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from deca.head import HeadModel, Part, load_head
from deca.head.layer import layer_of
from deca.reconstruct.edges import LOWER_INNER, OUTLINES, UPPER_INNER, ShownEdges, jaw_behind_lips, lowered_lids
from deca.reconstruct.fit import LandmarkSolver
from deca.reconstruct.fit_result import HELD, FitResult, Guess
from deca.render.rasterizer import rasterize
from deca.vision.landmarks import EYE_RINGS

SIZE, SCALE, OFFSET = (400, 400), 900.0, np.array([210.0, 190.0])
PIXEL = 0.0001  # metres a pixel of close-ups
MOUTH, EYE = 13, 386


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_head()


def posed(head: HeadModel, expression_E: NDArray, pose_53: NDArray, shape_S: NDArray | None = None) -> NDArray:
    shape_S = np.zeros(100) if shape_S is None else shape_S
    codes = (torch.from_numpy(np.asarray(x, np.float32))[None] for x in (shape_S, expression_E, pose_53))
    with torch.inference_mode():
        return layer_of(head, 100, 50)(*codes)[0].numpy()


def acted(head: HeadModel, **weights: float) -> tuple[NDArray, NDArray]:
    """Expression (50) and pose (5, 3) of ARKit weights; names without a side are both sides'."""
    weight_K = np.array(
        [weights.get(n, weights.get(n.removesuffix("Left").removesuffix("Right"), 0)) for n in head.arkit_names]
    )
    mapped = head.arkit_map_K52 @ weight_K
    pose_53 = np.zeros((5, 3))
    pose_53[2] = mapped[51:54]
    return mapped[:50], pose_53


def points_of(head: HeadModel, verts_V3: NDArray) -> NDArray:
    assert head.landmarks_478 is not None
    return head.landmarks_478.positions(verts_V3, head.faces_F3).astype(np.float64)


def column(head: HeadModel, verts_V3: NDArray, landmark: int) -> tuple[NDArray, NDArray]:
    """What is seen from the front above and below a landmark: heights in metres from the top, and `Part`s."""
    x, y = points_of(head, verts_V3)[landmark, :2]
    size = 800
    picture_V3 = (verts_V3 - (x, y, 0)) * np.array([1, -1, -1]) * 2 / (size * PIXEL)
    seen = rasterize(torch.from_numpy(picture_V3.astype(np.float32))[None], torch.from_numpy(head.faces_F3), size, size)
    parts_F = head.parts_V[head.faces_F3].max(1)
    rows = np.arange(size)
    return y + (size / 2 - rows - 0.5) * PIXEL, parts_F[seen.face_BHW[0].numpy()[:, size // 2]]


def shown(head: HeadModel, verts_V3: NDArray, landmark: int, parts: set[Part]) -> NDArray:
    """Heights, metres, at which any of the parts is seen."""
    heights, seen = column(head, verts_V3, landmark)
    return heights[np.isin(seen, list(parts))]


INSIDE = {Part.TEETH_UPPER, Part.TEETH_LOWER, Part.TONGUE, Part.INNER_MOUTH}
EYES = {Part.EYE_L, Part.EYE_R}


def fitted(head: HeadModel, points_L3: NDArray, is_exact: bool = False) -> tuple[FitResult, NDArray]:
    """The fit of landmarks as the network would find them, of the known identity; and its vertices without turn.

    Args:
        head: The head model.
        points_L3: The landmarks, metres.
        is_exact: They are to be traced as they are.
    """
    known = LandmarkSolver(head)
    bias_L2 = known.noise.bias(np.zeros(1), np.zeros(1))[0]
    landmarks_1L2 = (SCALE * (points_L3[:, :2] + bias_L2) * (1, -1) + OFFSET)[None]
    guess = Guess(np.zeros((1, 100)), np.zeros((1, 0)), np.zeros((1, 3)), HELD)
    solver = LandmarkSolver(head, noise=known.noise) if is_exact else known
    fit = solver.fit(landmarks_1L2, SIZE, guess=guess)
    pose_53 = fit.pose_B53[0].copy()
    pose_53[0] = 0.0
    return fit, posed(head, fit.expression_BE[0], pose_53, fit.shape_BS[0])


@pytest.mark.parametrize(
    "weights",
    [
        {"jawOpen": 0.5},
        {"mouthSmile": 0.9, "mouthUpperUp": 0.5, "mouthLowerDown": 0.6},
        {"mouthFunnel": 0.7, "jawOpen": 0.3},
    ],
)
def test_edges_are_where_a_picture_shows_them(head: HeadModel, weights: dict[str, float]) -> None:
    expression_E, pose_53 = acted(head, **weights)
    assert head.landmarks_478 is not None
    edges = ShownEdges(head, head.landmarks_478, 100, 50)
    beyond_N = edges.beyond(
        np.concatenate((np.zeros(100), expression_E))[None], np.zeros((1, 7)) + _jaw(pose_53), np.eye(3)[None]
    )[0]
    verts_V3 = posed(head, expression_E, pose_53)
    points_L3, count = points_of(head, verts_V3), len(UPPER_INNER)
    for upper in (81, 82, 13, 312, 311):
        row = list(UPPER_INNER).index(upper)
        top = shown(head, verts_V3, upper, INSIDE).max()
        assert points_L3[upper, 1] + beyond_N[row] == pytest.approx(top, abs=6e-4), upper
    lower_row = count + list(LOWER_INNER).index(14)
    bottom = shown(head, verts_V3, 14, INSIDE).min()
    assert points_L3[14, 1] + beyond_N[lower_row] == pytest.approx(bottom, abs=5e-4)


def _jaw(pose_53: NDArray) -> NDArray:
    return np.concatenate((pose_53[2], np.zeros(4)))


def test_a_smile_shows_the_teeth_that_the_photo_shows(head: HeadModel) -> None:
    """The network puts the inner lips on the edges that are seen; a head with its inner line there would show less."""
    expression_E, pose_53 = acted(head, mouthSmile=0.9, mouthUpperUp=1.0, mouthLowerDown=1.0, jawOpen=0.05)
    verts_V3 = posed(head, expression_E, pose_53)
    points_L3 = points_of(head, verts_V3)
    for landmarks, end in ((UPPER_INNER[2:7], np.max), (LOWER_INNER[2:7], np.min)):
        for landmark in landmarks:
            points_L3[landmark, 1] = end(shown(head, verts_V3, landmark, INSIDE))
    fit, again_V3 = fitted(head, points_L3)
    truth, found = (len(shown(head, v, MOUTH, INSIDE)) * PIXEL for v in (verts_V3, again_V3))
    assert truth > 0.005 and found == pytest.approx(truth, abs=0.0008), (truth, found)
    assert fit.pose_B53[0, 2, 0] < 0.06


def test_an_open_jaw_stays_one(head: HeadModel) -> None:
    expression_E, pose_53 = acted(head, jawOpen=0.8)
    fit, _ = fitted(head, points_of(head, posed(head, expression_E, pose_53)))
    assert fit.pose_B53[0, 2, 0] == pytest.approx(pose_53[2, 0], abs=0.06)


def test_eyes_that_the_network_sees_a_third_open_are_shut(head: HeadModel) -> None:
    verts_V3 = head.template_V3.astype(np.float64)
    points_L3 = points_of(head, verts_V3)
    opened = len(shown(head, verts_V3, EYE, EYES)) * PIXEL
    for share, shut in ((0.3, True), (0.7, False)):
        lids_L3 = points_L3.copy()
        for ring in EYE_RINGS:
            lower, upper = list(ring[1:8]), list(ring[9:])
            lids_L3[upper] = points_L3[lower] + share * (points_L3[upper] - points_L3[lower])
        _, again_V3 = fitted(head, lids_L3)
        found = len(shown(head, again_V3, EYE, EYES)) * PIXEL / opened
        assert (found < 0.12) if shut else found == pytest.approx(share, abs=0.15), (share, found)


def test_open_eyes_stay_as_they_are(head: HeadModel) -> None:
    points_BL2 = points_of(head, head.template_V3.astype(np.float64))[None, :, :2]
    np.testing.assert_array_equal(lowered_lids(points_BL2), points_BL2)


def test_pressed_lips_lose_their_red(head: HeadModel) -> None:
    points_L3 = points_of(head, head.template_V3.astype(np.float64))
    inner = np.concatenate((UPPER_INNER, LOWER_INNER))
    thin_L3 = points_L3.copy()
    thin_L3[OUTLINES] = points_L3[inner] + 0.75 * (points_L3[OUTLINES] - points_L3[inner])

    def red(points_L3: NDArray) -> float:
        return float(points_L3[0, 1] - points_L3[13, 1] + points_L3[14, 1] - points_L3[17, 1])

    pressed, traced = (red(points_of(head, fitted(head, thin_L3, is_exact)[1])) for is_exact in (False, True))
    assert pressed < traced - 0.0007 < red(points_L3) - 0.0007, (pressed, traced, red(points_L3))
    _, same_V3 = fitted(head, points_L3)
    assert red(points_of(head, same_V3)) == pytest.approx(red(points_L3), rel=0.06)


def test_a_jaw_is_expected_behind_what_no_smile_parts(head: HeadModel) -> None:
    rest_L2 = points_of(head, head.template_V3.astype(np.float64))[:, :2]
    plain_L2 = rest_L2.copy()
    plain_L2[LOWER_INNER, 1] -= 0.009
    smile_L2 = plain_L2.copy()
    smile_L2[[61, 291], 0] *= 1.3
    jaw_B = jaw_behind_lips(np.stack((rest_L2, plain_L2, smile_L2)), np.stack([rest_L2] * 3))
    assert jaw_B[0] == 0 and jaw_B[1] == pytest.approx(0.12) and jaw_B[2] == pytest.approx(0, abs=1e-9)
