"""What has been done, on the disk: beside the results, in `deca-report/`, so that any machine can go on.

A photo is in one of these states, whatever kills the process, and whenever:

    untouched   neither record nor work folder; a result that is there is the user's
    begun       a work folder; results in their places, if any, are ours, and may be some of them only
    done        a record, written last and in one piece: how it went, of which photo by which recipe, its files

    untouched -> begun -> done          `begin`, `commit`
    begun, done -> begun                made again
    begun -> as before                  `drop`

`work/` holds results on their way, `done/` a record for each photo, `pictures/` those of the contact sheet.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..protocol import batch
from ..protocol.photos import FoundPhoto, told
from .plan import FOLDER, SUFFIXES, file_hash

PICTURE = "contact.jpg"
"""What a worker calls the picture for the contact sheet."""

Mode = Literal["skip", "resume", "overwrite"]

_VERSION = 1


@dataclass(frozen=True)
class Record:
    """What became of a photo.

    Attributes:
        name: What its results are called.
        key: `Recipe.key` of what it was made from.
        files: SHA-256 of its results by their paths below the folder of results, with `/`.
        line: Its line in the report.
        picture: Path of its picture below `deca-report/`, "" for none.
    """

    name: str
    key: Mapping[str, object]
    files: Mapping[str, str]
    line: Mapping[str, Any]
    picture: str = ""


class Ledger:
    """The state of all photos whose results go to a folder.

    Args:
        out: Folder of the results.
    """

    def __init__(self, out: Path) -> None:
        self.out, self.folder = out, out / FOLDER

    def results(self, name: str, formats: tuple[str, ...]) -> list[Path]:
        """Where the main file of each format goes."""
        return [self.out / f"{name}{SUFFIXES[format]}" for format in formats]

    def judge(self, found: FoundPhoto, key: Mapping[str, Any], mode: Mode) -> dict[str, Any] | None:
        """Whether there is something to do for a photo: None, or what its line says instead.

        Args:
            found: The photo.
            key: `Recipe.key` of it.
            mode: `skip` what is there, `overwrite` it, or `resume`: trust the records.
        """
        there = [path for path in self.results(found.name, tuple(key["formats"])) if os.path.lexists(path)]
        if mode == "overwrite":
            return None
        record = self.record(found.name) if mode == "resume" else None
        if record is None:
            is_ours = mode == "resume" and bool(self._begun(found.name))
            return _skipped(str(batch.already_there(there[0]))) if there and not is_ours else None
        if record.key != key or not key["photo"]:
            edited = [path for path in self._paths(record) if path.is_file() and self._is_edited(path, record)]
            why = "since it was made, and would now be made differently. Choose another folder, or use --overwrite."
            return _skipped(f"{edited[0]} was changed {why}") if edited else None
        if record.line.get("retry"):
            return None
        if not record.line["ok"]:
            return {**record.line, "known": True}
        is_whole = all(path.is_file() and path.stat().st_size for path in self._paths(record))
        return {**record.line, "skipped": True} if is_whole else None

    def begin(self, found: FoundPhoto) -> Path:
        """Notes that a photo is being worked on.

        Returns:
            An empty folder for its results: `<last part of its name><suffix>`, what goes with them, and `PICTURE`.

        Raises:
            OSError: The folder of results cannot be written.
        """
        for left in self._begun(found.name):
            shutil.rmtree(left, ignore_errors=True)
        work = self.folder / "work"
        work.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f"{_digest(found.name)}-", dir=work))

    def commit(self, found: FoundPhoto, key: Mapping[str, object], work: Path, outcome: Mapping[str, Any]) -> dict:
        """Puts results into their places and notes the photo as done.

        Args:
            found: The photo.
            key: `Recipe.key` of it.
            work: From `begin`, now with the results; files of a photo that has failed go.
            outcome: What its line says, without `photo`.

        Returns:
            Its line.

        Raises:
            OSError: Something cannot be written. The photo stays begun, or done as it was before.
        """
        line = {"photo": told(found.path), **outcome}
        files: dict[str, str] = {}
        picture = ""
        if outcome["ok"]:
            made = sorted(path for path in work.iterdir() if path.is_file() and path.name != PICTURE)
            parent = self.out.joinpath(*found.name.split("/")[:-1])
            places = {path: parent / path.name for path in made}
            files = {place.relative_to(self.out).as_posix(): file_hash(path) for path, place in places.items()}
            line = {"photo": line.pop("photo"), "ok": line.pop("ok"), "out": told(self._main(found, key)), **line}
            parent.mkdir(parents=True, exist_ok=True)
            for path, place in places.items():
                os.replace(path, place)
            if (work / PICTURE).is_file():
                picture = f"pictures/{found.name}.jpg"
                (self.folder / picture).parent.mkdir(parents=True, exist_ok=True)
                os.replace(work / PICTURE, self.folder / picture)
        self._write(Record(found.name, key, files, line, picture), work)
        shutil.rmtree(work, ignore_errors=True)
        return line

    def drop(self, work: Path) -> None:
        """Forgets that a photo was begun, before any of its results was put into its place."""
        shutil.rmtree(work, ignore_errors=True)

    def record(self, name: str) -> Record | None:
        """What became of a photo, None where that is not known."""
        return self._read(self._place(name))

    def records(self) -> Iterator[Record]:
        """All records, by name."""
        for folder, folders, files in os.walk(self.folder / "done"):
            folders.sort()
            for file in sorted(files):
                record = self._read(Path(folder) / file)
                if record is not None:
                    yield record

    def close(self) -> None:
        """Removes what is empty."""
        for folder in (self.folder / "work", self.folder):
            try:
                folder.rmdir()
            except OSError:
                return

    # ---- on the disk -------------------------------------------------------------------------------------------------

    def _place(self, name: str) -> Path:
        return self.folder / "done" / f"{name}.json"

    def _main(self, found: FoundPhoto, key: Mapping[str, Any]) -> Path:
        return self.results(found.name, tuple(key["formats"]))[0]

    def _paths(self, record: Record) -> list[Path]:
        return [self.out / path for path in record.files]

    def _is_edited(self, path: Path, record: Record) -> bool:
        return file_hash(path) != record.files[path.relative_to(self.out).as_posix()]

    def _begun(self, name: str) -> list[Path]:
        return list((self.folder / "work").glob(f"{_digest(name)}-*"))

    def _write(self, record: Record, work: Path) -> None:
        place, unfinished = self._place(record.name), work / "record.json"
        place.parent.mkdir(parents=True, exist_ok=True)
        values = {"format": "deca-done", "version": _VERSION, **vars(record)}
        unfinished.write_text(json.dumps(values, indent=1), encoding="utf-8")
        os.replace(unfinished, place)

    def _read(self, place: Path) -> Record | None:
        try:
            values = json.loads(place.read_text(encoding="utf-8"))
            if values.pop("format") != "deca-done" or values.pop("version") != _VERSION:
                return None
            return Record(**values)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):  # somebody else's, or damaged
            return None


def _skipped(why: str) -> dict[str, Any]:
    return {"ok": False, "skipped": True, "error": why}


def _digest(name: str) -> str:
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
