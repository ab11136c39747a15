"""Residual soft symmetry (Tran, Liu and Liu 2019, Eq. 16): skin that is not seen has the other side's detail.

L_res-sym = ||T * (dS_z - flip(dS_z))||_1
"""

from __future__ import annotations

from torch import Tensor

from deca_training.losses.soft_symmetry import soft_symmetry_loss

FACES_AWAY = 0.2
"""z of the posed normals up to which a texel counts as hidden: T is approximated by the normals' direction, as in the
paper, which does not tell its limit."""


def residual_symmetry_loss(residual_B3HW: Tensor, normals_B3HW: Tensor, skin_HW: Tensor) -> Tensor:
    """Asymmetry of the residual's depth where texels are turned away from the camera, millimetres; mean over texels.

    Args:
        residual_B3HW: dS = S - S~ of the neutral head, metres, on a window that is symmetric to the map's middle
            column.
        normals_B3HW: Normals of the posed head; the camera looks along -z.
        skin_HW: Where it counts.
    """
    hidden_B1HW = (normals_B3HW[:, 2:].detach() < FACES_AWAY) * skin_HW
    return soft_symmetry_loss(1e3 * residual_B3HW[:, 2:], hidden_B1HW)
