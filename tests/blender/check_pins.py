"""Correcting by hand: pins on the photo's landmarks, and shape sliders with names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import blender_case as case
import bpy
import numpy as np
from numpy.typing import NDArray

from deca_blender import backend
from deca_blender.core import rig
from deca_blender.protocol.messages import PersonReply, Picture
from deca_blender.protocol.photos import result_name
from deca_blender.scene import pins
from deca_blender.scene.camera import cameras_of
from deca_blender.scene.head import show_neutral, show_photo
from deca_blender.scene.import_face import import_face
from deca_blender.ui import panels

HEAD = case.head_reply()
MOUTH_CORNER, OTHER_CORNER, CHIN, NOSE_TIP = 48, 54, 8, 30


def mild(seed: int, **changes: object):
    """A face that is not far from neutral."""
    random = np.random.default_rng(seed)
    pose = random.normal(scale=0.08, size=(5, 3)).astype(np.float32)
    pose[2] = (0.1, 0.0, 0.0)
    values = {
        "shape": 0.5 * random.normal(size=case.NUM_SHAPE).astype(np.float32),
        "expression": 0.4 * random.normal(size=50).astype(np.float32),
        "pose": pose,
    }
    return case.face_reply(HEAD, seed, **(values | changes))


def marks_of(head: bpy.types.Object) -> NDArray[np.float64]:
    """iBUG's landmarks (68, 3) on what Blender shows."""
    verts_V3 = case.evaluated_verts(head)
    return (verts_V3[HEAD.landmark_verts] * HEAD.landmark_weights[..., None]).sum(1)


def on_photo(face, marks_L3: NDArray) -> NDArray[np.float64]:
    """DECA's projection step by step, and the crop undone."""
    scale, tx, ty = face.camera.astype(np.float64)
    picture = scale * (marks_L3[:, :2] + [tx, ty]) * [1, -1]
    crop = np.c_[(picture * 0.5 + 0.5) * 224, np.ones(len(marks_L3))]
    return np.linalg.solve(face.crop, crop.T).T[:, :2]


def values_of(head: bpy.types.Object, prefix: str) -> NDArray[np.float64]:
    blocks = head.data.shape_keys.key_blocks
    return np.array([block.value for block in blocks if block.name.startswith(prefix)])


def drag(head: bpy.types.Object, face, landmark: int, by: tuple[float, float]) -> NDArray[np.float64]:
    """Drags a landmark by photo pixels, and gives where it was asked to be."""
    place = on_photo(face, marks_of(head))[landmark] + by
    assert bpy.ops.deca.drag_pin(landmark=landmark, place=place) == {"FINISHED"}
    return place


def test_measures_move_skin_and_joints() -> None:
    """The head with sliders is the head of that shape, whatever jaw and eyes do; root and neck rest where they were."""
    pose = np.zeros((5, 3), np.float32)
    pose[2:] = ((0.3, 0.05, 0.0), (0.1, 0.4, 0.0), (0.1, 0.4, 0.0))
    face = mild(1, pose=pose)
    head = import_face(bpy.context, HEAD, face)
    values = dict.fromkeys(HEAD.named_shape_keys, 0.0) | {"eye_distance": 2.0, "jaw_width": -1.5, "face_length": 1.0}
    for name, value in values.items():
        head.data.shape_keys.key_blocks[rig.named_shape_key(name)].value = value
    moved = (HEAD.verts + np.tensordot(list(values.values()), HEAD.named_shapes, 1)).astype(np.float32)
    wanted = case.posed_verts(replace(HEAD, verts=moved), face.shape, face.expression, pose)
    off = np.linalg.norm(case.evaluated_verts(head) - wanted, axis=1)
    plain = case.posed_verts(HEAD, face.shape, face.expression, pose)
    print(f"off the exact rig: {1e3 * off.max():.3f} mm of {1e3 * np.linalg.norm(wanted - plain, axis=1).max():.1f} mm")
    assert off.max() < 6e-4 and off[np.isin(HEAD.part, (1, 2))].max() < 1e-5  # eyes turn about their middles
    for obj in (head, head.parent):
        obj.select_set(True)
    head.parent.scale = (10, 10, 10)
    bpy.ops.object.transform_apply(location=False, rotation=False, scale=True)
    scaled = case.evaluated_verts(head)
    assert np.abs(scaled - 10 * wanted).max() < 1e-2  # as before, times 10
    assert np.abs(marks_of(head) - pins.shown_landmarks(head)).max() < 1e-4
    bpy.ops.deca.reset_named_shapes()
    assert np.abs(case.evaluated_verts(head) - 10 * plain).max() < 1e-5


def test_landmark_goes_where_it_is_dragged_and_the_rest_stays(folder: Path) -> None:
    face = mild(2)
    head = import_face(bpy.context, HEAD, face)
    bpy.context.scene.render.resolution_x = 777  # the place is one of the photo, whatever is rendered
    head.parent.location, head.parent.rotation_euler.z, head.parent.scale = (1, 2, 3), 0.7, (2, 2, 2)
    bpy.context.view_layer.update()
    fitted, before = case.evaluated_verts(head), marks_of(head)
    place = drag(head, face, MOUTH_CORNER, (-12.0, -9.0))
    after = marks_of(head)
    print("off the place:", np.abs(on_photo(face, after)[MOUTH_CORNER] - place), "pixels")
    assert np.abs(on_photo(face, after)[MOUTH_CORNER] - place).max() < 1.0
    moved = np.linalg.norm(after - before, axis=1)
    eyes, far = moved[36:48].mean(), moved[OTHER_CORNER]
    assert moved[MOUTH_CORNER] > 4 * eyes and moved[MOUTH_CORNER] > 2 * far
    assert not values_of(head, "shape_").any() and len(head.deca.pins) == 1

    show_neutral(head)
    show_photo(head)  # what pins have found is what the photo shows
    assert np.abs(marks_of(head) - after).max() < 1e-5
    path = str(folder / "pinned.blend")
    name = head.name
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    head = bpy.data.objects[name]
    assert np.abs(marks_of(head) - after).max() < 1e-5 and tuple(head.deca.pins[0].place) == tuple(place.astype("f4"))
    drag(head, face, CHIN, (0.0, 8.0))
    assert np.abs(on_photo(face, marks_of(head))[MOUTH_CORNER] - place).max() < 1.0
    assert bpy.ops.deca.drag_pin(landmark=CHIN, release=True) == {"FINISHED"}
    assert np.abs(marks_of(head) - after).max() < 1e-4
    assert bpy.ops.deca.remove_pins() == {"FINISHED"} and not len(head.deca.pins)
    assert np.abs(case.evaluated_verts(head) - fitted).max() < 1e-5
    assert not bpy.ops.deca.remove_pins.poll()


def test_undo_and_cancel_bring_the_head_back() -> None:
    face = mild(3)
    head = import_face(bpy.context, HEAD, face)
    name, before = head.name, case.evaluated_verts(head)
    bpy.ops.ed.undo_push(message="before")
    drag(head, face, NOSE_TIP, (6.0, 0.0))
    bpy.ops.ed.undo_push(message="dragged")
    assert np.abs(case.evaluated_verts(head) - before).max() > 1e-3
    bpy.ops.ed.undo()
    head = bpy.data.objects[name]
    assert not len(head.deca.pins) and np.abs(case.evaluated_verts(head) - before).max() < 1e-6
    bpy.ops.deca.straighten()
    before = case.evaluated_verts(head)
    correction = pins.Correction(bpy.context, head)
    for step in range(1, 4):
        correction.pin(NOSE_TIP, np.add(correction.place_of(NOSE_TIP), (step, 0)))
    assert np.abs(case.evaluated_verts(head) - before).max() > 1e-4
    correction.cancel()
    assert not len(head.deca.pins) and np.abs(case.evaluated_verts(head) - before).max() < 1e-6


def test_shape_follows_and_keeps_what_is_the_users() -> None:
    face = mild(4, crop=np.array([[0.4, 0, 20.0], [0, 0.4, -35.0], [0, 0, 1]]))  # measures move nothing sideways
    head = import_face(bpy.context, HEAD, face)
    expression = values_of(head, "exp_")
    head.deca.pins_move = "SHAPE"
    blocks = head.data.shape_keys.key_blocks
    blocks["shape_ear_size"].value = 1.0
    bpy.context.view_layer.update()
    place = drag(head, face, CHIN, (0.0, 10.0))
    assert np.abs(on_photo(face, marks_of(head))[CHIN] - place).max() < 1.5
    assert np.array_equal(values_of(head, "exp_"), expression)
    longer = blocks["shape_face_length"].value + blocks["shape_chin_height"].value
    assert longer > 0.3, longer
    blocks["shape_nose_width"].value += 0.5  # by hand, on top of what pins have done
    bpy.ops.deca.remove_pins()
    left = {block.name: round(block.value, 4) for block in blocks if block.name.startswith("shape_") and block.value}
    assert {name: value for name, value in left.items() if abs(value) > 1e-3} == {
        "shape_ear_size": 1.0,
        "shape_nose_width": 0.5,
    }


def person(request) -> PersonReply:
    faces = []
    for path in request.paths:
        name = result_name(path)
        shape = 0.5 * np.random.default_rng(len(request.paths)).normal(size=case.NUM_SHAPE).astype(np.float32)
        faces.append(mild(sum(name.encode()), name=name, photo=path, shape=shape))
    return PersonReply(tuple(faces), tuple(Picture(None) for _ in faces))


def test_photos_of_one_person_and_photos_added_later() -> None:
    backend.session = lambda: case.FakeSession(HEAD, person)  # type: ignore[assignment, return-value]

    def files(*names: str) -> list[dict[str, str]]:
        return [{"name": f"{name}.jpg"} for name in names]

    assert bpy.ops.deca.import_face(directory="/photos/", files=files("a", "b"), use_one_person=True) == {"FINISHED"}
    (head,) = (obj for obj in bpy.data.objects if obj.deca.is_head)
    scene = bpy.context.scene
    scene.frame_set(2)
    face = mild(sum(b"b"))
    place = drag(head, face, MOUTH_CORNER, (-10.0, 0.0))
    assert [(pin.landmark, pin.photo) for pin in head.deca.pins] == [(MOUTH_CORNER, 1)]
    scene.frame_set(1)
    other = marks_of(head)
    scene.frame_set(2)  # the frame's keyframes have it
    assert np.abs(on_photo(face, marks_of(head))[MOUTH_CORNER] - place).max() < 1.0
    assert np.linalg.norm(other[MOUTH_CORNER] - marks_of(head)[MOUTH_CORNER]) > 1e-3

    head.deca.pins_move = "SHAPE"
    scene.frame_set(1)
    drag(head, mild(sum(b"a")), CHIN, (0.0, 6.0))
    scene.frame_set(2)
    assert np.abs(on_photo(face, marks_of(head))[MOUTH_CORNER] - place).max() < 2.0  # the shape suits both photos

    assert bpy.ops.deca.add_photos(directory="/photos/", files=files("c")) == {"FINISHED"}
    assert len(cameras_of(head)) == 3
    scene.frame_set(2)  # fitted again, and corrected again
    assert np.abs(on_photo(face, marks_of(head))[MOUTH_CORNER] - place).max() < 1.5
    bpy.ops.deca.strip_identity("EXEC_DEFAULT")
    assert not len(head.deca.pins) and "deca_before_pins" not in head and not bpy.ops.deca.drag_pin.poll()


def drawn_in(panel: type, head: bpy.types.Object) -> str:
    """All texts that a panel draws."""
    drawn: list[str] = []

    class Layout:
        def __getattr__(self, name: str):
            if name in ("row", "column"):
                return lambda **options: Layout()
            return lambda *args, text="", **options: drawn.append(text or str(args))

    bpy.context.view_layer.objects.active = head
    fake = type("Panel", (), {"layout": Layout(), "head": staticmethod(lambda context: head)})()
    panel.draw(fake, bpy.context)  # type: ignore[attr-defined]
    return " ".join(drawn)


def test_heads_that_cannot_be_pinned_say_so() -> None:
    whole = import_face(bpy.context, HEAD, mild(6))
    whole.data.shape_keys.key_blocks["shape_nose_length"].value = -2.0
    assert "Nose Length -6." in drawn_in(panels.DECA_PT_named_shapes, whole)
    assert "No pins" in drawn_in(panels.DECA_PT_pins, whole)
    bpy.data.objects.remove(cameras_of(whole)[0])
    assert pins.why_not(whole) == "camera" and "no photo camera" in drawn_in(panels.DECA_PT_pins, whole)
    plain = replace(
        HEAD,
        landmark_verts=None,
        landmark_weights=None,
        named_shapes=None,
        named_shape_prior=None,
        named_shape_keys=(),
        named_shape_units=(),
        named_shape_deviations=(),
    )
    head = import_face(bpy.context, plain, mild(5))
    assert pins.why_not(head) == "landmarks" and not bpy.ops.deca.drag_pin.poll()
    assert "import its" in drawn_in(panels.DECA_PT_pins, head)
    assert "FLAME" in drawn_in(panels.DECA_PT_named_shapes, head)
    assert not [block.name for block in head.data.shape_keys.key_blocks if block.name.startswith("shape_")]


if __name__ == "__main__":
    case.main(globals())
