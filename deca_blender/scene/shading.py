"""Wrinkles in the head's material: bump and darker valleys from the same maps that move its surface.

Subdivision moves points that are further apart than lines are wide; the material shows each texel. Nothing is counted
twice, at whatever level of subdivision: a modifier keeps the normals that the surface has before it is displaced
(`SURFACE_NORMAL`), and the bump turns these by the whole map, not the normals of the displaced surface.

The material reads the head's strength and size from the object that it is on, which needs neither drivers nor Python.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bpy

from ..properties.head import SIZE, STRENGTH
from .head_mesh import UV_MAP
from .material import FREE_PATH, own_material
from .nodes import Nodes, input_of

SURFACE = "Wrinkle Surface"
SURFACE_NORMAL = "wrinkle_surface_normal"
"""Attribute of the points: the normal before displacement, object space."""
GROUP = "Wrinkles"
"""Node of the head's materials that holds the group."""
_LIVE_MAP = "Live Map"

SHADE_DEPTH, SHADE_MOST = 0.08e-3, (0.19, 0.29, 0.33)
"""Metres of depth at which a valley is darker by half of the most, and the most of red, green and blue, as shares:
what light is left in a fold has been through skin. By eye, beside photos: fine lines of 0.1 mm are 10 to 18 % darker,
and no fold looks painted however deep it is, as with half as much again, or the same of all colours."""

Heights = Callable[[Nodes, Any], Any]
"""Adds the nodes of a map to a group: (nodes, texture coordinates) -> displacement in metres."""


def add_shading(obj: bpy.types.Object, image: bpy.types.Image) -> None:
    """Lets a head's skin show a live map.

    Args:
        obj: Head with materials, subdivision, and no displacement yet.
        image: Its map.
    """
    modifier: Any = obj.modifiers.new(SURFACE, "NODES")
    modifier.node_group = _surface_nodes(f"{obj.name} {SURFACE}")
    for material in obj.data.materials[:1]:
        tree = material.node_tree
        shader = next(node for node in tree.nodes if node.type == "BSDF_PRINCIPLED")
        base = shader.inputs["Base Color"]
        nodes = Nodes(tree)
        node = nodes.add("ShaderNodeGroup", -220, -100, name=GROUP, label=GROUP)
        node.node_tree = _group(f"{obj.name} {GROUP}", live_heights(image))
        if base.is_linked:
            nodes.link(base.links[0].from_socket, node.inputs["Color"])
        else:
            node.inputs["Color"].default_value = base.default_value
        nodes.link(node.outputs["Color"], base)
        nodes.link(node.outputs["Normal"], shader.inputs["Normal"])
        free_path = nodes.math("MULTIPLY", -220, -400, node.outputs["Size"], FREE_PATH)
        nodes.link(free_path, shader.inputs["Subsurface Scale"])


def show_heights(obj: bpy.types.Object, heights: Heights) -> None:
    """Lets a head's skin show other maps; materials of earlier versions, and those that the user rebuilt, stay."""
    for slot in obj.material_slots:
        node = _node(slot.material)
        if node is None:
            continue
        own_material(obj, slot)
        node = _node(slot.material)
        old = node.node_tree
        node.node_tree = _group(old.name, heights)
        if old.users == 0:
            name = old.name
            bpy.data.node_groups.remove(old)
            node.node_tree.name = name


def shows_live(obj: bpy.types.Object) -> bool:
    """Whether a head's skin shows a live map, not a baked one."""
    return any(_LIVE_MAP in group.nodes for group in _groups(obj))


def num_groups_showing(obj: bpy.types.Object, image: bpy.types.Image) -> int:
    """How many node groups of a head's materials have an image as their live map."""
    return sum(_LIVE_MAP in group.nodes and group.nodes[_LIVE_MAP].image == image for group in _groups(obj))


def live_heights(image: bpy.types.Image) -> Heights:
    """The live map's nodes."""

    def build(nodes: Nodes, uv: Any) -> Any:
        node = picture(nodes, uv, image, 0)
        node.name = _LIVE_MAP
        return node.outputs["Color"]

    return build


def picture(nodes: Nodes, uv: Any, image: bpy.types.Image, y: float) -> Any:
    """A node that samples a picture of maps, smoothly: a map's texel is half a millimetre wide."""
    node = nodes.add("ShaderNodeTexImage", -600, y, interpolation="Cubic", extension="EXTEND")
    node.image = image
    nodes.link(uv, node.inputs["Vector"])
    return node


def attribute(nodes: Nodes, name: str, x: float, y: float) -> Any:
    """A node that reads a property of the object that is rendered: a custom property's name, or an RNA path."""
    return nodes.add("ShaderNodeAttribute", x, y, attribute_type="OBJECT", attribute_name=name)


def _groups(obj: bpy.types.Object) -> set[Any]:
    return {node.node_tree for slot in obj.material_slots if (node := _node(slot.material)) is not None}


def _node(material: bpy.types.Material | None) -> Any:
    """The node of a material that shows wrinkles, or None."""
    tree: Any = material.node_tree if material is not None else None
    node = tree.nodes.get(GROUP) if tree is not None else None
    return node if node is not None and getattr(node, "node_tree", None) is not None else None


def _group(name: str, heights: Heights) -> Any:
    """Nodes that give the colour in the map's valleys, the normal of the surface with the map on it, and the scene's
    units per metre of the head."""
    tree: Any = bpy.data.node_groups.new(name, "ShaderNodeTree")
    tree.interface.new_socket("Color", in_out="INPUT", socket_type="NodeSocketColor")
    tree.interface.new_socket("Color", in_out="OUTPUT", socket_type="NodeSocketColor")
    tree.interface.new_socket("Normal", in_out="OUTPUT", socket_type="NodeSocketVector")
    tree.interface.new_socket("Size", in_out="OUTPUT", socket_type="NodeSocketFloat")
    nodes = Nodes(tree)
    inputs, outputs = nodes.add("NodeGroupInput", 200, 400), nodes.add("NodeGroupOutput", 1600, 0)

    uv = nodes.add("ShaderNodeUVMap", -1200, 0, uv_map=UV_MAP).outputs["UV"]
    # Blender's glTF exporter takes the first picture on the way to a socket for its texture, and none where that node
    # is empty. Without, it would make heights a texture of normals. A mix of nothing of it costs renderers nothing.
    empty = nodes.add("ShaderNodeTexImage", -600, 500, label="Keeps exporters from the map").outputs["Color"]
    map_alone = nodes.mix(-400, 100, 1.0, empty, heights(nodes, uv), data_type="RGBA")
    strength = attribute(nodes, STRENGTH, -400, 300).outputs["Fac"]
    height = nodes.math("MULTIPLY", -100, 100, map_alone, strength)

    # color - color * most * depth / (depth + SHADE_DEPTH), for depths below the surface
    depth = nodes.math("MAXIMUM", 0, 300, nodes.math("MULTIPLY", 0, 450, height, -1.0), 0.0)
    share = nodes.math("DIVIDE", 200, 300, depth, nodes.math("ADD", 200, 450, depth, SHADE_DEPTH))
    most = nodes.add("ShaderNodeCombineXYZ", 200, 600)
    for socket, value in zip(most.inputs, SHADE_MOST, strict=True):
        socket.default_value = value
    color = inputs.outputs["Color"]
    taken = nodes.vector("SCALE", 600, 300, nodes.vector("MULTIPLY", 400, 450, color, most.outputs[0]).outputs[0])
    nodes.link(share, input_of(taken, "Scale"))
    shaded = nodes.vector("SUBTRACT", 800, 300, color, taken.outputs["Vector"])
    nodes.link(shaded.outputs["Vector"], outputs.inputs["Color"])

    bump = nodes.add("ShaderNodeBump", 800, -100)
    scale = nodes.math("MULTIPLY", 400, 0, attribute(nodes, SIZE, 0, 0).outputs["Fac"], _object_scale(nodes))
    nodes.link(scale, outputs.inputs["Size"])
    nodes.link(nodes.math("MULTIPLY", 600, 0, height, scale), bump.inputs["Height"])
    flat = _surface_normal(nodes)
    nodes.link(flat, bump.inputs["Normal"])
    bump.inputs["Strength"].default_value = bump.inputs["Distance"].default_value = 1.0
    nodes.link(_limited(nodes, bump.outputs["Normal"], flat), outputs.inputs["Normal"])
    return tree


def _limited(nodes: Nodes, normal: Any, flat: Any) -> Any:
    """A normal that turns from the flat one by less than 45 degrees, so that no side of a deep fold is black.

    normal + (1 - cos) flat, which leaves 10 degrees 9.9, 30 degrees 27 and 60 degrees 41.
    """
    cosine = nodes.vector("DOT_PRODUCT", 1000, -300, normal, flat).outputs["Value"]
    back = nodes.vector("SCALE", 1200, -300, flat)
    nodes.link(nodes.math("SUBTRACT", 1000, -450, 1.0, cosine), input_of(back, "Scale"))
    added = nodes.vector("ADD", 1200, -100, normal, back.outputs["Vector"]).outputs["Vector"]
    return nodes.vector("NORMALIZE", 1400, -100, added).outputs["Vector"]


def _object_scale(nodes: Nodes) -> Any:
    """By what the object is scaled in the scene: bump heights are lengths in the scene."""
    to_world = nodes.add(
        "ShaderNodeVectorTransform", 0, -150, vector_type="VECTOR", convert_from="OBJECT", convert_to="WORLD"
    )
    to_world.inputs["Vector"].default_value = (0.0, 0.0, 1.0)
    return nodes.vector("LENGTH", 200, -150, to_world.outputs["Vector"]).outputs["Value"]


def _surface_normal(nodes: Nodes) -> Any:
    """The normal before displacement, towards the viewer; where it is not kept, the one that there is."""
    kept = nodes.add("ShaderNodeAttribute", -800, -400, attribute_type="GEOMETRY", attribute_name=SURFACE_NORMAL)
    length = nodes.vector("LENGTH", -600, -600, kept.outputs["Vector"]).outputs["Value"]
    is_kept = nodes.math("GREATER_THAN", -400, -600, length, 0.5)
    any_normal = nodes.add("ShaderNodeCombineXYZ", -800, -600)  # zeros would become no numbers, which mixing keeps
    any_normal.inputs["Z"].default_value = 1.0
    to_world = nodes.add(
        "ShaderNodeVectorTransform", -200, -400, vector_type="NORMAL", convert_from="OBJECT", convert_to="WORLD"
    )
    nodes.link(nodes.mix(-400, -400, is_kept, any_normal.outputs[0], kept.outputs["Vector"]), to_world.inputs["Vector"])
    geometry = nodes.add("ShaderNodeNewGeometry", -400, -800)
    towards = nodes.math("MULTIPLY_ADD", -200, -800, geometry.outputs["Backfacing"], -2.0, 1.0)
    facing = nodes.vector("SCALE", 0, -400, to_world.outputs["Vector"])
    nodes.link(towards, input_of(facing, "Scale"))
    normal = nodes.mix(200, -400, is_kept, geometry.outputs["Normal"], facing.outputs["Vector"])
    return nodes.vector("NORMALIZE", 400, -400, normal).outputs["Vector"]


def _surface_nodes(name: str) -> Any:
    """Nodes that keep the points' normals."""
    tree: Any = bpy.data.node_groups.new(name, "GeometryNodeTree")
    tree.is_modifier = True
    for in_out in ("INPUT", "OUTPUT"):
        tree.interface.new_socket("Geometry", in_out=in_out, socket_type="NodeSocketGeometry")
    nodes = Nodes(tree)
    inputs, outputs = nodes.add("NodeGroupInput", -400, 0), nodes.add("NodeGroupOutput", 400, 0)
    normal = nodes.add("GeometryNodeInputNormal", -400, -200)
    keep = nodes.add("GeometryNodeStoreNamedAttribute", 0, 0, data_type="FLOAT_VECTOR", domain="POINT")
    keep.inputs["Name"].default_value = SURFACE_NORMAL
    nodes.link(inputs.outputs["Geometry"], keep.inputs["Geometry"])
    nodes.link(normal.outputs.get("True Normal") or normal.outputs["Normal"], input_of(keep, "Value"))
    nodes.link(keep.outputs["Geometry"], outputs.inputs["Geometry"])
    return tree
