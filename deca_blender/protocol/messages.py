"""Every message between the add-on and the backend, as typed frozen dataclasses. Everything a request needs is in it.

A request (`Request[Reply]`) is answered by exactly one reply of its type or by one `Error`, after any number of
`Progress` messages; all carry the request's id. `Cancel` carries the id of the request to give up.

The first request is `Hello`. Its fields and those of `Error` never change, so that any two versions can tell each
other that they do not fit; everything else may change with PROTOCOL_VERSION.

Conventions (pixels, camera, pose, UV) are those of docs/architecture.md. Suffix letters: V vertices, P polygons,
T texture vertices, S shape and E expression coefficients, D detail code, J joints, K ARKit names.
Paths are Python's strings: bytes that are not UTF-8 travel as surrogate escapes, as JSON can say them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from typing import Annotated, Any, Generic, TypeVar, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from .conventions import BUILTIN_WEIGHTS, OPENHEAD

PROTOCOL_VERSION = 9


class MessageError(ValueError):
    """A frame is sound, but what it carries is not a message of this protocol. The stream may go on."""


class Array:
    """Dtype and shape that a message field must have; letters stand for sizes that agree within one message."""

    def __init__(self, dtype: str, *shape: int | str) -> None:
        self.dtype, self.shape = dtype, shape

    def fits(self, array: object, sizes: dict[str, int]) -> bool:
        """Whether `array` is as declared; letters seen for the first time are entered into `sizes`."""
        return (
            isinstance(array, np.ndarray)
            and array.dtype.name == self.dtype
            and array.ndim == len(self.shape)
            and all(
                size == (want if isinstance(want, int) else sizes.setdefault(want, size))
                for want, size in zip(self.shape, array.shape, strict=True)
            )
        )


class Message:
    """Base of all messages: arrays are checked against their declared dtype and shape when a message is made.

    Raises:
        MessageError: An array is not as declared.
    """

    def __post_init__(self) -> None:
        sizes: dict[str, int] = {}
        for name, (spec, is_optional) in _array_fields(type(self)).items():
            array: Any = getattr(self, name)
            if not (spec.fits(array, sizes) or (array is None and is_optional)):
                got = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
                want = f"{spec.dtype} ({', '.join(map(str, spec.shape))})"
                known = {key: size for key, size in sizes.items() if key in spec.shape}
                raise MessageError(f"{type(self).__name__}.{name} is {got}, not {want} {known or ''}".rstrip() + ".")


@cache
def _array_fields(cls: type) -> dict[str, tuple[Array, bool]]:
    """The fields that declare an `Array`, each with whether it may be None."""
    found: dict[str, tuple[Array, bool]] = {}
    hints = get_type_hints(cls, include_extras=True)
    for f in fields(cls):  # pyright: ignore[reportArgumentType]
        for hint in (hints[f.name], *get_args(hints[f.name])):
            if get_origin(hint) is Annotated:
                found[f.name] = hint.__metadata__[0], hint is not hints[f.name]
    return found


Reply = TypeVar("Reply", bound=Message)


class Request(Message, Generic[Reply]):
    """Base of all requests; the parameter is the type of the reply."""

    @classmethod
    def reply_type(cls) -> type[Reply]:
        return get_args(cls.__orig_bases__[0])[0]  # type: ignore[attr-defined]


# ---- about any request -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Progress(Message):
    """How far a request is: `fraction` in [0, 1] and a few words for the status bar."""

    fraction: float
    text: str


@dataclass(frozen=True)
class Error(Message):
    """A request failed, or (id 0) the stream did.

    Attributes:
        kind: Name of the exception; `Cancelled` when the request was given up as asked.
        message: What happened and why.
        hint: What the user can do about it.
    """

    kind: str
    message: str
    hint: str


@dataclass(frozen=True)
class Cancel(Message):
    """Give up the request whose id the frame carries."""


# ---- the session -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class HelloReply(Message):
    """What answers.

    Attributes:
        protocol_version: The backend's PROTOCOL_VERSION.
        backend_version: Version of `deca`.
        python: Version of the backend's interpreter.
        torch: Version of the installed torch, "" without one.
        device: The device asked for (`auto`, `cpu`, `cuda`); `PingReply` tells what `auto` became.
        models: Names of the head models that can be asked for.
        log_path: The backend's log file, "" without one.
        pid: Process id of the backend, on its own machine.
    """

    protocol_version: int
    backend_version: str
    python: str
    torch: str
    device: str
    models: tuple[str, ...]
    log_path: str
    pid: int


@dataclass(frozen=True)
class Hello(Request[HelloReply]):
    """The handshake. `client` names who calls, for the log."""

    protocol_version: int
    client: str


@dataclass(frozen=True)
class PingReply(Message):
    """The backend lives.

    Attributes:
        device: The device in use; `auto` until the first request that needs one.
        is_busy: Whether a request is being worked on.
    """

    device: str
    is_busy: bool


@dataclass(frozen=True)
class Ping(Request[PingReply]):
    """Answered at once, also while another request is being worked on."""


@dataclass(frozen=True, eq=False)
class EchoReply(Message):
    """The arrays of the `Echo`."""

    arrays: dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Echo(Request[EchoReply]):
    """Sends arrays there and back: a check of the line and of its speed."""

    arrays: dict[str, np.ndarray]


@dataclass(frozen=True)
class ShutdownReply(Message):
    """The backend ends after this."""


@dataclass(frozen=True)
class Shutdown(Request[ShutdownReply]):
    """Ends the backend. Requests not finished by then are cancelled."""


# ---- heads -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class HeadReply(Message):
    """What a rig needs of a head model; arrays as in docs/architecture.md, "A head model file".

    Attributes:
        name: Name of the model; coefficients belong to it and to no other.
        hash: Hash of its file.
        licence: Its licence.
        num_shape: Shape coefficients of the whole model; `shape_dirs` may hold fewer.
        num_expression: Expression coefficients of the whole model; `expression_dirs` may hold fewer.
        verts: Mean neutral head, metres.
        polygons: Faces of four, counter-clockwise from outside; -1 is the last corner of triangles.
        uv: Texture coordinates, v up.
        uv_polygons: Polygons of `uv`, in the order of `polygons`.
        shape_dirs: Displacement per unit of each shape coefficient.
        expression_dirs: Displacement per unit of each expression coefficient.
        pose_dirs: Displacement per unit of each entry of (R_j - I), joints 1..4, row-major.
        joint_regressor: Joint positions from the unposed vertices.
        joints_follow_expression: Whether these vertices have the expression, or the identity alone.
        parents: Parent of each joint, -1 for the root.
        skin_weights: Linear blend skinning weights.
        part: 0 skin, 1 left eye, 2 right eye, 3 upper teeth, 4 lower teeth, 5 tongue, 6 inner mouth.
        mirror: Index of the mirrored vertex, or None.
        arkit_names: The 52 ARKit names, or none.
        arkit_map: ARKit weight -> 51 expression coefficients, jaw, left eye, right eye axis-angle; or None.
        age_direction: How the neutral head of people changes per year of age on average; None where the model does not
            know.
        gloss: How much oilier or wetter than on the cheeks the skin is, 0 to 1.
        named_shapes: How the neutral head changes when one measure grows by a deviation of the population and the
            others hardly do; None where the model has no such directions.
        named_shape_prior: Inner products of their shape codes, so that s^T prior s is how unlikely the shapes s are.
        named_shape_keys: What the measures are called: `jaw_width`.
        named_shape_units: Their units: mm or degrees.
        named_shape_deviations: Deviation of the population in that unit.
        landmark_verts: The three vertices between which each of iBUG's landmarks lies; None where they are not known.
        landmark_weights: Where between them.
    """

    name: str
    hash: str
    licence: str
    num_shape: int
    num_expression: int
    verts: Annotated[NDArray[np.float32], Array("float32", "V", 3)]
    polygons: Annotated[NDArray[np.int32], Array("int32", "P", 4)]
    uv: Annotated[NDArray[np.float32], Array("float32", "T", 2)]
    uv_polygons: Annotated[NDArray[np.int32], Array("int32", "P", 4)]
    shape_dirs: Annotated[NDArray[np.float32], Array("float32", "V", 3, "S")]
    expression_dirs: Annotated[NDArray[np.float32], Array("float32", "V", 3, "E")]
    pose_dirs: Annotated[NDArray[np.float32], Array("float32", "V", 3, 36)]
    joint_regressor: Annotated[NDArray[np.float32], Array("float32", 5, "V")]
    joints_follow_expression: bool
    parents: tuple[int, ...]
    skin_weights: Annotated[NDArray[np.float32], Array("float32", "V", 5)]
    part: Annotated[NDArray[np.uint8], Array("uint8", "V")]
    mirror: Annotated[NDArray[np.int32], Array("int32", "V")] | None
    arkit_names: tuple[str, ...]
    arkit_map: Annotated[NDArray[np.float32], Array("float32", 60, "K")] | None
    age_direction: Annotated[NDArray[np.float32], Array("float32", "V", 3)] | None = None
    gloss: Annotated[NDArray[np.float32], Array("float32", "V")] | None = None
    named_shapes: Annotated[NDArray[np.float32], Array("float32", "N", "V", 3)] | None = None
    named_shape_prior: Annotated[NDArray[np.float32], Array("float32", "N", "N")] | None = None
    named_shape_keys: tuple[str, ...] = ()
    named_shape_units: tuple[str, ...] = ()
    named_shape_deviations: tuple[float, ...] = ()
    landmark_verts: Annotated[NDArray[np.int32], Array("int32", 68, 3)] | None = None
    landmark_weights: Annotated[NDArray[np.float32], Array("float32", 68, 3)] | None = None


@dataclass(frozen=True)
class DescribeHead(Request[HeadReply]):
    """Asks for the arrays of a head model.

    Attributes:
        head: Name of a head model, or the path of its file.
        num_shape: At most so many of the shape directions.
        num_expression: At most so many of the expression directions.
    """

    head: str = OPENHEAD
    num_shape: int = 100
    num_expression: int = 51


@dataclass(frozen=True)
class ConvertHeadReply(Message):
    """A head model file was written.

    Attributes:
        head: Its path on the backend's machine, to be named wherever a head model is asked for.
    """

    head: str


@dataclass(frozen=True)
class ConvertHead(Request[ConvertHeadReply]):
    """Asks for FLAME's own files to be converted to a head model file.

    Attributes:
        path: One of the files, or the folder that they are in, on the backend's machine.
        out: Folder for the head model file; "" for that of FLAME's model.
    """

    path: str
    out: str = ""


# ---- photos ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Notice(Message):
    """What the user should know of a head's colours.

    Attributes:
        code: What, as in `protocol.notices`, which has the words for it.
        value: How much, in the code's own unit.
    """

    code: str
    value: float


@dataclass(frozen=True, eq=False)
class FaceReply(Message):
    """One face of a photo: all that a rig of this person needs beside its `HeadReply`.

    Attributes:
        name: Name for the head, from the photo's file name and the number of the face.
        photo: Path of the photo, as asked.
        head: Name of the head model that the coefficients belong to.
        head_hash: Hash of its file.
        backend_version: Version of `deca` that made this.
        shape: Shape coefficients.
        expression: Expression coefficients.
        pose: Axis-angle of root, neck, jaw, left eye, right eye, radians.
        camera: [s, tx, ty], scaled orthographic on the 224 x 224 crop.
        crop: Photo pixels -> crop pixels, homogeneous.
        image_size: (width, height) of the upright photo, pixels.
        box: Face box in photo pixels: left, top, right, bottom.
        landmarks: The 478 landmarks found, photo pixels.
        landmark_error: Mean distance of the model's landmarks to those found, as a fraction of the outer-eye distance.
        albedo: Texture without the photo's light, as far as it is known; sRGB, top row first, or None when not asked
            for.
        photographed: The same with the photo's light left in.
        weights_hash: Hash of the weights that the detail code belongs to, "" without one.
        detail: Detail code, the person's wrinkles (`DecodeWrinkles`); None without weights that know wrinkles.
        relief: What the photo shows of the skin, as `ReliefShare` has it; None without a relief network.
        knows_age: Whether the weights know how wrinkles change with age (`DecodeWrinkles.age`).
        notices: What the user should know of the textures.
        likeness: What the neutral head has beyond its shape coefficients, metres; joints do not follow it. None where
            there is nothing.
    """

    name: str
    photo: str
    head: str
    head_hash: str
    backend_version: str
    shape: Annotated[NDArray[np.float32], Array("float32", "S")]
    expression: Annotated[NDArray[np.float32], Array("float32", "E")]
    pose: Annotated[NDArray[np.float32], Array("float32", 5, 3)]
    camera: Annotated[NDArray[np.float32], Array("float32", 3)]
    crop: Annotated[NDArray[np.float64], Array("float64", 3, 3)]
    image_size: tuple[int, int]
    box: tuple[float, float, float, float]
    landmarks: Annotated[NDArray[np.float32], Array("float32", 478, 2)]
    landmark_error: float
    albedo: Annotated[NDArray[np.uint8], Array("uint8", "N", "N", 3)] | None
    photographed: Annotated[NDArray[np.uint8], Array("uint8", "N", "N", 3)] | None
    weights_hash: str = ""
    detail: Annotated[NDArray[np.float32], Array("float32", "D")] | None = None
    relief: Annotated[NDArray[np.uint8], Array("uint8", "R")] | None = None
    knows_age: bool = False
    notices: tuple[Notice, ...] = ()
    likeness: Annotated[NDArray[np.float32], Array("float32", "V", 3)] | None = None


@dataclass(frozen=True, eq=False)
class ReconstructReply(Message):
    """The faces of a photo, the most prominent first; never none (that is an error, `NoFaceError`).

    Attributes:
        faces: The faces.
        notices: What the user should know of how they were made, a sentence or two each.
        picture: The upright photo as the bytes of a JPEG file, sRGB, without metadata; None when not asked for.
        sheet: The first face for a contact sheet, as the bytes of a JPEG file: the photo, the head over it, the head;
            None when not asked for.
    """

    faces: tuple[FaceReply, ...]
    notices: tuple[str, ...] = ()
    picture: Annotated[NDArray[np.uint8], Array("uint8", "B")] | None = None
    sheet: Annotated[NDArray[np.uint8], Array("uint8", "C")] | None = None


@dataclass(frozen=True)
class ReconstructPhoto(Request[ReconstructReply]):
    """Asks for the faces of a photo.

    Attributes:
        path: Photo file on the backend's machine.
        head: Name of a head model, or the path of its file.
        texture_size: Rows and columns of each texture; None or 0 leaves it out.
        max_faces: At most so many faces, the most prominent first.
        face: Only this one of them, counted from 0; None for all.
        weights: Weights file on the backend's machine, or "" for the built-in ones of OpenHead; for other head models,
            and where those are missing, none.
        coarse: Shape, expression, pose and camera from the landmark `fit` or the `weights`; `auto` refines what the
            weights give by the fit, except for DECA's released ones.
        picture_size: At most so many pixels on the longer side of the reply's picture; 0 leaves it out.
        paint_hair: Whether textures have hair painted on the scalp where the photo shows hair.
        sheet_size: Rows of the reply's picture for a contact sheet, which is three times as wide; 0 leaves it out.
    """

    path: str
    head: str = OPENHEAD
    texture_size: int | None = 1024
    max_faces: int = 8
    face: int | None = None
    weights: str = BUILTIN_WEIGHTS
    coarse: str = "auto"
    picture_size: int = 0
    paint_hair: bool = False
    sheet_size: int = 0


@dataclass(frozen=True)
class LeftOutPhoto(Message):
    """A photo that tells nothing of the person.

    Attributes:
        photo: Its path, as asked.
        reason: Why, in a sentence or two.
    """

    photo: str
    reason: str


@dataclass(frozen=True, eq=False)
class Picture(Message):
    """An upright photo.

    Attributes:
        jpeg: The bytes of a JPEG file, sRGB, without metadata; None when not asked for.
    """

    jpeg: Annotated[NDArray[np.uint8], Array("uint8", "B")] | None


@dataclass(frozen=True, eq=False)
class PersonReply(Message):
    """One person on several photos.

    Attributes:
        faces: The person on each photo that is used, one at least. Shape, detail code and relief are the same on all;
            the first has the textures, and its photo tells most; the others follow as asked.
        pictures: The upright photos of the faces.
        left_out: The photos that are not used.
        notices, sheet: As in `ReconstructReply`.
    """

    faces: tuple[FaceReply, ...]
    pictures: tuple[Picture, ...]
    left_out: tuple[LeftOutPhoto, ...] = ()
    notices: tuple[str, ...] = ()
    sheet: Annotated[NDArray[np.uint8], Array("uint8", "C")] | None = None


@dataclass(frozen=True)
class ReconstructPerson(Request[PersonReply]):
    """Asks for one head of several photos of one person, who is whom most of them show.

    Attributes:
        paths: Photo files on the backend's machine.
        head, texture_size, weights, coarse, picture_size, paint_hair, sheet_size: As in `ReconstructPhoto`.
    """

    paths: tuple[str, ...]
    head: str = OPENHEAD
    texture_size: int | None = 1024
    weights: str = BUILTIN_WEIGHTS
    coarse: str = "auto"
    picture_size: int = 0
    paint_hair: bool = False
    sheet_size: int = 0


# ---- performances ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class PerformanceReply(Message):
    """What a face does in a video, frame by frame, as it was seen: nothing is smoothed.

    Attributes:
        head: Name of the head model that the coefficients belong to.
        head_hash: Hash of its file.
        rate: Frames per second of the video.
        times: Seconds from the video's beginning.
        seen: 1 where there is a face; other frames hold zeros.
        expression: Expression coefficients.
        pose: Axis-angle of root, neck, jaw, left eye, right eye, radians.
        error: As `FaceReply.landmark_error`.
        has_audio: Whether the video has sound.
        notices: What the user should know, a sentence or two each.
    """

    head: str
    head_hash: str
    rate: float
    times: Annotated[NDArray[np.float64], Array("float64", "F")]
    seen: Annotated[NDArray[np.uint8], Array("uint8", "F")]
    expression: Annotated[NDArray[np.float32], Array("float32", "F", "E")]
    pose: Annotated[NDArray[np.float32], Array("float32", "F", 5, 3)]
    error: Annotated[NDArray[np.float32], Array("float32", "F")]
    has_audio: bool
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class TrackPerformance(Request[PerformanceReply]):
    """Asks what a face does in a video.

    Attributes:
        path: On the backend's machine: a video file, a folder of numbered pictures, or one of them.
        shape: Shape coefficients of who is seen; None to fit them to the video.
        head: Name of the head model that they belong to, or the path of its file.
        rate: Frames per second of pictures.
        start: Seconds into the video.
        end: Where to stop, seconds; 0 for the video's end.
        face: Which of several faces, the most prominent first.
    """

    path: str
    shape: Annotated[NDArray[np.float32], Array("float32", "S")] | None
    head: str = OPENHEAD
    rate: float = 24.0
    start: float = 0.0
    end: float = 0.0
    face: int = 0


# ---- wrinkles ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class WeightsReply(Message):
    """What a weights file is.

    Attributes:
        hash: Hash of the file; detail codes belong to it.
        head: Name of the head model that its codes belong to.
        head_hash: Hash of that head model, "" where every conversion of it will do.
        num_expression: Expression coefficients that F_d takes.
        num_detail: Length of its detail codes.
        licence: Its licence.
    """

    hash: str
    head: str
    head_hash: str
    num_expression: int
    num_detail: int
    licence: str


@dataclass(frozen=True)
class DescribeWeights(Request[WeightsReply]):
    """Asks what a weights file is, and whether it fits a head model.

    Attributes:
        weights: Path of the file on the backend's machine, or "" for the built-in ones.
        head: Name of a head model, or the path of its file.
    """

    weights: str
    head: str = OPENHEAD


@dataclass(frozen=True, eq=False)
class ReliefShare(Message):
    """A relief that a head wears. It travels with every request, which costs less than the map that comes back, so that
    a backend that was started again knows all it needs.

    Attributes:
        relief: What a photo shows of the skin: bytes that only the backend understands.
        share: How much of it; 1 is as the photo shows it.
    """

    relief: Annotated[NDArray[np.uint8], Array("uint8", "R")]
    share: float


@dataclass(frozen=True, eq=False)
class WrinklesReply(Message):
    """A displacement map: metres along the normals, top row first, nothing outside the head's detail mask."""

    displacement: Annotated[NDArray[np.float32], Array("float32", "N", "N")]


@dataclass(frozen=True, eq=False)
class DecodeWrinkles(Request[WrinklesReply]):
    """Asks for the displacement map of an expression: F_d, and the reliefs that the head wears.

    Attributes:
        weights: Path of the weights file on the backend's machine, or "" for the built-in ones.
        weights_hash: Hash that the file must have, "" for any: a detail code means nothing to other weights.
        detail: Detail code.
        expression: Expression coefficients; as many as F_d takes, or more.
        jaw: Axis-angle of the jaw, radians.
        head: Name of the head model that the weights are for, or the path of its file.
        head_hash: Hash of the head model that the head was made with, "" where it is not known: the head model of that
            name may have changed since.
        reliefs: What photos show of the skin; none gives F_d's map as it is.
        age: How much older the wrinkles are than the code says; 1 is about 20 years, negative is younger. Other than 0
            only where the weights know it (`FaceReply.knows_age`).
    """

    weights: str
    weights_hash: str
    detail: Annotated[NDArray[np.float32], Array("float32", "D")]
    expression: Annotated[NDArray[np.float32], Array("float32", "E")]
    jaw: Annotated[NDArray[np.float32], Array("float32", 3)]
    head: str = OPENHEAD
    head_hash: str = ""
    reliefs: tuple[ReliefShare, ...] = ()
    age: float = 0.0


@dataclass(frozen=True, eq=False)
class NormalMapReply(Message):
    """A normal map as the bytes of a PNG file."""

    png: Annotated[NDArray[np.uint8], Array("uint8", "B")]


@dataclass(frozen=True, eq=False)
class BakeNormalMap(Request[NormalMapReply]):
    """Asks for the tangent-space normal map of a displaced head.

    Attributes:
        verts: Vertices of the coarse head, metres or scaled.
        displacement: How far out of the coarse head, in its unit, as it is to be applied; top row first.
        size: Rows and columns of the normal map.
        bits: 8 or 16 for each channel.
        green_up: Green along growing v (OpenGL); otherwise against it (DirectX).
        head: Name of the head model, or the path of its file.
    """

    verts: Annotated[NDArray[np.float32], Array("float32", "V", 3)]
    displacement: Annotated[NDArray[np.float32], Array("float32", "N", "N")]
    size: int = 1024
    bits: int = 16
    green_up: bool = True
    head: str = OPENHEAD


MESSAGES: dict[str, type[Message]] = {
    cls.__name__: cls
    for cls in (
        *(Progress, Error, Cancel),
        *(Hello, HelloReply, Ping, PingReply, Echo, EchoReply, Shutdown, ShutdownReply),
        *(DescribeHead, HeadReply, ConvertHead, ConvertHeadReply),
        *(ReconstructPhoto, ReconstructReply, ReconstructPerson, PersonReply),
        *(TrackPerformance, PerformanceReply),
        *(DescribeWeights, WeightsReply, DecodeWrinkles, WrinklesReply),
        *(BakeNormalMap, NormalMapReply),
    )
}
"""Messages that may stand alone in a frame, by the name that the frame's `method` gives."""
