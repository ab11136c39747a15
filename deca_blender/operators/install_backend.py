"""Install the backend's Python packages into the extension's own folder."""

from __future__ import annotations

import bpy

from .. import backend, install
from ..client import Installation, InstallState
from ..folders import managed_environment
from ..preferences import torch_choice
from ..ui import texts
from ..ui.translation import tip

_POLL_S = 0.2


class DECA_OT_install_backend(bpy.types.Operator):
    bl_idname = "deca.install_backend"
    bl_label = texts.INSTALL
    bl_description = texts.INSTALL_DESCRIPTION
    bl_options = {"INTERNAL"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        reason = (
            texts.INSTALL_NEEDS_ONLINE
            if not bpy.app.online_access
            else texts.INSTALL_NEEDS_EXTENSION
            if managed_environment() is None
            else texts.INSTALL_RUNS
            if install.is_running()
            else install.impossible()
        )
        if reason:
            cls.poll_message_set(tip(reason))
        return not reason

    @classmethod
    def description(cls, context: bpy.types.Context, properties: bpy.types.OperatorProperties) -> str:
        size = "" if install.impossible() else texts.install_size(install.plan(torch_choice()))
        return f"{tip(texts.INSTALL_DESCRIPTION)}. {size}"

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        self._installation = self._begin()
        self._timer = context.window_manager.event_timer_add(_POLL_S, window=context.window)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        installation = self._begin()
        installation.wait()
        return self._finish(context, installation)

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if event.type == "ESC" and event.value == "PRESS":
            self._installation.cancel()
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        if not self._installation.is_done():
            context.workspace.status_text_set(texts.installing(self._installation.state, self._installation.detail))
            return {"RUNNING_MODAL"}
        context.window_manager.event_timer_remove(self._timer)
        context.workspace.status_text_set(None)
        return self._finish(context, self._installation)

    def cancel(self, context: bpy.types.Context) -> None:
        """Blender ends the operator, for instance because the window closes."""
        self._installation.cancel()

    def _begin(self) -> Installation:
        backend.close()  # its files are about to be replaced
        environment = managed_environment()
        assert environment is not None  # poll() has seen to it
        return install.start(environment, torch_choice())

    def _finish(self, context: bpy.types.Context, installation: Installation) -> set[str]:
        backend.close()  # what it knows is from before
        for window in context.window_manager.windows:
            for area in window.screen.areas:
                area.tag_redraw()
        if installation.state is InstallState.READY:
            self.report({"INFO"}, texts.INSTALLED)
            return {"FINISHED"}
        if installation.state is InstallState.CANCELLED:
            self.report({"WARNING"}, texts.INSTALL_CANCELLED)
        else:
            self.report({"ERROR"}, texts.install_failed(install.failure()))
        return {"CANCELLED"}


CLASSES = (DECA_OT_install_backend,)
