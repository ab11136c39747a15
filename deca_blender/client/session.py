"""Requests to the backend, which is started when the first one comes and again after it has died.

    STOPPED --submit--> STARTING --handshake--> READY <--> BUSY
       ^                   ^   |                    |
       |                   |   +--- start failed ---+--- process ended
     close              submit          |
                           +-------- FAILED

Made for Blender: nothing here calls the user's code on a thread other than the caller's. An operator submits a
request, then polls its `Job` from a timer on the main thread; in background mode it calls `Session.request`.
"""

from __future__ import annotations

import atexit
import itertools
import threading
import time
from collections.abc import Callable
from enum import Enum
from typing import Generic, TypeVar

from ..protocol import Message, Request
from ..protocol.messages import Cancel, Error, HelloReply, Progress
from .connection import Connection
from .errors import BackendDied, ClientError, RequestCancelled, RequestFailed, RequestTimeout
from .launch import Launch

Reply = TypeVar("Reply", bound=Message)
ProgressCall = Callable[[float, str], None]

_MAX_BACKOFF_S = 10.0


class State(Enum):
    """What the backend is doing."""

    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    BUSY = "busy"
    FAILED = "failed"


class Job(Generic[Reply]):
    """A request under way.

    Attributes:
        request: What was asked.
        progress: The latest progress message.
    """

    def __init__(self, session: Session, id: int, request: Request[Reply]) -> None:
        self.request = request
        self.progress = Progress(0.0, "")
        self._session, self._id = session, id
        self._reply: Reply | None = None
        self._error: ClientError | None = None

    def poll(self) -> bool:
        """Whether the request is done, well or badly. Never blocks."""
        return self._reply is not None or self._error is not None

    def result(self) -> Reply:
        """The reply of a request that is done.

        Raises:
            RequestFailed: The backend answered with an error.
            RequestCancelled: The request was cancelled.
            BackendDied: The backend could not be started, or ended first.
            InterpreterError: No Python can run the backend.
        """
        if self._error is not None:
            raise self._error
        if self._reply is None:
            raise RuntimeError("The request is not done; poll() tells.")
        return self._reply

    def wait(self, timeout: float | None = None, on_progress: ProgressCall | None = None) -> Reply:
        """Blocks until the request is done and gives its reply. When this raises, the request is given up.

        Args:
            timeout: Seconds; None waits for ever.
            on_progress: Called with (fraction, text) on the calling thread.

        Raises:
            RequestTimeout: It took longer than `timeout`.
            ClientError: As `result`.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            seen = self.progress
            while not self.poll():
                rest = None if deadline is None else deadline - time.monotonic()
                if rest is not None and rest <= 0:
                    name = type(self.request).__name__
                    raise RequestTimeout(
                        f"The backend did not answer {name} within {timeout:g} seconds.",
                        "Try again, or look at its log.",
                    )
                self._session._wait_for(lambda seen=seen: self.poll() or self.progress is not seen, rest)
                if self.progress is not seen:
                    seen = self.progress
                    if on_progress is not None:
                        on_progress(seen.fraction, seen.text)
        except BaseException:  # also Ctrl-C, and whatever on_progress raises: nobody waits for the reply any more
            self.cancel()
            raise
        return self.result()

    def cancel(self) -> None:
        """Asks the backend to give the request up. The job is done when the backend has answered that it has."""
        self._session._cancel(self._id)

    def _finish(self, message: Message) -> None:
        """Called by the session under its lock."""
        if isinstance(message, self.request.reply_type()):
            self._reply = message
        elif isinstance(message, Error) and message.kind == "Cancelled":
            self._error = RequestCancelled(message.message, message.hint)
        elif isinstance(message, Error):
            self._error = RequestFailed(message.kind, message.message, message.hint)
        else:
            asked, got = type(self.request).__name__, type(message).__name__
            self._error = RequestFailed("MessageError", f"The backend answered {asked} with {got}.", "Update it.")


class Session:
    """The add-on's line to its backend. May be used from any thread.

    Args:
        launch: Gives the command of the backend (`LaunchSettings`); called on another thread at each start.
        start_timeout_s: The backend must have answered the handshake by then.

    Attributes:
        backend: The handshake's reply while the backend runs, else None.
        failure: Why the backend is not running, when its state is FAILED.
    """

    def __init__(self, launch: Callable[[], Launch], start_timeout_s: float = 60.0) -> None:
        self.backend: HelloReply | None = None
        self.failure: ClientError | None = None
        self._launch, self._start_timeout_s = launch, start_timeout_s
        self._changed = threading.Condition()  # guards everything below; notified when a job changes
        self._connection: Connection | None = None
        self._jobs: dict[int, Job] = {}
        self._ids = itertools.count(1)
        self._deaths = 0

    @property
    def state(self) -> State:
        """What the backend is doing."""
        with self._changed:
            if self._connection is None:
                return State.FAILED if self.failure else State.STOPPED
            if self.backend is None:
                return State.STARTING
            return State.BUSY if self._jobs else State.READY

    @property
    def pid(self) -> int | None:
        """Process id of the running backend's command."""
        with self._changed:
            return self._connection.pid if self._connection else None

    def submit(self, request: Request[Reply]) -> Job[Reply]:
        """Sends a request, starting the backend if need be. Never blocks, never raises for the backend's sake."""
        with self._changed:
            if self._connection is None:
                self._start()
            job = Job(self, next(self._ids), request)
            self._jobs[job._id] = job
            assert self._connection is not None
            self._connection.send(job._id, request)
            return job

    def request(
        self, request: Request[Reply], on_progress: ProgressCall | None = None, timeout: float | None = None
    ) -> Reply:
        """Sends a request and waits for its reply; arguments and errors as `Job.wait`."""
        return self.submit(request).wait(timeout, on_progress)

    def close(self, grace_s: float = 3.0) -> None:
        """Ends the backend and fails what is under way; a later request starts it again.

        Args:
            grace_s: The process is killed when it has not ended by then.
        """
        atexit.unregister(self.close)
        with self._changed:
            connection, self._connection = self._connection, None
            self._deaths = 0
            self._end(BackendDied("The backend was stopped."))
            self.failure = None
        if connection is not None:
            connection.close(grace_s)

    # ---- under the lock ------------------------------------------------------------------------------------------

    def _start(self) -> None:
        self.failure = None
        atexit.register(self.close)
        # The first restart is immediate; a backend that keeps dying is started ever more rarely.
        delay_s = 0.0 if self._deaths < 2 else min(_MAX_BACKOFF_S, 0.5 * 2 ** (self._deaths - 2))
        self._connection = Connection(
            self._launch, self._on_ready, self._on_message, self._on_closed, delay_s, self._start_timeout_s
        )

    def _end(self, reason: ClientError) -> None:
        self.backend, self.failure = None, reason
        for job in self._jobs.values():
            job._error = reason
        self._jobs.clear()
        self._changed.notify_all()

    # ---- called by jobs ------------------------------------------------------------------------------------------

    def _wait_for(self, predicate: Callable[[], bool], timeout: float | None) -> None:
        with self._changed:
            self._changed.wait_for(predicate, timeout)

    def _cancel(self, id: int) -> None:
        with self._changed:
            if id in self._jobs and self._connection is not None:
                self._connection.send(id, Cancel())

    # ---- called by the connection's threads ----------------------------------------------------------------------

    def _on_ready(self, connection: Connection, hello: HelloReply) -> None:
        with self._changed:
            if connection is self._connection:
                self.backend = hello
                self._changed.notify_all()

    def _on_message(self, connection: Connection, id: int, message: Message) -> None:
        with self._changed:
            job = self._jobs.get(id)
            if connection is not self._connection or job is None:
                return
            if isinstance(message, Progress):
                job.progress = message
            else:
                del self._jobs[id]
                job._finish(message)
                self._deaths = 0
            self._changed.notify_all()

    def _on_closed(self, connection: Connection, reason: ClientError) -> None:
        with self._changed:
            if connection is not self._connection:
                return
            self._connection = None
            if isinstance(reason, BackendDied):
                self._deaths += 1
            self._end(reason)
