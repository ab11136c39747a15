"""What the landmark fit may start from, and what it gives.

Shape suffixes: B batch, S shape and E expression coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Leeway:
    """How far the fit's estimates may stray; chosen on photos (docs/fit.md).

    Attributes:
        shape: Standard deviation of the first estimate's shape coefficients around a guess.
        tracing_shape: Of the second estimate's around the first's.
        tracing: Standard deviation, metres, with which the second estimate follows the landmarks.
    """

    shape: float = 0.5
    tracing_shape: float = 0.3
    tracing: float = 0.0008


KNOWN_IDENTITY = Leeway(shape=0.05, tracing_shape=0.04)
"""Where a shape encoder made the guess, which knows more of the person than landmarks do."""


HELD = Leeway(shape=1e-4, tracing_shape=1e-4)
"""The shape stays what it is; expression, pose and camera follow the landmarks as usual."""


@dataclass(frozen=True)
class Guess:
    """Codes of B faces from elsewhere, which have seen more of the photos than the landmarks: E_c's.

    The fit starts from them. The identity stays near its shape; the rest follows the landmarks.

    Attributes:
        shape_BS: Shape coefficients, the mean of the fit's prior; missing ones are zero.
        expression_BE: Expression coefficients; likewise.
        jaw_B3: Axis-angle of the jaw, radians.
        leeway: How far the fit may stray from it.
    """

    shape_BS: ArrayLike
    expression_BE: ArrayLike
    jaw_B3: ArrayLike
    leeway: Leeway = Leeway()

    def take(self, rows: slice | NDArray) -> Guess:
        """Those of some of the faces, by index or mask."""
        shape_BS, expression_BE, jaw_B3 = map(np.asarray, (self.shape_BS, self.expression_BE, self.jaw_B3))
        return Guess(shape_BS[rows], expression_BE[rows], jaw_B3[rows], self.leeway)


@dataclass(frozen=True)
class FitResult:
    """Fitted heads of one photo.

    Attributes:
        shape_BS: Shape coefficients (B, 100).
        expression_BE: Expression coefficients (B, 50).
        pose_B53: Axis-angle of root, neck (zero), jaw, left and right eye, radians.
        scale_B: Photo pixels per metre; `photo = scale * (x, -y) + offset` for posed vertices (x, y, z).
        offset_B2: Photo pixel of the head space's origin.
        error_B: Mean distance of the interior landmarks, less their bias, from their surface points, as a fraction of
            the distance between the outer eye corners on the photo.
    """

    shape_BS: Array
    expression_BE: Array
    pose_B53: Array
    scale_B: Array
    offset_B2: Array
    error_B: Array

    def take(self, rows: NDArray) -> FitResult:
        """Some of the faces, by index or mask."""
        return FitResult(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def replaced(self, rows: NDArray[np.intp], other: FitResult) -> FitResult:
        """These fits, but for the faces `rows`, which are another's."""
        merged = {name: getattr(self, name).copy() for name in self.__dataclass_fields__}
        for name, values in merged.items():
            values[rows] = getattr(other, name)
        return FitResult(**merged)
