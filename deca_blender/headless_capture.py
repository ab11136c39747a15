"""What a face in a video, on a photo or in a phone's recording does, onto a head in a .blend file, without a window:
`deca capture`, and `blender --command deca_capture` where the add-on is installed.

Prints one JSON line, `{"capture", "ok", "out", "frames", ...}`, and `{"summary": {"captures", "failed", "skipped"}}`;
other lines on stdout are Blender's own.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import bpy
import numpy as np

from . import backend, preferences, registration
from .client import ClientError
from .core.capture import CaptureError, CaptureOptions, Performed, see_photo, told_gaps, track_video
from .core.reconstruction import wait_for_outcome
from .core.takes import SMOOTHING_S
from .protocol import batch
from .protocol.capture_arguments import RECORDINGS, capture_arguments
from .protocol.photos import PHOTO_SUFFIXES, told
from .scene import capture, live, takes
from .scene.head import model_reference
from .scene.save import open_heads, save_copy

COMMAND = "deca_capture"


def main(argv: Sequence[str]) -> int:
    """Captures one take; returns 0 when it is on the head or was there already, 1 when it failed, 2 for wrong usage.

    130, 143 and 141 as in a shell: stopped by Ctrl-C, terminated, nobody reads the report any more.
    """
    parser = argparse.ArgumentParser(
        prog=COMMAND, parents=[capture_arguments()], description="What other faces do, onto a head in a .blend file."
    )
    try:
        arguments = parser.parse_args(argv)
    except SystemExit as stop:  # argparse has printed why
        return stop.code if isinstance(stop.code, int) else 2
    return registration.run_command(lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    started = time.perf_counter()
    with batch.stoppable() as check:
        outcome = batch.attempt(lambda: _captured(arguments), (CaptureError, ClientError, OSError), "take")
        check()
    seconds = round(time.perf_counter() - started, 2)
    batch.write(batch.line(capture=told(arguments.source), **outcome, seconds=seconds))
    failed = not outcome["ok"] and "skipped" not in outcome
    batch.write(batch.line(summary={"captures": 1, "failed": int(failed), "skipped": int("skipped" in outcome)}))
    return 1 if failed else 0


def _captured(arguments: argparse.Namespace) -> dict[str, object]:
    """What became of the take.

    Raises:
        Skipped: It is there already.
        CaptureError: It cannot be put onto the head, or there is no head.
        ClientError: The backend could not see it.
        OSError: A file cannot be read or written.
    """
    if not arguments.overwrite and os.path.lexists(arguments.out):
        raise batch.already_there(arguments.out)
    head, source = _head(arguments.head, arguments.name), arguments.source
    is_photo = source.suffix.lower() in PHOTO_SUFFIXES and not source.is_dir()
    if source.suffix.lower() in RECORDINGS:
        facts = _recording(head, arguments)
    elif is_photo:
        facts = _photo(head, arguments)
    else:
        facts = _video(head, arguments)
    live.update_now(head)
    save_copy(arguments.out)
    return {"out": str(arguments.out), "head": head.name, **facts}


def _head(blend: Path, name: str) -> bpy.types.Object:
    heads = open_heads(blend)
    chosen = [head for head in heads if not name or head.name == name]
    if len(chosen) != 1:
        there = ", ".join(head.name for head in heads) or "none"
        raise CaptureError(f"{blend} holds these heads: {there}. Name one with --name.")
    return chosen[0]


def _options(arguments: argparse.Namespace, turn: str, smoothing: float) -> CaptureOptions:
    return CaptureOptions(
        sliders=arguments.sliders.upper(),
        turn=(arguments.turn or turn).upper(),
        smoothing=smoothing if arguments.smoothing is None else arguments.smoothing,
        start=arguments.start,
        end=arguments.end,
        neutral=arguments.neutral_at,
        face=arguments.face,
        is_other_person=arguments.other_person,
        use_mirror=arguments.mirror,
    )


def _recording(head: bpy.types.Object, arguments: argparse.Namespace) -> dict[str, object]:
    keyed = capture.key_recording(
        bpy.context.scene,
        head,
        arguments.source,
        _options(arguments, "root", 0.0),
        arguments.frame,
        neutral=arguments.neutral,
        rate=arguments.timecode_rate,
        is_gaze_by_bones=arguments.gaze == "bones",
    )
    return _keyed(keyed)


def _photo(head: bpy.types.Object, arguments: argparse.Namespace) -> dict[str, object]:
    options = _options(arguments, "none", 0.0)
    weights = head.deca.weights or preferences.weights()
    steps = see_photo(backend.session(), str(arguments.source), model_reference(head), weights, options)
    outcome = wait_for_outcome(steps)
    capture.show_expression(head, outcome, options, arguments.frame)
    return {"frames": [arguments.frame, arguments.frame], **({"notices": outcome.notices} if outcome.notices else {})}


def _video(head: bpy.types.Object, arguments: argparse.Namespace) -> dict[str, object]:
    options, scene = _options(arguments, "root", SMOOTHING_S), bpy.context.scene
    model, rate = (model_reference(head), head.deca.model_hash), takes.scene_rate(scene)
    source, shape = str(arguments.source), capture.shape_of(head)
    outcome = wait_for_outcome(track_video(backend.session(), source, shape, *model, rate, options))
    assert isinstance(outcome, Performed) and outcome.performance is not None
    reply = outcome.performance
    if arguments.video_rate:
        takes.use_rate(scene, reply.rate)
    keyed = capture.key_performance(scene, head, outcome, options, arguments.frame)
    notices = list(outcome.notices)
    if arguments.sound:
        problem = "The video has no sound." if not reply.has_audio else ""
        notices.append(problem or takes.add_sound(scene, source, arguments.frame, options.start))
    without = [[round(start, 3), round(end, 3)] for start, end, _ in told_gaps(reply.seen, reply.times)]
    facts = _keyed(keyed) | {"video_frames": len(reply.times), "video_rate": round(reply.rate, 3)}
    facts["without_face_s"] = without
    facts["landmark_error"] = round(float(np.median(reply.error[reply.seen != 0])), 5)
    notices = [notice for notice in notices if notice]
    return facts | ({"notices": notices} if notices else {})


def _keyed(keyed: takes.TakeKeys) -> dict[str, object]:
    scene = bpy.context.scene
    scene.frame_end = max(scene.frame_end, keyed.last)
    return {"frames": [keyed.first, keyed.last], "keyed": keyed.num_keys, "gaps": [list(gap) for gap in keyed.gaps]}


if __name__ == "__main__":
    status = main(sys.argv[1:])
    # Blender as a module may hang or crash while the interpreter ends; all files are written by now.
    os._exit(status)
