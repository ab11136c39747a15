"""The backend's end when its parent is gone.

EOF on stdin tells that at once, except when some other process still holds the pipe's writing end (a fork of the
host, for instance). This watch is for that case.
"""

from __future__ import annotations

import os
import sys
import threading
import time

_POLL_S = 0.5


def exit_with_parent() -> None:
    """Starts a daemon thread that ends this process soon after its parent has ended."""
    threading.Thread(target=_watch, args=(os.getppid(),), name="parent-watch", daemon=True).start()


def _watch(parent: int) -> None:
    if sys.platform == "win32":
        _wait_windows(parent)
    else:
        while os.getppid() == parent:  # orphans are given to another parent
            time.sleep(_POLL_S)
    os._exit(0)


def _wait_windows(parent: int) -> None:
    """Windows keeps the dead parent's id, so wait for the process itself."""
    if sys.platform == "win32":
        import ctypes

        synchronize, infinite = 0x00100000, 0xFFFFFFFF
        kernel32 = ctypes.WinDLL("kernel32")
        kernel32.OpenProcess.restype = ctypes.c_void_p
        kernel32.WaitForSingleObject.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
        handle = kernel32.OpenProcess(synchronize, False, parent)
        if not handle:  # not allowed to watch it, or already gone: EOF on stdin remains
            threading.Event().wait()
        kernel32.WaitForSingleObject(handle, infinite)
