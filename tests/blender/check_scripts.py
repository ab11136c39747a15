"""The samples in docs/scripts run as they are, with a backend that answers from memory."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import blender_case as case
import bpy
import numpy as np

from deca_blender import api, backend
from deca_blender.protocol.messages import DecodeWrinkles, ReconstructReply, WrinklesReply
from deca_blender.scene import wrinkles

HEAD = case.head_reply()
SCRIPTS = case.ROOT / "docs" / "scripts"
ASKED: list = []


def map_of(request: DecodeWrinkles) -> np.ndarray:
    """A map that tells the detail code and the expression that it was asked for."""
    return np.full((32, 32), 1e-4 * float(request.detail[0] + request.expression.sum()), np.float32)


class Session(case.FakeSession):
    """Faces with a detail code, maps that depend on what is asked."""

    def submit(self, request: object) -> case.FakeJob:
        ASKED.append(request)
        return (
            case.FakeJob(WrinklesReply(map_of(request)))
            if isinstance(request, DecodeWrinkles)
            else super().submit(request)
        )

    def request(self, request: object, timeout: float = 0.0) -> object:
        return self.submit(request).result()


def face(request):
    name = Path(request.path).stem
    detail = np.full(4, float(len(name)), np.float32)
    reply = case.face_reply(HEAD, len(name), name=name, photo=request.path, detail=detail, weights_hash="w")
    return ReconstructReply((reply,))


backend.session = lambda: Session(HEAD, face)  # type: ignore[assignment, return-value]


def run(number: str, *arguments: Path) -> None:
    (script,) = SCRIPTS.glob(f"{number}_*.py")
    before, sys.argv = sys.argv, [str(script), *map(str, arguments)]
    try:
        runpy.run_path(str(script), run_name="__main__")
    finally:
        sys.argv = before


def test_every_sample_is_run() -> None:
    numbers = sorted(script.name[:2] for script in SCRIPTS.glob("*.py"))
    assert numbers == [name[-2:] for name in sorted(globals()) if name.startswith("test_sample_")]


def test_sample_01(folder: Path) -> None:
    class WithoutNormals(Session):
        def request(self, request: object, timeout: float = 0.0) -> object:
            if type(request).__name__ == "BakeNormalMap":
                image = bpy.data.images.new("flat", 4, 4)
                image.pixels[:] = [0.5, 0.5, 1, 1] * 16
                image.filepath_raw, image.file_format = str(folder / "flat.png"), "PNG"
                image.save()
                data = np.frombuffer((folder / "flat.png").read_bytes(), np.uint8)
                return type("Reply", (), {"png": data})()
            return super().request(request, timeout)

    whole, backend.session = backend.session, lambda: WithoutNormals(HEAD, face)  # type: ignore[assignment]
    try:
        run("01", folder / "me.jpg", folder / "out")
    finally:
        backend.session = whole  # type: ignore[assignment]
    names = {"head.blend", "head.glb", "head.glb.json", "head.fbx", "head.fbx.json"}
    assert {path.name for path in (folder / "out").iterdir()} == names
    assert abs(bpy.data.objects["me"].data.shape_keys.key_blocks["mouthSmileLeft"].value - 0.8 * 0.6) < 1e-6


def test_sample_02(folder: Path) -> None:
    run("02", folder / "me.jpg", folder / "out")
    head = bpy.data.objects["me"]
    assert head.deca_bake.kind == "FRAMES" and (head.deca_bake.first, head.deca_bake.last) == (1, 9)
    bpy.context.scene.frame_set(5)
    assert abs(head.data.shape_keys.key_blocks["browInnerUp"].value - 1) < 1e-6
    assert abs(head.parent.pose.bones["neck"].rotation_axis_angle[0] - 0.15) < 1e-6
    assert {path.name for path in (folder / "out").iterdir()} == {"moving.blend", "moving.glb", "moving.glb.json"}


def test_sample_03(folder: Path) -> None:
    run("03", folder / "grandmother.jpg", folder / "me.jpg", folder / "out")
    target = bpy.data.objects["me"]
    request = next(asked for asked in reversed(ASKED) if isinstance(asked, DecodeWrinkles))
    assert np.allclose(request.detail, 0.7 * len("grandmother") + 0.3 * len("me"))
    image = wrinkles.map_image(target)
    assert image is not None and np.allclose(wrinkles.read_map(image), map_of(request), atol=1e-7)

    # An export evaluates the scene again; the head keeps its map, and nobody is asked for another.
    ASKED.clear()
    key = target.data.shape_keys.key_blocks["mouthPucker"]
    key.keyframe_insert("value", frame=1)
    key.value = 0.5  # not keyed
    api.export(target, folder / "me.glb", normals=0, use_animation=False)
    assert not ASKED and key.value == 0.5 and np.allclose(wrinkles.read_map(image), map_of(request), atol=1e-7)


case.main(globals())
