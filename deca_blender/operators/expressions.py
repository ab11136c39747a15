"""Whole expressions on the ARKit sliders of a head: presets, random ones, mirroring, keyframes."""

from __future__ import annotations

import bpy
from bpy.props import EnumProperty, FloatProperty, IntProperty

from ..core import expressions
from ..scene.expression import arkit_weights, key_pose, set_arkit_weights
from ..scene.head import show_neutral
from ..ui import texts
from .on_head import OnHead, OnSliders

_NEUTRAL = texts.RESET_NEUTRAL[1]


class DECA_OT_apply_preset(OnSliders, bpy.types.Operator):
    bl_idname = "deca.apply_preset"
    bl_label = texts.PRESET
    bl_description = texts.PRESET_DESCRIPTION

    preset: EnumProperty(name=texts.NAME_PRESET, items=[(name, name, "") for name in (_NEUTRAL, *expressions.PRESETS)])
    amount: FloatProperty(
        name=texts.NAME_AMOUNT, description=texts.AMOUNT, default=1.0, min=0.0, max=1.0, subtype="FACTOR"
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        if self.preset == _NEUTRAL:
            show_neutral(self.head(context))
            return {"FINISHED"}
        weights = expressions.PRESETS[self.preset]
        set_arkit_weights(self.head(context), {name: self.amount * weight for name, weight in weights.items()})
        return {"FINISHED"}


class DECA_OT_random_expression(OnSliders, bpy.types.Operator):
    bl_idname = "deca.random_expression"
    bl_label = texts.RANDOM
    bl_description = texts.RANDOM_DESCRIPTION

    seed: IntProperty(name=texts.NAME_SEED, description=texts.SEED, min=0)
    amount: FloatProperty(
        name=texts.NAME_AMOUNT, description=texts.AMOUNT, default=1.0, min=0.0, max=1.5, subtype="FACTOR"
    )

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        self.seed += 1  # each press of the button shows another one
        return self.execute(context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        set_arkit_weights(self.head(context), expressions.random_expression(self.seed, self.amount))
        return {"FINISHED"}


class DECA_OT_mirror_expression(OnSliders, bpy.types.Operator):
    bl_idname = "deca.mirror_expression"
    bl_label = texts.MIRROR
    bl_description = texts.MIRROR_DESCRIPTION

    mode: EnumProperty(name=texts.NAME_MODE, items=texts.MIRROR_MODES)

    def execute(self, context: bpy.types.Context) -> set[str]:
        head = self.head(context)
        weights = arkit_weights(head)
        if self.mode == "FLIP":
            weights = expressions.mirrored(weights)
        else:
            weights = expressions.copied_side(weights, self.mode.title())
        set_arkit_weights(head, weights)
        return {"FINISHED"}


class DECA_OT_key_expression(OnHead, bpy.types.Operator):
    bl_idname = "deca.key_expression"
    bl_label = texts.KEY
    bl_description = texts.KEY_DESCRIPTION

    def execute(self, context: bpy.types.Context) -> set[str]:
        key_pose(self.head(context), context.scene.frame_current)
        return {"FINISHED"}


CLASSES = (DECA_OT_apply_preset, DECA_OT_random_expression, DECA_OT_mirror_expression, DECA_OT_key_expression)
