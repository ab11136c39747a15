"""Teeth, tongue and the inside of the mouth, painted: a photo hardly shows them.

Shape suffixes: V vertices, N texels, H W texture rows and columns.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deca.appearance.blend import smoothstep
from deca.appearance.sampling import PartTexels
from deca.appearance.skin import surface_noise
from deca.head.model import Part
from deca.render.uv import Texels

_ENAMEL = np.array((0.95, 0.93, 0.88), np.float32)
_GUMS = np.array((0.80, 0.50, 0.48), np.float32)
_MOUTH_BACK = np.array((0.16, 0.05, 0.05), np.float32)
_COLOURS: dict[Part, tuple[NDArray[np.float32], NDArray[np.float32]]] = {
    Part.INNER_MOUTH: (np.array((0.52, 0.25, 0.24), np.float32), _MOUTH_BACK),
    Part.TONGUE: (np.array((0.68, 0.38, 0.36), np.float32), _MOUTH_BACK),
    Part.TEETH_UPPER: (_ENAMEL, 0.6 * _ENAMEL),
    Part.TEETH_LOWER: (_ENAMEL, 0.6 * _ENAMEL),
}
"""sRGB at the front and at the back of each part."""
_TOOTH_WIDTHS = {
    Part.TEETH_UPPER: (8.5, 6.5, 7.5, 7.0, 7.0, 10.0, 9.0),
    Part.TEETH_LOWER: (5.0, 5.5, 7.0, 7.0, 7.0, 11.0, 10.5),
}
"""Millimetres from the midline backwards: two incisors, canine, two premolars, two molars (Wheeler's tables)."""
_CROWN = {Part.TEETH_UPPER: 0.0098, Part.TEETH_LOWER: 0.0088}
"""Metres from the biting edge to the gums."""
_EDGE_STEP = 0.008
"""Metres along an arch that hold one vertex of its biting edge at least: the mesh has one every 4 to 6 mm."""
_GAP = 0.0004
"""Half the width, metres, of the dark line between two teeth."""
_GAP_SHADE = np.array((0.80, 0.70, 0.62), np.float32)


def paint_mouth(image_HW3: NDArray[np.float32], texels: Texels, brightness: float) -> None:
    """Paints teeth, tongue and the inside of the mouth, in place; the lips pass into the inside without an edge.

    Args:
        image_HW3: sRGB texture in [0, 1].
        texels: The head model's texels.
        brightness: Of the photo's light, 1 for a well lit one.
    """
    head = texels.head
    inside = PartTexels.of(texels, _COLOURS)
    points_N3, colours_N3 = inside.weights_NV @ head.template_V3, image_HW3[inside.where_HW]
    grain_N1 = surface_noise(points_N3, 0.006, 8)[:, None]
    for part, (front, back) in _COLOURS.items():
        part_K3 = head.template_V3[head.parts_V == part]
        if not len(part_K3):
            continue
        depth_N1 = smoothstep(part_K3[:, 2].max() - points_N3[:, 2:], 0.005, 0.045)
        painted_N3 = front + (back - front) * depth_N1
        if part in _CROWN:
            painted_N3 = _with_gums_and_gaps(painted_N3, points_N3, part_K3, part)
        painted_N3 = painted_N3 * brightness * (1 + 0.02 * grain_N1)
        share_N1 = inside.share(part)[:, None]
        colours_N3 += share_N1 * (np.clip(painted_N3, 0, 1) - colours_N3)
    image_HW3[inside.where_HW] = colours_N3


def _with_gums_and_gaps(
    colours_N3: NDArray[np.float32], points_N3: NDArray[np.float32], arch_K3: NDArray[np.float32], part: Part
) -> NDArray[np.float32]:
    """Tells the teeth of one dental arch apart, which the mesh shows as one band."""
    along_N, along_K = _arc_length(points_N3, arch_K3), _arc_length(arch_K3, arch_K3)
    ends = np.concatenate(([0.0], np.cumsum(_TOOTH_WIDTHS[part])))
    ends *= along_K.max() / ends[-1]
    tooth_N = np.clip(np.searchsorted(ends, along_N, side="right") - 1, 0, len(ends) - 2)
    width_N = ends[tooth_N + 1] - ends[tooth_N]
    across_N = np.clip((along_N - ends[tooth_N]) / width_N, 0, 1)  # 0 and 1 at the neighbours
    to_gap_N = np.minimum(across_N, 1 - across_N) * width_N
    bulge_N = (2 * across_N - 1) ** 2
    gap_N1 = np.exp(-((to_gap_N / _GAP) ** 2))[:, None]
    shade_N3 = (1 - 0.05 * bulge_N)[:, None] * (1 + gap_N1 * (_GAP_SHADE - 1))

    gumward = 1 if part == Part.TEETH_UPPER else -1
    from_edge_N = gumward * points_N3[:, 1] - _biting_edge(along_N, along_K, gumward * arch_K3[:, 1])
    crown_N = _CROWN[part] * (1 - 0.15 * bulge_N)  # the gums reach down between the teeth
    gums_N1 = smoothstep(from_edge_N, crown_N - 0.0005, crown_N + 0.0005)[:, None]
    teeth_N3 = colours_N3 * shade_N3
    return (teeth_N3 + (_GUMS * colours_N3 / _ENAMEL - teeth_N3) * gums_N1).astype(np.float32)


def _biting_edge(along_N: NDArray, along_K: NDArray, height_K: NDArray) -> NDArray[np.float64]:
    """Heights (N,) of the biting edge, the arch's lowest, at places along it: arches rise and fall to the back."""
    edges = [
        piece[height_K[piece].argmin()]
        for start in np.arange(0, along_K.max(), _EDGE_STEP)
        if len(piece := np.flatnonzero((along_K >= start) & (along_K < start + _EDGE_STEP)))
    ]
    return np.interp(along_N, along_K[edges], height_K[edges])


def _arc_length(points_N3: NDArray[np.float32], arch_K3: NDArray[np.float32]) -> NDArray[np.float64]:
    """Metres (N,) from the midline along the dental arch, taken for half an ellipse seen from above."""
    half_width, back, front = np.abs(arch_K3[:, 0]).max(), arch_K3[:, 2].min(), arch_K3[:, 2].max()
    angle_N = np.arctan2(np.abs(points_N3[:, 0]) / half_width, (points_N3[:, 2] - back) / (front - back))
    angles = np.linspace(0, np.pi / 2, 256)
    x, z = half_width * np.sin(angles), (front - back) * np.cos(angles)
    length = np.concatenate(([0.0], np.cumsum(np.hypot(np.diff(x), np.diff(z)))))
    return np.interp(angle_N, angles, length)
