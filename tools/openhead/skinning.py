"""Joints, skinning weights and pose correctives, fitted to MakeHuman's jawOpen unit and rig weights.

Linear blend skinning as in FLAME (Li et al. 2017): joints root, neck, jaw, left eye, right eye.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import spsolve

from .source import Source
from .topology import EYE_LEFT, EYE_RIGHT, INNER_MOUTH, SKIN, TEETH_LOWER, TEETH_UPPER, TONGUE, Topology

ROOT, NECK, JAW, EYE_L, EYE_R = range(5)
PARENTS = (-1, 0, 1, 1, 1)
FITTED_FRACTIONS = (0.25, 0.5, 0.75, 1.0)
"""Shares of the full jaw opening at which the pose correctives are fitted."""
NECK_SHARE = {"neck01": 0.35, "neck02": 0.7, "neck03": 0.9}
"""How much of a MakeHuman neck bone's weight goes to the neck joint; the torso's bones give 0, the head's 1."""


@dataclass(frozen=True)
class Skinning:
    """Everything that turns a pose into vertices.

    Attributes:
        weights: (V, 5) float64, rows sum to 1.
        joint_regressor: (5, V) float64, rows sum to 1.
        joints: (5, 3) float64, joints of the template, metres.
        posedirs: (V, 3, 36) float64, metres per unit of (R_j - I), joints 1..4, row-major.
        jaw_open: (3,) axis-angle of the jaw at full jawOpen, radians.
    """

    weights: np.ndarray
    joint_regressor: np.ndarray
    joints: np.ndarray
    posedirs: np.ndarray
    jaw_open: np.ndarray

    def pose_jaw(self, verts_V3: np.ndarray, axis_angle: np.ndarray) -> np.ndarray:
        """Linear blend skinning of the jaw alone with its correctives (joints of the template)."""
        rotation = rotation_matrix(axis_angle)
        verts_V3 = verts_V3 + self.posedirs[:, :, 9:18] @ (rotation - np.eye(3)).ravel()
        turned = (verts_V3 - self.joints[JAW]) @ rotation.T + self.joints[JAW]
        return verts_V3 + self.weights[:, JAW, None] * (turned - verts_V3)

    def unpose_jaw(self, verts_V3: np.ndarray, axis_angle: np.ndarray) -> np.ndarray:
        """The exact inverse of :meth:`pose_jaw`."""
        rotation = rotation_matrix(axis_angle)
        weight = self.weights[:, JAW, None, None]
        linear = (1 - weight) * np.eye(3) + weight * rotation
        offset = self.weights[:, JAW, None] * (self.joints[JAW] - rotation @ self.joints[JAW])
        rest = np.linalg.solve(linear, (verts_V3 - offset)[..., None])[..., 0]
        return rest - self.posedirs[:, :, 9:18] @ (rotation - np.eye(3)).ravel()


def build_skinning(source: Source, topology: Topology, template_V3: np.ndarray, jaw_open_V3: np.ndarray) -> Skinning:
    """Fits joints, weights and correctives.

    Args:
        source: MakeHuman's data.
        topology: the mesh.
        template_V3: mean head.
        jaw_open_V3: displacement of the full jawOpen unit.
    """
    symmetric = (jaw_open_V3 + jaw_open_V3[topology.mirror] * (-1, 1, 1)) / 2
    teeth = topology.vertices_of(TEETH_LOWER)
    angle, hinge = _hinge(template_V3[teeth], template_V3[teeth] + symmetric[teeth])
    jaw_open = np.array([angle, 0.0, 0.0])

    regressor = _joint_regressor(topology, template_V3, hinge)
    joints = regressor @ template_V3
    weights = _weights(source, topology, template_V3, symmetric, jaw_open, joints[JAW])
    skinning = Skinning(weights, regressor, joints, np.zeros((len(template_V3), 3, 36)), jaw_open)
    posedirs = _jaw_correctives(skinning, template_V3, symmetric)
    return Skinning(weights, regressor, joints, posedirs, jaw_open)


def rotation_matrix(axis_angle: np.ndarray) -> np.ndarray:
    """Rodrigues' formula, (3,) radians -> (3, 3)."""
    angle = np.linalg.norm(axis_angle)
    if angle == 0:
        return np.eye(3)
    x, y, z = axis_angle / angle
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * skew + (1 - np.cos(angle)) * skew @ skew


def fit_rotation(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Axis-angle of the rotation that best turns one centred point set into another (Kabsch)."""
    u, _, vt = np.linalg.svd((before - before.mean(0)).T @ (after - after.mean(0)))
    rotation = vt.T @ np.diag([1, 1, np.linalg.det(vt.T @ u.T)]) @ u.T
    axis = np.array([rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]])
    sine = np.linalg.norm(axis) / 2
    angle = np.arctan2(sine, (np.trace(rotation) - 1) / 2)
    return axis / (2 * sine) * angle if sine > 1e-9 else np.zeros(3)


def _hinge(before: np.ndarray, after: np.ndarray) -> tuple[float, np.ndarray]:
    """Angle about x and centre (on x = 0) of the rotation that moves the lower teeth."""
    angle = float(fit_rotation(before, after)[0])
    rotation = rotation_matrix(np.array([angle, 0, 0]))
    shift = after.mean(0) - rotation @ before.mean(0)
    centre = np.zeros(3)
    centre[1:] = np.linalg.solve((np.eye(3) - rotation)[1:, 1:], shift[1:])
    return angle, centre


def _joint_regressor(topology: Topology, template_V3: np.ndarray, hinge: np.ndarray) -> np.ndarray:
    """Root and neck: means of whole neck rings. Jaw: its hinge from the skin before the ears. Eyes: their centres."""
    regressor = np.zeros((5, len(template_V3)))
    for joint, ring in ((ROOT, topology.neck_rings[-1]), (NECK, topology.neck_rings[0])):
        regressor[joint, ring] = 1 / len(ring)
    from_axis = np.linalg.norm(template_V3[:, 1:] - hinge[1:], axis=1)
    side = (topology.part == SKIN) & (from_axis < 0.03) & (np.abs(template_V3[:, 0]) > 0.045)
    regressor[JAW] = _exact_mean(template_V3, np.flatnonzero(side), hinge)
    for joint, part in ((EYE_L, EYE_LEFT), (EYE_R, EYE_RIGHT)):
        ball = topology.vertices_of(part)
        regressor[joint, ball[[0, -1]]] = 0.5  # the poles
    return regressor


def _exact_mean(template_V3: np.ndarray, chosen: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Smallest weights (closest to the plain mean) over the chosen vertices that sum to 1 and give the point."""
    mean = np.full(len(chosen), 1 / len(chosen))
    constraints = np.concatenate([np.ones((1, len(chosen))), template_V3[chosen].T])
    missing = np.concatenate([[1], point]) - constraints @ mean
    row = np.zeros(len(template_V3))
    row[chosen] = mean + np.linalg.pinv(constraints) @ missing
    return row


def _weights(
    source: Source,
    topology: Topology,
    template_V3: np.ndarray,
    jaw_open_V3: np.ndarray,
    jaw_open: np.ndarray,
    hinge: np.ndarray,
) -> np.ndarray:
    weights = np.zeros((len(template_V3), 5))
    rotation = rotation_matrix(jaw_open)
    swing = (template_V3 - hinge) @ rotation.T + hinge - template_V3
    jaw = np.clip((jaw_open_V3 * swing).sum(1) / np.maximum((swing**2).sum(1), 1e-9), 0, 1)
    jaw[np.isin(topology.part, (TEETH_UPPER, EYE_LEFT, EYE_RIGHT))] = 0
    jaw[topology.part == TEETH_LOWER] = 1
    jaw = smooth(topology, jaw, np.isin(topology.part, (SKIN, INNER_MOUTH, TONGUE)), 0.5)

    # Bones of the torso hold the root, bones of the neck a share, every other bone belongs to the head.
    torso = ("spine", "clavicle", "shoulder", "upperarm", "breast", "root", "pelvis")
    head = np.zeros(len(source.base.verts))
    total = np.zeros_like(head)
    for bone, weight in source.bone_weights.items():
        total += weight
        if not bone.startswith(torso):
            head += NECK_SHARE.get(bone, 1.0) * weight
    head = np.where(total > 0, head / np.maximum(total, 1e-9), 1.0)
    on_head = np.where(topology.origin >= 0, head[topology.origin], 1.0)
    on_head[topology.part != SKIN] = 1.0
    rings = topology.neck_rings
    on_head[rings] = np.minimum(on_head[rings], np.linspace(0.75, 0.0, len(rings))[:, None])
    on_head = smooth(topology, on_head, (topology.part == SKIN) & ~np.isin(np.arange(len(on_head)), rings[-1]), 6.0)
    jaw = np.minimum(jaw, on_head)
    weights[:, JAW] = jaw
    weights[:, NECK] = on_head - jaw
    weights[:, ROOT] = 1 - on_head
    for joint, part in ((EYE_L, EYE_LEFT), (EYE_R, EYE_RIGHT)):
        weights[topology.part == part] = np.eye(5)[joint]
    weights[weights < 1e-4] = 0
    weights = (weights + weights[topology.mirror][:, [ROOT, NECK, JAW, EYE_R, EYE_L]]) / 2
    return weights / weights.sum(axis=1, keepdims=True)


def laplacian(topology: Topology) -> sp.csr_matrix:
    """Graph Laplacian of the mesh: row v gives value at v minus the mean of its neighbours."""
    f = topology.triangles
    edges = np.concatenate([f[:, [0, 1]], f[:, [1, 2]], f[:, [2, 0]]])
    count = len(topology.origin)
    graph = sp.coo_matrix((np.ones(2 * len(edges)), np.concatenate([edges, edges[:, ::-1]]).T), (count, count)).tocsr()
    graph.data[:] = 1
    degree = np.asarray(graph.sum(axis=1)).ravel()
    return (sp.identity(count) - sp.diags(1 / np.maximum(degree, 1)) @ graph).tocsr()


def smooth(topology: Topology, values: np.ndarray, where: np.ndarray, strength: float) -> np.ndarray:
    """Implicit Laplacian smoothing of values per vertex, only where asked; elsewhere they stay."""
    matrix = sp.identity(len(values)) + strength * sp.diags(where.astype(float)) @ laplacian(topology)
    return np.asarray(spsolve(matrix.tocsc(), values))


def _jaw_correctives(skinning: Skinning, template_V3: np.ndarray, jaw_open_V3: np.ndarray) -> np.ndarray:
    """Least squares fit of the correctives of a rotation about x to the linear jawOpen unit."""
    rows, wanted = [], []
    for fraction in FITTED_FRACTIONS:
        axis_angle = fraction * skinning.jaw_open
        rotation = rotation_matrix(axis_angle)
        rows.append([rotation[2, 1], rotation[1, 1] - 1])
        wanted.append(skinning.unpose_jaw(template_V3 + fraction * jaw_open_V3, axis_angle) - template_V3)
    weight = np.array([1.0, 1.0, 1.0, 4.0])[: len(rows), None]
    solution = np.linalg.pinv(np.array(rows) * weight) @ (np.array(wanted).reshape(len(rows), -1) * weight)
    sine, cosine = solution.reshape(2, -1, 3)
    posedirs = np.zeros((len(template_V3), 3, 36))
    # Jaw entries of (R - I), row-major: [1,1] and [2,2] are cos - 1, [2,1] is sin, [1,2] is -sin.
    posedirs[:, :, 9 + 7], posedirs[:, :, 9 + 5] = sine / 2, -sine / 2
    posedirs[:, :, 9 + 4], posedirs[:, :, 9 + 8] = cosine / 2, cosine / 2
    return posedirs
