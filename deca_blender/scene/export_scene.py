"""A scene with what goes into an export, and nothing else: surface with morphs, clean bones, plain materials.

Shape suffixes: V vertices, M morphs, N frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import bmesh
import bpy
import numpy as np
from mathutils import Matrix, Quaternion, Vector
from numpy.typing import NDArray

from ..core import moving_joints, rig
from ..core.morphs import Morph, key_frames
from .armature import UPRIGHT, add_bone
from .channels import channel_bags
from .head_mesh import GLOSS, PART, UV_MAP
from .nodes import Nodes
from .still_head import StillHead

_PARENTS = {"neck": "root", "jaw": "neck", "eye_l": "neck", "eye_r": "neck"}
_SLOTS = ("skin", "eyes", "mouth")
_KEPT = ("Base Color", "Roughness", "Specular IOR Level", "Coat Weight", "Coat Roughness", "Coat IOR")
"""Of a material's inputs: what other programs know, too."""
_LINEAR = 1  # of a keyframe's interpolation
_FROM_UPRIGHT = UPRIGHT.inverted()


@contextmanager
def inside(scene: bpy.types.Scene, active: bpy.types.Object | None = None) -> Iterator[None]:
    """Lets operators work in a scene that no window shows, on one of its objects."""
    layer, objects = scene.view_layers[0], list(scene.collection.objects)
    layer.objects.active = active
    for obj in objects:
        obj.select_set(True, view_layer=layer)
    names = {"scene": scene, "view_layer": layer, "selected_objects": objects}
    names |= dict.fromkeys(("object", "active_object"), active) if active is not None else {}
    with bpy.context.temp_override(**names):  # pyright: ignore[reportArgumentType]
        yield


class Surface:
    """The mesh of an export, made of a still copy of the head.

    Args:
        still: The copy as it is to be at rest; vertices of morphs and frames are given in its order.
        removed_parts: Values of `HeadReply.part` that are left out.
        use_triangles: Triangles in place of quads.
        scale: Units of the file in a metre.

    Raises:
        ValueError: The head does not know its parts, and some are to be left out.
    """

    def __init__(self, still: StillHead, removed_parts: Sequence[int], use_triangles: bool, scale: float) -> None:
        self.to_file = Matrix.Scale(scale, 4) @ still.upright()
        self.mesh: Any = bpy.data.meshes.new_from_object(
            still.evaluated(), preserve_all_data_layers=True, depsgraph=still.depsgraph()
        )
        parts: Any = self.mesh.attributes.get(PART)
        self._kept_V = np.ones(len(self.mesh.vertices), bool)
        if removed_parts:
            if parts is None:
                raise ValueError("the head is of an earlier version, which did not note its parts")
            values_V = np.empty(len(self._kept_V), np.int32)
            parts.data.foreach_get("value", values_V)
            self._kept_V = ~np.isin(values_V, removed_parts)
        for name in (PART, GLOSS):
            if name in self.mesh.attributes:
                self.mesh.attributes.remove(self.mesh.attributes[name])
        self._cut(use_triangles)

    def place(self, verts_V3: NDArray) -> NDArray[np.float32]:
        """Vertices of the still copy as vertices of this mesh."""
        matrix = np.array(self.to_file)
        return (verts_V3[self._kept_V] @ matrix[:3, :3].T + matrix[:3, 3]).astype(np.float32)

    def move(self, offsets_V3: NDArray) -> NDArray[np.float32]:
        """Offsets of the still copy's vertices as offsets of this mesh's."""
        return (offsets_V3[self._kept_V] @ np.array(self.to_file)[:3, :3].T).astype(np.float32)

    def _cut(self, use_triangles: bool) -> None:
        if self._kept_V.all() and not use_triangles:
            return
        work = bmesh.new()
        work.from_mesh(self.mesh)
        work.verts.ensure_lookup_table()
        gone = [work.verts[index] for index in np.flatnonzero(~self._kept_V)]
        bmesh.ops.delete(work, geom=gone, context="VERTS")
        if use_triangles:
            bmesh.ops.triangulate(work, faces=work.faces[:], quad_method="SHORT_EDGE")
        work.to_mesh(self.mesh)
        work.free()


class ExportScene:
    """What an exporter writes.

    Args:
        name: What objects and materials are called after.
        settings: The user's scene, whose frame rate counts.
    """

    def __init__(self, name: str, settings: bpy.types.Scene) -> None:
        self.name = name
        self.scene = bpy.data.scenes.new(name)
        self.scene.render.fps, self.scene.render.fps_base = settings.render.fps, settings.render.fps_base
        self.scene.frame_start = self.scene.frame_end = settings.frame_current
        self.head: Any = None
        self.skeleton: Any = None

    def add_head(self, surface: Surface, groups: Mapping[str, str], rest_V3: NDArray) -> None:
        """Adds the surface as an object at the origin.

        Args:
            surface: The surface.
            groups: What vertex groups are to be called, by what they are called; the others go.
            rest_V3: Its vertices, as `Surface.place` gives them.
        """
        surface.mesh.name = f"{self.name}_head"
        surface.mesh.vertices.foreach_set("co", rest_V3.ravel())
        surface.mesh.update()
        self.head = bpy.data.objects.new(f"{self.name}_head", surface.mesh)
        self.scene.collection.objects.link(self.head)
        for group in list(self.head.vertex_groups):
            if group.name not in groups:
                self.head.vertex_groups.remove(group)
            else:
                group.name = groups[group.name]

    def add_morphs(self, morphs: Sequence[Morph], rest_V3: NDArray, offsets_MV3: Sequence[NDArray]) -> None:
        """Adds the morphs as shape keys, at 0."""
        self.head.shape_key_add(name="Basis", from_mix=False)
        for morph, offsets_V3 in zip(morphs, offsets_MV3, strict=True):
            key = self.head.shape_key_add(name=morph.name, from_mix=False)
            key.points.foreach_set("co", (rest_V3 + offsets_V3).ravel())
            key.slider_min, key.slider_max = morph.low, morph.high
            key.value = 0.0

    def add_skeleton(self, joints: Mapping[str, Vector], scale: float) -> None:
        """Adds an armature of the joints, and hangs the head on it.

        Args:
            joints: Where they are, metres, upright.
            scale: Units of the file in a metre.
        """
        self.skeleton = bpy.data.objects.new(f"{self.name}_skeleton", bpy.data.armatures.new(f"{self.name}_skeleton"))
        self.scene.collection.objects.link(self.skeleton)
        with inside(self.scene, self.skeleton):
            bpy.ops.object.mode_set(mode="EDIT")
            bones = self.skeleton.data.edit_bones
            for joint in (joint for joint in rig.JOINTS if joint in joints):
                parent = bones.get(_PARENTS.get(joint, ""))
                add_bone(self.skeleton.data, joint, scale * np.array(_FROM_UPRIGHT @ joints[joint]), parent)
            bpy.ops.object.mode_set(mode="OBJECT")
        for bone in self.skeleton.pose.bones:
            bone.rotation_mode = "QUATERNION"
        self.head.parent = self.skeleton
        modifier = self.head.modifiers.new("Skeleton", "ARMATURE")
        modifier.object = self.skeleton

    def add_materials(self, images: Mapping[str, Path], normals: Path | None) -> None:
        """Puts plain materials in place of the user's: colour, roughness and, for the skin, a map of normals.

        Args:
            images: File of each texture, by the name of the image that shows it.
            normals: File of the map.
        """
        mesh = self.head.data
        own = list(mesh.materials)
        names = _SLOTS if len(own) == len(_SLOTS) else [f"material_{index}" for index in range(len(own))]
        for index, (material, name) in enumerate(zip(own, names, strict=True)):
            image = color_image(material)
            file = images.get(image.name) if image is not None else None
            mesh.materials[index] = _plain(f"{self.name}_{name}", material, file, normals if index == 0 else None)

    def set_weights(self, values: Mapping[str, float]) -> None:
        """Puts the morphs to weights by name."""
        for name, value in values.items():
            self.head.data.shape_keys.key_blocks[name].value = value

    def animate_weights(self, weights_NM: NDArray, names: Sequence[str], first: int) -> list[str]:
        """Sets keyframes on the morphs that move; the others stay at the first frame's weights.

        Returns:
            The names of those that move.
        """
        keys = self.head.data.shape_keys
        moving = {}
        for name, values_N in zip(names, weights_NM.T, strict=True):
            keys.key_blocks[name].value = float(values_N[0])
            frames = key_frames(values_N)
            if len(frames) > 1:
                moving[rig.slider(name), 0] = frames, values_N
        _animate(keys, moving, first)
        return [name for name in names if (rig.slider(name), 0) in moving]

    def animate_joints(self, turns_NJ: Sequence[Mapping[str, tuple[float, float, float]]], first: int) -> None:
        """Sets keyframes on the bones that move, of the axis-angles of each frame."""
        moving: dict[tuple[str, int], tuple[list[int], NDArray]] = {}
        for bone in self.skeleton.pose.bones:
            quaternions = [_quaternion(turns.get(bone.name, (0.0, 0.0, 0.0))) for turns in turns_NJ]
            for before, now in pairwise(quaternions):
                now.make_compatible(before)
            bone.rotation_quaternion = quaternions[0]
            values_N4 = np.array(quaternions)
            frames = sorted({frame for values_N in values_N4.T for frame in key_frames(values_N)})
            if len(frames) > 1:
                path = f'pose.bones["{bone.name}"].rotation_quaternion'
                moving |= {(path, index): (frames, values_N) for index, values_N in enumerate(values_N4.T)}
        _animate(self.skeleton, moving, first)

    def play_vertices(self, frames_NV3: Sequence[NDArray], first: int, file: Path) -> None:
        """Has the surface go through vertices by frame, out of a point cache file."""
        count, num_verts = len(frames_NV3), len(frames_NV3[0])
        header = np.array([1, num_verts], "<i4").tobytes() + np.array([first, 1], "<f4").tobytes()
        with file.open("wb") as stream:
            stream.write(b"POINTCACHE2\0" + header + np.array([count], "<i4").tobytes())
            for verts_V3 in frames_NV3:
                stream.write(np.ascontiguousarray(verts_V3, "<f4").tobytes())
        cache = self.head.modifiers.new("Frames", "MESH_CACHE")
        cache.cache_format, cache.filepath, cache.frame_start = "PC2", str(file), float(first)


def color_image(material: bpy.types.Material | None) -> bpy.types.Image | None:
    """The picture of a material's colour: the first one on the way to its shader."""
    shader = _shader(material)
    sockets = [shader.inputs["Base Color"]] if shader is not None else []
    seen = set()
    while sockets:
        socket = sockets.pop(0)
        for link in socket.links:
            node = link.from_node
            if node.bl_idname == "ShaderNodeTexImage" and node.image is not None:
                return node.image
            if node.name not in seen:
                seen.add(node.name)
                sockets += node.inputs
    return None


def _shader(material: bpy.types.Material | None) -> Any:
    tree: Any = material.node_tree if material is not None else None
    return next((node for node in tree.nodes if node.type == "BSDF_PRINCIPLED"), None) if tree is not None else None


def _plain(name: str, own: bpy.types.Material | None, color: Path | None, normals: Path | None) -> bpy.types.Material:
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    nodes = Nodes(material.node_tree)
    nodes.tree.nodes.clear()
    shader = nodes.add("ShaderNodeBsdfPrincipled", 0, 0)
    nodes.link(shader.outputs["BSDF"], nodes.add("ShaderNodeOutputMaterial", 300, 0).inputs["Surface"])
    old = _shader(own)
    if old is not None:
        for socket in _KEPT:
            shader.inputs[socket].default_value = old.inputs[socket].default_value
    if color is not None:
        nodes.link(_texture(nodes, color, 0, "sRGB").outputs["Color"], shader.inputs["Base Color"])
    if normals is not None:
        bump = nodes.add("ShaderNodeNormalMap", -200, -300, uv_map=UV_MAP)
        nodes.link(_texture(nodes, normals, -300, "Non-Color").outputs["Color"], bump.inputs["Color"])
        nodes.link(bump.outputs["Normal"], shader.inputs["Normal"])
    return material


def _texture(nodes: Nodes, file: Path, y: float, space: str) -> Any:
    node = nodes.add("ShaderNodeTexImage", -500, y)
    node.image = bpy.data.images.load(str(file), check_existing=True)
    node.image.colorspace_settings.name = space
    return node


def _quaternion(axis_angle: tuple[float, float, float]) -> Quaternion:
    angle, axis = rig.axis_angle_parts(axis_angle)
    return Quaternion(axis, angle)


def _animate(owner: Any, moving: Mapping[tuple[str, int], tuple[list[int], NDArray]], first: int) -> None:
    """Sets keyframes, straight between each other, on properties of a datablock by path and index."""
    for path, index in moving:
        is_scalar = path.endswith(".value")
        owner.keyframe_insert(path, frame=first) if is_scalar else owner.keyframe_insert(path, index=index, frame=first)
    curves = {(curve.data_path, curve.array_index): curve for bag in channel_bags(owner) for curve in bag.fcurves}
    for place, (frames, values_N) in moving.items():
        points = curves[place].keyframe_points
        points.add(len(frames) - len(points))
        points.foreach_set(
            "co", np.column_stack((np.array(frames) + first, values_N[frames])).astype(np.float32).ravel()
        )
        points.foreach_set("interpolation", np.full(len(frames), _LINEAR, np.int32))
        curves[place].update()


def joint_groups() -> dict[str, str]:
    """Names of joints by the vertex groups that hold their skin."""
    deform = {moving_joints.deform_bone(joint): joint for joint in rig.JOINTS}
    return dict(zip(rig.JOINTS, rig.JOINTS, strict=True)) | deform
