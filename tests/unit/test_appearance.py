"""The unwrap closed in a loop: a head with a known texture is rendered to a photo, and unwrapping must return it."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from deca.appearance import skin, unwrap_photo
from deca.appearance.blend import push_pull, shrink_mask
from deca.appearance.eyes import DEFAULT_IRIS, LEFT_EYE, RIGHT_EYE, EyePixels, eye_pixels, iris_colour
from deca.appearance.sampling import view_surface
from deca.appearance.white import White, white_of
from deca.head.model import HeadModel, Part, load_head
from deca.render.rasterizer import Fragments, interpolate, rasterize
from deca.render.uv import texels_of

MAGENTA = (255, 0, 255)
PHOTO = 900


# --- A small stand-in head: an ellipsoid with a nose, two eyeballs, and a mirror-symmetric texture ---


def _grid_head() -> HeadModel:
    columns, rows = 64, 48  # around (cut at the back), from bottom to top
    azimuth = np.linspace(-np.pi, np.pi, columns + 1)
    polar = np.linspace(-np.pi / 2, np.pi / 2, rows + 1)
    az, po = np.meshgrid(azimuth, polar)
    nose = 0.03 * np.exp(-((az / 0.22) ** 2) - ((po / 0.3) ** 2))
    x = 0.075 * np.sin(az) * np.cos(po)
    y = 0.11 * np.sin(po)
    z = 0.095 * np.cos(az) * np.cos(po) + nose
    grid_T3 = np.stack((x, y, z), -1).reshape(-1, 3)
    uv_T2 = np.stack((0.04 + 0.92 * (az + np.pi) / (2 * np.pi), 0.02 + 0.8 * (po + np.pi / 2) / np.pi), -1).reshape(
        -1, 2
    )

    def at(row, column):
        return row * (columns + 1) + column

    quads = [(at(r, c), at(r, c + 1), at(r + 1, c + 1), at(r + 1, c)) for r in range(rows) for c in range(columns)]
    # Mirror-consistent diagonals; the poles' triangles are left degenerate-free by leaving out their zero edges.
    triangles = []
    for index, (a, b, c, d) in enumerate(quads):
        row, left = index // columns, index % columns < columns // 2
        pair = [(a, b, c), (a, c, d)] if left else [(a, b, d), (b, c, d)]
        keep = pair
        if row == 0:
            keep = [(b, c, d)] if not left else [(a, c, d)]
        if row == rows - 1:
            keep = [(a, b, c)] if left else [(a, b, d)]
        triangles += keep
    faces_T = np.array(triangles)
    mirror_T = np.array([at(r, columns - c) for r in range(rows + 1) for c in range(columns + 1)])
    # The cut's two columns are one column of vertices.
    vertex_of = np.arange(len(grid_T3))
    for r in range(rows + 1):
        vertex_of[at(r, columns)] = at(r, 0)
    used = np.unique(vertex_of)
    new = np.full(len(grid_T3), -1)
    new[used] = np.arange(len(used))
    vertex_of = new[vertex_of]
    verts, faces, mirror = grid_T3[used], vertex_of[faces_T], vertex_of[mirror_T][used]
    uv, uv_faces, parts = uv_T2, faces_T, np.zeros(len(verts), np.uint8)

    eye = _eyeball()
    for part, side in ((Part.EYE_L, 1), (Part.EYE_R, -1)):
        first, first_uv = len(verts), len(uv)
        local, local_faces = eye
        local = local * (side, 1, 1)
        local_faces = local_faces if side > 0 else local_faces[:, ::-1]
        verts = np.concatenate((verts, local + np.array((0.028 * side, 0.03, 0.05))))
        flat = local[:, :2] / 0.012 * 0.4 * np.where(local[:, 2:] >= 0, 1, 1.8)
        uv = np.concatenate((uv, np.array((0.5 + 0.35 * side, 0.91)) + 0.08 * flat))
        faces = np.concatenate((faces, local_faces + first))
        uv_faces = np.concatenate((uv_faces, local_faces + first_uv))
        parts = np.concatenate((parts, np.full(len(local), part, np.uint8)))
        mirror = np.concatenate((mirror, np.arange(len(local)) + first + side * len(local)))
    count = len(verts)
    rows_512 = (np.arange(512) + 0.5) / 512
    u, v = np.meshgrid(rows_512, 1 - rows_512)
    face_mask = ((np.abs(u - 0.5) < 0.24) & (np.abs(v - 0.42) < 0.24)).astype(np.uint8) * 255
    return HeadModel(
        name="stand-in",
        hash="stand-in",
        template_V3=verts.astype(np.float32),
        faces_F3=faces,
        shape_dirs_V3S=np.zeros((count, 3, 300), np.float32),
        expression_dirs_V3E=np.zeros((count, 3, 100), np.float32),
        pose_dirs_V3P=np.zeros((count, 3, 36), np.float32),
        joint_regressor_JV=np.full((5, count), 1 / count, np.float32),
        parents=(-1, 0, 1, 1, 1),
        skin_weights_VJ=np.full((count, 5), 0.2, np.float32),
        uv_T2=uv.astype(np.float32),
        uv_faces_F3=uv_faces,
        parts_V=parts,
        mirror_V=mirror,
        masks={"face": face_mask, "scalp": ((v > 0.7) & (v < 0.83)).astype(np.uint8) * 255},
    )


def _eyeball() -> tuple[np.ndarray, np.ndarray]:
    """The front half and a little more of a 24 mm sphere, pole forward: vertices (K, 3) and triangles."""
    rings, around = 8, 16
    points, triangles = [(0.0, 0.0, 0.012)], []
    for ring in range(1, rings + 1):
        theta = ring / rings * np.pi / 2
        for step in range(around):
            phi = 2 * np.pi * step / around
            points.append(
                (
                    0.012 * np.sin(theta) * np.cos(phi),
                    0.012 * np.sin(theta) * np.sin(phi),
                    0.012 * np.cos(theta),
                )
            )
    for step in range(around):
        triangles.append((0, 1 + step, 1 + (step + 1) % around))
        for ring in range(rings - 1):
            a, b = 1 + ring * around + step, 1 + ring * around + (step + 1) % around
            triangles += [(a, a + around, b + around), (a, b + around, b)]
    return np.array(points), np.array(triangles)


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return _grid_head()


# --- Rendering the photo ---


def known_skin(uv_2) -> np.ndarray:
    """A skin-like colour (..., 3) in [0, 255] for every texture coordinate, different left and right."""
    u, v = uv_2[..., 0], uv_2[..., 1]
    wave = np.sin(2 * np.pi * 7 * u + 1) * np.cos(2 * np.pi * 6 * v) + 0.5 * np.sin(2 * np.pi * 23 * (u + v))
    return np.stack((196 + 9 * wave + 10 * (u - 0.5), 150 + 7 * wave, 128 + 6 * wave), -1)


def turn(verts_V3: np.ndarray, yaw: float) -> np.ndarray:
    """The head turned to its left by `yaw` degrees."""
    c, s = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    return verts_V3 @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]).T


def turn_down(pitch: float) -> np.ndarray:
    """Rotation that bows the head by `pitch` degrees."""
    c, s = np.cos(np.radians(pitch)), np.sin(np.radians(pitch))
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


TO_PHOTO = np.array([[3200.0, 0, 0, PHOTO / 2], [0, -3200.0, 0, PHOTO / 2]])


def look(head: HeadModel, verts_V3: np.ndarray) -> Fragments:
    """What every pixel of the photo sees."""
    xy = (verts_V3 @ TO_PHOTO[:, :3].T + TO_PHOTO[:, 3]) / (PHOTO / 2) - 1
    picture = np.column_stack((xy, -verts_V3[:, 2])).astype(np.float32)
    return rasterize(torch.from_numpy(picture)[None], torch.from_numpy(head.faces_F3), PHOTO, PHOTO)


def render_known(head: HeadModel, verts_V3: np.ndarray) -> np.ndarray:
    """A photo of the head wearing `known_skin`, before a magenta background."""
    fragments = look(head, verts_V3)
    corners = torch.from_numpy(head.uv_faces_F3)
    uv = interpolate(torch.from_numpy(head.uv_T2)[None], corners, fragments)[0].numpy()
    photo = known_skin(uv)
    photo[fragments.face_BHW[0].numpy() < 0] = MAGENTA
    return np.clip(np.round(photo), 0, 255).astype(np.uint8)


def magenta_share(picture: np.ndarray) -> float:
    """Share of the pixels leaning to magenta: red and blue both far above green."""
    red, green, blue = picture.astype(int).transpose(2, 0, 1)
    return float(((blue - green > 25) & (red - green > 60)).mean())


def texture_coordinates(size: int) -> np.ndarray:
    axis = (np.arange(size) + 0.5) / size
    return np.stack(np.meshgrid(axis, 1 - axis), -1)


def albedo_of(*arguments, **options) -> np.ndarray:
    return unwrap_photo(*arguments, **options).albedo_NN3


# --- Closed loop ---


@pytest.mark.parametrize("yaw", [0, 25, -30])
def test_visible_texels_return_the_known_texture(head, yaw):
    verts = turn(head.template_V3.astype(float), yaw)
    size = 1024
    texture = albedo_of(render_known(head, verts), verts, TO_PHOTO, head, size)

    view = view_surface(texels_of(head, size), verts, TO_PHOTO)
    mask = cv2.resize(head.masks["face"], (size, size)) > 250
    inner = shrink_mask(mask & view.visible_HW & (view.facing_HW > 0.5), 24) > 0.999
    assert inner.sum() > 50_000
    error = np.abs(texture.astype(float) - known_skin(texture_coordinates(size)))[inner]
    assert error.mean() < 2
    assert np.percentile(error, 99) < 6


@pytest.mark.parametrize("yaw", [0, 25, -30, 60])
def test_background_never_reaches_the_texture(head, yaw):
    verts = turn(head.template_V3.astype(float), yaw)
    photo = render_known(head, verts)
    assert magenta_share(photo) > 0.2
    assert magenta_share(albedo_of(photo, verts, TO_PHOTO, head, 512)) == 0


def test_background_does_not_leak_when_the_fit_is_too_wide(head):
    photo = render_known(head, head.template_V3.astype(float))
    too_wide = head.template_V3 * np.array((1.12, 1.05, 1.0))
    assert magenta_share(albedo_of(photo, too_wide, TO_PHOTO, head, 512)) == 0


def test_visibility_agrees_with_what_every_pixel_sees(head):
    """Brute force: a texel is visible if the triangle at its photo pixel is its own or a neighbour of it."""
    verts = turn(head.template_V3.astype(float), 30)
    texels = texels_of(head, 512)
    view = view_surface(texels, verts, TO_PHOTO)
    seen = look(head, verts).face_BHW[0].numpy()
    pixel = np.floor(view.pixels_HW2).astype(int)
    rows, columns = np.nonzero(
        texels.covered_HW & (np.abs(view.facing_HW) > 0.3) & (pixel >= 0).all(-1) & (pixel < PHOTO).all(-1)
    )
    at = pixel[rows, columns]
    seen_corners = head.faces_F3[seen[at[:, 1], at[:, 0]]]
    own_corners = head.faces_F3[texels.face_HW[rows, columns]]
    shares_corner = (seen_corners[:, :, None] == own_corners[:, None, :]).any((1, 2)) & (seen[at[:, 1], at[:, 0]] >= 0)
    expected = shares_corner & (view.facing_HW[rows, columns] > 0)
    assert (expected == view.visible_HW[rows, columns]).mean() > 0.995


def test_unseen_half_is_mirrored_from_the_seen_one(head):
    verts = turn(head.template_V3.astype(float), 50)
    size = 512
    texture = albedo_of(render_known(head, verts), verts, TO_PHOTO, head, size).astype(float)
    texels = texels_of(head, size)
    view = view_surface(texels, verts, TO_PHOTO)
    mask = cv2.erode(head.masks["face"], None, iterations=12) > 250
    unseen = mask & (view.facing_HW < 0) & (view.facing_HW[:, ::-1] > 0.6)
    assert unseen.sum() > 1000
    detail = texture - cv2.GaussianBlur(texture, (0, 0), 10)
    own, other = detail[unseen].ravel(), detail[:, ::-1][unseen].ravel()
    assert np.corrcoef(own, other)[0, 1] > 0.95


def test_an_occluder_is_replaced_by_skin(head):
    verts = head.template_V3.astype(float)
    photo = render_known(head, verts)
    clean = albedo_of(photo, verts, TO_PHOTO, head, 512).astype(float)
    covered = photo.copy()
    covered[250:330, 500:560] = (20, 60, 40)
    texture = albedo_of(covered, verts, TO_PHOTO, head, 512).astype(float)
    assert texture.min(axis=-1)[200:400, 150:350].min() > 60
    assert np.abs(texture - clean)[200:400, 150:350].max() < 60


def test_no_seam_between_photo_and_painted_skin(head):
    """A photo darker and redder on the right: steps between neighbouring texels stay small everywhere on the skin."""
    verts = head.template_V3.astype(float)
    photo = render_known(head, verts).astype(float)
    photo[..., :] *= np.linspace(0.75, 1.15, PHOTO)[None, :, None]
    texture = albedo_of(np.clip(photo, 0, 255).astype(np.uint8), verts, TO_PHOTO, head, 512).astype(float)
    on_skin = texels_of(head, 512).interpolate((head.parts_V == Part.SKIN).astype(np.float32)) > 0.99
    step = np.abs(np.diff(texture, axis=1)).max(-1)
    assert step[on_skin[:, 1:] & on_skin[:, :-1]].max() < 16
    cut = texture[on_skin.any(1)][:, [21, -22]]  # first and last column of the skin's island
    assert np.abs(cut[:, 0] - cut[:, 1]).mean() < 4


def test_photo_that_misses_the_head_gives_plain_skin(head):
    verts = head.template_V3.astype(float) + np.array((5.0, 0, 0))
    texture = albedo_of(np.full((60, 80, 3), MAGENTA, np.uint8), verts, TO_PHOTO, head, 512)
    assert magenta_share(texture) == 0
    assert np.abs(texture[300, 256] / 255 - skin.DEFAULT_SKIN).max() < 0.08


def test_same_input_gives_the_same_texture(head):
    verts = head.template_V3.astype(float)
    photo = render_known(head, verts)
    first, second = (albedo_of(photo, verts, TO_PHOTO, head, 512) for _ in range(2))
    assert np.array_equal(first, second)


def test_large_photos_do_not_alias(head):
    """A photo with a one-pixel checker on it, four pixels to the texel: the texture shows its mean."""
    verts = head.template_V3.astype(float)
    checker = (np.indices((3600, 3600)).sum(0) % 2)[..., None]
    photo = np.where(checker, (220, 170, 150), (180, 140, 120)).astype(np.uint8)
    texture = albedo_of(photo, verts, TO_PHOTO * 4, head, 512).astype(float)
    assert np.abs(texture[250:330, 220:290] - (200, 155, 135)).max() < 6


@pytest.mark.parametrize(
    "change",
    [
        dict(size=700),
        dict(photo_pixels=np.zeros((9, 9), np.uint8)),
        dict(to_photo=np.eye(3)),
        dict(verts_V3=np.zeros((4, 3))),
    ],
)
def test_wrong_input_is_refused(head, change):
    arguments = dict(
        photo_pixels=np.zeros((9, 9, 3), np.uint8), verts_V3=head.template_V3, to_photo=TO_PHOTO, head=head, size=512
    )
    with pytest.raises(ValueError):
        unwrap_photo(**(arguments | change))


# --- The same on the embedded head ---


@pytest.fixture(scope="module")
def openhead() -> HeadModel:
    return load_head()


@pytest.mark.parametrize("yaw", [0, 30])
def test_openhead_returns_the_known_texture_and_no_background(openhead, yaw):
    verts = turn(openhead.template_V3.astype(float), yaw)
    size = 1024
    texture = albedo_of(render_known(openhead, verts), verts, TO_PHOTO, openhead, size)
    assert magenta_share(texture) == 0

    texels = texels_of(openhead, size)
    view = view_surface(texels, verts, TO_PHOTO)
    on_skin = texels.interpolate((openhead.parts_V == Part.SKIN).astype(np.float32)) > 0.99
    inner = on_skin & view.visible_HW & (view.facing_HW > 0.55)
    for name, inside in (("face", True), ("eyelids", False), ("mouth", False), ("scalp", False)):
        mask = cv2.resize(openhead.masks[name], (size, size)) > 25
        inner &= mask if inside else ~mask
    inside_hull = landmark_hull(openhead, verts)
    pixel = np.clip(view.pixels_HW2, 0, PHOTO - 1).astype(int)
    inner &= inside_hull[pixel[..., 1], pixel[..., 0]] > 0
    inner = shrink_mask(inner, 24) > 0.999
    assert inner.sum() > 40_000
    error = np.abs(texture.astype(float) - known_skin(texture_coordinates(size)))[inner]
    assert error.mean() < 2


def landmark_hull(head: HeadModel, verts_V3: np.ndarray) -> np.ndarray:
    """The part of the photo well inside the landmarks' hull, uint8."""
    points = head.landmarks_478.positions(verts_V3, head.faces_F3) @ TO_PHOTO[:, :3].T + TO_PHOTO[:, 3]
    hull = cv2.convexHull(points.astype(np.float32))[:, 0]
    hull = hull.mean(0) + 0.9 * (hull - hull.mean(0))
    return cv2.fillPoly(np.zeros((PHOTO, PHOTO), np.uint8), [hull.astype(np.int32)], 1)


def test_eyes_on_the_photo_do_not_reach_the_lids(openhead):
    """Eyeballs painted green on the photo: no skin texel may turn green, even if the photo's eyes are wider open."""
    verts = openhead.template_V3.astype(float)
    photo = render_known(openhead, verts)
    points = openhead.landmarks_478.positions(verts, openhead.faces_F3) @ TO_PHOTO[:, :3].T + TO_PHOTO[:, 3]
    for eye in (RIGHT_EYE, LEFT_EYE):
        lids = points[list(eye)]
        points[list(eye)] = lids.mean(0) + (lids - lids.mean(0)) * (1, 1.3)
        cv2.fillPoly(photo, [np.round(points[list(eye)]).astype(np.int32)], (0, 255, 0))
    texture = albedo_of(photo, verts, TO_PHOTO, openhead, 1024, landmarks_L2=points).astype(int)
    on_skin = texels_of(openhead, 1024).interpolate((openhead.parts_V == Part.SKIN).astype(np.float32)) > 0.99
    greenness = texture[..., 1] - texture[..., 0]
    assert greenness[on_skin].max() < 0


def test_openhead_eyes_look_forward(openhead):
    """Rendered from the front, the middle of each eyeball is dark (pupil) with a ring of iris around it."""
    verts = openhead.template_V3.astype(float)
    texture = albedo_of(render_known(openhead, verts), verts, TO_PHOTO, openhead, 1024)
    eyes_only = openhead.faces_F3[np.isin(openhead.parts_V[openhead.faces_F3[:, 0]], (Part.EYE_L, Part.EYE_R))]
    uv_faces = openhead.uv_faces_F3[np.isin(openhead.parts_V[openhead.faces_F3[:, 0]], (Part.EYE_L, Part.EYE_R))]
    seen = look(replace(openhead, faces_F3=eyes_only), verts)
    uv = interpolate(torch.from_numpy(openhead.uv_T2)[None], torch.from_numpy(uv_faces), seen)[0].numpy()
    for part in (Part.EYE_L, Part.EYE_R):
        ball = verts[openhead.parts_V == part]
        x, y = ((ball.max(0) + ball.min(0)) / 2) @ TO_PHOTO[:, :3].T + TO_PHOTO[:, 3]

        def colour_at(column, row):
            u, v = uv[round(row), round(column)]
            return texture[int((1 - v) * 1024), int(u * 1024)].astype(int)

        assert colour_at(x, y).max() < 40
        assert 40 < colour_at(x + 0.004 * 3200, y).max() < 150
        assert colour_at(x + 0.009 * 3200, y).min() > 120


# --- Eyes ---


def test_eyeballs_show_pupil_iris_and_sclera(head):
    verts = head.template_V3.astype(float)
    texture = albedo_of(render_known(head, verts), verts, TO_PHOTO, head, 512).astype(int)
    for side in (-1, 1):
        row, column = round((1 - 0.91) * 512), round((0.5 + 0.35 * side) * 512)
        assert texture[row, column].max() < 40
        iris = texture[row, column + round(0.35 * 0.4 * 0.08 * 512)]
        sclera = texture[row, column + round(0.8 * 0.4 * 0.08 * 512)]
        assert 40 < iris.max() < 140
        assert sclera.min() > 150


@pytest.mark.parametrize("colour", [(70, 45, 25), (95, 130, 160), (100, 120, 70)])
def test_iris_colour_is_read_from_the_photo(colour):
    photo = np.full((400, 600, 3), (200, 160, 140), np.uint8)
    landmarks = np.zeros((478, 2))
    for (centre_x, first), lids in zip(((180, 468), (420, 473)), (range(16), range(16)), strict=True):
        centre = np.array((centre_x, 200.0))
        cv2.ellipse(photo, (centre_x, 200), (60, 30), 0, 0, 360, (235, 230, 228), -1)
        cv2.circle(photo, (centre_x, 200), 22, colour, -1)
        cv2.circle(photo, (centre_x, 200), 8, (8, 8, 8), -1)
        cv2.circle(photo, (centre_x + 8, 192), 4, (255, 255, 255), -1)
        landmarks[first] = centre
        landmarks[first + 1 : first + 5] = centre + 22 * np.array(((1, 0), (0, -1), (-1, 0), (0, 1)))
        contour = RIGHT_EYE if first == 468 else LEFT_EYE
        angle = np.pi - 2 * np.pi * np.array(list(lids)) / 16
        landmarks[list(contour)] = centre + np.stack((60 * np.cos(angle), 30 * np.sin(angle)), -1)
    assert np.abs(iris_colour(eye_pixels(photo, landmarks)) * 255 - colour).max() < 12


@pytest.mark.parametrize("colour", [(150, 60, 45), (190, 120, 40), (110, 60, 130), (200, 160, 140)])
@pytest.mark.parametrize("radius", [3.5, 20])
def test_no_iris_is_red_orange_purple_or_skin(colour, radius):
    pixels = np.full((40, 3), colour, np.float32) / 255
    hue, saturation, value = cv2.cvtColor(
        iris_colour(EyePixels(pixels, pixels[:0], radius))[None, None], cv2.COLOR_RGB2HSV
    )[0, 0]
    is_brown, is_blue = 15 < hue < 60 and value < 0.55, 180 < hue < 230
    assert is_brown or is_blue or saturation < 0.25, (hue, saturation, value)


def test_few_pixels_make_irises_brown():
    blue = np.full((40, 3), (95, 130, 160), np.float32) / 255
    seen = [iris_colour(EyePixels(blue, blue[:0], radius)) for radius in (2, 4, 20)]
    assert np.allclose(seen[0], DEFAULT_IRIS, atol=0.01)
    assert seen[0][2] < seen[1][2] < seen[2][2]
    assert np.array_equal(iris_colour(EyePixels(blue[:5], blue[:0], 20)), DEFAULT_IRIS)


@pytest.mark.parametrize("light", [(1.0, 1.0, 1.0), (1.15, 1.0, 0.8), (0.9, 1.0, 1.2)])
def test_white_is_told_from_the_eyes_and_the_skin(light):
    """A blue iris in warm and in cold light has the colour that it has in white light."""
    light = np.array(light, np.float32)
    sclera = np.tile(np.array((0.7, 0.68, 0.66), np.float32) * light, (60, 1))
    lab = skin.to_lab(np.array((0.68, 0.52, 0.43), np.float32) * light)
    white = white_of(sclera, 15, lab)
    assert np.abs(white.tint_3 - light / light.mean()).max() < 0.06
    iris = np.tile(np.array((0.36, 0.43, 0.52), np.float32) * light, (60, 1))
    plain = iris_colour(EyePixels(iris / light, sclera, 15), White(np.ones(3, np.float32), white.exposure))
    assert np.abs(iris_colour(EyePixels(iris, sclera, 15), white) - plain).max() < 0.06


@pytest.mark.parametrize("colour", [(0.72, 0.53, 0.43), (0.25, 0.13, 0.11)])
def test_lids_and_lashes_are_not_taken_for_white(colour):
    lids = np.tile(np.array(colour, np.float32), (60, 1))
    lab = skin.to_lab(np.array((0.75, 0.58, 0.48), np.float32))
    seen, unseen = white_of(lids, 15, lab), white_of(lids[:0], 15, lab)
    assert np.array_equal(seen.tint_3, unseen.tint_3) and seen.exposure == unseen.exposure


def test_the_photos_light_is_in_one_texture_and_not_in_the_other(head):
    """Lit from one side: the photographed texture returns the photo's colours, the albedo has less difference."""
    verts = head.template_V3.astype(float)
    photo = render_known(head, verts).astype(float)
    photo *= np.linspace(0.75, 1.15, PHOTO)[None, :, None]
    texture = unwrap_photo(np.clip(photo, 0, 255).astype(np.uint8), verts, TO_PHOTO, head, 1024)
    view = view_surface(texels_of(head, 1024), verts, TO_PHOTO)
    mask = cv2.resize(head.masks["face"], (1024, 1024)) > 250
    inner = shrink_mask(mask & view.visible_HW & (view.facing_HW > 0.5), 24) > 0.999
    light = np.interp(view.pixels_HW2[..., 0], np.arange(PHOTO) + 0.5, np.linspace(0.75, 1.15, PHOTO))
    known = known_skin(texture_coordinates(1024))
    error = np.abs(texture.photographed_NN3 - known * light[..., None])[inner]
    assert error.mean() < 2 and np.percentile(error, 99) < 6
    slopes = [
        np.polyfit(light[inner], (image / known)[inner].mean(-1), 1)[0]
        for image in (texture.photographed_NN3, texture.albedo_NN3)
    ]
    assert slopes[0] > 0.9 and slopes[1] < 0.7 * slopes[0]


# --- Pieces ---


def test_push_pull_keeps_known_values_and_extends_them_smoothly():
    x = np.linspace(0, 1, 64, dtype=np.float32)
    ramp = np.broadcast_to(x, (64, 64))[..., None].copy()
    weight = np.ones((64, 64), np.float32)
    weight[20:44, 20:44] = 0
    filled = push_pull(ramp, weight)[..., 0]
    assert np.abs(filled - ramp[..., 0])[weight > 0].max() < 1e-6
    assert np.abs(filled - ramp[..., 0])[weight == 0].max() < 0.15


def test_hair_is_painted_on_a_haired_scalp_only(head):
    """A photo with a dark cap of hair gives a dark back of the head; the same photo without it a bare one."""
    verts = head.template_V3.astype(float) @ turn_down(25).T
    bare = render_known(head, verts)
    uv = interpolate(torch.from_numpy(head.uv_T2)[None], torch.from_numpy(head.uv_faces_F3), look(head, verts))[
        0
    ].numpy()
    haired = bare.copy()
    on_scalp = (uv[..., 1] > 0.66) & (uv[..., 1] < 0.83) & (bare[..., 2] < 250)
    haired[on_scalp] = (60, 42, 30)
    back_of_head = np.s_[round((1 - 0.76) * 512), 40:80]
    assert on_scalp.sum() > 5000
    with_hair = albedo_of(haired, verts, TO_PHOTO, head, 512, paint_hair=True)[back_of_head]
    without = albedo_of(bare, verts, TO_PHOTO, head, 512, paint_hair=True)[back_of_head]
    assert np.abs(with_hair.astype(float).mean(0) - (60, 42, 30)).max() < 15
    assert without.min() > 90


@pytest.mark.parametrize("bare", [0.0, 0.045])
def test_no_hair_is_painted_on_a_bald_top(openhead, bare):
    """Dark hair on the whole scalp, and on both sides of a top that is bare for nine centimetres."""
    verts = openhead.template_V3.astype(float) @ turn_down(25).T
    photo = render_known(openhead, verts)
    seen = look(openhead, verts)
    faces = torch.from_numpy(openhead.uv_faces_F3)
    uv = interpolate(torch.from_numpy(openhead.uv_T2)[None], faces, seen)[0].numpy()
    aside = interpolate(torch.from_numpy(openhead.template_V3)[None], torch.from_numpy(openhead.faces_F3), seen)[0]
    column, row = (uv * (511, -511) + (0, 511)).round().astype(int).transpose(2, 0, 1)
    hairy = (openhead.masks["scalp"][row, column] > 200) & (np.abs(aside[..., 0].numpy()) > bare)
    hairy &= seen.face_BHW[0].numpy() >= 0
    assert hairy.sum() > 3000
    photo[hairy] = (60, 42, 30)
    texture = albedo_of(photo, verts, TO_PHOTO, openhead, 512, paint_hair=True)
    is_bare = np.median(texture[openhead.masks["scalp"] > 250].mean(-1)) > 90
    assert is_bare == (bare > 0)


def test_light_is_told_from_colour():
    """Skin lit from the left: the model recovers the change of lightness, and outliers do not pull it."""
    random = np.random.default_rng(1)
    normals = random.normal(size=(5000, 3)) * (0.5, 0.4, 0.2) + (0, 0, 1)
    normals = (normals / np.linalg.norm(normals, axis=1, keepdims=True)).astype(np.float32)
    lab = np.array((62, 14, 18)) + np.outer(normals[:, 0], (12, 0, 0)) + random.normal(0, 1.5, (5000, 3))
    lab[:800] = (20, 3, 5)
    model = skin.ColourModel.of(skin.to_srgb(lab.astype(np.float32)), normals)
    assert abs(model.light_43[1, 0] - 12) < 1.5
    assert np.abs(model.light_43[2:, 0]).max() < 2
    assert np.abs(model.light_43[0] + model.light_43[3] - (62, 14, 18)).max() < 2
    distance = model.distance(skin.to_srgb(lab.astype(np.float32)), normals)
    assert distance[:800].min() > 5
    assert np.median(distance[800:]) < 1


def test_mirrored_texels_lie_across_the_texture(head):
    """The stand-in's skin is mirror-symmetric in u, so the mirrored texel is the one across the middle column."""
    size = 512
    texels = texels_of(head, size)
    on_skin = texels.interpolate((head.parts_V == Part.SKIN).astype(np.float32)) > 0.99
    columns, rows = np.meshgrid(np.arange(size), np.arange(size))
    expected = np.stack((size - 1 - columns, rows), -1)
    assert np.abs(texels.mirrored_HW2 - expected)[on_skin].max() < 0.02


def test_a_head_without_mirror_map_or_masks_is_unwrapped_too(head):
    bare = replace(head, hash="bare", mirror_V=None, masks={})
    verts = head.template_V3.astype(float)
    texture = albedo_of(render_known(bare, verts), verts, TO_PHOTO, bare, 512)
    assert magenta_share(texture) == 0
