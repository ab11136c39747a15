"""What one head of the scene takes from another: wrinkles, expression."""

from __future__ import annotations

import bpy
import numpy as np
from numpy.typing import NDArray

from ..core.transfer import Origin, blend_detail, blend_reliefs, check_expression, check_wrinkles
from ..properties.head import DETAIL, RELIEF
from ..properties.transfer import RELIEFS, SHARES, TRANSFERRED
from .channels import channel_bags
from .head import bone_of, find_head, slider_names

_ROTATION = ("rotation_axis_angle", "rotation_quaternion", "rotation_euler")


def shown_detail(
    head_object: bpy.types.Object, depsgraph: bpy.types.Depsgraph | None = None
) -> NDArray[np.float32] | None:
    """The detail code that the head wears now: its own, another's, or one between; None without one.

    Args:
        head_object: Head's mesh object.
        depsgraph: Where the amount is read; a render's may be animated to another value than the scene's.
    """
    own_D = head_object.get(DETAIL)
    if own_D is None:
        return None
    other_D = head_object.get(TRANSFERRED)
    if other_D is None:
        return np.asarray(own_D, np.float32)
    animated = head_object if depsgraph is None else head_object.evaluated_get(depsgraph)
    return blend_detail(own_D, other_D, animated.deca_transfer.amount)


def shown_reliefs(head_object: bpy.types.Object, depsgraph: bpy.types.Depsgraph | None = None) -> dict[bytes, float]:
    """Shares of the reliefs that the head wears now, by their bytes: its own, another's, or both.

    Args:
        head_object, depsgraph: As in `shown_detail`.
    """
    own, other = own_relief(head_object), taken_reliefs(head_object)
    if not has_transfer(head_object):
        return own
    animated = head_object if depsgraph is None else head_object.evaluated_get(depsgraph)
    return blend_reliefs(own, other, animated.deca_transfer.amount)


def own_relief(head_object: bpy.types.Object) -> dict[bytes, float]:
    """The relief of the head's own photo, with share 1; nothing for heads without."""
    return {bytes(head_object[RELIEF]): 1.0} if RELIEF in head_object else {}


def wears_relief(head_object: bpy.types.Object) -> bool:
    """Whether there is a relief that the head wears, or could by its amount."""
    return RELIEF in head_object or RELIEFS in head_object


def taken_reliefs(head_object: bpy.types.Object) -> dict[bytes, float]:
    """Shares of the reliefs that the head has taken from another, by their bytes."""
    if RELIEFS not in head_object:
        return {}
    return dict(zip(map(bytes, head_object[RELIEFS].values()), head_object[SHARES], strict=True))


def origin(head_object: bpy.types.Object) -> Origin:
    """What the head's codes belong to."""
    deca = head_object.deca
    has_detail = head_object.get(DETAIL) is not None
    return Origin(head_object.name, deca.model, deca.model_hash, deca.weights_hash, has_detail)


def has_transfer(head_object: bpy.types.Object) -> bool:
    """Whether the head wears another's wrinkles."""
    return head_object.get(TRANSFERRED) is not None


def selected_heads(context: bpy.types.Context) -> list[bpy.types.Object]:
    """Heads of which an object (mesh, armature, camera) is selected or active, each once, the active head first."""
    found = [find_head(obj) for obj in (context.object, *context.selected_objects)]
    return list(dict.fromkeys(head for head in found if head is not None))


def transfer_wrinkles(source: bpy.types.Object, target: bpy.types.Object, amount: float) -> None:
    """Lets the target wear what the source wears now; its own code and relief are kept, and so are shape, expression
    and texture.

    Args:
        source, target: Heads' mesh objects.
        amount: 0 leaves the target's own wrinkles, 1 gives the source's.

    Raises:
        TransferError: The target cannot wear the source's wrinkles.
    """
    check_wrinkles(origin(source), origin(target))
    detail_D = shown_detail(source)
    assert detail_D is not None  # check_wrinkles has seen to it
    reliefs = shown_reliefs(source)
    _forget(target)
    target[TRANSFERRED] = detail_D.tolist()
    if reliefs:
        target[RELIEFS] = {str(number): relief for number, relief in enumerate(reliefs)}
        target[SHARES] = list(reliefs.values())
    target.deca_transfer.source = source.name
    target.deca_transfer.amount = amount
    target.update_tag(refresh={"OBJECT", "DATA"})


def restore_wrinkles(head_object: bpy.types.Object) -> None:
    """Gives the head its own wrinkles back, and forgets the others."""
    _forget(head_object)
    _stop_animation(head_object, "deca_transfer.amount")
    head_object.deca_transfer.property_unset("amount")
    head_object.deca_transfer.property_unset("source")
    head_object.update_tag(refresh={"OBJECT", "DATA"})


def _forget(head_object: bpy.types.Object) -> None:
    for name in (TRANSFERRED, RELIEFS, SHARES):
        if name in head_object:
            del head_object[name]


def copy_expression(source: bpy.types.Object, target: bpy.types.Object) -> None:
    """Puts the target's expression and ARKit sliders and its jaw to where the source's are; its wrinkles stay its own.

    Args:
        source, target: Heads' mesh objects.

    Raises:
        TransferError: The heads are of different head models.
    """
    check_expression(origin(source), origin(target))
    keys, others = target.data.shape_keys, source.data.shape_keys
    if keys is not None and others is not None:
        for name in set(slider_names(source)) & set(slider_names(target)):
            key, other = keys.key_blocks[name], others.key_blocks[name]
            key.slider_min = min(key.slider_min, other.slider_min)
            key.slider_max = max(key.slider_max, other.slider_max)
            key.value = other.value
    jaw, other_jaw = (bone_of(head, "jaw") for head in (target, source))
    if jaw is not None and other_jaw is not None:
        _copy_rotation(other_jaw, jaw)


def _stop_animation(obj: bpy.types.Object, path: str) -> None:
    """Removes keyframes and driver of one property."""
    obj.driver_remove(path)
    for bag in channel_bags(obj):
        for curve in [curve for curve in bag.fcurves if curve.data_path == path]:
            bag.fcurves.remove(curve)


def _copy_rotation(source: bpy.types.PoseBone, target: bpy.types.PoseBone) -> None:
    if source.rotation_mode == target.rotation_mode:
        for path in _ROTATION:
            setattr(target, path, getattr(source, path))
    else:
        target.matrix_basis = source.matrix_basis.copy()
