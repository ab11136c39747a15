"""Exports of animated heads, of files by the command; and that they leave the scene alone."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import blender_case as case
import bpy
import numpy as np
from export_case import CALM, TOLERANCE, correspondence, imported, read_back, rig_verts, world_verts

from deca_blender import headless_export
from deca_blender.core.export import ExportError, ExportOptions
from deca_blender.scene import exporters
from deca_blender.scene.export_head import export_head
from deca_blender.scene.head import rig_of, show_neutral


def test_animation_of_sliders_and_bones(folder: Path) -> None:
    """A slider, the jaw turned by hand as jawOpen does, and the neck. Alembic is exact; morphs are at their ends."""
    face, obj = imported(2, **CALM)
    key, bones = obj.data.shape_keys.key_blocks["browInnerUp"], rig_of(obj).pose.bones
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = 11, 17
    for frame, value, jaw, neck in ((11, 0, 0, 0), (13, 1, 0, 0), (15, 0, 0.447, 0), (17, 0, 0, 0.3)):
        key.value = value
        key.keyframe_insert("value", frame=frame)
        for joint, angle in (("jaw", jaw), ("neck", neck)):
            bones[joint].rotation_axis_angle = (angle, 1, 0, 0)
            bones[joint].keyframe_insert("rotation_axis_angle", frame=frame)
    scene.frame_set(12)
    files = {}
    for format in ("glb", "fbx", "usd", "abc"):
        done = export_head(bpy.context, obj, folder / "moving", ExportOptions(format=format, textures="NONE"))
        files[format] = done.files[0]
        told = json.loads(Path(f"{done.files[0]}.json").read_text(encoding="utf-8"))["animation"]
        assert (told["first"], told["last"], told["fps"]) == (11, 17, 24)
        if format != "abc":
            # The hand's jaw is jawOpen but for what little other shapes add to the fit.
            assert told["morphs"][0] == "browInnerUp" and "jawOpen" in told["morphs"], told["morphs"]
            assert not [name for name in told["morphs"] if name.startswith("eye")]
    assert scene.frame_current == 12
    for format, file in files.items():
        mesh = read_back(file)
        offset = 1 if format == "fbx" else 0  # Blender's reader begins at 1
        index = None
        for frame, brow, jaw, neck in ((11, 0, 0, 0), (13, 1, 0, 0), (15, 0, 0.447, 0), (17, 0, 0, 0.3)):
            bpy.context.scene.frame_set(frame + offset)
            pose = np.zeros((5, 3))
            pose[1:3, 0] = neck, jaw
            expected, got = rig_verts(face, {"browInnerUp": brow}, pose), world_verts(mesh)
            index = correspondence(got, expected) if index is None else index
            error = float(np.linalg.norm(got - expected[index], axis=1).max())
            print(f"  {format}, frame {frame}: {1e3 * error:.3f} mm")
            assert error < (TOLERANCE if format == "abc" or not jaw else 1e-3), (format, frame, error)


def state() -> tuple:
    """What of Blender's data and of the screen an export must not change."""
    context = bpy.context
    kinds = ("objects", "meshes", "armatures", "materials", "images", "actions", "scenes", "shape_keys")
    blocks = [sorted(block.name for block in getattr(bpy.data, kind)) for kind in kinds]
    bones = [tuple(bone.rotation_axis_angle) for obj in bpy.data.objects if obj.pose for bone in obj.pose.bones]
    values = [(key.name, key.value) for keys in bpy.data.shape_keys for key in keys.key_blocks]
    active = context.view_layer.objects.active
    selected = sorted(obj.name for obj in context.selected_objects)
    return (
        blocks,
        bones,
        values,
        active.name,
        selected,
        context.mode,
        context.window.scene.name,
        context.scene.frame_current,
    )


def test_the_scene_is_left_alone(folder: Path) -> None:
    """In every mode, with changes that have no keyframe yet, and when the export fails half-way."""
    _, obj = imported(5)
    rig_object = rig_of(obj)
    bpy.context.scene.frame_end = 3
    key = obj.data.shape_keys.key_blocks["jawOpen"]
    key.keyframe_insert("value", frame=1)
    key.value = 0.3  # not keyed
    other = bpy.data.objects.new("other", None)
    bpy.context.scene.collection.objects.link(other)
    other.select_set(True)
    writer = exporters._WRITERS["glb"]

    def failing(*_: object) -> None:
        raise RuntimeError("the disk is full")

    for active, mode in ((rig_object, "POSE"), (obj, "EDIT"), (obj, "OBJECT")):
        bpy.context.view_layer.objects.active = active
        bpy.ops.object.mode_set(mode=mode)
        before = state()
        assert bpy.ops.deca.export_head(filepath=str(folder / f"{mode}.glb")) == {"FINISHED"}
        assert state() == before, mode
        exporters._WRITERS["glb"] = failing
        try:
            export_head(bpy.context, obj, folder / "failed", ExportOptions())
            raise AssertionError("the failure was not told")
        except ExportError as error:
            assert "the disk is full" in str(error)
        finally:
            exporters._WRITERS["glb"] = writer
        assert state() == before, mode
        bpy.ops.object.mode_set(mode="OBJECT")
    assert sorted(path.name for path in folder.iterdir()) == [
        f"{mode}{suffix}" for mode in ("EDIT", "OBJECT", "POSE") for suffix in (".glb", ".glb.json")
    ]


def test_the_command(folder: Path) -> None:
    """All heads of a .blend, in several formats; what is there already is skipped."""
    _, obj = imported(6)
    show_neutral(obj)
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "Zoë.blend"))

    def run(*arguments: str) -> tuple[int, list[dict]]:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            status = headless_export.main([str(folder / "Zoë.blend"), "--out", str(folder / "out"), *arguments])
        return status, [json.loads(line) for line in printed.getvalue().splitlines() if line.startswith("{")]

    status, lines = run("--format", "obj,usd", "--textures", "beside", "--without", "teeth")
    assert status == 0 and lines[-1] == {"summary": {"exports": 2, "failed": 0, "skipped": 0}}
    assert [line["morphs"] for line in lines[:-1]] == [0, 52]
    names = {"Zoë.obj", "Zoë.mtl", "Zoë.usdc", "Zoë.obj.json", "Zoë.usdc.json", "Zoë_color.png"}
    assert {path.name for path in (folder / "out").iterdir()} == names
    status, lines = run("--format", "obj")
    assert status == 0 and lines[-1]["summary"]["skipped"] == 1
    with contextlib.redirect_stderr(io.StringIO()):
        assert headless_export.main(["x.blend", "--out", "out", "--format", "glb", "--up", "z"]) == 2
        assert headless_export.main(["x.blend", "--out", "out", "--format", "gltf"]) == 2
    status, lines = run("--wrinkle-maps")
    assert status == 1 and "no baked wrinkle rig" in lines[0]["error"]


case.main(globals())
