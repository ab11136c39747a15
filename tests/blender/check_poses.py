"""The expressions that ship as pose assets: Blender's own pose functions put a head to each of them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import blender_case as case
import bpy
import numpy as np

from deca_blender.core import arkit
from deca_blender.core.expressions import PRESETS
from deca_blender.scene import pose_assets
from deca_blender.scene.expression import arkit_weights
from deca_blender.scene.head import rig_of
from deca_blender.scene.import_face import import_face

HEAD = case.head_reply()
FILE = str(pose_assets.LIBRARY / "expressions.blend")


def new_head() -> bpy.types.Object:
    return import_face(bpy.context, HEAD, case.face_reply(HEAD, expression=np.zeros(50, np.float32)))


def wanted(name: str, amount: float = 1.0) -> dict[str, float]:
    return {slider: amount * PRESETS[name].get(slider, 0.0) for slider in arkit.NAMES}


def assert_shows(head: bpy.types.Object, weights: dict[str, float]) -> None:
    shown = arkit_weights(head)
    assert all(abs(shown[name] - weight) < 1e-6 for name, weight in weights.items()), shown


def test_every_preset_is_an_asset_with_a_picture() -> None:
    with bpy.data.libraries.load(FILE, assets_only=True) as (source, target):
        assert sorted(source.actions) == sorted(PRESETS) and len(PRESETS) >= 12
        target.actions = source.actions
    for action in target.actions:
        asset = action.asset_data
        assert asset.license == "CC0-1.0" and pose_assets.TAG in asset.tags
        pixels = np.empty(4 * np.prod(action.preview.image_size), np.float32)
        action.preview.image_pixels_float.foreach_get(pixels)
        assert 0.1 < pixels.reshape(-1, 4)[:, 3].mean() < 0.95 and pixels.std() > 0.1
    catalogs = (pose_assets.LIBRARY / "blender_assets.cats.txt").read_text(encoding="utf-8")
    assert {action.asset_data.catalog_id in catalogs for action in target.actions} == {True}
    assert sum(path.stat().st_size for path in pose_assets.LIBRARY.iterdir()) < 1e6


def test_blenders_own_pose_functions_reach_the_sliders() -> None:
    head = new_head()
    pose = rig_of(head).pose
    face = case.face_reply(HEAD)
    with bpy.data.libraries.load(FILE) as (source, target):
        target.actions = source.actions
    for action in target.actions:
        pose.apply_pose_from_action(action, evaluation_time=1)
        assert_shows(head, wanted(action.name))
        arkit_A = np.array([PRESETS[action.name].get(name, 0.0) for name in HEAD.arkit_names])
        expected = case.posed_verts(HEAD, face.shape, np.zeros(50), face.pose, arkit_A)
        assert np.abs(case.evaluated_verts(head) - expected).max() < 1e-5, action.name
    bpy.ops.deca.reset_expression(target="NEUTRAL")
    pose.blend_pose_from_action(bpy.data.actions["Shout"], blend_factor=0.25, evaluation_time=1)
    assert_shows(head, wanted("Shout", 0.25))


def test_sliders_of_the_armature_are_the_shape_keys() -> None:
    head = new_head()
    rig, keys = rig_of(head), head.data.shape_keys.key_blocks
    keys["jawOpen"].value = 0.3
    assert np.isclose(rig.deca_sliders.jawOpen, 0.3)
    rig.deca_sliders.jawOpen = 0.7
    assert np.isclose(keys["jawOpen"].value, 0.7)
    other = bpy.data.objects.new("no head", None)
    other.deca_sliders.jawOpen = 1
    assert other.deca_sliders.jawOpen == 0


def test_the_operator_applies_assets_of_a_file_and_of_this_one() -> None:
    head = new_head()
    before = len(bpy.data.actions), len(bpy.data.libraries)
    for name in ("Laugh", "Kiss"):
        assert bpy.ops.deca.apply_pose_asset(library=FILE, action=name) == {"FINISHED"}
        assert_shows(head, wanted(name))
    assert (len(bpy.data.actions), len(bpy.data.libraries)) == before
    bpy.ops.deca.save_pose_asset(name="Mine é")
    assert bpy.data.actions["Mine é"].asset_data is not None
    bpy.ops.deca.reset_expression(target="NEUTRAL")
    bpy.ops.deca.apply_pose_asset(action="Mine é", amount=0.5)
    assert_shows(head, wanted("Kiss", 0.5))
    for library, name in ((FILE, "Nobody"), (FILE + "x", "Kiss"), ("", "Nobody")):
        try:
            bpy.ops.deca.apply_pose_asset(library=library, action=name)
        except RuntimeError as error:
            assert name in str(error)
        else:
            raise AssertionError("no error was reported")


def test_references_of_the_asset_shelf_are_found() -> None:
    bpy.ops.deca.add_pose_library()
    try:
        found = pose_assets.located(pose_assets.LIBRARY_NAME, "expressions.blend/Action/Puffed Cheeks")
        assert Path(found[0]) == Path(FILE) and found[1] == "Puffed Cheeks"
        assert pose_assets.located("", "Action/Mine") == ("", "Mine")
        assert pose_assets.located("unknown", "x.blend/Action/Mine") == ("", "Mine")
    finally:
        bpy.ops.deca.remove_pose_library()


def test_the_shelf_is_asked_before_there_is_an_active_object() -> None:
    """So it is while Blender opens a file whose asset shelf was visible: the context has a mode and no object."""
    poll = bpy.types.DECA_AST_expressions.poll
    assert not poll(SimpleNamespace(mode="OBJECT"))
    assert poll(SimpleNamespace(mode="OBJECT", object=new_head()))


def test_nothing_happens_without_a_head() -> None:
    assert not bpy.ops.deca.apply_pose_asset.poll() and not bpy.ops.deca.save_pose_asset.poll()


def test_the_library_is_added_and_removed_on_request(folder: Path) -> None:
    def registered() -> list[str]:
        return [library.path for library in bpy.context.preferences.filepaths.asset_libraries]

    before = registered()
    assert not pose_assets.is_registered()
    for _ in range(2):
        bpy.ops.deca.add_pose_library()
        assert len(registered()) == len(before) + 1 and pose_assets.is_registered()
    bpy.ops.deca.remove_pose_library()
    assert registered() == before


case.main(globals())
