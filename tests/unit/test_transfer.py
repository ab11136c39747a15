"""What transfer takes from one face and what it leaves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deca.errors import OptionError
from deca.head import load_head
from deca.reconstruct.face import Face
from deca.reconstruct.transfer import interpolate_detail, transfer_expression, transfer_wrinkles

KEPT = ("shape_S", "camera_3", "crop_33", "albedo_A", "light_93")


def random_face(seed: int) -> Face:
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    return Face(
        photo=Path(f"{seed}.jpg"),
        index=0,
        head=load_head(),
        shape_S=normal(100),
        expression_E=normal(50),
        pose_53=0.1 * normal(5, 3),
        camera_3=normal(3),
        crop_33=np.eye(3),
        image_size=(100, 100),
        box=(0, 0, 1, 1),
        landmarks_L2=normal(478, 2),
        landmark_error=0.01,
        albedo_A=normal(50),
        light_93=normal(9, 3),
        detail_D=normal(128),
    )


def test_expression_and_jaw_alone_are_transferred() -> None:
    source, target = random_face(1), random_face(2)
    before = target.pose_53.copy()
    result = transfer_expression(source, target)
    assert np.array_equal(result.expression_E, source.expression_E)
    assert np.array_equal(result.pose_53[2], source.pose_53[2])
    assert np.array_equal(result.pose_53[[0, 1, 3, 4]], target.pose_53[[0, 1, 3, 4]])
    for name in (*KEPT, "detail_D"):
        assert np.array_equal(getattr(result, name), getattr(target, name))
    assert np.array_equal(target.pose_53, before)


def test_wrinkles_alone_are_transferred() -> None:
    source, target = random_face(1), random_face(2)
    result = transfer_wrinkles(source, target)
    assert result.detail_D is not None and source.detail_D is not None
    assert np.array_equal(result.detail_D, source.detail_D)
    for name in (*KEPT, "expression_E", "pose_53"):
        assert np.array_equal(getattr(result, name), getattr(target, name))


def test_details_are_interpolated_from_a_to_b() -> None:
    a, b = random_face(1), random_face(2)
    for t in (0, 0.25, 1):
        expected = (1 - t) * np.asarray(a.detail_D) + t * np.asarray(b.detail_D)
        assert np.allclose(np.asarray(interpolate_detail(a, b, t).detail_D), expected, atol=1e-6)
    assert np.array_equal(interpolate_detail(a, b, 1).shape_S, a.shape_S)


def test_faces_without_detail_or_of_other_heads_are_refused() -> None:
    a, b = random_face(1), random_face(2)
    with pytest.raises(OptionError, match="has no wrinkles"):
        transfer_wrinkles(replace(a, detail_D=None), b)
    stranger = replace(b, head=replace(b.head, hash="0" * 16, name="FLAME 2020"))
    for function in (transfer_expression, transfer_wrinkles, lambda s, t: interpolate_detail(s, t, 0.5)):
        with pytest.raises(OptionError, match="different head models"):
            function(a, stranger)
