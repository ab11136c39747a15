"""What the backend says of the head model and the weights of the preferences; it is asked on request only."""

from __future__ import annotations

from collections.abc import Callable

import bpy

from .client import ClientError, Session
from .core.model_check import ModelChecks, Verdict
from .protocol import Request
from .protocol.messages import ConvertHead, ConvertHeadReply, DescribeHead, DescribeWeights
from .ui import texts

HEAD, WEIGHTS = "head", "weights"
_TICK_S = 0.1

_checks = ModelChecks()
_session: Callable[[], Session] | None = None
_use_head: Callable[[str], None] | None = None


def register(session: Callable[[], Session], use_head: Callable[[str], None]) -> None:
    """Makes checks possible.

    Args:
        session: Gives the line to the backend.
        use_head: Makes a converted head model the chosen one.
    """
    global _session, _use_head
    _session, _use_head = session, use_head


def unregister() -> None:
    """Forgets all answers."""
    global _session, _use_head
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)
    for name in (HEAD, WEIGHTS):
        _checks.forget(name)
    _session = _use_head = None


def check(head: str, weights: str, has_builtin: bool = False) -> None:
    """Asks the backend, which is started if need be, what the files are and whether they fit. Does not wait.

    Args:
        head: Name of a head model or path of its file.
        weights: Path of a weights file, or "" for the built-in ones.
        has_builtin: Whether there are built-in ones.
    """
    _ask(HEAD, DescribeHead(head, num_shape=0, num_expression=0), texts.CHECKING)
    if weights or has_builtin:
        _ask(WEIGHTS, DescribeWeights(weights, head), texts.CHECKING)
    else:
        _checks.forget(WEIGHTS)


def convert(path: str, out: str) -> None:
    """Has FLAME's own files converted, and then uses the result. Does not wait.

    Args:
        path: One of the files, or their folder.
        out: Folder for the head model file; "" for FLAME's own.
    """
    _ask(HEAD, ConvertHead(path, out), texts.CONVERTING)


def verdict(name: str) -> Verdict | None:
    """What is known of the chosen `HEAD` or `WEIGHTS`; None before it was checked."""
    return _checks.verdict(name)


def forget() -> None:
    """The choice has changed: what was known holds no longer."""
    for name in (HEAD, WEIGHTS):
        _checks.forget(name)


def wait() -> list[Verdict]:
    """Waits for all answers, for scripts; the verdicts."""
    while _checks.is_waiting:
        for job in _checks.jobs():
            try:
                job.wait()
            except ClientError:
                continue  # becomes the verdict
        _take()
    return [known for name in (HEAD, WEIGHTS) if (known := _checks.verdict(name)) is not None]


def _ask(name: str, request: Request, doing: str) -> None:
    if _session is None:
        return
    _checks.ask(name, _session().submit(request), doing)
    if not bpy.app.timers.is_registered(_tick):
        bpy.app.timers.register(_tick, first_interval=_TICK_S)
    _redraw()


def _tick() -> float | None:
    _take()
    return _TICK_S if _checks.is_waiting else None


def _take() -> None:
    was_waiting = _checks.is_waiting
    for reply in _checks.step():
        if isinstance(reply, ConvertHeadReply) and _use_head is not None:
            _use_head(reply.head)
    if was_waiting:
        _redraw()


def _redraw() -> None:
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type in ("PREFERENCES", "VIEW_3D"):
                area.tag_redraw()
