"""Heads of other .blend files: what would be lost is refused with the reason, and stripping claims only what it did."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import blender_case as case
import bpy
import numpy as np

from deca_blender import backend
from deca_blender.protocol.messages import DecodeWrinkles, NormalMapReply, WrinklesReply
from deca_blender.scene import live
from deca_blender.scene.import_face import ImportOptions, import_face

HEAD = case.head_reply()
POSING = {
    "reset_expression": {},
    "apply_preset": {"preset": "Smile"},
    "random_expression": {},
    "mirror_expression": {},
    "key_expression": {},
    "apply_pose_asset": {"action": "Mine"},
}
CHANGING = {
    "bake_wrinkles": {},
    "bake_wrinkle_rig": {},
    "clear_baked_wrinkles": {},
    "restore_wrinkles": {},
    "strip_identity": {},
    "make_independent": {},
}


class Backend(case.FakeSession):
    """Answers with maps in which every number of the codes shows."""

    def request(self, request: object, timeout: float | None = None) -> object:
        if isinstance(request, DecodeWrinkles):
            codes = np.concatenate((request.detail, request.expression, request.jaw))
            return WrinklesReply(np.resize(1e-4 * codes, (256, 256)).astype(np.float32))
        return NormalMapReply(np.zeros(8, np.uint8))


backend.session = lambda: Backend(HEAD, lambda request: Backend(HEAD, None).request(request))  # type: ignore[assignment, return-value]


def new_head(name: str = "Zoë", seed: int = 1, use_camera: bool = False, **changes: object) -> bpy.types.Object:
    detail = np.random.default_rng(seed).normal(size=128).astype(np.float32)
    face = case.face_reply(HEAD, seed, **({"name": name, "detail": detail, "weights_hash": "w1"} | changes))
    return import_face(bpy.context, HEAD, face, ImportOptions(use_camera=use_camera))


def select(active: bpy.types.Object, *others: bpy.types.Object) -> None:
    for obj in bpy.context.view_layer.objects:
        obj.select_set(obj in (active, *others))
    bpy.context.view_layer.objects.active = active


def saved(folder: Path) -> str:
    """A file with a head that wears another's wrinkles, has baked wrinkles and shares its mesh: there is something to
    do for each operator."""
    head, other = new_head("Zoë", 1), new_head("Anna", 2)
    select(other, head)
    bpy.ops.deca.transfer_wrinkles(amount=0.5)
    bpy.context.scene.frame_end = 2
    select(head)
    assert bpy.ops.deca.bake_wrinkles() == {"FINISHED"}
    twin = head.copy()
    head.users_collection[0].objects.link(twin)
    twin.name = "Twin"
    path = str(folder / "heads é.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    return path


def linked(path: str) -> bpy.types.Object:
    """The head, linked into an empty file."""
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    with bpy.data.libraries.load(path, link=True) as (_, target):
        target.collections = ["Zoë"]
    bpy.context.scene.collection.children.link(target.collections[0])
    bpy.context.view_layer.update()
    head = bpy.data.objects["Zoë", path]
    select(head)
    return head


def overridden(path: str, fully: bool) -> bpy.types.Object:
    linked(path)
    collection = bpy.data.collections["Zoë"].override_hierarchy_create(
        bpy.context.scene, bpy.context.view_layer, do_fully_editable=fully
    )
    bpy.context.view_layer.update()
    head = next(obj for obj in collection.all_objects if obj.deca.is_head and obj.name.startswith("Zoë"))
    select(head)
    return head


def refused(name: str, **options: object) -> str:
    """The reason that an operator gives for doing nothing."""
    try:
        getattr(bpy.ops.deca, name)(**options)
    except RuntimeError as error:
        return str(error)
    raise AssertionError(f"{name} did not refuse")


def state(head: bpy.types.Object) -> object:
    keys = head.data.shape_keys
    bones = [list(bone.rotation_axis_angle) for bone in head.parent.pose.bones]
    animated = keys.animation_data.action if keys.animation_data else None
    modifiers = [(modifier.name, modifier.show_viewport) for modifier in head.modifiers]
    return [key.value for key in keys.key_blocks], bones, animated, modifiers, sorted(head.keys()), head.data.users


def a_pose() -> None:
    action = bpy.data.actions.new("Mine")
    action.asset_mark()


def test_nothing_is_done_to_linked_heads_and_read_only_overrides(folder: Path) -> None:
    path = saved(folder)
    for make, reason in ((lambda: linked(path), "is linked from"), (lambda: overridden(path, False), "read-only")):
        head = make()
        a_pose()
        before = state(head)
        for name, options in (POSING | CHANGING).items():
            told = refused(name, **options)
            assert reason in told and path in told, (name, told)
        assert state(head) == before
        head.parent.deca_sliders.jawOpen = 0.9  # Blender's own pose functions
        assert make is None or not reason.startswith("is linked") or state(head) == before


def test_overrides_are_posed_and_nothing_else(folder: Path) -> None:
    path = saved(folder)
    head = overridden(path, True)
    for name, options in CHANGING.items():
        told = refused(name, **options)
        assert "is a library override of" in told and path in told, (name, told)
    assert bpy.ops.deca.apply_preset(preset="Shout") == {"FINISHED"}
    assert bpy.ops.deca.key_expression() == {"FINISHED"}
    head["wrinkle_strength"], head.deca.wrinkles_live = 2.0, False
    name, own = head.name, str(folder / "shot.blend")
    bpy.ops.wm.save_as_mainfile(filepath=own)
    bpy.ops.wm.open_mainfile(filepath=own)
    head = next(obj for obj in bpy.data.objects if obj.name == name and obj.override_library)
    assert np.isclose(head.data.shape_keys.key_blocks["jawOpen"].value, 0.8)
    assert head.data.shape_keys.animation_data.action is not None
    assert head["wrinkle_strength"] == 2.0 and not head.deca.wrinkles_live


def test_a_local_head_with_a_linked_mesh_says_which(folder: Path) -> None:
    path = saved(folder)
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    with bpy.data.libraries.load(path, link=True) as (_, target):
        target.objects = ["Zoë", "Zoë Rig", "Twin"]
    for obj in target.objects:
        bpy.context.scene.collection.objects.link(obj)
    select(*target.objects[:2])
    bpy.ops.object.make_local(type="SELECT_OBJECT")
    head = bpy.data.objects["Zoë", None]
    select(head)
    assert head.library is None and head.data.library is not None
    for name, options in (POSING | CHANGING).items():
        told = refused(name, **options)
        assert f"{head.data.name} is linked from" in told and path in told, (name, told)


def test_what_is_only_read_works_on_linked_heads(folder: Path) -> None:
    head = linked(saved(folder))
    assert bpy.ops.deca.save_pose_asset(name="Theirs") == {"FINISHED"}
    out = folder / "normals.png"
    assert bpy.ops.deca.bake_normal_map(filepath=str(out), use_material=True) == {"FINISHED"}
    assert out.exists() and "Wrinkle Normal Map" not in head.data.materials[0].node_tree.nodes
    assert bpy.ops.deca.update_wrinkles() == {"FINISHED"}
    own = new_head("Own", 5)
    select(head, own)  # the linked head gives
    assert bpy.ops.deca.transfer_wrinkles() == {"FINISHED"} and bpy.ops.deca.copy_expression() == {"FINISHED"}
    select(own, head)  # and does not take
    for name in ("transfer_wrinkles", "copy_expression"):
        assert "is linked from" in refused(name)


def test_of_mixed_heads_only_ours_are_changed(folder: Path) -> None:
    path = saved(folder)
    theirs = linked(path)
    ours, third = new_head("Ours", 5), new_head("Third", 6)
    select(ours, theirs)
    assert bpy.ops.deca.strip_identity() == {"FINISHED"}
    assert "deca_shape" not in ours and "deca_shape" in theirs
    select(third, theirs, new_head("Fourth", 7))
    assert bpy.ops.deca.transfer_wrinkles() == {"FINISHED"}
    assert bpy.data.objects["Fourth"].deca_transfer.source == "Third" and theirs.deca_transfer.source == "Anna"


def test_live_wrinkles_of_linked_heads_and_overrides(folder: Path) -> None:
    """They follow in memory; saving goes on, and says nothing wrong."""
    path = saved(folder)
    told = io.StringIO()
    with contextlib.redirect_stderr(told):
        for fully in (None, True):
            head = linked(path) if fully is None else overridden(path, fully)
            live.update_now(head)
            bpy.context.scene.frame_set(3)
            for _ in range(3):
                live.tick()
            own = str(folder / "shot.blend")
            bpy.ops.wm.save_as_mainfile(filepath=own)
            bpy.ops.wm.open_mainfile(filepath=own)
    assert told.getvalue() == ""


case.main(globals())
