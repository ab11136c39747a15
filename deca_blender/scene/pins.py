"""Pins of a head in the scene: read what they hang on, solve (`core/pins.py`), move the head, keep them with it.

What the pins have found is what the photo shows from then on: *As on Photo*, keyframes of photos and their stored codes
have it. What was fitted before is kept beside it (`BEFORE_PINS`), so that pins always start from there and can be
taken away. What pins have added to the measures is kept as well (`PINNED_SHAPE`): the user's own changes of these
sliders stay.

Shape suffixes are those of `core/pins.py`; V vertices.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix, Vector
from numpy.typing import NDArray

from ..core import moving_joints, rig
from ..core.photo_camera import metres_per_pixel
from ..core.pins import PinFit, PinRig, Pins, PinView, Sliders, posed_landmarks, projected
from ..core.rotations import rotation_matrix
from ..core.wrinkles import axis_angle_of
from ..properties.head import (
    BEFORE_PINS,
    EXPRESSION,
    LANDMARK_VERTS,
    LANDMARK_WEIGHTS,
    NAMED_SHAPE_JOINTS,
    NAMED_SHAPE_PRIOR,
    PHOTO_EXPRESSIONS,
    PINNED_SHAPE,
)
from . import armature, shape_keys
from .camera import cameras_of, photo_number
from .expression import rotation_path
from .head import arkit_names, bone_of, named_shapes, rig_of, stored_named_shapes

Array = NDArray[np.float64]

_JAW = rig.JOINTS.index("jaw")
_HELD = rig.JOINTS[:2]
NUM_LANDMARKS = 68


def why_not(head_object: bpy.types.Object) -> str:
    """The first part that pins need and that the head lacks: `landmarks`, `rig`, `camera`, or ""."""
    verts = head_object.get(LANDMARK_VERTS, ())
    if not len(verts) or head_object.data.shape_keys is None or max(verts) >= len(head_object.data.vertices):
        return "landmarks"
    if any(bone_of(head_object, joint) is None for joint in rig.JOINTS):
        return "rig"
    number = photo_number(head_object)
    return "" if number in cameras_of(head_object) and all(_photo_size(head_object, number)) else "camera"


def pins_of(head_object: bpy.types.Object, number: int) -> Pins:
    """The pins of a photo."""
    found = [pin for pin in head_object.deca.pins if pin.photo == number]
    places = np.array([tuple(pin.place) for pin in found], np.float64).reshape(-1, 2)
    return Pins(np.array([pin.landmark for pin in found], np.intp), places)


def shown_landmarks(head_object: bpy.types.Object) -> Array:
    """Where the head's landmarks (L, 3) are now, in its own space."""
    body = _Body(head_object)
    return posed_landmarks(body.rig, body.view_now(photo_number(head_object)), body.sliders_now())


class Correction:
    """Pins of one photo at work on a head.

    Args:
        context: Blender's context.
        head_object: A head for which `why_not` says nothing.
        moves: What pins move, if not what the head says (`Object.deca.pins_move`).

    Attributes:
        number: The photo's number: that of the current frame.
    """

    def __init__(self, context: bpy.types.Context, head_object: bpy.types.Object, moves: str = "") -> None:
        self.head, self.number = head_object, photo_number(head_object)
        self._held = {joint: _turn(head_object, joint) for joint in _HELD}
        _hold_as_on_photo(head_object, self.number)
        context.view_layer.update()
        self._body = _Body(head_object)
        self._before = self._body.sliders_now()
        self._view = self._body.view_now(self.number)
        self._pins = pins_of(head_object, self.number)
        moves = moves or head_object.deca.pins_move
        self._moves_expression, self._moves_shape = moves != "SHAPE", moves != "EXPRESSION"
        fitted, now = _fitted(head_object, self.number), self._before
        start = Sliders(
            fitted.expression_E if self._moves_expression else now.expression_E,
            fitted.jaw_3 if self._moves_expression else now.jaw_3,
            now.shape_N - self._body.pinned_shape() if self._moves_shape else now.shape_N,
        )
        others = _others(head_object, self._body, self.number) if self._moves_shape else ()
        self._start = start
        self._fit = PinFit(
            self._body.rig, replace(self._view, sliders=start), self._moves_expression, self._moves_shape, others
        )
        self._found = now

    def place_of(self, landmark: int) -> tuple[float, float]:
        """Where a landmark is on the photo now, pixels."""
        x, y = projected(self._view, posed_landmarks(self._body.rig, self._view, self._found))[landmark].tolist()
        return x, y

    def pin(self, landmark: int, place: Sequence[float]) -> None:
        """Holds a landmark at a place of the photo, pixels, and moves the head there."""
        others = self._pins.landmarks_I != landmark
        self._pins = Pins(
            np.append(self._pins.landmarks_I[others], landmark),
            np.concatenate((self._pins.places_I2[others], np.array([place], np.float64))),
        )
        self._solve()

    def unpin(self, landmarks: Iterable[int]) -> None:
        """Lets landmarks of the photo go; the head goes back as far as nothing else holds it."""
        kept = ~np.isin(self._pins.landmarks_I, list(landmarks))
        self._pins = Pins(self._pins.landmarks_I[kept], self._pins.places_I2[kept])
        self._solve()

    def cancel(self) -> None:
        """Puts the head back to what it was."""
        _show(self.head, self._before, self._held)

    def keep(self) -> None:
        """Keeps pins and result with the head."""
        deca = self.head.deca
        for index in reversed(range(len(deca.pins))):
            if deca.pins[index].photo == self.number:
                deca.pins.remove(index)
        for landmark, place in zip(self._pins.landmarks_I.tolist(), self._pins.places_I2.tolist(), strict=True):
            pin = deca.pins.add()
            pin.landmark, pin.photo, pin.place = landmark, self.number, place
        if self._moves_expression:
            _keep_expression(self.head, self.number, self._found, bool(len(self._pins.landmarks_I)))
            if len(deca.photos) > 1:
                _key_expression(self.head, deca.photos[self.number].frame)
        if self._moves_shape:
            self._body.keep_pinned_shape(self._found.shape_N - self._start.shape_N)

    def _solve(self) -> None:
        self._found = self._fit(self._pins)
        _show(self.head, self._found)


def remove_pins(context: bpy.types.Context, head_object: bpy.types.Object, landmark: int = -1) -> None:
    """Takes a photo's pins away, or one of them; without pins the head is as it was fitted."""
    gone = [landmark] if landmark >= 0 else list(range(NUM_LANDMARKS))
    is_last = np.isin(pins_of(head_object, photo_number(head_object)).landmarks_I, gone).all()
    correction = Correction(context, head_object, "BOTH" if is_last else "")  # all that pins have done goes back
    correction.unpin(gone)
    correction.keep()


def reset_named_shapes(head_object: bpy.types.Object) -> None:
    """Puts the measures to rest; what pins have added to them is gone, too."""
    for name in named_shapes(head_object):
        head_object.data.shape_keys.key_blocks[rig.named_shape_key(name)].value = 0.0
    head_object.pop(PINNED_SHAPE, None)


def hold_after_refit(context: bpy.types.Context, head_object: bpy.types.Object, numbers: Iterable[int]) -> None:
    """Corrects the new fit of some of a head's photos by their pins: places on a photo stay what they are."""
    before = {name: list(values) for name, values in head_object.get(BEFORE_PINS, {}).items()}
    head_object[BEFORE_PINS] = {name: values for name, values in before.items() if int(name) not in set(numbers)}
    pinned = {pin.photo for pin in head_object.deca.pins} & set(numbers) & cameras_of(head_object).keys()
    if not pinned or why_not(head_object):
        return
    context.view_layer.update()  # cameras have been aimed again
    body = _Body(head_object)
    for number in sorted(pinned):
        view = body.view_stored(number)
        found = PinFit(body.rig, view)(pins_of(head_object, number))
        _keep_expression(head_object, number, found, True)
        if len(head_object.deca.photos) > 1:
            _show(head_object, found)
            _key_expression(head_object, head_object.deca.photos[number].frame)


class _Body:
    """What of a head's mesh and armature pins need, read once."""

    def __init__(self, head_object: bpy.types.Object) -> None:
        self.head = head_object
        keys, rig_object = head_object.data.shape_keys, rig_of(head_object)
        assert keys is not None and rig_object is not None
        corners_L3 = np.array(head_object[LANDMARK_VERTS]).reshape(-1, 3)
        self._points, corners = np.unique(corners_L3, return_inverse=True)
        self.shapes = tuple(named_shapes(head_object))
        self._blocks: Any = keys.key_blocks
        self._basis_P3 = self._read(keys.reference_key)
        joints_J3, parents = self._joints()
        self.rig = PinRig(
            corners_L3=corners.reshape(corners_L3.shape),
            bary_L3=np.array(head_object[LANDMARK_WEIGHTS], np.float64).reshape(-1, 3),
            weights_PJ=self._weights(),
            joints_J3=joints_J3,
            parents=parents,
            expression_EP3=self._directions(rig.EXPRESSION_KEYS),
            shape_NP3=self._directions([rig.named_shape_key(name) for name in self.shapes]),
            shape_prior_NN=self._of_named(NAMED_SHAPE_PRIOR, len(stored_named_shapes(head_object)))[:, self._named()],
            joint_dirs_NJ3=armature.size_of(rig_object) * self._of_named(NAMED_SHAPE_JOINTS, len(rig.JOINTS), 3),
            correctives_CP3=self._directions(rig.CORRECTIVE_KEYS),
        )

    def sliders_now(self) -> Sliders:
        """What pins move, as it is."""
        values = {name: block.value for name, block in self._blocks.items()}
        return Sliders(
            np.array([values.get(name, 0.0) for name in rig.EXPRESSION_KEYS]),
            _turn(self.head, "jaw"),
            np.array([values[rig.named_shape_key(name)] for name in self.shapes]),
        )

    def view_now(self, number: int) -> PinView:
        """The head as it is in a photo's camera; ARKit sliders and the user's own keys stay what they are."""
        rotations_J33 = np.array([self._rotation(joint) for joint in rig.JOINTS])
        return PinView(self._rest_P3(()), rotations_J33, self.sliders_now(), projection(self.head, number))

    def view_stored(self, number: int) -> PinView:
        """The head as it is on a photo."""
        expression, pose_J3 = _photo_state(self.head, number)
        rotations_J33 = np.array([rotation_matrix(row) for row in pose_J3])
        rotations_J33[_JAW] = np.eye(3)
        sliders = Sliders(expression, pose_J3[_JAW], self.sliders_now().shape_N)
        rest_P3 = self._rest_P3(arkit_names(self.head))
        return PinView(rest_P3, rotations_J33, sliders, projection(self.head, number))

    def pinned_shape(self) -> Array:
        """What pins have added to the measures, (N,)."""
        stored = self.head.get(PINNED_SHAPE, {})
        return np.array([stored.get(name, 0.0) for name in self.shapes])

    def keep_pinned_shape(self, added_N: Array) -> None:
        """Keeps what pins have added to the measures."""
        self.head[PINNED_SHAPE] = dict(zip(self.shapes, added_N.tolist(), strict=True))

    def _read(self, block: Any) -> Array:
        points_V3 = np.empty((len(block.points), 3), np.float32)
        block.points.foreach_get("co", points_V3.ravel())
        return points_V3[self._points].astype(np.float64)

    def _directions(self, names: Sequence[str]) -> Array:
        """Displacements (K, P, 3) of keys; none for one that was deleted or is muted."""
        found = np.zeros((len(names), len(self._points), 3))
        for index, name in enumerate(names):
            block = self._blocks.get(name)
            if block is not None and not block.mute:
                found[index] = self._read(block) - self._basis_P3
        return found

    def _rest_P3(self, without: Sequence[str]) -> Array:
        """Points of the neutral head with all keys that are neither sliders of pins nor correctives."""
        ours = {*rig.EXPRESSION_KEYS, *rig.CORRECTIVE_KEYS, *map(rig.named_shape_key, self.shapes), *without}
        points_P3 = self._basis_P3.copy()
        for block in self._blocks[1:]:
            if block.name not in ours and block.value and not block.mute:
                points_P3 += block.value * (self._read(block) - self._read(block.relative_key))
        return points_P3

    def _weights(self) -> Array:
        groups = self.head.vertex_groups
        names = [moving_joints.deform_bone(joint) for joint in rig.JOINTS]
        names = [name if name in groups else joint for name, joint in zip(names, rig.JOINTS, strict=True)]
        column = {groups[name].index: joint for joint, name in enumerate(names) if name in groups}
        weights_PJ = np.zeros((len(self._points), len(rig.JOINTS)))
        for row, vertex in enumerate(self._points.tolist()):
            for entry in self.head.data.vertices[vertex].groups:
                if entry.group in column:
                    weights_PJ[row, column[entry.group]] = entry.weight
        return weights_PJ / np.maximum(weights_PJ.sum(1, keepdims=True), 1e-9)

    def _joints(self) -> tuple[Array, tuple[int, ...]]:
        """Where the joints rest in head space (J, 3), and their parents."""
        rig_object = rig_of(self.head)
        assert rig_object is not None
        bones, to_head = rig_object.data.bones, armature.UPRIGHT.inverted()
        positions, parents = [], []
        motion = rig_object.get(moving_joints.GROUP, {})
        for joint in rig.JOINTS:
            position = np.array(to_head @ bones[joint].head_local, np.float64)
            if moving_joints.deform_bone(joint) in bones:  # joints that follow expression: as they are now
                position += [motion.get(f"{joint}_{axis}", 0.0) for axis in "xyz"]
            positions.append(position)
            above = bones[joint].parent
            while above is not None and above.name not in rig.JOINTS:
                above = above.parent
            parents.append(rig.JOINTS.index(above.name) if above is not None else -1)
        return np.array(positions), tuple(parents)

    def _named(self) -> list[int]:
        """Which of the measures that the head was made with have a shape key still."""
        stored = list(stored_named_shapes(self.head))
        return [stored.index(name) for name in self.shapes]

    def _of_named(self, prop: str, *size: int) -> Array:
        """What the head keeps for each measure (N, *size), of those that have a shape key."""
        return np.array(self.head.get(prop, ()), np.float64).reshape(-1, *size)[self._named()]

    def _rotation(self, joint: str) -> Array:
        """By what a joint is turned; the jaw's without the hand's part, which pins move."""
        turn = Matrix.Identity(3)
        names = (rig.arkit_bone(joint),) if joint == "jaw" else (rig.arkit_bone(joint), joint)
        for name in names:
            bone = bone_of(self.head, name)
            if bone is not None:
                turn = turn @ bone.matrix_basis.to_3x3()
        return np.array(turn, np.float64)


def projection(head_object: bpy.types.Object, number: int) -> Array:
    """From the head's own space to pixels of a photo (2, 4), as its camera has it now."""
    camera = cameras_of(head_object)[number]
    render = bpy.context.scene.render
    width, height = _photo_size(head_object, number)
    pixel = metres_per_pixel(
        camera.data.ortho_scale,
        (width, height),
        (render.resolution_x, render.resolution_y),
        (render.pixel_aspect_x, render.pixel_aspect_y),
    )
    to_camera = np.array(camera.matrix_world.inverted() @ head_object.matrix_world, np.float64)
    return np.array([[1 / pixel], [-1 / pixel]]) * to_camera[:2] + np.array(
        [[0, 0, 0, width / 2], [0, 0, 0, height / 2]]
    )


def on_photo(head_object: bpy.types.Object, number: int, point: Sequence[float]) -> tuple[float, float]:
    """Where a point of the world lies on a photo, pixels."""
    local = head_object.matrix_world.inverted() @ Vector(point)
    x, y = (projection(head_object, number) @ (*local, 1.0)).tolist()
    return x, y


def _photo_size(head_object: bpy.types.Object, number: int) -> tuple[int, int]:
    photos = head_object.deca.photos
    width, height = photos[number].image_size if len(photos) else head_object.deca.image_size
    return width, height


def _photo_state(head_object: bpy.types.Object, number: int) -> tuple[Array, Array]:
    """Expression coefficients (E,) and axis-angles of the joints (J, 3) on a photo, as the head keeps them."""
    photos = head_object.deca.photos
    if not len(photos):
        codes, pose = np.array(head_object.get(EXPRESSION, ())), head_object.deca.pose
    else:
        codes = np.array(head_object[PHOTO_EXPRESSIONS]).reshape(len(photos), -1)[number]
        pose = photos[number].pose
    expression = np.zeros(rig.NUM_EXPRESSION_KEYS)
    count = min(len(codes), len(expression))
    expression[:count] = codes[:count]
    return expression, np.array(pose, np.float64).reshape(-1, 3)


def _fitted(head_object: bpy.types.Object, number: int) -> Sliders:
    """A photo's expression and jaw before pins; the shape is not known here."""
    stored = head_object.get(BEFORE_PINS, {}).get(str(number))
    if stored is not None:
        return Sliders.of(np.array(stored, np.float64), rig.NUM_EXPRESSION_KEYS)
    expression, pose_J3 = _photo_state(head_object, number)
    return Sliders(expression, pose_J3[_JAW], np.zeros(0))


def _turn(head_object: bpy.types.Object, joint: str) -> Array:
    """Axis-angle (3,) by which a joint is turned by hand, radians."""
    bone = bone_of(head_object, joint)
    assert bone is not None
    return axis_angle_of(np.array(bone.matrix_basis.to_3x3())).astype(np.float64)


def _show(head_object: bpy.types.Object, sliders: Sliders, turns: Mapping[str, Array] = MappingProxyType({})) -> None:
    keys, rig_object = head_object.data.shape_keys, rig_of(head_object)
    assert keys is not None and rig_object is not None
    shape_keys.set_expression(keys, sliders.expression_E)
    for name, value in zip(named_shapes(head_object), sliders.shape_N.tolist(), strict=True):
        keys.key_blocks[rig.named_shape_key(name)].value = value
    armature.set_pose(rig_object, {"jaw": sliders.jaw_3, **turns})


def _keep_expression(head_object: bpy.types.Object, number: int, found: Sliders, is_pinned: bool) -> None:
    """Makes what was found the photo's expression; keeps the fitted one while there are pins."""
    fitted = _fitted(head_object, number)
    before = dict(head_object.get(BEFORE_PINS, {}))
    if is_pinned:
        before[str(number)] = np.concatenate((fitted.expression_E, fitted.jaw_3)).tolist()
    else:
        before.pop(str(number), None)
    head_object[BEFORE_PINS] = {name: list(values) for name, values in before.items()}
    deca = head_object.deca
    _, pose_J3 = _photo_state(head_object, number)
    pose_J3[_JAW] = found.jaw_3
    for name, row in ((EXPRESSION, 0), (PHOTO_EXPRESSIONS, number)):
        values = list(head_object.get(name, ()))
        size = len(values) if name == EXPRESSION else len(values) // max(len(deca.photos), 1)
        if size and (name != EXPRESSION or number == 0):
            count = min(size, len(found.expression_E))
            values[row * size : row * size + count] = found.expression_E[:count].tolist()
            head_object[name] = values
    if number == 0:
        deca.pose = pose_J3.ravel()
    if len(deca.photos):
        deca.photos[number].pose = pose_J3.ravel()


def _key_expression(head_object: bpy.types.Object, frame: int) -> None:
    """Keyframes of what pins move, at the frame of their photo."""
    keys = head_object.data.shape_keys
    for name in rig.EXPRESSION_KEYS:
        if name in keys.key_blocks:
            keys.key_blocks[name].keyframe_insert("value", frame=frame)
    jaw = bone_of(head_object, "jaw")
    assert jaw is not None
    jaw.keyframe_insert(rotation_path(jaw), frame=frame)


def _others(head_object: bpy.types.Object, body: _Body, number: int) -> list[tuple[PinView, Pins]]:
    """The other photos that have pins."""
    numbers = sorted(({pin.photo for pin in head_object.deca.pins} - {number}) & cameras_of(head_object).keys())
    return [(body.view_stored(other), pins_of(head_object, other)) for other in numbers]


def _hold_as_on_photo(head_object: bpy.types.Object, number: int) -> None:
    """Turns head and neck to where they are on the photo: pins mean nothing to a head that is held otherwise."""
    _, pose_J3 = _photo_state(head_object, number)
    rig_object = rig_of(head_object)
    assert rig_object is not None
    armature.set_pose(rig_object, {joint: pose_J3[rig.JOINTS.index(joint)] for joint in _HELD})
