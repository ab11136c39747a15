"""What the user adds to a head, renames or deletes: only the keys of the head's model are ours."""

from __future__ import annotations

import contextlib
import io
from types import SimpleNamespace

import blender_case as case
import bpy
import numpy as np

from deca_blender.core import rig
from deca_blender.core.expressions import PRESETS
from deca_blender.core.wrinkle_rig import WrinkleRig
from deca_blender.scene import wrinkles
from deca_blender.scene.baked_rig import show_rig
from deca_blender.scene.expression import arkit_weights
from deca_blender.scene.head import missing_parts, rig_of
from deca_blender.scene.import_face import ImportOptions, import_face
from deca_blender.ui import panels

HEAD = case.head_reply()
USERS = ("My Nose Fix", "exp_foo", "exp_050", "corr_mine", "JAWOPEN", "deca", "browInnerUp.001")


def new_head(name: str = "Zoë", seed: int = 1, **changes: object) -> bpy.types.Object:
    values = {"name": name, "detail": np.ones(128, np.float32), "weights_hash": "w1"}
    return import_face(
        bpy.context, HEAD, case.face_reply(HEAD, seed, **(values | changes)), ImportOptions(use_camera=False)
    )


def keys_of(head: bpy.types.Object) -> bpy.types.bpy_prop_collection:
    return head.data.shape_keys.key_blocks


def seen(head: bpy.types.Object) -> wrinkles.WrinkleInputs:
    bpy.context.view_layer.update()
    return wrinkles.wrinkle_inputs(head, bpy.context.evaluated_depsgraph_get())


def add_users_keys(head: bpy.types.Object) -> None:
    for name in USERS:
        assert head.shape_key_add(name=name).name == name
        keys_of(head)[name].value = 0.75


def animated(head: bpy.types.Object) -> set[str]:
    """Data paths that the shape keys' action moves."""
    action = head.data.shape_keys.animation_data.action
    if hasattr(action, "fcurves"):
        return {curve.data_path for curve in action.fcurves}
    bags = [bag for layer in action.layers for strip in layer.strips for bag in strip.channelbags]
    return {curve.data_path for bag in bags for curve in bag.fcurves}


def test_what_operators_do_to_the_keys_of_others() -> None:
    """Nothing; with a detail code and without one, whose heads must know their keys as well."""
    for changes in ({}, {"detail": None, "weights_hash": ""}):
        head = new_head(**changes)
        add_users_keys(head)
        for operator, options in (
            ("reset_expression", {"target": "NEUTRAL"}),
            ("reset_expression", {"target": "PHOTO"}),
            ("apply_preset", {"preset": "Smile"}),
            ("random_expression", {"seed": 3}),
            ("mirror_expression", {"mode": "FLIP"}),
            ("key_expression", {}),
        ):
            assert getattr(bpy.ops.deca, operator)(**options) == {"FINISHED"}
            assert all(keys_of(head)[name].value == 0.75 for name in USERS), operator
        assert set(arkit_weights(head)) == set(HEAD.arkit_names)
        assert len(animated(head)) == 102 and not any(name in path for name in USERS for path in animated(head))
        other = new_head("Anna", 2)
        add_users_keys(other)
        for name in USERS:
            keys_of(other)[name].value = 0.25
        other.select_set(True)
        head.select_set(True)
        bpy.context.view_layer.objects.active = head
        assert bpy.ops.deca.copy_expression() == {"FINISHED"}
        assert all(keys_of(other)[name].value == 0.25 for name in USERS)
        assert arkit_weights(other) == arkit_weights(head)


def test_what_f_d_sees_is_ours_and_not_muted() -> None:
    head = new_head()
    for index, name in enumerate(("exp_003", "exp_017", "mouthSmileLeft", "browInnerUp", "jawOpen")):
        keys_of(head)[name].value = 0.3 + 0.1 * index
    before = seen(head)
    add_users_keys(head)
    assert np.array_equal(seen(head).expression_E, before.expression_E)
    for name in ("exp_003", "mouthSmileLeft"):
        keys_of(head)[name].mute = True
    muted = seen(head).expression_E
    column = HEAD.arkit_map[:50, HEAD.arkit_names.index("mouthSmileLeft")]
    expected = before.expression_E - 0.3 * np.eye(50)[3] - 0.5 * column
    assert np.abs(muted - expected).max() < 1e-6 and np.abs(muted - before.expression_E).max() > 0.2
    for name in ("exp_003", "mouthSmileLeft"):
        keys_of(head)[name].mute = False
    assert np.array_equal(seen(head).expression_E, before.expression_E)


def lose_some(head: bpy.types.Object) -> None:
    """A user deletes and renames keys of ours, and a bone."""
    for name in ("eyeLookUpLeft", "exp_007", "corr_jaw_12"):  # after `shape_key_remove` of a driven key Blender crashes
        head.active_shape_key_index = keys_of(head).find(name)
        with bpy.context.temp_override(object=head, active_object=head):
            assert bpy.ops.object.shape_key_remove() == {"FINISHED"}
    keys_of(head)["mouthSmileLeft"].name = "Smile, my way"
    rig_of(head).pose.bones["eye_r"].name = "eye.R"


LOST = ["eyeLookUpLeft", "mouthSmileLeft", "exp_007", "corr_jaw_12", "eye_r"]


def test_without_some_keys_the_rest_works() -> None:
    head, told = new_head(), io.StringIO()
    keys_of(head)["exp_007"].value = 1.0
    assert missing_parts(head) == []
    lose_some(head)
    with contextlib.redirect_stderr(told):
        keys_of(head)["Smile, my way"].value = 0.75
        assert missing_parts(head) == LOST
        for preset in ("Laugh", "Wink"):
            assert bpy.ops.deca.apply_preset(preset=preset) == {"FINISHED"}
            expected = {name: PRESETS[preset].get(name, 0.0) for name in HEAD.arkit_names if name not in LOST}
            shown = arkit_weights(head)
            assert shown.keys() == expected.keys() and all(abs(shown[key] - expected[key]) < 1e-6 for key in shown)
        for operator in ("random_expression", "mirror_expression", "key_expression", "reset_expression"):
            assert getattr(bpy.ops.deca, operator)() == {"FINISHED"}
        assert keys_of(head)["Smile, my way"].value == 0.75
        assert bpy.ops.deca.reset_expression(target="PHOTO") == {"FINISHED"}
        code = np.array(head["deca_expression"])
        code[7] = 0
        assert np.abs(seen(head).expression_E - code).max() < 1e-6
        other = new_head("Anna", 2)
        for source, target in ((head, other), (other, head)):
            for obj in (source, target):
                obj.select_set(True)
            bpy.context.view_layer.objects.active = source
            assert bpy.ops.deca.copy_expression() == {"FINISHED"}
    assert told.getvalue() == ""
    # What the other sliders turn goes on turning, and the jaw's other correctives stay right.
    bone, keys = rig_of(head).pose.bones["eye_l_arkit"], keys_of(head)
    for value in (1.0, 0.5):
        keys["eyeLookDownLeft"].value = value
        bpy.context.view_layer.update()
        down = HEAD.arkit_map[54:57, HEAD.arkit_names.index("eyeLookDownLeft")]
        assert np.isclose(bone.rotation_axis_angle[0], value * np.linalg.norm(down), atol=1e-6)
    rig_of(head).pose.bones["jaw"].rotation_axis_angle = (0.3, 1, 0, 0)
    bpy.context.view_layer.update()
    assert np.isclose(keys["corr_jaw_11"].value, np.cos(0.3) - 1, atol=1e-6)


def test_a_deleted_bone_leaves_its_correctives_at_rest() -> None:
    head = new_head(pose=np.zeros((5, 3), np.float32))
    bpy.context.view_layer.objects.active = rig_of(head)
    bpy.ops.object.mode_set(mode="EDIT")
    bones = rig_of(head).data.edit_bones
    bones.remove(bones["eye_l"])
    bpy.ops.object.mode_set(mode="OBJECT")
    for value in (0.0, 0.4):
        keys_of(head)["exp_000"].value = value
        bpy.context.view_layer.update()
        for row in range(3):
            assert abs(keys_of(head)[rig.corrective_key("eye_l", row, row)].value) < 1e-6
    assert missing_parts(head) == ["eye_l"] and bpy.ops.deca.reset_expression(target="PHOTO") == {"FINISHED"}


def test_a_rig_baked_without_some_keys_blends_by_the_others() -> None:
    head = new_head(expression=np.zeros(50, np.float32), pose=np.zeros((5, 3), np.float32))
    lose_some(head)
    one = np.zeros((53, 1), np.float32)
    one[3] = 1.0
    show_rig(head, WrinkleRig(np.zeros((8, 8), np.float32), np.ones((1, 8, 8), np.float32), one, one))
    for value in (0.5, -1.25):
        keys_of(head)["exp_003"].value = value
        keys_of(head)["exp_foo" if "exp_foo" in keys_of(head) else "Smile, my way"].value = 1.0
        bpy.context.view_layer.update()
        assert np.isclose(head["wrinkle_rig"]["wrinkle_00"], value, atol=1e-5)


class Layout:
    """Takes down the labels that a panel draws."""

    def __init__(self) -> None:
        self.labels: list[str] = []

    def label(self, text: str = "", **_: object) -> None:
        self.labels.append(text)

    def prop(self, *_: object, **__: object) -> None:
        pass

    def operator(self, *_: object, **__: object) -> SimpleNamespace:
        return SimpleNamespace()

    def column(self, **_: object) -> Layout:
        return self

    row = column


def test_the_panel_names_what_is_missing() -> None:
    head, panel = new_head(), SimpleNamespace(layout=Layout(), head=lambda context: context.object)
    panels.DECA_PT_head.draw(panel, bpy.context)
    assert panel.layout.labels == [head.name]
    lose_some(head)
    panels.DECA_PT_head.draw(panel, bpy.context)
    assert panel.layout.labels[2:] == ["Renamed or deleted by hand:", *LOST]


case.main(globals())
