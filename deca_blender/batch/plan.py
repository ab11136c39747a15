"""What a batch is to do: its options on the command line, its photos, its share of them."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ..protocol.arguments import names_of, path
from ..protocol.photos import FoundPerson, FoundPhoto, find_people, find_photos

FOLDER = "deca-report"
"""What a folder of results holds beside them (`ledger`)."""

SUFFIXES = {"blend": ".blend", "glb": ".glb", "fbx": ".fbx", "usd": ".usdz", "obj": ".obj"}
"""Formats of results, and what their files end with."""

Found = TypeVar("Found")


class PlanError(Exception):
    """The batch cannot be planned; the message says why."""


@dataclass(frozen=True)
class Chunk:
    """Every `of`-th photo from the `number`-th on, counted from 1: one machine's share, alike in kind and size."""

    number: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> Chunk:
        """The share that `3/10` names.

        Raises:
            argparse.ArgumentTypeError: It names none.
        """
        number, slash, of = text.partition("/")
        if not (slash and number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
            raise argparse.ArgumentTypeError(f"{text!r} is no share: 3/10 is the third of ten")
        return cls(int(number), int(of))

    def share(self, items: Sequence[Found]) -> list[Found]:
        """This chunk's of all items."""
        return list(items[self.number - 1 :: self.of])

    @property
    def suffix(self) -> str:
        """What its reports' names end with: nothing where it is the whole."""
        return f"-{self.number:0{len(str(self.of))}d}-of-{self.of}" if self.of > 1 else ""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What results depend on beside their photos; the same photo and recipe is the same result.

    Attributes:
        tool: Version of this program.
        head_hash, weights_hash: Hashes of the files of head model and networks, or what names them elsewhere.
        formats: Of `SUFFIXES`.
        texture_size: Rows and columns of textures.
        paint_hair: Hair is painted on the scalp.
    """

    tool: str
    head_hash: str
    weights_hash: str
    formats: tuple[str, ...] = ("blend",)
    texture_size: int = 1024
    paint_hair: bool = False

    def key(self, photos_hash: str) -> dict[str, object]:
        """What tells one result from another, as JSON."""
        return {"photo": photos_hash, **dataclasses.asdict(self), "formats": list(self.formats)}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a worker has to know beside a photo, as JSON can say it.

    Attributes:
        head, weights: Files, or "" for the chosen ones.
        formats, texture_size, paint_hair: As in `Recipe`.
        device: Where networks run; "" for what the preferences say.
        pictures: Whether to make a picture for the contact sheet.
    """

    head: str = ""
    weights: str = ""
    formats: tuple[str, ...] = ("blend",)
    texture_size: int = 1024
    paint_hair: bool = False
    device: str = ""
    pictures: bool = True

    @classmethod
    def of(cls, options: argparse.Namespace) -> Settings:
        """The settings in parsed arguments."""
        return cls(
            head=str(options.head or ""),
            weights=str(options.weights or ""),
            formats=tuple(options.format),
            texture_size=options.texture_size,
            paint_hair=options.paint_hair,
            device=options.device,
            pictures=not options.no_pictures,
        )


def import_arguments() -> argparse.ArgumentParser:
    """A parser to be the parent of others: what `deca import` and `blender --command deca_import` take."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("photos", nargs="*", type=path, metavar="PHOTO", help="photo files, or folders of them")
    parser.add_argument(
        "--list", type=path, metavar="FILE", help="a text file with a path per line, relative to its own folder"
    )
    parser.add_argument("--out", type=path, required=True, metavar="DIR", help="folder for the results")
    parser.add_argument(
        "--format",
        default=["blend"],
        type=names_of(SUFFIXES),
        metavar="LIST",
        help=f"of {','.join(SUFFIXES)} (default: blend)",
    )
    parser.add_argument(
        "--recursive", action="store_true", help="folders stand for the photos in their sub-folders, too"
    )
    parser.add_argument(
        "--one-person",
        action="store_true",
        help="the photos named are of one person and give one head, and so do those of each folder",
    )
    again = parser.add_mutually_exclusive_group()
    again.add_argument(
        "--resume",
        action="store_true",
        help="go on where a run was stopped: what is done is left, what is half done or has changed is made anew",
    )
    again.add_argument("--overwrite", action="store_true", help="replace results that are there (default: skip those)")
    parser.add_argument("--chunk", type=Chunk.parse, default=Chunk(), metavar="i/n", help="the i-th of n shares alone")
    parser.add_argument("--jobs", type=_count, default=1, metavar="N", help="photos at the same time (default: 1)")
    parser.add_argument(
        "--threads", type=_count, metavar="N", help="threads of each job (default: the processors, shared out)"
    )
    parser.add_argument("--device", default="", help="where networks run: cpu, cuda, cuda:1, ..., or auto")
    parser.add_argument(
        "--progress",
        choices=("auto", "bar", "json", "openjd"),
        default="auto",
        help="how it is told (default: a bar on a terminal, JSON lines elsewhere)",
    )
    parser.add_argument(
        "--exit-zero", action="store_true", help="end well also when photos have failed: for farms, which try again"
    )
    parser.add_argument("--texture-size", type=int, default=1024, choices=(512, 1024, 2048), help="texture side")
    parser.add_argument("--paint-hair", action="store_true", help="paint hair on the scalp (default: it is skin)")
    parser.add_argument("--no-pictures", action="store_true", help="a contact sheet without pictures")
    parser.add_argument("--head", type=path, metavar="FILE", help="head model file in place of the bundled OpenHead")
    parser.add_argument(
        "--weights",
        type=path,
        metavar="FILE",
        help="weights file that gives the heads wrinkles (default: the built-in ones)",
    )
    return parser


def plan(options: argparse.Namespace) -> list[FoundPhoto]:
    """The photos, or people, of this chunk. Names depend on all photos, hence not on how they are shared out.

    Raises:
        PlanError: There is nothing to take photos from, or the list cannot be read.
    """
    paths = [*options.photos, *(listed(options.list) if options.list else ())]
    if not paths:
        raise PlanError("no photos: name files or folders, or give --list FILE")
    find = find_people if options.one_person else find_photos
    return options.chunk.share(
        find(paths, is_recursive=options.recursive, leave_out=(options.out, options.out / FOLDER))
    )


def listed(file: Path) -> list[Path]:
    """The paths in a list; empty lines are none.

    Raises:
        PlanError: It cannot be read.
    """
    try:
        lines = os.fsdecode(file.read_bytes()).splitlines()
    except OSError as error:
        raise PlanError(f"the list {file} cannot be read ({error.strerror or error})") from error
    return [file.parent / line for line in lines if line.strip()]


def photos_of(found: FoundPhoto) -> tuple[Path, ...]:
    """The files that a result is made from."""
    return found.photos if isinstance(found, FoundPerson) else (found.path,)


def photos_hash(found: FoundPhoto) -> str:
    """SHA-256 of a photo; of a person's photos, of theirs one after the other. "" where one cannot be read."""
    try:
        hashes = [file_hash(path) for path in photos_of(found)]
    except (OSError, ValueError):
        return ""
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 of a file.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no path.
    """
    if path.exists() and not path.is_file():  # reading from a pipe might wait for ever
        raise OSError(f"{path} is no file")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def model_hash(path: Path) -> str:
    """What tells a model's file from others: the first 16 digits of its hash, or its name where it is elsewhere."""
    try:
        return file_hash(path)[:16]
    except OSError:
        return f"file {path}"


def threads_each(jobs: int, asked: int | None) -> int:
    """Threads of each of so many jobs."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return asked or max(1, there // jobs)


def _count(text: str) -> int:
    if not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text} is no number from 1 on")
    return int(text)
