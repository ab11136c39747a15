"""What answers each request. Heavy imports happen inside, so that the handshake does not wait for torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from deca import __version__
from deca.errors import NoFaceError
from deca.service.device import Device
from deca.service.server import Handler, ProgressCall
from deca_blender.protocol.messages import (
    DescribeHead,
    Echo,
    EchoReply,
    FaceReply,
    HeadReply,
    ReconstructPhoto,
    ReconstructReply,
    Request,
)

if TYPE_CHECKING:
    from deca.reconstruct.face import Face


def make_handlers(device: Device) -> Mapping[type[Request], Handler]:
    """The handlers of the product; `device` is resolved by the first that computes."""
    return {
        Echo: _echo,
        DescribeHead: _describe_head,
        ReconstructPhoto: lambda request, progress: _reconstruct_photo(request, progress, device),
    }


def _echo(request: Echo, progress: ProgressCall) -> EchoReply:
    return EchoReply(request.arrays)


def _describe_head(request: DescribeHead, progress: ProgressCall) -> HeadReply:
    from deca.head import load_head

    head = load_head(request.head)
    return HeadReply(
        name=head.name,
        hash=head.hash,
        licence=head.licence,
        num_shape=head.shape_dirs_V3S.shape[2],
        num_expression=head.expression_dirs_V3E.shape[2],
        verts=head.template_V3,
        faces=head.faces_F3.astype(np.int32),
        uv=head.uv_T2,
        uv_faces=head.uv_faces_F3.astype(np.int32),
        shape_dirs=head.shape_dirs_V3S[:, :, : max(0, request.num_shape)],
        expression_dirs=head.expression_dirs_V3E[:, :, : max(0, request.num_expression)],
        pose_dirs=head.pose_dirs_V3P,
        joint_regressor=head.joint_regressor_JV,
        parents=head.parents,
        skin_weights=head.skin_weights_VJ,
        part=head.parts_V,
        mirror=None if head.mirror_V is None else head.mirror_V.astype(np.int32),
        arkit_names=head.arkit_names,
        arkit_map=head.arkit_map_K52,
    )


def _reconstruct_photo(request: ReconstructPhoto, progress: ProgressCall, device: Device) -> ReconstructReply:
    progress(0.0, "Starting")
    from deca.reconstruct.pipeline import reconstruct_photo

    faces = reconstruct_photo(
        request.path,
        head=request.head,
        texture_size=request.texture_size or None,
        max_faces=max(request.max_faces, (request.face or 0) + 1),
        device=device.resolve(),
        progress=progress,
    )
    if request.face is not None:
        if not 0 <= request.face < len(faces):
            raise NoFaceError(
                f"Face {request.face} was asked for, but {request.path} has {len(faces)}.",
                "Faces are counted from 0, the most prominent first.",
            )
        faces = [faces[request.face]]
    return ReconstructReply(tuple(_face_reply(face, request) for face in faces))


def _face_reply(face: Face, request: ReconstructPhoto) -> FaceReply:
    return FaceReply(
        name=face.photo.stem if face.index == 0 else f"{face.photo.stem}_{face.index}",
        photo=request.path,
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
        texture=face.texture_NN3,
    )
