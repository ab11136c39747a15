"""Sessions with live wrinkles that checks play small and benchmarks at length, and F_d in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import blender_case as case
import bpy
import numpy as np
import wrinkle_case
from numpy.typing import NDArray

from deca_blender.client import Job
from deca_blender.protocol.messages import DecodeWrinkles, DescribeWeights, WrinklesReply
from deca_blender.scene import live, transfer

TOLERANCE_M = 1e-6

_F_D = """
import json, sys
import numpy as np, torch
from deca.head import load_head
from deca.networks import load_checkpoint
from deca.render.detail import applied_displacement
head = load_head()
for line in sys.stdin:
    folder, *files = json.loads(line)
    decoders, out = [load_checkpoint(path).detail_decoder for path in files], []
    with np.load(folder + "/codes.npz") as file, torch.inference_mode():
        codes = [torch.from_numpy(file[name]) for name in ("detail", "expression", "jaw")]
        maps = np.load(folder + "/maps.npy", mmap_mode="r")
        for row, decoder in enumerate(file["decoder"]):
            made = applied_displacement(decoders[decoder](*(code[row : row + 1] for code in codes)), head)
            out.append(np.abs(made[0, 0].numpy() - maps[row]).max())
    np.save(folder + "/errors.npy", np.array(out))
    print("done", flush=True)
"""
_oracle: subprocess.Popen[str] | None = None


class Seen(NamedTuple):
    """What F_d should be asked, and the map that was there."""

    detail_D: NDArray[np.float32]
    expression_E: NDArray[np.float32]
    jaw_3: NDArray[np.float32]
    map_NN: NDArray[np.float32]
    weights: str


def errors_m(seen: Sequence[Seen], folder: Path) -> NDArray[np.float32]:
    """Largest difference in metres of each map from F_d run by itself, one call a map: no service, no cache.

    One process does it for all tests of a check; it ends with the check, whose end closes its input.
    """
    global _oracle
    files = sorted({row.weights for row in seen})
    np.save(folder / "maps.npy", np.stack([row.map_NN for row in seen]))
    np.savez(
        folder / "codes.npz",
        detail=np.stack([np.asarray(row.detail_D, np.float32) for row in seen]),
        expression=np.stack([np.asarray(row.expression_E, np.float32) for row in seen]),
        jaw=np.stack([np.asarray(row.jaw_3, np.float32) for row in seen]),
        decoder=np.array([files.index(row.weights) for row in seen]),
    )
    if _oracle is None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "encoding": "utf-8"}
        _oracle = subprocess.Popen([wrinkle_case.PYTHON, "-c", _F_D], env=wrinkle_case.settings()().env, **pipes)
    assert _oracle.stdin is not None and _oracle.stdout is not None
    print(json.dumps([str(folder), *files]), file=_oracle.stdin, flush=True)
    assert _oracle.stdout.readline() == "done\n", "F_d could not be asked; its process says why"
    return np.load(folder / "errors.npy")


# ---- an animation, rendered ------------------------------------------------------------------------------------------


def render_animation(obj: bpy.types.Object, frames: int, folder: Path) -> list[Seen]:
    """Renders keyframes of expression sliders, ARKit keys and the jaw bone in background; what was there per frame."""
    import addon_utils

    addon_utils.enable("cycles")
    random = np.random.default_rng(0)
    names = ("exp_000", "exp_017", "mouthSmileLeft", "jawOpen", "browInnerUp")
    keys, bone = obj.data.shape_keys.key_blocks, obj.parent.pose.bones["jaw"]
    values = {name: random.uniform(0, 1, frames) for name in names}
    turns = random.uniform(0, 0.3, frames)
    for row in range(frames):
        for name in names:
            keys[name].value = values[name][row]
            keys[name].keyframe_insert("value", frame=row + 1)
        bone.rotation_axis_angle = (turns[row], 1, 0, 0)
        bone.keyframe_insert("rotation_axis_angle", frame=row + 1)
    scene = bpy.context.scene
    scene.frame_end = frames
    scene.render.engine, scene.cycles.samples, scene.cycles.use_denoising = "CYCLES", 1, False
    scene.render.resolution_x = scene.render.resolution_y = 16
    obj.modifiers["Wrinkle Subdivision"].render_levels = 0
    scene.render.filepath = str(folder / "frame ")
    shown: dict[int, NDArray[np.float32]] = {}

    def note(scene: bpy.types.Scene, _: object = None) -> None:
        shown[scene.frame_current] = wrinkle_case.shown_map(obj)

    bpy.app.handlers.render_post.append(note)  # the frame has been drawn with it
    try:
        bpy.ops.render.render(animation=True)
    finally:
        bpy.app.handlers.render_post.remove(note)
    assert sorted(shown) == list(range(1, frames + 1)), sorted(shown)
    sliders = {key.name: key.value for key in keys}
    seen = []
    for frame, map_NN in shown.items():
        now = sliders | {name: values[name][frame - 1] for name in names}
        jaw = case.rotation(np.array([turns[frame - 1], 0, 0]))
        seen.append(Seen(obj["deca_detail"], *expected_codes(now, jaw), map_NN, obj.deca.weights))
    return seen


def expected_codes(sliders: dict[str, float], jaw_33: NDArray) -> tuple[NDArray, NDArray]:
    """Expression and jaw that F_d should be asked for sliders and a hand-turned jaw, not as the product reads them."""
    head = wrinkle_case.HEAD
    arkit = np.array([sliders[name] for name in head.arkit_names])
    expression = np.array([sliders[f"exp_{index:03d}"] for index in range(50)]) + head.arkit_map[:50] @ arkit
    return expression, axis_angle(case.rotation(head.arkit_map[51:54] @ arkit) @ jaw_33)


def axis_angle(matrix: NDArray) -> NDArray:
    """Through the logarithm of the rotation's eigenvalues, another way than the product's."""
    values, vectors = np.linalg.eig(matrix)
    axis = np.real(vectors[:, np.argmin(np.abs(values - 1))])
    angle = np.arccos(np.clip((np.trace(matrix) - 1) / 2, -1, 1))
    signs = [1, -1] if angle > 0 else [0]
    return min((sign * angle * axis for sign in signs), key=lambda turn: np.abs(case.rotation(turn) - matrix).max())


def settle(*heads: bpy.types.Object) -> None:
    """What Blender's window does: dependency updates, then ticks until nothing is behind."""
    bpy.context.view_layer.update()
    deadline = time.monotonic() + 100
    while any(live.is_behind(obj) for obj in heads):
        live.tick()
        time.sleep(0.002)
        assert time.monotonic() < deadline, [live.error(obj) for obj in heads]
    live.tick()


def expected_map(obj: bpy.types.Object, jaw: NDArray) -> NDArray:
    """The map of the original sliders and a jaw turned by hand, without the product's reading of them.

    Args:
        obj: The head.
        jaw: Rotation matrix of the jaw by hand.
    """
    sliders = {key.name: key.value for key in obj.data.shape_keys.key_blocks}
    return wrinkle_case.decoded(obj["deca_detail"], *expected_codes(sliders, jaw))


def hand_jaw(obj: bpy.types.Object) -> NDArray:
    return np.array(obj.parent.pose.bones["jaw"].matrix_basis.to_3x3(), np.float64)


def assert_right(obj: bpy.types.Object, jaw: NDArray | None = None) -> None:
    expected = expected_map(obj, hand_jaw(obj) if jaw is None else jaw)
    assert np.abs(expected).max() > 1e-4
    error = np.abs(wrinkle_case.shown_map(obj) - expected).max()
    assert error < 1e-6, error


def transferred(source: bpy.types.Object, target: bpy.types.Object) -> Seen:
    """Lets a head wear another's wrinkles; what it shows then, and what it should."""
    transfer.transfer_wrinkles(source, target, 1.0)
    settle(target)
    sliders = {key.name: key.value for key in target.data.shape_keys.key_blocks}
    codes = expected_codes(sliders, hand_jaw(target))
    return Seen(source["deca_detail"], *codes, wrinkle_case.shown_map(target), target.deca.weights)


# ---- drags, while the backend is killed ------------------------------------------------------------------------------


class Drags:
    """A user who drags whatever can be dragged, and changes his mind, without waiting for the maps.

    Attributes:
        applied: Each map that was put on the head, with the request that it answers.
        pids: Backends that were killed.
    """

    def __init__(self, name: str, folder: Path, seed: int = 0) -> None:
        self.applied: list[Seen] = []
        self.pids: list[int] = []
        self._name, self._random = name, np.random.default_rng(seed)
        copy = folder / "the same weights elsewhere.safetensors"
        shutil.copy(wrinkle_case.WEIGHTS, copy)
        other = wrinkle_case.made_weights(1)
        session = wrinkle_case.real_session()
        self._weights = [
            (str(path), session.request(DescribeWeights(str(path)), timeout=60).hash)
            for path in (wrinkle_case.WEIGHTS, copy, other)
        ]
        self._answers: list[tuple[DecodeWrinkles, Job]] = []
        self._state = self._read()
        self._past, self._at = [self._state], 0
        bpy.ops.ed.undo_push(message="start")

    @property
    def head(self) -> bpy.types.Object:
        return bpy.data.objects[self._name]  # undo makes other objects

    def run(self, drags: int, kills: int, rest: int = 0) -> None:
        """Drags, and kills the backend at random moments; then waits for the last map.

        Args:
            drags, kills: How many.
            rest: After every so many drags the user looks at the map before going on; 0 for never.

        Raises:
            AssertionError: A slider was lost, or a map came from nowhere or for another head.
        """
        session, submit, apply = wrinkle_case.real_session(), wrinkle_case.real_session().submit, live.apply_map

        def noted_submit(request: DecodeWrinkles) -> Job:
            job = submit(request)
            self._answers.append((request, job))
            return job

        def noted_apply(obj: bpy.types.Object, map_NN: NDArray[np.float32]) -> None:
            asked = next(
                request
                for request, job in reversed(self._answers)
                if isinstance(job._reply, WrinklesReply) and job._reply.displacement is map_NN
            )
            assert obj.session_uid == self.head.session_uid
            self.applied.append(Seen(asked.detail, asked.expression, asked.jaw, map_NN, asked.weights))
            apply(obj, map_NN)

        moments = set(self._random.choice(drags, kills, replace=False).tolist())
        session.submit, live.apply_map = noted_submit, noted_apply  # type: ignore[method-assign, assignment]
        try:
            for drag in range(drags):
                self._drag(kill=drag in moments)
                if rest and drag % rest == rest - 1:
                    settle(self.head)
            settle(self.head)
        finally:
            del session.submit
            live.apply_map = apply
        assert len(self.pids) == kills, (self.pids, kills)

    def final(self) -> Seen:
        """What the head shows, and what it should show for where the user has put its sliders."""
        sliders, jaw, (weights, _) = self._state
        codes = expected_codes(sliders, case.rotation(np.array(jaw[1:]) * jaw[0]))
        return Seen(self.head["deca_detail"], *codes, wrinkle_case.shown_map(self.head), weights)

    def _drag(self, kill: bool) -> None:
        kinds: list[Callable[[], None]] = [self._slide, self._arkit, self._turn_jaw, self._undo, self._other_weights]
        kind = kinds[self._random.choice(len(kinds), p=(0.4, 0.25, 0.2, 0.1, 0.05))]
        steps = 1 if kind is self._undo else int(self._random.integers(1, 5))
        kill_at = int(self._random.integers(steps)) if kill else -1
        for step in range(steps):
            kind()
            bpy.context.view_layer.update()
            if step == kill_at:
                self._kill()
            live.tick()
        if kind is not self._undo:
            bpy.ops.ed.undo_push(message="drag")
            self._past = [*self._past[: self._at + 1], self._state]
            self._at += 1
        now = self._read()
        for name, value in self._state[0].items():
            assert abs(now[0][name] - value) < 1e-6, (name, now[0][name], value)
        assert np.allclose(now[1], self._state[1], atol=1e-6) and now[2] == self._state[2]

    def _kill(self) -> None:
        """Kills the backend, after what was killed before has come back by itself."""
        session, deadline = wrinkle_case.real_session(), time.monotonic() + 100
        while session.backend is None or session.pid in (None, *self.pids):
            if not live.is_behind(self.head):  # nothing to ask for: nothing starts it
                self._slide()
                bpy.context.view_layer.update()
            live.tick()
            time.sleep(0.01)
            assert time.monotonic() < deadline, "the backend did not come back"
        pid = session.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        self.pids.append(pid)

    def _read(self) -> tuple[dict[str, float], list[float], tuple[str, str]]:
        keys, deca = self.head.data.shape_keys.key_blocks[1:], self.head.deca
        bone = self.head.parent.pose.bones["jaw"]
        sliders = {key.name: key.value for key in keys if not key.name.startswith("corr_")}
        return sliders, list(bone.rotation_axis_angle), (deca.weights, deca.weights_hash)

    def _slide(self) -> None:
        self._set(f"exp_{self._random.integers(50):03d}", float(self._random.uniform(-2, 2)))

    def _arkit(self) -> None:
        self._set(str(self._random.choice(wrinkle_case.HEAD.arkit_names)), float(self._random.uniform(0, 1)))

    def _set(self, name: str, value: float) -> None:
        sliders, jaw, weights = self._state
        self._state = sliders | {name: value}, jaw, weights
        self.head.data.shape_keys.key_blocks[name].value = value

    def _turn_jaw(self) -> None:
        """In pose mode, as by the pointer."""
        rig = self.head.parent
        bpy.context.view_layer.objects.active = rig
        if rig.mode != "POSE":
            bpy.ops.object.mode_set(mode="POSE")
        axis = self._random.normal(size=3)
        axis /= np.linalg.norm(axis)
        turn = [float(self._random.uniform(0, 0.4)), *axis.tolist()]
        rig.pose.bones["jaw"].rotation_axis_angle = turn
        if self._random.random() < 0.5:
            bpy.ops.object.mode_set(mode="OBJECT")
        self._state = self._state[0], turn, self._state[2]

    def _undo(self) -> None:
        if self._random.random() < 0.6 and 0 < self._at and len(self._past) - self._at < 8:
            bpy.ops.ed.undo()
            self._at -= 1
        elif self._at + 1 < len(self._past):
            bpy.ops.ed.redo()
            self._at += 1
        else:
            return
        self._state = self._past[self._at]

    def _other_weights(self) -> None:
        chosen = self._weights[self._random.integers(len(self._weights))]
        self.head.deca.weights, self.head.deca.weights_hash = chosen
        self._state = self._state[0], self._state[1], chosen
        self._slide()
