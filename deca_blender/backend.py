"""The add-on's one line to the backend, made from the preferences and closed with the add-on."""

from __future__ import annotations

from .client import LaunchSettings, Session, State
from .preferences import launch_settings

_session: Session | None = None
_settings: LaunchSettings | None = None


def session() -> Session:
    """The session with the backend of the current preferences; nothing is started before its first request."""
    global _session, _settings
    settings = launch_settings()
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


def close() -> None:
    """Ends the backend; the next request starts it again."""
    global _session
    if _session is not None:
        _session.close()
        _session = None
