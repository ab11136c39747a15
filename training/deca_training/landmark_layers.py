"""E_c's two last layers, taught landmarks once more: beside a shape encoder it is another shape that they have to turn,
move and place on the crop.

Shape suffixes: N photos, B of a step, F features, N L landmarks, S shape coefficients, X numbers of a code.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from deca.head import HeadModel
from deca.head.layer import HeadLayer
from deca.networks import Checkpoint, Codes
from deca.networks.face_descriptor import FaceFeatures
from deca.networks.shape_encoder import face_chips
from deca.render.camera import project
from deca.vision.crop import encoder_crop
from deca_blender.protocol.conventions import CROP_SIZE
from deca_training.data.index import PhotoIndex
from deca_training.data.storage import evenly_chosen
from deca_training.losses.landmark import weights_478

STEPS = 600
_PHOTOS, _BATCH = 3600, 48
_RATE = 5e-4
_EXPRESSION = 2e-4
"""Weight of the expression's squares, as DECA has (Eq. 4), beside landmarks in hundredths of the crop."""
_KEEP = 0.3
"""Weight of what shape, albedo and light codes stray from what they were, in their standard deviations."""


def teach_landmarks(
    checkpoint: Checkpoint, head: HeadModel, photos: PhotoIndex, steps: int = STEPS, *, progress: bool = False
) -> tuple[float, float]:
    """Trains `coarse_encoder.layers` of a checkpoint with a shape encoder, in place.

    Args:
        checkpoint: The networks, on the CPU.
        head: Their head model, with MediaPipe's landmarks.
        photos: Photos of real people.
        steps: How many of 48 photos.
        progress: Show progress bars.

    Returns:
        Mean distance of the landmarks on all the photos before and after, in hundredths of the crop's half.
    """
    coarse, sizes = checkpoint.coarse_encoder, checkpoint.card.sizes
    features_NF, shape_NS, wanted_NL2 = _seen(checkpoint, photos, progress)
    layer = HeadLayer(head, sizes.shape, sizes.expression)
    weights_L = weights_478(head)
    with torch.no_grad():
        before_NX = coarse.layers(features_NF)
    first, last = sizes.shape + sizes.albedo, sizes.num_coarse - sizes.light
    kept = [*range(first), *range(last, sizes.num_coarse)]
    spread_X = before_NX[:, kept].std(0) + 0.05

    def distance(rows: Tensor, codes: Codes) -> Tensor:
        verts_BV3 = layer(shape_NS[rows], codes.expression_BE, codes.pose_BJ3)
        found_BL2 = project(layer.landmarks_478(verts_BV3), codes.camera_B3)[..., :2]
        return 100 * ((found_BL2 - wanted_NL2[rows]).norm(dim=-1) * weights_L).sum(1).mean() / weights_L.sum()

    def everywhere() -> float:
        with torch.no_grad():
            parts = torch.arange(len(features_NF)).split(_BATCH)
            found = [float(distance(rows, Codes.split(coarse.layers(features_NF[rows]), sizes))) for rows in parts]
        return float(np.average(found, weights=[len(rows) for rows in parts]))

    start = everywhere()
    coarse.layers.requires_grad_(True)
    optimizer = torch.optim.AdamW(coarse.layers.parameters(), weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=steps, pct_start=0.1)
    generator = torch.Generator().manual_seed(0)
    for _ in tqdm(range(steps), unit="step", disable=not progress):
        rows = torch.randperm(len(features_NF), generator=generator)[:_BATCH]
        made_BX = coarse.layers(features_NF[rows])
        codes = Codes.split(made_BX, sizes)
        strayed = ((made_BX[:, kept] - before_NX[rows][:, kept]) / spread_X).square().mean()
        energy = codes.expression_BE.square().sum(1).mean()
        loss = 0.2 * distance(rows, codes) + _EXPRESSION * energy + _KEEP * strayed
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    coarse.layers.requires_grad_(False)
    return start, everywhere()


@torch.inference_mode()
def _seen(checkpoint: Checkpoint, photos: PhotoIndex, progress: bool) -> tuple[Tensor, Tensor, Tensor]:
    """E_c's features (N, F), the shape encoder's shape (N, S), and the landmarks (N, 478, 2) in picture coordinates."""
    assert checkpoint.shape_encoder is not None
    descriptor = FaceFeatures.load()
    features, shapes, wanted = [], [], []
    for seen in evenly_chosen(photos, _PHOTOS, progress=progress):
        image_13HW, points_1L3 = (torch.from_numpy(value)[None] for value in encoder_crop(*seen)[1:])
        features.append(checkpoint.coarse_encoder.encoder(image_13HW))
        shapes.append(checkpoint.shape_encoder(descriptor(face_chips(image_13HW, points_1L3)), points_1L3))
        wanted.append(points_1L3[..., :2] / (CROP_SIZE / 2) - 1)
    return tuple(torch.cat(parts).clone() for parts in (features, shapes, wanted))  # type: ignore[return-value]
