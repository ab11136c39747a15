"""Wrinkles: displaced positions and normals against closed forms and a slow reference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from deca.errors import AssetError
from deca.head import HeadModel, load_head
from deca.render.detail import applied_displacement, detail_surface, grid_normals
from deca.render.normals import unit, vertex_normals
from deca.render.uv import uv_mask, uv_raster, world2uv


def slow_grid_normals(positions_HW3: np.ndarray, covered_HW: np.ndarray) -> np.ndarray:
    """Normals of the texels' mesh, triangle by triangle."""
    rows, columns = covered_HW.shape
    total = np.zeros_like(positions_HW3)
    for r in range(rows - 1):
        for c in range(columns - 1):
            for triangle in (((r, c), (r + 1, c), (r, c + 1)), ((r + 1, c + 1), (r, c + 1), (r + 1, c))):
                if all(covered_HW[corner] for corner in triangle):
                    a, b, d = (positions_HW3[corner] for corner in triangle)
                    for corner in triangle:
                        total[corner] += np.cross(b - a, d - a)
    return total / np.maximum(np.linalg.norm(total, axis=-1, keepdims=True), 1e-20)


def slow_vertex_normals(verts_V3: np.ndarray, faces_F3: np.ndarray) -> np.ndarray:
    total = np.zeros_like(verts_V3)
    for a, b, c in faces_F3:
        for corner in (a, b, c):
            total[corner] += np.cross(verts_V3[b] - verts_V3[a], verts_V3[c] - verts_V3[a])
    return total / np.maximum(np.linalg.norm(total, axis=-1, keepdims=True), 1e-20)


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_head()


def sheet(rows: int = 33, width: float = 0.2) -> HeadModel:
    """A flat square of `width` metres facing +z that fills the texture: u along x, v along y."""
    steps = np.linspace(0, 1, rows)
    u, v = np.meshgrid(steps, steps)
    verts = np.stack(((u - 0.5) * width, (v - 0.5) * width, np.zeros_like(u)), -1).reshape(-1, 3)
    at = (np.arange(rows - 1)[:, None] * rows + np.arange(rows - 1)).ravel()
    faces = np.concatenate(
        (np.stack((at, at + 1, at + rows + 1), 1), np.stack((at, at + rows + 1, at + rows), 1))
    ).astype(np.int64)
    return replace(
        load_head(),
        name="sheet",
        hash="sheet",
        template_V3=verts.astype(np.float32),
        faces_F3=faces,
        uv_T2=np.stack((u, v), -1).reshape(-1, 2).astype(np.float32),
        uv_faces_F3=faces,
        masks={"face_no_eyes": np.full((512, 512), 255, np.uint8)},
    )


def test_vertex_normals_equal_the_sum_over_triangles(head: HeadModel) -> None:
    random = np.random.default_rng(0)
    verts = np.stack([head.template_V3 + random.normal(0, 3e-4, head.template_V3.shape) for _ in range(2)])
    found = vertex_normals(torch.from_numpy(verts), torch.from_numpy(head.faces_F3)).numpy()
    for picture in range(2):
        assert np.allclose(found[picture], slow_vertex_normals(verts[picture], head.faces_F3), atol=1e-9)


def test_vertex_normals_have_the_right_gradients() -> None:
    faces = torch.tensor([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]])
    generator = torch.Generator().manual_seed(0)
    verts = torch.randn(2, 4, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda points: vertex_normals(points, faces), verts)
    outwards = vertex_normals(torch.tensor([[[0.0, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1]]]), faces)
    assert outwards.isfinite().all()


def test_vertices_without_triangles_get_zero() -> None:
    verts = torch.rand(1, 4, 3, requires_grad=True)
    normals = vertex_normals(verts, torch.tensor([[0, 1, 2]]))
    assert (normals[0, 3] == 0).all()
    normals.sum().backward()
    assert verts.grad.isfinite().all()
    lost = torch.zeros(1, 3, 2, requires_grad=True)
    unit(lost).sum().backward()
    assert (lost.grad == 0).all()


def test_grid_normals_equal_the_sum_over_triangles() -> None:
    random = np.random.default_rng(1)
    positions, covered = random.normal(size=(9, 11, 3)), random.random((9, 11)) > 0.15
    tensor = torch.from_numpy(positions).permute(2, 0, 1)[None]
    found = grid_normals(tensor, torch.from_numpy(covered))[0].permute(1, 2, 0).numpy()
    assert np.allclose(found, slow_grid_normals(positions, covered), atol=1e-12)
    whole = grid_normals(tensor)[0].permute(1, 2, 0).numpy()
    assert np.allclose(whole, slow_grid_normals(positions, np.ones_like(covered)), atol=1e-12)


def test_grid_normals_have_the_right_gradients() -> None:
    generator = torch.Generator().manual_seed(0)
    positions = torch.randn(2, 3, 5, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    covered = torch.ones(5, 4, dtype=torch.bool)
    covered[2, 1] = False
    assert torch.autograd.gradcheck(lambda points: grid_normals(points, covered), positions)


def test_a_wave_on_a_sheet_has_the_normals_of_a_wave() -> None:
    """z = a sin(k x): normal (-a k cos(k x), 0, 1), made unit length."""
    flat, size = sheet(), 256
    verts = torch.from_numpy(flat.template_V3)[None]
    x = ((torch.arange(size) + 0.5) / size - 0.5) * 0.2
    height, wave = 0.0005, 2 * torch.pi / 0.02
    displacement = (height * torch.sin(wave * x)).expand(1, 1, size, size)
    surface = detail_surface(verts, displacement, flat)
    assert torch.allclose(surface.positions_B3HW[0, 2], displacement[0, 0], atol=1e-7)
    assert torch.allclose(surface.positions_B3HW[0, 0], x.expand(size, size), atol=1e-6)
    expected = torch.stack((-height * wave * torch.cos(wave * x), torch.zeros(size), torch.ones(size)))
    expected = torch.nn.functional.normalize(expected, dim=0)[:, None].expand(3, size, size)
    inner = (..., slice(2, -2), slice(2, -2))
    assert torch.allclose(surface.normals_B3HW[0][inner], expected[inner], atol=2e-3)
    smooth = detail_surface(verts, displacement, flat, smooth=True)
    assert torch.allclose(smooth.normals_B3HW[0][inner], expected[inner], atol=2e-3)


def test_texels_normals_point_outwards_on_the_head(head: HeadModel) -> None:
    verts = torch.from_numpy(head.template_V3)[None]
    surface = detail_surface(verts, torch.zeros(1, 1, 256, 256), head)
    inside = uv_mask(head, "face_no_eyes") > 0.99
    cosine = torch.nn.functional.cosine_similarity(surface.normals_B3HW, surface.coarse_normals_B3HW)[0][inside]
    assert (cosine > 0.9).float().mean() > 0.99


def test_outside_the_mask_the_coarse_head_stays(head: HeadModel) -> None:
    verts = torch.from_numpy(head.template_V3)[None]
    surface = detail_surface(verts, torch.full((1, 1, 256, 256), 0.01), head)
    outside = (uv_mask(head, "face_no_eyes") == 0) & uv_raster(head, 256).covered_HW
    assert outside.float().mean() > 0.2
    assert torch.equal(surface.normals_B3HW[..., outside], surface.coarse_normals_B3HW[..., outside])
    assert torch.equal(surface.positions_B3HW[..., outside], world2uv(verts, head)[..., outside])


def test_normals_go_on_beyond_the_islands_edges(head: HeadModel) -> None:
    """Each texel beside an island repeats one of its neighbours inside; none is left without a normal."""
    verts = torch.from_numpy(head.template_V3)[None]
    normals = detail_surface(verts, torch.zeros(1, 1, 256, 256), head, smooth=True).normals_B3HW[0]
    assert normals.norm(dim=0).min() > 0.1  # short where the inside of the mouth folds sharply
    covered = uv_raster(head, 256).covered_HW
    beside = ~covered[1:] & covered[:-1]
    rows, columns = torch.nonzero(beside, as_tuple=True)
    assert len(rows) > 300
    for row, column in zip(rows[::10].tolist(), columns[::10].tolist(), strict=True):
        near = [(row + 1 + r, column + c) for r in (-1, 0, 1) for c in (-1, 0, 1)]
        inside = [at for at in near if 0 <= min(at) and max(at) < 256 and covered[at]]
        assert any(torch.equal(normals[:, row + 1, column], normals[:, at[0], at[1]]) for at in inside)


def test_positions_move_along_the_normals_inside_the_mask(head: HeadModel) -> None:
    verts = torch.from_numpy(head.template_V3)[None]
    random = torch.rand(1, 1, 256, 256, generator=torch.Generator().manual_seed(0)) * 0.01
    surface = detail_surface(verts, random, head)
    inside = uv_mask(head, "face_no_eyes") == 1
    move = (surface.positions_B3HW - world2uv(verts, head))[..., inside]
    expected = (random * surface.coarse_normals_B3HW)[..., inside]
    assert torch.allclose(move, expected, atol=1e-7)
    lengths = surface.coarse_normals_B3HW.norm(dim=1)[0, inside & uv_raster(head, 256).covered_HW]
    assert lengths.max() < 1.0001 and lengths.quantile(0.05) > 0.95


def test_without_displacement_smooth_normals_are_the_coarse_ones(head: HeadModel) -> None:
    verts = torch.from_numpy(head.template_V3)[None]
    surface = detail_surface(verts, torch.zeros(1, 1, 256, 256), head, smooth=True)
    covered = uv_raster(head, 256).covered_HW & (uv_mask(head, "face_no_eyes") == 1)
    coarse = torch.nn.functional.normalize(surface.coarse_normals_B3HW, dim=1)
    assert torch.allclose(surface.normals_B3HW[..., covered], coarse[..., covered], atol=1e-5)


def test_fixed_displacement_counts_everywhere_and_is_resized(head: HeadModel) -> None:
    fixed = np.full((128, 128), 0.001, np.float32)
    with_fixed = replace(head, fixed_displacement_NN=fixed)
    applied = applied_displacement(torch.full((2, 1, 256, 256), 0.003), with_fixed)
    mask = uv_mask(head, "face_no_eyes")
    assert torch.allclose(applied, (0.001 + 0.003 * mask).expand(2, 1, -1, -1), atol=1e-8)
    small = applied_displacement(torch.zeros(1, 1, 64, 64), with_fixed)
    assert small.shape == (1, 1, 64, 64) and torch.allclose(small, torch.tensor(0.001))


def test_gradients_reach_displacement_and_vertices(head: HeadModel) -> None:
    verts = torch.from_numpy(head.template_V3).double()[None].requires_grad_()
    displacement = torch.zeros(1, 1, 64, 64, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(1, 3, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def energy(points: torch.Tensor, height: torch.Tensor) -> torch.Tensor:
        return (detail_surface(points, height, head).normals_B3HW * weight).sum()

    energy(verts, displacement).backward()
    assert displacement.grad is not None and verts.grad is not None
    for tensor, step in ((displacement, 1e-7), (verts, 1e-8)):
        for index in tensor.grad.abs().flatten().topk(400).indices[::40].tolist():
            nudge = torch.zeros(tensor.numel(), dtype=torch.float64)
            nudge[index] = step
            nudge = nudge.view(tensor.shape)
            with torch.no_grad():
                ends = [
                    energy(verts + sign * nudge, displacement)
                    if tensor is verts
                    else energy(verts, displacement + sign * nudge)
                    for sign in (1, -1)
                ]
            slope = float(ends[0] - ends[1]) / (2 * step)
            assert tensor.grad.flatten()[index].item() == pytest.approx(slope, rel=1e-4)


def test_a_head_without_the_mask_says_so(head: HeadModel) -> None:
    bare = replace(head, masks={})
    with pytest.raises(AssetError, match="face_no_eyes"):
        detail_surface(torch.from_numpy(head.template_V3)[None], torch.zeros(1, 1, 64, 64), bare)
