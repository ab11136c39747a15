"""What a user sees of new heads: 3D viewports turn to them and show their textures."""

from __future__ import annotations

from collections.abc import Sequence

import bpy
import numpy as np
from bpy_extras.view3d_utils import location_3d_to_region_2d
from mathutils import Vector

from .placement import world_box

_SMALLEST = 0.2
"""A head that fills less of a viewport's height is not seen well."""


def show_heads(context: bpy.types.Context, heads: Sequence[bpy.types.Object]) -> None:
    """Makes the selected heads seen in all 3D viewports.

    Those that look through a camera stay, and so do those that show all heads already; the others frame them. Solid
    shading in Blender's default colours turns to textures; any other shading was chosen, and stays.
    """
    for window in context.window_manager.windows:
        for area in window.screen.areas:
            if area.type != "VIEW_3D":
                continue
            space = area.spaces.active
            assert isinstance(space, bpy.types.SpaceView3D)
            if space.local_view is not None:
                for head in heads:
                    head.local_view_set(space, True)
            if space.shading.type == "SOLID" and space.shading.color_type == "MATERIAL":
                space.shading.color_type = "TEXTURE"
            region = next(region for region in area.regions if region.type == "WINDOW")
            view = space.region_3d
            assert view is not None
            if view.view_perspective != "CAMERA" and not _are_seen(heads, region, view):
                with context.temp_override(window=window, area=area, region=region):
                    bpy.ops.view3d.view_selected(use_all_regions=True)


def look_through(context: bpy.types.Context, camera: bpy.types.Object) -> None:
    """Lets the 3D viewport look through a camera that need not be the scene's, or away again if it does already."""
    space = context.space_data
    assert isinstance(space, bpy.types.SpaceView3D)
    view = space.region_3d
    assert view is not None
    region = next(region for region in context.area.regions if region.type == "WINDOW")
    with context.temp_override(region=region):
        if view.view_perspective == "CAMERA" and space.camera == camera:
            bpy.ops.view3d.view_camera()  # back to the view before
            space.use_local_camera = False
            return
        space.use_local_camera = camera != context.scene.camera
        space.camera = camera
        if view.view_perspective != "CAMERA":
            bpy.ops.view3d.view_camera()
        bpy.ops.view3d.view_center_camera()


def camera_seen(context: bpy.types.Context) -> bpy.types.Object | None:
    """The camera that the 3D viewport looks through, or None."""
    space = context.space_data
    if not isinstance(space, bpy.types.SpaceView3D) or space.region_3d is None:
        return None
    if space.region_3d.view_perspective != "CAMERA":
        return None
    return space.camera if space.use_local_camera else context.scene.camera


def _are_seen(heads: Sequence[bpy.types.Object], region: bpy.types.Region, view: bpy.types.RegionView3D) -> bool:
    for head in heads:
        low, high = world_box(head)
        corners = [Vector(np.where([i & 1, i & 2, i & 4], high, low).tolist()) for i in range(8)]
        seen = [location_3d_to_region_2d(region, view, corner) for corner in corners]
        points = np.array([point for point in seen if point is not None])
        if len(points) < len(corners) or (points < 0).any() or (points > (region.width, region.height)).any():
            return False
        if np.ptp(points[:, 1]) < _SMALLEST * region.height:
            return False
    return True
