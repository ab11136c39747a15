"""Displacement maps of many frames in one picture, because Blender cannot pack image sequences into its files.

Each frame is a cell with a border that repeats the outermost texels, so that a texture that is cropped to a cell
samples there as it would sample the frame alone. The crop follows the frame by drivers that need no Python.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_FRAMES = 600
"""An atlas of so many maps of 256 x 256 takes 640 MB in Blender."""

_BORDER = 1


@dataclass(frozen=True)
class Atlas:
    """The layout of an atlas.

    Attributes:
        first, last: Its frames.
        size: Rows and columns of a map.
    """

    first: int
    last: int
    size: int

    @property
    def count(self) -> int:
        """Number of frames."""
        return self.last - self.first + 1

    @property
    def columns(self) -> int:
        """Cells side by side."""
        return math.ceil(math.sqrt(self.count))

    @property
    def rows(self) -> int:
        """Rows of cells, the first on top."""
        return math.ceil(self.count / self.columns)

    @property
    def cell(self) -> int:
        """Rows and columns of a cell, texels."""
        return self.size + 2 * _BORDER

    def empty(self) -> NDArray[np.float16]:
        """A picture (H, W) without displacement, top row first."""
        return np.zeros((self.rows * self.cell, self.columns * self.cell), np.float16)

    def put(self, picture_HW: NDArray[np.float16], frame: int, map_NN: NDArray[np.float32]) -> None:
        """Writes the map of a frame into the picture."""
        row, column = divmod(frame - self.first, self.columns)
        top, left = row * self.cell, column * self.cell
        picture_HW[top : top + self.cell, left : left + self.cell] = np.pad(map_NN, _BORDER, mode="edge")

    def crop_expressions(self) -> dict[str, str]:
        """Driver expressions of a texture's crop by property; frames outside the range show the nearest."""
        index = f"min(max(floor(frame-({self.first})),0),{self.count - 1})"
        column, row = f"fmod({index},{self.columns})", f"floor({index}/{self.columns})"
        width, height = self.columns * self.cell, self.rows * self.cell
        near, far = _BORDER, self.cell - _BORDER
        return {
            "crop_min_x": f"({column}*{self.cell}+{near})/{width}",
            "crop_max_x": f"({column}*{self.cell}+{far})/{width}",
            "crop_min_y": f"1-({row}*{self.cell}+{far})/{height}",
            "crop_max_y": f"1-({row}*{self.cell}+{near})/{height}",
        }
