"""Installs the backend's packages into a virtual environment of the add-on's own. Never into the host's Python.

The caller asks the user first, and checks that going online is allowed (`bpy.app.online_access`).
"""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import IO

from .errors import InstallError
from .interpreter import REQUIRED_MODULES, ManagedEnvironment
from .subprocesses import clean_environment, kill_tree, popen_options

_HINT = "The log has the details. Check the network and the free space on the disk, then install again."

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
    between cannot leave something that looks installed.

    Args:
        environment: Where to install. What is there is replaced.
        base_python: Interpreter that creates the environment (the host's own will do: it is not changed).
        requirements: Lines as in a requirements file.
        pip_options: Further options of `pip install`, for instance an index for CPU builds of torch.
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
        requirements: Sequence[str],
        pip_options: Sequence[str] = (),
        modules: Sequence[str] = REQUIRED_MODULES,
    ) -> None:
        self.environment = environment
        self.state = InstallState.CREATING
        self.detail = ""
        self.error: InstallError | None = None
        self._base_python = base_python
        self._requirements, self._pip_options, self._modules = requirements, pip_options, modules
        self._is_cancelled = threading.Event()
        self._process: subprocess.Popen | None = None
        self._thread = threading.Thread(target=self._run, name="deca-install", daemon=True)
        self._thread.start()

    def is_done(self) -> bool:
        """Whether the state is final."""
        return self.state in (InstallState.READY, InstallState.FAILED, InstallState.CANCELLED)

    def cancel(self) -> None:
        """Stops it soon; what has been installed so far stays marked incomplete."""
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
            self._install()
            final = InstallState.READY
        except (InstallError, OSError) as error:
            folder = self.environment.folder
            self.error = (
                error
                if isinstance(error, InstallError)
                else InstallError(f"{folder} cannot be written ({error}).", "Free the disk or the folder, try again.")
            )
            final = InstallState.CANCELLED if self._is_cancelled.is_set() else InstallState.FAILED
        self.state = final

    def _install(self) -> None:
        environment = self.environment
        environment.folder.mkdir(parents=True, exist_ok=True)
        environment.incomplete.touch()
        python = str(environment.python)
        with environment.log.open("w", encoding="utf-8") as log:
            if environment.venv.exists():
                shutil.rmtree(environment.venv)
            self._step(log, InstallState.CREATING, [str(self._base_python), "-I", "-m", "venv", str(environment.venv)])
            # Before pip runs: is this interpreter really the environment's, not the host's?
            self._step(log, InstallState.CREATING, [python, "-I", "-c", _IS_VENV])
            pip = [python, "-I", "-m", "pip", "--no-input", "--disable-pip-version-check"]
            self._step(
                log,
                InstallState.INSTALLING,
                [*pip, "install", "--progress-bar", "off", *self._pip_options, *self._requirements],
            )
            names = ", ".join(self._modules) or "sys"
            self._step(log, InstallState.VERIFYING, [python, "-I", "-c", f"import {names}"])
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
                env=_pip_environment(),
                **popen_options(),
            )
        except OSError as error:
            raise InstallError(f"{state.value} failed: {command[0]} cannot be run ({error}).", _HINT) from error
        self._process = process
        if self._is_cancelled.is_set():  # between two steps, when there was nothing to kill
            kill_tree(process)
        assert process.stdout
        with process.stdout:
            for line in process.stdout:
                log.write(line)
                log.flush()
                self.detail = line.strip() or self.detail
        status = process.wait()
        self._process = None
        if self._is_cancelled.is_set():
            raise InstallError("The installation was cancelled.", "Install again when you like.")
        if status != 0:
            raise InstallError(f"{state.value} failed: {self.detail or f'exit status {status}'}", _HINT)


def _pip_environment() -> dict[str, str]:
    """Without settings that would make pip install somewhere else; indexes and proxies of the user stay."""
    env = clean_environment()
    for key in ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_PYTHON", "PIP_REQUIRE_VIRTUALENV"):
        env.pop(key, None)
    return env
