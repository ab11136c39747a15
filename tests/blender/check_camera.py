"""The head lies exactly over the face: the photo camera's picture equals DECA's projection, the photo is upright."""

from __future__ import annotations

from pathlib import Path

import blender_case as case
import bpy
import numpy as np
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Vector

from deca_blender.scene.import_face import ImportOptions, import_face

HEAD = case.head_reply()


def deca_pixels(face, verts: np.ndarray) -> np.ndarray:
    """DECA's projection step by step: shift, scale, flip, crop pixels, photo pixels."""
    scale, tx, ty = face.camera.astype(np.float64)
    picture = scale * (verts[:, :2] + [tx, ty]) * [1, -1]
    crop = np.c_[(picture * 0.5 + 0.5) * 224, np.ones(len(verts))]
    return np.linalg.solve(face.crop, crop.T).T[:, :2]


def blender_pixels(obj: bpy.types.Object, verts: np.ndarray) -> np.ndarray:
    scene = bpy.context.scene
    width, height = scene.render.resolution_x, scene.render.resolution_y
    seen = [world_to_camera_view(scene, scene.camera, obj.matrix_world @ Vector(point)) for point in verts]
    return np.array([(point.x * width, (1 - point.y) * height) for point in seen])


def test_head_lies_over_the_face() -> None:
    for seed, size in enumerate([(640, 480), (480, 640), (500, 500), (4000, 3000)]):
        face = case.face_reply(HEAD, seed, image_size=size)
        obj = import_face(bpy.context, HEAD, face)
        bpy.context.view_layer.update()
        verts = case.evaluated_verts(obj)[::50]
        render = bpy.context.scene.render
        assert (render.resolution_x, render.resolution_y) == size
        error = np.abs(blender_pixels(obj, verts) - deca_pixels(face, verts)).max()
        print(f"{size}, head {seed} at x = {obj.matrix_world.translation.x:.1f} m: {error:.4f} pixels")
        assert error < 0.1


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
        import_face(bpy.context, HEAD, case.face_reply(HEAD, photo=str(path), image_size=(60, 40)))
        (background,) = bpy.context.scene.camera.data.background_images
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
    import_face(bpy.context, HEAD, face)
    assert not bpy.context.scene.camera.data.background_images
    assert len(bpy.data.images) == images


def test_camera_is_optional() -> None:
    scene = bpy.context.scene
    before = scene.camera, scene.render.resolution_x, len(bpy.data.cameras)
    import_face(bpy.context, HEAD, case.face_reply(HEAD), ImportOptions(use_camera=False))
    assert (scene.camera, scene.render.resolution_x, len(bpy.data.cameras)) == before


case.main(globals())
