"""Photos to files without a window: `deca import`, which runs `python -P -m deca_blender.headless --worker` for each of
its jobs, and `blender --command deca_import --out DIR PHOTO...` where the add-on is installed.

The engine of both is `batch`; here is what makes the files of one photo.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import bpy
import numpy as np

from . import another_blender, backend, headless_export, preferences, registration
from .batch import command
from .batch.ledger import PICTURE
from .batch.plan import SUFFIXES, Settings, import_arguments
from .batch.workers import Elsewhere, Here, Worker, serve
from .client import ClientError, RequestFailed
from .core.assets import assets_dir
from .core.export import ExportError, ExportOptions
from .core.reconstruction import Outcome, reconstruct_person, reconstruct_photos, wait_for_outcome
from .protocol.conventions import OPENHEAD
from .protocol.messages import FaceReply, HeadReply
from .protocol.notices import told as notices_told
from .protocol.photos import FoundPerson, FoundPhoto
from .scene import live
from .scene.export_head import export_head
from .scene.import_face import ImportFaceError, ImportOptions, import_face
from .scene.import_person import import_person
from .scene.save import clear_file, save_copy

COMMAND = "deca_import"
WORKER = "--worker"

_OF_THE_PHOTO = ("PhotoError", "NoFaceError", "LandmarkError")
"""Kinds of the backend's errors that will be the same tomorrow."""

_SHEET_SIZE = 192
"""Rows of the pictures on the contact sheet, and columns of each of the three: three heads fill half a screen."""


def main(argv: Sequence[str]) -> int:
    """Imports photos; returns 0 when all were imported or there already, 1 when some failed, 2 for wrong usage, 75 when
    it ended early and is to be tried again.

    130 and 141 as in a shell: stopped by Ctrl-C, nobody reads what is told any more.
    """
    if list(argv) == [WORKER]:
        return registration.run_command(lambda: serve(_worker, sys.stdin))
    parser = argparse.ArgumentParser(
        prog=COMMAND, parents=[import_arguments()], description="Photos to files with a rigged head each."
    )
    try:
        options = parser.parse_args(argv)
    except SystemExit as stop:  # argparse has printed why
        return stop.code if isinstance(stop.code, int) else command.USAGE

    def run() -> int:
        options.weights = options.weights or preferences.weights()
        options.head = options.head or preferences.head_file(preferences.head())
        return command.run(options, _worker if options.jobs == 1 else _worker_process, assets_dir())

    return registration.run_command(run)


def _worker(settings: Settings) -> Worker:
    """A worker in this Blender."""
    return Here(_Maker(settings), (ImportFaceError, ExportError, ClientError), _is_final)


def _worker_process(settings: Settings) -> Worker:
    """A worker in another Blender like this one."""
    return Elsewhere([*another_blender.command(COMMAND, "headless"), WORKER], settings, os.environ)


def _is_final(error: Exception) -> bool:
    return isinstance(error, RequestFailed) and error.kind in _OF_THE_PHOTO


class _Maker:
    """Makes the files of photos, one after another.

    Args:
        settings: What to make, and how.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._head = settings.head or OPENHEAD
        self._built = ImportOptions(
            use_resolution=True, weights=settings.weights, head=preferences.head_file(self._head)
        )
        self._described: HeadReply | None = None
        if settings.device:
            backend.use_device(settings.device)

    def __call__(self, found: FoundPhoto, into: Path) -> dict[str, object]:
        """Writes the files of a photo, or of a person's photos, into a folder; gives what the line says of it."""
        outcome = self._reconstruct(found)
        assert outcome.head is not None
        clear_file()
        is_person = isinstance(found, FoundPerson)
        if is_person:
            person = (outcome.faces, outcome.pictures, self._built, outcome.left_out)
            head = import_person(bpy.context, outcome.head, *person)
        else:
            head = import_face(bpy.context, outcome.head, outcome.faces[0], self._built, outcome.picture)
        live.update_now(head)
        notices = [*outcome.notices, *self._write(head, into, found.name.rpartition("/")[2])]
        if outcome.sheet is not None:
            (into / PICTURE).write_bytes(outcome.sheet.tobytes())
        face = outcome.faces[0]
        told: dict[str, object] = {"landmark_error": round(face.landmark_error, 5), "digest": digest(outcome.faces)}
        told["texture_notices"] = notices_told(face.notices)
        if is_person:
            told["photos"] = [face.photo for face in outcome.faces]
            told["left_out"] = [{"photo": left.photo, "reason": left.reason} for left in outcome.left_out]
            told["landmark_error"] = [round(face.landmark_error, 5) for face in outcome.faces]
        return told | ({"notices": notices} if notices else {})

    def _reconstruct(self, found: FoundPhoto) -> Outcome:
        settings = self._settings
        how = {
            "weights": settings.weights,
            "head": self._head,
            "described": self._described,
            "paint_hair": settings.paint_hair,
            "sheet_size": _SHEET_SIZE if settings.pictures else 0,
        }
        if isinstance(found, FoundPerson):
            photos = [str(path) for path in found.photos]
            steps = reconstruct_person(backend.session(), photos, settings.texture_size, **how)
        else:
            steps = reconstruct_photos(backend.session(), [str(found.path)], settings.texture_size, **how)
        outcome = wait_for_outcome(steps)
        self._described = outcome.head
        return outcome

    def _write(self, head: bpy.types.Object, into: Path, stem: str) -> list[str]:
        """Writes the head in each format; what there is to say of it."""
        notices: list[str] = []
        if "blend" in self._settings.formats:
            save_copy(into / f"{stem}{SUFFIXES['blend']}")
        normals = headless_export.Normals(head, headless_export.NORMALS_SIZE)
        for format in self._settings.formats:
            if format != "blend":
                options = ExportOptions(format=format)
                done = export_head(bpy.context, head, into / f"{stem}{SUFFIXES[format]}", options, normals.png(options))
                notices += [notice for notice in (normals.problem, *done.notices) if notice and notice not in notices]
        return notices


def digest(faces: Sequence[FaceReply]) -> str:
    """First 16 hex digits of a hash of all that was found on photos, without the photos' paths: the same for the same
    photos and models on the same kind of processor, whatever a format makes of it."""
    total = hashlib.sha256()
    for face in faces:
        for name, value in sorted((f.name, getattr(face, f.name)) for f in dataclasses.fields(face)):
            if isinstance(value, np.ndarray):
                total.update(f"{name} {value.dtype} {value.shape}".encode() + np.ascontiguousarray(value).tobytes())
    return total.hexdigest()[:16]


if __name__ == "__main__":
    status = main(sys.argv[1:])
    # Blender as a module may hang or crash while the interpreter ends; all files are written by now.
    os._exit(status)
