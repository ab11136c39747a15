"""One run of the backend process, from its start to its end."""

from __future__ import annotations

import subprocess
import threading
from collections import deque
from collections.abc import Callable
from io import BufferedReader, FileIO
from queue import SimpleQueue
from typing import cast

from ..protocol import PROTOCOL_VERSION, Message, MessageError, ProtocolError, pack, read_frame, unpack, write_frame
from ..protocol.messages import Error, Hello, HelloReply
from .errors import BackendDied, ClientError
from .launch import Launch
from .subprocesses import kill_tree, popen_options

CLIENT_NAME = "deca_blender"
_TAIL_LINES, _LINE_BYTES = 30, 1000
_DRAIN_S, _GRACE_S = 1.0, 3.0


class Connection:
    """Starts the backend and speaks with it from threads of its own; no call here ever blocks on the process.

    Threads: *run* starts the process, shakes hands and waits for the end; *reader* and *writer* move messages;
    *stderr* keeps its last lines. All end with the process.

    Args:
        launch: Gives the command; called on the run thread, so it must not touch the host's data.
        on_ready: Called with the handshake's reply, on a thread of the connection.
        on_message: Called with (request id, message) for each message, on a thread of the connection.
        on_closed: Called once with the reason, on a thread of the connection. Nothing follows it.
        delay_s: Wait so long before the start.
        start_timeout_s: The handshake must be done by then.
    """

    def __init__(
        self,
        launch: Callable[[], Launch],
        on_ready: Callable[[Connection, HelloReply], None],
        on_message: Callable[[Connection, int, Message], None],
        on_closed: Callable[[Connection, ClientError], None],
        delay_s: float = 0.0,
        start_timeout_s: float = 60.0,
    ) -> None:
        self.pid: int | None = None
        self._launch = launch
        self._on_ready, self._on_message, self._on_closed = on_ready, on_message, on_closed
        self._delay_s, self._start_timeout_s = delay_s, start_timeout_s
        self._outbox: SimpleQueue[tuple[int, Message] | None] = SimpleQueue()
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._process: subprocess.Popen | None = None
        self._is_closing = threading.Event()
        self._closed = threading.Event()
        self._reason: BackendDied | None = None
        _thread(self._run, "deca-run").start()

    def send(self, id: int, message: Message) -> None:
        """Queues a message; it is sent once the handshake is done."""
        self._outbox.put((id, message))

    def close(self, grace_s: float = _GRACE_S) -> None:
        """Ends the process: closes its stdin, and kills it when it has not ended after `grace_s` seconds."""
        self._is_closing.set()
        self._outbox.put(None)
        if self._closed.wait(grace_s):
            return
        self._kill(BackendDied("The backend was stopped."))
        self._closed.wait(_DRAIN_S * 2)

    # ---- run thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            if self._is_closing.wait(self._delay_s):
                raise BackendDied("The backend was stopped before it had started.")
            reason = self._serve(self._start(self._launch()))
        except ClientError as error:
            reason = error
        except Exception as error:  # `launch` is the caller's: tell, do not leave requests waiting
            reason = BackendDied(f"The backend could not be started ({type(error).__name__}: {error}).")
        self._on_closed(self, reason)
        self._closed.set()

    def _start(self, launch: Launch) -> subprocess.Popen:
        if self._is_closing.is_set():
            raise BackendDied("The backend was stopped before it had started.")
        try:
            process = subprocess.Popen(
                launch.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env=launch.env,
                **popen_options(),
            )
        except (OSError, ValueError) as error:
            raise BackendDied(
                f"The backend could not be started: {launch.command[0]} cannot be run ({error}).",
                "Check the backend's Python or command in the add-on's preferences.",
            ) from error
        self._process, self.pid = process, process.pid
        return process

    def _serve(self, process: subprocess.Popen) -> ClientError:
        """Moves messages until the process has ended; tells why it has."""
        stdin, stdout, stderr = (cast(FileIO, pipe) for pipe in (process.stdin, process.stdout, process.stderr))
        watchdog = self._kill_after(
            self._start_timeout_s, f"The backend did not answer within {self._start_timeout_s:g} seconds of its start."
        )
        threads = [_thread(self._keep_stderr, "deca-stderr", stderr)]
        threads += [_thread(self._read, "deca-reader", stdin, stdout, watchdog)]
        for thread in threads:
            thread.start()
        status = process.wait()
        watchdog.cancel()
        # What is in the pipes is still wanted. A grandchild may hold them open for ever, so do not wait for EOF alone.
        for thread in threads:
            thread.join(_DRAIN_S)
        self._outbox.put(None)
        if self._is_closing.is_set():
            return BackendDied("The backend was stopped.")
        reason = self._reason or BackendDied(
            f"The backend ended unexpectedly (exit status {status}).", "It is started again with the next request."
        )
        reason.last_words = "\n".join(line for line in list(self._tail) if line)
        return reason

    def _kill_after(self, delay_s: float, why: str) -> threading.Timer:
        timer = threading.Timer(delay_s, self._kill, [BackendDied(why, "Look at the backend's log.")])
        timer.daemon = True
        timer.start()
        return timer

    def _kill(self, reason: BackendDied) -> None:
        self._reason = self._reason or reason
        if self._process is not None:
            kill_tree(self._process)

    # ---- pipe threads --------------------------------------------------------------------------------------------

    def _read(self, stdin: FileIO, stdout: FileIO, watchdog: threading.Timer) -> None:
        has_writer = False
        try:
            with stdout:
                if self._shake_hands(stdin, stdout):
                    watchdog.cancel()
                    _thread(self._write, "deca-writer", stdin).start()
                    has_writer = True
                    while (frame := read_frame(stdout)) is not None:
                        self._on_message(self, frame.id, unpack(frame))
        except (ProtocolError, MessageError) as error:
            foreign = f"What the backend's command writes is not the protocol of this add-on: {error}"
            self._kill(BackendDied(foreign, "Check the backend's command, and that add-on and backend fit."))
        except OSError:
            pass  # the process is gone; the run thread tells
        finally:
            self._outbox.put(None)  # the writer closes stdin
            if not has_writer:
                stdin.close()
            self._kill_after(_GRACE_S, "The backend closed its output but did not end.")

    def _shake_hands(self, stdin: FileIO, stdout: FileIO) -> bool:
        write_frame(stdin, pack(Hello(PROTOCOL_VERSION, CLIENT_NAME), 0))
        frame = read_frame(stdout)
        if frame is None:
            return False
        reply = unpack(frame)
        if isinstance(reply, HelloReply):
            self._on_ready(self, reply)
            return True
        if not isinstance(reply, Error):
            raise MessageError(f"{type(reply).__name__} came instead of HelloReply.")
        self._reason = BackendDied(reply.message, reply.hint)
        return False

    def _write(self, stdin: FileIO) -> None:
        try:
            with stdin:
                while (item := self._outbox.get()) is not None:
                    id, message = item
                    try:
                        write_frame(stdin, pack(message, id))
                    except ProtocolError as error:
                        self._on_message(self, id, Error("ProtocolError", str(error), "Report this as a bug."))
        except OSError:
            pass  # the process is gone; the run thread tells

    def _keep_stderr(self, stderr: FileIO) -> None:
        with BufferedReader(stderr) as lines:
            while line := lines.readline(_LINE_BYTES):
                self._tail.append(line.decode(errors="replace").rstrip())


def _thread(target: Callable[..., None], name: str, *args: object) -> threading.Thread:
    return threading.Thread(target=target, args=args, name=name, daemon=True)
