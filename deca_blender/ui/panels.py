"""The sidebar tab: import, and the active head's sliders, bones and coefficients."""

from __future__ import annotations

from typing import Any

import bpy

from .. import backend, preferences
from ..client import State
from ..core import arkit, rig
from ..properties.head import STRENGTH, age_key, likeness_key
from ..scene import live, pins
from ..scene.bake import is_baked
from ..scene.camera import photo_number
from ..scene.duplicates import sharing
from ..scene.editable import lock
from ..scene.head import arkit_names, find_head, missing_parts, named_shapes, notices, rig_of
from ..scene.material import has_colors
from ..scene.transfer import has_transfer, wears_relief
from ..scene.wrinkles import SUBDIVISION, has_wrinkles, map_image
from . import texts
from .installation import draw_installation
from .translation import iface

_LINE = 36
"""Characters that fit into a row of the sidebar as Blender opens it."""


class _HeadPanel:
    """A panel of the tab that is there while a head is active."""

    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = texts.TAB

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return find_head(context.object) is not None

    @staticmethod
    def head(context: bpy.types.Context) -> bpy.types.Object:
        """The active head; `poll` has seen that there is one."""
        head = find_head(context.object)
        assert head is not None
        return head


def _draw_lines(layout: Any, lines: list[str], icon: str) -> None:
    """Draws lines of text, if there are any, with an icon at the first."""
    column = layout.column(align=True)
    for index, line in enumerate(filter(None, lines)):
        column.label(text=line, icon="BLANK1" if index else icon)


def _draw_sliders(layout: bpy.types.UILayout, keys: bpy.types.Key, names: list[str]) -> None:
    column = layout.column(align=True)
    for name in names:
        column.prop(keys.key_blocks[name], "value", text=arkit.label(name), slider=True)


def _wrinkle_state(head: bpy.types.Object) -> tuple[str, Any]:
    """Whether the head shows the wrinkles of the moment: a text and an icon."""
    if live.error(head):
        return live.error(head).splitlines()[0], "ERROR"
    if is_baked(head) or not head.deca.wrinkles_live:
        return texts.NOT_LIVE, "PAUSE"
    return (texts.CATCHING_UP, "SORTTIME") if live.is_behind(head) else (texts.UP_TO_DATE, "CHECKMARK")


class DECA_PT_import(bpy.types.Panel):
    """The import button and the backend's state."""

    bl_label = texts.PANEL_IMPORT
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = texts.TAB

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        assert layout is not None
        layout.operator("deca.import_face", icon="USER")
        state = backend.state()
        if not preferences.launch_settings().has_backend():
            draw_installation(layout, _LINE)
        elif state is State.FAILED:
            layout.label(text=texts.BACKEND_STATE[state], icon="ERROR")
            layout.label(text=backend.failure().splitlines()[0])
            layout.operator("deca.install_backend", icon="IMPORT")
        else:
            layout.label(text=texts.BACKEND_STATE[state])
        column = layout.column(align=True)
        column.active = False
        column.label(text=texts.device(backend.device()))
        head = preferences.head_file(preferences.head())
        column.label(text=texts.models(head, preferences.weights(), preferences.has_builtin_weights()))
        if find_head(context.object) is None:
            layout.label(text=texts.NO_HEAD)


class DECA_PT_head(_HeadPanel, bpy.types.Panel):
    """The active head."""

    bl_label = texts.PANEL_HEAD

    def draw(self, context: bpy.types.Context) -> None:
        head = self.head(context)
        row = self.layout.row(align=True)
        row.label(text=head.name, icon="USER")
        row.operator("deca.delete_head", text="", icon="TRASH")
        _draw_lines(self.layout, texts.wrapped(texts.locked(lock(head)), _LINE), "LIBRARY_DATA_DIRECT")
        _draw_lines(self.layout, texts.missing(missing_parts(head)), "ERROR")
        row = self.layout.row(align=True)
        row.operator("deca.reset_expression", text=texts.RESET_NEUTRAL[1]).target = texts.RESET_NEUTRAL[0]
        row.operator("deca.reset_expression", text=texts.RESET_PHOTO[1]).target = texts.RESET_PHOTO[0]
        row.operator("deca.straighten")
        row = self.layout.row(align=True)
        row.operator("deca.view_photo_camera", icon="OUTLINER_OB_CAMERA")
        row.operator("deca.render_as_photo", text="", icon="RENDER_STILL")
        row = self.layout.row(align=True)
        if len(head.deca.photos) > 1:
            row.label(text=iface(texts.PHOTOS, count=len(head.deca.photos)))
        row.operator("deca.add_photos", icon="ADD")
        if head.deca.left_out:
            header, body = self.layout.panel("deca_left_out", default_closed=True)
            header.label(text=texts.LEFT_OUT, icon="INFO")
            for line in head.deca.left_out.splitlines() if body is not None else ():
                _draw_lines(body, texts.wrapped(line, _LINE), "IMAGE_DATA")
        self.layout.operator("deca.export_head", icon="EXPORT")
        if age_key(head) is not None:
            self.layout.prop(head.deca, "age", text=texts.AGE, slider=True)
        likeness = likeness_key(head)
        if likeness is not None:
            self.layout.prop(likeness, "value", text=texts.LIKENESS, slider=True)
        if has_colors(head):
            row = self.layout.row(align=True)
            row.enabled = lock(head) is None
            row.prop(head.deca, "colors", expand=True)
        told = notices(head)
        if told:
            header, body = self.layout.panel("deca_notices", default_closed=True)
            header.label(text=texts.notices_on_photo(len(told)), icon="INFO")
            for code, value in told if body is not None else ():
                _draw_lines(body, texts.wrapped(texts.notice(code, value), _LINE), "DOT")
        others = sharing(head)
        if others:
            self.layout.label(text=texts.shares([other.name for other in others]), icon="LINKED")
            self.layout.operator("deca.make_independent")


class DECA_PT_pins(_HeadPanel, bpy.types.Panel):
    """Landmarks of the photo that are dragged by hand."""

    bl_label = texts.PANEL_PINS
    bl_parent_id = "DECA_PT_head"
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012

    def draw(self, context: bpy.types.Context) -> None:
        head = self.head(context)
        reason = pins.why_not(head)
        if reason:
            _draw_lines(self.layout, texts.wrapped(texts.NO_PINS[reason], _LINE), "INFO")
            return
        is_shown = context.window_manager.deca.show_pins
        self.layout.operator("deca.show_pins", depress=is_shown, icon="PINNED")
        row = self.layout.row(align=True)
        row.enabled = lock(head) is None
        row.prop(head.deca, "pins_move", expand=True)
        if head.deca.pins_move != "EXPRESSION" and not named_shapes(head):
            _draw_lines(self.layout, texts.wrapped(texts.NO_NAMED_SHAPES, _LINE), "INFO")
        row = self.layout.row(align=True)
        row.label(text=texts.pins(len(pins.pins_of(head, photo_number(head)).landmarks_I)))
        row.operator("deca.remove_pins", text=texts.REMOVE_PINS, icon="X")


class DECA_PT_named_shapes(_HeadPanel, bpy.types.Panel):
    """Measures of the neutral head with names."""

    bl_label = texts.PANEL_NAMED_SHAPES
    bl_parent_id = "DECA_PT_head"
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012

    def draw(self, context: bpy.types.Context) -> None:
        head = self.head(context)
        shapes = named_shapes(head)
        if not shapes:
            _draw_lines(self.layout, texts.wrapped(texts.NO_NAMED_SHAPES, _LINE), "INFO")
            return
        column = self.layout.column(align=True)
        column.enabled = lock(head) is None
        for name, (unit, deviation) in shapes.items():
            key = head.data.shape_keys.key_blocks[rig.named_shape_key(name)]
            column.prop(key, "value", text=texts.named_shape(name, key.value * deviation, unit), slider=True)
        self.layout.operator("deca.reset_named_shapes", icon="LOOP_BACK")


class DECA_PT_expression(_HeadPanel, bpy.types.Panel):
    """ARKit sliders by region of the face."""

    bl_label = texts.PANEL_EXPRESSION
    bl_parent_id = "DECA_PT_head"

    def draw(self, context: bpy.types.Context) -> None:
        head, layout = self.head(context), self.layout
        keys = head.data.shape_keys
        if layout is None or keys is None:
            return
        row = layout.row(align=True)
        row.operator_menu_enum("deca.apply_preset", "preset", text=texts.PRESET)
        row.operator("deca.random_expression", text="", icon="FILE_REFRESH")
        row.operator_menu_enum("deca.mirror_expression", "mode", text="", icon="MOD_MIRROR")
        row.operator("deca.key_expression", text="", icon="KEY_HLT")
        row.operator("deca.save_pose_asset", text="", icon="ASSET_MANAGER")
        row.prop(context.space_data, "show_region_asset_shelf", text="", icon="WINDOW")
        search = context.window_manager.deca.search
        layout.prop(context.window_manager.deca, "search", text="", icon="VIEWZOOM")
        if search.strip():
            _draw_sliders(layout, keys, arkit.matching(arkit_names(head), search))
            return
        for group, names in arkit.slider_groups(arkit_names(head)).items():
            header, body = layout.panel(f"deca_{group}", default_closed=True)
            header.label(text=group)
            if body is not None:
                _draw_sliders(body, keys, names)


class DECA_PT_pose(_HeadPanel, bpy.types.Panel):
    """Rotations of the bones, angle first, then the axis; and where the eyes look, by the ARKit sliders."""

    bl_label = texts.PANEL_POSE
    bl_parent_id = "DECA_PT_head"

    def draw(self, context: bpy.types.Context) -> None:
        head = self.head(context)
        gaze = arkit.gaze(arkit_names(head))
        keys = head.data.shape_keys
        if gaze and keys is not None:
            header, body = self.layout.panel("deca_gaze", default_closed=True)
            header.label(text=texts.GAZE)
            if body is not None:
                _draw_sliders(body, keys, gaze)
        rig_object = rig_of(head)
        if rig_object is None:
            self.layout.label(text=texts.NO_RIG)
            return
        for joint in rig.JOINTS:
            bone = rig_object.pose.bones.get(joint)
            if bone is None:
                continue
            column = self.layout.column(align=True)
            if bone.rotation_mode != "AXIS_ANGLE":
                is_quaternion = bone.rotation_mode == "QUATERNION"
                path = "rotation_quaternion" if is_quaternion else "rotation_euler"
                column.row(align=True).prop(bone, path, text=texts.JOINT_LABELS[joint])
                continue
            column.prop(bone, "rotation_axis_angle", index=0, text=texts.joint_angle(joint))
            row = column.row(align=True)
            for index, axis in enumerate("XYZ", start=1):
                row.prop(bone, "rotation_axis_angle", index=index, text=axis)


class DECA_PT_coefficients(_HeadPanel, bpy.types.Panel):
    """The head model's own expression coefficients."""

    bl_label = texts.PANEL_COEFFICIENTS
    bl_parent_id = "DECA_PT_head"
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012

    def draw(self, context: bpy.types.Context) -> None:
        keys = self.head(context).data.shape_keys
        column = self.layout.column(align=True)
        for index in range(rig.NUM_EXPRESSION_KEYS):
            key = keys.key_blocks.get(rig.expression_key(index)) if keys else None
            if key is not None:
                column.prop(key, "value", text=f"{index}", slider=True)


class DECA_PT_wrinkles(_HeadPanel, bpy.types.Panel):
    """Depth and updates of the wrinkles."""

    bl_label = texts.PANEL_WRINKLES
    bl_parent_id = "DECA_PT_head"

    def draw(self, context: bpy.types.Context) -> None:
        head, layout = self.head(context), self.layout
        if layout is None:
            return
        if not has_wrinkles(head):
            layout.label(text=texts.HEAD_WITHOUT_WRINKLES)
            return
        layout.prop(head, f'["{STRENGTH}"]', text=texts.STRENGTH, slider=True)
        if wears_relief(head):
            row = layout.row()
            row.enabled = not is_baked(head)
            row.prop(head.deca, "photo_detail", text=texts.PHOTO_DETAIL, slider=True)
        row = layout.row()
        row.enabled = head.deca.knows_age and not is_baked(head)
        row.prop(head.deca, "wrinkle_age", text=texts.WRINKLE_AGE, slider=True)
        if not head.deca.knows_age:
            layout.label(text=texts.NO_WRINKLE_AGE, icon="INFO")
        subdivision = head.modifiers.get(SUBDIVISION)
        if subdivision is not None:
            row = layout.row(align=True)
            row.prop(subdivision, "levels", text=texts.LEVELS_VIEWPORT)
            row.prop(subdivision, "render_levels", text=texts.LEVELS_RENDER)
        image = map_image(head)
        if image is not None and not is_baked(head):
            size: Any = image.size  # the stub does not know that it is a sequence
            layout.label(text=iface(texts.MAP_SIZE, width=size[0], height=size[1]))
        row = layout.row(align=True)
        row.enabled = not is_baked(head)
        row.prop(head.deca, "wrinkles_live", toggle=True)
        row.operator("deca.update_wrinkles", text="", icon="FILE_REFRESH")
        text, icon = _wrinkle_state(head)
        layout.label(text=text, icon=icon)  # always one row, so that nothing below it moves while a slider is dragged


class DECA_PT_bake(_HeadPanel, bpy.types.Panel):
    """Wrinkles for where the backend is not."""

    bl_label = texts.PANEL_BAKE
    bl_parent_id = "DECA_PT_wrinkles"
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012

    def draw(self, context: bpy.types.Context) -> None:
        head = self.head(context)
        column = self.layout.column(align=True)
        column.operator("deca.bake_wrinkles", icon="RENDER_ANIMATION")
        column.operator("deca.bake_wrinkle_rig", icon="SHAPEKEY_DATA")
        column.operator("deca.bake_normal_map", icon="NORMALS_FACE")
        self.layout.label(text=texts.baked(head.deca_bake))
        if is_baked(head):
            self.layout.operator("deca.clear_baked_wrinkles")


class DECA_PT_transfer(_HeadPanel, bpy.types.Panel):
    """What heads take from each other, and what they forget."""

    bl_label = texts.PANEL_TRANSFER
    bl_parent_id = "DECA_PT_head"
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012

    def draw(self, context: bpy.types.Context) -> None:
        head = self.head(context)
        column = self.layout.column(align=True)
        column.operator("deca.transfer_wrinkles")
        column.operator("deca.copy_expression")
        if has_transfer(head):
            column = self.layout.column(align=True)
            column.label(text=texts.wears(head.deca_transfer.source))
            column.prop(head.deca_transfer, "amount", slider=True)
            column.operator("deca.restore_wrinkles")
        self.layout.operator("deca.strip_identity")


CLASSES = (
    DECA_PT_import,
    DECA_PT_head,
    DECA_PT_pins,
    DECA_PT_named_shapes,
    DECA_PT_expression,
    DECA_PT_wrinkles,
    DECA_PT_bake,
    DECA_PT_pose,
    DECA_PT_coefficients,
    DECA_PT_transfer,
)
