"""How contract tests start backends and watch processes."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from deca_blender.client import Launch
from deca_blender.client.subprocesses import clean_environment

ROOT = Path(__file__).parents[2]
FAKE = Path(__file__).with_name("fake_backend.py")


def python_env() -> dict[str, str]:
    """Environment in which `deca` and `deca_blender` are importable."""
    return clean_environment({"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "backend")])})


def fake_launch(*options: str) -> Launch:
    """Starts the misbehaving backend."""
    return Launch((sys.executable, str(FAKE), *options), python_env())


def script_launch(script: str) -> Launch:
    """Starts a script given as text in the backend's place."""
    return Launch((sys.executable, "-c", script), python_env())


def wait_until(condition: Callable[[], bool], timeout: float = 8.0) -> bool:
    """Whether the condition comes true in time."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def is_alive(pid: int) -> bool:
    """Whether a process (not a zombie) with this id exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")
