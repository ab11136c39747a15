"""The relief of a person's skin, read from a photo: its displacement at the photo's expression, and how sure it is.

The photo's own pixels are laid out as the fitted head's UV map; where the photo does not show the skin, or does not
tell, the other side of the face stands in.

Shape suffixes: B faces, H W rows and columns of UV maps (256), top row first, and of the photo in `photo_HW3`; P Q rows
and columns of the photo laid out as this map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from deca.appearance.blend import shrink_mask, smoothstep
from deca.appearance.sampling import SurfaceView, inside_photo, pixels_per_texel, sample_photo, skin_alone, view_surface
from deca.appearance.trust import FACING, believe, closed, outlines, regions_of
from deca.networks.decoder import MAP_SIZE
from deca.networks.relief import FINER, Layout, ReliefNetwork
from deca.reconstruct.face import Face
from deca.render.detail import DETAIL_MASK
from deca.render.uv import Texels, texels_of, uv_mask

GRAZING = 0.22
"""Cosine from which on skin counts as seen at all; fully from `FACING` on."""
_FEATHER = 3.0
"""Texels over which what is seen fades at its border."""
_FEATURE = 12.0
"""Texels: half the width of brows, and of what else of another colour lies within the skin."""
_MIRRORED = 0.5
"""Certainty of the other side's relief, as a share of that side's own: wrinkles are no mirror images."""
_SURE = 0.3
"""Certainty from which on a texel needs no other side."""


@dataclass(frozen=True)
class Relief:
    """What a photo shows of the skin's relief.

    Attributes:
        displacement_HW: Along the coarse normals, metres, at the photo's expression; 0 outside the detail mask.
        certainty_HW: From 0, where nothing is known, to 1, where the displacement is better than a guess from other
            people (`ReliefNetwork.certainty`).
    """

    displacement_HW: NDArray[np.float32]
    certainty_HW: NDArray[np.float32]


def relief_of_photo(photo_HW3: NDArray[np.uint8], face: Face, network: ReliefNetwork) -> Relief:
    """The relief of one face; see `reliefs_of_photo`."""
    return reliefs_of_photo(photo_HW3, [face], network)[0]


def reliefs_of_photo(photo_HW3: NDArray[np.uint8], faces: Sequence[Face], network: ReliefNetwork) -> list[Relief]:
    """The relief of each face of a photo.

    Args:
        photo_HW3: The upright photo, sRGB.
        faces: Fitted to it; of one head model.
        network: A relief network for that head model.

    Raises:
        AssetError: The network reads another head model's UV map.
    """
    if not faces:
        return []
    network.check_head(faces[0].head)
    layouts = [layout_of(photo_HW3, face) for face in faces]
    displacement_B1HW, certainty_B1HW = network.read(
        Layout(*(torch.cat(parts) for parts in zip(*layouts, strict=True)))
    )
    texels = texels_of(faces[0].head, MAP_SIZE)
    skin_HW = uv_mask(faces[0].head, DETAIL_MASK).numpy()
    return [
        with_other_side(displacement_1HW[0].numpy(), certainty_1HW[0].numpy(), skin_HW, texels)
        for displacement_1HW, certainty_1HW in zip(displacement_B1HW, certainty_B1HW, strict=True)
    ]


def layout_of(photo_HW3: NDArray[np.uint8], face: Face) -> Layout:
    """A photo laid out as the UV map of a head that was fitted to it, a batch of one."""
    texels = texels_of(face.head, MAP_SIZE)
    view = view_surface(texels, face.vertices(), face.to_photo())
    on_skin_HW = skin_alone(texels)
    on_skin_HW &= uv_mask(face.head, DETAIL_MASK).numpy() > 0
    shown_HW = on_skin_HW & view.visible_HW & (view.facing_HW > GRAZING) & inside_photo(view, *photo_HW3.shape[:2])
    # From texel to texel places change evenly, so that nothing need be projected anew.
    size = MAP_SIZE * FINER
    pixels_HW2 = view.pixels_HW2.reshape(-1, 2)[texels.nearest_HW]
    pixels_PQ2 = np.asarray(cv2.resize(pixels_HW2, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)
    photo_PQ3 = sample_photo(photo_HW3, pixels_PQ2, shown_HW.repeat(FINER, 0).repeat(FINER, 1))
    colours_HW3 = np.asarray(cv2.resize(photo_PQ3, (MAP_SIZE, MAP_SIZE), interpolation=cv2.INTER_AREA), np.float32)
    weight_HW = _seen(colours_HW3, shown_HW, on_skin_HW, view, face, texels)
    density = pixels_per_texel(view.pixels_HW2, shown_HW) if shown_HW.any() else 1.0
    length_HW1 = np.linalg.norm(view.normals_HW3, axis=-1, keepdims=True)
    normals_HW3 = view.normals_HW3 / np.maximum(length_HW1, 1e-6)
    return Layout(
        torch.from_numpy(np.ascontiguousarray(photo_PQ3.transpose(2, 0, 1), np.float32))[None],
        torch.from_numpy(np.ascontiguousarray(normals_HW3.transpose(2, 0, 1), np.float32))[None],
        torch.from_numpy(weight_HW)[None, None],
        torch.tensor([density], dtype=torch.float32),
    )


def _seen(
    colours_HW3: NDArray[np.float32],
    shown_HW: NDArray[np.bool_],
    on_skin_HW: NDArray[np.bool_],
    view: SurfaceView,
    face: Face,
    texels: Texels,
) -> NDArray[np.float32]:
    """How well the photo shows each texel's skin, 0..1: inside the face's outline, and nothing in front of it."""
    inside_HW, opening_HW = outlines(view, face.landmarks_L2)
    regions = regions_of(texels)
    # Bald heads have more forehead than the landmarks know.
    face_HW = shown_HW & (inside_HW | (regions.forehead > 0.5)) & ~opening_HW
    _, believed_HW = believe(colours_HW3, face_HW, view, regions, texels.size, face.skin_map)
    if face.skin_map is None:
        # The network knows brows and the shade of a frown, which have no skin's colour; hair beside the face not.
        believed_HW = face_HW & closed(believed_HW, _FEATURE)
    weight_HW = shrink_mask(believed_HW | ~on_skin_HW, _FEATHER)
    return (weight_HW * believed_HW * smoothstep(view.facing_HW, GRAZING, FACING)).astype(np.float32)


def with_other_side(
    displacement_HW: NDArray[np.float32],
    certainty_HW: NDArray[np.float32],
    skin_HW: NDArray[np.float32],
    texels: Texels,
) -> Relief:
    """Relief where a photo tells little taken from the other side of the face, less certain.

    Args:
        displacement_HW, certainty_HW: As the network reads them.
        skin_HW: Where relief may be, 0..1.
        texels: Know which texel is whose mirror image.
    """
    certainty_HW = np.where(skin_HW > 0, certainty_HW, 0).astype(np.float32)
    if texels.mirrored_HW2 is not None:
        column_HW, row_HW = cv2.split(texels.mirrored_HW2)

        def mirrored(map_HW: NDArray[np.float32]) -> NDArray[np.float32]:
            there_HW = cv2.remap(map_HW, column_HW, row_HW, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
            return np.asarray(there_HW, np.float32)

        theirs_HW = mirrored(certainty_HW)
        their_depth_HW = mirrored(displacement_HW * certainty_HW) / np.maximum(theirs_HW, 1e-6)
        needed_HW = 1 - smoothstep(certainty_HW, 0.0, _SURE)
        share_HW = needed_HW * theirs_HW * _MIRRORED
        total_HW = certainty_HW + share_HW
        displacement_HW = (displacement_HW * certainty_HW + their_depth_HW * share_HW) / np.maximum(total_HW, 1e-6)
        certainty_HW = np.where(skin_HW > 0, np.minimum(total_HW, 1), 0)
    displacement_HW = np.where(certainty_HW > 0, displacement_HW, 0)
    return Relief(displacement_HW.astype(np.float32), certainty_HW.astype(np.float32))
