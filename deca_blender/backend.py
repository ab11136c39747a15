"""The add-on's one line to the backend, made from the preferences and closed with the add-on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from .client import ClientError, Job, LaunchSettings, Session, State
from .folders import managed_environment
from .preferences import launch_settings
from .protocol.messages import HelloReply, Ping, PingReply

_session: Session | None = None
_settings: LaunchSettings | None = None
_ping: Job[PingReply] | None = None
_device = ""
_asked_device = ""


def use_device(name: str) -> None:
    """Has networks run on a device whatever the preferences say."""
    global _asked_device
    _asked_device = name


def session() -> Session:
    """The session with the backend of the current preferences; nothing is started before its first request."""
    global _session, _settings
    settings = launch_settings()
    if _asked_device:
        settings = replace(settings, device=_asked_device)
    if _session is None or settings != _settings:
        close()
        _session, _settings = Session(settings), settings
    return _session


def state() -> State:
    """What the backend is doing. Never starts it."""
    return _session.state if _session is not None else State.STOPPED


def failure() -> str:
    """Why the backend is not running, or ""."""
    return str(_session.failure) if _session is not None and _session.failure else ""


def hello() -> HelloReply | None:
    """What the running backend said of itself, or None. Never starts it."""
    return _session.backend if _session is not None else None


def device() -> str:
    """What the running backend computes on, "" while that is not known. Asks it, but neither waits nor starts it."""
    global _ping, _device
    if _session is None or _session.backend is None:
        _ping, _device = None, ""
    elif _ping is not None and _ping.poll():
        try:
            _device = _ping.result().device
        except ClientError:
            _device = ""
        _ping = None
    elif _ping is None and _device in ("", "auto") and _session.state is State.READY:
        _ping = _session.submit(Ping())
    return _device


def log() -> Path | None:
    """The newest log file of a backend on this machine, or of its installation, or None."""
    running = hello()
    if running is not None and running.log_path and Path(running.log_path).is_file():
        return Path(running.log_path)
    folder, environment = launch_settings().log_folder, managed_environment()
    files = [*(folder.glob("*.log") if folder else ()), *([environment.log] if environment else ())]
    return max(filter(Path.is_file, files), key=lambda file: file.stat().st_mtime, default=None)


def close() -> None:
    """Ends the backend; the next request starts it again."""
    global _session
    if _session is not None:
        _session.close()
        _session = None
