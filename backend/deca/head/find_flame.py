"""Finds a user's FLAME files by their official names, so that one path is enough to convert them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deca.errors import AssetError
from deca.head.flame import DISPLACEMENT, MASKS, TEXTURES, convert_flame

MODELS = ("generic_model.pkl", "flame2023.pkl", "flame2023_no_jaw.pkl")
LANDMARKS, TEMPLATE = "landmark_embedding.npy", "head_template.obj"
MEDIAPIPE = "mediapipe_landmark_embedding.npz"
_DEPTH = 2


@dataclass(frozen=True)
class FlameFiles:
    """What `convert_flame` takes; None for what is optional and not there."""

    model: Path
    landmarks: Path
    template: Path
    maps: Path | None
    mediapipe: Path | None


def find_flame(path: str | Path) -> FlameFiles:
    """FLAME's files by one of them, or by the folder that they are in; two levels of folders below it are searched.

    Raises:
        AssetError: A file that is needed is not there.
    """
    path = Path(path)
    folder = path if path.is_dir() else path.parent
    found: dict[str, Path] = {}
    for file in _files(folder, _DEPTH):
        found.setdefault(file.name, file)
    model = path if path.suffix == ".pkl" and path.is_file() else _first(found, MODELS)
    landmarks, template = found.get(LANDMARKS), found.get(TEMPLATE)
    if model is None or landmarks is None or template is None:
        wanted = ((model, " or ".join(MODELS[:2])), (landmarks, LANDMARKS), (template, TEMPLATE))
        missing = ", ".join(name for file, name in wanted if file is None)
        raise AssetError(
            f"{folder} lacks {missing}, which FLAME's conversion needs.",
            f"Put FLAME's model beside {LANDMARKS} and {TEMPLATE} of DECA's data folder, under their own names.",
        )
    picture = _first(found, (*MASKS, DISPLACEMENT, *TEXTURES))
    return FlameFiles(model, landmarks, template, picture.parent if picture else None, found.get(MEDIAPIPE))


def convert_found(path: str | Path, out_dir: str | Path | None = None) -> Path:
    """Converts the FLAME files that a path stands for (`find_flame`).

    Args:
        path: One of the files, or their folder.
        out_dir: Folder for the head model file; by default that of FLAME's model.

    Raises:
        AssetError: A file is missing, damaged, refused, or does not fit the others.
        OutputError: The result cannot be written.
    """
    files = find_flame(path)
    return convert_flame(
        files.model,
        files.landmarks,
        files.template,
        out_dir or files.model.parent,
        maps=files.maps,
        mediapipe=files.mediapipe,
    )


def _files(folder: Path, depth: int) -> Iterator[Path]:
    """Files of a folder, then those of its sub-folders; what cannot be read is left out."""
    try:
        inside = sorted(folder.iterdir())
    except OSError:
        return
    yield from (path for path in inside if path.is_file())
    if depth:
        for sub in inside:
            if sub.is_dir():
                yield from _files(sub, depth - 1)


def _first(found: dict[str, Path], names: tuple[str, ...]) -> Path | None:
    return next((found[name] for name in names if name in found), None)
