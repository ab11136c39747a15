"""Which files a batch of photos takes, what its results are called, and how paths are told. No bpy, no torch."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

PHOTO_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".avif", ".gif", ".mpo"),
)
"""Of the photos that cameras, phones and browsers write and that can be read."""
_OTHER_SUFFIXES = (
    *(".jif", ".pjpeg", ".pjp", ".apng", ".dib", ".heic", ".heif", ".heics", ".heifs", ".hif", ".avifs", ".jxl"),
    *(".jp2", ".j2k", ".jpf", ".jpx", ".jpm", ".psd", ".tga", ".ppm", ".pgm", ".pbm", ".pnm", ".exr", ".hdr", ".qoi"),
    *(".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".orf", ".rw2", ".raf", ".pef", ".srw"),
)
"""Of further pictures. Some cannot be read here, which is told: somebody may wait for them."""

_SIGNATURE_BYTES = 32
_SIGNATURES = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF....WEBP|II[*+]\0|MM\0[*+]"  # JPEG, PNG, GIF, WebP, TIFF and raw
    rb"|BM....\0\0\0\0..\0\0[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0"  # BMP: an offset below 2^16, a header of a known size
    rb"|....ftyp(?:avi[fs]|he[iv][cfimsx]|mif1|msf1|crx )"  # AVIF, HEIC, Canon's raw
    rb"|\0\0\0\x0cJXL |\xff\x0a|\0\0\0\x0cjP  |\xff\x4f\xff\x51|8BPS|\x76\x2f\x31\x01|qoif|FUJIFILMCCD-RAW",
    re.DOTALL,
)
"""How files of pictures begin."""

MAX_NAME_BYTES = 200
"""Of a result's name in UTF-8. File systems take 255; a number, a suffix and a writer's ending come on top."""
_FOREIGN = re.compile(r'[<>:"/\\|?*]')  # some system does not take these in file names
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$) *(\.|$)", re.IGNORECASE)
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class FoundPhoto:
    """One photo of a batch.

    Attributes:
        path: The photo, or the folder that gives none.
        name: What its results are called: of no other photo of the batch, and a file name on any system; "" for none.
            With folders before it, and `/`, where photos of sub-folders are among the batch.
        problem: Why there is no photo; "" when there is one.
    """

    path: Path
    name: str
    problem: str = ""


@dataclass(frozen=True)
class FoundPerson(FoundPhoto):
    """Photos of one person, who get one result.

    Attributes:
        path: Their folder, or the first of them.
        photos: The photos.
    """

    photos: tuple[Path, ...] = ()


def find_people(paths: Iterable[Path], is_recursive: bool = False, leave_out: Iterable[Path] = ()) -> list[FoundPerson]:
    """The people whose photos files and folders hold: each folder one person, and all files together one.

    Arguments and folders are as in `find_photos`; where it is recursive, each sub-folder is a person, too.
    """
    used: dict[str, int] = {}
    paths = list(paths)
    files = tuple(path for path in paths if not _holds_photos(path))
    found = []
    for path in paths:
        if path in files:
            if path == files[0]:
                found.append(FoundPerson(path, _unused(result_name(path), used), photos=files))
            continue
        photos, problems = _photos_of(path, is_recursive, leave_out)
        of_folder: dict[str, list[Path]] = {}
        for photo, below in photos:
            of_folder.setdefault(below, []).append(photo)
        for below, of_person in of_folder.items():
            name = result_name((path.absolute() / below).name + ".d")
            name = "/".join((*map(_folder_name, Path(below).parts[:-1]), name))
            found.append(FoundPerson(path / below, _unused(name, used), photos=tuple(of_person)))
        found += [FoundPerson(folder, "", problem) for folder, problem in problems]
    return found


def _holds_photos(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def find_photos(paths: Iterable[Path], is_recursive: bool = False, leave_out: Iterable[Path] = ()) -> list[FoundPhoto]:
    """The photos that files and folders stand for, and the folders that give none.

    A folder stands for the pictures in it, by name, without hidden files. What is no picture is passed over; what looks
    like one, by its suffix or by how it begins, is taken, so that its reader tells why it cannot be used. Never raises
    for what is on the disk.

    Args:
        paths: Files and folders.
        is_recursive: Folders also stand for what is in their sub-folders, and names begin with those, as `ann/me`.
        leave_out: Sub-folders whose pictures are no photos: those of results.
    """
    used: dict[str, int] = {}
    found = []
    for path in paths:
        photos, problems = _photos_of(path, is_recursive, leave_out)
        for photo, below in photos:
            name = "/".join((*map(_folder_name, Path(below).parts), result_name(photo)))
            found.append(FoundPhoto(photo, _unused(name, used)))
        found += [FoundPhoto(folder, "", problem) for folder, problem in problems]
    return found


def pictures_below(folder: Path, below: str = "") -> Iterator[tuple[str, str]]:
    """All pictures in a folder and its sub-folders, without hidden ones, in no order.

    Yields:
        The path below the folder, with `/`, and "" or why it is a folder that cannot be listed.
    """
    try:
        entries = _entries(folder)
    except OSError as error:
        yield below, f"cannot be listed ({error.strerror or error})"
        return
    for entry in entries:
        if _is_folder(entry):
            yield from pictures_below(folder / entry.name, f"{below}{entry.name}/")
        elif _is_picture(entry):
            yield f"{below}{entry.name}", ""


def _photos_of(
    path: Path, is_recursive: bool, leave_out: Iterable[Path]
) -> tuple[list[tuple[Path, str]], list[tuple[Path, str]]]:
    """The photos that a path stands for, each with its folder below the path, and the folders that give none, with why.

    A file's reader tells what is wrong with the file.
    """
    try:
        if not path.is_dir():
            return [(path, "")], []
    except (OSError, ValueError):
        return [(path, "")], []
    photos: list[tuple[Path, str]] = []
    problems: list[tuple[Path, str]] = []
    left_out = {os.path.realpath(folder) for folder in leave_out}
    folders, seen = [(path, "")], set()
    while folders:
        folder, below = folders.pop()
        try:
            entries = sorted(_entries(folder), key=lambda entry: entry.name)
            place = os.path.realpath(folder)
        except OSError as error:
            why = f"The folder {folder} cannot be listed ({error.strerror or error}). Check its permissions."
            problems.append((folder, why))
            continue
        if place in seen or (below and place in left_out):  # a link back would go on for ever
            continue
        seen.add(place)
        photos += [(path / below / e.name, below) for e in entries if not _is_folder(e) and _is_picture(e)]
        if is_recursive:
            inner = [entry for entry in reversed(entries) if _is_folder(entry)]
            folders += [(folder / entry.name, os.path.join(below, entry.name)) for entry in inner]
    if not photos and not problems:
        problems = [(path, f"The folder {path} holds no photo. Photos are JPEG, PNG, WebP, TIFF and the like.")]
    return photos, problems


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What is in a folder, without hidden files, which other programs leave beside pictures (`._me.jpg`)."""
    with os.scandir(folder) as entries:
        return [entry for entry in entries if not entry.name.startswith(".")]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_picture(entry: os.DirEntry[str]) -> bool:
    """Whether a file is to be taken for a picture: by its suffix, or by its first bytes."""
    if os.path.splitext(entry.name)[1].lower() in (*PHOTO_SUFFIXES, *_OTHER_SUFFIXES):
        return True
    try:
        if not entry.is_file():  # reading from a pipe might wait for ever
            return False
        with open(entry.path, "rb") as file:
            return _SIGNATURES.match(file.read(_SIGNATURE_BYTES)) is not None
    except OSError:
        return False


def result_name(photo: str | Path) -> str:
    """What the results of a photo are called: its name without suffix, made a file name on any system.

    Never a path, never hidden, never empty, at most MAX_NAME_BYTES of valid UTF-8; the same for the same photo.
    Bytes that are not UTF-8 become `%E9`, characters that some system does not take `_`.
    """
    stem = Path(photo).stem
    name = "".join(_portable(character) for character in stem).lstrip(". ")
    name = name.encode()[:MAX_NAME_BYTES].decode(errors="ignore").rstrip(". ") or "photo"
    return f"_{name}" if _RESERVED.match(name) else name


def _folder_name(folder: str) -> str:
    """A folder's name made one on any system."""
    return result_name(f"{folder}.d")


def _portable(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # how Python hands over bytes that are not UTF-8
        return f"%{ord(character) - 0xDC00:02X}"
    is_foreign = unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or _FOREIGN.match(character)
    return "_" if is_foreign else character


def _unused(name: str, used: dict[str, int]) -> str:
    """The name, or with `_2`, `_3`, ... where an earlier one is the same to some file system; notes it in `used`."""
    key = _folded(name)
    number = used.get(key, 1)
    unused = name
    while _folded(unused) in used:
        number += 1
        unused = f"{name}_{number}"
    used[key] = number
    used.setdefault(_folded(unused), 1)
    return unused


def _folded(name: str) -> str:
    """The same for names that a file system may take for one: in other case, or composed differently."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())


def told(path: str | Path) -> str:
    """A path as text that any program can read: bytes that are not UTF-8 are told as `\\xe9`."""
    return _SURROGATE.sub(lambda match: _escape(match[0]), str(path))


def _escape(surrogate: str) -> str:
    code = ord(surrogate)
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"
