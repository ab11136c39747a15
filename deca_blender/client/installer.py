"""Installs the backend's packages into a virtual environment of the add-on's own. Never into the host's Python.

The caller asks the user first, and checks that going online is allowed (`bpy.app.online_access`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import IO

from .errors import InstallError
from .install_failure import install_error
from .interpreter import REQUIRED_MODULES, ManagedEnvironment
from .subprocesses import clean_environment, kill_tree, popen_options

_GB = 1e9
_IS_VENV = "import sys; sys.exit(f'{sys.executable} is no virtual environment' if sys.prefix == sys.base_prefix else 0)"


class InstallState(Enum):
    """How far an installation is; the last three are final."""

    CREATING = "Creating the environment"
    INSTALLING = "Downloading and installing packages"
    VERIFYING = "Verifying"
    READY = "Installed"
    FAILED = "Failed"
    CANCELLED = "Cancelled"


class Installation:
    """One installation, at work on a thread of its own from the start; poll `state`.

    The marker `environment.incomplete` stands from the first step until the last has succeeded, so that a crash in
    between cannot leave something that looks installed. What fails or is cancelled is removed: nothing is installed
    then, and the log says why.

    Args:
        environment: Where to install. What is there is replaced.
        base_python: Interpreter that creates the environment (the host's own will do: it is not changed).
        pip_installs: Arguments of `pip install`, once per call: requirements and options.
        needed_bytes: Free space without which nothing is begun.
        modules: Must be importable in the end.

    Attributes:
        state: How far it is.
        detail: The latest line of the log.
        error: Why it failed, in the state FAILED.
    """

    def __init__(
        self,
        environment: ManagedEnvironment,
        base_python: Path,
        pip_installs: Sequence[Sequence[str]],
        needed_bytes: int = 0,
        modules: Sequence[str] = REQUIRED_MODULES,
    ) -> None:
        self.environment = environment
        self.state = InstallState.CREATING
        self.detail = ""
        self.error: InstallError | None = None
        self._base_python = base_python
        self._pip_installs, self._needed_bytes, self._modules = pip_installs, needed_bytes, modules
        self._is_cancelled = threading.Event()
        self._process: subprocess.Popen | None = None
        self._thread = threading.Thread(target=self._run, name="deca-install", daemon=True)
        self._thread.start()

    def is_done(self) -> bool:
        """Whether the state is final."""
        return self.state in (InstallState.READY, InstallState.FAILED, InstallState.CANCELLED)

    def cancel(self) -> None:
        """Stops it soon, and has what is there by then removed."""
        self._is_cancelled.set()
        if process := self._process:
            kill_tree(process)

    def wait(self, timeout: float | None = None) -> InstallState:
        """Blocks until it is done, or for `timeout` seconds."""
        self._thread.join(timeout)
        return self.state

    # ---- the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._check_space()
            self._install()
            final = InstallState.READY
        except Exception as error:  # whatever it is: a thread that ends without a final state would be waited for
            final = InstallState.CANCELLED if self._is_cancelled.is_set() else InstallState.FAILED
            self.error = error if isinstance(error, InstallError) else self._explained(f"ERROR: {error}")
            if not isinstance(error, _NotBegun):
                self.environment.clear()
        self.state = final

    def _check_space(self) -> None:
        """Raises InstallError when the disk has too little space, before anything is changed."""
        place = self.environment.folder
        while not place.exists() and place != place.parent:
            place = place.parent
        free = shutil.disk_usage(place).free + _size(self.environment.venv)
        if free < self._needed_bytes:
            raise _NotBegun(
                f"{place} has {free / _GB:.1f} GB of free space; installing needs {self._needed_bytes / _GB:.1f} GB.",
                "Free some space, then install again.",
            )

    def _install(self) -> None:
        environment = self.environment
        environment.folder.mkdir(parents=True, exist_ok=True)
        environment.incomplete.touch()
        for left_over in (environment.venv, environment.temporary):
            if left_over.exists():
                shutil.rmtree(left_over)
        environment.temporary.mkdir()
        environment.pip_log.unlink(missing_ok=True)
        python = str(environment.python)
        with environment.log.open("w", encoding="utf-8") as log:
            # Without pip, which is the next step, because venv does not show why that fails.
            venv = [str(self._base_python), "-I", "-m", "venv", "--without-pip", str(environment.venv)]
            self._step(log, InstallState.CREATING, venv)
            # Before pip runs: is this interpreter really the environment's, not the host's?
            self._step(log, InstallState.CREATING, [python, "-I", "-c", _IS_VENV])
            self._step(log, InstallState.CREATING, [python, "-I", "-m", "ensurepip", "--upgrade", "--default-pip"])
            pip = [python, "-I", "-m", "pip", "--no-input", "--disable-pip-version-check"]
            pip += ["--log", str(environment.pip_log), "install", "--no-cache-dir", "--progress-bar", "off"]
            for arguments in self._pip_installs:
                self._step(log, InstallState.INSTALLING, [*pip, *arguments])
            names = ", ".join(self._modules) or "sys"
            self._step(log, InstallState.VERIFYING, [python, "-I", "-c", f"import {names}"])
        shutil.rmtree(environment.temporary, ignore_errors=True)
        environment.pip_log.unlink(missing_ok=True)
        environment.incomplete.unlink()

    def _step(self, log: IO[str], state: InstallState, command: list[str]) -> None:
        """Runs one command, its output into the log.

        Raises:
            InstallError: It failed, or the installation was cancelled.
        """
        self.state = state
        log.write(f"$ {' '.join(command)}\n")
        log.flush()
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                errors="replace",
                env=_pip_environment(self.environment.temporary),
                **popen_options(),
            )
        except OSError as error:
            raise InstallError(
                f"{command[0]} cannot be run ({error.strerror or error}).", "Install Blender again, then the backend."
            ) from error
        self._process = process
        if self._is_cancelled.is_set():  # between two steps, when there was nothing to kill
            kill_tree(process)
        output: list[str] = []
        assert process.stdout
        with process.stdout:
            for line in process.stdout:
                log.write(line)
                log.flush()
                output.append(line)
                self.detail = line.strip() or self.detail
        status = process.wait()
        self._process = None
        if self._is_cancelled.is_set():
            raise InstallError("The installation was cancelled.", "Install again when you like.")
        if status != 0:
            raise self._explained("".join(output), status)

    def _explained(self, output: str, status: int = 1) -> InstallError:
        environment = self.environment
        try:
            pip_log = environment.pip_log.read_text(encoding="utf-8", errors="replace")
        except OSError:
            pip_log = ""
        return install_error(output, status, self._base_python, environment.log, pip_log)


class _NotBegun(InstallError):
    """Nothing has been changed."""


def _size(folder: Path) -> int:
    """Bytes of the files of a folder; 0 where there is none."""
    return sum(os.lstat(os.path.join(path, name)).st_size for path, _, names in os.walk(folder) for name in names)


def _pip_environment(temporary: Path) -> dict[str, str]:
    """Without settings that would make pip install somewhere else; indexes and proxies of the user stay."""
    env = clean_environment(dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary)))
    for key in ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_PYTHON", "PIP_REQUIRE_VIRTUALENV", "PIP_LOG"):
        env.pop(key, None)
    return env
