"""Reads the pickles in which FLAME is distributed, without running anything that is in them.

A pickle is a program: it names functions and has them called. Here it is only read. A global that is not on a short
list is refused by name; one that is becomes a name, and a call of it a `Call` that writes down function, arguments and
state. Nothing is imported and nothing is called. Only then are the calls that stand for arrays turned into NumPy
arrays, with every size checked against the bytes that are really there. So neither chumpy nor SciPy nor torch is needed
for what Python 2 wrote with them.
"""

from __future__ import annotations

import io
import math
import pickle
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np
from numpy.typing import NDArray

from deca.errors import AssetError
from deca.files import WholeFile

_HINT = "Download the file again from its official site; files from elsewhere may be damaged or harmful."

_MAX_BYTES = 2**30
"""No array of these files comes near this; a small file that claims more is not opened any further."""


def read_pickle(path: str | Path) -> Any:
    """Reads a pickle of plain values and arrays, as Python 2 (latin1) or 3 wrote it.

    Returns:
        Dicts, lists, tuples, strings and numbers as they are. Chumpy objects, sparse matrices and torch tensors come as
        dense NumPy arrays; an array's memory may be read-only.

    Raises:
        AssetError: The file is missing or damaged, or asks for anything that is not array data.
    """
    path = Path(path)
    return _guarded(path, _load)


def read_object_npy(path: str | Path) -> Any:
    """Reads the one object (a dict, say) that `numpy.save` put into a file with pickle's help.

    Raises:
        AssetError: As `read_pickle`.
    """
    path = Path(path)

    def read(file: BinaryIO) -> Any:
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = header(file)
        if not dtype.hasobject or math.prod(shape) != 1:
            raise AssetError(f"It holds an array {shape} of {dtype} where one object was expected.", _HINT)
        return _load(file)

    return _guarded(path, read)


def _guarded(path: Path, read: Callable[[BinaryIO], Any]) -> Any:
    try:
        with WholeFile(path) as file:
            return read(file)
    except FileNotFoundError as error:
        raise AssetError(f"The file {path} does not exist.", "Check the path.") from error
    except AssetError as error:
        raise AssetError(f"{path} was refused. {error.message}", error.hint) from error
    except EOFError as error:
        raise AssetError(f"{path} could not be read: it is truncated, its end is missing.", _HINT) from error
    except Exception as error:  # a damaged pickle may fail in every way there is
        raise AssetError(f"{path} could not be read ({error or type(error).__name__}).", _HINT) from error


# -- Reading: a pickle to values and written-down calls ---------------------------------------------------------------


@dataclass(frozen=True)
class _Global:
    """The name of an allowed function or class."""

    name: str


@dataclass(eq=False)
class _Call:
    """A call that the pickle wanted: what of, with what, and what was put into the result later."""

    function: str
    args: tuple
    state: Any = None
    items: dict = field(default_factory=dict)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.items[key] = value


def _write_down_call(parser: Any) -> None:
    args, function = parser.stack.pop(), parser.stack.pop()
    if not isinstance(function, _Global) or not isinstance(args, tuple):
        raise pickle.UnpicklingError(f"it calls a {type(function).__name__}")
    parser.stack.append(_Call(function.name, args))


def _write_down_state(parser: Any) -> None:
    state, made = parser.stack.pop(), parser.stack[-1]
    if not isinstance(made, _Call) or made.state is not None:
        raise pickle.UnpicklingError(f"it sets the state of a {type(made).__name__}")
    made.state = state


_UNUSED = (pickle.INST, pickle.OBJ, pickle.NEWOBJ_EX, pickle.EXT1, pickle.EXT2, pickle.EXT4)
"""Further ways to make objects, which no pickle of arrays takes."""


class _Parser(pickle._Unpickler):  # the Python version: in the C version calls cannot be intercepted
    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        **{code: step for code, step in pickle._Unpickler.dispatch.items() if bytes([code]) not in _UNUSED},
        pickle.REDUCE[0]: _write_down_call,
        pickle.NEWOBJ[0]: _write_down_call,
        pickle.BUILD[0]: _write_down_state,
    }

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full not in _ALLOWED:
            raise AssetError(f"It asks for {full}, which is not array data; nothing of it was run.", _HINT)
        return _Global(full)


def _load(file: BinaryIO) -> Any:
    return _Rebuilder().rebuild(_Parser(file, encoding="latin1").load())


# -- Rebuilding: written-down calls to arrays -------------------------------------------------------------------------


class _Rebuilder:
    """Turns the calls in a tree of values into what they stand for; what is shared is rebuilt once."""

    def __init__(self) -> None:
        self._done: dict[int, Any] = {}

    def rebuild(self, node: Any) -> Any:
        if isinstance(node, str | bytes | bytearray | int | float | _Global | None):
            return node
        if id(node) not in self._done:
            self._done[id(node)] = self._rebuilt(node)
        return self._done[id(node)]

    def _rebuilt(self, node: Any) -> Any:
        if isinstance(node, dict):
            return {self.rebuild(key): self.rebuild(value) for key, value in node.items()}
        if isinstance(node, list | tuple | set | frozenset):
            return type(node)(map(self.rebuild, node))
        if not isinstance(node, _Call):
            raise AssetError(f"It holds a {type(node).__name__}, which is not array data.", _HINT)
        function, args = node.function, self.rebuild(node.args)
        if function in ("copy_reg._reconstructor", "copyreg._reconstructor"):  # its first argument is the class
            cls, base, start = args
            if not isinstance(cls, _Global) or base not in _OBJECT or start is not None:
                raise pickle.UnpicklingError("an object is made in an unknown way")
            function, args = cls.name, ()
        try:
            return _ALLOWED[function](args, self.rebuild(node.state), self.rebuild(node.items))
        except (TypeError, KeyError, IndexError, AttributeError) as error:
            raise pickle.UnpicklingError(f"what it gives to {function} makes no sense: {error}") from error


def _array(shape: Any, dtype: Any, data: Any, fortran: bool = False) -> Any:
    if not isinstance(dtype, np.dtype) or not all(isinstance(size, int) and size >= 0 for size in shape):
        raise pickle.UnpicklingError(f"an array of shape {shape} and type {dtype} makes no sense")
    if dtype.hasobject:
        if math.prod(shape) != 1 or not isinstance(data, list) or len(data) != 1:
            raise AssetError(f"It holds an array of {shape} objects.", _HINT)
        return data[0]
    raw = data.encode("latin1") if isinstance(data, str) else bytes(data)
    if math.prod(shape) * dtype.itemsize != len(raw):
        raise AssetError(f"An array claims shape {tuple(shape)} of {dtype}, but {len(raw)} bytes are there.", _HINT)
    return np.frombuffer(raw, dtype).reshape(shape, order="F" if fortran else "C")


def _make_dtype(args: tuple, state: Any, items: dict) -> np.dtype:
    """`dtype('f8', ...)` with state (version, byte order, subarray, names, fields, ...)."""
    order, *structure = state[1:5] if state is not None else ("=",)
    if not re.fullmatch(r"[biufSUO]\d{1,4}", args[0]) or any(part is not None for part in structure):
        raise AssetError(f"It holds an array of type {args[0]}, which is not numbers.", _HINT)
    return np.dtype(object) if args[0][0] == "O" else np.dtype(args[0]).newbyteorder(order)


def _make_array(args: tuple, state: Any, items: dict) -> Any:
    """`_reconstruct(ndarray, (0,), 'b')` with state (version, shape, dtype, is Fortran, data)."""
    if args[0] != _Global("numpy.ndarray"):
        raise pickle.UnpicklingError("an array of an unknown class")
    _, shape, dtype, fortran, data = state
    return _array(shape, dtype, data, bool(fortran))


def _make_from_buffer(args: tuple, state: Any, items: dict) -> Any:
    data, dtype, shape, order = args
    return _array(shape, dtype, data, order == "F")


def _make_scalar(args: tuple, state: Any, items: dict) -> Any:
    dtype, data = args
    return _array((1,), dtype, data)[0]


def _entry(state: Any, key: str) -> NDArray:
    """An array of an object's state. Nested lists are none: shared ones can stand for more than memory holds."""
    if not isinstance(state[key], np.ndarray | np.generic):
        raise TypeError(f"{key} is a {type(state[key]).__name__}")
    return np.asarray(state[key])


def _make_chumpy(args: tuple, state: Any, items: dict) -> NDArray:
    return _entry(state, "x")


def _make_selection(args: tuple, state: Any, items: dict) -> NDArray:
    """Chumpy's view of some entries of another object, what reordering and slicing leave behind."""
    chosen = _entry(state, "a").ravel()[_entry(state, "idxs")]
    return chosen if state.get("preferred_shape") is None else chosen.reshape(state["preferred_shape"])


def _make_csc(args: tuple, state: Any, items: dict) -> NDArray:
    """A matrix by columns: column c has `data[k]` in row `indices[k]`, k = indptr[c] .. indptr[c + 1] - 1."""
    rows, columns = map(int, state["_shape"] if "_shape" in state else state["shape"])
    indices, starts = _entry(state, "indices"), _entry(state, "indptr").astype(np.int64)
    counts = np.diff(starts)
    if len(starts) != columns + 1 or starts[0] != 0 or (counts < 0).any() or counts.sum() != len(indices):
        raise pickle.UnpicklingError("the parts of a sparse matrix do not fit together")
    return _dense((rows, columns), _entry(state, "data"), indices, np.repeat(np.arange(columns), counts))


def _make_csr(args: tuple, state: Any, items: dict) -> NDArray:
    """A matrix by rows: the transpose of one by columns."""
    key = "_shape" if "_shape" in state else "shape"
    return _make_csc(args, {**state, key: tuple(state[key])[::-1]}, items).T


def _make_coo(args: tuple, state: Any, items: dict) -> NDArray:
    """A matrix by entries: `data[k]` in row `row[k]` and column `col[k]`; newer files have `coords` = (row, col)."""
    row, column = state["coords"] if "coords" in state else (state["row"], state["col"])
    shape = state["_shape"] if "_shape" in state else state["shape"]
    places = {"row": row, "col": column}
    return _dense(tuple(map(int, shape)), _entry(state, "data"), _entry(places, "row"), _entry(places, "col"))


def _dense(shape: tuple[int, ...], data: NDArray, rows_N: NDArray, columns_N: NDArray) -> NDArray:
    """The matrix of a sparse one's entries; those in the same place add up."""
    if math.prod(shape) * data.itemsize > _MAX_BYTES:
        raise AssetError(f"A sparse matrix claims shape {shape}.", _HINT)
    for places in (rows_N, columns_N):
        if places.dtype.kind not in "iu" or len(places) != len(data) or (len(places) and places.min() < 0):
            raise pickle.UnpicklingError("the parts of a sparse matrix do not fit together")
    dense = np.zeros(shape, data.dtype)
    np.add.at(dense, (rows_N, columns_N), data)
    return dense


def _make_tensor(args: tuple, state: Any, items: dict) -> NDArray:
    """`_rebuild_tensor_v2(storage, offset, size, stride, ...)`, sizes and strides in elements."""
    storage, offset, size, stride = args[0], *args[1:4]
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if not isinstance(storage, np.ndarray) or min((offset, *size, *stride)) < 0 or last >= len(storage):
        raise pickle.UnpicklingError("a tensor reaches beyond its storage")
    if math.prod(size) * storage.itemsize > _MAX_BYTES:
        raise AssetError(f"A tensor claims shape {size}.", _HINT)
    strides = [step * storage.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(storage[offset:], size, strides).copy()


_TORCH_MAGIC, _TORCH_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_TORCH_STORAGES = {
    "torch.HalfStorage": "<f2",
    "torch.FloatStorage": "<f4",
    "torch.DoubleStorage": "<f8",
    "torch.ByteStorage": "|u1",
    "torch.CharStorage": "|i1",
    "torch.ShortStorage": "<i2",
    "torch.IntStorage": "<i4",
    "torch.LongStorage": "<i8",
    "torch.BoolStorage": "|b1",
}


class _StorageParser(_Parser):
    def persistent_load(self, pid: Any) -> Any:
        return pid


def _make_storage(args: tuple, state: Any, items: dict) -> NDArray:
    """A storage in torch's legacy file format: five pickles, then the number of elements and the elements."""
    file = io.BytesIO(args[0])
    magic, protocol, system = (_Parser(file).load() for _ in range(3))
    kind, storage_type, key, _device, count, view = _StorageParser(file).load()
    keys = _Parser(file).load()
    if (magic, protocol) != (_TORCH_MAGIC, _TORCH_PROTOCOL) or not system["little_endian"]:
        raise pickle.UnpicklingError("a tensor's storage is not in torch's legacy format")
    if kind != "storage" or keys != [key] or view is not None:
        raise pickle.UnpicklingError("a tensor's storage is made in an unknown way")
    file.seek(8, io.SEEK_CUR)  # the number of elements again
    return _array((count,), np.dtype(_TORCH_STORAGES[storage_type.name]), file.read())


def _make_bytes(args: tuple, state: Any, items: dict) -> bytes:
    """`_codecs.encode(text, 'latin1')`: bytes in protocols that only know text."""
    text, encoding = args
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"bytes encoded as {encoding}")
    return text.encode("latin1")


def _make_empty_bytes(args: tuple, state: Any, items: dict) -> bytes:
    if args:
        raise TypeError("bytes with content come another way")
    return b""


def _make_dict(args: tuple, state: Any, items: dict) -> dict:
    return dict(*args) | items


def _make_set(args: tuple, state: Any, items: dict) -> set:
    return set(*args)


def _only_a_name(args: tuple, state: Any, items: dict) -> Any:
    raise TypeError("it is only passed on, never called")


_OBJECT = (_Global("__builtin__.object"), _Global("builtins.object"))

_ALLOWED: dict[str, Callable[[tuple, Any, dict], Any]] = {
    **{f"numpy.{core}.multiarray._reconstruct": _make_array for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": _make_scalar for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": _make_from_buffer for core in ("core", "_core")},
    "numpy.dtype": _make_dtype,
    "numpy.ndarray": _only_a_name,
    "chumpy.ch.Ch": _make_chumpy,
    "chumpy.reordering.Select": _make_selection,
    **{
        f"scipy.sparse.{module}.{layout}_{kind}": make
        for layout, make in (("csc", _make_csc), ("csr", _make_csr), ("coo", _make_coo))
        for module in (layout, f"_{layout}")
        for kind in ("matrix", "array")
    },
    "torch._utils._rebuild_tensor_v2": _make_tensor,
    "torch.storage._load_from_bytes": _make_storage,
    **dict.fromkeys(_TORCH_STORAGES, _only_a_name),
    "collections.OrderedDict": _make_dict,
    "_codecs.encode": _make_bytes,
    "__builtin__.bytes": _make_empty_bytes,
    **{f"{module}.{name}": _make_set for module in ("__builtin__", "builtins") for name in ("set", "frozenset")},
    **{f"{module}._reconstructor": _only_a_name for module in ("copy_reg", "copyreg")},
    **{name.name: _only_a_name for name in _OBJECT},
}
"""What a pickle may name, and what stands for a call of it. Of classes, a call is an instance with its state."""
