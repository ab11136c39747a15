"""Help for bug reports: the state of add-on and backend as text, and the backend's log."""

from __future__ import annotations

from pathlib import Path

import bpy

from .. import backend
from ..core.diagnostics import report
from ..preferences import launch_settings
from ..ui import texts
from ..ui.translation import tip


class DECA_OT_copy_diagnostics(bpy.types.Operator):
    bl_idname = "deca.copy_diagnostics"
    bl_label = texts.DIAGNOSTICS
    bl_description = texts.DIAGNOSTICS_DESCRIPTION

    def execute(self, context: bpy.types.Context) -> set[str]:
        settings = launch_settings()
        chosen = {"device": settings.device, "python": settings.python, "command": settings.command}
        context.window_manager.clipboard = report(
            bpy.app.version_string, backend.state().value, backend.failure(), backend.hello(), chosen
        )
        self.report({"INFO"}, texts.DIAGNOSTICS_COPIED)
        return {"FINISHED"}


class DECA_OT_open_log(bpy.types.Operator):
    bl_idname = "deca.open_log"
    bl_label = texts.OPEN_LOG
    bl_description = texts.OPEN_LOG_DESCRIPTION

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if backend.log() is None:
            cls.poll_message_set(tip(texts.NO_LOG))
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        log = backend.log()
        if log is None or not Path(log).is_file():
            self.report({"ERROR"}, texts.NO_LOG)
            return {"CANCELLED"}
        bpy.ops.wm.path_open(filepath=str(log))
        return {"FINISHED"}


CLASSES = (DECA_OT_copy_diagnostics, DECA_OT_open_log)
