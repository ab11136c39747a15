"""The index of prepared photos: one .npz file of arrays, of which the large ones stay on disk until they are asked for.

Shape suffixes: N photos, L landmarks.
"""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deca.errors import AssetError, OutputError
from deca_training.data.journal import Finding
from deca_training.data.landmarks import ibug_from_mediapipe
from deca_training.data.order import fraction

FORMAT, VERSION = "deca-photos", 1
_HINT = "Make it with `deca-train prepare`."
_LARGE = ("landmarks478_NL3", "landmarks68_NL2")


@dataclass(frozen=True)
class Place:
    """Where a file lies inside the shards.

    Attributes:
        shard: Number of the tar file.
        offset, length: Of the file's bytes in it.
    """

    shard: int = -1
    offset: int = 0
    length: int = 0


@dataclass(frozen=True)
class Entry:
    """What the index says of a photo beside its finding.

    Attributes:
        subject: Name of the identity.
        mask: Path of its mask below the folder of masks; "" without one.
        place, mask_place: In the shards; without shards, in none.
    """

    subject: str
    mask: str = ""
    place: Place = Place()
    mask_place: Place = Place()


class PhotoIndex:
    """Prepared photos, those of one subject after the other. Made by `load`, `split` and `subset`.

    Attributes:
        path: The file.
        folder: Of the photos, or of the shards.
        masks_folder: Of the user's masks, or None.
        landmarks: Who found the 68 landmarks: `mediapipe` or `fan`.
        shards: Names of the tar files; empty when photos are read from their folder.
        rows_N: Rows of the file that belong to this index.
        subject_names: Names of the identities.
        first_photo: (subjects + 1,) the photos of subject s are first_photo[s] .. first_photo[s + 1] - 1.
    """

    def __init__(
        self, path: Path, folder: Path | None, arrays: dict[str, NDArray], subjects: NDArray[np.int64]
    ) -> None:
        self.path = path
        self._folder, self._arrays, self._subjects = folder, arrays, subjects
        meta = json.loads(str(arrays["meta"]))
        self.folder = folder or Path(meta["folder"])
        self.masks_folder = Path(meta["masks"]) if meta["masks"] else None
        self.landmarks: str = meta["landmarks"]
        self.shards: tuple[str, ...] = tuple(meta["shards"])
        starts = arrays["first_photo"]
        counts = starts[subjects + 1] - starts[subjects]
        self.first_photo = np.concatenate([[0], np.cumsum(counts)])
        shift = np.repeat(starts[subjects] - self.first_photo[:-1], counts)
        self.rows_N = np.arange(self.first_photo[-1]) + shift
        self.subject_names = tuple(_text(name) for name in arrays["subjects"][subjects])

    @classmethod
    def load(cls, path: str | Path, folder: str | Path | None = None) -> PhotoIndex:
        """Opens an index.

        Args:
            path: The file.
            folder: Where photos or shards are now, when they were moved.

        Raises:
            AssetError: The file is missing, damaged, or no index of this version.
        """
        path = Path(path)
        arrays = _read(path)
        subjects = np.arange(len(arrays["subjects"]))
        return cls(path, Path(folder) if folder is not None else None, arrays, subjects)

    def __reduce__(self) -> tuple[Any, ...]:
        # Loader processes open the file themselves: they share its pages and nothing is copied.
        return _reopen, (self.path, self._folder, self._subjects)

    def __len__(self) -> int:
        """Number of photos."""
        return len(self.rows_N)

    @property
    def num_subjects(self) -> int:
        """Number of identities."""
        return len(self._subjects)

    @property
    def photos(self) -> list[str]:
        """Paths of all photos below the folder they were prepared from."""
        return [_text(name) for name in self._arrays["photos"][self.rows_N]]

    @property
    def subject_N(self) -> NDArray[np.int64]:
        """Number of each photo's subject in this index."""
        return np.repeat(np.arange(self.num_subjects), np.diff(self.first_photo))

    @property
    def sizes_N2(self) -> NDArray[np.int32]:
        """Width and height of the photos."""
        return self._arrays["sizes_N2"][self.rows_N]

    @property
    def boxes_N4(self) -> NDArray[np.float32]:
        """Left, top, right, bottom of the faces, photo pixels."""
        return self._arrays["boxes_N4"][self.rows_N]

    @property
    def disagreement_N(self) -> NDArray[np.float32]:
        """How far the landmarks move with the box (`cleaning.box_dependence`)."""
        return self._arrays["disagreement_N"][self.rows_N]

    @property
    def landmarks68_NL2(self) -> NDArray[np.float32]:
        """iBUG's landmarks, photo pixels; all of them are read."""
        return self._arrays["landmarks68_NL2"][self.rows_N]

    @property
    def landmarks478_NL3(self) -> NDArray[np.float32]:
        """MediaPipe's landmarks: x, y in photo pixels, depth in the same scale; all of them are read."""
        return self._arrays["landmarks478_NL3"][self.rows_N]

    def photo_name(self, photo: int) -> str:
        """Path of one photo below its folder."""
        return _text(self._arrays["photos"][self.rows_N[photo]])

    def mask_name(self, photo: int) -> str:
        """Path of a photo's mask below the folder of masks; "" without one."""
        return _text(self._arrays["masks"][self.rows_N[photo]])

    def size_of(self, photo: int) -> tuple[int, int]:
        """Width and height of one photo."""
        width, height = self._arrays["sizes_N2"][self.rows_N[photo]].tolist()
        return width, height

    def landmarks_of(self, photo: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """One photo's landmarks (68, 2) and (478, 3)."""
        row = self.rows_N[photo]
        return np.array(self._arrays["landmarks68_NL2"][row]), np.array(self._arrays["landmarks478_NL3"][row])

    def place_of(self, photo: int, mask: bool = False) -> Place:
        """Where a photo, or its mask, lies in the shards."""
        return Place(*self._arrays["mask_places_N3" if mask else "places_N3"][self.rows_N[photo]].tolist())

    def subset(self, subjects: Sequence[int] | NDArray[np.integer]) -> PhotoIndex:
        """The photos of some subjects, which keep their order."""
        return PhotoIndex(self.path, self._folder, self._arrays, self._subjects[np.sort(np.asarray(subjects, int))])

    def split(self, validation: float, seed: int = 0) -> tuple[PhotoIndex, PhotoIndex]:
        """Training and validation photos. A subject's side depends on its name alone, not on who else is there.

        Args:
            validation: Share of the subjects in the validation part, about.
            seed: Other seeds split otherwise.
        """
        held_out = np.array([fraction(name, seed) < validation for name in self.subject_names], bool)
        return self.subset(np.flatnonzero(~held_out)), self.subset(np.flatnonzero(held_out))


def write_index(
    path: Path,
    findings: Iterable[Finding],
    entries: Sequence[Entry],
    *,
    folder: Path,
    masks: Path | None,
    landmarks: str,
    shards: Sequence[str] = (),
) -> None:
    """Writes an index in one piece, without holding the landmarks in memory.

    Args:
        path: The file.
        findings: The usable photos, in the order of their subjects.
        entries: One per finding.
        folder: Of the photos, or of the shards.
        masks: Folder of the user's masks.
        landmarks: Who found the 68 landmarks.
        shards: Names of the tar files.

    Raises:
        OutputError: There is no room, or no permission.
    """
    count = len(entries)
    subject_names = list(dict.fromkeys(entry.subject for entry in entries))
    number = {name: index for index, name in enumerate(subject_names)}
    per_subject = np.bincount([number[entry.subject] for entry in entries], minlength=len(subject_names))
    meta = {
        "format": FORMAT,
        "version": VERSION,
        "folder": str(folder.resolve()),
        "masks": str(masks.resolve()) if masks else "",
        "landmarks": landmarks,
        "shards": list(shards),
    }
    arrays: dict[str, NDArray] = {
        "meta": np.array(json.dumps(meta)),
        "subjects": _bytes(subject_names),
        "first_photo": np.concatenate([[0], np.cumsum(per_subject)]).astype(np.int64),
        "masks": _bytes([entry.mask for entry in entries]),
        "places_N3": _places([entry.place for entry in entries]),
        "mask_places_N3": _places([entry.mask_place for entry in entries]),
        "sizes_N2": np.zeros((count, 2), np.int32),
        "boxes_N4": np.zeros((count, 4), np.float32),
        "disagreement_N": np.zeros(count, np.float32),
    }
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".landmarks") as scratch:
            shapes = {"landmarks478_NL3": (count, 478, 3), "landmarks68_NL2": (count, 68, 2)}
            for name, shape in shapes.items():
                arrays[name] = np.lib.format.open_memmap(f"{scratch}/{name}.npy", "w+", np.float32, shape)
            photos = []
            for row, finding in enumerate(findings):
                assert finding.landmarks478_L3 is not None
                photos.append(finding.photo)
                arrays["sizes_N2"][row] = finding.size
                arrays["boxes_N4"][row] = finding.box
                arrays["disagreement_N"][row] = finding.disagreement
                arrays["landmarks478_NL3"][row] = finding.landmarks478_L3
                arrays["landmarks68_NL2"][row] = (
                    ibug_from_mediapipe(finding.landmarks478_L3)[:, :2]
                    if finding.landmarks68_L2 is None
                    else finding.landmarks68_L2
                )
            arrays["photos"] = _bytes(photos)
            with temporary.open("wb") as file:
                np.savez(file, **arrays)
            for name in shapes:
                del arrays[name]  # closes the scratch file, which Windows could not remove otherwise
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OutputError(
            f"The index {path} could not be written ({error}).", "Make room or choose another."
        ) from error


def _read(path: Path) -> dict[str, NDArray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files if name not in _LARGE}
        meta = json.loads(str(arrays["meta"]))
        if (meta["format"], meta["version"]) != (FORMAT, VERSION):
            raise AssetError(f"{path} is not an index of photos of version {VERSION}.", _HINT)
        for name in _LARGE:
            arrays[name] = _mapped(path, f"{name}.npy")
        return arrays
    except FileNotFoundError as error:
        raise AssetError(f"The index {path} does not exist.", _HINT) from error
    except AssetError:
        raise
    except Exception as error:  # damaged zip and npy files fail in many ways
        raise AssetError(f"{path} is not an index of photos ({error}).", _HINT) from error


def _mapped(path: Path, member: str) -> NDArray:
    """An array inside an uncompressed .npz file, which stays on disk."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(member)
        if info.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"{member} is compressed")
    with path.open("rb") as file:
        file.seek(info.header_offset)
        local = file.read(30)  # its last two fields are the lengths of the name and of the extra data
        file.seek(int.from_bytes(local[26:28], "little") + int.from_bytes(local[28:30], "little"), os.SEEK_CUR)
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(file)
        if not np.prod(shape):
            return np.zeros(shape, dtype)
        return np.memmap(path, dtype, "r", file.tell(), shape)


def _reopen(path: Path, folder: Path | None, subjects: NDArray[np.int64]) -> PhotoIndex:
    return PhotoIndex(path, folder, _read(path), subjects)


def _bytes(names: Sequence[str]) -> NDArray[np.bytes_]:
    """Names as UTF-8, which takes a quarter of NumPy's own strings."""
    return np.array([name.encode("utf-8", "surrogateescape") for name in names], np.bytes_)


def _text(name: Any) -> str:
    return bytes(name).decode("utf-8", "surrogateescape")


def _places(places: Sequence[Place]) -> NDArray[np.int64]:
    return np.array([(place.shard, place.offset, place.length) for place in places], np.int64).reshape(-1, 3)
