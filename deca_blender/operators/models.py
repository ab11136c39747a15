"""Check and convert the model files of the preferences."""

from __future__ import annotations

import bpy

from .. import models, preferences
from ..core.model_check import is_flames_own
from ..ui import texts
from ..ui.translation import tip


class _OnModels:
    """In a window the answer is shown when it comes; in a script the operator waits for it."""

    bl_options = {"INTERNAL"}  # noqa: RUF012

    def begin(self) -> None:
        """Sends the question."""
        raise NotImplementedError

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        self.begin()
        return {"FINISHED"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        self.begin()
        bad = [f"{known.text} {known.hint}" for known in models.wait() if not known.is_good]
        if bad:
            self.report({"ERROR"}, "\n".join(bad))  # type: ignore[attr-defined]
            return {"CANCELLED"}
        return {"FINISHED"}


class DECA_OT_check_models(_OnModels, bpy.types.Operator):
    bl_idname = "deca.check_models"
    bl_label = texts.CHECK
    bl_description = texts.CHECK_DESCRIPTION

    def begin(self) -> None:
        models.check(preferences.head(), preferences.weights(), preferences.has_builtin_weights())


class DECA_OT_convert_head(_OnModels, bpy.types.Operator):
    bl_idname = "deca.convert_head"
    bl_label = texts.CONVERT
    bl_description = texts.CONVERT_DESCRIPTION

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not is_flames_own(preferences.head()):
            cls.poll_message_set(tip(texts.NOTHING_TO_CONVERT))
            return False
        return True

    def begin(self) -> None:
        models.convert(preferences.head(), preferences.converted_folder())


CLASSES = (DECA_OT_check_models, DECA_OT_convert_head)
