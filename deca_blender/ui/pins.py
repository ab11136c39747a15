"""The pins in the viewport: a handle for each landmark, drawn over the photo."""

from __future__ import annotations

from typing import Any

import bpy
from bpy_extras.view3d_utils import location_3d_to_region_2d
from mathutils import Matrix, Vector

from ..scene import pins
from ..scene.camera import camera_of, photo_number
from ..scene.editable import lock
from ..scene.head import find_head
from ..scene.viewports import camera_seen
from . import texts

_FREE, _HELD, _UNDER_POINTER = (1.0, 1.0, 1.0), (1.0, 0.55, 0.1), (1.0, 0.9, 0.3)
_FREE_SIZE, _HELD_SIZE = 0.06, 0.09
"""Of a gizmo, which is some 80 pixels large."""


class DECA_GGT_pins(bpy.types.GizmoGroup):
    """Handles at the landmarks of the active head, while the view looks through its photo's camera."""

    bl_idname = "DECA_GGT_pins"
    bl_label = texts.SHOW_PINS
    bl_space_type = "VIEW_3D"
    bl_region_type = "WINDOW"
    bl_options = {"PERSISTENT", "SCALE", "SHOW_MODAL_ALL"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not context.window_manager.deca.show_pins:
            return False
        head = find_head(context.object)
        if head is None or pins.why_not(head) or lock(head) is not None:
            return False
        camera = camera_of(head)
        return camera is not None and camera_seen(context) == camera

    def setup(self, context: bpy.types.Context) -> None:
        for landmark in range(pins.NUM_LANDMARKS):
            gizmo: Any = self.gizmos.new("GIZMO_GT_button_2d")
            gizmo.draw_options = {"BACKDROP", "OUTLINE"}
            gizmo.target_set_operator("deca.drag_pin").landmark = landmark
            gizmo.alpha, gizmo.alpha_highlight = 0.7, 1.0
            gizmo.color_highlight = _UNDER_POINTER
            gizmo.use_draw_modal = True

    def draw_prepare(self, context: bpy.types.Context) -> None:
        head = find_head(context.object)
        region, view = context.region, context.region_data
        if head is None or region is None or view is None:
            return
        held = set(pins.pins_of(head, photo_number(head)).landmarks_I.tolist())
        for landmark, point in enumerate(pins.shown_landmarks(head)):
            gizmo: Any = self.gizmos[landmark]
            place = location_3d_to_region_2d(region, view, head.matrix_world @ Vector(point))
            gizmo.hide = place is None
            if place is not None:
                gizmo.matrix_basis = Matrix.Translation((place.x, place.y, 0.0))
            gizmo.color = _HELD if landmark in held else _FREE
            gizmo.scale_basis = 80 * (_HELD_SIZE if landmark in held else _FREE_SIZE)


CLASSES = (DECA_GGT_pins,)
