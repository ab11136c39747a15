"""The size of a head's mesh: anchors, the driver's expression, and on which side the surface faces."""

from __future__ import annotations

import math

import numpy as np
import pytest

from deca.head import load_head
from deca_blender.core.rig import LONGEST_EXPRESSION
from deca_blender.core.size import anchors, faces_outwards, size_driver

HEAD = load_head()
VERTS_V3, FACES_F3 = HEAD.template_V3.astype(np.float64), HEAD.faces_F3


def evaluate(spec, verts_V3: np.ndarray) -> float:
    """The expression as Blender computes it, with values read from `verts_V3`."""
    values = {}
    for term in spec.terms:
        vertex, axis = (int(part.split("]")[0]) for part in term.path.split("[")[1:])
        values[term.name] = verts_V3[vertex, axis]
    return eval(spec.expression, {"__builtins__": {}, "sqrt": math.sqrt, "pow": math.pow}, values)


@pytest.mark.parametrize(
    ("factors", "size"), [((1, 1, 1), 1), ((10, 10, 10), 10), ((-0.1, 0.1, 0.1), 0.1), ((1e-3,) * 3, 1e-3)]
)
def test_the_driver_measures_the_scale(factors: tuple[float, ...], size: float) -> None:
    spec = size_driver(VERTS_V3)
    assert evaluate(spec, VERTS_V3 * np.array(factors)) == pytest.approx(size, rel=1e-6)
    assert len(spec.expression) <= LONGEST_EXPRESSION


def test_an_uneven_scale_counts_on_every_axis() -> None:
    spec = size_driver(VERTS_V3)
    sizes = [evaluate(spec, VERTS_V3 * np.array(factors)) for factors in ((2, 1, 1), (1, 2, 1), (1, 1, 2))]
    assert all(1.1 < size < 1.8 for size in sizes), sizes


def test_it_holds_without_keys_and_by_what_the_missing_ones_were() -> None:
    spec = size_driver(VERTS_V3)
    assert evaluate(spec, np.zeros_like(VERTS_V3)) == 1
    rest = {term.name: term.rest for term in spec.terms}
    assert eval(spec.expression, {"sqrt": math.sqrt, "pow": math.pow}, rest) == pytest.approx(1, rel=1e-6)


def test_anchors_are_among_the_first_vertices() -> None:
    """So that they keep their numbers when neck, eyes or teeth are deleted."""
    first, second = anchors(VERTS_V3)
    is_deleted = (VERTS_V3[:, 1] < np.quantile(VERTS_V3[:, 1], 0.1)) | (HEAD.parts_V != 0)
    assert not is_deleted[: max(first, second) + 1].any()
    assert np.abs(VERTS_V3[first] - VERTS_V3[second]).min() > 0.01


def test_which_side_is_out() -> None:
    turned = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]])
    for matrix in (np.eye(3), 10 * turned, -2 * np.eye(3), np.diag([1.0, -1.0, 3.0])):
        for faces_F3, is_turned in ((FACES_F3, False), (FACES_F3[:, ::-1], True)):
            is_mirrored = np.linalg.det(matrix) < 0
            shifted_V3 = (VERTS_V3 @ matrix.T + 5).astype(np.float32)
            assert faces_outwards(shifted_V3, faces_F3) == (is_mirrored == is_turned)
