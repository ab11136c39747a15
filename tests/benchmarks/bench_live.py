"""Live wrinkles: from a slider's move to the new map on the head, in Blender's module with a real backend.

    PYTHONPATH=.:backend:tests/blender .venv/bin/python tests/benchmarks/bench_live.py [--moves 200] [--device cpu]

A driver of the window's event loop: Blender's dependency update after each move, a tick every 20 ms. Prints JSON:
`latency` from setting the slider to the map in the image, with Blender's evaluation of the move and
`latency_less_evaluation` without it, `callback` the handler of Blender's updates, `tick` the work
of the timer where it sent or applied something, `evaluation` Blender's own update with the new map (level 1).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import blender_case as case
import bpy
import numpy as np

from deca_blender import backend, registration
from deca_blender.client import LaunchSettings, Session
from deca_blender.protocol.messages import DescribeWeights
from deca_blender.scene import live
from deca_blender.scene.import_face import ImportOptions, import_face

MAKE_WEIGHTS = """
import sys
from deca.head import load_head
from deca.networks import Card, random_checkpoint, save_checkpoint
save_checkpoint(random_checkpoint(0, Card.of(load_head(), backbone="mobilenet_v3_large")), sys.argv[1])
"""


def milliseconds(seconds: list[float]) -> dict[str, float]:
    p50, p95 = np.percentile(np.array(seconds) * 1e3, (50, 95))
    return {"p50_ms": round(float(p50), 2), "p95_ms": round(float(p95), 2), "count": len(seconds)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--moves", type=int, default=200)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    python = case.ROOT / ".venv" / "bin" / "python"
    settings = LaunchSettings(python=str(python), device=options.device)
    with tempfile.TemporaryDirectory() as folder:
        # F_d is the same whatever the encoders' backbone.
        weights = str(Path(folder) / "weights.safetensors")
        subprocess.run([python, "-c", MAKE_WEIGHTS, weights], env=settings().env, check=True)
        session = Session(settings)
        backend.session = lambda: session  # type: ignore[assignment]
        registration.register()
        bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
        print(json.dumps(measure(session, weights, options.moves)), flush=True)
        session.close()
    sys.stdout.flush()
    os._exit(0)  # Blender as a module may hang while the interpreter ends


def measure(session: Session, weights: str, moves: int) -> dict[str, object]:
    described = session.request(DescribeWeights(weights), timeout=100)
    random = np.random.default_rng(0)
    head = case.head_reply()
    detail = random.normal(size=described.num_detail).astype(np.float32)
    face = case.face_reply(head, detail=detail, weights_hash=described.hash)
    obj = import_face(bpy.context, head, face, ImportOptions(weights=weights))
    live.update_now(obj)
    key = obj.data.shape_keys.key_blocks["exp_001"]
    callback: list[float] = []
    handler = live._on_update
    handlers = bpy.app.handlers.depsgraph_update_post
    handlers.remove(handler)

    def timed(scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph) -> None:
        started = time.perf_counter()
        handler(scene, depsgraph)
        callback.append(time.perf_counter() - started)

    handlers.append(timed)
    latency: list[float] = []
    moved: list[float] = []
    ticks: list[float] = []
    evaluation: list[float] = []
    # A drag: each move comes when the map of the one before is seen, so that each has its own latency.
    for move in range(moves):
        started = time.perf_counter()
        key.value = 2 * np.sin(0.37 * move) + 1e-3 * move
        bpy.context.view_layer.update()
        moved.append(time.perf_counter() - started)
        next_tick = started + random.uniform(0, live.TICK_S)  # the timer runs on, whenever the slider moves
        while live.is_behind(obj):
            time.sleep(max(0.0, next_tick - time.perf_counter()))
            before = time.perf_counter()
            live.tick()
            now = time.perf_counter()
            ticks.append(now - before)
            next_tick = now + live.pause_s()
        latency.append(time.perf_counter() - started)
        before = time.perf_counter()
        bpy.context.view_layer.update()
        evaluation.append(time.perf_counter() - before)
    return {
        "latency": milliseconds(latency),
        "latency_less_evaluation": milliseconds([whole - part for whole, part in zip(latency, moved, strict=True)]),
        "callback": milliseconds(callback),
        "tick": milliseconds(ticks),
        "evaluation": milliseconds(evaluation),
        "torch": session.backend.torch if session.backend else "",
        "blender": bpy.app.version_string,
    }


main()
