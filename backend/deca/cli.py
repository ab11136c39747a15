"""The `deca` command: photos to codes and meshes, photos to .blend files, and the backend process.

Heavy modules are imported by the commands that need them, so that `deca --help` and `deca import` start at once.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from deca.errors import DecaError, OutputError, PhotoError

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status: 0 all done, 1 something failed, 2 wrong usage."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["serve"]:  # its options belong to the service
        from deca.service import serve

        return serve(arguments[1:])
    options = _parser().parse_args(arguments)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: print(f"deca: {message}", file=sys.stderr)
            return options.run(options)
    except DecaError as error:
        print(f"deca: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("deca: stopped.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="deca", description="One photo to a rigged 3D head.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    photos = argparse.ArgumentParser(add_help=False)
    photos.add_argument("photos", nargs="+", type=Path, metavar="PHOTO", help="photo files, or folders of them")
    photos.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results")
    photos.add_argument("--texture-size", type=int, default=1024, choices=(512, 1024, 2048), help="texture side")

    reconstruct = commands.add_parser(
        "reconstruct", parents=[photos], help="photos to codes, meshes, maps and pictures"
    )
    reconstruct.add_argument("--head", default="openhead", help="head model: openhead, or a head model file")
    reconstruct.add_argument(
        "--weights",
        default="builtin",
        metavar="FILE",
        help="DECA's deca_model.tar or a weights file (default: the built-in weights of OpenHead)",
    )
    reconstruct.add_argument("--albedo", type=Path, metavar="FILE", help="albedo model of a converted head model")
    reconstruct.add_argument(
        "--coarse",
        choices=("auto", "fit", "weights"),
        default="auto",
        help="shape, expression, pose and camera from the landmark fit or the weights"
        " (default: the weights, refined by the fit; DECA's own are not)",
    )
    reconstruct.add_argument("--device", default="cpu", help="torch device of the networks")
    reconstruct.set_defaults(run=_reconstruct)

    blend = commands.add_parser("import", parents=[photos], help="photos to .blend files with a rigged head")
    blend.add_argument("--head", type=Path, metavar="FILE", help="head model file in place of the bundled OpenHead")
    blend.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="weights file that gives the heads wrinkles (default: the built-in ones)",
    )
    blend.add_argument("--blender", metavar="PATH", help="Blender executable (default: DECA_BLENDER, PATH, bpy module)")
    blend.set_defaults(run=_import)

    flame = commands.add_parser("convert-flame", help="licensed FLAME files to a head model file")
    flame.add_argument("model", type=Path, metavar="PKL", help="FLAME's generic_model.pkl or flame2023.pkl")
    flame.add_argument("--landmarks", type=Path, required=True, metavar="NPY", help="landmark_embedding.npy")
    flame.add_argument("--template", type=Path, required=True, metavar="OBJ", help="head_template.obj")
    flame.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the head model file")
    flame.add_argument("--maps", type=Path, metavar="DIR", help="folder of DECA's masks and fixed displacement")
    flame.add_argument("--mediapipe", type=Path, metavar="NPZ", help="mediapipe_landmark_embedding.npz")
    flame.add_argument("--name", help="name of the head model (default: FLAME and its year, by the file's name)")
    flame.set_defaults(run=_convert_flame)

    weights = commands.add_parser("convert-weights", help="DECA's licensed deca_model.tar to a weights file")
    weights.add_argument("weights", type=Path, metavar="TAR", help="DECA's deca_model.tar")
    weights.add_argument("--out", type=Path, required=True, metavar="FILE", help="the safetensors file to write")
    weights.set_defaults(run=_convert_weights)

    commands.add_parser("serve", help="run as the backend process of the add-on, on stdin and stdout", add_help=False)
    return parser


def find_photos(paths: Iterable[Path]) -> Iterator[Path]:
    """The photos that files and folders stand for; a folder's in the order of their names, not its sub-folders'.

    Raises:
        PhotoError: A folder holds no photo.
    """
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        inside = sorted(file for file in path.iterdir() if file.suffix.lower() in PHOTO_SUFFIXES and file.is_file())
        if not inside:
            raise PhotoError(f"The folder {path} holds no photo.", f"Photos end in {', '.join(PHOTO_SUFFIXES)}.")
        yield from inside


def _reconstruct(options: argparse.Namespace) -> int:
    from deca.reconstruct.export import write_faces
    from deca.reconstruct.pipeline import load_decoder, reconstruct
    from deca.vision.photo import read_photo

    decoder = load_decoder(options.head, options.weights, options.albedo, options.device)
    photos, failed = _listed(options.photos)
    folders = unique_names(photos)
    for path, name in zip(photos, folders, strict=True):
        started = time.perf_counter()
        line: dict[str, object] = {"photo": str(path)}
        try:
            photo = read_photo(path)
            faces = reconstruct(
                photo, path=path, decoder=decoder, coarse=options.coarse, texture_size=options.texture_size
            )
            write_faces(options.out / name, photo.pixels, faces, decoder)
            line |= {"ok": True, "out": str(options.out / name), "faces": len(faces)}
            line["landmark_error"] = [round(face.landmark_error, 5) for face in faces]
        except DecaError as error:
            failed += 1
            line |= {"ok": False, "error": str(error)}
        line["seconds"] = round(time.perf_counter() - started, 2)
        print(json.dumps(line, ensure_ascii=False), flush=True)
    print(json.dumps({"summary": {"photos": len(photos), "failed": failed}}), flush=True)
    return 1 if failed else 0


def _listed(paths: Iterable[Path]) -> tuple[list[Path], int]:
    """All photos, and how many of the given paths could not be listed (each reported on a line of its own)."""
    photos: list[Path] = []
    failed = 0
    for path in paths:
        try:
            photos += find_photos([path])
        except PhotoError as error:
            failed += 1
            print(json.dumps({"photo": str(path), "ok": False, "error": str(error)}, ensure_ascii=False), flush=True)
    return photos, failed


def unique_names(photos: Sequence[Path]) -> list[str]:
    """A folder name for each photo: its stem, with `_2`, `_3`, ... where photos share one."""
    names: list[str] = []
    for photo in photos:
        name, number = photo.stem, 2
        while name.casefold() in (taken.casefold() for taken in names):
            name, number = f"{photo.stem}_{number}", number + 1
        names.append(name)
    return names


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

    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"The output folder {options.out} cannot be made ({error.strerror}).", "Choose another folder with --out."
        ) from error
    if not os.access(options.out, os.W_OK):
        raise OutputError(f"The output folder {options.out} is read-only.", "Choose another folder with --out.")
    return run_import(
        options.photos,
        options.out,
        texture_size=options.texture_size,
        head=options.head,
        weights=options.weights,
        blender=options.blender,
    )


if __name__ == "__main__":
    sys.exit(main())
