"""One file that shows many heads in the asset browser, each linked from the file that holds it.

An asset has to be of the file itself, and a collection that is linked is not: so each head is an instance of its linked
collection, in a collection of its own, which is the asset. The catalogue stays small, whatever the heads weigh.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bpy
import numpy as np

TAG = "DECA"
_SPACING = 0.4
"""Metres between heads in the catalogue's own scene, where they stand in rows; heads are 0.2 m wide."""


def add_head(name: str, blend: Path, note: str) -> bpy.types.Collection:
    """Adds the head of a .blend file as an asset.

    Args:
        name: What the asset is called.
        blend: The file.
        note: The asset's description.

    Raises:
        OSError: The file cannot be read, or holds no collection.
    """
    libraries: Any = bpy.data.libraries
    with libraries.load(str(blend), link=True) as (source, target):
        target.collections = source.collections[:1]
    linked: Any = target.collections[0] if target.collections else None
    if linked is None:
        raise OSError(f"{blend} holds no collection")
    shown = bpy.data.objects.new(name, None)
    shown.instance_type, shown.instance_collection = "COLLECTION", linked
    shown.empty_display_size = 0.1
    asset = bpy.data.collections.new(name)
    asset.objects.link(shown)
    asset.asset_mark()
    asset.asset_data.description = note
    asset.asset_data.tags.new(TAG, skip_if_exists=True)
    bpy.context.scene.collection.children.link(asset)
    return asset


def give_preview(asset: bpy.types.Collection, sheet: Path) -> None:
    """Makes the last third of a contact sheet's picture, the head alone, the asset's preview."""
    picture = bpy.data.images.load(str(sheet))
    try:
        size: Any = picture.size
        pixels: Any = picture.pixels
        width, height = size
        rgba = np.empty(4 * width * height, np.float32)
        pixels.foreach_get(rgba)
        preview: Any = asset.preview_ensure()
        preview.image_size = (height, height)
        preview.image_pixels_float.foreach_set(rgba.reshape(height, width, 4)[:, width - height :].ravel())
    finally:
        bpy.data.images.remove(picture)


def in_rows(assets: Sequence[bpy.types.Collection]) -> None:
    """Stands the heads of the catalogue's scene in rows, as many as there are columns."""
    columns = max(1, round(len(assets) ** 0.5))
    for number, asset in enumerate(assets):
        for shown in asset.objects:
            shown.location = (number % columns * _SPACING, number // columns * _SPACING, 0)


def save(catalogue: Path) -> None:
    """Writes the open file, whole or not at all, with paths relative to where it will be.

    Raises:
        OSError: It cannot be written.
    """
    unfinished = catalogue.with_name(f".{os.getpid()}-{catalogue.name}")  # in the same folder, for the paths' sake
    try:
        bpy.ops.wm.save_as_mainfile(
            filepath=str(unfinished), copy=True, compress=True, relative_remap=True, check_existing=False
        )
        os.replace(unfinished, catalogue)
    except RuntimeError as error:  # how an operator tells that it has failed
        raise OSError(str(error).strip()) from error
    finally:
        unfinished.unlink(missing_ok=True)
