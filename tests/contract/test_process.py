"""The backend process by itself: frames by hand on its pipes, its end, its log."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from io import BytesIO, FileIO
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from deca_blender.client.subprocesses import popen_options
from deca_blender.protocol import PROTOCOL_VERSION, Frame, Message, pack, read_frame, unpack, write_frame
from deca_blender.protocol.messages import (
    Cancel,
    Echo,
    EchoReply,
    Error,
    Hello,
    HelloReply,
    Ping,
    PingReply,
    ReconstructPhoto,
    Shutdown,
    ShutdownReply,
)

from .harness import FAKE, is_alive, python_env, wait_until

pytestmark = pytest.mark.timeout(30)


class Backend:
    """The process with its pipes; a context manager that kills it."""

    def __init__(self, *options: str, command: tuple[str, ...] = ("-m", "deca.service")) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *command, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=python_env(),
            **popen_options(),
        )
        self.stdin, self.stdout, self.stderr = (
            cast(FileIO, pipe) for pipe in (self.process.stdin, self.process.stdout, self.process.stderr)
        )

    def __enter__(self) -> Backend:
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.stdin, self.stdout, self.stderr):
            pipe.close()

    def say(self, message: Message, id: int = 1) -> None:
        write_frame(self.stdin, pack(message, id))

    def hear(self) -> tuple[int, Message] | None:
        frame = read_frame(self.stdout)
        return None if frame is None else (frame.id, unpack(frame))

    def greet(self) -> HelloReply:
        self.say(Hello(PROTOCOL_VERSION, "test"), 0)
        heard = self.hear()
        assert heard and isinstance(heard[1], HelloReply)
        return heard[1]


@pytest.fixture
def backend() -> Iterator[Backend]:
    with Backend() as backend:
        yield backend


def test_handshake_and_shutdown_without_torch(backend: Backend) -> None:
    hello = backend.greet()
    assert hello.protocol_version == PROTOCOL_VERSION and hello.pid == backend.process.pid
    assert hello.python == ".".join(map(str, sys.version_info[:3])) and hello.models == ("openhead",)
    assert hello.log_path == ""
    backend.say(Ping(), 7)
    assert backend.hear() == (7, PingReply("auto", False))
    maps = Path(f"/proc/{backend.process.pid}/maps")
    if maps.exists():
        assert "libtorch" not in maps.read_text()
    backend.say(Shutdown(), 8)
    assert backend.hear() == (8, ShutdownReply())
    assert backend.hear() is None and backend.process.wait(5) == 0


@pytest.mark.parametrize(("version", "culprit"), [(0, "add-on"), (2**40, "backend")])
def test_version_mismatch(backend: Backend, version: int, culprit: str) -> None:
    backend.say(Hello(version, "test"))
    heard = backend.hear()
    assert heard and isinstance(heard[1], Error) and heard[1].kind == "VersionMismatch"
    assert heard[1].hint == f"Update the {culprit}." and str(version) in heard[1].message
    assert backend.hear() is None and backend.process.wait(5) == 1


def test_nothing_is_served_before_the_handshake(backend: Backend) -> None:
    for message in (Ping(), Echo({}), Cancel(), Shutdown()):
        backend.say(message, 3)
        heard = backend.hear()
        assert heard and heard[0] == 3 and isinstance(heard[1], Error) and "handshake" in heard[1].message
    backend.greet()


def test_ends_on_eof_while_idle(backend: Backend) -> None:
    backend.greet()
    backend.stdin.close()
    assert backend.process.wait(2) == 0


@pytest.mark.parametrize(("photo", "limit_s"), [("slow", 1.8), ("hang", 5)])
def test_ends_on_eof_amid_a_request(photo: str, limit_s: float) -> None:
    """A handler that heeds its cancellation ends before the grace of two seconds, another one after it."""
    with Backend(command=(str(FAKE),)) as backend:
        backend.greet()
        backend.say(ReconstructPhoto(photo))
        backend.say(Ping(), 2)
        while backend.hear() != (2, PingReply("auto", True)):
            pass
        backend.stdin.close()
        backend.stdout.close()
        assert backend.process.wait(limit_s) == 0


def test_ids_in_use_are_refused() -> None:
    with Backend(command=(str(FAKE),)) as backend:
        backend.greet()
        backend.say(ReconstructPhoto("slow"), 5)
        backend.say(ReconstructPhoto("slow"), 5)
        while (heard := backend.hear()) and not isinstance(heard[1], Error):
            pass
        assert heard and heard[0] == 0 and "5 is in use" in str(heard[1])


def test_log_file_in_a_folder_of_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "Log Dateien ä 日本"
    folder.mkdir()
    for k in range(12):
        (folder / f"backend-{k}.log").write_text("old")
    with Backend("--log-dir", str(folder), "--device", "cpu") as backend:
        hello = backend.greet()
        backend.stdin.close()
        assert backend.process.wait(5) == 0
    assert hello.device == "cpu"
    assert "serves test" in Path(hello.log_path).read_text(encoding="utf-8")
    assert len(list(folder.iterdir())) == 8


def test_unwritable_log_folder_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with Backend("--log-dir", str(tmp_path / "file" / "log")) as backend:
        assert backend.greet().log_path == ""
        backend.stdin.close()
        assert b"No log file" in backend.stderr.read()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX process groups")
@pytest.mark.parametrize("holds_pipe", [False, True], ids=["eof", "pipe held by another process"])
def test_dies_with_its_parent(tmp_path: Path, holds_pipe: bool) -> None:
    """A host in between is killed; with `holds_pipe`, a process outside still has the writing end of stdin."""
    read_end, write_end = os.pipe()
    os.set_inheritable(write_end, True)
    host = f"""
import os, subprocess, sys, time
backend = subprocess.Popen([sys.executable, "-m", "deca.service"], stdin={read_end}, stdout=subprocess.PIPE)
os.close({read_end})
print(backend.pid, flush=True)
backend.stdout.read(1)      # it is up and has answered the handshake
print("up", flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", host], env=python_env(), stdout=subprocess.PIPE, pass_fds=[read_end, write_end]
    )
    os.close(read_end)
    assert parent.stdout
    pid = int(parent.stdout.readline())
    with open(write_end, "wb", buffering=0) as pipe:
        write_frame(pipe, pack(Hello(PROTOCOL_VERSION, "test"), 0))
        assert parent.stdout.readline() == b"up\n" and is_alive(pid)
        if not holds_pipe:
            pipe.close()
        parent.send_signal(signal.SIGKILL)
        parent.communicate()
        assert wait_until(lambda: not is_alive(pid), 5)


# ---- fuzz --------------------------------------------------------------------------------------------------------


def good_bytes() -> bytes:
    stream = BytesIO()
    write_frame(stream, pack(Hello(PROTOCOL_VERSION, "fuzz"), 0))
    write_frame(stream, pack(Echo({"x": np.arange(30, dtype=np.float32).reshape(5, 6)}), 1))
    write_frame(stream, pack(Ping(), 2))
    return stream.getvalue()


def mutations(seed: int) -> bytes:
    """A good conversation with a few bytes changed, removed, doubled or cut off."""
    rng = random.Random(seed)
    data = bytearray(good_bytes())
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data))
        match rng.randrange(5):
            case 0:
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                del data[at : at + rng.randint(1, 20)]
            case 2:
                data[at:at] = rng.randbytes(rng.randint(1, 20))
            case 3:
                del data[max(at, 1) :]
            case 4:
                data[at : at + 4] = b"\xff\xff\xff\xff"
    return bytes(data)


@pytest.mark.parametrize("first_seed", [0, 12])
def test_mutated_conversations_end_in_an_error_or_eof(first_seed: int) -> None:
    """Whatever comes, the process ends by itself with status 0 or 1 and writes nothing but sound frames."""
    for seed in range(first_seed, first_seed + 12):
        done = subprocess.run(
            [sys.executable, "-m", "deca.service"],
            input=mutations(seed),
            capture_output=True,
            env=python_env(),
            timeout=10,
            check=False,
        )
        assert done.returncode in (0, 1), (seed, done)
        assert b"Traceback" not in done.stderr, (seed, done.stderr)
        stream = BytesIO(done.stdout)
        while (frame := read_frame(stream)) is not None:
            assert isinstance(unpack(frame), HelloReply | EchoReply | PingReply | Error)


def test_frames_that_are_sound_but_wrong_are_answered_and_the_stream_goes_on(backend: Backend) -> None:
    backend.greet()
    wrong = [
        Frame(4, "NoSuchThing"),
        Frame(4, "DescribeHead", {"head": 3}),
        Frame(4, "DescribeHead", {"head": "x", "surprise": 1}),
        Frame(4, "Hello", {}),
        Frame(4, "Ping", {}, {"x": np.zeros(3)}),
        Frame(4, "Echo", {"arrays": {"x": 1}}),
        Frame(4, "Echo", {"arrays": {"x": None}}),
        Frame(4, "ReconstructPhoto", {"path": "x", "texture_size": 1.5}),
        Frame(4, "HelloReply", {"pid": 1}),
        Frame(4, "PingReply", {"device": "x", "is_busy": False}),
        Frame(4, "__class__", {"__init__": []}),
    ]
    for frame in wrong:
        write_frame(backend.stdin, frame)
        heard = backend.hear()
        assert heard and heard[0] == 4 and isinstance(heard[1], Error), frame
        assert heard[1].kind == "MessageError" and heard[1].hint
    backend.say(Ping(), 5)
    assert backend.hear() == (5, PingReply("auto", False))


def test_a_client_that_stops_reading_does_not_outlive_itself(backend: Backend) -> None:
    """Replies that nobody reads fill the pipe; EOF still ends the process."""
    backend.greet()
    for k in range(8):
        backend.say(Echo({"x": np.zeros(100_000)}), k + 1)
    time.sleep(0.2)
    backend.stdin.close()
    assert backend.process.wait(5) == 0
