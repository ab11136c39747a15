"""Files of arrays (safetensors, .npy, .npz) read with errors that tell what to do, and files written in one piece."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from deca.errors import AssetError, OutputError


class WholeFile(io.BufferedReader):
    """A file to read that raises EOFError where it ends too early; others then give less than was asked for."""

    def __init__(self, path: str | Path) -> None:
        raw = io.FileIO(path)
        super().__init__(raw)
        self._size = os.fstat(raw.fileno()).st_size

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > self._size - self.tell():
            raise EOFError
        return super().read(size)

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(size)
        if not line.endswith(b"\n"):
            raise EOFError
        return line


def write_file(path: Path, data: bytes) -> None:
    """Writes a file in one piece, making its folder: under a temporary name beside its place, then renamed.

    Raises:
        OutputError: The folder or the file cannot be written.
    """
    temporary = path.with_name(f".{path.name[:40]}.{os.getpid()}.tmp")  # a name as long as allowed leaves no room
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(data)
            os.replace(temporary, path)
        except BaseException:  # also Ctrl-C
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _cannot_write(path, error) from error


def write_folder(folder: Path, files: Mapping[str, bytes], last: str, is_ours: Callable[[str], bool]) -> None:
    """Writes a folder of files in one piece, making the folders above.

    Where the folder is there already, each file is replaced in one piece, once all are on the disk, and what an
    earlier run has left is removed; the user's own files stay. Until `last` is in place the folder is not whole.

    Args:
        folder: The folder.
        files: Contents by name.
        last: Which of them says that the folder is whole.
        is_ours: Whether a file of this name may be removed.

    Raises:
        OutputError: Something cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".deca-", dir=folder.parent) as temporary:
            made = Path(temporary) / "made"
            made.mkdir()
            for name, data in files.items():
                (made / name).write_bytes(data)
            try:
                os.rename(made, folder)
                return
            except OSError:
                if not folder.is_dir():
                    raise
            (folder / last).unlink(missing_ok=True)
            for name in files.keys() - {last}:
                os.replace(made / name, folder / name)
            for name in os.listdir(folder):
                if name not in files and is_ours(name):
                    (folder / name).unlink()
            os.replace(made / last, folder / last)
    except OSError as error:
        raise _cannot_write(folder, error) from error


def _cannot_write(path: Path, error: OSError) -> OutputError:
    """The error that tells that a file or a folder could not be written."""
    return OutputError(
        f"{path} could not be written ({error.strerror or error}).",
        "Choose another output folder, or make room and permissions there.",
    )


def file_hash(path: Path) -> str:
    """First 16 hex digits of a file's SHA-256: what coefficients and codes are tied to."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def safetensors_bytes(arrays: Mapping[str, NDArray], metadata: Mapping[str, str]) -> bytes:
    """A safetensors file that is the same, byte for byte, whenever arrays and metadata are."""
    return in_order(save({name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)}, dict(metadata)))


def in_order(data: bytes) -> bytes:
    """A safetensors file with its header in a fixed order.

    The library writes the metadata in an order that differs between runs, which would change the file's hash.
    """
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    names = sorted((name for name in header if name != "__metadata__"), key=lambda n: header[n]["data_offsets"])
    metadata = dict(sorted(header["__metadata__"].items()))
    ordered = {"__metadata__": metadata, **{name: header[name] for name in names}}
    text = json.dumps(ordered, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def read_safetensors(path: Path, what: str, hint: str) -> tuple[dict[str, NDArray], dict[str, str]]:
    """Arrays and metadata of a safetensors file.

    Args:
        path: The file.
        what: What it is, for the errors: "head model".
        hint: What to do when it is missing or damaged.

    Raises:
        AssetError: The file is missing or damaged.
    """
    try:
        with safe_open(str(path), framework="numpy") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}
    except FileNotFoundError as error:
        raise AssetError(f"The {what} {path} does not exist.", hint) from error
    except (SafetensorError, OSError) as error:
        raise AssetError(f"The {what} {path} could not be read ({error}).", hint) from error


def read_npy(path: Path) -> NDArray:
    """The array of an .npy file.

    Raises:
        AssetError: The file is missing or damaged, or holds Python objects.
    """
    with _numpy_errors(path):
        return np.asarray(np.load(path, allow_pickle=False))


def read_npz(path: Path, names: Iterable[str]) -> dict[str, NDArray]:
    """Those of the named arrays that an .npz file holds; only they are read.

    Raises:
        AssetError: The file is missing or damaged, or holds Python objects under these names.
    """
    with _numpy_errors(path), np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in names if name in file.files}


@contextmanager
def _numpy_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise AssetError(f"The file {path} does not exist.", "Check the path.") from error
    except Exception as error:  # damaged zip and npy files fail in many ways
        raise AssetError(f"{path} is not a file of NumPy arrays ({error}).", "Download or make it again.") from error
