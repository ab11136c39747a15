"""The process's stdin and stdout, kept for frames alone."""

from __future__ import annotations

import os
import sys
from io import FileIO


def take_stdio() -> tuple[FileIO, FileIO]:
    """Private binary copies of fd 0 and fd 1, which then become the null device and stderr.

    So no `print`, no C library and no child process can read from the frames or write into them.

    Returns:
        Unbuffered reader and writer. Child processes do not inherit them.
    """
    sys.stdout.flush()
    reader, writer = os.dup(0), os.dup(1)
    if sys.platform == "win32":
        import msvcrt

        msvcrt.setmode(reader, os.O_BINARY)
        msvcrt.setmode(writer, os.O_BINARY)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    return FileIO(reader, "rb"), FileIO(writer, "wb")
