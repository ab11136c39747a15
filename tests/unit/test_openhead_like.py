"""A head that is built anew keeps the codes and texture coordinates of the one before."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ortho_group

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from openhead.like import as_before, like, turn
from openhead.write import half_directions

MIRROR = np.array([1, 0, 2])
PARITY = np.array([1, 1, 1, -1, -1, 1, 1])
SHAPES = 5


def directions(seed: int) -> np.ndarray:
    """Of two mirrored vertices and one in the middle, five shapes and two expressions; (3, 3, 7)."""
    dirs_V3K = np.random.default_rng(seed).normal(size=(3, 3, len(PARITY)))
    mirrored_V3K = PARITY * dirs_V3K[MIRROR] * np.array([-1, 1, 1])[:, None]
    return (dirs_V3K + mirrored_V3K) / 2


def head(dirs_V3K: np.ndarray, seed: int, map_K52: np.ndarray) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "f": np.array([[0, 1, 2]]),
        "polygons": np.array([[0, 1, 2, -1]]),
        "mirror": MIRROR,
        "part": np.zeros(3),
        "parity": PARITY,
        "shapedirs_half": half_directions(dirs_V3K, MIRROR, PARITY),
        "arkit_map": map_K52,
        "vt": rng.random((3, 2)),
        "ft": np.array([[0, 1, 2]]),
        "mask_face": rng.random((4, 4)),
        "trait_codes": rng.normal(size=(SHAPES, 2)),
    }


def expanded(arrays: dict[str, np.ndarray]) -> np.ndarray:
    half_H3K = arrays["shapedirs_half"].astype(np.float64)
    out_V3K = np.zeros((3, 3, len(PARITY)))
    out_V3K[[0, 2]] = half_H3K
    out_V3K[1] = arrays["parity"] * half_H3K[0] * np.array([-1, 1, 1])[:, None]
    return out_V3K


def test_the_same_people_in_another_basis_get_their_codes_back() -> None:
    old_V3K = directions(0)
    turned_KK = np.zeros((SHAPES, SHAPES))
    symmetric, other = np.flatnonzero(PARITY[:SHAPES] > 0), np.flatnonzero(PARITY[:SHAPES] < 0)
    turned_KK[np.ix_(symmetric, symmetric)] = ortho_group.rvs(3, random_state=1)
    turned_KK[np.ix_(other, other)] = ortho_group.rvs(2, random_state=2)
    new_V3K = np.concatenate([old_V3K[:, :, :SHAPES] @ turned_KK, old_V3K[:, :, SHAPES:] * (2.0, -0.5)], axis=2)
    old_map = np.array([[1.0, 0.0], [0.0, 4.0], [0.1, 0.2]])
    new_map = np.array([[0.5, 0.0], [0.0, -8.0], [0.3, 0.4]])
    before, after = head(old_V3K, 3, old_map), head(new_V3K, 4, new_map)
    out = like(after, before, np.ones(3), SHAPES)
    assert expanded(out) == pytest.approx(old_V3K, abs=2e-3)  # half floats
    assert out["trait_codes"] == pytest.approx(turned_KK @ after["trait_codes"], abs=2e-3)
    assert out["arkit_map"].tolist() == [[1.0, 0.0], [0.0, 4.0], [0.3, 0.4]]
    assert all(out[name] is before[name] for name in ("vt", "ft", "mask_face"))


def test_people_stay_as_they_are() -> None:
    """The turn is a rotation: it changes what codes are called, not who is likely."""
    new_V3K, old_V3K = directions(5)[:, :, :SHAPES], directions(6)[:, :, :SHAPES]
    turn_KK = turn(new_V3K, old_V3K, np.array([1.0, 1.0, 0.5]), PARITY[:SHAPES, None] != PARITY[:SHAPES])
    assert turn_KK @ turn_KK.T == pytest.approx(np.eye(SHAPES), abs=1e-12)
    assert (turn_KK[:3, 3:] == 0).all() and (turn_KK[3:, :3] == 0).all()


def test_units_are_the_new_heads() -> None:
    new_V3K = directions(7)[:, :, SHAPES:]
    new_map, old_map = np.array([[0.5, 0.0], [0.0, -8.0]]), np.array([[1.0, 0.0], [0.0, 4.0]])
    dirs_V3K, map_K52 = as_before(new_V3K, new_map, old_map)
    assert dirs_V3K @ map_K52 == pytest.approx(new_V3K @ new_map, abs=1e-12)


def test_another_mesh_is_refused() -> None:
    before = head(directions(0), 0, np.eye(2))
    with pytest.raises(ValueError, match="another mesh: part differs"):
        like(before | {"part": np.ones(3)}, before, np.ones(3), SHAPES)
