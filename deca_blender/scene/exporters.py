"""Blender's exporters, by format, for a scene that holds what is to be written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from ..core.export import ExportError, ExportOptions
from ..core.glb import with_morph_normals
from .export_scene import inside
from .morph_normals import NUMBER, is_smooth, morph_normals, number_vertices

_ADDONS = {"glb": "io_scene_gltf2", "fbx": "io_scene_fbx"}
"""Exporters that the user may have disabled."""


def write(scene: bpy.types.Scene, path: Path, options: ExportOptions, is_animated: bool) -> None:
    """Writes a scene to a file.

    Args:
        scene: A scene of its own; its frame range is that of the animation.
        path: The file; textures that it names lie beside it.
        options: Format and axes.
        is_animated: Whether to write the animation.

    Raises:
        ExportError: The exporter has failed.
    """
    with _enabled(options.format), inside(scene):
        try:
            _WRITERS[options.format](path, options, is_animated)
        except RuntimeError as error:  # how an operator tells that it has failed
            raise ExportError(f"{options.kind.label} could not be written: {str(error).strip()}") from error
    if not path.is_file():
        raise ExportError(f"Blender's exporter has written no {options.kind.label} file; its console may say why.")


@contextmanager
def _enabled(format: str) -> Iterator[None]:
    import addon_utils  # Blender's own

    module = _ADDONS.get(format)
    if module is None or addon_utils.check(module)[1]:
        yield
        return
    if addon_utils.enable(module) is None:
        raise ExportError(f"Blender's add-on {module}, which writes this format, cannot be enabled.")
    try:
        yield
    finally:
        addon_utils.disable(module)


def _call(operator: Any, **settings: object) -> None:
    """Calls an exporter with those of the settings that this Blender knows."""
    known = operator.get_rna_type().properties.keys()
    operator("EXEC_DEFAULT", **{name: value for name, value in settings.items() if name in known})


def _glb(path: Path, options: ExportOptions, is_animated: bool) -> None:
    (mesh,) = (obj.data for obj in bpy.context.scene.objects if isinstance(obj.data, bpy.types.Mesh))
    has_own_normals = mesh.shape_keys is not None and is_smooth(mesh)
    if has_own_normals:
        number_vertices(mesh)
    _call(
        bpy.ops.export_scene.gltf,
        filepath=str(path),
        export_format="GLB",
        use_active_scene=True,
        export_extras=True,
        export_yup=True,
        export_animations=is_animated,
        export_animation_mode="ACTIVE_ACTIONS",
        export_frame_range=is_animated,
        export_optimize_animation_size=True,
        export_morph_normal=not has_own_normals,
        export_attributes=has_own_normals,
        export_try_sparse_sk=True,
        export_cameras=False,
        export_lights=False,
        will_save_settings=False,
    )
    if has_own_normals:
        y_up = (change_V3[:, [0, 2, 1]] * np.array((1, 1, -1), np.float32) for change_V3 in morph_normals(mesh))
        path.write_bytes(with_morph_normals(path.read_bytes(), NUMBER, y_up))


def _fbx(path: Path, options: ExportOptions, is_animated: bool) -> None:
    forward, up = ("-Z", "Y") if options.up == "Y" else ("Y", "Z")
    _call(
        bpy.ops.export_scene.fbx,
        filepath=str(path),
        check_existing=False,
        object_types={"ARMATURE", "MESH"},
        apply_scale_options="FBX_SCALE_ALL",
        axis_forward=forward,
        axis_up=up,
        use_mesh_modifiers=False,
        mesh_smooth_type="OFF",
        add_leaf_bones=False,
        bake_anim=is_animated,
        bake_anim_use_all_actions=False,
        bake_anim_use_nla_strips=False,
        bake_anim_simplify_factor=0.0,
        path_mode="COPY" if options.is_embedded else "STRIP",
        embed_textures=options.is_embedded,
    )


def _usd(path: Path, options: ExportOptions, is_animated: bool) -> None:
    _call(
        bpy.ops.wm.usd_export,
        filepath=str(path),
        check_existing=False,
        export_animation=is_animated,
        export_textures_mode="NEW" if options.is_embedded else "KEEP",
        export_textures=options.is_embedded,
        relative_paths=True,
        convert_orientation=options.up == "Y",
        export_global_forward_selection="NEGATIVE_Z",
        export_global_up_selection="Y",
        export_custom_properties=False,
        author_blender_name=False,
        convert_world_material=False,
        export_subdivision="IGNORE",
    )


def _obj(path: Path, options: ExportOptions, is_animated: bool) -> None:
    forward, up = ("NEGATIVE_Z", "Y") if options.up == "Y" else ("Y", "Z")
    _call(
        bpy.ops.wm.obj_export,
        filepath=str(path),
        check_existing=False,
        forward_axis=forward,
        up_axis=up,
        export_materials=options.textures != "NONE",
        path_mode="STRIP",
        export_material_groups=True,
    )


def _abc(path: Path, options: ExportOptions, is_animated: bool) -> None:
    scene = bpy.context.scene
    _call(
        bpy.ops.wm.alembic_export,
        filepath=str(path),
        check_existing=False,
        start=scene.frame_start,
        end=scene.frame_end,
        face_sets=True,
        export_custom_properties=False,
        as_background_job=False,
        init_scene_frame_range=False,
    )


_WRITERS: dict[str, Callable[[Path, ExportOptions, bool], None]] = {
    "glb": _glb,
    "fbx": _fbx,
    "usd": _usd,
    "obj": _obj,
    "abc": _abc,
}
