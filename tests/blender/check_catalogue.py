"""Heads of many files as assets of one."""

from __future__ import annotations

import contextlib
import io
import json
import os
from pathlib import Path

import blender_case as case
import bpy
import numpy as np

from deca_blender import headless_catalogue
from deca_blender.batch import engine
from deca_blender.batch.ledger import PICTURE, Ledger
from deca_blender.batch.plan import Recipe
from deca_blender.batch.workers import Here
from deca_blender.protocol.photos import FoundPhoto
from deca_blender.scene.import_face import ImportOptions, import_face
from deca_blender.scene.save import clear_file, save_copy

HEAD = case.head_reply()
SHEET = np.zeros((8, 24, 3), np.uint8)
SHEET[:, 16:] = (255, 0, 0)


class Quiet:
    def line(self, line: dict, totals: engine.Totals) -> None:
        pass

    def end(self, totals: engine.Totals) -> None:
        pass


def make(found: FoundPhoto, into: Path) -> dict[str, object]:
    clear_file()
    name = found.name.rpartition("/")[2]
    import_face(bpy.context, HEAD, case.face_reply(HEAD, 1, name=name), ImportOptions(use_camera=False))
    save_copy(into / f"{name}.blend")
    (into / PICTURE).write_bytes(case.picture_of(SHEET).tobytes())
    return {}


def catalogue(*arguments: str | Path) -> tuple[int, dict]:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
        status = headless_catalogue.main([str(argument) for argument in arguments])
    lines = [line for line in printed.getvalue().splitlines() if line.startswith("{")]
    return status, json.loads(lines[-1]) if lines else {}


def test_heads_are_assets_linked_from_their_files(folder: Path) -> None:
    out = folder / "heads"
    photos = []
    for name in ("ann/me", "böb"):
        (folder / name.replace("/", " ")).touch()
        photos.append(FoundPhoto(folder / name.replace("/", " "), name))
    recipe = Recipe(tool="1", head_hash="", weights_hash="")
    assert engine.run(photos, lambda: Here(make, (), lambda error: False), Ledger(out), recipe, Quiet()).status == 0
    headless_catalogue.HEADS_EACH = 1
    status, line = catalogue(out, "one")
    assert (status, line["catalogue"]) == (0, [str(out / "one.blend"), str(out / "one_2.blend")])
    headless_catalogue.HEADS_EACH = 200
    status, line = catalogue(out, "all")
    assert (status, line["catalogue"], line["heads"], line["left_out"]) == (0, [str(out / "all.blend")], 2, [])
    assert (out / "all.blend").stat().st_size < (out / "böb.blend").stat().st_size
    out.rename(folder / "moved")  # paths inside are relative
    bpy.ops.wm.open_mainfile(filepath=str(folder / "moved" / "all.blend"))
    assets = {each.name: each for each in bpy.data.collections if each.asset_data is not None}
    assert sorted(assets) == ["ann/me", "böb"] and not any(library.is_missing for library in bpy.data.libraries)
    for asset in assets.values():
        heads = [each for each in asset.objects[0].instance_collection.all_objects if each.deca.is_head]
        assert len(heads) == 1 and len(heads[0].data.vertices) == len(HEAD.verts)
        size = asset.preview.image_size[0]
        pixels = np.reshape(asset.preview.image_pixels_float[:], (size, size, 4))
        assert pixels[..., 0].mean() > 0.9 and pixels[..., 1:3].mean() < 0.1
    places = {tuple(asset.objects[0].location) for asset in assets.values()}
    assert len(places) == 2


def test_a_head_that_cannot_be_read_stays_out(folder: Path) -> None:
    (folder / "a").touch()
    recipe = Recipe(tool="1", head_hash="", weights_hash="")
    engine.run([FoundPhoto(folder / "a", "a")], lambda: Here(make, (), bool), Ledger(folder / "o"), recipe, Quiet())
    (folder / "o" / "a.blend").write_text("nothing")
    status, line = catalogue(folder / "o", "all")
    assert (status, line) == (1, {}) and "all.blend" not in os.listdir(folder / "o")


case.main(globals())
