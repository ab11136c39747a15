"""Gives a head that was built anew the codes and texture coordinates of the one before it.

What was learnt with that one, photos' codes and painted textures alike, then goes on meaning what it meant. Codes are
from N(0, 1) in every basis, so that a basis can be chosen freely: the new directions are turned (a rotation, so that
people stay as they are) until they lie as near the old ones as can be.

Shape suffixes: V vertices, K coefficients.
"""

from __future__ import annotations

import numpy as np

from deca.head.model import expand_half

from .write import half_directions

SAME = ("f", "polygons", "mirror", "part")
"""Arrays that must agree: the heads have one mesh."""
KEPT = ("vt", "ft")
"""Arrays that are the old head's, and with them its masks, which are pictures in these coordinates."""

Arrays = dict[str, np.ndarray]


def like(arrays: Arrays, before: Arrays, weight_V: np.ndarray, components: int) -> Arrays:
    """A head's arrays with codes that mean what they meant in the head before, and with its texture coordinates.

    Args:
        arrays: Of the head (docs/architecture.md).
        before: Of the head before, of the same mesh.
        weight_V: How much each vertex counts when directions are compared.
        components: Number of shape directions; the expressions' come after them.

    Raises:
        ValueError: The heads have different meshes.
    """
    for name in SAME:
        if not np.array_equal(arrays[name], before[name]):
            raise ValueError(f"the head before has another mesh: {name} differs")
    new_V3K, old_V3K = (
        expand_half(head["shapedirs_half"], head["parity"], head["mirror"]).astype(np.float64)
        for head in (arrays, before)
    )
    is_other_KK = arrays["parity"][:components, None] != before["parity"][:components]
    turn_KK = turn(new_V3K[:, :, :components], old_V3K[:, :, :components], weight_V, is_other_KK)
    expressions_V3K, map_K52 = as_before(new_V3K[:, :, components:], arrays["arkit_map"], before["arkit_map"])
    dirs_V3K = np.concatenate([new_V3K[:, :, :components] @ turn_KK, expressions_V3K], axis=2)
    kept = {name: array for name, array in before.items() if name in KEPT or name.startswith("mask_")}
    return (
        arrays
        | kept
        | {
            "parity": before["parity"],
            "arkit_map": map_K52,
            "shapedirs_half": half_directions(dirs_V3K, arrays["mirror"], before["parity"]),
            "trait_codes": (turn_KK.T @ arrays["trait_codes"]).astype(np.float32),
        }
    )


def turn(new_V3K: np.ndarray, old_V3K: np.ndarray, weight_V: np.ndarray, is_other_KK: np.ndarray) -> np.ndarray:
    """The rotation (K, K) that brings new directions nearest to the old ones (orthogonal Procrustes, Schoenemann
    1966). A code of the old head, multiplied by it, is the new head's.

    Symmetric directions are not mixed with others (`is_other_KK`). Where the heads do not have as many of each, the
    least of the old directions does nothing.
    """
    weighted_XK = (new_V3K * weight_V[:, None, None]).reshape(-1, new_V3K.shape[2])
    together_KK = weighted_XK.T @ old_V3K.reshape(-1, old_V3K.shape[2])
    left, _, right = np.linalg.svd(np.where(is_other_KK, 0, together_KK))
    return np.where(is_other_KK, 0, left @ right)


def as_before(new_V3K: np.ndarray, new_map_K52: np.ndarray, old_map_K52: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Expression directions by which the old head's coefficients make the new head's ARKit units.

    Args:
        new_V3K: The new head's.
        new_map_K52: Its map from ARKit weights to coefficients, and to joints in the rows after these.
        old_map_K52: The old head's.

    Returns:
        Directions (V, 3, K), and the map that belongs to them: angles of joints are the new head's.
    """
    used = int(np.flatnonzero(np.abs(new_V3K).max(axis=(0, 1)))[-1]) + 1
    dirs_V3K = np.zeros_like(new_V3K)
    dirs_V3K[:, :, :used] = new_V3K[:, :, :used] @ new_map_K52[:used] @ np.linalg.pinv(old_map_K52[:used])
    return dirs_V3K, np.concatenate([old_map_K52[:used], new_map_K52[used:]])
