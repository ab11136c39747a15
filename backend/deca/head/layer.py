"""FLAME's forward model in torch: blend shapes, pose correctives, linear blend skinning, landmarks.

M(beta, psi, theta) of FLAME (Li et al. 2017), as used by DECA (Feng et al. 2021, Section 3).

Shape suffixes: B batch, V vertices, F triangles, S shape and E expression coefficients, J joints (5), P pose features
(36), L landmarks.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from deca.errors import AssetError
from deca.head.model import HeadModel, SurfacePoints, joint_basis


def rotation_matrices(axis_angle_N3: Tensor) -> Tensor:
    """Rotation matrices (N, 3, 3) of axis-angle vectors in radians (Rodrigues' formula).

    The 1e-8 keeps the gradient finite at zero rotation, as in FLAME.
    """
    angle_N1 = (axis_angle_N3 + 1e-8).norm(dim=1, keepdim=True)
    x, y, z = (axis_angle_N3 / angle_N1).unbind(1)
    zero = torch.zeros_like(x)
    skew_N33 = torch.stack((zero, -z, y, z, zero, -x, -y, x, zero), dim=1).view(-1, 3, 3)
    sin, cos = torch.sin(angle_N1)[:, None], torch.cos(angle_N1)[:, None]
    return torch.eye(3, dtype=x.dtype, device=x.device) + sin * skew_N33 + (1 - cos) * (skew_N33 @ skew_N33)


class HeadLayer(nn.Module):
    """Differentiable head: coefficients to vertices and landmarks.

    Args:
        model: The head model's arrays.
        num_shape: How many shape coefficients `forward` takes (the leading ones).
        num_expression: How many expression coefficients `forward` takes.
    """

    template_V3: Tensor
    dirs_KX: Tensor
    pose_dirs_PX: Tensor
    skin_weights_VJ: Tensor
    joints_J3: Tensor
    joint_dirs_KX: Tensor
    faces_F3: Tensor

    def __init__(self, model: HeadModel, num_shape: int = 100, num_expression: int = 50) -> None:
        super().__init__()
        self.model = model
        self.num_shape = num_shape
        self.num_expression = num_expression
        dirs_V3K = np.concatenate(
            (model.shape_dirs_V3S[:, :, :num_shape], model.expression_dirs_V3E[:, :, :num_expression]), axis=2
        )
        self._add("template_V3", model.template_V3)
        self._add("dirs_KX", dirs_V3K.reshape(-1, dirs_V3K.shape[2]).T)
        self._add("pose_dirs_PX", model.pose_dirs_V3P.reshape(-1, model.pose_dirs_V3P.shape[2]).T)
        self._add("skin_weights_VJ", model.skin_weights_VJ)
        # Joints are linear in the vertices, hence in the coefficients: no need to pass through the mesh.
        joints_J3, joint_dirs_KJ3 = joint_basis(model, num_shape, num_expression)
        self._add("joints_J3", joints_J3)
        self._add("joint_dirs_KX", joint_dirs_KJ3.reshape(len(joint_dirs_KJ3), -1))
        self.register_buffer("faces_F3", torch.from_numpy(model.faces_F3), persistent=False)
        self.parents = model.parents

    def _add(self, name: str, array: np.ndarray) -> None:
        tensor = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
        self.register_buffer(name, tensor, persistent=False)

    def joints(self, shape_BS: Tensor, expression_BE: Tensor) -> Tensor:
        """Joint positions (B, J, 3) of the unposed head, metres."""
        codes_BK = torch.cat((shape_BS, expression_BE), dim=1)
        return self.joints_J3 + (codes_BK @ self.joint_dirs_KX).view(len(shape_BS), -1, 3)

    def unposed(self, shape_BS: Tensor, expression_BE: Tensor) -> Tensor:
        """Vertices (B, V, 3) with identity and expression, before pose correctives and skinning."""
        codes_BK = torch.cat((shape_BS, expression_BE), dim=1)
        return self.template_V3 + (codes_BK @ self.dirs_KX).view(len(shape_BS), -1, 3)

    def forward(
        self, shape_BS: Tensor, expression_BE: Tensor, pose_BJ3: Tensor, offset_BV3: Tensor | None = None
    ) -> Tensor:
        """Posed vertices.

        Args:
            shape_BS: Shape coefficients, unit variance.
            expression_BE: Expression coefficients.
            pose_BJ3: Axis-angle of root, neck, jaw, left eye, right eye, radians.
            offset_BV3: What the neutral head has beyond the shape coefficients, metres; joints do not follow it.

        Returns:
            (B, V, 3) vertices in metres, head space turned by the root rotation about the root joint.
        """
        batch, joints = pose_BJ3.shape[:2]
        rot_BJ33 = rotation_matrices(pose_BJ3.reshape(-1, 3)).view(batch, joints, 3, 3)
        feature_BP = (rot_BJ33[:, 1:] - torch.eye(3, dtype=rot_BJ33.dtype, device=rot_BJ33.device)).reshape(batch, -1)
        verts_BV3 = self.unposed(shape_BS, expression_BE) + (feature_BP @ self.pose_dirs_PX).view(batch, -1, 3)
        if offset_BV3 is not None:
            verts_BV3 = verts_BV3 + offset_BV3
        transform_BJ34 = self._relative_transforms(rot_BJ33, self.joints(shape_BS, expression_BE))
        blended_BV34 = (self.skin_weights_VJ @ transform_BJ34.reshape(batch, joints, 12)).view(batch, -1, 3, 4)
        return (blended_BV34[..., :3] @ verts_BV3[..., None]).squeeze(-1) + blended_BV34[..., 3]

    def _relative_transforms(self, rot_BJ33: Tensor, joints_BJ3: Tensor) -> Tensor:
        """Per joint, the rigid motion (B, J, 3, 4) from the rest pose to the posed head."""
        world_rot: list[Tensor] = []
        world_pos: list[Tensor] = []
        for joint, parent in enumerate(self.parents):
            if parent < 0:
                world_rot.append(rot_BJ33[:, joint])
                world_pos.append(joints_BJ3[:, joint])
                continue
            offset_B31 = (joints_BJ3[:, joint] - joints_BJ3[:, parent])[..., None]
            world_rot.append(world_rot[parent] @ rot_BJ33[:, joint])
            world_pos.append((world_rot[parent] @ offset_B31).squeeze(-1) + world_pos[parent])
        rot = torch.stack(world_rot, dim=1)
        shift = torch.stack(world_pos, dim=1) - (rot @ joints_BJ3[..., None]).squeeze(-1)
        return torch.cat((rot, shift[..., None]), dim=-1)

    def surface_points(self, verts_BV3: Tensor, points: SurfacePoints) -> Tensor:
        """Positions (B, L, 3) of points fixed to the surface."""
        faces_L3 = self.faces_F3[torch.as_tensor(points.faces, device=verts_BV3.device)]
        bary_L31 = torch.as_tensor(points.bary, dtype=verts_BV3.dtype, device=verts_BV3.device)[..., None]
        return (verts_BV3[:, faces_L3] * bary_L31).sum(-2)

    def landmarks_478(self, verts_BV3: Tensor) -> Tensor:
        """MediaPipe landmarks (B, 478, 3); zero where `SurfacePoints.placed` is not."""
        return self.surface_points(verts_BV3, _present(self.model.landmarks_478, "MediaPipe landmarks"))

    def landmarks_68(self, verts_BV3: Tensor, pose_BJ3: Tensor) -> Tensor:
        """iBUG landmarks (B, 68, 3): 17 contour points that follow the yaw, then 51 fixed ones, as in DECA."""
        fixed = _present(self.model.landmarks_51, "68 landmarks")
        contour = _present(self.model.contour, "a dynamic contour")
        rows_B = contour_rows(pose_BJ3)
        faces_BL3 = self.faces_F3[torch.as_tensor(contour.faces, device=verts_BV3.device)[rows_B]]
        bary_BL31 = torch.as_tensor(contour.bary, dtype=verts_BV3.dtype, device=verts_BV3.device)[rows_B][..., None]
        batch_B11 = torch.arange(len(verts_BV3), device=verts_BV3.device)[:, None, None]
        contour_BL3 = (verts_BV3[batch_B11, faces_BL3] * bary_BL31).sum(-2)
        return torch.cat((contour_BL3, self.surface_points(verts_BV3, fixed)), dim=1)

    def landmarks_68_fixed(self, verts_BV3: Tensor) -> Tensor:
        """iBUG landmarks (B, 68, 3) whose contour is fixed to the jaw too: DECA's 3D landmarks."""
        return self.surface_points(verts_BV3, _present(self.model.landmarks_68, "68 landmarks"))


@lru_cache(maxsize=4)
def layer_of(model: HeadModel, num_shape: int, num_expression: int) -> HeadLayer:
    """A head model's layer on the CPU. The last ones are kept, as making one takes longer than posing a head."""
    with torch.inference_mode(False):  # whoever asks first, others may want gradients
        return HeadLayer(model, num_shape, num_expression)


def contour_rows(pose_BJ3: Tensor) -> Tensor:
    """Row of the dynamic contour table for each pose: 0..39 for yaw >= 0, 40..78 for yaw -1..-39 degrees."""
    rot_B33 = rotation_matrices(pose_BJ3[:, 0]) @ rotation_matrices(pose_BJ3[:, 1])
    yaw_B = torch.atan2(-rot_B33[:, 2, 0], torch.hypot(rot_B33[:, 0, 0], rot_B33[:, 1, 0]))
    yaw_B = torch.round(torch.rad2deg(yaw_B).clamp(max=39.0)).long()
    return torch.where(yaw_B >= 0, yaw_B, torch.where(yaw_B < -39, torch.full_like(yaw_B, 78), 39 - yaw_B))


def _present(points: SurfacePoints | None, what: str) -> SurfacePoints:
    if points is None:
        raise AssetError(f"The head model carries no {what}.", "Build or convert it again with its landmarks.")
    return points
