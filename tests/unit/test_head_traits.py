"""Age and sex of a head model: read from its file, sent to Blender, and shapes of people whose traits are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deca.errors import AssetError
from deca.head import HeadModel, load_head
from deca.head.traits import Trait, shape_given
from deca.service.device import Device
from deca.service.handlers import make_handlers
from deca_blender.protocol.messages import DescribeHead, HeadReply
from tests.head_with_traits import AGE, SEX, trait_codes, write_head

DRAWS = 40_000


def test_a_head_file_says_what_it_knows(tmp_path: Path) -> None:
    head = HeadModel.load(write_head(tmp_path / "head.safetensors", trait_codes()))
    age, sex = head.traits
    assert (age.name, age.unit, age.mean, age.deviation) == ("age", "years", 45.0, 17.0)
    assert (sex.name, sex.deviation) == ("sex", 1.0)
    np.testing.assert_array_equal(np.stack((age.code_S, sex.code_S), 1), trait_codes())
    assert HeadModel.load(write_head(tmp_path / "old.safetensors", None)).traits == ()


@pytest.mark.parametrize(
    ("rows", "factor", "traits"),
    [(300, 1.0, [AGE]), (299, 1.0, [AGE, SEX]), (300, 2.0, [AGE, SEX]), (300, 1.0, [AGE, {"name": "sex"}])],
    ids=["three columns for two", "too short", "more than the spread", "incomplete"],
)
def test_traits_that_cannot_be_are_refused(tmp_path: Path, rows: int, factor: float, traits: list) -> None:
    path = write_head(tmp_path / "head.safetensors", trait_codes()[:rows] * np.float32(factor), traits)
    with pytest.raises(AssetError, match="do not fit together"):
        HeadModel.load(path)


def test_blender_hears_of_a_year(tmp_path: Path) -> None:
    def describe(request: DescribeHead) -> HeadReply:
        reply = make_handlers(Device("cpu"))[DescribeHead](request, lambda *_: None)
        assert isinstance(reply, HeadReply)
        return reply

    path = write_head(tmp_path / "head.safetensors", trait_codes())
    # However few directions are asked for, the whole code counts.
    sent = describe(DescribeHead(str(path), num_shape=3))
    assert sent.age_direction is not None
    dirs_V3S = load_head().shape_dirs_V3S.astype(np.float64)
    np.testing.assert_allclose(17 * sent.age_direction, dirs_V3S @ trait_codes()[:, 0], atol=1e-8)
    old = write_head(tmp_path / "old.safetensors", None)
    assert describe(DescribeHead(str(old))).age_direction is None


def draws(values: dict[str, float]) -> tuple[np.ndarray, np.ndarray]:
    """Shapes of people with these values, and the traits' codes in a head of four coefficients."""
    codes_ST = np.array([[0.7, 0.2], [-0.3, 0.5], [0.0, 0.1], [0.1, 0.0]], np.float32)
    traits = [Trait(**AGE, code_S=codes_ST[:, 0]), Trait(**SEX, code_S=codes_ST[:, 1])]
    noise_NS = np.random.default_rng(0).standard_normal((DRAWS, 4))
    return np.stack([shape_given(traits, values, noise_S) for noise_S in noise_NS]), codes_ST


@pytest.mark.parametrize("values", [{}, {"age": 71.0}, {"sex": -1.0, "age": 20.0}], ids=str)
def test_people_whose_traits_are_known(values: dict[str, float]) -> None:
    """Mean and covariance of the conditional normal distribution, by the textbook's formula for the joint one."""
    shapes_NS, codes_ST = draws(values)
    columns = [index for index, name in enumerate(("age", "sex")) if name in values]
    standard = {"age": (values.get("age", 0) - 45) / 17, "sex": values.get("sex", 0)}
    joint = np.eye(6)
    joint[:4, 4:], joint[4:, :4] = codes_ST, codes_ST.T
    known = [4 + index for index in columns]
    gain = joint[:4, known] @ np.linalg.inv(joint[np.ix_(known, known)])
    mean_S = gain @ np.array([standard[("age", "sex")[index]] for index in columns])
    covariance_SS = joint[:4, :4] - gain @ joint[known, :4]
    np.testing.assert_allclose(shapes_NS.mean(0), mean_S, atol=4 / np.sqrt(DRAWS))
    np.testing.assert_allclose(np.cov(shapes_NS.T), covariance_SS, atol=6 / np.sqrt(DRAWS))
