"""How child processes are started: hidden on Windows, in a session of their own elsewhere, with a clean environment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

# What the host's Python (or a shell) may have set that would lead another Python or pip astray.
_FOREIGN = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONEXECUTABLE", "__PYVENV_LAUNCHER__", "VIRTUAL_ENV")


def popen_options() -> dict[str, Any]:
    """Options of `subprocess.Popen`: no console window, and no Ctrl-C meant for the host."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment for a Python of its own.

    UTF-8, without the host's Python settings, and without modules from the current folder (which may hold anything).
    """
    env = {key: value for key, value in os.environ.items() if key not in _FOREIGN}
    return {**env, "PYTHONUTF8": "1", "PYTHONSAFEPATH": "1", **(extra or {})}


def kill_tree(process: subprocess.Popen) -> None:
    """Kills a process started with `popen_options`, and on POSIX the processes it has started in its session."""
    if process.returncode is not None:
        return
    try:
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass  # it has ended by itself
