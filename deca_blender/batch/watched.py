"""A batch in a process of its own, watched from one that must not wait for it."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Mapping, Sequence
from typing import Any


class Watched:
    """Starts a batch that tells its progress as JSON lines, and reads them as they come.

    Args:
        command: What runs it.
        env: Its environment.

    Attributes:
        made, failed: How many photos so far.
        summary: What its last line says; None until then, and where there was none.

    Raises:
        OSError: It cannot be started.
    """

    def __init__(self, command: Sequence[str], env: Mapping[str, str]) -> None:
        self.made = self.failed = 0
        self.summary: dict[str, Any] | None = None
        self._child = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=dict(env),
            encoding="utf-8",
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def is_done(self) -> bool:
        """Whether it has ended, and all its lines are read."""
        return not self._reader.is_alive() and self._child.poll() is not None

    def wait(self) -> None:
        """Waits for its end."""
        self._reader.join()
        self._child.wait()

    def stop(self) -> None:
        """Asks it to end; the photo at work is dropped."""
        self._child.terminate()

    def _read(self) -> None:
        assert self._child.stdout is not None
        for text in self._child.stdout:
            try:
                line = json.loads(text)
            except ValueError:  # Blender's own
                continue
            if "photo" in line:
                self.made += bool(line["ok"])
                self.failed += not line["ok"] and "skipped" not in line
            self.summary = line.get("summary", self.summary)
