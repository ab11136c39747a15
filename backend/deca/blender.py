"""Runs the add-on without a window, in a child process: a Blender executable, or this interpreter's bpy module."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from deca.assets import assets_dir
from deca.errors import DecaError
from deca_blender.batch import command, report
from deca_blender.batch.ledger import Ledger
from deca_blender.batch.workers import Elsewhere
from deca_blender.protocol import batch
from deca_blender.protocol.photos import told

_GRACE_S = 10.0
_USAGE = 2

# The add-on as the package that it is for us. Nothing else of our Python may reach Blender's, not even by its folder.
_RUN_IN_BLENDER = """
import sys
from importlib import util
spec = util.spec_from_file_location("deca_blender", {addon!r})
sys.modules["deca_blender"] = util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["deca_blender"])
from deca_blender.{program} import main
sys.exit(main(sys.argv[sys.argv.index("--") + 1:]))
"""


class BlenderError(DecaError):
    """No Blender could be found or started."""


def headless_command(blender: str | None = None, program: str = "headless") -> list[str]:
    """The command that runs a program of the add-on (`deca_blender.headless`, ...); its arguments follow.

    Looked for in this order: `blender`, the environment variable DECA_BLENDER, `blender` on PATH, the bpy module.

    Raises:
        BlenderError: There is none, or the one asked for is not an executable.
    """
    asked = blender or os.environ.get("DECA_BLENDER")
    executable = shutil.which(asked or "blender")
    if asked and not executable:
        raise BlenderError(f"{asked} is not a Blender executable.", "Give --blender or DECA_BLENDER its full path.")
    if executable:
        code = _RUN_IN_BLENDER.format(addon=str(_addon() / "__init__.py"), program=program)
        return [executable, "--background", "--factory-startup", "--python-exit-code", "1", "--python-expr", code, "--"]
    if importlib.util.find_spec("bpy"):
        return [sys.executable, "-P", "-m", f"deca_blender.{program}"]
    raise BlenderError(
        "Neither a Blender executable nor the bpy module was found.",
        "Install Blender 4.2 or newer and give its path with --blender, or `pip install bpy`.",
    )


def run_import(options: argparse.Namespace) -> int:
    """Imports photos, or people, into files of a rigged head each.

    Args:
        options: As `batch.plan.import_arguments` has them, and `blender`.

    Returns:
        As `batch.command.run`.

    Raises:
        BlenderError: No Blender was found.
        Stopped: By Ctrl-C; all children have ended.
        BrokenPipeError: Nobody reads what is told; all children have ended.
    """
    program = [*headless_command(options.blender), "--worker"]
    return command.run(options, lambda settings: Elsewhere(program, settings, _environment()), assets_dir())


def run_merge(out: Path, catalogue: str, blender: str | None = None) -> int:
    """Makes one report of all that was done in a folder of results, and a catalogue of its heads.

    Args:
        out: The folder.
        catalogue: Name of the catalogue below the folder, "" for none.
        blender: Blender executable.

    Returns:
        0 when all is well, 1 when photos have failed.

    Raises:
        BlenderError: There is nothing to merge, no Blender, or it has not made the catalogue.
    """
    ledger = Ledger(out)
    rows = [report.row_of(record) for record in ledger.records()]
    if not rows:
        raise BlenderError(f"{out} holds no results of `deca import`.", "Name the folder that --out named.")
    sheet = report.write(ledger, rows)
    failed = sum(not row.line["ok"] for row in rows)
    made = {"photos": len(rows), "failed": failed, "sheet": told(sheet)}
    if catalogue:
        has_made = False

        def take(line: str) -> None:
            nonlocal has_made
            has_made |= _reported(line, "catalogue") is not None

        status = _run([*headless_command(blender, "headless_catalogue"), str(out.absolute()), catalogue], take)
        if status or not has_made:
            raise BlenderError(
                f"Blender has not made the catalogue (exit status {status}).", "What it printed says why."
            )
    batch.write(batch.line(summary=made))
    return 1 if failed else 0


def run_export(arguments: Sequence[str], blender: str | None = None) -> int:
    """Exports the heads of .blend files.

    The child's report (a JSON line per head and format, then a summary) goes to stdout, all else that it prints to
    stderr.

    Args:
        arguments: As `protocol.export_arguments` has them.
        blender: Blender executable.

    Returns:
        0 when every head was exported, or was there already; 1 when some failed; 2 for what no format can do.

    Raises:
        BlenderError: No Blender was found, it could not be started, or it has ended without its summary.
        Stopped: By Ctrl-C or a signal; the child has ended.
        BrokenPipeError: Nobody reads the report; the child has ended.
    """
    return _run_reporting("headless_export", "blend", arguments, blender)


def run_capture(arguments: Sequence[str], blender: str | None = None) -> int:
    """Puts what a face in a video, on a photo or in a phone's recording does onto the head of a .blend file.

    The child's report (a JSON line, then a summary) goes to stdout, all else that it prints to stderr.

    Args:
        arguments: As `protocol.capture_arguments` has them.
        blender: Blender executable.

    Returns:
        0 when it is on the head, or was there already; 1 when it failed.

    Raises:
        BlenderError: No Blender was found, it could not be started, or it has ended without its summary.
        Stopped: By Ctrl-C or a signal; the child has ended.
        BrokenPipeError: Nobody reads the report; the child has ended.
    """
    return _run_reporting("headless_capture", "capture", arguments, blender)


def _run_reporting(program: str, first: str, arguments: Sequence[str], blender: str | None) -> int:
    """Runs a program of the add-on that reports by lines whose first key is `first`; its exit status."""
    has_ended = False

    def take(line: str) -> None:
        nonlocal has_ended
        has_ended |= "summary" in (_reported(line, first) or {})

    status = _run([*headless_command(blender, program), *arguments], take)
    if not has_ended and status != _USAGE:
        raise BlenderError(f"Blender ended before all was done (exit status {status}).", "What it printed may say why.")
    return status


def _run(command: Sequence[str], take: Callable[[str], None]) -> int:
    """Runs Blender and hands over the lines that it prints; its exit status.

    Raises:
        BlenderError: It could not be started.
    """
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=_environment(),
            encoding="utf-8",
            errors="replace",
            start_new_session=os.name == "posix",  # Ctrl-C is for this process, which then ends the child
        )
    except OSError as error:
        raise BlenderError(f"{command[0]} could not be started ({error.strerror}).", "Check --blender.") from error
    with batch.stoppable() as check, child:
        try:
            assert child.stdout is not None
            for line in child.stdout:
                take(line)
            child.wait()
            check()
        except BaseException:
            _end(child)
            raise
    return child.returncode


def _reported(line: str, first: str) -> dict | None:
    """Writes a line of the report, whose first key is `first` or `summary`, to stdout, and all else to stderr.

    Returns:
        What the report's line says; None for what else is printed.
    """
    start = max(line.find(f'{{"{first}": '), line.find('{"summary": '))  # what others print may lack its newline
    try:
        values = json.loads(line[start:] if start >= 0 else "")
    except ValueError:
        print(line, end="", file=sys.stderr, flush=True)
        return None
    if start:
        print(line[:start], file=sys.stderr, flush=True)
    batch.write(line[start:])
    return values


def _addon() -> Path:
    return Path(batch.__file__).parents[1]


def _environment() -> dict[str, str]:
    """The child's: the add-on is importable, and its backend is this very installation, whatever Python Blender brings.

    Of PYTHONPATH only full paths are kept: others, also empty ones, would mean the current folder.
    """
    paths = [str(_addon().parent), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    own = {"DECA_PYTHON": sys.executable, "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1", "PYTHONSAFEPATH": "1"}
    return os.environ | own | {"PYTHONPATH": os.pathsep.join(filter(os.path.isabs, paths))}


def _end(child: subprocess.Popen) -> None:
    """Ends the child and what it has started: at once where they heed the signal, else after a while."""
    for number, grace_s in ((signal.SIGTERM, _GRACE_S), (getattr(signal, "SIGKILL", signal.SIGTERM), 1.0)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number) if os.name == "posix" else child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.communicate(timeout=grace_s)  # Blender may be the child of a script: its pipe tells that it has ended
            return
