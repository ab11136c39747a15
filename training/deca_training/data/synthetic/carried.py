"""The truth where a photo shows it: maps of a known head, carried through its photo onto a head that was fitted to it.

A fitted head is off by a millimetre here and there, and lines lie on it where the photo's texture shows them. So each
of its texels is compared with what the photo shows there, sampled as `deca.reconstruct.relief.layout_of` samples
colours.

Shape suffixes: V vertices, N covered pixels, C maps, H W rows and columns of UV maps, and of the photo in
`picture_HWC` and `mask_HW`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from deca.appearance.sampling import sample_picture, view_surface
from deca.errors import OptionError
from deca.head import HeadModel
from deca.networks import MAP_SIZE
from deca.reconstruct.face import Face
from deca.render.camera import Window, project, window_picture
from deca.render.renderer import Renderer
from deca.render.uv import texels_of
from deca_blender.protocol.conventions import CROP_SIZE
from deca_training.data.synthetic.subjects import SyntheticSubject

_CHANNELS = 4
"""That OpenCV samples at a time."""
_WHOLLY = 0.98
"""Share of skin from which on a texel's colour is the skin's."""
_NEAR = 0.5
"""Pixels by which the known head may miss the photo."""


@dataclass(frozen=True)
class Carried:
    """What a photo of a known head shows at the texels of the fitted one.

    Attributes:
        maps_CHW: The known head's maps.
        is_skin_HW: Whether it is skin of the known head that nothing covers; elsewhere all else is meaningless.
        off_mm_HW: How far on the known head the point that is shown lies from that with the texel's own place, which
            is the layout's error, millimetres.
        off_texels_HW: The same on the map, texels.
    """

    maps_CHW: NDArray[np.float32]
    is_skin_HW: NDArray[np.bool_]
    off_mm_HW: NDArray[np.float32]
    off_texels_HW: NDArray[np.float32]


class KnownPhoto:
    """Maps of a known head as its photo shows them.

    Args:
        known: The head that the photo shows, exactly.
        maps_CHW: Its maps, of any size.
        mask_HW: 255 where the photo shows bare skin, in the photo's rows and columns.
    """

    @torch.inference_mode()
    def __init__(self, known: Face, maps_CHW: NDArray[np.float32], mask_HW: NDArray[np.uint8]) -> None:
        self.known, self._count, self._verts_V3 = known, len(maps_CHW), known.vertices()
        width, height = known.image_size
        verts_1V3, camera_13 = (torch.from_numpy(array)[None] for array in (self._verts_V3, known.camera_3))
        crop_133 = torch.from_numpy(known.crop_33)[None]
        picture_1V3 = window_picture(project(verts_1V3, camera_13), crop_133, Window(0, 0, width, height))
        surface = Renderer.of_head(known.head)(verts_1V3, picture_1V3, height, width)
        points_3N = surface.fragments.interpolate(verts_1V3, torch.from_numpy(known.head.faces_F3))
        values_CN = torch.cat((surface.sample(torch.from_numpy(maps_CHW)[None]), points_3N, surface.grid_2N))
        picture_HWC = surface.fragments.image(values_CN)[0].permute(1, 2, 0).numpy()
        self._picture_HWC = np.dstack((picture_HWC, mask_HW.astype(np.float32) / 255))

    def at(self, fitted: Face, wanted_HW: NDArray[np.bool_]) -> Carried:
        """What the photo shows at the texels of another head.

        Args:
            fitted: A head of the same model that was fitted to the photo.
            wanted_HW: Its texels that matter (256, 256).
        """
        texels = texels_of(fitted.head, MAP_SIZE)
        view = view_surface(texels, fitted.vertices(), fitted.to_photo())
        parts = range(0, self._picture_HWC.shape[2], _CHANNELS)
        shown = [
            sample_picture(self._picture_HWC[..., part : part + _CHANNELS], view.pixels_HW2, wanted_HW)
            for part in parts
        ]
        maps_HWC, points_HW3, place_HW2, mask_HW1 = np.split(
            np.dstack(shown), np.cumsum((self._count, 3, 2)).tolist(), axis=2
        )
        along = (np.arange(MAP_SIZE) + 0.5) / MAP_SIZE * 2 - 1
        off_HW2 = place_HW2 - np.stack(np.meshgrid(along, along), -1)
        off_HW3 = points_HW3 - texels.interpolate(self._verts_V3)
        return Carried(
            np.ascontiguousarray(maps_HWC.transpose(2, 0, 1)),
            (mask_HW1[..., 0] > _WHOLLY) & wanted_HW,
            np.linalg.norm(off_HW3, axis=-1).astype(np.float32) * 1000,
            np.linalg.norm(off_HW2, axis=-1).astype(np.float32) * (MAP_SIZE / 2),
        )


def known_face(subject: SyntheticSubject, photo: int, head: HeadModel) -> Face:
    """The head of a synthetic photo as it is.

    Raises:
        OptionError: The photo was taken from nearby, or of a head outside the shape model: no `Face` is as that head.
    """
    side = subject.image_KHW3.shape[2]
    zoom = CROP_SIZE / side
    landmarks_L2 = (subject.landmarks478_KL2[photo] + 1) * (side / 2)
    face = Face(
        photo=Path(f"{subject.name}_{photo}.png"),
        index=0,
        head=head,
        shape_S=subject.shape_S,
        expression_E=subject.expression_KE[photo],
        pose_53=subject.pose_KJ3[photo],
        camera_3=subject.camera_K3[photo],
        crop_33=np.diag([zoom, zoom, 1.0]),
        image_size=(side, side),
        box=(*landmarks_L2.min(0).tolist(), *landmarks_L2.max(0).tolist()),
        landmarks_L2=landmarks_L2,
        landmark_error=0.0,
    )
    assert head.landmarks_478 is not None
    points_L3 = head.landmarks_478.positions(face.vertices(), head.faces_F3)
    to_photo_24 = face.to_photo()
    off_L = np.linalg.norm(points_L3 @ to_photo_24[:, :3].T + to_photo_24[:, 3] - landmarks_L2, axis=1)
    if off_L.max() > _NEAR:
        raise OptionError(
            f"The head of {subject.name} misses its photo by up to {off_L.max():.0f} pixels, so that its truth cannot"
            " be carried.",
            "Make people without --outside and --perspective.",
        )
    return face
