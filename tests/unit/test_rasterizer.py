"""The rasteriser against a slow reference that asks every triangle about every pixel."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from deca.errors import DecaError
from deca.head import load_head
from deca.reconstruct.geometry import rotation
from deca.render.camera import project
from deca.render.rasterizer import Fragments, interpolate, rasterize


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


def centres(size: int) -> np.ndarray:
    """Pixel centres as PyTorch3D rounds them, seen from the other side: its x runs left and its y up."""
    return 1 - ((2 * (size - 1 - np.arange(size)) + 1).astype(np.float32) / np.float32(size))


def reference(verts: np.ndarray, faces: np.ndarray, height: int, width: int) -> np.ndarray:
    """Nearest triangle whose barycentrics at the pixel centre are all positive; float32, same order of terms."""
    x, y = centres(width)[None, :], centres(height)[:, None]
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


def posed_head(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The embedded head, turned and placed at random, in picture coordinates."""
    head, random = load_head(), np.random.default_rng(seed)
    turned = head.template_V3 @ rotation(random.normal(0, 0.6, (1, 3)))[0].T.astype(np.float32)
    camera = torch.tensor([[random.uniform(5, 12), *random.normal(0, 0.02, 2)]], dtype=torch.float32)
    return project(torch.from_numpy(turned)[None], camera)[0], torch.from_numpy(head.faces_F3)


def barycentrics_at(points: torch.Tensor, faces: torch.Tensor, fragments: Fragments) -> torch.Tensor:
    """Barycentrics (N, 3) of the covered pixels, with autograd: p = sum w_k v_k and sum w_k = 1, solved."""
    _, height, width = fragments.size
    corners_N33 = points[faces[fragments.face_N]].transpose(1, 2).clone()
    system_N33 = torch.cat((corners_N33[:, :2], torch.ones_like(corners_N33[:, :1])), 1)
    x = torch.from_numpy(centres(width)).to(points)[fragments.pixel_N % width]
    y = torch.from_numpy(centres(height)).to(points)[fragments.pixel_N // width]
    return torch.linalg.solve(system_N33, torch.stack((x, y, torch.ones_like(x)), 1))


@pytest.mark.parametrize("seed", range(20))
def test_equals_the_reference_at_every_pixel(seed: int) -> None:
    verts, faces = bumpy_sphere(seed)
    fragments = rasterize(verts[None], faces, 60, 80)
    expected = reference(verts.numpy(), faces.numpy(), 60, 80)
    assert (expected >= 0).sum() > 1500
    assert (fragments.face_BHW[0].numpy() != expected).sum() == 0


@pytest.mark.parametrize("seed", range(20))
def test_a_head_equals_the_reference_at_every_pixel(seed: int) -> None:
    verts, faces = posed_head(seed)
    fragments = rasterize(verts[None], faces, 56, 56)
    expected = reference(verts.numpy(), faces.numpy(), 56, 56)
    assert (expected >= 0).sum() > 400
    assert (fragments.face_BHW[0].numpy() != expected).sum() == 0


@pytest.mark.slow
def test_a_head_equals_the_reference_on_the_whole_crop() -> None:
    verts, faces = posed_head(20)
    expected = reference(verts.numpy(), faces.numpy(), 224, 224)
    assert (expected >= 0).sum() > 15000
    assert (rasterize(verts[None], faces, 224, 224).face_BHW[0].numpy() != expected).sum() == 0


def test_many_triangles_over_the_whole_picture_equal_the_reference() -> None:
    """More candidates than are tested at once."""
    generator = torch.Generator().manual_seed(1)
    verts = torch.randn(900, 3, generator=generator) * torch.tensor([3.0, 3.0, 1.0])
    faces = torch.arange(900).view(-1, 3)
    seen = rasterize(verts[None], faces, 100, 120).face_BHW[0].numpy()
    assert (seen != reference(verts.numpy(), faces.numpy(), 100, 120)).sum() == 0
    assert (seen >= 0).all() and len(np.unique(seen)) > 10


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


def test_gradients_equal_autograd_through_linear_systems() -> None:
    verts, faces = posed_head(2)
    points = verts.double().requires_grad_()
    fragments = rasterize(points[None], faces, 64, 64)
    generator = torch.Generator().manual_seed(0)
    weight_N3 = torch.randn(len(fragments.face_N), 3, generator=generator, dtype=torch.float64)
    expected_N3 = barycentrics_at(points, faces, fragments)
    # Slivers are left out: there the 1e-8 that keeps areas from zero is felt, and nothing else would be compared.
    corners = points[faces[fragments.face_N]]
    (ax, ay), (bx, by) = (corners[:, 1] - corners[:, 0]).T[:2], (corners[:, 2] - corners[:, 0]).T[:2]
    wide_N = ((ax * by - ay * bx).abs() > 1e-4).detach()
    assert wide_N.float().mean() > 0.9
    depth_N = (expected_N3 * corners[..., 2]).sum(1)

    def slope(bary_N3: torch.Tensor, depths_N: torch.Tensor) -> torch.Tensor:
        energy = (bary_N3 * weight_N3)[wide_N].sum() + (depths_N * weight_N3[:, 0])[wide_N].sum()
        return torch.autograd.grad(energy, points, retain_graph=True)[0]

    found, expected = slope(fragments.bary_3N.T, fragments.depth_N), slope(expected_N3, depth_N)
    assert expected.abs().max() > 1
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())
    assert torch.allclose(fragments.bary_3N.T[wide_N], expected_N3[wide_N], atol=2e-4)


def test_only_triangles_with_broken_corners_vanish() -> None:
    verts, faces = bumpy_sphere(4)
    broken = verts.clone()
    broken[100, 0], broken[200, 1], broken[300, 2] = torch.nan, torch.inf, torch.nan
    whole = ~torch.isin(faces, torch.tensor([100, 200, 300])).any(1)
    points = broken[None].clone().requires_grad_()
    fragments = rasterize(points, faces, 60, 60)
    expected = rasterize(verts[None], faces[whole], 60, 60).face_BHW
    expected = torch.where(expected >= 0, torch.nonzero(whole)[:, 0][expected], -1)
    assert torch.equal(fragments.face_BHW, expected)
    (fragments.bary_3N.sum() + fragments.depth_N.sum()).backward()
    assert points.grad.isfinite().all()


def test_behind_the_camera_is_only_farther_or_nearer() -> None:
    verts, faces = bumpy_sphere(6)
    seen = rasterize(verts[None], faces, 40, 40).face_BHW
    assert torch.equal(rasterize(verts[None] - torch.tensor([0, 0, 64.0]), faces, 40, 40).face_BHW, seen)


TRIANGLE = torch.tensor([[-1.0, -1, 0], [1, -1, 0], [-1, 1, 0]])


def test_both_windings_are_seen_and_the_lowest_of_equals_wins() -> None:
    faces = torch.tensor([[0, 1, 2], [0, 2, 1]])
    for order in ([0], [1], [0, 1], [1, 0]):
        seen = rasterize(TRIANGLE[None], faces[order], 8, 8).face_BHW[0]
        assert (seen == 0).sum() == 28, "pixel centres above the diagonal, none on it"


@pytest.mark.parametrize(("twice_area", "covered"), [(3e-8, True), (-3e-8, True), (-1.5e-8, False), (-0.5e-8, False)])
def test_triangles_of_hardly_any_area_are_skipped(twice_area: float, covered: bool) -> None:
    """Signed as PyTorch3D's: 1e-8 is added, then what is not above 1e-8 in size is skipped."""
    corners = torch.tensor([[-1.0, -1, 0], [-1, 1, 0], [2, 0, 0]]) * (abs(twice_area) / 6) ** 0.5
    faces = torch.tensor([[0, 1, 2] if twice_area > 0 else [0, 2, 1]])
    assert reference(corners.numpy(), faces.numpy(), 3, 3)[1, 1] == (0 if covered else -1)
    assert rasterize(corners[None], faces, 3, 3).mask_BHW[0, 1, 1] == covered


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_pixel_centres_are_rounded_as_pytorch3d_rounds_them(side: float) -> None:
    """One picture per column, each with a triangle whose vertical edge lies on the column's centre to the last bit."""
    edge_B = torch.from_numpy(centres(224))
    far_B, one_B, zero_B = edge_B + 4 * side, torch.ones(224), torch.zeros(224)
    rows = ((edge_B, -9 * one_B, zero_B), (edge_B, 9 * one_B, zero_B), (far_B, zero_B, zero_B))
    verts_BV3 = torch.stack([torch.stack(row, -1) for row in rows], 1)
    seen = rasterize(verts_BV3, torch.tensor([[0, 1, 2]]), 1, 224).mask_BHW[:, 0]
    inner, column = torch.ones(224, 224, dtype=torch.bool), torch.arange(224)
    expected = inner.triu(1) if side > 0 else inner.tril(-1)
    assert torch.equal(seen, expected), column[(seen != expected).any(1)]


@pytest.mark.parametrize("broken", [torch.nan, -torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_triangle_with_a_broken_corner_covers_nothing(broken: float, axis: int) -> None:
    verts = TRIANGLE.clone()
    verts[1, axis] = broken
    assert not rasterize(verts[None], torch.tensor([[0, 1, 2]]), 8, 8).mask_BHW.any()


def test_nearer_wins_and_flat_triangles_are_skipped() -> None:
    verts = torch.cat((TRIANGLE, TRIANGLE - torch.tensor([0, 0, 0.5])))
    faces = torch.tensor([[0, 1, 2], [3, 4, 5], [0, 0, 1], [3, 3, 3]])
    fragments = rasterize(verts[None], faces, 8, 8)
    assert set(fragments.face_BHW.unique().tolist()) == {-1, 1}
    assert torch.allclose(fragments.depth_N, torch.tensor(-0.5))


def test_pytorch3d_sees_the_same_or_says_that_it_is_missing() -> None:
    verts, faces = posed_head(0)
    try:
        from pytorch3d.renderer.mesh import rasterize_meshes  # noqa: F401
    except ImportError:
        with pytest.raises(DecaError, match="PyTorch3D"):
            rasterize(verts[None], faces, 64, 64, backend="pytorch3d")
        pytest.skip("PyTorch3D is not installed")
    for height, width in ((224, 224), (96, 160)):
        ours = rasterize(verts[None], faces, height, width)
        theirs = rasterize(verts[None], faces, height, width, backend="pytorch3d")
        assert (ours.face_BHW != theirs.face_BHW).sum() == 0
        assert torch.equal(ours.bary_3N, theirs.bary_3N)


class DocumentedPyTorch3D:
    """The parts of PyTorch3D that the backend uses, slowly, as its documentation describes them."""

    @staticmethod
    def Meshes(verts: torch.Tensor, faces: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return verts, faces

    @staticmethod
    def rasterize_meshes(
        meshes: tuple[torch.Tensor, torch.Tensor], image_size: tuple[int, int], **options: object
    ) -> tuple[torch.Tensor]:
        assert options["blur_radius"] == 0 and options["faces_per_pixel"] == 1 and not options["cull_backfaces"]
        height, width = image_size
        seen = []
        for picture, (verts, faces) in enumerate(zip(*meshes, strict=True)):
            assert (verts[:, 2] > 0).all(), "what is behind the camera is not drawn"
            # +x left and +y up, the shorter side spans [-1, 1]; our reference has x right and y down.
            flip = -min(height, width) / torch.tensor([width, height, -min(height, width)])
            face = reference((verts * flip).numpy(), faces.numpy(), height, width)
            seen.append(np.where(face >= 0, face + picture * len(faces), -1))
        return (torch.from_numpy(np.stack(seen))[..., None],)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (24, 40), (40, 24)])
def test_the_pytorch3d_backend_keeps_its_conventions(monkeypatch: pytest.MonkeyPatch, height: int, width: int) -> None:
    for name in ("pytorch3d", "pytorch3d.renderer", "pytorch3d.renderer.mesh", "pytorch3d.structures"):
        monkeypatch.setitem(sys.modules, name, DocumentedPyTorch3D)  # type: ignore[arg-type]
    meshes = [bumpy_sphere(seed, rings=12) for seed in range(2)]
    verts, faces = torch.stack([points for points, _ in meshes]), meshes[0][1]
    verts[1, 40] = torch.nan
    ours = rasterize(verts, faces, height, width)
    theirs = rasterize(verts, faces, height, width, backend="pytorch3d")
    assert ours.mask_BHW.sum() > 500
    assert (ours.face_BHW != theirs.face_BHW).sum() == 0
    assert torch.equal(ours.bary_3N, theirs.bary_3N)


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
