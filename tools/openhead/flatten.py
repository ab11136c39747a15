"""Flatten a mesh that is a topological disc onto a convex polygon, without flips and with little stretch.

A Tutte embedding gives a valid start; projected Newton steps on the symmetric Dirichlet energy then spread the stretch
evenly. A step never passes the point where a triangle would turn over, and the boundary only slides along straight
polygon sides, so the map stays one to one.

Shape suffixes: `V` vertices, `F` triangles, `2` plane coordinates, `3` space coordinates or triangle corners.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import spsolve

Corner = tuple[int, tuple[float, float]]
"""A polygon corner: the boundary vertex that sits on it, and its (u, v)."""


def boundary_loops(faces_F3: np.ndarray) -> list[np.ndarray]:
    """Return the boundary loops by smallest vertex, each in the direction of its triangles (interior on the left).

    Raises:
        ValueError: a boundary touches itself.
    """
    directed = np.concatenate([faces_F3[:, [0, 1]], faces_F3[:, [1, 2]], faces_F3[:, [2, 0]]])
    present = {(int(a), int(b)) for a, b in directed}
    edges = [(a, b) for a, b in present if (b, a) not in present]
    following = dict(edges)
    if len(following) != len(edges):
        raise ValueError("the boundary of the mesh touches itself")
    loops = []
    while following:
        loop = [min(following)]
        while (step := following.pop(loop[-1])) != loop[0]:
            loop.append(step)
        loops.append(np.array(loop))
    return loops


def boundary_loop(faces_F3: np.ndarray) -> np.ndarray:
    """Return the one boundary loop of a disc.

    Raises:
        ValueError: the mesh has no boundary, or more than one.
    """
    loops = boundary_loops(faces_F3)
    if len(loops) != 1:
        raise ValueError(f"a disc has one boundary loop, this mesh has {len(loops)}; fill its holes first")
    return loops[0]


def rest_triangles(verts_V3: np.ndarray, faces_F3: np.ndarray) -> np.ndarray:
    """Return each triangle laid flat: (F, 2, 2) edge matrices whose columns are corners 1 and 2 minus corner 0."""
    origin, first, second = (verts_V3[faces_F3[:, k]] for k in range(3))
    along, other = first - origin, second - origin
    length = np.linalg.norm(along, axis=1)
    x = np.einsum("fi,fi->f", along, other) / length
    y = np.linalg.norm(np.cross(along, other), axis=1) / length
    zero = np.zeros_like(length)
    return np.stack([np.stack([length, x], -1), np.stack([zero, y], -1)], -2)


def signed_areas(uv_V2: np.ndarray, faces_F3: np.ndarray) -> np.ndarray:
    """Return the signed area of each plane triangle, positive for counter-clockwise ones."""
    origin, first, second = (uv_V2[faces_F3[:, k]] for k in range(3))
    return 0.5 * np.linalg.det(np.stack([first - origin, second - origin], -1))


def flatten_disc(
    verts_V3: np.ndarray,
    faces_F3: np.ndarray,
    corners: list[Corner],
    *,
    rest_F22: np.ndarray | None = None,
    weight_F: np.ndarray | None = None,
    iterations: int = 200,
) -> np.ndarray:
    """Map a disc onto a convex polygon.

    Args:
        verts_V3: positions; they give the first spacing of the boundary and, without `rest_F22`, the rest shapes.
        faces_F3: triangles of one disc; every vertex is used.
        corners: polygon corners in the direction of `boundary_loop`, counter-clockwise in the plane.
        rest_F22: edge matrices (see `rest_triangles`) of the wished plane triangles, in UV units; by default those of
            the mesh, scaled to the polygon's area.
        weight_F: importance of each triangle's stretch, per unit of rest area.
        iterations: upper limit of Newton steps.

    Returns:
        (V, 2) float64 plane coordinates, every triangle counter-clockwise.

    Raises:
        ValueError: the mesh is no disc, a corner is not on its boundary, or no valid start exists.
    """
    start_V2, basis = _boundary_frame(verts_V3, faces_F3, corners)
    uv_V2 = _tutte(start_V2, faces_F3, boundary_loop(faces_F3))
    if signed_areas(uv_V2, faces_F3).min() <= 0:
        raise ValueError("the Tutte embedding has a degenerate triangle: three corners on one polygon side")
    natural_F22 = rest_triangles(verts_V3, faces_F3)
    area_ratio = signed_areas(uv_V2, faces_F3).sum() / (0.5 * np.linalg.det(natural_F22).sum())
    wished_F22 = natural_F22 * np.sqrt(area_ratio) if rest_F22 is None else rest_F22
    weight_F = np.ones(len(faces_F3)) if weight_F is None else weight_F
    return _minimise_stretch(uv_V2, faces_F3, wished_F22, weight_F, basis, iterations)


def _boundary_frame(
    verts_V3: np.ndarray, faces_F3: np.ndarray, corners: list[Corner]
) -> tuple[np.ndarray, sp.csr_matrix]:
    """Place the boundary on the polygon; return positions (V, 2) and the basis (2V, D) of the motions allowed."""
    count = len(verts_V3)
    loop = boundary_loop(faces_F3)
    place = {int(v): i for i, v in enumerate(loop)}
    if any(v not in place for v, _ in corners):
        raise ValueError("a polygon corner is not on the mesh boundary")
    loop = np.roll(loop, -place[corners[0][0]])
    place = {int(v): i for i, v in enumerate(loop)}
    stops = [place[v] for v, _ in corners] + [len(loop)]
    if np.any(np.diff(stops) <= 0):
        raise ValueError("the polygon corners are not in the order of the mesh boundary")

    uv_V2 = np.zeros((count, 2))
    inner = np.setdiff1d(np.arange(count), loop)
    rows, columns, values = [], [], []
    for vertex in inner:
        rows += [2 * vertex, 2 * vertex + 1]
        columns += [len(columns), len(columns) + 1]
        values += [1.0, 1.0]
    used = len(columns)
    closed = np.append(loop, loop[0])
    for side, (begin, end) in enumerate(pairwise(stops)):
        a, b = np.array(corners[side][1]), np.array(corners[(side + 1) % len(corners)][1])
        chain = closed[begin : end + 1]
        travelled = np.append(0.0, np.cumsum(np.linalg.norm(np.diff(verts_V3[chain], axis=0), axis=1)))
        uv_V2[chain[:-1]] = a + (travelled[:-1] / travelled[-1])[:, None] * (b - a)
        direction = (b - a) / np.linalg.norm(b - a)
        for vertex in chain[1:-1]:
            rows += [2 * vertex, 2 * vertex + 1]
            columns += [used, used]
            values += list(direction)
            used += 1
    return uv_V2, sp.csr_matrix((values, (rows, columns)), shape=(2 * count, used))


def _tutte(uv_V2: np.ndarray, faces_F3: np.ndarray, loop: np.ndarray) -> np.ndarray:
    """Put every inner vertex at the mean of its neighbours (Tutte 1963)."""
    count = len(uv_V2)
    edges = np.concatenate([faces_F3[:, [0, 1]], faces_F3[:, [1, 2]], faces_F3[:, [2, 0]]])
    edges = np.concatenate([edges, edges[:, ::-1]])
    adjacency = sp.csr_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(count, count))
    adjacency.data[:] = 1.0
    laplacian = (sp.diags(np.asarray(adjacency.sum(1)).ravel()) - adjacency).tocsc()
    inner = np.setdiff1d(np.arange(count), loop)
    solved = uv_V2.copy()
    if len(inner):
        solved[inner] = spsolve(laplacian[inner][:, inner], -laplacian[inner][:, loop] @ uv_V2[loop]).reshape(-1, 2)
    return solved


def _minimise_stretch(
    uv_V2: np.ndarray,
    faces_F3: np.ndarray,
    rest_F22: np.ndarray,
    weight_F: np.ndarray,
    basis: sp.csr_matrix,
    iterations: int,
) -> np.ndarray:
    """Projected Newton on the symmetric Dirichlet energy (Smith and Schaefer 2015); the step length forbids flips."""
    count = len(uv_V2)
    inverse_F22 = np.linalg.inv(rest_F22)
    scale_F = weight_F * 0.5 * np.linalg.det(rest_F22)
    # Row 2r+c of gradient_F46 takes the six corner coordinates to entry (r, c) of the Jacobian.
    gradient_F46 = np.zeros((len(faces_F3), 4, 6))
    for corner in range(3):
        part = -inverse_F22.sum(1) if corner == 0 else inverse_F22[:, corner - 1]
        for row in range(2):
            gradient_F46[:, 2 * row : 2 * row + 2, 2 * corner + row] = part
    dof_F6 = np.stack([2 * faces_F3, 2 * faces_F3 + 1], -1).reshape(-1, 6)
    rows, columns = np.repeat(dof_F6, 6, axis=1).ravel(), np.tile(dof_F6, (1, 6)).ravel()

    def jacobians(uv: np.ndarray) -> np.ndarray:
        return np.einsum("fab,fb->fa", gradient_F46, uv.reshape(-1)[dof_F6])

    def energy(uv: np.ndarray) -> float:
        j = jacobians(uv)
        det = j[:, 0] * j[:, 3] - j[:, 1] * j[:, 2]
        if det.min() <= 0:
            return np.inf
        return float(np.sum(scale_F * (j * j).sum(1) * (1 + det**-2)))

    current = energy(uv_V2)
    for _ in range(iterations):
        slope_F4, curvature_F44 = _symmetric_dirichlet(jacobians(uv_V2))
        slope_F6 = np.einsum("fab,fa->fb", gradient_F46, slope_F4 * scale_F[:, None])
        hessian_F66 = np.einsum(
            "fai,fab,fbj->fij", gradient_F46, curvature_F44 * scale_F[:, None, None], gradient_F46, optimize=True
        )
        slope = basis.T @ np.bincount(dof_F6.ravel(), slope_F6.ravel(), minlength=2 * count)
        hessian = basis.T @ sp.csr_matrix((hessian_F66.ravel(), (rows, columns)), shape=(2 * count, 2 * count)) @ basis
        step = spsolve(hessian.tocsc(), -slope)
        move_V2 = (basis @ step).reshape(-1, 2)
        promise = float(slope @ step)
        length = min(1.0, 0.9 * _first_flip(uv_V2, move_V2, faces_F3))
        while (trial := energy(uv_V2 + length * move_V2)) > current + 1e-4 * length * promise and length > 1e-12:
            length *= 0.5
        if trial >= current:
            break
        uv_V2 = uv_V2 + length * move_V2
        gain, current = current - trial, trial
        if gain < 1e-7 * current:
            break
    return uv_V2


def _symmetric_dirichlet(jacobian_F4: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the slope (F, 4) and the clamped curvature (F, 4, 4) of |J|^2 + |J^-1|^2 = |J|^2 (1 + det^-2)."""
    j = jacobian_F4
    det = (j[:, 0] * j[:, 3] - j[:, 1] * j[:, 2])[:, None]
    square = (j * j).sum(1)[:, None]
    cofactor = np.stack([j[:, 3], -j[:, 2], -j[:, 1], j[:, 0]], -1)
    slope = 2 * j * (1 + det**-2) - 2 * square * det**-3 * cofactor
    second_det = np.zeros((4, 4))
    second_det[[0, 3], [3, 0]], second_det[[1, 2], [2, 1]] = 1, -1
    det, square = det[..., None], square[..., None]
    cross = j[:, :, None] * cofactor[:, None, :]
    curvature = (
        2 * (1 + det**-2) * np.eye(4)
        - 4 * det**-3 * (cross + cross.transpose(0, 2, 1))
        + 6 * square * det**-4 * cofactor[:, :, None] * cofactor[:, None, :]
        - 2 * square * det**-3 * second_det
    )
    values, vectors = np.linalg.eigh(curvature)
    values = np.maximum(values, 1e-8)
    return slope, np.einsum("fik,fk,fjk->fij", vectors, values, vectors)


def _first_flip(uv_V2: np.ndarray, move_V2: np.ndarray, faces_F3: np.ndarray) -> float:
    """Return the smallest positive step at which a triangle's area reaches zero (infinity if none does)."""

    def edges(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return x[faces_F3[:, 1]] - x[faces_F3[:, 0]], x[faces_F3[:, 2]] - x[faces_F3[:, 0]]

    def cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]

    (p, q), (dp, dq) = edges(uv_V2), edges(move_V2)
    a, b, c = cross(dp, dq), cross(p, dq) + cross(dp, q), cross(p, q)
    # Roots of a t^2 + b t + c with c > 0, in the form that loses no digits when a is small.
    disc = b * b - 4 * a * c
    with np.errstate(divide="ignore", invalid="ignore"):
        half = -0.5 * (b + np.where(b >= 0, 1.0, -1.0) * np.sqrt(np.maximum(disc, 0)))
        roots = np.concatenate([c / half, half / a])
    roots = roots[np.tile(disc >= 0, 2) & np.isfinite(roots) & (roots > 0)]
    return float(roots.min()) if len(roots) else np.inf
