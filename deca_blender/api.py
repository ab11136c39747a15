"""What the buttons do, as functions for scripts; `docs/scripts` shows them at work.

    from deca_blender import api

    with api.enabled():
        head = api.import_face("me.jpg")
        api.set_expression(head, "Smile")
        api.export(head, "me.glb")

In a Blender with the extension it is `from bl_ext.user_default.deca_blender.deca_blender import api`, and `enabled`
does nothing: the add-on is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from . import backend, preferences, registration
from .core import wrinkle_rig
from .core.capture import CaptureOptions, Performed, see_photo, track_video
from .core.export import ExportOptions, format_of
from .core.expressions import PRESETS
from .core.reconstruction import reconstruct_photos, wait_for_outcome
from .scene import armature, capture, live, takes, transfer
from .scene import bake as bakes
from .scene import export_head as exports
from .scene import import_face as imports
from .scene.expression import key_pose, set_arkit_weights
from .scene.head import model_reference, rig_of, show_neutral
from .scene.normal_map import wrinkle_normals
from .scene.wrinkles import has_wrinkles

_STEP_TIMEOUT_S = 60.0


@contextmanager
def enabled() -> Iterator[None]:
    """Registers the add-on for the block, and closes its backend at the end, unless Blender has enabled it."""
    is_ours = not registration.is_registered()
    with registration.registered():
        try:
            yield
        finally:
            if is_ours:
                backend.close()


def import_face(photo: str | Path, *, texture_size: int = 1024, head: str = "", weights: str = "") -> bpy.types.Object:
    """The most prominent face of a photo as a rigged head, posed as on the photo.

    Args:
        photo: The picture file.
        texture_size: Rows and columns of the texture; 0 for none.
        head: Head model file; "" for the preferences', which is OpenHead at first.
        weights: Weights file; "" for the preferences', which are the built-in ones at first.

    Returns:
        The head's mesh object, active and selected.

    Raises:
        ClientError: The backend cannot be started, or finds no face; the message says what to do.
        scene.import_face.ImportFaceError: Its answer cannot become a head.
    """
    head, weights = head or preferences.head(), weights or preferences.weights()
    steps = reconstruct_photos(backend.session(), [str(photo)], texture_size, weights=weights, head=head)
    outcome = wait_for_outcome(steps)
    assert outcome.head is not None
    options = imports.ImportOptions(weights=weights, head=preferences.head_file(head))
    made = imports.import_face(bpy.context, outcome.head, outcome.faces[0], options, outcome.picture)
    live.update_now(made)
    return made


def set_expression(
    head: bpy.types.Object,
    expression: str | Mapping[str, float],
    amount: float = 1.0,
    *,
    on_photo: bool = False,
    pose: Mapping[str, Sequence[float]] | None = None,
    frame: int | None = None,
) -> None:
    """Puts the ARKit sliders to an expression, and joints to a pose; the wrinkles follow.

    Args:
        head: The head.
        expression: Name of a preset (`core.expressions.PRESETS`), or ARKit weights by name; others go to rest.
        amount: Strength of the expression.
        on_photo: Adds it to the face as it is, at first the photo's expression; else the face is calmed before.
        pose: Axis-angle in radians by joint (`root`, `neck`, `jaw`, `eye_l`, `eye_r`); others stay.
        frame: Sets keyframes there on all sliders and joints.

    Raises:
        KeyError: There is no preset of that name.
        ClientError: The backend did not make the wrinkles.
    """
    if not on_photo:
        show_neutral(head)
    weights = PRESETS[expression] if isinstance(expression, str) else expression
    set_arkit_weights(head, {name: amount * weight for name, weight in weights.items()})
    rig_object = rig_of(head)
    if pose and rig_object is not None:
        armature.set_pose(rig_object, {joint: np.asarray(turn) for joint, turn in pose.items()})
    if frame is not None:
        key_pose(head, frame)
    if not bakes.is_baked(head):
        live.update_now(head)


def expression_from_photo(
    head: bpy.types.Object, photo: str | Path, *, frame: int | None = None, weights: str = "", **options: Any
) -> None:
    """Puts the expression of the face on a photo onto a head, whoever it shows; the head's identity stays.

    Args:
        head: The head.
        photo: The picture file.
        frame: Sets keyframes there on all sliders and joints.
        weights: Weights file; "" for the head's own.
        options: `sliders`, `turn` (at first `NONE`), `face` and `use_mirror`, as in `core.capture.CaptureOptions`.

    Raises:
        ClientError: The backend cannot be started, or finds no face.
        core.capture.CaptureError: The head cannot show it, or the photo has no such face.
    """
    options.setdefault("turn", "NONE")
    chosen = CaptureOptions(**options)
    weights = weights or head.deca.weights or preferences.weights()
    steps = see_photo(backend.session(), str(photo), model_reference(head), weights, chosen)
    outcome = wait_for_outcome(steps)
    capture.show_expression(head, outcome, chosen, frame)
    if not bakes.is_baked(head):
        live.update_now(head)


def performance_from_video(
    head: bpy.types.Object, video: str | Path, *, frame: int = 1, use_video_rate: bool = False, **options: Any
) -> takes.TakeKeys:
    """Keys what the face in a video does onto a head.

    Args:
        head: The head.
        video: A video file; or a folder of numbered pictures, or one of them, at the scene's frame rate.
        frame: Frame of the video's beginning, or of the part that is asked for.
        use_video_rate: Changes the scene's frame rate to the video's.
        options: As in `core.capture.CaptureOptions`.

    Returns:
        Which frames have keyframes.

    Raises:
        ClientError: The backend cannot be started, cannot read the video, or finds no face.
        core.capture.CaptureError: The head cannot show it.
    """
    chosen, scene = CaptureOptions(**options), bpy.context.scene
    model, rate = (model_reference(head), head.deca.model_hash), takes.scene_rate(scene)
    steps = track_video(backend.session(), str(video), capture.shape_of(head), *model, rate, chosen)
    outcome = wait_for_outcome(steps)
    assert isinstance(outcome, Performed) and outcome.performance is not None
    if use_video_rate:
        takes.use_rate(scene, outcome.performance.rate)
    return capture.key_performance(scene, head, outcome, chosen, frame)


def import_face_recording(
    head: bpy.types.Object,
    recording: str | Path,
    *,
    frame: int = 1,
    neutral: str | Path | None = None,
    rate: float = 0.0,
    gaze: str = "SLIDERS",
    **options: Any,
) -> takes.TakeKeys:
    """Keys a phone's recording onto a head: a CSV file of Live Link Face, or a text file of Face Cap.

    Args:
        head: A head with ARKit sliders.
        recording: The file.
        frame: Frame of its beginning.
        neutral: A recording of the same face at rest, which is taken off.
        rate: Frames per second that its timecodes count in; 0 to see from the file.
        gaze: `SLIDERS` for the `eyeLook` sliders, `BONES` for the eyes' angles.
        options: `turn`, `smoothing` (at first 0) and `use_mirror`, as in `core.capture.CaptureOptions`.

    Raises:
        core.capture.CaptureError: The head has no ARKit sliders, or the file is damaged.
        OSError: It cannot be read.
    """
    options.setdefault("smoothing", 0.0)
    chosen = CaptureOptions(**options)
    return capture.key_recording(
        bpy.context.scene, head, recording, chosen, frame, neutral=neutral, rate=rate, is_gaze_by_bones=gaze == "BONES"
    )


def transfer_wrinkles(source: bpy.types.Object, target: bpy.types.Object, amount: float = 1.0) -> None:
    """Lets a head wear another's wrinkles; its shape, expression and texture stay.

    Args:
        source: The head that gives.
        target: The head that takes.
        amount: 0 leaves the target's own wrinkles, 1 gives the source's.

    Raises:
        core.transfer.TransferError: The heads' wrinkles do not belong to the same models.
        ClientError: The backend did not make the wrinkles.
    """
    transfer.transfer_wrinkles(source, target, amount)
    live.update_now(target)


def bake(
    head: bpy.types.Object,
    kind: str = "FRAMES",
    *,
    frames: range | None = None,
    folder: str | Path | None = None,
    num_maps: int = wrinkle_rig.NUM_MAPS,
) -> None:
    """Keeps a head's wrinkles in the file, so that it needs neither backend nor add-on.

    Args:
        head: A head with wrinkles.
        kind: `FRAMES` for the map of each frame, `RIG` for maps that sliders and jaw blend.
        frames: Frames to bake; None for the scene's.
        folder: Where the frames go as EXR files; None packs them into the file.
        num_maps: Maps of a rig.

    Raises:
        ValueError: There is no such kind.
        scene.bake.BakeError: There are too many frames to be packed.
        ClientError: The backend did not make the wrinkles.
        OSError: The folder cannot be written.
    """
    if kind not in ("FRAMES", "RIG"):
        raise ValueError(f"{kind} is no kind of baked wrinkles; there are FRAMES and RIG.")
    if kind == "RIG":
        steps = bakes.bake_rig(head, num_maps, backend.session())
    else:
        scene = bpy.context.scene
        wanted = frames if frames is not None else range(scene.frame_start, scene.frame_end + 1)
        place = Path(folder) if folder is not None else None
        steps = bakes.bake_frames(scene, [head], wanted, place, backend.session())
    try:
        for step in steps:
            if step.job is not None:
                step.job.wait(_STEP_TIMEOUT_S)
    finally:
        steps.close()


def export(head: bpy.types.Object, path: str | Path, *, normals: int = 1024, **options: Any) -> exports.Exported:
    """Writes a head for other programs; head and scene stay as they are.

    Args:
        head: The head.
        path: The file; without `format`, its suffix says which.
        normals: Side of the map of normals of the wrinkles as they are now; 0 for none.
        options: As in `core.export.ExportOptions`.

    Raises:
        core.export.ExportError: The head cannot be exported so.
        ClientError: The backend did not make the map of normals.
        OSError: A file cannot be written.
    """
    if "format" not in options:
        options["format"] = format_of(Path(path))
    chosen = ExportOptions(**options)
    is_wanted = normals and chosen.textures != "NONE" and not chosen.detail and has_wrinkles(head)
    png = wrinkle_normals(backend.session(), head, normals) if is_wanted else None
    return exports.export_head(bpy.context, head, Path(path).absolute(), chosen, png)
