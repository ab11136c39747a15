"""Runs the add-on without a window, in a child process: a Blender executable, or this interpreter's bpy module."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from deca.errors import DecaError

_ROOT = Path(__file__).resolve().parents[2]
_RUN_IN_BLENDER = (
    "import sys; sys.path.insert(0, {root!r}); from deca_blender.headless import main; "
    "sys.exit(main(sys.argv[sys.argv.index('--') + 1:]))"
)


class BlenderError(DecaError):
    """No Blender could be found or started."""


def headless_command(blender: str | None = None) -> list[str]:
    """The command that runs `deca_blender.headless`; its arguments follow.

    Looked for in this order: `blender`, the environment variable DECA_BLENDER, `blender` on PATH, the bpy module.

    Raises:
        BlenderError: There is none, or the one asked for is not an executable.
    """
    asked = blender or os.environ.get("DECA_BLENDER")
    executable = shutil.which(asked or "blender")
    if asked and not executable:
        raise BlenderError(f"{asked} is not a Blender executable.", "Give --blender or DECA_BLENDER its full path.")
    if executable:
        code = _RUN_IN_BLENDER.format(root=str(_ROOT))
        return [executable, "--background", "--factory-startup", "--python-exit-code", "1", "--python-expr", code, "--"]
    if importlib.util.find_spec("bpy"):
        return [sys.executable, "-m", "deca_blender.headless"]
    raise BlenderError(
        "Neither a Blender executable nor the bpy module was found.",
        "Install Blender 4.2 or newer and give its path with --blender, or `pip install bpy`.",
    )


def run_import(
    photos: Sequence[Path],
    out: Path,
    *,
    texture_size: int,
    head: Path | None = None,
    weights: Path | None = None,
    blender: str | None = None,
) -> int:
    """Imports photos into one .blend file each, under `out`.

    The child's report (a JSON line per photo, then a summary) goes to stdout, all else that it prints to stderr.
    `head` and `weights` are the files of a head model and of networks; None for OpenHead, and for its built-in weights.

    Returns:
        0 when every photo was imported, else 1.

    Raises:
        BlenderError: No Blender was found, or it could not be started.
    """
    arguments = [*map(str, photos), "--out", str(out), "--texture-size", str(texture_size)]
    for option, path in (("--head", head), ("--weights", weights)):
        arguments += [option, str(path)] if path else []
    # The add-on's backend is this very installation, whatever Python Blender brings.
    environment = os.environ | {"DECA_PYTHON": sys.executable, "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"}
    path = [str(_ROOT), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(part for part in path if part)
    command = headless_command(blender) + arguments
    try:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, encoding="utf-8", errors="replace")
    except OSError as error:
        raise BlenderError(f"{command[0]} could not be started ({error.strerror}).", "Check --blender.") from error
    with child:
        assert child.stdout is not None
        for line in child.stdout:
            print(line, end="", file=sys.stdout if line.startswith("{") else sys.stderr, flush=True)
    return 0 if child.returncode == 0 else 1
