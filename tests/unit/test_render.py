"""The renderer, texture space and visibility: against pixel-by-pixel sums, rays, and each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deca.head import HeadModel, load_head
from deca.reconstruct.geometry import rotation
from deca.render.camera import Window, crop_pixels, photo_pixels, project, window_picture
from deca.render.lighting import SH_CONSTANTS, grey_light
from deca.render.renderer import Renderer, Surface
from deca.render.uv import photo_texture, texels_of, uv_mask, uv_raster, world2uv


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_head()


@pytest.fixture(scope="module")
def renderer(head: HeadModel) -> Renderer:
    return Renderer.of_head(head)


def scene(head: HeadModel, batch: int = 2, size: int = 32) -> tuple[torch.Tensor, ...]:
    """Turned heads, their projections, albedo textures and lights."""
    random = np.random.default_rng(0)
    turns = rotation(random.normal(0, 0.25, (batch, 3)))
    verts = torch.from_numpy(head.template_V3 @ turns.transpose(0, 2, 1)).float()
    camera = torch.from_numpy(np.column_stack((random.uniform(7, 9, batch), random.normal(0, 0.01, (batch, 2)))))
    generator = torch.Generator().manual_seed(0)
    albedo = torch.rand(batch, 3, size, size, generator=generator)
    light = torch.randn(batch, 9, 3, generator=generator)
    return verts, project(verts, camera.float()), albedo, light


def bilinear(texture_3NN: np.ndarray, u: float, v: float) -> np.ndarray:
    """Texture colour at (u, v), v up, texel centres at (index + 0.5) / N, zero outside."""
    size = texture_3NN.shape[1]
    x, y = u * size - 0.5, (1 - v) * size - 0.5
    total = np.zeros(3)
    for row in (int(np.floor(y)), int(np.floor(y)) + 1):
        for column in (int(np.floor(x)), int(np.floor(x)) + 1):
            if 0 <= row < size and 0 <= column < size:
                total += (1 - abs(y - row)) * (1 - abs(x - column)) * texture_3NN[:, row, column]
    return total


def test_pixels_are_albedo_times_shading(head: HeadModel, renderer: Renderer) -> None:
    """Fifty pixels of each picture, from their triangle and barycentrics on by hand."""
    verts, picture, albedo, light = scene(head)
    surface = renderer(verts, picture)
    rendering = surface.shade(albedo, light)
    face_BHW, bary_BHW3 = surface.fragments.face_BHW.numpy(), surface.fragments.bary_BHW3.double().numpy()
    normals = surface.vertex_normals_BV3.double().numpy()
    constants = np.array(SH_CONSTANTS)
    for index in range(2):
        rows, columns = np.nonzero(face_BHW[index] >= 0)
        assert len(rows) > 15000
        for row, column in zip(rows[:: len(rows) // 50], columns[:: len(rows) // 50], strict=True):
            face, bary = face_BHW[index, row, column], bary_BHW3[index, row, column]
            # Interpolated as grid coordinates: slivers' barycentrics do not quite sum to 1.
            column_at, row_at = bary @ (head.uv_T2[head.uv_faces_F3[face]] * 2 - 1)
            u, v = (column_at + 1) / 2, (row_at + 1) / 2
            x, y, z = normal = bary @ normals[index, head.faces_F3[face]]
            bands = np.array([1, x, y, z, x * y, x * z, y * z, x * x - y * y, 3 * z * z - 1])
            shading = (constants * bands) @ light[index].double().numpy()
            colour = bilinear(albedo[index].double().numpy(), u, v)
            assert np.allclose(rendering.normals_B3HW[index, :, row, column], normal, atol=1e-5)
            assert np.allclose(rendering.shading_B3HW[index, :, row, column], shading, atol=1e-4)
            assert np.allclose(rendering.albedo_B3HW[index, :, row, column], colour, atol=2e-4)
            assert np.allclose(rendering.image_B3HW[index, :, row, column], colour * shading, atol=1e-3)
    beside = (surface.alpha_B1HW == 0).expand(-1, 3, -1, -1)
    assert all((field[beside] == 0).all() for field in rendering)


def test_a_batch_equals_its_pictures_one_by_one(head: HeadModel, renderer: Renderer) -> None:
    verts, picture, albedo, light = scene(head, 3)
    uv_normals = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    together = renderer(verts, picture)
    coarse, detail = together.shade(albedo, light), together.shade(albedo, light, uv_normals)
    for index in range(3):
        one = slice(index, index + 1)
        alone = renderer(verts[one], picture[one])
        for ours, theirs in zip(alone.shade(albedo[one], light[one]), coarse, strict=True):
            assert torch.allclose(ours, theirs[one], atol=1e-5)
        assert torch.allclose(
            alone.shade(albedo[one], light[one], uv_normals[one]).image_B3HW, detail.image_B3HW[one], atol=1e-4
        )
        assert torch.equal(alone.clay(), together.clay()[one])
        assert torch.equal(alone.depth_B1HW, together.depth_B1HW[one])
        assert torch.equal(alone.visible_vertices(), together.visible_vertices()[one])


def test_one_albedo_and_one_light_serve_all_pictures(head: HeadModel, renderer: Renderer) -> None:
    verts, picture, albedo, light = scene(head)
    surface = renderer(verts, picture)
    shared = surface.shade(albedo[:1], light[:1]).image_B3HW
    repeated = surface.shade(albedo[:1].expand(2, -1, -1, -1), light[:1].expand(2, -1, -1)).image_B3HW
    assert torch.equal(shared, repeated)


def test_detail_shading_uses_the_texture_normals_where_the_pixels_are(head: HeadModel, renderer: Renderer) -> None:
    """With the coarse normals as UV map the detail rendering is the coarse one, but for the texture's resolution."""
    verts, picture, albedo, light = scene(head, 1)
    surface = renderer(verts, picture)
    uv_normals = world2uv(surface.vertex_normals_BV3, head, 512)
    coarse, detail = surface.shade(albedo, light), surface.shade(albedo, light, uv_normals)
    skin = surface.texture(uv_mask(head, "face", 512)[None, None]).expand(-1, 3, -1, -1) == 1
    assert skin.sum() > 20000
    difference = (coarse.normals_B3HW - detail.normals_B3HW)[skin].abs()
    assert difference.median() < 2e-3 and difference.quantile(0.99) < 0.05
    assert torch.equal(coarse.albedo_B3HW, detail.albedo_B3HW)


def test_texture_normals_count_where_they_are_asked_for(head: HeadModel, renderer: Renderer) -> None:
    """Up to the middle of the map none of them do, from there on all."""
    surface = renderer(*scene(head, 1)[:2])
    turned_1311 = torch.tensor([1.0, 0, 0])[None, :, None, None]
    right_11HW = torch.zeros(1, 1, 64, 64)
    right_11HW[..., 32:] = 1
    plain, turned, both = surface.clay(), surface.clay(turned_1311), surface.clay(turned_1311, right_11HW)
    u_11HW = surface.texture((torch.arange(64.0) / 64).expand(1, 1, 64, 64))
    seen_11HW = surface.alpha_B1HW > 0
    is_left, is_right = ((seen_11HW & side).expand(-1, 3, -1, -1) for side in (u_11HW < 0.45, u_11HW > 0.55))
    assert is_left.sum() > 1000 and is_right.sum() > 1000
    assert torch.equal(both[is_left], plain[is_left]) and torch.allclose(both[is_right], turned[is_right])


def test_an_empty_picture_is_black_and_differentiable(head: HeadModel, renderer: Renderer) -> None:
    verts, picture, albedo, light = scene(head)
    picture[1] += torch.tensor([5.0, 0, 0])  # only the second picture is empty
    picture.requires_grad_(), albedo.requires_grad_(), light.requires_grad_()
    for pictures in (slice(0, 2), slice(1, 2)):
        surface = renderer(verts[pictures], picture[pictures])
        rendering = surface.shade(albedo[pictures], light[pictures], torch.ones(1, 3, 8, 8))
        assert rendering.image_B3HW[-1].abs().sum() == 0 and surface.clay()[-1].sum() == 0
        assert not surface.visible_vertices()[-1].any()
        rendering.image_B3HW.sum().backward()
    assert all(tensor.grad.isfinite().all() for tensor in (picture, albedo, light))


def test_broken_vertices_do_not_crash(head: HeadModel, renderer: Renderer) -> None:
    verts, picture, albedo, light = scene(head)
    verts, picture = verts.clone(), picture.clone()
    verts[0, ::50], picture[0, ::50] = torch.nan, torch.nan
    picture[1] = torch.nan
    surface = renderer(verts, picture)
    assert 1000 < surface.alpha_B1HW[0].sum() and surface.alpha_B1HW[1].sum() == 0
    assert not surface.visible_vertices()[1].any()
    whole = renderer(*scene(head)[:2]).visible_vertices()
    assert whole[0].sum() > 1000
    surface.shade(albedo, light)


def loss_of(renderer: Renderer, camera: torch.Tensor, target: torch.Tensor, *leaves: torch.Tensor) -> torch.Tensor:
    verts, albedo, light = leaves
    return (renderer(verts, project(verts, camera), 40, 40).shade(albedo, light).image_B3HW * target).sum()


def test_gradients_equal_finite_differences(head: HeadModel) -> None:
    """Along random directions through everything, with smooth albedo: bilinear sampling has kinks at texel centres."""
    renderer = Renderer.of_head(head).double()
    verts, _, _, light = (tensor.double() for tensor in scene(head, 1))
    row, column = torch.meshgrid(*[torch.linspace(0, 1, 64, dtype=torch.float64)] * 2, indexing="ij")
    albedo = torch.stack((row, column, 1 - 0.5 * row))[None]
    camera = torch.tensor([[8.0, 0, 0]], dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)
    target = torch.randn(1, 3, 40, 40, generator=generator, dtype=torch.float64)
    leaves = [tensor.clone().requires_grad_() for tensor in (verts, albedo, light)]
    loss_of(renderer, camera, target, *leaves).backward()
    seen = renderer(verts, project(verts, camera), 40, 40).fragments.face_BHW
    checked = 0
    for which, step in ((0, 1e-9), (1, 1e-6), (2, 1e-6)):
        for _ in range(5):
            direction = torch.randn(leaves[which].shape, generator=generator, dtype=torch.float64)
            ends = []
            for sign in (1, -1):
                moved = [leaf.detach().clone() for leaf in leaves]
                moved[which] += sign * step * direction
                assert torch.equal(renderer(moved[0], project(moved[0], camera), 40, 40).fragments.face_BHW, seen)
                ends.append(loss_of(renderer, camera, target, *moved))
            slope = float(ends[0] - ends[1]) / (2 * step)
            assert (leaves[which].grad * direction).sum().item() == pytest.approx(slope, rel=1e-4, abs=1e-6)
            checked += 1
    assert checked == 15


# --- The photo ---


def test_the_head_is_drawn_where_it_is_on_the_photo(head: HeadModel, renderer: Renderer) -> None:
    """A window of the photo shows the very pixels of the whole photo, at the place that the crop says."""
    verts, picture, albedo, light = scene(head, 1)
    cos, sin = 0.7 * np.cos(0.3), 0.7 * np.sin(0.3)
    crop = torch.tensor([[[cos, -sin, 12.0], [sin, cos, -95.0], [0, 0, 1]]], dtype=torch.float64)
    pixels = photo_pixels(picture, crop)
    back = pixels.double() @ crop[:, :2, :2].transpose(1, 2) + crop[:, None, :2, 2]
    assert torch.allclose(back.float(), crop_pixels(picture), atol=1e-3)

    height, width = 420, 500
    window, whole = Window.around(pixels.numpy(), height, width), Window(0, 0, width, height)
    assert window.width * window.height < 0.6 * height * width
    part = renderer(verts, window_picture(picture, crop, window), window.height, window.width)
    full = renderer(verts, window_picture(picture, crop, whole), height, width)
    inside = window.cut(full.alpha_B1HW[0, 0].numpy())
    assert inside.sum() == full.alpha_B1HW.sum() > 20000
    assert (inside != part.alpha_B1HW[0, 0].numpy()).mean() < 1e-3
    ours = part.shade(albedo, light).shading_B3HW[0].permute(1, 2, 0).numpy()
    theirs = window.cut(full.shade(albedo, light).shading_B3HW[0].permute(1, 2, 0).numpy())
    assert np.quantile(np.abs(ours - theirs), 0.99) < 1e-3
    rows, columns = np.nonzero(full.alpha_B1HW[0, 0].numpy())
    assert abs(columns.min() + 0.5 - float(pixels[..., 0].min())) < 1.5
    assert abs(rows.max() + 0.5 - float(pixels[..., 1].max())) < 1.5


def test_windows_stay_on_the_photo() -> None:
    assert Window.around(np.array([[-50.0, 20.0], [30.2, 900.0]]), 100, 200) == Window(0, 18, 33, 82)
    assert Window.around(np.array([[500.0, -80.0]]), 100, 200) == Window(199, 0, 1, 1)
    odd = Window.around(np.full((3, 2), np.nan), 100, 200)
    assert odd.width >= 1 and odd.height >= 1


# --- Visibility ---


def hidden_by_rays(verts_V3: np.ndarray, faces_F3: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Whether a ray from each wanted vertex towards the camera (along +z) meets a triangle that is not its own."""
    corners = verts_V3[faces_F3].astype(np.float64)
    (ax, ay), (bx, by), (cx, cy) = (corners[:, k, :2].T for k in range(3))
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    usable = np.abs(area) > 1e-12
    area = np.where(usable, area, 1)
    hidden = np.zeros(len(wanted), bool)
    for place, vertex in enumerate(wanted):
        x, y, z = verts_V3[vertex]
        w1 = ((x - ax) * (cy - ay) - (y - ay) * (cx - ax)) / area
        w2 = ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) / area
        w0 = 1 - w1 - w2
        height = w0 * corners[:, 0, 2] + w1 * corners[:, 1, 2] + w2 * corners[:, 2, 2]
        meets = (w0 > 0) & (w1 > 0) & (w2 > 0) & usable & (height > z + 1e-5) & (faces_F3 != vertex).all(1)
        hidden[place] = meets.any()
    return hidden


def test_visible_vertices_are_those_that_rays_reach(head: HeadModel, renderer: Renderer) -> None:
    verts, picture, _, _ = scene(head, 2)
    for index in range(2):
        surface: Surface = renderer(verts[index : index + 1], picture[index : index + 1])
        visible = surface.visible_vertices()[0].numpy()
        facing = surface.vertex_normals_BV3[0, :, 2].numpy() > 0
        on_picture = (picture[index, :, :2].abs() <= 1).all(1).numpy()
        assert not visible[~facing | ~on_picture].any()
        wanted = np.flatnonzero(facing & on_picture)[::3]
        reached = ~hidden_by_rays(verts[index].numpy(), head.faces_F3, wanted)
        assert 0.3 < reached.mean() < 0.99
        assert (visible[wanted] == reached).mean() > 0.965
        assert visible[wanted][reached].mean() > 0.995


# --- Texture space ---


def test_world2uv_equals_the_sparse_sum(head: HeadModel) -> None:
    random = np.random.default_rng(0)
    attributes = random.normal(size=(3, head.num_verts, 4)).astype(np.float32)
    found = world2uv(torch.from_numpy(attributes), head, 128)
    assert found.shape == (3, 4, 128, 128)
    texels = texels_of(head, 128)
    for index in range(3):
        assert np.allclose(found[index].permute(1, 2, 0), texels.interpolate(attributes[index]), atol=1e-5)


def test_world2uv_lies_on_the_right_texels(head: HeadModel) -> None:
    """Texture coordinates themselves, where the UV map has no seam: u right, v up."""
    uv_V2 = np.zeros((head.num_verts, 2), np.float32)
    uv_V2[head.faces_F3.ravel()] = head.uv_T2[head.uv_faces_F3.ravel()]
    u_HW, v_HW = world2uv(torch.from_numpy(uv_V2)[None], head, 256)[0]
    centres = (torch.arange(256) + 0.5) / 256
    without_seam_F = (uv_V2[head.faces_F3] == head.uv_T2[head.uv_faces_F3]).all((1, 2))
    fragments = uv_raster(head, 256).fragments
    inside = fragments.mask_BHW[0] & torch.from_numpy(without_seam_F)[fragments.face_BHW[0]]
    assert inside.sum() > 50000
    assert torch.allclose(u_HW[inside], centres.expand(256, 256)[inside], atol=1e-4)
    assert torch.allclose(v_HW[inside], (1 - centres)[:, None].expand(256, 256)[inside], atol=1e-4)


@pytest.mark.parametrize("size", [64, 100, 256])
def test_every_texel_inside_a_triangle_is_covered(head: HeadModel, size: int) -> None:
    """In double precision, edges included, so that neighbours leave no holes between them."""
    u, v = (np.arange(size) + 0.5) / size, 1 - (np.arange(size) + 0.5) / size
    expected = np.zeros((size, size), bool)
    for (ax, ay), (bx, by), (cx, cy) in head.uv_T2[head.uv_faces_F3].astype(np.float64):
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        columns = np.flatnonzero((u >= min(ax, bx, cx)) & (u <= max(ax, bx, cx)))
        rows = np.flatnonzero((v >= min(ay, by, cy)) & (v <= max(ay, by, cy)))
        if len(columns) == 0 or len(rows) == 0 or area == 0:
            continue
        x, y = u[None, columns], v[rows, None]
        w1 = ((x - ax) * (cy - ay) - (y - ay) * (cx - ax)) / area
        w2 = ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) / area
        expected[np.ix_(rows, columns)] |= (w1 >= 0) & (w2 >= 0) & (w1 + w2 <= 1)
    covered = uv_raster(head, size).covered_HW.numpy()
    assert expected.mean() > 0.85
    assert not (expected & ~covered).any()
    assert (covered & ~expected).sum() <= size // 10  # within rounding of an island's edge


def test_the_far_side_does_not_show_through_the_edges_between_triangles() -> None:
    """The diagonal of the near square runs through pixel centres; behind it is another that faces away."""
    square = torch.tensor([[-0.5, -0.5, 0.0], [0.5, -0.5, 0.0], [0.5, 0.5, 0.0], [-0.5, 0.5, 0.0]])
    picture = torch.cat((square, square + torch.tensor([0.0, 0.0, 1.0])))[None]
    faces = torch.tensor([[0, 2, 1], [0, 3, 2], [4, 5, 6], [4, 6, 7]])
    surface = Renderer(faces, torch.zeros(8, 2), faces)(picture * torch.tensor([1.0, -1.0, -1.0]), picture, 16, 16)
    assert (surface.alpha_B1HW[..., 4:12, 4:12] == 1).all() and surface.alpha_B1HW.sum() == 64
    assert torch.allclose(surface.normals_B3HW[0, 2, 4:12, 4:12], torch.ones(8, 8))
    assert surface.depth_B1HW.abs().max() < 1e-6


def test_world2uv_keeps_gradients_even_when_first_used_in_inference_mode(head: HeadModel) -> None:
    with torch.inference_mode():
        world2uv(torch.zeros(1, head.num_verts, 1), head, 37)
    attributes = torch.randn(1, head.num_verts, 2, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(1, 2, 37, 37, dtype=torch.float64)
    (world2uv(attributes, head, 37) * weight).sum().backward()
    # The map is linear: the gradient times the attributes is the value.
    value = (world2uv(attributes, head, 37) * weight).sum()
    assert (attributes.grad * attributes).sum().item() == pytest.approx(value.item(), rel=1e-9)


def test_the_photos_texture_is_the_albedo_that_was_rendered(head: HeadModel, renderer: Renderer) -> None:
    verts, picture, _, _ = scene(head, 2)
    row, column = torch.meshgrid(*[torch.linspace(0, 1, 256)] * 2, indexing="ij")
    albedo = torch.stack((row, column, 0.5 + 0.3 * torch.sin(20 * row)))[None].expand(2, -1, -1, -1)
    surface = renderer(verts, picture, 512, 512)
    photo = surface.shade(albedo, grey_light(2)).image_B3HW.requires_grad_()
    points = picture.clone().requires_grad_()
    texture, shown = photo_texture(photo, points, surface.vertex_normals_BV3, surface.fragments, head)
    assert texture.shape == (2, 3, 256, 256) and set(shown.unique().tolist()) == {0.0, 1.0}
    face = (uv_mask(head, "face") == 1) & (shown[:, 0] == 1)
    assert face.flatten(1).sum(1).min() > 8000
    for index in range(2):
        error = (texture[index] - albedo[index])[:, face[index]].abs()
        assert error.median() < 3e-3 and error.quantile(0.95) < 0.03
    assert (texture * (1 - shown)).abs().sum() == 0
    assert not shown[..., ~uv_raster(head, 256).covered_HW].any()
    texture.sum().backward()
    assert photo.grad.abs().sum() > 0 and points.grad.isfinite().all() and points.grad.abs().sum() > 0
