"""The installation of the backend: what it will be, the one under way, and why the latest failed."""

from __future__ import annotations

import platform
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from .client import Installation, InstallState, ManagedEnvironment, has_nvidia_card
from .core.requirements import Plan, backend_requirements, install_plan, unsupported

_CANCEL_S = 20.0
"""How long a Blender that ends, or an add-on that is switched off, waits for what is installed to be removed."""

_installation: Installation | None = None
_card: Future[bool] | None = None


def impossible() -> str:
    """Why nothing can be installed on this computer, or ""."""
    return unsupported(platform.system(), platform.machine())


def plan(choice: str, wait: bool = False) -> Plan | None:
    """What will be installed; None while a graphics card is looked for (asking its driver may take seconds).

    Args:
        choice: One of `core.requirements.TORCH_CHOICES`.
        wait: Rather wait than give None.

    Raises:
        ValueError: Nothing can be installed here.
    """
    has_card = False
    if choice == "auto":
        global _card
        if _card is None:
            searcher = ThreadPoolExecutor(1, "deca-graphics-card")
            _card = searcher.submit(has_nvidia_card)
            searcher.shutdown(wait=False)
        if not wait and not _card.done():
            return None
        has_card = _card.result()
    python = f"{sys.version_info.major}.{sys.version_info.minor}"  # Blender's own makes the environment
    return install_plan(choice, has_card, platform.system(), platform.machine(), python, backend_requirements())


def start(environment: ManagedEnvironment, choice: str) -> Installation:
    """Begins an installation, which works on a thread of its own.

    Raises:
        ValueError: Nothing can be installed here.
    """
    global _installation
    planned = plan(choice, wait=True)
    assert planned is not None
    _installation = Installation(environment, Path(sys.executable), planned.pip_installs, planned.needed_bytes)
    return _installation


def is_running() -> bool:
    """Whether an installation is under way."""
    return _installation is not None and not _installation.is_done()


def failure() -> str:
    """Why the latest installation failed and what to do, "" when it did not."""
    failed = _installation is not None and _installation.state is InstallState.FAILED
    return str(_installation.error) if failed and _installation else ""


def cancel() -> None:
    """Stops what is under way, and waits until it is removed."""
    if _installation is not None and is_running():
        _installation.cancel()
        _installation.wait(_CANCEL_S)
