"""The index file: what is read back, splits, pickling, damage."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deca.errors import AssetError
from deca_training.data.index import Entry, PhotoIndex, Place, write_index
from deca_training.data.journal import Finding

RNG = np.random.default_rng(0)
MARKS = RNG.uniform(0, 100, (500, 478, 3)).astype(np.float32)


def write(path: Path, names: list[str]) -> PhotoIndex:
    """An index of photos `subject/photo`, with the landmarks MARKS[row]."""
    findings = [
        Finding(
            name, (1, 2), faces=1, size=(i + 1, 7), box=(i, 1, 2, 3), disagreement=i / 1000, landmarks478_L3=MARKS[i]
        )
        for i, name in enumerate(names)
    ]
    entries = [Entry(name.split("/")[0], place=Place(0, 10 * i, 5)) for i, name in enumerate(names)]
    write_index(path, findings, entries, folder=path.parent, masks=None, landmarks="mediapipe")
    return PhotoIndex.load(path)


def names_of(subjects: range, photos: int = 2) -> list[str]:
    return [f"n{s:04d} é/{p}.jpg" for s in subjects for p in range(photos)]


def test_what_was_written_is_read(tmp_path: Path) -> None:
    index = write(tmp_path / "deep" / "er" / "photos.npz", names_of(range(3), 2))
    assert len(index) == 6 and index.num_subjects == 3
    assert index.photos == names_of(range(3), 2) and index.photo_name(4) == "n0002 é/0.jpg"
    np.testing.assert_array_equal(index.landmarks478_NL3, MARKS[:6])
    np.testing.assert_array_equal(index.landmarks_of(5)[1], MARKS[5])
    assert index.landmarks68_NL2.shape == (6, 68, 2)
    np.testing.assert_array_equal(index.landmarks68_NL2[2, 36], MARKS[2, 33, :2])  # outer corner of the right eye
    np.testing.assert_array_equal(index.sizes_N2[:, 0], range(1, 7))
    assert index.size_of(3) == (4, 7)
    np.testing.assert_array_equal(index.boxes_N4[:, 0], range(6))
    np.testing.assert_array_equal(index.subject_N, [0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(index.first_photo, [0, 2, 4, 6])
    assert index.place_of(5) == Place(0, 50, 5) and index.place_of(5, mask=True) == Place(-1, 0, 0)
    assert not [path for path in (tmp_path / "deep" / "er").iterdir() if path.name != "photos.npz"]


def test_landmarks_stay_on_disk(tmp_path: Path) -> None:
    index = write(tmp_path / "photos.npz", names_of(range(100), 5))
    assert isinstance(index._arrays["landmarks478_NL3"], np.memmap)
    assert len(pickle.dumps(index)) < 3000  # not the 2.9 MB of its landmarks


def test_pickled_parts_are_the_same(tmp_path: Path) -> None:
    part = write(tmp_path / "photos.npz", names_of(range(6))).subset([4, 1])
    copy = pickle.loads(pickle.dumps(part))
    assert copy.photos == part.photos == [*names_of(range(1, 2)), *names_of(range(4, 5))]
    np.testing.assert_array_equal(copy.landmarks478_NL3, MARKS[[2, 3, 8, 9]])
    np.testing.assert_array_equal(copy.landmarks_of(3)[1], MARKS[9])


def test_split_goes_by_the_subjects_names(tmp_path: Path) -> None:
    few = write(tmp_path / "few.npz", names_of(range(0, 100, 2), 2))
    many = write(tmp_path / "many.npz", names_of(range(100), 3))
    train, validation = few.split(0.3, seed=1)
    assert sorted(train.photos + validation.photos) == few.photos
    assert not set(train.subject_names) & set(validation.subject_names)
    assert 6 <= validation.num_subjects <= 24  # 15 expected; the probability of less or more is below 0.5 %
    train_many, validation_many = many.split(0.3, seed=1)
    assert set(train.subject_names) < set(train_many.subject_names)
    assert set(validation.subject_names) < set(validation_many.subject_names)
    assert set(few.split(0.3, seed=2)[1].subject_names) != set(validation.subject_names)
    assert few.split(0.0)[1].num_subjects == 0 == few.split(1.0)[0].num_subjects
    assert set(few.split(0.1)[1].subject_names) <= set(few.split(0.3)[1].subject_names)


def test_moved_photos(tmp_path: Path) -> None:
    write(tmp_path / "photos.npz", names_of(range(2)))
    index = PhotoIndex.load(tmp_path / "photos.npz", folder=tmp_path / "elsewhere")
    assert index.folder == tmp_path / "elsewhere"
    assert pickle.loads(pickle.dumps(index.subset([1]))).folder == tmp_path / "elsewhere"


def test_damaged_and_foreign_files(tmp_path: Path) -> None:
    path = tmp_path / "photos.npz"
    with pytest.raises(AssetError, match="does not exist"):
        PhotoIndex.load(path)
    write(path, names_of(range(20)))
    data = path.read_bytes()
    for broken in (b"", b"text", data[: len(data) // 2]):
        path.write_bytes(broken)
        with pytest.raises(AssetError, match=r"is not an index.*deca-train prepare"):
            PhotoIndex.load(path)
    np.savez(path, meta=np.array('{"format": "deca-photos", "version": 99}'))
    with pytest.raises(AssetError, match="version"):
        PhotoIndex.load(path)
    np.savez(path, meta=np.array([{}], object))
    with pytest.raises(AssetError, match="not an index"):
        PhotoIndex.load(path)


def test_a_finding_survives_its_line() -> None:
    finding = Finding(
        "a b/é\n.jpg", (3, 4), faces=2, size=(5, 6), box=(1.5, 2, 3, 4), score=0.5, landmarks478_L3=MARKS[0]
    )
    line = finding.to_json()
    assert "\n" not in line
    read = Finding.from_json(line)
    np.testing.assert_array_equal(read.landmarks478_L3, MARKS[0])
    assert replace(read, landmarks478_L3=None).__dict__ == replace(finding, landmarks478_L3=None).__dict__
    with pytest.raises(ValueError, match="damaged"):
        Finding.from_json('{"photo": "a"}')
