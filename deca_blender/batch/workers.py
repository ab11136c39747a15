"""Who makes results of photos: this process, or one of its own that is handed one photo after another.

A worker process reads JSON lines on its stdin: the settings, then `{"photo": ..., "into": folder}` each; it answers
each with `{"made": outcome}` on a line of its stdout. Its stdin's end is its own: with nothing to do it ends well, else
at once, for nobody waits for the result. So no worker outlives the process that has started it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TextIO

from ..protocol import batch
from ..protocol.photos import FoundPerson, FoundPhoto
from .plan import Settings

TRY_AGAIN = 75
"""Exit status of work that was stopped, or hindered by what may pass: EX_TEMPFAIL of sysexits.h."""

_GRACE_S = 3.0
_REPLY = '{"made": '


class WorkerError(Exception):
    """A worker cannot be started; the message says why."""


class Worker(Protocol):
    """Makes results of photos, one at a time."""

    def work(self, found: FoundPhoto, into: Path) -> dict[str, Any]:
        """Makes a photo's results in a folder; gives what its line says. With `retry` it may go better next time.

        Raises:
            WorkerError: There is none to do it.
        """
        ...

    def close(self) -> None:
        """Ends it, at once where it is at work; may be called from another thread, and twice."""
        ...


class Here:
    """A worker in this process.

    Args:
        make: Makes the results; what it raises is the photo's failure.
        expected: Exceptions that say what happened in the user's words.
        is_final: Whether such a failure is the photo's own, for good.
    """

    def __init__(
        self,
        make: Callable[[FoundPhoto, Path], dict[str, object]],
        expected: tuple[type[Exception], ...],
        is_final: Callable[[Exception], bool],
    ) -> None:
        self._make, self._expected, self._is_final = make, expected, is_final

    def work(self, found: FoundPhoto, into: Path) -> dict[str, Any]:
        final = False

        def make() -> dict[str, object]:
            nonlocal final
            try:
                return self._make(found, into)
            except Exception as error:
                final = self._is_final(error)
                raise

        outcome = batch.attempt(make, self._expected)
        return outcome if outcome["ok"] or final else {**outcome, "retry": True}

    def close(self) -> None:
        pass


class Elsewhere:
    """A worker process, started when it is needed, and anew after it has died.

    Args:
        command: What to run; it calls `serve`.
        settings: What it is to know.
        env: Its environment.
    """

    def __init__(self, command: Sequence[str], settings: Settings, env: Mapping[str, str]) -> None:
        self._command, self._settings, self._env = list(command), settings, dict(env)
        self._child: subprocess.Popen[str] | None = None
        self._is_closed = False

    def work(self, found: FoundPhoto, into: Path) -> dict[str, Any]:
        child = self._child or self._start()
        assert child.stdin is not None and child.stdout is not None
        with contextlib.suppress(OSError):  # what has died answers nothing
            child.stdin.write(json.dumps({"photo": _told_to_worker(found), "into": str(into)}) + "\n")
            child.stdin.flush()
        for line in child.stdout:
            start = line.find(_REPLY)  # what others print may lack its newline
            try:
                outcome = json.loads(line[start:])["made"] if start >= 0 else None
            except (ValueError, LookupError):
                outcome = None
            if outcome is None:
                print(line, end="", file=sys.stderr, flush=True)
                continue
            if start:
                print(line[:start], file=sys.stderr, flush=True)
            return outcome
        status = child.wait()
        self._end(child)
        self._child = None
        why = f"Blender ended before this photo was done (exit status {status}); stderr may say why."
        return {"ok": False, "error": why, "retry": True}

    def close(self) -> None:
        self._is_closed = True
        child, self._child = self._child, None
        if child is not None:
            self._end(child)

    def _start(self) -> subprocess.Popen[str]:
        if self._is_closed:
            raise WorkerError("The batch has ended.")
        options: dict[str, Any] = {"start_new_session": os.name == "posix"}  # Ctrl-C is for this process
        try:
            child = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=self._env,
                encoding="utf-8",
                errors="replace",
                **options,
            )
        except OSError as error:
            raise WorkerError(f"{self._command[0]} could not be started ({error.strerror}).") from error
        self._child = child
        assert child.stdin is not None
        with contextlib.suppress(OSError):
            child.stdin.write(json.dumps(dataclasses.asdict(self._settings)) + "\n")
            child.stdin.flush()
        return child

    def _end(self, child: subprocess.Popen[str]) -> None:
        """Closes its stdin, which ends it; then terminates and kills it, with what it has started, if it stays."""
        with contextlib.suppress(OSError):
            assert child.stdin is not None
            child.stdin.close()
        for number in (None, signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
            if number is not None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(child.pid, number) if os.name == "posix" else child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(_GRACE_S)
                break


def serve(start: Callable[[Settings], Worker], lines: TextIO) -> int:
    """A worker process: reads settings and photos, answers with outcomes.

    Args:
        start: Gives what makes the results.
        lines: Its stdin.

    Returns:
        Its exit status: 0. Where the lines end amid a photo the process ends with `TRY_AGAIN` before this returns.
    """
    waiting: queue.Queue[str | None] = queue.Queue()
    is_busy = threading.Event()

    def read() -> None:
        for line in lines:
            is_busy.set()
            waiting.put(line)
        if is_busy.is_set():
            os._exit(TRY_AGAIN)
        waiting.put(None)

    first = lines.readline()
    if not first:
        return 0
    values = json.loads(first)
    worker = start(Settings(**{**values, "formats": tuple(values["formats"])}))
    threading.Thread(target=read, daemon=True).start()
    while (line := waiting.get()) is not None:
        asked = json.loads(line)
        outcome = worker.work(_found(asked["photo"]), Path(asked["into"]))
        is_busy.clear()
        batch.write("\n" + batch.line(made=outcome))
    return 0


def _told_to_worker(found: FoundPhoto) -> dict[str, object]:
    photos = [str(path) for path in found.photos] if isinstance(found, FoundPerson) else None
    return {"path": str(found.path), "name": found.name, "photos": photos}


def _found(values: Mapping[str, Any]) -> FoundPhoto:
    path, name, photos = Path(values["path"]), values["name"], values["photos"]
    return FoundPhoto(path, name) if photos is None else FoundPerson(path, name, photos=tuple(map(Path, photos)))
