"""What MkDocs fills into pages as it builds them (mkdocs.yml names this file)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tools import messages, tuned_numbers

MESSAGES, NUMBERS = "<!-- every message -->", "<!-- every tuned number -->"
"""Where docs/troubleshooting.md gets the tables of the product's messages, docs/numbers.md those of its constants."""
TUNED = {
    "Colours": "backend/deca/appearance",
    "Fit, likeness, wrinkles": "backend/deca/reconstruct",
    "Light, on photos and pictures": "backend/deca/render",
    "Finding faces": "backend/deca/vision",
    "Synthetic people": "training/deca_training/data/synthetic",
    "What relief is learnt from": "training/deca_training/relief",
    "What skin maps are learnt from": "training/deca_training/skin_map",
}
"""Title and folder of each table of constants."""
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
    """Puts the tables into the pages that ask for them."""
    for marker, tables in ((MESSAGES, _messages), (NUMBERS, _numbers)):
        if marker in markdown:
            markdown = markdown.replace(marker, tables())
    return markdown


def _numbers() -> str:
    return "\n".join(
        f"### {title}\n\n`{folder}`\n\n{tuned_numbers.table(tuned_numbers.tuned_numbers(folder))}"
        for title, folder in TUNED.items()
    )


def _messages() -> str:
    left = messages.messages()
    parts = []
    for title, places in SECTIONS.items():
        here = [each for each in left if each.file.startswith(places)]
        left = [each for each in left if each not in here]
        parts.append(f"### {title}\n\n{messages.table(here)}")
    return "\n".join(parts)
