"""Runs a batch: who takes which photo, what is told of it, how it ends."""

from __future__ import annotations

import concurrent.futures
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..protocol import batch
from ..protocol.photos import FoundPhoto, told
from .ledger import Ledger, Mode
from .plan import Recipe, photos_hash
from .workers import TRY_AGAIN, Worker, WorkerError

GIVE_UP = 5
"""Photos one after another that fail for what is not their own fault: then the next ones would, too (no room on the
disk, no backend). Chosen so that a few photos that break Blender do not stop a batch."""

_POLL_S = 0.2


@dataclass
class Totals:
    """What has become of a batch so far.

    Attributes:
        photos: How many there are.
        done: How many are settled, whatever came of them.
        failed, skipped: How many of these.
        lines: Their lines, in the order in which they were settled.
        why: Why the batch ended early, "" where it has not.
    """

    photos: int
    done: int = 0
    failed: int = 0
    skipped: int = 0
    lines: list[dict[str, Any]] = field(default_factory=list)
    why: str = ""

    @property
    def status(self) -> int:
        """The exit status: 0 all well, 1 some failed, 75 to be tried again."""
        return TRY_AGAIN if self.why else 1 if self.failed else 0

    def summary(self) -> dict[str, Any]:
        """What the last line says."""
        counts = {"photos": self.photos, "failed": self.failed, "skipped": self.skipped}
        return counts | ({"left": self.photos - self.done, "why": self.why} if self.why else {})


class Told(Protocol):
    """Who is told how it goes."""

    def line(self, line: dict[str, Any], totals: Totals) -> None:
        """A photo is settled."""
        ...

    def end(self, totals: Totals) -> None:
        """The batch has ended."""
        ...


def run(
    photos: Sequence[FoundPhoto],
    make_worker: Callable[[], Worker],
    ledger: Ledger,
    recipe: Recipe,
    told_to: Told,
    *,
    mode: Mode = "skip",
    jobs: int = 1,
) -> Totals:
    """Makes the results of photos, and tells what became of each.

    Killed at any moment and run again with `mode` "resume", no result is lost and none made twice, but for those that
    were being made. A request to terminate drops these, and the batch is to be tried again.

    Args:
        photos: From `plan`.
        make_worker: Gives a worker for each job. One job works in this thread, which signals reach.
        ledger: Where the state of the photos is.
        recipe: What results depend on beside the photos.
        told_to: Is told how it goes, one thing at a time, from any thread.
        mode: As in `Ledger.judge`.
        jobs: How many photos at the same time.

    Raises:
        batch.Stopped: By Ctrl-C.
        OSError: Nobody can be told any more; `BrokenPipeError` where nobody listens.
    """
    totals = Totals(len(photos))
    with batch.stoppable() as check:
        work = _Run(photos, ledger, recipe, told_to, mode, totals, check)
        try:
            work.run(make_worker, min(jobs, max(1, len(photos))))
        except batch.Stopped as stop:
            if stop.status != batch.TERMINATED:
                raise
            totals.why = "It was asked to end."
        except WorkerError as error:
            totals.why = str(error)
        ledger.close()
        told_to.end(totals)
    return totals


class _Run:
    """The jobs of a batch, and what they share."""

    def __init__(
        self,
        photos: Sequence[FoundPhoto],
        ledger: Ledger,
        recipe: Recipe,
        told_to: Told,
        mode: Mode,
        totals: Totals,
        check: Callable[[], None],
    ) -> None:
        self._ledger, self._recipe, self._told_to = ledger, recipe, told_to
        self._mode: Mode = mode
        self._totals, self._check = totals, check
        self._waiting = iter(photos)
        self._lock = threading.Lock()  # guards all below, and who is told
        self._workers: list[Worker] = []
        self._is_over = False
        self._hindered = 0

    def run(self, make_worker: Callable[[], Worker], jobs: int) -> None:
        self._workers = [make_worker() for _ in range(jobs)]
        try:
            if jobs == 1:
                self._job(self._workers[0], self._check)
            else:
                self._side_by_side()
        finally:
            self._close()

    def _side_by_side(self) -> None:
        threads = concurrent.futures.ThreadPoolExecutor(len(self._workers), "batch")
        running = {threads.submit(self._job, worker, lambda: None) for worker in self._workers}
        try:
            while running:  # with a limit, so that signals are heard on any system
                done, running = concurrent.futures.wait(running, _POLL_S, concurrent.futures.FIRST_COMPLETED)
                for job in done:
                    job.result()
        finally:
            self._close()  # which frees the threads
            threads.shutdown()

    def _close(self) -> None:
        """Ends the workers, all at the same time: each may take seconds."""
        with self._lock:
            self._is_over = True
        with concurrent.futures.ThreadPoolExecutor(len(self._workers), "closing") as threads:
            for worker in self._workers:
                threads.submit(worker.close)

    def _job(self, worker: Worker, check: Callable[[], None]) -> None:
        while (found := self._next()) is not None:
            started = time.perf_counter()
            line = {"photo": told(found.path), **self._settle(found, worker)}
            check()
            line.setdefault("seconds", round(time.perf_counter() - started, 2))
            if not self._tell(line):
                return

    def _next(self) -> FoundPhoto | None:
        with self._lock:
            return None if self._is_over else next(self._waiting, None)

    def _settle(self, found: FoundPhoto, worker: Worker) -> dict[str, Any]:
        """What becomes of a photo; its line."""
        if found.problem:
            return {"ok": False, "error": found.problem}
        key = self._recipe.key(photos_hash(found))
        try:
            known = self._ledger.judge(found, key, self._mode)
            if known is not None:
                return known
            started = time.perf_counter()
            work = self._ledger.begin(found)
            try:
                outcome = worker.work(found, work)
            except BaseException:
                self._ledger.drop(work)
                raise
            if self._is_over:  # the worker may have ended for being told to: nothing of the photo is known
                self._ledger.drop(work)
                return outcome
            seconds = round(time.perf_counter() - started, 2)
            return self._ledger.commit(found, key, work, {**outcome, "seconds": seconds})
        except OSError as error:
            place = error.filename2 or error.filename or self._ledger.out
            why = f"{place} could not be written ({error.strerror or error}). Choose another folder with --out."
            return {"ok": False, "error": why, "retry": True}

    def _tell(self, line: dict[str, Any]) -> bool:
        """Counts and tells a line; whether to go on."""
        with self._lock:
            if self._is_over:
                return False
            totals = self._totals
            totals.done += 1
            totals.skipped += "skipped" in line
            totals.failed += not line["ok"] and "skipped" not in line
            totals.lines.append(line)
            self._hindered = self._hindered + 1 if line.get("retry") else 0
            self._told_to.line(line, totals)
            if self._hindered >= GIVE_UP and totals.done < totals.photos:
                totals.why = f"{GIVE_UP} photos one after another failed for no fault of theirs: {line['error']}"
                self._is_over = True
            return not self._is_over
