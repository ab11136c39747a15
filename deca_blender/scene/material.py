"""Materials of a head: skin, eyes and mouth, all reading one texture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import bpy

from .head_mesh import UV_MAP


@dataclass(frozen=True)
class Surface:
    """How one material slot looks.

    Attributes:
        name: End of the material's name.
        color: Linear RGB where there is no texture.
        roughness, specular: As in the Principled BSDF.
        glow: Emission of the surface's own colour.
    """

    name: str
    color: tuple[float, float, float]
    roughness: float
    specular: float
    glow: float = 0.0


SURFACES = (
    Surface("Skin", (0.55, 0.33, 0.25), 0.55, 0.25),
    Surface("Eyes", (0.75, 0.72, 0.70), 0.08, 0.5),
    # Lips and enamel let light through to the teeth; plain surfaces leave them grey behind the lips.
    Surface("Mouth", (0.30, 0.08, 0.07), 0.30, 0.4, glow=0.1),
)
"""One per material slot of the head mesh (head_mesh.MATERIAL_SLOT_OF_PART)."""


def add_materials(mesh: bpy.types.Mesh, name: str, texture: bpy.types.Image | None) -> None:
    """Fills the mesh's material slots."""
    for surface in SURFACES:
        mesh.materials.append(_build(f"{name} {surface.name}", surface, texture))


def face_texture(head_object: bpy.types.Object) -> bpy.types.Image | None:
    """The image that skin, eyes and mouth of a head all show, or None where the user's materials show others."""
    shown = [set(map(_image, _pictures(slot.material))) for slot in head_object.material_slots]
    shared = set.intersection(*shown) if shown else set()
    return next(iter(shared), None)


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


def _image(node: Any) -> bpy.types.Image:
    return node.image


def _build(name: str, surface: Surface, texture: bpy.types.Image | None) -> bpy.types.Material:
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    material.diffuse_color = (*surface.color, 1.0)
    nodes, links = material.node_tree.nodes, material.node_tree.links
    nodes.clear()
    output = nodes.new("ShaderNodeOutputMaterial")
    shader = nodes.new("ShaderNodeBsdfPrincipled")
    output.location, shader.location = (300, 0), (0, 0)
    shader.inputs["Base Color"].default_value = (*surface.color, 1.0)
    shader.inputs["Roughness"].default_value = surface.roughness
    shader.inputs["Specular IOR Level"].default_value = surface.specular
    shader.inputs["Emission Color"].default_value = (*surface.color, 1.0)
    shader.inputs["Emission Strength"].default_value = surface.glow
    links.new(shader.outputs["BSDF"], output.inputs["Surface"])
    if texture is not None:
        picture = nodes.new("ShaderNodeTexImage")
        picture.image = texture
        picture.extension = "EXTEND"
        picture.location = (-320, 0)
        coordinates = nodes.new("ShaderNodeUVMap")
        coordinates.uv_map = UV_MAP
        coordinates.location = (-520, -100)
        links.new(coordinates.outputs["UV"], picture.inputs["Vector"])
        links.new(picture.outputs["Color"], shader.inputs["Base Color"])
        if surface.glow > 0:
            links.new(picture.outputs["Color"], shader.inputs["Emission Color"])
        nodes.active = picture
    return material
