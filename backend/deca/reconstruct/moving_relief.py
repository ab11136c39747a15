"""A photo's relief in motion: the one home of how a head's detail follows its expression.

The photo shows where this person's lines lie, at one expression; F_d knows when skin folds. With D what F_d makes of
the head's own code, a its local strength (root of its blurred square), and for each relief R that the head wears, s its
share and w that times how sure it is,

    detail(e) = (1 - S + S / sum s * sum g (s - w) + min(sum w u, 1)) D(e) + limit(sum w R m)
    S = min(sum s, 1),    q = (a(e) + f) / (a(photo) + f),    m = min(q, MOST_ACTIVE),    u = UNFORESEEN (1 - m / q)
    g = GENERIC (1 - h / max(q, 1)),    h = 1 on the forehead, 0 elsewhere

so that relief that is sure takes the place of F_d's lines. Where the photo did not show the skin a part g of F_d's
stays, on the forehead only when it folds more than on the photo: who wears a fringe has no lines there until the brows
go up. A part comes back where the expression folds skin far more than on the photo: a smooth brow does not tell which
lines it has when it is raised. `deca-train evaluate photo-relief` measures what this explains of a person's other
expressions.

Shape suffixes: B batch, H W rows and columns of UV maps (256), P Q those of cells of 4 x 4 texels (64).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from deca.appearance.trust import regions_of
from deca.errors import AssetError, OptionError
from deca.head import HeadModel
from deca.networks import MAP_SIZE
from deca.reconstruct.relief import Relief
from deca.render.detail import DETAIL_MASK
from deca.render.uv import texels_of, uv_mask

MOST_ACTIVE = 1.75
"""Lines get no deeper than so many times what the photo shows."""
ACTIVITY_FLOOR = 0.08e-3
"""Metres, f above: where F_d hardly moves, its strength tells nothing.

On 24 people that only these two were chosen on, three photos each, 1.75 and 0.08 mm explain 0.392 of the other
expressions (dynamic 0.258; with the true relief 0.799 and 0.450). 1.75 and 0.06 or 0.045 mm: 0.388 (0.261), 0.384
(0.261); 2 and 0.1 or 0.15 mm: 0.386 (0.263), 0.394 (0.245); 1.5 and 0.06 mm: 0.402 (0.244). Powers of the ratio with
floors and limits of their own: 0.7, 1.6 and 0.03 mm 0.394 (0.241), 1.5, 1.75 and 0.15 mm 0.392 (0.262)."""
DEEPEST = 3e-3
"""Metres that skin of the face folds up or down at most: deep folds beside a smiling mouth."""
UNFORESEEN = 0.25
"""Share of F_d's lines that comes back where skin folds without limit; on the same people 0 and 0.5 explain as much,
but without any a face that was smooth stays so when its brows are raised."""
GENERIC = 0.4
"""Share of F_d's lines where the photo does not tell. On 85 portraits, forehead, middle and lower face taken as if they
had not been seen: all of F_d's fine lines explain -0.09 of the person's, 0.7 of them 0.09, 0.4 and 0.5 0.13, 0.2 0.10;
how deep the lines are elsewhere on that face tells no more (0.14). Each part's best share: middle 0.33, lower face
0.45, forehead -0.1, so that F_d's lines stay off a forehead at rest."""
SURE = 0.5
"""Certainty from which on nothing of F_d's lines is left; below it both blend."""

_CELL = 4
"""Texels across a cell."""
_BLUR = 0.9
"""Standard deviation in cells; with the cells' own averaging about 4 texels."""

_MAGIC, _HEADER = b"DRL1", struct.Struct("<4sHH")
_STEP, _ACTIVITY_STEP = 1e-6, 1e-7
"""Metres per unit of what is stored."""


@dataclass(frozen=True, eq=False)
class MovingRelief:
    """The relief of a photo, with what makes it move.

    Attributes:
        displacement_HW: Along the coarse normals at the photo's expression, metres; zero outside the detail mask.
        certainty_PQ: How sure it is, 0..1.
        activity_PQ: Local strength of F_d's map at the photo's expression, metres.
    """

    displacement_HW: NDArray[np.float32]
    certainty_PQ: NDArray[np.float32]
    activity_PQ: NDArray[np.float32]

    @classmethod
    def of(cls, relief: Relief, detail_11HW: Tensor, head: HeadModel) -> MovingRelief:
        """Of a photo's relief, and what F_d makes of the face's code at the photo's expression."""
        certainty_11HW = torch.from_numpy(np.array(relief.certainty_HW, np.float32))[None, None]
        certainty_11PQ = _blurred(functional.avg_pool2d(certainty_11HW, _CELL)).clamp(0, 1)
        activity_11PQ = activity(detail_11HW, head).cpu()
        displacement_HW = np.asarray(relief.displacement_HW, np.float32)
        return cls(displacement_HW, certainty_11PQ[0, 0].numpy(), activity_11PQ[0, 0].numpy())

    def pack(self) -> bytes:
        """A few ten thousand bytes that heads carry around; exact to half a micrometre and 1/510 of certainty."""
        steps_HW = np.rint(np.clip(self.displacement_HW / _STEP, -32767, 32767)).astype(np.int16)
        # Neighbours are alike: differences along rows, all low bytes before all high ones, which are 0 or 255.
        differences_HW = np.diff(steps_HW, axis=1, prepend=np.int16(0)).astype("<i2")
        parts = (
            np.ascontiguousarray(differences_HW.view(np.uint8).reshape(-1, 2).T),
            np.rint(self.certainty_PQ * 255).astype(np.uint8),
            np.rint(np.clip(self.activity_PQ / _ACTIVITY_STEP, 0, 65535)).astype("<u2"),
        )
        header = _HEADER.pack(_MAGIC, len(steps_HW), len(self.certainty_PQ))
        return header + zlib.compress(b"".join(part.tobytes() for part in parts), 9)

    @classmethod
    def unpack(cls, packed: bytes) -> MovingRelief:
        """What `pack` made.

        Raises:
            AssetError: These are no such bytes.
        """
        try:
            magic, size, cells = _HEADER.unpack_from(packed)
            if magic != _MAGIC or (size, cells) != (MAP_SIZE, MAP_SIZE // _CELL):
                raise ValueError(f"{magic} {size}")
            limit = 2 * size**2 + 3 * cells**2
            data = zlib.decompressobj().decompress(packed[_HEADER.size :], limit)
            rows, certainty, activity_ = np.split(np.frombuffer(data, np.uint8), [2 * size**2, 2 * size**2 + cells**2])
            differences_HW = np.ascontiguousarray(rows.reshape(2, -1).T).view("<i2").reshape(size, size)
            steps_HW = np.cumsum(differences_HW, axis=1, dtype=np.int16)
            return cls(
                steps_HW * np.float32(_STEP),
                certainty.reshape(cells, cells) / np.float32(255),
                activity_.view("<u2").reshape(cells, cells) * np.float32(_ACTIVITY_STEP),
            )
        except (ValueError, struct.error, zlib.error) as error:
            raise AssetError(
                f"The photo detail that the head carries is damaged, or of another version ({error}).",
                "Import the photo again, or turn Photo Detail to 0.",
            ) from error


Shares = Sequence[tuple[MovingRelief, float]]
"""Reliefs that a head wears, each with its share: 1 for its own as the photo shows it."""


def with_reliefs(detail_B1HW: Tensor, reliefs: Shares, head: HeadModel) -> Tensor:
    """The detail of heads that wear the same reliefs (B, 1, H, W), metres; without any, what comes in.

    Args:
        detail_B1HW: What F_d makes of the codes, metres.
        reliefs: The reliefs with their shares.
        head: Gives the detail mask.

    Raises:
        OptionError: Maps of this size and the reliefs do not go together.
    """
    reliefs = [(relief, share) for relief, share in reliefs if share > 0]
    if not reliefs:
        return detail_B1HW
    if detail_B1HW.shape[-1] != MAP_SIZE:
        raise OptionError(f"Photo detail is {MAP_SIZE} texels wide, these maps {detail_B1HW.shape[-1]}.")

    def cells(array_PQ: NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(array_PQ).to(detail_B1HW)[None, None]

    activity_B1PQ = activity(detail_B1HW, head) + ACTIVITY_FLOOR
    back_B1PQ, generic_B1PQ, lines_B1HW = (torch.zeros(()).to(detail_B1HW) for _ in range(3))
    forehead_11PQ, shares = cells(_forehead(head)), sum(share for _, share in reliefs)
    for relief, share in reliefs:
        weight_11PQ = share * (cells(relief.certainty_PQ) / SURE).clamp(max=1)
        ratio_B1PQ = activity_B1PQ / (cells(relief.activity_PQ) + ACTIVITY_FLOOR)
        used_B1PQ = ratio_B1PQ.clamp(max=MOST_ACTIVE)
        relief_HW = torch.from_numpy(relief.displacement_HW).to(detail_B1HW)
        lines_B1HW = lines_B1HW + relief_HW * _texels(used_B1PQ) * _texels(weight_11PQ)
        back_B1PQ = back_B1PQ + weight_11PQ * UNFORESEEN * (1 - used_B1PQ / ratio_B1PQ)
        unknown_B1PQ = (share - weight_11PQ) * (1 - forehead_11PQ / ratio_B1PQ.clamp(min=1))
        generic_B1PQ = generic_B1PQ + GENERIC * unknown_B1PQ
    worn = min(shares, 1.0)
    kept_B1PQ = 1 - worn + worn / shares * generic_B1PQ + back_B1PQ.clamp(max=1)
    return detail_B1HW * _texels(kept_B1PQ) + _limited(lines_B1HW)


@lru_cache(maxsize=4)
def _forehead(head: HeadModel) -> NDArray[np.float32]:
    """What of each cell (P, Q) is forehead, 0..1."""
    forehead_HW = torch.from_numpy(regions_of(texels_of(head, MAP_SIZE)).forehead.astype(np.float32))
    return _blurred(functional.avg_pool2d(forehead_HW[None, None], _CELL))[0, 0].numpy()


def activity(detail_B1HW: Tensor, head: HeadModel) -> Tensor:
    """The local strength (B, 1, P, Q) of maps, metres: the root of their blurred square, inside the detail mask."""
    masked_B1HW = detail_B1HW * uv_mask(head, DETAIL_MASK, detail_B1HW.shape[-1], detail_B1HW.device, detail_B1HW.dtype)
    return _blurred(functional.avg_pool2d(masked_B1HW.square(), _CELL)).sqrt()


def _limited(lines_B1HW: Tensor) -> Tensor:
    """Lines no deeper than `DEEPEST`, nearly unchanged up to half of that; their sign stays."""
    return lines_B1HW * ((lines_B1HW / DEEPEST).square().square() + 1).sqrt().rsqrt()


def _blurred(cells_B1PQ: Tensor) -> Tensor:
    radius = int(4 * _BLUR + 0.5)
    kernel = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / _BLUR) ** 2).to(cells_B1PQ)
    kernel = (kernel / kernel.sum())[None, None]
    padded = functional.pad(cells_B1PQ, (radius,) * 4, mode="replicate")
    return functional.conv2d(functional.conv2d(padded, kernel[..., None]), kernel[..., None, :])


def _texels(cells_B1PQ: Tensor) -> Tensor:
    """Cells as texels, without steps."""
    return functional.interpolate(cells_B1PQ, scale_factor=_CELL, mode="bilinear", align_corners=False)
