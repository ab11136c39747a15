"""WebDataset shards: tar files of photos, which a disk reads much faster than millions of small files.

A sample is `<number>.<photo's suffix>`, `<number>.json` (subject and photo) and, with a mask, `<number>.mask.<suffix>`.
The index notes where each file's bytes lie, so that the loader reads any photo from any shard, as if it were a file.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from deca.errors import OutputError
from deca_training.data.index import Entry, Place

PHOTOS_PER_SHARD = 5000


@dataclass(frozen=True)
class _Member:
    """A file to be in a shard: its name there, its bytes' source, their number, and their time of change in seconds."""

    name: str
    source: Path | bytes
    length: int
    time: int


def write_shards(
    shards: Path,
    photos: Sequence[str],
    entries: Sequence[Entry],
    *,
    folder: Path,
    masks: Path | None,
    photos_per_shard: int = PHOTOS_PER_SHARD,
    progress: Callable[[int], object] = lambda done: None,
) -> tuple[list[Entry], list[str]]:
    """Writes the shards that are not there yet, and removes those of an earlier, larger run.

    Args:
        shards: Folder of the tar files.
        photos: Paths below `folder`.
        entries: One per photo.
        folder: Of the photos.
        masks: Of the masks.
        photos_per_shard: Photos of one tar file.
        progress: Called with the number of photos of each finished shard.

    Returns:
        The entries with their places; the names of the shards.

    Raises:
        OutputError: A shard cannot be written, or a photo has gone.
    """
    placed: list[Entry] = []
    names: list[str] = []
    try:
        shards.mkdir(parents=True, exist_ok=True)
        for first in range(0, len(photos), photos_per_shard):
            part = entries[first : first + photos_per_shard]
            groups = [
                _members(first + i, photo, entry, folder, masks)
                for i, (photo, entry) in enumerate(zip(photos[first : first + photos_per_shard], part, strict=True))
            ]
            number, name = len(names), f"{len(names):06d}.tar"
            members = [member for group in groups for member in group]
            places = _places(shards / name, members) or _write(shards / name, members)
            for entry, group in zip(part, groups, strict=True):
                own = {member.name: Place(number, *places[member.name]) for member in group}
                mask = next((place for key, place in own.items() if ".mask." in key), Place())
                placed.append(replace(entry, place=own[group[0].name], mask_place=mask))
            names.append(name)
            progress(len(part))
        for old in shards.glob("[0-9][0-9][0-9][0-9][0-9][0-9].tar"):
            if old.name not in names:
                old.unlink()
    except OSError as error:
        raise OutputError(
            f"The shards in {shards} could not be written ({error}).", "Make room there, then run the command again."
        ) from error
    return placed, names


def read_bytes(shard: Path, place: Place) -> bytes:
    """A file's bytes from a shard.

    Raises:
        OSError: The shard is missing or too short.
    """
    with shard.open("rb") as file:
        file.seek(place.offset)
        data = file.read(place.length)
    if len(data) != place.length:
        raise OSError(f"{shard} ends too early")
    return data


def _members(number: int, photo: str, entry: Entry, folder: Path, masks: Path | None) -> list[_Member]:
    key = f"{number:09d}"
    text = json.dumps({"subject": entry.subject, "photo": photo}).encode()
    members = [_file(f"{key}{Path(photo).suffix.lower()}", folder / photo), _Member(f"{key}.json", text, len(text), 0)]
    if entry.mask and masks is not None:
        members.append(_file(f"{key}.mask{Path(entry.mask).suffix}", masks / entry.mask))
    return members


def _file(name: str, path: Path) -> _Member:
    status = path.stat()
    return _Member(name, path, status.st_size, int(status.st_mtime))


def _places(path: Path, members: Sequence[_Member]) -> dict[str, tuple[int, int]] | None:
    """Offset and length of each member of an existing shard; None when it is not there, or holds something else."""
    try:
        with tarfile.open(path, "r:") as tar:
            there = tar.getmembers()
    except (OSError, tarfile.TarError):
        return None
    if [(m.name, m.size, m.mtime) for m in there] != [(m.name, m.length, m.time) for m in members]:
        return None
    texts = {member.name: member.source for member in members if isinstance(member.source, bytes)}
    places = {member.name: (member.offset_data, member.size) for member in there}
    if any(read_bytes(path, Place(0, *places[name])) != text for name, text in texts.items()):
        return None
    return places


def _write(path: Path, members: Sequence[_Member]) -> dict[str, tuple[int, int]]:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        places = {}
        with tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
            for member in members:
                data = member.source if isinstance(member.source, bytes) else member.source.read_bytes()
                info = tarfile.TarInfo(member.name)
                info.size, info.mtime = len(data), member.time
                tar.addfile(info, io.BytesIO(data))
                places[member.name] = (tar.offset - _blocks(len(data)), len(data))
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return places


def _blocks(length: int) -> int:
    """Bytes that a file takes in a tar file: whole blocks of 512."""
    return -(-length // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
