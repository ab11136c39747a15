"""The server of the backend in this process, with pipes that look at it in the middle of a write."""

from __future__ import annotations

import threading
from collections.abc import Callable
from io import BytesIO
from queue import SimpleQueue

import numpy as np
import pytest

from deca.service.device import Device
from deca.service.server import Server
from deca_blender.protocol import PROTOCOL_VERSION, Message, pack, read_frame, unpack, write_frame
from deca_blender.protocol.messages import Echo, EchoReply, Error, Hello, HelloReply, Ping, PingReply, Shutdown

HELLO = HelloReply(PROTOCOL_VERSION, "0", "3", "", "cpu", (), "", 1)


class Pipe:
    """What the client says; `is_read` while the server waits for more: it has dealt with all that was said."""

    def __init__(self) -> None:
        self.is_read = threading.Event()
        self._said: SimpleQueue[bytes] = SimpleQueue()
        self._rest = b""

    def say(self, message: Message, id: int) -> None:
        stream = BytesIO()
        write_frame(stream, pack(message, id))
        self.is_read.clear()
        self._said.put(stream.getvalue())

    def readinto(self, buffer: memoryview) -> int:
        if not self._rest:
            if self._said.empty():
                self.is_read.set()
            self._rest = self._said.get()
        data, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(data)] = data
        return len(data)


class Heard:
    """What the server says; `on_message` is called before the write of it returns."""

    def __init__(self, on_message: Callable[[int, Message], None] = lambda id, message: None) -> None:
        self.messages: list[tuple[int, Message]] = []
        self._on_message = on_message

    def write(self, data: memoryview) -> int:
        frame = read_frame(BytesIO(bytes(data)))  # small frames come in one piece
        assert frame
        self.messages.append((frame.id, unpack(frame)))
        self._on_message(*self.messages[-1])
        return len(data)


def serve(pipe: Pipe, heard: Heard, handler: Callable[[Echo], Message] = lambda echo: EchoReply(echo.arrays)) -> int:
    return Server(pipe, heard, {Echo: lambda echo, progress: handler(echo)}, HELLO, Device("cpu")).run()  # type: ignore[arg-type]


def test_an_id_is_free_once_its_reply_is_out() -> None:
    """The client may use it again, and nobody is busy, as soon as the reply can be read."""
    pipe = Pipe()
    seen: list[bool] = []

    def on_message(id: int, message: Message) -> None:
        if isinstance(message, EchoReply) and not seen:
            pipe.say(Echo({}), 5)  # the same id, while the server is still writing the reply
            seen.append(pipe.is_read.wait(2))  # an error about it could not be written before this write is done
            pipe.say(Ping(), 6)
        elif isinstance(message, EchoReply | Error):
            pipe.say(Shutdown(), 7)

    heard = Heard(on_message)
    pipe.say(Hello(PROTOCOL_VERSION, "test"), 0)
    pipe.say(Echo({}), 5)
    assert serve(pipe, heard) == 0
    assert seen == [True]
    assert [id for id, message in heard.messages if isinstance(message, EchoReply)] == [5, 5]
    assert not any(isinstance(message, Error) for _, message in heard.messages)


def test_ping_after_a_reply_is_not_busy() -> None:
    pipe, answered = Pipe(), threading.Event()

    def on_message(id: int, message: Message) -> None:
        if isinstance(message, EchoReply):
            pipe.say(Ping(), 6)
            pipe.say(Shutdown(), 7)
            answered.wait(0.2)  # the reader makes its answer now, and writes it when this write is done

    heard = Heard(on_message)
    pipe.say(Hello(PROTOCOL_VERSION, "test"), 0)
    pipe.say(Echo({}), 5)
    serve(pipe, heard)
    assert (6, PingReply("cpu", False)) in heard.messages


@pytest.mark.parametrize("failure", [MemoryError(), RecursionError("deep"), TypeError("of nobody knows what")])
def test_a_reader_that_fails_ends_the_process_with_an_error(failure: Exception) -> None:
    """It would wait for ever otherwise, and the client with it."""

    class Failing(Pipe):
        def readinto(self, buffer: memoryview) -> int:
            raise failure

    heard = Heard()
    assert serve(Failing(), heard) == 1
    ((id, message),) = heard.messages
    assert id == 0 and isinstance(message, Error) and message.kind in ("OutOfMemory", "InternalError")


def test_a_reply_that_cannot_be_sent_fails_alone() -> None:
    class TooMuch(dict):
        def items(self):
            raise MemoryError

    pipe, heard = Pipe(), Heard()
    replies = iter([EchoReply(TooMuch(x=np.zeros(1))), EchoReply({"x": np.zeros(1, complex)}), EchoReply({})])
    pipe.say(Hello(PROTOCOL_VERSION, "test"), 0)
    for id in (1, 2, 3):
        pipe.say(Echo({}), id)

    def handler(echo: Echo) -> Message:
        reply = next(replies)
        if not reply.arrays:
            pipe.say(Shutdown(), 4)
        return reply

    assert serve(pipe, heard, handler) == 0
    kinds = {id: type(message).__name__ for id, message in heard.messages if id in (1, 2, 3)}
    assert kinds == {1: "Error", 2: "Error", 3: "EchoReply"}
