"""Baked frames: the displacement map of every frame as a numbered EXR file, or all of them packed into the .blend."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..core.atlas import Atlas
from ..core.exr import half_exr
from ..core.rig import DriverSpec
from . import shading
from .head_mesh import UV_MAP
from .nodes import Nodes, input_of, output_of
from .shape_keys import add_driver
from .stand_in import STAND_IN, add_stand_in
from .wrinkles import MAP_SIZE, drive_by_strength

_FRAME_FILE = re.compile(r"\d{4,}\.exr")


class SequenceFolder:
    """Numbered EXR files of one head, in a hidden folder until `commit` puts them in place, all at once.

    Args:
        parent: Folder that gets a folder of the head's name; made if missing.
        name: The head's name.
        first: First frame. Files bear the numbers of their frames, unless these begin below zero.

    Raises:
        OSError: The folder cannot be written, or holds other files in the place of the sequence.
    """

    def __init__(self, parent: Path, name: str, first: int) -> None:
        self.first_number = max(first, 0)
        self.path = parent / f"{bpy.path.clean_name(name)}_wrinkles"
        if self.path.exists() and not self._is_ours():
            raise FileExistsError(f"{self.path} holds other files than baked wrinkles; choose another folder.")
        self._first = first
        parent.mkdir(parents=True, exist_ok=True)
        self._unfinished = Path(tempfile.mkdtemp(prefix=".deca-", dir=parent))

    def put(self, frame: int, map_NN: NDArray[np.float32]) -> None:
        """Writes the map of a frame."""
        number = frame - self._first + self.first_number
        (self._unfinished / f"{number:04d}.exr").write_bytes(half_exr(map_NN))

    def commit(self) -> None:
        """Puts the files in place of those of an earlier bake."""
        self._unfinished.chmod(0o755)  # mkdtemp's folders are private
        old = self._unfinished.with_name(self._unfinished.name + "-old")
        if self.path.exists():
            os.replace(self.path, old)
        os.replace(self._unfinished, self.path)
        shutil.rmtree(old, ignore_errors=True)

    def discard(self) -> None:
        """Removes what is unfinished; does nothing after `commit`."""
        shutil.rmtree(self._unfinished, ignore_errors=True)

    def _is_ours(self) -> bool:
        return self.path.is_dir() and all(_FRAME_FILE.fullmatch(name) for name in os.listdir(self.path))


def show_sequence(obj: bpy.types.Object, folder: SequenceFolder, first: int, last: int) -> None:
    """Lets a head show the files of a folder, by frame; frames outside the range show the nearest."""
    image = bpy.data.images.load(str(folder.path / f"{folder.first_number:04d}.exr"))
    image.name = f"{obj.name} {STAND_IN}"
    image.colorspace_settings.is_data = True
    if bpy.data.filepath:
        image.filepath = bpy.path.relpath(image.filepath)
    texture = _displace_by(obj, image)
    if last > first:
        image.source = "SEQUENCE"
        # Blender counts from 0 one frame before `frame_start`, and takes that count for all frames before it.
        user = texture.image_user
        user.frame_start, user.frame_duration, user.frame_offset = first + 1, last - first, folder.first_number
        user.use_auto_refresh, user.use_cyclic = True, False
    shading.show_heights(obj, _sequence_heights(texture))


def show_packed(obj: bpy.types.Object, maps: Mapping[int, NDArray], first: int, last: int) -> None:
    """Lets a head show maps by frame that are packed into the file; frames outside the range show the nearest.

    Args:
        obj: The head.
        maps: The map of each frame from `first` to `last`.
        first, last: The range.
    """
    atlas = Atlas(first, last, len(maps[first]) if maps else MAP_SIZE)
    picture_HW = atlas.empty()
    for frame, map_NN in maps.items():
        atlas.put(picture_HW, frame, map_NN)
    data: Any = half_exr(picture_HW)
    image = bpy.data.images.new(f"{obj.name} {STAND_IN}", 1, 1, float_buffer=True, is_data=True)
    image.source = "FILE"
    image.pack(data=data, data_len=len(data))
    image.colorspace_settings.is_data = True
    texture = _displace_by(obj, image)
    crop = atlas.crop_expressions()
    for path, expression in crop.items():
        add_driver(texture, path, -1, DriverSpec(expression, ()), None)
    shading.show_heights(obj, _packed_heights(image, crop))


def _sequence_heights(texture: Any) -> shading.Heights:
    """The maps of a texture's picture sequence in the material."""

    def build(nodes: Nodes, uv: Any) -> Any:
        picture = shading.picture(nodes, uv, texture.image, 0)
        for name in ("frame_start", "frame_duration", "frame_offset", "use_auto_refresh", "use_cyclic"):
            setattr(picture.image_user, name, getattr(texture.image_user, name))
        return picture.outputs["Color"]

    return build


def _packed_heights(image: bpy.types.Image, crop: Mapping[str, str]) -> shading.Heights:
    """The maps of an atlas in the material: texture coordinates go to the frame's cell."""

    def build(nodes: Nodes, uv: Any) -> Any:
        cell = nodes.add("ShaderNodeMapRange", -800, 0, data_type="FLOAT_VECTOR", clamp=False)
        nodes.link(uv, input_of(cell, "Vector"))
        for end, name in (("min", "To Min"), ("max", "To Max")):
            socket = input_of(cell, name)
            for axis, letter in enumerate("xy"):
                add_driver(socket, "default_value", axis, DriverSpec(crop[f"crop_{end}_{letter}"], ()), None)
        return shading.picture(nodes, output_of(cell, "Vector"), image, 0).outputs["Color"]

    return build


def _displace_by(obj: bpy.types.Object, image: bpy.types.Image) -> Any:
    """A displacement modifier by an image, in the live one's place; its texture."""
    texture: Any = bpy.data.textures.new(image.name, "IMAGE")
    texture.image = image
    texture.use_clamp, texture.extension = False, "EXTEND"
    modifier = add_stand_in(obj, "DISPLACE")
    modifier.texture = texture
    modifier.texture_coords, modifier.uv_layer = "UV", UV_MAP
    modifier.mid_level, modifier.direction = 0.0, "NORMAL"
    drive_by_strength(obj, f'modifiers["{STAND_IN}"].strength')
    return texture
