"""Kinds of arguments that the commands share, for argparse."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection
from pathlib import Path


def path(text: str) -> Path:
    """A path on the command line, absolute: no name starts with a dash then.

    Raises:
        argparse.ArgumentTypeError: It is empty, which would mean the current folder: a variable that was not set.
    """
    if not text:
        raise argparse.ArgumentTypeError("a path is empty")
    return Path(text).absolute()


def names_of(known: Collection[str]) -> Callable[[str], list[str]]:
    """The type of names with commas between them, of those known; each counts once."""

    def names(text: str) -> list[str]:
        given = list(dict.fromkeys(name.strip().lower() for name in text.split(",")))
        unknown = [name for name in given if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)} is none of {', '.join(known)}")
        return given

    return names
