"""The slider of the wrinkles' age, with the built-in weights and a real backend."""

from __future__ import annotations

from pathlib import Path

import blender_case as case
import bpy
import numpy as np
from bake_case import select, shown_by_live
from wrinkle_case import real_session, shown_map, wrinkled_head

from deca_blender.scene import live

BUILTIN = str(case.ROOT / "assets/weights/openhead.safetensors")


def new_head(**changes: object) -> bpy.types.Object:
    at_rest = {"expression": np.zeros(50, np.float32), "pose": np.zeros((5, 3), np.float32)}
    return wrinkled_head(weights=BUILTIN, detail=np.zeros(128, np.float32), **(at_rest | {"knows_age": True} | changes))


def seen_map(obj: bpy.types.Object) -> np.ndarray:
    bpy.context.view_layer.update()
    live.update_now(obj)
    return shown_map(obj)


def test_older_is_deeper_and_0_is_off(folder: Path) -> None:
    obj = new_head()
    own = seen_map(obj)
    plain = live.inputs_of(obj).request(BUILTIN)
    assert plain.age == 0 and np.array_equal(own, real_session().request(plain, timeout=60).displacement)
    obj.deca.wrinkle_age = 1
    bpy.context.view_layer.update()
    assert live.is_behind(obj)  # without that anybody had asked
    older = seen_map(obj)
    obj.deca.wrinkle_age = -5
    assert obj.deca.wrinkle_age == -1
    younger = seen_map(obj)
    assert younger.std() < 0.8 * own.std() < own.std() < 0.8 * older.std()
    obj.deca.wrinkle_age = 0
    assert np.array_equal(seen_map(obj), own)


def test_it_is_keyframed_saved_undone_and_baked(folder: Path) -> None:
    obj = new_head()
    name = obj.name
    bpy.ops.ed.undo_push(message="before")
    obj.deca.wrinkle_age = 0.5
    bpy.ops.ed.undo_push(message="older")
    bpy.ops.ed.undo()
    assert bpy.data.objects[name].deca.wrinkle_age == 0
    bpy.ops.ed.redo()
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "a.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(folder / "a.blend"))
    obj = bpy.data.objects[name]
    assert obj.deca.wrinkle_age == 0.5 and obj.deca.knows_age
    for frame, age in ((1, -1.0), (11, 1.0)):
        obj.deca.wrinkle_age = age
        obj.deca.keyframe_insert("wrinkle_age", frame=frame)
    maps = []
    for frame in (1, 6, 11):
        bpy.context.scene.frame_set(frame)
        maps.append(shown_map(obj))
    assert maps[0].std() < maps[1].std() < maps[2].std()
    select(obj)
    assert bpy.ops.deca.bake_wrinkles(use_scene_range=False, first=1, last=11, storage="PACKED") == {"FINISHED"}
    bpy.context.scene.frame_set(11)
    assert np.abs(case.evaluated_verts(obj) - shown_by_live(obj, maps[2])).max() < 2e-6  # half floats


def test_weights_that_do_not_know_age_are_not_asked(folder: Path) -> None:
    obj = new_head(knows_age=False)
    obj.deca.wrinkle_age = 1
    bpy.context.view_layer.update()
    assert live.inputs_of(obj).age == 0


case.main(globals())
