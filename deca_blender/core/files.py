"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Where to write a file that takes its place once it is complete; what fails leaves nothing, and old files as is.

    Args:
        path: The file's place, in a folder that exists.

    Raises:
        OSError: The folder cannot be written, or no file was.
    """
    with tempfile.TemporaryDirectory(prefix=".deca-", dir=path.parent) as folder:
        unfinished = Path(folder) / path.name
        yield unfinished
        os.replace(unfinished, path)
