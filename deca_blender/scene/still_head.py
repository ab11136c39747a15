"""Copies of a head in scenes of their own, which can be moved and evaluated while the user's head stays as it is.

A still copy obeys its sliders and bones alone: no animation, no drivers but the rig's own, no constraints. A moving
copy has all of these, and is played to learn what the head does, frame by frame.

Shape suffix: V vertices.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix, Vector
from numpy.typing import NDArray

from ..core import rig
from ..core.wrinkles import axis_angle_of
from .armature import UPRIGHT, set_pose
from .head import rig_of
from .stand_in import STAND_IN
from .wrinkles import DISPLACEMENT, SUBDIVISION

HELD_JOINTS = rig.JOINTS[:2]
"""What holds the head; the others belong to the face."""

_WRINKLES = (DISPLACEMENT, STAND_IN)
_SHAPING = ("crease_edge", "crease_vert", ".edge_verts", ".corner_vert", ".corner_edge")
"""Attributes of a mesh that say where its subdivided vertices lie."""
_SUBDIVIDED = ("levels", "subdivision_type", "quality", "use_limit_surface", "boundary_smooth", "use_creases")
"""Settings of a subdivision that do."""
_KEY_PATH = re.compile(r'key_blocks\["(.+)"\]\.')
_HAND_PATH = re.compile(rf'pose\.bones\["(?:{"|".join(rig.JOINTS)})"\]\.rotation_')
_AT_REST: Mapping[str, tuple[float, float, float]] = dict.fromkeys(rig.JOINTS, (0.0, 0.0, 0.0))


@dataclass(frozen=True)
class Moment:
    """What a head does at a moment.

    Attributes:
        sliders: Value of each shape key that is not driven by the rig; muted ones are at 0.
        turns: Axis-angle in radians by which each joint is turned by hand, beside what ARKit sliders do.
    """

    sliders: dict[str, float] = field(default_factory=dict)
    turns: dict[str, tuple[float, float, float]] = field(default_factory=lambda: dict(_AT_REST))


def moment_of(head_object: bpy.types.Object, depsgraph: bpy.types.Depsgraph) -> Moment:
    """What a head does in an evaluated scene, whoever moved it."""
    mesh = head_object.data
    assert isinstance(mesh, bpy.types.Mesh)
    if mesh.shape_keys is None:
        return Moment()
    blocks = mesh.shape_keys.evaluated_get(depsgraph).key_blocks
    values, muted = np.empty(len(blocks), np.float32), np.empty(len(blocks), bool)
    blocks.foreach_get("value", values)
    blocks.foreach_get("mute", muted)
    sliders = dict(zip(blocks.keys(), np.where(muted, 0, values).tolist(), strict=True))
    for name in (mesh.shape_keys.reference_key.name, *rig.CORRECTIVE_KEYS):
        sliders.pop(name, None)
    return Moment(sliders, _turns(rig_of(head_object), depsgraph))


def _turns(rig_object: bpy.types.Object | None, depsgraph: bpy.types.Depsgraph) -> dict:
    """By what each joint is turned beside its ARKit bone; all bones rest turned alike."""
    turns = dict(_AT_REST)
    if rig_object is None:
        return turns
    bones = rig_object.evaluated_get(depsgraph).pose.bones
    for joint in rig.JOINTS:
        bone = bones.get(joint)
        if bone is None:
            continue
        above = bone.parent
        turn = (above.matrix if above is not None else bone.bone.matrix_local).to_3x3().normalized()
        turn.transpose()
        turns[joint] = tuple(axis_angle_of(np.array(turn @ bone.matrix.to_3x3().normalized())).tolist())
    return turns


class HeadCopy:
    """A copy of a head with its armature in a scene of its own. It is no head to the add-on.

    Args:
        head_object: The user's head.
        scene: An empty scene, which gets the copy.
    """

    def __init__(self, head_object: bpy.types.Object, scene: bpy.types.Scene) -> None:
        self.scene = scene
        self.mesh_object: Any = head_object.copy()
        self.mesh_object.data = head_object.data.copy()
        self.mesh_object.deca.is_head = False
        replaced: dict[Any, Any] = {
            head_object: self.mesh_object,
            head_object.data.shape_keys: self.mesh_object.data.shape_keys,
        }
        original = rig_of(head_object)
        self.rig_object: Any = None
        if original is not None:
            self.rig_object = original.copy()
            replaced[original] = self.rig_object
            inverse = head_object.matrix_parent_inverse.copy()
            self.mesh_object.parent = self.rig_object
            self.mesh_object.matrix_parent_inverse = inverse
        for obj in (self.mesh_object, self.rig_object):
            if obj is not None:
                scene.collection.objects.link(obj)
                obj.hide_viewport = obj.hide_render = False
        self._redirect(replaced)

    @property
    def keys(self) -> Any:
        """The copy's shape keys, or None."""
        return self.mesh_object.data.shape_keys

    def depsgraph(self) -> bpy.types.Depsgraph:
        """The copy's scene, evaluated."""
        layer = self.scene.view_layers[0]
        layer.update()
        assert layer.depsgraph is not None  # the update has made it
        return layer.depsgraph

    def owners(self) -> list[Any]:
        """The datablocks that may have drivers and animation."""
        return [owner for owner in (self.mesh_object, self.keys, self.rig_object) if owner is not None]

    def _redirect(self, replaced: Mapping[Any, Any]) -> None:
        """Has drivers, modifiers and constraints that pointed at the originals point at the copies."""
        for owner in self.owners():
            for curve in owner.animation_data.drivers if owner.animation_data is not None else ():
                for variable in curve.driver.variables:
                    for end in variable.targets:
                        if end.id in replaced:
                            end.id = replaced[end.id]
        for modifier in self.mesh_object.modifiers:
            if modifier.type == "ARMATURE" and modifier.object in replaced:
                modifier.object = replaced[modifier.object]
        for bone in self.rig_object.pose.bones if self.rig_object is not None else ():
            for constraint in bone.constraints:
                if getattr(constraint, "target", None) in replaced:
                    constraint.target = replaced[constraint.target]


class MovingHead(HeadCopy):
    """A copy that does what the head does, without its surface."""

    def __init__(self, head_object: bpy.types.Object, scene: bpy.types.Scene) -> None:
        super().__init__(head_object, scene)
        self.mesh_object.modifiers.clear()

    def at(self, frame: int) -> Moment:
        """What the head does in a frame."""
        self.scene.frame_set(frame)
        return moment_of(self.mesh_object, self.depsgraph())


class StillHead(HeadCopy):
    """A copy that does what it is told.

    Args:
        head_object: The user's head.
        scene: An empty scene.
        levels: Levels of subdivision of its surface.
        kept: Values of shape keys that stay at them, in all moments: `rig.is_identity_key`.
    """

    def __init__(
        self, head_object: bpy.types.Object, scene: bpy.types.Scene, levels: int, kept: Mapping[str, float]
    ) -> None:
        super().__init__(head_object, scene)
        self._kept = dict(kept)
        self._hold_still()
        self._subdivide(levels)
        self.show(Moment())

    def show(self, moment: Moment, has_wrinkles: bool = False) -> None:
        """Puts sliders and joints to those of a moment; sliders that it does not name go to rest."""
        for block in self.keys.key_blocks[1:] if self.keys is not None else ():
            if block.name not in rig.CORRECTIVE_KEYS:
                block.value = self._kept.get(block.name, moment.sliders.get(block.name, 0.0))
        if self.rig_object is not None:
            set_pose(self.rig_object, {joint: np.array(turn) for joint, turn in moment.turns.items()})
        for modifier in self.mesh_object.modifiers:
            if modifier.name in _WRINKLES:
                modifier.show_viewport = has_wrinkles and modifier.name in self._worn

    def evaluated(self) -> bpy.types.Object:
        """The copy as its scene shows it."""
        return self.mesh_object.evaluated_get(self.depsgraph())

    def verts(self) -> NDArray[np.float64]:
        """Vertices (V, 3) in the mesh's own space."""
        return _vectors(self.evaluated().data.vertices, "co")

    def verts_of(self, moments: Iterable[Moment]) -> Iterator[NDArray[np.float64]]:
        """`verts` at each of many moments. A dense surface takes half the time, as its places alone are made."""
        modifiers = list(self.mesh_object.modifiers)
        subdivision = self.mesh_object.modifiers.get(SUBDIVISION)
        if subdivision is None or any(each.type == "ARMATURE" for each in modifiers[modifiers.index(subdivision) :]):
            for moment in moments:
                self.show(moment)
                yield self.verts()
            return
        bare = self._bare(subdivision)
        subdivision.show_viewport = False
        try:
            for moment in moments:
                self.show(moment)
                bare.data.vertices.foreach_set("co", self.verts().astype(np.float32).ravel())
                bare.data.update()
                yield _vectors(bare.evaluated_get(self.depsgraph()).data.vertices, "co")
        finally:
            subdivision.show_viewport = True
            mesh = bare.data
            bpy.data.objects.remove(bare)
            bpy.data.meshes.remove(mesh)

    def _bare(self, subdivision: Any) -> Any:
        """An object with this one's faces and creases, and nothing else, under the same subdivision."""
        mesh: Any = self.mesh_object.data.copy()
        bare: Any = bpy.data.objects.new("bare", mesh)
        bare.shape_key_clear()
        bare.vertex_groups.clear()
        for name in [each.name for each in mesh.attributes if not (each.is_required or each.name in _SHAPING)]:
            mesh.attributes.remove(mesh.attributes[name])
        own = bare.modifiers.new(SUBDIVISION, "SUBSURF")
        for name in _SUBDIVIDED:
            setattr(own, name, getattr(subdivision, name))
        self.scene.collection.objects.link(bare)
        return bare

    def normals(self) -> NDArray[np.float64]:
        """Normals (V, 3) of the vertices."""
        return _vectors(self.evaluated().data.vertex_normals, "vector")

    def heights(self, moment: Moment) -> NDArray[np.float64]:
        """By how much wrinkles move each vertex along its normal at a moment (V,), in the mesh's units.

        A live map is that of now, whatever the moment; a baked rig's follows the sliders.
        """
        self.show(moment, has_wrinkles=True)
        wrinkled_V3 = self.verts()
        self.show(moment)
        return np.einsum("vc,vc->v", wrinkled_V3 - self.verts(), self.normals())

    def upright(self) -> Matrix:
        """From the mesh's own space to Blender's, upright at the origin in the size that it has in the scene."""
        if self.rig_object is None:
            return UPRIGHT.copy()
        self.depsgraph()  # makes the matrices right
        return self._from_rig() @ self.rig_object.matrix_world.inverted() @ self.mesh_object.matrix_world

    def joints(self) -> dict[str, Vector]:
        """Where the joints that are there rest, in the same space."""
        if self.rig_object is None:
            return {}
        bones, from_rig = self.rig_object.data.bones, self._from_rig()
        return {joint: from_rig @ bones[joint].head_local for joint in rig.JOINTS if joint in bones}

    def arkit_turn(self, name: str, joint: str) -> NDArray[np.float64]:
        """Axis-angle (3,) in radians by which an ARKit slider turns a joint at full weight."""
        self.show(Moment({name: 1.0}))
        bones = self.rig_object.evaluated_get(self.depsgraph()).pose.bones if self.rig_object is not None else {}
        bone = bones.get(rig.arkit_bone(joint))
        turn = axis_angle_of(np.array(bone.matrix_basis.to_3x3())) if bone is not None else np.zeros(3)
        return turn.astype(np.float64)

    def _from_rig(self) -> Matrix:
        """Bones rest along head space's axes, so that they tell what has been done to the armature."""
        bones = self.rig_object.data.bones
        axes = next((bones[joint].matrix_local.to_3x3() for joint in rig.JOINTS if joint in bones), UPRIGHT.to_3x3())
        size = sum(self.rig_object.matrix_world.to_scale()) / 3
        return UPRIGHT @ Matrix.Scale(size, 4) @ axes.inverted().to_4x4()

    @staticmethod
    def is_users(owner: bpy.types.ID, path: str) -> bool:
        """Whether a driver of a head moves a slider, or a joint in place of a hand, as only the user's do."""
        key = _KEY_PATH.match(path) if isinstance(owner, bpy.types.Key) else None
        return key[1] not in rig.CORRECTIVE_KEYS if key is not None else _HAND_PATH.match(path) is not None

    def _hold_still(self) -> None:
        for owner in self.owners():
            animation = owner.animation_data
            if animation is None:
                continue
            animation.action = None
            for track in list(animation.nla_tracks):
                animation.nla_tracks.remove(track)
            for curve in list(animation.drivers):
                if self.is_users(owner, curve.data_path):
                    animation.drivers.remove(curve)
        if self.rig_object is not None:
            self.rig_object.constraints.clear()
            for bone in self.rig_object.pose.bones:
                for constraint in list(bone.constraints):
                    bone.constraints.remove(constraint)
        self.mesh_object.show_only_shape_key = False
        for block in self.keys.key_blocks if self.keys is not None else ():
            block.mute = False
            block.slider_min, block.slider_max = min(block.slider_min, 0.0), max(block.slider_max, 1.0)

    def _subdivide(self, levels: int) -> None:
        """Leaves the armature and, for a dense surface, the modifiers of wrinkles."""
        subdivision = self.mesh_object.modifiers.get(SUBDIVISION)
        self._worn = {
            modifier.name
            for modifier in self.mesh_object.modifiers
            if modifier.name in _WRINKLES and modifier.show_viewport
        }
        own = (SUBDIVISION, *_WRINKLES) if levels else ()
        for modifier in list(self.mesh_object.modifiers):
            if modifier.type != "ARMATURE" and modifier.name not in own:
                self.mesh_object.modifiers.remove(modifier)
        if not levels:
            return
        if subdivision is None:
            subdivision = self.mesh_object.modifiers.new(SUBDIVISION, "SUBSURF")
            subdivision.uv_smooth, subdivision.use_limit_surface = "NONE", False
        subdivision.levels, subdivision.show_viewport = levels, True


def _vectors(collection: Any, name: str) -> NDArray[np.float64]:
    flat = np.empty(3 * len(collection), np.float32)
    collection.foreach_get(name, flat)
    return flat.reshape(-1, 3).astype(np.float64)
