"""Wrinkles and expressions from head to head, and heads stripped of what identifies the person."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import blender_case as case
import bpy
import numpy as np
from numpy.typing import NDArray

from deca_blender import backend
from deca_blender.operators.strip_identity import DECA_OT_strip_identity
from deca_blender.protocol.messages import DecodeWrinkles, WrinklesReply
from deca_blender.scene import live, wrinkles
from deca_blender.scene.identity import Left, strip_identity
from deca_blender.scene.import_face import ImportOptions, import_face

HEAD = case.head_reply()
FAR = replace(HEAD, name="flame2020", hash="fedcba")


def decoded(detail: NDArray, expression: NDArray, jaw: NDArray) -> NDArray[np.float32]:
    """A map in which every number of the codes shows."""
    return np.resize(1e-4 * np.concatenate((detail, expression, jaw)), (256, 256)).astype(np.float32)


class Models(case.FakeSession):
    """A backend whose F_d is `decoded`."""

    def request(self, request: DecodeWrinkles, timeout: float | None = None) -> WrinklesReply:
        return WrinklesReply(decoded(request.detail, request.expression, request.jaw))


backend.session = lambda: Models(HEAD, lambda request: Models(HEAD, None).request(request))  # type: ignore[assignment, return-value]


def shown(head: bpy.types.Object) -> NDArray[np.float32]:
    """The map that the head's displacement modifier reads."""
    image = wrinkles.map_image(head)
    assert image is not None
    return wrinkles.read_map(image)


def detail(seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=128).astype(np.float32)


def new_head(name: str, seed: int, head=HEAD, **changes: object) -> bpy.types.Object:
    """A head with wrinkles; the last one made is active and selected."""
    values = {"name": name, "detail": detail(seed), "weights_hash": "w1"}
    face = case.face_reply(head, seed, **(values | changes))
    return import_face(bpy.context, head, face, ImportOptions(use_camera=False))


def select(active: bpy.types.Object, *others: bpy.types.Object) -> None:
    for obj in bpy.context.view_layer.objects:
        obj.select_set(obj in (active, *others))
    bpy.context.view_layer.objects.active = active


def seen(head: bpy.types.Object) -> wrinkles.WrinkleInputs:
    """What F_d is asked for this head."""
    bpy.context.view_layer.update()
    return wrinkles.wrinkle_inputs(head, bpy.context.evaluated_depsgraph_get())


def sliders(head: bpy.types.Object) -> dict[str, float]:
    keys = head.data.shape_keys.key_blocks[1:]
    return {key.name: key.value for key in keys if not key.name.startswith("corr_")}


def refused(operator, **options: object) -> str:
    """The reason that an operator gives for doing nothing."""
    try:
        operator(**options)
    except RuntimeError as error:
        return str(error)
    raise AssertionError("the operator did not refuse")


def test_the_target_wears_the_source_s_wrinkles_in_its_own_expression() -> None:
    anna, bert, cleo = (new_head(name, seed) for seed, name in enumerate(("Anna", "Bert", "Cleo")))
    before = {head: (seen(head), sliders(head), case.evaluated_verts(head)) for head in (anna, bert, cleo)}
    select(anna, bert, bpy.data.objects["Cleo Rig"])  # a head's armature stands for it
    assert bpy.ops.deca.transfer_wrinkles() == {"FINISHED"}
    for target in (bert, cleo):
        now, (old, old_sliders, old_verts) = seen(target), before[target]
        assert np.array_equal(now.detail_D, before[anna][0].detail_D)
        assert np.array_equal(now.expression_E, old.expression_E) and np.array_equal(now.jaw_3, old.jaw_3)
        assert sliders(target) == old_sliders
        assert np.array_equal(case.evaluated_verts(target), old_verts)  # the map is made later
        assert target.deca_transfer.source == "Anna"
    assert bpy.ops.deca.update_wrinkles() == {"FINISHED"}
    for target in (bert, cleo):
        assert np.abs(shown(target) - decoded(detail(0), seen(target).expression_E, seen(target).jaw_3)).max() < 1e-6
    assert np.array_equal(seen(anna).detail_D, detail(0))


def test_the_amount_mixes_and_is_keyframed() -> None:
    anna, bert = new_head("Anna", 0), new_head("Bert", 1)
    select(anna, bert)
    bpy.ops.deca.transfer_wrinkles(amount=0.25)
    assert np.allclose(seen(bert).detail_D, 0.75 * detail(1) + 0.25 * detail(0), atol=1e-6)
    bert.deca_transfer.amount = 0.0
    assert np.array_equal(seen(bert).detail_D, detail(1))
    bert.deca_transfer.keyframe_insert("amount", frame=1)
    bert.deca_transfer.amount = 1.0
    bert.deca_transfer.keyframe_insert("amount", frame=11)
    shares = []
    for frame in (1, 4, 6, 11):
        bpy.context.scene.frame_set(frame)
        code = seen(bert).detail_D
        share = float((code - detail(1)) @ (detail(0) - detail(1)) / np.sum((detail(0) - detail(1)) ** 2))
        assert np.allclose(code, detail(1) + share * (detail(0) - detail(1)), atol=1e-5)
        assert np.abs(shown(bert) - decoded(code, seen(bert).expression_E, seen(bert).jaw_3)).max() < 1e-6
        shares.append(share)
    assert np.allclose([shares[0], shares[2], shares[3]], [0, 0.5, 1], atol=1e-5)
    assert 0 < shares[1] < 0.5


def test_the_live_update_follows_transfer_amount_and_restore() -> None:
    anna, bert = new_head("Anna", 0), new_head("Bert", 1)
    bpy.ops.deca.update_wrinkles()

    def follows(code: NDArray) -> bool:
        expression, jaw = seen(bert).expression_E, seen(bert).jaw_3
        for _ in range(3):
            live.tick()  # the timer's work
        return bool(np.abs(shown(bert) - decoded(code, expression, jaw)).max() < 1e-6)

    assert follows(detail(1))
    select(anna, bert)
    bpy.ops.deca.transfer_wrinkles()
    assert follows(detail(0))
    bert.deca_transfer.amount = 0.5
    assert follows((detail(0) + detail(1)) / 2)
    select(bert)
    bpy.ops.deca.restore_wrinkles()
    assert follows(detail(1))


def test_the_own_wrinkles_come_back() -> None:
    anna, bert = new_head("Anna", 0), new_head("Bert", 1)
    select(bert)
    assert not bpy.ops.deca.restore_wrinkles.poll()
    select(anna, bert)
    bpy.ops.deca.transfer_wrinkles(amount=0.5)
    bert.deca_transfer.keyframe_insert("amount", frame=1)
    select(bert)
    assert bpy.ops.deca.restore_wrinkles() == {"FINISHED"}
    assert np.array_equal(seen(bert).detail_D, detail(1))
    assert (bert.deca_transfer.source, bert.deca_transfer.amount) == ("", 1.0)
    bpy.context.scene.frame_set(1)
    assert bert.deca_transfer.amount == 1.0  # its keyframes went too
    assert not bpy.ops.deca.restore_wrinkles.poll()


def test_what_a_head_wears_is_passed_on() -> None:
    anna, bert, cleo = (new_head(name, seed) for seed, name in enumerate(("Anna", "Bert", "Cleo")))
    select(anna, bert)
    bpy.ops.deca.transfer_wrinkles(amount=0.5)
    select(bert, cleo)
    bpy.ops.deca.transfer_wrinkles()
    assert np.allclose(seen(cleo).detail_D, (detail(0) + detail(1)) / 2, atol=1e-6)
    select(cleo)
    bpy.ops.deca.restore_wrinkles()
    assert np.array_equal(seen(cleo).detail_D, detail(2))


def test_it_is_one_undo_step_and_survives_the_file(folder: Path) -> None:
    anna, bert = new_head("Anna", 0), new_head("Bert", 1)
    select(anna, bert)
    bpy.ops.ed.undo_push(message="heads")
    bpy.ops.deca.transfer_wrinkles(amount=0.75)
    bpy.ops.ed.undo_push(message="Transfer Wrinkles")  # in the window Blender pushes it
    expected = seen(bert).detail_D
    bpy.ops.ed.undo()
    assert np.array_equal(seen(bpy.data.objects["Bert"]).detail_D, detail(1))
    bpy.ops.ed.redo()
    assert np.array_equal(seen(bpy.data.objects["Bert"]).detail_D, expected)
    path = str(folder / "heads.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    bert = bpy.data.objects["Bert"]
    assert np.array_equal(seen(bert).detail_D, expected) and bert.deca_transfer.amount == 0.75


def test_heads_that_do_not_match_are_refused_with_the_reason() -> None:
    anna = new_head("Anna", 0)
    others = {
        "of the head model flame2020": new_head("Far", 1, FAR),
        "different weights": new_head("Heavy", 2, weights_hash="w2"),
        "Smooth has no wrinkles": new_head("Smooth", 3, detail=None, weights_hash=""),
    }
    for reason, other in others.items():
        before = dict(other.items())
        select(anna, other)
        assert reason in refused(bpy.ops.deca.transfer_wrinkles)
        assert dict(other.items()).keys() == before.keys()
    bert = new_head("Bert", 4)
    select(anna, bert, *others.values())
    assert bpy.ops.deca.transfer_wrinkles() == {"FINISHED"}  # who can, does
    assert np.array_equal(seen(bert).detail_D, detail(0))
    select(anna, others["of the head model flame2020"])
    assert "of the head model flame2020" in refused(bpy.ops.deca.copy_expression)
    select(anna, others["Smooth has no wrinkles"])
    assert bpy.ops.deca.copy_expression() == {"FINISHED"}


def test_operators_say_what_they_need() -> None:
    assert not bpy.ops.deca.transfer_wrinkles.poll() and not bpy.ops.deca.strip_identity.poll()
    anna = new_head("Anna", 0)
    select(anna, bpy.data.objects["Anna Rig"])  # one head
    assert not bpy.ops.deca.transfer_wrinkles.poll() and not bpy.ops.deca.copy_expression.poll()
    assert bpy.ops.deca.strip_identity.poll()
    assert "Select another head" in refused(bpy.ops.deca.transfer_wrinkles)


def test_an_expression_is_copied_with_the_jaw() -> None:
    anna, bert = new_head("Anna", 0), new_head("Bert", 1)
    keys = anna.data.shape_keys.key_blocks
    keys["exp_003"].slider_max, keys["exp_003"].value = 9.0, 8.5
    keys["mouthSmileLeft"].value, keys["jawOpen"].value = 0.7, 0.4
    bpy.data.objects["Anna Rig"].pose.bones["jaw"].rotation_axis_angle = (0.21, 0.8, 0.6, 0.0)
    neck = list(bpy.data.objects["Bert Rig"].pose.bones["neck"].rotation_axis_angle)
    select(anna, bert)
    assert bpy.ops.deca.copy_expression() == {"FINISHED"}
    assert sliders(bert) == sliders(anna) and sliders(bert)["exp_003"] == 8.5
    one, other = seen(anna), seen(bert)
    assert np.allclose(other.expression_E, one.expression_E, atol=1e-6) and np.abs(one.expression_E).max() > 3
    assert np.allclose(other.jaw_3, one.jaw_3, atol=1e-6) and np.linalg.norm(one.jaw_3) > 0.3
    assert np.array_equal(other.detail_D, detail(1))  # its own wrinkles
    assert list(bpy.data.objects["Bert Rig"].pose.bones["neck"].rotation_axis_angle) == neck


def test_the_jaw_is_copied_between_rotation_modes() -> None:
    for mode in ("QUATERNION", "XYZ"):
        anna, bert = new_head("Anna", 0), new_head("Bert", 1)
        bpy.data.objects[anna.parent.name].pose.bones["jaw"].rotation_axis_angle = (0.3, 0.6, 0.0, 0.8)
        bert.parent.pose.bones["jaw"].rotation_mode = mode
        select(anna, bert)
        bpy.ops.deca.copy_expression()
        assert np.allclose(seen(bert).jaw_3, seen(anna).jaw_3, atol=1e-6)
        assert bert.parent.pose.bones["jaw"].rotation_mode == mode


def test_a_stripped_head_keeps_its_looks_and_nothing_else(folder: Path) -> None:
    photo = drawn(folder, "Zoë")
    picture = np.fromfile(photo, np.uint8)
    face = case.face_reply(HEAD, 5, name="Zoë", photo=photo, detail=detail(5), weights_hash="w1", image_size=(64, 48))
    options = ImportOptions(weights="/secret/weights", head="/secret/flame")
    head = import_face(bpy.context, HEAD, face, options, picture)
    wrinkles.apply_map(head, np.random.default_rng(0).normal(scale=1e-3, size=(256, 256)).astype(np.float32))
    other = new_head("Anna", 0)
    select(other, head)
    bpy.ops.deca.transfer_wrinkles(amount=0.5)
    verts, values = case.evaluated_verts(head), sliders(head)
    assert any(image.name == "Zoë Photo" for image in bpy.data.images)

    select(head)
    assert bpy.ops.deca.strip_identity() == {"FINISHED"}
    assert not {"deca_shape", "deca_expression", "deca_detail", "deca_detail_transferred"} & set(head.keys())
    fresh = bpy.data.objects.new("fresh", None).deca
    for field in ("photo", "model_file", "weights", "weights_hash", "landmark_error"):
        assert getattr(head.deca, field) == getattr(fresh, field), field
    for field in ("pose", "camera", "crop", "image_size", "box"):
        assert list(getattr(head.deca, field)) == list(getattr(fresh, field)), field
    assert head.deca.is_head and head.deca.model_hash == HEAD.hash
    assert not any(image.name == "Zoë Photo" for image in bpy.data.images)
    assert not bpy.data.objects["Zoë Camera"].data.background_images
    assert "deca_detail" in other  # only the selected one
    path = str(folder / "stripped.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path, compress=False)
    raw = Path(path).read_bytes()
    assert b"secret" not in raw and photo.encode() not in raw and picture.tobytes() not in raw
    bpy.ops.wm.open_mainfile(filepath=path)
    head = bpy.data.objects["Zoë"]
    assert sliders(head) == values
    assert np.abs(case.evaluated_verts(head) - verts).max() < 1e-6  # wrinkles as they were, too


def drawn(folder: Path, name: str) -> str:
    """A picture file."""
    path = folder / f"{name}.png"
    image = bpy.data.images.new("drawn", 64, 48)
    image.filepath_raw, image.file_format = str(path), "PNG"
    image.save()
    bpy.data.images.remove(image)
    return str(path)


def test_stripping_says_what_is_still_in_the_file(folder: Path) -> None:
    heads = {}
    for seed, name in enumerate(("Anna", "Bert", "Cleo")):
        face = case.face_reply(
            *(HEAD, seed),
            **{"name": name, "photo": drawn(folder, name), "image_size": (64, 48)},
            **{"detail": detail(seed), "weights_hash": "w1"},
        )
        heads[name] = import_face(bpy.context, HEAD, face, picture=np.fromfile(face.photo, np.uint8))
    anna, bert, cleo = heads.values()
    bpy.data.images["Anna Photo"].use_fake_user = True
    picture = bpy.data.materials.new("Collage")
    picture.use_nodes = True
    picture.node_tree.nodes.new("ShaderNodeTexImage").image = bpy.data.images["Bert Photo"]
    select(anna, cleo)
    bpy.ops.deca.transfer_wrinkles()
    twin = bert.copy()
    bpy.data.scenes.new("Other").collection.objects.link(twin)

    told: list[str] = []
    select(anna, bert)
    operator = SimpleNamespace(report=lambda kind, text: told.append(text), tell_left_alone=lambda context: None)
    operator.heads = DECA_OT_strip_identity.heads
    DECA_OT_strip_identity.execute(operator, bpy.context)
    assert "Anna" in told[0] and "Bert" in told[0] and len(told) == 2
    codes, photo = told[1].split("; ")
    assert codes.endswith("the codes, on Bert.001, Cleo")  # the twin, and who wears Anna's wrinkles
    assert photo == "the picture Bert Photo, used by Collage"
    assert [image.name for image in bpy.data.images if image.name.endswith("Photo")] == ["Bert Photo", "Cleo Photo"]

    bpy.data.materials.remove(picture)
    left = strip_identity([twin, cleo])
    assert left == Left([], {})


def test_blender_5_does_not_keep_what_a_file_of_blender_4_had() -> None:
    """It copies property groups to a place of its own, and leaves the originals as custom properties."""
    anna = new_head("Anna", 0)
    if bpy.app.version >= (5, 0, 0):
        anna["deca"], anna["deca_transfer"] = {"photo": "/secret/Anna.jpg"}, {"source": "Bert"}
    bpy.ops.deca.strip_identity()
    assert bpy.app.version < (5, 0, 0) or not {"deca", "deca_transfer"} & set(anna.keys())
    assert anna.deca.is_head and anna.deca.photo == ""


def test_a_stripped_head_has_nothing_to_give() -> None:
    anna, bert = new_head("Anna", 0), new_head("Bert", 1)
    select(anna)
    bpy.ops.deca.strip_identity()
    select(anna, bert)
    assert "Anna has no wrinkles" in refused(bpy.ops.deca.transfer_wrinkles)
    assert bpy.ops.deca.copy_expression() == {"FINISHED"}
    assert bpy.ops.deca.reset_expression(target="PHOTO") == {"FINISHED"}


case.main(globals())
