"""What operators on heads share: which heads they act on, and why not on others."""

from __future__ import annotations

from typing import Any

import bpy

from ..scene.editable import lock, pose_lock
from ..scene.expression import arkit_weights
from ..scene.head import find_head
from ..scene.transfer import selected_heads
from ..ui import texts
from ..ui.translation import rpt, tip


class OnHead:
    """An operator that poses the active head; subclasses may need more or less of it."""

    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        reason = cls.why_not(find_head(context.object))
        if reason:
            cls.poll_message_set(tip(reason))  # pyright: ignore[reportAttributeAccessIssue]
        return not reason

    @classmethod
    def why_not(cls, head: bpy.types.Object | None) -> str:
        """Why the operator cannot act, or ""."""
        return texts.NO_HEAD if head is None else texts.locked(pose_lock(head))

    @staticmethod
    def head(context: bpy.types.Context) -> bpy.types.Object:
        """The active head; `poll` has seen that there is one."""
        head = find_head(context.object)
        assert head is not None
        return head


class OnSliders(OnHead):
    """An operator that moves the active head's ARKit sliders."""

    @classmethod
    def why_not(cls, head: bpy.types.Object | None) -> str:
        return super().why_not(head) or ("" if head is not None and arkit_weights(head) else texts.NO_ARKIT)


class OnHeads:
    """An operator that changes the selected heads; those that cannot be edited are left as they are, and named."""

    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012
    nothing_selected = texts.NO_HEAD

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if cls.heads(context):
            return True
        heads = selected_heads(context)
        reasons = [cls.why_not(head) for head in heads] + [texts.locked(lock(head)) for head in heads]
        reason = next(filter(None, reasons), cls.nothing_selected)
        cls.poll_message_set(tip(reason))  # pyright: ignore[reportAttributeAccessIssue]
        return False

    @classmethod
    def why_not(cls, head: bpy.types.Object) -> str:
        """What there is not to be done on a head, or ""."""
        return ""

    @classmethod
    def heads(cls, context: bpy.types.Context) -> list[bpy.types.Object]:
        """The selected heads that the operator acts on, the active one first."""
        return [head for head in selected_heads(context) if not cls.why_not(head) and lock(head) is None]

    def tell_left_alone(self, context: bpy.types.Context) -> None:
        """Reports the heads that the operator would act on if they could be edited."""
        report: Any = self.report  # type: ignore[attr-defined]
        for head in selected_heads(context):
            locked = texts.locked(lock(head))
            if locked and not self.why_not(head):
                report({"WARNING"}, rpt(texts.LEFT_ALONE, reason=locked))
