"""Where the bundled data files are."""

from __future__ import annotations

import os
from pathlib import Path

from deca.errors import AssetError


def assets_dir() -> Path:
    """Folder of the bundled data: `assets/` beside `backend/`, or what the environment variable DECA_ASSETS names."""
    override = os.environ.get("DECA_ASSETS")
    return Path(override) if override else Path(__file__).resolve().parents[2] / "assets"


def asset(relative: str) -> Path:
    """Path of one bundled file.

    Raises:
        AssetError: The file is not there.
    """
    path = assets_dir() / relative
    if not path.is_file():
        raise AssetError(
            f"The bundled file {path} is missing.",
            "Reinstall the add-on, or set DECA_ASSETS to the folder that holds it.",
        )
    return path
