"""Photos to .blend files without a window: `python -m deca_blender.headless PHOTO... --out DIR`, and
`blender --command deca_import PHOTO... --out DIR` where the add-on is installed.

Prints a JSON line per photo and a summary line at the end; other lines on stdout are Blender's own.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import bpy

from . import backend, preferences, registration
from .client import ClientError
from .core import batch
from .core.reconstruction import Outcome, reconstruct_photos, wait_for_outcomes
from .scene import live
from .scene.import_face import ImportFaceError, ImportOptions, import_face
from .scene.save import clear_file, save_copy

COMMAND = "deca_import"


def main(argv: Sequence[str]) -> int:
    """Imports photos; returns 0 when all were imported, 1 when some were not, 2 for wrong usage."""
    try:
        options = _parser().parse_args(argv)
    except SystemExit as stop:  # argparse has printed why
        return stop.code if isinstance(stop.code, int) else 2
    with registration.registered():
        try:
            return _run(options)
        finally:
            backend.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=COMMAND, description="Photos to .blend files with a rigged head each.")
    parser.add_argument("photos", nargs="+", type=Path, metavar="PHOTO", help="photo files, or folders of them")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder for the .blend files")
    parser.add_argument("--texture-size", type=int, default=1024, choices=(512, 1024, 2048), help="texture side")
    parser.add_argument("--head", type=Path, metavar="FILE", help="head model file in place of the bundled OpenHead")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="weights file that gives the heads wrinkles")
    return parser


def _run(options: argparse.Namespace) -> int:
    planned, problems = batch.plan([path.absolute() for path in options.photos], options.out.absolute())
    for problem in problems:
        _print(batch.failure_line(problem.path, problem.message))
    failed = len(problems)
    weights = str(options.weights.absolute()) if options.weights else preferences.weights()
    head = str(options.head.absolute()) if options.head else preferences.head()
    photos = [str(item.photo) for item in planned]
    steps = reconstruct_photos(backend.session(), photos, options.texture_size, weights=weights, head=head)
    built = ImportOptions(weights=weights, head=preferences.head_file(head), use_resolution=True)
    started = time.perf_counter()
    for item, outcome in zip(planned, wait_for_outcomes(steps), strict=True):
        error = _write(item, outcome, built)
        seconds, started = time.perf_counter() - started, time.perf_counter()
        if error:
            failed += 1
            _print(batch.failure_line(item.photo, error, seconds))
        else:
            _print(batch.success_line(item, outcome.faces[0].landmark_error, seconds, outcome.notices))
    _print(batch.summary_line(len(planned) + len(problems), failed))
    return 1 if failed else 0


def _write(item: batch.PlannedPhoto, outcome: Outcome, options: ImportOptions) -> str:
    """Builds and saves the head of one photo; tells what went wrong, or ""."""
    if outcome.error is not None or outcome.head is None:
        return str(outcome.error)
    try:
        clear_file()
        live.update_now(import_face(bpy.context, outcome.head, outcome.faces[0], options))
        save_copy(item.blend)
    except (ImportFaceError, ClientError) as error:
        return str(error)
    except OSError as error:
        return f"{item.blend} could not be written ({error.strerror or error}). Choose another folder with --out."
    return ""


def _print(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # Blender as a module may hang or crash while the interpreter ends; all files are written by now.
    os._exit(status)
