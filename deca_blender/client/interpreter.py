"""Finds a Python that can run the backend."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import InterpreterError
from .subprocesses import clean_environment, popen_options

REQUIRED_MODULES = ("numpy", "torch", "safetensors", "scipy", "cv2", "PIL")
MIN_PYTHON = (3, 11)

# The same packages are seen as by the backend (`LaunchSettings`), the user's own (`pip install --user`), too. A Python
# too old for PYTHONSAFEPATH must not import what lies in the current folder either.
_PROBE = """
import sys
sys.path[:] = [folder for folder in sys.path if folder]
import importlib.util, json
missing = [name for name in sys.argv[1:] if importlib.util.find_spec(name) is None]
print(json.dumps({"version": list(sys.version_info[:3]), "missing": missing}))
"""


@dataclass(frozen=True)
class Interpreter:
    """A Python that has been tried and found able.

    Attributes:
        path: The executable.
        version: For instance (3, 11, 7).
        origin: Where it was found, for the preferences panel.
    """

    path: Path
    version: tuple[int, int, int]
    origin: str


@dataclass(frozen=True)
class ManagedEnvironment:
    """Where the add-on keeps the environment that it installs itself, inside the extension's user folder."""

    folder: Path

    @property
    def venv(self) -> Path:
        return self.folder / "env"

    @property
    def python(self) -> Path:
        return venv_python(self.venv)

    @property
    def incomplete(self) -> Path:
        """Marker that is there from the start of an installation until it has been verified."""
        return self.folder / "incomplete"

    @property
    def log(self) -> Path:
        return self.folder / "install.log"

    @property
    def pip_log(self) -> Path:
        """pip's own log of the latest installation."""
        return self.folder / "pip.log"

    @property
    def temporary(self) -> Path:
        """Where pip keeps what it downloads until it is installed; on the same disk as the environment."""
        return self.folder / "tmp"

    def is_ready(self) -> bool:
        """Whether an installation has been finished and verified, and still has the Python that it was made with."""
        return not self.problem()

    def problem(self) -> str:
        """Why there is no installed backend, or "". Starts nothing, reads two small files."""
        if self.incomplete.exists():
            return f"An installation in {self.folder} was not finished; its log is {self.log}."
        if not self.venv.exists():
            return f"Nothing is installed in {self.folder}."
        try:
            lines = (self.venv / "pyvenv.cfg").read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return f"The installation in {self.venv} is damaged."
        settings = {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in lines)}
        base = settings.get("executable") or settings.get("home", "")
        if not base or not Path(base).exists():
            return (
                f"The backend was installed with {base or 'a Python'}, which has gone, perhaps with an older Blender."
            )
        return "" if self.python.exists() else f"The installation in {self.venv} is damaged."

    def clear(self) -> None:
        """Removes what is installed, as far as it can be; what is left stays marked incomplete."""
        for folder in (self.temporary, self.venv):
            shutil.rmtree(folder, ignore_errors=True)
        if not self.venv.exists():
            with contextlib.suppress(OSError):
                self.incomplete.unlink()


def venv_python(venv: Path) -> Path:
    """The interpreter of a virtual environment."""
    return venv / "Scripts" / "python.exe" if sys.platform == "win32" else venv / "bin" / "python"


def find_interpreter(
    preference: str = "",
    user_folder: Path | None = None,
    root: Path | None = None,
    required: Sequence[str] = REQUIRED_MODULES,
) -> Interpreter:
    """The first Python that can run the backend.

    In this order: the user's preference, the environment variable DECA_PYTHON, the environment installed by the
    add-on, `.venv` in a development checkout. The first two are the user's word: when they do not work that is an
    error, and nothing else is tried.

    Args:
        preference: Path of an interpreter, or "".
        user_folder: Folder of the managed environment, if the extension has one.
        root: The extension's root folder.
        required: Modules that the interpreter must have.

    Raises:
        InterpreterError: None works; the message names each that was tried, and why it was refused.
    """
    for chosen, origin in ((preference, "preferences"), (os.environ.get("DECA_PYTHON", ""), "DECA_PYTHON")):
        if chosen:
            return probe(Path(chosen).expanduser(), origin, required)
    refused: list[str] = []
    if user_folder is not None:
        managed = ManagedEnvironment(user_folder)
        if managed.is_ready():
            try:
                return probe(managed.python, "installed by the add-on", required)
            except InterpreterError as error:
                refused.append(error.message)
        elif managed.incomplete.exists() or managed.venv.exists():
            refused.append(managed.problem())
    if root is not None and (python := venv_python(root / ".venv")).exists():
        try:
            return probe(python, "development checkout", required)
        except InterpreterError as error:
            refused.append(error.message)
    raise InterpreterError(
        " ".join(["No Python for the backend was found.", *refused]),
        "Install the backend from the add-on's preferences, or choose there a Python that has torch.",
    )


def has_interpreter(preference: str = "", user_folder: Path | None = None, root: Path | None = None) -> bool:
    """Whether `find_interpreter` has any Python to try; starts none."""
    return bool(
        preference
        or os.environ.get("DECA_PYTHON")
        or (user_folder is not None and ManagedEnvironment(user_folder).is_ready())
        or (root is not None and venv_python(root / ".venv").exists())
    )


def probe(
    path: Path, origin: str = "", required: Sequence[str] = REQUIRED_MODULES, timeout_s: float = 20.0
) -> Interpreter:
    """Runs an interpreter briefly to see whether it is able; imports none of the modules.

    Raises:
        InterpreterError: It is not, for the reason given.
    """
    hint = "Choose another Python in the add-on's preferences, or install the backend there."
    try:
        done = subprocess.run(
            [str(path), "-c", _PROBE, *required],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            env=clean_environment(),
            check=False,
            **popen_options(),
        )
    except subprocess.TimeoutExpired as error:
        raise InterpreterError(f"{path} did not answer within {timeout_s:g} seconds.", hint) from error
    except OSError as error:
        raise InterpreterError(f"{path} cannot be run ({error.strerror or error}).", hint) from error
    try:
        answer = json.loads(done.stdout)
        version, missing = tuple(answer["version"]), list(answer["missing"])
    except (ValueError, KeyError, TypeError) as error:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no output"]
        raise InterpreterError(f"{path} is not a usable Python ({last[0]}).", hint) from error
    if version[:2] < MIN_PYTHON:
        need = ".".join(map(str, MIN_PYTHON))
        raise InterpreterError(f"{path} is Python {'.'.join(map(str, version))}; the backend needs {need}.", hint)
    if missing:
        raise InterpreterError(f"{path} lacks {', '.join(missing)}.", hint)
    return Interpreter(path, version, origin)
