"""The head lies exactly over the face: the photo camera's picture equals DECA's projection. The photo is behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import blender_case as case
import bpy
import numpy as np
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Vector

from deca_blender.scene import images
from deca_blender.scene.camera import camera_of
from deca_blender.scene.import_face import ImportFaceError, ImportOptions, import_face

HEAD = case.head_reply()
MAKE_PICTURES = """
import sys
import numpy as np
from deca.vision.photo import decode_photo
from tests.unit.test_vision_photo_files import CONTAINERS, as_stored, upright_of
for name, make in CONTAINERS.items():
    np.save(f"{sys.argv[1]}/{name}.npy", upright_of(name))
    for orientation in range(1, 9):
        photo = decode_photo(make(as_stored(upright_of(name), orientation), orientation), name)
        photo.jpeg(4096).tofile(f"{sys.argv[1]}/{name},{orientation}.picture")
"""


def deca_pixels(face, verts: np.ndarray) -> np.ndarray:
    """DECA's projection step by step: shift, scale, flip, crop pixels, photo pixels."""
    scale, tx, ty = face.camera.astype(np.float64)
    picture = scale * (verts[:, :2] + [tx, ty]) * [1, -1]
    crop = np.c_[(picture * 0.5 + 0.5) * 224, np.ones(len(verts))]
    return np.linalg.solve(face.crop, crop.T).T[:, :2]


def blender_pixels(obj: bpy.types.Object, verts: np.ndarray) -> np.ndarray:
    """Photo pixels where the head's camera shows points; Blender fits a background whole and centred into it."""
    scene, photo = bpy.context.scene, np.array(obj.deca.image_size)
    render = scene.render
    frame = np.array(
        [render.resolution_x * render.pixel_aspect_x, render.resolution_y * render.pixel_aspect_y], np.float64
    )
    seen = [world_to_camera_view(scene, camera_of(obj), obj.matrix_world @ Vector(point)) for point in verts]
    on_frame = np.array([(point.x, 1 - point.y) for point in seen]) * frame
    zoom = (frame / photo).min()
    return (on_frame - (frame - zoom * photo) / 2) / zoom


SIZES = [(640, 480), (480, 640), (500, 500), (4000, 3000)]


def test_head_lies_over_the_face_whatever_the_render_is_like() -> None:
    """The scene's resolution is the user's; the camera follows it, also when it changes later."""
    render = bpy.context.scene.render
    for seed, size in enumerate(SIZES):
        face = case.face_reply(HEAD, seed, image_size=size)
        obj = import_face(bpy.context, HEAD, face)
        verts = case.evaluated_verts(obj)[::50]
        for frame in ((1920, 1080, 1, 1), (1080, 1920, 1, 1), (640, 480, 1, 1), (720, 576, 1.5, 1), (100, 1000, 1, 2)):
            render.resolution_x, render.resolution_y, render.pixel_aspect_x, render.pixel_aspect_y = frame
            bpy.context.view_layer.update()
            error = np.abs(blender_pixels(obj, verts) - deca_pixels(face, verts)).max()
            print(f"photo {size}, render {frame}: {error:.4f} pixels")
            assert error < 0.1


def test_scene_keeps_its_camera_and_resolution() -> None:
    bpy.ops.wm.read_homefile(use_factory_startup=True)
    scene = bpy.context.scene
    before = scene.camera, scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage
    obj = import_face(bpy.context, HEAD, case.face_reply(HEAD))
    now = scene.camera, scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage
    assert now == before and before[0] is not None
    assert bpy.ops.deca.render_as_photo() == {"FINISHED"}
    assert scene.camera == camera_of(obj) and (scene.render.resolution_x, scene.render.resolution_y) == (640, 480)
    bpy.ops.deca.strip_identity("EXEC_DEFAULT")
    assert not bpy.ops.deca.render_as_photo.poll()


def test_in_a_file_of_its_own_the_photo_is_what_is_rendered() -> None:
    for seed, size in enumerate(SIZES):
        face = case.face_reply(HEAD, seed, image_size=size)
        obj = import_face(bpy.context, HEAD, face, ImportOptions(use_resolution=True))
        scene = bpy.context.scene
        assert scene.camera == camera_of(obj)
        assert (scene.render.resolution_x, scene.render.resolution_y) == size
        verts = case.evaluated_verts(obj)[::50]
        assert np.abs(blender_pixels(obj, verts) - deca_pixels(face, verts)).max() < 0.1


def test_camera_in_another_file_brings_no_scene_along(folder: Path) -> None:
    obj = import_face(bpy.context, HEAD, case.face_reply(HEAD))
    name, path = camera_of(obj).name, str(folder / "a.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.read_homefile(use_factory_startup=True)
    with bpy.data.libraries.load(path) as (_source, target):
        target.objects = [name]
    assert len(bpy.data.scenes) == 1
    bpy.context.scene.collection.objects.link(bpy.data.objects[name])
    bpy.context.scene.render.resolution_x = bpy.context.scene.render.resolution_y = 100
    bpy.context.view_layer.update()
    camera = bpy.data.objects[name].data
    square = camera.ortho_scale
    bpy.context.scene.render.resolution_x = 200
    bpy.context.view_layer.update()
    assert abs(camera.ortho_scale - 1.5 * square) < 1e-6 * square  # 640 x 480 in 2:1: twice as wide as high


def test_head_stays_over_the_face_when_the_rig_is_moved() -> None:
    face = case.face_reply(HEAD, 4)
    obj = import_face(bpy.context, HEAD, face)
    obj.parent.location = (1, 2, 3)
    obj.parent.rotation_euler.z = 0.5
    bpy.context.view_layer.update()
    verts = case.evaluated_verts(obj)[::50]
    assert np.abs(blender_pixels(obj, verts) - deca_pixels(face, verts)).max() < 0.1


def test_face_looks_out_of_the_photo() -> None:
    """Up is up (+z), and the face looks along -y, as Blender's front view expects; the camera stands before it."""
    face = case.face_reply(HEAD, 0, pose=np.zeros((5, 3), np.float32))
    obj = import_face(bpy.context, HEAD, face)
    bpy.context.view_layer.update()
    world = np.array([obj.matrix_world @ Vector(point) for point in case.evaluated_verts(obj)])
    eyes, skin = world[(HEAD.part == 1) | (HEAD.part == 2)], world[HEAD.part == 0]
    assert eyes[:, 1].mean() < skin[:, 1].mean() - 0.02
    assert eyes[:, 2].mean() > world[HEAD.part == 4][:, 2].mean() + 0.02
    assert bpy.context.scene.camera.matrix_world.translation.y < world[:, 1].min()


def test_picture_lies_behind_the_head_and_in_the_file(folder: Path) -> None:
    """Also after saving; and with no file at the photo's path, which Blender may take for something else."""
    drawn = np.random.default_rng(0).integers(0, 256, (48, 70, 3), np.uint8)
    picture = case.picture_of(drawn)
    for photo in ("//me.jpg", "/gone/a\\b.jpg", "/gone/写真.avif"):
        face = case.face_reply(HEAD, photo=photo, image_size=(70, 48))
        camera = camera_of(import_face(bpy.context, HEAD, face, picture=picture))
        image = camera.data.background_images[0].image
        assert np.array_equal(case.backdrop(camera).round(), drawn)
        assert (
            image.packed_file.size == len(picture) and not image.filepath and image.colorspace_settings.name == "sRGB"
        )
    names = [obj.name for obj in bpy.data.objects if obj.type == "CAMERA"]
    assert len(names) == 3
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "a.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(folder / "a.blend"))
    for name in names:
        assert np.array_equal(case.backdrop(bpy.data.objects[name]).round(), drawn)


def test_the_backends_pictures_are_upright_in_blender(folder: Path) -> None:
    """Every container and orientation of the tests of the backend's reader, through it and behind the head."""
    python = case.ROOT / ".venv" / "bin" / "python"
    command = [python if python.exists() else sys.executable, "-c", MAKE_PICTURES, folder]
    paths = os.pathsep.join([str(case.ROOT), str(case.ROOT / "backend")])
    subprocess.run(command, env=os.environ | {"PYTHONPATH": paths}, check=True)
    pictures = sorted(folder.glob("*.picture"))
    assert len(pictures) >= 16 * 8
    for path in pictures:
        pixels = case.shown(images.photo_image(path.stem, np.fromfile(path, np.uint8)))
        expected = np.load(folder / f"{path.stem.split(',')[0]}.npy")
        assert pixels.shape == expected.shape, path.stem
        assert np.corrcoef(pixels.ravel(), expected.ravel())[0, 1] > 0.98, path.stem


def test_without_a_picture_the_camera_has_no_background() -> None:
    before = len(bpy.data.images)
    obj = import_face(bpy.context, HEAD, case.face_reply(HEAD, albedo=None, photographed=None))
    assert not camera_of(obj).data.background_images
    assert len(bpy.data.images) == before


def test_a_picture_that_is_none_is_an_error_and_leaves_nothing() -> None:
    before = len(bpy.data.images), len(bpy.data.objects)
    try:
        import_face(bpy.context, HEAD, case.face_reply(HEAD), picture=np.arange(100, dtype=np.uint8))
    except ImportFaceError as error:
        assert "picture" in str(error)
    else:
        raise AssertionError("imported")
    assert (len(bpy.data.images), len(bpy.data.objects)) == before


def test_camera_is_optional() -> None:
    scene = bpy.context.scene
    before = scene.camera, scene.render.resolution_x, len(bpy.data.cameras)
    import_face(bpy.context, HEAD, case.face_reply(HEAD), ImportOptions(use_camera=False))
    assert (scene.camera, scene.render.resolution_x, len(bpy.data.cameras)) == before


case.main(globals())
