"""The two textures of a head: which one its materials show, who else is concerned, what keeps them."""

from __future__ import annotations

import json
from pathlib import Path

import blender_case as case
import bpy
import numpy as np

from deca_blender.protocol.messages import Notice
from deca_blender.scene import material, shading, wrinkles
from deca_blender.scene.head import notices
from deca_blender.scene.identity import strip_identity
from deca_blender.scene.import_face import ImportOptions, import_face
from deca_blender.scene.transfer import transfer_wrinkles
from deca_blender.ui import texts

HEAD = case.head_reply()


def new_head(seed: int = 1) -> bpy.types.Object:
    detail = np.full(128, seed, np.float32)
    told = (Notice("mirrored", 0.31), Notice("new in another version", 2.0))
    face = case.face_reply(HEAD, seed, name=f"Zoë {seed}", detail=detail, weights_hash="w1", notices=told)
    obj = import_face(bpy.context, HEAD, face, ImportOptions(use_camera=False))
    obj.deca.wrinkles_live = False
    return obj


def shown(obj: bpy.types.Object) -> set[str]:
    """Names of the images that reach the shaders of a head's materials, and of those that Solid viewports show."""
    names = set()
    for slot in obj.material_slots:
        tree = slot.material.node_tree
        shader = next(node for node in tree.nodes if node.type == "BSDF_PRINCIPLED")
        node = shader.inputs["Base Color"].links[0].from_node
        while node.type != "TEX_IMAGE":
            node = node.inputs["Color"].links[0].from_node
        names |= {node.image.name, tree.nodes.active.image.name}
    return names


def test_new_heads_show_the_albedo_and_the_switch_changes_all_materials() -> None:
    obj = new_head()
    assert obj.deca.colors == "ALBEDO" and shown(obj) == {"Zoë 1 Albedo"}
    obj.deca.colors = "PHOTOGRAPHED"
    assert obj.deca.colors == "PHOTOGRAPHED" and shown(obj) == {"Zoë 1 As Photographed"}
    obj.deca.colors = "ALBEDO"
    assert shown(obj) == {"Zoë 1 Albedo"}
    assert not obj.animation_data or not any("colors" in c.data_path for c in obj.animation_data.drivers)


def test_linked_duplicates_are_switched_one_by_one() -> None:
    obj = new_head()
    for part in (obj, obj.parent):
        part.select_set(True)
    bpy.ops.object.duplicate(linked=True)
    (copy,) = [other for other in bpy.context.selected_objects if other.type == "MESH"]
    assert copy.data == obj.data
    copy.deca.colors = "PHOTOGRAPHED"
    assert (obj.deca.colors, copy.deca.colors) == ("ALBEDO", "PHOTOGRAPHED")
    num_materials = len(bpy.data.materials)
    copy.deca.colors = "ALBEDO"
    copy.deca.colors = "PHOTOGRAPHED"
    assert len(bpy.data.materials) == num_materials


def test_undo_files_and_libraries_keep_the_switch(folder: Path) -> None:
    name = new_head().name
    path = str(folder / "colors.blend")
    bpy.ops.ed.undo_push(message="Import")
    bpy.data.objects[name].deca.colors = "PHOTOGRAPHED"
    bpy.ops.ed.undo_push(message="Colors")
    bpy.ops.ed.undo()
    assert bpy.data.objects[name].deca.colors == "ALBEDO"
    bpy.ops.ed.redo()
    assert bpy.data.objects[name].deca.colors == "PHOTOGRAPHED"
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    obj = bpy.data.objects[name]
    assert obj.deca.colors == "PHOTOGRAPHED"
    obj.deca.colors = "ALBEDO"
    assert all(np.ptp(case.shown(image)) > 200 for image in bpy.data.images if image.name.startswith("Zoë 1 A"))
    bpy.ops.wm.read_homefile(app_template="")
    with bpy.data.libraries.load(path, link=True) as (_, wanted):
        wanted.objects = [name]
    (linked,) = wanted.objects
    assert linked.deca.colors == "PHOTOGRAPHED" and material.has_colors(linked)


def test_bakes_transfer_and_stripping_leave_both() -> None:
    obj, other = new_head(1), new_head(2)
    obj.deca.colors = "PHOTOGRAPHED"
    shading.show_heights(obj, shading.live_heights(wrinkles.map_image(obj)))
    transfer_wrinkles(other, obj, 1.0)
    assert shown(obj) == {"Zoë 1 As Photographed"} and shown(other) == {"Zoë 2 Albedo"}
    told = [texts.notice(code, value) for code, value in notices(obj)]
    assert len(told) == 2 and "31%" in told[0] and "new in another version" in told[1]
    strip_identity([obj])
    assert obj.deca.colors == "PHOTOGRAPHED" and material.has_colors(obj) and notices(obj) == []


def test_heads_of_earlier_versions_have_no_switch() -> None:
    obj = new_head()
    for slot in obj.material_slots:
        slot.material.node_tree.nodes.remove(slot.material.node_tree.nodes["As Photographed"])
    assert not material.has_colors(obj)
    obj.deca.colors = "PHOTOGRAPHED"
    assert obj.deca.colors == "ALBEDO" and shown(obj) == {"Zoë 1 Albedo"}


def test_gltf_has_what_is_shown(folder: Path) -> None:
    bpy.ops.preferences.addon_enable(module="io_scene_gltf2")
    obj = new_head()
    obj.deca.colors = "PHOTOGRAPHED"
    path = folder / "head.gltf"
    bpy.ops.export_scene.gltf(filepath=str(path), export_format="GLTF_SEPARATE", export_morph=False, export_skins=False)
    written = json.loads(path.read_text())
    assert [image["name"] for image in written["images"]] == ["Zoë 1 As Photographed"]
    assert all("baseColorTexture" in each["pbrMetallicRoughness"] for each in written["materials"])


def test_nothing_glows_and_the_lips_are_glossy() -> None:
    obj = new_head()
    for slot in obj.material_slots:
        shader = next(node for node in slot.material.node_tree.nodes if node.type == "BSDF_PRINCIPLED")
        assert shader.inputs["Emission Strength"].default_value == 0 and not shader.inputs["Emission Color"].is_linked
        assert 0 < shader.inputs["Subsurface Scale"].default_value < 0.01  # metres
    gloss = np.empty(len(obj.data.vertices), np.float32)
    obj.data.attributes["skin_gloss"].data.foreach_get("value", gloss)
    assert np.array_equal(gloss, HEAD.gloss)


case.main(globals())
