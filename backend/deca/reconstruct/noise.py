"""How far detected landmarks lie from the surface points they stand for.

A landmark network errs in a systematic way: it has a bias that depends on the view, it pulls faces towards its own
mean, and its errors of one face are strongly correlated between landmarks. A fit that takes the errors as independent
spends identity coefficients on them. The model, in the picture plane with the head's roll removed and divided by the
head's scale (metres, x right, y up):

    detected - projected = bias(view) + gain codes + loadings z + noise,
    z ~ N(0, I),  noise ~ N(0, covariance_l(view))

`tools/calibrate_landmarks.py` estimates it from renders of known geometry.

Shape suffixes: B batch, L landmarks, F view features, Y yaw knots, C codes (shape, expression, jaw x), R factors.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from deca.assets import asset
from deca.errors import AssetError
from deca.head.bundled import bundle_of
from deca.head.model import HeadModel
from deca.reconstruct.landmark_head import LandmarkHead
from deca.vision.landmarks import EYE_RINGS, NUM_LANDMARKS

Array = NDArray[np.float64]

# fmt: off
FACE_OVAL = np.array([
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
])
# fmt: on
"""MediaPipe landmarks on the outline of the face; they follow the silhouette rather than the skin."""

IRIS = np.arange(468, 478)
"""MediaPipe landmarks on the irises (right eye, then left)."""

LIDS = np.array([*EYE_RINGS[0], *EYE_RINGS[1]])
"""MediaPipe landmarks on the edges of the lids."""

# fmt: off
EDGES = np.concatenate((LIDS, IRIS, [
    61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185,
    78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191,
    70, 63, 105, 66, 107, 55, 65, 52, 53, 46, 300, 293, 334, 296, 336, 285, 295, 282, 283, 276,
    1, 2, 4, 5, 6, 168, 195, 197, 98, 97, 326, 327, 48, 278, 64, 294, 129, 358, 94, 19,
]))
# fmt: on
"""MediaPipe landmarks on what has edges to be seen: lids, irises, lips, brows, nose. The others lie on bare skin."""

OUTER_EYES = (33, 263)
"""MediaPipe landmarks at the outer corners of the right and the left eye."""

YAW_KNOTS = np.radians([-45.0, -22.5, 0.0, 22.5, 45.0])
"""Yaws between which the noise is interpolated; constant beyond."""


def looseness(num_landmarks: int, skin: float, lids: float) -> Array:
    """How loosely landmarks (L,) are followed, in units of those on other edges, given that for bare skin and lids."""
    factor_L = np.ones(num_landmarks)
    if num_landmarks == NUM_LANDMARKS:
        factor_L[:] = skin
        factor_L[np.concatenate((EDGES, FACE_OVAL))] = 1.0  # the outline has its own
        factor_L[LIDS] = lids
    return factor_L


def interior_landmarks(num_landmarks: int = 478) -> NDArray[np.int64]:
    """Indices of the landmarks that are neither on the face's outline nor on the irises."""
    return np.setdiff1d(np.arange(num_landmarks), np.concatenate((FACE_OVAL, IRIS)))


def yaw_weights(yaw_B: Array) -> Array:
    """Linear interpolation weights (B, Y) of the yaw knots, rows sum to 1."""
    return np.stack([np.interp(yaw_B, YAW_KNOTS, unit) for unit in np.eye(len(YAW_KNOTS))], axis=1)


def view_features(yaw_B: Array, pitch_B: Array) -> Array:
    """Features (B, F) in which the bias is linear: the yaw knots' weights, then the pitch in radians."""
    return np.hstack((yaw_weights(yaw_B), np.clip(pitch_B, -0.6, 0.6)[:, None]))


@dataclass(frozen=True)
class LandmarkNoise:
    """Noise of landmarks in metres on the picture plane (see the module's text).

    Attributes:
        bias_FL2: Bias per view feature.
        covariance_YL22: Covariance of each landmark's own noise per yaw knot.
        loadings_L2R: Common errors: displacement per standard deviation of each factor.
        gain_L2C: Error per unit of each code.
    """

    bias_FL2: Array
    covariance_YL22: Array
    loadings_L2R: Array
    gain_L2C: Array

    @classmethod
    def plain(
        cls, num_landmarks: int, num_codes: int, sigma: float = 0.0012, contour_sigma: float = 0.006
    ) -> LandmarkNoise:
        """Independent noise without bias, for head models or landmarks that were not calibrated.

        Args:
            num_landmarks: How many landmarks; with 468 or more the outline gets `contour_sigma`.
            num_codes: Columns of the (zero) gain.
            sigma: Standard deviation, metres.
            contour_sigma: Standard deviation of the outline's landmarks, metres.
        """
        sigma_L = np.full(num_landmarks, sigma)
        if num_landmarks >= 468:
            sigma_L[FACE_OVAL] = contour_sigma
        covariance = sigma_L[:, None, None] ** 2 * np.eye(2)
        return cls(
            np.zeros((len(YAW_KNOTS) + 1, num_landmarks, 2)),
            np.tile(covariance, (len(YAW_KNOTS), 1, 1, 1)),
            np.zeros((num_landmarks, 2, 0)),
            np.zeros((num_landmarks, 2, num_codes)),
        )

    @classmethod
    def load(cls, path: str | Path, head: HeadModel | None = None) -> LandmarkNoise:
        """Reads a calibration file.

        Raises:
            AssetError: The file is missing or damaged, or was made for another head model than `head`.
        """
        hint = "Run tools/calibrate_landmarks.py again, or reinstall the add-on."
        try:
            with safe_open(str(path), framework="numpy") as file:
                metadata = file.metadata() or {}
                arrays = {key: file.get_tensor(key).astype(np.float64) for key in file.keys()}
            if head is not None and metadata.get("head") != head.name:
                raise AssetError(f"The landmark calibration {path} was made for {metadata.get('head')}.", hint)
            return cls(arrays["bias"], arrays["covariance"], arrays["loadings"], arrays["gain"])
        except (FileNotFoundError, SafetensorError, OSError, KeyError) as error:
            raise AssetError(f"The landmark calibration {path} could not be read ({error}).", hint) from error

    def bias(self, yaw_B: Array, pitch_B: Array) -> Array:
        """Bias (B, L, 2) in a view; yaw positive towards the picture's right, pitch positive upwards."""
        return np.tensordot(view_features(yaw_B, pitch_B), self.bias_FL2, 1)

    def whitening(self, yaw_B: Array) -> Array:
        """Matrices (B, L, 2, 2) that turn each landmark's own noise into unit noise."""
        covariance_BL22 = np.tensordot(yaw_weights(yaw_B), self.covariance_YL22, 1)
        return np.linalg.inv(np.linalg.cholesky(covariance_BL22))


def calibrated_noise(head: HeadModel, reduced: LandmarkHead) -> LandmarkNoise:
    """The landmark noise measured for a head model, or plain noise for models that were not calibrated."""
    bundle = bundle_of(head.name)
    if bundle and bundle.landmark_noise and reduced.num_points == NUM_LANDMARKS:
        noise = LandmarkNoise.load(asset(bundle.landmark_noise), head)
        if noise.gain_L2C.shape[2] == reduced.num_codes + 1:
            return noise
    return LandmarkNoise.plain(reduced.num_points, reduced.num_codes + 1)
