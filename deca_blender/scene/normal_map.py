"""A head's wrinkles as a tangent-space normal map: what the backend needs to make it, and the map in the material."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..client import Session
from ..protocol.messages import BakeNormalMap
from . import live
from .head_mesh import UV_MAP
from .wrinkles import depth_of

_TIMEOUT_S = 120.0
_IMAGE_NODE, _NORMAL_NODE = "Wrinkle Normals", "Wrinkle Normal Map"


def wrinkle_normals(
    session: Session, obj: bpy.types.Object, size: int, bits: int = 8, is_green_up: bool = True
) -> bytes:
    """A head's wrinkles as they are now, as a PNG file of tangent-space normals.

    Args:
        session: The line to the backend, which makes it.
        obj: Head with wrinkles.
        size: Rows and columns.
        bits: Of each channel, 8 or 16.
        is_green_up: OpenGL's way, else DirectX's.

    Raises:
        ClientError: The backend has not made it.
    """
    wrinkles = live.inputs_of(obj).request(live.weights_of(obj))
    displacement_NN = session.request(wrinkles, timeout=_TIMEOUT_S).displacement
    request = BakeNormalMap(
        verts=coarse_verts(obj),
        displacement=displacement_NN * np.float32(abs(depth_of(obj))),
        size=size,
        bits=bits,
        green_up=is_green_up,
        head=wrinkles.head,
    )
    return session.request(request, timeout=_TIMEOUT_S).png.tobytes()


def coarse_verts(obj: bpy.types.Object) -> NDArray[np.float32]:
    """Vertices (V, 3) of the head as it is posed, without subdivision and what comes after it.

    Args:
        obj: Head's mesh object; its modifiers are hidden for a moment.
    """
    hidden = [modifier for modifier in obj.modifiers if modifier.type != "ARMATURE" and modifier.show_viewport]
    for modifier in hidden:
        modifier.show_viewport = False
    try:
        evaluated = obj.evaluated_get(bpy.context.evaluated_depsgraph_get())
        mesh = evaluated.to_mesh()
        flat = np.empty(3 * len(mesh.vertices), np.float32)
        mesh.vertices.foreach_get("co", flat)
        evaluated.to_mesh_clear()
    finally:
        for modifier in hidden:
            modifier.show_viewport = True
    return flat.reshape(-1, 3)


def show_normal_map(obj: bpy.types.Object, path: str) -> None:
    """Puts a normal map (OpenGL's way) into the head's first material, in place of an earlier one."""
    material = obj.data.materials[0] if obj.data.materials else None
    tree: Any = material.node_tree if material is not None else None
    shader = next((node for node in tree.nodes if node.type == "BSDF_PRINCIPLED"), None) if tree is not None else None
    if shader is None:
        return
    picture = tree.nodes.get(_IMAGE_NODE) or tree.nodes.new("ShaderNodeTexImage")
    normals = tree.nodes.get(_NORMAL_NODE) or tree.nodes.new("ShaderNodeNormalMap")
    picture.name, normals.name = _IMAGE_NODE, _NORMAL_NODE
    picture.location, normals.location = (-520, -400), (-220, -400)
    picture.image = bpy.data.images.load(path, check_existing=True)
    picture.image.reload()
    picture.image.colorspace_settings.name = "Non-Color"
    picture.extension = "EXTEND"
    normals.uv_map = UV_MAP
    tree.links.new(picture.outputs["Color"], normals.inputs["Color"])
    tree.links.new(normals.outputs["Normal"], shader.inputs["Normal"])
