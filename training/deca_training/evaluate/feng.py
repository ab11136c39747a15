"""The benchmark of Feng et al. (2018) on Stirling's photos and scans: low and high quality photos (DECA, Table 2).

    FOLDER/HQ/**/SUBJECT*.jpg, FOLDER/LQ/**/SUBJECT*.jpg    images; SUBJECT is F or M and a number: F1001_02.jpg
    FOLDER/scans/**/SUBJECT*.obj (or .ply)                  one scan per subject
    FOLDER/scans/**/SUBJECT*.pp (or .txt, .npy)             its seven landmarks
    PREDICTIONS/HQ/**/IMAGE.obj and .npy (or .txt), likewise LQ

HQ, LQ and scans may lie deeper in FOLDER; an image may also lie in a folder named after its subject. The measured part
of the scans is the benchmark's: a ball of 1.2 times the mean of outer eye distance and nose length.
"""

from __future__ import annotations

import re
from pathlib import Path

from deca.errors import OptionError
from deca_blender.protocol.photos import pictures_below
from deca_training.evaluate.scan_benchmark import Case, Protocol, check_folder
from deca_training.evaluate.scans import LANDMARK_SUFFIXES, MESH_SUFFIXES

PROTOCOL = Protocol("Feng et al. benchmark", ("LQ", "HQ"), radius=1.2)
_SUBJECT = re.compile(r"[FM]\d{3,}", re.IGNORECASE)
_LAYOUT = (
    "FOLDER/HQ and FOLDER/LQ with images named SUBJECT*.jpg, and FOLDER/scans with SUBJECT*.obj and its seven landmarks"
    " SUBJECT*.pp, .txt or .npy; SUBJECT is F or M and a number, as F1001."
)


def feng_cases(folder: Path) -> list[Case]:
    """The images of the benchmark, one subject after the other.

    Raises:
        OptionError: Images or scans are missing.
    """
    check_folder(folder, PROTOCOL.title, _LAYOUT)
    scans_at = _folder(folder, "scans")
    scans = {
        name: _files(scans_at, suffixes)
        for name, suffixes in (("scan", MESH_SUFFIXES), ("landmarks", LANDMARK_SUFFIXES))
    }
    cases: list[Case] = []
    for group in PROTOCOL.groups:
        images_at = _folder(folder, group)
        found = list(pictures_below(images_at))
        for name in (name for name, problem in found if problem):
            raise OptionError(f"{PROTOCOL.title}: {images_at / name} cannot be listed.", "Check its permissions.")
        images = sorted(images_at / name for name, _ in found)
        if not images:
            raise OptionError(f"{PROTOCOL.title}: {images_at} holds no images.", f"Expected: {_LAYOUT}")
        for image in images:
            subject = _subject(image.relative_to(images_at))
            missing = [what for what, files in scans.items() if subject not in files]
            if missing:
                raise OptionError(
                    f"{PROTOCOL.title}: {scans_at} holds no {' and no '.join(missing)} for {image.name}"
                    f" (subject {subject or 'unknown'}).",
                    f"Expected: {_LAYOUT}",
                )
            name = (Path(group) / image.relative_to(images_at)).with_suffix("").as_posix()
            cases.append(Case(name, group, image, scans["scan"][subject], scans["landmarks"][subject]))
    return sorted(cases, key=lambda case: str(case.scan))


def _folder(root: Path, name: str) -> Path:
    found = [
        path for path in (root / name, *sorted(root.rglob("*"))) if path.is_dir() and path.name.lower() == name.lower()
    ]
    if not found:
        raise OptionError(f"{PROTOCOL.title}: there is no folder {name} in {root}.", f"Expected: {_LAYOUT}")
    return found[0]


def _files(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """The first file of each subject."""
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in suffixes:
            found.setdefault(_subject(path.relative_to(folder)), path)
    found.pop("", None)
    return found


def _subject(path: Path) -> str:
    for part in reversed(path.parts):
        match = _SUBJECT.match(part)
        if match:
            return match.group().upper()
    return ""
