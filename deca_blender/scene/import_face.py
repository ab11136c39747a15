"""From a backend's answer to a rigged head in the scene."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import bpy
import numpy as np
from numpy.typing import NDArray

from ..core.identity import joint_positions, neutral_verts
from ..core.photo_camera import photo_camera
from ..properties.head import PHOTO_NUMBER
from ..protocol.messages import FaceReply, HeadReply
from . import armature, camera, head_mesh, images, material, shape_keys, wrinkles
from .deletion import new_collection
from .head import remember, remember_detail, show_photo
from .placement import place
from .transaction import all_or_nothing


class ImportFaceError(Exception):
    """An answer of the backend cannot become a head."""


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """What to build beside the rigged head.

    Attributes:
        use_camera: Add the photo's camera, and make it the scene's where there is none.
        weights: Path of the weights file that made the face's detail code.
        head: Path of the head model's file, "" for the bundled one.
        use_resolution: Make the photo's camera the scene's in any case, and render at the photo's resolution.
    """

    use_camera: bool = True
    weights: str = ""
    head: str = ""
    use_resolution: bool = False


def import_face(
    context: bpy.types.Context,
    head: HeadReply,
    face: FaceReply,
    options: ImportOptions = ImportOptions(),
    picture: NDArray[np.uint8] | None = None,
) -> bpy.types.Object:
    """Builds the rigged, textured head of one face in a collection of its own, posed as on the photo.

    On any failure Blender's data is as before.

    Args:
        context: Blender's context.
        head: The head model that `face` belongs to.
        face: The reconstructed face.
        options: What else to build.
        picture: The upright photo, to be seen behind the head, as `ReconstructReply` has it.

    Returns:
        The head's mesh object, active and selected.

    Raises:
        ImportFaceError: The coefficients belong to another head model, or the arrays do not fit together.
    """
    with building(context, head, face):
        return build_head(context, head, face, options, picture)


@contextmanager
def building(context: bpy.types.Context, head: HeadReply, face: FaceReply) -> Iterator[None]:
    """Object mode for building a face, or several of one head model; on any failure Blender's data is as before.

    Raises:
        ImportFaceError: The coefficients belong to another head model, or the arrays do not fit together.
    """
    if (face.head, face.head_hash) != (head.name, head.hash):
        raise ImportFaceError(
            f"The coefficients belong to the head model {face.head} ({face.head_hash}), not to {head.name}"
            f" ({head.hash}). Restart the backend and import the photo again."
        )
    if context.mode != "OBJECT":
        bpy.ops.object.mode_set(mode="OBJECT")
    with all_or_nothing(context):
        try:
            yield
        except ValueError as error:
            raise ImportFaceError(f"The backend's answer does not make a head: {error}") from error


def build_head(
    context: bpy.types.Context,
    head: HeadReply,
    face: FaceReply,
    options: ImportOptions,
    picture: NDArray[np.uint8] | None,
) -> bpy.types.Object:
    """What `import_face` builds, within `building`."""
    neutral_V3 = neutral_verts(head, face.shape)
    collection = new_collection(face.name, context.scene)
    rig_object = bpy.data.objects.new(f"{face.name} Rig", bpy.data.armatures.new(f"{face.name} Rig"))
    collection.objects.link(rig_object)
    armature.build_armature(context, rig_object, joint_positions(head, neutral_V3), head)

    mesh = head_mesh.build_head_mesh(face.name, head, neutral_V3)
    head_object = bpy.data.objects.new(face.name, mesh)
    collection.objects.link(head_object)
    head_mesh.add_skin_weights(head_object, armature.skin_groups(head), head.skin_weights)
    keys = shape_keys.add_shape_keys(head_object, head, neutral_V3, face.likeness)
    shape_keys.drive_correctives(keys, rig_object, has_arkit_bones=head.arkit_map is not None)
    armature.drive_arkit_bones(rig_object, keys, head)
    armature.drive_joints(rig_object, keys, head)
    armature.skin_to(head_object, rig_object)

    given = {material.ALBEDO: face.albedo, material.PHOTOGRAPHED: face.photographed}
    textures = {
        name: images.texture_image(f"{face.name} {name}", texture)
        for name, texture in given.items()
        if texture is not None
    }
    material.add_materials(mesh, face.name, textures)
    remember(head_object, head, face, options.head)
    show_photo(head_object)
    if face.detail is not None:
        remember_detail(head_object, face, options.weights)
        wrinkles.add_wrinkles(head_object)
        context.scene.render.use_lock_interface = True  # maps change while frames are rendered
    if options.use_camera:
        add_camera(context, collection, rig_object, face, options, picture)
    place(context, rig_object, head_object)

    for obj in context.selected_objects:
        obj.select_set(False)
    head_object.select_set(True)
    context.view_layer.objects.active = head_object
    return head_object


def add_camera(
    context: bpy.types.Context,
    collection: bpy.types.Collection,
    rig_object: bpy.types.Object,
    face: FaceReply,
    options: ImportOptions,
    picture: NDArray[np.uint8] | None,
    number: int = 0,
) -> None:
    """Adds the camera that sees the head as the photo does, by the photo's number among the person's."""
    spec = photo_camera(face.camera, face.crop, face.image_size)
    photo = images.photo_image(f"{face.name} Photo", picture) if picture is not None else None
    camera_object = camera.build_camera(f"{face.name} Camera", spec, photo, rig_object)
    camera_object[PHOTO_NUMBER] = number
    collection.objects.link(camera_object)
    if number == 0 and options.use_resolution:
        camera.render_as_photo(context.scene, camera_object, spec.resolution)
    elif context.scene.camera is None:
        context.scene.camera = camera_object
