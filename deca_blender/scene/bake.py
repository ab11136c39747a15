"""Bakes wrinkles, so that a file animates and renders without the backend and without the add-on.

The bakes are generators of steps: operators take a step whenever there is time, scripts take them all. Closing one
leaves everything as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import bpy
import numpy as np
from numpy.typing import NDArray

from ..client import Session
from ..core import wrinkle_rig
from ..core.atlas import MAX_FRAMES
from ..core.decode_many import decode_many
from ..core.wrinkle_rig import RigError, WrinkleRig
from ..core.wrinkles import WrinkleInputs
from ..protocol.messages import DecodeWrinkles, DescribeHead
from . import live
from .baked_frames import SequenceFolder, show_packed, show_sequence
from .baked_rig import remove_rig, show_rig
from .stand_in import remove_stand_in

NUM_SAMPLES, NUM_FRESH = 400, 100
"""Expressions that a rig is fitted to, and others that it is measured on."""


Result = TypeVar("Result")


class BakeError(Exception):
    """Wrinkles cannot be baked; the message says why and what to do."""


class Waiting(Protocol):
    """The part of `client.Job` that a bake's caller needs."""

    def poll(self) -> bool: ...

    def wait(self, timeout: float) -> object: ...


@dataclass(frozen=True)
class Step:
    """How far a bake is.

    Attributes:
        fraction: 0..1.
        job: What it waits for, or None when it can go on.
    """

    fraction: float
    job: Waiting | None = None


class _Work(Generic[Result]):
    """Something that takes long and knows no bpy, on another thread."""

    def __init__(self, call: Callable[[], Result]) -> None:
        executor = ThreadPoolExecutor(1)
        self._future = executor.submit(call)
        executor.shutdown(wait=False)

    def poll(self) -> bool:
        return self._future.done()

    def wait(self, timeout: float) -> None:
        wait([self._future])  # there is nobody who could fail to answer

    def result(self) -> Result:
        return self._future.result()


def is_baked(obj: bpy.types.Object) -> bool:
    """Whether the head shows baked wrinkles."""
    return obj.deca_bake.kind != "NONE"


def clear(obj: bpy.types.Object) -> None:
    """Removes baked wrinkles and goes back to the live ones; files of frames stay where they are."""
    if not is_baked(obj):
        return
    remove_stand_in(obj)
    remove_rig(obj)
    was_live = obj.deca_bake.was_live
    for name in obj.deca_bake.bl_rna.properties.keys():
        if name not in ("rna_type", "name"):
            obj.deca_bake.property_unset(name)
    obj.deca.wrinkles_live = was_live
    obj.update_tag(refresh={"OBJECT", "DATA"})


def bake_frames(
    scene: bpy.types.Scene,
    heads: Sequence[bpy.types.Object],
    frames: range,
    folder: Path | None,
    session: Session,
) -> Generator[Step]:
    """Bakes the maps of frames.

    Args:
        scene: Its frame is moved, and put back at the end.
        heads: Heads with wrinkles.
        frames: The frames, not none.
        folder: Where each head gets a folder of EXR files; None packs the maps into the file.
        session: Line to the backend.

    Raises:
        BakeError: There are too many frames to be packed.
        OSError: The folder cannot be written.
        ClientError: The backend did not answer with maps.
    """
    if folder is None and len(frames) > MAX_FRAMES:
        raise BakeError(f"At most {MAX_FRAMES} frames can be packed, not {len(frames)}: bake them to a folder.")
    order = [(frame, obj) for frame in frames for obj in heads]
    packed: dict[str, dict[int, NDArray]] = {obj.name: {} for obj in heads}
    folders: dict[str, SequenceFolder] = {}
    with ExitStack() as stack:
        if folder is not None:
            for obj in heads:
                folders[obj.name] = SequenceFolder(folder, obj.name, frames[0])
                stack.callback(folders[obj.name].discard)
        was_live = stack.enter_context(_paused(heads))
        stack.enter_context(_same_frame(scene))

        def requests() -> Iterator[DecodeWrinkles]:
            for frame in frames:
                scene.frame_set(frame)
                yield from [live.inputs_of(obj).request(live.weights_of(obj)) for obj in heads]

        done = 0
        for map_NN in decode_many(session.submit, requests()):
            if not isinstance(map_NN, np.ndarray):
                yield Step(done / len(order), map_NN)
                continue
            frame, obj = order[done]
            if folder is None:
                packed[obj.name][frame] = map_NN.astype(np.float16)
            else:
                folders[obj.name].put(frame, map_NN)
            done += 1
            yield Step(done / len(order))
        for obj in heads:
            clear(obj)
            first, last = frames[0], frames[-1]
            if folder is None:
                show_packed(obj, packed[obj.name], first, last)
            else:
                folders[obj.name].commit()
                show_sequence(obj, folders[obj.name], first, last)
            bake = obj.deca_bake
            bake.kind, bake.first, bake.last = "FRAMES", first, last
            bake.folder = "" if folder is None else str(folders[obj.name].path)
            bake.was_live = was_live.pop(obj.name)


def bake_rig(obj: bpy.types.Object, num_maps: int, session: Session, seed: int = 0) -> Generator[Step]:
    """Bakes a few maps that the sliders blend (`core.wrinkle_rig`), and measures them on other expressions.

    Args:
        obj: Head with wrinkles.
        num_maps: How many maps beside the neutral one.
        session: Line to the backend.
        seed: Of the expressions.

    Raises:
        ClientError: The backend did not answer with maps.
    """
    with _paused([obj]) as was_live:
        inputs, weights = live.inputs_of(obj), live.weights_of(obj)
        job = session.submit(DescribeHead(inputs.head, num_shape=0, num_expression=0))
        while not job.poll():
            yield Step(0.0, job)
        arkit_map = job.result().arkit_map
        inputs_NX = wrinkle_rig.sample_inputs(np.random.default_rng(seed), NUM_SAMPLES + NUM_FRESH, arkit_map)
        inputs_NX = np.concatenate((np.zeros_like(inputs_NX[:1]), inputs_NX))  # the first is at rest
        maps = []
        for map_NN in decode_many(session.submit, (_moved(inputs, row).request(weights) for row in inputs_NX)):
            if isinstance(map_NN, np.ndarray):
                maps.append(map_NN)
            yield Step(0.95 * len(maps) / len(inputs_NX), None if isinstance(map_NN, np.ndarray) else map_NN)
        maps_NHW, fitted = np.stack(maps), slice(1, 1 + NUM_SAMPLES)

        def fit() -> tuple[WrinkleRig, RigError]:
            rig = wrinkle_rig.fit(inputs_NX[fitted], maps_NHW[fitted], maps_NHW[0], num_maps)
            return rig, wrinkle_rig.measure(rig, inputs_NX[fitted.stop :], maps_NHW[fitted.stop :])

        work = _Work(fit)  # seconds
        while not work.poll():
            yield Step(0.95, work)
        rig, error = work.result()
        clear(obj)
        show_rig(obj, rig)
        _note_rig(obj, len(rig.maps_KHW), error)
        obj.deca_bake.was_live = was_live.pop(obj.name)


def _moved(inputs: WrinkleInputs, row_X: NDArray) -> WrinkleInputs:
    """The same head with another expression and jaw."""
    num_expression = wrinkle_rig.NUM_EXPRESSION
    return replace(inputs, expression_E=row_X[:num_expression].copy(), jaw_3=row_X[num_expression:].copy())


def _note_rig(obj: bpy.types.Object, num_maps: int, error: RigError) -> None:
    bake = obj.deca_bake
    bake.kind, bake.num_maps = "RIG", num_maps
    bake.within, bake.percentile_95, bake.worst = error.within, error.percentile_95, error.worst


@contextmanager
def _paused(heads: Sequence[bpy.types.Object]) -> Iterator[dict[str, bool]]:
    """Turns live wrinkles off: gives what they were, by name, and puts back what is still in there at the end."""
    was_live = {obj.name: obj.deca_bake.was_live if is_baked(obj) else obj.deca.wrinkles_live for obj in heads}
    before = {obj.name: obj.deca.wrinkles_live for obj in heads}
    for obj in heads:
        obj.deca.wrinkles_live = False
    try:
        yield was_live
    finally:
        for obj in heads:
            obj.deca.wrinkles_live = before[obj.name] if obj.name in was_live else False


@contextmanager
def _same_frame(scene: bpy.types.Scene) -> Iterator[None]:
    """Puts the scene's frame back at the end."""
    frame, subframe = scene.frame_current, scene.frame_subframe
    try:
        yield
    finally:
        scene.frame_set(frame, subframe=subframe)
