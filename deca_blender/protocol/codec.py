"""Frames on the wire: bytes <-> `Frame`. No pickle; a malformed byte never costs more than a `ProtocolError`.

A frame, little-endian throughout:

    4 bytes   magic b"DECA"
    u32       size of the header in bytes, at most MAX_HEADER
    u64       size of the payload in bytes, at most MAX_PAYLOAD
    header    JSON {"id": int, "method": str, "params": {...}, "arrays": [[name, dtype, shape], ...]}
    payload   the arrays' C-order bytes one after another, in the header's order, without gaps
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

import numpy as np
from numpy.typing import NDArray

MAGIC = b"DECA"
PREFIX = struct.Struct("<4sIQ")
MAX_HEADER = 1 << 20
MAX_PAYLOAD = 1 << 28
MAX_ARRAYS = 1024
MAX_DIMS = 8
DTYPES = {
    name: np.dtype(name).newbyteorder("<")
    for name in ("uint8", "int8", "uint16", "int32", "int64", "float16", "float32", "float64")
}
_ONE_WRITE = 1 << 16


class ProtocolError(Exception):
    """The bytes are no frame of this protocol. What follows on the stream cannot be trusted: close it."""


class ByteReader(Protocol):
    """The part of a binary stream that `read_frame` needs."""

    def readinto(self, buffer: Any, /) -> int | None: ...


class ByteWriter(Protocol):
    """The part of a binary stream that `write_frame` needs."""

    def write(self, data: Any, /) -> int | None: ...


@dataclass(frozen=True, eq=False)
class Frame:
    """One message on the wire.

    Attributes:
        id: Number of the request that the frame belongs to, >= 0.
        method: Name of the message type.
        params: JSON values.
        arrays: Arrays by name; their dtypes are among `DTYPES`.
    """

    id: int
    method: str
    params: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, NDArray] = field(default_factory=dict)


def encode_frame(frame: Frame) -> list[bytes | memoryview]:
    """The frame as pieces to be written one after another.

    Raises:
        ProtocolError: A parameter is not JSON, an array's dtype is not allowed, or a limit is exceeded.
    """
    table, pieces = [], []
    for name, array in frame.arrays.items():
        if array.dtype.name not in DTYPES:
            raise ProtocolError(f"Array {name!r} has the dtype {array.dtype}; allowed are {', '.join(DTYPES)}.")
        wire = np.asarray(array, DTYPES[array.dtype.name], order="C")
        table.append([name, array.dtype.name, list(array.shape)])
        pieces.append(wire.reshape(-1).view(np.uint8).data)
    try:
        header = json.dumps(
            {"id": frame.id, "method": frame.method, "params": frame.params, "arrays": table},
            allow_nan=False,
            separators=(",", ":"),
        ).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ProtocolError(f"The parameters of {frame.method} are not plain JSON: {error}.") from error
    payload_size = sum(len(piece) for piece in pieces)
    _check_sizes(len(header), payload_size)
    _parse_table(table, payload_size)
    head = PREFIX.pack(MAGIC, len(header), payload_size) + header
    if len(head) + payload_size <= _ONE_WRITE:
        return [b"".join([head, *pieces])]
    return [head, *pieces]


def write_frame(stream: ByteWriter, frame: Frame) -> None:
    """Writes one frame to a blocking binary stream, buffered or raw.

    Raises:
        ProtocolError: The frame cannot be encoded; nothing has been written.
        OSError: The other side is gone.
    """
    for piece in encode_frame(frame):
        rest = memoryview(piece)
        while rest:
            rest = rest[stream.write(rest) or 0 :]


def read_frame(stream: ByteReader) -> Frame | None:
    """Reads one frame from a blocking binary stream; None at its end.

    Raises:
        ProtocolError: The bytes are no frame, the stream ends within one, or a limit is exceeded.
        OSError: The stream broke.
    """
    prefix = bytearray(PREFIX.size)
    if not _fill(stream, memoryview(prefix), may_end=True):
        return None
    magic, header_size, payload_size = PREFIX.unpack(prefix)
    if magic != MAGIC:
        raise ProtocolError(f"A frame starts with {MAGIC!r}, but {bytes(prefix)!r} came.")
    _check_sizes(header_size, payload_size)
    header = bytearray(header_size)
    _fill(stream, memoryview(header))
    frame, table = _parse_header(header, payload_size)
    for name, dtype, shape in table:
        try:
            buffer = np.empty(_nbytes(dtype, shape), np.uint8)
        except MemoryError as error:
            raise ProtocolError(f"There is no memory for array {name!r} {dtype} {shape}.") from error
        _fill(stream, buffer.data)
        frame.arrays[name] = buffer.view(DTYPES[dtype]).reshape(shape)
    return frame


def _fill(stream: ByteReader, buffer: memoryview, may_end: bool = False) -> bool:
    """Reads until `buffer` is full; False when the stream ends before its first byte and may do so."""
    rest, size = buffer, len(buffer)
    while rest:
        count = stream.readinto(rest) or 0
        if count == 0:
            if may_end and len(rest) == size:
                return False
            raise ProtocolError(f"The stream ended within a frame: {len(rest)} of {size} bytes are missing.")
        rest = rest[count:]
    return True


def _check_sizes(header_size: int, payload_size: int) -> None:
    if header_size > MAX_HEADER or payload_size > MAX_PAYLOAD:
        raise ProtocolError(
            f"A frame with a header of {header_size} and a payload of {payload_size} bytes is over the limit"
            f" ({MAX_HEADER} and {MAX_PAYLOAD})."
        )


def _parse_header(header: bytearray, payload_size: int) -> tuple[Frame, list[tuple[str, str, tuple[int, ...]]]]:
    try:
        parsed = json.loads(header, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"The header is not JSON: {error}.") from error
    match parsed:
        case {"id": int(id), "method": str(method), "params": dict(params), "arrays": list(table), **rest} if not rest:
            if isinstance(id, bool) or not 0 <= id < 1 << 63:
                raise ProtocolError(f"The id {id!r} is no number of a request.")
            return Frame(id, method, params), _parse_table(table, payload_size)
    raise ProtocolError("The header is not of the form {id, method, params, arrays}.")


def _parse_table(table: list[Any], payload_size: int) -> list[tuple[str, str, tuple[int, ...]]]:
    """The checked table of arrays: names unique, dtypes allowed, sizes adding up to the payload."""
    if len(table) > MAX_ARRAYS:
        raise ProtocolError(f"{len(table)} arrays in one frame are over the limit of {MAX_ARRAYS}.")
    arrays: dict[str, tuple[str, tuple[int, ...]]] = {}
    total = 0
    for entry in table:
        match entry:
            case [str(name), str(dtype), list(shape)] if dtype in DTYPES and name not in arrays:
                pass
            case _:
                raise ProtocolError(f"{_short(entry)} does not describe an array (unique name, allowed dtype, shape).")
        if len(shape) > MAX_DIMS or any(type(size) is not int or size < 0 for size in shape):
            raise ProtocolError(f"{_short(shape)} is not the shape of array {name!r}.")
        # An empty array may still have sizes that numpy cannot multiply, so count them as if none were zero.
        if math.prod(max(size, 1) for size in shape) > MAX_PAYLOAD:
            raise ProtocolError(f"Array {name!r} of shape {_short(shape)} is over the limit.")
        arrays[name] = dtype, tuple(shape)
        total += _nbytes(dtype, shape)
    if total != payload_size:
        raise ProtocolError(f"The arrays of a frame take {total} bytes, but its payload has {payload_size}.")
    return [(name, dtype, shape) for name, (dtype, shape) in arrays.items()]


def _nbytes(dtype: str, shape: list[int] | tuple[int, ...]) -> int:
    return math.prod(shape) * DTYPES[dtype].itemsize


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
