"""Photos to .blend files without a window: `deca import`, which runs this as `python -P -m deca_blender.headless`, and
`blender --command deca_import --out DIR PHOTO...` where the add-on is installed.

Prints a JSON line per photo and a summary line at the end (`protocol.batch`); other lines on stdout are Blender's own.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import bpy

from . import backend, preferences, registration
from .client import ClientError
from .core.reconstruction import reconstruct_person, reconstruct_photos, wait_for_outcomes
from .protocol import batch
from .protocol.messages import HeadReply
from .protocol.notices import told as notices_told
from .protocol.photos import FoundPerson, FoundPhoto, find_people, find_photos
from .scene import live
from .scene.import_face import ImportFaceError, ImportOptions, import_face
from .scene.import_person import import_person
from .scene.save import clear_file, save_copy

COMMAND = "deca_import"


def main(argv: Sequence[str]) -> int:
    """Imports photos; returns 0 when all were imported or there already, 1 when some failed, 2 for wrong usage.

    130, 143 and 141 as in a shell: stopped by Ctrl-C, terminated, nobody reads the report any more.
    """
    try:
        options = _parser().parse_args(argv)
    except SystemExit as stop:  # argparse has printed why
        return stop.code if isinstance(stop.code, int) else 2
    with registration.registered():
        try:
            return _run(options)
        except batch.Stopped as stop:
            return stop.status
        except BrokenPipeError:
            return batch.PIPE_CLOSED
        finally:
            backend.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=COMMAND, description="Photos to .blend files with a rigged head each.")
    parser.add_argument("photos", nargs="+", type=_path, metavar="PHOTO", help="photo files, or folders of them")
    parser.add_argument("--out", required=True, type=_path, metavar="DIR", help="folder for the .blend files")
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there (default: skip those)")
    parser.add_argument("--texture-size", type=int, default=1024, choices=(512, 1024, 2048), help="texture side")
    parser.add_argument("--paint-hair", action="store_true", help="paint hair on the scalp (default: it is skin)")
    parser.add_argument(
        "--one-person", action="store_true", help="the photos named give one head, and so do those of each folder"
    )
    parser.add_argument("--head", type=_path, metavar="FILE", help="head model file in place of the bundled OpenHead")
    parser.add_argument("--weights", type=_path, metavar="FILE", help="weights file that gives the heads wrinkles")
    return parser


def _path(text: str) -> Path:
    if not text:  # which would mean the current folder
        raise argparse.ArgumentTypeError("a path is empty")
    return Path(text).absolute()


def _run(options: argparse.Namespace) -> int:
    weights = str(options.weights or preferences.weights())
    head = str(options.head or preferences.head())
    built = ImportOptions(use_resolution=True, weights=weights, head=preferences.head_file(head))
    described: HeadReply | None = None

    def work(found: FoundPhoto) -> dict[str, object]:
        nonlocal described
        blend = options.out / f"{found.name}.blend"
        if not options.overwrite and os.path.lexists(blend):
            raise batch.already_there(blend)
        how = {"weights": weights, "head": head, "described": described, "paint_hair": options.paint_hair}
        if isinstance(found, FoundPerson):
            photos = [str(path) for path in found.photos]
            steps = reconstruct_person(backend.session(), photos, options.texture_size, **how)
        else:
            steps = reconstruct_photos(backend.session(), [str(found.path)], options.texture_size, **how)
        (outcome,) = wait_for_outcomes(steps)
        if outcome.error is not None:
            raise outcome.error
        described = outcome.head
        assert described is not None
        clear_file()
        if isinstance(found, FoundPerson):
            person = (outcome.faces, outcome.pictures, built, outcome.left_out)
            live.update_now(import_person(bpy.context, described, *person))
        else:
            live.update_now(import_face(bpy.context, described, outcome.faces[0], built, outcome.picture))
        try:
            save_copy(blend)
        except OSError as error:
            raise ImportFaceError(
                f"{blend} could not be written ({error.strerror or error}). Choose another folder with --out."
            ) from error
        face = outcome.faces[0]
        told: dict[str, object] = {"out": str(blend), "landmark_error": round(face.landmark_error, 5)}
        told["texture_notices"] = notices_told(face.notices)
        if isinstance(found, FoundPerson):
            told["photos"] = [face.photo for face in outcome.faces]
            told["left_out"] = [{"photo": left.photo, "reason": left.reason} for left in outcome.left_out]
            told["landmark_error"] = [round(face.landmark_error, 5) for face in outcome.faces]
        return told | ({"notices": outcome.notices} if outcome.notices else {})

    found = find_people(options.photos) if options.one_person else find_photos(options.photos)
    return batch.run(found, work, (ImportFaceError, ClientError))


if __name__ == "__main__":
    status = main(sys.argv[1:])
    # Blender as a module may hang or crash while the interpreter ends; all files are written by now.
    os._exit(status)
