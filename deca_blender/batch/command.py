"""A batch from the command line: the same for `deca import` and for `blender --command deca_import`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from .. import __version__
from ..protocol.conventions import BUILTIN_WEIGHTS_FILE, OPENHEAD_FILE
from . import engine, report
from .ledger import Ledger, Mode
from .plan import PlanError, Recipe, Settings, model_hash, plan, threads_each
from .progress import teller
from .workers import Worker

USAGE = 2

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""What numeric libraries heed."""


def run(options: argparse.Namespace, make_worker: Callable[[Settings], Worker], assets: Path) -> int:
    """Runs the batch that parsed `import_arguments` ask for, and writes its report.

    Args:
        options: The arguments.
        make_worker: Gives a worker for each job.
        assets: Folder of the bundled data.

    Returns:
        The exit status: 0 when all were made or there already, 1 when some failed, 2 where there is nothing to plan,
        75 when it ended early and is to be tried again.

    Raises:
        batch.Stopped: By Ctrl-C.
        BrokenPipeError: Nobody reads what is told.
    """
    try:
        photos = plan(options)
    except PlanError as error:
        print(f"deca import: {error}", file=sys.stderr)
        return USAGE
    asked = options.threads or next((int(n) for n in map(os.environ.get, _THREADS) if n and n.isdecimal()), None)
    os.environ.update(
        dict.fromkeys(_THREADS, str(threads_each(options.jobs, asked)))
    )  # child processes have them from here
    settings, ledger = Settings.of(options), Ledger(options.out)
    sheet = ledger.folder / f"index{options.chunk.suffix}.html"
    mode: Mode = "resume" if options.resume else "overwrite" if options.overwrite else "skip"
    told_to = teller(options.progress, sheet)
    lines = []
    try:
        totals = engine.run(
            photos,
            lambda: make_worker(settings),
            ledger,
            recipe_of(settings, assets),
            told_to,
            mode=mode,
            jobs=options.jobs,
        )
        lines = totals.lines
        return 0 if options.exit_zero and not totals.why else totals.status
    finally:  # also where it was stopped: what is done is to be seen
        try:
            report.write(ledger, report.rows_of(photos, ledger, lines), options.chunk.suffix)
        except OSError as error:
            print(f"deca import: the report could not be written ({error})", file=sys.stderr)


def recipe_of(settings: Settings, assets: Path) -> Recipe:
    """What results depend on."""
    head = settings.head or str(assets / OPENHEAD_FILE)
    weights = settings.weights or ("" if settings.head else str(assets / BUILTIN_WEIGHTS_FILE))
    return Recipe(
        tool=__version__,
        head_hash=model_hash(Path(head)),
        weights_hash=model_hash(Path(weights)) if weights else "",
        formats=settings.formats,
        texture_size=settings.texture_size,
        paint_hair=settings.paint_hair,
    )
