"""The landmark fit for the frames of a video: one identity, held, and each frame's expression, pose and camera.

Of the two stages of `deca.reconstruct.fit` only the second is left, which traces the landmarks: the first decides the
identity. Without the shape among the unknowns a step costs a fifth, and frames start from where the frames before
them ended.

Shape suffixes: F frames, L landmarks, S shape and E expression coefficients, P parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deca.head.model import HeadModel
from deca.reconstruct.fit import _TRACED_OUTLIER, LandmarkSolver, _Solved, solver_of
from deca.reconstruct.fit_result import FitResult

Array = NDArray[np.floating]

_BATCH = 8
"""Frames solved at once: they share the overhead of numpy's calls, and the start."""
_ITERATIONS = 8
TRACING = 0.0016
"""Standard deviation, metres, with which the frames follow the landmarks: twice a photo's. On renders of 12 expressions
of three people the movement from the neutral face is missed by 60 % of it, with a photo's 0.8 mm by 63 %, and the
neutral face itself by 0.9 mm in place of 1.2 mm; frames jitter less."""


class HeldSolver(LandmarkSolver):
    """Fits one person to landmarks, frame after frame.

    Args:
        head: The head model.
        shape_S: The person's shape coefficients; those beyond the head model's are left out.

    Raises:
        AssetError: The head model has no MediaPipe landmarks.
    """

    def __init__(self, head: HeadModel, shape_S: ArrayLike) -> None:
        self._shape_S = np.asarray(shape_S, np.float64)[: head.shape_dirs_V3S.shape[2]]
        dirs_V3S = head.shape_dirs_V3S[:, :, : len(self._shape_S)]
        person_V3 = (head.template_V3 + dirs_V3S @ self._shape_S).astype(np.float32)
        known = solver_of(head).noise
        noise = replace(known, loadings_L2R=known.loadings_L2R[..., :0], gain_L2C=known.gain_L2C[..., :0])
        super().__init__(replace(head, template_V3=person_V3), noise=noise, num_shape=0)

    def follow(
        self,
        landmarks_FL2: ArrayLike,
        image_size: tuple[int, int],
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> FitResult:
        """Expression, pose and camera of each frame, in the frames' order.

        Args:
            landmarks_FL2: MediaPipe landmarks (F, 478, 2), pixels, y down.
            image_size: Width and height of the frames, pixels.
            progress: Called now and then with a fraction in [0, 1]; may raise to cancel.

        Returns:
            A row per frame; its shape is the person's.

        Raises:
            LandmarkError: Landmarks have the wrong shape, are not finite, or lie all in one place.
        """
        detected_FL2, trust_FL = self._checked(landmarks_FL2, None, None)
        if not len(detected_FL2):
            return self._nobody()
        noise = self._tracing_noise(TRACING)
        last_P: Array | None = None
        fits = []
        for first in range(0, len(detected_FL2), _BATCH):
            progress(first / len(detected_FL2))
            rows = slice(first, first + _BATCH)
            placed = self.placed(detected_FL2[rows], image_size, trust_FL[rows], None)
            state = placed.state
            if last_P is not None:
                state = replace(state, params_BP=np.tile(last_P, (len(state.params_BP), 1)))
            data = self._data(noise, placed, np.zeros_like(state.params_BP))
            state = self._minimise(state, data, self._precision, _ITERATIONS, _TRACED_OUTLIER / TRACING)
            last_P = state.params_BP[-1]
            fits.append(self._result(detected_FL2[rows], _Solved(state, data, placed)))
        shape_FS = np.tile(self._shape_S, (len(detected_FL2), 1))
        merged = {name: np.concatenate([getattr(fit, name) for fit in fits]) for name in FitResult.__dataclass_fields__}
        return replace(FitResult(**merged), shape_BS=shape_FS)
