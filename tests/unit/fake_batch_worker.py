"""A worker process that is no Blender: results are copies of photos, and some photos have it misbehave."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

from deca_blender.batch.plan import SUFFIXES, Settings
from deca_blender.batch.workers import Here, serve
from deca_blender.protocol.photos import FoundPhoto


def make(found: FoundPhoto, into: Path, settings: Settings) -> dict[str, object]:
    what = found.path.read_bytes() if found.path.is_file() else b""
    print("half a line", end="", flush=True)
    if what == b"die":
        os._exit(3)
    if what == b"sleep":
        time.sleep(60)
    if what == b"no face":
        raise KeyError("no face")
    for format in settings.formats:
        shutil.copyfile(found.path, into / f"{found.name.rpartition('/')[2]}{SUFFIXES[format]}")
    return {"pid": os.getpid(), "settings": vars(settings)}


if __name__ == "__main__":
    sys.exit(
        serve(
            lambda settings: Here(
                lambda found, into: make(found, into, settings), (KeyError,), lambda error: isinstance(error, KeyError)
            ),
            sys.stdin,
        )
    )
