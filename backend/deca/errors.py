"""Errors that reach the user: each says what happened, why, and what to do."""

from __future__ import annotations


class DecaError(Exception):
    """Base of all expected errors.

    Args:
        message: What happened and why, one or two sentences.
        hint: What the user can do about it.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(f"{message} {hint}".strip())
        self.message = message
        self.hint = hint


class DecaWarning(UserWarning):
    """What the user should know though the work went on: a sentence or two, as those of a `DecaError`."""


class PhotoError(DecaError):
    """A photo could not be read."""


class NoFaceError(DecaError):
    """No face was found on a photo."""


class AssetError(DecaError):
    """A file that ships with the product, or that the user pointed at, is missing, damaged or foreign."""


class OptionError(DecaError, ValueError):
    """An option has a value that is not offered."""


class OutputError(DecaError):
    """A result could not be written."""
