"""Rotations and the scaled orthographic camera, batched, in numpy.

Shape suffixes: B batch, L points.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def skew(vector_B3: Array) -> Array:
    """Cross product matrices (B, 3, 3): skew(a) @ b = a x b."""
    out = np.zeros((len(vector_B3), 3, 3))
    x, y, z = vector_B3.T
    out[:, 0, 1], out[:, 0, 2], out[:, 1, 2] = -z, y, -x
    return out - out.transpose(0, 2, 1)


def rotation(axis_angle_B3: Array) -> Array:
    """Rotation matrices (B, 3, 3) of axis-angle vectors, radians."""
    angle_B = np.linalg.norm(axis_angle_B3, axis=1)
    skew_B33 = skew(axis_angle_B3)
    sinc, cosc = np.sinc(angle_B / np.pi), 0.5 * np.sinc(angle_B / (2 * np.pi)) ** 2
    return np.eye(3) + sinc[:, None, None] * skew_B33 + cosc[:, None, None] * (skew_B33 @ skew_B33)


def rotation_derivatives(axis_angle_B3: Array, rot_B33: Array) -> Array:
    """Derivatives (B, 3, 3, 3) of `rotation`, index 1 the parameter (Gallego and Yezzi 2015, Eq. 9)."""
    basis = np.eye(3)
    out = np.empty((len(axis_angle_B3), 3, 3, 3))
    squared_B = (axis_angle_B3**2).sum(1)
    small_B = squared_B < 1e-12
    safe_B1 = np.where(small_B, 1.0, squared_B)[:, None]
    for i in range(3):
        turned_B3 = np.cross(axis_angle_B3, (np.eye(3) - rot_B33)[:, :, i])
        generator_B3 = (axis_angle_B3[:, i : i + 1] * axis_angle_B3 + turned_B3) / safe_B1
        generator_B3 = np.where(small_B[:, None], basis[i], generator_B3)
        out[:, i] = skew(generator_B3) @ rot_B33
    return out


def axis_angle(rot_B33: Array) -> Array:
    """Axis-angle vectors (B, 3) of rotation matrices, angle in [0, pi]."""
    return np.stack([cv2.Rodrigues(rot)[0][:, 0] for rot in rot_B33])


def view_angles(root_B33: Array) -> tuple[Array, Array, Array]:
    """Roll, yaw and pitch (B,) in radians of head rotations.

    Roll turns the head's up axis on the picture (counter-clockwise positive); with the roll undone, yaw turns the face
    towards the picture's right and pitch turns it up.
    """
    roll_B = np.arctan2(-root_B33[:, 0, 1], root_B33[:, 1, 1])
    forward_B3 = (turn3(-roll_B) @ root_B33)[:, :, 2]
    return roll_B, np.arctan2(forward_B3[:, 0], forward_B3[:, 2]), np.arcsin(np.clip(forward_B3[:, 1], -1, 1))


def scaled_orthographic(rest_L3: Array, points_BL2: Array, weight_BL: Array) -> tuple[Array, Array, Array]:
    """Rotation (B, 3, 3), scale (B,) and shift (B, 2) of points seen from afar, from a weighted affine fit."""
    design_L4 = np.concatenate((rest_L3, np.ones((len(rest_L3), 1))), axis=1)
    weighted_BL4 = weight_BL[..., None] * design_L4
    affine_B42 = np.linalg.solve(design_L4.T @ weighted_BL4, weighted_BL4.transpose(0, 2, 1) @ points_BL2)
    u, stretch, vt = np.linalg.svd(affine_B42[:, :3].transpose(0, 2, 1), full_matrices=False)
    rows_B23 = u @ vt
    root_B33 = np.concatenate((rows_B23, np.cross(rows_B23[:, 0], rows_B23[:, 1])[:, None]), axis=1)
    turned_BL2 = rest_L3 @ rows_B23.transpose(0, 2, 1)
    # Scale and shift again, for the rotation found.
    weight_BL1 = (weight_BL / weight_BL.sum(1, keepdims=True))[..., None]
    mean_B12 = (weight_BL1 * turned_BL2).sum(1, keepdims=True)
    goal_B12 = (weight_BL1 * points_BL2).sum(1, keepdims=True)
    spread_B = (weight_BL1 * (turned_BL2 - mean_B12) ** 2).sum((1, 2))
    scale_B = (weight_BL1 * (turned_BL2 - mean_B12) * (points_BL2 - goal_B12)).sum((1, 2)) / spread_B
    scale_B = np.maximum(scale_B, 1e-6 * stretch[:, 0])
    return root_B33, scale_B, (goal_B12 - scale_B[:, None, None] * mean_B12)[:, 0]


def apply(matrix_BLXY: Array, vector_BLY: Array) -> Array:
    """Matrices times vectors (B, L, X)."""
    return (matrix_BLXY @ vector_BLY[..., None])[..., 0]


def turn(angle_B: Array) -> Array:
    """Rotations (B, 2, 2) of the picture plane, counter-clockwise with y up."""
    cos, sin = np.cos(angle_B), np.sin(angle_B)
    return np.stack((np.stack((cos, -sin), 1), np.stack((sin, cos), 1)), 1)


def turn3(angle_B: Array) -> Array:
    """Rotations (B, 3, 3) about the view axis."""
    out = np.tile(np.eye(3), (len(angle_B), 1, 1))
    out[:, :2, :2] = turn(angle_B)
    return out
