"""Messages through frames and back, and frames that carry no message."""

from __future__ import annotations

from dataclasses import fields, replace
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deca_blender.protocol import Frame, Message, MessageError, Request, pack, read_frame, unpack, write_frame
from deca_blender.protocol.messages import (
    MESSAGES,
    Cancel,
    DecodeWrinkles,
    DescribeHead,
    Echo,
    Error,
    FaceReply,
    HeadReply,
    Hello,
    LeftOutPhoto,
    Notice,
    PersonReply,
    Picture,
    Ping,
    PingReply,
    Progress,
    ReconstructPerson,
    ReconstructPhoto,
    ReconstructReply,
    ReliefShare,
)

V, P, T, S, E = 6, 4, 7, 3, 2


def head_reply(**changes: Any) -> HeadReply:
    rng = np.random.default_rng(0)

    def f32(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    values: dict[str, Any] = {
        "name": "openhead",
        "hash": "abc",
        "licence": "CC0-1.0",
        "num_shape": 300,
        "num_expression": 100,
        "verts": f32(V, 3),
        "polygons": np.zeros((P, 4), np.int32),
        "uv": f32(T, 2),
        "uv_polygons": np.zeros((P, 4), np.int32),
        "shape_dirs": f32(V, 3, S),
        "expression_dirs": f32(V, 3, E),
        "pose_dirs": f32(V, 3, 36),
        "joint_regressor": f32(5, V),
        "joints_follow_expression": False,
        "parents": (-1, 0, 1, 1, 1),
        "skin_weights": f32(V, 5),
        "part": np.zeros(V, np.uint8),
        "mirror": np.arange(V, dtype=np.int32),
        "arkit_names": ("jawOpen", "mouthClose"),
        "arkit_map": f32(60, 2),
    }
    return HeadReply(**{**values, **changes})


def face_reply(**changes: Any) -> FaceReply:
    values: dict[str, Any] = {
        "name": "ä",
        "photo": "p",
        "head": "openhead",
        "head_hash": "abc",
        "backend_version": "0",
        "shape": np.ones(S, np.float32),
        "expression": np.ones(E, np.float32),
        "pose": np.ones((5, 3), np.float32),
        "camera": np.ones(3, np.float32),
        "crop": np.eye(3),
        "image_size": (4, 3),
        "box": (0.0, 1.0, 2.0, 3.0),
        "landmarks": np.zeros((478, 2), np.float32),
        "landmark_error": 0.5,
        "albedo": np.zeros((8, 8, 3), np.uint8),
        "photographed": np.ones((8, 8, 3), np.uint8),
        "notices": (Notice("mirrored", 0.5),),
    }
    return FaceReply(**{**values, **changes})


def wrinkles_of(*sizes: int) -> DecodeWrinkles:
    worn = tuple(ReliefShare(np.arange(size, dtype=np.uint8), 1 / size) for size in sizes)
    return DecodeWrinkles("w", "h", *(np.ones(size, np.float32) for size in (128, 50, 3)), reliefs=worn)


def through_the_wire(message: Message) -> Message:
    stream = BytesIO()
    write_frame(stream, pack(message, 9))
    stream.seek(0)
    frame = read_frame(stream)
    assert frame and frame.id == 9
    return unpack(frame)


def assert_same(a: Any, b: Any) -> None:
    assert type(a) is type(b)
    if isinstance(a, np.ndarray):
        assert a.dtype == b.dtype and np.array_equal(a, b)
    elif hasattr(a, "__dataclass_fields__"):
        for f in fields(a):
            assert_same(getattr(a, f.name), getattr(b, f.name))
    elif isinstance(a, tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    elif isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            assert_same(a[key], b[key])
    else:
        assert a == b


@pytest.mark.parametrize(
    "message",
    [
        Hello(1, "x"),
        Ping(),
        Cancel(),
        Progress(0.25, "half of a half"),
        Error("NoFaceError", "Kein Gesicht gefunden.", "→ try another"),
        DescribeHead("openhead", 10),
        ReconstructPhoto("/tmp/ä b.jpg", texture_size=None, face=2),
        ReconstructPerson(("/tmp/ä b.jpg", "caf\udce9.jpg"), picture_size=64),
        PersonReply((), (Picture(None), Picture(np.arange(3, dtype=np.uint8))), (LeftOutPhoto("a", "No face."),)),
        Echo({"x": np.zeros((2, 0)), "a.b": np.ones(3, np.float16), "": np.ones(1)}),
        Echo({}),
        head_reply(),
        head_reply(mirror=None, arkit_map=None, arkit_names=()),
        ReconstructReply((face_reply(), face_reply(albedo=None, photographed=None, shape=np.zeros(9, np.float32)))),
        ReconstructReply(()),
        ReconstructReply((face_reply(),), ("told",), np.arange(9, dtype=np.uint8)),
        wrinkles_of(),
        wrinkles_of(7, 9),
        ReconstructReply((face_reply(relief=np.arange(5, dtype=np.uint8)),)),
    ],
)
def test_round_trip(message: Message) -> None:
    assert_same(through_the_wire(message), message)


def test_numpy_numbers_become_plain_ones() -> None:
    reply = ReconstructReply((face_reply(landmark_error=np.float32(0.5), image_size=(np.int64(4), np.int32(3))),))
    (face,) = through_the_wire(reply).faces  # type: ignore[attr-defined]
    assert (face.landmark_error, face.image_size) == (0.5, (4, 3)) and type(face.image_size[0]) is int


def test_each_request_names_a_reply_that_can_be_sent() -> None:
    requests = [cls for cls in MESSAGES.values() if issubclass(cls, Request)]
    assert len(requests) > 8
    for cls in requests:
        assert MESSAGES[cls.reply_type().__name__] is cls.reply_type()
    assert Ping.reply_type() is PingReply


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"verts": np.zeros((V, 3))}, r"verts is float64 \(6, 3\), not float32 \(V, 3\)"),
        ({"verts": np.zeros((V, 4), np.float32)}, "verts"),
        ({"skin_weights": np.zeros((V + 1, 5), np.float32)}, r"skin_weights is float32 \(7, 5\), not .* \{'V': 6\}"),
        ({"uv_polygons": np.zeros((P + 1, 4), np.int32)}, "uv_polygons"),
        ({"part": np.zeros((V, 1), np.uint8)}, "part"),
        ({"verts": None}, "verts is NoneType"),
        ({"mirror": [1, 2, 3]}, "mirror is list"),
    ],
)
def test_arrays_that_are_not_as_declared_make_no_message(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(MessageError, match=message):
        head_reply(**changes)


def test_texture_must_be_square() -> None:
    with pytest.raises(MessageError, match="albedo"):
        face_reply(albedo=np.zeros((8, 9, 3), np.uint8))


def frame_with(message: Message, **params: Any) -> Frame:
    frame = pack(message, 1)
    return replace(frame, params={**frame.params, **params})


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (Frame(1, "Nonsense"), "no message 'Nonsense'"),
        (Frame(1, "FaceReply"), "no message 'FaceReply'"),
        (Frame(1, "Hello", {"client": "x"}), "lacks the field 'protocol_version'"),
        (frame_with(Hello(1, "x"), extra=1), "no field 'extra'"),
        (frame_with(Hello(1, "x"), protocol_version="1"), "protocol_version is '1', not int"),
        (frame_with(Hello(1, "x"), protocol_version=True), "protocol_version is True, not int"),
        (frame_with(Hello(1, "x"), client=None), "client is None, not str"),
        (frame_with(PingReply("cpu", True), is_busy=1), "is_busy is 1, not bool"),
        (frame_with(Progress(0.5, ""), fraction="0.5"), "fraction"),
        (frame_with(Progress(0.5, ""), fraction=10**400), "fraction"),
        (frame_with(ReconstructPhoto("x"), face="1"), "face is '1', not int"),
        (frame_with(ReconstructReply(()), faces={}), "faces is {}"),
        (frame_with(ReconstructReply(()), faces=[1]), "faces.0 is 1, not FaceReply"),
        (frame_with(ReconstructReply(()), faces=[{}]), "faces.0 lacks the field 'name'"),
        (frame_with(Echo({}), arrays={"x": None}), "x lacks its array"),
        (frame_with(Echo({"x": np.ones(1)}), arrays={"x": 5}), "x lacks its array"),
        (frame_with(Echo({"x": np.ones(1)}), arrays={}), "no array 'arrays.x'"),
        (frame_with(head_reply(), parents=[0, "1"]), "parents.1"),
        (frame_with(head_reply(), verts=[[0, 0, 0]]), "verts lacks its array"),
    ],
)
def test_frames_that_carry_no_message(frame: Frame, message: str) -> None:
    with pytest.raises(MessageError, match=message):
        unpack(frame)


def test_shapes_are_checked_on_arrival() -> None:
    frame = pack(ReconstructReply((face_reply(),)), 1)
    frame.arrays["faces.0.crop"] = np.eye(4)
    with pytest.raises(MessageError, match=r"FaceReply\.crop is float64 \(4, 4\)"):
        unpack(frame)


def test_int_is_a_float_and_missing_fields_take_their_defaults() -> None:
    assert unpack(Frame(1, "Progress", {"fraction": 1, "text": ""})) == Progress(1.0, "")
    assert unpack(Frame(1, "ReconstructPhoto", {"path": "x"})) == ReconstructPhoto("x")


SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.floats(allow_nan=False)
PARAMS = st.recursive(
    SCALARS, lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=4), x, max_size=3), max_leaves=6
)
FIELDS = sorted({f.name for cls in (*MESSAGES.values(), FaceReply) for f in fields(cls)})  # type: ignore[arg-type]


@settings(max_examples=500, deadline=None)
@given(
    st.sampled_from(sorted(MESSAGES)),
    st.dictionaries(st.sampled_from(FIELDS), PARAMS, max_size=4),
    st.lists(st.sampled_from([*FIELDS, "arrays.x", "faces.0.shape"]), max_size=3),
)
def test_random_params_never_do_worse_than_a_message_error(
    method: str, params: dict[str, Any], arrays: list[str]
) -> None:
    try:
        unpack(Frame(1, method, params, {name: np.zeros(2) for name in arrays}))
    except MessageError:
        pass
