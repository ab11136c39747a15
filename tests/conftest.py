"""What all tests need."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

BLENDER = Path(__file__).parent / "blender"


def pytest_configure() -> None:
    """Tests interrupt themselves and their children, also where a shell has started pytest in the background, which
    has Ctrl-C ignored."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The checks in Blender, which take longest, begin both halves of the tests: two workers, who get one half each,
    start with them, and whoever is done first takes short tests from the other."""
    checks = [item for item in items if item.path.parent == BLENDER]
    others = [item for item in items if item.path.parent != BLENDER]
    first, middle = len(checks) // 2, len(others) // 2
    items[:] = checks[:first] + others[:middle] + checks[first:] + others[middle:]
