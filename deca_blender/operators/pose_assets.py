"""Pose assets: applied to a head in any mode from the asset browser and shelf, and made from a head's expression."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.props import EnumProperty, FloatProperty, StringProperty

from ..scene import pose_assets
from ..scene.expression import arkit_weights
from ..scene.head import rig_of
from ..ui import texts
from ..ui.translation import rpt
from .on_head import OnSliders


class _OnRig(OnSliders):
    """An operator on the expression of the active head, whose sliders are reached through its armature."""

    @classmethod
    def why_not(cls, head: bpy.types.Object | None) -> str:
        return texts.NO_RIG if head is not None and rig_of(head) is None else super().why_not(head)


class DECA_OT_apply_pose_asset(_OnRig, bpy.types.Operator):
    bl_idname = "deca.apply_pose_asset"
    bl_label = texts.APPLY_POSE
    bl_description = texts.APPLY_POSE_DESCRIPTION

    amount: FloatProperty(
        name=texts.NAME_AMOUNT, description=texts.AMOUNT, default=1.0, min=0.0, max=1.0, subtype="FACTOR"
    )
    # Where the asset is, for calls after the first ("Adjust Last Operation"), which have no asset in their context.
    library: StringProperty(options={"HIDDEN"})
    action: StringProperty(options={"HIDDEN"})
    # What the asset shelf sets: it leaves `context.asset` empty.
    asset_library_type: EnumProperty(
        items=[
            (name, name, "", number)
            for name, number in (("LOCAL", 1), ("ALL", 2), ("ESSENTIALS", 3), ("ONLINE", 4), ("CUSTOM", 100))
        ],
        options={"HIDDEN", "SKIP_SAVE"},
    )
    asset_library_identifier: StringProperty(options={"HIDDEN", "SKIP_SAVE"})
    relative_asset_identifier: StringProperty(options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        asset = getattr(context, "asset", None)
        if asset is not None and asset.id_type != "ACTION":
            return False
        return super().poll(context)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        asset: Any = getattr(context, "asset", None)
        if asset is not None:
            self.library, self.action = asset.full_library_path, asset.name
        elif self.relative_asset_identifier:
            library = self.asset_library_identifier if self.asset_library_type == "CUSTOM" else ""
            self.library, self.action = pose_assets.located(library, self.relative_asset_identifier)
        else:
            return {"CANCELLED"}
        self.amount = 1.0
        return self.execute(context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        rig_object = rig_of(self.head(context))
        assert rig_object is not None  # poll() has seen to it
        try:
            with pose_assets.opened(self.library, self.action) as action:
                pose_assets.apply_pose(rig_object, action, self.amount)
        except (OSError, KeyError):
            self.report({"ERROR"}, rpt(texts.POSE_NOT_FOUND, name=self.action))
            return {"CANCELLED"}
        return {"FINISHED"}


class DECA_OT_save_pose_asset(OnSliders, bpy.types.Operator):
    bl_idname = "deca.save_pose_asset"
    bl_label = texts.SAVE_POSE
    bl_description = texts.SAVE_POSE_DESCRIPTION

    name: StringProperty(name=texts.NAME_NAME, description=texts.POSE_NAME, default="Expression")

    @classmethod
    def why_not(cls, head: bpy.types.Object | None) -> str:  # it only reads
        return texts.NO_HEAD if head is None else "" if arkit_weights(head) else texts.NO_ARKIT

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return context.window_manager.invoke_props_dialog(self)

    def execute(self, context: bpy.types.Context) -> set[str]:
        pose = pose_assets.new_pose(self.name, arkit_weights(self.head(context)))
        self.report({"INFO"}, rpt(texts.POSE_SAVED, name=pose.name))
        return {"FINISHED"}


class DECA_OT_add_pose_library(bpy.types.Operator):
    bl_idname = "deca.add_pose_library"
    bl_label = texts.ADD_LIBRARY
    bl_description = texts.ADD_LIBRARY_DESCRIPTION

    def execute(self, context: bpy.types.Context) -> set[str]:
        pose_assets.set_registered(True)
        return {"FINISHED"}


class DECA_OT_remove_pose_library(bpy.types.Operator):
    bl_idname = "deca.remove_pose_library"
    bl_label = texts.REMOVE_LIBRARY
    bl_description = texts.REMOVE_LIBRARY_DESCRIPTION

    def execute(self, context: bpy.types.Context) -> set[str]:
        pose_assets.set_registered(False)
        return {"FINISHED"}


CLASSES = (
    DECA_OT_apply_pose_asset,
    DECA_OT_save_pose_asset,
    DECA_OT_add_pose_library,
    DECA_OT_remove_pose_library,
)
