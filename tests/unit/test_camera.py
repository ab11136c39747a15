"""The camera against DECA's formula written out for single points."""

from __future__ import annotations

import numpy as np
import torch

from deca.render.camera import crop_pixels, project
from deca_blender.protocol.camera import photo_matrix


def test_projection_has_decas_signs() -> None:
    point, camera = torch.tensor([[[0.01, 0.02, 0.03]]]), torch.tensor([[8.0, 0.005, -0.004]])
    picture = project(point, camera)[0, 0]
    expected = [8 * 0.015, -8 * 0.016, -8 * 0.03]
    assert torch.allclose(picture, torch.tensor(expected), atol=1e-7)


def test_photo_matrix_agrees_with_projection_and_crop() -> None:
    rng = np.random.default_rng(0)
    points, camera = rng.normal(scale=0.1, size=(20, 3)), np.array([7.5, 0.01, -0.02])
    crop = np.array([[0.6, 0, -40.0], [0, 0.6, -75.0], [0, 0, 1]])
    on_photo = points @ photo_matrix(camera, crop)[:, :3].T + photo_matrix(camera, crop)[:, 3]
    on_crop = crop_pixels(project(torch.from_numpy(points)[None], torch.from_numpy(camera)[None]))[0].numpy()
    assert np.allclose(on_photo @ crop[:2, :2].T + crop[:2, 2], on_crop, atol=1e-9)
