"""Conformance vectors: what networks must answer, kept in their weights file and compared whenever they are loaded.

So a runtime, a device or a precision that computes something else is found before it makes wrong faces.

Shape suffixes: N coarse codes, D detail code, L landmarks, S shape coefficients, H W rows and columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from deca.errors import AssetError
from deca.networks.codes import CodeSizes
from deca_blender.protocol.conventions import CROP_SIZE

_SMALL = 14
_MAP = 32
_TOLERANCE = 0.02
"""Of the largest value of an answer: half precision stays below a tenth of it."""

Run = Callable[..., Tensor]


def conformance_vectors(
    coarse: nn.Module,
    detail: nn.Module,
    decoder: nn.Module,
    sizes: CodeSizes,
    shape: Run | None = None,
    landmarks_1L3: Tensor | None = None,
) -> dict[str, Tensor]:
    """Inputs and answers of the networks, which are in evaluation mode on the CPU.

    Args:
        coarse, detail, decoder: E_c, E_d and F_d.
        sizes: Lengths of the codes.
        shape: `Networks.encode_shape`, where there is a shape encoder.
        landmarks_1L3: What it and E_d are to be asked with, crop pixels.

    Returns:
        `picture_13HW` (a small picture, enlarged to the crop), `coarse_1N`, `detail_1D`, and `map_11HW` for that detail
        code and the coarse codes' expression and jaw, in metres, reduced by averaging. With a shape
        encoder also `landmarks_1L3` and `shape_1S`.
    """
    generator = torch.Generator().manual_seed(0)
    asked = {"picture_13HW": torch.rand(1, 3, _SMALL, _SMALL, generator=generator)}
    if landmarks_1L3 is not None:
        asked["landmarks_1L3"] = landmarks_1L3
    return asked | _answers(asked, coarse, detail, decoder, sizes, shape)


def check_conformance(
    expected: Mapping[str, Tensor], coarse: Run, detail: Run, decoder: Run, sizes: CodeSizes, shape: Run | None = None
) -> None:
    """Compares what networks answer with a file's vectors; see `conformance_vectors`.

    Raises:
        AssetError: An answer is off by more than rounding.
    """
    found = _answers(expected, coarse, detail, decoder, sizes, shape)
    for name, answer in found.items():
        wanted = expected[name].float()
        scale = max(float(wanted.abs().max()), 1e-6)
        error = float((answer - wanted).abs().max()) / scale
        if not error <= _TOLERANCE:
            raise AssetError(
                f"The networks do not compute what their file says they should: {name.split('_')[0]} is off by"
                f" {100 * error:.0f} %.",
                "The file is damaged, or this device or runtime computes wrongly: download the weights again, choose"
                " another device, or update the graphics driver.",
            )


@torch.no_grad()
def _answers(
    asked: Mapping[str, Tensor], coarse: Run, detail: Run, decoder: Run, sizes: CodeSizes, shape: Run | None
) -> dict[str, Tensor]:
    crop_13HW = functional.interpolate(asked["picture_13HW"].float(), (CROP_SIZE, CROP_SIZE), mode="bilinear")
    landmarks_1L3 = asked.get("landmarks_1L3")
    coarse_1N = coarse(crop_13HW).float().cpu()
    detail_1D = detail(crop_13HW, None if landmarks_1L3 is None else landmarks_1L3.float()).float().cpu()
    start = sizes.shape + sizes.albedo
    expression_1E = coarse_1N[:, start : start + sizes.expression]
    jaw_13 = coarse_1N[:, start + sizes.expression + 3 : start + sizes.expression + 6]
    map_11HW = decoder(detail_1D, expression_1E, jaw_13).float().cpu()
    answers = {"coarse_1N": coarse_1N, "detail_1D": detail_1D}
    if shape is not None and landmarks_1L3 is not None:
        answers["shape_1S"] = shape(crop_13HW, landmarks_1L3.float()).float().cpu()
    return answers | {"map_11HW": functional.adaptive_avg_pool2d(map_11HW, _MAP)}
