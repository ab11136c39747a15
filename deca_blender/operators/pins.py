"""Correct by Pins: landmarks are dragged in the photo's camera, and the head follows."""

from __future__ import annotations

from collections.abc import Sequence

import bpy
from bpy.props import BoolProperty, FloatVectorProperty, IntProperty
from bpy_extras.view3d_utils import region_2d_to_origin_3d

from ..scene import pins
from ..scene.camera import camera_of, cameras_of, lay_photo, photo_number
from ..scene.editable import lock
from ..scene.head import show_photo
from ..scene.viewports import camera_seen, look_through
from ..ui import texts
from .on_head import OnHead


class _OnPins(OnHead):
    """An operator on the pins of the active head."""

    @classmethod
    def why_not(cls, head: bpy.types.Object | None) -> str:
        reason = super().why_not(head)
        if reason or head is None:
            return reason
        missing = pins.why_not(head)
        return texts.locked(lock(head)) or (texts.NO_PINS[missing] if missing else "")


class DECA_OT_show_pins(_OnPins, bpy.types.Operator):
    bl_idname = "deca.show_pins"
    bl_label = texts.SHOW_PINS
    bl_description = texts.SHOW_PINS_DESCRIPTION

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return isinstance(context.space_data, bpy.types.SpaceView3D) and super().poll(context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        head, camera = self.head(context), camera_of(self.head(context))
        assert camera is not None  # `poll` has seen it
        interface = context.window_manager.deca
        sees_photo = camera_seen(context) == camera
        interface.show_pins = not (interface.show_pins and sees_photo)
        context.space_data.overlay.show_bones = not interface.show_pins  # they would lie over the face
        for photos_camera in cameras_of(head).values():
            lay_photo(photos_camera, interface.show_pins)
        if not interface.show_pins:
            return {"FINISHED"}
        if not sees_photo:
            look_through(context, camera)
        if not len(head.deca.photos):  # of several photos, the frame shows the one of the camera
            show_photo(head)
        return {"FINISHED"}


class DECA_OT_drag_pin(_OnPins, bpy.types.Operator):
    bl_idname = "deca.drag_pin"
    bl_label = texts.DRAG_PIN
    bl_description = texts.DRAG_PIN_DESCRIPTION
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    landmark: IntProperty(name=texts.NAME_LANDMARK, description=texts.PIN_LANDMARK, min=0, max=pins.NUM_LANDMARKS - 1)
    place: FloatVectorProperty(
        name=texts.NAME_PLACE,
        description=texts.PIN_PLACE,
        size=2,
        precision=1,
    )
    release: BoolProperty(name=texts.NAME_RELEASE, description=texts.PIN_RELEASE, options={"SKIP_SAVE"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        if self.release:
            pins.remove_pins(context, self.head(context), self.landmark)
            return {"FINISHED"}
        correction = pins.Correction(context, self.head(context))
        correction.pin(self.landmark, self.place)
        correction.keep()
        return {"FINISHED"}

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        head = self.head(context)
        self._is_held = self.landmark in pins.pins_of(head, photo_number(head)).landmarks_I
        self._correction, self._is_dragged = pins.Correction(context, head), False
        self._pressed = event.mouse_x, event.mouse_y
        self.place, self.release = self._correction.place_of(self.landmark), False
        context.window_manager.modal_handler_add(self)
        context.workspace.status_text_set(texts.dragging_pin())
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if event.type in {"ESC", "RIGHTMOUSE"}:
            context.workspace.status_text_set(None)
            self._correction.cancel()
            return {"CANCELLED"}
        away = max(abs(event.mouse_x - self._pressed[0]), abs(event.mouse_y - self._pressed[1]))
        self._is_dragged |= away >= context.preferences.inputs.drag_threshold_mouse
        if self._is_dragged and event.type in {"MOUSEMOVE", "LEFTMOUSE"}:
            self.place = self._pointer(context, event.mouse_x, event.mouse_y)
            self._correction.pin(self.landmark, self.place)
        if event.type != "LEFTMOUSE" or event.value != "RELEASE":
            return {"RUNNING_MODAL"}
        context.workspace.status_text_set(None)
        if not self._is_dragged:  # a click holds the landmark where it is, or lets it go
            self.release = self._is_held
            if self._is_held:
                self._correction.cancel()
                return self.execute(context)
            self._correction.pin(self.landmark, self.place)
        self._correction.keep()
        return {"FINISHED"}

    def _pointer(self, context: bpy.types.Context, mouse_x: int, mouse_y: int) -> Sequence[float]:
        """Where a place of the window is on the photo, pixels."""
        region = next(region for region in context.area.regions if region.type == "WINDOW")
        point = mouse_x - region.x, mouse_y - region.y
        space = context.space_data
        assert isinstance(space, bpy.types.SpaceView3D) and space.region_3d is not None
        head, origin = self.head(context), region_2d_to_origin_3d(region, space.region_3d, point)
        return pins.on_photo(head, photo_number(head), (origin.x, origin.y, origin.z))


class DECA_OT_remove_pins(_OnPins, bpy.types.Operator):
    bl_idname = "deca.remove_pins"
    bl_label = texts.REMOVE_PINS
    bl_description = texts.REMOVE_PINS_DESCRIPTION

    @classmethod
    def why_not(cls, head: bpy.types.Object | None) -> str:
        reason = super().why_not(head)
        if reason or head is None:
            return reason
        return "" if len(pins.pins_of(head, photo_number(head)).landmarks_I) else texts.NO_PINS["pins"]

    def execute(self, context: bpy.types.Context) -> set[str]:
        pins.remove_pins(context, self.head(context))
        return {"FINISHED"}


class DECA_OT_reset_named_shapes(OnHead, bpy.types.Operator):
    bl_idname = "deca.reset_named_shapes"
    bl_label = texts.RESET_NAMED_SHAPES
    bl_description = texts.RESET_NAMED_SHAPES_DESCRIPTION

    def execute(self, context: bpy.types.Context) -> set[str]:
        pins.reset_named_shapes(self.head(context))
        return {"FINISHED"}


CLASSES = (
    DECA_OT_show_pins,
    DECA_OT_drag_pin,
    DECA_OT_remove_pins,
    DECA_OT_reset_named_shapes,
)
