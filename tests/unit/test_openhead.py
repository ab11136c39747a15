"""The shipped head: symmetry, skinning, ARKit units against MakeHuman's own, and what may be seen from outside."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from deca.head import HeadModel, Part, load_head
from deca.head.layer import HeadLayer
from deca.render.rasterizer import rasterize

REFERENCE = Path(__file__).parents[1] / "data" / "openhead_reference.npz"
FLIP = np.array([-1, 1, 1], np.float32)
VIEWS = ((0, 0), (40, 0), (-40, 10), (75, -5), (10, -20))
"""Yaw and pitch in degrees."""
SIZE, HALF_WIDTH = 320, 0.14
DOOR_SLACK = 2e-4  # metres: doors are flat between the vertices of the lids, and dip that far into the eyeball there
"""Pixels of a view; metres from its centre to its edge."""


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_head()


@pytest.fixture(scope="module")
def layer(head: HeadModel) -> HeadLayer:
    return HeadLayer(head, 300, 100)


@pytest.fixture(scope="module")
def reference() -> dict[str, np.ndarray]:
    with np.load(REFERENCE) as file:
        return dict(file)


def rotation(axis_angle: np.ndarray) -> np.ndarray:
    return cv2.Rodrigues(np.asarray(axis_angle, np.float64))[0]


def skin(head: HeadModel, unposed_V3: np.ndarray, pose_J3: np.ndarray) -> np.ndarray:
    """Plain linear blend skinning in float64, written down joint by joint; the layer is not used."""
    joints = head.joint_regressor_JV.astype(np.float64) @ head.template_V3
    rotations = [rotation(r) for r in pose_J3]
    feature = np.concatenate([(r - np.eye(3)).ravel() for r in rotations[1:]])
    verts = unposed_V3 + head.pose_dirs_V3P.astype(np.float64) @ feature
    world = []
    for j, parent in enumerate(head.parents):
        local = np.eye(4)
        local[:3, :3], local[:3, 3] = rotations[j], joints[j] - (joints[parent] if parent >= 0 else 0)
        world.append(local if parent < 0 else world[parent] @ local)
    out = np.zeros_like(verts)
    for j, matrix in enumerate(world):
        moved = (verts - joints[j]) @ matrix[:3, :3].T + matrix[:3, 3]
        out += head.skin_weights_VJ[:, j, None] * moved
    return out


def arkit(head: HeadModel, **weights: float) -> np.ndarray:
    """Vertices of the mean head under ARKit weights, through the map and skinning."""
    column = np.array([weights.get(name, 0.0) for name in head.arkit_names])
    codes = head.arkit_map_K52.astype(np.float64) @ column
    pose = np.zeros((5, 3))
    pose[2:] = codes[51:].reshape(3, 3)
    return skin(head, head.template_V3 + head.expression_dirs_V3E[:, :, :51].astype(np.float64) @ codes[:51], pose)


def test_size(head: HeadModel) -> None:
    assert 5000 <= head.num_verts <= 5450
    assert head.shape_dirs_V3S.shape[2] == 300 and head.expression_dirs_V3E.shape[2] == 100
    assert not head.expression_dirs_V3E[:, :, 51:].any()
    assert (Path(__file__).parents[2] / "assets/openhead/openhead.safetensors").stat().st_size < 12e6


def test_mirror_is_exact(head: HeadModel) -> None:
    mirror = head.mirror_V
    assert (mirror[mirror] == np.arange(head.num_verts)).all()
    assert np.abs(head.template_V3[mirror] * FLIP - head.template_V3).max() == 0
    triangles = {tuple(sorted(face)) for face in head.faces_F3.tolist()}
    assert triangles == {tuple(sorted(face)) for face in mirror[head.faces_F3].tolist()}


def test_components_are_symmetric_or_antisymmetric(head: HeadModel) -> None:
    dirs = np.concatenate([head.shape_dirs_V3S, head.expression_dirs_V3E[:, :, :51]], axis=2)
    mirrored = dirs[head.mirror_V] * FLIP[:, None]
    even = np.abs(mirrored - dirs).max(axis=(0, 1))
    odd = np.abs(mirrored + dirs).max(axis=(0, 1))
    assert np.minimum(even, odd).max() == 0
    assert (np.abs(dirs).max(axis=(0, 1)) > 0).all()


def test_shape_components_descend(head: HeadModel) -> None:
    """By the variance of the face, up to the weights of the analysis."""
    size = (head.shape_dirs_V3S[head.parts_V == Part.SKIN] ** 2).sum(axis=(0, 1))
    assert size[:5].mean() > 4 * size[10:20].mean() > 4 * size[50:100].mean() > 4 * size[200:].mean()


def test_weights_and_regressor_sum_to_one(head: HeadModel) -> None:
    assert np.abs(head.skin_weights_VJ.sum(axis=1) - 1).max() < 1e-6
    assert head.skin_weights_VJ.min() >= 0
    assert np.abs(head.joint_regressor_JV.sum(axis=1) - 1).max() < 1e-6


def test_eyeballs(head: HeadModel, reference: dict[str, np.ndarray]) -> None:
    """24 mm across, joints at their centres, and no skin inside them but the sockets, which nobody sees there."""
    joints = head.joint_regressor_JV @ head.template_V3
    is_skin_V = head.parts_V == Part.SKIN
    is_skin_V[head.faces_F3[reference["socket_faces"]]] = False
    skin_verts = head.template_V3[is_skin_V]
    for part, joint in ((Part.EYE_L, 3), (Part.EYE_R, 4)):
        ball = head.template_V3[head.parts_V == part]
        assert np.abs(np.linalg.norm(ball - joints[joint], axis=1) - 0.012).max() < 1e-6
        assert np.linalg.norm(skin_verts - joints[joint], axis=1).min() > 0.012 + 5e-5


def test_layer_equals_plain_skinning(head: HeadModel, layer: HeadLayer) -> None:
    codes = np.random.default_rng(0).normal(size=100)
    codes[51:] = 0
    pose = np.array([[0.1, 0.2, 0], [0.1, -0.2, 0.1], [0.3, 0, 0], [0.1, 0.2, 0], [0, -0.2, 0]])
    expected = skin(head, head.template_V3 + head.expression_dirs_V3E.astype(np.float64) @ codes, pose)
    with torch.no_grad():
        verts = layer(torch.zeros(1, 300), torch.from_numpy(codes).float()[None], torch.from_numpy(pose).float()[None])
    assert np.abs(verts[0].numpy() - expected).max() < 2e-6


def test_arkit_units_are_the_builders(head: HeadModel, reference: dict[str, np.ndarray]) -> None:
    """Through map, correctives and skinning, against the units as MakeHuman stores them, or as the builder mended
    them."""
    verts = reference["vertices"]
    units = dict(zip(head.arkit_names, reference["units"], strict=True))
    # Teeth are set back after the units are made, and so go a little further about the jaw's joint.
    by_the_jaw_V = np.where(np.isin(head.parts_V[verts], (Part.TEETH_UPPER, Part.TEETH_LOWER)), 1e-3, 5e-4)
    for name, unit in units.items():
        if name == "mouthClose":
            moved, expected, bound_V = arkit(head, mouthClose=1, jawOpen=1), unit + units["jawOpen"], by_the_jaw_V
        else:
            moved, expected = arkit(head, **{name: 1.0}), unit
            bound_V = by_the_jaw_V if name == "jawOpen" else np.full(len(verts), 5e-5)
        error = np.linalg.norm((moved - head.template_V3)[verts] - expected, axis=1)
        assert (error < bound_V).all(), name


def test_full_blink_is_within_three_deviations(head: HeadModel) -> None:
    columns = [head.arkit_names.index(f"eyeBlink{side}") for side in ("Left", "Right")]
    psi = head.arkit_map_K52[:50, columns]
    assert np.linalg.norm(psi, axis=0).max() < 3
    assert np.linalg.norm(psi.sum(axis=1)) < 3


def view_matrix(yaw: float, pitch: float) -> np.ndarray:
    return rotation([np.radians(pitch), 0, 0]) @ rotation([0, np.radians(yaw), 0])


class Views:
    """What shows of the head's inside; the neck's cut is closed by a lid.

    The lids' and the lips' openings are closed by doors, surfaces spanned between their rims. Skin and doors together
    bound the head, so whatever is seen of its inside without a door in front of it is seen through the skin.
    """

    def __init__(self, head: HeadModel, reference: dict[str, np.ndarray]) -> None:
        self.lips = reference["lip_loop"].astype(int)
        self.lids = [reference[f"lid_loop_{side}"].astype(int) for side in ("left", "right")]
        self.eyes = [np.flatnonzero(head.parts_V == part) for part in (Part.EYE_L, Part.EYE_R)]
        self.neck = reference["neck_loop"]
        ring = np.concatenate([self.neck, self.neck[:1]])
        cap = np.stack([np.full(len(ring) - 1, head.num_verts), ring[:-1], ring[1:]], axis=1)
        self.faces = np.concatenate([head.faces_F3, cap])
        parts = np.append(head.parts_V, Part.SKIN)
        face_part = parts[self.faces].max(axis=1)
        self.is_eye = np.isin(face_part, (Part.EYE_L, Part.EYE_R))
        self.is_eye[reference["socket_faces"]] = True
        # The strip of the bag next to the lip line is the wet part of the lips, which may roll out.
        is_wet_lip = (face_part == Part.INNER_MOUTH) & np.isin(self.faces, self.lips).any(axis=1)
        self.is_mouth = (face_part >= Part.TEETH_UPPER) & ~is_wet_lip
        self.inside = np.unique(self.faces[self.is_eye | self.is_mouth])
        self.lip_partner = partners(head.template_V3[self.lips])

    def illegal_pixels(self, verts_V3: np.ndarray, yaw: float, pitch: float) -> tuple[int, int]:
        """Pixels of the mouth's inside, and of eyeballs and eye sockets, that no door is in front of."""
        verts = np.concatenate([verts_V3, verts_V3[self.neck].mean(axis=0, keepdims=True)])
        seen = self._turned(verts, yaw, pitch)
        # Only pixels where the inside lies can show it.
        pixels = (seen[self.inside, :2] + 1) * SIZE / 2
        window = np.floor(pixels.min(axis=0)), np.ceil(pixels.max(axis=0))
        face, depth = self._look(seen, self.faces, *window)
        doors = [mouth_door(verts_V3[self.lips], self.lip_partner)]
        for ball, lids in zip(self.eyes, self.lids, strict=True):
            centre = (verts_V3[ball[0]] + verts_V3[ball[-1]]) / 2
            doors.append(eye_door(verts_V3[lids], centre, float(np.linalg.norm(verts_V3[ball[0]] - centre))))
        first = np.cumsum([0] + [len(points) for points, _ in doors])
        door_verts = np.concatenate([points for points, _ in doors])
        door_faces = np.concatenate([faces + k for (_, faces), k in zip(doors, first, strict=False)])
        door, door_depth = self._look(self._turned(door_verts, yaw, pitch), door_faces, *window)
        is_open = (face >= 0) & ~((door >= 0) & (door_depth < depth + DOOR_SLACK / HALF_WIDTH))
        return int((is_open & self.is_mouth[face]).sum()), int((is_open & self.is_eye[face]).sum())

    @staticmethod
    def _turned(verts_V3: np.ndarray, yaw: float, pitch: float) -> np.ndarray:
        """The vertices on a picture of `SIZE` x `SIZE` pixels: x right, y down, [-1, 1]."""
        turned = (verts_V3 - np.array([0, -0.02, 0])) @ view_matrix(yaw, pitch).T
        return turned / HALF_WIDTH * (1, -1, -1)

    @staticmethod
    def _look(
        seen_V3: np.ndarray, faces_F3: np.ndarray, first_2: np.ndarray, end_2: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The triangle every pixel of a window of the picture sees (-1: none) and its depth."""
        clip = seen_V3.copy()
        clip[:, :2] = ((seen_V3[:, :2] + 1) * SIZE - 2 * first_2) / (end_2 - first_2) - 1
        width, height = map(int, end_2 - first_2)
        # Edges count as covered: a pixel centre exactly on the edge of two triangles would look through between them.
        clip_1V3 = torch.from_numpy(clip.astype(np.float32))[None]
        fragments = rasterize(clip_1V3, torch.from_numpy(faces_F3), height, width, closed=True)
        return fragments.face_BHW[0].numpy(), fragments.depth_BHW[0].numpy()


def partners(loop_P3: np.ndarray) -> np.ndarray:
    """The vertex of the other lip that is opposite to each vertex of the lip line, an involution (P,)."""
    place = np.arange(len(loop_P3))
    pairings = [(k - place) % len(place) for k in range(len(place))]
    return min(pairings, key=lambda partner: float(np.abs(loop_P3[:, 0] - loop_P3[partner, 0]).sum()))


def mouth_door(loop_P3: np.ndarray, partner: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The surface of straight lines from each vertex of the lip line to its partner: vertices and triangles."""
    this, after = np.arange(len(loop_P3)), (np.arange(len(loop_P3)) + 1) % len(loop_P3)
    faces = np.concatenate(
        [np.stack([this, after, partner[after]], axis=1), np.stack([this, partner[after], partner[this]], axis=1)]
    )
    return loop_P3, faces


def eye_door(loop_P3: np.ndarray, centre: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """The dome over an eyeball that ends in the lids' margins: vertices and triangles."""
    offset = loop_P3 - centre
    length = np.linalg.norm(offset, axis=1, keepdims=True)
    middle = offset.mean(axis=0) / np.linalg.norm(offset.mean(axis=0))
    shares = (0, 0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 1)
    rings = [loop_P3]
    for share in shares:
        direction = (1 - share) * offset / length + share * middle
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        rings.append(centre + direction * np.maximum((1 - share) * length + share * radius, radius * 1.08))
    index = np.arange(len(rings) * len(loop_P3)).reshape(len(rings), -1)
    here, after = index, np.roll(index, -1, axis=1)
    quads = np.stack([here[:-1], after[:-1], after[1:], here[1:]], axis=-1).reshape(-1, 4)
    return np.concatenate(rings), np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def test_blink_leaves_no_slit(head: HeadModel, layer: HeadLayer) -> None:
    """No eyeball from the front or the sides, on the mean head and random ones: less than 0.2 square millimetres."""
    faces = torch.from_numpy(head.faces_F3)
    eye = np.isin(head.parts_V[head.faces_F3].max(axis=1), (Part.EYE_L, Part.EYE_R))
    columns = [head.arkit_names.index(f"eyeBlink{side}") for side in ("Left", "Right")]
    psi = np.zeros(100)
    psi[:51] = head.arkit_map_K52[:51, columns].sum(axis=1)
    shapes = np.random.default_rng(1).normal(size=(13, 300))
    shapes[0] = 0
    with torch.no_grad():
        verts_B = layer(
            torch.from_numpy(shapes).float(),
            torch.from_numpy(psi).float().expand(len(shapes), -1),
            torch.zeros(len(shapes), 5, 3),
        ).numpy()
    for verts in verts_B:
        for yaw in (0, 35, -35):
            clip = ((verts - (0, 0.01, 0.07)) @ view_matrix(yaw, 0).T / 0.06 * (1, -1, -1)).astype(np.float32)
            face = rasterize(torch.from_numpy(clip)[None], faces, 480, 480, closed=True).face_BHW[0].numpy()
            assert eye[face[face >= 0]].sum() <= 3


@pytest.mark.slow
def test_nothing_inside_shows_through_the_skin(
    head: HeadModel, layer: HeadLayer, reference: dict[str, np.ndarray]
) -> None:
    """200 random identities, every second with a random expression and open jaw, from 5 sides."""
    rng = np.random.default_rng(5)
    views = Views(head, reference)
    bad = []
    for number in range(200):
        codes = rng.normal(size=(1, 300)), rng.normal(size=(1, 100)), np.zeros((1, 5, 3))
        codes[1][:, 50:] = 0
        codes[2][0, 2, 0] = rng.uniform(0, 0.3)
        if number % 2 == 0:
            codes[1][:], codes[2][:] = 0, 0
        with torch.no_grad():
            verts = layer(*(torch.from_numpy(code).float() for code in codes))[0].numpy()
        counts = [views.illegal_pixels(verts, yaw, pitch) for yaw, pitch in VIEWS]
        if np.any(counts):
            bad.append((number, np.max(counts, axis=0).tolist()))
    assert len(bad) <= 1 and all(sum(pixels) <= 1 for _, pixels in bad), bad


def test_visibility_test_can_fail(head: HeadModel, reference: dict[str, np.ndarray]) -> None:
    """A mouth bag pushed through the skin and an eyeball too large for its lids are seen."""
    views = Views(head, reference)
    verts = head.template_V3.copy()
    assert views.illegal_pixels(verts, 0, 0) == (0, 0)
    verts[head.parts_V == Part.INNER_MOUTH] += np.array([0, 0.005, 0.03], np.float32)
    centre = (head.joint_regressor_JV @ head.template_V3)[3]
    verts[head.parts_V == Part.EYE_L] += 0.6 * (verts[head.parts_V == Part.EYE_L] - centre)
    mouth, eyes = views.illegal_pixels(verts, 0, 0)
    assert mouth > 20 and eyes > 20
