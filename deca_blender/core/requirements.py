"""Which Python packages the backend needs: the `dependencies` of pyproject.toml, which ships with the extension."""

from __future__ import annotations

import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"


def backend_requirements(pyproject: Path = PYPROJECT) -> list[str]:
    """Requirement lines for pip.

    Raises:
        OSError: The file is missing.
    """
    with pyproject.open("rb") as file:
        return tomllib.load(file)["project"]["dependencies"]
