"""Detail codes of synthetic subjects: what they say of the people, and their file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deca_training.data.synthetic import SyntheticSubjects
from deca_training.data.synthetic.codes import principal_codes, subject_codes
from deca_training.data.synthetic.generate import generate


def test_codes_say_what_differs() -> None:
    """Vectors of three components are linear in the first three coefficients; NumPy's own SVD gives the variances."""
    rng = np.random.default_rng(0)
    vectors_NX = 5 + rng.normal(size=(40, 3)) * (9, 3, 1) @ rng.normal(size=(3, 200))
    codes_ND = principal_codes(list(vectors_NX), 6)
    assert codes_ND.shape == (40, 6) and np.abs(codes_ND[:, 3:]).max() < 1e-2
    known_NX = np.column_stack((codes_ND[:, :3], np.ones(40)))
    explained_NX = known_NX @ np.linalg.lstsq(known_NX, vectors_NX, rcond=None)[0]
    assert np.abs(explained_NX - vectors_NX).max() < 1e-3
    singular = np.linalg.svd(vectors_NX - vectors_NX.mean(0), compute_uv=False)
    assert codes_ND[:, :3].var(0) == pytest.approx(singular[:3] / singular[0], rel=1e-3)


def test_more_coefficients_than_people_are_zero() -> None:
    assert principal_codes([np.zeros(4), np.ones(4)], 5)[:, 2:].any() == np.False_


def test_codes_are_kept_until_there_are_more_people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generate(tmp_path, subjects=2, images=1)
    subjects = SyntheticSubjects(tmp_path)
    codes = subject_codes(subjects, 8)
    assert list(codes) == [subject.name for subject in subjects]
    assert len(SyntheticSubjects(tmp_path)) == 2  # the codes' file is nobody
    with monkeypatch.context() as patch:
        patch.setattr("deca_training.data.synthetic.codes.principal_codes", None)
        for part in subjects.split(0.5):
            again = subject_codes(part, 8) if part.num_subjects else codes
            assert all(np.array_equal(again[name], codes[name]) for name in codes)
    generate(tmp_path, subjects=3, images=1)
    assert len(subject_codes(SyntheticSubjects(tmp_path), 8)) == 3
    assert len(next(iter(subject_codes(subjects, 4).values()))) == 4


def test_several_processes_make_the_same_people(tmp_path: Path) -> None:
    generate(tmp_path / "here", subjects=3, images=1, outside=1.0)
    generate(tmp_path / "there", subjects=1, images=1, outside=1.0)
    generate(tmp_path / "there", subjects=3, images=1, outside=1.0, processes=2)
    here, there = (SyntheticSubjects(tmp_path / name) for name in ("here", "there"))
    assert [path.name for path in here.paths] == [path.name for path in there.paths] and len(here) == 3
    for one, other in zip(here, there, strict=True):
        np.testing.assert_allclose(one.landmarks478_KL2, other.landmarks478_KL2, atol=1e-5)
        np.testing.assert_allclose(one.offset_V3, other.offset_V3, atol=1e-7)
