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
from .head_mesh import UV_MAP
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
    for path, expression in atlas.crop_expressions().items():
        add_driver(texture, path, -1, DriverSpec(expression, ()), None)


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
