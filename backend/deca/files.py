"""Writing files in one piece: under a temporary name beside their place, then renamed, so that no half is ever seen."""

from __future__ import annotations

import os
from pathlib import Path

from deca.errors import OutputError


def write_file(path: Path, data: bytes) -> None:
    """Writes a file in one piece, making its folder.

    Raises:
        OutputError: The folder or the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True) if temporary.parent.is_dir() else None
        raise OutputError(
            f"{path} could not be written ({error.strerror or error}).",
            "Choose another output folder, or make room and permissions there.",
        ) from error
