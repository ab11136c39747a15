"""Eyeballs, painted: a photo shows little of them.

Shape suffixes: V vertices, N texels, H W texture rows and columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from deca.appearance.blend import smoothstep
from deca.appearance.sampling import PartTexels
from deca.appearance.skin import to_lab, to_srgb
from deca.appearance.white import NEUTRAL, SCLERA, White
from deca.head.model import Part
from deca.render.uv import Texels

DEFAULT_IRIS = np.array((0.33, 0.22, 0.14), np.float32)
"""sRGB brown, the most common iris."""
_IRIS_RADIUS = 0.49
"""Sine of the angle between the iris' rim and the pole: an iris of 11.8 mm on an eyeball of 24 mm."""
_PUPIL_RADIUS = 0.17
_FIBRES = 90
_LEAST_IRIS, _CLEAR_IRIS = 2.5, 6.0
"""Radii of an iris on the photo, in pixels, at which its colour begins to be seen, and is seen clearly. By eye: on
Labeled Faces in the Wild (3 to 4 pixels) lashes and lids still run into it."""
_HUELESS = (6.0, 16.0)
"""L at which an iris begins to have a hue, and has one: dark ones are brown."""
_IRIS_HUES = np.array(((5, 6), (10, 15), (6, 26), (-13, 26), (-8, -20), (-1, -4)), np.float32)
"""Corners of the a and b (Lab) that irises have: dark brown, brown, hazel, green, blue, grey. By eye."""

# MediaPipe: iris centre and four points on its rim, lid contour, of the subject's right and left eye.
_IRIS_POINTS = ((468, 469, 470, 471, 472), (473, 474, 475, 476, 477))
RIGHT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
LEFT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)


@dataclass(frozen=True)
class EyePixels:
    """What a photo shows in both eye openings, sRGB in [0, 1].

    Attributes:
        iris_N3: The rings between pupils and rims.
        sclera_N3: What is beside the irises.
        iris_radius: Mean radius of the irises, photo pixels; 0 where no eye lies on the photo.
    """

    iris_N3: NDArray[np.float32]
    sclera_N3: NDArray[np.float32]
    iris_radius: float


def eye_pixels(photo_HW3: NDArray[np.uint8], landmarks_L2: NDArray) -> EyePixels:
    """Finds irises and whites of the eyes by the landmarks of irises and lids.

    Args:
        photo_HW3: sRGB photo.
        landmarks_L2: 478 MediaPipe landmarks, photo pixels.
    """
    rings, whites, radii = [np.zeros((0, 3), np.float32)], [np.zeros((0, 3), np.float32)], []
    for iris, lids in zip(_IRIS_POINTS, (RIGHT_EYE, LEFT_EYE), strict=True):
        centre = landmarks_L2[iris[0]]
        radius = np.linalg.norm(landmarks_L2[list(iris[1:])] - centre, axis=1).mean()
        lids_L2 = landmarks_L2[list(lids)]
        low = np.floor(np.minimum(centre - radius, lids_L2.min(0))).astype(int)
        high = np.ceil(np.maximum(centre + radius, lids_L2.max(0))).astype(int) + 1
        if radius < 1.5 or (low < 0).any() or high[0] > photo_HW3.shape[1] or high[1] > photo_HW3.shape[0]:
            continue
        patch = photo_HW3[low[1] : high[1], low[0] : high[0]].astype(np.float32) / 255
        y, x = np.mgrid[low[1] : high[1], low[0] : high[0]] + 0.5
        distance = np.hypot(x - centre[0], y - centre[1]) / radius
        open_HW = np.zeros(patch.shape[:2], np.uint8)
        lids_L2 = lids_L2.mean(0) + (lids_L2 - lids_L2.mean(0)) * 0.8
        cv2.fillPoly(open_HW, [np.round((lids_L2 - low - 0.5) * 16).astype(np.int32)], (1,), shift=4)
        rings.append(patch[(distance > 0.45) & (distance < 0.85) & (open_HW > 0)])
        whites.append(patch[(distance > 1.2) & (open_HW > 0)])
        radii.append(radius)
    return EyePixels(np.concatenate(rings), np.concatenate(whites), float(np.mean(radii)) if radii else 0.0)


def iris_colour(eyes: EyePixels, white: White = NEUTRAL) -> NDArray[np.float32]:
    """Iris colour (sRGB) in white light: the median of the rings without highlights.

    It is a colour that irises have, so that neither skin nor a flash in the pupil shows in it; the fewer pixels the
    irises have, the nearer it is to plain brown, which it is for eyes that are closed or too small to tell.
    """
    if len(eyes.iris_N3) < 8:
        return DEFAULT_IRIS
    lab_N3 = to_lab(np.clip(eyes.iris_N3 / (white.tint_3 * white.exposure), 0, 1))
    dull = lab_N3[:, 0] <= np.percentile(lab_N3[:, 0], 75)
    lab = np.median(lab_N3[dull], axis=0)
    brown = to_lab(DEFAULT_IRIS)
    lab[1:] = brown[1:] + smoothstep(lab[0], *_HUELESS) * (_nearest_hue(lab[1:]) - brown[1:])
    # Lashes shade the iris on photos; an iris darker than this reads as a hole on the head. Only pale hues are light.
    lab[0] = np.clip(lab[0], 18, 48 - lab[1])
    return to_srgb(brown + smoothstep(eyes.iris_radius, _LEAST_IRIS, _CLEAR_IRIS) * (lab - brown))


def _nearest_hue(ab: NDArray[np.float32]) -> NDArray[np.float32]:
    """The point of the polygon of iris hues that is nearest to a and b."""
    if cv2.pointPolygonTest(_IRIS_HUES, (float(ab[0]), float(ab[1])), False) >= 0:
        return ab
    start, step = _IRIS_HUES, np.roll(_IRIS_HUES, -1, 0) - _IRIS_HUES
    along = np.clip(((ab - start) * step).sum(1) / (step**2).sum(1), 0, 1)
    nearest = start + along[:, None] * step
    return nearest[np.linalg.norm(nearest - ab, axis=1).argmin()]


def paint_eyes(
    image_HW3: NDArray[np.float32],
    texels: Texels,
    iris: NDArray,
    brightness: float,
    tint_3: NDArray[np.float32] = NEUTRAL.tint_3,
) -> None:
    """Paints sclera, iris and pupil on the eyeballs' islands, in place. The eyeballs' poles point forward (+z).

    Args:
        image_HW3: sRGB texture in [0, 1].
        texels: The head model's texels.
        iris: sRGB.
        brightness: Of the photo's light, 1 for a well lit one.
        tint_3: Of the photo's light (`White.tint_3`).
    """
    head = texels.head
    for part in (Part.EYE_L, Part.EYE_R):
        on_eye_V = head.parts_V == part
        if not on_eye_V.any():
            continue
        direction_V3 = np.zeros_like(head.template_V3)
        direction_V3[on_eye_V] = head.template_V3[on_eye_V] - _sphere_centre(head.template_V3[on_eye_V])
        eye = PartTexels.of(texels, (part,))
        direction_N3 = eye.weights_NV @ direction_V3
        direction_N3 /= np.maximum(np.linalg.norm(direction_N3, axis=1, keepdims=True), 1e-9)
        image_HW3[eye.where_HW] = tint_3 * _eye_colours(direction_N3, np.asarray(iris, np.float32), brightness)


def _sphere_centre(points_K3: NDArray) -> NDArray[np.float64]:
    """Centre of the sphere nearest to the points: |p|^2 = 2 p.c + const, by least squares."""
    points_K3 = points_K3.astype(np.float64)
    matrix = np.column_stack((2 * points_K3, np.ones(len(points_K3))))
    return np.linalg.lstsq(matrix, (points_K3**2).sum(1), rcond=None)[0][:3]


def _eye_colours(direction_N3: NDArray, iris: NDArray, brightness: float) -> NDArray[np.float32]:
    x, y, z = direction_N3.T
    radius_N = np.where(z > 0, np.hypot(x, y), 2 - np.hypot(x, y))
    angle_N = np.arctan2(y, x)
    random = np.random.default_rng(11)
    fibres_N = sum(
        amplitude * np.cos(frequency * angle_N + phase + 1.5 * np.sin(9 * radius_N))
        for frequency, amplitude, phase in zip(
            random.integers(5, _FIBRES, 14), random.uniform(0.1, 0.3, 14), random.uniform(0, 6.28, 14), strict=True
        )
    )
    across_N = np.clip((radius_N - _PUPIL_RADIUS) / (_IRIS_RADIUS - _PUPIL_RADIUS), 0, 1)
    # A little lighter than measured near the pupil, darker at the rim, as irises are.
    falloff_N = (1.12 - 0.25 * across_N**2) * (1 + 0.10 * fibres_N)
    iris_N3 = np.clip(iris * 1.1 * falloff_N[:, None], 0, 1)
    redness_N = smoothstep(radius_N, 0.65, 1.3)[:, None]
    sclera_N3 = SCLERA * brightness * (1 - redness_N * np.array((0.05, 0.22, 0.22)))
    # The lids' shade: strongest below the upper one.
    shade_N = 0.30 * smoothstep(y, 0.15, 0.65) + 0.15 * smoothstep(np.hypot(x, y), 0.5, 0.95)
    sclera_N3 *= 1 - shade_N[:, None]
    rim_N = smoothstep(radius_N, _IRIS_RADIUS - 0.035, _IRIS_RADIUS + 0.03)[:, None]
    dark_rim_N = np.exp(-(((radius_N - _IRIS_RADIUS + 0.02) / 0.045) ** 2))[:, None]
    pupil_N = smoothstep(radius_N, _PUPIL_RADIUS - 0.025, _PUPIL_RADIUS + 0.02)[:, None]
    colours_N3 = (iris_N3 * (1 - rim_N) + sclera_N3 * rim_N) * (1 - 0.45 * dark_rim_N)
    return (colours_N3 * pupil_N + 0.02 * (1 - pupil_N)).astype(np.float32)
