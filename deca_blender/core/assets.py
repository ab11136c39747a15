"""Where the bundled data files are."""

from __future__ import annotations

from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]


def assets_dir(root: Path = _ROOT) -> Path:
    """`assets/` of the extension or a checkout, `deca/data/` of a wheel; `deca.assets` looks in the same places."""
    installed = root / "deca" / "data"
    return installed if installed.is_dir() else root / "assets"
