"""Runs each check in real Blender, in a process of its own.

Blenders: this interpreter's bpy module, `.venv-bpy52` of the checkout where it is, and the interpreters that the
environment variable DECA_BPY_PYTHONS lists (separated like PATH). A Blender that was named and does not run fails, and
so does having none at all; DECA_NO_BLENDER=1 says that there is to be none. A check counts what it ran, and one that
ran nothing fails, unless another Blender can run it.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CHECKS = sorted(HERE.glob("check_*.py"))
SECOND = ROOT / ".venv-bpy52" / "bin" / "python"
LIMIT_S = 240
SKIPPED = 77  # as blender_case.SKIPPED
NEEDS_TORCH = ("check_oracle",)
"""Checks of which a Blender's Python without torch can run nothing."""


def interpreters() -> list[Path]:
    listed = [Path(path) for path in os.environ.get("DECA_BPY_PYTHONS", "").split(os.pathsep) if path]
    found = [Path(sys.executable)] if importlib.util.find_spec("bpy") else []
    return list(dict.fromkeys([*found, *([SECOND] if SECOND.exists() else []), *listed]))


def test_there_are_checks_and_blenders() -> None:
    assert CHECKS
    if os.environ.get("DECA_NO_BLENDER"):
        pytest.skip("DECA_NO_BLENDER is set: the Blender checks do not run")
    assert interpreters(), (
        "No Blender to check with: install bpy (`make setup`), list interpreters that have it in DECA_BPY_PYTHONS, "
        "or set DECA_NO_BLENDER=1."
    )


CRASHES, TRIES = {"check_linked"}, 4
"""Checks in which Blender 4.5 itself dies at times, freeing a pointer the wrong way some while after objects with a
linked mesh were made local: run again then, with a warning. The cause is not found yet. A check that fails is not run
again."""


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the checks keep what they share."""
    return tmp_path_factory.mktemp("deca é ")


@pytest.mark.skipif(bool(os.environ.get("DECA_NO_BLENDER")), reason="DECA_NO_BLENDER is set")
@pytest.mark.parametrize("python", interpreters(), ids=lambda python: python.parent.parent.name)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.stem)
def test_in_blender(check: Path, python: Path, kept: Path) -> None:
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "backend"), str(HERE)]),
        "PYTHONUTF8": "1",
        "DECA_TEST_BACKEND": sys.executable,
        "DECA_TEST_FOLDER": str(kept),
        "DECA_CACHE": str(kept / "cache"),  # whose graphs other tests do not push out
        "OMP_NUM_THREADS": "1",
    }
    for _ in range(TRIES if check.stem in CRASHES else 1):
        done = subprocess.run(
            [python, check],
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=LIMIT_S,
            check=False,
        )
        if done.returncode >= 0:
            break
        warnings.warn(f"Blender crashed in {check.name} (signal {-done.returncode}).", stacklevel=1)
    if done.returncode == SKIPPED and check.stem in NEEDS_TORCH and python != Path(sys.executable):
        pytest.skip(done.stdout.strip().splitlines()[0])
    report = f"{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
    assert done.returncode == 0, report
    counts = re.findall(r"^(\d+) passed, 0 failed, \d+ skipped$", done.stdout, re.MULTILINE)
    assert counts and int(counts[-1]) > 0, f"{check.name} ran nothing:\n{report}"
