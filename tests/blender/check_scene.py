"""A head among what is there: it stands free, and leaves nothing behind when it is deleted."""

from __future__ import annotations

from types import SimpleNamespace

import blender_case as case
import bpy
import numpy as np
from mathutils import Vector

from deca_blender.scene import live
from deca_blender.scene.camera import camera_of
from deca_blender.scene.duplicates import sharing
from deca_blender.scene.head import rig_of
from deca_blender.scene.import_face import import_face
from deca_blender.ui import menus, panels, texts

HEAD = case.head_reply()


def new_head(seed: int = 0) -> bpy.types.Object:
    return import_face(bpy.context, HEAD, case.face_reply(HEAD, seed, name=f"Zoë {seed}"))


def shown(obj: bpy.types.Object) -> np.ndarray:
    """World positions of an object's evaluated vertices."""
    matrix = np.array(obj.matrix_world)
    return case.evaluated_verts(obj) @ matrix[:3, :3].T + matrix[:3, 3]


def are_apart(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether the boxes of two sets of points do not touch."""
    return bool(((first.max(0) < second.min(0)) | (second.max(0) < first.min(0))).any())


def add(operator, **options) -> bpy.types.Object:
    operator(**options)
    return bpy.context.object


# ---- where it stands -------------------------------------------------------------------------------------------------


def test_not_inside_the_default_cube_nor_in_other_heads() -> None:
    bpy.ops.wm.read_homefile(use_factory_startup=True)
    everything = [bpy.data.objects["Cube"], *(new_head(seed) for seed in range(4))]
    for index, obj in enumerate(everything):
        assert all(are_apart(shown(obj), shown(other)) for other in everything[:index]), obj.name
    assert max(np.abs(shown(obj)).max() for obj in everything) < 4  # near by all the same


def test_at_the_cursor_where_that_is_free() -> None:
    bpy.context.scene.cursor.location = (3, -2, 1)
    head = new_head()
    assert np.allclose(rig_of(head).location, (3, -2, 1))
    bpy.ops.wm.read_homefile(use_factory_startup=True)
    bpy.context.scene.cursor.location = (0, -1.5, 0)  # before the cube
    assert np.allclose(rig_of(new_head()).location, (0, -1.5, 0))


def test_what_modifiers_make_is_stepped_aside_from() -> None:
    cube = add(bpy.ops.mesh.primitive_cube_add, size=0.5, location=(1, 0, 0))
    cube.modifiers.new("Row", "ARRAY").relative_offset_displace = (-3, 0, 0)  # its copy stands where the head would
    assert are_apart(shown(new_head()), shown(cube))


def test_instances_are_stepped_aside_from() -> None:
    parts = bpy.data.collections.new("Parts")
    ball = bpy.data.objects.new("Ball", add(bpy.ops.mesh.primitive_uv_sphere_add, radius=0.3).data)
    bpy.data.objects.remove(bpy.context.object)
    ball.location = (5, 0, 0)
    parts.objects.link(ball)
    parts.instance_offset = (5, 0, 0)
    instance = bpy.data.objects.new("Instance", None)
    instance.instance_type, instance.instance_collection = "COLLECTION", parts
    instance.location, instance.rotation_euler.z = (0.35, 0, 0), 0.7
    bpy.context.scene.collection.objects.link(instance)
    assert np.linalg.norm(shown(new_head()) - (0.35, 0, 0), axis=1).min() > 0.3


def test_what_is_hidden_or_all_around_is_no_obstacle() -> None:
    add(bpy.ops.mesh.primitive_plane_add, size=100)
    add(bpy.ops.mesh.primitive_cube_add, size=20)
    add(bpy.ops.mesh.primitive_cube_add).hide_set(True)
    add(bpy.ops.object.empty_add, type="CUBE")
    add(bpy.ops.object.light_add)
    assert tuple(rig_of(new_head()).location) == (0, 0, 0)


def test_the_photo_lies_behind_wherever_it_stands() -> None:
    """The camera goes with the head: both hang on the armature."""
    bpy.ops.wm.read_homefile(use_factory_startup=True)
    head = new_head()
    assert rig_of(head).location.x > 1
    inverse = camera_of(head).matrix_world.inverted()
    points = np.array([inverse @ Vector(point) for point in shown(head)])
    assert points[:, 2].max() < 0 and np.abs(points[:, :2]).max() < 1


def test_all_heads_of_one_import_are_selected() -> None:
    from deca_blender import backend
    from deca_blender.protocol.messages import ReconstructReply

    def answer(request):
        faces = (case.face_reply(HEAD, seed, name=f"face {seed}") for seed in range(2))
        return ReconstructReply(tuple(faces))

    session, backend.session = backend.session, lambda: case.FakeSession(HEAD, answer)
    try:
        bpy.ops.deca.import_face(filepath="/photos/group.jpg", use_all_faces=True)
    finally:
        backend.session = session
    assert {obj.name for obj in bpy.context.selected_objects} == {"face 0", "face 1"}
    assert bpy.context.object.name == "face 1"


# ---- what the user reads of it ---------------------------------------------------------------------------------------


class Rows:
    """A layout that counts what is drawn into it."""

    def __init__(self) -> None:
        self.drawn: list[str] = []

    def __getattr__(self, name: str):
        def draw(*args: object, **options: object) -> Rows:
            self.drawn.append(name)
            return self

        return draw


def test_the_panel_stays_where_it_is_while_wrinkles_catch_up() -> None:
    detail = {"detail": np.zeros(128, np.float32), "weights_hash": "0123456789abcdef"}
    head = import_face(bpy.context, HEAD, case.face_reply(HEAD, **detail))
    originals = live.is_behind, live.error
    rows = []
    try:
        for is_behind, error, is_live in ((True, "", True), (False, "", True), (False, "Gone.\nWhy", True), (0, "", 0)):
            live.is_behind, live.error = lambda _, value=is_behind: value, lambda _, value=error: value
            head.deca.wrinkles_live = is_live
            layout = Rows()
            panels.DECA_PT_wrinkles.draw(SimpleNamespace(layout=layout, head=lambda _: head), bpy.context)
            rows.append(layout.drawn)
    finally:
        live.is_behind, live.error = originals
    assert rows[0].count("label") >= 2 and all(drawn == rows[0] for drawn in rows)


def test_the_import_has_one_name() -> None:
    name = bpy.types.DECA_OT_import_face.bl_label
    assert name == bpy.types.DECA_FH_photo.bl_label == texts.IMPORT
    assert f"*{name}*" in (case.ROOT / "README.md").read_text(encoding="utf-8")
    for draw, also in ((menus._draw_import, [texts.IMPORT_FOLDER]), (menus._draw_add, [])):
        named: list[object] = []
        layout = SimpleNamespace(operator=lambda *_, text, **__: named.append(text))  # noqa: B023
        draw(SimpleNamespace(layout=layout), bpy.context)
        assert named == [name, *also]


# ---- when it is deleted ----------------------------------------------------------------------------------------------


def names() -> tuple[list[str], list[str]]:
    return sorted(obj.name for obj in bpy.data.objects), sorted(item.name for item in bpy.data.collections)


def test_blenders_own_delete_leaves_no_collection() -> None:
    bpy.ops.wm.read_homefile(use_factory_startup=True)
    before = names()
    head = new_head()
    members = [head, rig_of(head), camera_of(head)]
    bpy.ops.ed.undo_push(message="import")
    with_head = names()
    for member in members[:2]:
        member.select_set(True)
    bpy.ops.object.delete()
    bpy.context.view_layer.update()
    assert names()[1] == with_head[1]  # the camera is still in it
    bpy.data.objects.remove(members[2])
    bpy.context.view_layer.update()
    assert names() == before
    bpy.ops.ed.undo_push(message="delete")
    bpy.ops.ed.undo()
    bpy.context.view_layer.update()
    assert names() == with_head
    bpy.ops.ed.redo()
    bpy.context.view_layer.update()
    assert names() == before


def test_empty_collections_of_others_stay() -> None:
    kept = bpy.data.collections.new("Kept")
    bpy.context.scene.collection.children.link(kept)
    head = new_head()
    child = bpy.data.collections.new("Hair")
    head.users_collection[0].children.link(child)
    bpy.ops.deca.delete_head()
    bpy.context.view_layer.update()
    assert sorted(item.name for item in bpy.data.collections) == ["Hair", "Kept", "Zoë 0"]
    bpy.data.collections.remove(child)
    bpy.context.view_layer.update()
    assert [item.name for item in bpy.data.collections] == ["Kept"]


def test_delete_head_takes_what_belongs_to_it_and_nothing_else() -> None:
    bpy.ops.wm.read_homefile(use_factory_startup=True)
    before = names()
    head, other = new_head(0), new_head(1)
    glasses = add(bpy.ops.mesh.primitive_torus_add)
    own_camera = add(bpy.ops.object.camera_add)
    own_camera.name = "A first one"
    glasses.parent = own_camera.parent = rig_of(head)
    bpy.context.view_layer.update()
    at = glasses.matrix_world.copy()
    bpy.context.view_layer.objects.active = rig_of(head)
    bpy.ops.object.mode_set(mode="POSE")
    bpy.ops.ed.undo_push(message="before")
    everything = names()
    assert bpy.ops.deca.delete_head() == {"FINISHED"}
    kept = sorted([*before[0], other.name, rig_of(other).name, camera_of(other).name, glasses.name, own_camera.name])
    assert names() == (kept, sorted([*before[1], other.users_collection[0].name]))
    bpy.context.view_layer.update()
    assert np.abs(np.array(glasses.matrix_world) - np.array(at)).max() < 1e-6
    bpy.ops.ed.undo_push(message="deleted")
    bpy.ops.ed.undo()
    assert names() == everything


def test_a_linked_duplicate_keeps_the_armature_that_it_shares() -> None:
    head = new_head()
    bpy.ops.object.duplicate(linked=True)
    copy = bpy.context.object
    assert sharing(head) == [copy] and rig_of(copy) == rig_of(head)
    bpy.context.view_layer.objects.active = head
    bpy.ops.deca.delete_head()
    assert rig_of(copy) is not None and camera_of(copy) is not None
    assert case.evaluated_verts(copy).shape == HEAD.verts.shape


case.main(globals())
