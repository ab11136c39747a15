"""Shape sliders with names: the rule on made-up measures, and the bundled ones under the surveys' tape."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deca.errors import AssetError
from deca.head import load_head
from deca.head.named_shapes import NamedShape, directions, load_named_shapes, save_named_shapes
from deca_training.anthropometry.shape_sliders import (
    SLIDERS,
    SliderTape,
    measured_cross_talk,
    regress,
)
from deca_training.anthropometry.shape_sliders import directions as slider_directions


def test_regression_and_directions_on_linear_measures() -> None:
    random = np.random.default_rng(0)
    sensitivities_NS = random.normal(size=(4, 30)) * [[1.0], [5.0], [0.2], [3.0]]
    codes_HS = random.normal(size=(90, 30))
    found_NS = regress(codes_HS, 7 + codes_HS @ sensitivities_NS.T)
    assert np.abs(found_NS - sensitivities_NS).max() < 1e-9
    deviations_N = np.linalg.norm(sensitivities_NS, axis=1)
    apart_NS = slider_directions(found_NS, ridge=0.0)
    assert np.abs((apart_NS @ sensitivities_NS.T) / deviations_N - np.eye(4)).max() < 1e-9
    # Among the codes that do so it is the shortest: what has no part in the measures is not in it.
    assert np.abs(apart_NS - apart_NS @ np.linalg.pinv(sensitivities_NS) @ sensitivities_NS).max() < 1e-9
    mixed_NS = slider_directions(found_NS, ridge=0.2)
    assert np.allclose(np.diag(mixed_NS @ sensitivities_NS.T) / deviations_N, 1)
    assert (np.linalg.norm(mixed_NS, axis=1) <= np.linalg.norm(apart_NS, axis=1)).all()
    with pytest.raises(ValueError, match="do not tell"):
        regress(codes_HS[:30], codes_HS[:30, :1])


def test_bundled_sliders_move_their_own_measure() -> None:
    head = load_head()
    shapes = load_named_shapes(head)
    assert [shape.key for shape in shapes] == [slider.key for slider in SLIDERS]
    codes_NS = np.array([shape.code_S for shape in shapes])
    talk = measured_cross_talk(head, codes_NS, np.array([shape.deviation for shape in shapes]), is_fixed=True)
    assert np.abs(np.diag(talk.moved_NN) - 1).max() < 0.1
    assert talk.worst_N.max() < 0.35 and np.median(talk.worst_N) < 0.1
    assert talk.length_N.max() < 3.0  # an unlikely head, but a head


def test_surveys_tape_agrees_where_its_landmarks_do_not_jump() -> None:
    head = load_head()
    shapes = {shape.key: (row, shape) for row, shape in enumerate(load_named_shapes(head))}
    tape = SliderTape(head, is_fixed=False)
    before_N = tape(head.template_V3)
    for key in ("nose_width", "eye_distance", "mouth_width", "chin_forward", "face_length", "ears_out"):
        row, shape = shapes[key]
        change_N = tape(head.template_V3 + directions(head, [shape])[0]) - before_N
        assert 0.8 < change_N[row] / shape.deviation < 1.2, key


def test_files_belong_to_their_head(tmp_path: Path) -> None:
    head, path = load_head(), tmp_path / "named.safetensors"
    shape = NamedShape("jaw_width", "mm", 6.5, np.linspace(-1, 1, 300).astype(np.float32))
    save_named_shapes(path, head, [shape])
    (found,) = load_named_shapes(head, path)
    assert (found.key, found.unit, found.deviation) == ("jaw_width", "mm", 6.5)
    assert np.abs(found.code_S - shape.code_S).max() < 1e-3
    wanted_V3 = np.tensordot(head.shape_dirs_V3S, found.code_S, 1)
    assert np.abs(directions(head, [found])[0] - wanted_V3).max() < 1e-6
    assert load_named_shapes(head, tmp_path / "missing.safetensors") == ()

    class OtherHead:
        hash = "another"

    assert load_named_shapes(OtherHead(), path) == ()  # type: ignore[arg-type]
    (tmp_path / "broken.safetensors").write_bytes(path.read_bytes()[:60])
    with pytest.raises(AssetError):
        load_named_shapes(head, tmp_path / "broken.safetensors")
