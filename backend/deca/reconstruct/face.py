"""The result of a reconstruction: everything known about one face on one photo.

Shape suffixes: S shape, E expression and A albedo coefficients, D detail code, V vertices, L landmarks, N texture size.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from deca.head import HeadModel
from deca.head.layer import layer_of
from deca.reconstruct.mesh import Mesh
from deca_blender.protocol.camera import photo_matrix
from deca_blender.protocol.photos import told

if TYPE_CHECKING:
    from deca.appearance.skin_map import SkinMap
    from deca.appearance.texture import Texture
    from deca.reconstruct.moving_relief import MovingRelief


@dataclass(frozen=True)
class Face:
    """Codes of one face, and how it lies on its photo.

    Attributes:
        photo: The photo's path.
        index: Which face of the photo, 0 is the most prominent.
        head: Head model the codes belong to; they mean nothing for another.
        shape_S: Shape coefficients.
        expression_E: Expression coefficients.
        pose_53: Axis-angle of root, neck, jaw, left eye, right eye, radians.
        camera_3: DECA's `[s, tx, ty]` on the 224 crop.
        crop_33: Upright photo pixels -> crop pixels.
        image_size: (width, height) of the upright photo.
        box: (left, top, right, bottom) of the face, photo pixels.
        landmarks_L2: The 478 detected landmarks, photo pixels.
        landmark_error: Mean interior landmark distance as a fraction of the outer-eye distance.
        texture: The photo unwrapped; None when not asked for.
        albedo_A: Albedo coefficients; None without an albedo model for this head.
        light_93: Spherical harmonics coefficients of the photo's light, 9 bands of RGB; None without albedo.
        detail_D: Detail code, the person's wrinkles; None without a detail encoder.
        reliefs: What photos show of the skin, each with its share (`deca.reconstruct.moving_relief`); that of its own
            photo with share 1 where there is a relief network.
        skin_map: What its photo shows of the skin; None without a skin map network.
        likeness_V3: What the neutral head has beyond the shape coefficients (`deca.reconstruct.likeness`), metres;
            joints do not follow it. None where there is nothing.
    """

    photo: Path
    index: int
    head: HeadModel
    shape_S: NDArray[np.float32]
    expression_E: NDArray[np.float32]
    pose_53: NDArray[np.float32]
    camera_3: NDArray[np.float32]
    crop_33: NDArray[np.float64]
    image_size: tuple[int, int]
    box: tuple[float, float, float, float]
    landmarks_L2: NDArray[np.float32]
    landmark_error: float
    texture: Texture | None = None
    albedo_A: NDArray[np.float32] | None = None
    light_93: NDArray[np.float32] | None = None
    detail_D: NDArray[np.float32] | None = None
    reliefs: tuple[tuple[MovingRelief, float], ...] = ()
    skin_map: SkinMap | None = None
    likeness_V3: NDArray[np.float32] | None = None

    def vertices(self) -> NDArray[np.float32]:
        """Posed vertices (V, 3) in metres, head space."""
        layer = layer_of(self.head, len(self.shape_S), len(self.expression_E))
        codes = (self.shape_S, self.expression_E, self.pose_53, self.likeness_V3)
        with torch.inference_mode():
            given = (None if code is None else torch.from_numpy(np.ascontiguousarray(code))[None] for code in codes)
            return layer(*given)[0].numpy()

    def mesh(self) -> Mesh:
        """The posed head."""
        polygons_P4, uv_polygons_P4 = self.head.faces_of_four()
        return Mesh(self.vertices(), polygons_P4, self.head.uv_T2, uv_polygons_P4)

    def to_photo(self) -> NDArray[np.float64]:
        """The 2x4 matrix from head space to upright photo pixels."""
        return photo_matrix(self.camera_3, self.crop_33)

    def to_json(self) -> dict[str, Any]:
        """Codes, camera, crop and quality as plain values, without landmarks and texture."""
        return {
            "photo": told(self.photo),
            "face": self.index,
            "head": self.head.name,
            "head_hash": self.head.hash,
            "shape": _floats(self.shape_S),
            "expression": _floats(self.expression_E),
            "pose_axis_angle": _floats(self.pose_53),
            "albedo": None if self.albedo_A is None else _floats(self.albedo_A),
            "light": None if self.light_93 is None else _floats(self.light_93),
            "detail": None if self.detail_D is None else _floats(self.detail_D),
            "camera": _floats(self.camera_3),
            "crop": _floats(self.crop_33),
            "image_size": list(self.image_size),
            "box": _floats(np.asarray(self.box)),
            "landmark_error": round(float(self.landmark_error), 6),
            "likeness": None if self.likeness_V3 is None else _floats(self.likeness_V3),
        }


def _floats(array: NDArray) -> list:
    return np.round(np.asarray(array, np.float64), 7).tolist()
