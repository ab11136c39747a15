"""`deca-train prepare`: folders of photos -> an index of boxes and landmarks, and a report of what was left out."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tqdm import tqdm

from deca.errors import OptionError
from deca.files import write_file
from deca_blender.protocol.photos import pictures_below, told
from deca_training.data.cleaning import MAX_DISAGREEMENT
from deca_training.data.index import Entry, write_index
from deca_training.data.journal import Finding, Journal
from deca_training.data.shards import PHOTOS_PER_SHARD, write_shards
from deca_training.data.survey import Landmarks, stamp_of, survey

MIN_FACE = 50
"""Least mean of a face's width and height, pixels: below, a crop of 224 pixels holds nothing but blur."""

_MASK_SUFFIXES = (".png", ".npy")


@dataclass(frozen=True)
class Report:
    """What became of the photos.

    Attributes:
        photos: Photos found, and folders that cannot be listed.
        used: Photos in the index.
        subjects: Their identities.
        left_out: Number of photos left out, by reason.
        several_faces: Photos of the index with more than one face; the most central counts.
        masks: Photos of the index with a mask of the user's.
        surveyed: Photos looked at in this run; the others were known from an earlier one.
        seconds: Time of this run.
        shards: Tar files.
        photos_left_out: Reason of each photo left out.
    """

    photos: int
    used: int
    subjects: int
    left_out: dict[str, int]
    several_faces: int
    masks: int
    surveyed: int
    seconds: float
    shards: int = 0
    photos_left_out: dict[str, str] = field(default_factory=dict)

    def table(self) -> str:
        """The counts, for people."""
        rows = [("photos", self.photos), *((f"left out: {reason}", n) for reason, n in self.left_out.items())]
        rows += [("used", self.used), ("  of subjects", self.subjects), ("  with several faces", self.several_faces)]
        rows += [("  with a mask", self.masks)] if self.masks else []
        rows += [("shards", self.shards)] if self.shards else []
        width = max(len(name) for name, _ in rows)
        lines = [f"{name:<{width}}  {count:>9,}" for name, count in rows]
        speed = f", {self.surveyed / self.seconds:.1f} photos/s" if self.surveyed and self.seconds else ""
        return "\n".join([*lines, f"{self.surveyed:,} photos looked at in {self.seconds:.0f} s{speed}"])


def prepare(
    folder: str | Path,
    out: str | Path,
    *,
    masks: str | Path | None = None,
    landmarks: Landmarks = "mediapipe",
    workers: int = 0,
    shards: bool | int = False,
    min_face: float = MIN_FACE,
    max_disagreement: float = MAX_DISAGREEMENT,
    progress: bool = False,
) -> Report:
    """Prepares the photos of a folder `identity/photo.jpg`, or deeper, for training.

    A journal beside the index keeps what is known about each photo, so that the same command goes on after it was
    stopped, and looks only at new and changed photos when some were added.

    Args:
        folder: Folder of folders of photos, one per identity.
        out: The index to write (.npz); the report goes beside it.
        masks: Folder of face masks (.png or .npy) with the photos' paths. Photos without one get a mask from landmarks.
        landmarks: Who finds the 68 landmarks.
        workers: Processes beside this one.
        shards: Also write tar files beside the index, True or this many photos in each; the index then reads them.
        min_face: Least mean of a face's width and height, pixels.
        max_disagreement: See `cleaning`.
        progress: Show a progress bar.

    Returns:
        The counts, as in the report's file.

    Raises:
        OptionError: There is no usable photo, or FAN is not installed.
        AssetError: FAN's weights are missing.
        OutputError: A file cannot be written.
    """
    started = time.perf_counter()
    folder, out = Path(folder), Path(out)
    masks = Path(masks) if masks is not None else None
    _check(folder, masks, out, landmarks, shards)
    found = sorted(pictures_below(folder), key=lambda item: item[0].split("/"))
    left_out = {photo: problem or "in no identity's folder" for photo, problem in found if problem or "/" not in photo}
    photos = [photo for photo, _ in found if photo not in left_out]
    if not photos:
        raise OptionError(
            f"{folder} holds no folders of photos.", "Put each person's photos into a folder of their own in it."
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    journal = Journal(out.with_name(f"{out.name}.{landmarks}.journal"))
    try:
        new = [photo for photo in photos if not journal.knows(photo, stamp_of(folder / photo))]
        bar = tqdm(total=len(photos), initial=len(photos) - len(new), unit="photo", disable=not progress)
        with bar:
            for finding in survey(folder, new, landmarks, min(workers, len(new))):
                journal.add(finding)
                bar.update()
        used: list[str] = []
        entries: list[Entry] = []
        several = 0
        for finding in journal.findings(photos):
            reason = _reason(finding, min_face, max_disagreement)
            if reason:
                left_out[finding.photo] = reason
                continue
            used.append(finding.photo)
            entries.append(Entry(finding.photo.split("/")[0], _mask_of(finding.photo, masks)))
            several += finding.faces > 1
        if not used:
            raise OptionError(f"None of the {len(photos)} photos in {folder} can be used: {_counts(left_out)}.")
        source, names = folder, []
        if shards:
            source = out.with_name(f"{out.stem}-shards")
            with tqdm(total=len(used), unit="photo", desc="shards", disable=not progress) as bar:
                entries, names = write_shards(
                    source,
                    used,
                    entries,
                    folder=folder,
                    masks=masks,
                    photos_per_shard=PHOTOS_PER_SHARD if shards is True else shards,
                    progress=bar.update,
                )
        write_index(out, journal.findings(used), entries, folder=source, masks=masks, landmarks=landmarks, shards=names)
    finally:
        journal.close()
    report = Report(
        photos=len(found),
        used=len(used),
        subjects=len({entry.subject for entry in entries}),
        left_out=_counts(left_out),
        several_faces=several,
        masks=sum(bool(entry.mask) for entry in entries),
        surveyed=len(new),
        seconds=round(time.perf_counter() - started, 2),
        shards=len(names),
        photos_left_out={told(photo): reason for photo, reason in left_out.items()},
    )
    write_file(out.with_name(f"{out.stem}.report.json"), (json.dumps(asdict(report), indent=1) + "\n").encode())
    return report


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Adds the command `prepare`."""
    about = "folders of photos to an index of landmarks"
    parser = commands.add_parser("prepare", help=about, description=about)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder of folders of photos, one per person")
    parser.add_argument("--out", type=Path, required=True, metavar="INDEX", help="the index to write, .npz")
    parser.add_argument("--masks", type=Path, metavar="FOLDER", help="face masks, .png or .npy, with the photos' paths")
    parser.add_argument(
        "--landmarks", choices=("mediapipe", "fan"), default="mediapipe", help="the 68 landmarks' source"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, metavar="N", help="processes")
    parser.add_argument(
        "--shards",
        type=int,
        nargs="?",
        const=PHOTOS_PER_SHARD,
        default=0,
        metavar="N",
        help=f"also write WebDataset tar files of N photos each (default: {PHOTOS_PER_SHARD})",
    )
    parser.add_argument("--min-face", type=float, default=MIN_FACE, metavar="PIXELS", help="leave smaller faces out")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Prepares, and prints the report."""
    report = prepare(
        options.folder,
        options.out,
        masks=options.masks,
        landmarks=options.landmarks,
        workers=options.workers,
        shards=options.shards,
        min_face=options.min_face,
        progress=True,
    )
    print(report.table())
    return 0


def _check(folder: Path, masks: Path | None, out: Path, landmarks: Landmarks, shards: int) -> None:
    for name in (folder, masks):
        if name is not None and not name.is_dir():
            raise OptionError(f"There is no folder {name}.", "Check the path.")
    if shards < 0:
        raise OptionError(f"{shards} photos per shard make no sense.", "Give 1 or more.")
    if out.suffix != ".npz":
        raise OptionError(f"The index {out} must end in .npz.")
    if landmarks == "fan":
        from deca_training.data.fan import check_fan

        check_fan()


def _mask_of(photo: str, masks: Path | None) -> str:
    """The mask's path below its folder; "" without one."""
    if masks is not None:
        stem = photo.rpartition(".")[0]
        for suffix in _MASK_SUFFIXES:
            if (masks / f"{stem}{suffix}").is_file():
                return f"{stem}{suffix}"
    return ""


def _reason(finding: Finding, min_face: float, max_disagreement: float) -> str:
    """Why a photo is left out; "" when it is used."""
    left, top, right, bottom = finding.box
    if finding.problem:
        return finding.problem
    if (right - left + bottom - top) / 2 < min_face:
        return "face too small"
    if finding.disagreement >= max_disagreement:
        return "landmarks depend on the box"
    return ""


def _counts(left_out: dict[str, str]) -> dict[str, int]:
    return dict(Counter(left_out.values()).most_common())


def main() -> int:
    """`python -m deca_training.data.prepare`, which is `deca-train prepare`."""
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers(required=True))
    options = parser.parse_args()
    return options.run(options)


if __name__ == "__main__":
    raise SystemExit(main())
