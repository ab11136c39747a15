"""Folders of photos of people who do not exist: OpenHead with random shape, expression and pose."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from deca.appearance.albedo import load_albedo
from deca.head import load_head
from deca.head.layer import HeadLayer
from deca.render.preview import draw_head
from deca_training.data.index import Entry, write_index
from deca_training.data.journal import Finding

SIZE = (250, 260)
"""Width and height of the photos."""


@dataclass(frozen=True, eq=False)
class SyntheticPhoto:
    """A drawn photo and where the head's landmarks truly are.

    Attributes:
        name: Path below the folder: `subject/photo.png`.
        landmarks478_L3: Photo pixels; z in the same scale, smaller is nearer.
        landmarks68_L2: Photo pixels.
    """

    name: str
    landmarks478_L3: NDArray[np.float32]
    landmarks68_L2: NDArray[np.float32]


def make_photos(folder: Path, subjects: int = 3, photos: int = 2, seed: int = 0) -> list[SyntheticPhoto]:
    """Draws `photos` photos of each of `subjects` people into `folder/person0/0.png`, ..."""
    layer, texture_NN3 = _head()
    rng = np.random.default_rng(seed)
    made = []
    for subject in range(subjects):
        shape_1S = torch.from_numpy(rng.normal(0, 0.7, (1, 100)).astype(np.float32))
        tint_3 = rng.uniform(0.7, 1.0, 3)
        for photo in range(photos):
            expression_1E = torch.from_numpy((rng.uniform(0, 0.3, (1, 50)) ** 2).astype(np.float32))
            pose_153 = torch.zeros(1, 5, 3)
            pose_153[0, 0] = torch.from_numpy(np.radians(rng.uniform(-1, 1, 3) * (10, 25, 8)).astype(np.float32))
            verts_1V3 = layer(shape_1S, expression_1E, pose_153)
            scale, (x, y) = rng.uniform(850, 1000), np.array(SIZE) / 2 + rng.uniform(-12, 12, 2)
            to_photo_24 = np.array([[scale, 0, 0, x], [0, -scale, 0, y]])
            background = np.full((SIZE[1], SIZE[0], 3), rng.integers(60, 200, 3), np.uint8)
            image_HW3 = draw_head(
                background,
                layer.model,
                verts_1V3[0].numpy(),
                to_photo_24,
                texture_NN3=(texture_NN3 * tint_3).astype(np.uint8),
            )
            name = f"person{subject}/{photo}.png"
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image_HW3).save(folder / name)

            def on_photo(points_L3: torch.Tensor, to_photo_24: NDArray = to_photo_24) -> NDArray[np.float32]:
                points = points_L3[0].numpy()
                xy_L2 = points @ to_photo_24[:, :3].T + to_photo_24[:, 3]
                return np.column_stack([xy_L2, -points[:, 2] * to_photo_24[0, 0]]).astype(np.float32)

            marks478_L3 = on_photo(layer.landmarks_478(verts_1V3))
            marks68_L3 = on_photo(layer.landmarks_68(verts_1V3, pose_153))
            made.append(SyntheticPhoto(name, marks478_L3, marks68_L3[:, :2]))
    return made


def make_index(folder: Path, subjects: int = 3, photos: int = 2, seed: int = 0, masks: Path | None = None) -> Path:
    """Draws photos into `folder/photos` and writes their index with the true landmarks: nothing has to be detected."""
    made = make_photos(folder / "photos", subjects, photos, seed)
    path = folder / "photos.npz"
    write_index(
        path,
        [finding_of(photo) for photo in made],
        [Entry(photo.name.split("/")[0], photo.name if masks else "") for photo in made],
        folder=folder / "photos",
        masks=masks,
        landmarks="mediapipe",
    )
    return path


def finding_of(photo: SyntheticPhoto) -> Finding:
    """What a perfect survey would find."""
    xy_L2 = photo.landmarks478_L3[:, :2]
    box = (*xy_L2.min(0).tolist(), *xy_L2.max(0).tolist())
    return Finding(
        photo.name,
        (0, 0),
        faces=1,
        size=SIZE,
        box=box,
        score=1.0,
        presence=1.0,
        landmarks478_L3=photo.landmarks478_L3,
        landmarks68_L2=photo.landmarks68_L2,
    )


@cache
def _head() -> tuple[HeadLayer, NDArray[np.float64]]:
    mean_HW3, _ = load_albedo().arrays(256)
    texture_HW3 = mean_HW3.astype(np.float64).clip(0, 1) * 255
    return HeadLayer(load_head()), texture_HW3
