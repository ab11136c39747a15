"""Frames against the layout that the codec's docstring gives, and against everything that is not one."""

from __future__ import annotations

import json
import struct
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from deca_blender.protocol import Frame, ProtocolError, read_frame, write_frame
from deca_blender.protocol.codec import DTYPES, MAX_HEADER, MAX_PAYLOAD

pytestmark = pytest.mark.timeout(60)


class Trickle(BytesIO):
    """A stream that gives one to three bytes at a time, as a pipe may."""

    def readinto(self, buffer: Any, /) -> int:
        part = self.read(min(len(buffer), 1 + self.tell() % 3))
        buffer[: len(part)] = part
        return len(part)

    def write(self, data: Any, /) -> int:
        return super().write(bytes(data[:7]))


def raw(header: Any, payload: bytes = b"", magic: bytes = b"DECA", sizes: tuple[int, int] | None = None) -> BytesIO:
    """A frame put together by hand, independently of the codec."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return BytesIO(struct.pack("<4sIQ", magic, *(sizes or (len(text), len(payload)))) + text + payload)


def head(*arrays: Any, **changes: Any) -> dict[str, Any]:
    return {"id": 1, "method": "Echo", "params": {}, "arrays": list(arrays), **changes}


def test_bytes_are_those_of_the_documented_layout() -> None:
    stream = BytesIO()
    a, b = np.array([[1, 2], [3, 4]], ">f4"), np.array(5, np.int64)
    write_frame(stream, Frame(3, "Echo", {"k": [1, "ä"]}, {"a": a, "b": b}))
    data = stream.getvalue()
    magic, header_size, payload_size = struct.unpack("<4sIQ", data[:16])
    assert (magic, payload_size, len(data)) == (b"DECA", 24, 16 + header_size + 24)
    assert json.loads(data[16 : 16 + header_size]) == {
        "id": 3,
        "method": "Echo",
        "params": {"k": [1, "ä"]},
        "arrays": [["a", "float32", [2, 2]], ["b", "int64", []]],
    }
    assert data[16 + header_size :] == struct.pack("<4fq", 1, 2, 3, 4, 5)


def test_reads_a_frame_made_by_hand() -> None:
    frame = read_frame(raw(head(["x", "uint16", [1, 3]]), struct.pack("<3H", 1, 2, 65535)))
    assert frame and (frame.id, frame.method, frame.params) == (1, "Echo", {})
    assert frame.arrays["x"].tolist() == [[1, 2, 65535]] and frame.arrays["x"].flags.writeable


def test_end_of_stream_is_none_and_frames_follow_each_other() -> None:
    stream = Trickle()
    for k in range(3):
        write_frame(stream, Frame(k, "m", {"k": k}, {"x": np.arange(k)}))
    stream.seek(0)
    for k in range(3):
        frame = read_frame(stream)
        assert frame and frame.id == k and frame.params == {"k": k} and frame.arrays["x"].tolist() == list(range(k))
    assert read_frame(stream) is None


def test_every_truncation_is_an_error() -> None:
    data = raw(head(["x", "uint8", [9]]), bytes(9)).getvalue()
    for length in range(1, len(data)):
        with pytest.raises(ProtocolError, match="ended within a frame"):
            read_frame(BytesIO(data[:length]))


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(raw(head(), magic=b"HTTP"), id="magic"),
        pytest.param(raw(head(), sizes=(MAX_HEADER + 1, 0)), id="huge header"),
        pytest.param(raw(head(), sizes=(2**32 - 1, 0)), id="largest header"),
        pytest.param(raw(head(), sizes=(10, 2**64 - 1)), id="largest payload"),
        pytest.param(raw(head(), sizes=(10, MAX_PAYLOAD + 1)), id="huge payload"),
        pytest.param(raw(b""), id="empty header"),
        pytest.param(raw(b"{"), id="bad JSON"),
        pytest.param(raw(b"\xff\xfe\x00"), id="bad UTF"),
        pytest.param(raw(b"\x80abc"), id="no UTF-8"),
        pytest.param(raw(b"[" * 200_000), id="deep JSON"),
        pytest.param(raw(b'{"id":' + b"9" * 100_000 + b"}"), id="long number"),
        pytest.param(raw(head(params={"x": float("nan")})), id="NaN"),
        pytest.param(raw(head(params={"x": float("inf")})), id="infinity"),
        pytest.param(raw([]), id="no object"),
        pytest.param(raw({"id": 1, "method": "m", "params": {}}), id="no arrays"),
        pytest.param(raw(head(extra=1)), id="extra key"),
        pytest.param(raw(head(id="1")), id="id text"),
        pytest.param(raw(head(id=True)), id="id bool"),
        pytest.param(raw(head(id=-1)), id="id negative"),
        pytest.param(raw(head(id=2**63)), id="id huge"),
        pytest.param(raw(head(id=1.0)), id="id float"),
        pytest.param(raw(head(method=None)), id="no method"),
        pytest.param(raw(head(params=[])), id="params list"),
        pytest.param(raw(head(arrays={})), id="arrays object"),
        pytest.param(raw(head("x")), id="entry text"),
        pytest.param(raw(head(["x", "uint8"])), id="no shape"),
        pytest.param(raw(head(["x", "uint8", 1]), b"1"), id="shape number"),
        pytest.param(raw(head([1, "uint8", [1]]), b"1"), id="name number"),
        pytest.param(raw(head(["x", "object", [1]]), bytes(8)), id="object"),
        pytest.param(raw(head(["x", "O", [1]]), bytes(8)), id="O"),
        pytest.param(raw(head(["x", "float128", [1]]), bytes(16)), id="float128"),
        pytest.param(raw(head(["x", "bool", [1]]), b"\x02"), id="bool"),
        pytest.param(raw(head(["x", "complex64", [1]]), bytes(8)), id="complex"),
        pytest.param(raw(head(["x", ["uint8"], [1]]), b"1"), id="dtype list"),
        pytest.param(raw(head(["x", {}, [1]]), b"1"), id="dtype object"),
        pytest.param(raw(head(["x", "uint8", [-1]]), b""), id="negative size"),
        pytest.param(raw(head(["x", "uint8", [-1, -1]]), b"1"), id="negative sizes"),
        pytest.param(raw(head(["x", "uint8", [1.0]]), b"1"), id="float size"),
        pytest.param(raw(head(["x", "uint8", [True]]), b"1"), id="bool size"),
        pytest.param(raw(head(["x", "uint8", [1] * 9]), b"1"), id="many dimensions"),
        pytest.param(raw(head(["x", "uint8", [2**62, 2**62]]), b""), id="product overflows"),
        pytest.param(raw(head(["x", "uint8", [0, 2**62, 2**62]]), b""), id="empty, huge sizes"),
        pytest.param(raw(head(["x", "uint8", [10**400]]), b""), id="size of 400 digits"),
        pytest.param(raw(head(["x", "float64", [2**28]]), sizes=(120, MAX_PAYLOAD)), id="over the payload"),
        pytest.param(raw(head(["x", "uint8", [4]]), b"12345"), id="extra bytes"),
        pytest.param(raw(head(["x", "uint8", [4]]), b"123"), id="missing bytes"),
        pytest.param(raw(head(), b"1"), id="bytes without array"),
        pytest.param(raw(head(["x", "uint8", [1]], ["x", "uint8", [1]]), b"12"), id="same name twice"),
        pytest.param(raw(head(*([f"{k}", "uint8", [0]] for k in range(1025)))), id="many arrays"),
    ],
)
def test_malformed_frames_are_protocol_errors(stream: BytesIO) -> None:
    stream.seek(0)
    with pytest.raises(ProtocolError) as caught:
        read_frame(stream)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "frame",
    [
        Frame(1, "m", {"x": float("nan")}),
        Frame(1, "m", {"x": object()}),
        Frame(1, "m", {"x": "y" * MAX_HEADER}),
        Frame(1, "m", {}, {"x": np.array([None])}),
        Frame(1, "m", {}, {"x": np.zeros(2, bool)}),
        Frame(1, "m", {}, {"x": np.zeros(2, "U3")}),
        Frame(1, "m", {}, {"x": np.zeros(2, [("a", "f4")])}),
        Frame(1, "m", {}, {"x": np.zeros((1,) * 9)}),
        Frame(1, "m", {}, {str(k): np.zeros(1) for k in range(1025)}),
        Frame(1, "m", {}, {"x": np.broadcast_to(np.float64(0), (6000, 6000))}),
    ],
)
def test_what_cannot_be_read_is_not_written(frame: Frame) -> None:
    stream = BytesIO()
    with pytest.raises(ProtocolError):
        write_frame(stream, frame)
    assert stream.getvalue() == b""


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
ARRAYS = hnp.arrays(st.sampled_from(sorted(DTYPES)), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**63 - 1), st.text(), st.dictionaries(st.text(), JSON), st.dictionaries(st.text(), ARRAYS))
def test_round_trip(id: int, method: str, params: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    stream = Trickle()
    write_frame(stream, Frame(id, method, params, arrays))
    stream.seek(0)
    frame = read_frame(stream)
    assert frame and (frame.id, frame.method, frame.params) == (id, method, params)
    assert list(frame.arrays) == list(arrays)
    for name, array in arrays.items():
        got = frame.arrays[name]
        assert (got.dtype, got.shape, got.tobytes()) == (array.dtype, array.shape, array.tobytes())
    assert read_frame(stream) is None


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_random_bytes_never_do_worse_than_a_protocol_error(data: bytes, with_prefix: bool) -> None:
    stream = raw(data, data) if with_prefix else BytesIO(data)
    stream.seek(0)
    try:
        read_frame(stream)
    except ProtocolError:
        pass


@settings(max_examples=400, deadline=None)
@given(
    st.fixed_dictionaries({"id": JSON, "method": JSON, "params": JSON, "arrays": JSON | st.lists(JSON)}), st.binary()
)
def test_random_headers_never_do_worse_than_a_protocol_error(header: dict[str, Any], payload: bytes) -> None:
    stream = raw(header, payload)
    stream.seek(0)
    try:
        read_frame(stream)
    except ProtocolError:
        pass
