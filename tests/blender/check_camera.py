"""The head lies exactly over the face: the photo camera's picture equals DECA's projection, the photo is upright."""

from __future__ import annotations

from pathlib import Path

import blender_case as case
import bpy
import numpy as np
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Vector

from deca_blender.scene.camera import camera_of
from deca_blender.scene.import_face import ImportOptions, import_face

HEAD = case.head_reply()


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


def save_photo(path: Path, rows: np.ndarray, orientation: int | None) -> None:
    """Writes a JPEG with Blender; `orientation` puts an EXIF block with that value behind its start."""
    height, width = rows.shape[:2]
    image = bpy.data.images.new("photo", width, height)
    rgba = np.ones((height, width, 4), np.float32)
    rgba[..., :3] = rows[::-1]
    image.pixels.foreach_set(rgba.ravel())
    image.file_format = "JPEG"
    image.filepath_raw = str(path)
    image.save()
    bpy.data.images.remove(image)
    if orientation is not None:
        jpeg = path.read_bytes()
        entry = (0x0112).to_bytes(2, "big") + b"\0\x03\0\0\0\x01" + orientation.to_bytes(2, "big") + b"\0\0"
        exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01" + entry + b"\0\0\0\0"
        path.write_bytes(jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:])


def test_background_is_the_upright_photo_in_the_file(folder: Path) -> None:
    """A picture stored turned, with the EXIF value that says how, comes out as the upright one."""
    upright = np.zeros((40, 60, 3), np.float32)
    upright[:20, :30] = (1, 0, 0)
    upright[:20, 30:] = (0, 1, 0)
    upright[20:, :30] = (0, 0, 1)
    stored = {  # how a camera stores the upright picture under each EXIF value
        None: upright,
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }
    for orientation, rows in stored.items():
        path = folder / f"phöto {orientation}.jpg"
        save_photo(path, np.ascontiguousarray(rows), orientation)
        obj = import_face(bpy.context, HEAD, case.face_reply(HEAD, photo=str(path), image_size=(60, 40)))
        (background,) = camera_of(obj).data.background_images
        image = background.image
        assert image.packed_file is not None
        assert tuple(image.size) == (60, 40), orientation
        shown = np.array(image.pixels[:]).reshape(40, 60, 4)[::-1, :, :3]
        assert np.abs(shown[10, 15] - (1, 0, 0)).max() < 0.1, orientation
        assert np.abs(shown[10, 45] - (0, 1, 0)).max() < 0.1, orientation
        assert np.abs(shown[30, 15] - (0, 0, 1)).max() < 0.1, orientation


def test_photo_that_blender_cannot_read_gives_a_camera_without_background(folder: Path) -> None:
    path = folder / "photo.heic"
    path.write_bytes(b"not for Blender")
    images = len(bpy.data.images)
    face = case.face_reply(HEAD, photo=str(path), texture=None)
    obj = import_face(bpy.context, HEAD, face)
    assert not camera_of(obj).data.background_images
    assert len(bpy.data.images) == images


def test_camera_is_optional() -> None:
    scene = bpy.context.scene
    before = scene.camera, scene.render.resolution_x, len(bpy.data.cameras)
    import_face(bpy.context, HEAD, case.face_reply(HEAD), ImportOptions(use_camera=False))
    assert (scene.camera, scene.render.resolution_x, len(bpy.data.cameras)) == before


case.main(globals())
