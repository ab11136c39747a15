"""The `deca` command: photos to codes and meshes, photos to .blend files, and the backend process.

Heavy modules are imported by the commands that need them, so that `deca --help` and `deca import` start at once.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from deca.errors import DecaError, OutputError
from deca_blender.batch.plan import import_arguments
from deca_blender.protocol.capture_arguments import capture_arguments
from deca_blender.protocol.conventions import BUILTIN_WEIGHTS, OPENHEAD
from deca_blender.protocol.export_arguments import export_arguments

if TYPE_CHECKING:
    from deca_blender.protocol.photos import FoundPhoto


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status: 0 all done, 1 something failed, 2 wrong usage, 75 to be tried again.

    130, 143 and 141 as in a shell: stopped by Ctrl-C, terminated, nobody reads the output any more.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["serve"]:  # its options belong to the service
        from deca.service import serve

        return serve(arguments[1:])
    options = _parser().parse_args(arguments, argparse.Namespace(arguments=arguments[1:]))
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: print(f"deca: {message}", file=sys.stderr)
            return options.run(options)
    except DecaError as error:
        print(f"deca: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stop:
        print("deca: stopped.", file=sys.stderr)
        return getattr(stop, "status", 130)
    except BrokenPipeError:
        give_up_stdout()
        return 141
    except OSError as error:
        print(f"deca: {error}", file=sys.stderr)
        return 1


def give_up_stdout() -> None:
    """Lets the interpreter end without trying to write what nobody reads."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def path(text: str) -> Path:
    """A path on the command line.

    Raises:
        argparse.ArgumentTypeError: It is empty, which would mean the current folder: a variable that was not set.
    """
    if not text:
        raise argparse.ArgumentTypeError("a path is empty")
    return Path(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="deca", description="One photo to a rigged 3D head.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    photos = argparse.ArgumentParser(add_help=False)
    photos.add_argument("photos", nargs="+", type=path, metavar="PHOTO", help="photo files, or folders of them")
    photos.add_argument("--out", type=path, required=True, metavar="DIR", help="folder for the results")
    photos.add_argument("--overwrite", action="store_true", help="replace results that are there (default: skip those)")
    photos.add_argument("--texture-size", type=int, default=1024, choices=(512, 1024, 2048), help="texture side")
    photos.add_argument(
        "--one-person",
        action="store_true",
        help="the photos named are of one person and give one head, and so do those of each folder",
    )
    photos.add_argument("--paint-hair", action="store_true", help="paint hair on the scalp (default: it is skin)")

    reconstruct = commands.add_parser(
        "reconstruct", parents=[photos], help="photos to codes, meshes, maps and pictures"
    )
    reconstruct.add_argument("--head", default=OPENHEAD, help="head model: openhead, or a head model file")
    reconstruct.add_argument(
        "--weights",
        type=path,
        metavar="FILE",
        help="DECA's deca_model.tar or a weights file (default: the built-in weights of OpenHead)",
    )
    reconstruct.add_argument("--albedo", type=path, metavar="FILE", help="albedo model of a converted head model")
    reconstruct.add_argument(
        "--coarse",
        choices=("auto", "fit", "weights"),
        default="auto",
        help="shape, expression, pose and camera from the landmark fit or the weights"
        " (default: the weights, refined by the fit; DECA's own are not)",
    )
    reconstruct.add_argument("--device", default="cpu", help="where networks run: cpu, cuda, cuda:1, ..., or auto")
    reconstruct.set_defaults(run=_reconstruct)

    blend = commands.add_parser("import", parents=[import_arguments()], help="photos to files with a rigged head each")
    blend.add_argument("--blender", metavar="PATH", help="Blender executable (default: DECA_BLENDER, PATH, bpy module)")
    blend.set_defaults(run=_import)

    merge = commands.add_parser(
        "merge", help="one report, and one catalogue, of all that `deca import` did in a folder"
    )
    merge.add_argument("out", type=path, metavar="DIR", help="the folder that --out named")
    merge.add_argument(
        "--catalogue", default="", metavar="NAME", help="make DIR/NAME.blend, an asset library of its heads"
    )
    merge.add_argument("--blender", metavar="PATH", help="Blender executable (default: DECA_BLENDER, PATH, bpy module)")
    merge.add_argument("--exit-zero", action="store_true", help="end well also when photos have failed")
    merge.set_defaults(run=_merge)

    export = commands.add_parser(
        "export", parents=[export_arguments()], help="heads in .blend files to GLB, FBX, USD, OBJ and Alembic"
    )
    export.set_defaults(run=_export)

    capture = commands.add_parser(
        "capture", parents=[capture_arguments()], help="what a face in a video, photo or recording does, onto a head"
    )
    capture.set_defaults(run=_capture)

    edit = commands.add_parser("edit", help="what is painted on a face's colours, in its photo's light")
    edit.add_argument("photo", type=path, metavar="PHOTO", help="the photo")
    edit.add_argument(
        "--albedo", type=path, required=True, metavar="PNG", help="head.png of `deca reconstruct`, painted on"
    )
    edit.add_argument(
        "--of", type=path, metavar="PHOTO", help="the photo that head.png is from, if it is another of the person"
    )
    edit.add_argument("--out", type=path, required=True, metavar="PNG", help="the picture to write")
    edit.set_defaults(run=_edit)

    flame = commands.add_parser("convert-flame", help="licensed FLAME files to a head model file")
    flame.add_argument("model", type=path, metavar="PKL", help="FLAME's generic_model.pkl or flame2023.pkl")
    flame.add_argument("--landmarks", type=path, required=True, metavar="NPY", help="landmark_embedding.npy")
    flame.add_argument("--template", type=path, required=True, metavar="OBJ", help="head_template.obj")
    flame.add_argument("--out", type=path, required=True, metavar="DIR", help="folder for the head model file")
    flame.add_argument("--maps", type=path, metavar="DIR", help="folder of DECA's masks and fixed displacement")
    flame.add_argument("--mediapipe", type=path, metavar="NPZ", help="mediapipe_landmark_embedding.npz")
    flame.add_argument("--name", help="name of the head model (default: FLAME and its year, by the file's name)")
    flame.set_defaults(run=_convert_flame)

    weights = commands.add_parser("convert-weights", help="DECA's licensed deca_model.tar to a weights file")
    weights.add_argument("weights", type=path, metavar="TAR", help="DECA's deca_model.tar")
    weights.add_argument("--out", type=path, required=True, metavar="FILE", help="the safetensors file to write")
    weights.set_defaults(run=_convert_weights)

    commands.add_parser("serve", help="run as the backend process of the add-on, on stdin and stdout", add_help=False)
    return parser


def _reconstruct(options: argparse.Namespace) -> int:
    from deca.reconstruct.results import has_results, refuse_results
    from deca_blender.protocol import batch
    from deca_blender.protocol.photos import FoundPerson, find_people, find_photos

    _make_folder(options.out)
    photos = find_people(options.photos) if options.one_person else find_photos(options.photos)
    wanted = (found for found in photos if found.name)
    is_work = any(options.overwrite or not has_results(options.out / found.name) for found in wanted)
    reconstruct_into = _reconstructor(options) if is_work else None  # seconds, before the first photo

    def work(found: FoundPhoto) -> dict[str, object]:
        folder, photo = options.out / found.name, found.path.absolute()
        others = [path.absolute() for path in found.photos] if isinstance(found, FoundPerson) else None
        if reconstruct_into is None or not options.overwrite:
            refuse_results(folder, photo, others)
        assert reconstruct_into is not None
        return reconstruct_into(folder, photo, others)

    return batch.run(photos, work, (DecaError,))


def _reconstructor(options: argparse.Namespace) -> Callable[[Path, Path, list[Path] | None], dict[str, object]]:
    """Loads the models; gives what reconstructs a photo, or a person's photos, into a folder and tells what the line
    says of it."""
    from deca.reconstruct.export import write_faces, write_person
    from deca.reconstruct.models import load_models
    from deca.reconstruct.person import reconstruct_person
    from deca.reconstruct.pipeline import reconstruct
    from deca.vision.photo import read_photo
    from deca_blender.protocol.notices import told as notices_told
    from deca_blender.protocol.photos import told

    models = load_models(options.head, options.weights or BUILTIN_WEIGHTS, options.albedo, options.device)

    def reconstruct_into(folder: Path, path: Path, person_photos: list[Path] | None) -> dict[str, object]:
        how = {
            "models": models,
            "coarse": options.coarse,
            "texture_size": options.texture_size,
            "paint_hair": options.paint_hair,
        }
        if person_photos is not None:
            person = reconstruct_person(person_photos, **how)
            write_person(folder, person, person_photos, lambda photo: read_photo(photo).pixels, models)
            errors = [round(face.landmark_error, 5) for face in person.faces]
            used = [told(face.photo) for face in person.faces]
            left_out = [{"photo": told(left.photo), "reason": left.reason} for left in person.left_out]
            notices = [notices_told(face.texture.notices) for face in person.faces[:1] if face.texture]
            return {
                "out": str(folder),
                "photos": used,
                "left_out": left_out,
                "landmark_error": errors,
                "texture_notices": notices,
            }
        photo = read_photo(path)
        faces = reconstruct(photo, path=path, **how)
        write_faces(folder, photo.pixels, faces, models)
        errors = [round(face.landmark_error, 5) for face in faces]
        notices = [notices_told(face.texture.notices) for face in faces if face.texture]
        return {"out": str(folder), "faces": len(faces), "landmark_error": errors, "texture_notices": notices}

    return reconstruct_into


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"The output folder {out} cannot be made ({error.strerror}).", "Choose another folder with --out."
        ) from error
    if not os.access(out, os.W_OK | os.X_OK):
        raise OutputError(f"The output folder {out} is read-only.", "Choose another folder with --out.")


def _edit(options: argparse.Namespace) -> int:
    from deca.files import write_file
    from deca.reconstruct.edit import edited_photo
    from deca.reconstruct.models import load_models
    from deca.reconstruct.pictures import png_bytes
    from deca.reconstruct.pipeline import reconstruct
    from deca.vision.photo import read_photo

    painted, models = read_photo(options.albedo).pixels, load_models(OPENHEAD, BUILTIN_WEIGHTS)
    photo = read_photo(options.photo)
    source = photo if options.of is None else read_photo(options.of)
    known = reconstruct(
        source, path=options.of or options.photo, models=models, texture_size=len(painted), max_faces=1
    )[0]
    face = known
    if options.of is not None:
        face = reconstruct(photo, path=options.photo, models=models, texture_size=None, max_faces=1)[0]
    assert known.texture is not None
    edited = edited_photo(photo.pixels, face, known.texture.albedo_NN3, painted, models)
    write_file(options.out, png_bytes(edited))
    print(json.dumps({"out": str(options.out)}, ensure_ascii=False))
    return 0


def _convert_flame(options: argparse.Namespace) -> int:
    from deca.head.flame import convert_flame

    path = convert_flame(
        options.model,
        options.landmarks,
        options.template,
        options.out,
        maps=options.maps,
        mediapipe=options.mediapipe,
        name=options.name,
    )
    print(json.dumps({"head": str(path)}, ensure_ascii=False), flush=True)
    return 0


def _convert_weights(options: argparse.Namespace) -> int:
    from deca.networks.checkpoint import convert_weights

    card = convert_weights(options.weights, options.out)
    print(json.dumps({"weights": str(options.out), "head": card.head, "licence": card.licence}, ensure_ascii=False))
    return 0


def _import(options: argparse.Namespace) -> int:
    from deca.blender import run_import

    _make_folder(options.out)
    return run_import(options)


def _merge(options: argparse.Namespace) -> int:
    from deca.blender import run_merge

    status = run_merge(options.out, options.catalogue, options.blender)
    return 0 if options.exit_zero else status


def _export(options: argparse.Namespace) -> int:
    from deca.blender import run_export

    _make_folder(options.out)
    return run_export(options.arguments, options.blender)


def _capture(options: argparse.Namespace) -> int:
    from deca.blender import run_capture

    return run_capture(options.arguments, options.blender)


if __name__ == "__main__":
    sys.exit(main())
