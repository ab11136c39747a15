"""The age slider: there where the head model knows how people age, and it moves the neutral head as they do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import blender_case as case
import bpy
import numpy as np
from numpy.typing import NDArray

from deca_blender.core import rig
from deca_blender.scene import wrinkles
from deca_blender.scene.head import slider_names
from deca_blender.scene.import_face import ImportOptions, import_face
from deca_blender.ui import panels

PLAIN = replace(case.head_reply(), age_direction=None)
AGE_CODE = np.random.default_rng(5).standard_normal(case.NUM_SHAPE) * 0.6 / np.sqrt(case.NUM_SHAPE)
"""Mean shape of people who are a deviation of 17 years older than the mean."""
HEAD = replace(PLAIN, age_direction=(PLAIN.shape_dirs @ (AGE_CODE / 17)).astype(np.float32))
FACE = case.face_reply(HEAD, 1, expression=np.zeros(50, np.float32), pose=np.zeros((5, 3), np.float32))


def new_head(head=HEAD, **changes: object) -> bpy.types.Object:
    return import_face(bpy.context, head, replace(FACE, **changes), ImportOptions(use_camera=False))


def aged(years: float) -> NDArray[np.float64]:
    """The oracle's head of the same person some years later, at rest."""
    shape = FACE.shape + AGE_CODE * years / 17
    return case.posed_verts(HEAD, shape, np.zeros(50), np.zeros((5, 3)))


def shown_in_panel(head: bpy.types.Object) -> set[str]:
    """Names of the properties that the head's panel draws."""
    drawn: set[str] = set()

    class Layout:
        def __getattr__(self, name: str):
            return lambda *args, **options: self if name in ("row", "column") else Layout()

        def prop(self, data: object, name: str, **options: object) -> None:
            drawn.add(name)

    bpy.context.view_layer.objects.active = head
    panel = type("Panel", (), {"layout": Layout(), "head": staticmethod(lambda context: head)})()
    panels.DECA_PT_head.draw(panel, bpy.context)
    return drawn


def test_years_move_the_neutral_head() -> None:
    head = new_head()
    assert head.deca.age == 0 and np.abs(case.evaluated_verts(head) - aged(0)).max() < 1e-6
    for years in (10.0, -30.0, 30.0):
        head.deca.age = years
        assert abs(head.deca.age - years) < 1e-5
        assert np.abs(case.evaluated_verts(head) - aged(years)).max() < 1e-6
        assert np.abs(aged(years) - aged(0)).max() > 1e-4
    head.deca.age = 100
    assert head.deca.age == 30
    assert "age" in shown_in_panel(head)


def test_turned_bones_of_an_older_head() -> None:
    """Bones stay where the photo's head has them, a fraction of a millimetre from the older one's joints."""
    pose = np.zeros((5, 3))
    pose[1:, 0], pose[3:, 1] = (0.3, 0.3, 0.1, 0.1), 0.4
    head = new_head(pose=pose.astype(np.float32))
    head.deca.age = 30
    older = case.posed_verts(HEAD, FACE.shape + AGE_CODE * 30 / 17, np.zeros(50), pose)
    younger = case.posed_verts(HEAD, FACE.shape, np.zeros(50), pose)
    assert np.abs(case.evaluated_verts(head) - older).max() < 0.25 * np.abs(older - younger).max()


def test_heads_that_know_no_age_have_no_slider() -> None:
    head = new_head(PLAIN)
    assert rig.AGE_KEY not in head.data.shape_keys.key_blocks and "age" not in shown_in_panel(head)
    before = case.evaluated_verts(head)
    head.deca.age = 20
    assert head.deca.age == 0 and np.array_equal(case.evaluated_verts(head), before)


def test_age_is_no_expression() -> None:
    """Nothing that is done to the expression changes it, and wrinkles do not see it."""
    head = new_head(detail=np.ones(128, np.float32), weights_hash="w1", expression=np.ones(50, np.float32))
    assert rig.AGE_KEY not in slider_names(head)
    depsgraph = bpy.context.evaluated_depsgraph_get()
    before = wrinkles.wrinkle_inputs(head, depsgraph)
    head.deca.age = 20
    bpy.context.view_layer.update()
    after = wrinkles.wrinkle_inputs(head, depsgraph)
    assert before.expression_E.any() and np.array_equal(before.expression_E, after.expression_E)
    assert np.array_equal(before.jaw_3, after.jaw_3)
    bpy.ops.deca.reset_expression(target="NEUTRAL")
    bpy.ops.deca.random_expression()
    bpy.ops.deca.reset_expression(target="PHOTO")
    assert abs(head.deca.age - 20) < 1e-5


def test_age_is_kept_and_keyed_without_the_add_on(folder: Path) -> None:
    """It is a shape key like any other: saved, copied with the head, undone, animated."""
    head = new_head()
    name = head.name
    bpy.ops.ed.undo_push(message="before")
    head.deca.age = 20
    bpy.ops.ed.undo_push(message="older")
    bpy.ops.ed.undo()
    head = bpy.data.objects[name]
    assert head.deca.age == 0
    bpy.ops.ed.redo()
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "a.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(folder / "a.blend"))
    head = bpy.data.objects[name]
    assert np.abs(case.evaluated_verts(head) - aged(20)).max() < 1e-6
    key = head.data.shape_keys.key_blocks[rig.AGE_KEY]
    for frame, decades in ((1, 0.0), (11, 3.0)):
        key.value = decades
        key.keyframe_insert("value", frame=frame)
    bpy.context.scene.frame_set(11)
    assert np.abs(case.evaluated_verts(head) - aged(30)).max() < 1e-6 and abs(head.deca.age - 30) < 1e-5
    bpy.context.scene.frame_set(1)
    assert np.abs(case.evaluated_verts(head) - aged(0)).max() < 1e-6


case.main(globals())
