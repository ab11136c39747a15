"""What every Blender check shares: the bundled head as the backend would send it, random faces, an independent oracle.

A check is a file of `test_*` functions that ends with `blender_case.main(globals())`. It runs in a process of its own
(test_all.py), because Blender's module keeps global state and may hang while the interpreter ends.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import struct
import sys
import tempfile
import traceback
from pathlib import Path
from types import SimpleNamespace

import bpy
import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from deca_blender import registration
from deca_blender.protocol.messages import FaceReply, HeadReply

ROOT = Path(__file__).resolve().parents[2]
HEAD_FILE = ROOT / "assets" / "openhead" / "openhead.safetensors"
NAMED_SHAPES_FILE = ROOT / "assets" / "openhead" / "named_shapes.safetensors"
NUM_SHAPE, NUM_EXPRESSION = 40, 51


SKIPPED = 77
"""Exit status of a check of which nothing could run here."""


class Skip(Exception):
    """A test cannot run in this Blender's Python."""


def main(namespace: dict[str, object]) -> None:
    """Runs the file's tests in order, each on an empty Blender file; ends the process."""
    passed, failed = 0, 0
    tests = {name: item for name, item in namespace.items() if name.startswith("test_") and callable(item)}
    registration.register()
    for name, test in tests.items():
        bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
        try:
            with tempfile.TemporaryDirectory(prefix="deca é ") as folder:
                test(Path(folder)) if inspect.signature(test).parameters else test()
            passed += 1
        except Skip as reason:
            print(f"skipped {name}: {reason}")
        except Exception:
            traceback.print_exc()
            failed += 1
            print(f"FAILED {name}")
    print(f"{passed} passed, {failed} failed, {len(tests) - passed - failed} skipped")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1 if failed or not tests else 0 if passed else SKIPPED)


def head_reply() -> HeadReply:
    """The bundled head model as the backend describes it, read here without the backend's code."""
    with safe_open(str(HEAD_FILE), framework="numpy") as file:
        metadata = file.metadata()
        tensors = {key: file.get_tensor(key) for key in file.keys()}
    mirror, half = tensors["mirror"], tensors["shapedirs_half"].astype(np.float32)
    directions = np.zeros((len(mirror), 3, half.shape[2]), np.float32)
    first = [v for v in range(len(mirror)) if v <= mirror[v]]
    for row, vertex in enumerate(first):
        directions[mirror[vertex]] = half[row] * tensors["parity"] * np.array([[-1], [1], [1]], np.float32)
        directions[vertex] = half[row]
    num_shape = int(metadata.get("num_shape", 300))
    polygons = tensors.get("polygons", np.pad(tensors["f"], ((0, 0), (0, 1)), constant_values=-1))
    polygons, uv_polygons = _polygons(tensors["f"], tensors["ft"], polygons)
    age_direction = None
    if "trait_codes" in tensors:
        traits = json.loads(metadata["traits"])
        (age,) = (index for index, trait in enumerate(traits) if trait["name"] == "age")
        per_deviation = directions[:, :, :num_shape].astype(np.float64) @ tensors["trait_codes"][:, age]
        age_direction = (per_deviation / traits[age]["deviation"]).astype(np.float32)
    with safe_open(str(NAMED_SHAPES_FILE), framework="numpy") as file:
        measures = json.loads(file.metadata()["shapes"])
        codes_NS = file.get_tensor("codes").astype(np.float32)
        named_NV3 = np.tensordot(codes_NS, directions[:, :, :num_shape], (1, 2))
    return HeadReply(
        name=metadata.get("name", "openhead"),
        hash=metadata.get("codes_of", hashlib.sha256(HEAD_FILE.read_bytes()).hexdigest()[:16]),
        licence="CC0-1.0",
        num_shape=num_shape,
        num_expression=directions.shape[2] - num_shape,
        verts=tensors["v_template"].astype(np.float32),
        polygons=polygons,
        uv=tensors["vt"].astype(np.float32),
        uv_polygons=uv_polygons,
        shape_dirs=np.ascontiguousarray(directions[:, :, :NUM_SHAPE]),
        expression_dirs=np.ascontiguousarray(directions[:, :, num_shape : num_shape + NUM_EXPRESSION]),
        pose_dirs=tensors["posedirs"].astype(np.float32),
        joint_regressor=tensors["J_regressor"].astype(np.float32),
        joints_follow_expression=False,
        parents=tuple(int(p) for p in tensors["kintree_table"][0]),
        skin_weights=tensors["weights"].astype(np.float32),
        part=tensors["part"],
        mirror=mirror.astype(np.int32),
        arkit_names=tuple(json.loads(metadata["arkit_names"])),
        arkit_map=tensors["arkit_map"].astype(np.float32),
        age_direction=age_direction,
        gloss=np.linspace(0, 1, len(mirror), dtype=np.float32),
        named_shapes=np.ascontiguousarray(named_NV3),
        named_shape_prior=codes_NS @ codes_NS.T,
        named_shape_keys=tuple(measure[0] for measure in measures),
        named_shape_units=tuple(measure[1] for measure in measures),
        named_shape_deviations=tuple(measure[2] for measure in measures),
        landmark_verts=tensors["f"][tensors["lmk68_face"]].astype(np.int32),
        landmark_weights=tensors["lmk68_bary"].astype(np.float32),
    )


def _polygons(faces, uv_faces, polygons) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The polygons, and the texture vertices of their corners, looked up in the triangles that they are made of."""
    corners = zip(faces.tolist(), uv_faces.tolist(), strict=True)
    texture_of = {frozenset(face): dict(zip(face, uv, strict=True)) for face, uv in corners}
    uv_polygons = []
    for a, b, c, d in polygons.tolist():
        halves = texture_of[frozenset((a, b, c))] | (texture_of[frozenset((a, c, d))] if d >= 0 else {})
        uv_polygons.append([halves.get(vertex, -1) for vertex in (a, b, c, d)])
    return polygons.astype(np.int32), np.array(uv_polygons, np.int32)


def triangles_of(polygons: NDArray[np.int32]) -> NDArray[np.int32]:
    """Triangles (F, 3) of faces of four or, where their last corner is -1, three."""
    return np.concatenate([polygons[:, :3], polygons[polygons[:, 3] >= 0][:, [0, 2, 3]]])


def face_reply(head: HeadReply, seed: int = 0, **changes: object) -> FaceReply:
    """A random but plausible face: what the backend could have sent."""
    random = np.random.default_rng(seed)
    angle = random.uniform(-0.3, 0.3)
    zoom = 0.4
    crop = np.array(
        [
            [zoom * np.cos(angle), -zoom * np.sin(angle), 20.0],
            [zoom * np.sin(angle), zoom * np.cos(angle), -35.0],
            [0, 0, 1],
        ]
    )
    values: dict[str, object] = {
        "name": "Zoë Müller 1",
        "photo": "/nowhere/Zoë Müller 1.jpg",
        "head": head.name,
        "head_hash": head.hash,
        "backend_version": "0.0",
        "shape": random.normal(size=NUM_SHAPE).astype(np.float32),
        "expression": random.normal(size=50).astype(np.float32),
        "pose": random.normal(scale=0.2, size=(5, 3)).astype(np.float32),
        "camera": np.array([7.5, 0.012, -0.02], np.float32),
        "crop": crop,
        "image_size": (640, 480),
        "box": (1.0, 2.0, 3.0, 4.0),
        "landmarks": np.zeros((478, 2), np.float32),
        "landmark_error": 0.0125,
        "albedo": random.integers(0, 256, (64, 64, 3), np.uint8),
        "photographed": random.integers(0, 256, (64, 64, 3), np.uint8),
    }
    return FaceReply(**(values | changes))  # type: ignore[arg-type]


def picture_of(rows_HW3: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The bytes of a BMP file, as the backend could have sent a photo. Top row first."""
    height, width = rows_HW3.shape[:2]
    padded = np.zeros((height, (3 * width + 3) // 4 * 4), np.uint8)
    padded[:, : 3 * width] = rows_HW3[::-1, :, ::-1].reshape(height, -1)
    header = struct.pack("<2sIIIIiiHHIIiiII", b"BM", 54 + padded.size, 0, 54, 40, width, height, 1, 24, 0, *[0] * 5)
    return np.frombuffer(header + padded.tobytes(), np.uint8)


def backdrop(camera: bpy.types.Object) -> NDArray[np.float64]:
    """What lies behind the head of a photo camera, 0..255, (H, W, 3), top row first."""
    (background,) = camera.data.background_images
    assert camera.data.show_background_images and background.display_depth == "BACK"
    return shown(background.image)


def shown(image: bpy.types.Image) -> NDArray[np.float64]:
    """The pixels of an image, 0..255, (H, W, 3), top row first."""
    width, height = image.size
    return 255 * np.array(image.pixels[:]).reshape(height, width, 4)[::-1, :, :3]


# ---- the oracle: FLAME's forward model in float64, written without looking at the product's --------------------------


def rotation(axis_angle: NDArray) -> NDArray[np.float64]:
    """Rotation matrix of an axis-angle vector through its quaternion."""
    vector = np.asarray(axis_angle, np.float64)
    angle = np.sqrt((vector**2).sum())
    w, xyz = np.cos(angle / 2), vector * (0.5 * np.sinc(angle / (2 * np.pi)))
    x, y, z = xyz
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def posed_verts(
    head: HeadReply, shape: NDArray, expression: NDArray, pose: NDArray, arkit: NDArray | None = None
) -> NDArray[np.float64]:
    """Vertices in head space: blend shapes, pose correctives, then one rigid motion per joint and vertex.

    Args:
        head: The head model.
        shape, expression: Coefficients.
        pose: Axis-angles that the user gives, (5, 3).
        arkit: ARKit weights (52,); they add expression coefficients, and turn jaw and eyes before the user's rotation.
    """
    arkit = np.zeros(len(head.arkit_names)) if arkit is None else arkit
    arkit_map = np.zeros((60, len(arkit))) if head.arkit_map is None else head.arkit_map.astype(np.float64)
    coefficients = arkit_map[:51] @ arkit
    coefficients[: len(expression)] += expression
    rest = head.verts + head.shape_dirs.astype(np.float64) @ np.asarray(shape, np.float64)
    expressive = rest + head.expression_dirs.astype(np.float64) @ coefficients
    joints = head.joint_regressor.astype(np.float64) @ (expressive if head.joints_follow_expression else rest)
    rotations = [rotation(row) for row in pose]
    for first, joint in ((51, 2), (54, 3), (57, 4)):
        rotations[joint] = rotation(arkit_map[first : first + 3] @ arkit) @ rotations[joint]
    features = np.concatenate([(matrix - np.eye(3)).ravel() for matrix in rotations[1:]])
    points = expressive + head.pose_dirs @ features
    moved = np.zeros_like(points)
    for joint in range(5):
        position = points
        ancestor = joint
        while ancestor >= 0:
            position = (position - joints[ancestor]) @ rotations[ancestor].T + joints[ancestor]
            ancestor = head.parents[ancestor]
        moved += head.skin_weights[:, joint : joint + 1].astype(np.float64) * position
    return moved


def evaluated_verts(obj: bpy.types.Object) -> NDArray[np.float64]:
    """The vertices that Blender shows, in the object's own space (head space)."""
    bpy.context.view_layer.update()
    evaluated = obj.evaluated_get(bpy.context.evaluated_depsgraph_get())
    mesh = evaluated.to_mesh()
    flat = np.empty(3 * len(mesh.vertices), np.float32)
    mesh.vertices.foreach_get("co", flat)
    evaluated.to_mesh_clear()
    return flat.reshape(-1, 3).astype(np.float64)


# ---- a window that counts ------------------------------------------------------------------------------------------


class Window:
    """What an operator that works beside a window's events asks of it.

    Attributes:
        timers: How many tick.
        status: The text in the status bar; None once it is taken away.
        context: Blender's context, as far as such operators know it.
    """

    def __init__(self) -> None:
        self.timers, self.status = 0, ""
        manager = SimpleNamespace(
            progress_begin=lambda low, high: None,
            progress_update=lambda value: None,
            progress_end=lambda: None,
            modal_handler_add=lambda operator: None,
            event_timer_add=lambda seconds, window: setattr(self, "timers", self.timers + 1) or "a timer",
            event_timer_remove=lambda timer: setattr(self, "timers", self.timers - 1),
        )
        workspace = SimpleNamespace(status_text_set=lambda text: setattr(self, "status", text))
        self.context = SimpleNamespace(window_manager=manager, workspace=workspace, window=None)

    @property
    def is_left_clean(self) -> bool:
        return self.timers == 0 and self.status is None


def event(kind: str) -> SimpleNamespace:
    """An event of a window: "TIMER", or a key that is pressed."""
    return SimpleNamespace(type=kind, value="NOTHING" if kind == "TIMER" else "PRESS")


# ---- a backend that answers from memory ----------------------------------------------------------------------------


class FakeJob:
    """A job that is done from the start."""

    def __init__(self, answer: object) -> None:
        self._answer = answer

    def poll(self) -> bool:
        return True

    def wait(self) -> object:
        return self.result()

    def result(self) -> object:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    def cancel(self) -> None:
        pass


class FakeSession:
    """Answers DescribeHead with `head`, and ReconstructPhoto by `answer(request)` (a reply or an exception)."""

    def __init__(self, head: HeadReply, answer) -> None:
        self._head, self._answer = head, answer

    def submit(self, request: object) -> FakeJob:
        is_head = type(request).__name__ == "DescribeHead"
        return FakeJob(self._head if is_head else self._answer(request))
