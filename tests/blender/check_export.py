"""Exported heads, read back: each morph is what the rig does; names, ranges, textures, bones, parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import blender_case as case
import bpy
import numpy as np
from export_case import (
    CALM,
    HEAD,
    NAMES,
    TEXTURE,
    TOLERANCE,
    Glb,
    check_uv,
    correspondence,
    imported,
    read_back,
    rig_verts,
    set_weights,
    texture_of,
    world_verts,
)

from deca_blender.core.export import ExportOptions
from deca_blender.core.visemes import VISEMES
from deca_blender.core.wrinkle_rig import WrinkleRig
from deca_blender.scene import wrinkles
from deca_blender.scene.baked_rig import show_rig
from deca_blender.scene.export_head import export_head
from deca_blender.scene.still_head import Moment, StillHead


def check_morphs(mesh: Any, face: Any, names: list[str]) -> None:
    """Single morphs equal the rig's sliders; sums of morphs are sums, whose distance from the rig is told."""
    keys = mesh.data.shape_keys.key_blocks
    assert sorted(key.name for key in keys[1:]) == sorted(names), set(names) ^ {key.name for key in keys[1:]}
    assert all((key.slider_min, key.slider_max, key.value) == (0, 1, 0) for key in keys[1:])
    neutral = rig_verts(face, {})
    index = correspondence(world_verts(mesh), neutral)
    offsets = {name: rig_verts(face, VISEMES.get(name, {name: 1.0})) - neutral for name in names}
    worst = summed = apart = 0.0
    for name in names:
        set_weights(mesh, {name: 1.0})
        worst = max(worst, float(np.abs(world_verts(mesh) - (neutral + offsets[name])[index]).max()))
        assert worst < TOLERANCE, (name, worst)
    random = np.random.default_rng(5)
    for _ in range(10):
        weights = dict(zip(NAMES, random.uniform(0, 1, 52) * (random.uniform(size=52) < 0.3), strict=True))
        set_weights(mesh, weights)
        got = world_verts(mesh)
        expected = neutral + sum(weight * offsets[name] for name, weight in weights.items())
        summed = max(summed, float(np.abs(got - expected[index]).max()))
        apart = max(apart, float(np.linalg.norm(got - rig_verts(face, weights)[index], axis=1).max()))
    assert summed < TOLERANCE
    millimetres = [f"{1e3 * value:.4f} mm" for value in (worst, summed, apart)]
    print("  single morphs {}, sums as sums {}, sums from the rig {}".format(*millimetres))


def test_morphs_of_each_format(folder: Path) -> None:
    face, obj = imported()
    asked = {
        "glb": (ExportOptions(format="glb", expression="NEUTRAL", use_visemes=True), ""),
        "fbx": (ExportOptions(format="fbx", expression="NEUTRAL"), ""),
        "ufbx": (ExportOptions(format="fbx", expression="NEUTRAL", textures="BESIDE", use_triangles=True), "ufbx"),
        "usd": (ExportOptions(format="usd", expression="NEUTRAL"), ""),
        "usd2": (ExportOptions(format="usd", expression="NEUTRAL", textures="BESIDE", use_skeleton=False), ""),
    }
    files = {name: export_head(bpy.context, obj, folder / f"{name} é", asked[name][0]).files for name in asked}
    for name, (options, reader) in asked.items():
        mesh = read_back(files[name][0], reader)
        print(name, [file.name for file in files[name]])
        check_morphs(mesh, face, [*NAMES, *(VISEMES if options.use_visemes else ())])
        set_weights(mesh, {})
        assert np.abs(case.shown(texture_of(mesh.data.materials[0])) - TEXTURE).max() < 1
        check_uv(mesh.data, correspondence(world_verts(mesh), rig_verts(face, {})))
        bones = {bone.name for armature in bpy.data.armatures for bone in armature.bones}
        # USD's blend shapes need some skeleton, so that Blender makes one of one joint.
        assert bones == ({"root", "neck", "jaw", "eye_l", "eye_r"} if options.use_skeleton else {"joint1"}), name


def test_glb_is_what_gltf_says(folder: Path) -> None:
    """Besides, the maps of a baked wrinkle rig and what blends them are in the extras."""
    _, obj = imported(2, **CALM)
    wrinkles.add_wrinkles(obj)
    random = np.random.default_rng(0)
    maps = random.normal(scale=1e-4, size=(5, 32, 32)).astype(np.float32)
    slopes = random.normal(size=(2, 53, 4)).astype(np.float32)
    baked = WrinkleRig(maps[0], maps[1:], slopes[0], slopes[1])
    show_rig(obj, baked)
    obj.data.shape_keys.key_blocks["browInnerUp"].value = 0.75
    normals = folder / "normals.png"
    image = bpy.data.images.new("flat", 4, 4)
    image.pixels[:] = [0.5, 0.5, 1, 1] * 16
    image.filepath_raw, image.file_format = str(normals), "PNG"
    image.save()
    options = ExportOptions(use_wrinkle_maps=True, use_visemes=True)
    done = export_head(bpy.context, obj, folder / "h.glb", options, normals.read_bytes())
    glb = Glb(done.files[0])
    (mesh,) = glb.json["meshes"]
    assert mesh["extras"]["targetNames"] == [*NAMES, *VISEMES] == list(done.morphs)
    assert mesh["weights"] == [0.75 if name == "browInnerUp" else 0 for name in done.morphs]
    assert len(mesh["primitives"]) == 3 and len(glb.json["materials"]) == 3
    for accessor in range(len(glb.json["accessors"])):
        assert np.isfinite(glb.accessor(accessor)).all()
    for primitive in mesh["primitives"]:
        places = glb.accessor(primitive["attributes"]["POSITION"])
        assert glb.accessor(primitive["indices"]).max() < len(places)
        assert len(primitive["targets"]) == len(done.morphs)
        assert np.allclose(glb.accessor(primitive["attributes"]["WEIGHTS_0"]).sum(axis=1), 1, atol=1e-6)
        assert {len(glb.accessor(target["POSITION"])) for target in primitive["targets"]} == {len(places)}
    (skin,) = glb.json["skins"]
    joints = {glb.json["nodes"][joint]["name"] for joint in skin["joints"]}
    assert joints == {"root", "neck", "jaw", "eye_l", "eye_r"}
    assert len(glb.json["images"]) == 2 and all("bufferView" in image for image in glb.json["images"])
    assert "normalTexture" in glb.json["materials"][mesh["primitives"][0]["material"]]

    told = json.loads(Path(f"{done.files[0]}.json").read_text(encoding="utf-8"))
    blend = json.loads(mesh["extras"]["deca_wrinkles"])
    assert blend == told["wrinkles"] and [(folder / name).is_file() for name in blend["maps"]] == [True] * 5
    shown = bpy.data.images.load(str(folder / blend["maps"][2]))
    assert np.abs(np.array(shown.pixels[:]).reshape(32, 32, 4)[::-1, :, 0] - maps[2]).max() < 1e-6
    for name in ("jawOpen", "browInnerUp"):
        inputs = np.array(blend["inputs"])[:, blend["morphs"].index(name)]
        weights = np.maximum(inputs, 0) @ blend["positive"] + np.minimum(inputs, 0) @ blend["negative"]
        map_row = HEAD.arkit_map[:, NAMES.index(name)]  # type: ignore[index]
        expected = baked.weights(np.concatenate((map_row[:50], map_row[51:54]))[None])[0]
        assert np.abs(weights - expected).max() < 1e-4, name


def test_morphs_move_the_normals_as_they_move_the_surface(folder: Path) -> None:
    """The oracle: faces turn, and a vertex' normal is their mean by the angles that they have there."""
    _, obj = imported(2, **CALM)
    options = ExportOptions(expression="NEUTRAL", use_teeth=False, use_triangles=True)
    glb = Glb(export_head(bpy.context, obj, folder / "h.glb", options).files[0])
    (mesh,) = glb.json["meshes"]
    parts = mesh["primitives"]
    assert not any(name.startswith("_") for part in parts for name in part["attributes"])
    rest = np.concatenate([glb.accessor(part["attributes"]["POSITION"]) for part in parts])
    known = np.concatenate([glb.accessor(part["attributes"]["NORMAL"]) for part in parts])
    starts = np.cumsum([0, *(len(glb.accessor(part["attributes"]["POSITION"])) for part in parts)])
    triangles = [glb.accessor(part["indices"]).reshape(-1, 3).astype(int) for part in parts]
    faces = np.concatenate([part + start for part, start in zip(triangles, starts[:-1], strict=True)])
    whose = np.unique(rest, axis=0, return_inverse=True)[1].ravel()  # seams of the texture have several
    single = np.bincount(whose)[whose] == 1
    assert np.abs(angle_weighted(rest, faces, whose) - known)[single].max() < 2e-3
    sparse = 0
    for name in ("jawOpen", "mouthSmileLeft", "browInnerUp", "eyeLookUpLeft"):
        number = mesh["extras"]["targetNames"].index(name)
        moved, turned = (
            np.concatenate([glb.accessor(part["targets"][number][kind]) for part in parts])
            for kind in ("POSITION", "NORMAL")
        )
        expected = angle_weighted(rest + moved, faces, whose)
        assert np.abs(known + turned - expected).max() < 4e-3, name
        assert np.abs(expected - known).max() > 0.1, name
        sparse += sum("sparse" in glb.json["accessors"][part["targets"][number]["NORMAL"]] for part in parts)
        still = np.abs(moved).max(axis=1) == 0
        assert still.any() and np.count_nonzero(turned.any(axis=1) & still) < np.count_nonzero(still) / 2, name
    assert sparse == 4 * len(parts)


def angle_weighted(verts: np.ndarray, faces: np.ndarray, whose: np.ndarray) -> np.ndarray:
    """Unit normals of vertices, of triangles; vertices of one number in `whose` are one."""
    corners = verts[faces].astype(np.float64)
    out = np.zeros((whose.max() + 1, 3))
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-20)
    for corner in range(3):
        one, other = (corners[:, (corner + step) % 3] - corners[:, corner] for step in (1, 2))
        lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
        angle = np.arccos(np.clip((one * other).sum(axis=1) / np.maximum(lengths, 1e-20), -1, 1))
        np.add.at(out, whose[faces[:, corner]], angle[:, None] * across)
    return (out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-20))[whose]


def test_a_dense_surface_is_subdivided_the_same_way_for_many_moments() -> None:
    _, obj = imported(4, **CALM)
    wrinkles.add_wrinkles(obj)
    crease = obj.data.attributes.new("crease_edge", "FLOAT", "EDGE")
    crease.data.foreach_set("value", np.random.default_rng(0).uniform(0, 0.5, len(obj.data.edges)).astype(np.float32))
    still = StillHead(obj, bpy.data.scenes.new("still"), 1, {})
    moments = [Moment({"jawOpen": 1.0}), Moment(), Moment({"mouthSmileLeft": 0.7, "exp_003": 2.0})]
    counts = [len(bpy.data.objects), len(bpy.data.meshes)]
    many = list(still.verts_of(moments))
    assert [len(bpy.data.objects), len(bpy.data.meshes)] == counts
    for moment, verts in zip(moments, many, strict=True):
        still.show(moment)
        assert np.abs(verts - still.verts()).max() < 1e-7 and len(verts) > 3 * len(obj.data.vertices)
    assert np.abs(many[0] - many[1]).max() > 1e-3


def test_surfaces_without_morphs_look_as_the_head_does(folder: Path) -> None:
    face, obj = imported(3)
    obj.data.shape_keys.key_blocks["jawOpen"].value = 0.6
    expected = rig_verts(face, {"jawOpen": 0.6}, face.pose, face.expression)
    for options in (ExportOptions(format="obj", scale=100, up="Z"), ExportOptions(format="abc")):
        done = export_head(bpy.context, obj, folder / "é.glb", options)
        assert done.files[0] == folder / f"é{options.kind.suffix}" and not done.morphs
    for suffix in (".obj", ".abc"):
        if suffix == ".obj":
            bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
            bpy.ops.wm.obj_import(filepath=str(folder / "é.obj"), forward_axis="Y", up_axis="Z")
            (mesh,) = bpy.data.objects
            got = world_verts(mesh) / 100
            assert np.abs(case.shown(texture_of(mesh.data.materials[0])) - TEXTURE).max() < 1
        else:
            got = world_verts(read_back(folder / "é.abc"))
        correspondence(got, expected)
    assert (folder / "é_color.png").is_file()


def test_parts_triangles_and_detail(folder: Path) -> None:
    face, obj = imported(4, **CALM)
    parts = HEAD.part
    options = ExportOptions(use_eyes=False, use_teeth=False, use_tongue=False, format="usd", use_triangles=True)
    mesh = read_back(export_head(bpy.context, obj, folder / "bald", options).files[0])
    assert len(mesh.data.vertices) == np.isin(parts, (0, 6)).sum()
    assert {len(face.vertices) for face in mesh.data.polygons} == {3}
    set_weights(mesh, {"jawOpen": 1.0})
    correspondence(world_verts(mesh), rig_verts(face, {"jawOpen": 1.0})[np.isin(parts, (0, 6))])

    face, obj = imported(4, **CALM)
    wrinkles.add_wrinkles(obj)
    wrinkles.apply_map(obj, np.full((256, 256), 5e-4, np.float32))
    flat = case.evaluated_verts(obj)
    raised = export_head(bpy.context, obj, folder / "dense", ExportOptions(format="obj", detail=1))
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    bpy.ops.wm.obj_import(filepath=str(raised.files[0]))
    (mesh,) = bpy.data.objects
    assert len(mesh.data.vertices) == len(flat)  # one level, as in the viewport, where wrinkles are shown
    correspondence(world_verts(mesh), flat[:, [0, 2, 1]] * [1, -1, 1])


case.main(globals())
