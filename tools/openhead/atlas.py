"""OpenHead's own UV atlas: mirror-symmetric, most of the map for the face.

Only the charts of the head's left half (x > 0) are flattened; the right half is their mirror image u -> 1 - u, so the
symmetry is exact. The skin is cut along the back midline up to the crown and fills an octagon; the eyeballs lie in the
top corners; inner mouth, teeth, tongue (cut in half at x = 0) and eye sockets lie in the bottom corners.

Shape suffixes: `V` vertices, `F` triangles, `T` texture vertices, `2` UV, `3` space coordinates or triangle corners.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .flatten import boundary_loop, boundary_loops, flatten_disc, rest_triangles

if TYPE_CHECKING:
    from .topology import Topology

PIXEL = 1 / 256
"""The margins are set for maps of 256 x 256, the smallest in use."""
BORDER = 2 * PIXEL
TOP_LEG = 0.26
"""Leg of the corner triangles that the octagon leaves to the eyeballs."""
BOTTOM_LEG = 0.31
"""Leg of the corner triangles that the octagon leaves to mouth, teeth, tongue and sockets."""

HEAD, INNER_MOUTH, LEFT_SOCKET, _, NECK, UPPER_TEETH, LOWER_TEETH, TONGUE, LEFT_EYE, _ = range(10)
"""Values of `Topology.island` on the head's left half; head and neck make one chart, the skin."""

NECK_CORNER, CUT_CORNERS = 0.15, (0.50, 0.85)
"""Which vertices sit on the octagon's corners: shares of the neck ring's and the back cut's length."""

FACE_MIDDLE = np.array([0.0, 0.0, -0.01])
"""Where the directions that delimit the face start from, in the template's frame."""
FACE_DEGREES = (-43.0, 38.0, 64.0)
"""The face from below the chin to the hairline, and to each side up to the ears."""
FACE_FADE = (0.6, 1.8)
"""The face's importance fades out between these multiples of its angular radius."""
BACK_DENSITY = 0.12
"""Wished density (UV per metre) of the back of the head and the neck as a share of the face's."""
FACE_WEIGHT = 12.0
"""Importance of stretch on the face, where the back of the head counts 1."""
FILL_WEIGHT = 0.3
"""Importance of the triangles that close the eye openings and the mouth."""
EYE_DEGREES, EYE_RADII = (0.0, 40.0, 90.0, 180.0), (0.0, 0.60, 0.85, 1.0)
"""Angle from an eyeball's front pole -> share of its disc's radius: most of the disc for iris and visible white."""
MOUTH_GAP = 1.5e-3
"""Metres that the inner edges of the lips stay apart in the map."""
BULGE = 0.02
"""How far the sides of the bottom corners' plots arch outwards, as a share of their length."""


def build_atlas(topology: Topology) -> tuple[np.ndarray, np.ndarray]:
    """Lay the head out in the unit square.

    The result depends on nothing but the topology and its template, and is the same on every run.

    Returns:
        vt_T2: (T, 2) float32 texture coordinates in 0..1, origin at the bottom left.
        ft_F3: (F, 3) int32 texture triangles in the order of the topology's triangles, all counter-clockwise.

    Raises:
        ValueError: the mesh is not mirror-symmetric triangle by triangle, or a chart is no disc.
    """
    verts_V3, faces_F3, mirror_V = topology.template, topology.triangles, topology.mirror
    chart_F = np.where(topology.island == NECK, HEAD, topology.island)
    twin_F, twin_corner_F3 = mirror_faces(faces_F3, mirror_V)
    left_F = (verts_V3[faces_F3][..., 0] * (mirror_V[faces_F3] != faces_F3)).max(1) > 0
    if np.any(left_F == left_F[twin_F]):
        raise ValueError("a triangle crosses x = 0, or has no mirror image on the other side")

    corner_uv = np.full((len(faces_F3), 3, 2), np.nan, np.float32)
    for chart in np.unique(chart_F[left_F]):
        select = np.flatnonzero(left_F & (chart_F == chart))
        if chart == LEFT_EYE:
            corner_uv[select] = _eyeball(verts_V3, faces_F3[select])
            continue
        used, local = np.unique(faces_F3[select], return_inverse=True)
        local = local.reshape(-1, 3)
        middle = mirror_V[used] == used
        points = verts_V3[used]
        uv = _skin(points, local, middle) if chart == HEAD else _small_chart(points, local, int(chart))
        corner_uv[select] = uv[local]
    right = np.flatnonzero(~left_F)
    mirrored = corner_uv[twin_F[right][:, None], twin_corner_F3[right]]
    corner_uv[right] = np.stack([np.float32(1) - mirrored[..., 0], mirrored[..., 1]], -1)

    # A texture vertex is a mesh vertex at one place of the map: seams split vertices, nothing else does.
    keys = np.concatenate([faces_F3.reshape(-1, 1).astype(np.float64), corner_uv.reshape(-1, 2)], 1)
    unique, index = np.unique(keys, axis=0, return_inverse=True)
    return unique[:, 1:].astype(np.float32), index.reshape(-1, 3).astype(np.int32)


def mirror_faces(faces_F3: np.ndarray, mirror_V: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each triangle's mirror image (F,) and, per corner, the corner of that image which it maps to (F, 3).

    Raises:
        ValueError: a triangle has no mirror image.
    """
    index = {tuple(triangle): i for i, triangle in enumerate(np.sort(faces_F3, 1).tolist())}
    mirrored_F3 = mirror_V[faces_F3]
    twin = [index.get(tuple(triangle)) for triangle in np.sort(mirrored_F3, 1).tolist()]
    if None in twin:
        raise ValueError(f"{twin.count(None)} triangles have no mirror image; diagonals must be mirror-consistent")
    twin_F = np.array(twin)
    twin_corner_F3 = (faces_F3[twin_F][:, None, :] == mirrored_F3[:, :, None]).argmax(-1)
    return twin_F, twin_corner_F3


def face_closeness(points: np.ndarray) -> np.ndarray:
    """Return 1 on the face, 0 on the back of the head, with a smooth slope between, for points of the template."""
    x, y, z = (points - FACE_MIDDLE).T
    low, high, side = FACE_DEGREES
    azimuth = np.degrees(np.arctan2(x, z)) / side
    elevation = (np.degrees(np.arctan2(y, np.hypot(x, z))) - 0.5 * (low + high)) / (0.5 * (high - low))
    radius = (azimuth**4 + elevation**4) ** 0.25
    t = np.clip((FACE_FADE[1] - radius) / (FACE_FADE[1] - FACE_FADE[0]), 0, 1)
    return t * t * (3 - 2 * t)


def _skin(points: np.ndarray, faces: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """Flatten the left half of the skin onto the right half of the octagon."""
    points, faces, rest, filled = _close_openings(points, faces, middle)
    middle = np.append(middle, np.zeros(len(points) - len(middle), bool))
    loop = boundary_loop(faces)
    # The loop runs along the neck ring (off the middle), up the back midline to the crown, down the front midline.
    loop = np.roll(loop, -_last_before_gap(middle[loop]))
    back = 1 + int(np.argmax(middle[loop[1:]]))
    crown = back + int(np.argmax(points[loop[back:], 1]))

    low, high = BORDER, 1 - BORDER
    outline = np.array(
        [
            (0.5, low),
            (high - BOTTOM_LEG, low),
            (high, low + BOTTOM_LEG),
            (high, high - TOP_LEG),
            (high - TOP_LEG, high),
            (0.5, high),
        ]
    )

    def share(begin: int, end: int, fraction: float) -> int:
        travelled = np.append(0, np.cumsum(np.linalg.norm(np.diff(points[loop[begin : end + 1]], axis=0), axis=1)))
        return int(begin + np.abs(travelled - fraction * travelled[-1]).argmin())

    stops = [
        0,
        share(0, back, NECK_CORNER),
        back,
        share(back, crown, CUT_CORNERS[0]),
        share(back, crown, CUT_CORNERS[1]),
        crown,
    ]
    corners = [(int(loop[stop]), (float(u), float(v))) for stop, (u, v) in zip(stops, outline, strict=True)]
    density, weight = _wishes(points[faces].mean(1), rest, filled, _polygon_area(outline))
    return flatten_disc(points, faces, corners, rest_F22=rest * density[:, None, None], weight_F=weight)


def _last_before_gap(flags: np.ndarray) -> int:
    """Return the last set position before the longest run of unset ones in a cyclic list."""
    set_at = np.flatnonzero(flags)
    gaps = np.diff(np.append(set_at, set_at[0] + len(flags)))
    return int(set_at[gaps.argmax()])


def _close_openings(
    points: np.ndarray, faces: np.ndarray, middle: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Close the eye opening with a fan and the mouth with a slit, so that neither can fold over in the plane.

    Returns:
        The points with the fan's centre appended, all triangles, their rest shapes in metres, and which are fillings.
    """
    loops = sorted(boundary_loops(faces), key=len)
    outer = loops[-1]
    rest = [rest_triangles(points, faces)]
    fans = []
    for hole in loops[:-1]:
        centre = len(points)
        points = np.concatenate([points, points[hole].mean(0, keepdims=True)])
        fan = np.stack([np.roll(hole, -1), hole, np.full_like(hole, centre)], 1)
        fans.append(fan)
        rest.append(rest_triangles(points, fan))

    # Off the middle the outer loop has two runs: the neck ring and the mouth. Turn the loop to start before the mouth.
    outer = np.roll(outer, -_last_before_gap(middle[outer]))
    after_neck = 1 + int(np.argmax(middle[outer[1:]]))
    begin = after_neck + int(np.argmin(middle[outer[after_neck:]])) - 1
    end = begin + 1 + int(np.argmax(middle[outer[begin + 1 :]]))
    lips = outer[begin : end + 1]
    upper, lower = lips[: (len(lips) + 1) // 2], lips[::-1][: (len(lips) + 1) // 2]
    slit = []
    for k in range(len(upper) - 1):
        slit += [(upper[k], lower[k], lower[k + 1]), (upper[k], lower[k + 1], upper[k + 1])]
    slit = np.array([triangle for triangle in slit if len(set(triangle)) == 3])
    closed = points.copy()
    centre_line = 0.5 * (points[upper] + points[lower])
    half_gap = np.array([0, 0.5 * MOUTH_GAP, 0])
    closed[upper], closed[lower] = centre_line + half_gap, centre_line - half_gap
    rest.append(rest_triangles(closed, slit))
    rest_F22 = np.concatenate(rest)
    filled = np.arange(len(rest_F22)) >= len(faces)
    return points, np.concatenate([faces, *fans, slit]), rest_F22, filled


def _wishes(centres: np.ndarray, rest: np.ndarray, filled: np.ndarray, area: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the wished density (UV per metre) and the importance of each skin triangle; together they fill `area`."""
    face = face_closeness(centres)
    share = BACK_DENSITY + (1 - BACK_DENSITY) * face
    density = share * np.sqrt(area / np.sum(0.5 * np.linalg.det(rest) * share**2))
    # The energy counts stretch per rest area in the map; dividing by the density makes it count per area of skin.
    weight = (1 + (FACE_WEIGHT - 1) * face) / share**2
    return density, np.where(filled, FILL_WEIGHT, weight)


def _polygon_area(outline: np.ndarray) -> float:
    """Return the area of a polygon given by its corners, counter-clockwise (shoelace formula)."""
    u, v = outline.T
    return 0.5 * float(np.sum(u * np.roll(v, -1) - v * np.roll(u, -1)))


def _small_chart(points: np.ndarray, faces: np.ndarray, chart: int) -> np.ndarray:
    """Flatten an island of the bottom corner onto its plot, a triangle or square with slightly rounded sides."""
    plot = _inset(_plots()[chart], PIXEL)
    loop = boundary_loop(faces)
    loop = np.roll(loop, -int(np.argmax(points[loop] @ [0.1, 1.0, 0.3])))
    closed = points[np.append(loop, loop[0])]
    travelled = np.append(0, np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1)))[:-1]
    sides = np.linalg.norm(np.roll(plot, -1, 0) - plot, axis=1)
    bounds = np.append(0, np.cumsum(sides))
    where = travelled / np.linalg.norm(np.diff(closed, axis=0), axis=1).sum() * bounds[-1]
    side = np.searchsorted(bounds, where, side="right") - 1
    t = (where - bounds[side]) / sides[side]
    begin, direction = plot[side], (np.roll(plot, -1, 0) - plot)[side]
    outward = np.stack([direction[:, 1], -direction[:, 0]], -1)
    # Strictly convex: three boundary vertices in a row must not be collinear, or the Tutte start has flat triangles.
    positions = begin + t[:, None] * direction + (BULGE * 4 * t * (1 - t))[:, None] * outward
    corners = [(int(v), (float(x), float(y))) for v, (x, y) in zip(loop, positions, strict=True)]
    return flatten_disc(points, faces, corners)


def _plots() -> dict[int, np.ndarray]:
    """Return the plots of the bottom right corner: a square for the inner mouth, half triangles for the rest."""
    leg = BOTTOM_LEG - 2 * PIXEL
    right, bottom = 1 - BORDER, BORDER
    near, far = leg / 2, leg
    corner = np.array([right, bottom])

    def plot(*places: tuple[float, float]) -> np.ndarray:
        """Places are distances from the right and from the bottom border."""
        return corner + np.array([(-x, y) for x, y in places])

    quarter = near / 2
    return {
        INNER_MOUTH: plot((near, 0), (0, 0), (0, near), (near, near)),
        TONGUE: plot((far, 0), (near, 0), (near + quarter, quarter)),
        LEFT_SOCKET: plot((near, 0), (near, near), (near + quarter, quarter)),
        UPPER_TEETH: plot((0, near), (quarter, near + quarter), (near, near)),
        LOWER_TEETH: plot((0, near), (0, far), (quarter, near + quarter)),
    }


def _inset(polygon: np.ndarray, distance: float) -> np.ndarray:
    """Move the sides of a convex counter-clockwise polygon inwards by a distance and by the height of their arch."""
    side = np.roll(polygon, -1, 0) - polygon
    length = np.linalg.norm(side, axis=1)
    normal = np.stack([-side[:, 1], side[:, 0]], -1) / length[:, None]
    offset = np.einsum("sc,sc->s", normal, polygon) + distance + BULGE * length
    # A corner is where its side meets the side before it.
    return np.linalg.solve(np.stack([np.roll(normal, 1, 0), normal], 1), np.stack([np.roll(offset, 1), offset], 1))


def _eyeball(verts_V3: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Lay the left eyeball out as a disc about its front pole, (F, 3, 2); the back pole is opened to the rim."""
    used = np.unique(faces)
    centre = 0.5 * (verts_V3[used].min(0) + verts_V3[used].max(0))
    ray = verts_V3[faces] - centre
    ray /= np.linalg.norm(ray, axis=-1, keepdims=True)
    angle = np.arccos(np.clip(ray[..., 2], -1, 1))
    around = np.arctan2(ray[..., 1], ray[..., 0])
    pole = np.hypot(ray[..., 0], ray[..., 1]) < 1e-4
    # A pole has no direction of its own: its corner takes the mean direction of the triangle's other two.
    others = np.where(pole[..., None], 0, np.stack([np.cos(around), np.sin(around)], -1)).sum(1)
    around = np.where(pole, np.arctan2(others[:, 1], others[:, 0])[:, None], around)
    leg = TOP_LEG - 3 * PIXEL
    size = leg * (1 - np.sqrt(0.5))
    radius = size * np.interp(np.degrees(angle), EYE_DEGREES, EYE_RADII)
    middle = 1 - BORDER - size
    return middle + radius[..., None] * np.stack([np.cos(around), np.sin(around)], -1)
