"""What a photo, a video and a phone's recording become on a head: sliders, bones, keyframes; undo; files and errors."""

from __future__ import annotations

import io
import json
import wave
from contextlib import redirect_stdout
from pathlib import Path

import blender_case
import bpy
import numpy as np

from deca_blender import backend, headless_capture
from deca_blender.core import rig
from deca_blender.protocol.messages import HeadReply, PerformanceReply, ReconstructReply
from deca_blender.scene import takes
from deca_blender.scene.channels import curves_of
from deca_blender.scene.head import rig_of
from deca_blender.scene.import_face import import_face

RATE, COUNT = 12.0, 13


def _head(reply: HeadReply, **changes: object) -> bpy.types.Object:
    face = blender_case.face_reply(reply, albedo=None, photographed=None, **changes)
    obj = import_face(bpy.context, reply, face)
    bpy.context.scene.render.fps = 24
    return obj


def _performance(reply: HeadReply, seen: tuple[int, ...] = (1,) * COUNT) -> PerformanceReply:
    random = np.random.default_rng(2)
    pose = np.zeros((COUNT, 5, 3), np.float32)
    pose[:, 0, 1], pose[:, 2, 0] = np.linspace(-0.3, 0.3, COUNT), np.linspace(0, 0.2, COUNT)
    pose[:, 3:, 1] = 0.1
    expression = np.linspace(0, 1, COUNT)[:, None] * random.normal(size=50)
    expression[:, 0] = np.linspace(0, 5.5, COUNT)  # beyond what the slider reaches
    return PerformanceReply(
        head=reply.name,
        head_hash=reply.hash,
        rate=RATE,
        times=np.arange(COUNT) / RATE,
        seen=np.array(seen, np.uint8),
        expression=expression.astype(np.float32),
        pose=pose,
        error=np.zeros(COUNT, np.float32),
        has_audio=False,
    )


def _assert_shows(obj: bpy.types.Object, reply: HeadReply, expression: np.ndarray, pose: np.ndarray) -> None:
    """That the head stands as the oracle says, its own neck and identity left."""
    pose = np.array(pose, np.float64).reshape(5, 3)
    pose[1] = obj.deca.pose[3:6]
    expected = blender_case.posed_verts(reply, obj["deca_shape"], expression, pose)
    assert np.abs(blender_case.evaluated_verts(obj) - expected).max() < 1e-5


def _with_backend(reply: HeadReply, answer: object):
    """Operators speak to a backend that answers from memory; gives the requests that it got."""
    asked: list[object] = []

    def answering(request: object) -> object:
        asked.append(request)
        return answer

    session = blender_case.FakeSession(reply, answering)
    backend.session = lambda: session  # pyright: ignore[reportAttributeAccessIssue]
    return asked


def test_performance_from_video() -> None:
    reply = blender_case.head_reply()
    obj = _head(reply)
    scene, keys, identity = bpy.context.scene, obj.data.shape_keys, list(obj["deca_shape"])
    scene.frame_set(5)
    scene.frame_end = 8
    keys.key_blocks["jawOpen"].value = 0.7
    performance = _performance(reply)
    asked = _with_backend(reply, performance)
    done = bpy.ops.deca.performance_from_video(filepath="/clips/a.mp4", smoothing=0.0)
    assert done == {"FINISHED"} and asked[-1].path == "/clips/a.mp4" and scene.frame_end == 29
    assert np.allclose(asked[-1].shape, identity, atol=1e-6) and list(obj["deca_shape"]) == identity
    for frame, row in ((5, 0), (11, 3), (29, 12)):
        scene.frame_set(frame)
        got = [keys.key_blocks[name].value for name in rig.EXPRESSION_KEYS]
        np.testing.assert_allclose(got, performance.expression[row], atol=1e-5)
        _assert_shows(obj, reply, performance.expression[row], performance.pose[row])
    assert keys.key_blocks["jawOpen"].value == 0
    scene.frame_set(8)  # between two of the video's
    np.testing.assert_allclose(keys.key_blocks["exp_000"].value, performance.expression[1:3, 0].mean(), atol=1e-5)


def test_arkit_sliders_and_the_neck() -> None:
    reply = blender_case.head_reply()
    obj = _head(reply)
    performance = _performance(reply)
    _with_backend(reply, performance)
    bpy.ops.deca.performance_from_video(filepath="/a.mp4", sliders="ARKIT", turn="NECK", smoothing=0.0)
    bpy.context.scene.frame_set(1 + 24)
    keys, bones = obj.data.shape_keys.key_blocks, rig_of(obj).pose.bones
    assert all(keys[name].value == 0 for name in rig.EXPRESSION_KEYS) and keys["jawOpen"].value > 0.2
    shown = (bones["neck"].matrix_basis.to_quaternion(), bones["root"].matrix_basis.to_quaternion())
    assert abs(shown[0].angle - 0.3) < 1e-4
    jaw = bones["jaw_arkit"].matrix_basis @ bones["jaw"].matrix_basis  # both together are what was seen
    np.testing.assert_allclose(np.array(jaw.to_3x3()), blender_case.rotation(performance.pose[12, 2]), atol=1e-4)


def test_keys_around_a_take_stay_and_gaps_are_told() -> None:
    reply = blender_case.head_reply()
    obj = _head(reply)
    scene, keys = bpy.context.scene, obj.data.shape_keys
    key = keys.key_blocks["exp_001"]
    for frame, value in ((1, 0.25), (15, 0.5), (60, 0.75)):
        key.value = value
        key.keyframe_insert("value", frame=frame)
    keys.key_blocks["mouthPucker"].keyframe_insert("value", frame=12)
    scene.frame_set(10)
    _with_backend(reply, _performance(reply, seen=(1, 1, 0, *(0,) * 7, 1, 1, 1)))
    bpy.ops.deca.performance_from_video(filepath="/a.mp4", smoothing=0.0)
    curve = next(curve for curve in curves_of(keys) if "exp_001" in curve.data_path)
    frames = [round(point.co.x) for point in curve.keyframe_points]
    assert frames == [1, 10, 11, 12, *range(30, 35), 60], frames
    assert (curve.keyframe_points[0].co.y, curve.keyframe_points[-1].co.y) == (0.25, 0.75)
    pucker = next(curve for curve in curves_of(keys) if "mouthPucker" in curve.data_path)
    assert [(round(point.co.x), point.co.y) for point in pucker.keyframe_points] == [(10, 0), (34, 0)]


def test_expression_from_photo() -> None:
    reply = blender_case.head_reply()
    obj = _head(reply)
    other = blender_case.face_reply(reply, seed=7, albedo=None, photographed=None)
    asked = _with_backend(reply, ReconstructReply((other,)))
    root = [list(bone.rotation_axis_angle) for bone in rig_of(obj).pose.bones if bone.name == "root"]
    assert bpy.ops.deca.expression_from_photo(filepath="/photos/b.jpg") == {"FINISHED"}
    assert asked[-1].texture_size == 0 and asked[-1].picture_size == 0
    keys = obj.data.shape_keys.key_blocks
    np.testing.assert_allclose([keys[name].value for name in rig.EXPRESSION_KEYS], other.expression, atol=1e-6)
    assert root == [list(bone.rotation_axis_angle) for bone in rig_of(obj).pose.bones if bone.name == "root"]
    _assert_shows(obj, reply, other.expression, np.concatenate((obj.deca.pose[:3], other.pose[1:].ravel())))
    assert not list(curves_of(obj.data.shape_keys))
    bpy.context.scene.frame_set(7)
    bpy.ops.deca.expression_from_photo(filepath="/photos/b.jpg", turn="ROOT", use_key=True)
    assert {round(curve.keyframe_points[0].co.x) for curve in curves_of(obj.data.shape_keys)} == {7}
    _assert_shows(obj, reply, other.expression, other.pose)


def test_heads_of_an_earlier_model_move_by_arkit() -> None:
    reply = blender_case.head_reply()
    obj = _head(reply)
    obj.deca.model_hash = "earlier"
    asked = _with_backend(reply, _performance(reply))
    bpy.ops.deca.performance_from_video(filepath="/a.mp4")
    assert asked[-1].shape is None  # its coefficients mean another face now
    moved = {curve.data_path for curve in curves_of(obj.data.shape_keys)}
    assert rig.slider("jawOpen") in moved and rig.slider("exp_000") not in moved


def test_recordings(folder: Path) -> None:
    reply = blender_case.head_reply()
    obj = _head(reply)
    rows = ["Timecode,BlendShapeCount,JawOpen,EyeLookInLeft,HeadYaw,HeadPitch,HeadRoll,LeftEyeYaw"]
    rows += [f"10:00:{i // 60:02d}:{i % 60:02d}.000,61,{i / 130:.5f},0.5,0.25,0,0,0.1" for i in range(130)]
    path = folder / "MySlate_1.csv"
    path.write_text("\n".join(rows))
    assert bpy.ops.deca.import_face_recording(filepath=str(path)) == {"FINISHED"}
    scene, keys, bones = bpy.context.scene, obj.data.shape_keys.key_blocks, rig_of(obj).pose.bones
    scene.frame_set(25)  # one second in
    np.testing.assert_allclose(keys["jawOpen"].value, 60 / 130, atol=1e-4)
    assert keys["eyeLookInLeft"].value == 0.5 and abs(bones["eye_l"].rotation_axis_angle[0]) < 1e-6
    facing = np.array(bones["root"].matrix_basis.to_3x3()) @ [0, 0, 1]
    assert facing[0] < -0.2  # to the subject's right
    bpy.ops.deca.import_face_recording(filepath=str(path), gaze="BONES", turn="NONE")
    scene.frame_set(25)
    assert keys["eyeLookInLeft"].value == 0 and abs(abs(bones["eye_l"].rotation_axis_angle[0]) - 0.1) < 1e-4
    path.write_text("Timecode,JawOpen\n10:00:00:00.0,abc\n")
    try:
        bpy.ops.deca.import_face_recording(filepath=str(path))
    except RuntimeError as error:
        assert "Line 2: JawOpen is 'abc'" in str(error)
    else:
        raise AssertionError("no error")


def test_every_way_of_writing_rotations() -> None:
    reply = blender_case.head_reply()
    performance = _performance(reply)
    for mode in ("QUATERNION", "XYZ", "ZXY"):
        obj = _head(reply)
        for bone in rig_of(obj).pose.bones:
            if bone.name in rig.JOINTS:
                bone.rotation_mode = mode
        _with_backend(reply, performance)
        bpy.context.scene.frame_set(1)
        bpy.ops.deca.performance_from_video(filepath="/a.mp4", smoothing=0.0)
        bpy.context.scene.frame_set(25)
        _assert_shows(obj, reply, performance.expression[12], performance.pose[12])


def test_a_videos_sound(folder: Path) -> None:
    if not bpy.app.build_options.audaspace:
        raise blender_case.Skip("this Blender is built without sound")
    path = folder / "a é.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(2 * 8000 * 2))  # two seconds
    scene = bpy.context.scene
    scene.render.fps = 24
    assert takes.add_sound(scene, str(path), 10) == "" and takes.add_sound(scene, str(path), 10, offset=0.5) == ""
    editor = scene.sequence_editor
    strips = sorted(getattr(editor, "strips", None) or editor.sequences, key=lambda strip: strip.channel)
    assert [strip.frame_final_start for strip in strips] == [10, 10]
    assert [strip.frame_final_end for strip in strips] == [58, 46]


def test_without_a_window(folder: Path) -> None:
    obj = _head(blender_case.head_reply())
    blend, out, recording = folder / "head.blend", folder / "out" / "take.blend", folder / "a.csv"
    name = obj.name
    bpy.ops.wm.save_as_mainfile(filepath=str(blend))
    recording.write_text("Timecode,JawOpen\n10:00:00:00.0,0.5\n10:00:00:30.0,0.75\n")
    arguments = [str(recording), "--head", str(blend), "--out", str(out), "--turn", "none", "--frame", "3"]
    with redirect_stdout(io.StringIO()) as printed:
        statuses = [headless_capture.main(arguments), headless_capture.main(arguments)]
        statuses.append(headless_capture.main([str(folder / "b.csv"), *arguments[1:], "--overwrite"]))
    lines = [json.loads(line) for line in printed.getvalue().splitlines() if line.startswith("{")]
    assert statuses == [0, 0, 1] and len(lines) == 6
    assert lines[0]["ok"] and lines[0]["frames"] == [3, 15] and lines[0]["head"] == name
    assert lines[2]["skipped"] and not lines[4]["ok"] and lines[5]["summary"]["failed"] == 1
    bpy.ops.wm.open_mainfile(filepath=str(out))
    bpy.context.scene.frame_set(15)
    assert bpy.data.objects[name].data.shape_keys.key_blocks["jawOpen"].value == 0.75


if __name__ == "__main__":
    blender_case.main(globals())
