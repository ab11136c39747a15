"""Import Face From Photo: file browser, progress in the status bar, Esc cancels; blocking where there is no window."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path

import bpy
from bpy.props import BoolProperty, CollectionProperty, EnumProperty, StringProperty

from .. import backend, preferences
from ..client import ClientError, Job, RequestCancelled
from ..core.reconstruction import PICTURE_SIZE, Outcome, reconstruct_photos, wait_for_outcomes
from ..scene import live
from ..scene.import_face import ImportFaceError, ImportOptions, import_face
from ..scene.viewports import show_heads
from ..ui import texts

_POLL_S = 0.05
_ALL_FACES = 16


class DECA_OT_import_face(bpy.types.Operator):
    bl_idname = "deca.import_face"
    bl_label = texts.IMPORT
    bl_description = texts.IMPORT_DESCRIPTION
    bl_options = {"UNDO", "PRESET"}  # noqa: RUF012

    filepath: StringProperty(subtype="FILE_PATH", options={"HIDDEN", "SKIP_SAVE"})
    directory: StringProperty(subtype="DIR_PATH", options={"HIDDEN", "SKIP_SAVE"})
    files: CollectionProperty(type=bpy.types.OperatorFileListElement, options={"HIDDEN", "SKIP_SAVE"})
    filter_image: BoolProperty(default=True, options={"HIDDEN", "SKIP_SAVE"})
    filter_folder: BoolProperty(default=True, options={"HIDDEN", "SKIP_SAVE"})

    texture_size: EnumProperty(
        name="Texture",
        description=texts.TEXTURE_SIZE,
        items=[(size, size, f"{size} x {size} pixels") for size in ("512", "1024", "2048")],
        default="1024",
    )
    paint_hair: BoolProperty(name="Paint Hair", description=texts.PAINT_HAIR, default=False)
    use_camera: BoolProperty(name="Photo Camera", description=texts.USE_CAMERA, default=True)
    use_view: BoolProperty(name="Show in Viewports", description=texts.USE_VIEW, default=True)
    use_all_faces: BoolProperty(name="All Faces", description=texts.USE_ALL_FACES, default=False)

    _is_interactive = False

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        self._is_interactive = True
        if self._photos():  # they were dropped, or a script names them
            return self.execute(context)
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        photos = self._photos()
        if not photos:
            self.report({"ERROR"}, texts.NOTHING_CHOSEN)
            return {"CANCELLED"}
        self._head, self._weights = preferences.head(), preferences.weights()
        steps = reconstruct_photos(
            backend.session(),
            photos,
            int(self.texture_size),
            _ALL_FACES if self.use_all_faces else 1,
            self._weights,
            head=self._head,
            picture_size=PICTURE_SIZE if self.use_camera else 0,
            paint_hair=self.paint_hair,
        )
        self._imported: list[str] = []
        self._errors: list[str] = []
        self._notices: list[str] = []
        if self._is_interactive:
            self._start(context, steps, photos)
            return {"RUNNING_MODAL"}
        for outcome in wait_for_outcomes(steps):
            self._build(context, outcome)
        return self._finish(context)

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if event.type == "ESC" and event.value == "PRESS" and self._job is not None:
            self._job.cancel()
            self._job = None
            self._steps.close()
            self._stop(context)
            self._show(context)
            self.report({"WARNING"}, texts.CANCELLED)
            return {"FINISHED"} if self._imported else {"CANCELLED"}
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        try:
            if not self._advance(context):
                return {"RUNNING_MODAL"}
        except RequestCancelled:  # somebody else closed the session
            self._errors.append(texts.CANCELLED)
        except BaseException:
            self._stop(context)
            raise
        self._stop(context)
        return self._finish(context)

    def cancel(self, context: bpy.types.Context) -> None:
        """Blender ends the operator, for instance because the window closes."""
        if getattr(self, "_job", None) is not None:
            self._job.cancel()
            self._stop(context)

    def _photos(self) -> list[str]:
        names = [file.name for file in self.files if file.name]
        if names:
            return [str(Path(bpy.path.abspath(self.directory)) / name) for name in names]
        path = bpy.path.abspath(self.filepath)
        return [path] if path and not Path(path).is_dir() else []

    def _start(self, context: bpy.types.Context, steps: Iterator[Job | Outcome], photos: list[str]) -> None:
        self._steps, self._photo_names = steps, [Path(photo).name for photo in photos]
        self._done = 0
        self._job: Job | None = None
        manager = context.window_manager
        manager.progress_begin(0, 1000)
        self._timer = manager.event_timer_add(_POLL_S, window=context.window)
        manager.modal_handler_add(self)

    def _advance(self, context: bpy.types.Context) -> bool:
        """Builds what has arrived; whether all photos are done. Never waits."""
        while self._job is None or self._job.poll():
            step = next(self._steps, None)
            if step is None:
                return True
            if isinstance(step, Outcome):
                self._job = None
                self._done += 1
                self._build(context, step)
            else:
                self._job = step
        count = len(self._photo_names)
        progress = self._job.progress
        context.window_manager.progress_update(1000 * (self._done + progress.fraction) / count)
        name = self._photo_names[min(self._done, count - 1)]
        context.workspace.status_text_set(texts.progress(name, self._done, count, progress.text))
        return False

    def _stop(self, context: bpy.types.Context) -> None:
        context.window_manager.event_timer_remove(self._timer)
        context.window_manager.progress_end()
        context.workspace.status_text_set(None)
        self._job = None

    def _build(self, context: bpy.types.Context, outcome: Outcome) -> None:
        if outcome.error is not None or outcome.head is None:
            self._errors.append(f"{Path(outcome.photo).name}: {outcome.error}")
            return
        self._notices += [notice for notice in outcome.notices if notice not in self._notices]
        try:
            for face in outcome.faces:
                options = ImportOptions(
                    use_camera=self.use_camera, weights=self._weights, head=preferences.head_file(self._head)
                )
                head = import_face(context, outcome.head, face, options, outcome.picture)
                self._imported.append(head.name)
                if not self._is_interactive:  # else the live update follows
                    live.update_now(head)
        except (ImportFaceError, ClientError) as error:
            self._errors.append(f"{Path(outcome.photo).name}: {error}")
        except Exception as error:  # stays with this photo: the others follow
            traceback.print_exc()
            self._errors.append(f"{Path(outcome.photo).name}: {type(error).__name__}: {error}")

    def _show(self, context: bpy.types.Context) -> None:
        """Selects all new heads, the last one active, and lets the user see them."""
        found = [context.view_layer.objects.get(name) for name in self._imported]
        heads = [head for head in found if head is not None]  # the user may have deleted some meanwhile
        for head in heads:
            head.select_set(True)
        if self._is_interactive and self.use_view:
            show_heads(context, heads)

    def _finish(self, context: bpy.types.Context) -> set[str]:
        if self._imported:
            self._show(context)
            self.report({"INFO"}, texts.imported(self._imported))
        if self._notices:
            self.report({"WARNING"}, "\n".join(self._notices))
        if self._errors:
            # An ERROR opens a popup; in a script it raises, which would hide the heads that were imported.
            is_error = self._is_interactive or not self._imported
            self.report({"ERROR"} if is_error else {"WARNING"}, "\n".join(self._errors))
        return {"FINISHED"} if self._imported else {"CANCELLED"}


CLASSES = (DECA_OT_import_face,)
