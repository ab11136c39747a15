"""Whole expressions on the ARKit sliders of a head: presets, random ones, mirroring, keyframes."""

from __future__ import annotations

import bpy
from bpy.props import EnumProperty, FloatProperty, IntProperty

from ..core import expressions
from ..scene.expression import arkit_weights, key_pose, set_arkit_weights
from ..scene.head import find_head
from ..ui import texts


class _OnHead:
    """An operator that needs an active head with ARKit sliders."""

    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        head = find_head(context.object)
        reason = texts.NO_HEAD if head is None else "" if arkit_weights(head) else texts.NO_ARKIT
        if reason:
            cls.poll_message_set(reason)  # pyright: ignore[reportAttributeAccessIssue]
        return not reason

    @staticmethod
    def head(context: bpy.types.Context) -> bpy.types.Object:
        """The active head; `poll` has seen that there is one."""
        head = find_head(context.object)
        assert head is not None
        return head


class DECA_OT_apply_preset(_OnHead, bpy.types.Operator):
    bl_idname = "deca.apply_preset"
    bl_label = texts.PRESET
    bl_description = texts.PRESET_DESCRIPTION

    preset: EnumProperty(name="Preset", items=[(name, name, "") for name in expressions.PRESETS])
    amount: FloatProperty(name="Amount", description=texts.AMOUNT, default=1.0, min=0.0, max=1.0, subtype="FACTOR")

    def execute(self, context: bpy.types.Context) -> set[str]:
        weights = expressions.PRESETS[self.preset]
        set_arkit_weights(self.head(context), {name: self.amount * weight for name, weight in weights.items()})
        return {"FINISHED"}


class DECA_OT_random_expression(_OnHead, bpy.types.Operator):
    bl_idname = "deca.random_expression"
    bl_label = texts.RANDOM
    bl_description = texts.RANDOM_DESCRIPTION

    seed: IntProperty(name="Seed", description=texts.SEED, min=0)
    amount: FloatProperty(name="Amount", description=texts.AMOUNT, default=1.0, min=0.0, max=1.5, subtype="FACTOR")

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        self.seed += 1  # each press of the button shows another one
        return self.execute(context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        set_arkit_weights(self.head(context), expressions.random_expression(self.seed, self.amount))
        return {"FINISHED"}


class DECA_OT_mirror_expression(_OnHead, bpy.types.Operator):
    bl_idname = "deca.mirror_expression"
    bl_label = texts.MIRROR
    bl_description = texts.MIRROR_DESCRIPTION

    mode: EnumProperty(name="Mode", items=texts.MIRROR_MODES)

    def execute(self, context: bpy.types.Context) -> set[str]:
        head = self.head(context)
        weights = arkit_weights(head)
        if self.mode == "FLIP":
            weights = expressions.mirrored(weights)
        else:
            weights = expressions.copied_side(weights, self.mode.title())
        set_arkit_weights(head, weights)
        return {"FINISHED"}


class DECA_OT_key_expression(bpy.types.Operator):
    bl_idname = "deca.key_expression"
    bl_label = texts.KEY
    bl_description = texts.KEY_DESCRIPTION
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if find_head(context.object) is None:
            cls.poll_message_set(texts.NO_HEAD)
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        head = find_head(context.object)
        assert head is not None  # poll() has seen to it
        key_pose(head, context.scene.frame_current)
        return {"FINISHED"}


CLASSES = (DECA_OT_apply_preset, DECA_OT_random_expression, DECA_OT_mirror_expression, DECA_OT_key_expression)
