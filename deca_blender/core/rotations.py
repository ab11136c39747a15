"""Rotations, most of them over time: axis-angles and quaternions.

Shape suffixes: F frames.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def quaternions(turns_F3: Array) -> Array:
    """Unit quaternions (F, 4), w first, of axis-angles in radians; neighbours have like signs, so that nothing jumps
    between them."""
    turns_F3 = np.asarray(turns_F3, np.float64)
    angle_F1 = np.linalg.norm(turns_F3, axis=1, keepdims=True)
    out_F4 = np.hstack((np.cos(angle_F1 / 2), turns_F3 * 0.5 * np.sinc(angle_F1 / (2 * np.pi))))
    if len(out_F4) > 1:
        out_F4[1:] *= np.cumprod(np.where((out_F4[1:] * out_F4[:-1]).sum(1) < 0, -1.0, 1.0))[:, None]
    return out_F4


def rotation_matrix(axis_angle_3: Array) -> NDArray[np.float64]:
    """Rotation (3, 3) about an axis by its length in radians (Rodrigues)."""
    x, y, z = axis_angle_3
    cross_33 = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    square = float(axis_angle_3 @ axis_angle_3)
    angle = np.sqrt(square)
    if angle < 1e-8:
        return np.eye(3) + cross_33
    return np.eye(3) + np.sin(angle) / angle * cross_33 + (1 - np.cos(angle)) / square * cross_33 @ cross_33


def axis_angles(quaternions_F4: Array) -> Array:
    """Axis-angles (F, 3) in radians, within half a turn, of quaternions of any length but zero."""
    unit_F4 = quaternions_F4 / np.linalg.norm(quaternions_F4, axis=1, keepdims=True)
    unit_F4 = unit_F4 * np.where(unit_F4[:, :1] < 0, -1.0, 1.0)
    sine_F1 = np.linalg.norm(unit_F4[:, 1:], axis=1, keepdims=True)
    angle_F1 = 2 * np.arctan2(sine_F1, unit_F4[:, :1])
    return unit_F4[:, 1:] * np.where(sine_F1 > 1e-12, angle_F1 / np.maximum(sine_F1, 1e-12), 2.0)


def product(first_F4: Array, second_F4: Array) -> Array:
    """Quaternions (F, 4) of `R_first @ R_second`."""
    a_F1, b_F3, c_F1, d_F3 = first_F4[:, :1], first_F4[:, 1:], second_F4[:, :1], second_F4[:, 1:]
    real_F1 = a_F1 * c_F1 - (b_F3 * d_F3).sum(1, keepdims=True)
    return np.hstack((real_F1, a_F1 * d_F3 + c_F1 * b_F3 + np.cross(b_F3, d_F3)))


def from_euler(angles_F3: Array, order: str) -> Array:
    """Axis-angles (F, 3) of turns about single axes.

    Args:
        angles_F3: Radians about each axis of `order`.
        order: Axes in the order of the matrices' product, e.g. `yxz` for R_y @ R_x @ R_z: z turns first.
    """
    angles_F3 = np.asarray(angles_F3, np.float64)
    out_F4 = quaternions(np.zeros_like(angles_F3))
    for column, axis in enumerate(order):
        turns_F3 = np.zeros_like(angles_F3)
        turns_F3[:, "xyz".index(axis)] = angles_F3[:, column]
        out_F4 = product(out_F4, quaternions(turns_F3))
    return axis_angles(out_F4)


def angle_and_axis(turns_F3: Array) -> Array:
    """Angle, then unit axis (F, 4): channels to be interpolated. The axis never jumps to its opposite; at rest it stays
    what it was, +x at first."""
    out_F4 = np.empty((len(turns_F3), 4))
    axis_3 = np.array([1.0, 0.0, 0.0])
    for turn_3, row_4 in zip(np.asarray(turns_F3, np.float64), out_F4, strict=True):
        angle = float(np.linalg.norm(turn_3))
        if angle > 1e-9:
            sign = -1.0 if turn_3 @ axis_3 < 0 else 1.0
            angle, axis_3 = sign * angle, sign * turn_3 / angle
        row_4[0], row_4[1:] = angle, axis_3
    return out_F4
