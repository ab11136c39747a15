"""What operators on photos share: the file browser, progress in the status bar, Esc, errors that stay with a photo."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy
from bpy.props import BoolProperty, CollectionProperty, StringProperty

from ..client import ClientError, Job, RequestCancelled
from ..core.capture import CaptureError
from ..core.reconstruction import Outcome, wait_for_outcomes
from ..scene.import_face import ImportFaceError
from ..ui import texts
from .in_steps import InSteps


class OnPhotos(InSteps):
    """An operator that has photos chosen, sends them to the backend, and builds from what comes.

    Subclasses give `_build` and `_finish`, and call `_run`.
    """

    filepath: StringProperty(subtype="FILE_PATH", options={"HIDDEN", "SKIP_SAVE"})
    directory: StringProperty(subtype="DIR_PATH", options={"HIDDEN", "SKIP_SAVE"})
    files: CollectionProperty(type=bpy.types.OperatorFileListElement, options={"HIDDEN", "SKIP_SAVE"})
    filter_image: BoolProperty(default=True, options={"HIDDEN", "SKIP_SAVE"})
    filter_folder: BoolProperty(default=True, options={"HIDDEN", "SKIP_SAVE"})

    execute: Any
    _is_interactive = False
    _job: Job | None = None

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Asks for photos, unless they were dropped or a script names them."""
        self._is_interactive = True
        if self._photos():
            return self.execute(context)
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def _run(
        self, context: bpy.types.Context, steps: Iterator[Job | Outcome], photos: list[str], count: int | None = None
    ) -> set[str]:
        """Has all done: step by step where there is a window, else at once.

        Args:
            context: Blender's context.
            steps: From `core.reconstruction`.
            photos: Their paths.
            count: How many outcomes there will be; None for one per photo.
        """
        self._errors: list[str] = []
        self._notices: list[str] = []
        if self._is_interactive:
            self._steps, self._photo_names = steps, [Path(photo).name for photo in photos[:count]]
            self._done, self._job = 0, None
            return self.start(context)
        for outcome in wait_for_outcomes(steps):
            self._take(context, outcome)
        return self._finish(context)

    def _build(self, context: bpy.types.Context, outcome: Outcome) -> None:
        """Builds what has come of a photo."""
        raise NotImplementedError

    def _finish(self, context: bpy.types.Context) -> set[str]:
        """Tells what has become of all; how the operator ends."""
        raise NotImplementedError

    def _cancelled(self, context: bpy.types.Context) -> set[str]:
        """The user has pressed Esc; how the operator ends."""
        return {"CANCELLED"}

    def _take(self, context: bpy.types.Context, outcome: Outcome) -> None:
        name = Path(outcome.photo).name
        if outcome.error is not None or outcome.head is None:
            self._errors.append(f"{name}: {outcome.error}")
            return
        self._notices += [notice for notice in outcome.notices if notice not in self._notices]
        self._notices += [texts.left_out(left.photo, left.reason) for left in outcome.left_out]
        try:
            self._build(context, outcome)
        except (ImportFaceError, CaptureError, ClientError) as error:
            self._errors.append(f"{name}: {error}")
        except Exception as error:  # stays with this photo: the others follow
            traceback.print_exc()
            self._errors.append(f"{name}: {type(error).__name__}: {error}")

    def _tell(self, is_done: bool) -> set[str]:
        """Reports notices and errors; how the operator ends."""
        if self._notices:
            self.report({"WARNING"}, "\n".join(self._notices))
        if self._errors:
            # An ERROR opens a popup; in a script it raises, which would hide what was done.
            is_error = self._is_interactive or not is_done
            self.report({"ERROR"} if is_error else {"WARNING"}, "\n".join(self._errors))
        return {"FINISHED"} if is_done else {"CANCELLED"}

    def _interrupt(self, context: bpy.types.Context) -> set[str]:
        self._drop()
        self.report({"WARNING"}, texts.CANCELLED)
        return self._cancelled(context)

    def _drop(self) -> None:
        if self._job is not None:
            self._job.cancel()
        self._steps.close()

    def _photos(self) -> list[str]:
        names = [file.name for file in self.files if file.name]
        if names:
            return [str(Path(bpy.path.abspath(self.directory)) / name) for name in names]
        path = bpy.path.abspath(self.filepath)
        return [path] if path and not Path(path).is_dir() else []

    def _advance(self, context: bpy.types.Context) -> set[str] | None:
        try:
            while self._job is None or self._job.poll():
                step = next(self._steps, None)
                if step is None:
                    return self._finish(context)
                if isinstance(step, Outcome):
                    self._job = None
                    self._done += 1
                    self._take(context, step)
                else:
                    self._job = step
        except RequestCancelled:  # somebody else closed the session
            self._errors.append(texts.CANCELLED)
            return self._finish(context)
        count = len(self._photo_names)
        progress = self._job.progress
        name = self._photo_names[min(self._done, count - 1)]
        text = texts.progress(name, self._done, count, progress.text)
        self.tell(context, text, (self._done + progress.fraction) / count)
        return None
