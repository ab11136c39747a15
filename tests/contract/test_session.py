"""The real client against the real server in a real process."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import numpy as np
import pytest

from deca_blender.client import (
    BackendDied,
    Launch,
    RequestCancelled,
    RequestFailed,
    RequestTimeout,
    Session,
    State,
)
from deca_blender.protocol import PROTOCOL_VERSION
from deca_blender.protocol.messages import DescribeHead, Echo, Ping, ReconstructPhoto, Shutdown

from .harness import fake_launch, is_alive, script_launch, wait_until

pytestmark = pytest.mark.timeout(30)


def test_starts_lazily_and_says_who_it_is(session: Session) -> None:
    assert (session.state, session.pid) == (State.STOPPED, None)
    job = session.submit(Ping())
    assert session.state in (State.STARTING, State.READY, State.BUSY)
    assert job.wait(20).is_busy is False
    assert session.state is State.READY
    assert session.backend is not None and session.backend.pid == session.pid
    assert session.backend.python.startswith("3.") and session.backend.device == "auto"
    session.close()
    assert (session.state, session.backend) == (State.STOPPED, None)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int32", "int64", "float16", "float32", "float64"])
def test_echo_returns_every_bit(session: Session, dtype: str) -> None:
    rng = np.random.default_rng(1)
    big = rng.integers(0, 256, 256 * 256 * 8, np.uint8).view(dtype).reshape(-1, 256)
    arrays = {"big": big, "every other": big[::2, ::-1], "none": big[:0], "one": big[0, 0, ...], "a.b": big[:3].T}
    reply = session.request(Echo(arrays), timeout=20)
    assert list(reply.arrays) == list(arrays)
    for name, array in arrays.items():
        got = reply.arrays[name]
        assert (got.dtype, got.shape, got.tobytes()) == (array.dtype, array.shape, array.tobytes())
        assert got.flags.writeable


def test_reconstruct_crosses_whole(session: Session) -> None:
    name = 'Fotos von Zoë/ein "Bild" \udcff 写真.jpg'
    (face,) = session.request(ReconstructPhoto(name, texture_size=64), timeout=20).faces
    assert face.photo == name
    assert np.array_equal(face.shape, np.random.default_rng(7).normal(size=300).astype(np.float32))
    assert face.albedo is not None and face.albedo.shape == (64, 64, 3)
    assert face.crop.dtype == np.float64 and face.image_size == (640, 480) and face.box == (1.0, 2.0, 3.0, 4.0)
    (face,) = session.request(ReconstructPhoto("x", texture_size=None), timeout=20).faces
    assert face.albedo is None and face.photographed is None


def test_progress_arrives_on_the_callers_thread(session: Session) -> None:
    seen: list[tuple[float, str, bool]] = []
    here = threading.current_thread()
    session.request(ReconstructPhoto("steps"), lambda f, t: seen.append((f, t, threading.current_thread() is here)), 20)
    assert seen and all(on_caller for _, _, on_caller in seen)
    assert [f for f, _, _ in seen] == sorted(f for f, _, _ in seen)


def test_waiting_takes_no_processor_time(session: Session) -> None:
    session.request(Ping(), timeout=20)
    before = time.thread_time()
    session.request(ReconstructPhoto("pause"), timeout=20)
    assert time.thread_time() - before < 0.3  # of the second that the backend pauses after it has told its progress


def test_polling_shows_progress_and_ping_is_answered_meanwhile(session: Session) -> None:
    job = session.submit(ReconstructPhoto("slow"))
    assert wait_until(lambda: job.progress.fraction > 0)
    assert not job.poll() and session.state is State.BUSY
    assert session.request(Ping(), timeout=2).is_busy
    with pytest.raises(RuntimeError):
        job.result()
    job.cancel()
    assert wait_until(job.poll)
    with pytest.raises(RequestCancelled):
        job.result()
    assert session.state is State.READY


def test_cancel_reaches_a_request_that_waits_in_the_queue(session: Session) -> None:
    first, second, third = (session.submit(ReconstructPhoto(name)) for name in ("slow", "steps", "steps"))
    second.cancel()
    first.cancel()
    assert third.wait(10).faces
    for job in (first, second):
        with pytest.raises(RequestCancelled):
            job.wait(10)


def test_timeout_cancels(session: Session) -> None:
    session.request(Ping(), timeout=20)
    with pytest.raises(RequestTimeout, match=r"0\.2 seconds"):
        session.request(ReconstructPhoto("slow"), timeout=0.2)
    assert wait_until(lambda: session.state is State.READY, 3)


def test_an_exception_from_on_progress_cancels(session: Session) -> None:
    def escape(fraction: float, text: str) -> None:
        raise KeyError("Esc")

    with pytest.raises(KeyError):
        session.request(ReconstructPhoto("slow"), escape, 20)
    assert wait_until(lambda: session.state is State.READY, 3)


@pytest.mark.parametrize(
    ("photo", "kind", "message", "hint"),
    [
        ("no face", "NoFaceError", "No face was found on no face.", "Use another photo."),
        ("bug", "InternalError", "ZeroDivisionError: by zero", "log"),
        ("out of memory", "OutOfMemory", "out of memory", "smaller texture"),
        ("wrong reply", "MessageError", "answered ReconstructPhoto with HelloReply", "Update"),
        ("unsendable", "ProtocolError", "complex64", "bug"),
    ],
)
def test_errors_cross_as_text_with_a_fix(session: Session, photo: str, kind: str, message: str, hint: str) -> None:
    with pytest.raises(RequestFailed) as caught:
        session.request(ReconstructPhoto(photo), timeout=20)
    assert caught.value.kind == kind
    assert message in caught.value.message and hint in caught.value.hint
    assert session.request(Ping(), timeout=5)  # the session goes on


def test_request_that_the_backend_does_not_serve(session: Session) -> None:
    with pytest.raises(RequestFailed, match="does not serve DescribeHead"):
        session.request(DescribeHead(), timeout=20)


def test_request_that_cannot_be_encoded_fails_alone(session: Session) -> None:
    with pytest.raises(RequestFailed, match="complex64"):
        session.request(Echo({"x": np.zeros(2, np.complex64)}), timeout=20)
    assert session.request(Ping(), timeout=5)


def test_prints_do_not_corrupt_frames(session: Session) -> None:
    assert session.request(ReconstructPhoto("print"), timeout=20).faces
    assert session.request(Ping(), timeout=5)


def test_crash_is_a_clean_error_with_last_words_and_the_next_request_works(session: Session) -> None:
    first, waiting = session.submit(ReconstructPhoto("crash")), session.submit(ReconstructPhoto("steps"))
    for job in (first, waiting):
        with pytest.raises(BackendDied, match="about to abort"):
            job.wait(20)
    assert session.state is State.FAILED and isinstance(session.failure, BackendDied)
    assert session.request(ReconstructPhoto("steps"), timeout=20).faces
    assert session.state is State.READY and session.failure is None


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_killed_amid_a_request(session: Session) -> None:
    job = session.submit(ReconstructPhoto("slow"))
    assert wait_until(lambda: job.progress.fraction > 0)
    assert session.pid
    os.kill(session.pid, signal.SIGKILL)
    with pytest.raises(BackendDied, match="exit status -9"):
        job.wait(5)
    assert session.request(Ping(), timeout=20)


def test_death_is_noticed_although_a_grandchild_holds_the_pipes(session: Session) -> None:
    with pytest.raises(BackendDied, match="exit status 3"):
        session.request(ReconstructPhoto("grandchild"), timeout=15)
    assert session.request(Ping(), timeout=20)


def test_restarts_back_off() -> None:
    starts: list[float] = []

    def launch() -> Launch:
        starts.append(time.monotonic())
        return script_launch("raise SystemExit('no such luck')")

    session = Session(launch)
    for _ in range(4):
        with pytest.raises(BackendDied, match="no such luck"):
            session.request(Ping(), timeout=20)
    gaps = np.diff(starts)
    assert gaps[0] < gaps[2] and gaps[1] > 0.5 and gaps[2] > 1.0
    session.close()


def test_shutdown_request(session: Session) -> None:
    session.request(Ping(), timeout=20)
    session.request(Shutdown(), timeout=5)
    assert wait_until(lambda: session.state is State.FAILED)


def test_close_ends_a_backend_that_hangs(session: Session) -> None:
    job = session.submit(ReconstructPhoto("hang"))
    assert wait_until(lambda: session.state is State.BUSY)
    pid = session.pid
    assert pid
    start = time.monotonic()
    session.close(grace_s=0.5)
    assert time.monotonic() - start < 4 and session.state is State.STOPPED
    with pytest.raises(BackendDied, match="stopped"):
        job.result()
    assert wait_until(lambda: not is_alive(pid))


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("print('Welcome to gpu-box!', flush=True); import time; time.sleep(30)", "not the protocol"),
        (
            "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read(40)); sys.stdout.flush()",
            "not the protocol|ended",
        ),
        ("import time; time.sleep(30)", "did not answer within 1 seconds"),
        ("import os, time; os.close(1); time.sleep(30)", "did not answer"),
        ("raise SystemExit(5)", "exit status 5"),
    ],
)
def test_commands_that_are_no_backend(script: str, message: str) -> None:
    session = Session(lambda: script_launch(script), start_timeout_s=1.0)
    with pytest.raises(BackendDied, match=message):
        session.request(Ping(), timeout=15)
    assert session.state is State.FAILED
    session.close()


def test_command_that_does_not_exist() -> None:
    session = Session(lambda: Launch(("/nowhere/python",)))
    with pytest.raises(BackendDied, match="cannot be run"):
        session.request(Ping(), timeout=15)
    session.close()


def test_use_from_many_threads(session: Session) -> None:
    results: list[bool] = []

    def work(number: int) -> None:
        for k in range(20):
            array = np.full(1000, 100 * number + k)
            results.append(np.array_equal(session.request(Echo({"x": array}), timeout=20).arrays["x"], array))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 80


def test_version_mismatch_says_what_to_update(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deca_blender.client.connection.PROTOCOL_VERSION", 99)
    session = Session(fake_launch)
    with pytest.raises(BackendDied, match=f"version 99.*version {PROTOCOL_VERSION}.*Update the backend"):
        session.request(Ping(), timeout=20)
    session.close()
