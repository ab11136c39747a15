"""The benchmarks' folder layouts, written here with scans whose error is known, and the reports."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deca.errors import AssetError, DecaError, OptionError
from deca.head import load_head
from deca.reconstruct.models import Models
from deca_training.evaluate import feng, now
from deca_training.evaluate.alignment import Similarity
from deca_training.evaluate.curves import cumulative
from deca_training.evaluate.reports import read_report
from deca_training.evaluate.scan_benchmark import measure, neutral_face, predict, report, write_benchmark
from deca_training.evaluate.scans import TriangleMesh, write_prediction
from deca_training.evaluate.tables import Table

ROOM = Similarity(1.0, np.diag([1.0, -1.0, -1.0]), np.array([100.0, -50.0, 900.0]))
"""Where the scanner saw the heads."""


def face_of(seed: int) -> TriangleMesh:
    return neutral_face(load_head("openhead"), np.random.default_rng(seed).normal(size=30).astype(np.float32))


def write_scan(mesh: Path, landmarks: Path, face: TriangleMesh) -> None:
    mesh.parent.mkdir(parents=True, exist_ok=True)
    landmarks.parent.mkdir(parents=True, exist_ok=True)
    mesh.write_text("".join("v {:.6f} {:.6f} {:.6f}\n".format(*point) for point in ROOM(face.verts_V3)))
    if landmarks.suffix == ".pp":
        rows = "".join('<point x="{}" y="{}" z="{}" active="1" name="p"/>'.format(*p) for p in ROOM(face.landmarks_73))
        landmarks.write_text(f"<PickedPoints>{rows}</PickedPoints>")
    else:
        np.savetxt(landmarks, ROOM(face.landmarks_73))


def write_now(folder: Path, subjects: int = 2) -> list[str]:
    names = []
    release = folder / "final_release_version"
    for subject in range(subjects):
        name = f"FaMoS_{subject}_TA"
        write_scan(
            release / "scans" / name / "scan.obj", release / "scans_lmks_onlypp" / name / "l.pp", face_of(subject)
        )
        for challenge in now.CHALLENGES:
            names.append(f"{name}/{challenge}/IMG_{subject}.jpg")
            image = release / "iphone_pictures" / names[-1]
            image.parent.mkdir(parents=True)
            Image.new("RGB", (64, 64)).save(image)
    (folder / "imagepathsvalidation.txt").write_text("\n".join(names) + "\n")
    return names


def write_predictions(folder: Path, names: list[str], rng: np.random.Generator, others: bool = False) -> None:
    """The true faces, or those of the other subject, in frames and units of their own."""
    for name in names:
        face = face_of(int(name.split("_")[1]) ^ others)
        rot = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        by = Similarity(float(rng.uniform(0.5, 2)), rot * np.sign(np.linalg.det(rot)), rng.normal(0, 50, 3))
        moved = TriangleMesh(by(face.verts_V3), face.faces_F3, by(face.landmarks_73))
        write_prediction((folder / name).with_suffix(""), moved)


@pytest.fixture
def now_folder(tmp_path: Path) -> tuple[Path, list[str]]:
    return tmp_path / "now", write_now(tmp_path / "now")


def test_true_faces_have_no_error(tmp_path, now_folder) -> None:
    folder, names = now_folder
    write_predictions(tmp_path / "p", names, np.random.default_rng(0))
    cases = now.now_cases(folder)
    assert [f"{case.name}.jpg" for case in cases] == names
    errors = measure(cases, tmp_path / "p", now.PROTOCOL, "truth")
    table, curves = report(cases, errors, now.PROTOCOL)
    assert [row["group"] for row in table.rows] == ["neutral", "expression", "occlusion", "selfie", "all"]
    assert [row["measured"] for row in table.rows] == [2, 2, 2, 2, 8]
    assert table.rows[-1]["median_mm"] < 1e-3 and table.rows[-1]["mean_mm"] < 1e-3
    assert curves["all"].percent[-1] == 100
    assert not any("INCOMPLETE" in note for note in table.notes)


def test_other_peoples_faces_have_one(tmp_path, now_folder) -> None:
    folder, names = now_folder
    write_predictions(tmp_path / "p", names, np.random.default_rng(0), others=True)
    cases = now.now_cases(folder)
    table, _ = report(cases, measure(cases, tmp_path / "p", now.PROTOCOL, "swapped"), now.PROTOCOL)
    assert 0.2 < table.rows[-1]["median_mm"] < 5


def test_missing_and_damaged_predictions_are_counted(tmp_path, now_folder) -> None:
    folder, names = now_folder
    write_predictions(tmp_path / "p", names, np.random.default_rng(0))
    stems = [(tmp_path / "p" / name).with_suffix("") for name in names]
    Path(f"{stems[0]}.obj").unlink()
    Path(f"{stems[1]}.npy").unlink()
    Path(f"{stems[1]}.txt").unlink()
    Path(f"{stems[2]}.obj").write_text("v 0 0\n")
    cases = now.now_cases(folder)
    out = tmp_path / "out"
    table = write_benchmark(out, "now", cases, measure(cases, tmp_path / "p", now.PROTOCOL, "m"), now.PROTOCOL)
    whole = table.rows[-1]
    assert (whole["images"], whole["measured"], whole["missing"], whole["failed"]) == (8, 5, 2, 1)
    assert any("INCOMPLETE: 2 predictions are missing and 1 could not be measured" in note for note in table.notes)
    with (out / "now_images.csv").open() as file:
        states = [row["state"] for row in csv.DictReader(file)]
    assert states[:2] == ["missing", "missing"] and "could not be read" in states[2]
    assert states[3:] == ["measured"] * 5
    with pytest.raises(AssetError, match="no prediction for any of the 8 images"):
        measure(cases, tmp_path / "nowhere", now.PROTOCOL, "m")


def test_reports_compare_methods(tmp_path, now_folder) -> None:
    folder, names = now_folder
    write_predictions(tmp_path / "p", names, np.random.default_rng(0))
    cases = now.now_cases(folder)
    errors = measure(cases, tmp_path / "p", now.PROTOCOL, "m")
    write_benchmark(tmp_path / "one", "now", cases, errors, now.PROTOCOL)
    for values in errors.distances.values():
        values += 1.0
    table = write_benchmark(tmp_path / "two", "now", cases, errors, now.PROTOCOL, [tmp_path / "one"])
    assert [row["method"] for row in table.rows] == ["m"] * 5 + ["m (2)"] * 5
    assert table.rows[4]["median_mm"] == pytest.approx(1 + table.rows[9]["median_mm"], abs=1e-3)
    files = {path.name for path in (tmp_path / "two").iterdir()}
    assert {
        "now.csv",
        "now.json",
        "now.md",
        "now_comparison.md",
        "now_curves.json",
        "now_all.png",
        "now_all.svg",
    } <= files
    assert len(json.loads((tmp_path / "two/now.json").read_text())["rows"]) == 5
    assert Image.open(tmp_path / "two/now_all.png").size[0] > 500
    rows, curves, _ = read_report(tmp_path / "two", "now")
    assert len(rows) == 5 and curves["m"]["all"].percent[-1] == 100 and curves["m"]["all"].percent[90] == 0
    with pytest.raises(AssetError, match="could not be read"):
        write_benchmark(tmp_path / "three", "now", cases, errors, now.PROTOCOL, [tmp_path / "none"])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: shutil.rmtree(f), "no folder"),
        (lambda f: (f / "imagepathsvalidation.txt").unlink(), "no image list"),
        (lambda f: (f / "imagepathsvalidation.txt").write_text("\n"), "is empty"),
        (lambda f: (f / "imagepathsvalidation.txt").write_text("a/b.jpg\n"), "not SUBJECT/CHALLENGE/IMAGE"),
        (lambda f: (f / "imagepathsvalidation.txt").write_text("a/b/c.jpg\n"), "not SUBJECT/CHALLENGE/IMAGE"),
        (lambda f: shutil.rmtree(f / "final_release_version/scans"), "0 files \\*.obj"),
        (lambda f: shutil.rmtree(f / "final_release_version/scans_lmks_onlypp"), "0 files \\*.pp"),
    ],
)
def test_bad_now_folders_are_named(now_folder, damage, message: str) -> None:
    damage(now_folder[0])
    with pytest.raises(OptionError, match=message) as caught:
        now.now_cases(now_folder[0])
    assert "SUBJECT" in str(caught.value) or "Challenges" in str(caught.value)


def write_feng(folder: Path) -> list[str]:
    names = []
    for seed, subject in enumerate(("F1001", "M1002")):
        write_scan(folder / f"scans/{subject}_N.obj", folder / f"scans/{subject}_N.txt", face_of(seed))
        for group in ("HQ", "LQ"):
            image = folder / f"2D/{group}/{subject}_{seed}_.jpg"
            image.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (64, 64)).save(image)
            names.append(f"{group}/{subject}_{seed}_")
    return names


def test_feng_has_low_and_high_quality(tmp_path) -> None:
    names = write_feng(tmp_path / "feng")
    write_predictions(tmp_path / "p", [f"{name}.jpg" for name in names], np.random.default_rng(0))
    cases = feng.feng_cases(tmp_path / "feng")
    assert sorted(case.name for case in cases) == sorted(names)
    table, _ = report(cases, measure(cases, tmp_path / "p", feng.PROTOCOL, "m"), feng.PROTOCOL)
    assert [(row["group"], row["measured"]) for row in table.rows] == [("LQ", 2), ("HQ", 2), ("all", 4)]
    assert table.rows[-1]["median_mm"] < 1e-3


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: shutil.rmtree(f / "2D/HQ"), "no folder HQ"),
        (lambda f: [path.unlink() for path in (f / "2D/LQ").iterdir()], "no images"),
        (lambda f: (f / "scans/F1001_N.obj").unlink(), "no scan for F1001_0_.jpg"),
        (lambda f: (f / "scans/F1001_N.txt").unlink(), "no landmarks for F1001_0_.jpg"),
        (lambda f: (f / "2D/HQ/F1001_0_.jpg").rename(f / "2D/HQ/who.jpg"), "subject unknown"),
    ],
)
def test_bad_feng_folders_are_named(tmp_path, damage, message: str) -> None:
    write_feng(tmp_path / "feng")
    damage(tmp_path / "feng")
    with pytest.raises(DecaError, match=message):
        feng.feng_cases(tmp_path / "feng")


def test_predictions_come_from_the_images(tmp_path, now_folder) -> None:
    """Black images have no face; a portrait has one, and its prediction is measured."""
    data = pytest.importorskip("skimage.data")
    folder, names = now_folder
    Image.fromarray(data.astronaut()).save(folder / "final_release_version/iphone_pictures" / names[0])
    (folder / "final_release_version/iphone_pictures" / names[1]).write_text("no image")
    cases = now.now_cases(folder)
    models = Models(load_head("openhead"))
    without = predict(cases, models, tmp_path / "p")
    assert set(without) == {case.name for case in cases[1:]}
    assert without[cases[2].name] == "no face was found"
    written = (tmp_path / "p" / f"{cases[0].name}.obj").stat().st_mtime_ns
    predict(cases[:1], models, tmp_path / "p")
    assert (tmp_path / "p" / f"{cases[0].name}.obj").stat().st_mtime_ns == written
    errors = measure(cases, tmp_path / "p", now.PROTOCOL, "fit")
    assert len(errors.missing) == 7
    assert 0.3 < np.median(errors.distances[cases[0].name]) < 5


def test_curves_count_what_lies_below() -> None:
    curve = cumulative(np.array([0.5, 1.5, 2.5, 9.0]), 4.0, 5)
    assert curve.errors == [0, 1, 2, 3, 4]
    assert curve.percent == [0, 25, 50, 75, 75]


def test_tables_in_three_formats(tmp_path) -> None:
    table = Table("T", notes=["careful"])
    table.add(method="a|b", value=1.23456789, count=3)
    table.add(method="c", other=None)
    assert table.markdown().splitlines()[2:5] == [
        "| method | value | count | other |",
        "| ------ | ----- | ----- | ----- |",
        "| a\\|b   | 1.235 | 3     |       |",
    ]
    assert table.markdown().endswith("\n- careful\n")
    table.write(tmp_path, "t")
    with (tmp_path / "t.csv").open() as file:
        assert next(csv.DictReader(file)) == {"method": "a|b", "value": "1.23456789", "count": "3", "other": ""}
    assert json.loads((tmp_path / "t.json").read_text())["rows"][0]["value"] == 1.23456789
