"""Transfer Wrinkles, Restore Wrinkles, Copy Expression: between the selected heads."""

from __future__ import annotations

from collections.abc import Callable

import bpy
from bpy.props import FloatProperty

from ..core.transfer import TransferError
from ..scene import editable, transfer
from ..scene.head import find_head
from ..ui import texts
from ..ui.translation import rpt, tip
from .on_head import OnHeads


class _FromActive:
    """An operator by which the other selected heads take something from the active one; one undo step."""

    lock = staticmethod(editable.lock)

    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        reason, targets = "", transfer.selected_heads(context)[1:]
        if find_head(context.object) is None:
            reason = texts.NO_SOURCE
        elif not targets:
            reason = texts.NO_TARGET
        elif all(map(cls.lock, targets)):
            reason = texts.locked(cls.lock(targets[0]))
        if reason:
            cls.poll_message_set(tip(reason))  # pyright: ignore[reportAttributeAccessIssue]
        return not reason

    def give(
        self, context: bpy.types.Context, step: Callable[[bpy.types.Object, bpy.types.Object], None], done: str
    ) -> set[str]:
        """Takes the step from the active head to each other; heads that are refused stay as they are."""
        source, *targets = transfer.selected_heads(context)
        refused: list[str] = []
        for target in targets:
            locked = self.lock(target)
            if locked is not None:
                refused.append(texts.locked(locked))
                continue
            try:
                step(source, target)
            except TransferError as error:
                refused.append(str(error))
        report = self.report  # type: ignore[attr-defined]
        if len(refused) == len(targets):
            report({"ERROR"}, "\n".join(refused))
            return {"CANCELLED"}
        if refused:
            report({"WARNING"}, "\n".join(refused))
        else:
            report({"INFO"}, rpt(done, source=source.name, count=len(targets)))
        return {"FINISHED"}


class DECA_OT_transfer_wrinkles(_FromActive, bpy.types.Operator):
    bl_idname = "deca.transfer_wrinkles"
    bl_label = texts.TRANSFER
    bl_description = texts.TRANSFER_DESCRIPTION

    amount: FloatProperty(
        name=texts.NAME_AMOUNT, description=texts.TRANSFER_AMOUNT, default=1.0, min=0.0, max=1.0, subtype="FACTOR"
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        return self.give(
            context,
            lambda source, target: transfer.transfer_wrinkles(source, target, self.amount),
            texts.TRANSFERRED,
        )


class DECA_OT_copy_expression(_FromActive, bpy.types.Operator):
    bl_idname = "deca.copy_expression"
    bl_label = texts.COPY_EXPRESSION
    bl_description = texts.COPY_EXPRESSION_DESCRIPTION

    lock = staticmethod(editable.pose_lock)

    def execute(self, context: bpy.types.Context) -> set[str]:
        return self.give(context, transfer.copy_expression, texts.EXPRESSION_COPIED)


class DECA_OT_restore_wrinkles(OnHeads, bpy.types.Operator):
    bl_idname = "deca.restore_wrinkles"
    bl_label = texts.RESTORE
    bl_description = texts.RESTORE_DESCRIPTION

    nothing_selected = texts.NOTHING_TO_RESTORE

    @classmethod
    def why_not(cls, head: bpy.types.Object) -> str:
        return "" if transfer.has_transfer(head) else texts.NOTHING_TO_RESTORE

    def execute(self, context: bpy.types.Context) -> set[str]:
        self.tell_left_alone(context)
        for head in self.heads(context):
            transfer.restore_wrinkles(head)
        return {"FINISHED"}


CLASSES = (DECA_OT_transfer_wrinkles, DECA_OT_copy_expression, DECA_OT_restore_wrinkles)
