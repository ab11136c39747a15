"""Whether this computer has a graphics card that torch can use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from .subprocesses import clean_environment, popen_options

MIN_CAPABILITY = 7.5
"""CUDA's number for the card's generation: Turing (2018) and newer, what CUDA 13 and the CUDA 12.8 builds know."""
MIN_DRIVER = 528 if sys.platform == "win32" else 580
"""Oldest driver of the builds that `core.requirements` chooses: CUDA 12.8 on Windows, CUDA 13 on Linux."""

_QUERY = ("nvidia-smi", "--query-gpu=compute_cap,driver_version", "--format=csv,noheader")
_TIMEOUT_S = 10.0
_DRIVERS_LIST = Path("/proc/driver/nvidia/gpus")


def has_nvidia_card(timeout_s: float = _TIMEOUT_S) -> bool:
    """Whether there is an NVIDIA graphics card that today's torch can use, with a driver new enough.

    Asks `nvidia-smi`, which comes with the driver; where it cannot be reached (in a sandbox), the driver's own list.
    """
    try:
        done = subprocess.run(
            _QUERY,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            env=clean_environment(),
            check=False,
            **popen_options(),
        )
    except FileNotFoundError:
        return _driver_knows_a_card()
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and any(is_usable(line) for line in done.stdout.splitlines())


def is_usable(line: str) -> bool:
    """Whether a card will do.

    Args:
        line: Capability and driver as `nvidia-smi` tells them, for instance `8.6, 580.65.06`.
    """
    capability, _, driver = line.partition(",")
    try:
        return float(capability) >= MIN_CAPABILITY and int(driver.split(".")[0]) >= MIN_DRIVER
    except ValueError:  # "[N/A]"
        return False


def _driver_knows_a_card() -> bool:
    try:
        return bool(os.listdir(_DRIVERS_LIST))
    except OSError:
        return False
