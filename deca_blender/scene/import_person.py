"""One head of several photos: a camera for each, and keyframes that show the face as on each.

The photos' expressions are keyframes, one frame each from the current one on, with a marker of the photo's name: pose
assets hold ARKit sliders, which a photo's expression is none of. Before the first and after the last the face stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..core import rig
from ..core.photo_camera import photo_camera
from ..properties.head import EXPRESSION, PHOTO_EXPRESSIONS, SHAPE
from ..protocol.messages import FaceReply, HeadReply, LeftOutPhoto
from ..protocol.photos import told
from . import camera, images, live, material, pins
from .channels import curves_of
from .expression import key_pose
from .head import pose_as, remember, remember_detail, rig_of
from .import_face import ImportFaceError, ImportOptions, add_camera, build_head, building
from .reshape import change_likeness, reshape

_SIZES = (512, 1024, 2048)
"""Of textures that the backend makes."""

Pictures = Sequence[NDArray[np.uint8] | None]


def import_person(
    context: bpy.types.Context,
    head: HeadReply,
    faces: Sequence[FaceReply],
    pictures: Pictures,
    options: ImportOptions,
    left_out: Sequence[LeftOutPhoto] = (),
) -> bpy.types.Object:
    """Builds one head, posed as on the first photo. On any failure Blender's data is as before.

    Args:
        context: Blender's context.
        head: The head model that the faces belong to.
        faces: The person on each photo, as `PersonReply` has them.
        pictures: The upright photos, to be seen behind the head.
        options: What else to build.
        left_out: The photos that were not used, to be told in the panel.

    Returns:
        The head's mesh object, active and selected.

    Raises:
        ImportFaceError: As `import_face`.
    """
    with building(context, head, faces[0]):
        head_object = build_head(context, head, faces[0], options, pictures[0])
        if len(faces) > 1:
            frame = context.scene.frame_current
            _note_photos(head_object, faces, [frame + number for number in range(len(faces))])
            _add_cameras(context, head_object, faces, pictures, options)
            _key_photos(head_object, range(len(faces)))
        note_left_out(head_object, left_out)
    _mark(context.scene, head_object, range(len(faces)))
    return head_object


def update_person(
    context: bpy.types.Context,
    head_object: bpy.types.Object,
    head: HeadReply,
    faces: Sequence[FaceReply],
    pictures: Pictures,
    options: ImportOptions,
    left_out: Sequence[LeftOutPhoto] = (),
) -> None:
    """Gives a head what the person fit over its photos and new ones has found.

    The mesh, all its keys and the bones move by what the identity has changed, so that edits stay. Texture and wrinkles
    are the new ones, in the materials that are there. Keyframes of photos follow the new fit where nobody has changed
    them; all other keyframes stay, and the new photos' come after the last.

    Args:
        context, head, faces, pictures, options, left_out: As in `import_person`.
        head_object: A head of that head model.

    Raises:
        ImportFaceError: As `import_face`; or the mesh has other vertices than the head model, or none of the head's own
            photos shows the person whom most photos show. The head is as before.
    """
    deca = head_object.deca
    if len(head_object.data.vertices) != len(head.verts):
        raise ImportFaceError("The head's mesh has other vertices than at its import: photos can no longer be added.")
    if not {told(face.photo) for face in faces} & set(photo_paths(head_object)):
        raise ImportFaceError(
            "The new photos show somebody else than the head's own, or those cannot be read any more."
        )
    with building(context, head, faces[0]):
        was_single = not len(deca.photos)
        known = photo_paths(head_object)
        by_path = {told(face.photo): (face, picture) for face, picture in zip(faces, pictures, strict=True)}
        paths = [*known, *(path for path in by_path if path not in known)]
        numbered = {number: by_path[path] for number, path in enumerate(paths) if path in by_path}
        # First what may fail: then nothing of the head has changed.
        there = camera.cameras_of(head_object)
        specs = {
            number: photo_camera(face.camera, face.crop, face.image_size) for number, (face, _) in numbered.items()
        }
        added = [number for number in numbered if number >= len(known)]
        new_faces, new_pictures = [numbered[number][0] for number in added], [numbered[number][1] for number in added]
        _add_cameras(context, head_object, new_faces, new_pictures, options, added, there)
        given = {material.ALBEDO: faces[0].albedo, material.PHOTOGRAPHED: faces[0].photographed}
        textures = {
            name: (old, images.texture_image(f"{head_object.name} {name}", texture))
            for name, old in material.face_textures(head_object).items()
            if (texture := given[name]) is not None
        }
        reshape(context, head_object, head, np.asarray(head_object[SHAPE], np.float64), faces[0].shape)
        change_likeness(head_object, faces[0].likeness)

        if was_single:
            _note_single_photo(head_object)
        keyed = {number for number in range(len(known)) if was_single or _shows_photo(head_object, number)}
        for old, new in textures.values():
            material.swap_texture(head_object, old, new)
        remember(head_object, head, faces[0], deca.model_file)
        if faces[0].detail is not None and deca.weights_hash:
            remember_detail(head_object, faces[0], options.weights)
        last_known = max(photo.frame for photo in deca.photos)
        first_new = max(_last_frame(head_object, last_known), last_known) + 1
        frames = [
            deca.photos[number].frame if number < len(known) else first_new + number - len(known) for number in numbered
        ]
        _note_photos(head_object, [face for face, _ in numbered.values()], frames, list(numbered))
        for number in numbered.keys() & there.keys():
            camera.aim_camera(there[number], specs[number])
        _key_photos(head_object, [number for number in numbered if number >= len(known) or number in keyed])
        pins.hold_after_refit(context, head_object, list(numbered))
        note_left_out(head_object, left_out)
    _mark(context.scene, head_object, list(numbered) if was_single else added)
    context.scene.frame_set(context.scene.frame_current)
    live.refresh(head_object)


def photo_paths(head_object: bpy.types.Object) -> list[str]:
    """The photos that a head was made from."""
    photos = head_object.deca.photos
    return [photo.path for photo in photos] if len(photos) else [head_object.deca.photo]


def texture_size(head_object: bpy.types.Object) -> int:
    """Rows and columns of the head's texture, as far as the backend offers them."""
    textures: list[Any] = list(material.face_textures(head_object).values())
    return min(_SIZES, key=lambda size: abs(size - textures[0].size[0])) if textures else 0


def note_left_out(head_object: bpy.types.Object, left_out: Sequence[LeftOutPhoto]) -> None:
    """Keeps on the head which photos were not used, and why."""
    head_object.deca.left_out = "\n".join(f"{Path(told(left.photo)).name}: {left.reason}" for left in left_out)


def _note_photos(
    head_object: bpy.types.Object,
    faces: Sequence[FaceReply],
    frames: Sequence[int],
    numbers: Sequence[int] | None = None,
) -> None:
    """Keeps the photos' paths, frames and codes on the head, by the photos' numbers."""
    photos = head_object.deca.photos
    rows = _expressions(head_object)
    for number, face, frame in zip(numbers or range(len(faces)), faces, frames, strict=True):
        if number == len(photos):
            photos.add()
            rows.append([])
        photo = photos[number]
        photo.name, photo.path, photo.frame = face.name, told(face.photo), frame
        photo.pose, photo.image_size = face.pose.ravel(), face.image_size
        rows[number] = face.expression[: rig.NUM_EXPRESSION_KEYS].tolist()
    head_object[PHOTO_EXPRESSIONS] = [value for row in rows for value in row]


def _note_single_photo(head_object: bpy.types.Object) -> None:
    """Makes the photo of a head that was imported alone the first of several; its keyframes come after all others."""
    deca = head_object.deca
    photo = deca.photos.add()
    photo.name, photo.path, photo.pose, photo.image_size = head_object.name, deca.photo, deca.pose, deca.image_size
    photo.frame = _last_frame(head_object, bpy.context.scene.frame_current - 1) + 1
    head_object[PHOTO_EXPRESSIONS] = list(head_object[EXPRESSION])[: rig.NUM_EXPRESSION_KEYS]


def _last_frame(head_object: bpy.types.Object, default: int) -> int:
    """The frame of the last keyframe that poses a head; `default` where there is none."""
    curves = curves_of(head_object.data.shape_keys, rig_of(head_object))
    return int(max((curve.range()[1] for curve in curves), default=default))


def _expressions(head_object: bpy.types.Object) -> list[list[float]]:
    """The expression coefficients of each photo."""
    values, count = list(head_object.get(PHOTO_EXPRESSIONS, ())), len(head_object.deca.photos)
    size = len(values) // count if count else 0
    return [values[number * size : (number + 1) * size] for number in range(count)]


def _add_cameras(
    context: bpy.types.Context,
    head_object: bpy.types.Object,
    faces: Sequence[FaceReply],
    pictures: Pictures,
    options: ImportOptions,
    numbers: Sequence[int] | None = None,
    there: dict[int, bpy.types.Object] | None = None,
) -> None:
    """A camera for each of the photos that has none."""
    rig_object = rig_of(head_object)
    there = camera.cameras_of(head_object) if there is None else there
    if rig_object is None or not options.use_camera:
        return
    collection = head_object.users_collection[0]
    for number, face, picture in zip(numbers or range(len(faces)), faces, pictures, strict=True):
        if number not in there:
            add_camera(context, collection, rig_object, face, options, picture, number)


def _key_photos(head_object: bpy.types.Object, numbers: Sequence[int]) -> None:
    """Keyframes of the photos' expressions and poses, each held until the next."""
    photos, rows = head_object.deca.photos, _expressions(head_object)
    for number in numbers:
        pose_as(head_object, np.array(rows[number]), np.array(photos[number].pose))
        key_pose(head_object, photos[number].frame)
    frames = {float(photos[number].frame) for number in numbers}
    for curve in curves_of(head_object.data.shape_keys, rig_of(head_object)):
        for point in curve.keyframe_points:
            if point.co.x in frames:
                point.interpolation = "CONSTANT"
    if len(photos):
        pose_as(head_object, np.array(rows[0]), np.array(photos[0].pose))


def _shows_photo(head_object: bpy.types.Object, number: int) -> bool:
    """Whether the keyframes at a photo's frame are still those of the photo."""
    photo, row = head_object.deca.photos[number], _expressions(head_object)[number]
    paths = {f'key_blocks["{rig.expression_key(index)}"].value': value for index, value in enumerate(row)}
    found = [curve for curve in curves_of(head_object.data.shape_keys) if curve.data_path in paths]
    return bool(found) and all(abs(curve.evaluate(photo.frame) - paths[curve.data_path]) < 1e-4 for curve in found)


def _mark(scene: bpy.types.Scene, head_object: bpy.types.Object, numbers: Sequence[int]) -> None:
    """Markers of the photos' names at their frames."""
    for photo in [head_object.deca.photos[number] for number in numbers if number < len(head_object.deca.photos)]:
        scene.timeline_markers.new(photo.name, frame=photo.frame)
