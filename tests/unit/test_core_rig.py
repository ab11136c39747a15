"""Names, drivers and ARKit arithmetic of the rig, checked without Blender."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deca_blender.core import arkit, rig

SMALL = st.floats(-3, 3, allow_subnormal=False)
FUNCTIONS = {"sqrt": math.sqrt, "pow": math.pow}


def evaluate(spec: rig.DriverSpec, values: dict[str, float]) -> float:
    """The expression as Blender computes it, with `values` by path."""
    names = {term.name: values[term.path] for term in spec.terms}
    return float(eval(spec.expression, {"__builtins__": {}} | FUNCTIONS | names))


@given(st.tuples(SMALL, SMALL, SMALL))
def test_axis_angle_parts_give_the_same_rotation(vector: tuple[float, float, float]) -> None:
    angle, axis = rig.axis_angle_parts(vector)
    assert np.allclose(angle * np.array(axis), vector, atol=1e-12)
    assert math.isclose(np.linalg.norm(axis), 1.0, rel_tol=1e-9)
    assert axis[0] >= 0


def test_axis_at_rest_opens_the_jaw() -> None:
    assert rig.axis_angle_parts((0, 0, 0)) == (0.0, (1.0, 0.0, 0.0))
    angle, axis = rig.axis_angle_parts((-0.2, 0, 0))
    assert angle == pytest.approx(-0.2) and axis == pytest.approx((1.0, 0.0, 0.0))


def some_map(seed: int, num_expression: int = 51) -> tuple[np.ndarray, list[str]]:
    """An ARKit map of the shape of the bundled one: one shape turns the jaw, four each eye."""
    random = np.random.default_rng(seed)
    names = [f"shape{index}" for index in range(52)]
    arkit_map = np.zeros((num_expression + 9, 52), np.float32)
    arkit_map[:num_expression] = random.normal(size=(num_expression, 52))
    arkit_map[num_expression, 24] = 0.42
    arkit_map[num_expression + 3 : num_expression + 6, [10, 12, 14, 16]] = random.normal(scale=0.2, size=(3, 4))
    arkit_map[num_expression + 6 :, [11, 13, 15, 17]] = random.normal(scale=0.2, size=(3, 4))
    return arkit_map, names


def test_arkit_directions_add_up_as_coefficients_do() -> None:
    arkit_map, _ = some_map(0)
    random = np.random.default_rng(1)
    directions, weights = random.normal(size=(20, 3, 51)), random.uniform(size=52)
    expected = np.zeros((20, 3))
    for shape in range(52):
        for coefficient in range(51):
            expected += weights[shape] * arkit_map[coefficient, shape] * directions[:, :, coefficient]
    got = np.tensordot(weights, rig.arkit_directions(directions, arkit_map), axes=1)
    assert np.abs(got - expected).max() < 1e-9


@pytest.mark.parametrize("joint", rig.ARKIT_JOINTS)
def test_arkit_rotation_is_the_weighted_sum_of_axis_angles(joint: str) -> None:
    arkit_map, names = some_map(2)
    random = np.random.default_rng(3)
    drivers = rig.arkit_rotation_drivers(arkit_map, names, joint)
    row = 51 + 3 * rig.ARKIT_JOINTS.index(joint)
    for _ in range(20):
        weights = random.uniform(-1, 2, 52)
        values = {f'key_blocks["{name}"].value': weight for name, weight in zip(names, weights, strict=True)}
        angle, *axis = (evaluate(spec, values) for spec in drivers)
        expected = arkit_map[row : row + 3].astype(np.float64) @ weights
        assert np.allclose(axis, expected, atol=1e-6)
        assert angle == pytest.approx(np.linalg.norm(expected), abs=1e-6)


def test_joint_without_arkit_rotation_stays_at_rest() -> None:
    arkit_map, names = some_map(0)
    arkit_map[51:] = 0
    assert [evaluate(spec, {}) for spec in rig.arkit_rotation_drivers(arkit_map, names, "jaw")] == [0, 0, 0, 0]


def test_expression_too_long_for_blender_is_refused() -> None:
    arkit_map, names = some_map(0)
    arkit_map[51:54, :20] = 0.123456
    with pytest.raises(ValueError, match="longer than Blender takes"):
        rig.arkit_rotation_drivers(arkit_map, names, "jaw")


@pytest.mark.parametrize("has_arkit_bone", [False, True])
def test_corrective_drivers_read_the_entries_of_the_rotation(has_arkit_bone: bool) -> None:
    random = np.random.default_rng(4)
    arkit_rotation, hand = random.normal(size=(2, 3, 3))
    values = {}
    for bone, matrix in (("jaw", hand), ("jaw_arkit", arkit_rotation)):
        for row in range(3):
            for column in range(3):
                values[f'pose.bones["{bone}"].matrix_basis[{column}][{row}]'] = matrix[row, column]
    total = (arkit_rotation @ hand if has_arkit_bone else hand) - np.eye(3)
    for row in range(3):
        for column in range(3):
            spec = rig.corrective_driver("jaw", row, column, has_arkit_bone)
            assert evaluate(spec, values) == pytest.approx(total[row, column])


def test_slider_groups_keep_every_name_once() -> None:
    names = ["browInnerUp", "eyeBlinkLeft", "cheekPuff", "noseSneerLeft", "jawOpen", "mouthSmileLeft", "tongueOut", "x"]
    groups = arkit.slider_groups(names)
    assert sorted(name for members in groups.values() for name in members) == sorted(names)
    assert groups["Mouth"] == ["mouthSmileLeft", "tongueOut"] and groups["Other"] == ["x"]
    assert arkit.label("mouthSmileLeft") == "Mouth Smile Left"


def test_search_finds_sliders_by_words_of_their_label() -> None:
    names = ["mouthSmileLeft", "mouthSmileRight", "eyeBlinkLeft", "jawOpen"]
    assert arkit.matching(names, "smile") == ["mouthSmileLeft", "mouthSmileRight"]
    assert arkit.matching(names, "LEFT  sm") == ["mouthSmileLeft"]
    assert arkit.matching(names, "") == names and arkit.matching(names, "ear") == []
