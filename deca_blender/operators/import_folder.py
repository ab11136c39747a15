"""Import Folder of Photos: a file for each photo, in another Blender, while this one stays free."""

from __future__ import annotations

import os
from pathlib import Path

import bpy
from bpy.props import BoolProperty, EnumProperty, IntProperty, StringProperty

from .. import another_blender
from ..batch.plan import FOLDER, SUFFIXES
from ..batch.watched import Watched
from ..ui import texts
from .in_steps import InSteps

_FORMATS = [(name, name.upper(), texts.FOLDER_FORMAT) for name in SUFFIXES]


class DECA_OT_import_folder(InSteps, bpy.types.Operator):
    bl_idname = "deca.import_folder"
    bl_label = texts.IMPORT_FOLDER
    bl_description = texts.IMPORT_FOLDER_DESCRIPTION
    bl_options = {"PRESET"}  # noqa: RUF012
    poll_s = 0.3

    directory: StringProperty(subtype="DIR_PATH", options={"HIDDEN", "SKIP_SAVE"})
    filter_folder: BoolProperty(default=True, options={"HIDDEN", "SKIP_SAVE"})
    filter_image: BoolProperty(default=True, options={"HIDDEN", "SKIP_SAVE"})
    out: StringProperty(
        name=texts.NAME_HEADS_TO, description=texts.FOLDER_OUT, subtype="DIR_PATH", options={"SKIP_SAVE"}
    )
    formats: EnumProperty(
        name=texts.NAME_FORMATS,
        items=_FORMATS,
        options={"ENUM_FLAG"},
        default={"blend"},
    )
    use_recursive: BoolProperty(name=texts.NAME_SUB_FOLDERS, description=texts.USE_RECURSIVE, default=False)
    use_one_person: BoolProperty(name=texts.NAME_ONE_PERSON, description=texts.USE_ONE_PERSON_FOLDER, default=False)
    jobs: IntProperty(name=texts.NAME_JOBS, description=texts.JOBS, default=1, min=1, soft_max=16)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        if not self.directory or not self.formats:
            self.report({"ERROR"}, texts.NOTHING_CHOSEN)
            return {"CANCELLED"}
        folder = Path(bpy.path.abspath(self.directory))
        self._out = Path(bpy.path.abspath(self.out)) if self.out else folder.with_name(f"{folder.name} Heads")
        arguments = [str(folder), "--out", str(self._out), "--resume", "--progress", "json", "--jobs", str(self.jobs)]
        arguments += ["--format", ",".join(name for name in SUFFIXES if name in self.formats)]
        arguments += [*["--recursive"] * self.use_recursive, *["--one-person"] * self.use_one_person]
        try:
            self._batch = Watched([*another_blender.command("deca_import", "headless"), *arguments], os.environ)
        except OSError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        if context.window is None or bpy.app.background:
            self._batch.wait()
            return self._finish()
        return self.start(context)

    def _advance(self, context: bpy.types.Context) -> set[str] | None:
        if self._batch.is_done():
            return self._finish()
        self.tell(context, texts.folder_progress(self._batch.made, self._batch.failed))
        return None

    def _interrupt(self, context: bpy.types.Context) -> None:
        self._drop()

    def _drop(self) -> None:
        self._batch.stop()

    def _finish(self) -> set[str]:
        batch, sheet = self._batch, self._out / FOLDER / "index.html"
        if batch.summary is None:
            self.report({"ERROR"}, texts.FOLDER_FAILED)
            return {"CANCELLED"}
        is_whole = not batch.failed and "why" not in batch.summary
        text = texts.folder_done(batch.made, batch.failed, batch.summary.get("why", ""), str(sheet))
        self.report({"INFO"} if is_whole else {"WARNING"}, text)
        return {"FINISHED"}


CLASSES = (DECA_OT_import_folder,)
