"""The batch engine with workers that are no Blender: what is done, told, resumed, and what a kill leaves."""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import re
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from deca import __version__ as deca_version
from deca_blender import __version__
from deca_blender.batch import command, engine, ledger, report
from deca_blender.batch.ledger import PICTURE, Ledger
from deca_blender.batch.plan import FOLDER, SUFFIXES, PlanError, Recipe, Settings, import_arguments, photos_hash, plan
from deca_blender.batch.progress import Bar, OpenJd
from deca_blender.batch.watched import Watched
from deca_blender.batch.workers import Elsewhere, Here, WorkerError
from deca_blender.core.export import FORMATS, ExportOptions
from deca_blender.protocol import batch
from deca_blender.protocol.photos import FoundPerson, FoundPhoto, find_photos

ROOT = Path(__file__).resolve().parents[2]
FAKE = Path(__file__).with_name("fake_batch_worker.py")
RECIPE = Recipe(tool="1", head_hash="h", weights_hash="w")
posix = pytest.mark.skipif(os.name == "nt", reason="signals")


class Lines:
    """Keeps what is told."""

    def __init__(self) -> None:
        self.lines: list[dict] = []

    def line(self, line: dict, totals: engine.Totals) -> None:
        self.lines.append(line)

    def end(self, totals: engine.Totals) -> None:
        pass


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def photos(tmp_path: Path) -> list[FoundPhoto]:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in "abcdef":
        (folder / f"{name}.jpg").write_text(f"photo {name}")
    return find_photos([folder])


def make(found: FoundPhoto, into: Path) -> dict[str, object]:
    """A worker's work: a file of the photo's bytes, and a picture."""
    if found.name == "c":
        raise KeyError("no face")
    stem = found.name.rpartition("/")[2]
    (into / f"{stem}.blend").write_bytes(b"made of " + found.path.read_bytes())
    (into / PICTURE).write_bytes(b"jpeg")
    return {"landmark_error": 0.01}


def here(work: Callable = make, is_final: bool = True) -> Callable[[], Here]:
    return lambda: Here(work, (KeyError,), lambda error: is_final and isinstance(error, KeyError))


def run(photos: list[FoundPhoto], out: Path, work: Callable = make, recipe: Recipe = RECIPE, **how) -> engine.Totals:
    return engine.run(photos, here(work), Ledger(out), recipe, Lines(), **how)


def made(out: Path) -> list[str]:
    """Results and reports below a folder."""
    return sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())


# ---- kill and resume -------------------------------------------------------------------------------------------------


def kill_at(step: int, monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """Ends the process before the step-th change of the disk; whether it came to that."""
    count = 0

    def counted(change: Callable) -> Callable:
        def run(*arguments, **options):
            nonlocal count
            count += 1
            if count == step:
                raise Killed
            return change(*arguments, **options)

        return run

    for module, name in ((os, "replace"), (os, "mkdir"), (ledger.shutil, "rmtree")):
        monkeypatch.setattr(module, name, counted(getattr(module, name)))
    monkeypatch.setattr(Path, "write_bytes", counted(Path.write_bytes))
    monkeypatch.setattr(Path, "write_text", counted(Path.write_text))
    monkeypatch.setattr(Ledger, "drop", lambda self, work: None)  # which a killed process does not come to
    return lambda: count >= step


def test_killed_at_any_step_and_resumed_nothing_is_lost_and_nothing_twice(
    photos: list[FoundPhoto], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every change of the disk is once the last one; the state afterwards is that of a run that nobody killed."""
    whole = tmp_path / "whole"
    run(photos, whole)
    expected = made(whole)
    assert "a.blend" in expected and f"{FOLDER}/done/c.json" in expected and len(expected) == 5 + 5 + 6
    for step in range(1, 200):
        out, begun = tmp_path / f"{step}", Counter()

        def work(found: FoundPhoto, into: Path) -> dict[str, object]:
            begun[found.name] += 1  # noqa: B023
            return make(found, into)

        with monkeypatch.context() as patch:
            came_to_it = kill_at(step, patch)
            try:
                run(photos, out, work, mode="resume")
            except Killed:
                pass
            if not came_to_it():
                break
        before = set(begun)
        done = {record.name for record in Ledger(out).records()}
        again = run(photos, out, work, mode="resume")
        assert made(out) == expected and again.done == len(photos) and again.failed == 1
        assert (out / "b.blend").read_text() == "made of photo b"
        assert {name for name, times in begun.items() if times > 1} <= before - done  # at most what was being made
        assert all(times <= 2 for times in begun.values())
    else:
        pytest.fail("a run without end")
    assert step > 40


def test_what_is_done_is_not_made_again_and_failures_are_told_again(photos: list[FoundPhoto], tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = run(photos, out, mode="resume")
    assert (first.status, first.failed, first.skipped) == (1, 1, 0)

    def never(found: FoundPhoto, into: Path) -> dict[str, object]:
        raise AssertionError(found.name)

    again = run(photos, out, never, mode="resume")
    assert (again.status, again.failed, again.skipped) == (1, 1, 5)
    assert {line["error"] for line in again.lines if not line["ok"]} == {"'no face'"}


@pytest.mark.parametrize(
    "change",
    [
        {"weights_hash": "other"},
        {"head_hash": "other"},
        {"tool": "2"},
        {"texture_size": 512},
        {"paint_hair": True},
        {"formats": ("blend", "glb")},
    ],
    ids=lambda change: next(iter(change)),
)
def test_other_recipes_make_results_anew(change: dict, photos: list[FoundPhoto], tmp_path: Path) -> None:
    run(photos, tmp_path / "out", mode="resume")
    recipe = Recipe(**{**vars(RECIPE), **change})
    again = run(photos, tmp_path / "out", recipe=recipe, mode="resume")
    assert (again.done, again.skipped) == (6, 0)


def test_changed_photos_and_lost_or_half_made_results_are_made_anew(photos: list[FoundPhoto], tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(photos, out, mode="resume")
    photos[0].path.write_text("retouched")
    (out / "b.blend").unlink()
    (out / "d.blend").write_bytes(b"")  # what a full disk leaves
    worked = []

    def work(found: FoundPhoto, into: Path) -> dict[str, object]:
        worked.append(found.name)
        return make(found, into)

    assert run(photos, out, work, mode="resume").status == 1 and worked == ["a", "b", "d"]
    assert (out / "a.blend").read_text() == "made of retouched"


def test_the_users_files_stay(photos: list[FoundPhoto], tmp_path: Path) -> None:
    """What was never ours, and what was changed since; `overwrite` replaces both."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.blend").write_text("my own")
    run(photos, out, mode="resume")
    (out / "b.blend").write_text("three days of animation")
    again = run(photos, out, recipe=Recipe(**{**vars(RECIPE), "tool": "2"}), mode="resume")
    told = {Path(line["photo"]).stem: line for line in again.lines}
    assert told["a"]["skipped"] and "is there already" in told["a"]["error"]
    assert told["b"]["skipped"] and "was changed since" in told["b"]["error"]
    assert (out / "a.blend").read_text() == "my own" and (out / "b.blend").read_text() == "three days of animation"
    run(photos, out, mode="skip")
    assert (out / "a.blend").read_text() == "my own"
    run(photos, out, mode="overwrite")
    assert (out / "a.blend").read_text() == "made of photo a" and (out / "b.blend").read_text() == "made of photo b"


def test_failures_that_may_pass_are_tried_again(photos: list[FoundPhoto], tmp_path: Path) -> None:
    engine.run(photos, here(is_final=False), Ledger(tmp_path / "out"), RECIPE, Lines(), mode="resume")
    assert run(photos, tmp_path / "out", lambda found, into: {"x": 1}, mode="resume").failed == 0


def test_five_hindrances_in_a_row_end_the_batch_to_be_tried_again(photos: list[FoundPhoto], tmp_path: Path) -> None:
    def full(found: FoundPhoto, into: Path) -> dict[str, object]:
        raise OSError(28, "No space left on device")

    totals = run(photos, tmp_path / "out", full)
    assert (totals.status, totals.done) == (75, 5) and "No space left" in totals.why
    assert totals.summary()["left"] == 1
    assert run(photos, tmp_path / "out", mode="resume").failed == 1


def test_a_folder_that_cannot_be_written_fails_photo_by_photo(photos: list[FoundPhoto], tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    totals = run(photos[:2], tmp_path / "out")
    assert totals.status == 1
    assert all("could not be written" in line["error"] and "--out" in line["error"] for line in totals.lines)


@posix
def test_a_request_to_end_drops_the_photo_and_is_status_75(photos: list[FoundPhoto], tmp_path: Path) -> None:
    out = tmp_path / "out"

    def work(found: FoundPhoto, into: Path) -> dict[str, object]:
        done = make(found, into)
        if found.name == "b":
            signal.raise_signal(signal.SIGTERM)
        return done

    totals = run(photos, out, work)
    assert (totals.status, totals.done) == (75, 1) and "asked to end" in totals.why
    assert made(out) == ["a.blend", f"{FOLDER}/done/a.json", f"{FOLDER}/pictures/a.jpg"]
    assert not list((out / FOLDER).glob("work/*"))


def test_damaged_records_are_none(photos: list[FoundPhoto], tmp_path: Path) -> None:
    run(photos, tmp_path)
    for number, text in enumerate(("", "[]", '{"format": "deca-done", "version": 99}', "{}", "null")):
        (tmp_path / FOLDER / "done" / f"{'abdef'[number]}.json").write_text(text)
    assert [record.name for record in Ledger(tmp_path).records()] == ["c"]


# ---- plans -----------------------------------------------------------------------------------------------------------


def options(*arguments: str | Path) -> argparse.Namespace:
    return argparse.ArgumentParser(parents=[import_arguments()]).parse_args(list(map(str, arguments)))


def test_chunks_share_all_photos_and_names_do_not_depend_on_them(tmp_path: Path) -> None:
    for folder in ("1", "2", "3"):
        (tmp_path / folder).mkdir()
        for name in ("me.jpg", "you.png", f"{folder}.jpg"):
            (tmp_path / folder / name).touch()
    given = [*(tmp_path / folder for folder in "123"), "--out", tmp_path / "out"]
    everyone = {(found.path, found.name) for found in plan(options(*given))}
    shares = [plan(options(*given, "--chunk", f"{number}/4")) for number in range(1, 5)]
    assert [len(share) for share in shares] == [3, 2, 2, 2]
    assert {(found.path, found.name) for share in shares for found in share} == everyone
    assert len({name for _, name in everyone}) == 9


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "1/0", "a/b", "-1/4", "1/4/4", "/", "²/4"])
def test_shares_that_are_none(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        options("a.jpg", "--out", tmp_path, f"--chunk={text}")
    assert stop.value.code == 2 and "is no share" in capsys.readouterr().err


@pytest.mark.parametrize(
    "wrong",
    [["--jobs", "0"], ["--format", "stl"], ["--resume", "--overwrite"], ["--progress", "x"], ["--list", ""]],
    ids=" ".join,
)
def test_wrong_usage(wrong: list[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stop:
        options("a.jpg", "--out", tmp_path, *wrong)
    assert stop.value.code == 2


def test_lists_are_relative_to_themselves(tmp_path: Path) -> None:
    (tmp_path / "photos.txt").write_bytes(os.fsencode("a.jpg\n\n/else/where/b é.jpg\r\n#c.jpg\n"))
    found = plan(options("--list", tmp_path / "photos.txt", "--out", tmp_path / "out"))
    assert [each.path for each in found] == [tmp_path / "a.jpg", Path("/else/where/b é.jpg"), tmp_path / "#c.jpg"]
    with pytest.raises(PlanError, match="cannot be read"):
        plan(options("--list", tmp_path / "missing.txt", "--out", tmp_path / "out"))
    with pytest.raises(PlanError, match="no photos"):
        plan(options("--out", tmp_path / "out"))


def test_sub_folders_are_part_of_names_and_results_are_no_photos(tmp_path: Path) -> None:
    out = tmp_path / "heads"
    for path in ("me.jpg", "ann/1.jpg", "ann/x: y/2.jpg", "bob/1.jpg", "ann/.hidden/3.jpg", "heads/deca-report/4.jpg"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    if os.name == "posix":
        (tmp_path / "bob" / "back").symlink_to(tmp_path)  # which would go on for ever
    found = plan(options(tmp_path, "--recursive", "--out", out))
    assert [each.name for each in found] == ["me", "ann/1", "ann/x_ y/2", "bob/1"]
    (tmp_path / FOLDER / "pictures").mkdir(parents=True)
    (tmp_path / FOLDER / "pictures" / "me.jpg").touch()
    beside = plan(options(tmp_path, "--recursive", "--out", out / ".."))  # results go to the photos' own folder
    assert [each.name for each in beside if each.name.startswith(FOLDER)] == [] and len(beside) == 5
    people = plan(options(tmp_path / "ann", "--recursive", "--one-person", "--out", out))
    assert [(each.name, len(each.photos)) for each in people if isinstance(each, FoundPerson)] == [
        ("ann", 1),
        ("x_ y", 1),
    ]
    totals = run(found, out, mode="resume")
    assert totals.status == 0 and {"ann/1.blend", "ann/x_ y/2.blend", "deca-report/done/ann/1.json"} < set(made(out))
    assert run(found, out, mode="resume").skipped == 4


def test_people_are_known_by_all_their_photos(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text(name)
    one, two = (FoundPerson(tmp_path / "a", "a", photos=tuple(tmp_path / n for n in names)) for names in ("a", "ab"))
    assert len({photos_hash(one), photos_hash(two), photos_hash(FoundPhoto(tmp_path / "b", "b"))}) == 3
    assert photos_hash(one) == photos_hash(FoundPhoto(tmp_path / "a", "a"))
    assert photos_hash(FoundPhoto(tmp_path / "gone", "x")) == photos_hash(FoundPhoto(tmp_path, "x")) == ""


def test_formats_and_versions_are_the_products() -> None:
    exported = {name: ExportOptions(format=name).suffix for name in FORMATS if name in SUFFIXES}
    assert exported == {name: suffix for name, suffix in SUFFIXES.items() if name != "blend"}
    manifest = (ROOT / "blender_manifest.toml").read_text(encoding="utf-8")
    assert __version__ == deca_version and f'\nversion = "{__version__}"\n' in manifest


# ---- worker processes ------------------------------------------------------------------------------------------------


def elsewhere(**env: str) -> Callable[[], Elsewhere]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"} | env
    return lambda: Elsewhere([sys.executable, str(FAKE)], Settings(), environment)


def test_jobs_side_by_side_and_a_worker_that_dies(
    photos: list[FoundPhoto], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The photo that killed its worker has failed, the others follow; what else the worker prints goes to stderr."""
    photos[1].path.write_text("die")
    told = Lines()
    totals = engine.run(photos, elsewhere(), Ledger(tmp_path / "out"), RECIPE, told, jobs=2)
    by_name = {Path(line["photo"]).stem: line for line in told.lines}
    assert sorted(by_name) == list("abcdef") and (totals.status, totals.failed) == (1, 1)
    assert "(exit status 3)" in by_name["b"]["error"] and by_name["b"]["retry"]
    assert (tmp_path / "out" / "f.blend").read_text() == "photo f"
    captured = capfd.readouterr()
    assert "half a line" in captured.err and not captured.out


def test_a_worker_that_cannot_be_started_is_to_be_tried_again(photos: list[FoundPhoto], tmp_path: Path) -> None:
    worker = lambda: Elsewhere([str(tmp_path / "none")], Settings(), {})  # noqa: E731
    for jobs in (1, 2):
        totals = engine.run(photos, worker, Ledger(tmp_path / "out"), RECIPE, Lines(), jobs=jobs)
        assert (totals.status, totals.done) == (75, 0) and "could not be started" in totals.why
    closed = Elsewhere([sys.executable, str(FAKE)], Settings(), {})
    closed.close()
    with pytest.raises(WorkerError):
        closed.work(photos[0], tmp_path)


@posix
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_request_to_end_ends_workers_at_work(jobs: int, photos: list[FoundPhoto], tmp_path: Path) -> None:
    for found in photos:
        found.path.write_text("sleep")
    out = tmp_path / "out"
    timer = threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGTERM))
    timer.start()
    started = time.monotonic()
    totals = engine.run(photos, elsewhere(), Ledger(out), RECIPE, Lines(), jobs=jobs)
    timer.cancel()
    assert (totals.status, totals.done) == (75, 0) and time.monotonic() - started < 30  # they would sleep for 60
    assert made(out) == []


@posix
def test_no_worker_outlives_the_process_that_has_started_it(photos: list[FoundPhoto], tmp_path: Path) -> None:
    photos[0].path.write_text("sleep")
    worker = elsewhere()()
    thread = threading.Thread(target=worker.work, args=(photos[0], tmp_path))
    thread.start()
    while worker._child is None:
        time.sleep(0.01)
    child = worker._child
    assert child.stdin is not None
    child.stdin.flush()
    child.stdin.close()  # what the kernel does for a killed process
    assert child.wait(20) == 75
    thread.join(20)


# ---- what is told ----------------------------------------------------------------------------------------------------


def test_the_command_writes_reports_that_say_what_became_of_each(
    photos: list[FoundPhoto], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    printed = io.StringIO()
    monkeypatch.setattr(sys, "stdout", printed)
    for name in command._THREADS:
        monkeypatch.setenv(name, "1")
    photos[0].path.rename(photos[0].path.with_name("=1+1.jpg"))
    (tmp_path / "empty").mkdir()
    chosen = options(photos[0].path.parent, tmp_path / "empty", "--out", out)
    assert command.run(chosen, lambda settings: here()(), tmp_path) == 1
    lines = [json.loads(line) for line in printed.getvalue().splitlines()]
    assert lines[-1] == {"summary": {"photos": 7, "failed": 2, "skipped": 0}}
    rows = list(csv.DictReader((out / FOLDER / "report.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["result"] for row in rows] == ["=1+1", "b", "c", "d", "e", "f", ""] or rows[0]["result"] == "'=1+1"
    assert rows[0]["result"].startswith("'") and rows[2]["error"].strip("'") == "no face"
    assert (out / FOLDER / "report.jsonl").read_text().count("\n") == 7
    html = (out / FOLDER / "index.html").read_text(encoding="utf-8")
    assert html.count("<figure") == 7 and html.count('class="bad"') == 2 and "no face" in html
    for link in re.findall(r'(?:src|href)="([^"]+)"', html):
        assert (out / FOLDER / link.replace("%3D", "=").replace("%2B", "+")).is_file(), link
    assert (
        command.run(options(*map(str, chosen.photos), "--out", out, "--exit-zero"), lambda s: here()(), tmp_path) == 0
    )
    share = options(photos[0].path.parent, "--out", out, "--chunk", "02/3", "--resume")
    assert command.run(share, lambda settings: here()(), tmp_path) == 0
    assert (out / FOLDER / "report-2-of-3.csv").read_text(encoding="utf-8").count("\n") == 3
    assert command.run(options("--out", out), lambda settings: here()(), tmp_path) == 2


def test_names_cannot_break_out_of_the_contact_sheet(tmp_path: Path) -> None:
    evil = '"><script>alert(1)</script>'
    rows = [
        report.Row(evil, {"photo": evil, "ok": True, "out": f"/x/{evil}.blend", "seconds": 1.0}, f"pictures/{evil}")
    ]
    rows.append(report.Row("", {"photo": evil, "ok": False, "error": evil}))
    assert "<script" not in report.sheet(rows, "2", ["index.html"], 0)


def test_contact_sheets_have_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "PAGE", 2)
    rows = [report.Row(str(n), {"photo": str(n), "ok": False, "error": "x"}) for n in range(5)]
    report.write(Ledger(tmp_path), rows)
    assert {"index.html", "index-page-2.html", "index-page-3.html"} < set(os.listdir(tmp_path / FOLDER))


def test_open_job_description_lines(capsys: pytest.CaptureFixture[str]) -> None:
    totals = engine.Totals(4, done=1, failed=1)
    told = OpenJd()
    told.line({"photo": "a", "ok": False, "error": "x"}, totals)
    told.end(totals)
    out = capsys.readouterr().out.splitlines()
    assert out[1:3] == ["openjd_progress: 25.0", "openjd_status: 1 of 4, 1 failed"]
    assert not any("openjd_fail" in line for line in out)  # photos fail, the task does not
    totals.why = "No room."
    told.end(totals)
    assert capsys.readouterr().out.splitlines()[-1] == "openjd_fail: No room."


def test_the_bar_stays_on_its_line_and_lists_failures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    totals = engine.Totals(2, done=2, failed=1, lines=[{"photo": "a\x1b[2J", "ok": False, "error": "two\nlines"}])
    bar = Bar(tmp_path / "index.html")
    bar.line(totals.lines[0], totals)
    drawn = capsys.readouterr().out
    assert drawn.startswith("\r[##") and len(drawn) < 60 and "\n" not in drawn and "\x1b" not in drawn
    bar.end(totals)
    assert "a [2J: two lines" in capsys.readouterr().out


def test_lines_have_what_they_had(photos: list[FoundPhoto], tmp_path: Path) -> None:
    totals = run(photos[:3], tmp_path / "out")
    line = totals.lines[0]
    assert list(line)[:3] == ["photo", "ok", "out"] and line["seconds"] >= 0
    assert line["out"] == str(tmp_path / "out" / "a.blend")
    assert batch.line(**line).endswith("\n")


# ---- watched from Blender --------------------------------------------------------------------------------------------


def test_a_batch_is_watched_and_stopped(tmp_path: Path) -> None:
    lines = ["Blender 4.5", '{"photo": "a", "ok": true}', '{"photo": "b", "ok": false, "error": "x"}']
    lines += ['{"photo": "c", "ok": false, "skipped": true, "error": "x"}', '{"summary": {"photos": 3}}']
    done = Watched([sys.executable, "-c", f"print({chr(10).join(lines)!r})"], os.environ)
    done.wait()
    assert done.is_done() and (done.made, done.failed, done.summary) == (1, 1, {"photos": 3})
    endless = Watched([sys.executable, "-c", "import time; time.sleep(60)"], os.environ)
    assert not endless.is_done()
    endless.stop()
    endless.wait()
    assert endless.is_done() and endless.summary is None
