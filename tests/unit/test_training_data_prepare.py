"""Photo folders to an index: reasons, resuming, masks, shards, FAN."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import types
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import webdataset
from PIL import Image

from deca.errors import AssetError, OptionError
from deca.vision import read_photo
from deca_training.data import survey
from deca_training.data.augment import Augmentation
from deca_training.data.dataset import PhotoBatches
from deca_training.data.fan import _network
from deca_training.data.index import PhotoIndex
from deca_training.data.journal import Journal
from deca_training.data.order import SubjectOrder
from deca_training.data.prepare import main, prepare
from deca_training.data.storage import read_indexed_mask, read_indexed_photo
from tests.photo_folders import SIZE, SyntheticPhoto, make_photos

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[SyntheticPhoto]]:
    """A folder with good and bad photos, and the good ones of person0..2."""
    folder = tmp_path_factory.mktemp("data") / "Phötos of faces"
    photos = make_photos(folder, 3, 2)
    deep = folder / "person1" / "video" / "frame 1.png"
    deep.parent.mkdir()
    shutil.copy(folder / "person1/0.png", deep)
    (folder / "person2" / "broken.jpg").write_bytes(b"\xff\xd8 no photo")
    Image.new("RGB", (120, 120), (90, 120, 60)).save(folder / "person2" / "meadow.png")
    with Image.open(folder / "person0/0.png") as image:
        image.resize((SIZE[0] // 5, SIZE[1] // 5)).save(folder / "person0" / "tiny.png")
        image.save(folder / "nobody.png")
    (folder / "person0" / "notes.txt").write_text("no photo")
    (folder / "person0" / ".hidden.jpg").write_bytes(b"")
    pixels = np.asarray(Image.open(folder / "person0/0.png"))
    other = np.asarray(Image.open(folder / "person1/1.png"))
    (folder / "person3").mkdir()
    Image.fromarray(np.concatenate([pixels, other, other], 1)).save(folder / "person3" / "three.png")
    return folder, photos


@pytest.fixture(scope="module")
def index(made: tuple[Path, list[SyntheticPhoto]], tmp_path_factory: pytest.TempPathFactory) -> PhotoIndex:
    out = tmp_path_factory.mktemp("index") / "photos.npz"
    report = prepare(made[0], out)
    assert report.photos == 12 and report.used == 8 and report.subjects == 4 and report.several_faces == 1
    assert report.left_out == {
        "in no identity's folder": 1,
        "face too small": 1,
        "unreadable": 1,
        "no face": 1,
    }
    assert report.surveyed == 11
    stored = json.loads((out.parent / "photos.report.json").read_text())
    assert stored["photos_left_out"]["person2/broken.jpg"] == "unreadable"
    assert stored["used"] == 8 and "left out: no face" in report.table()
    return PhotoIndex.load(out)


def test_index_holds_the_true_landmarks(made: tuple[Path, list[SyntheticPhoto]], index: PhotoIndex) -> None:
    truth = {photo.name: photo for photo in made[1]}
    assert index.photos == sorted(index.photos, key=lambda name: name.split("/"))
    assert index.subject_names == ("person0", "person1", "person2", "person3")
    assert [index.subject_names[s] for s in index.subject_N] == [name.split("/")[0] for name in index.photos]
    assert "person1/video/frame 1.png" in index.photos
    for photo, name in enumerate(index.photos):
        if name not in truth:
            continue
        width = np.ptp(truth[name].landmarks478_L3[:, 0])
        for found, true in zip(
            index.landmarks_of(photo), (truth[name].landmarks68_L2, truth[name].landmarks478_L3), strict=True
        ):
            assert np.median(np.linalg.norm(found[:, :2] - true[:, :2], axis=1)) < 0.03 * width
        low, high = truth[name].landmarks478_L3[:, :2].min(0), truth[name].landmarks478_L3[:, :2].max(0)
        np.testing.assert_allclose(index.boxes_N4[photo], [*low, *high], atol=0.08 * width)
        assert tuple(index.sizes_N2[photo]) == SIZE
        assert index.disagreement_N[photo] < 0.1


def test_most_central_of_several_faces_is_meant(index: PhotoIndex) -> None:
    left, _, right, _ = index.boxes_N4[index.photos.index("person3/three.png")]
    assert SIZE[0] < left < right < 2 * SIZE[0]


@pytest.mark.slow
def test_processes_give_the_same_index(
    made: tuple[Path, list[SyntheticPhoto]], index: PhotoIndex, tmp_path: Path
) -> None:
    prepare(made[0], tmp_path / "photos.npz", workers=2)
    other = PhotoIndex.load(tmp_path / "photos.npz")
    assert other.photos == index.photos
    np.testing.assert_allclose(other.landmarks478_NL3, index.landmarks478_NL3, atol=1e-3)


@pytest.mark.slow
def test_a_killed_run_goes_on(made: tuple[Path, list[SyntheticPhoto]], index: PhotoIndex, tmp_path: Path) -> None:
    """Killed without warning, with workers; the run after it looks at the rest only, and nobody is left behind."""
    out = tmp_path / "photos.npz"
    journal = tmp_path / "photos.npz.mediapipe.journal"
    command = [sys.executable, "-m", "deca_training.data.prepare", "prepare", str(made[0])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / p) for p in (".", "backend", "training"))}
    process = subprocess.Popen([*command, "--out", str(out), "--workers", "1"], env=environment, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and not (journal.exists() and journal.read_bytes().count(b"\n") >= 2):
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.01)
    process.kill()
    process.communicate(timeout=60)  # ends when the last process that holds the pipe has ended: the workers too
    assert not out.exists()
    with journal.open("ab") as file:
        file.write(b'{"photo": "person0/1.p')  # a line that was cut off
    known = journal.read_bytes().count(b"\n")
    assert known >= 2
    report = prepare(made[0], out)
    assert report.surveyed == 11 - known
    assert PhotoIndex.load(out).photos == index.photos


def test_only_new_and_changed_photos_are_looked_at_again(tmp_path: Path) -> None:
    folder, out = tmp_path / "photos", tmp_path / "photos.npz"
    make_photos(folder, 2, 2)
    assert prepare(folder, out).surveyed == 4
    assert prepare(folder, out).surveyed == 0
    shutil.copy(folder / "person0/1.png", folder / "person1/9.png")
    Image.new("RGB", (99, 99)).save(folder / "person0/1.png")
    (folder / "person1/0.png").unlink()
    report = prepare(folder, out)
    assert report.surveyed == 2 and report.left_out == {"no face": 1}
    assert PhotoIndex.load(out).photos == ["person0/0.png", "person1/1.png", "person1/9.png"]
    assert prepare(folder, out, max_disagreement=0.04).used == 3


def test_damaged_lines_of_a_journal_are_looked_at_again(tmp_path: Path) -> None:
    folder, out = tmp_path / "photos", tmp_path / "photos.npz"
    make_photos(folder, 1, 3)
    prepare(folder, out)
    path = tmp_path / "photos.npz.mediapipe.journal"
    first, second, third = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + second.replace(b'"faces":1', b'"faces":\x00') + third)
    journal = Journal(path)
    stamps = [(folder / f"person0/{i}.png").stat() for i in range(3)]
    known = [journal.knows(f"person0/{i}.png", (s.st_size, s.st_mtime_ns)) for i, s in enumerate(stamps)]
    journal.close()
    assert known == [True, False, True]
    assert prepare(folder, out).surveyed == 1


def test_whatever_fails_with_a_photo_or_a_folder_stays_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "photos", tmp_path / "photos.npz"
    make_photos(folder, 1, 2)
    odd = "0.png" if os.name == "nt" else "caf\udce9"  # also without a suffix: it begins as a picture does
    (folder / "locked").mkdir()
    (folder / "person0" / "0.png").rename(folder / "person0" / odd)
    shutil.copy(folder / "person0" / odd, folder / "person0" / "crash.jpg")
    scandir, read = os.scandir, survey.read_photo

    def locked(path: str | Path):
        if str(path).endswith("locked"):  # permissions do not keep root out
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    def crashing(path: Path):
        if path.name == "crash.jpg":
            raise ZeroDivisionError("nobody foresaw this")
        return read(path)

    monkeypatch.setattr(os, "scandir", locked)
    monkeypatch.setattr(survey, "read_photo", crashing)
    report = prepare(folder, out)
    failed, unlisted = "failed (ZeroDivisionError)", "cannot be listed (Permission denied)"
    assert report.left_out == {failed: 1, unlisted: 1} and (report.photos, report.used) == (4, 2)
    assert sorted(PhotoIndex.load(out).photos) == ["person0/1.png", f"person0/{odd}"]
    assert "nobody foresaw this" in capsys.readouterr().err
    assert json.loads((tmp_path / "photos.report.json").read_text())["photos_left_out"]["locked/"] == unlisted
    monkeypatch.setattr(survey, "read_photo", read)
    report = prepare(folder, out)  # what failed for no known reason is looked at again
    assert (report.surveyed, report.used) == (1, 3)


def test_masks_of_the_user(tmp_path: Path) -> None:
    folder, masks, out = tmp_path / "photos", tmp_path / "masks", tmp_path / "photos.npz"
    make_photos(folder, 2, 2)
    rng = np.random.default_rng(0)
    wanted = {f"person{s}/{p}": rng.uniform(0, 1, (SIZE[1], SIZE[0])) < 0.5 for s in range(2) for p in range(2)}
    del wanted["person1/1"]
    for name, mask_HW in wanted.items():
        (masks / name).parent.mkdir(parents=True, exist_ok=True)
        if name == "person0/0":
            np.save(masks / f"{name}.npy", np.where(mask_HW, 0.9, 0.2).astype(np.float32))
        else:
            Image.fromarray(mask_HW.astype(np.uint8) * 255).save(masks / f"{name}.png")
    for shards in (False, True):
        assert prepare(folder, out, masks=masks, shards=shards).masks == 3
        index = PhotoIndex.load(out)
        for photo, name in enumerate(index.photos):
            read = read_indexed_mask(index, photo)
            if name == "person1/1.png":
                assert read is None
            else:
                assert read is not None
                np.testing.assert_array_equal(read == 255, wanted[name.removesuffix(".png")])
    (masks / "person0" / "0.npy").write_bytes(b"\x93NUMPY broken")
    prepare(folder, out, masks=masks)
    with pytest.raises(AssetError, match=r"person0/0\.npy is damaged"):
        read_indexed_mask(PhotoIndex.load(out), 0)


def test_shards_are_webdataset_and_give_the_same_batches(
    made: tuple[Path, list[SyntheticPhoto]], index: PhotoIndex, tmp_path: Path
) -> None:
    out = tmp_path / "photos.npz"
    report = prepare(made[0], out, shards=3)
    shards = sorted((tmp_path / "photos-shards").iterdir())
    assert [path.name for path in shards] == ["000000.tar", "000001.tar", "000002.tar"] and report.shards == 3
    sharded = PhotoIndex.load(out)

    samples = list(webdataset.WebDataset([str(path) for path in shards], shardshuffle=False).decode())
    assert [sample["json"]["photo"] for sample in samples] == index.photos
    assert samples[0]["json"]["subject"] == "person0"
    source = (made[0] / index.photos[3]).read_bytes()
    raw = list(webdataset.WebDataset([str(path) for path in shards], shardshuffle=False))
    assert raw[3]["png"] == source

    for photo in range(len(index)):
        np.testing.assert_array_equal(
            read_indexed_photo(sharded, photo).pixels, read_photo(made[0] / index.photo_name(photo)).pixels
        )
    order = SubjectOrder(index.num_subjects, 2, 2, seed=0)
    batch, same = (PhotoBatches(each, order, Augmentation())[1] for each in (sharded, index))
    assert batch.names == same.names
    torch.testing.assert_close(batch.image_B3HW, same.image_B3HW, atol=0.02, rtol=0)

    # Shards that are there and still right are kept; another number of photos makes others.
    times = [path.stat().st_mtime_ns for path in shards]
    prepare(made[0], out, shards=3)
    assert [path.stat().st_mtime_ns for path in shards] == times
    shards[1].write_bytes(shards[1].read_bytes()[:5000])
    prepare(made[0], out, shards=3)
    assert [path.stat().st_mtime_ns == old for path, old in zip(shards, times, strict=True)] == [True, False, True]
    assert prepare(made[0], out, shards=100).shards == 1
    assert [path.name for path in (tmp_path / "photos-shards").iterdir()] == ["000000.tar"]


def test_folders_without_photos_of_people(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no folder"):
        prepare(tmp_path / "nowhere", tmp_path / "a.npz")
    with pytest.raises(OptionError, match="no folders of photos"):
        prepare(tmp_path, tmp_path / "a.npz")
    (tmp_path / "somebody").mkdir()
    cv2.imwrite(str(tmp_path / "somebody" / "meadow.png"), np.full((80, 80, 3), 90, np.uint8))
    with pytest.raises(OptionError, match=r"None of the 1 photos .*no face"):
        prepare(tmp_path, tmp_path / "a.npz")
    with pytest.raises(OptionError, match=r"must end in \.npz"):
        prepare(tmp_path, tmp_path / "a.parquet")
    with pytest.raises(OptionError, match="per shard"):
        prepare(tmp_path, tmp_path / "a.npz", shards=-1)


def test_fan_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_photos(tmp_path / "photos", 1, 1)
    monkeypatch.setitem(sys.modules, "face_alignment", None)
    with pytest.raises(OptionError, match="pip install face-alignment"):
        prepare(tmp_path / "photos", tmp_path / "a.npz", landmarks="fan")
    fake = types.ModuleType("face_alignment.api")
    fake.models_urls = {"2DFAN-4": "https://example.org/fan/weights.pth.tar"}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "face_alignment", types.ModuleType("face_alignment"))
    monkeypatch.setitem(sys.modules, "face_alignment.api", fake)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    with pytest.raises(AssetError, match=r"weights.pth.tar do not exist.*Download https://example.org"):
        prepare(tmp_path / "photos", tmp_path / "a.npz", landmarks="fan")


def test_fan_gets_the_papers_boxes_and_its_landmarks_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for the package: the boxes that it is given, and what becomes of its answer."""
    folder = tmp_path / "photos"
    make_photos(folder, 1, 1)
    asked: list[np.ndarray] = []

    class FaceAlignment:
        def __init__(self, *_: object, **options: object) -> None:
            assert options["face_detector"] == "folder" and options["device"] == "cpu"

        def get_landmarks_from_image(self, pixels: np.ndarray, detected_faces: list[list[float]]) -> list[np.ndarray]:
            asked.append(np.array(detected_faces))
            answer = np.random.default_rng(0).uniform(50, 200, (68, 2))
            return [answer, answer + 1]

    fake = types.ModuleType("face_alignment.api")
    fake.models_urls = {"2DFAN-4": "https://example.org/fan/weights.pth.tar"}  # type: ignore[attr-defined]
    fake.LandmarksType = types.SimpleNamespace(TWO_D=1)  # type: ignore[attr-defined]
    fake.FaceAlignment = FaceAlignment  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "face_alignment", types.ModuleType("face_alignment"))
    monkeypatch.setitem(sys.modules, "face_alignment.api", fake)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "weights.pth.tar").write_bytes(b"")
    _network.cache_clear()
    prepare(folder, tmp_path / "a.npz", landmarks="fan")
    _network.cache_clear()
    index = PhotoIndex.load(tmp_path / "a.npz")
    left, top, right, bottom = index.boxes_N4[0].astype(float)
    width, height = right - left, bottom - top
    first = [left - 0.2 * width, top - 0.1 * height, right + 0.2 * width, bottom + 0.2 * height]
    second = np.add(first, (0.05 * width, 0.05 * height, 0.05 * width, 0.05 * height))
    np.testing.assert_allclose(asked[0], [first, second], atol=0.01)
    np.testing.assert_allclose(
        index.landmarks68_NL2[0], np.random.default_rng(0).uniform(50, 200, (68, 2)) + 0.5, atol=1e-4
    )
    assert index.disagreement_N[0] == pytest.approx(np.hypot(1 / width, 1 / height), abs=1e-4)
    assert index.landmarks == "fan" and index.landmarks478_NL3.shape == (1, 478, 3)


def test_command(
    made: tuple[Path, list[SyntheticPhoto]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "new folder" / "photos.npz"
    monkeypatch.setattr(
        sys, "argv", ["prepare", "prepare", str(made[0]), "--out", str(out), "--workers", "0", "--min-face", "20"]
    )
    assert main() == 0
    printed = capsys.readouterr().out
    assert "used" in printed and "with several faces" in printed and "face too small" not in printed
    assert len(PhotoIndex.load(out)) == 9
