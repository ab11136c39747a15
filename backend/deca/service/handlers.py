"""What answers each request. Heavy imports happen inside, so that the handshake does not wait for torch."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from deca import __version__
from deca.errors import AssetError, DecaWarning, NoFaceError, OptionError
from deca.service.device import Device
from deca.service.server import Handler, ProgressCall
from deca_blender.protocol.messages import (
    BakeNormalMap,
    ConvertHead,
    ConvertHeadReply,
    DecodeWrinkles,
    DescribeHead,
    DescribeWeights,
    Echo,
    EchoReply,
    FaceReply,
    HeadReply,
    LeftOutPhoto,
    NormalMapReply,
    PerformanceReply,
    PersonReply,
    Picture,
    ReconstructPerson,
    ReconstructPhoto,
    ReconstructReply,
    Request,
    TrackPerformance,
    WeightsReply,
    WrinklesReply,
)
from deca_blender.protocol.photos import result_name

if TYPE_CHECKING:
    from deca.networks import Networks
    from deca.reconstruct.face import Face
    from deca.reconstruct.models import Models
    from deca.reconstruct.moving_relief import MovingRelief
    from deca.vision.photo import Photo


def make_handlers(device: Device) -> Mapping[type[Request], Handler]:
    """The handlers of the product; `device` is resolved by the first that computes."""
    return {
        Echo: _echo,
        DescribeHead: _describe_head,
        ConvertHead: _convert_head,
        ReconstructPhoto: lambda request, progress: _reconstruct_photo(request, progress, device),
        ReconstructPerson: lambda request, progress: _reconstruct_person(request, progress, device),
        TrackPerformance: lambda request, progress: _track_performance(request, progress, device),
        DescribeWeights: lambda request, progress: _describe_weights(request, device),
        DecodeWrinkles: lambda request, progress: _decode_wrinkles(request, device),
        BakeNormalMap: _bake_normal_map,
    }


def _echo(request: Echo, progress: ProgressCall) -> EchoReply:
    return EchoReply(request.arrays)


def _describe_head(request: DescribeHead, progress: ProgressCall) -> HeadReply:
    from deca.appearance.gloss import skin_gloss
    from deca.head import load_head
    from deca.head.named_shapes import directions, load_named_shapes, prior

    head = load_head(request.head)
    polygons_P4, uv_polygons_P4 = head.faces_of_four()
    shapes, marks = load_named_shapes(head), head.landmarks_68
    if marks is not None and not marks.placed.all():
        marks = None
    return HeadReply(
        name=head.name,
        hash=head.hash,
        licence=head.licence,
        num_shape=head.shape_dirs_V3S.shape[2],
        num_expression=head.expression_dirs_V3E.shape[2],
        verts=head.template_V3,
        polygons=polygons_P4.astype(np.int32),
        uv=head.uv_T2,
        uv_polygons=uv_polygons_P4.astype(np.int32),
        shape_dirs=head.shape_dirs_V3S[:, :, : max(0, request.num_shape)],
        expression_dirs=head.expression_dirs_V3E[:, :, : max(0, request.num_expression)],
        pose_dirs=head.pose_dirs_V3P,
        joint_regressor=head.joint_regressor_JV,
        joints_follow_expression=head.joints_follow_expression,
        parents=head.parents,
        skin_weights=head.skin_weights_VJ,
        part=head.parts_V,
        mirror=None if head.mirror_V is None else head.mirror_V.astype(np.int32),
        arkit_names=head.arkit_names,
        arkit_map=head.arkit_map_K52,
        age_direction=next((age.direction(head.shape_dirs_V3S) for age in head.traits if age.name == "age"), None),
        gloss=skin_gloss(head),
        named_shapes=directions(head, shapes) if shapes else None,
        named_shape_prior=prior(shapes) if shapes else None,
        named_shape_keys=tuple(shape.key for shape in shapes),
        named_shape_units=tuple(shape.unit for shape in shapes),
        named_shape_deviations=tuple(shape.deviation for shape in shapes),
        landmark_verts=head.faces_F3[marks.faces].astype(np.int32) if marks is not None else None,
        landmark_weights=marks.bary.astype(np.float32) if marks is not None else None,
    )


def _convert_head(request: ConvertHead, progress: ProgressCall) -> ConvertHeadReply:
    from deca.head.find_flame import convert_found

    progress(0.0, "Converting FLAME")
    return ConvertHeadReply(str(convert_found(request.path, request.out or None)))


def _reconstruct_photo(request: ReconstructPhoto, progress: ProgressCall, device: Device) -> ReconstructReply:
    progress(0.0, "Starting")
    from deca.reconstruct.pipeline import reconstruct
    from deca.vision.photo import read_photo

    models, notices = _models(request.head, request.weights, device)
    progress(0.05, "Reading the photo")
    photo = read_photo(request.path)
    faces = reconstruct(
        photo,
        path=request.path,
        models=models,
        coarse=request.coarse,  # pyright: ignore[reportArgumentType]
        texture_size=request.texture_size or None,
        max_faces=max(request.max_faces, (request.face or 0) + 1),
        paint_hair=request.paint_hair,
        progress=progress,
    )
    if request.face is not None:
        if not 0 <= request.face < len(faces):
            raise NoFaceError(
                f"Face {request.face} was asked for, but {request.path} has {len(faces)}.",
                "Faces are counted from 0, the most prominent first.",
            )
        faces = [faces[request.face]]
    picture, problems = _picture(lambda: photo, request.picture_size)
    replies = tuple(_face_reply(face, request.path, models.networks) for face in faces)
    sheet, more = _sheet(lambda: photo, faces[0], request.sheet_size)
    return ReconstructReply(replies, (*notices, *problems, *more), picture, sheet)


def _sheet(read: Callable[[], Photo], face: Face, size: int) -> tuple[NDArray[np.uint8] | None, tuple[str, ...]]:
    """The picture for a contact sheet, if it is asked for, and what the user should know of it."""
    from deca.reconstruct.pictures import contact_jpeg

    def make() -> NDArray[np.uint8]:
        return np.frombuffer(contact_jpeg(read().pixels, face, size), np.uint8)

    return _extra(make, size > 0, "The contact sheet has no picture of it ({why}).")


def _picture(read: Callable[[], Photo], size: int) -> tuple[NDArray[np.uint8] | None, tuple[str, ...]]:
    """The picture that goes behind a head, if it is asked for, and what the user should know of it."""
    without = "The camera has no photo behind the head ({why}); add it by hand."
    return _extra(lambda: read().jpeg(size), size > 0, without)


def _extra(
    make: Callable[[], NDArray[np.uint8]], is_wanted: bool, without: str
) -> tuple[NDArray[np.uint8] | None, tuple[str, ...]]:
    """What is good to have beside heads, and what to say where it cannot be made: the heads are there."""
    try:
        return (make() if is_wanted else None), ()
    except Exception as error:
        return None, (without.format(why=str(error) or type(error).__name__),)


def _reconstruct_person(request: ReconstructPerson, progress: ProgressCall, device: Device) -> PersonReply:
    progress(0.0, "Starting")
    from deca.reconstruct.person import reconstruct_person
    from deca.vision.photo import read_photo

    models, notices = _models(request.head, request.weights, device)
    person = reconstruct_person(
        request.paths,
        models=models,
        coarse=request.coarse,  # pyright: ignore[reportArgumentType]
        texture_size=request.texture_size or None,
        paint_hair=request.paint_hair,
        progress=progress,
    )
    pictures = []
    for face in person.faces:
        picture, problems = _picture(lambda face=face: read_photo(face.photo), request.picture_size)
        pictures.append(Picture(picture))
        notices = tuple(dict.fromkeys((*notices, *problems)))
    sheet, problems = _sheet(lambda: read_photo(person.faces[0].photo), person.faces[0], request.sheet_size)
    first, *others = (_face_reply(face, str(face.photo), models.networks, is_person=True) for face in person.faces)
    return PersonReply(
        (first, *(replace(face, albedo=None, photographed=None) for face in others)),
        tuple(pictures),
        tuple(LeftOutPhoto(str(left.photo), left.reason) for left in person.left_out),
        (*notices, *problems),
        sheet,
    )


def _face_reply(face: Face, photo: str, networks: Networks | None, is_person: bool = False) -> FaceReply:
    decodes = networks if face.detail_D is not None else None
    name = result_name(face.photo)
    return FaceReply(
        name=name if face.index == 0 or is_person else f"{name}_{face.index}",
        photo=photo,
        head=face.head.name,
        head_hash=face.head.hash,
        backend_version=__version__,
        shape=np.asarray(face.shape_S, np.float32),
        expression=np.asarray(face.expression_E, np.float32),
        pose=np.asarray(face.pose_53, np.float32),
        camera=np.asarray(face.camera_3, np.float32),
        crop=np.asarray(face.crop_33, np.float64),
        image_size=(int(face.image_size[0]), int(face.image_size[1])),
        box=tuple(float(edge) for edge in face.box),  # pyright: ignore[reportArgumentType]
        landmarks=np.asarray(face.landmarks_L2, np.float32),
        landmark_error=float(face.landmark_error),
        albedo=face.texture.albedo_NN3 if face.texture else None,
        photographed=face.texture.photographed_NN3 if face.texture else None,
        weights_hash=decodes.hash if decodes else "",
        detail=face.detail_D,
        relief=np.frombuffer(face.reliefs[0][0].pack(), np.uint8) if face.reliefs else None,
        knows_age=decodes is not None and decodes.age_D is not None,
        notices=face.texture.notices if face.texture else (),
        likeness=face.likeness_V3,
    )


def _track_performance(request: TrackPerformance, progress: ProgressCall, device: Device) -> PerformanceReply:
    progress(0.0, "Starting")
    from deca.head import load_head
    from deca.reconstruct.performance import track_performance

    head = load_head(request.head)
    done = track_performance(
        request.path,
        head,
        request.shape,
        rate=request.rate,
        start=request.start,
        end=request.end,
        face=request.face,
        device=device.resolve(),
        progress=progress,
    )
    return PerformanceReply(
        head=head.name,
        head_hash=head.hash,
        rate=done.rate,
        times=done.times_F,
        seen=done.seen_F.astype(np.uint8),
        expression=done.expression_FE,
        pose=done.pose_F53,
        error=done.error_F,
        has_audio=done.has_audio,
        notices=done.notices,
    )


def _describe_weights(request: DescribeWeights, device: Device) -> WeightsReply:
    networks = _needed(*_models(request.head, request.weights, device))
    card = networks.card
    return WeightsReply(
        hash=networks.hash,
        head=card.head,
        head_hash=card.head_hash,
        num_expression=card.sizes.expression,
        num_detail=card.sizes.detail,
        licence=card.licence,
    )


def _decode_wrinkles(request: DecodeWrinkles, device: Device) -> WrinklesReply:
    import torch

    from deca.head.bundled import bundle_of

    models, notices = _models(request.head, request.weights, device)
    networks = _needed(models, notices)
    if request.head_hash and networks.card.head_hash not in ("", request.head_hash):
        bundle = bundle_of(networks.card.head)
        name = (bundle and bundle.title) or networks.card.head
        raise AssetError(
            f"This head was made with an earlier {name} ({request.head_hash}), which these weights"
            f" ({networks.card.head_hash}) do not know.",
            "Its sliders, bones and texture, and the wrinkles that it shows or has baked, go on working."
            " For wrinkles that follow the expression, import the photo again.",
        )
    if request.weights_hash and request.weights_hash != networks.hash:
        raise AssetError(
            f"These wrinkles were made with other weights ({request.weights_hash}) than"
            f" {request.weights or 'the built-in ones'} ({networks.hash}).",
            "Choose the weights that the head was imported with, or import the photo again.",
        )
    codes = (request.detail, request.expression, request.jaw)
    reliefs = [(_relief(worn.relief.tobytes()), worn.share) for worn in request.reliefs]
    with torch.inference_mode():
        displacement_11NN = models.displacement(
            *(torch.from_numpy(code)[None] for code in codes), reliefs=reliefs, age=request.age
        )
    return WrinklesReply(displacement_11NN[0, 0].cpu().numpy())


@lru_cache(maxsize=16)
def _relief(packed: bytes) -> MovingRelief:
    from deca.reconstruct.moving_relief import MovingRelief

    return MovingRelief.unpack(packed)


def _bake_normal_map(request: BakeNormalMap, progress: ProgressCall) -> NormalMapReply:
    from deca.head import load_head
    from deca.reconstruct.maps import normal_map, normal_png

    head = load_head(request.head)
    if len(request.verts) != len(head.template_V3):
        raise OptionError(
            f"The mesh has {len(request.verts)} vertices, {head.name} has {len(head.template_V3)}.",
            "Bake the head as it was imported: without added or deleted vertices.",
        )
    if request.bits not in (8, 16) or not 16 <= request.size <= 8192:
        raise OptionError(
            f"A normal map of {request.size} x {request.size} with {request.bits} bits cannot be made.",
            "Ask for 16 to 8192 rows and 8 or 16 bits.",
        )
    normals_HW3 = normal_map(request.verts, request.displacement, head, request.size)
    return NormalMapReply(np.frombuffer(normal_png(normals_HW3, request.bits, request.green_up), np.uint8))


def _needed(models: Models, notices: tuple[str, ...]) -> Networks:
    """The networks, of a request that has no use for models without.

    Raises:
        AssetError: There are none, and why.
    """
    if models.networks is None:
        what = notices[0] if notices else f"There are no built-in weights for {models.head.name}."
        raise AssetError(what, "Choose a weights file in the add-on's preferences.")
    return models.networks


def _models(head: str, weights: str, device: Device) -> tuple[Models, tuple[str, ...]]:
    """The models asked for, and what the user should know of them; weights "" are the built-in ones, if any.

    The last ones stay loaded, and files that change are read again.
    """
    from deca.assets import assets_dir
    from deca.head.bundled import BUNDLES

    built_in = (file for bundle in BUNDLES.values() for file in (bundle.weights, bundle.relief, bundle.skin_map))
    files = (head, weights, *(str(assets_dir() / file) for file in built_in))
    return _load_models(head, weights, device.resolve(), *map(_changed, files))


@lru_cache(maxsize=2)
def _load_models(head: str, weights: str, device: str, *changed: int) -> tuple[Models, tuple[str, ...]]:
    from deca.reconstruct.models import load_models

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DecaWarning)
        models = load_models(head, weights, device=device)
    notices = [warning for warning in caught if issubclass(warning.category, DecaWarning)]
    return models, tuple(str(warning.message) for warning in notices)


def _changed(path: str) -> int:
    try:
        return Path(path).stat().st_mtime_ns if path else 0
    except OSError:
        return 0
