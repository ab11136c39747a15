"""Identity: random human heads from MakeHuman's sliders, and their principal components.

Every sample is a set of macro sliders (age, gender, ethnicity, muscle, weight), local sliders and asymmetry sliders,
rigidly aligned on the upper face and skull. Symmetric and antisymmetric parts are analysed apart, so that every
component is exactly one or the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .mouth import Mouth
from .sculpt import Sculptor
from .source import LOCAL_FOLDERS, Source
from .topology import EYE_LEFT, EYE_RIGHT, SKIN, Topology

SAMPLES = 3000
COMPONENTS = 300
FACE_WEIGHT = 4.0
"""Weight of the face in the principal component analysis against the rest of the skin."""

AGES = {"child": 0.1875, "young": 0.5, "old": 1.0}
"""MakeHuman's age slider at the anchors between which it interpolates: about 10, 25 and 90 years."""
RACES, GENDERS = ("african", "asian", "caucasian"), ("female", "male")
LEVELS = ("min", "average", "max")

OPPOSITES = {
    "decr": "incr",
    "down": "up",
    "in": "out",
    "backward": "forward",
    "concave": "convex",
    "compress": "uncompress",
    "pointed": "triangle",
    "square": "round",
}
"""Last word of the target at the negative end of a slider -> at the positive end."""

SPREAD = {"head": 0.09, "forehead": 0.10, "neck": 0.15, "asym": 0.12, "ears": 0.24}
"""Standard deviation of the sliders by folder (a slider runs from -1 to 1); others have :data:`DEFAULT_SPREAD`."""
DEFAULT_SPREAD = 0.22
SIDE_SPREAD = 0.25
"""Standard deviation of the difference of a left slider from its right twin, relative to the slider's own."""
SKIPPED = ("head-trans", "head-angle", "neck-trans", "asymm-", "head-age", "measure-neck")
"""Sliders that move the head as a whole, belong to the body, or look like a caricature."""


@dataclass(frozen=True)
class Shape:
    """Mean head and identity directions.

    Attributes:
        template: (V, 3) float64, metres, exactly mirror-symmetric.
        dirs: (V, 3, 300) float64, displacement per standard deviation, by descending variance.
        parity: (300,) int8, +1 symmetric, -1 antisymmetric.
        explained: (300,) float64, cumulative share of the weighted variance.
    """

    template: np.ndarray
    dirs: np.ndarray
    parity: np.ndarray
    explained: np.ndarray


def build_shape(source: Source, topology: Topology, seed: int = 2) -> tuple[Shape, Mouth]:
    """Samples identities and reduces them to :data:`COMPONENTS` directions; also the mouth they all share."""
    rng = np.random.default_rng(seed)
    names, weights_NT = sample_sliders(source, rng, SAMPLES)
    sculptor = Sculptor(source, topology)
    verts_NV3 = morph(source, sculptor.source_index, names, weights_NT)
    align(verts_NV3, sculptor.rigid_region, source.base.verts[sculptor.source_index])
    verts_NV3 = sculptor.finish(verts_NV3)
    return principal_components(verts_NV3, topology), sculptor.mouth


def local_sliders(source: Source) -> list[tuple[str, str, str]]:
    """The local sliders as (folder, target at the negative end or "", target at the positive end)."""
    sliders = []
    for folder in LOCAL_FOLDERS:
        prefix = f"data/mpfb2/targets/{folder}/"
        stems = [
            name.removeprefix(prefix).removesuffix(".target.gz")
            for name in source.data_files
            if name.startswith(prefix)
        ]
        for stem in stems:
            if stem.startswith(SKIPPED):
                continue
            base, _, last = stem.rpartition("-")
            if folder == "asym":
                if last == "r":
                    sliders.append((folder, stem, f"{base}-l"))
            elif last in OPPOSITES and f"{base}-{OPPOSITES[last]}" in stems:
                sliders.append((folder, stem, f"{base}-{OPPOSITES[last]}"))
            elif not (last in OPPOSITES.values() and any(f"{base}-{low}" in stems for low in OPPOSITES)):
                sliders.append((folder, "", stem))
    return sliders


def sample_sliders(source: Source, rng: np.random.Generator, count: int) -> tuple[list[str], np.ndarray]:
    """Random people.

    Returns:
        The names of the targets (T) and their weights (count, T), each in 0..1.
    """
    weights: dict[str, np.ndarray] = _sample_macros(rng, count)
    values: dict[str, np.ndarray] = {}
    for folder, negative, positive in local_sliders(source):
        spread = SPREAD.get(folder, DEFAULT_SPREAD)
        value = rng.normal(0, spread, count)
        if positive.startswith(("l-", "r-")):
            # Twins share their value but for a small difference; the left one comes first.
            twin = values.get(positive[2:])
            values[positive[2:]] = value if twin is None else twin
            value = values[positive[2:]] + rng.normal(0, spread * SIDE_SPREAD, count)
        value = np.clip(value, -1, 1) if negative else np.clip(np.abs(value), 0, 1)
        if negative:
            weights[f"{folder}/{negative}"] = np.maximum(-value, 0)
        weights[f"{folder}/{positive}"] = np.maximum(value, 0)
    return list(weights), np.stack(list(weights.values()), axis=1)


def _sample_macros(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    is_young_person = rng.random(count) < 0.08
    age = np.where(is_young_person, rng.uniform(0.22, 0.40, count), rng.uniform(0.40, 0.92, count))
    positions = np.array(list(AGES.values()))
    age_weights = {name: np.interp(age, positions, np.eye(3)[k]) for k, name in enumerate(AGES)}
    male = rng.beta(0.45, 0.45, count)
    gender_weights = {"female": 1 - male, "male": male}
    race_weights = dict(zip(RACES, rng.dirichlet([0.6] * 3, count).T, strict=True))
    muscle, weight = (np.clip(rng.normal(0.5, sd, count), 0, 1) for sd in (0.18, 0.24))
    muscle_weights, weight_weights = (
        {level: np.interp(value, [0, 0.5, 1], np.eye(3)[k]) for k, level in enumerate(LEVELS)}
        for value in (muscle, weight)
    )
    weights = {}
    for gender, g in gender_weights.items():
        for age_name, a in age_weights.items():
            for race, r in race_weights.items():
                weights[f"macrodetails/{race}-{gender}-{age_name}"] = g * a * r
            for muscle_level, m in muscle_weights.items():
                for weight_level, w in weight_weights.items():
                    name = f"universal-{gender}-{age_name}-{muscle_level}muscle-{weight_level}weight"
                    weights[f"macrodetails/{name}"] = g * a * m * w
    return weights


def morph(source: Source, index: np.ndarray, names: list[str], weights_NT: np.ndarray) -> np.ndarray:
    """Base mesh plus weighted targets at some source vertices, (N, V, 3) float32, metres, source space."""
    targets = np.stack([source.target(name)[index].ravel() for name in names]).astype(np.float32)
    moved = weights_NT.astype(np.float32) @ targets
    return (moved + source.base.verts[index].ravel().astype(np.float32)).reshape(len(weights_NT), -1, 3)


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


def principal_components(verts_NV3: np.ndarray, topology: Topology) -> Shape:
    """Symmetric and antisymmetric principal components of aligned samples, merged by variance."""
    count = len(verts_NV3)
    flip = np.array([-1, 1, 1], dtype=np.float32)
    mirrored = verts_NV3[:, topology.mirror] * flip
    symmetric = (verts_NV3 + mirrored) / 2
    antisymmetric = verts_NV3 - symmetric
    template = symmetric.mean(axis=0, dtype=np.float64)
    symmetric -= template.astype(np.float32)
    weight = np.sqrt(vertex_weights(topology)).astype(np.float32)[:, None]

    variances, directions, parities = [], [], []
    for part, parity in ((symmetric, 1), (antisymmetric, -1)):
        rows = (part * weight).reshape(count, -1)
        gram = (rows @ rows.T).astype(np.float64) / count
        value, vector = np.linalg.eigh((gram + gram.T) / 2)
        keep = np.argsort(-value)[:COMPONENTS]
        coefficients = vector[:, keep] / np.sqrt(count)
        variances.append(value[keep])
        directions.append((coefficients.T.astype(np.float32) @ part.reshape(count, -1)).astype(np.float64))
        parities.append(np.full(len(keep), parity))
    variance, direction, parity = (np.concatenate(x) for x in (variances, directions, parities))
    total = variance.sum()
    order = np.argsort(-variance, kind="stable")[:COMPONENTS]
    dirs = direction[order].reshape(COMPONENTS, -1, 3)
    largest = np.abs(dirs.reshape(COMPONENTS, -1)).argmax(axis=1)
    dirs *= np.sign(np.take_along_axis(dirs.reshape(COMPONENTS, -1), largest[:, None], axis=1))[:, :, None]
    sides = parity[order][:, None, None] * dirs[:, topology.mirror] * flip
    return Shape(
        template=(template + template[topology.mirror] * flip) / 2,
        dirs=np.ascontiguousarray(((dirs + sides) / 2).transpose(1, 2, 0)),
        parity=parity[order].astype(np.int8),
        explained=np.cumsum(variance[order]) / total,
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
