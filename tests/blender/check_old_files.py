"""A file of an earlier version in today's add-on: what works goes on working, and what cannot says why.

`tests/data/old_head_protocol3.blend` was saved by the add-on as of commit 906ee2f (Blender 4.5): the portrait of Eileen
Collins (NASA, public domain) with random wrinkles and keyframes; its textures are small and its vertices rounded. Its
head model and weights are not those of today.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import blender_case as case
import bpy
import numpy as np
from bake_case import select, state
from wrinkle_case import HEAD

from deca_blender import registration
from deca_blender.properties.head import DETAIL
from deca_blender.scene import wrinkles
from deca_blender.scene.head import find_head
from deca_blender.scene.import_face import import_face

FILE = case.ROOT / "tests" / "data" / "old_head_protocol3.blend"


def opened() -> bpy.types.Object:
    """The head of the earlier version."""
    bpy.ops.wm.open_mainfile(filepath=str(FILE))
    (head,) = (obj for obj in bpy.data.objects if find_head(obj) == obj)
    select(head)
    return head


def new_head() -> bpy.types.Object:
    """A head of today, whose wrinkles were made with other weights."""
    detail = np.zeros(128, np.float32)
    return import_face(bpy.context, HEAD, case.face_reply(HEAD, detail=detail, weights_hash="earlier"))


def shown(head: bpy.types.Object) -> np.ndarray:
    """Where the vertices are, without what refines the surface; metres."""
    for modifier in head.modifiers:
        if modifier.type != "ARMATURE":
            modifier.show_viewport = False
    bpy.context.view_layer.update()
    mesh = head.evaluated_get(bpy.context.evaluated_depsgraph_get()).to_mesh()
    return np.array([vertex.co[:] for vertex in mesh.vertices])


def refusal(operator: Any, **options: object) -> str:
    """What an operator says that cannot do its work."""
    try:
        operator(**options)
    except RuntimeError as error:
        return str(error)
    raise AssertionError(f"{operator} has not refused")


class Layout:
    """Takes what a panel draws, and fails where it draws a property that is not there."""

    def __init__(self, drawn: list[str]) -> None:
        self._drawn = drawn

    def row(self, **_: object) -> Layout:
        return self

    column = row

    def panel(self, *_: object, **__: object) -> tuple[Layout, Layout]:
        return self, self

    def label(self, text: str = "", **_: object) -> None:
        self._drawn.append(text)

    def operator(self, name: str, text: str = "", **_: object) -> SimpleNamespace:
        getattr(bpy.ops.deca, name.removeprefix("deca.")).poll()
        self._drawn.append(text)
        return SimpleNamespace()

    def operator_menu_enum(self, name: str, property: str, **options: Any) -> None:
        self.operator(name, **options)

    def prop(self, data: Any, name: str, text: str = "", **_: object) -> None:
        if data is not None:  # a script has no space
            data.path_resolve(name)
        self._drawn.append(text)


def test_the_head_is_one_and_moves() -> None:
    head = opened()
    assert head.deca.protocol_version == 3 and head.deca.model == "openhead" and wrinkles.has_wrinkles(head)
    rest = shown(head)
    bpy.context.scene.frame_set(10)  # keyframes of jawOpen and mouthSmileLeft
    assert np.abs(shown(head) - rest).max() > 0.01
    bpy.context.scene.frame_set(1)
    head.data.shape_keys.key_blocks["exp_000"].value = 2.0
    assert np.abs(shown(head) - rest).max() > 0.002
    for call in (
        lambda: bpy.ops.deca.reset_expression(target="NEUTRAL"),
        lambda: bpy.ops.deca.reset_expression(target="PHOTO"),
        bpy.ops.deca.straighten,
        lambda: bpy.ops.deca.apply_preset(preset="Smile"),
        lambda: bpy.ops.deca.mirror_expression(mode="FLIP"),
        bpy.ops.deca.key_expression,
        bpy.ops.deca.render_as_photo,
    ):
        assert call() == {"FINISHED"}
    assert head.data.shape_keys.key_blocks["mouthSmileLeft"].value > 0.3


def test_every_panel_is_drawn() -> None:
    head = opened()
    panels = [cls for cls in registration.CLASSES if issubclass(cls, bpy.types.Panel)]
    assert len(panels) > 9
    said = {}
    for panel in panels:
        assert not hasattr(panel, "head") or panel.poll(bpy.context)  # type: ignore[attr-defined]
        drawn: list[str] = []
        of_head = {"head": staticmethod(lambda context: head)}
        panel.draw(type("Drawn", (), {"layout": Layout(drawn)} | of_head)(), bpy.context)  # type: ignore[attr-defined]
        said[panel.__name__] = " ".join(drawn)
    assert "does not know its landmarks" in said["DECA_PT_pins"]
    assert "imported by an earlier version" in said["DECA_PT_named_shapes"]
    for cls in registration.CLASSES:
        if issubclass(cls, bpy.types.Operator):
            getattr(bpy.ops.deca, cls.bl_idname.removeprefix("deca.")).poll()  # may refuse, but not fail


def test_wrinkles_stay_and_say_what_to_do() -> None:
    head = opened()
    before, kept = state(head), wrinkles.read_map(wrinkles.map_image(head))
    assert np.ptp(kept) > 1e-3
    bakes = ((bpy.ops.deca.bake_wrinkles, {}), (bpy.ops.deca.bake_wrinkle_rig, {"num_maps": 2}))
    for operator, options in ((bpy.ops.deca.update_wrinkles, {}), *bakes):
        said = refusal(operator, **options)
        assert "import the photo again" in said, said
        assert state(head) == before and np.array_equal(wrinkles.read_map(wrinkles.map_image(head)), kept)
    assert "earlier OpenHead" in refusal(bpy.ops.deca.update_wrinkles)


def test_other_weights_of_the_head_are_named() -> None:
    """A file whose head model is today's, but not its weights."""
    head = new_head()
    select(head)
    said = refusal(bpy.ops.deca.update_wrinkles)
    assert "made with other weights" in said and "Choose the weights that the head was imported with" in said


def test_heads_of_two_versions_share_what_they_can() -> None:
    old, new = opened(), new_head()
    select(old, new)  # the last one is active
    said = refusal(bpy.ops.deca.transfer_wrinkles)
    assert "Import both photos with the same head model" in said
    said = refusal(bpy.ops.deca.copy_expression)
    assert "Import both photos with the same head model" in said


def test_its_identity_is_stripped_and_it_is_exported_and_deleted(folder: Path) -> None:
    head = opened()
    file = folder / "old.obj"
    assert bpy.ops.deca.export_head(filepath=str(file), format="obj", normals="0") == {"FINISHED"} and file.exists()
    assert DETAIL in head and head.deca.photo
    assert bpy.ops.deca.strip_identity("EXEC_DEFAULT") == {"FINISHED"}
    assert DETAIL not in head and not head.deca.photo
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "stripped.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(folder / "stripped.blend"))
    (head,) = (obj for obj in bpy.data.objects if find_head(obj) == obj)
    select(head)
    assert DETAIL not in head
    assert bpy.ops.deca.delete_head() == {"FINISHED"} and not bpy.data.objects  # collections had no mark yet


case.main(globals())
