"""Runs each check in real Blender, in a process of its own.

Blenders: this interpreter's bpy module, `.venv-bpy52` of the checkout, and the interpreters that the environment
variable DECA_BPY_PYTHONS lists (separated like PATH).
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CHECKS = sorted(HERE.glob("check_*.py"))
SECOND = ROOT / ".venv-bpy52" / "bin" / "python"
LIMIT_S = 240
SKIPPED = 77  # as blender_case.SKIPPED


def interpreters() -> list[Path]:
    listed = os.environ.get("DECA_BPY_PYTHONS", "").split(os.pathsep)
    return list(dict.fromkeys([Path(sys.executable), SECOND, *(Path(path) for path in listed if path)]))


def has_bpy(python: Path) -> bool:
    if python == Path(sys.executable):
        return importlib.util.find_spec("bpy") is not None
    code = "import importlib.util, sys; sys.exit(importlib.util.find_spec('bpy') is None)"
    return python.exists() and subprocess.run([python, "-c", code], check=False).returncode == 0


def test_there_are_checks() -> None:
    assert CHECKS


@pytest.mark.parametrize("python", interpreters(), ids=lambda python: python.parent.parent.name)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.stem)
def test_in_blender(check: Path, python: Path) -> None:
    if not has_bpy(python):
        pytest.skip(f"{python} has no bpy module")
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "backend"), str(HERE)]),
        "PYTHONUTF8": "1",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [python, check], env=environment, capture_output=True, text=True, errors="replace", timeout=LIMIT_S, check=False
    )
    if done.returncode == SKIPPED:
        pytest.skip(done.stdout.strip().splitlines()[0])
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
