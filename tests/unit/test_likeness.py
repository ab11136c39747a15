"""The measure of likeness on photos of known heads: what is true of a person is told from what is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deca.errors import OptionError
from deca.head import load_head
from deca.reconstruct.fit import LandmarkSolver
from deca_training.data.people import Landmarks
from deca_training.evaluate.likeness import People, evaluate_likeness, separation_notes

PEOPLE, PHOTOS = 2, 3


def photographed(solver: LandmarkSolver, shape_NS: np.ndarray, turns: np.ndarray) -> People:
    """Neutral heads, each turned to the side by some degrees, three photos of a person."""
    codes_NK = np.hstack((shape_NS, np.zeros((len(shape_NS), 50))))
    points_NL3 = solver.reduced.positions(codes_NK, np.zeros((len(shape_NS), 7)))
    cos_N, sin_N = np.cos(np.radians(turns)), np.sin(np.radians(turns))
    zero_N = np.zeros_like(cos_N)
    turn_N33 = np.array([(cos_N, zero_N, sin_N), (zero_N, zero_N + 1, zero_N), (-sin_N, zero_N, cos_N)])
    photo_NL3 = 2200 * points_NL3 @ turn_N33.transpose(2, 1, 0) * (1, -1, -1) + (320, 320, 0)
    paths = [Path(f"{'ab'[row // PHOTOS]}/{row}.jpg") for row in range(len(shape_NS))]
    return People(paths, photo_NL3, np.full((len(shape_NS), 2), 640))


def test_true_shapes_go_all_the_way_and_strangers_do_not() -> None:
    solver = LandmarkSolver(load_head())
    true_NS = np.repeat(np.random.default_rng(0).normal(0, 1, (PEOPLE, 100)), PHOTOS, axis=0)
    people = photographed(solver, true_NS, np.array([0.0, 0.0, 25.0, 0.0, 0.0, 0.0]))
    table = evaluate_likeness(solver, people, true_NS, np.zeros(100))
    rows = {row["shape"]: row for row in table.rows}
    assert rows["one other photo's"]["error_share"] == pytest.approx(1.0, abs=0.01)
    assert rows["average"]["error_share"] == 0.0 and rows["its own"]["error_share"] == 1.0
    stranger = rows["another person's"]["error_share"]
    assert isinstance(stranger, float) and stranger < 0 and rows["mean of 2 others"]["pairs"] == 6
    # Only pairs with a's third photo are apart, both ways round.
    weighted = [rows["one other photo's"][name] for name in ("pairs", "15_deg_share")]
    assert weighted == [12, pytest.approx(1.0, abs=0.01)] and "30_deg_share" not in rows["average"]
    assert "AUC 1.000" in table.notes[-1] and "ratio 0.000" in table.notes[-1]


def test_distances_of_heads_are_those_of_their_vertices() -> None:
    """Against the vertices themselves."""
    from deca_training.model import face_vertices

    head = load_head()
    shape_NS = np.random.default_rng(1).normal(0, 1, (3, 10))
    verts_NV3 = 1000 * np.einsum("vcs,ns->nvc", head.shape_dirs_V3S[face_vertices(head).numpy()][..., :10], shape_NS)
    apart = [np.sqrt(np.square(verts_NV3[a] - verts_NV3[b]).sum(1).mean()) for a, b in ((0, 1), (0, 2), (1, 2))]
    (note,) = separation_notes(head, np.array(["a", "a", "b"]), shape_NS)
    assert f"within people {apart[0]:.2f} mm, between {np.mean(apart[1:]):.2f} mm" in note


def test_a_folder_without_such_people_says_so(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no photos"):
        People.of(tmp_path, "report", None, 3, Landmarks(None))
