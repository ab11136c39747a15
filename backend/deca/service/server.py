"""Serves requests: one thread reads frames, the main thread works on one request after another.

The reader answers what must not wait (`Hello`, `Ping`, `Cancel`, `Shutdown`) itself. Work is done on the main thread,
where torch and signal handlers feel at home.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

from deca.errors import DecaError
from deca.service.device import Device
from deca_blender.protocol import (
    ByteReader,
    ByteWriter,
    MessageError,
    ProtocolError,
    pack,
    read_frame,
    unpack,
    write_frame,
)
from deca_blender.protocol.messages import (
    PROTOCOL_VERSION,
    Cancel,
    Error,
    Hello,
    HelloReply,
    Message,
    Ping,
    PingReply,
    Progress,
    Request,
    Shutdown,
    ShutdownReply,
)

log = logging.getLogger(__name__)

_GRACE_S = 2.0


class Cancelled(Exception):
    """The request was given up. Raised by the `progress` callable; handlers let it pass."""


ProgressCall = Callable[[float, str], None]
Handler = Callable[[Any, ProgressCall], Message]
"""Answers a request: `handler(request, progress) -> reply`. Calls `progress(fraction, text)` between its steps."""


@dataclass(eq=False)
class _Task:
    id: int
    request: Request
    cancelled: threading.Event = field(default_factory=threading.Event)


class Server:
    """Answers the requests of one client.

    Args:
        reader: Where frames come from; blocking.
        writer: Where frames go to; blocking.
        handlers: What answers each type of request.
        hello: The answer to the handshake.
        device: Reported by `Ping`.
    """

    def __init__(
        self,
        reader: ByteReader,
        writer: ByteWriter,
        handlers: Mapping[type[Request], Handler],
        hello: HelloReply,
        device: Device,
    ) -> None:
        self._reader, self._writer = reader, writer
        self._handlers, self._hello, self._device = handlers, hello, device
        self._write_lock = threading.Lock()
        self._is_greeted = False
        self._tasks: dict[int, _Task] = {}
        self._queue: SimpleQueue[_Task | None] = SimpleQueue()
        self._status = 0
        self._is_idle = threading.Event()

    def run(self) -> int:
        """Serves until the stream ends, then returns the exit status.

        A handler that does not heed its cancellation within two seconds of the end is ended with the process.
        """
        threading.Thread(target=self._read, name="reader", daemon=True).start()
        while (task := self._queue.get()) is not None:
            self._work(task)
        self._is_idle.set()
        log.info("ends with status %d", self._status)
        return self._status

    # ---- reader thread -------------------------------------------------------------------------------------------

    def _read(self) -> None:
        try:
            while (frame := read_frame(self._reader)) is not None and self._receive(frame):
                pass
        except ProtocolError as error:
            self._status = 1
            log.error("%s", error)
            self._send_error(0, "ProtocolError", f"{error} The backend closes.", "Restart the backend.")
        except OSError as error:
            log.info("the stream broke: %s", error)
        except Exception as error:  # without its reader the process would wait for ever
            self._status = 1
            log.exception("the reader failed")
            self._send(0, _unexpected(error, self._hello.log_path))
        for task in list(self._tasks.values()):
            task.cancelled.set()
        self._queue.put(None)
        if not self._is_idle.wait(_GRACE_S):
            log.warning("a request did not end in time")
            os._exit(self._status)

    def _receive(self, frame: Any) -> bool:
        """Takes one frame; False when it was the last."""
        try:
            message = unpack(frame)
        except MessageError as error:
            self._send_error(
                frame.id, "MessageError", str(error), "The add-on and the backend do not fit: update both."
            )
            return True
        if isinstance(message, Hello):
            return self._greet(frame.id, message)
        if not self._is_greeted:
            self._send_error(
                frame.id, "MessageError", f"{frame.method} came before the handshake.", "Send Hello first."
            )
        elif isinstance(message, Ping):
            self._send(frame.id, PingReply(self._device.name, bool(self._tasks)))
        elif isinstance(message, Cancel):
            if task := self._tasks.get(frame.id):
                task.cancelled.set()
        elif isinstance(message, Shutdown):
            self._send(frame.id, ShutdownReply())
            return False
        elif type(message) in self._handlers and isinstance(message, Request):
            if frame.id in self._tasks:
                self._send_error(0, "MessageError", f"The id {frame.id} is in use.", "Number requests uniquely.")
            else:
                task = self._tasks[frame.id] = _Task(frame.id, message)
                self._queue.put(task)
        else:
            self._send_error(
                frame.id, "MessageError", f"This backend does not serve {frame.method}.", "Update the backend."
            )
        return True

    def _greet(self, id: int, hello: Hello) -> bool:
        if hello.protocol_version != PROTOCOL_VERSION:
            log.error("%s speaks protocol %d, not %d", hello.client, hello.protocol_version, PROTOCOL_VERSION)
            older = "backend" if hello.protocol_version > PROTOCOL_VERSION else "add-on"
            self._status = 1
            self._send_error(
                id,
                "VersionMismatch",
                f"The add-on speaks protocol version {hello.protocol_version},"
                f" the backend (deca {self._hello.backend_version}) version {PROTOCOL_VERSION}.",
                f"Update the {older}.",
            )
            return False
        log.info("serves %s", hello.client)
        self._is_greeted = True
        self._send(id, self._hello)
        return True

    # ---- main thread ---------------------------------------------------------------------------------------------

    def _work(self, task: _Task) -> None:
        name, start = type(task.request).__name__, time.perf_counter()

        def progress(fraction: float, text: str) -> None:
            if task.cancelled.is_set():
                raise Cancelled
            self._send(task.id, Progress(float(fraction), text))

        reply: Message
        try:
            if task.cancelled.is_set():
                raise Cancelled
            reply = self._handlers[type(task.request)](task.request, progress)
        except Cancelled:
            reply = Error("Cancelled", f"{name} was cancelled.", "")
        except DecaError as error:
            log.warning("%s: %s", name, error)
            reply = Error(type(error).__name__, error.message, error.hint)
        except Exception as error:
            log.exception("%s failed", name)
            reply = _unexpected(error, self._hello.log_path)
        # Free the id first: once the reply is out, the client may use it again and Ping must not say busy.
        self._tasks.pop(task.id, None)
        self._reply(task.id, name, reply)
        log.info("%s #%d: %s in %.3f s", name, task.id, type(reply).__name__, time.perf_counter() - start)

    def _reply(self, id: int, name: str, reply: Message) -> None:
        try:
            self._send(id, reply)
        except Exception as error:  # what cannot be packed, or only with more memory
            log.exception("the reply to %s cannot be sent", name)
            what = f"The reply to {name} cannot be sent: {error}"
            self._send(id, Error("ProtocolError", what, "Report this as a bug."))

    # ---- both ----------------------------------------------------------------------------------------------------

    def _send_error(self, id: int, kind: str, message: str, hint: str) -> None:
        self._send(id, Error(kind, message, hint))

    def _send(self, id: int, message: Message) -> None:
        with self._write_lock:
            try:
                write_frame(self._writer, pack(message, id))
            except OSError as error:  # the client is gone: the reader sees EOF and ends the process
                log.info("%s could not be sent: %s", type(message).__name__, error)


def _unexpected(error: Exception, log_path: str) -> Error:
    """The error that tells the user about an exception nobody foresaw."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return Error(
            "OutOfMemory",
            f"The backend ran out of memory ({str(error).splitlines()[0] if str(error) else 'no details'}).",
            "Close other programs, choose a smaller texture, or set the device to cpu.",
        )
    see = (
        f"The log file has the details: {log_path}" if log_path else "Start the backend with a log folder for details."
    )
    return Error("InternalError", f"The backend failed unexpectedly: {type(error).__name__}: {error}.", see)
