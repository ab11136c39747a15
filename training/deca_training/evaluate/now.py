"""The NoW challenge (Sanyal et al. 2019) on its own folders: neutral shape from photos against scans (DECA, Table 1).

    FOLDER/imagepathsvalidation.txt                        one image per line: SUBJECT/CHALLENGE/IMAGE.jpg
    FOLDER/final_release_version/iphone_pictures/SUBJECT/CHALLENGE/IMAGE.jpg
    FOLDER/final_release_version/scans/SUBJECT/*.obj
    FOLDER/final_release_version/scans_lmks_onlypp/SUBJECT/*.pp
    PREDICTIONS/SUBJECT/CHALLENGE/IMAGE.obj and .npy (or .txt)

`final_release_version` may be left out, and the list may lie beside it or in it. Only the validation set's scans are
public; predictions for the test set are sent in. The list may have any name (`image_list`).

The organisers' own program decides about published numbers. This one follows the protocol as they describe it; which
part of the scan they measure is not in their paper, so that numbers here compare with each other, and with theirs only
as far as `radius` meets that part.
"""

from __future__ import annotations

from pathlib import Path

from deca.errors import OptionError
from deca_training.evaluate.scan_benchmark import Case, Protocol, check_folder

CHALLENGES = {
    "multiview_neutral": "neutral",
    "multiview_expressions": "expression",
    "multiview_occlusions": "occlusion",
    "selfie": "selfie",
}
"""The challenges' folders, and what they are called in tables."""

PROTOCOL = Protocol("NoW challenge", tuple(CHALLENGES.values()), radius=1.2)
_LIST = "imagepathsvalidation.txt"
_LAYOUT = (
    "FOLDER/imagepathsvalidation.txt, and in FOLDER or FOLDER/final_release_version the folders"
    " iphone_pictures/SUBJECT/CHALLENGE, scans/SUBJECT/*.obj and scans_lmks_onlypp/SUBJECT/*.pp."
)


def now_cases(folder: Path, image_list: Path | None = None, needs_scans: bool = True) -> list[Case]:
    """The images of the benchmark.

    Args:
        folder: The benchmark's folder.
        image_list: Another list of images than the validation set's.
        needs_scans: False to make predictions for the test set, whose scans are kept secret.

    Raises:
        OptionError: Lists, images or scans are missing, or a list names an unknown challenge.
    """
    check_folder(folder, "NoW challenge", _LAYOUT)
    release = folder / "final_release_version"
    release = release if release.is_dir() else folder
    names = _image_list(folder, release, image_list)
    cases: list[Case] = []
    scans: dict[str, tuple[Path, Path]] = {}
    for name in names:
        parts = name.split("/")
        if len(parts) != 3 or parts[1] not in CHALLENGES:
            raise OptionError(
                f"The image list has the line {name!r}, which is not SUBJECT/CHALLENGE/IMAGE.",
                f"Challenges are {', '.join(CHALLENGES)}.",
            )
        subject = parts[0]
        if subject not in scans:
            places = release / "scans" / subject, release / "scans_lmks_onlypp" / subject
            scans[subject] = (_only(places[0], "*.obj"), _only(places[1], "*.pp")) if needs_scans else places
        image = release / "iphone_pictures" / name
        cases.append(Case(str(Path(name).with_suffix("").as_posix()), CHALLENGES[parts[1]], image, *scans[subject]))
    return cases


def _image_list(folder: Path, release: Path, given: Path | None) -> list[str]:
    places = [given] if given else [place / _LIST for place in (folder, release)]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise OptionError(f"NoW challenge: there is no image list {places[0]}.", f"Expected: {_LAYOUT}")
    names = [line.strip() for line in found.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not names:
        raise OptionError(f"The image list {found} is empty.", f"Expected: {_LAYOUT}")
    return names


def _only(folder: Path, pattern: str) -> Path:
    files = sorted(folder.glob(pattern))
    if len(files) != 1:
        raise OptionError(
            f"NoW challenge: {folder} holds {len(files)} files {pattern} instead of one.", f"Expected: {_LAYOUT}"
        )
    return files[0]
