"""Files of synthetic subjects: what is known about a person and photos of them. One .npz per subject, arrays only.

Shape suffixes: K photos, L landmarks, H W rows and columns (224 of crops unless asked for, 256 of maps), P Q rows and
columns of the patch of the UV map that a file holds, S shape, A albedo and E expression coefficients, J joints, C
wrinkle channels, V vertices.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import cv2
import numpy as np
from numpy.typing import NDArray

from deca.errors import AssetError
from deca.files import read_npz, write_file
from deca.networks import MAP_SIZE
from deca_training.data.order import fraction

FORMAT = 2
_MILLIMETRE = 1e-3


@dataclass(frozen=True)
class SyntheticSubject:
    """One person and K photos. Everything but photos and masks is ground truth in the units of `deca`.

    Attributes:
        name: Name of the file, without its suffix.
        age: Years.
        sex: -1 of women, +1 of men; 0 where the head model does not know the difference.
        image_KHW3: Crops (K, H, W, 3), uint8 sRGB.
        mask_KHW: (K, H, W) uint8, 255 where skin of the face is seen (no eyes, inner mouth, hair, glasses,
            things in front), else 0; lips are skin.
        landmarks478_KL2: MediaPipe's landmarks (K, 478, 2) on the crops: x right, y down in [-1, 1], as
            `deca_training.batch.Batch` has them (whose third column, the weight, would be 1), float32. They are
            the head's own points, exact, hidden ones too.
        landmarks68_KL2: iBUG's (K, 68, 2), likewise, with the dynamic contour.
        shape_S: Shape coefficients (300,), float32; E_c knows the first 100. The same for all photos.
        offset_V3: What the person's neutral head has outside the span of the shape coefficients, metres (V, 3), added
            to the template before expression and pose; zero unless asked for.
        albedo_A: Albedo coefficients (50,); the photos' skin varies about what they give.
        expression_KE: (K, 50), float32.
        pose_KJ3: (K, 5, 3), axis-angle of root, neck (zero), jaw, left eye, right eye, radians; E_c's is rows 0, 2.
        camera_K3: `[s, tx, ty]` on the crop (`deca.render.camera`); of photos with perspective the nearest.
        light_K93: Spherical harmonics (K, 9, 3) that come nearest to the photo's shading of display (sRGB) values:
            the crop is about `albedo * sh_shading(normals, light)`.
        static_HW: Displacement of the person's skin at rest without wrinkles, metres (256, 256), float32: the UV map of
            F_d, `deca.render.detail` and `DETAIL_MASK`, top row first, not yet multiplied with the mask, which it
            respects: it is zero outside.
        wrinkles_CHW: Displacement of each wrinkle channel at activation 1, metres (C, 256, 256).
        activation_KC: How active each channel is on each photo, about 0 to 1.3.
        neutral_C: Activation of the neutral face, whose wrinkles are those of age.
    """

    name: str
    age: float
    sex: float
    image_KHW3: NDArray[np.uint8]
    mask_KHW: NDArray[np.uint8]
    landmarks478_KL2: NDArray[np.float32]
    landmarks68_KL2: NDArray[np.float32]
    shape_S: NDArray[np.float32]
    offset_V3: NDArray[np.float32]
    albedo_A: NDArray[np.float32]
    expression_KE: NDArray[np.float32]
    pose_KJ3: NDArray[np.float32]
    camera_K3: NDArray[np.float32]
    light_K93: NDArray[np.float32]
    static_HW: NDArray[np.float32]
    wrinkles_CHW: NDArray[np.float32]
    activation_KC: NDArray[np.float32]
    neutral_C: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.image_KHW3)

    @property
    def displacement_KHW(self) -> NDArray[np.float32]:
        """D of each photo, metres (K, 256, 256): static skin and active wrinkles."""
        return self.displacement_of(self.activation_KC)

    @property
    def neutral_displacement_HW(self) -> NDArray[np.float32]:
        """D of the neutral face, metres (256, 256)."""
        return self.displacement_of(self.neutral_C[None])[0]

    def displacement_of(self, activation_KC: NDArray[np.floating]) -> NDArray[np.float32]:
        """D of activations, metres (K, 256, 256)."""
        wrinkles_CX = self.wrinkles_CHW.reshape(len(self.wrinkles_CHW), -1)
        dynamic_KX = np.asarray(activation_KC, np.float32) @ wrinkles_CX
        return self.static_HW + dynamic_KX.reshape(-1, *self.static_HW.shape)

    def save(self, folder: Path, jpeg_KN: Sequence[NDArray[np.uint8]]) -> None:
        """Writes the subject's file.

        Args:
            folder: Where.
            jpeg_KN: The JPEG files of which `image_KHW3` are the pixels.

        Raises:
            OutputError: The file cannot be written.
        """
        displacement_CHW = np.concatenate((self.static_HW[None], self.wrinkles_CHW))
        top, left, height, width = _used_patch(displacement_CHW)
        millimetres_CPQ = displacement_CHW[:, top : top + height, left : left + width] / np.float32(_MILLIMETRE)
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            format=np.int64(FORMAT),
            age=np.float32(self.age),
            sex=np.float32(self.sex),
            jpeg=np.concatenate(list(jpeg_KN)),
            jpeg_sizes=np.array([len(jpeg_N) for jpeg_N in jpeg_KN]),
            mask_KHW=np.packbits(self.mask_KHW > 0, axis=-1),
            patch=np.array([top, left]),
            # In metres half precision would run out of its exponents.
            displacement_CPQ=millimetres_CPQ.astype(np.float16),
            offset_V3=self.offset_V3 if self.offset_V3.any() else self.offset_V3[:0],
            num_verts=np.int64(len(self.offset_V3)),
            **{name: getattr(self, name) for name in _PLAIN},
        )
        write_file(folder / f"{self.name}.npz", buffer.getvalue())

    @classmethod
    def load(cls, path: Path) -> SyntheticSubject:
        """Reads a subject's file.

        Raises:
            AssetError: It is missing, damaged, or no such file.
        """
        arrays = read_npz(path, (*_PLAIN, *_PACKED))
        if len(arrays) != len(_PLAIN) + len(_PACKED) or int(arrays["format"]) != FORMAT:
            raise AssetError(f"{path} is no synthetic subject of format {FORMAT}.", "Make it again.")
        jpegs = np.split(arrays["jpeg"], np.cumsum(arrays["jpeg_sizes"])[:-1])
        top, left = arrays["patch"]
        channels, rows, columns = arrays["displacement_CPQ"].shape
        displacement_CHW = np.zeros((channels, MAP_SIZE, MAP_SIZE), np.float32)
        metres_CPQ = arrays["displacement_CPQ"].astype(np.float32) * np.float32(_MILLIMETRE)
        displacement_CHW[:, top : top + rows, left : left + columns] = metres_CPQ
        offset_V3 = arrays["offset_V3"]
        return cls(
            name=path.stem,
            age=float(arrays["age"]),
            sex=float(arrays["sex"]),
            image_KHW3=np.stack([decode_jpeg(jpeg_N) for jpeg_N in jpegs]),
            mask_KHW=np.unpackbits(arrays["mask_KHW"], axis=-1) * np.uint8(255),
            offset_V3=offset_V3 if len(offset_V3) else np.zeros((int(arrays["num_verts"]), 3), np.float32),
            static_HW=displacement_CHW[0],
            wrinkles_CHW=displacement_CHW[1:],
            **{name: arrays[name] for name in _PLAIN},
        )


_PLAIN = (
    "landmarks478_KL2", "landmarks68_KL2", "shape_S", "albedo_A", "expression_KE", "pose_KJ3", "camera_K3", "light_K93",
    "activation_KC", "neutral_C",
)  # fmt: skip
_PACKED = (
    "format", "age", "sex", "jpeg", "jpeg_sizes", "mask_KHW", "patch", "displacement_CPQ", "offset_V3", "num_verts",
)  # fmt: skip


def _used_patch(maps_CHW: NDArray[np.floating]) -> tuple[int, int, int, int]:
    """Top, left, height and width of the smallest patch outside of which maps are zero."""
    left, top, width, height = cv2.boundingRect((maps_CHW != 0).any(0).astype(np.uint8))
    return top, left, height, width


def decode_jpeg(jpeg_N: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The pixels (H, W, 3) of a JPEG file's bytes, RGB."""
    return np.ascontiguousarray(cv2.imdecode(jpeg_N, cv2.IMREAD_COLOR)[..., ::-1], np.uint8)


class SyntheticSubjects(Sequence[SyntheticSubject]):
    """The subjects of a folder, in the order of their names. Each is read when asked for, and not kept.

    Args:
        folder: What `deca-train synthetic` wrote.

    Raises:
        AssetError: There are none.
    """

    def __init__(self, folder: str | Path) -> None:
        self.paths = sorted(Path(folder).glob("[0-9]*.npz"))
        if not self.paths:
            raise AssetError(f"{folder} holds no synthetic subjects.", "Make some with `deca-train synthetic`.")

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def num_subjects(self) -> int:
        """How many there are."""
        return len(self)

    def split(self, validation: float, seed: int = 0) -> tuple[SyntheticSubjects, SyntheticSubjects]:
        """Training and validation subjects; a subject's side depends on its name alone.

        Args:
            validation: Share of the subjects in the validation part, about.
            seed: Other seeds split otherwise.
        """
        sides = copy.copy(self), copy.copy(self)
        for side, is_validation in zip(sides, (False, True), strict=True):
            side.paths = [path for path in self.paths if (fraction(path.stem, seed) < validation) == is_validation]
        return sides

    @overload
    def __getitem__(self, index: int) -> SyntheticSubject: ...
    @overload
    def __getitem__(self, index: slice) -> list[SyntheticSubject]: ...
    def __getitem__(self, index: int | slice) -> SyntheticSubject | list[SyntheticSubject]:
        if isinstance(index, slice):
            return [SyntheticSubject.load(path) for path in self.paths[index]]
        return SyntheticSubject.load(self.paths[index])
