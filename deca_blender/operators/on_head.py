"""What operators on the active head share."""

from __future__ import annotations

import bpy

from ..scene.expression import arkit_weights
from ..scene.head import find_head
from ..ui import texts


class OnHead:
    """An operator on the active head; subclasses may need more of it than that it is there."""

    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        reason = cls.why_not(find_head(context.object))
        if reason:
            cls.poll_message_set(reason)  # pyright: ignore[reportAttributeAccessIssue]
        return not reason

    @classmethod
    def why_not(cls, head: bpy.types.Object | None) -> str:
        """Why the operator cannot act, or ""."""
        return texts.NO_HEAD if head is None else ""

    @staticmethod
    def head(context: bpy.types.Context) -> bpy.types.Object:
        """The active head; `poll` has seen that there is one."""
        head = find_head(context.object)
        assert head is not None
        return head


class OnSliders(OnHead):
    """An operator on the active head's ARKit sliders."""

    @classmethod
    def why_not(cls, head: bpy.types.Object | None) -> str:
        return texts.NO_HEAD if head is None else "" if arkit_weights(head) else texts.NO_ARKIT
