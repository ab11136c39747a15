"""What the shipped head's expressions look like, measured: lids on the eyeballs, gaze, cheeks, lips, jaw."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from deca.head import HeadModel, Part, load_head
from deca.head.layer import HeadLayer
from deca.render.rasterizer import rasterize

EYES = {"Left": (Part.EYE_L, 3), "Right": (Part.EYE_R, 4)}


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_head()


@pytest.fixture(scope="module")
def people() -> np.ndarray:
    """Shape coefficients: the mean head and random people."""
    shapes = np.random.default_rng(4).normal(size=(16, 300))
    shapes[0] = 0
    return shapes


def both(name: str, weight: float = 1.0) -> dict[str, float]:
    return {f"{name}{side}": weight for side in EYES}


def codes(head: HeadModel, weights: dict[str, float]) -> np.ndarray:
    return head.arkit_map_K52 @ np.array([weights.get(name, 0.0) for name in head.arkit_names])


def posed(head: HeadModel, shape: np.ndarray, **weights: float) -> np.ndarray:
    """Vertices without skinning: jaw and eyeballs stay."""
    rest = head.template_V3 + head.shape_dirs_V3S @ shape.astype(np.float32)
    return rest + head.expression_dirs_V3E[:, :, :51] @ codes(head, weights)[:51].astype(np.float32)


def lid_skin(head: HeadModel) -> np.ndarray:
    """Outside of the upper lid in front of the left eyeball's middle, without the margin's breadth."""
    centre, radius = ball(head.template_V3, head)
    moved = np.linalg.norm(posed(head, np.zeros(300), eyeBlinkLeft=1.0) - head.template_V3, axis=1)
    offset = head.template_V3 - centre
    inside = (np.abs(offset[:, 0]) < 0.006) & (offset[:, 1] > 0) & (np.linalg.norm(offset, axis=1) > radius + 2.2e-3)
    return np.flatnonzero((head.parts_V == Part.SKIN) & (moved > 2e-3) & inside)


def ball(verts_V3: np.ndarray, head: HeadModel) -> tuple[np.ndarray, float]:
    """Centre and radius of the left eyeball."""
    verts = verts_V3[head.parts_V == Part.EYE_L]
    centre = (verts[0] + verts[-1]) / 2
    return centre, float(np.linalg.norm(verts[0] - centre))


def test_closing_lid_slides_over_the_eyeball(head: HeadModel, people: np.ndarray) -> None:
    """Half-way and closed: outside the ball, and closed it lies on it as a lid does, not like a second ball."""
    verts = lid_skin(head)
    assert len(verts) > 10
    thickness = []
    for shape in people:
        for weight in (0.5, 1.0):
            moved = posed(head, shape, **both("eyeBlink", weight))
            centre, radius = ball(moved, head)
            gap = np.linalg.norm(moved[verts] - centre, axis=1) - radius
            assert gap.min() > 4e-4
        offset = moved[verts] - centre
        below = np.arctan2(offset[:, 1], offset[:, 2]) < np.radians(5)  # the rest belongs to the fold
        assert below.sum() > 5
        thickness.append(gap[below].mean())
    assert 1e-3 < np.mean(thickness) < 3e-3
    assert np.max(thickness) < 4e-3


def test_fold_stays_above_a_closing_lid(head: HeadModel) -> None:
    """Skin from the fold to the brow goes down by less than 40 % of the margin's way."""
    moved = posed(head, np.zeros(300), eyeBlinkLeft=1.0) - head.template_V3
    offset = head.template_V3 - ball(head.template_V3, head)[0]
    angle = np.degrees(np.arctan2(offset[:, 1], offset[:, 2]))
    middle = (head.parts_V == Part.SKIN) & (np.abs(offset[:, 0]) < 0.006) & (offset[:, 2] > 0)
    above = middle & (np.linalg.norm(offset, axis=1) > 0.0172) & (angle > 20)
    assert above.sum() > 4
    assert moved[above, 1].min() > 0.4 * moved[middle, 1].min()


@pytest.mark.parametrize(("way", "degrees"), [("In", 35), ("Out", 35), ("Down", 35), ("Up", 25)])
def test_gaze_is_peoples(head: HeadModel, way: str, degrees: float) -> None:
    """Degrees and directions of the pupils, from the rotation matrices; both eyes as mirror images."""
    for side, (_, joint) in EYES.items():
        turn = codes(head, {f"eyeLook{way}{side}": 1.0})[51:].reshape(3, 3)
        x, y, z = cv2.Rodrigues(turn[joint - 2].astype(np.float64))[0][:, 2]
        assert np.degrees(np.arccos(z)) == pytest.approx(degrees, abs=0.1)
        outward = x if side == "Left" else -x
        assert {"In": -outward, "Out": outward, "Down": -y, "Up": y}[way] > 0.4


def lid_angles(head: HeadModel, verts_V3: np.ndarray) -> tuple[float, float]:
    """Elevation, degrees, of the margins of the left eye's upper and lower lid in the middle of the eye.

    The margins are the skin nearest to the eyeball in front.
    """
    centre, _ = ball(head.template_V3, head)
    rest = head.template_V3 - centre
    distance = np.linalg.norm(rest, axis=1)
    front = (head.parts_V == Part.SKIN) & (np.abs(rest[:, 0]) < 0.003) & (rest[:, 2] > 0.010) & (distance < 0.0138)
    elevation = np.degrees(np.arctan2(*(verts_V3 - centre).T[1:]))
    at_rest = np.degrees(np.arctan2(rest[:, 1], rest[:, 2]))
    return float(elevation[front & (at_rest > 0)].min()), float(elevation[front & (at_rest < 0)].max())


def test_lids_follow_lowered_and_raised_eyes(head: HeadModel) -> None:
    """Pupils stay in sight, and lowered eyes look lowered."""
    none = np.zeros(300)
    upper, lower = lid_angles(head, head.template_V3)
    upper_down, lower_down = lid_angles(head, posed(head, none, **both("eyeLookDown")))
    upper_up, _ = lid_angles(head, posed(head, none, **both("eyeLookUp")))
    assert upper - upper_down > 12 and lower - lower_down > 8
    assert lower_down < -33 and upper_up > 22


def test_cheeks_rise_with_smile_and_squint(head: HeadModel) -> None:
    """The apple of the cheek, below the eye's outer half."""
    centre, _ = ball(head.template_V3, head)
    goal = centre + np.array([0.006, -0.027, 0.008])
    skin = np.flatnonzero(head.parts_V == Part.SKIN)
    apple = skin[np.argsort(np.linalg.norm(head.template_V3[skin] - goal, axis=1))[:8]]
    for name, least in (("mouthSmile", 2.6e-3), ("cheekSquint", 4e-3)):
        rise = (posed(head, np.zeros(300), **both(name)) - head.template_V3)[apple, 1]
        assert rise.mean() > least, name


def stretched_edges(head: HeadModel, verts_V3: np.ndarray, where_V: np.ndarray) -> np.ndarray:
    """Length of the edges between chosen vertices, relative to the mean head's."""
    faces = head.faces_F3[where_V[head.faces_F3].all(axis=1)]
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    length, rest = (np.linalg.norm(v[edges[:, 0]] - v[edges[:, 1]], axis=1) for v in (verts_V3, head.template_V3))
    return length / rest


def test_smile_pinches_nothing_beside_the_mouth(head: HeadModel) -> None:
    """A trench is skin pressed together within a few millimetres."""
    moved = posed(head, np.zeros(300), **both("mouthSmile"))
    motion = np.linalg.norm(moved - head.template_V3, axis=1)
    skin = (head.parts_V == Part.SKIN) & (motion > 1e-3) & (motion < 0.9 * motion.max())
    assert skin.sum() > 100
    assert np.quantile(stretched_edges(head, moved, skin), 0.02) > 0.72


@pytest.mark.parametrize(("name", "narrow"), [("mouthPucker", 0.75), ("mouthFunnel", 0.8)])
def test_pursed_lips_keep_their_volume(head: HeadModel, name: str, narrow: float) -> None:
    """The red of the lips: narrower, further forward, and its area does not shrink with the width."""
    red = np.flatnonzero(lip_share(head) > 0.5)
    moved = posed(head, np.zeros(300), **{name: 1.0})
    assert np.ptp(moved[red, 0]) < narrow * np.ptp(head.template_V3[red, 0])
    forward = (moved - head.template_V3)[red, 2]
    assert forward.mean() > 3e-3
    assert area(head.faces_F3, moved, red) > 0.85 * area(head.faces_F3, head.template_V3, red)


def lip_share(head: HeadModel) -> np.ndarray:
    """The lips' mask at the vertices of the skin, 0..1."""
    uv = np.zeros((head.num_verts, 2))
    uv[head.faces_F3] = head.uv_T2[head.uv_faces_F3]
    mask = head.masks["lips"]
    rows, columns = mask.shape
    row = np.clip(((1 - uv[:, 1]) * rows).astype(int), 0, rows - 1)
    column = np.clip((uv[:, 0] * columns).astype(int), 0, columns - 1)
    return mask[row, column] / (255 if mask.dtype == np.uint8 else 1) * (head.parts_V == Part.SKIN)


def area(faces_F3: np.ndarray, verts_V3: np.ndarray, chosen: np.ndarray) -> float:
    corners = verts_V3[faces_F3[np.isin(faces_F3, chosen).all(axis=1)]]
    return float(
        np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum() / 2
    )


def test_jaw_turns_like_a_mandible(head: HeadModel) -> None:
    """The condyles, 13 mm in front of the ears' canals, glide forwards by 1 to 2 cm while the jaw opens."""
    joint = (head.joint_regressor_JV @ head.template_V3)[2]
    turn = codes(head, {"jawOpen": 1.0})[51:54].astype(np.float64)
    assert 20 < np.degrees(np.linalg.norm(turn)) < 32
    ear = head.template_V3[head.template_V3[:, 0].argmax()]
    condyle = np.array([0, ear[1] - 0.010, ear[2] + 0.030])
    glide = cv2.Rodrigues(turn)[0] @ (condyle - joint) + joint - condyle
    assert 0.008 < glide[2] < 0.020 and abs(glide[1]) < 0.010


@pytest.mark.parametrize(
    "weights", [{"jawOpen": 0.5}, both("mouthLowerDown") | both("mouthUpperUp")], ids=["open", "teeth bared"]
)
def test_what_is_behind_the_lower_lip_hides_no_lower_teeth(head: HeadModel, weights: dict[str, float]) -> None:
    """From the front, of the mean head and of random people: as much of them is seen as without the mouth's bag."""
    layer, values = HeadLayer(head, 300, 51), codes(head, weights).astype(np.float32)
    pose_153 = np.zeros((1, 5, 3), np.float32)
    pose_153[0, 2:] = values[51:].reshape(3, 3)
    lower_F = (head.parts_V[head.faces_F3] == Part.TEETH_LOWER).all(1)
    bag_F = (head.parts_V[head.faces_F3] == Part.INNER_MOUTH).any(1)
    for shape_S in np.vstack((np.zeros(300), np.random.default_rng(6).normal(size=(5, 300)))):
        given = (shape_S[None].astype(np.float32), values[None, :51], pose_153)
        verts_V3 = layer(*map(torch.from_numpy, given))[0].numpy()
        seen = [seen_of_mouth(head, verts_V3, faces_F)[lower_F].sum() for faces_F in (~bag_F, np.ones_like(bag_F))]
        assert seen[0] > 100
        assert seen[1] > 0.8 * seen[0], seen


def seen_of_mouth(head: HeadModel, verts_V3: np.ndarray, among_F: np.ndarray, size: int = 240) -> np.ndarray:
    """How many of the pixels of a picture from the front, 10 cm wide around the mouth, show each triangle."""
    middle_3 = verts_V3[head.parts_V == Part.TEETH_LOWER].mean(0)
    flat_V3 = ((verts_V3 - middle_3) * (20, -20, -20)).astype(np.float32)
    kept = np.flatnonzero(among_F)
    found = rasterize(torch.from_numpy(flat_V3)[None], torch.from_numpy(head.faces_F3[kept]), size, size)
    face_HW = found.face_BHW[0].numpy()
    return np.bincount(kept[face_HW[face_HW >= 0]], minlength=len(head.faces_F3))


def test_closed_lips_meet_up_to_their_corners(head: HeadModel) -> None:
    """From the front, of the mean head and of random people, hardly anything of the mouth's inside is seen."""
    inside_F = (head.parts_V[head.faces_F3] >= Part.TEETH_UPPER).any(1)
    shown = []
    for shape_S in np.vstack((np.zeros(100), np.random.default_rng(8).normal(size=(20, 100)))):
        verts_V3 = head.template_V3 + head.shape_dirs_V3S[:, :, :100] @ shape_S
        shown.append(seen_of_mouth(head, verts_V3, np.ones_like(inside_F), 720)[inside_F].sum())
    # Pixels of 0.14 mm, 0.6 mm² at a corner on average; 256 and up to 952 where each vertex moves as it will.
    assert np.mean(shown) < 90 and max(shown) < 250, shown
