"""How many frames per second *Performance From Video* follows, and what of it the parts take; or what it finds.

    python tests/benchmarks/bench_capture.py [--frames 120] [--size 720] [--threads 2]
    python tests/benchmarks/bench_capture.py --movements 11 12 13

The video is the bundled head's, forwards and backwards. Wall time counts what other processes take; seconds of the
processor do not.

`--movements` follows rendered people, by their seeds, who act `tests.performances.routine`, and compares the ARKit
weights found with those acted: correlation, and found per acted. A frame of a person takes a second to render.
Seeds 0 and 1 were used to choose the numbers of `deca.reconstruct.acted_units`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "backend")]

from deca.head import HeadModel, load_head  # noqa: E402
from deca.reconstruct.held_fit import HeldSolver  # noqa: E402
from deca.reconstruct.performance import track_performance  # noqa: E402
from deca.service.handlers import _describe_head  # noqa: E402
from deca.vision.tracking import FaceTracker  # noqa: E402
from deca.vision.video import open_video  # noqa: E402
from deca_blender.core.arkit_fit import arkit_weights  # noqa: E402
from deca_blender.protocol.messages import DescribeHead  # noqa: E402
from tests.performances import RATE, act, close_ups, frames_of, routine, write_video  # noqa: E402

DRAWN = 8
MOVEMENTS = ("eyeBlink", "jawOpen", "mouthSmile", "browInnerUp", "browDown", "mouthPucker")
BLINK_FOUND, BLINK_FALSE = 0.7, 0.3
"""A blink of 1 is found if the lids reach so much of it; a frame with open lids shows one if they reach so much."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--size", type=int, default=720)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--movements", type=int, nargs="+", metavar="SEED", help="what it finds, for these people")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    head = load_head()
    if options.movements:
        measure_movements(head, options.movements)
        return
    acted = act(head, DRAWN)
    drawn = [cv2.resize(picture, (options.size, options.size)) for picture in frames_of(head, acted)]
    there_and_back = [*range(DRAWN), *range(DRAWN - 2, 0, -1)]
    pictures = [np.asarray(drawn[there_and_back[i % len(there_and_back)]]) for i in range(options.frames)]
    with tempfile.TemporaryDirectory() as folder:
        path = write_video(Path(folder) / "a.mp4", pictures, rate=30)
        video = open_video(path)
        frames, *decoding = _timed(lambda: [frame.pixels for frame in video.frames()])
        tracker = FaceTracker()
        marks, *tracking = _timed(lambda: [tracker.follow(pixels, i / 30) for i, pixels in enumerate(frames)])
        seen_FL2 = np.stack([points[:, :2] for points in marks if points is not None])
        solver = HeldSolver(head, acted.shape_S)
        _, *fitting = _timed(lambda: solver.follow(seen_FL2, (options.size, options.size)))
        parts = (("decoding", decoding), ("landmarks", tracking), ("fit", fitting))
        done, *whole = _timed(lambda: track_performance(path, head, acted.shape_S))
    for name, (wall, cpu) in (*parts, ("all", whole)):
        print(f"{name:10} {1e3 * wall / options.frames:6.1f} ms a frame, {1e3 * cpu / options.frames:6.1f} ms of CPU")
    print(
        f"{len(done.times_F) / whole[0]:.1f} frames per second; {done.seen_F.sum()} of {len(done.times_F)} with a face"
    )


def measure_movements(head: HeadModel, seeds: list[int]) -> None:
    reply = _describe_head(DescribeHead(num_shape=1), lambda fraction, text: None)
    rows, blinks, false, frames = [], [], 0, 0
    for seed in seeds:
        acted, tracker = routine(head, seed), FaceTracker()
        seen = [tracker.follow(picture, i / RATE) for i, picture in enumerate(close_ups(head, acted, seed))]
        kept_F = np.array([points is not None for points in seen])
        marks_FL2 = np.stack([points[:, :2] for points in seen if points is not None])
        fit = HeldSolver(head, acted.shape_S).follow(marks_FL2, (360, 360))
        found_FA, _ = arkit_weights(fit.expression_BE, fit.pose_B53, reply)
        columns = {
            name: head.arkit_names.index(name if name in acted.weights_F else f"{name}Left") for name in MOVEMENTS
        }
        pairs = {
            name: (found_FA[:, column], acted.weights_F[head.arkit_names[column]][kept_F])
            for name, column in columns.items()
        }
        rows.append(
            {name: (np.corrcoef(*pair)[0, 1], np.polyfit(pair[1], pair[0], 1)[0]) for name, pair in pairs.items()}
        )
        lids_F, acted_F = pairs["eyeBlink"]
        blinks += [
            lids_F[run].max()
            for run in np.split(np.arange(len(lids_F)), np.flatnonzero(np.diff(acted_F > 0)) + 1)
            if acted_F[run].max() >= 1
        ]
        false += int((lids_F[acted_F == 0] > BLINK_FALSE).sum())
        frames += int((acted_F == 0).sum())
        print(f"{seed}: {kept_F.sum()} of {len(kept_F)} frames with a face")
    for name in MOVEMENTS:
        each = np.array([row[name] for row in rows])
        print(
            f"{name:12} correlation {each[:, 0].mean():.2f}, gain {each[:, 1].mean():.2f}; gains {each[:, 1].round(2)}"
        )
    print(f"blinks found: {sum(depth >= BLINK_FOUND for depth in blinks)} of {len(blinks)}, {np.round(blinks, 2)}")
    print(f"false blinks: {false} of {frames} frames")


def _timed(work):
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - wall, time.process_time() - cpu


if __name__ == "__main__":
    main()
