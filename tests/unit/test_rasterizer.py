"""The rasteriser against a slow reference that asks every triangle about every pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deca.render.rasterizer import interpolate, rasterize


def bumpy_sphere(seed: int, rings: int = 24) -> tuple[torch.Tensor, torch.Tensor]:
    """A closed-ish mesh with thousands of slanted, overlapping triangles in a random pose."""
    generator = torch.Generator().manual_seed(seed)
    theta, phi = torch.meshgrid(torch.linspace(0.01, 3.13, rings), torch.linspace(0, 6.28, rings), indexing="ij")
    radius = 0.8 + 0.1 * torch.rand(theta.shape, generator=generator)
    verts = torch.stack((theta.sin() * phi.cos(), theta.cos(), theta.sin() * phi.sin()), -1) * radius[..., None]
    rotation, _ = torch.linalg.qr(torch.randn(3, 3, generator=generator))
    corner = (torch.arange(rings - 1)[:, None] * rings + torch.arange(rings - 1)).reshape(-1)
    faces = torch.cat(
        (
            torch.stack((corner, corner + 1, corner + rings), 1),
            torch.stack((corner + 1, corner + rings + 1, corner + rings), 1),
        )
    )
    return verts.reshape(-1, 3) @ rotation, faces


def reference(verts: np.ndarray, faces: np.ndarray, height: int, width: int) -> np.ndarray:
    """Nearest triangle whose barycentrics at the pixel centre are all positive; float32, same order of terms."""
    x = ((2 * np.arange(width) + 1) / width - 1).astype(np.float32)[None, :]
    y = ((2 * np.arange(height) + 1) / height - 1).astype(np.float32)[:, None]
    nearest = np.full((height, width), np.inf, np.float32)
    seen = np.full((height, width), -1)
    for index, triangle in enumerate(verts[faces]):
        (x0, y0, z0), (x1, y1, z1), (x2, y2, z2) = triangle
        area = (x2 - x0) * (y1 - y0) - (y2 - y0) * (x1 - x0) + np.float32(1e-8)
        if abs(area) <= 1e-8:
            continue
        w0 = ((x - x1) * (y2 - y1) - (y - y1) * (x2 - x1)) / area
        w1 = ((x - x2) * (y0 - y2) - (y - y2) * (x0 - x2)) / area
        w2 = ((x - x0) * (y1 - y0) - (y - y0) * (x1 - x0)) / area
        depth = w0 * z0 + w1 * z1 + w2 * z2
        wins = (w0 > 0) & (w1 > 0) & (w2 > 0) & (depth < nearest)
        nearest[wins], seen[wins] = depth[wins], index
    return seen


@pytest.mark.parametrize("seed", range(20))
def test_equals_the_reference_at_every_pixel(seed: int) -> None:
    verts, faces = bumpy_sphere(seed)
    fragments = rasterize(verts[None], faces, 60, 80)
    expected = reference(verts.numpy(), faces.numpy(), 60, 80)
    assert (expected >= 0).sum() > 1500
    assert (fragments.face_BHW[0].numpy() != expected).sum() == 0


def test_a_batch_equals_its_pictures_one_by_one() -> None:
    meshes = [bumpy_sphere(seed) for seed in range(3)]
    faces = meshes[0][1]
    batch = rasterize(torch.stack([verts for verts, _ in meshes]), faces, 48, 48)
    for picture, (verts, _) in enumerate(meshes):
        single = rasterize(verts[None], faces, 48, 48)
        assert torch.equal(single.face_BHW[0], batch.face_BHW[picture])
        assert torch.equal(single.bary_BHW3[0], batch.bary_BHW3[picture])


def test_interpolated_positions_lie_at_their_pixels() -> None:
    verts, faces = bumpy_sphere(3)
    fragments = rasterize(verts[None], faces, 50, 70)
    x_BHW, y_BHW, z_BHW = interpolate(verts[None], faces, fragments).unbind(-1)
    mask = fragments.mask_BHW[0]
    rows, columns = torch.nonzero(mask, as_tuple=True)
    assert torch.allclose(x_BHW[0][mask], (2 * columns + 1) / 70 - 1, atol=1e-4)
    assert torch.allclose(y_BHW[0][mask], (2 * rows + 1) / 50 - 1, atol=1e-4)
    assert torch.allclose(z_BHW[0][mask], fragments.depth_BHW[0][mask], atol=1e-5)


def test_gradients_equal_finite_differences() -> None:
    verts, faces = bumpy_sphere(5, rings=6)
    verts = verts.double()
    weight = torch.rand(1, 24, 24, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def energy(points: torch.Tensor) -> torch.Tensor:
        fragments = rasterize(points[None], faces, 24, 24)
        return (fragments.bary_BHW3 * weight).sum() + fragments.depth_BHW.sum()

    points = verts.clone().requires_grad_()
    energy(points).backward()
    visible = rasterize(verts[None], faces, 24, 24).face_BHW
    step, checked = 1e-6, 0
    for vertex in range(0, len(verts), 3):
        for axis in range(3):
            ends = []
            for sign in (1, -1):
                moved = verts.clone()
                moved[vertex, axis] += sign * step
                if not torch.equal(rasterize(moved[None], faces, 24, 24).face_BHW, visible):
                    break  # the silhouette moved over a pixel centre: no derivative there
                ends.append(energy(moved))
            if len(ends) == 2:
                slope = float(ends[0] - ends[1]) / (2 * step)
                assert points.grad[vertex, axis].item() == pytest.approx(slope, rel=1e-4, abs=1e-4)
                checked += 1
    assert checked > 20


def test_nothing_in_view_and_broken_vertices_give_an_empty_picture() -> None:
    verts, faces = bumpy_sphere(0, rings=5)
    assert not rasterize(verts[None] + 5, faces, 16, 16).mask_BHW.any()
    assert not rasterize(torch.full_like(verts, torch.nan)[None], faces, 16, 16).mask_BHW.any()


def test_closed_coverage_leaves_no_holes_where_vertices_lie_on_pixel_centres() -> None:
    size = 8
    axis = (2 * torch.arange(size) + 1) / size - 1
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    verts = torch.stack((x, y, torch.zeros_like(x)), -1).reshape(-1, 3)
    corner = (torch.arange(size - 1)[:, None] * size + torch.arange(size - 1)).reshape(-1)
    faces = torch.cat(
        (
            torch.stack((corner, corner + 1, corner + size), 1),
            torch.stack((corner + 1, corner + size + 1, corner + size), 1),
        )
    )
    assert rasterize(verts[None], faces, size, size, closed=True).mask_BHW.all()
