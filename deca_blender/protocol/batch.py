"""One photo after another: what fails with one photo stays with that photo, and a JSON line tells what became of each.

A line is `{"photo", "ok", ..., "seconds"}`; with `"ok": false` it has an `error`, and `"skipped": true` where nothing
failed but results are there already. The last line is `{"summary": {"photos", "failed", "skipped"}}`.
"""

from __future__ import annotations

import json
import re
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from .photos import FoundPhoto, told

Found = TypeVar("Found", bound=FoundPhoto)

INTERRUPTED, TERMINATED, PIPE_CLOSED = 130, 143, 141
"""Exit statuses as shells give them: 128 and the number of SIGINT, SIGTERM, SIGPIPE."""

_NOT_IN_A_LINE = re.compile("[\x85\u2028\u2029]")  # where some programs end a line


class Skipped(Exception):
    """Nothing was done for a photo, for the reason given, which is no failure."""


class Stopped(KeyboardInterrupt):
    """The user, or the system, wants the process to end; `status` is its exit status."""

    def __init__(self, status: int = INTERRUPTED) -> None:
        super().__init__()
        self.status = status


def run(
    photos: Sequence[Found],
    work: Callable[[Found], dict[str, object]],
    expected: tuple[type[Exception], ...],
) -> int:
    """Works on photos in turn and writes a line for each, then the summary.

    Args:
        photos: From `find_photos`, or people from `find_people`.
        work: Does what there is to do for a photo; gives what its line says beside `photo`, `ok` and `seconds`. It may
            raise `Skipped`, and anything else: that is this photo's failure, and the next one follows.
        expected: Exceptions that say what happened in the user's words. Others are named, and their traceback goes to
            stderr.

    Returns:
        The exit status: 0, or 1 when a photo failed.

    Raises:
        Stopped: By Ctrl-C or a signal.
        OSError: A line could not be written; `BrokenPipeError` when nobody reads them any more.
    """
    failed = skipped = 0
    with stoppable() as check:
        for found in photos:
            started = time.perf_counter()
            outcome = (
                {"ok": False, "error": found.problem} if found.problem else attempt(partial(work, found), expected)
            )
            check()
            skipped += "skipped" in outcome
            failed += not outcome["ok"] and "skipped" not in outcome
            seconds = round(time.perf_counter() - started, 2)
            write(line(photo=str(found.path), **outcome, seconds=seconds))
        write(summary(len(photos), failed, skipped))
    return 1 if failed else 0


def attempt(
    work: Callable[[], dict[str, object]], expected: tuple[type[Exception], ...], what: str = "photo"
) -> dict[str, object]:
    """What became of a photo, or of something else, as its line says it: whatever fails stays here.

    Args:
        work, expected: As in `run`.
        what: What is worked on.
    """
    try:
        return {"ok": True, **work()}
    except Skipped as reason:
        return {"ok": False, "skipped": True, "error": str(reason)}
    except Exception as error:
        return {"ok": False, "error": _reason(error, expected, what)}


def _reason(error: Exception, expected: tuple[type[Exception], ...], what: str) -> str:
    if isinstance(error, expected):
        return str(error)
    traceback.print_exception(error, file=sys.stderr)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # the latter is torch's
        return f"There was not enough memory for this {what}. Scale it down, or close other programs."
    return f"This {what} failed unexpectedly ({type(error).__name__}: {error}). Please report what stderr says of it."


def already_there(out: Path) -> Skipped:
    """Tells that a photo is skipped since `out` is there."""
    return Skipped(f"{out} is there already. Choose another folder with --out, or replace it with --overwrite.")


def summary(photos: int, failed: int, skipped: int = 0) -> str:
    """The last line of a report."""
    return line(summary={"photos": photos, "failed": failed, "skipped": skipped})


def line(**values: object) -> str:
    """A line of a report: valid JSON in valid UTF-8, in one line for every program."""
    text = json.dumps(values, ensure_ascii=False)
    # Surrogates are in strings only, where JSON wants a backslash doubled.
    text = re.sub("[\ud800-\udfff]", lambda match: told(match[0]).replace("\\", "\\\\"), text)
    return _NOT_IN_A_LINE.sub(lambda match: f"\\u{ord(match[0]):04x}", text) + "\n"


def write(text: str) -> None:
    """Writes a line to stdout, in one piece: others write there, too."""
    sys.stdout.write(text)
    sys.stdout.flush()


@contextmanager
def stoppable() -> Iterator[Callable[[], None]]:
    """Ctrl-C and a request to terminate raise `Stopped` where the work is, once: cleaning up is not disturbed.

    Yields:
        Raises `Stopped` again, where somebody may have swallowed it, as Blender does in its handlers.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    stopped: list[Stopped] = []

    def stop(number: int, frame: object) -> None:
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        stopped.append(Stopped(TERMINATED if number == signal.SIGTERM else INTERRUPTED))
        raise stopped[0]

    def check() -> None:
        if stopped:
            raise stopped[0]

    is_main = threading.current_thread() is threading.main_thread()  # no other thread may ask for signals
    handled = [number for number, handler in before.items() if is_main and handler != signal.SIG_IGN]
    for number in handled:
        signal.signal(number, stop)
    try:
        yield check
    finally:
        for number in handled:
            signal.signal(number, before[number] or signal.SIG_DFL)
