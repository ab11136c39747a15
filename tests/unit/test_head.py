"""HeadLayer against an independent float64 numpy version of FLAME's equations, and the head model file's reader."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from deca.errors import AssetError
from deca.head import HeadModel, load_head
from deca.head.layer import HeadLayer, contour_rows, rotation_matrices

RNG = np.random.default_rng(7)


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_head()


def rotation_f64(axis_angle: np.ndarray) -> np.ndarray:
    """Matrix exponential of the cross product matrix, by its power series."""
    x, y, z = axis_angle
    generator = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    term, total = np.eye(3), np.eye(3)
    for order in range(1, 40):
        term = term @ generator / order
        total = total + term
    return total


def posed_f64(head: HeadModel, shape: np.ndarray, expression: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """FLAME's equations written down vertex by vertex: 4x4 matrices along the kinematic chain, float64."""
    shaped = head.template_V3 + head.shape_dirs_V3S[:, :, : len(shape)].astype(np.float64) @ shape
    verts = shaped + head.expression_dirs_V3E[:, :, : len(expression)].astype(np.float64) @ expression
    joints = head.joint_regressor_JV.astype(np.float64) @ (verts if head.joints_follow_expression else shaped)
    rotations = [rotation_f64(axis_angle) for axis_angle in pose]
    feature = np.concatenate([(rotation - np.eye(3)).ravel() for rotation in rotations[1:]])
    verts = verts + head.pose_dirs_V3P.astype(np.float64) @ feature
    world: list[np.ndarray] = []
    for joint, parent in enumerate(head.parents):
        local = np.eye(4)
        local[:3, :3] = rotations[joint]
        local[:3, 3] = joints[joint] - (joints[parent] if parent >= 0 else 0)
        world.append(world[parent] @ local if parent >= 0 else local)
    out = np.zeros_like(verts)
    for joint, matrix in enumerate(world):
        moved = (verts - joints[joint]) @ matrix[:3, :3].T + matrix[:3, 3]
        out += head.skin_weights_VJ[:, joint, None].astype(np.float64) * moved
    return out


def far_regressor(head: HeadModel) -> np.ndarray:
    """Joints from a few vertices of the mouth and brows each, which expressions move by millimetres."""
    moving = np.linalg.norm(head.expression_dirs_V3E[:, :, :50], axis=1).sum(1)
    regressor_JV = np.zeros_like(head.joint_regressor_JV)
    for joint, vertices in enumerate(np.argsort(-moving)[:200].reshape(-1, 5).T):
        regressor_JV[joint, vertices] = 1 / len(vertices)
    return regressor_JV


@pytest.mark.parametrize("follows", [False, True])
def test_joints_follow_the_files_rule(head: HeadModel, follows: bool) -> None:
    head = replace(head, joint_regressor_JV=far_regressor(head), joints_follow_expression=follows)
    rng = np.random.default_rng(3)
    shape, expression, pose = rng.normal(size=100), rng.normal(size=50), rng.normal(scale=0.4, size=(5, 3))
    codes = [torch.from_numpy(code)[None] for code in (shape, expression, pose)]
    verts = HeadLayer(head).double()(*codes)[0].numpy()
    assert np.abs(verts - posed_f64(head, shape, expression, pose)).max() < 1e-6
    other = replace(head, joints_follow_expression=not follows)
    assert np.abs(verts - posed_f64(other, shape, expression, pose)).max() > 5e-4


@pytest.mark.parametrize("seed", range(5))
def test_layer_equals_float64_reference(head: HeadModel, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape, expression = rng.normal(size=100), rng.normal(size=50)
    pose = rng.normal(scale=0.4, size=(5, 3))
    layer = HeadLayer(head)
    codes = [torch.from_numpy(code.astype(np.float32))[None] for code in (shape, expression, pose)]
    verts = layer(*codes)[0].numpy()
    expected = posed_f64(head, *(code[0].numpy().astype(np.float64) for code in codes))
    assert np.abs(verts - expected).max() < 1e-6


def test_zero_codes_give_the_template(head: HeadModel) -> None:
    layer = HeadLayer(head)
    verts = layer(torch.zeros(1, 100), torch.zeros(1, 50), torch.zeros(1, 5, 3))[0].numpy()
    assert np.abs(verts - head.template_V3).max() < 1e-7


def test_batch_equals_single(head: HeadModel) -> None:
    layer = HeadLayer(head, 20, 51)
    shape, expression, pose = torch.randn(3, 20), torch.randn(3, 51), 0.3 * torch.randn(3, 5, 3)
    batch = layer(shape, expression, pose)
    for row in range(3):
        single = layer(shape[row : row + 1], expression[row : row + 1], pose[row : row + 1])
        assert torch.allclose(single[0], batch[row], atol=1e-6)


def test_gradients(head: HeadModel) -> None:
    layer = HeadLayer(head, 4, 4).double()
    weight = torch.randn(head.num_verts, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def energy(shape: torch.Tensor, expression: torch.Tensor, pose: torch.Tensor) -> torch.Tensor:
        return (layer(shape, expression, pose) * weight).sum()

    inputs = [torch.randn(1, 4), torch.randn(1, 4), 0.3 * torch.randn(1, 5, 3)]
    assert torch.autograd.gradcheck(energy, [value.double().requires_grad_() for value in inputs], atol=1e-5)


def test_gradient_is_finite_at_zero_rotation() -> None:
    axis_angle = torch.zeros(2, 3, requires_grad=True)
    rotation_matrices(axis_angle).sum().backward()
    assert torch.isfinite(axis_angle.grad).all()


def test_contour_row_follows_the_yaw() -> None:
    """The rule of facts: half-even rounding; 0..39 as is, -1..-39 -> 40..78, saturating on both sides."""
    row_of_yaw = {0: 0, 0.5: 0, 1.5: 2, 2.5: 2, 12.4: 12, 37.5: 38, 38.5: 38, 39: 39, 60: 39}
    row_of_yaw |= {-0.4: 0, -0.5: 0, -1: 40, -1.5: 41, -2.5: 41, -20: 59, -38.5: 77, -39: 78, -55: 78}
    yaws, rows = list(row_of_yaw), list(row_of_yaw.values())
    pose = torch.zeros(len(yaws), 5, 3)
    pose[:, 0, 1] = torch.deg2rad(torch.tensor(yaws, dtype=torch.float32))
    assert contour_rows(pose).tolist() == rows
    assert contour_rows(pose.flip(1)[:, [4, 3, 2, 1, 0]]).tolist() == rows


def test_landmarks_lie_on_the_posed_surface(head: HeadModel) -> None:
    layer = HeadLayer(head)
    pose = torch.zeros(1, 5, 3)
    pose[0, 0, 1] = 0.35
    verts = layer(torch.randn(1, 100), torch.randn(1, 50), pose)
    points = head.landmarks_478
    assert points is not None
    expected = points.positions(verts[0].numpy(), head.faces_F3)
    assert np.abs(layer.landmarks_478(verts)[0].numpy() - expected).max() < 1e-6
    assert layer.landmarks_68(verts, pose).shape == (1, 68, 3)


class TestFile:
    """What the reader says to files that are not what they should be."""

    def source(self) -> dict[str, np.ndarray]:
        from deca.assets import asset

        return load_file(asset("openhead/openhead.safetensors"))

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(AssetError, match="does not exist"):
            HeadModel.load(tmp_path / "none.safetensors")

    def test_truncated(self, tmp_path: Path) -> None:
        path = tmp_path / "cut.safetensors"
        save_file(self.source(), path, {"format": "deca-head", "version": "1"})
        path.write_bytes(path.read_bytes()[:100_000])
        with pytest.raises(AssetError, match="could not be read"):
            HeadModel.load(path)

    def test_foreign(self, tmp_path: Path) -> None:
        path = tmp_path / "foreign.safetensors"
        save_file({"a": np.zeros(3)}, path)
        with pytest.raises(AssetError, match="not a head model"):
            HeadModel.load(path)

    def test_incomplete(self, tmp_path: Path) -> None:
        tensors = self.source()
        del tensors["weights"]
        path = tmp_path / "part.safetensors"
        save_file(tensors, path, {"format": "deca-head", "version": "1"})
        with pytest.raises(AssetError, match="weights"):
            HeadModel.load(path)

    def test_arrays_of_other_sizes(self, tmp_path: Path) -> None:
        tensors = self.source()
        tensors["weights"] = tensors["weights"][:-1].copy()
        path = tmp_path / "odd.safetensors"
        save_file(tensors, path, {"format": "deca-head", "version": "1"})
        with pytest.raises(AssetError, match="do not fit"):
            HeadModel.load(path)
