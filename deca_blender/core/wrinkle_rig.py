"""A baked wrinkle rig: one head's wrinkles as a few displacement maps, blended by a closed function of its sliders.

F_d turns expression and jaw into a map. For one head that is a function of 53 inputs, and a handful of maps holds most
of what it does, so that a file can keep the wrinkles without F_d:

    map(x) = neutral + sum_k w_k(x) maps_k,    w_k(x) = sum_i positive_ik max(x_i, 0) + negative_ik min(x_i, 0)

Wrinkles fold under compression and hardly unfold under stretch; hence the two slopes of each input. The weights are
zero at rest, and Blender computes them without Python (`weight_drivers`).

Shape suffixes: N samples, X inputs (expression coefficients, then the jaw's axis-angle), K maps, H W rows and columns
of a map, P = H * W texels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .rig import LONGEST_EXPRESSION, DriverSpec, Term, arkit_rotation

NUM_MAPS = 16
NUM_EXPRESSION = 50
TOLERANCE = 0.15e-3
"""Metres that a baked texel may be off."""

_RIDGES = (1e-9, 1e-4, 1e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)
"""Candidates of the ridge, as fractions of the inputs' energy; held-out samples choose."""

_HELD_OUT = 5
"""Every so many-th sample chooses the ridge."""

_VARIABLES = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, eq=False)
class WrinkleRig:
    """The baked wrinkles of one head.

    Attributes:
        neutral_HW: Displacement at rest, metres, top row first.
        maps_KHW: Displacement per unit weight; the maps are orthogonal, weights have root mean square 1.
        positive_XK: Weight per unit of each input above zero.
        negative_XK: Weight per unit of each input below zero.
    """

    neutral_HW: NDArray[np.float32]
    maps_KHW: NDArray[np.float32]
    positive_XK: NDArray[np.float32]
    negative_XK: NDArray[np.float32]

    def weights(self, inputs_NX: NDArray) -> NDArray[np.float32]:
        """Weights (N, K) of the maps."""
        return _features(inputs_NX) @ np.concatenate((self.positive_XK, self.negative_XK))

    def displacement(self, inputs_NX: NDArray) -> NDArray[np.float32]:
        """Displacement maps (N, H, W) in metres."""
        return self.neutral_HW + np.tensordot(self.weights(inputs_NX), self.maps_KHW, axes=1)


@dataclass(frozen=True)
class RigError:
    """How far a baked rig is from F_d over some expressions; lengths in millimetres.

    Attributes:
        within: Share of the texels within `TOLERANCE` of F_d.
        percentile_95: 95 % of the texels are nearer than this.
        worst: The largest distance.
        rms: Root mean square distance.
        motion_rms: Root mean square of F_d's own deviation from its neutral map, to compare with.
    """

    within: float
    percentile_95: float
    worst: float
    rms: float
    motion_rms: float


def sample_inputs(random: np.random.Generator, count: int, arkit_map_KA: NDArray | None) -> NDArray[np.float32]:
    """Plausible expressions and jaw poses (count, X).

    One to twelve ARKit shapes at a time with weights of a beta(1.6, 1.1) distribution, expression coefficients spread
    by 0.3 about them, and the jaw open by up to 0.15 rad more. Head models without an ARKit map: normal coefficients,
    and the jaw open by up to 0.4 rad.

    Args:
        random: Source of randomness.
        count: Number of samples.
        arkit_map_KA: The head's ARKit map, or None.
    """
    if arkit_map_KA is None:
        expression_NE = random.normal(size=(count, NUM_EXPRESSION))
        jaw_N3 = random.normal(scale=0.02, size=(count, 3)) + random.uniform(0, 0.4, (count, 1)) * np.array([1, 0, 0])
        return np.concatenate((expression_NE, jaw_N3), axis=1).astype(np.float32)
    num_shapes = arkit_map_KA.shape[1]
    most = min(12, num_shapes)
    is_used = random.random((count, num_shapes)).argsort(axis=1) < random.integers(1, most + 1, (count, 1))
    weights_NA = is_used * random.beta(1.6, 1.1, (count, num_shapes))
    expression_NE = weights_NA @ arkit_map_KA[:NUM_EXPRESSION].T + random.normal(
        scale=0.3, size=(count, NUM_EXPRESSION)
    )
    jaw_N3 = weights_NA @ arkit_rotation(arkit_map_KA, "jaw").T
    jaw_N3[:, 0] += random.uniform(0, 0.15, count)
    return np.concatenate((expression_NE, jaw_N3), axis=1).astype(np.float32)


def fit(inputs_NX: NDArray, maps_NHW: NDArray, neutral_HW: NDArray, num_maps: int = NUM_MAPS) -> WrinkleRig:
    """The rig of at most `num_maps` maps that is nearest to the samples in the least squares sense.

    Ridge regression of all texels, then the principal components of what it predicts (reduced-rank regression): unlike
    the components of the samples themselves, none is spent on what the weights cannot follow.

    Args:
        inputs_NX: Expression and jaw of each sample.
        maps_NHW: F_d's displacement of each, metres.
        neutral_HW: F_d's displacement at rest.
        num_maps: Upper limit of the maps.

    Raises:
        ValueError: There are too few samples for the inputs, or the arrays do not fit together.
    """
    num_samples, num_inputs = inputs_NX.shape
    if num_samples != len(maps_NHW) or maps_NHW.shape[1:] != neutral_HW.shape:
        raise ValueError(f"Inputs {inputs_NX.shape}, maps {maps_NHW.shape} and neutral {neutral_HW.shape} do not fit.")
    if num_samples < 2 * num_inputs:
        raise ValueError(f"{num_samples} samples are too few for {num_inputs} inputs; take {4 * num_inputs} or more.")
    scale_X = np.sqrt((inputs_NX.astype(np.float64) ** 2).mean(axis=0))
    scale_X[scale_X == 0] = 1.0
    features_NF = _features(inputs_NX / scale_X)
    deviations_NP = (maps_NHW - neutral_HW).reshape(num_samples, -1)

    is_held_out = np.arange(num_samples) % _HELD_OUT == 0
    ridge = _best_ridge(features_NF, deviations_NP, is_held_out)
    gram_FF = features_NF.T @ features_NF
    slopes_FP = _solve(gram_FF, features_NF.T @ deviations_NP, ridge)

    # Principal components of features @ slopes, through the small side: its Gram matrix over the features.
    values_F, vectors_FF = np.linalg.eigh(gram_FF)
    root_FF = vectors_FF * np.sqrt(np.maximum(values_F, 0))
    energy_F, left_FF = np.linalg.eigh(root_FF.T @ (slopes_FP @ slopes_FP.T) @ root_FF)
    order = np.argsort(energy_F)[::-1][:num_maps]
    order = order[energy_F[order] > 1e-12 * max(float(energy_F.max()), 1e-30)]
    maps_KP = (left_FF[:, order] / np.sqrt(energy_F[order])).T @ (root_FF.T @ slopes_FP)  # orthonormal rows
    weights_FK = slopes_FP @ maps_KP.T
    rms_K = np.sqrt(energy_F[order] / num_samples)
    weights_FK /= rms_K * np.concatenate((scale_X, scale_X))[:, None]
    return WrinkleRig(
        neutral_HW=neutral_HW.astype(np.float32),
        maps_KHW=(maps_KP * rms_K[:, None]).reshape(-1, *neutral_HW.shape).astype(np.float32),
        positive_XK=weights_FK[:num_inputs].astype(np.float32),
        negative_XK=weights_FK[num_inputs:].astype(np.float32),
    )


def measure(rig: WrinkleRig, inputs_NX: NDArray, maps_NHW: NDArray, mask_HW: NDArray | None = None) -> RigError:
    """The rig's distance from F_d at expressions that it has not been fitted to.

    Args:
        rig: The baked rig.
        inputs_NX: Expressions and jaw poses.
        maps_NHW: F_d's displacement of each, metres.
        mask_HW: Texels that count; by default those where F_d is not zero in all samples and at rest.
    """
    if mask_HW is None:
        mask_HW = np.any(maps_NHW != 0, axis=0) | (rig.neutral_HW != 0)
    mask_HW = np.asarray(mask_HW, bool)
    if not mask_HW.any() or len(inputs_NX) == 0:
        return RigError(within=1.0, percentile_95=0.0, worst=0.0, rms=0.0, motion_rms=0.0)
    maps_KP, neutral_P = rig.maps_KHW[:, mask_HW], rig.neutral_HW[mask_HW]
    distances_NP = np.abs(rig.weights(inputs_NX) @ maps_KP + neutral_P - maps_NHW[:, mask_HW])
    motion_NP = maps_NHW[:, mask_HW] - neutral_P
    return RigError(
        within=float((distances_NP <= TOLERANCE).mean()),
        percentile_95=1e3 * float(np.quantile(distances_NP, 0.95)),
        worst=1e3 * float(distances_NP.max()),
        rms=1e3 * _rms(distances_NP),
        motion_rms=1e3 * _rms(motion_NP),
    )


@dataclass(frozen=True)
class NamedDriver:
    """A driver of the custom property `name`; it may read the properties of the drivers before it."""

    name: str
    spec: DriverSpec


def sum_drivers(name: str, terms: Sequence[tuple[float, str, str]]) -> list[NamedDriver]:
    """Drivers that give the property `name` the sum of factor * function(value), Blender's 255 characters or not.

    Long sums go through partial sums in properties `name_0`, `name_1`, ... of the same owner.

    Args:
        name: The property.
        terms: Factor, a pattern with `{}` for the variable (`"{}"` or `"max({},0)"`), and the value's RNA path.
    """
    used = [term for term in terms if term[0] != 0]
    chunks: list[tuple[str, list[Term]]] = [("", [])]
    for factor, pattern, path in used:
        text, variables = chunks[-1]
        piece = _piece(factor, pattern, variables, path)
        if len(text) + len(piece) > LONGEST_EXPRESSION:
            chunks.append(("", []))
            text, variables = chunks[-1]
            piece = _piece(factor, pattern, variables, path)
        chunks[-1] = (text + piece, variables)
    if len(chunks) == 1:
        text, variables = chunks[0]
        return [NamedDriver(name, DriverSpec(text or "0", tuple(variables)))]
    partial = [
        NamedDriver(f"{name}_{number}", DriverSpec(text, tuple(variables)))
        for number, (text, variables) in enumerate(chunks)
    ]
    return [*partial, *sum_drivers(name, [(1.0, "{}", f'["{driver.name}"]') for driver in partial])]


def weight_drivers(rig: WrinkleRig, input_paths_X: Sequence[str], prefix: str = "wrinkle") -> list[NamedDriver]:
    """Drivers that compute the weights from the inputs; simple expressions, which Blender runs without Python.

    Args:
        rig: The baked rig.
        input_paths_X: RNA path of each input's value.
        prefix: The weights become the properties `prefix_00`, `prefix_01`, ...
    """
    drivers: list[NamedDriver] = []
    for index, (positive_X, negative_X) in enumerate(zip(rig.positive_XK.T, rig.negative_XK.T, strict=True)):
        terms = []
        for path, positive, negative in zip(input_paths_X, positive_X.tolist(), negative_X.tolist(), strict=True):
            terms += [(positive, "max({},0)", path), (negative, "min({},0)", path)]
        drivers += sum_drivers(f"{prefix}_{index:02d}", terms)
    return drivers


def _piece(factor: float, pattern: str, variables: list[Term], path: str) -> str:
    """One term of a sum; a path that the expression reads for the first time becomes a variable."""
    names = {term.path: term.name for term in variables}
    if path not in names:
        names[path] = _VARIABLES[len(variables)]
        variables.append(Term(names[path], path))
    return f"{factor:+.5g}*{pattern.format(names[path])}"


def _features(inputs_NX: NDArray) -> NDArray[np.float32]:
    """(N, F = 2 X): the parts of the inputs above zero, then those below."""
    return np.concatenate((np.maximum(inputs_NX, 0), np.minimum(inputs_NX, 0)), axis=1)


def _solve(gram_FF: NDArray, cross_FP: NDArray, ridge: float) -> NDArray:
    strength = ridge * max(float(np.trace(gram_FF)) / len(gram_FF), 1e-30)
    return np.linalg.solve(gram_FF + strength * np.eye(len(gram_FF)), cross_FP)


def _best_ridge(features_NF: NDArray, deviations_NP: NDArray, is_held_out_N: NDArray) -> float:
    """The ridge whose fit to most samples predicts the others best."""
    train_NF, test_NF = features_NF[~is_held_out_N], features_NF[is_held_out_N]
    gram_FF, cross_FP = train_NF.T @ train_NF, train_NF.T @ deviations_NP[~is_held_out_N]
    expected_NP = deviations_NP[is_held_out_N]
    # The ridge's matrix is symmetric: the few held-out rows are solved for, not the many texels.
    errors = [_rms(_solve(gram_FF, test_NF.T, ridge).T @ cross_FP - expected_NP) for ridge in _RIDGES]
    return _RIDGES[int(np.argmin(errors))]


def _rms(values: NDArray) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
