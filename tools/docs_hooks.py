"""What MkDocs fills into pages as it builds them (mkdocs.yml names this file)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tools.messages import messages, table

MARKER = "<!-- every message -->"
"""Where docs/troubleshooting.md gets the table of the product's messages."""
SECTIONS = {
    "Photos and results": (
        "backend/deca/vision",
        "backend/deca/reconstruct",
        "backend/deca/appearance",
        "backend/deca/files",
    ),
    "Head models, FLAME's files": ("backend/deca/head", "backend/deca/assets"),
    "Weights and networks": ("backend/deca/networks", "deca_blender/core/model_check"),
    "Installing and reaching the backend": (
        "deca_blender/client",
        "backend/deca/service",
        "deca_blender/core/requirements",
    ),
    "In Blender": ("deca_blender",),
    "Commands and devices": ("backend/deca",),
}
"""Title and where a message is raised; the first that fits has it."""


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Puts the tables of messages into the page that asks for them."""
    return markdown.replace(MARKER, _tables()) if MARKER in markdown else markdown


def _tables() -> str:
    left = messages()
    parts = []
    for title, places in SECTIONS.items():
        here = [each for each in left if each.file.startswith(places)]
        left = [each for each in left if each not in here]
        parts.append(f"### {title}\n\n{table(here)}")
    return "\n".join(parts)
