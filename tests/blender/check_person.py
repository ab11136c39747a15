"""Several photos of one person: one head, a camera and keyframes for each photo, photos added later."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import blender_case as case
import bpy
import numpy as np

from deca_blender import backend, headless
from deca_blender.protocol.messages import LeftOutPhoto, PersonReply, Picture
from deca_blender.protocol.photos import result_name
from deca_blender.scene.camera import camera_of, cameras_of
from deca_blender.scene.expression import key_pose
from deca_blender.scene.head import rig_of
from deca_blender.scene.material import face_textures

HEAD = case.head_reply()
PICTURE = case.picture_of(np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8))
ASKED: list = []


def face_of(path: str, shape_seed: int):
    """Each photo has its own expression; the identity is another with every number of photos."""
    name = result_name(path)
    shape = np.random.default_rng(shape_seed).normal(size=case.NUM_SHAPE).astype(np.float32)
    seed = sum(name.encode())
    return case.face_reply(HEAD, seed, name=name, photo=path, shape=shape, image_size=(600 + seed, 480))


def answer(request):
    ASKED.append(request)
    good = [path for path in request.paths if "other" not in path]
    left_out = [LeftOutPhoto(path, "It shows somebody else.") for path in request.paths if "other" in path]
    faces = tuple(face_of(path, len(good)) for path in good)
    pictures = tuple(Picture(PICTURE if request.picture_size else None) for _ in good)
    return PersonReply(faces, pictures, tuple(left_out))


backend.session = lambda: case.FakeSession(HEAD, answer)  # type: ignore[assignment, return-value]


def import_photos(*names: str) -> bpy.types.Object:
    files = [{"name": f"{name}.jpg"} for name in names]
    assert bpy.ops.deca.import_face(directory="/photos/", files=files, use_one_person=True) == {"FINISHED"}
    (head,) = (obj for obj in bpy.data.objects if obj.deca.is_head)
    return head


def add_photos(*names: str) -> None:
    files = [{"name": f"{name}.jpg"} for name in names]
    assert bpy.ops.deca.add_photos(directory="/photos/", files=files) == {"FINISHED"}


def assert_shows(head: bpy.types.Object, name: str, frame: int, number_of_photos: int) -> None:
    bpy.context.scene.frame_set(frame)
    face = face_of(f"/photos/{name}.jpg", number_of_photos)
    expected = case.posed_verts(HEAD, face.shape, face.expression, face.pose)
    assert np.abs(case.evaluated_verts(head) - expected).max() < 1e-5, (name, frame)
    camera = camera_of(head)
    assert camera is not None and camera.name.startswith(name) and camera.data.background_images[0].image is not None


def test_each_photo_has_a_camera_and_a_frame_that_shows_it() -> None:
    head = import_photos("a", "other", "b", "c")
    assert len(cameras_of(head)) == 3 and "other.jpg: It shows somebody else." in head.deca.left_out
    markers = {marker.name: marker.frame for marker in bpy.context.scene.timeline_markers}
    assert markers == {"a": 1, "b": 2, "c": 3}
    for name, frame in (("a", -5), *markers.items(), ("c", 50)):
        assert_shows(head, name, frame, 3)
    bpy.context.scene.frame_set(2)
    bpy.ops.deca.render_as_photo()
    assert bpy.context.scene.render.resolution_x == face_of("b", 3).image_size[0]


def test_photos_added_later_move_the_head_and_keep_what_is_the_users() -> None:
    head = import_photos("a", "b")
    mesh, skin = head.data, head.material_slots[0].material
    moved = np.zeros((len(mesh.vertices), 3), np.float32)
    moved[:, 1] = 0.01
    own = head.shape_key_add(name="mine", from_mix=False)
    basis = np.empty(moved.size, np.float32)
    mesh.shape_keys.key_blocks["Basis"].points.foreach_get("co", basis)
    own.points.foreach_set("co", basis + moved.ravel())
    own.value = 0.0  # Blender 5 adds keys at 1
    rig_object = rig_of(head)
    jaw_before = rig_object.data.bones["jaw"].head_local.copy()
    mesh.shape_keys.key_blocks["exp_003"].value = 1.5
    key_pose(head, 10)
    mesh.shape_keys.key_blocks["exp_000"].value = 2.5
    mesh.shape_keys.key_blocks["exp_000"].keyframe_insert("value", frame=2)  # photo b is the user's now
    add_photos("c", "other")
    assert len(cameras_of(head)) == 3 and head.material_slots[0].material == skin
    assert [photo.frame for photo in head.deca.photos] == [1, 2, 11]
    assert_shows(head, "a", 1, 3)
    assert_shows(head, "c", 11, 3)
    bpy.context.scene.frame_set(2)
    assert mesh.shape_keys.key_blocks["exp_000"].value == 2.5
    bpy.context.scene.frame_set(10)
    assert mesh.shape_keys.key_blocks["exp_003"].value == 1.5
    own.points.foreach_get("co", moved_now := np.empty_like(basis))
    mesh.shape_keys.key_blocks["Basis"].points.foreach_get("co", basis)
    assert np.allclose(moved_now - basis, moved.ravel(), atol=1e-6)
    assert (rig_object.data.bones["jaw"].head_local - jaw_before).length > 1e-5
    assert ASKED[-1].paths == tuple(f"/photos/{name}.jpg" for name in ("a", "b", "c", "other"))
    expected = face_of("/photos/a.jpg", 3)
    for name, texture in face_textures(head).items():
        rows = {"Albedo": expected.albedo, "As Photographed": expected.photographed}[name]
        assert rows is not None and np.array_equal(case.shown(texture).round().astype(np.uint8), rows)
    assert len(face_textures(head)) == 2


def test_photos_of_somebody_else_change_nothing() -> None:
    head = import_photos("a", "b")
    before = case.evaluated_verts(head)
    turned = lambda request: PersonReply((face_of("/photos/z.jpg", 9),), (Picture(PICTURE),))  # noqa: E731
    backend.session = lambda: case.FakeSession(HEAD, turned)  # type: ignore[assignment, return-value]
    try:
        bpy.ops.deca.add_photos(directory="/photos/", files=[{"name": "z.jpg"}])
    except RuntimeError as error:
        assert "somebody else" in str(error)
    else:
        raise AssertionError("no error was reported")
    assert len(cameras_of(head)) == 2 and np.array_equal(case.evaluated_verts(head), before)


def test_a_head_of_one_photo_takes_more_and_forgets_them_when_stripped() -> None:
    from deca_blender.protocol.messages import ReconstructReply

    single = ReconstructReply((face_of("/photos/a.jpg", 1),), picture=PICTURE)
    both = lambda request: answer(request) if hasattr(request, "paths") else single  # noqa: E731
    backend.session = lambda: case.FakeSession(HEAD, both)  # type: ignore[assignment, return-value]
    assert bpy.ops.deca.import_face(filepath="/photos/a.jpg") == {"FINISHED"}
    (head,) = (obj for obj in bpy.data.objects if obj.deca.is_head)
    add_photos("b")
    assert [photo.path for photo in head.deca.photos] == ["/photos/a.jpg", "/photos/b.jpg"] and len(
        cameras_of(head)
    ) == 2
    assert_shows(head, "a", 1, 2)
    assert_shows(head, "b", 2, 2)
    bpy.ops.deca.strip_identity()
    assert not len(head.deca.photos) and not head.deca.left_out and "deca_photo_expressions" not in head
    assert not bpy.ops.deca.add_photos.poll()
    bpy.ops.deca.delete_head()
    assert not [obj for obj in bpy.data.objects if obj.type == "CAMERA"]


def test_people_without_a_window(folder: Path) -> None:
    for name in ("ann/1", "ann/2", "ann/other", "x", "y"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / f"{name}.jpg").touch()
    printed = io.StringIO()
    backend.session = lambda: case.FakeSession(HEAD, answer)  # type: ignore[assignment, return-value]
    with contextlib.redirect_stdout(printed):
        photos = [str(folder / name) for name in ("x.jpg", "ann", "y.jpg")]
        assert headless.main(["--one-person", *photos, "--out", str(folder / "out")]) == 0
    lines = [json.loads(line) for line in printed.getvalue().splitlines() if line.startswith("{")]
    assert [Path(line["out"]).name for line in lines[:-1]] == ["x.blend", "ann.blend"]
    assert [Path(photo).name for photo in lines[0]["photos"]] == ["x.jpg", "y.jpg"]
    (left,) = lines[1]["left_out"]
    assert Path(left["photo"]).name == "other.jpg" and left["reason"] and lines[-1]["summary"]["photos"] == 2
    bpy.ops.wm.open_mainfile(filepath=lines[1]["out"])
    (head,) = (obj for obj in bpy.data.objects if obj.deca.is_head)
    assert len(cameras_of(head)) == 2 and head.name == "1"


case.main(globals())
