"""A photo's own lines, from the backend's bytes to the shown map: made reliefs with one known line, a real backend."""

from __future__ import annotations

from pathlib import Path

import blender_case as case
import bpy
import numpy as np
from bake_case import FEWER, fitted_to, select, shown_by_live
from numpy.typing import NDArray
from wrinkle_case import FOREHEAD, HEAD, WEIGHTS, decoded, real_session, relief_of, shown_map, wrinkled_head

from deca_blender.core import wrinkle_rig
from deca_blender.properties.head import RELIEF
from deca_blender.protocol.messages import DecodeWrinkles, ReliefShare
from deca_blender.scene import live, wrinkles
from deca_blender.scene.identity import strip_identity

COLUMNS = slice(110, 146)
"""Of the middle of the forehead, where the lines lie."""
HIGHER = 62
BUILTIN = str(case.ROOT / "assets/weights/openhead.safetensors")


def head_with_line(seed: int = 0, row: int = FOREHEAD) -> bpy.types.Object:
    detail = np.random.default_rng(seed).normal(size=128).astype(np.float32)  # as `wrinkled_head` draws it
    return wrinkled_head(seed, relief=relief_of(detail, row))


def seen_map(obj: bpy.types.Object) -> NDArray[np.float32]:
    """The map of what the head looks like now."""
    bpy.context.view_layer.update()
    live.update_now(obj)
    return shown_map(obj)


def without(obj: bpy.types.Object) -> NDArray[np.float32]:
    """F_d's map of it."""
    inputs = live.inputs_of(obj)
    return decoded(inputs.detail_D, inputs.expression_E, inputs.jaw_3)


def at_rest(obj: bpy.types.Object) -> bpy.types.Object:
    keys = obj.data.shape_keys.key_blocks
    for key in keys[1:]:
        key.value = 0
    obj.parent.pose.bones["jaw"].rotation_axis_angle = (0, 1, 0, 0)
    return obj


def test_the_live_map_has_the_line_as_deep_as_the_slider_says() -> None:
    obj = at_rest(head_with_line())
    full, flat = seen_map(obj), without(obj)
    assert np.abs(full[FOREHEAD, COLUMNS] + 0.8e-3).max() < 4e-6
    elsewhere = slice(FOREHEAD + 40, None)  # where the photo shows nothing, 0.4 of F_d's lines stay
    assert np.abs(full[elsewhere] - 0.4 * flat[elsewhere]).max() < 2e-6 < 2e-5 < np.abs(flat[elsewhere]).max()
    for share in (0.25, 0.5):
        obj.deca.photo_detail = share
        assert np.abs(seen_map(obj) - (flat + share * (full - flat))).max() < 2e-6
    obj.deca.photo_detail = 0
    assert np.array_equal(seen_map(obj), flat)
    obj.deca.photo_detail = 2
    assert np.abs(seen_map(obj)[FOREHEAD, COLUMNS] + 1.57e-3).max() < 8e-6  # skin allows no more than 3 mm


def test_the_slider_is_keyframed_and_updates_by_itself() -> None:
    obj = at_rest(head_with_line())
    seen_map(obj)
    obj.deca.photo_detail = 0.5
    bpy.context.view_layer.update()
    assert live.is_behind(obj)  # without that anybody had asked
    obj.deca.keyframe_insert("photo_detail", frame=1)
    obj.deca.photo_detail = 1.0
    obj.deca.keyframe_insert("photo_detail", frame=11)
    depths = []
    for frame in (1, 6, 11):
        bpy.context.scene.frame_set(frame)
        depths.append(shown_map(obj)[FOREHEAD, COLUMNS].mean() - without(obj)[FOREHEAD, COLUMNS].mean())
    assert np.allclose(np.array(depths) / depths[2], (0.5, 0.75, 1.0), atol=1e-3) and depths[2] < 0


def test_the_line_moves_with_the_skin() -> None:
    obj = at_rest(head_with_line())
    still = seen_map(obj)[FOREHEAD, COLUMNS]
    obj.data.shape_keys.key_blocks["browInnerUp"].value = 1
    moved = seen_map(obj)[FOREHEAD, COLUMNS]
    assert np.abs(moved - still).max() > 2e-5 and moved.max() < 0 and moved.min() >= -1.7e-3


def test_transfer_carries_code_and_line(folder: Path) -> None:
    anna, bert = (at_rest(head_with_line(*who)) for who in ((1, FOREHEAD), (2, HIGHER)))
    codes = [live.inputs_of(head) for head in (anna, bert)]
    select(bert, anna)  # Anna is active
    assert bpy.ops.deca.transfer_wrinkles() == {"FINISHED"}
    assert np.array_equal(seen_map(bert), seen_map(anna))
    bert.deca_transfer.amount = 0.25
    (hers,), (his,) = (inputs.reliefs for inputs in codes)
    worn = tuple(ReliefShare(np.frombuffer(r, np.uint8), s) for r, s in ((his, 0.75), (hers, 0.25)))
    detail = 0.75 * codes[1].detail_D + 0.25 * codes[0].detail_D
    zeros = np.zeros(50, np.float32), np.zeros(3, np.float32)
    asked = DecodeWrinkles(WEIGHTS, "", detail.astype(np.float32), *zeros, reliefs=worn)
    assert np.abs(seen_map(bert) - real_session().request(asked, timeout=60).displacement).max() < 1e-7
    cleo = at_rest(wrinkled_head(3))  # without a relief of her own: a head of an earlier version
    assert not live.inputs_of(cleo).reliefs
    select(cleo, bert)
    assert bpy.ops.deca.transfer_wrinkles(amount=0.5) == {"FINISHED"}
    assert {*live.inputs_of(cleo).reliefs.items()} == {(his, 0.375), (hers, 0.125)}
    path = str(folder / "heads.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    assert {*live.inputs_of(bpy.data.objects["head 3"]).reliefs.items()} == {(his, 0.375), (hers, 0.125)}
    bert, cleo = bpy.data.objects["head 2"], bpy.data.objects["head 3"]
    select(bert, cleo)
    assert bpy.ops.deca.restore_wrinkles() == {"FINISHED"}
    assert live.inputs_of(bert).reliefs == {his: 1.0} and not live.inputs_of(cleo).reliefs


def test_strip_identity_removes_the_line_and_says_who_still_has_it(folder: Path) -> None:
    anna, bert = at_rest(head_with_line(1)), at_rest(wrinkled_head(2))
    relief = bytes(anna[RELIEF])
    select(bert, anna)
    bpy.ops.deca.transfer_wrinkles(amount=0.5)
    assert strip_identity([anna]).heads == ["head 2"] and RELIEF not in anna
    select(bert)
    bpy.ops.deca.restore_wrinkles()
    path = folder / "stripped.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path), compress=False)
    assert relief[100:200] not in path.read_bytes()


def test_baked_frames_and_normal_maps_have_the_line() -> None:
    obj = at_rest(head_with_line())
    expected = seen_map(obj)
    select(obj)
    assert bpy.ops.deca.bake_wrinkles(use_scene_range=False, first=1, last=1, storage="PACKED") == {"FINISHED"}
    baked = case.evaluated_verts(obj)
    assert np.abs(baked - shown_by_live(obj, expected)).max() < 2e-6  # half floats
    assert np.abs(baked - shown_by_live(obj, without(obj))).max() > 3e-4


def test_a_baked_rig_is_within_tolerance_of_the_live_map() -> None:
    """Of the built-in weights, on expressions that it was not fitted to."""
    detail = np.zeros(128, np.float32)
    obj = wrinkled_head(weights=BUILTIN, detail=detail, relief=relief_of(detail, FOREHEAD, BUILTIN))
    select(obj)
    with fitted_to(*FEWER):
        assert bpy.ops.deca.bake_wrinkle_rig() == {"FINISHED"}
    print(f"built-in weights and a line: {obj.deca_bake.within:.4f} within 0.15 mm, worst {obj.deca_bake.worst:.2f} mm")
    assert obj.deca_bake.within > 0.99
    rig_inputs = wrinkle_rig.sample_inputs(np.random.default_rng(7), 3, HEAD.arkit_map)
    keys = obj.data.shape_keys.key_blocks
    for row in rig_inputs:
        at_rest(obj)
        for number, value in enumerate(row[:50]):
            keys[f"exp_{number:03d}"].slider_min, keys[f"exp_{number:03d}"].slider_max = -10, 10
            keys[f"exp_{number:03d}"].value = value
        baked = case.evaluated_verts(obj)
        inputs = live.inputs_of(obj)
        assert inputs.reliefs
        map_NN = real_session().request(inputs.request(BUILTIN), timeout=60).displacement
        near = np.linalg.norm(baked - shown_by_live(obj, map_NN), axis=1) <= wrinkle_rig.TOLERANCE
        assert near.mean() > 0.99, near.mean()
    assert wrinkles.displacement_modifier(obj) is not None


case.main(globals())
