"""Expression From Photo, Performance From Video, Import Face Recording: what other faces do, onto the active head."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from .. import backend, preferences
from ..core.capture import CaptureError, CaptureOptions, Performed, see_photo, told_gaps, track_video
from ..core.reconstruction import Outcome
from ..core.takes import SMOOTHING_S
from ..scene import capture, live, takes
from ..scene.editable import pose_lock
from ..scene.head import find_head, model_reference
from ..ui import texts
from ..ui.translation import rpt, tip
from .on_head import OnSliders
from .photo_job import OnPhotos


class OntoHead(OnPhotos):
    """An operator that has the backend look at a file, and puts what it saw onto the active head."""

    bl_options = {"UNDO"}  # noqa: RUF012

    sliders: EnumProperty(name=texts.NAME_SLIDERS, description=texts.CAPTURE_SLIDERS, items=texts.CAPTURE_SLIDER_ITEMS)

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        head = find_head(context.object)
        reason = texts.NO_HEAD if head is None else texts.locked(pose_lock(head))
        if reason:
            cls.poll_message_set(tip(reason))  # pyright: ignore[reportAttributeAccessIssue]
        return not reason

    def _onto(self, context: bpy.types.Context) -> tuple[bpy.types.Object | None, str]:
        """The active head, and the file that was chosen, "" for none."""
        head, files = find_head(context.object), self._photos()
        if head is None or not files:
            self.report({"ERROR"}, texts.NO_FILE_CHOSEN)
            return head, ""
        self._name, self._is_done = head.name, False
        return head, files[0]

    def _target(self, context: bpy.types.Context) -> bpy.types.Object | None:
        """The head, unless the user has deleted it meanwhile."""
        return context.scene.objects.get(self._name)

    def _finish(self, context: bpy.types.Context) -> set[str]:
        return self._tell(self._is_done)


class DECA_OT_expression_from_photo(OntoHead, bpy.types.Operator):
    bl_idname = "deca.expression_from_photo"
    bl_label = texts.EXPRESSION_FROM_PHOTO
    bl_description = texts.EXPRESSION_FROM_PHOTO_DESCRIPTION

    turn: EnumProperty(name=texts.NAME_HEAD_TURN, description=texts.TURN, items=texts.TURN_ITEMS, default="NONE")
    face: IntProperty(name=texts.NAME_FACE, description=texts.FACE, default=0, min=0)
    use_mirror: BoolProperty(name=texts.NAME_MIRROR, description=texts.CAPTURE_MIRROR, default=False)
    use_key: BoolProperty(name=texts.NAME_KEYFRAME, description=texts.CAPTURE_KEY, default=False)

    def execute(self, context: bpy.types.Context) -> set[str]:
        head, photo = self._onto(context)
        if head is None or not photo:
            return {"CANCELLED"}
        weights = head.deca.weights or preferences.weights()
        options = self._options = CaptureOptions(
            sliders=self.sliders, turn=self.turn, face=self.face, use_mirror=self.use_mirror
        )
        steps = see_photo(backend.session(), photo, model_reference(head), weights, options)
        return self._run(context, steps, [photo])

    def _build(self, context: bpy.types.Context, outcome: Outcome) -> None:
        head = self._target(context)
        if head is None:
            return
        capture.show_expression(head, outcome, self._options, context.scene.frame_current if self.use_key else None)
        self._is_done = True
        if not self._is_interactive:  # else the live update follows
            live.update_now(head)


class DECA_OT_performance_from_video(OntoHead, bpy.types.Operator):
    bl_idname = "deca.performance_from_video"
    bl_label = texts.PERFORMANCE
    bl_description = texts.PERFORMANCE_DESCRIPTION

    filter_movie: BoolProperty(default=True, options={"HIDDEN", "SKIP_SAVE"})

    turn: EnumProperty(name=texts.NAME_HEAD_TURN, description=texts.TURN, items=texts.TURN_ITEMS, default="ROOT")
    smoothing: FloatProperty(
        name=texts.NAME_SMOOTHING,
        description=texts.SMOOTHING,
        default=SMOOTHING_S,
        min=0.0,
        max=1.0,
        step=1,
        precision=3,
    )
    is_other_person: BoolProperty(name=texts.NAME_OTHER_PERSON, description=texts.OTHER_PERSON, default=False)
    use_mirror: BoolProperty(name=texts.NAME_MIRROR, description=texts.CAPTURE_MIRROR, default=False)
    face: IntProperty(name=texts.NAME_FACE, description=texts.FACE, default=0, min=0)
    start: FloatProperty(
        name=texts.NAME_FROM, description=texts.VIDEO_START, default=0.0, min=0.0, subtype="TIME_ABSOLUTE"
    )
    end: FloatProperty(name=texts.NAME_TO, description=texts.VIDEO_END, default=0.0, min=0.0, subtype="TIME_ABSOLUTE")
    neutral: FloatProperty(name=texts.NAME_NEUTRAL_AT, description=texts.NEUTRAL_AT, default=-1.0, min=-1.0)
    use_video_rate: BoolProperty(name=texts.NAME_VIDEOS_FRAME_RATE, description=texts.VIDEO_RATE, default=False)
    use_range: BoolProperty(name=texts.NAME_EXTEND_SCENE, description=texts.EXTEND_SCENE, default=True)
    use_sound: BoolProperty(name=texts.NAME_SOUND, description=texts.SOUND, default=False)

    def _photos(self) -> list[str]:
        path = bpy.path.abspath(self.filepath)
        return super()._photos() or ([path] if path else [])  # which may be a folder of numbered pictures

    def execute(self, context: bpy.types.Context) -> set[str]:
        head, video = self._onto(context)
        if head is None or not video:
            return {"CANCELLED"}
        self._video, self._start_frame = video, context.scene.frame_current
        self._options = CaptureOptions(
            sliders=self.sliders,
            turn=self.turn,
            smoothing=self.smoothing,
            start=self.start,
            end=self.end,
            neutral=self.neutral,
            face=self.face,
            is_other_person=self.is_other_person,
            use_mirror=self.use_mirror,
        )
        model, rate = (model_reference(head), head.deca.model_hash), takes.scene_rate(context.scene)
        steps = track_video(backend.session(), video, capture.shape_of(head), *model, rate, self._options)
        return self._run(context, steps, [video])

    def _build(self, context: bpy.types.Context, outcome: Outcome) -> None:
        head = self._target(context)
        assert isinstance(outcome, Performed) and outcome.performance is not None
        if head is None:
            return
        scene, reply = context.scene, outcome.performance
        if self.use_video_rate:
            takes.use_rate(scene, reply.rate)
        keyed = capture.key_performance(scene, head, outcome, self._options, self._start_frame)
        if self.use_range:
            scene.frame_end = max(scene.frame_end, keyed.last)
        self._is_done = True
        self.report({"INFO"}, texts.keyed(keyed.num_keys, keyed.first, keyed.last, head.name))
        self._notices += texts.without_face(told_gaps(reply.seen, reply.times), keyed.gaps)
        if self.use_sound:
            problem = rpt(texts.NO_SOUND) if not reply.has_audio else ""
            problem = problem or takes.add_sound(scene, self._video, self._start_frame, self.start)
            self._notices += [problem] if problem else []
        if not self._is_interactive:
            live.update_now(head)


class DECA_OT_import_face_recording(OnSliders, bpy.types.Operator):
    bl_idname = "deca.import_face_recording"
    bl_label = texts.RECORDING
    bl_description = texts.RECORDING_DESCRIPTION

    filepath: StringProperty(subtype="FILE_PATH", options={"SKIP_SAVE"})
    filter_glob: StringProperty(default="*.csv;*.txt", options={"HIDDEN"})
    neutral: StringProperty(
        name=texts.NAME_NEUTRAL, description=texts.NEUTRAL_FILE, subtype="FILE_PATH", options={"SKIP_SAVE"}
    )
    turn: EnumProperty(name=texts.NAME_HEAD_TURN, description=texts.TURN, items=texts.TURN_ITEMS, default="ROOT")
    gaze: EnumProperty(name=texts.NAME_GAZE, description=texts.GAZE_BY, items=texts.GAZE_ITEMS)
    smoothing: FloatProperty(
        name=texts.NAME_SMOOTHING, description=texts.SMOOTHING, default=0.0, min=0.0, max=1.0, step=1, precision=3
    )
    rate: FloatProperty(name=texts.NAME_TIMECODE_RATE, description=texts.TIMECODE_RATE, default=0.0, min=0.0, max=240.0)
    use_mirror: BoolProperty(name=texts.NAME_MIRROR, description=texts.CAPTURE_MIRROR, default=False)
    use_range: BoolProperty(name=texts.NAME_EXTEND_SCENE, description=texts.EXTEND_SCENE, default=True)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if self.filepath:
            return self.execute(context)
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        path = Path(bpy.path.abspath(self.filepath))
        if not path.is_file():
            self.report({"ERROR"}, texts.NO_FILE_CHOSEN)
            return {"CANCELLED"}
        head, scene = self.head(context), context.scene
        options = CaptureOptions(turn=self.turn, smoothing=self.smoothing, use_mirror=self.use_mirror)
        try:
            keyed = capture.key_recording(
                scene,
                head,
                path,
                options,
                scene.frame_current,
                neutral=bpy.path.abspath(self.neutral) if self.neutral else None,
                rate=self.rate,
                is_gaze_by_bones=self.gaze == "BONES",
            )
        except (CaptureError, OSError) as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        if self.use_range:
            scene.frame_end = max(scene.frame_end, keyed.last)
        self.report({"INFO"}, texts.keyed(keyed.num_keys, keyed.first, keyed.last, head.name))
        return {"FINISHED"}


CLASSES = (DECA_OT_expression_from_photo, DECA_OT_performance_from_video, DECA_OT_import_face_recording)
