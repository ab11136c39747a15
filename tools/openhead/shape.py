"""Identity: heads of people (`sliders.py`, `population.py`) and their principal components.

Heads are rigidly aligned on the upper face and skull. Symmetric and antisymmetric parts are analysed apart, so that
every component is exactly one or the other. What age and sex add is known of every head, and so in the components.

Shape suffixes: N heads, V vertices, K components, T traits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .depth import DEPTHS, forward, read_depths
from .mouth import Mouth
from .sculpt import Sculptor
from .sliders import AGE_SPREAD, MEAN_AGE, People
from .source import Source
from .topology import EYE_LEFT, EYE_RIGHT, HEAD_CENTRE, SKIN, Topology

COMPONENTS = 300
FACE_WEIGHT = 4.0
"""Weight of the face in the principal component analysis against the rest of the skin."""
CERTAIN = 2.5
"""Standard errors from which on a component is said to follow a trait."""
TRAITS = (
    {"name": "age", "unit": "years", "mean": MEAN_AGE, "deviation": AGE_SPREAD},
    {"name": "sex", "unit": "-1 women, +1 men", "mean": 0.0, "deviation": 1.0},
)
"""As the head model's file names them (docs/architecture.md)."""


@dataclass(frozen=True)
class Shape:
    """Mean head and identity directions.

    Attributes:
        template: (V, 3) float64, metres, exactly mirror-symmetric.
        dirs: (V, 3, 300) float64, displacement per standard deviation, by descending variance.
        parity: (300,) int8, +1 symmetric, -1 antisymmetric.
        explained: (300,) float64, cumulative share of the weighted variance.
        trait_codes: (300, 2) float64, mean coefficients of people one deviation above the mean of each of `TRAITS`.
    """

    template: np.ndarray
    dirs: np.ndarray
    parity: np.ndarray
    explained: np.ndarray
    trait_codes: np.ndarray


class HeadMaker:
    """Makes finished heads of slider positions.

    Attributes:
        mouth: The inside of the mouth of the heads made last.
    """

    def __init__(self, source: Source, topology: Topology) -> None:
        self._source, self._sculptor = source, Sculptor(source, topology)
        self._targets: dict[str, np.ndarray] = {}
        self._rest = source.base.verts.copy()
        self._rest[:, 2] += forward(source.base.verts - HEAD_CENTRE, read_depths(DEPTHS))

    @property
    def mouth(self) -> Mouth:
        return self._sculptor.mouth

    def __call__(self, people: People) -> np.ndarray:
        """(N, V, 3) float32, metres."""
        index = self._sculptor.source_index
        verts_NV3 = self._morph(people, index)
        align(verts_NV3, self._sculptor.rigid_region, self._rest[index])
        return self._sculptor.finish(verts_NV3)

    def _morph(self, people: People, index: np.ndarray) -> np.ndarray:
        """The base mesh, as deep as on photos, plus weighted targets: (N, V, 3) float32, metres, source space."""
        names, weights_NT = people.targets()
        for name in names:
            if name not in self._targets:
                self._targets[name] = self._source.target(name)[index].ravel().astype(np.float32)
        moved = weights_NT.astype(np.float32) @ np.stack([self._targets[name] for name in names])
        return (moved + self._rest[index].ravel().astype(np.float32)).reshape(len(people), -1, 3)


def align(verts_NV3: np.ndarray, region: np.ndarray, reference_V3: np.ndarray) -> None:
    """Moves every sample rigidly, in place, onto the samples' mean, which lies on the reference (no scaling).

    Args:
        verts_NV3: samples.
        region: vertices that count.
        reference_V3: where the heads go at first; afterwards the mean of all heads takes its place.
    """
    reference = reference_V3[region]
    for _ in range(3):
        points = verts_NV3[:, region].astype(np.float64)
        centre = points.mean(axis=1, keepdims=True)
        goal = reference.mean(axis=0)
        u, _, vt = np.linalg.svd(np.einsum("nvi,vj->nij", points - centre, reference - goal))
        sign = np.ones((len(u), 3))
        sign[:, 2] = np.linalg.det(u @ vt)
        rotation = (u * sign[:, None, :]) @ vt
        for k, sample in enumerate(verts_NV3):
            verts_NV3[k] = (sample - centre[k]) @ rotation[k] + goal
        reference = verts_NV3[:, region].mean(axis=0, dtype=np.float64)


def build_shape(heads_NV3: np.ndarray, people: People, topology: Topology) -> Shape:
    """Symmetric and antisymmetric principal components of aligned heads (N, V, 3), merged by variance.

    Args:
        heads_NV3: of `HeadMaker`; overwritten.
        people: whose heads they are.
        topology: the mesh.
    """
    count = len(heads_NV3)
    flip = np.array([-1, 1, 1], dtype=np.float32)
    mirrored = heads_NV3[:, topology.mirror] * flip
    symmetric = (heads_NV3 + mirrored) / 2
    antisymmetric = heads_NV3 - symmetric
    template = symmetric.mean(axis=0, dtype=np.float64)
    symmetric -= template.astype(np.float32)
    weight = np.sqrt(vertex_weights(topology)).astype(np.float32)[:, None]

    traits_NT = np.stack([people.age_N, people.male_N], axis=1)
    traits_NT = (traits_NT - traits_NT.mean(0)) / traits_NT.std(0)

    variances, directions, parities, codes = [], [], [], []
    for part, parity in ((symmetric, 1), (antisymmetric, -1)):
        rows = (part * weight).reshape(count, -1)
        gram = (rows @ rows.T).astype(np.float64) / count
        value, vector = np.linalg.eigh((gram + gram.T) / 2)
        keep = np.argsort(-value)[:COMPONENTS]
        coefficients = vector[:, keep] / np.sqrt(count)
        variances.append(value[keep])
        directions.append((coefficients.T.astype(np.float32) @ part.reshape(count, -1)).astype(np.float64))
        parities.append(np.full(len(keep), parity))
        codes.append(vector[:, keep].T @ traits_NT / np.sqrt(count))
    variance, direction, parity, code = (np.concatenate(x) for x in (variances, directions, parities, codes))
    total = variance.sum()
    order = np.argsort(-variance, kind="stable")[:COMPONENTS]
    dirs = direction[order].reshape(COMPONENTS, -1, 3)
    largest = np.abs(dirs.reshape(COMPONENTS, -1)).argmax(axis=1)
    sign = np.sign(np.take_along_axis(dirs.reshape(COMPONENTS, -1), largest[:, None], axis=1))
    dirs *= sign[:, :, None]
    code = sign * code[order]
    code[(np.abs(code) < CERTAIN / np.sqrt(count)) | (parity[order] < 0)[:, None]] = 0
    sides = parity[order][:, None, None] * dirs[:, topology.mirror] * flip
    return Shape(
        template=(template + template[topology.mirror] * flip) / 2,
        dirs=np.ascontiguousarray(((dirs + sides) / 2).transpose(1, 2, 0)),
        parity=parity[order].astype(np.int8),
        explained=np.cumsum(variance[order]) / total,
        trait_codes=code,
    )


def vertex_weights(topology: Topology) -> np.ndarray:
    """(V,) importance of the vertices in the principal component analysis."""
    x, y, z = topology.template.T
    is_face = (topology.part == SKIN) & (np.abs(x) < 0.068) & (z > 0.02) & (y > -0.115) & (y < 0.085)
    weight = np.where(is_face, FACE_WEIGHT, 1.0)
    weight[(topology.part == SKIN) & (y < -0.12)] = 0.3
    weight[np.isin(topology.part, (EYE_LEFT, EYE_RIGHT))] = 0.3
    weight[topology.part > EYE_RIGHT] = 0.3
    return weight
