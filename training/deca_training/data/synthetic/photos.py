"""Photos of synthetic people: pose, camera, light, background, things in front of the face, and a camera's faults.

Shape suffixes: V vertices, L landmarks, J joints, N covered pixels, H W rows and columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deca.head import HeadModel
from deca.head.layer import HeadLayer
from deca.render.camera import project
from deca.render.detail import detail_surface
from deca.render.normals import unit
from deca.render.renderer import Renderer, Surface
from deca.vision.landmarks import EYE_RINGS, IBUG_68
from deca_blender.protocol.conventions import CROP_SIZE
from deca_training.data.augment import Augmentation, change_colours, occlude
from deca_training.data.synthetic.light import Light, nearest_harmonics
from deca_training.data.synthetic.looks import Looks
from deca_training.data.synthetic.skin import in_between
from deca_training.data.synthetic.subjects import decode_jpeg
from deca_training.data.synthetic.surroundings import background, glasses

_FINER = 1.5
"""Pictures are drawn so many times larger and averaged, for smooth edges."""
_OCCLUSION = 0.8
"""Opacity from which on the skin counts as hidden is 1 minus this."""
_CAMERA = Augmentation(brightness=0.08, contrast=0.1, saturation=0.15, tint=0.03, grey=0.03, blur=0.12, noise=0.02,
                       occlusion=0.12)  # fmt: skip
_CROP_SCALE, _SHIFT = (1.25, 1.6), 0.05


@dataclass(frozen=True)
class Photo:
    """A photo and what is true of it; the fields are those of `SyntheticSubject`, of one photo."""

    jpeg_N: NDArray[np.uint8]
    image_HW3: NDArray[np.uint8]
    mask_HW: NDArray[np.uint8]
    landmarks478_L2: NDArray[np.float32]
    landmarks68_L2: NDArray[np.float32]
    camera_3: NDArray[np.float32]
    light_93: NDArray[np.float32]


def random_turn(rng: np.random.Generator) -> NDArray[np.float32]:
    """Axis-angle of the head: yaw up to 45 degrees, pitch to 15, roll to 12."""
    yaw = np.clip(rng.normal(0, 8), -45, 45) if rng.uniform() < 0.35 else rng.uniform(-45, 45)
    pitch, roll = np.clip(rng.normal(0, 7), -15, 15), np.clip(rng.normal(0, 5), -12, 12)
    turns = [
        cv2.Rodrigues(np.radians(angle) * axis)[0] for angle, axis in zip((pitch, yaw, roll), np.eye(3), strict=True)
    ]
    return cv2.Rodrigues(turns[2] @ turns[1] @ turns[0])[0][:, 0].astype(np.float32)


@dataclass(frozen=True)
class Camera:
    """Where points of a head are on the crop.

    Attributes:
        weak_13: DECA's `[s, tx, ty]`, the camera at an endless distance.
        distance: Metres from the lens to the head's origin; None for an endless distance.
    """

    weak_13: Tensor
    distance: float | None

    def project(self, points_1V3: Tensor) -> Tensor:
        """Picture coordinates (1, V, 3), like `deca.render.camera.project`."""
        picture_1V3 = project(points_1V3, self.weak_13)
        if self.distance is None:
            return picture_1V3
        # Rays through the crop's middle stay; what is nearer than the origin is larger.
        nearer_1V1 = self.distance / (self.distance - points_1V3[..., 2:]).clamp(min=0.05)
        return torch.cat((picture_1V3[..., :2] * nearer_1V1, picture_1V3[..., 2:]), 2)

    def nearest_weak(self, points_1V3: Tensor) -> NDArray[np.float32]:
        """`[s, tx, ty]` whose projection of some points comes nearest to this camera's."""
        if self.distance is None:
            return self.weak_13[0].numpy()
        picture_V2 = self.project(points_1V3)[0, :, :2].double().numpy() * (1, -1)
        points_V2 = points_1V3[0, :, :2].double().numpy()
        around_V2 = points_V2 - points_V2.mean(0)
        scale = (around_V2 * (picture_V2 - picture_V2.mean(0))).sum() / (around_V2**2).sum()
        return np.array([scale, *(picture_V2.mean(0) / scale - points_V2.mean(0))], np.float32)


class Studio:
    """Takes photos of heads of one model.

    Args:
        head: The head model.
        layer: Its layer.
        perspective: Share of photos from a distance of 0.4 to 2 m; the others' is endless, as DECA's camera's.
        side: Rows and columns of the photos.
    """

    def __init__(self, head: HeadModel, layer: HeadLayer, perspective: float = 0.0, side: int = CROP_SIZE) -> None:
        self.perspective, self.side = perspective, side
        self.head, self.layer = head, layer
        self.renderer = Renderer.of_head(head, round(_FINER * side))
        is_skin_F = (head.parts_V[head.faces_F3] == 0).all(1)
        self._skin_faces = is_skin_F

    @torch.no_grad()
    def take(
        self,
        verts_V3: Tensor,
        pose_J3: Tensor,
        displacement_HW: NDArray[np.float32],
        looks: Looks,
        rng: np.random.Generator,
    ) -> Photo:
        """Takes a photo.

        Args:
            verts_V3: Posed vertices, metres.
            pose_J3: Their pose.
            displacement_HW: D, metres.
            looks: Colours, hair, glasses.
            rng: Source of light, camera and surroundings.
        """
        verts_1V3 = verts_V3[None]
        marks478_L3 = self.layer.landmarks_478(verts_1V3)[0]
        marks68_L3 = self.layer.landmarks_68(verts_1V3, pose_J3[None])[0]
        camera = self._camera(marks478_L3[list(IBUG_68)].numpy(), rng)
        surface = self.renderer(verts_1V3, camera.project(verts_1V3))
        light = Light.random(rng)
        # Differences between the map's own texels would hide its finest lines.
        skin = detail_surface(
            verts_1V3,
            torch.from_numpy(in_between(displacement_HW))[None, None],
            self.head,
            normals_BV3=surface.vertex_normals_BV3,
            smooth=True,
        )
        normals_3N = unit(surface.sample(skin.normals_B3HW)[None])[0]
        albedo_4N = surface.sample(
            torch.cat((_shaded_creases(looks.albedo_3HW, displacement_HW), looks.skin_HW[None]))[None]
        )
        shading_3N, glint_3N = light.shading(normals_3N)
        is_face_N = albedo_4N[3] > 0.5
        exposure = _exposure((albedo_4N[:3] * shading_3N)[:, is_face_N], rng)
        shading_3N, glint_3N = shading_3N * exposure, glint_3N * exposure
        light_93 = nearest_harmonics(normals_3N[:, is_face_N], shading_3N[:, is_face_N])
        lit_3N = albedo_4N[:3] * shading_3N + glint_3N
        image = surface.fragments.image
        picture_HW3 = _behind(rng, surface, looks, self.renderer.size)
        head_HW = surface.alpha_B1HW[0, 0].numpy() > 0
        picture_HW3 = np.where(head_HW[..., None], image(lit_3N)[0].permute(1, 2, 0).numpy(), picture_HW3)
        shown_HW = image(albedo_4N[3:])[0, 0].numpy()
        picture_HW3, shown_HW = self._hair(picture_HW3, shown_HW, verts_1V3, camera, surface, looks, light, exposure)
        picture_HW3, shown_HW = _glasses(picture_HW3, shown_HW, marks478_L3, camera, pose_J3, looks)
        jpeg_N, mask_HW = _developed(picture_HW3, shown_HW, rng, self.side)
        on_picture = [camera.project(marks_L3[None])[0, :, :2].numpy() for marks_L3 in (marks478_L3, marks68_L3)]
        return Photo(
            jpeg_N,
            decode_jpeg(jpeg_N),
            mask_HW,
            landmarks478_L2=on_picture[0],
            landmarks68_L2=on_picture[1],
            camera_3=camera.nearest_weak(marks478_L3[None]),
            light_93=light_93,
        )

    def _camera(self, points_L3: NDArray[np.float32], rng: np.random.Generator) -> Camera:
        """A crop that is measured on landmarks, as in training."""
        low_2, high_2 = points_L3[:, :2].min(0), points_L3[:, :2].max(0)
        side = (high_2 - low_2).mean() * 1.1 * rng.uniform(*_CROP_SCALE)
        shift_2 = rng.uniform(-1, 1, 2) * _SHIFT * side
        weak_3 = np.array([2 / side, *(shift_2 - (low_2 + high_2) / 2)], np.float32)
        is_near, distance = rng.uniform() < self.perspective, float(np.exp(rng.uniform(np.log(0.4), np.log(2.0))))
        return Camera(torch.from_numpy(weak_3)[None], distance if is_near else None)

    def _hair(
        self,
        picture_HW3: NDArray[np.float32],
        shown_HW: NDArray[np.float32],
        verts_1V3: Tensor,
        camera: Camera,
        surface: Surface,
        looks: Looks,
        light: Light,
        exposure: float,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Puts the hair, a shell around the head, on the picture."""
        used_F = (looks.thickness_V[self.head.faces_F3] > 0).any(1) & self._skin_faces
        if not used_F.any() or not bool(looks.hair_HW.any()):
            return picture_HW3, shown_HW
        shell_1V3 = verts_1V3 + surface.vertex_normals_BV3 * torch.from_numpy(looks.thickness_V)[None, :, None]
        arrays = (self.head.faces_F3[used_F], self.head.uv_T2, self.head.uv_faces_F3[used_F])
        renderer = Renderer(*(torch.from_numpy(array) for array in arrays), size=self.renderer.size)
        hair = renderer(shell_1V3, camera.project(shell_1V3))
        depth_HW = surface.depth_B1HW[0, 0]
        is_free_HW = (surface.alpha_B1HW[0, 0] == 0) | (hair.depth_B1HW[0, 0] < depth_HW)
        colour_4N = hair.sample(torch.cat((looks.hair_3HW, looks.hair_HW[None]))[None])
        shading_3N, _ = light.shading(unit(hair.normals_3N[None])[0])
        layer_4HW = hair.fragments.image(torch.cat((colour_4N[:3] * shading_3N * exposure, colour_4N[3:])))[0]
        opacity_HW = (layer_4HW[3] * is_free_HW).numpy()
        colour_HW3 = layer_4HW[:3].permute(1, 2, 0).numpy()
        return _over(picture_HW3, colour_HW3, opacity_HW), shown_HW * (opacity_HW < 1 - _OCCLUSION)


def _exposure(face_3N: Tensor, rng: np.random.Generator) -> float:
    """Factor of display values by which a camera brightens or darkens the picture; dark skin stays darker."""
    mean = float(face_3N.mean()) if face_3N.numel() else 0.5
    return float((rng.uniform(0.35, 0.62) / max(mean, 0.02)) ** 0.65)


def _shaded_creases(albedo_3HW: Tensor, displacement_HW: NDArray[np.float32]) -> Tensor:
    """Albedo, darker in the depth of wrinkles, where less of the sky is seen: a tenth per millimetre."""
    deep_HW = displacement_HW - cv2.GaussianBlur(displacement_HW, (0, 0), 4.0)
    return albedo_3HW * torch.from_numpy((1 + 120 * np.minimum(deep_HW, 0)).clip(0.75, 1))


def _behind(rng: np.random.Generator, surface: Surface, looks: Looks, side: int) -> NDArray[np.float32]:
    """Background, with shoulders and long hair."""
    picture_HW3 = background(rng, side)
    points_V2 = (surface.picture_BV3[0, :, :2].numpy() * 0.5 + 0.5) * side
    (left, top), (right, bottom) = points_V2.min(0), points_V2.max(0)
    middle, width, height = (left + right) / 2, right - left, bottom - top
    if looks.hair_length:
        layer = picture_HW3.copy()
        colour = looks.hair_3HW.mean((1, 2)).numpy() * rng.uniform(0.4, 0.8)
        centre = (middle, top + height * (0.38 + 0.2 * looks.hair_length))
        size = (width * rng.uniform(1.05, 1.3), height * (0.75 + 0.45 * looks.hair_length))
        cv2.ellipse(layer, (tuple(map(float, centre)), tuple(map(float, size)), 0.0), colour.tolist(), -1)
        picture_HW3 = np.asarray(cv2.GaussianBlur(layer, (0, 0), 2.0), np.float32)
    shirt = (0.5 + rng.uniform(-0.5, 0.5, 3) * rng.uniform(0.2, 1)) * rng.uniform(0.2, 1)
    centre = (float(middle), float(bottom + height * 0.10))
    cv2.ellipse(picture_HW3, (centre, (float(width * 2.4), float(height * 0.5)), 0.0), shirt.tolist(), -1)
    return picture_HW3


def _glasses(
    picture_HW3: NDArray[np.float32],
    shown_HW: NDArray[np.float32],
    marks478_L3: Tensor,
    camera: Camera,
    pose_J3: Tensor,
    looks: Looks,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    if looks.glasses_seed < 0:
        return picture_HW3, shown_HW
    # Twelve millimetres in front of the eyes; the ears are far behind them, and seen on the side that turns here.
    forward_3 = torch.from_numpy(cv2.Rodrigues(pose_J3[0].numpy())[0][:, 2].astype(np.float32))
    eyes_23 = torch.stack([marks478_L3[list(ring)].mean(0) for ring in EYE_RINGS]) + 0.012 * forward_3
    eyes_23 = eyes_23[eyes_23[:, 0].argsort()]
    sides_23 = torch.stack((marks478_L3[127], marks478_L3[356]))
    sides_23 = sides_23[sides_23[:, 0].argsort()] - 0.03 * forward_3
    size = len(picture_HW3)
    pixels_42 = (camera.project(torch.cat((eyes_23, sides_23))[None])[0, :, :2].numpy() * 0.5 + 0.5) * size
    ears_22 = pixels_42[2:].copy()
    beyond_2 = np.array([-1, 1]) * (ears_22[:, 0] - pixels_42[:2, 0])
    ears_22[beyond_2 < 0.5 * np.linalg.norm(pixels_42[1] - pixels_42[0])] = np.nan
    colour_HW3, opacity_HW = glasses(np.random.default_rng(looks.glasses_seed), pixels_42[:2], ears_22, size)
    return _over(picture_HW3, colour_HW3, opacity_HW), shown_HW * (opacity_HW < 1 - _OCCLUSION)


def _over(
    picture_HW3: NDArray[np.float32], colour_HW3: NDArray[np.float32], opacity_HW: NDArray[np.float32]
) -> NDArray[np.float32]:
    return picture_HW3 + (colour_HW3 - picture_HW3) * opacity_HW[..., None]


def _developed(
    picture_HW3: NDArray[np.float32], shown_HW: NDArray[np.float32], rng: np.random.Generator, side: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """JPEG file and mask of a crop: reduced, exposed, with something in front at times, and a camera's faults."""
    small_HW3 = cv2.resize(picture_HW3, (side, side), interpolation=cv2.INTER_AREA)
    mask_HW = cv2.resize(shown_HW, (side, side), interpolation=cv2.INTER_AREA)
    pixels_HW3 = np.rint(small_HW3.clip(0, 1) * 255).astype(np.uint8)
    pixels_HW3, mask_HW = occlude(pixels_HW3, (mask_HW > 0.5).astype(np.uint8) * np.uint8(255), _CAMERA, rng)
    pixels_HW3 = change_colours(pixels_HW3, _CAMERA, rng)
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 97))]
    return cv2.imencode(".jpg", pixels_HW3[..., ::-1], quality)[1].ravel(), mask_HW
