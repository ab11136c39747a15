"""How an expression compresses the skin, and how much of it each wrinkle channel feels.

Green strain in the plane of each triangle: with its edges D0 in a local frame of the reference and E1 after the
deformation, C = D0^-T E1^T E1 D0^-1 and E = (C - I) / 2. Compression across a line with unit normal n is -n^T E n.

Shape suffixes: V vertices, F triangles (those that a gauge needs), C channels, N points of curves.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.spatial import KDTree

from deca.head.layer import HeadLayer
from deca.head.model import HeadModel
from deca_training.data.synthetic.curves import Curve, Draws, trace
from deca_training.data.synthetic.families import FAMILIES, FOREHEAD_BINS, Family, channel_names
from deca_training.data.synthetic.patterns import PATTERNS
from deca_training.data.synthetic.skin import skin_of

_LIMIT = (-0.4, 0.6)
_BIN_WIDTH = 9.0  # millimetres


class ArkitReader:
    """ARKit weights of expression coefficients and jaw, by least squares on the head's `arkit_map`."""

    def __init__(self, head: HeadModel) -> None:
        assert head.arkit_map_K52 is not None
        self.names = head.arkit_names
        self.map_K52 = head.arkit_map_K52.astype(np.float64)
        self._inverse = np.linalg.pinv(self.map_K52[:50])
        self._jaw_open = self.names.index("jawOpen")

    def coefficients(self, weights: Mapping[str, float]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Expression coefficients (50,) and axis-angles (3, 3) of jaw, left eye, right eye of ARKit weights."""
        weight_52 = np.zeros(len(self.names))
        for name, weight in weights.items():
            for full in sided(name, self.names):
                weight_52[self.names.index(full)] += weight
        row_K = self.map_K52 @ weight_52
        return row_K[:50].astype(np.float32), row_K[51:60].reshape(3, 3).astype(np.float32)

    def weights(self, expression_E: NDArray[np.floating], jaw_3: NDArray[np.floating]) -> dict[str, float]:
        """ARKit weights of codes."""
        weight_52 = self._inverse @ np.asarray(expression_E[:50], np.float64)
        opening_3 = self.map_K52[51:54, self._jaw_open]
        weight_52[self._jaw_open] = jaw_3 @ opening_3 / (opening_3 @ opening_3)
        return dict(zip(self.names, np.clip(weight_52, -0.3, 1.3).tolist(), strict=True))


_readers: dict[str, ArkitReader] = {}


def reader_of(head: HeadModel) -> ArkitReader:
    """The reader of a head model; kept by the head's hash."""
    if head.hash not in _readers:
        _readers[head.hash] = ArkitReader(head)
    return _readers[head.hash]


def sided(name: str, names: tuple[str, ...], side: str = "") -> tuple[str, ...]:
    """The ARKit shapes that a family's name means: itself, or those of one side (`Left`, `Right`) or both."""
    if name in names:
        return (name,)
    return (name + side,) if side else (f"{name}Left", f"{name}Right")


class StrainGauge:
    """Compression of the skin across the nominal lines of each channel, 1 at the family's reference expression.

    Args:
        head: The head model.
    """

    def __init__(self, head: HeadModel) -> None:
        self.head, self.names = head, channel_names()
        self._select()
        self._calibrate()

    def _select(self) -> None:
        """Which triangles count for which channel, and the lines' normals in them."""
        head, skin = self.head, skin_of(self.head)
        verts_V3 = head.template_V3.astype(np.float64) * 1000
        centre_F3 = verts_V3[head.faces_F3].mean(1)
        is_skin_F = (head.parts_V[head.faces_F3] == 0).all(1)
        rows: list[tuple[NDArray, NDArray, NDArray] | None] = []
        typical = Draws((0,), 0, 0.0, variety=0.0)
        for family in FAMILIES:
            lines = [trace(line, skin, typical) for line in PATTERNS[family.name](typical)]
            for channel, curves in enumerate(_channels_of(family, lines)):
                rows.append(self._row(family, channel, curves, centre_F3, is_skin_F) if family.strain else None)
        used_F = np.unique(np.concatenate([row[0] for row in rows if row is not None]))
        self._faces_F3 = head.faces_F3[used_F]
        self._uv_F32 = head.uv_T2[head.uv_faces_F3[used_F]].astype(np.float64)
        first_F3, second_F3 = _frame(verts_V3, self._faces_F3, self._uv_F32)
        quadratic = [np.zeros((len(self.names), len(used_F))) for _ in range(3)]
        for channel, row in enumerate(rows):
            if row is None:
                continue
            place = np.searchsorted(used_F, row[0])
            x = (row[2] * first_F3[place]).sum(1)
            y = (row[2] * second_F3[place]).sum(1)
            scale = row[1] / row[1].sum() / np.maximum(x * x + y * y, 1e-9)
            for matrix, value in zip(quadratic, (x * x, y * y, 2 * x * y), strict=True):
                matrix[channel, place] = -scale * value
        # Rows that the three components of strain, one after the other, are multiplied with.
        self._gauge_CX = csr_matrix(np.concatenate(quadratic, 1))

    def _row(
        self, family: Family, channel: int, curves: list[Curve], centre_F3: NDArray, is_skin_F: NDArray
    ) -> tuple[NDArray, NDArray, NDArray]:
        """Triangles, weights and line normals (3D) of a channel."""
        position_N3 = np.concatenate([curve.position_N3 for curve in curves])
        tangent_N3 = np.concatenate([curve.tangent_N3 for curve in curves])
        reach = 2.5 * family.reach
        found = KDTree(position_N3).query(centre_F3, distance_upper_bound=reach)
        distance_F, nearest_F = (np.asarray(values_F) for values_F in found)
        used_F = np.flatnonzero(np.isfinite(distance_F) & is_skin_F)
        corners_F33 = self.head.template_V3[self.head.faces_F3[used_F]].astype(np.float64) * 1000
        normal_F3 = np.cross(corners_F33[:, 1] - corners_F33[:, 0], corners_F33[:, 2] - corners_F33[:, 0])
        area_F = np.linalg.norm(normal_F3, axis=1)
        weight_F = area_F * np.exp(-0.5 * (distance_F[used_F] / family.reach) ** 2)
        if family.layout == "forehead":
            weight_F = weight_F * bin_shares(centre_F3[used_F, 0])[channel]
        across_F3 = np.cross(normal_F3 / area_F[:, None], tangent_N3[nearest_F[used_F]])
        return used_F, weight_F, across_F3

    def _calibrate(self) -> None:
        layer, reader = HeadLayer(self.head), ArkitReader(self.head)
        self._reference_C = np.ones(len(self.names))
        neutral_V3 = posed(layer, np.zeros(100), np.zeros(50), np.zeros(3))
        measured: dict[int, NDArray] = {}
        channel = 0
        for family in FAMILIES:
            count = {"middle": 1, "paired": 2, "forehead": len(FOREHEAD_BINS)}[family.layout]
            if family.strain:
                if id(family.reference) not in measured:
                    expression_E, turn_33 = reader.coefficients(family.reference)
                    verts_V3 = posed(layer, np.zeros(100), expression_E, turn_33[0])
                    measured[id(family.reference)] = self._raw(neutral_V3, verts_V3)
                self._reference_C[channel : channel + count] = measured[id(family.reference)][channel : channel + count]
            channel += count

    def _raw(self, neutral_V3: NDArray, verts_V3: NDArray) -> NDArray[np.float64]:
        return self._gauge_CX @ green_strain(neutral_V3, verts_V3, self._faces_F3, self._uv_F32).ravel()

    def compression(self, neutral_V3: NDArray, verts_V3: NDArray) -> NDArray[np.float64]:
        """Compression (C,) of each channel, negative where the skin is stretched; 0 for channels without strain.

        Args:
            neutral_V3: The same person's neutral head, any unit.
            verts_V3: The head with its expression, in the same unit; rigid motion does not matter.
        """
        return self._raw(neutral_V3, verts_V3) / self._reference_C


_gauges: dict[str, StrainGauge] = {}


def gauge_of(head: HeadModel) -> StrainGauge:
    """The gauge of a head model; kept by the head's hash."""
    if head.hash not in _gauges:
        _gauges[head.hash] = StrainGauge(head)
    return _gauges[head.hash]


def _channels_of(family: Family, curves: list[Curve]) -> list[list[Curve]]:
    """The nominal curves of each of a family's channels."""
    if family.layout == "paired":
        flip = np.array([-1.0, 1.0, 1.0])
        right = [Curve(curve.texel_N2, curve.position_N3 * flip, curve.tangent_N3 * flip) for curve in curves]
        return [curves, right]
    return [curves] * (len(FOREHEAD_BINS) if family.layout == "forehead" else 1)


def bin_shares(x_N: NDArray[np.floating]) -> NDArray[np.float64]:
    """Share (5, N) of the forehead's channels at places x, millimetres; they sum to 1."""
    bumps = np.exp(-0.5 * ((x_N - np.array(FOREHEAD_BINS)[:, None]) / _BIN_WIDTH) ** 2) + 1e-12
    return bumps / bumps.sum(0)


def _frame(verts_V3: NDArray, faces_F3: NDArray, uv_F32: NDArray) -> tuple[NDArray, NDArray]:
    """Unit tangents of each triangle: along u, and across it in the triangle's plane."""
    first_F3, second_F3 = (verts_V3[faces_F3[:, i]] - verts_V3[faces_F3[:, 0]] for i in (1, 2))
    normal_F3 = np.cross(first_F3, second_F3)
    # dP/du up to a positive factor: UV triangles are counter-clockwise too.
    along_F3 = first_F3 * (uv_F32[:, 2] - uv_F32[:, 0])[:, 1:] - second_F3 * (uv_F32[:, 1] - uv_F32[:, 0])[:, 1:]
    along_F3 /= np.linalg.norm(along_F3, axis=1, keepdims=True)
    across_F3 = np.cross(normal_F3 / np.linalg.norm(normal_F3, axis=1, keepdims=True), along_F3)
    return along_F3, across_F3


def green_strain(neutral_V3: NDArray, verts_V3: NDArray, faces_F3: NDArray, uv_F32: NDArray) -> NDArray[np.float64]:
    """Green strain of triangles, limited to what skin does: the components xx, yy, xy (3, F), x along u.

    Args:
        neutral_V3: Reference.
        verts_V3: Deformed; rigid motion does not matter.
        faces_F3: Triangles.
        uv_F32: Their corners' texture coordinates.
    """
    along_F3, across_F3 = _frame(neutral_V3, faces_F3, uv_F32)
    before = [neutral_V3[faces_F3[:, i]] - neutral_V3[faces_F3[:, 0]] for i in (1, 2)]
    after = [verts_V3[faces_F3[:, i]] - verts_V3[faces_F3[:, 0]] for i in (1, 2)]
    # D0: columns are the edges in the local frame; its inverse written out.
    (a, b), (c, d) = ([(edge * axis).sum(1) for edge in before] for axis in (along_F3, across_F3))
    area = a * d - b * c
    stretched_x = (after[0] * (d / area)[:, None]) - (after[1] * (c / area)[:, None])
    stretched_y = (after[1] * (a / area)[:, None]) - (after[0] * (b / area)[:, None])
    strain_3F = np.stack(
        [
            (stretched_x**2).sum(1) / 2 - 0.5,
            (stretched_y**2).sum(1) / 2 - 0.5,
            (stretched_x * stretched_y).sum(1) / 2,
        ]
    )
    return np.clip(strain_3F, *_LIMIT)


def posed(layer: HeadLayer, shape_S: NDArray, expression_E: NDArray, jaw_3: NDArray) -> NDArray[np.float64]:
    """Vertices (V, 3) of codes, metres, root at rest."""
    pose_13 = torch.zeros(1, 5, 3)
    pose_13[0, 2] = torch.as_tensor(np.asarray(jaw_3, np.float32))
    codes = (torch.from_numpy(np.asarray(code, np.float32))[None] for code in (shape_S, expression_E))
    with torch.no_grad():
        return layer(*codes, pose_13)[0].double().numpy()
