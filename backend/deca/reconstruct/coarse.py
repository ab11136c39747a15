"""The ways to a face's codes: the landmark fit, the encoders' weights (DECA, Section 4.1), or both: E_c's codes refined
by the fit. All give `Face`s.

Shape suffixes: B faces, L landmarks, S shape and A albedo coefficients, H W rows and columns.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deca.appearance.albedo import AlbedoModel
from deca.appearance.light import fit_albedo_and_light
from deca.head import HeadModel
from deca.head.layer import layer_of
from deca.networks import Networks
from deca.reconstruct.face import Face
from deca.reconstruct.fit import FitResult, Guess, fit_landmarks
from deca.reconstruct.fit_result import KNOWN_IDENTITY, Leeway
from deca.reconstruct.models import Models
from deca.reconstruct.teeth import teeth_meet
from deca.render.detail import DETAIL_MASK
from deca.render.uv import photo_texture, uv_mask, world2uv
from deca.vision.crop import crop_from_landmarks, encoder_crop, on_crop, warp_crop
from deca.vision.faces import DetectedFace
from deca.vision.landmarks import IBUG_68
from deca.vision.photo import Photo
from deca_blender.protocol.conventions import CROP_SIZE

_JAW = 2

REFINED_ERROR, REFINED_EXCESS = 0.015, 0.002
"""Landmark error, as a fraction of the outer-eye distance, beyond which a refinement is compared with the fit alone,
and how much larger than the fit's it may be: E_c knows more of the identity."""

SHAPE_EXCESS = 0.03
"""How much larger it may be before a shape encoder's shape is given up."""

LIGHT_SIZE = 64
"""Rows and columns of the texture that albedo and light are fitted to."""


def fitted_faces(photo: Photo, path: Path, detected: list[DetectedFace], models: Models) -> list[Face]:
    """Codes from the landmark fit; albedo and light from the photo on the fitted head; detail codes from E_d."""
    landmarks_BL2 = np.stack([found.landmarks_L3[:, :2] for found in detected])
    fit = fit_landmarks(
        landmarks_BL2,
        (photo.width, photo.height),
        models.head,
        focal_px=focal_in_pixels(photo),
        teeth_meet_B=[teeth_meet(photo.pixels, marks_L2) for marks_L2 in landmarks_BL2],
    )
    return [
        face_of_fit(photo, path, found, fit.take(np.array([index])), models, index)
        for index, found in enumerate(detected)
    ]


def face_of_fit(
    photo: Photo,
    path: Path,
    found: DetectedFace,
    fit: FitResult,
    models: Models,
    index: int = 0,
    likeness_V3: NDArray[np.float32] | None = None,
) -> Face:
    """A face with the codes of a landmark fit (of it alone); albedo and light from the photo, detail code from E_d."""
    crop_33 = crop_from_landmarks(ibug_landmarks(models.head, fit)[0])
    face = Face(
        photo=path,
        index=index,
        head=models.head,
        shape_S=fit.shape_BS[0].astype(np.float32),
        expression_E=fit.expression_BE[0].astype(np.float32),
        pose_53=fit.pose_B53[0].astype(np.float32),
        camera_3=camera_on_crop(fit.scale_B[0], fit.offset_B2[0], crop_33),
        crop_33=crop_33,
        image_size=(photo.width, photo.height),
        box=tuple(found.box.tolist()),
        landmarks_L2=found.landmarks_L3[:, :2].astype(np.float32),
        landmark_error=float(fit.error_B[0]),
        likeness_V3=likeness_V3,
    )
    image_13HW = torch.from_numpy(warp_crop(photo.pixels, crop_33))[None].to(models.device)
    face = _lit(face, image_13HW, models)
    if models.networks is not None:
        on_crop_1L3 = torch.from_numpy(on_crop(found.landmarks_L3, crop_33))[None]
        detail_1D = models.networks.encode_detail(image_13HW, on_crop_1L3)
        face = replace(face, detail_D=detail_1D[0].cpu().numpy())
    return face


def regressed_faces(
    photo: Photo, path: Path, detected: list[DetectedFace], models: Models, networks: Networks
) -> list[Face]:
    """Codes from E_c and E_d (DECA, Section 4.1), on crops measured on the detected landmarks; the shape from the shape
    encoder where there is one."""
    marks_BL3 = np.stack([found.landmarks_L3 for found in detected]).astype(np.float32)
    crops_B33, images_B3HW, on_crops_BL3 = zip(
        *(encoder_crop(photo.pixels, marks_L3) for marks_L3 in marks_BL3), strict=True
    )
    codes, detail_BD = networks.encode(*(torch.from_numpy(np.stack(seen)) for seen in (images_B3HW, on_crops_BL3)))

    def row(codes_BX: Tensor, index: int) -> NDArray[np.float32]:
        return codes_BX[index].detach().cpu().numpy().astype(np.float32)

    faces = [
        Face(
            photo=path,
            index=index,
            head=models.head,
            shape_S=row(codes.shape_BS, index),
            expression_E=row(codes.expression_BE, index),
            pose_53=row(codes.pose_BJ3, index),
            camera_3=row(codes.camera_B3, index),
            crop_33=crops_B33[index],
            image_size=(photo.width, photo.height),
            box=tuple(found.box.tolist()),
            landmarks_L2=marks_BL3[index, :, :2],
            landmark_error=0.0,
            albedo_A=row(codes.albedo_BA, index),
            light_93=row(codes.light_B93, index),
            detail_D=row(detail_BD, index),
        )
        for index, found in enumerate(detected)
    ]
    return [replace(face, landmark_error=interior_error(face)) for face in faces]


def refined_faces(
    photo: Photo, path: Path, detected: list[DetectedFace], models: Models, networks: Networks
) -> list[Face]:
    """E_c's codes refined by the landmark fit; E_d's detail codes; albedo and light as `fitted_faces` has them.

    The fit starts from E_c's shape, expression and jaw and keeps the identity near. Where that does not reach the
    landmarks as well as a fit does that starts from nothing, E_c was wrong, and that one is taken. A shape encoder's
    shape, which knows more of the person than the landmarks do, is given up only where it is far off.
    """
    guessed = regressed_faces(photo, path, detected, models, networks)
    size, focal_px = (photo.width, photo.height), focal_in_pixels(photo)
    landmarks_BL2 = np.stack([face.landmarks_L2 for face in guessed])
    shape_BS, expression_BE, pose_B53 = (
        np.stack([getattr(face, code) for face in guessed]) for code in ("shape_S", "expression_E", "pose_53")
    )
    leeway = KNOWN_IDENTITY if networks.card.shape_encoder else Leeway()
    guess = Guess(shape_BS, expression_BE, pose_B53[:, _JAW], leeway)
    closed_B = np.array([teeth_meet(photo.pixels, marks_L2) for marks_L2 in landmarks_BL2])
    fit = fit_landmarks(landmarks_BL2, size, models.head, focal_px=focal_px, guess=guess, teeth_meet_B=closed_B)
    ways = [(False, REFINED_EXCESS)]
    if networks.card.shape_encoder:
        ways = [(True, REFINED_EXCESS), (False, SHAPE_EXCESS)]
    for keeps_shape, excess in ways:
        doubtful = np.flatnonzero(fit.error_B > REFINED_ERROR - REFINED_EXCESS + excess)
        if not len(doubtful):
            break
        rest = Guess(shape_BS[doubtful], expression_BE[doubtful, :0], np.zeros((len(doubtful), 3)), leeway)
        alone = fit_landmarks(
            landmarks_BL2[doubtful],
            size,
            models.head,
            focal_px=focal_px,
            guess=rest if keeps_shape else None,
            teeth_meet_B=closed_B[doubtful],
        )
        lost = alone.error_B < fit.error_B[doubtful] - excess
        fit = fit.replaced(doubtful[lost], alone.take(lost))
    return [refit(face, fit, index, photo, models) for index, face in enumerate(guessed)]


def can_refine(networks: Networks, head: HeadModel) -> bool:
    """Whether E_c's codes are to be refined by default: DECA's released weights give DECA's own numbers, and a head
    model without all of MediaPipe's landmarks (FLAME) is fitted too loosely to do better."""
    is_released = not networks.card.head_hash
    return not is_released and head.landmarks_478 is not None and bool(head.landmarks_478.placed.all())


def interior_error(face: Face) -> float:
    """Mean distance of the head's 51 inner landmarks from the detected ones, as a fraction of the outer-eye distance.

    MediaPipe's points stand for iBUG's, which they meet to 2 to 4 %.
    """
    layer = layer_of(face.head, len(face.shape_S), len(face.expression_E))
    verts_1V3, pose_153 = torch.from_numpy(face.vertices())[None], torch.from_numpy(face.pose_53)[None]
    points_L3 = layer.landmarks_68(verts_1V3, pose_153)[0].numpy()
    projected_L2 = points_L3 @ face.to_photo()[:, :3].T + face.to_photo()[:, 3]
    found_L2 = face.landmarks_L2[list(IBUG_68)]
    distance = np.linalg.norm(projected_L2 - found_L2, axis=1)[17:].mean()
    return float(distance / max(np.linalg.norm(found_L2[36] - found_L2[45]), 1e-6))


def refit(face: Face, fit: FitResult, index: int, photo: Photo, models: Models) -> Face:
    """A regressed face with the codes of a fit, on its own crop."""
    moved = replace(
        face,
        shape_S=fit.shape_BS[index].astype(np.float32),
        expression_E=fit.expression_BE[index].astype(np.float32),
        pose_53=fit.pose_B53[index].astype(np.float32),
        camera_3=camera_on_crop(fit.scale_B[index], fit.offset_B2[index], face.crop_33),
        landmark_error=float(fit.error_B[index]),
    )
    image_13HW = torch.from_numpy(warp_crop(photo.pixels, face.crop_33))[None].to(models.device)
    return _lit(moved, image_13HW, models)


def _lit(face: Face, image_13HW: Tensor, models: Models) -> Face:
    """The face with albedo and light from its crop, where there is an albedo model."""
    if models.albedo is None:
        return face
    albedo_A, light_93 = _albedo_and_light(models, models.albedo, face, image_13HW)
    return replace(face, albedo_A=albedo_A, light_93=light_93)


def _albedo_and_light(
    models: Models, albedo: AlbedoModel, face: Face, image_13HW: Tensor
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Albedo and light codes of a fitted face, from what the photo shows of its texture."""
    with torch.inference_mode():
        decoded = models.decode_face(face)
        surface = models.renderer(decoded.verts_BV3, decoded.picture_BV3)
        texture, shown = photo_texture(
            image_13HW, decoded.picture_BV3, decoded.normals_BV3, surface.fragments, models.head, LIGHT_SIZE
        )
        normals = world2uv(decoded.normals_BV3, models.head, LIGHT_SIZE)
        facing = ((normals[:, 2:] - 0.2) / 0.3).clamp(0, 1)  # grazing texels show what is behind as well
        weight = shown * facing * uv_mask(models.head, DETAIL_MASK, LIGHT_SIZE, models.device)
        mean_HW3, basis_AHW3 = albedo.arrays(LIGHT_SIZE)

    def image(tensor_13HW: Tensor) -> NDArray[np.float32]:
        return tensor_13HW[0].permute(1, 2, 0).cpu().numpy()

    return fit_albedo_and_light(image(texture), image(weight)[..., 0], image(normals), mean_HW3, basis_AHW3)


def focal_in_pixels(photo: Photo) -> float | None:
    """Focal length in pixels, from the 35 mm equivalent that the camera noted (its film's diagonal is 43.27 mm)."""
    if not photo.focal_length_35mm:
        return None
    return photo.focal_length_35mm / 43.27 * float(np.hypot(photo.width, photo.height))


def ibug_landmarks(head: HeadModel, fit: FitResult) -> NDArray[np.float64]:
    """The fitted heads' 68 landmarks (B, 68, 2) in photo pixels: what DECA's crop is measured on."""
    layer = layer_of(head, fit.shape_BS.shape[1], fit.expression_BE.shape[1])
    shape, expression, pose = (
        torch.from_numpy(np.asarray(code, np.float32)) for code in (fit.shape_BS, fit.expression_BE, fit.pose_B53)
    )
    with torch.inference_mode():
        points_BL3 = layer.landmarks_68(layer(shape, expression, pose), pose).double().numpy()
    return fit.scale_B[:, None, None] * points_BL3[..., :2] * (1, -1) + fit.offset_B2[:, None]


def camera_on_crop(scale: float, offset_2: NDArray, crop_33: NDArray) -> NDArray[np.float32]:
    """DECA's `[s, tx, ty]` on the crop, from `photo pixel = scale * (x, -y) + offset`.

    Args:
        scale: Photo pixels per metre.
        offset_2: Photo pixel of the head space's origin.
        crop_33: Photo pixels -> crop pixels; uniform scale and shift.
    """
    half = CROP_SIZE / 2
    zoom = crop_33[0, 0]
    s = zoom * scale / half
    x, y = zoom * np.asarray(offset_2) + crop_33[:2, 2]
    return np.array([s, (x - half) / (half * s), (half - y) / (half * s)], np.float32)
