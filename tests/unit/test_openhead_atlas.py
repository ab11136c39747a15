"""OpenHead's UV atlas and masks as shipped, and the flattening that made them."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from scipy import ndimage
from scipy.sparse.csgraph import connected_components

from deca.head import HeadModel, load_head
from tools.openhead.flatten import _symmetric_dirichlet, boundary_loop, flatten_disc, rest_triangles, signed_areas

MASKS = (
    "face",
    "face_no_eyes",
    "eyes",
    "lips",
    "brows",
    "eyelids",
    "lashes",
    "ears",
    "scalp",
    "hairline",
    "neck",
    "mouth",
)
SKIN, LEFT_EYE, RIGHT_EYE, INNER_MOUTH = 0, 1, 2, 6


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_head()


@pytest.fixture(scope="module")
def corner_uv(head: HeadModel) -> np.ndarray:
    """Texture coordinates at every triangle corner, (F, 3, 2)."""
    return head.uv_T2.astype(np.float64)[head.uv_faces_F3]


@pytest.fixture(scope="module")
def island_F(head: HeadModel) -> np.ndarray:
    """Number of the UV island of each triangle: triangles that share a texture vertex."""
    pairs = np.concatenate([head.uv_faces_F3[:, :2], head.uv_faces_F3[:, 1:]])
    size = len(head.uv_T2)
    return connected_components(sp.coo_matrix((np.ones(len(pairs)), pairs.T), (size, size)))[1][head.uv_faces_F3[:, 0]]


@pytest.fixture(scope="module")
def claims(corner_uv: np.ndarray, island_F: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of a 1024 map, by half-plane tests: how many triangles hold each pixel centre, and the last one's island."""
    size = 1024
    count, island = np.zeros((size, size), int), np.full((size, size), -1)
    for index, triangle in enumerate(corner_uv * size):
        low, high = np.floor(triangle.min(0)).astype(int), np.ceil(triangle.max(0)).astype(int) + 1
        x, y = np.meshgrid(np.arange(low[0], high[0]) + 0.5, np.arange(low[1], high[1]) + 0.5)
        inside = np.ones(x.shape, bool)
        for a, b in ((0, 1), (1, 2), (2, 0)):
            (ax, ay), (bx, by) = triangle[a], triangle[b]
            inside &= (bx - ax) * (y - ay) - (by - ay) * (x - ax) > 1e-6
        count[low[1] : high[1], low[0] : high[0]] += inside
        island[low[1] : high[1], low[0] : high[0]][inside] = island_F[index]
    return count, island


def uv_area(corner_uv: np.ndarray) -> np.ndarray:
    first, second = corner_uv[:, 1] - corner_uv[:, 0], corner_uv[:, 2] - corner_uv[:, 0]
    return 0.5 * (first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0])


def stretches(head: HeadModel, corner_uv: np.ndarray) -> np.ndarray:
    """Largest and smallest stretch of each triangle, (F, 2), in pixels of a 256 map per millimetre."""
    corners = head.template_V3.astype(np.float64)[head.faces_F3]
    along, other = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    metric = np.stack([np.stack([(p * q).sum(1) for q in (along, other)], 1) for p in (along, other)], 1)
    edges = np.stack([corner_uv[:, 1] - corner_uv[:, 0], corner_uv[:, 2] - corner_uv[:, 0]], -1)
    # Singular values of the map are roots of the eigenvalues of metric^-1 (edges^T edges), a generalised problem.
    squares = np.linalg.eigvals(np.linalg.solve(metric, edges.transpose(0, 2, 1) @ edges)).real
    return np.sqrt(np.sort(squares, axis=1)[:, ::-1]) * 256 / 1000


def at_centroids(mask: np.ndarray, corner_uv: np.ndarray) -> np.ndarray:
    """Value of a mask under each triangle's centroid."""
    u, v = corner_uv.mean(1).T
    return mask[((1 - v) * len(mask)).astype(int), (u * len(mask)).astype(int)]


def test_no_triangle_is_flipped(corner_uv: np.ndarray) -> None:
    assert uv_area(corner_uv).min() > 0


def test_no_two_triangles_overlap(claims: tuple[np.ndarray, np.ndarray]) -> None:
    count, _ = claims
    assert count.max() == 1
    assert count.mean() > 0.8  # most of the map is used


def test_margins_of_two_pixels_at_256(head: HeadModel, claims: tuple[np.ndarray, np.ndarray]) -> None:
    margin = 2 / 256
    assert head.uv_T2.min() >= margin - 1e-6
    assert head.uv_T2.max() <= 1 - margin + 1e-6
    _, island = claims
    names = np.setdiff1d(np.unique(island), [-1])
    assert len(names) == 13  # skin; per side eyeball, socket, inner mouth, upper and lower teeth, tongue
    for name in names:
        others = (island >= 0) & (island != name)
        distance = np.asarray(ndimage.distance_transform_edt(~others))
        # Pixel centres inside two islands are up to a pixel of the 1024 map further apart than the islands.
        assert distance[island == name].min() / 1024 >= margin - 1e-3


def test_mirrored_triangles_have_mirrored_coordinates(head: HeadModel, corner_uv: np.ndarray) -> None:
    mirror_V = head.mirror_V
    assert mirror_V is not None
    place = {tuple(sorted(triangle)): i for i, triangle in enumerate(head.faces_F3.tolist())}
    error = 0.0
    for index, triangle in enumerate(head.faces_F3.tolist()):
        mirrored = [int(mirror_V[v]) for v in triangle]
        twin = place[tuple(sorted(mirrored))]
        order = [head.faces_F3[twin].tolist().index(v) for v in mirrored]
        error = max(error, np.abs(corner_uv[twin][order] - corner_uv[index] * (-1, 1) - (1, 0)).max())
    assert error <= 1e-6


def test_the_face_gets_its_share_and_density(head: HeadModel, corner_uv: np.ndarray) -> None:
    face = (at_centroids(head.masks["face_no_eyes"], corner_uv) > 127) & (head.parts_V[head.faces_F3] == SKIN).all(1)
    assert uv_area(corner_uv)[face].sum() >= 0.44
    stretch = stretches(head, corner_uv)[face]
    density = np.sqrt(stretch.prod(1))
    assert 0.75 <= np.median(density) <= 1.1
    assert density.min() >= 0.4
    assert density.max() <= 1.71
    assert np.percentile(stretch[:, 0] / stretch[:, 1], 95) <= 2.38


def test_ears_have_no_slivers(head: HeadModel, corner_uv: np.ndarray) -> None:
    ears = at_centroids(head.masks["ears"], corner_uv) > 127
    stretch = stretches(head, corner_uv)[ears]
    assert (stretch[:, 0] / stretch[:, 1]).max() <= 5
    assert stretch.prod(1).min() ** 0.5 >= 0.2


def test_the_mouth_is_a_slit_in_the_face(claims: tuple[np.ndarray, np.ndarray]) -> None:
    skin = claims[1] == np.bincount(claims[1][claims[1] >= 0]).argmax()
    holes = ndimage.binary_fill_holes(skin) & ~skin
    mouth = holes[:512]  # rows count upwards like v; the eyes lie above the middle of the map
    height = mouth.sum(0)
    assert 100 <= np.count_nonzero(height) <= 260
    assert height[height > 0].mean() <= 6
    assert height.max() <= 14


def test_eyeballs_lie_in_the_top_corners(head: HeadModel, corner_uv: np.ndarray) -> None:
    for part, side in ((LEFT_EYE, 1), (RIGHT_EYE, -1)):
        uv = corner_uv[(head.parts_V[head.faces_F3] == part).all(1)].reshape(-1, 2)
        assert (side * (uv[:, 0] - 0.5)).min() > 0.3
        assert uv[:, 1].min() > 0.8


@pytest.mark.parametrize("name", MASKS)
def test_masks_are_symmetric_and_in_use(head: HeadModel, name: str) -> None:
    mask = head.masks[name]
    assert mask.shape == (512, 512)
    assert mask.dtype == np.uint8
    assert np.array_equal(mask, mask[:, ::-1])
    assert mask.max() >= 250
    assert (mask == 0).mean() > 0.3


def test_masks_are_ordered(head: HeadModel) -> None:
    mask = {name: head.masks[name].astype(int) for name in MASKS}
    assert (mask["face_no_eyes"] <= mask["face"]).all()
    assert (mask["eyes"] <= mask["face"]).all()
    for name in ("lips", "brows", "eyelids"):
        assert ((mask[name] <= mask["face_no_eyes"] + 2) | (mask[name] < 128)).all(), name
    for name in ("eyes", "mouth", "ears", "scalp", "neck"):
        assert np.minimum(mask[name], mask["face_no_eyes"]).max() <= 128, name


def test_skin_masks_add_up_to_one(head: HeadModel, corner_uv: np.ndarray, island_F: np.ndarray) -> None:
    total = np.sum([head.masks[name].astype(int) for name in ("face_no_eyes", "ears", "scalp", "neck")], axis=0)
    skin = island_F == np.bincount(island_F).argmax()
    assert np.abs(at_centroids(total, corner_uv[skin]) - 255).max() <= 4


def test_hair_grows_on_the_skull_and_not_on_the_face(head: HeadModel, corner_uv: np.ndarray) -> None:
    """Against the landmarks: from 60 mm above the nasion (Farkas: trichion at 63 to 67 mm) round to the nape."""
    assert head.landmarks_68 is not None and head.landmarks_478 is not None
    grows = at_centroids(head.masks["hairline"], corner_uv)
    assert grows[head.landmarks_68.faces[2:15]].max() == 0  # the jaw below the sideburns
    assert grows[head.landmarks_68.faces[17:]].max() == 0
    assert grows[head.landmarks_478.faces[[151, 9, 70, 300, 50, 280, 205, 425]]].max() == 0  # forehead, brows, cheeks
    middles = head.template_V3[head.faces_F3].mean(1)
    nasion = head.landmarks_68.positions(head.template_V3, head.faces_F3)[27]
    front = (grows > 127) & (np.abs(middles[:, 0]) < 0.01) & (middles[:, 2] > 0)
    assert 0.058 < np.linalg.norm(middles[front] - nasion, axis=1).min() < 0.078
    above = middles[:, 1] > nasion[1] + 0.075
    assert grows[above].min() >= 250
    at_back = (np.abs(middles[:, 0]) < 0.04) & (middles[:, 2] < -0.04) & (head.parts_V[head.faces_F3] == SKIN).all(1)
    assert grows[at_back & (middles[:, 1] > -0.02)].min() >= 250 and grows[at_back & (middles[:, 1] < -0.08)].max() == 0


def test_lashes_grow_along_the_lids(head: HeadModel, corner_uv: np.ndarray) -> None:
    """Against the landmarks on the lids, which a network found: near all but the inner corner's, and nowhere else."""
    assert head.landmarks_68 is not None
    uv = np.argwhere(head.masks["lashes"] > 127)[:, ::-1] + 0.5
    uv = np.stack([uv[:, 0], 512 - uv[:, 1]], 1) / 512
    lids = np.einsum("lkc,lk->lc", corner_uv[head.landmarks_68.faces], head.landmarks_68.bary)[36:48]
    apart = np.linalg.norm(uv[:, None] - lids, axis=-1) * 256  # about millimetres
    assert apart.min(1).max() < 8
    assert apart.min(0)[[1, 2, 4, 5, 7, 8, 10, 11]].max() < 3 and apart.min(0)[[3, 6]].min() > 2


def test_brows_lie_where_expressions_move_them(head: HeadModel, corner_uv: np.ndarray) -> None:
    """The ARKit shapes come from another hand: what browDown, browInnerUp and browOuterUp move most is a brow."""
    assert head.arkit_map_K52 is not None
    brows = at_centroids(head.masks["brows"], corner_uv) > 127
    middles = head.template_V3[head.faces_F3[brows]].mean(1)
    for name in ("browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight"):
        weights = head.arkit_map_K52[:51, head.arkit_names.index(name)]  # the rest turns joints
        moved = np.linalg.norm(head.expression_dirs_V3E[..., : len(weights)] @ weights, axis=1)
        left = name.endswith("Left") or name == "browInnerUp"
        moved = np.where(head.template_V3[:, 0] * (1 if left else -1) > 0, moved, 0)
        peak = head.template_V3[moved > 0.8 * moved.max()].mean(0)
        assert np.linalg.norm(middles - peak, axis=1).min() < 0.006, name


def test_lips_and_eyelids_reach_their_rims(head: HeadModel, corner_uv: np.ndarray, island_F: np.ndarray) -> None:
    """Lips end where the inner mouth begins, eyelids where the sockets begin."""
    skin_F = island_F == np.bincount(island_F).argmax()
    on_skin = np.zeros(head.num_verts, bool)
    on_skin[head.faces_F3[skin_F]] = True
    for name, beyond_F in (
        ("lips", (head.parts_V[head.faces_F3] == INNER_MOUTH).any(1)),
        ("eyelids", ~skin_F & (head.parts_V[head.faces_F3] == SKIN).all(1)),
    ):
        rim = np.intersect1d(np.flatnonzero(on_skin), head.faces_F3[beyond_F])
        touches = skin_F & np.isin(head.faces_F3, rim).any(1)
        assert len(rim) > 30
        assert np.median(at_centroids(head.masks[name], corner_uv)[touches]) >= 200, name
        assert at_centroids(head.masks[name], corner_uv)[touches].min() >= 100, name


def grid(size: int = 9) -> tuple[np.ndarray, np.ndarray]:
    """A unit square of jittered points and its triangles, (V, 2) and (F, 3)."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:size, :size]
    points = np.stack([x, y], -1).reshape(-1, 2) / (size - 1)
    inner = ((points > 0) & (points < 1)).all(1)
    points[inner] += rng.uniform(-0.3, 0.3, (inner.sum(), 2)) / (size - 1)
    start = (y[:-1, :-1] * size + x[:-1, :-1]).ravel()
    lower, upper = (
        np.stack([start, start + 1, start + size + 1], 1),
        np.stack([start, start + size + 1, start + size], 1),
    )
    return points, np.concatenate([lower, upper])


def test_flattening_a_flat_square_returns_it() -> None:
    """The identity is the only map without stretch, so the minimum is known."""
    points, triangles = grid()
    flat = np.concatenate([points, np.zeros((len(points), 1))], 1)
    corners = [(0, (0.0, 0.0)), (8, (1.0, 0.0)), (80, (1.0, 1.0)), (72, (0.0, 1.0))]
    start_again = flatten_disc(flat, triangles, corners, rest_F22=rest_triangles(flat, triangles))
    assert np.abs(start_again - points).max() < 1e-4


def test_flattening_a_bowl_never_flips() -> None:
    points, triangles = grid()
    bowl = np.concatenate([points, 3 * (points * (1 - points)).sum(1, keepdims=True)], 1)
    corners = [(0, (0.0, 0.0)), (8, (1.0, 0.0)), (80, (0.7, 0.6)), (72, (0.0, 1.0))]
    assert signed_areas(flatten_disc(bowl, triangles, corners), triangles).min() > 0


def test_energy_slope_matches_finite_differences() -> None:
    def energy(j: np.ndarray) -> np.ndarray:
        inverse = np.linalg.inv(j.reshape(-1, 2, 2)).reshape(-1, 4)
        return (j**2).sum(1) + (inverse**2).sum(1)

    jacobians = np.array([[1.2, 0.3, -0.2, 0.7], [0.5, 0.0, 0.1, 2.0]])
    slope, curvature = _symmetric_dirichlet(jacobians)
    for axis in np.eye(4) * 1e-6:
        difference = (energy(jacobians + axis) - energy(jacobians - axis)) / 2e-6
        assert np.allclose(difference, slope @ axis * 1e6, rtol=1e-5, atol=1e-6)
    assert np.linalg.eigvalsh(curvature).min() > 0


def test_a_mesh_with_a_hole_is_refused() -> None:
    _, triangles = grid()
    with pytest.raises(ValueError, match="fill its holes"):
        boundary_loop(np.delete(triangles, 30, axis=0))
