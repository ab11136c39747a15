"""Job descriptions for farms: what they run is what `deca` takes, and they run."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deca.cli import _parser

ROOT = Path(__file__).resolve().parents[2]
FARM = ROOT / "farm"
FLAMENCO, OPENJD, SLURM = (
    FARM / name for name in ("flamenco_deca_import.js", "openjd_deca_import.yaml", "slurm_deca_import.sh")
)
WORKER = Path(__file__).with_name("fake_batch_worker.py")
posix = pytest.mark.skipif(os.name == "nt", reason="shell scripts")


def parsed(arguments: list[str]) -> argparse.Namespace:
    return _parser().parse_args(arguments, argparse.Namespace(arguments=arguments))


@pytest.mark.parametrize("file", [FLAMENCO, OPENJD, SLURM, ROOT / "docs" / "farm.md"], ids=lambda path: path.name)
def test_options_are_those_of_the_commands(file: Path) -> None:
    commands = next(action.choices for action in _parser()._actions if isinstance(action.choices, dict))
    known = {option for name in ("import", "merge", "reconstruct") for option in commands[name]._option_string_actions}
    text = "\n".join(line for line in file.read_text(encoding="utf-8").splitlines() if "SBATCH" not in line)
    text = re.sub(
        r"sbatch .*? (?='deca|farm/)|openjd run .*|blender --command", "", text
    )  # which have options of their own
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))
    assert named and named <= known


@pytest.fixture(scope="module")
def heads_command(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`deca` with a Blender that only copies photos."""
    folder = tmp_path_factory.mktemp("bin")
    blender = folder / "blender"
    blender.write_text(f'#!/bin/sh\nexec {sys.executable} "{WORKER}"\n')
    deca = folder / "deca"
    paths = os.pathsep.join([str(ROOT), str(ROOT / "backend")])
    deca.write_text(f'#!/bin/sh\nDECA_BLENDER={blender} PYTHONPATH={paths} exec {sys.executable} -m deca.cli "$@"\n')
    for script in (blender, deca):
        script.chmod(0o755)
    return deca


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a", "b", "c", "d"):
        (folder / f"{name}.jpg").write_text("no face" if name == "b" else name)
    return folder


# ---- Flamenco --------------------------------------------------------------------------------------------------------

HARNESS = """
const fs = require("fs"), vm = require("vm");
const tasks = [];
const author = {
    Task: (name, type) => ({ name, type, commands: [], needs: [],
        addCommand(command) { this.commands.push(command); }, addDependency(task) { this.needs.push(task.name); } }),
    Command: (name, parameters) => ({ name, parameters }),
};
const context = vm.createContext({ author });
vm.runInContext(fs.readFileSync(process.argv[1], "utf8") + "; globalThis.JOB = JOB_TYPE;", context);
const settings = Object.fromEntries(context.JOB.settings.map(each => [each.key, each.default]));
Object.assign(settings, JSON.parse(process.argv[2]));
context.job = { settings, addTask: task => tasks.push(task) };
vm.runInContext("compileJob(job)", context);
console.log(JSON.stringify({ type: context.JOB, tasks }));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")
def test_flamenco_compiles_shares_and_a_merge() -> None:
    given = {"photos": "/p h", "out": "/out", "shares": 3, "one_person": True}
    done = subprocess.run(
        ["node", "-e", HARNESS, str(FLAMENCO), json.dumps(given)], capture_output=True, text=True, check=True
    )
    compiled = json.loads(done.stdout)
    *shares, merge = compiled["tasks"]
    assert [task["name"] for task in shares] == [f"import-{number}-of-3" for number in (1, 2, 3)]
    assert merge["needs"] == [task["name"] for task in shares]
    for number, task in enumerate(shares, 1):
        (command,) = task["commands"]
        assert (command["name"], command["parameters"]["exe"], task["type"]) == ("exec", "deca", "misc")
        options = parsed(command["parameters"]["args"])
        assert (options.photos, options.out) == ([Path("/p h")], Path("/out"))
        assert (options.chunk.number, options.chunk.of, options.threads) == (number, 3, 1)
        assert options.resume and options.recursive and options.one_person and options.exit_zero
    assert parsed(merge["commands"][0]["parameters"]["args"]).catalogue == "catalogue"
    types = {"string", "int32", "float", "bool"}
    assert {setting["type"] for setting in compiled["type"]["settings"]} <= types


def test_flamenco_uses_the_settings_that_it_has() -> None:
    """Read as text, so that it is also checked where there is no Node.js."""
    text = FLAMENCO.read_text(encoding="utf-8")
    declared = re.findall(r'\{ key: "(\w+)"', text)
    used = set(re.findall(r"settings\.(\w+)", text))
    assert set(declared) == used and len(declared) == len(set(declared))
    assert re.search(r"^const JOB_TYPE = \{", text, re.M) and re.search(r"^function compileJob\(job\) \{", text, re.M)
    for opening, closing in ("()", "[]", "{}"):
        assert text.count(opening) == text.count(closing)


# ---- Open Job Description --------------------------------------------------------------------------------------------


@posix
def test_openjd_runs_the_template(heads_command: Path, photos: Path, tmp_path: Path) -> None:
    """Both shares and the merge; a photo that fails does not fail the job, and the runner understands the progress."""
    out = tmp_path / "heads"
    values = {"Photos": photos, "Out": out, "Shares": 2, "Jobs": 1, "Catalogue": "", "Deca": heads_command}
    command = [sys.executable, "-m", "openjd", "run", str(OPENJD), "--step", "Merge", "--run-dependencies"]
    for key, value in values.items():
        command += ["-p", f"{key}={value}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert sorted(path.name for path in out.glob("*.blend")) == ["a.blend", "c.blend", "d.blend"]
    assert "openjd_progress: 100.0" in done.stdout and "1 failed" in done.stdout
    report = (out / "deca-report" / "report.csv").read_text(encoding="utf-8")
    assert report.count("\n") == 5 and "'no face'" in report
    assert {"index.html", "index-1-of-2.html", "index-2-of-2.html"} <= set(os.listdir(out / "deca-report"))


# ---- Slurm -----------------------------------------------------------------------------------------------------------


@posix
@pytest.mark.parametrize("is_stopped", [False, True])
def test_slurm_shares_a_list_and_puts_itself_back(
    is_stopped: bool, heads_command: Path, photos: Path, tmp_path: Path
) -> None:
    """A signal reaches `deca`, which drops the photo; the task goes back into the queue and ends with 75."""
    if is_stopped:
        (photos / "c.jpg").write_text("sleep")
    names = [f"photos/{name}.jpg" for name in "abcd"]
    (tmp_path / "photos.txt").write_text("\n".join(names))
    scontrol = tmp_path / "scontrol"
    scontrol.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/requeued\n')
    scontrol.chmod(0o755)
    slurm = {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_MAX": "2", "SLURM_ARRAY_JOB_ID": "7"}
    path = os.pathsep.join([str(heads_command.parent), str(tmp_path), os.environ["PATH"]])
    with subprocess.Popen(
        ["bash", str(SLURM), "photos.txt", "heads"],
        cwd=tmp_path,
        env=os.environ | slurm | {"PATH": path},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        if is_stopped:
            assert process.stdout is not None and process.stdout.readline().startswith('{"photo"')  # that of a.jpg
            time.sleep(0.2)
            process.send_signal(signal.SIGTERM)
        assert process.wait(60) == (75 if is_stopped else 0)
    made = sorted(path.name for path in (tmp_path / "heads").glob("*.blend"))
    assert made == (["a.blend"] if is_stopped else ["a.blend", "c.blend"])
    requeued = tmp_path / "requeued"
    assert (requeued.read_text() if requeued.exists() else "") == ("requeue 7_1\n" if is_stopped else "")
