"""Exports a head for other programs: a copy that needs no drivers, whose morphs do what sliders and bones do here.

Shape suffixes: V vertices, M morphs, N frames, A ARKit shapes, X inputs of a baked wrinkle rig.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..core import rig
from ..core.export import ExportError, ExportOptions, file_of, morphs_of, sidecar, wrinkle_blend
from ..core.exr import half_exr
from ..core.morphs import MorphFit, sum_error, without_stillness
from ..core.rig_inputs import input_names
from ..properties.head import ARKIT_MAP
from . import exporters, live
from .baked_rig import read_rig
from .export_scene import ExportScene, Surface, color_image, joint_groups
from .head import arkit_names, rig_of, slider_names, stored_arkit_names
from .still_head import HELD_JOINTS, Moment, MovingHead, StillHead, moment_of
from .transaction import same_view, temporary

_WORTH_TELLING = 1e-3
"""Metres by which morphs together may be away from the rig untold. By eye."""
_FACE_JOINTS = tuple(joint for joint in rig.JOINTS if joint not in HELD_JOINTS)


@dataclass(frozen=True)
class Exported:
    """What an export has written.

    Attributes:
        files: The files, the main one first.
        morphs: Names of the morphs in it.
        sum_error: Largest distance in metres of the morphs together from the rig, over all that was written.
        notices: What the user should know.
    """

    files: tuple[Path, ...]
    morphs: tuple[str, ...]
    sum_error: float
    notices: tuple[str, ...]


def export_head(
    context: bpy.types.Context,
    head_object: bpy.types.Object,
    path: Path,
    options: ExportOptions,
    normals: bytes | None = None,
) -> Exported:
    """Writes a head to a file, with textures and a description beside it; the scene stays as it is.

    Args:
        context: Blender's context.
        head_object: Head's mesh object.
        path: The file, in a folder that exists; its suffix becomes the format's.
        options: What to write.
        normals: PNG of the wrinkles of the moment as tangent-space normals, green up, or None.

    Raises:
        ExportError: The head cannot be exported so.
        OSError: A file cannot be written.
    """
    target = file_of(path, options)
    if not target.parent.is_dir():
        raise ExportError(f"The folder {target.parent} does not exist. Make it, or choose another.")
    now = moment_of(head_object, context.evaluated_depsgraph_get())
    folder_of_files = tempfile.TemporaryDirectory(prefix=".deca-", dir=target.parent)
    with live.paused(), same_view(context), temporary(), folder_of_files as folder:
        if head_object.mode == "EDIT":
            head_object.update_from_editmode()
        work = _Export(context.scene, head_object, now, Path(folder) / target.name, options)
        work.write(normals)
        files = [work.file, *sorted(file for file in work.file.parent.iterdir() if file in work.beside)]
        for file in files:
            os.replace(file, target.with_name(file.name))
    return Exported(
        tuple(target.with_name(file.name) for file in files),
        tuple(morph.name for morph in work.morphs) if options.kind.has_morphs else (),
        work.sum_error,
        tuple(work.notices),
    )


class _Export:
    """One export, from the head to the files in a folder of its own.

    Args:
        settings: The user's scene, whose frames count.
        head_object: The user's head.
        now: What it does now.
        file: The main file, in the folder.
        options: What to write.

    Attributes:
        morphs: The morphs.
        beside: The files that belong beside the main one.
        sum_error: Largest distance in metres of the morphs together from the rig, over what is shown.
        notices: What the user should know.
    """

    def __init__(
        self,
        settings: bpy.types.Scene,
        head_object: bpy.types.Object,
        now: Moment,
        file: Path,
        options: ExportOptions,
    ) -> None:
        mesh: Any = head_object.data
        if mesh.shape_keys is None:
            raise ExportError(f"{head_object.name} has no shape keys any more, and nothing to make morphs of.")
        self.settings, self.head, self.now, self.file, self.options = settings, head_object, now, file, options
        self.beside: set[Path] = set()
        self.notices: list[str] = []
        self.sum_error = 0.0
        blocks = mesh.shape_keys.key_blocks
        ours = {*slider_names(head_object), *rig.CORRECTIVE_KEYS, mesh.shape_keys.reference_key.name}
        own = {
            block.name: (min(block.slider_min, 0.0), max(block.slider_max, 1.0))
            for block in blocks
            if block.name not in ours and not rig.is_identity_key(block.name)
        }
        wanted = morphs_of(arkit_names(head_object), own, options)
        self.morphs = [morph for morph in wanted if all(name in blocks for name in morph.sliders)]
        kept = {name: value for name, value in now.sliders.items() if rig.is_identity_key(name)}
        self.still = StillHead(head_object, bpy.data.scenes.new("DECA still"), options.detail, kept)
        self.neutral_V3 = self.still.verts()
        self.offsets_MV3: list[NDArray[np.float32]] = []
        self._moving: list[str] = []
        self._fits: dict[tuple, dict[str, float]] = {}
        self._fitter: MorphFit | None = None

    def write(self, normals: bytes | None) -> None:
        """Writes all files."""
        moments, first = self._moments()
        is_animated = len(moments) > 1
        heights_V = self.still.heights(self.now) if self.options.detail else None
        has_morphs = self.options.kind.has_morphs
        self.offsets_MV3 = self._offsets() if has_morphs else []

        self.still.show(Moment() if has_morphs or is_animated else moments[0])
        surface = self._surface()
        scene = ExportScene(self.file.stem, self.settings)
        groups = joint_groups() if self.options.use_skeleton and has_morphs else {}
        rest_V3 = surface.place(self._raised(heights_V))
        scene.add_head(surface, groups, rest_V3)
        images, normal_file = self._textures(normals)
        scene.add_materials(images, normal_file)
        more: dict[str, object] = {}
        values: dict[str, float] = {}
        if has_morphs:
            scene.add_morphs(self.morphs, rest_V3, [surface.move(offsets_V3) for offsets_V3 in self.offsets_MV3])
            if groups:
                scene.add_skeleton(self.still.joints(), self.options.scale)
                more["skeleton"] = [bone.name for bone in scene.skeleton.data.bones]
            values = self._write_weights(scene, moments, first, more)
        elif is_animated:
            frames = [surface.place(self._shown(moment, heights_V)) for moment in moments]
            cache = self.file.with_suffix(".pc2")
            scene.play_vertices(frames, first, cache)
        if is_animated:
            scene.scene.frame_start, scene.scene.frame_end = first, first + len(moments) - 1
            fps = self.settings.render.fps / self.settings.render.fps_base
            more["animation"] = {"first": first, "last": scene.scene.frame_end, "fps": fps} | (
                {"morphs": self._moving} if has_morphs else {}
            )
        if self.options.use_wrinkle_maps:
            more["wrinkles"] = self._wrinkle_maps()
            if self.options.format == "glb":  # among its extras
                scene.head.data["deca_wrinkles"] = json.dumps(more["wrinkles"])
        if self.options.textures != "NONE":
            more["textures"] = {"color": [file.name for file in images.values()]} | (
                {"normals": normal_file.name} if normal_file is not None else {}
            )
        exporters.write(scene.scene, self.file, self.options, is_animated)
        if self.options.format == "obj" and self.options.textures != "NONE":
            self.beside.add(self.file.with_suffix(".mtl"))
        described = sidecar(self.head.name, self.morphs if has_morphs else [], values, self.options, **more)
        text = json.dumps(described, ensure_ascii=False, indent=1)
        self._put(self.file.with_name(f"{self.file.name}.json"), text.encode())  # each format has its own

    # ---- what the head does ------------------------------------------------------------------------------------------

    def _moments(self) -> tuple[list[Moment], int]:
        """What to show: the animation's frames, or one moment; and the first frame."""
        still = Moment() if self.options.expression == "NEUTRAL" else self.now
        start, end = self.settings.frame_start, self.settings.frame_end
        if not (
            self.options.use_animation and self.options.kind.has_animation and end > start and _may_move(self.head)
        ):
            return [still], self.settings.frame_current
        scene = bpy.data.scenes.new("DECA moving")
        scene.render.fps, scene.render.fps_base = self.settings.render.fps, self.settings.render.fps_base
        moving = MovingHead(self.head, scene)
        moments = [moving.at(frame) for frame in range(start, end + 1)]
        return (moments, start) if any(moment != moments[0] for moment in moments) else ([still], start)

    def _offsets(self) -> list[NDArray[np.float32]]:
        """What each morph does: the rig with its sliders, less the rig at rest."""
        moments = (Moment(morph.sliders) for morph in self.morphs)
        shown = self.still.verts_of(moments)
        made = [without_stillness(verts_V3 - self.neutral_V3).astype(np.float32) for verts_V3 in shown]
        self.still.show(Moment())
        return made

    def _shown(self, moment: Moment, heights_V: NDArray | None) -> NDArray[np.float64]:
        self.still.show(moment)
        return self._raised(heights_V)

    def _raised(self, heights_V: NDArray | None) -> NDArray[np.float64]:
        """The still copy's vertices, with wrinkles on them."""
        verts_V3 = self.still.verts()
        return verts_V3 if heights_V is None else verts_V3 + heights_V[:, None] * self.still.normals()

    def _weights(self, moment: Moment) -> dict[str, float]:
        """The morphs' weights of a moment: the sliders' own, and what comes nearest to all else that moves the face."""
        values = {
            morph.name: min(max(moment.sliders.get(morph.name, 0.0), morph.low), morph.high)
            if morph.kind != "viseme"
            else 0.0
            for morph in self.morphs
        }
        known = {name for morph in self.morphs for name in morph.sliders}
        rest = {
            name: value
            for name, value in moment.sliders.items()
            if value and name not in known and not rig.is_identity_key(name)
        }
        turns = {joint: moment.turns[joint] for joint in _FACE_JOINTS if any(moment.turns[joint])}
        for name, weight in self._fit(rest, turns).items():
            values[name] = min(max(values[name] + weight, 0.0), 1.0)
        return values

    def _fit(self, sliders: Mapping[str, float], turns: Mapping[str, tuple]) -> dict[str, float]:
        """ARKit weights that come nearest to sliders without a morph, and to joints that are turned by hand."""
        numbers = [i for i, morph in enumerate(self.morphs) if morph.kind == "arkit"]
        if not numbers or not (sliders or turns):
            return {}
        key = tuple(sliders.items()), tuple(turns.items())
        if key not in self._fits:
            if self._fitter is None:
                self._fitter = MorphFit(np.array([self.offsets_MV3[i] for i in numbers]))
            self.still.show(Moment(dict(sliders), {**Moment().turns, **turns}))
            target_V3 = self.still.verts() - self.neutral_V3
            weights = self._fitter.weights(target_V3, np.zeros(len(numbers)), np.ones(len(numbers)))
            names = [self.morphs[i].name for i in numbers]
            self._fits[key] = dict(zip(names, weights.tolist(), strict=True))
        return self._fits[key]

    def _write_weights(
        self, scene: ExportScene, moments: Sequence[Moment], first: int, more: dict[str, object]
    ) -> dict[str, float]:
        names = [morph.name for morph in self.morphs]
        rows = [self._weights(moment) for moment in moments]
        self._measure(moments, rows, more)
        if len(moments) == 1:
            scene.set_weights(rows[0])
            return rows[0]
        weights_NM = np.array([[row[name] for name in names] for row in rows])
        self._moving = scene.animate_weights(weights_NM, names, first)
        if scene.skeleton is not None:
            held = [{joint: moment.turns[joint] for joint in HELD_JOINTS} for moment in moments]
            scene.animate_joints(held, first)  # what turns jaw and eyes is in the morphs
        elif any(moment.turns[joint] != moments[0].turns[joint] for moment in moments for joint in HELD_JOINTS):
            self.notices.append("Without a skeleton the motion of head and neck is not in the file.")
        return rows[0]

    def _measure(self, moments: Sequence[Moment], rows: Sequence[Mapping[str, float]], more: dict[str, object]) -> None:
        """How far the morphs together are from the rig, with head and neck at rest."""
        names = [morph.name for morph in self.morphs]
        worst, every = (0.0, 0.0), max(1, len(moments) // 8)
        for moment, row in list(zip(moments, rows, strict=True))[::every]:
            face = {joint: turn for joint, turn in moment.turns.items() if joint in _FACE_JOINTS}
            self.still.show(Moment(moment.sliders, {**Moment().turns, **face}))
            weights_M = np.array([row[name] for name in names])
            worst = max(worst, sum_error(self.neutral_V3, self.offsets_MV3, weights_M, self.still.verts()))
        self.still.show(Moment())
        self.sum_error = worst[0] * float(np.linalg.norm(np.array(self.still.upright())[:3, 0]))
        if self.sum_error > _WORTH_TELLING:
            self.notices.append(
                f"Together the morphs come within {1e3 * self.sum_error:.1f} mm of the face as it is shown here;"
                " jaw and eyes turn, morphs are straight, and the head model's own coefficients are nearer if exported."
            )
        more["sum_error_mm"] = {"largest": round(1e3 * worst[0], 3), "root_mean_square": round(1e3 * worst[1], 3)}

    # ---- files -------------------------------------------------------------------------------------------------------

    def _surface(self) -> Surface:
        options = self.options
        try:
            return Surface(self.still, options.removed_parts, options.use_triangles, options.scale)
        except ValueError as error:
            raise ExportError(f"Parts cannot be left out: {error}. Import the photo again.") from error

    def _put(self, file: Path, data: bytes) -> Path:
        file.write_bytes(data)
        self.beside.add(file)
        return file

    def _texture_file(self, name: str) -> Path:
        """Where a texture goes: beside the file, or aside until it is inside."""
        file = self.file.with_name(f"{self.file.stem}_{name}.png")
        if not self.options.is_embedded:
            self.beside.add(file)
        return file

    def _textures(self, normals: bytes | None) -> tuple[dict[str, Path], Path | None]:
        """Writes the pictures: their files by image, and that of the normals."""
        files: dict[str, Path] = {}
        if self.options.textures == "NONE":
            return files, None
        for slot in self.head.material_slots:
            image = color_image(slot.material)
            if image is not None and image.name not in files:
                number = f"_{len(files) + 1}" if files else ""
                files[image.name] = self._texture_file(f"color{number}")
                _save(image, files[image.name])
        if normals is None:
            return files, None
        if self.options.detail:
            self.notices.append("The dense surface has the wrinkles; a map of normals would show them twice.")
            return files, None
        file = self._texture_file("normals")
        file.write_bytes(normals)
        return files, file

    def _wrinkle_maps(self) -> dict[str, object]:
        """Writes the maps of the baked rig; says how the morphs blend them."""
        wrinkles = read_rig(self.head)
        if wrinkles is None:
            raise ExportError(
                f"{self.head.name} has no baked wrinkle rig. Use Bake Wrinkle Rig first, or export without its maps."
            )
        files = []
        for index, map_HW in enumerate((wrinkles.neutral_HW, *wrinkles.maps_KHW)):
            file = self.file.with_name(f"{self.file.stem}_wrinkles_{index:02d}.exr")
            files.append(self._put(file, half_exr(map_HW)).name)
        names = [morph.name for morph in self.morphs if morph.kind == "arkit"]
        return wrinkle_blend(wrinkles, names, self._rig_inputs(names), files)

    def _rig_inputs(self, names: Sequence[str]) -> NDArray[np.float64]:
        """What each ARKit morph adds to the inputs of a wrinkle rig (X, A): its coefficients, and the jaw's turn."""
        stored = stored_arkit_names(self.head)
        map_EA = np.reshape(self.head.get(ARKIT_MAP, ()), (rig.NUM_EXPRESSION_KEYS, -1))
        inputs_XA = np.zeros((len(input_names()), len(names)))
        for column, name in enumerate(names):
            if name in stored and map_EA.size:
                inputs_XA[: len(map_EA), column] = map_EA[:, stored.index(name)]
            inputs_XA[-3:, column] = self.still.arkit_turn(name, "jaw")
        return inputs_XA


def _may_move(head_object: bpy.types.Object) -> bool:
    """Whether something may move a head: keyframes, strips, constraints, or drivers of the user's."""
    rig_object = rig_of(head_object)
    for owner in filter(None, (head_object, head_object.data.shape_keys, rig_object)):
        animation = owner.animation_data
        if animation is None:
            continue
        if animation.action is not None or len(animation.nla_tracks):
            return True
        if any(StillHead.is_users(owner, curve.data_path) for curve in animation.drivers):
            return True
    bones: Any = rig_object.pose.bones if rig_object is not None else ()
    return any(len(bone.constraints) for bone in bones)


def _save(image: bpy.types.Image, file: Path) -> None:
    """Writes an image as a PNG file, whether it is packed, painted on, or a file elsewhere."""
    copy: Any = image.copy()
    copy.filepath_raw, copy.file_format = str(file), "PNG"
    try:
        copy.save()
    except RuntimeError as error:  # also where the file of the image is gone
        raise ExportError(f"The texture {image.name} could not be written: {str(error).strip()}") from error
    finally:
        bpy.data.images.remove(copy)
