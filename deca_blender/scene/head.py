"""A head in the scene: its mesh object, its armature object, its coefficients."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..core import arkit, moving_joints, rig
from ..properties.head import (
    ARKIT_MAP,
    ARKIT_NAMES,
    DETAIL,
    EXPRESSION,
    LANDMARK_VERTS,
    LANDMARK_WEIGHTS,
    NAMED_SHAPE_JOINTS,
    NAMED_SHAPE_PRIOR,
    NAMED_SHAPES,
    RELIEF,
    SHAPE,
)
from ..protocol.messages import PROTOCOL_VERSION, FaceReply, HeadReply
from ..protocol.photos import told
from . import armature, shape_keys

_HELD_JOINTS, _FACE_JOINTS = rig.JOINTS[:2], rig.JOINTS[2:]
"""What holds the head (root, neck), and what belongs to its expression (jaw, eyes)."""


def find_head(obj: bpy.types.Object | None) -> bpy.types.Object | None:
    """The head's mesh object that an object is or belongs to (armature, camera), or None."""
    if obj is None:
        return None
    for candidate in (obj, *obj.children, *(obj.parent.children if obj.parent else ())):
        if candidate.deca.is_head:
            return candidate
    return None


def rig_of(head_object: bpy.types.Object) -> bpy.types.Object | None:
    """The armature object of a head, or None when it was deleted."""
    parent = head_object.parent
    return parent if parent is not None and parent.type == "ARMATURE" else None


def bone_of(head_object: bpy.types.Object, name: str) -> bpy.types.PoseBone | None:
    """A bone of the head's armature, or None when it or the armature was deleted."""
    rig_object = rig_of(head_object)
    return rig_object.pose.bones.get(name) if rig_object is not None else None


def arkit_names(head_object: bpy.types.Object) -> tuple[str, ...]:
    """Names of the head's ARKit keys that are there, in the head model's order; any other key is the user's."""
    return _present(head_object, stored_arkit_names(head_object))


def stored_arkit_names(head_object: bpy.types.Object) -> tuple[str, ...]:
    """Names of the ARKit shapes of the head's model, in its order."""
    stored = head_object.get(ARKIT_NAMES)
    if stored is None:  # a head without wrinkles, of an add-on that did not store them
        return _present(head_object, arkit.NAMES)
    return tuple(stored.split())


def slider_names(head_object: bpy.types.Object) -> tuple[str, ...]:
    """Names of the shape keys of ours that the user moves and that are there: expression and ARKit."""
    return _present(head_object, (*rig.EXPRESSION_KEYS, *stored_arkit_names(head_object)))


def stored_named_shapes(head_object: bpy.types.Object) -> dict[str, list[Any]]:
    """The measures that the head was made with, by name: unit, and how much of it 1 is."""
    return json.loads(head_object.get(NAMED_SHAPES, "{}"))


def named_shapes(head_object: bpy.types.Object) -> dict[str, tuple[str, float]]:
    """Those of them whose shape key is there."""
    stored = stored_named_shapes(head_object)
    there = _present(head_object, map(rig.named_shape_key, stored))
    return {name: tuple(stored[name]) for name in stored if rig.named_shape_key(name) in there}


def missing_parts(head_object: bpy.types.Object) -> list[str]:
    """Names of the shape keys and bones that the head was made with and that were renamed or deleted since.

    They are not followed: what has our name is ours, all else is the user's.
    """
    names = (*stored_arkit_names(head_object), *rig.EXPRESSION_KEYS, *rig.CORRECTIVE_KEYS)
    present = set(_present(head_object, names))
    missing = [name for name in names if name not in present]
    if rig_of(head_object) is not None:
        missing += [joint for joint in rig.JOINTS if bone_of(head_object, joint) is None]
    return missing


def _present(head_object: bpy.types.Object, names: Iterable[str]) -> tuple[str, ...]:
    keys = head_object.data.shape_keys
    return tuple(name for name in names if name in keys.key_blocks) if keys is not None else ()


def model_reference(head_object: bpy.types.Object) -> str:
    """What to ask the backend for when it needs the head's model: the path of its file, or the bundled model's name."""
    deca = head_object.deca
    return bpy.path.abspath(deca.model_file) if deca.model_file else deca.model


def remember(head_object: bpy.types.Object, head: HeadReply, face: FaceReply, model_file: str = "") -> None:
    """Stores on the head how it was made.

    Args:
        head_object: The head.
        head: Its head model.
        face: What it was made of.
        model_file: File of its head model; "" for the bundled one.
    """
    deca = head_object.deca
    deca.is_head = True
    deca.model, deca.model_hash, deca.model_file = face.head, face.head_hash, model_file
    deca.backend_version, deca.protocol_version = face.backend_version, PROTOCOL_VERSION
    deca.photo = told(face.photo)
    deca.pose = face.pose.ravel()
    deca.camera = face.camera
    deca.crop = face.crop.ravel()
    deca.image_size = face.image_size
    deca.box = face.box
    deca.landmark_error = face.landmark_error
    deca.notices = json.dumps([(notice.code, notice.value) for notice in face.notices])
    head_object[SHAPE] = face.shape.tolist()
    head_object[EXPRESSION] = face.expression.tolist()
    head_object[ARKIT_NAMES] = " ".join(head.arkit_names)
    if head.arkit_map is not None:
        head_object[ARKIT_MAP] = head.arkit_map[: rig.NUM_EXPRESSION_KEYS].ravel().tolist()
    measures = zip(head.named_shape_units, head.named_shape_deviations, strict=True)
    head_object[NAMED_SHAPES] = json.dumps(dict(zip(head.named_shape_keys, measures, strict=True)))
    if head.named_shape_prior is not None:
        head_object[NAMED_SHAPE_PRIOR] = head.named_shape_prior.ravel().tolist()
        head_object[NAMED_SHAPE_JOINTS] = moving_joints.driven_motions(head).transpose(2, 0, 1).ravel().tolist()
    if head.landmark_verts is not None and head.landmark_weights is not None:
        head_object[LANDMARK_VERTS] = head.landmark_verts.ravel().tolist()
        head_object[LANDMARK_WEIGHTS] = head.landmark_weights.ravel().tolist()


def remember_detail(head_object: bpy.types.Object, face: FaceReply, weights: str) -> None:
    """Stores what the wrinkles need beside that, so that nothing but the head itself is needed to decode them again.

    Args:
        head_object: The head.
        face: A face with a detail code.
        weights: Path of the weights file that made the code.
    """
    assert face.detail is not None
    head_object.deca.weights, head_object.deca.weights_hash = weights, face.weights_hash
    head_object.deca.knows_age = face.knows_age
    head_object[DETAIL] = face.detail.tolist()
    if face.relief is not None:
        head_object[RELIEF] = face.relief.tobytes()


def notices(head_object: bpy.types.Object) -> list[tuple[str, float]]:
    """What the user should know of the head's colours: codes and numbers of `protocol.notices`."""
    try:
        return [(str(code), float(value)) for code, value in json.loads(head_object.deca.notices or "[]")]
    except (ValueError, TypeError):  # of another version, or written by hand
        return []


def stored_expression(head_object: bpy.types.Object) -> NDArray[np.float64]:
    """Expression coefficients of the photo."""
    return np.asarray(head_object.get(EXPRESSION, ()), np.float64)


def show_neutral(head_object: bpy.types.Object) -> None:
    """Puts all sliders to zero, and jaw and eyes to rest; the head is held as before."""
    _set_sliders(head_object, np.zeros(rig.NUM_EXPRESSION_KEYS))
    _set_pose(head_object, dict.fromkeys(_FACE_JOINTS, np.zeros(3)))


def straighten(head_object: bpy.types.Object) -> None:
    """Puts head and neck to rest, upright and facing the front; the face's expression stays."""
    _set_pose(head_object, dict.fromkeys(_HELD_JOINTS, np.zeros(3)))


def show_photo(head_object: bpy.types.Object) -> None:
    """Puts sliders and bones to what the photo shows; of several, the first one."""
    pose_as(head_object, stored_expression(head_object), np.array(head_object.deca.pose))


def pose_as(head_object: bpy.types.Object, expression_E: NDArray, pose: NDArray) -> None:
    """Puts sliders and bones to expression coefficients and to the axis-angles of the joints (5, 3), radians."""
    _set_sliders(head_object, expression_E)
    _set_pose(head_object, dict(zip(rig.JOINTS, pose.reshape(-1, 3), strict=True)))


def _set_sliders(head_object: bpy.types.Object, expression_E: NDArray) -> None:
    keys = head_object.data.shape_keys
    if keys is not None:
        shape_keys.set_expression(keys, expression_E)
        shape_keys.clear_arkit(keys, arkit_names(head_object))


def _set_pose(head_object: bpy.types.Object, pose: Mapping[str, NDArray]) -> None:
    rig_object = rig_of(head_object)
    if rig_object is not None:
        armature.set_pose(rig_object, pose)
