"""Live wrinkles in Blender's module with a real backend and random weights.

    PYTHONPATH=.:backend:tests/blender .venv/bin/python tests/benchmarks/bench_live.py latency [--count 200] [--relief]
    ... frames [--count 250]              an animation rendered in background: its maps against F_d
    ... kills [--count 1000] [--kills 20] drags while the backend is killed: maps against F_d, sliders, messages
    ... transfer [--count 30]             from one head to the other: time until the map is there, maps against F_d

Each prints a line of JSON; the last three fail where a map differs from F_d by more than 1e-6 m.

`latency` drives the window's event loop: Blender's dependency update after each move, a tick every 20 ms. It counts
from setting the slider to the map in the image, with Blender's evaluation of the move; `latency_less_evaluation`
without it; `callback` is the handler of Blender's updates, `tick` the timer's work where it sent or applied something,
`evaluation` Blender's own update with the new map (level 1).
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import tempfile
import time
from pathlib import Path

import bpy
import live_case
import numpy as np
from wrinkle_case import real_session, relief_of, wrinkled_head

from deca_blender import registration
from deca_blender.scene import live, transfer

COUNTS = {"latency": 200, "frames": 250, "kills": 1000, "transfer": 30}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=COUNTS)
    parser.add_argument("--count", type=int)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--relief", action="store_true", help="of a head that wears the relief of its photo")
    options = parser.parse_args()
    count = options.count or COUNTS[options.what]
    registration.register()
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.what == "latency":
            result = measure_latency(count, options.relief)
        elif options.what == "frames":
            result = measure_frames(count, folder)
        elif options.what == "kills":
            result = measure_kills(count, options.kills, folder)
        else:
            result = measure_transfer(count, folder)
    print(json.dumps(result | {"blender": bpy.app.version_string, "load": round(os.getloadavg()[0], 1)}), flush=True)
    real_session().close()
    os._exit(0 if result.get("ok", True) else 1)  # Blender as a module may hang while the interpreter ends


def milliseconds(seconds: list[float]) -> dict[str, float]:
    p50, p95 = np.percentile(np.array(seconds) * 1e3, (50, 95))
    return {"p50_ms": round(float(p50), 2), "p95_ms": round(float(p95), 2), "count": len(seconds)}


def compared(seen: list[live_case.Seen], folder: Path) -> dict[str, object]:
    errors = live_case.errors_m(seen, folder)
    return {
        "maps": len(seen),
        "different_maps": len({row.map_NN.tobytes() for row in seen}),
        "largest_error_m": float(errors.max()),
        "ok": bool(errors.max() < live_case.TOLERANCE_M),
    }


def measure_frames(frames: int, folder: Path) -> dict[str, object]:
    obj = wrinkled_head()
    started = time.perf_counter()
    seen = live_case.render_animation(obj, frames, folder)
    seconds = time.perf_counter() - started
    result = compared(seen, folder) | {"ms_per_frame": round(1e3 * seconds / frames, 1)}
    return result | {"ok": result["ok"] and result["different_maps"] == frames}


def measure_kills(drags: int, kills: int, folder: Path) -> dict[str, object]:
    obj = wrinkled_head()
    live_case.settle(obj)
    session = live_case.Drags(obj.name, folder)
    told = io.StringIO()
    started = time.perf_counter()
    with contextlib.redirect_stderr(told):
        session.run(drags, kills)
    seconds = time.perf_counter() - started
    result = compared([*session.applied, session.final()], folder)
    result |= {"drags": drags, "kills": len(session.pids), "seconds": round(seconds), "stderr": told.getvalue()[-2000:]}
    return result | {"ok": result["ok"] and not told.getvalue()}


def measure_transfer(times: int, folder: Path) -> dict[str, object]:
    heads = [wrinkled_head(1), wrinkled_head(2)]
    live_case.settle(*heads)
    seconds: list[float] = []
    seen: list[live_case.Seen] = []
    for number in range(times):
        source, target = heads if number % 2 else heads[::-1]
        target.data.shape_keys.key_blocks["exp_001"].value = 0.1 * number - 1  # not a map that is known already
        live_case.settle(target)
        started = time.perf_counter()
        row = live_case.transferred(source, target)
        seconds.append(time.perf_counter() - started)
        seen.append(row)
        transfer.restore_wrinkles(target)
        live_case.settle(target)
    return compared(seen, folder) | {"transfer": milliseconds(seconds)}


def measure_latency(moves: int, with_relief: bool) -> dict[str, object]:
    random = np.random.default_rng(0)
    changes = {"relief": relief_of(np.zeros(128))} if with_relief else {}
    obj = wrinkled_head(**changes)
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
    running = real_session().backend
    return {
        "latency": milliseconds(latency),
        "latency_less_evaluation": milliseconds([whole - part for whole, part in zip(latency, moved, strict=True)]),
        "callback": milliseconds(callback),
        "tick": milliseconds(ticks),
        "evaluation": milliseconds(evaluation),
        "torch": running.torch if running else "",
    }


main()
