"""Places a predicted face on a scan: a similarity from landmarks, refined by the distances of the scan to the mesh.

As the NoW challenge (Sanyal et al. 2019) describes its protocol: the mesh is aligned by rotation, translation and scale
on seven landmarks, then again, from there, on the scan-to-mesh distance; the error is that distance at every vertex of
the scan. The refinement here minimises the sum of squared distances by Levenberg-Marquardt steps over the seven
parameters, each with exact closest points.

Shape suffixes: N points, V vertices, P parameters (3 rotation, 3 translation, scale).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deca.errors import AssetError
from deca.reconstruct.geometry import rotation
from deca_training.evaluate.scans import Array, Scan, TriangleMesh

_MAX_STEPS = 100
_CONVERGED = 1e-9
"""Relative decrease of the squared distances below which the refinement ends."""


@dataclass(frozen=True)
class Similarity:
    """x -> scale * rot @ x + shift."""

    scale: float
    rot_33: Array
    shift_3: Array

    def __call__(self, points_N3: Array) -> Array:
        return self.scale * points_N3 @ self.rot_33.T + self.shift_3

    def inverse(self, points_N3: Array) -> Array:
        """The points that come to lie on the given ones."""
        return (points_N3 - self.shift_3) @ self.rot_33 / self.scale


def fit_similarity(source_N3: Array, target_N3: Array, with_scale: bool = True) -> Similarity:
    """The similarity that takes source to target with least squares (Umeyama 1991).

    Raises:
        AssetError: The source's points coincide.
    """
    a_N3, b_N3 = source_N3 - source_N3.mean(0), target_N3 - target_N3.mean(0)
    spread = (a_N3**2).sum()
    if spread < 1e-20:
        raise AssetError("All landmarks of a face lie in one point.", "Check how they were written.")
    u, d, vt = np.linalg.svd(b_N3.T @ a_N3)
    sign_3 = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rot_33 = (u * sign_3) @ vt
    scale = float((d * sign_3).sum() / spread) if with_scale else 1.0
    return Similarity(scale, rot_33, target_N3.mean(0) - scale * rot_33 @ source_N3.mean(0))


def align(mesh: TriangleMesh, scan: Scan, with_scale: bool = True) -> Similarity:
    """The similarity that places a mesh on a scan: landmarks first, then the scan-to-mesh distance.

    Args:
        mesh: The prediction.
        scan: The scan's points that are to be measured.
        with_scale: False for predictions in millimetres whose size is to count.
    """
    return refine(mesh, scan.points_N3, fit_similarity(mesh.landmarks_73, scan.landmarks_73, with_scale), with_scale)


def scan_to_mesh(mesh: TriangleMesh, points_N3: Array, placed: Similarity) -> Array:
    """Distances (N,) of scan points to the placed mesh's surface, in the scan's unit."""
    return placed.scale * mesh.closest(placed.inverse(points_N3))[0]


def refine(mesh: TriangleMesh, points_N3: Array, start: Similarity, with_scale: bool = True) -> Similarity:
    """Minimises the sum of squared scan-to-mesh distances from a start nearby."""
    parameters = 7 if with_scale else 6
    centre_3 = points_N3.mean(0)
    size = float(np.sqrt(((points_N3 - centre_3) ** 2).sum(1).mean())) or 1.0
    placed, damping = start, 1e-6
    cost, residual_N, jacobian_NP = _linearized(mesh, points_N3, placed, centre_3, size)
    for _ in range(_MAX_STEPS):
        design_NP = jacobian_NP[:, :parameters]
        normal_PP, gradient_P = design_NP.T @ design_NP, design_NP.T @ residual_N
        damped_PP = normal_PP + damping * (
            np.diag(np.diag(normal_PP)) + 1e-12 * np.trace(normal_PP) * np.eye(parameters)
        )
        step_7 = np.zeros(7)
        step_7[:parameters] = np.linalg.lstsq(damped_PP, gradient_P, rcond=None)[0]
        moved = _moved(placed, step_7, centre_3, size)
        moved_cost, moved_residual_N, moved_jacobian_NP = _linearized(mesh, points_N3, moved, centre_3, size)
        if moved_cost > cost:
            damping *= 10
            if damping > 1e6:
                break
            continue
        gained = cost - moved_cost
        placed, cost, residual_N, jacobian_NP = moved, moved_cost, moved_residual_N, moved_jacobian_NP
        damping = max(damping / 10, 1e-9)
        if gained <= _CONVERGED * cost or cost <= len(points_N3) * (1e-9 * size) ** 2:
            break
    return placed


def _linearized(
    mesh: TriangleMesh, points_N3: Array, placed: Similarity, centre_3: Array, size: float
) -> tuple[float, Array, Array]:
    """Squared distances' sum, distances (N,), and how far each shrinks (N, 7) per unit of the parameters."""
    distance_N, face_N, closest_N3 = mesh.closest(placed.inverse(points_N3))
    on_mesh_N3 = placed(closest_N3)
    offset_N3 = points_N3 - on_mesh_N3
    distance_N = placed.scale * distance_N
    # The gradient of a distance is its direction; where the scan touches the mesh, the triangle's normal.
    touching_N = distance_N < 1e-9 * size
    direction_N3 = offset_N3 / np.where(touching_N, 1.0, distance_N)[:, None]
    if touching_N.any():
        direction_N3[touching_N] = _normals(mesh, face_N[touching_N]) @ placed.rot_33.T
    arm_N3 = (on_mesh_N3 - centre_3) / size
    jacobian_NP = np.concatenate(
        (np.cross(arm_N3, direction_N3), direction_N3, (arm_N3 * direction_N3).sum(1, keepdims=True)), 1
    )
    return float((distance_N**2).sum()), distance_N, jacobian_NP


def _normals(mesh: TriangleMesh, face_N: NDArray[np.int64]) -> Array:
    a, b, c = (mesh.verts_V3[mesh.faces_F3[face_N, k]] for k in range(3))
    normal_N3 = np.cross(b - a, c - a)
    return normal_N3 / np.maximum(np.linalg.norm(normal_N3, axis=1, keepdims=True), 1e-30)


def _moved(placed: Similarity, step_7: Array, centre_3: Array, size: float) -> Similarity:
    """Turned by step[:3] / size radians about the centre, shifted by step[3:6], grown by exp(step[6] / size)."""
    turn_33 = rotation(step_7[None, :3] / size)[0]
    growth = float(np.exp(np.clip(step_7[6] / size, -1, 1)))
    shift_3 = centre_3 + growth * turn_33 @ (placed.shift_3 - centre_3) + step_7[3:6]
    return Similarity(growth * placed.scale, turn_33 @ placed.rot_33, shift_3)
