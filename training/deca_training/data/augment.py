"""Random changes of a photo on its way into a batch: crop, rotation, flip, colour, occlusion."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from deca.errors import OptionError
from deca.vision.crop import CROP_SCALE, crop_from_landmarks
from deca_blender.protocol.conventions import CROP_SIZE

_GREY = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Augmentation:
    """How far the changes go. Shares are probabilities, ranges are uniform.

    Attributes:
        crop_scale: Side of the crop in sides of the face's box times 1.1: DECA trains with 1.4 to 1.8, and infers
            with 1.25.
        shift: Largest shift of the crop in x and in y, in its sides.
        rotate: Largest rotation in the picture plane, degrees.
        flip: Share of subjects whose photos are mirrored. Never some of a subject's photos only: a face is not
            symmetric, and the photos of a batch exchange their shape and detail codes.
        brightness, contrast, saturation: Largest relative change.
        tint: Largest relative change of one colour channel alone.
        grey: Share of photos without colours.
        blur: Share of blurred photos, as enlarged ones are.
        noise: Largest standard deviation of the noise of pixels, in 0..1, the same in all channels.
        occlusion: Share of photos with something in front of a part of the face; the mask leaves it out.
    """

    crop_scale: tuple[float, float] = (1.4, 1.8)
    shift: float = 0.05
    rotate: float = 10.0
    flip: float = 0.5
    brightness: float = 0.15
    contrast: float = 0.15
    saturation: float = 0.15
    tint: float = 0.04
    grey: float = 0.02
    blur: float = 0.1
    noise: float = 0.02
    occlusion: float = 0.15

    def __post_init__(self) -> None:
        low, high = self.crop_scale
        shares = (self.flip, self.grey, self.blur, self.occlusion)
        amounts = (self.shift, self.rotate, self.brightness, self.contrast, self.saturation, self.tint, self.noise)
        if not (0 < low <= high and all(0 <= share <= 1 for share in shares) and all(a >= 0 for a in amounts)):
            raise OptionError(
                f"This augmentation makes no sense: {self}.", "Shares are 0..1, amounts not negative, ranges ascending."
            )

    @classmethod
    def none(cls, crop_scale: float = CROP_SCALE) -> Augmentation:
        """No changes: the crop as at inference."""
        return replace(cls.paper(), crop_scale=(crop_scale, crop_scale))

    @classmethod
    def paper(cls) -> Augmentation:
        """The crop's scale alone, which is all that is known of DECA's."""
        return cls(
            shift=0.0,
            rotate=0.0,
            flip=0.0,
            brightness=0.0,
            contrast=0.0,
            saturation=0.0,
            tint=0.0,
            grey=0.0,
            blur=0.0,
            noise=0.0,
            occlusion=0.0,
        )


FLIP_33 = np.array([[-1.0, 0, CROP_SIZE], [0, 1, 0], [0, 0, 1]])
"""Crop pixels to those of the mirrored crop."""


def random_crop(
    box_points_L2: NDArray[np.floating], augmentation: Augmentation, rng: np.random.Generator, flipped: bool
) -> NDArray[np.float64]:
    """The 3x3 matrix from photo pixels to the pixels of a random crop.

    Args:
        box_points_L2: The landmarks whose box DECA's crop is measured on.
        augmentation: How far to go.
        rng: Source of the changes.
        flipped: Mirror the crop.
    """
    scale, angle = rng.uniform(*augmentation.crop_scale), np.radians(rng.uniform(-1, 1) * augmentation.rotate)
    shift_2 = rng.uniform(-1, 1, 2) * augmentation.shift * CROP_SIZE
    cos, sin, half = np.cos(angle), np.sin(angle), CROP_SIZE / 2
    x, y = half + shift_2
    turn_33 = np.array([[cos, -sin, x - half * (cos - sin)], [sin, cos, y - half * (sin + cos)], [0, 0, 1]])
    to_crop_33 = turn_33 @ crop_from_landmarks(box_points_L2, scale)
    return FLIP_33 @ to_crop_33 if flipped else to_crop_33


def change_colours(
    image_HW3: NDArray[np.uint8], augmentation: Augmentation, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Brightness, contrast, tint, saturation, blur and noise; the same picture when all are 0.

    Args:
        image_HW3: sRGB.
        augmentation: How far to go.
        rng: Source of the changes.
    """
    a = augmentation
    changed: NDArray = image_HW3
    gain, contrast, saturation = 1 + rng.uniform(-1, 1, 3) * (a.brightness, a.contrast, a.saturation)
    tint_3 = 1 + rng.uniform(-1, 1, 3) * a.tint
    grey, blurred = rng.uniform(0, 1, 2) < (a.grey, a.blur)
    sigma_blur, sigma_noise = rng.uniform(0.5, 2.0), rng.uniform(0, 1) * a.noise * 255
    if a.brightness or a.contrast or a.tint:
        levels = np.arange(256, dtype=np.float32)[:, None]
        table_3 = ((levels - 128) * contrast + 128) * gain * tint_3
        changed = cv2.LUT(changed, np.clip(np.rint(table_3), 0, 255).astype(np.uint8)[None])
    if grey or a.saturation:
        share = 0.0 if grey else saturation
        # A matrix on colours: share * identity + (1 - share) * grey.
        mix_33 = (share * np.eye(3, dtype=np.float32) + (1 - share) * np.tile(_GREY, (3, 1))).astype(np.float32)
        changed = cv2.transform(changed, mix_33)
    if blurred:
        changed = cv2.GaussianBlur(changed, (0, 0), sigma_blur)
    if a.noise:
        noise_HW = rng.standard_normal(changed.shape[:2], np.float32) * np.float32(sigma_noise)
        changed = cv2.add(changed, cv2.merge([noise_HW] * 3), dtype=cv2.CV_8U)
    return np.asarray(changed, np.uint8)


def occlude(
    image_HW3: NDArray[np.uint8],
    mask_HW: NDArray[np.uint8],
    augmentation: Augmentation,
    rng: np.random.Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Puts a turned ellipse or rectangle over a part of a square picture, of one colour with a coarse texture.

    Args:
        image_HW3: sRGB.
        mask_HW: Skin, 0 or 255.
        augmentation: How often.
        rng: Source of the changes.

    Returns:
        Picture and mask; the mask is 0 where the thing is.
    """
    if rng.uniform() >= augmentation.occlusion:
        return image_HW3, mask_HW
    size = len(image_HW3)
    centre = rng.uniform(0.15, 0.85, 2) * size
    axes = rng.uniform(0.05, 0.2, 2) * size
    angle = rng.uniform(0, 180)
    thing_HW = np.zeros((size, size), np.uint8)
    if rng.uniform() < 0.5:
        cv2.ellipse(thing_HW, (tuple(centre), tuple(2 * axes), angle), (1,), -1)
    else:
        corners_42 = cv2.boxPoints((tuple(centre), tuple(2 * axes), angle))
        cv2.fillConvexPoly(thing_HW, np.rint(corners_42).astype(np.int32), (1,))
    colour_3, rough = rng.uniform(0, 255, 3), rng.uniform(0, 40)
    coarse = (colour_3 + rng.normal(0, 1, (8, 8, 3)) * rough).clip(0, 255).astype(np.uint8)
    texture_HW3 = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    covered = thing_HW.astype(bool)
    return np.where(covered[..., None], texture_HW3, image_HW3), np.where(covered, np.uint8(0), mask_HW)
