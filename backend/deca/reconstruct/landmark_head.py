"""The head model reduced to its landmarks: positions and analytic derivatives without passing through the mesh.

A landmark is a weighted sum of three vertices, and linear blend skinning with an unmoved neck gives, before the root
turns,

    y_l = sum_c b_c v_c + sum_j (R_j - I) e_lj,   e_lj = sum_c b_c w_cj (v_c - J_j),   j = jaw, left eye, right eye,

where v (with pose correctives) and J are linear in the codes. So y is exact with a few small precomputed bases.

Shape suffixes: B batch, L landmarks, M landmarks that a joint moves, K codes (shape then expression), F the 27
pose features.
"""

from __future__ import annotations

from copy import copy

import numpy as np
from numpy.typing import NDArray

from deca.head.model import HeadModel, Part, SurfacePoints, joint_basis
from deca.reconstruct.geometry import rotation, rotation_derivatives

Array = NDArray[np.floating]

_JAW, _EYE_L, _EYE_R = 2, 3, 4
_FIRST_FEATURE = 9  # the neck's nine pose features stay zero

NUM_POSE = 7
"""Pose parameters: jaw axis-angle (3), then x and y rotation of the left and the right eye."""


class _Basis:
    """Points linear in codes and pose features: constant + codes @ dirs + features @ correctives."""

    def __init__(self, constant_L3: Array, dirs_LK3: Array, correctives_LF3: Array) -> None:
        self.constant_L3 = constant_L3
        self.dirs_L3K = np.ascontiguousarray(dirs_LK3.transpose(0, 2, 1), np.float32)
        stacked = np.concatenate((dirs_LK3, correctives_LF3), axis=1).transpose(1, 0, 2)
        self._flat_QX = np.ascontiguousarray(stacked.reshape(stacked.shape[0], -1))
        self._num_codes = dirs_LK3.shape[1]

    def moved(self, by_L3: Array) -> _Basis:
        """The same, its points elsewhere from the start."""
        other = copy(self)
        other.constant_L3 = self.constant_L3 + by_L3
        return other

    def points(self, codes_BK: Array, features_BF: Array) -> Array:
        """Positions (B, L, 3)."""
        moved_BX = np.hstack((codes_BK, features_BF)) @ self._flat_QX
        return self.constant_L3 + moved_BX.reshape(len(codes_BK), -1, 3)

    def corrections(self, features_BPF: Array) -> Array:
        """Displacements (B, L, 3, P) of P sets of pose features each."""
        moved_BPX = features_BPF @ self._flat_QX[self._num_codes :]
        return moved_BPX.reshape(*features_BPF.shape[:2], -1, 3).transpose(0, 2, 3, 1)


class LandmarkHead:
    """Landmark positions of a head model, relative to the root joint and before the root's rotation.

    Args:
        head: The head model.
        points: Its landmarks (L,).
        num_shape: Leading shape coefficients used.
        num_expression: Leading expression coefficients used.

    Attributes:
        lower_teeth_E3: What each expression coefficient does to the lower teeth, metres; 0 where there are none.
    """

    def __init__(self, head: HeadModel, points: SurfacePoints, num_shape: int = 100, num_expression: int = 50) -> None:
        dirs = np.concatenate(
            (head.shape_dirs_V3S[:, :, :num_shape], head.expression_dirs_V3E[:, :, :num_expression]), axis=2
        )
        self.num_shape = min(num_shape, head.shape_dirs_V3S.shape[2])
        self.num_expression = dirs.shape[2] - self.num_shape
        self.num_codes = dirs.shape[2]
        self.num_points = len(points.faces)
        joints_J3, joint_dirs_KJ3 = joint_basis(head, num_shape, num_expression)

        corners_LC = head.faces_F3[points.faces]
        bary_LC = points.bary.astype(np.float64)
        template_LC3 = head.template_V3[corners_LC].astype(np.float64)
        dirs_LCK3 = dirs[corners_LC].astype(np.float64).transpose(0, 1, 3, 2)
        correctives_LCF3 = head.pose_dirs_V3P[corners_LC][..., _FIRST_FEATURE:].astype(np.float64).transpose(0, 1, 3, 2)
        weights_LCJ = head.skin_weights_VJ[corners_LC].astype(np.float64)

        def basis(rows: NDArray[np.intp], mix_LC: Array, joint: int) -> _Basis:
            mix = mix_LC[rows]
            return _Basis(
                np.einsum("lc,lcx->lx", mix, template_LC3[rows] - joints_J3[joint]),
                np.einsum("lc,lckx->lkx", mix, dirs_LCK3[rows] - joint_dirs_KJ3[:, joint]),
                np.einsum("lc,lcfx->lfx", mix, correctives_LCF3[rows]),
            )

        every = np.arange(self.num_points)
        self._rest = basis(every, bary_LC, 0)
        self._joints: list[tuple[NDArray[np.int64], _Basis]] = []
        self._shares: list[Array] = []
        for joint in (_JAW, _EYE_L, _EYE_R):
            mix_LC = bary_LC * weights_LCJ[:, :, joint]
            rows = np.flatnonzero(mix_LC.max(1) > 1e-6)
            self._joints.append((rows, basis(rows, mix_LC, joint)))
            self._shares.append(mix_LC.sum(1))
        self.root_3 = joints_J3[0]
        self.root_dirs_K3 = joint_dirs_KJ3[:, 0]
        lower_V = head.parts_V == Part.TEETH_LOWER
        moved_E3 = dirs[lower_V, :, self.num_shape :].mean(0).T if lower_V.any() else np.zeros((self.num_expression, 3))
        self.lower_teeth_E3 = np.asarray(moved_E3, np.float64)

    def positions(self, codes_BK: Array, pose_B7: Array) -> Array:
        """Landmarks (B, L, 3), metres, relative to the root joint.

        Args:
            codes_BK: Shape, then expression coefficients.
            pose_B7: Jaw axis-angle; x and y rotation of the left eye, of the right eye; radians.
        """
        rots = [rotation(axis) for axis in _axes(pose_B7)]
        features_BF = _features(rots)
        out_BL3 = self._rest.points(codes_BK, features_BF)
        for rot_B33, (rows, basis) in zip(rots, self._joints, strict=True):
            moved_BM3 = basis.points(codes_BK, features_BF)
            out_BL3[:, rows] += moved_BM3 @ (rot_B33 - np.eye(3)).transpose(0, 2, 1)
        return out_BL3

    def moved(self, offset_L3: Array) -> LandmarkHead:
        """The same head, its neutral landmarks moved, metres; joints stay."""
        other = copy(self)
        other._rest = self._rest.moved(offset_L3)
        other._joints = [
            (rows, basis.moved(share_L[rows, None] * offset_L3[rows]))
            for (rows, basis), share_L in zip(self._joints, self._shares, strict=True)
        ]
        return other

    def turns(self, pose_B7: Array) -> Array:
        """How jaw and eyes turn what moves on the neutral surface: matrices (B, L, 3, 3) at the landmarks."""
        rots = [rotation(axis) for axis in _axes(pose_B7)]
        shares_JL = np.stack(self._shares)
        return np.eye(3) + np.einsum("jl,jbxy->blxy", shares_JL, np.stack(rots) - np.eye(3))

    def jacobian(self, codes_BK: Array, pose_B7: Array, view_BL23: Array) -> NDArray[np.float32]:
        """Derivatives (B, L, 2, K + 7) of `view @ positions` with respect to codes and pose, float32.

        Args:
            codes_BK: Shape, then expression coefficients.
            pose_B7: As in `positions`.
            view_BL23: Linear map of each landmark to the picture plane, e.g. the camera's derivative times the root.
        """
        batch = len(codes_BK)
        axes = _axes(pose_B7)
        rots = [rotation(axis) for axis in axes]
        features_BF = _features(rots)
        # d features / d pose and d rotation / d pose, each pose parameter belonging to one joint
        columns = ((0, 1, 2), (0, 1), (0, 1))
        out = np.empty((batch, self.num_points, 2, self.num_codes + NUM_POSE), np.float32)
        seen_by_BL23 = view_BL23.astype(np.float32)
        codes, pose = out[..., : self.num_codes], out[..., self.num_codes :]
        np.matmul(seen_by_BL23, self._rest.dirs_L3K, out=codes)
        spins, feature_columns_B7F = [], np.zeros((batch, NUM_POSE, features_BF.shape[1]))
        first = 0
        for joint, (axis_B3, rot_B33, kept) in enumerate(zip(axes, rots, columns, strict=True)):
            spin = rotation_derivatives(axis_B3, rot_B33)[:, list(kept)]
            spins.append((first, spin))
            feature_columns_B7F[:, first : first + len(kept), 9 * joint : 9 * joint + 9] = spin.reshape(batch, -1, 9)
            first += len(kept)
        pose[...] = seen_by_BL23 @ self._rest.corrections(feature_columns_B7F).astype(np.float32)
        for (rows, basis), rot_B33, (start, spin) in zip(self._joints, rots, spins, strict=True):
            turned_BM23 = seen_by_BL23[:, rows] @ (rot_B33 - np.eye(3))[:, None].astype(np.float32)
            codes[:, rows] += turned_BM23 @ basis.dirs_L3K
            pose[:, rows] += turned_BM23 @ basis.corrections(feature_columns_B7F).astype(np.float32)
            moved_BM3 = basis.points(codes_BK, features_BF)
            spun_BM3P = (spin[:, None] @ moved_BM3[:, :, None, :, None])[..., 0].transpose(0, 1, 3, 2)
            pose[:, rows, :, start : start + spin.shape[1]] += seen_by_BL23[:, rows] @ spun_BM3P.astype(np.float32)
        return out


def _axes(pose_B7: Array) -> list[Array]:
    zero = np.zeros((len(pose_B7), 1))
    return [pose_B7[:, :3], np.hstack((pose_B7[:, 3:5], zero)), np.hstack((pose_B7[:, 5:7], zero))]


def _features(rots: list[Array]) -> Array:
    return np.concatenate([(rot - np.eye(3)).reshape(len(rot), 9) for rot in rots], axis=1)
