"""What can go wrong on the add-on's side of the line. Each error says what happened, why, and what to do."""

from __future__ import annotations


class ClientError(Exception):
    """Base of the client's errors.

    Args:
        message: What happened and why.
        hint: What the user can do about it.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(f"{message} {hint}".strip())
        self.message = message
        self.hint = hint


class InterpreterError(ClientError):
    """There is no Python that can run the backend."""


class BackendDied(ClientError):
    """The backend could not be started, or ended while a request was under way.

    Args:
        last_words: The last lines that the process wrote to stderr.
    """

    def __init__(self, message: str, hint: str = "", last_words: str = "") -> None:
        super().__init__(message, hint)
        self.last_words = last_words

    def __str__(self) -> str:
        return "\n".join(text for text in (super().__str__(), self.last_words) if text)


class RequestFailed(ClientError):
    """The backend answered with an error; `kind` is the name of its exception (`NoFaceError`, ...)."""

    def __init__(self, kind: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.kind = kind


class RequestCancelled(ClientError):
    """The request was cancelled."""


class RequestTimeout(ClientError):
    """The request took longer than its caller was willing to wait; it has been cancelled."""


class InstallError(ClientError):
    """The backend's environment could not be installed."""
