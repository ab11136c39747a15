"""Materials of a head: skin, eyes and mouth, all reading one of two textures: albedo, or as photographed.

Both textures are nodes of each material; one of them is joined to what shows it, and is the active one, which Solid
viewports and exporters take. So a file keeps both, and needs no add-on to change between them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import bpy

from .head_mesh import GLOSS, UV_MAP
from .nodes import Nodes

ALBEDO, PHOTOGRAPHED = "Albedo", "As Photographed"
"""Names of the texture nodes; the first is what new heads show: it suits any light."""
COLORS = (ALBEDO, PHOTOGRAPHED)

FREE_PATH = 3.7e-3
"""Metres that red light goes in skin between two scatterings (Jensen et al. 2001, "A Practical Model for Subsurface
Light Transport", diffuse mean free path of skin1)."""
_FREE_PATHS = (1.0, 0.37, 0.19)
"""Of red, green and blue light, in units of that; ibid."""


@dataclass(frozen=True)
class Surface:
    """How one material slot looks.

    Attributes:
        name: End of the material's name.
        color: Linear RGB where there is no texture.
        roughness, specular: As in the Principled BSDF.
        scatters: Share of the light that goes below the surface and comes out beside.
        gloss: How much less rough it is where the mesh is glossiest (`head_mesh.GLOSS`).
        wet: Weight of a clear coat: cornea and tears, saliva.
    """

    name: str
    color: tuple[float, float, float]
    roughness: float
    specular: float
    scatters: float
    gloss: float = 0.0
    wet: float = 0.0


SURFACES = (
    Surface("Skin", (0.55, 0.33, 0.25), 0.52, 0.4, 0.4, gloss=0.2),
    # Scattered, the white of the eye would shine through the pupil.
    Surface("Eyes", (0.75, 0.72, 0.70), 0.4, 0.2, 0.0, wet=1.0),
    Surface("Mouth", (0.30, 0.08, 0.07), 0.3, 0.5, 0.1, wet=0.2),
)
"""One per material slot of the head mesh (head_mesh.MATERIAL_SLOT_OF_PART). Numbers by eye, from portraits in EEVEE and
Cycles under three lights."""
_WET_ROUGHNESS, _WET_IOR = 0.04, 1.376
"""Of tears; the refractive index is the cornea's."""


def add_materials(mesh: bpy.types.Mesh, name: str, textures: Mapping[str, bpy.types.Image]) -> None:
    """Fills the mesh's material slots.

    Args:
        mesh: The head's mesh.
        name: Of the head.
        textures: Image by `COLORS`; none of them, or one, may be missing.
    """
    for surface in SURFACES:
        mesh.materials.append(_build(f"{name} {surface.name}", surface, textures))


def face_textures(head_object: bpy.types.Object) -> dict[str, bpy.types.Image]:
    """The images that the materials of a head show, by `COLORS`; those of heads of earlier versions, which have one,
    count as photographed. What the user's own materials show is not among them."""
    nodes = [node for slot in head_object.material_slots for node in _pictures(slot.material)]
    found = {node.name: node.image for node in nodes if node.name in COLORS}
    shown = [{node.image for node in _pictures(slot.material)} for slot in head_object.material_slots]
    single = set.intersection(*shown) if shown else set()
    if not found and len(single) == 1:
        return {PHOTOGRAPHED: single.pop()}
    return found


def swap_texture(head_object: bpy.types.Object, old: bpy.types.Image, new: bpy.types.Image) -> None:
    """Shows another image wherever the head's materials show `old`, which goes if nothing else does."""
    for slot in head_object.material_slots:
        for node in _pictures(slot.material):
            if node.image == old:
                node.image = new
    if not old.users:
        bpy.data.images.remove(old)


def _pictures(material: bpy.types.Material | None) -> list[Any]:
    tree = material.node_tree if material is not None else None
    return [node for node in tree.nodes if node.type == "TEX_IMAGE" and node.image is not None] if tree else []


def _build(name: str, surface: Surface, textures: Mapping[str, bpy.types.Image]) -> bpy.types.Material:
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    material.diffuse_color = (*surface.color, 1.0)
    tree: Any = material.node_tree
    tree.nodes.clear()
    nodes = Nodes(tree)
    shader = nodes.add("ShaderNodeBsdfPrincipled", 0, 0)
    nodes.link(shader.outputs["BSDF"], nodes.add("ShaderNodeOutputMaterial", 300, 0).inputs["Surface"])
    for socket, value in {
        "Base Color": (*surface.color, 1.0),
        "Roughness": surface.roughness,
        "Specular IOR Level": surface.specular,
        "Subsurface Weight": surface.scatters,
        "Subsurface Radius": _FREE_PATHS,
        "Subsurface Scale": FREE_PATH,
        "Coat Weight": surface.wet,
        "Coat Roughness": _WET_ROUGHNESS,
        "Coat IOR": _WET_IOR,
    }.items():
        shader.inputs[socket].default_value = value
    if surface.gloss > 0:
        gloss = nodes.add("ShaderNodeAttribute", -520, -300, attribute_type="GEOMETRY", attribute_name=GLOSS)
        rough = nodes.math("MULTIPLY_ADD", -320, -300, gloss.outputs["Fac"], -surface.gloss, surface.roughness)
        nodes.link(rough, shader.inputs["Roughness"])
    _add_textures(nodes, shader.inputs["Base Color"], textures)
    return material


def _add_textures(nodes: Nodes, color: Any, textures: Mapping[str, bpy.types.Image]) -> None:
    if not textures:
        return
    coordinates = nodes.add("ShaderNodeUVMap", -820, 0, uv_map=UV_MAP)
    shown = None
    for index, (name, image) in enumerate(sorted(textures.items())):
        node = nodes.add("ShaderNodeTexImage", -620, 280 - 300 * index, name=name, label=name, extension="EXTEND")
        node.image = image
        nodes.link(coordinates.outputs["UV"], node.inputs["Vector"])
        shown = shown or node
    nodes.link(shown.outputs["Color"], color)
    nodes.tree.nodes.active = shown


def has_colors(obj: bpy.types.Object) -> bool:
    """Whether a head has both textures; heads of earlier versions have one."""
    return next(_pairs(obj), None) is not None


def shown_colors(obj: bpy.types.Object) -> str:
    """Which texture a head shows, one of `COLORS`."""
    for _, pair in _pairs(obj):
        return next((name for name in COLORS if pair[name].outputs["Color"].is_linked), ALBEDO)
    return ALBEDO


def show_colors(obj: bpy.types.Object, name: str) -> None:
    """Lets the materials of one head show a texture, one of `COLORS`; materials that the user rebuilt stay."""
    for slot, pair in list(_pairs(obj)):
        if not pair[name].outputs["Color"].is_linked:
            own_material(obj, slot)
            tree: Any = slot.material.node_tree
            (old,) = (tree.nodes[other] for other in COLORS if other != name)
            new = tree.nodes[name]
            for link in list(old.outputs["Color"].links):
                tree.links.new(new.outputs["Color"], link.to_socket)
            tree.nodes.active = new


def _pairs(obj: bpy.types.Object) -> Iterator[tuple[bpy.types.MaterialSlot, dict[str, Any]]]:
    """The slots whose material has both textures, with its nodes."""
    for slot in obj.material_slots:
        tree = slot.material.node_tree if slot.material is not None else None
        found = {name: tree.nodes.get(name) for name in COLORS} if tree is not None else {}
        if found and all(node is not None and node.type == "TEX_IMAGE" for node in found.values()):
            yield slot, found


def own_material(obj: bpy.types.Object, slot: bpy.types.MaterialSlot) -> None:
    """Gives a head a material of its own in a slot, unless nothing else shows the one that it has."""
    material = slot.material
    assert material is not None
    is_shared = obj.data.users > 1 or obj.data.library is not None  # the mesh has the materials of all who show it
    if is_shared and slot.link == "OBJECT":
        is_shared = False  # this one is the object's
    if is_shared or material.users - material.use_fake_user > 1:
        if is_shared:
            slot.link = "OBJECT"
        slot.material = material.copy()
