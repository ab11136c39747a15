"""ID-MRF loss (DECA, Eq. 13): every place of the photo shall have a place in the rendering that resembles it.

Wang et al. 2018, "Image Inpainting via Generative Multi-column Convolutional Neural Networks", Eqs. 2 to 4. For one
layer's features, v a place of the rendering, s a place of the photo (patches of 1 x 1 features):

    d(v, s) = (1 - cos(v, s)) / 2                          cosine of the centred features
    RS(v, s) = exp((1 - d(v, s) / (min_r d(v, r) + eps)) / sigma)
    L_M = -log(mean_s max_v RS(v, s) / sum_r RS(v, r))

Shape suffixes: B batch, C channels, H W rows and columns of features, V places of the rendering, S places of the photo.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from deca_training.losses.reduction import in_full_precision

if TYPE_CHECKING:
    from deca_training.config import Form

LAYERS: dict[str, dict[str, float]] = {
    "paper": {"relu3_2": 1.0, "relu4_2": 2.0},
    "release": {"relu3_1": 1.0, "relu4_1": 2.0},
}
"""Layers of VGG and their factors, by form; the features behind the activation."""

EPSILON, SIGMA = 1e-5, 0.5
LARGEST_TABLE = 1 << 22
"""Similarities that are held at a time: 16 MB in float32, a few times that while gradients are computed."""
_NO_DIRECTION = 1e-12


class FeatureNetwork(Protocol):
    """Gives named features (B, C, H, W) of pictures (B, 3, H, W), e.g. `deca_training.features.vgg.VggFeatures`."""

    def __call__(self, image_B3HW: Tensor, layers: tuple[str, ...]) -> dict[str, Tensor]: ...


def id_mrf_loss(network: FeatureNetwork, rendering_B3HW: Tensor, photo_B3HW: Tensor, form: Form) -> Tensor:
    """ID-MRF loss over the layers of a form (DECA, Eq. 13); mean over the batch. The photo gets no gradient.

    Args:
        network: Frozen feature network.
        rendering_B3HW: Renderings, 0..1; black outside of the skin, as the photos.
        photo_B3HW: Photos.
        form: Which layers, and what the features are centred by (`mrf_distance`).
    """
    layers = LAYERS[form]
    with torch.no_grad():
        wanted = network(photo_B3HW, tuple(layers))
    found = network(rendering_B3HW, tuple(layers))
    terms = [factor * mrf_distance(found[layer], wanted[layer], form) for layer, factor in layers.items()]
    return torch.stack(terms).sum()


def mrf_distance(found_BCHW: Tensor, wanted_BCHW: Tensor, form: Form) -> Tensor:
    """L_M of one layer's features, mean over the batch.

    Args:
        found_BCHW: Features of the renderings.
        wanted_BCHW: Features of the photos; no gradient.
        form: What the features are centred by. "paper": the photo's mean feature vector, as in the contextual loss
            that Wang et al. build on (Mechrez et al. 2018, Eq. 2). "release": at each place, the mean of the photo's
            channels there.
    """
    with torch.autocast(found_BCHW.device.type, enabled=False):
        found_BCHW, wanted_BCHW = in_full_precision(found_BCHW, wanted_BCHW.detach())
        centre = wanted_BCHW.mean((2, 3) if form == "paper" else 1, keepdim=True)
        found_BVC, wanted_BSC = (
            _directions((features - centre).flatten(2).transpose(1, 2)) for features in (found_BCHW, wanted_BCHW)
        )
        distances: Any = _MrfDistance.apply(found_BVC, wanted_BSC)
        return distances.mean()


def _directions(features_BVC: Tensor) -> Tensor:
    """Features at length one; zero, without gradient, where there are none."""
    squared_BV1 = features_BVC.square().sum(-1, keepdim=True)
    scale_BV1 = squared_BV1.clamp(min=_NO_DIRECTION).rsqrt() * (squared_BV1 > _NO_DIRECTION)
    return features_BVC * scale_BV1


class _MrfDistance(torch.autograd.Function):
    """L_M of unit features (B, V, C) and (B, S, C), (B,).

    Autograd would keep several V x S tables per photo, gigabytes for a batch. But only the column of each maximum has
    a gradient. So the maxima are found without autograd, a part of the table at a time; then the gradients of their
    columns alone are computed, at once, and only those are kept.
    """

    @staticmethod
    def forward(ctx: Any, found_BVC: Tensor, wanted_BSC: Tensor) -> Tensor:
        step = max(LARGEST_TABLE // max(wanted_BSC.shape[1], 1), 1)
        results = [
            _one_photo(found_VC, wanted_SC, step, ctx.needs_input_grad[0])
            for found_VC, wanted_SC in zip(found_BVC, wanted_BSC, strict=True)
        ]
        if ctx.needs_input_grad[0]:
            ctx.save_for_backward(torch.stack([slope_VC for _, slope_VC in results]))
        return torch.stack([distance for distance, _ in results])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope_B: Tensor) -> tuple[Tensor, None]:
        (slope_BVC,) = ctx.saved_tensors
        return slope_B[:, None, None] * slope_BVC, None


def _one_photo(found_VC: Tensor, wanted_SC: Tensor, step: int, with_slope: bool) -> tuple[Tensor, Tensor]:
    """L_M of one photo and its derivative by `found_VC` (zero when not asked for)."""
    best_S = wanted_SC.new_zeros(len(wanted_SC))
    place_S = torch.zeros_like(best_S, dtype=torch.long)
    for start in range(0, len(found_VC), step):
        share_S, row_S = _shares(found_VC[start : start + step], wanted_SC).max(0)
        is_better_S = share_S > best_S
        best_S = torch.where(is_better_S, share_S, best_S)
        place_S = torch.where(is_better_S, row_S + start, place_S)
    slope_VC = torch.zeros_like(found_VC)
    if with_slope:
        chosen_U, row_S = place_S.unique(return_inverse=True)
        for start in range(0, len(chosen_U), step):
            part_S = ((row_S >= start) & (row_S < start + step)).nonzero()[:, 0]
            with torch.enable_grad():
                leaf_UC = found_VC[chosen_U[start : start + step]].requires_grad_()
                total = _shares(leaf_UC, wanted_SC)[row_S[part_S] - start, part_S].sum()
            slope_VC[chosen_U[start : start + step]] = torch.autograd.grad(total, leaf_UC)[0]
        slope_VC *= -1 / best_S.sum()
    return -best_S.mean().log(), slope_VC


def _shares(found_VC: Tensor, wanted_SC: Tensor) -> Tensor:
    """RS(v, s) / sum_r RS(v, r) for some of the places v, (V, S); exp(1 / sigma) cancels."""
    distance_VS = ((1 - found_VC @ wanted_SC.T) / 2).clamp(min=0)
    nearest_V1 = distance_VS.amin(1, keepdim=True)
    return torch.softmax(distance_VS / (-SIGMA * (nearest_V1 + EPSILON)), dim=1)
