"""What the coefficients cannot say of a person: the neutral surface itself, moved towards the landmarks of photos.

The displacement d of the surface is taken for a smooth random field (Gaussian process regression; Rasmussen and
Williams 2006, Eq. 2.25) with the covariance

    k(x, y) = sum_s a_s^2 exp(-|x - y|^2 / 2 l_s^2),    x, y on the mean head,

one for what is the same on both sides, and a smaller one for what is not. Distances are those through space: lips,
teeth and tongue go with the skin next to them, so that a mouth closes as before. The field is conditioned on leaving
the eyeballs where they are, hence lids close as before, and bones stay. Its leading modes d = D c, c ~ N(0, I), are
computed once per head model. To first order the landmarks of a photo lie r + J c from the head, where expression, pose
and camera follow (they are eliminated); the most probable field over all photos is

    c = -(I + w sum_p J_p^T J_p)^-1 w sum_p J_p^T r_p.

Shape suffixes: P photos, V vertices, L landmarks, K modes, X view and all parameters of a photo, O those that follow,
N points.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from deca.head.model import HeadModel, Part
from deca.reconstruct.fit import _VIEW, _robust_weight, solver_of
from deca.reconstruct.fit_result import HELD, FitResult, Guess
from deca.reconstruct.joint_fit import JointSolver, Marks
from deca.reconstruct.landmark_head import NUM_POSE

Array = NDArray[np.floating]

SCALES = ((0.012, 0.0005), (0.025, 0.001), (0.05, 0.0015))
"""Lengths l_s and standard deviations a_s of the field, metres: a nose's wing, a chin, a jaw."""
LOPSIDED = 0.25
"""What differs between the sides, as a share of what does not."""
ERROR = 0.005
"""Standard deviation of a landmark's error, metres, if its errors were its own. They are not: the network errs alike on
all landmarks of a region, so that this is several times of what it is off by. Chosen by photos of people that the
displacement has not seen and by rendered heads of known geometry (docs/fit.md)."""
SHARED_ERROR = 1 / 3
"""Correlation of the errors on two photos of a person."""
LIMIT = 0.006
"""Metres that no point goes beyond."""
_STILL = 0.0003
"""Standard deviation with which the eyeballs stay, metres."""
_KEPT = 0.99
"""Share of the landmarks' variance that the modes keep."""
_JAW = 2


class LikenessSolver(JointSolver):
    """Moves the surface of one head model to the landmarks of one person on several photos."""

    @cached_property
    def modes(self) -> tuple[Array, Array]:
        """The field's modes: metres per standard deviation at the vertices (V, 3, K) and the landmarks (L, 3, K)."""
        modes_V3K = field_modes(self.head)
        assert self.head.landmarks_478 is not None
        corners_LC3K = modes_V3K[self.head.faces_F3[self.head.landmarks_478.faces]]
        return modes_V3K, np.einsum("lc,lcxk->lxk", self.head.landmarks_478.bary, corners_LC3K)

    def displacement(self, photos: Sequence[Marks], fit: FitResult) -> NDArray[np.float32]:
        """What the neutral head (V, 3) has beyond its coefficients, metres.

        Args:
            photos: The landmarks of each photo.
            fit: The head on each, a row per photo; one shape.
        """
        modes_V3K, _ = self.modes
        weight = 1 / (1 + (len(photos) - 1) * SHARED_ERROR)
        precision_KK, pull_K = np.eye(modes_V3K.shape[2]), np.zeros(modes_V3K.shape[2])
        for row, photo in enumerate(photos):
            square_KK, slope_K = self._told_by(photo, fit.take(np.array([row])))
            precision_KK += weight * square_KK
            pull_K -= weight * slope_K
        moved_V3 = modes_V3K @ np.linalg.solve(precision_KK, pull_K)
        moved_V3 /= np.sqrt(1 + (moved_V3**2).sum(1, keepdims=True) / LIMIT**2)
        return moved_V3.astype(np.float32)

    def fit_moved(self, photos: Sequence[Marks], fit: FitResult, moved_V3: Array) -> FitResult:
        """Expression, pose and camera of each photo once the surface is moved; a row per photo."""
        points = self.head.landmarks_478
        assert points is not None
        other = copy(self)
        other.reduced = self.reduced.moved(points.positions(moved_V3, self.head.faces_F3))
        return other.fit_held(photos, fit.shape_BS[0], fit.expression_BE, fit.pose_B53[:, _JAW])

    def _told_by(self, photo: Marks, fit: FitResult) -> tuple[Array, Array]:
        """J^T J (K, K) and J^T r (K,) of a photo, in units of `ERROR`."""
        found_1L2, trust_1L = self._checked(np.asarray(photo.points_L2)[None], None, photo.focal_px)
        guess = Guess(fit.shape_BS, fit.expression_BE, fit.pose_B53[:, _JAW], HELD)
        solved = self._solved(found_1L2, trust_1L, photo.image_size, photo.focal_px, guess)
        state, data = solved.state, solved.data
        residual_1L2 = self._residuals(state, data)
        root_L = np.sqrt(_robust_weight(residual_1L2, data)[0])
        residual_N = (root_L[:, None] * residual_1L2[0]).ravel()
        jacobian_NX = (root_L[:, None, None] * self.jacobian(state, data)[0]).reshape(len(residual_N), -1)

        codes, shapes = self.reduced.num_codes, self.reduced.num_shape
        projected_1L2, _, enlargement_1L = self._project(state, data)
        plane_1L23 = self._picture_plane(state, data, projected_1L2, enlargement_1L)
        turns_1L33 = state.root_B33[:, None] @ self.reduced.turns(state.params_BP[:, codes : codes + NUM_POSE])
        moves_L2K = (plane_1L23 @ turns_1L33)[0] @ self.modes[1]
        moves_NK = (root_L[:, None, None] * moves_L2K).reshape(len(residual_N), -1)

        others = np.r_[:_VIEW, _VIEW + shapes : jacobian_NX.shape[1]]
        others_NO = jacobian_NX[:, others]
        square_OO = others_NO.T @ others_NO + self._precision[np.ix_(others, others)]
        follow_OK = np.linalg.solve(square_OO, others_NO.T @ moves_NK)
        left_NK = moves_NK - others_NO @ follow_OK
        scale = (HELD.tracing / ERROR) ** 2
        return scale * moves_NK.T @ left_NK, scale * left_NK.T @ residual_N


def likeness_solver(head: HeadModel) -> LikenessSolver:
    """The solver of a head model, kept as that for single photos is."""
    solver = solver_of(head, LikenessSolver)
    assert isinstance(solver, LikenessSolver)
    return solver


def sees_likeness(head: HeadModel) -> bool:
    """Whether all landmarks are placed on the head; with some of them its surface would be moved in patches."""
    return head.landmarks_478 is not None and bool(head.landmarks_478.placed.all())


def covariance(first_N3: Array, second_M3: Array) -> Array:
    """k of the module's text (N, M), square metres, for each coordinate of the field."""
    squared_NM = (first_N3**2).sum(1)[:, None] + (second_M3**2).sum(1) - 2 * first_N3 @ second_M3.T
    return np.sum([size**2 * np.exp(-squared_NM / (2 * reach**2)) for reach, size in SCALES], axis=0)


def field_modes(head: HeadModel) -> Array:
    """The leading modes (V, 3, K) of the field at the vertices, metres per standard deviation."""
    assert head.landmarks_478 is not None
    places_V3 = head.template_V3.astype(np.float64)
    on_eye_V = np.isin(head.parts_V, (Part.EYE_L, Part.EYE_R))
    marks_L3 = head.landmarks_478.positions(places_V3, head.faces_F3)
    still_N3 = places_V3[on_eye_V][::12]
    mirrored = np.array([-1.0, 1.0, 1.0])
    still_N3 = np.concatenate((still_N3, still_N3 * mirrored))
    modes = []
    for parity in (1, -1):  # functions of place that are even, odd across the head's middle

        def half(first_N3: Array, second_M3: Array, parity: int = parity) -> Array:
            """Covariance of even or odd functions, scaled so that on each side it is k."""
            return covariance(first_N3, second_M3) + parity * covariance(first_N3, second_M3 * mirrored)

        held_NN = half(still_N3, still_N3) + _STILL**2 * np.eye(len(still_N3))
        marks_LN = half(marks_L3, still_N3)
        gain_NL = np.linalg.lstsq(held_NN, marks_LN.T, rcond=1e-12)[0]
        variance_L, vectors_LL = np.linalg.eigh(half(marks_L3, marks_L3) - marks_LN @ gain_NL)
        variance_L, vectors_LL = variance_L[::-1], vectors_LL[:, ::-1]
        count = int(np.searchsorted(np.cumsum(variance_L), _KEPT * variance_L.sum())) + 1
        cross_VL = half(places_V3, marks_L3) - half(places_V3, still_N3) @ gain_NL
        mode_VK = cross_VL @ (vectors_LL[:, :count] / np.sqrt(variance_L[:count]))
        mode_VK[on_eye_V] = 0.0
        for axis in range(3):
            is_symmetric = (parity == 1) == (axis > 0)
            mode_V3K = np.zeros((len(places_V3), 3, count))
            mode_V3K[:, axis] = mode_VK if is_symmetric else LOPSIDED * mode_VK
            modes.append(mode_V3K)
    return np.concatenate(modes, axis=2)
