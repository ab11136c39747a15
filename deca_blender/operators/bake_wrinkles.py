"""Bake Wrinkles, Bake Wrinkle Rig, Clear Baked Wrinkles: progress in the status bar, Esc leaves all as it was."""

from __future__ import annotations

import time
from collections.abc import Generator
from pathlib import Path

import bpy
from bpy.props import BoolProperty, EnumProperty, IntProperty, StringProperty

from .. import backend
from ..client import ClientError
from ..core.wrinkle_rig import NUM_MAPS
from ..scene import bake, live
from ..scene.bake import BakeError, Step
from ..scene.wrinkles import has_wrinkles
from ..ui import texts
from ..ui.translation import rpt
from .in_steps import InSteps
from .on_head import OnHeads

_WORK_S = 0.05
_TIMEOUT_S = 60.0
_EXPECTED = (ClientError, BakeError, OSError)


class BakeSteps(InSteps, OnHeads):
    """An operator of steps: modal in a window, waiting in scripts."""

    poll_s, holds_window = 0.02, True
    nothing_selected = texts.NOTHING_TO_BAKE

    @classmethod
    def why_not(cls, head: bpy.types.Object) -> str:
        return "" if has_wrinkles(head) else texts.NO_WRINKLES

    def steps(self, context: bpy.types.Context) -> Generator[Step]:
        """The work; reports its result at the end."""
        raise NotImplementedError

    def execute(self, context: bpy.types.Context) -> set[str]:
        steps = self.steps(context)
        try:
            for step in steps:
                if step.job is not None:
                    step.job.wait(_TIMEOUT_S)
        except _EXPECTED as error:
            return self._fail(error)
        finally:
            steps.close()
        return {"FINISHED"}

    def start(self, context: bpy.types.Context) -> set[str]:
        """Begins to work beside the window's events."""
        self._steps, self._step = self.steps(context), Step(0.0)
        return super().start(context)

    def _advance(self, context: bpy.types.Context) -> set[str] | None:
        end = time.monotonic() + _WORK_S
        try:
            while time.monotonic() < end and (self._step.job is None or self._step.job.poll()):
                step = next(self._steps, None)
                if step is None:
                    return {"FINISHED"}
                self._step = step
        except _EXPECTED as error:
            return self._fail(error)
        self.tell(context, texts.baking(self.bl_label, self._step.fraction), self._step.fraction)
        return None

    def _interrupt(self, context: bpy.types.Context) -> set[str]:
        self._drop()
        self.report({"WARNING"}, texts.BAKE_CANCELLED)
        return {"CANCELLED"}

    def _drop(self) -> None:
        self._steps.close()  # which leaves all as it was

    def _fail(self, error: Exception) -> set[str]:
        self.report({"ERROR"}, str(error))
        return {"CANCELLED"}


class DECA_OT_bake_wrinkles(BakeSteps, bpy.types.Operator):
    bl_idname = "deca.bake_wrinkles"
    bl_label = texts.BAKE_FRAMES
    bl_description = texts.BAKE_FRAMES_DESCRIPTION

    use_scene_range: BoolProperty(name=texts.NAME_SCENE_RANGE, description=texts.BAKE_SCENE_RANGE, default=True)
    first: IntProperty(name=texts.NAME_FIRST, description=texts.BAKE_FIRST, default=1)
    last: IntProperty(name=texts.NAME_LAST, description=texts.BAKE_LAST, default=250)
    storage: EnumProperty(name=texts.NAME_MAPS, description=texts.BAKE_STORAGE, items=texts.BAKE_STORAGES)
    directory: StringProperty(
        name=texts.NAME_FOLDER,
        description=texts.BAKE_FOLDER,
        default="//wrinkles",
        subtype="DIR_PATH",
        options={"SKIP_SAVE"},
    )

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        self._is_interactive = True
        return context.window_manager.invoke_props_dialog(self)

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.prop(self, "use_scene_range")
        if not self.use_scene_range:
            column = layout.column(align=True)
            column.prop(self, "first")
            column.prop(self, "last")
        layout.prop(self, "storage", expand=True)
        if self.storage == "FOLDER":
            layout.prop(self, "directory")

    def execute(self, context: bpy.types.Context) -> set[str]:
        return self.start(context) if getattr(self, "_is_interactive", False) else super().execute(context)

    def steps(self, context: bpy.types.Context) -> Generator[Step]:
        scene, heads = context.scene, self.heads(context)
        first, last = (scene.frame_start, scene.frame_end) if self.use_scene_range else (self.first, self.last)
        if last < first:
            raise BakeError(texts.BAKE_NO_FRAMES)
        folder = None
        if self.storage == "FOLDER":
            if self.directory.startswith("//") and not bpy.data.filepath:
                raise BakeError(texts.BAKE_UNSAVED)
            folder = Path(bpy.path.abspath(self.directory))
        frames = range(first, last + 1)
        yield from bake.bake_frames(scene, heads, frames, folder, backend.session())
        self.report({"INFO"}, rpt(texts.BAKED_FRAMES, first=first, last=last, count=len(heads)))
        self.tell_left_alone(context)


class DECA_OT_bake_wrinkle_rig(BakeSteps, bpy.types.Operator):
    bl_idname = "deca.bake_wrinkle_rig"
    bl_label = texts.BAKE_RIG
    bl_description = texts.BAKE_RIG_DESCRIPTION

    num_maps: IntProperty(name=texts.NAME_MAPS, description=texts.BAKE_NUM_MAPS, default=NUM_MAPS, min=1, max=64)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return self.start(context)

    def steps(self, context: bpy.types.Context) -> Generator[Step]:
        heads = self.heads(context)
        for index, head in enumerate(heads):
            for step in bake.bake_rig(head, self.num_maps, backend.session()):
                yield Step((index + step.fraction) / len(heads), step.job)
            self.report({"INFO"}, f"{head.name}: {texts.rig_error(head.deca_bake)}")
        self.tell_left_alone(context)


class DECA_OT_clear_baked_wrinkles(OnHeads, bpy.types.Operator):
    bl_idname = "deca.clear_baked_wrinkles"
    bl_label = texts.CLEAR_BAKED
    bl_description = texts.CLEAR_BAKED_DESCRIPTION

    nothing_selected = texts.NOTHING_BAKED

    @classmethod
    def why_not(cls, head: bpy.types.Object) -> str:
        return "" if bake.is_baked(head) else texts.NOTHING_BAKED

    def execute(self, context: bpy.types.Context) -> set[str]:
        self.tell_left_alone(context)
        for head in self.heads(context):
            bake.clear(head)
            live.refresh(head)
        return {"FINISHED"}


CLASSES = (DECA_OT_bake_wrinkles, DECA_OT_bake_wrinkle_rig, DECA_OT_clear_baked_wrinkles)
