"""Where the bundled data files are."""

from __future__ import annotations

import os
from pathlib import Path

from deca.errors import AssetError

_HERE = Path(__file__).resolve().parent
_PLACES = (_HERE / "data", _HERE.parents[1] / "assets")
"""In an installed wheel; in the extension and in a checkout (`assets/` beside `backend/`)."""


def assets_dir() -> Path:
    """Folder of the bundled data; the environment variable DECA_ASSETS, where set, names another."""
    override = os.environ.get("DECA_ASSETS")
    return Path(override) if override else next((place for place in _PLACES if place.is_dir()), _PLACES[-1])


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
