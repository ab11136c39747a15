"""Contact sheets: real skin, laid out as the UV map, beside the relief that a network finds on it.

Shape suffixes: H W rows and columns of the part of the UV map that shows the face.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from deca.files import write_file
from deca.networks.relief import Layout, ReliefNetwork, finer
from deca_training.relief.carriers import Carrier

_LIGHT = np.array([-0.45, -0.45, 0.77])
"""From the upper left, in columns, rows and towards the eye."""
_EXAGGERATED = 3.0
"""Times: wrinkles of tenths of a millimetre are to be seen on a sheet."""
_DENSITY = 2.0
"""Photo pixels per texel of portraits."""
_COLUMNS = 5


def write_sheet(network: ReliefNetwork, carriers: Sequence[Carrier], part: tuple[slice, slice], path: Path) -> None:
    """Writes a JPEG with a pair of pictures for each carrier: its skin, and the relief in grey.

    Args:
        network: Finds the relief.
        carriers: Of one size.
        part: Rows and columns of the UV map that are shown.
        path: The picture.

    Raises:
        OutputError: It cannot be written.
    """
    pairs = []
    for carrier in carriers:
        photo, normals, seen = (
            torch.from_numpy(map_HW.astype(np.float32))[None]
            for map_HW in (carrier.photo_3PQ, carrier.normals_3HW, carrier.seen_HW[None])
        )
        depth_11HW, _ = network.read(Layout(photo, normals, seen, torch.tensor([_DENSITY])))
        grey_HW = shaded(1000 * depth_11HW[0, 0].numpy()[part])
        photo_3PQ = carrier.photo_3PQ[(slice(None), *finer(part))].astype(np.float32)
        skin_HW3 = cv2.resize(photo_3PQ.transpose(1, 2, 0), grey_HW.shape[::-1], interpolation=cv2.INTER_AREA)
        skin_HW3 = (skin_HW3 * 255).clip(0, 255).astype(np.uint8)
        pairs.append(np.hstack((skin_HW3, np.repeat(grey_HW[..., None], 3, 2))))
    pairs += [np.zeros_like(pairs[0])] * (-len(pairs) % _COLUMNS)
    rows = [np.hstack(pairs[first : first + _COLUMNS]) for first in range(0, len(pairs), _COLUMNS)]
    coded = cv2.imencode(".jpg", np.vstack(rows)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
    write_file(path, coded.tobytes())


def shaded(depth_HW: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Relief in millimetres as grey plaster, lit from the upper left; a texel is about a millimetre."""
    down_HW, across_HW = np.gradient(_EXAGGERATED * depth_HW)
    normals_3HW = np.stack((-across_HW, -down_HW, np.ones_like(down_HW)))
    normals_3HW /= np.linalg.norm(normals_3HW, axis=0)
    return (255 * np.tensordot(_LIGHT, normals_3HW, 1).clip(0, 1) * 0.9).astype(np.uint8)
