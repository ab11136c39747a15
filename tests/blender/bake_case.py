"""What the checks of baked wrinkles share. Their oracle is the live displacement modifier with a map asked from F_d."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import blender_case as case
import bpy
import numpy as np
import wrinkle_case

from deca_blender import backend
from deca_blender.protocol.messages import DecodeWrinkles, WrinklesReply
from deca_blender.scene import bake, stand_in, wrinkles

ELSEWHERE = Path(__file__).with_name("without_addon.py")
FEW = 110, 10
"""Expressions that a rig is fitted to and measured on where it is compared with itself; `wrinkle_rig.fit` wants 106."""
FEWER = 200, 50
"""Where it is compared with F_d: it is to keep within the same bounds as with all of the product's 400."""


def shown_by_live(obj: bpy.types.Object, map_NN: np.ndarray) -> np.ndarray:
    """The vertices that the live modifier shows with a map, at the current frame."""
    baked, modifier = stand_in.find_stand_in(obj), wrinkles.displacement_modifier(obj)
    if baked is not None:
        baked.show_viewport = False
    modifier.show_viewport = True
    wrinkles.apply_map(obj, map_NN)
    verts = case.evaluated_verts(obj)
    if baked is not None:
        baked.show_viewport, modifier.show_viewport = True, False
    return verts


@contextmanager
def fitted_to(fitted: int, fresh: int) -> Iterator[None]:
    """Rigs are fitted to fewer expressions than the product takes, and measured on fewer others; F_d is asked for each
    of them once."""
    before = bake.NUM_SAMPLES, bake.NUM_FRESH, backend.session
    bake.NUM_SAMPLES, bake.NUM_FRESH, backend.session = fitted, fresh, Remembering  # type: ignore[assignment]
    try:
        yield
    finally:
        bake.NUM_SAMPLES, bake.NUM_FRESH, backend.session = before


class Remembering:
    """The real session, which asks F_d what no check has asked before, in whatever Blender.

    Rigs are fitted to the same expressions again and again. What F_d says of them takes most of the time.
    """

    def submit(self, request: Any) -> Any:
        if not isinstance(request, DecodeWrinkles):
            return wrinkle_case.real_session().submit(request)
        digest = hashlib.sha256()
        for value in (*vars(request).values(), *(part for share in request.reliefs for part in vars(share).values())):
            digest.update(value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
        path = wrinkle_case.FOLDER / f"map {digest.hexdigest()[:24]}.npy"
        if path.exists():
            return case.FakeJob(WrinklesReply(np.load(path)))
        return _Noted(wrinkle_case.real_session().submit(request), path)


class _Noted:
    """A job whose map is kept."""

    def __init__(self, job: Any, path: Path) -> None:
        self._job, self._path = job, path

    def __getattr__(self, name: str) -> Any:
        return getattr(self._job, name)

    def result(self) -> WrinklesReply:
        reply = self._job.result()
        partial = self._path.with_suffix(f".{os.getpid()}.npy")
        np.save(partial, reply.displacement)
        partial.replace(self._path)
        return reply


def select(*heads: bpy.types.Object) -> None:
    bpy.ops.object.select_all(action="DESELECT")
    for obj in heads:
        obj.select_set(True)
        bpy.context.view_layer.objects.active = obj


def state(obj: bpy.types.Object) -> tuple[object, ...]:
    """What a bake may not change when it fails."""
    modifiers = [(m.name, m.show_viewport, m.show_render) for m in obj.modifiers]
    data = [len(collection) for collection in (bpy.data.images, bpy.data.textures, bpy.data.node_groups)]
    drivers = len(obj.animation_data.drivers) if obj.animation_data else 0
    return (modifiers, data, drivers, obj.deca.wrinkles_live, obj.deca_bake.kind, bpy.context.scene.frame_current)


def elsewhere(blend: Path, *arguments: object) -> None:
    """Runs `without_addon.py` in another Blender process, whose Python knows nothing of the add-on."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-I", str(ELSEWHERE), str(blend), *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
