"""A baked wrinkle rig in the scene: drivers compute weights, geometry nodes blend the maps and move the surface.

One modifier samples all maps, three in each picture, and moves the points once; displacement modifiers on top of each
other would take as many evaluations and turn the normals in between. The drivers' values are the custom properties of
the group `RIG` on the head.
"""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..core import rig as names
from ..core.rig_inputs import input_drivers, input_names
from ..core.wrinkle_rig import WrinkleRig, weight_drivers
from ..properties.head import ARKIT_MAP
from . import shading
from .head import stored_arkit_names
from .head_mesh import UV_MAP
from .nodes import Nodes, input_of, output_of
from .shape_keys import add_driver, add_values
from .stand_in import STAND_IN, add_stand_in, find_stand_in
from .versions import modifier_input_path
from .wrinkles import drive_by_strength

RIG = "wrinkle_rig"
SLOPES = "wrinkle_rig_slopes"
"""Custom property of the head: the rig's `positive_XK`, then its `negative_XK`, row by row, to be read again."""
_WEIGHT = "wrinkle"
_MAPS_PER_IMAGE = 3


def show_rig(obj: bpy.types.Object, rig: WrinkleRig) -> None:
    """Lets a head show its baked rig.

    Args:
        obj: Head with its shape keys.
        rig: Its rig.
    """
    maps_KHW = np.concatenate((rig.neutral_HW[None], rig.maps_KHW))
    images = [
        _image(f"{obj.name} {STAND_IN} {start}", maps_KHW[start : start + _MAPS_PER_IMAGE])
        for start in range(0, len(maps_KHW), _MAPS_PER_IMAGE)
    ]
    arkit_names = stored_arkit_names(obj) if ARKIT_MAP in obj else ()
    arkit_map_EA = np.reshape(obj.get(ARKIT_MAP, ()), (names.NUM_EXPRESSION_KEYS, -1))
    drivers = input_drivers(arkit_names, arkit_map_EA)
    drivers += weight_drivers(rig, [f'["{name}"]' for name in input_names()], _WEIGHT)
    assert isinstance(obj.data, bpy.types.Mesh) and obj.data.shape_keys is not None  # heads have shape keys
    add_values(obj, RIG, drivers, obj.data.shape_keys)
    obj[SLOPES] = np.concatenate((rig.positive_XK, rig.negative_XK)).ravel().astype(np.float64).tolist()

    modifier = add_stand_in(obj, "NODES")
    modifier.node_group = _nodes(f"{obj.name} {STAND_IN}", images)
    strength, *weights = (
        modifier_input_path(modifier, item.identifier)
        for item in modifier.node_group.interface.items_tree
        if item.in_out == "INPUT" and item.socket_type != "NodeSocketGeometry"
    )
    drive_by_strength(obj, strength)
    for index in range(len(maps_KHW)):
        image, channel = divmod(index, _MAPS_PER_IMAGE)
        weight = names.Term("w", f'["{RIG}"]["{_WEIGHT}_{index - 1:02d}"]')
        spec = (
            names.DriverSpec("w", (weight,)) if index else names.DriverSpec("1", ())
        )  # the first map is the neutral one
        add_driver(obj, weights[image], channel, spec, obj)
    shading.show_heights(obj, _heights(images, weights))
    obj.update_tag()


def remove_rig(obj: bpy.types.Object) -> None:
    """Removes the drivers and values of a rig; the modifier is the stand-in's (`remove_stand_in`)."""
    if obj.animation_data is not None:
        for curve in list(obj.animation_data.drivers):
            if curve.data_path.startswith(f'["{RIG}"]'):
                obj.animation_data.drivers.remove(curve)
    for name in (RIG, SLOPES):
        if name in obj:
            del obj[name]


def read_rig(obj: bpy.types.Object) -> WrinkleRig | None:
    """The rig that a head shows; None where it shows none, or where an earlier version has baked it."""
    modifier = find_stand_in(obj)
    if modifier is None or modifier.type != "NODES" or SLOPES not in obj or modifier.node_group is None:
        return None
    slopes_XK = np.reshape(np.array(obj[SLOPES], np.float32), (2 * len(input_names()), -1))
    textures = [node for node in modifier.node_group.nodes if node.bl_idname == "GeometryNodeImageTexture"]
    maps_CHW = np.concatenate([_maps(texture.inputs["Image"].default_value) for texture in textures])
    positive_XK, negative_XK = np.split(slopes_XK, 2)
    return WrinkleRig(maps_CHW[0], maps_CHW[1 : 1 + slopes_XK.shape[1]], positive_XK, negative_XK)


def _maps(image: Any) -> NDArray[np.float32]:
    """The three maps of a picture, top row first."""
    width, height = image.size
    rgba = np.empty(width * height * 4, np.float32)
    image.pixels.foreach_get(rgba)
    return rgba.reshape(height, width, 4)[::-1, :, :_MAPS_PER_IMAGE].transpose(2, 0, 1)


def _image(name: str, maps_CHW: NDArray[np.float32]) -> bpy.types.Image:
    """A packed float picture of up to three maps."""
    height, width = maps_CHW.shape[1:]
    rgba_HW4 = np.zeros((height, width, 4), np.float32)
    rgba_HW4[..., : len(maps_CHW)] = maps_CHW[:, ::-1].transpose(1, 2, 0)
    rgba_HW4[..., 3] = 1
    image = bpy.data.images.new(name, width, height, alpha=False, float_buffer=True, is_data=True)
    pixels: Any = image.pixels
    pixels.foreach_set(rgba_HW4.ravel())
    image.update()
    image.pack()
    return image


def _heights(images: list[bpy.types.Image], weights: list[str]) -> shading.Heights:
    """The blended maps in the material, which reads the modifier's weights at their paths on the head.

    EEVEE reads at most eight properties of an object: strength, size and six times three weights.
    """

    def build(nodes: Nodes, uv: Any) -> Any:
        height = None
        for index, (image, path) in enumerate(zip(images, weights, strict=True)):
            y = -300 * index
            picture, weight = shading.picture(nodes, uv, image, y), shading.attribute(nodes, path, -600, y - 150)
            colour, weights_3 = picture.outputs["Color"], weight.outputs["Vector"]
            value = nodes.vector("DOT_PRODUCT", -400, y, colour, weights_3).outputs["Value"]
            height = nodes.math("ADD", -300, y, height, value) if height is not None else value
        return height

    return build


def _nodes(name: str, images: list[bpy.types.Image]) -> bpy.types.GeometryNodeTree:
    """Nodes that move points along their normals by strength * sum of weights * maps."""
    tree: Any = bpy.data.node_groups.new(name, "GeometryNodeTree")
    tree.is_modifier = True
    for in_out in ("INPUT", "OUTPUT"):
        tree.interface.new_socket("Geometry", in_out=in_out, socket_type="NodeSocketGeometry")
    strength = tree.interface.new_socket("Strength", in_out="INPUT", socket_type="NodeSocketFloat")
    strength.default_value = 1.0
    for index in range(len(images)):
        tree.interface.new_socket(f"Weights {index}", in_out="INPUT", socket_type="NodeSocketVector")
    nodes = Nodes(tree)
    inputs, outputs = nodes.add("NodeGroupInput", -800, 0), nodes.add("NodeGroupOutput", 800, 0)

    # A point on a seam has several texture coordinates; that of its first corner counts, as for displacement modifiers.
    corner = nodes.add("GeometryNodeCornersOfVertex", -800, -300)
    attribute = nodes.add("GeometryNodeInputNamedAttribute", -800, -500, data_type="FLOAT_VECTOR")
    attribute.inputs["Name"].default_value = UV_MAP
    at_corner = nodes.add("GeometryNodeFieldAtIndex", -600, -400, data_type="FLOAT_VECTOR", domain="CORNER")
    nodes.link(output_of(corner, "Corner Index"), input_of(at_corner, "Index"))
    nodes.link(output_of(attribute, "Attribute"), input_of(at_corner, "Value"))

    height = None
    for index, image in enumerate(images):
        texture = nodes.add("GeometryNodeImageTexture", -400, -300 * index, interpolation="Linear", extension="EXTEND")
        texture.inputs["Image"].default_value = image
        nodes.link(output_of(at_corner, "Value"), texture.inputs["Vector"])
        product = nodes.add("ShaderNodeVectorMath", -200, -300 * index, operation="DOT_PRODUCT")
        nodes.link(texture.outputs["Color"], product.inputs[0])
        nodes.link(inputs.outputs[f"Weights {index}"], product.inputs[1])
        value = output_of(product, "Value")
        height = nodes.math("ADD", 0, -300 * index, height, value) if height is not None else value
    height = nodes.math("MULTIPLY", 0, 100, height, inputs.outputs["Strength"])

    normal = nodes.add("GeometryNodeInputNormal", 200, -300)
    offset = nodes.add("ShaderNodeVectorMath", 400, -200, operation="SCALE")
    nodes.link(normal.outputs.get("True Normal") or normal.outputs["Normal"], offset.inputs[0])
    nodes.link(height, input_of(offset, "Scale"))
    move = nodes.add("GeometryNodeSetPosition", 600, 0)
    nodes.link(inputs.outputs["Geometry"], move.inputs["Geometry"])
    nodes.link(offset.outputs["Vector"], move.inputs["Offset"])
    nodes.link(move.outputs["Geometry"], outputs.inputs["Geometry"])
    return tree
