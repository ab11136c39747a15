"""Skin of real photos, on which synthetic relief is shaded: pores, stubble, brows and make-up as they are.

Real skin has lines of its own. A network that was trained before tells where; they count as true, so that what the next
one learns of a photo is the same whether it is mirrored, shifted, blurred or full of noise, and as deep as the photo's
contrast says.

Shape suffixes: H W rows and columns of the UV map (256) or of a part of it, P Q those of photos laid out as it (512).
"""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from deca.errors import AssetError, DecaError
from deca.files import read_npz, write_file
from deca.networks import MAP_SIZE
from deca.networks.relief import FINER, Layout, ReliefNetwork, band, light_gradient, log_light
from deca.reconstruct.face import Face
from deca.reconstruct.models import load_models
from deca.reconstruct.pipeline import reconstruct
from deca.reconstruct.relief import layout_of
from deca.render.detail import detail_surface
from deca.render.normals import unit
from deca.vision.photo import read_photo
from deca_blender.protocol.conventions import BUILTIN_WEIGHTS, OPENHEAD

_TEXTURE = 8.0 * FINER
"""Sigma in pixels of the laid out photo, 8 texels: what varies faster is the skin's texture."""
_CONTRAST = 1.0
"""What `_contrast` is for photos of synthetic people, whose lines the network was trained on."""
_DEEPER = 4.0
"""How much deeper than theirs lines of real skin may be, at most; to a network that has seen synthetic skin alone,
lines of portraits have 1.3 to 6 times the contrast, to one that has learnt from portraits 1.1 to 1.7 times."""
_WELL = 0.9
"""How well a texel must be seen to count for its contrast."""
_FAINT = 0.01
"""Root mean square of the light's logarithm below which relief says nothing of its own depth."""
_FIELDS = ("photo_3PQ", "normals_3HW", "seen_HW", "light_93", "relief_HW")


@dataclass(frozen=True)
class Carrier:
    """A face of a photo, laid out as the UV map; fields as in `deca.networks.relief.Layout`.

    Attributes:
        light_93: Its light.
        relief_HW: What is known of its own relief, millimetres.
        texture_3PQ: Logarithm of the display values less that of their surroundings; 0 where nothing is seen.
    """

    photo_3PQ: NDArray[np.float16]
    normals_3HW: NDArray[np.float16]
    seen_HW: NDArray[np.float16]
    light_93: NDArray[np.float32]
    relief_HW: NDArray[np.float16]
    texture_3PQ: NDArray[np.float16]

    @classmethod
    def of(
        cls,
        photo_3PQ: NDArray[np.float16],
        normals_3HW: NDArray[np.float16],
        seen_HW: NDArray[np.float16],
        light_93: NDArray[np.float32],
        relief_HW: NDArray[np.float16],
    ) -> Carrier:
        """A carrier with its texture."""
        weight_PQ = seen_HW.astype(np.float32).repeat(FINER, 0).repeat(FINER, 1)
        around_PQ = cv2.GaussianBlur(weight_PQ, (0, 0), _TEXTURE) + 1e-3
        texture_3PQ = []
        for channel_PQ in np.log(photo_3PQ.astype(np.float32) + 0.03):
            blurred_PQ = cv2.GaussianBlur(channel_PQ * weight_PQ, (0, 0), _TEXTURE) / around_PQ
            texture_3PQ.append((channel_PQ - blurred_PQ) * weight_PQ)
        texture_3PQ = np.stack(texture_3PQ).astype(np.float16)
        return cls(photo_3PQ, normals_3HW, seen_HW, light_93, relief_HW, texture_3PQ)

    @property
    def lined(self) -> float:
        """Root mean square of its relief where it is seen, millimetres."""
        squares_HW = self.relief_HW.astype(np.float32) ** 2
        return float(np.sqrt((squares_HW * self.seen_HW).sum() / max(self.seen_HW.sum(dtype=np.float32), 1.0)))


def lay_out_carriers(folder: Path, out: Path, network: ReliefNetwork | None = None) -> list[Carrier]:
    """The largest face of each photo of a folder; laid out once, and kept in a file.

    Args:
        folder: Photos; without a network of smooth skin: their lines would be learnt as what is no relief.
        out: The file, .npz.
        network: Tells the relief that the photos show.

    Raises:
        AssetError: There is no photo with a face, or the file is damaged.
    """
    if not out.is_file():
        models, found = load_models(OPENHEAD, BUILTIN_WEIGHTS), []
        for path in sorted(folder.rglob("*")):
            try:
                photo = read_photo(path) if path.is_file() else None
                if photo is None:
                    continue
                face = reconstruct(photo, path=path, models=models, texture_size=None, max_faces=1)[0]
            except DecaError as error:
                print(f"no carrier: {error}", file=sys.stderr)
                continue
            layout = layout_of(photo.pixels, face)
            assert face.light_93 is not None
            relief_HW = np.zeros((MAP_SIZE, MAP_SIZE))
            if network is not None:
                read = (maps_B1HW[0] for maps_B1HW in network.read(layout))
                relief_HW = 1000 * as_deep_as_shown(*read, face, layout)
            maps = [tensor[0].numpy().astype(np.float16) for tensor in layout[:3]]
            found.append((maps[0], maps[1], maps[2][0], face.light_93, relief_HW.astype(np.float16)))
        if not found:
            raise AssetError(f"There is no photo with a face in {folder}.", "Give a folder of portraits.")
        data = io.BytesIO()
        np.savez(
            data, **{name: np.stack(arrays) for name, arrays in zip(_FIELDS, zip(*found, strict=True), strict=True)}
        )
        write_file(out, data.getvalue())
    return read_carriers(out)


def read_carriers(path: Path) -> list[Carrier]:
    """Those that `lay_out_carriers` wrote.

    Raises:
        AssetError: The file is missing or damaged.
    """
    arrays = read_npz(path, _FIELDS)
    return [Carrier.of(*fields) for fields in zip(*(arrays[name] for name in _FIELDS), strict=True)]


def as_deep_as_shown(
    displacement_1HW: torch.Tensor, certainty_1HW: torch.Tensor, face: Face, layout: Layout
) -> NDArray[np.float32]:
    """A relief (H, W) as deep as the photo's own contrast says.

    Args:
        displacement_1HW, certainty_1HW: As the network reads them.
        face, layout: What it was read from.
    """
    deeper = float(np.clip(_contrast(displacement_1HW, certainty_1HW, face, layout) / _CONTRAST, 1, _DEEPER))
    return deeper * displacement_1HW[0].numpy()


@torch.inference_mode()
def _contrast(displacement_1HW: torch.Tensor, certainty_1HW: torch.Tensor, face: Face, layout: Layout) -> float:
    """How much more the photo varies along with the shading of the relief than that shading does, where it is certain.

    The network knows lines of synthetic skin; those of real skin are darker for their depth, or deeper.
    """
    skin = detail_surface(torch.from_numpy(face.vertices())[None], displacement_1HW[None], face.head, smooth=True)
    tilt_13HW = unit(skin.normals_B3HW) - unit(skin.coarse_normals_B3HW)
    light_11HW, seen_11HW = log_light(layout.photo_B3HW), layout.seen_B1HW
    shading_11HW = (light_gradient(light_11HW, layout.normals_B3HW, seen_11HW) * tilt_13HW).sum(1, keepdim=True)
    weight_11HW = certainty_1HW[None] * (seen_11HW > _WELL)
    shaded_11HW, shown_11HW = band(shading_11HW, seen_11HW), band(light_11HW, seen_11HW)
    faint = _FAINT**2 * float(weight_11HW.sum().clamp(min=1.0))
    along, itself = ((weight_11HW * shaded_11HW * map_11HW).sum() for map_11HW in (shown_11HW, shaded_11HW))
    return float((along + _CONTRAST * faint) / (itself + faint))
