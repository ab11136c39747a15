"""What one face gives to another: expression, wrinkles (DECA, Section 4.2, "detail transfer").

Each function returns a new `Face`; its displacement map follows when the face is decoded again.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from deca.errors import OptionError
from deca.reconstruct.face import Face


def transfer_expression(source: Face, target: Face) -> Face:
    """The target with the source's expression and jaw.

    Shape, wrinkles, head pose, gaze, camera, light, albedo and texture stay the target's.

    Raises:
        OptionError: The faces belong to different head models.
    """
    _check_heads(source, target)
    pose_53 = target.pose_53.copy()
    pose_53[2] = source.pose_53[2]
    return replace(target, expression_E=source.expression_E.copy(), pose_53=pose_53)


def transfer_wrinkles(source: Face, target: Face) -> Face:
    """The target with the source's detail code and reliefs: its wrinkles, which then follow the target's expression.

    Raises:
        OptionError: The faces belong to different head models, or the source has no detail code.
    """
    _check_heads(source, target)
    return replace(target, detail_D=_detail(source).copy(), reliefs=source.reliefs)


def interpolate_detail(a: Face, b: Face, t: float) -> Face:
    """Face `a` with wrinkles between its own (t = 0) and those of `b` (t = 1).

    Raises:
        OptionError: The faces belong to different head models, or one has no detail code.
    """
    _check_heads(a, b)
    detail_D = ((1 - t) * _detail(a) + t * _detail(b)).astype(np.float32)
    reliefs = [(relief, share * (1 - t)) for relief, share in a.reliefs]
    reliefs += [(relief, share * t) for relief, share in b.reliefs]
    return replace(a, detail_D=detail_D, reliefs=tuple(reliefs))


def _check_heads(a: Face, b: Face) -> None:
    if a.head.hash != b.head.hash:
        raise OptionError(
            f"{a.photo.name} and {b.photo.name} belong to different head models ({a.head.name}, {b.head.name}).",
            "Reconstruct both photos with the same head model.",
        )


def _detail(face: Face) -> NDArray[np.float32]:
    if face.detail_D is None:
        raise OptionError(
            f"{face.photo.name} has no wrinkles.", "Reconstruct it with weights that have a detail encoder."
        )
    return face.detail_D
