"""The painted teeth of OpenHead: white crowns, a dark line at the midline, gums where the crown ends."""

from __future__ import annotations

import numpy as np
import pytest

from deca.appearance.mouth import paint_mouth
from deca.appearance.sampling import part_share
from deca.head.model import Part, load_head
from deca.render.uv import texels_of


@pytest.mark.parametrize("part", [Part.TEETH_UPPER, Part.TEETH_LOWER])
def test_teeth_gums_and_gaps_are_told_apart(part: Part) -> None:
    head = load_head()
    texels = texels_of(head, 1024)
    image_HW3 = np.zeros((1024, 1024, 3), np.float32)
    paint_mouth(image_HW3, texels, 1.0)

    arch_K3 = head.template_V3[head.parts_V == part]
    arch_K3 = arch_K3[arch_K3[:, 2] > arch_K3[:, 2].max() - 0.006]  # the front teeth
    points_HW3 = texels.interpolate(head.template_V3)
    from_edge_HW = points_HW3[..., 1] - arch_K3[:, 1].min()
    if part == Part.TEETH_LOWER:
        from_edge_HW = arch_K3[:, 1].max() - points_HW3[..., 1]
    aside_HW = np.abs(points_HW3[..., 0])
    front_HW = (part_share(texels, (part,)) > 0.99) & (points_HW3[..., 2] > arch_K3[:, 2].max() - 0.006)

    def mean(where_HW: np.ndarray) -> np.ndarray:
        assert where_HW.sum() >= 2
        return image_HW3[where_HW].mean(0)

    crown_HW = front_HW & (from_edge_HW > 0.002) & (from_edge_HW < 0.006)
    tooth = mean(crown_HW & (aside_HW > 0.001) & (aside_HW < 0.0035))
    gap = mean(crown_HW & (aside_HW < 0.0004))
    gums = mean(front_HW & (from_edge_HW > 0.012))
    assert (tooth > 0.8).all()
    assert (gap < 0.92 * tooth).all()
    assert gums[0] / gums[1] > 1.3 * tooth[0] / tooth[1]
