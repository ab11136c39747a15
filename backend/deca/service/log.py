"""The backend's log: a file of its own in the log folder, or warnings to stderr without one."""

from __future__ import annotations

import logging
import os
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path

_KEEP = 8
_MAX_BYTES = 1_000_000


def start_log(folder: Path | None) -> Path | None:
    """Sets up logging for this process.

    Every process writes its own file, because Windows cannot rotate a file that another process has open; the
    oldest files are removed.

    Returns:
        The log file, or None without a folder or when it cannot be written.
    """
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    if folder is not None:
        path = folder / f"backend-{os.getpid()}.log"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _remove_old(folder)
            handler = RotatingFileHandler(
                path, maxBytes=_MAX_BYTES, backupCount=1, encoding="utf-8", errors="backslashreplace"
            )
        except OSError as error:
            print(f"No log file: {error}", file=sys.stderr)
        else:
            handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
            root.addHandler(handler)
            return path
    stderr = logging.StreamHandler()
    stderr.setLevel(logging.WARNING)
    root.addHandler(stderr)
    return None


def _remove_old(folder: Path) -> None:
    logs = sorted(folder.glob("backend-*.log*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in logs[_KEEP - 1 :]:
        try:
            path.unlink()
        except OSError:  # still open in another process on Windows
            continue
