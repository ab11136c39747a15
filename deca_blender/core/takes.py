"""What a face does over time, whoever saw it: a video, a phone, a photo. Gaps, smoothing, and the scene's frames.

Shape suffixes: F frames of the take, N frames of the scene, C channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .expressions import mirrored_name
from .rotations import axis_angles, product, quaternions

Array = NDArray[np.floating]

SHORT_GAP_S = 0.5
"""Frames without a face are interpolated over at most so long; a face may do anything in the meantime. Longer than a
blink or a hand that passes."""
SMOOTHING_S = 0.05
"""Standard deviation of the smoothing's window, unless asked for otherwise. A blink takes 0.15 to 0.3 seconds."""

_REST_S = 0.1  # to either side of the time at which a face is at rest
_REACH = 3.0  # standard deviations to either side that the window is wide


@dataclass(frozen=True, eq=False)
class Take:
    """A face over time.

    Attributes:
        times_F: Seconds from the beginning, rising.
        sliders: Values of shape keys over the frames, by the keys' names.
        joints: Axis-angle of the joints' own bones over the frames (F, 3), radians, by joint.
        seen_F: Where the face was seen; None for everywhere. Other frames' values mean nothing.
        gaps: First and last time, seconds, of where nothing is known and nothing was filled in.
    """

    times_F: Array
    sliders: Mapping[str, Array] = field(default_factory=dict)
    joints: Mapping[str, Array] = field(default_factory=dict)
    seen_F: NDArray[np.bool_] | None = None
    gaps: tuple[tuple[float, float], ...] = ()

    def __len__(self) -> int:
        return len(self.times_F)

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the last."""
        return float(self.times_F[-1] - self.times_F[0]) if len(self) else 0.0


def from_coefficients(
    times_F: Array, expression_FE: Array, pose_F53: Array, names: tuple[str, ...], joints: tuple[str, ...]
) -> Take:
    """Expression coefficients and joints' rotations as a take.

    Args:
        times_F: Seconds.
        expression_FE: Expression coefficients; those beyond `names` have no key and are left out.
        pose_F53: Axis-angle of root, neck, jaw, left and right eye, radians.
        names: The coefficients' shape keys.
        joints: The joints' names.
    """
    sliders = {name: expression_FE[:, index] for index, name in zip(range(expression_FE.shape[1]), names, strict=False)}
    turns = {joint: pose_F53[:, index] for index, joint in enumerate(joints)}
    return Take(np.asarray(times_F, np.float64), sliders, turns)


def filled(take: Take, longest: float = SHORT_GAP_S) -> Take:
    """The take with its short gaps interpolated; what is before the first and after the last face is cut off.

    Args:
        take: With `seen_F`.
        longest: Seconds; longer gaps are left out of the frames and told in `gaps`.

    Raises:
        ValueError: No face was seen at all.
    """
    if take.seen_F is None or take.seen_F.all():
        return replace(take, seen_F=None)
    if not take.seen_F.any():
        raise ValueError("No frame of the take has a face.")
    rows = np.flatnonzero(take.seen_F)
    kept_F, gaps = np.zeros(len(take), bool), []
    kept_F[rows] = True
    for before, after in pairwise(rows):
        if after - before > 1:
            if take.times_F[after] - take.times_F[before] <= longest:
                kept_F[before:after] = True
            else:
                gaps.append((float(take.times_F[before]), float(take.times_F[after])))
    wanted_F = take.times_F[kept_F]
    known = replace(_rows(take, rows), seen_F=None)
    return replace(_at(known, wanted_F), gaps=tuple(gaps))


def smoothed(take: Take, sigma: float = SMOOTHING_S) -> Take:
    """The take without the jitter of single frames, and without lag: each value is that of a parabola through its
    neighbours before and after, weighted by a Gaussian (Savitzky and Golay's filter, with soft ends). It keeps the
    height of what is longer than the window. Nothing is smoothed across a gap.

    Args:
        take: A filled one.
        sigma: Standard deviation of the Gaussian, seconds; 0 leaves all as it is.
    """
    if sigma <= 0 or len(take) < 3:
        return take
    pieces = [_smoothed_piece(_rows(take, rows), sigma) for rows in _pieces(take)]
    return replace(
        take,
        sliders={name: np.concatenate([piece.sliders[name] for piece in pieces]) for name in take.sliders},
        joints={name: np.concatenate([piece.joints[name] for piece in pieces]) for name in take.joints},
    )


def at_frames(take: Take, rate: float) -> tuple[NDArray[np.int64], Take]:
    """The take at whole frames of a scene.

    Args:
        take: A filled one.
        rate: Frames per second of the scene.

    Returns:
        Frames (N,), counted from 0 at the time 0; the take at their times. Frames in a gap are left out.
    """
    frames_N = np.arange(np.ceil(take.times_F[0] * rate - 1e-6), np.floor(take.times_F[-1] * rate + 1e-6) + 1)
    if not len(frames_N):  # shorter than a frame
        frames_N = np.round(take.times_F[:1] * rate)
    inside_N = np.zeros(len(frames_N), bool)
    for start, end in take.gaps:
        inside_N |= (frames_N / rate > start + 1e-6) & (frames_N / rate < end - 1e-6)
    frames_N = frames_N[~inside_N]
    return frames_N.astype(np.int64), _at(take, frames_N / rate)


def mirrored(take: Take) -> Take:
    """The take in the mirror: ARKit sliders and eyes change sides, turns to the left become turns to the right."""
    other = {"eye_l": "eye_r", "eye_r": "eye_l"}
    return replace(
        take,
        sliders={mirrored_name(name): values_F for name, values_F in take.sliders.items()},
        joints={other.get(name, name): turns_F3 * (1, -1, -1) for name, turns_F3 in take.joints.items()},
    )


def relative_to(take: Take, time: float, joints: tuple[str, ...]) -> Take:
    """The take as if the face were at rest at a time; the average of a fifth of a second around it counts.

    Args:
        take: A filled one.
        time: Seconds; the nearest frame's where there is none.
        joints: Joints that are at rest there as well.
    """
    near_F = np.abs(take.times_F - time) <= _REST_S + 1e-6
    near_F[np.argmin(np.abs(take.times_F - time))] = True
    sliders = {name: values_F - values_F[near_F].mean() for name, values_F in take.sliders.items()}
    turned = dict(take.joints)
    for joint in joints:
        if joint in turned:
            rest_14 = quaternions(-turned[joint][near_F].mean(axis=0, keepdims=True))
            turned[joint] = axis_angles(product(np.tile(rest_14, (len(take), 1)), quaternions(turned[joint])))
    return replace(take, sliders=sliders, joints=turned)


def turning(take: Take, joint: str | None) -> Take:
    """The take with the head's turn, its `root`, on another joint: `neck`, or None to leave it out."""
    joints = {name: turns_F3 for name, turns_F3 in take.joints.items() if name not in ("root", "neck")}
    if joint is not None and "root" in take.joints:
        joints[joint] = take.joints["root"]
    return replace(take, joints=joints)


def _pieces(take: Take) -> list[slice]:
    """The frames between the gaps."""
    ends = [0, *(int(np.searchsorted(take.times_F, end)) for _, end in take.gaps), len(take)]
    return [slice(start, end) for start, end in pairwise(ends) if end > start]


def _rows(take: Take, rows: slice | NDArray) -> Take:
    return replace(
        take,
        times_F=take.times_F[rows],
        sliders={name: values_F[rows] for name, values_F in take.sliders.items()},
        joints={name: turns_F3[rows] for name, turns_F3 in take.joints.items()},
        seen_F=None if take.seen_F is None else take.seen_F[rows],
        gaps=(),
    )


def _at(take: Take, times_N: Array) -> Take:
    """The take at other times, linearly between its frames and held at its ends; rotations by their quaternions."""

    def between(values_FC: Array) -> Array:
        return np.stack([np.interp(times_N, take.times_F, column_F) for column_F in values_FC.T], axis=1)

    return replace(
        take,
        times_F=times_N,
        sliders={name: np.interp(times_N, take.times_F, values_F) for name, values_F in take.sliders.items()},
        joints={name: axis_angles(between(quaternions(turns_F3))) for name, turns_F3 in take.joints.items()},
        seen_F=None,
    )


def _smoothed_piece(take: Take, sigma: float) -> Take:
    names = list(take.sliders)
    values_FC = np.stack([take.sliders[name] for name in names], axis=1) if names else np.zeros((len(take), 0))
    smooth_FC = _local_parabola(take.times_F, values_FC, sigma)
    return replace(
        take,
        sliders=dict(zip(names, smooth_FC.T, strict=True)),
        joints={
            name: axis_angles(_local_parabola(take.times_F, quaternions(turns_F3), sigma))
            for name, turns_F3 in take.joints.items()
        },
    )


def _local_parabola(times_F: Array, values_FC: Array, sigma: float) -> Array:
    """At each time, the value there of the weighted least squares parabola through its neighbourhood."""
    count = len(times_F)
    if count < 3:
        return values_FC
    step = (times_F[-1] - times_F[0]) / (count - 1)
    # Two neighbours to either side where frames are sparse: with one, the parabola would pass through all three.
    sigma = max(sigma, 1e-9)
    reach = int(np.ceil(_REACH * sigma / step))
    if reach < 2:
        return values_FC
    moments_F5, sums_FC3 = np.zeros((count, 5)), np.zeros((*values_FC.shape, 3))
    powers = np.arange(5)
    for offset in range(-reach, reach + 1):
        rows = slice(max(0, -offset), count - max(0, offset))
        there = slice(rows.start + offset, rows.stop + offset)
        apart_R = (times_F[there] - times_F[rows]) / sigma
        terms_R5 = np.exp(-(apart_R**2) / 2)[:, None] * apart_R[:, None] ** powers
        moments_F5[rows] += terms_R5
        sums_FC3[rows] += values_FC[there][..., None] * terms_R5[:, None, :3]
    system_F33 = moments_F5[:, powers[:3, None] + powers[:3]]
    system_F33 += 1e-9 * np.eye(3)  # at the ends of a take of three frames it is barely determined
    return np.linalg.solve(system_F33, sums_FC3.transpose(0, 2, 1))[:, 0]
