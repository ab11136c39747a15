"""Install the backend's Python packages into the extension's own folder."""

from __future__ import annotations

import bpy

from .. import backend, install
from ..client import Installation, InstallState
from ..folders import managed_environment
from ..preferences import torch_choice
from ..ui import texts
from ..ui.translation import tip
from .in_steps import InSteps


class DECA_OT_install_backend(InSteps, bpy.types.Operator):
    bl_idname = "deca.install_backend"
    bl_label = texts.INSTALL
    bl_description = texts.INSTALL_DESCRIPTION
    bl_options = {"INTERNAL"}  # noqa: RUF012
    poll_s = 0.2

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
        return self.start(context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        installation = self._begin()
        installation.wait()
        return self._finish(context, installation)

    def _advance(self, context: bpy.types.Context) -> set[str] | None:
        if self._installation.is_done():
            return self._finish(context, self._installation)
        self.tell(context, texts.installing(self._installation.state, self._installation.detail))
        return None

    def _interrupt(self, context: bpy.types.Context) -> None:
        self._drop()

    def _drop(self) -> None:
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
