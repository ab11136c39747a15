"""The folder of one photo's results: which files in it are ours, and whose they are. Imports no torch."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from deca.errors import OutputError
from deca.files import write_folder
from deca_blender.protocol.batch import already_there
from deca_blender.protocol.photos import told

CODES = "face_0.json"
"""The file that every folder of results has, and that tells which photo they are of."""

_OURS = re.compile(
    r"face_\d+\.json|overlay\.png|comparison\.png"
    r"|head(_\d+)?(\.(obj|mtl|png)|_(albedo|coarse|detail|displacement|normals|photographed|relief(_certainty)?)\.png"
    r"|_detail\.(obj|ply)|_(displacement|relief)\.exr)"
)


def has_results(folder: Path) -> bool:
    """Whether there is anything where a photo's results are to go: files named as ours, or no folder."""
    try:
        return any(map(_is_ours, os.listdir(folder)))
    except FileNotFoundError:
        return False
    except OSError:
        return True


def refuse_results(folder: Path, photo: Path) -> None:
    """Makes sure that a folder holds no results yet.

    Args:
        folder: Where the results of `photo` are to go.
        photo: Absolute path.

    Raises:
        Skipped: The photo's own results are there.
        OutputError: Those of another photo are there, or something else is in the way.
    """
    if not has_results(folder):
        return
    try:
        made_from = json.loads((folder / CODES).read_bytes())["photo"]
    except NotADirectoryError as error:
        raise OutputError(f"{folder} is a file.", "Choose another folder with --out.") from error
    except (OSError, ValueError, KeyError, TypeError):
        made_from = None
    if made_from == told(photo):
        raise already_there(folder)
    raise OutputError(
        f"{folder} holds results of {made_from or 'an unknown photo'} already.",
        "Choose another folder with --out, or replace them with --overwrite.",
    )


def write_results(folder: Path, files: Mapping[str, bytes]) -> None:
    """Writes all results of a photo in one piece; of an earlier result nothing stays, the user's own files do.

    Raises:
        OutputError: Something cannot be written.
    """
    assert all(map(_is_ours, files))
    write_folder(folder, files, CODES, _is_ours)


def _is_ours(name: str) -> bool:
    return _OURS.fullmatch(name) is not None
