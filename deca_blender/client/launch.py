"""How the backend is started: a command and its environment."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path

from .interpreter import find_interpreter, has_interpreter
from .subprocesses import clean_environment

ROOT = Path(__file__).resolve().parents[2]
"""The extension's root folder, which holds `deca_blender/` and `backend/`."""


@dataclass(frozen=True)
class Launch:
    """A command that speaks the protocol on its stdin and stdout.

    Attributes:
        command: Program and arguments.
        env: Its whole environment.
    """

    command: tuple[str, ...]
    env: dict[str, str] = field(default_factory=clean_environment)


@dataclass(frozen=True)
class LaunchSettings:
    """What the user can choose about the backend. Calling it gives the `Launch`; it may take a second.

    Attributes:
        command: Full command that overrides everything else, for instance `ssh gpu-box deca serve`; or "".
        python: Interpreter, or "" to find one (`find_interpreter`).
        device: `auto`, `cpu` or `cuda`.
        user_folder: Folder of the managed environment.
        log_folder: Folder of the backend's log files.
        root: The extension's root folder.
    """

    command: str = ""
    python: str = ""
    device: str = "auto"
    user_folder: Path | None = None
    log_folder: Path | None = None
    root: Path = ROOT

    def has_backend(self) -> bool:
        """Whether there is anything to start; nothing is."""
        return bool(self.command) or has_interpreter(self.python, self.user_folder, self.root)

    def __call__(self) -> Launch:
        """Raises InterpreterError when no Python can run the backend."""
        if self.command:
            return Launch(split_command(self.command))
        python = find_interpreter(self.python, self.user_folder, self.root)
        options = ["--device", self.device]
        if self.log_folder is not None:
            options += ["--log-dir", str(self.log_folder)]
        return Launch(
            (str(python.path), "-m", "deca.service", *options),
            clean_environment({"PYTHONPATH": os.pathsep.join([str(self.root), str(self.root / "backend")])}),
        )


def split_command(command: str) -> tuple[str, ...]:
    """Program and arguments of a command line; quotes hold words with spaces together."""
    if sys.platform != "win32":
        return tuple(shlex.split(command))
    return tuple(word.strip('"') for word in shlex.split(command, posix=False))  # keeps backslashes
