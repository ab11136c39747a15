"""What all tests need."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Tests interrupt themselves and their children, also where a shell has started pytest in the background, which
    has Ctrl-C ignored."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
