"""The folder of one photo's results: which files in it are ours, and whose they are. Imports no torch."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from deca.errors import OutputError
from deca.files import write_folder
from deca_blender.protocol.batch import already_there
from deca_blender.protocol.photos import told

CODES = "face_0.json"
"""The file that every folder of results has, and that tells which photo they are of."""
PERSON = "person.json"
"""The file that a person's results have beside that; its `given` tells which photos they were made from."""

_OURS = re.compile(
    r"face_\d+\.json|person\.json|(overlay|comparison)(_\d+)?\.png"
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


def refuse_results(folder: Path, photo: Path, others: Sequence[Path] | None = None) -> None:
    """Makes sure that a folder holds no results yet.

    Args:
        folder: Where the results of `photo` are to go.
        photo: Absolute path.
        others: All photos of a person, absolute paths, of whom `photo` is one; None for a photo by itself.

    Raises:
        Skipped: The photo's own results are there.
        OutputError: Those of another photo are there, or something else is in the way.
    """
    if not has_results(folder):
        return
    wanted: object = told(photo) if others is None else list(map(told, others))
    try:
        is_person = (folder / PERSON).is_file()
        file, key = (PERSON, "given") if is_person else (CODES, "photo")
        made_from = json.loads((folder / file).read_bytes())[key]
    except NotADirectoryError as error:
        raise OutputError(f"{folder} is a file.", "Choose another folder with --out.") from error
    except (OSError, ValueError, KeyError, TypeError):
        made_from = None
    if made_from == wanted:
        raise already_there(folder)
    raise OutputError(
        f"{folder} holds results of {_named(made_from)} already.",
        "Choose another folder with --out, or replace them with --overwrite.",
    )


def _named(made_from: object) -> str:
    return ", ".join(map(str, made_from)) if isinstance(made_from, list) else str(made_from or "an unknown photo")


def write_results(folder: Path, files: Mapping[str, bytes]) -> None:
    """Writes all results of a photo in one piece; of an earlier result nothing stays, the user's own files do.

    Raises:
        OutputError: Something cannot be written.
    """
    assert all(map(_is_ours, files))
    write_folder(folder, files, CODES, _is_ours)


def _is_ours(name: str) -> bool:
    return _OURS.fullmatch(name) is not None
