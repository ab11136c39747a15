"""How a person looks beside shape and wrinkles: skin colours, hair, beard, glasses. Drawn once, for all photos.

Shape suffixes: H W rows and columns of UV maps (256), A albedo coefficients, F triangles, V vertices.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deca.appearance.albedo import AlbedoModel
from deca.head import HeadModel
from deca.networks import MAP_SIZE
from deca.render.detail import DETAIL_MASK
from deca.render.uv import uv_mask
from deca_training.data.synthetic.skin import reduced, skin_of, smoothstep
from deca_training.data.synthetic.surroundings import hair_colour, streaks

_BALD, _BEARD, _GLASSES, _FRECKLES = 0.12, 0.15, 0.2, 0.1
"""Shares of all people, both sexes together."""
_MENS_BALDNESS = 0.8
"""How much more often men are bald than both sexes together, and women less often. By eye, as all of these."""


@dataclass(frozen=True)
class Looks:
    """What a person's photos have in common.

    Attributes:
        albedo_A: Albedo coefficients.
        albedo_3HW: Display values of the skin, beard included.
        skin_HW: 1 where the face's skin is not under a beard.
        hair_3HW: Colour of the hair, in texture space.
        hair_HW: Its opacity.
        thickness_V: How far the hair is from the head, metres.
        hair_length: How far hair falls beside the head, in heights of the face; 0 short.
        glasses_seed: Of the glasses' form; -1 without.
    """

    albedo_A: NDArray[np.float32]
    albedo_3HW: Tensor
    skin_HW: Tensor
    hair_3HW: Tensor
    hair_HW: Tensor
    thickness_V: NDArray[np.float32]
    hair_length: float
    glasses_seed: int

    @classmethod
    def random(
        cls,
        head: HeadModel,
        albedo: AlbedoModel,
        mark_HW: NDArray[np.float32],
        age: float,
        sex: float,
        rng: np.random.Generator,
    ) -> Looks:
        """Draws how a person looks.

        Args:
            head: The head model.
            albedo: Its albedo model.
            mark_HW: Moles (256, 256), 0..1.
            age: Years; greys the hair.
            sex: -1 of women, who have no beard, +1 of men, 0 not known.
            rng: Source.
        """
        position_HW3 = reduced(skin_of(head).position_HW3)
        codes_A = rng.standard_normal(albedo.num_coefficients).astype(np.float32)
        with torch.no_grad():
            skin_HW3 = albedo(torch.from_numpy(codes_A)[None])[0].permute(1, 2, 0).numpy().copy()
        skin_HW3 *= _tone(rng, mark_HW)
        colour_3 = hair_colour(rng, age)
        strands_HW = streaks(rng, MAP_SIZE, rng.uniform(3, 9))
        hair_HW3 = colour_3 * np.exp(0.16 * strands_HW)[..., None]
        face_HW = uv_mask(head, DETAIL_MASK).numpy()
        if rng.uniform() < _BEARD * (1 + sex):
            beard_HW = _beard(head, rng, position_HW3) * face_HW
            stubble_HW = streaks(rng, MAP_SIZE, 1.5)
            opacity_HW = (beard_HW * rng.uniform(0.5, 1.0) * (0.85 + 0.25 * stubble_HW)).clip(0, 1)
            beard_3 = colour_3 * np.exp(0.2 * stubble_HW)[..., None]
            skin_HW3 = skin_HW3 * (1 - opacity_HW[..., None]) + beard_3 * opacity_HW[..., None]
            face_HW = face_HW * (beard_HW < 0.3)
        opacity_HW, thickness_HW = _hair(head, rng, position_HW3, strands_HW)
        if rng.uniform() < _BALD * (1 + _MENS_BALDNESS * sex):
            opacity_HW[:] = 0
        u_V, v_V = vertex_uv(head).T
        place = (u_V * MAP_SIZE - 0.5).astype(np.float32), ((1 - v_V) * MAP_SIZE - 0.5).astype(np.float32)
        thickness_V1 = cv2.remap(thickness_HW, place[0][:, None], place[1][:, None], cv2.INTER_LINEAR)
        return cls(
            codes_A,
            _planar(skin_HW3.clip(0.01, 1)),
            torch.from_numpy(face_HW.astype(np.float32)),
            _planar(hair_HW3.clip(0, 1)),
            torch.from_numpy(opacity_HW),
            np.asarray(thickness_V1[:, 0], np.float32),
            float(rng.choice([0.0, rng.uniform(0.5, 1.6)])) if opacity_HW.any() else 0.0,
            int(rng.integers(1 << 31)) if rng.uniform() < _GLASSES else -1,
        )


def vertex_uv(head: HeadModel) -> NDArray[np.float32]:
    """One texture coordinate (V, 2) of each vertex; on seams any of them."""
    uv_V2 = np.zeros((head.num_verts, 2), np.float32)
    uv_V2[head.faces_F3] = head.uv_T2[head.uv_faces_F3]
    return uv_V2


def _planar(map_HW3: NDArray[np.floating]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(map_HW3.transpose(2, 0, 1), np.float32))


def _tone(rng: np.random.Generator, mark_HW: NDArray[np.float32]) -> NDArray[np.float32]:
    """Factors of the albedo (256, 256, 3): blotches, pores, moles, freckles."""
    tone_HW3 = np.ones((MAP_SIZE, MAP_SIZE, 3), np.float32)
    for cells, sd in ((5, 0.035), (14, 0.025), (40, 0.015)):
        rough = (rng.standard_normal((cells, cells, 1)) * sd * np.array([0.6, 1.0, 1.0])).astype(np.float32)
        tone_HW3 += cv2.resize(rough, (MAP_SIZE, MAP_SIZE), interpolation=cv2.INTER_CUBIC)
    tone_HW3 += (rng.standard_normal((MAP_SIZE, MAP_SIZE, 1)) * rng.uniform(0.003, 0.011)).astype(np.float32)
    tone_HW3 *= 1 - mark_HW[..., None] * np.array([0.35, 0.5, 0.55], np.float32)
    if rng.uniform() < _FRECKLES:
        dots_HW = (rng.uniform(size=(MAP_SIZE, MAP_SIZE)) < 0.02).astype(np.float32)
        dots_HW = cv2.GaussianBlur(dots_HW, (0, 0), 0.8) * 2.5
        tone_HW3 *= 1 - dots_HW.clip(0, 1)[..., None] * np.array([0.15, 0.25, 0.3], np.float32)
    return tone_HW3


def _hair(
    head: HeadModel, rng: np.random.Generator, position_HW3: NDArray[np.float32], strands_HW: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Opacity of the hair and its distance from the head, metres; a fringe may hang over the forehead."""
    scalp_HW = uv_mask(head, "scalp").numpy() if "scalp" in head.masks else np.zeros((MAP_SIZE, MAP_SIZE), np.float32)
    x_HW, y_HW, z_HW = (position_HW3[..., axis] for axis in range(3))
    has_fringe = rng.uniform() < 0.15
    # Height of the hairline above the middle of the head, across the forehead.
    lowest, part = (rng.uniform(42, 75) if has_fringe else rng.uniform(86, 104)), rng.uniform(-45, 45)
    line_HW = lowest + rng.uniform(-0.1, 0.35) * np.abs(x_HW - part) * (1 if has_fringe else -0.3)
    above_HW = smoothstep((y_HW - line_HW + 4 * strands_HW) / 6 + 0.5) * (z_HW > 0)
    threshold = rng.uniform(0.65, 0.95)
    grown_HW = smoothstep((scalp_HW - threshold + 0.1 * strands_HW) / 0.25 + 0.5)
    opacity_HW = np.maximum(grown_HW, above_HW).astype(np.float32)
    thickness_HW = 0.002 + rng.uniform(0.001, 0.013) * scalp_HW + 0.003 * above_HW
    return opacity_HW, (thickness_HW * opacity_HW).astype(np.float32)


def _beard(head: HeadModel, rng: np.random.Generator, position_HW3: NDArray[np.float32]) -> NDArray[np.float32]:
    """Where a beard grows, 0..1."""
    x_HW, y_HW, z_HW = (position_HW3[..., axis] for axis in range(3))
    across_HW = np.abs(x_HW)
    lips_HW = np.asarray(cv2.GaussianBlur(uv_mask(head, "lips").numpy(), (0, 0), 1.0), np.float32)
    jaw_HW = smoothstep((-52 + 0.45 * across_HW - y_HW) / 8) * (z_HW > -10)
    moustache_HW = smoothstep((27 - across_HW) / 6) * smoothstep((-37 - 0.25 * across_HW - y_HW) / 4)
    kind = rng.choice(3)
    chin_HW = smoothstep((24 - across_HW) / 6) * smoothstep((-68 - y_HW) / 6)
    beard_HW = (np.maximum(jaw_HW, moustache_HW), moustache_HW * (y_HW > -58), np.maximum(chin_HW, moustache_HW))[kind]
    return (beard_HW * (1 - smoothstep(lips_HW * 3))).astype(np.float32)
